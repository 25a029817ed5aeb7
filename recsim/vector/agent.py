"""Abstract classes of vector agents: recommenders of users in parallel."""

from __future__ import annotations

import abc
import logging
from collections.abc import Iterable, Mapping, Set
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike

from recsim import spaces as spaces_lib
from recsim import types
from recsim._internal import arrays, bundles, numbers, observations, paths, trees
from recsim.vector import streams

__all__ = [
    "AbstractVectorAgent",
    "ChunkedVectorAgent",
    "LearnsElsewhere",
    "RolloutPolicy",
    "UsersAndSpaces",
    "last_responses",
]

_logger = logging.getLogger(__name__)

Observation = types.Observation

last_responses = observations.last_responses


class UsersAndSpaces(Protocol):
    """What a vector agent is told of its environment."""

    @property
    def num_envs(self) -> int:
        """Number of users."""

    @property
    def single_action_space(self) -> types.SlateSpace:
        """The space of one user's slates."""

    @property
    def single_observation_space(self) -> types.DictSpace:
        """The space of one user's observations."""

    @property
    def unwrapped(self) -> object:
        """The environment without wrappers, which may have a number ``first_user``."""


class RolloutPolicy(Protocol):
    """Chooses slates where users are simulated: it can be pickled, and keeps nothing."""

    def slates(self, observation: types.Observation, instruction: object) -> np.ndarray:
        """Returns slates for the users of a chunk.

        Args:
            observation: theirs.
            instruction: what :meth:`LearnsElsewhere.instructions` returned for them.
        """


@runtime_checkable
class LearnsElsewhere(Protocol):
    """A vector agent whose slates can be chosen where the users are simulated.

    See :mod:`recsim.vector.rollouts`. A step of it is :meth:`learn` and then :meth:`recommend`;
    or else :meth:`learn`, :meth:`instructions`, by which a policy chooses the slates elsewhere,
    and :meth:`recommended`.
    """

    @property
    def takes_stale_slates(self) -> bool:
        """Whether it learns from slates that were chosen by what it had learned before.

        It is then asked for instructions for more than one step at a time, and ahead of what it
        has learned from; otherwise for those of the next step alone.
        """

    def rollout_policy(self) -> RolloutPolicy:
        """Returns what chooses slates."""

    def instructions(self, num_steps: int, steps_ahead: int) -> list[list[object]]:
        """Returns what the slates of the next steps are chosen by; each is asked for once.

        Args:
            num_steps: for how many steps.
            steps_ahead: how many steps the agent has not learned from which come before.

        Returns:
            For each chunk of users a list, with an entry for each step, which can be pickled.
        """

    def recommended(self, observation: types.Observation, slates: np.ndarray) -> None:
        """Takes in the slates that were chosen for what was observed."""

    def learn(
        self,
        observation: types.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: types.Infos,
    ) -> None:
        """Takes in what the environment's ``step`` returned, and recommends nothing."""

    def recommend(self, observation: types.Observation) -> np.ndarray:
        """Returns slates for what was learned from last."""


