"""A scenario whose spaces, observations, rewards and IDs a test chooses."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recsim import document, user
from recsim.simulator import environment, recsim_gym

__all__ = ["Scenario", "clicks"]


class _Document(document.AbstractDocument):
    def __init__(self, doc_id: Any, features: Any) -> None:
        super().__init__(doc_id)
        self.features = features

    def create_observation(self) -> Any:
        return self.features

    @classmethod
    def observation_space(cls) -> Any:
        raise NotImplementedError


class _DocumentSampler(document.AbstractDocumentSampler):
    """Samples documents with the given observations and IDs, again and again."""

    def __init__(self, doc_ctor: Any, observations: Sequence[Any], ids: Any) -> None:
        super().__init__(doc_ctor, seed=0)
        self._observations = observations
        self._ids = ids
        self._count = 0

    def reset_sampler(self) -> None:
        super().reset_sampler()
        self._count = 0

    def sample_document(self) -> Any:
        number = self._count
        self._count += 1
        features = self._observations[number % len(self._observations)]
        doc_id = number if self._ids is None else self._ids[number % len(self._ids)]
        return self._doc_ctor(doc_id, features)


class _UserState(user.AbstractUserState):
    def __init__(self, observations: Sequence[Any]) -> None:
        self.observations = itertools.cycle(observations)
        self.seen = next(self.observations)

    def create_observation(self) -> Any:
        return self.seen

    @staticmethod
    def observation_space() -> Any:
        raise NotImplementedError

    def score_document(self, doc_obs: Any) -> float:
        return 1.0


class _UserSampler(user.AbstractUserSampler):
    def __init__(self, observations: Sequence[Any]) -> None:
        super().__init__(_UserState, seed=0)
        self._observations = observations

    def sample_user(self) -> Any:
        return self._user_ctor(self._observations)


class _Response(user.AbstractResponse):
    def __init__(self, observation: Any) -> None:
        self.observation = observation

    def create_observation(self) -> Any:
        return self.observation

    @classmethod
    def response_space(cls) -> Any:
        raise NotImplementedError


class _UserModel(user.AbstractUserModel):
    def __init__(self, responses: Sequence[Any], response_ctor: Any, users: Any, size: int) -> None:
        super().__init__(response_ctor, users, size)
        self._responses = itertools.cycle(responses)
        self._steps = 0

    def is_terminal(self) -> bool:
        return self._steps >= 5

    def reset(self) -> None:
        super().reset()
        self._steps = 0

    def simulate_response(self, documents: Sequence[Any]) -> list[Any]:
        return [self._response_model_ctor(next(self._responses)) for _ in documents]

    def update_state(self, slate_documents: Any, responses: Any) -> None:
        self._steps += 1
        self._user_state.seen = next(self._user_state.observations)


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

    def make(self, num_candidates: int = 4, slate_size: int = 2) -> recsim_gym.RecSimGymEnv:
        """Makes the environment."""
        document_class = self._with_space(_Document, "observation_space", self.document_space)
        state_class = self._with_space(_UserState, "observation_space", self.user_space)
        response_class = self._with_space(_Response, "response_space", self.response_space)
        users = _UserSampler(self.users)
        users._user_ctor = state_class
        model = _UserModel(self.responses, response_class, users, slate_size)
        sampler = _DocumentSampler(document_class, self.documents, self.ids)
        world = environment.SingleUserEnvironment(model, sampler, num_candidates, slate_size, True)
        return recsim_gym.RecSimGymEnv(world, self.reward)

    @staticmethod
    def _with_space(base: type, method: str, space: Any) -> type:
        return type(base.__name__, (base,), {method: classmethod(lambda cls: space)})


def clicks(responses: Sequence[Any]) -> float:
    """Returns how many documents were clicked."""
    return float(sum(np.sum(response.observation["click"]) for response in responses))
