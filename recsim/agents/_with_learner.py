"""What agents have in common that act by a learner: those of one user, and of both engines."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from recsim import agent, seeding, types
from recsim._internal import bindings, bundles, keys, numbers, validation
from recsim.agents import _learner, adapters
from recsim.vector import agent as vector_agent

__all__ = ["SingleUserAgentWithLearner", "VectorAgentWithLearner", "settings_of"]

# What a subclass gives the agents that it is derived from.
_OF_SUBCLASSES = {"method", "objective"}
# What single-user agents take, and is not for agents of users in parallel to be given.
_OF_SINGLE_USERS = {*_OF_SUBCLASSES, "action_space", "eval_mode", "observation_space"}

_L = TypeVar("_L", bound=_learner.Learner[Any])
_Last = TypeVar("_Last")


class WithLearner(Generic[_L, _Last]):
    """An agent that acts by what a learner has learned, and remembers its last slates in training.

    Its ``_method`` has the settings of its subclass, by name, which serving needs too.
    """

    _adapter: adapters.ObservationAdapter
    _learner: _L
    _eval_mode: bool
    _greedy_eval: bool
    _method: dict[str, Any]
    _last: _Last | None
    _summary_writer: types.SummaryWriter | None

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

    @property
    def _is_greedy(self) -> bool:
        return self._eval_mode and self._greedy_eval

    def _serving_settings(self) -> dict[str, Any]:
        settings = self._learner.settings
        return {
            **self._method,
            "greedy_eval": self._greedy_eval,
            "hidden_units": settings.hidden_units,
            "item_units": settings.item_units,
            "recurrent_units": settings.recurrent_units,
        }


class SingleUserAgentWithLearner(
    WithLearner[_L, _Last], agent.AbstractEpisodicRecommenderAgent, Generic[_L, _Last]
):
    """Such an agent of one user, which can be served. A subclass calls :meth:`_set_up`."""

    _num_candidates: int

    def _set_up(
        self,
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        *,
        eval_mode: bool,
        greedy_eval: bool,
        seed: int | None,
    ) -> None:
        """Sets what all have but the learner."""
        self._adapter = adapters.ObservationAdapter(observation_space, takes_masks=True)
        number = self._adapter.num_candidates
        self._num_candidates = adapters.checked_num_candidates(action_space, number)
        self._eval_mode = validation.flag("eval_mode", eval_mode)
        self._greedy_eval = validation.flag("greedy_eval", greedy_eval)
        self._exploration_rng = seeding.named_random_state(seed, "exploration")
        self._method = {}
        self._last = None
        self._keep_space(observation_space)

    # How the agent takes part in an episode.

    def begin_episode(  # type: ignore[override]  # RecSim's needs the observation.
        self, observation: agent.Observation
    ) -> agent.Slate:
        """Starts an episode and returns its first slate."""
        self._episode_num += 1
        state = self._features(observation)
        if self._last is not None:
            self._leave_episode()
        return self._recommend(*state)

    def step(self, reward: float, observation: agent.Observation) -> agent.Slate:
        """Takes in the last transition, learns, and returns the next slate.

        Args:
            reward: the reward of the last slate.
            observation: the newest observation.

        Returns:
            ``slate_size`` indices into ``observation['doc']``.

        Raises:
            RuntimeError: if an episode that is to be learned from was not begun.
            ValueError: if the reward or the observation is not finite.
            FloatingPointError: if the networks' numbers are no longer finite.
        """
        state = self._features(observation)
        if self._eval_mode:
            return self._recommend(*state)
        last, reward = self._begun(), numbers.finite_float32("reward", reward)
        return self._next_slate(last, reward, observation, state)

    def end_episode(  # type: ignore[override]  # RecSim's needs the observation.
        self, reward: float, observation: agent.Observation, *, truncated: bool = False
    ) -> None:
        """Takes in the last transition of an episode.

        Args:
            reward: the reward of the last slate.
            observation: the last observation.
            truncated: whether the episode was only truncated, so that the last observation has a
                value, which counts.
        """
        if self._eval_mode:
            return
        state = self._features(observation)
        last, reward = self._begun(), numbers.finite_float32("reward", reward)
        self._end(last, reward, observation, state, truncated=truncated)
        self._last = None

    def _begun(self) -> _Last:
        if self._last is None:
            raise RuntimeError(
                "An episode was not begun: call begin_episode(observation) for its first slate."
            )
        return self._last

    def _features(self, observation: agent.Observation) -> adapters.State:
        user, documents = self._adapter.features(observation)
        number = len(documents)
        if number != self._num_candidates and not (self._eval_mode and number >= self._slate_size):
            raise ValueError(
                f"observation['doc'] must hold {self._num_candidates} documents, as the action "
                f"space that the agent was made for, got {number}."
            )
        return user, documents

    @abc.abstractmethod
    def _recommend(self, user: np.ndarray, documents: np.ndarray) -> agent.Slate:
        """Returns a slate, and remembers it in training."""

    @abc.abstractmethod
    def _next_slate(
        self, last: _Last, reward: float, observation: agent.Observation, state: adapters.State
    ) -> agent.Slate:
        """Learns from the last slate, in training, and returns the next one.

        Args:
            last: what is remembered of the last slate.
            reward: its reward.
            observation: the newest observation.
            state: the features of that.
        """

    @abc.abstractmethod
    def _end(
        self,
        last: _Last,
        reward: float,
        observation: agent.Observation,
        state: adapters.State,
        *,
        truncated: bool,
    ) -> None:
        """Learns from the last slate of an episode; arguments as in :meth:`_next_slate`."""

    def _leave_episode(self) -> None:
        """Forgets the last slate of an episode that nobody ended."""
        self._last = None

    # Serving.

    def serving(self) -> agent.Serving:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.serving`."""
        return dataclasses.replace(
            super().serving(),
            settings=self._serving_settings(),
            response_fields=(),
            any_slate_size=True,
            any_number_of_items=True,
        )

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
        self._learner.check_last(self, last, ())
        super().load_state_dict(state)
        self._learner.restore(state, for_training=training)
        self._last = last

    def fingerprint_attributes(self) -> dict[str, Any]:
        """Returns what tells the agent from others, see :mod:`recsim.simulator.fingerprint`."""
        own = {name: value for name, value in vars(self).items() if name != "_learner"}
        return {**self._learner.fingerprint_attributes(), **self._method, **own}


