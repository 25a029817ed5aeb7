"""Vector environments whose spaces a test chooses, and whose observations are sampled."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import numpy as np

from recsim import spaces as spaces_lib
from recsim.vector import env as vector_env
from recsim.vector import scenario

__all__ = ["make"]


@dataclasses.dataclass
class Users:
    """Users, by their steps."""

    steps: np.ndarray  # (n_users,)


@dataclasses.dataclass
class Documents:
    """Documents, by their numbers."""

    number: np.ndarray  # (n_users, n_docs)


class Sampler(scenario.VectorDocumentSampler):
    """Samples documents whose observations are sampled from a space."""

    def __init__(self, space: Any) -> None:
        self.space = space

    def sample(self, stream: Any, num_documents: int) -> Documents:
        return Documents(stream.uniform(num_documents))

    def observe(self, documents: Documents) -> Any:
        return _sampled(self.space, len(documents.number))

    def observation_space(self, num_documents: int) -> Any:
        return self.space


class Model(scenario.VectorUserModel):
    """Users whose observations and responses are sampled, and whose episodes take two steps."""

    def __init__(self, slate_size: int, user_space: Any, response_space: Any) -> None:
        super().__init__(slate_size)
        self.spaces = user_space, response_space

    def user_space(self) -> Any:
        return self.spaces[0]

    def response_space(self) -> Any:
        return self.spaces[1]

    def sample_users(self, stream: Any) -> Users:
        return Users(np.zeros(stream.num_users, np.int32))

    def observe_users(self, users: Users) -> Any:
        return _sampled(self.spaces[0], len(users.steps))

    def choose(self, users: Users, documents: Documents, stream: Any) -> Any:
        return np.zeros(len(users.steps), np.int64)

    def respond(self, users: Users, documents: Documents, choice: Any, stream: Any) -> Any:
        return Documents(documents.number)

    def observe_responses(self, responses: Documents) -> Any:
        return _sampled(self.spaces[1], len(responses.number))

    def update(self, users: Users, documents: Any, choice: Any, responses: Any, stream: Any) -> Any:
        return Users(users.steps + 1)

    def is_done(self, users: Users) -> np.ndarray:
        return users.steps >= 2


def _sampled(space: Any, number: int) -> Any:
    return _stacked(space, [space.sample() for _ in range(number)])


def _stacked(space: Any, items: list[Any]) -> Any:
    if isinstance(space, (gymnasium.spaces.Dict, gymnasium.spaces.Tuple)):
        parts = {
            key: _stacked(entry, [item[key] for item in items])
            for key, entry in spaces_lib.children(space)
        }
        return parts if isinstance(space, gymnasium.spaces.Dict) else tuple(parts.values())
    return np.array(items, space.dtype)


def make(user: Any, documents: Any, responses: Any) -> Any:
    """Returns an environment of two users whose observations are sampled from their spaces."""
    return vector_env.RecSimVectorEnv(
        Model(2, user, responses),
        Sampler(documents),
        num_candidates=3,
        slate_size=2,
        num_envs=2,
        reward_aggregator=lambda responses: np.zeros(len(responses.number)),
        dtype=np.float64,
    )
