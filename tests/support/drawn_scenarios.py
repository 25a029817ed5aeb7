"""Scenarios whose spaces and document IDs are given, and whose observations are sampled."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from recsim import document, user
from recsim._gym import spaces as gym_spaces
from recsim.simulator import environment, recsim_gym

UNIT = gym_spaces.Box(0.0, 1.0, (2,), np.float32)
CLICK = gym_spaces.Dict({"click": gym_spaces.Discrete(2)})


def count_up() -> Iterator[int]:
    """Yields 0, 1, 2, …."""
    number = 0
    while True:
        yield number
        number += 1


def make(
    user_space: Any = UNIT,
    document_space: Any = UNIT,
    response_space: Any = CLICK,
    *,
    ids: Callable[[], Iterator[Hashable]] = count_up,
    num_candidates: int = 4,
    slate_size: int = 2,
    session_length: int = 3,
    num_users: int | None = None,
    reward: Callable[[Any], Any] = len,
    resample_documents: bool = True,
    sample: Callable[[Any], Any] = lambda space: space.sample(),
) -> recsim_gym.RecSimGymEnv:
    """Returns an environment of RecSim's kind.

    Args:
        user_space: space of the user's observations.
        document_space: space of a document's observations.
        response_space: space of a response.
        ids: function that returns an iterator over the IDs of the documents.
        num_candidates: number of candidates.
        slate_size: number of documents in a slate.
        session_length: number of steps of a session.
        num_users: number of users of a MultiUserEnvironment; None for a SingleUserEnvironment.
        reward: function of the responses.
        resample_documents: whether each step has new candidates.
        sample: function of a space that returns an observation.
    """

    class Document(document.AbstractDocument):
        def __init__(self, doc_id: Hashable) -> None:
            super().__init__(doc_id)
            self.features = sample(document_space)

        def create_observation(self) -> Any:
            return self.features

        @staticmethod
        def observation_space() -> Any:
            return document_space

    class Sampler(document.AbstractDocumentSampler):
        def reset_sampler(self) -> None:
            super().reset_sampler()
            self.ids = ids()

        def sample_document(self) -> Document:
            return Document(next(self.ids))

    class Response(user.AbstractResponse):
        @staticmethod
        def response_space() -> Any:
            return response_space

        def create_observation(self) -> Any:
            return sample(response_space)

    class State(user.AbstractUserState):
        steps = 0

        def create_observation(self) -> Any:
            return sample(user_space)

        @staticmethod
        def observation_space() -> Any:
            return user_space

        def score_document(self, doc_obs: Any) -> float:
            return 1.0

    class Users(user.AbstractUserSampler):
        def sample_user(self) -> State:
            return State()

    class Model(user.AbstractUserModel):
        def simulate_response(self, documents: Sequence[Any]) -> list[Response]:
            return [Response() for _ in documents]

        def update_state(self, documents: Sequence[Any], responses: Sequence[Any]) -> None:
            self._user_state.steps += 1

        def is_terminal(self) -> bool:
            return self._user_state.steps >= session_length

    models = [Model(Response, Users(State), slate_size) for _ in range(num_users or 1)]
    arguments = (Sampler(Document), num_candidates, slate_size, resample_documents)
    if num_users is None:
        world = environment.SingleUserEnvironment(models[0], *arguments)
    else:
        world = environment.MultiUserEnvironment(models, *arguments)
    return recsim_gym.RecSimGymEnv(world, reward)