def settings_of(kind: type, keywords: Mapping[str, object]) -> dict[str, Any]:
    """Returns keyword arguments of an agent's class; TypeError for one that it does not take."""
    keys.refuse_unknown(kind.__name__, keywords, keys.parameters_of(kind) - _OF_SUBCLASSES)
    return dict(keywords)


class VectorAgentWithLearner(
    WithLearner[_L, _Last], vector_agent.ChunkedVectorAgent, Generic[_L, _Last]
):
    """Such an agent of users in parallel.

    Args:
        environment: the environment to recommend in.
        eval_mode: whether the agent only recommends: it then stores and learns nothing.
        summary_writer: where statistics for TensorBoard go, or None.
        **kwargs: arguments of the single-user agent. Steps are those of single users.

    Gin's bindings of the single-user agent count here too; an argument takes precedence.

    Raises:
        TypeError, ValueError: for arguments or spaces that give no agent.
        MemoryError: if there is no memory for what it learns from.
    """

    #: The single-user agent, whose gin bindings count and whose bundles are taken.
    single_user_class: ClassVar[type[SingleUserAgentWithLearner[Any, Any]]]
    #: What its learner is told.
    settings_class: ClassVar[type[_learner.Settings]]
    #: Whether it does not explore in evaluation where nothing is said.
    greedy_by_default: ClassVar[bool]
    #: The dtype of the random numbers that it explores with.
    exploration_dtype: ClassVar[type[np.floating[Any]]]
    #: Names of the entries of the learner's state that only mean something for the same users.
    entries_of_users: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        environment: vector_agent.UsersAndSpaces,
        *,
        eval_mode: bool | None = None,
        summary_writer: types.SummaryWriter | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(environment)
        arguments = self._arguments(kwargs)
        of_gin = arguments.pop("eval_mode", False)
        self._eval_mode = validation.flag("eval_mode", of_gin if eval_mode is None else eval_mode)
        of_gin = arguments.pop("summary_writer", None)
        self._summary_writer = of_gin if summary_writer is None else summary_writer
        greedy_eval = arguments.pop("greedy_eval", self.greedy_by_default)
        self._greedy_eval = validation.flag("greedy_eval", greedy_eval)
        fields = {field.name for field in dataclasses.fields(self.settings_class)}
        given = {name: arguments.pop(name) for name in fields & set(arguments)}
        self._method = arguments

        space = self._single_user_space()
        self._adapter = adapters.ObservationAdapter(space, takes_masks=True)
        adapters.checked_num_candidates(self._made_for[1], self._adapter.num_candidates)
        self._learner = self._new_learner(given)
        if not self._eval_mode:
            self._learner.prepare()
        seed = self._learner.settings.seed
        self._make_streams(seed, "exploration", self.exploration_dtype)
        # What a single-user agent explores with that takes the bundle.
        self._exploration_rng_state = seeding.generator_state(
            seeding.named_random_state(seed, "exploration")
        )
        self._last = None

    def _arguments(self, given: Mapping[str, object]) -> dict[str, Any]:
        """Returns the arguments given, and gin's of the rest; TypeError for one not known."""
        single = self.single_user_class
        known = keys.parameters_of(single) - _OF_SINGLE_USERS
        keys.refuse_unknown(type(self).__name__, given, known, ("eval_mode",))
        not_given = (known | {"eval_mode"}) - set(given)
        return {**bindings.taken(single, sorted(not_given)), **given}

    @abc.abstractmethod
    def _new_learner(self, settings: Mapping[str, Any]) -> _L:
        """Returns the learner of settings, of those in ``settings_class``, and ``self._method``."""

    # How the agent takes part in episodes.

    def begin(self, observation: vector_agent.Observation) -> np.ndarray:
        """Begins an episode with every user and returns the first slates."""
        self._check_users(observation)
        if self._last is not None:
            self._leave_episodes()
        return self._recommend(observation)

    def step(
        self,
        observation: vector_agent.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: types.Infos,
    ) -> np.ndarray:
        """Takes in the last transitions, learns, and returns the next slates.

        Where an episode was truncated, its last observation has a value, which counts.

        Raises:
            RuntimeError: if episodes that are to be learned from were not begun.
            ValueError: if a reward or an observation is not finite.
            FloatingPointError: if the networks' numbers are no longer finite.
        """
        self._check_users(observation)
        outcome = self._checked_outcome(rewards, terminated, truncated)
        if self._eval_mode:
            return self._recommend(observation)
        self._check_transitions(*outcome, infos)
        return self._next_slates(observation, *outcome, infos)

    def _check_transitions(
        self, rewards: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, infos: types.Infos
    ) -> None:
        """Raises ValueError for what cannot be learned from."""
        self._check_infos(infos, terminated | truncated)
        numbers.finite_per_user("rewards", rewards, self._num_envs, single_precision=True)

    @abc.abstractmethod
    def _recommend(self, observation: types.Observation) -> np.ndarray:
        """Returns slates, and remembers them in training."""

    @abc.abstractmethod
    def _next_slates(
        self,
        observation: types.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: types.Infos,
    ) -> np.ndarray:
        """Learns from the last slates, in training, and returns the next ones."""

    def _leave_episodes(self) -> None:
        """Forgets the last slates of episodes that nobody ended."""
        self._last = None

    def _begun(self) -> _Last:
        if self._last is None:
            raise RuntimeError(
                "Episodes were not begun: call begin(observation) for their first slates."
            )
        return self._last

    def single_user_agent(self) -> SingleUserAgentWithLearner[_L, _Last]:
        """See :meth:`recsim.vector.agent.AbstractVectorAgent.single_user_agent`."""
        create: Any = self.single_user_class
        spaces = self._single_user_space(), self._made_for[1]
        single: SingleUserAgentWithLearner[_L, _Last] = create(
            *spaces, eval_mode=True, **self._serving_settings()
        )
        single.load_state_dict(self.serving_bundle())
        return single

    # State.

    def serving_bundle(self) -> dict[str, Any]:
        """Returns what recommending needs, which single-user agents in evaluation take too."""
        of_single_user = {
            "episode_num": 0,
            "exploration_rng_state": self._exploration_rng_state,
        }
        return {**of_single_user, **self._learner.serving_state()}

    def state_dict(self) -> types.State:
        """Returns all that the agent has learned and will resume with."""
        state, learned = super().state_dict(), self._learner.state_dict()
        for name in self.entries_of_users:
            state["users"][name] = learned.pop(name)
        # A single-user agent in evaluation takes it, too.
        return {**self.serving_bundle(), **learned, "last": None, **state}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the agent.

        States for any users fit: what is only there for the same users, such as exploration, begins
        anew for others. In evaluation those of single-user agents fit too.

        Raises:
            ValueError: if the state is of another agent, or an entry is not as it was made. The
                agent is as it was then.
        """
        bundles.require(self, state, "description")
        training = not self._eval_mode
        self._learner.check_kind(state, for_training=training)
        exploration = state.get("exploration_rng_state", self._exploration_rng_state)
        bundles.generator_state(self, "exploration_rng_state", exploration, with_normal=True)
        same_users = "users" in state and self._check_state_of_users(state["users"])
        of_users = {
            name: state["users"][name] if same_users else None for name in self.entries_of_users
        }
        learned = {**state, **of_users}
        self._learner.check(learned, for_training=training)
        self._exploration_rng_state = exploration
        self._learner.restore(learned, for_training=training)
        if "users" in state:
            self._load_state_of_users(state["users"])
        else:
            self._begin_anew()

    def _memory(self) -> types.State:
        return {"last": self._last}

    def _check_memory(self, memory: Mapping[str, Any]) -> None:
        bundles.entries(self, "users", memory, "last", *self.entries_of_users)
        if not self._eval_mode:
            self._learner.check_last(self, memory["last"], (self._num_envs,))

    def _load_memory(self, memory: Mapping[str, Any] | None) -> None:
        self._last = None if memory is None or self._eval_mode else memory["last"]
