"""Layers that add statistics of an episode's observations to what their base agents see."""

from __future__ import annotations

import abc
import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from recsim import agent, types
from recsim import spaces as spaces_lib
from recsim._internal import bundles, observations, validation
from recsim._internal.gym_import import spaces
from recsim.agents import agent_utils
from recsim.vector import agent as vector_agent

__all__ = ["SufficientStatisticsLayer", "VectorSufficientStatisticsLayer"]


class SufficientStatisticsLayer(agent.AbstractHierarchicalAgentLayer):
    """Keeps statistics of the observations of an episode and shows them to a base agent.

    The base agent sees ``{'raw_observation': …, 'sufficient_statistics': …}`` in the place of the
    observation of the user. A subclass says what the statistics are (:meth:`_update`) and how
    they are shown (:meth:`_create_observation`); they are None before an episode's first
    observation.

    Args:
        base_agent_ctor: constructor of the base agent, which gets ``observation_space`` (if it
            takes one), ``action_space`` and the further arguments.
        observation_space: space of the observations.
        action_space: the ``MultiDiscrete`` space of slates.
        sufficient_statistics_space: space of the statistics as they are shown, of Gym or Gymnasium.
        **kwargs: further arguments for the base agent.
    """

    def __init__(
        self,
        base_agent_ctor: Callable[..., Any],
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        sufficient_statistics_space: types.Space,
        **kwargs: Any,
    ) -> None:
        super().__init__(action_space, base_agent_ctor)
        if not isinstance(sufficient_statistics_space, spaces.Space):
            sufficient_statistics_space = spaces_lib.to_gym(sufficient_statistics_space)
        # RecSim's name, letter for letter.
        self._sufficient_statistcs_space = sufficient_statistics_space
        self._sufficient_statistics: Any = None
        self._observation_space = observation_space
        parts: Mapping[str, Any] = observation_space.spaces
        user_space = spaces.Dict(
            {
                "raw_observation": parts["user"],
                "sufficient_statistics": sufficient_statistics_space,
            }
        )
        self._base_observation_space = spaces.Dict({**parts, "user": user_space})
        self._base_agents = [
            agent_utils.build_base_agent(
                base_agent_ctor,
                {"observation_space": self._base_observation_space},
                of_layer=type(self),
                action_space=action_space,
                **kwargs,
            )
        ]

    @property
    def observation_space(self) -> types.DictSpace:
        """The space of the observations that the layer itself gets."""
        return self._observation_space

    @property
    def training_steps(self) -> int:
        """Number of training steps of the base agent, if it counts them."""
        steps: int = self._base_agents[0].training_steps
        return steps

    @abc.abstractmethod
    def _update(self, observation: agent.Observation) -> None:
        """Updates ``self._sufficient_statistics``, None at an episode's first observation."""

    @abc.abstractmethod
    def _create_observation(self) -> object:
        """Returns the statistics as the base agent sees them, in an object of their own."""

    def _preprocess_reward_observation(
        self, reward: float, observation: agent.Observation
    ) -> tuple[float, agent.Observation]:
        self._update(observation)
        return reward, self._augmented(observation)

    def _augmented(self, observation: agent.Observation) -> agent.Observation:
        """Returns an observation with the present statistics."""
        user = {
            "raw_observation": observations.entry(observation, "user"),
            "sufficient_statistics": self._create_observation(),
        }
        return {**observation, "user": user}

    def explain(self, observation: agent.Observation) -> types.Explanation | None:
        """See :meth:`recsim.types.Explains.explain`: what the base agent goes by.

        Raises:
            RuntimeError: if no episode was begun.
        """
        base_agent = self._base_agents[0]
        if not types.explains(base_agent):
            return None
        if self._sufficient_statistics is None:
            raise RuntimeError("explain tells of the last slate: call begin_episode before it.")
        return base_agent.explain(self._augmented(observation))

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities | None:
        """Returns those of the base agent, see :class:`recsim.types.KnowsPropensities`."""
        base: object = self._base_agents[0]
        if not types.knows_propensities(base):
            return None
        return base.propensities(self._augmented(observation), slate)

    def _postprocess_actions(self, action_list: list[Any]) -> agent.Slate:
        slate: agent.Slate = action_list[0]
        return slate

    def begin_episode(self, observation: agent.Observation | None = None) -> agent.Slate:
        """Forgets the statistics, also those of an episode that nobody ended, and begins anew."""
        self._reset()
        return super().begin_episode(observation)

    def step(self, reward: float, observation: agent.Observation) -> agent.Slate:
        """Updates the statistics and returns the base agent's slate."""
        reward, observation = self._preprocess_reward_observation(reward, observation)
        return self._postprocess_actions([self._base_agents[0].step(reward, observation)])

    def end_episode(
        self, reward: float, observation: agent.Observation, *, truncated: bool = False
    ) -> None:
        """Shows the base agent the last statistics, then forgets them."""
        super().end_episode(reward, observation, truncated=truncated)
        self._reset()

    def _reset(self) -> None:
        """Forgets the statistics, for a new user."""
        self._sufficient_statistics = None

    def user_state(self) -> types.State:
        """Returns the statistics too, see ``AbstractHierarchicalAgentLayer``."""
        return {**super().user_state(), "sufficient_statistics": self._sufficient_statistics}

    def load_user_state(self, state: types.State) -> None:
        """Restores what :meth:`user_state` returned."""
        self._load_user_state(state, copy.deepcopy)

    def _load_user_state(self, state: types.State, copied: Callable[[Any], Any]) -> None:
        super().load_user_state(state)
        self._sufficient_statistics = copied(state["sufficient_statistics"])

    def state_dict(self) -> types.State:
        """Returns the base agent's state and the statistics of the episode under way."""
        statistics = copy.deepcopy(self._sufficient_statistics)
        return {**super().state_dict(), "sufficient_statistics": statistics}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the base agent and the statistics.

        Raises:
            ValueError: if the statistics do not fit, or the base agent refuses its state.
        """
        statistics = None
        if isinstance(state, Mapping):
            statistics = state.get("sufficient_statistics")
        if statistics is not None:
            self._check_statistics(statistics)
        super().load_state_dict(state)
        self._sufficient_statistics = copy.deepcopy(statistics)

    def _check_statistics(self, statistics: object) -> None:
        """Raises ValueError for statistics of a state that :meth:`_update` cannot continue from."""


class VectorSufficientStatisticsLayer(vector_agent.ChunkedVectorAgent):
    """Does what :class:`SufficientStatisticsLayer` does, for users in parallel.

    A subclass says what the statistics are (:meth:`_update` and :meth:`_forget`), how they are
    shown (:meth:`_create_observation`), and remembers them in a state (``_memory``). It makes its
    base agent when it is made (:meth:`_make_base_agent`).

    Args:
        environment: the environment to recommend in.
    """

    _base_agent: Any = None

    def _make_base_agent(
        self,
        base_agent_ctor: Callable[..., Any],
        environment: vector_agent.UsersAndSpaces,
        sufficient_statistics_space: types.Space,
        arguments: Mapping[str, object],
    ) -> None:
        """Makes the base agent.

        Args:
            base_agent_ctor: its constructor, a function of an environment, whose observations have
                the statistics, and of the further arguments.
            environment: the environment to recommend in.
            sufficient_statistics_space: space of one user's statistics, of gymnasium.
            arguments: the further arguments.
        """
        validation.function("base_agent_ctor", base_agent_ctor)
        seen = _SeenEnvironment(
            environment,
            _with_statistics(environment.single_observation_space, sufficient_statistics_space),
            environment.single_action_space,
            self._num_envs,
            self._first_user,
        )
        create = functools.partial(base_agent_ctor, seen)
        layer = type(self)
        self._base_agent = agent_utils.build_base_agent(create, {}, of_layer=layer, **arguments)

    @property
    def eval_mode(self) -> bool:
        """Whether the base agent only recommends."""
        return bool(getattr(self._base_agent, "eval_mode", False))

    @property
    def training_steps(self) -> int:
        """Number of training steps of the base agent, if it counts them."""
        steps: int = self._base_agent.training_steps
        return steps

    @property
    def _base_agents(self) -> list[Any]:
        return [self._base_agent]

    @abc.abstractmethod
    def _update(self, responses: Mapping[str, Any]) -> None:
        """Updates the statistics by the responses to the last slates."""

    @abc.abstractmethod
    def _forget(self, ended: np.ndarray | slice) -> None:
        """Forgets the statistics of users, for new ones."""

    @abc.abstractmethod
    def _create_observation(self) -> object:
        """Returns the statistics as the base agent sees them, in objects of their own."""

    def _recommended(self, observation: types.Observation, slates: np.ndarray) -> None:
        """Takes in the slates that the base agent recommends."""

    def begin(self, observation: types.Observation) -> np.ndarray:
        """Forgets the statistics and begins an episode with every user."""
        self._check_users(observation)
        self._forget(slice(None))
        slates: np.ndarray = self._base_agent.begin(self._augmented(observation))
        self._recommended(observation, slates)
        return slates

    def step(
        self,
        observation: types.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: Mapping[str, Any],
    ) -> np.ndarray:
        """Updates the statistics and returns the base agent's slates."""
        self._check_users(observation)
        rewards, terminated, truncated = self._checked_outcome(rewards, terminated, truncated)
        self._check_infos(infos, terminated | truncated)
        self._update(vector_agent.last_responses(observation, infos))
        if "final_obs" in infos:
            from recsim.vector import env  # Which takes Gymnasium, as whoever made the infos does.

            ended = terminated | truncated
            final = self._augmented(infos["final_obs"].batch)
            infos = {**infos, "final_obs": env.FinalObservations(final, ended)}
            self._forget(ended)
        slates: np.ndarray = self._base_agent.step(
            self._augmented(observation), rewards, terminated, truncated, infos
        )
        self._recommended(observation, slates)
        return slates

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities | None:
        """Returns those of the base agent, see :class:`recsim.types.KnowsPropensities`."""
        base: object = self._base_agent
        if not types.knows_propensities(base):
            return None
        return base.propensities(self._augmented(observation), slate)

    def _augmented(self, observation: types.Observation) -> types.Observation:
        user = {
            "raw_observation": observation["user"],
            "sufficient_statistics": self._create_observation(),
        }
        return {**observation, "user": user}

    def _create_single_user_base(self, **_: object) -> types.SlateAgent:
        """Returns the base agent of this layer's single-user agent."""
        base_agent: types.SlateAgent = self._base_agent.single_user_agent()
        return base_agent

    def state_dict(self) -> types.State:
        """Returns the base agent's state and the statistics of the episodes under way."""
        return {**super().state_dict(), "base_agent_bundle": bundles.state_of(self._base_agent)}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the base agent, and the statistics if they are of the same users.

        Raises:
            ValueError: if the state is of another agent, or the base agent refuses its own.
        """
        bundles.require(self, state, "users", "base_agent_bundle")
        self._check_state_of_users(state["users"])
        bundles.load(self._base_agent, state["base_agent_bundle"])
        self._load_state_of_users(state["users"])


@dataclasses.dataclass
class _SeenEnvironment:
    """What a base agent is told of the environment."""

    environment: vector_agent.UsersAndSpaces
    single_observation_space: types.DictSpace
    single_action_space: types.SlateSpace
    num_envs: int
    first_user: int

    @property
    def unwrapped(self) -> _SeenEnvironment:
        """The environment itself."""
        return self


def _with_statistics(
    observation_space: types.DictSpace, statistics: types.Space
) -> types.DictSpace:
    """Returns the space of a user's observations with the statistics, one of gymnasium."""
    from gymnasium import spaces as gymnasium_spaces

    parts: Mapping[str, Any] = observation_space.spaces
    user: dict[str, Any] = {
        "raw_observation": parts["user"],
        "sufficient_statistics": statistics,
    }
    return gymnasium_spaces.Dict({**parts, "user": gymnasium_spaces.Dict(user)})
