"""What agents have in common that act by a learner: those of one user, and of both engines."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Set
from typing import Any, Generic, Protocol, TypeVar

from recsim import agent, types
from recsim._internal import bindings, bundles, keys
from recsim.agents.dopamine import adapters

__all__ = ["SingleUserAgentWithLearner", "WithLearner", "arguments_of"]


class _Learner(Protocol):
    training_steps: int
    num_updates: int

    def serving_state(self) -> types.State: ...

    def state_dict(self) -> types.State: ...

    def check(self, state: Mapping[str, Any], *, for_training: bool) -> None: ...

    def restore(self, state: Mapping[str, Any], *, for_training: bool) -> None: ...


_L = TypeVar("_L", bound=_Learner)
_Last = TypeVar("_Last")


class WithLearner(Generic[_L]):
    """An agent that acts by what a learner has learned."""

    _learner: _L
    _eval_mode: bool

    @property
    def learner(self) -> _L:
        """What learns: networks, optimizers and the steps that it learns from."""
        return self._learner

    @property
    def eval_mode(self) -> bool:
        """Whether the agent only recommends."""
        return self._eval_mode

    @property
    def training_steps(self) -> int:
        """Number of slates recommended in training so far, to all users together."""
        return self._learner.training_steps

    @property
    def num_updates(self) -> int:
        """Number of updates so far."""
        return self._learner.num_updates


class SingleUserAgentWithLearner(
    WithLearner[_L], agent.AbstractEpisodicRecommenderAgent, Generic[_L, _Last]
):
    """Such an agent of one user, which remembers its last slate in training, and is served."""

    _adapter: adapters.ObservationAdapter
    _num_candidates: int
    _last: _Last | None

    def _features(self, observation: agent.Observation) -> adapters.State:
        user, documents = self._adapter.features(observation)
        number = len(documents)
        if number != self._num_candidates and not (self._eval_mode and number >= self._slate_size):
            raise ValueError(
                f"observation['doc'] must hold {self._num_candidates} documents, as the action "
                f"space that the agent was made for, got {number}."
            )
        return user, documents

    def user_state(self) -> None:
        """Returns None: in evaluation it knows nothing of users."""

    def load_user_state(self, state: None) -> None:
        """Does nothing."""

    # State.

    def serving_bundle(self) -> dict[str, Any]:
        """Returns what recommending needs: networks and counters, but no optimizer.

        :meth:`unbundle` takes it in an agent made with ``eval_mode=True``.
        """
        return {**super().state_dict(), **self._learner.serving_state()}

    def state_dict(self) -> types.State:
        """Returns all that the agent has learned and will resume with."""
        return {**super().state_dict(), **self._learner.state_dict(), "last": self._last}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the agent.

        Raises:
            ValueError: if the state is of another agent, or an entry is not as it was made. The
                agent is as it was then.
        """
        bundles.require(self, state, "description")
        training = not self._eval_mode
        self._learner.check(state, for_training=training)
        last = state.get("last") if training else None
        self._check_last(last)
        super().load_state_dict(state)
        self._learner.restore(state, for_training=training)
        self._last = last

    @abc.abstractmethod
    def _check_last(self, last: object) -> None:
        """Raises ValueError for something else than what is remembered of a slate, or None."""


def arguments_of(
    kind: type, single_user_class: type, keywords: Mapping[str, object], not_taken: Set[str]
) -> dict[str, Any]:
    """Returns the arguments of an agent of users in parallel: those given, and gin's of the rest.

    Args:
        kind: its class, which errors name.
        single_user_class: the class of one user, whose arguments it takes.
        keywords: the arguments given.
        not_taken: names of those that only agents of one user take.

    Raises:
        TypeError: for an argument that there is none of.
    """
    known = keys.parameters_of(single_user_class) - not_taken
    keys.refuse_unknown(kind.__name__, keywords, known, ("eval_mode",))
    not_given = (known | {"eval_mode"}) - set(keywords)
    return {**bindings.taken(single_user_class, sorted(not_given)), **keywords}
