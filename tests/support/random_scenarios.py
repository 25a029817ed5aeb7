"""Scenarios whose spaces, observations, rewards and IDs a test chooses."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from recsim import document, user
from recsim._internal.gym_import import spaces as gym_spaces
from recsim.simulator import environment, recsim_gym

__all__ = ["CLICK", "UNIT", "Scenario", "clicks", "make"]

UNIT = gym_spaces.Box(0.0, 1.0, (2,), np.float32)
CLICK = gym_spaces.Dict({"click": gym_spaces.Discrete(2)})


def make(
    user_space: Any = UNIT,
    document_space: Any = UNIT,
    response_space: Any = CLICK,
    *,
    users: Sequence[Any] | None = None,
    documents: Sequence[Any] | None = None,
    responses: Sequence[Any] | None = None,
    ids: Callable[[], Iterator[Hashable]] = itertools.count,
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
        users: what is observed of a user, in turn; None to sample it.
        documents: what is observed of documents, in turn; None to sample it.
        responses: what is observed of responses, in turn; None to sample it.
        ids: function that returns an iterator over the IDs of the documents.
        num_candidates: number of candidates.
        slate_size: number of documents in a slate.
        session_length: number of steps of a session.
        num_users: number of users of a MultiUserEnvironment; None for a SingleUserEnvironment.
        reward: function of the responses.
        resample_documents: whether each step has new candidates.
        sample: function of a space that returns an observation.
    """

    def observations(given: Sequence[Any] | None, space: Any) -> Iterator[Any]:
        if given is None:
            return (sample(space) for _ in itertools.count())
        return itertools.cycle(given)

    class Document(document.AbstractDocument):
        def __init__(self, doc_id: Hashable, features: Any) -> None:
            super().__init__(doc_id)
            self.features = features

        def create_observation(self) -> Any:
            return self.features

        @staticmethod
        def observation_space() -> Any:
            return document_space

    class Sampler(document.AbstractDocumentSampler):
        def reset_sampler(self) -> None:
            super().reset_sampler()
            self.ids = ids()
            self.features = observations(documents, document_space)

        def sample_document(self) -> Document:
            return Document(next(self.ids), next(self.features))

    class Response(user.AbstractResponse):
        def __init__(self, observation: Any) -> None:
            self.observation = observation

        @staticmethod
        def response_space() -> Any:
            return response_space

        def create_observation(self) -> Any:
            return self.observation

    class State(user.AbstractUserState):
        def __init__(self) -> None:
            self.steps = 0
            self.observations = observations(users, user_space)
            self.seen = next(self.observations)

        def create_observation(self) -> Any:
            return self.seen

        @staticmethod
        def observation_space() -> Any:
            return user_space

        def score_document(self, doc_obs: Any) -> float:
            return 1.0

    class Users(user.AbstractUserSampler):
        def sample_user(self) -> State:
            return State()

    class Model(user.AbstractUserModel):
        def __init__(self) -> None:
            super().__init__(Response, Users(State), slate_size)
            self.responses = observations(responses, response_space)

        def simulate_response(self, documents: Sequence[Any]) -> list[Response]:
            return [Response(next(self.responses)) for _ in documents]

        def update_state(self, documents: Sequence[Any], responses: Sequence[Any]) -> None:
            self._user_state.steps += 1
            self._user_state.seen = next(self._user_state.observations)

        def is_terminal(self) -> bool:
            return self._user_state.steps >= session_length

    models = [Model() for _ in range(num_users or 1)]
    arguments = (Sampler(Document), num_candidates, slate_size, resample_documents)
    if num_users is None:
        raw_environment = environment.SingleUserEnvironment(models[0], *arguments)
    else:
        raw_environment = environment.MultiUserEnvironment(models, *arguments)
    return recsim_gym.RecSimGymEnv(raw_environment, reward)


@dataclasses.dataclass
class Scenario:
    """What a scenario is made of.

    Attributes:
        user_space: the space of the user's observation.
        document_space: the space of a document's observation.
        response_space: the space of a response.
        users: what is observed of the user, in turn.
        documents: what is observed of documents, in turn.
        responses: what is observed of responses, in turn.
        reward: function of the responses of a step.
        ids: the documents' IDs, in turn; None for 0, 1, 2, ….
    """

    user_space: Any
    document_space: Any
    response_space: Any
    users: Sequence[Any]
    documents: Sequence[Any]
    responses: Sequence[Any]
    reward: Callable[[Any], Any] = len
    ids: Sequence[Any] | None = None

    def make(self, **options: Any) -> recsim_gym.RecSimGymEnv:
        """Makes the environment, see :func:`make`."""
        parts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        ids = parts.pop("ids")
        if ids is not None:
            options = {"ids": lambda: itertools.cycle(ids), **options}
        return make(**parts, **{"session_length": 5, **options})


def clicks(responses: Sequence[Any]) -> float:
    """Returns how many documents were clicked."""
    return float(sum(np.sum(response.observation["click"]) for response in responses))