class AbstractVectorAgent(bundles.SavedAsBundle, abc.ABC):
    """A recommender of users in parallel: maps observations and rewards to slates.

    Args:
        environment: the environment to recommend in: its spaces and its number of users count.

    Raises:
        TypeError: if it is not a vector environment whose actions are slates.
    """

    #: See :attr:`recsim.agent.AbstractRecommenderAgent.state_settings`.
    state_settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, environment: UsersAndSpaces) -> None:
        space = getattr(environment, "single_action_space", None)
        nvec = getattr(space, "nvec", None)
        if nvec is None or np.ndim(nvec) != 1:
            raise TypeError(
                "environment must be a vector environment whose single_action_space is a "
                f"MultiDiscrete space of slates, as it is with action='slate', got {environment!r}."
            )
        of_entries: Any = environment.single_observation_space
        if not {"doc", "response"} <= set(getattr(of_entries, "spaces", ())):
            raise TypeError(
                "environment must be a vector environment whose single_observation_space is a Dict "
                "space with 'doc' and 'response', as it is with observation='nested', got "
                f"{numbers.described(of_entries)}."
            )
        # The spaces of one user's observations and slates.
        self._made_for = environment.single_observation_space, environment.single_action_space
        self._slate_size = len(nvec)
        self._num_candidates = int(nvec[0])
        self._num_envs: int = environment.num_envs
        self._document_keys = frozenset(_keys(environment.single_observation_space["doc"]))
        #: Number of the first user, which an agent's random numbers go by.
        self._first_user: int = getattr(environment.unwrapped, "first_user", 0)

    @property
    def uses_tensorflow(self) -> bool:
        """Whether the agent computes with TensorFlow, see :class:`recsim.parallel.Task`."""
        return False

    @property
    def num_envs(self) -> int:
        """Number of users."""
        return self._num_envs

    def begin(self, observation: Observation) -> np.ndarray:
        """Begins an episode with every user and returns the first slates.

        Args:
            observation: the observation of the environment's ``reset``, whose responses are to
                nothing.

        Returns:
            Slates as :meth:`step` returns them.
        """
        nobody = np.zeros(self._num_envs, np.bool_)
        rewards = np.zeros(self._num_envs, np.float32)
        return self.step(observation, rewards, nobody, nobody, {})

    def save(self, path: paths.Path) -> None:
        """Saves what the agent has learned to a file that serves users one by one.

        It is that of :meth:`single_user_agent`, see
        :meth:`recsim.agent.AbstractRecommenderAgent.save`, which says what it raises.

        Args:
            path: the file, whose folder is made; one that exists is replaced.
        """
        single: Any = self.single_user_agent()
        single.save(path)

    def single_user_agent(self) -> types.SlateAgent:
        """Returns an agent of the single-user engine that recommends as this one does.

        It has learned what this one has, recommends only, and knows no user yet.

        Raises:
            TypeError: if the class does not define it.
        """
        raise TypeError(
            f"{type(self).__name__} must define single_user_agent(), which returns an agent of the "
            "single-user engine that recommends as it does, to be saved."
        )

    def _single_user_space(self) -> types.DictSpace:
        """Returns the space of a user's observations in the single-user engine."""
        space: types.DictSpace = spaces_lib.single_user_space(self._made_for[0])
        return space

    def _check_users(self, observation: Observation) -> None:
        """Raises ValueError if an observation is not of the users and the scenario of the agent."""
        documents: Any = observations.entry(observation, "doc")
        if _keys(documents) != self._document_keys:
            raise ValueError(
                f"The agent was made for documents with {_named(self._document_keys)}, got an "
                f"observation whose documents have {_named(_keys(documents))}: make the agent for "
                "the environment that it recommends in."
            )
        array: Any = trees.first_leaf(documents)
        if array.shape[:2] != (self._num_envs, self._num_candidates):
            raise ValueError(
                "The agent was made for num_envs, num_candidates = "
                f"{(self._num_envs, self._num_candidates)}, got an observation whose documents "
                f"have the shape {array.shape}: make the agent for the environment that it "
                "recommends in."
            )

    def _checked_outcome(
        self, rewards: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the outcomes of the last slates: an entry for each user.

        Args:
            rewards: real finite numbers, shape (n_users,); an array of shape (n_users, 1) counts
                as its entries.
            terminated: bools of shape (n_users,).
            truncated: bools of shape (n_users,).

        Raises:
            TypeError: if they are of the wrong types.
            ValueError: if they are not of the agent's users, or a reward is not finite.
        """
        rewards = numbers.finite_per_user("rewards", rewards, self._num_envs)
        terminated = numbers.bool_per_user("terminated", terminated, self._num_envs)
        truncated = numbers.bool_per_user("truncated", truncated, self._num_envs)
        return rewards, terminated, truncated

    def _check_infos(self, infos: types.Infos, ended: np.ndarray) -> None:
        """Raises TypeError or ValueError if there are no last observations of episodes that ended.

        Args:
            infos: the environment's infos.
            ended: whose episodes ended, bools of shape (n_users,).
        """
        if not isinstance(infos, Mapping):
            raise TypeError(
                "infos must be the dictionary that the environment's step returned, got "
                f"{numbers.described(infos)}."
            )
        if "final_obs" in infos:
            self._check_users(observations.final_batch(infos))
        elif ended.any():
            raise ValueError(
                "infos must have the last observations, 'final_obs', where episodes ended, got "
                f"the keys {numbers.described(list(infos))} although {int(ended.sum())} did: pass "
                "the infos that the environment's step returned in autoreset_mode SAME_STEP, or "
                "let recsim.simulator.rollout.VectorRollout run the agent."
            )

    @abc.abstractmethod
    def step(
        self,
        observation: Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: types.Infos,
    ) -> np.ndarray:
        """Takes in what the environment's ``step`` returned, and returns the next slates.

        Where an episode ended, the observation is already that of a new user; the last one of the
        old user is in ``infos['final_obs'].batch`` (see :func:`last_responses`).

        Args:
            observation: arrays with the users on axis 0, with the keys ``user``, ``doc`` and
                ``response``.
            rewards: the rewards of the last slates, shape (n_users,).
            terminated: whose episodes ended, bools of shape (n_users,).
            truncated: whose episodes were truncated at a length limit, bools of shape (n_users,).
            infos: the environment's infos.

        Returns:
            Indices into ``observation['doc']``, integers of shape (n_users, slate_size).

        Raises:
            TypeError, ValueError: in this library's agents, if the rewards are not a real finite
                number for each user, ``terminated`` or ``truncated`` not a bool for each, or
                infos lack the last observations that the agent needs.
        """

    def state_dict(self) -> types.State:
        """Returns the agent's state between two steps as data; by default there is none.

        What it knows of the episodes under way, such as a user's clicks so far, is part of it:
        the next call may be :meth:`step`.
        """
        return {}

    def load_state_dict(self, state: types.State) -> None:
        """Restores what :meth:`state_dict` returned.

        The state of an agent that serves other users fits in as far as :meth:`begin` is called
        next, as evaluations do: what was learned is restored, and episodes under way are not.

        Raises:
            ValueError: if the state does not fit. The agent is as it was then.
        """
        del state


class ChunkedVectorAgent(AbstractVectorAgent):
    """A vector agent whose users belong to chunks, each with a random stream of its own.

    What a user gets depends on the observations, the seed and the user's number, see
    :mod:`recsim.vector.streams`. The streams, and what a subclass remembers of its users, are in
    the state under ``users``. If a state is of other users, this begins anew, with a warning, and
    only what else there is in the state is restored.

    A subclass defines :meth:`_slates_of_chunks`, or overrides :meth:`begin` and :meth:`step`. If it
    takes random numbers, it calls :meth:`_make_streams` when it is made.

    Args:
        environment: the environment to recommend in.
    """

    def __init__(self, environment: UsersAndSpaces) -> None:
        super().__init__(environment)
        self._rows = streams.chunk_rows(self._first_user, self._num_envs)
        self._streams: list[streams.ChunkStream] = []

    def _make_streams(self, seed: int | None, name: str, dtype: DTypeLike = np.float32) -> None:
        """Makes ``self._streams``, a random stream for each of ``self._rows``.

        Args:
            seed: an integer >= 0, or None for random numbers that no seed determines.
            name: what the numbers are for: those of other names are independent.
            dtype: float32 or float64.
        """
        users = self._first_user, self._num_envs
        self._streams = streams.chunk_streams(seed, name, *users, dtype)

    def step(
        self,
        observation: Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: types.Infos,
    ) -> np.ndarray:
        """See :meth:`AbstractVectorAgent.step`."""
        del infos
        self._check_users(observation)
        self._checked_outcome(rewards, terminated, truncated)
        return arrays.joined(list(self._slates_of_chunks(observation)))

    def _slates_of_chunks(self, observation: Observation) -> Iterable[np.ndarray]:
        """Returns the slates of the users of each chunk in turn.

        Args:
            observation: an observation of all users, whose documents are those of the agent.

        Returns:
            For each of ``self._rows``, integers of shape (users of the chunk, slate_size).
        """
        raise NotImplementedError

    def state_dict(self) -> types.State:
        """Returns the state of the users: of the random streams, and what is remembered."""
        users = {
            "first_user": self._first_user,
            "num_envs": self._num_envs,
            "streams": [stream.state_dict() for stream in self._streams],
        }
        return {"users": {**users, **self._memory()}}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the state of the users; begins anew, with a warning, if it is of others.

        Raises:
            ValueError: if it is not the state of such an agent. The agent is as it was then.
        """
        bundles.require(self, state, "users")
        self._check_state_of_users(state["users"])
        self._load_state_of_users(state["users"])

    def _memory(self) -> types.State:
        """Returns what is remembered of the users, by name, as data."""
        return {}

    def _check_memory(self, memory: Mapping[str, Any]) -> None:
        """Raises ValueError for something else than :meth:`_memory` returned for these users."""

    def _load_memory(self, memory: Mapping[str, Any] | None) -> None:
        """Restores what :meth:`_memory` returned for these users; forgets all for None."""

    def _check_state_of_users(self, users: object) -> bool:
        """Says whether a state's entry of the users is of this agent's, and not of others.

        Raises:
            ValueError: if it is not as such an agent's state has it.
        """
        entries = bundles.entries(self, "users", users, "first_user", "num_envs", "streams")
        for name in ("first_user", "num_envs"):
            bundles.count(self, name, entries[name])
        if not self._are_own(entries):
            return False
        streams.check(self._streams, entries["streams"])
        self._check_memory(entries)
        return True

    def _are_own(self, users: Mapping[str, Any]) -> bool:
        return (users["first_user"], users["num_envs"]) == (self._first_user, self._num_envs)

    def _load_state_of_users(self, users: Mapping[str, Any]) -> None:
        """Restores a checked entry; begins anew if it is of others, with a warning in training."""
        if self._are_own(users):
            streams.restore(self._streams, users["streams"])
            self._load_memory(users)
            return
        # An agent in evaluation meets other users than it was trained with.
        if (self._streams or self._memory()) and not getattr(self, "eval_mode", False):
            _logger.warning(
                "%s begins anew with users %d to %d: its state is restored from that of users %d "
                "to %d.",
                type(self).__name__,
                self._first_user,
                self._first_user + self._num_envs - 1,
                users["first_user"],
                users["first_user"] + users["num_envs"] - 1,
            )
        self._begin_anew()

    def _begin_anew(self) -> None:
        for stream in self._streams:
            stream.restart()
        self._load_memory(None)


def _keys(documents: object) -> Set[str]:
    """Returns the names of what is observed of documents; none where it is an array."""
    keys = getattr(documents, "keys", frozenset)
    return keys()


def _named(keys: Set[str]) -> str:
    return str(sorted(keys)) if keys else "no keys"
