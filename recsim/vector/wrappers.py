"""Single-user agents and environments as vectorized ones.

They take one user at a time, and so as long as they take alone: they are for tests, and for agents
and scenarios that have no vectorized form.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from recsim import agent as single_user_agent
from recsim import seeding, types
from recsim import spaces as spaces_lib
from recsim._internal import action_masks, bundles, numbers, trees, validation
from recsim._internal.gym_import import spaces as gym_spaces
from recsim.simulator import recsim_gym, rollout
from recsim.vector import agent as vector_agent
from recsim.vector import env as vector_env

__all__ = ["SingleUserAgents", "SingleUserEnvs"]


class SingleUserAgents(vector_agent.AbstractVectorAgent):
    """Has a single-user agent of its own for each user of a vector environment.

    The agents see what they would see in the single-user environment; the keys of the documents
    are '0', '1', ….

    Args:
        create_agent: function ``(observation_space, action_space, user)`` that makes the agent of
            a user, for spaces of gym and the user's number.
        environment: the environment to recommend in.

    Raises:
        ValueError, NotImplementedError: for a space that is none of a vector environment.
    """

    def __init__(
        self,
        create_agent: Callable[[Any, Any, int], Any],
        environment: vector_agent.UsersAndSpaces,
    ) -> None:
        super().__init__(environment)
        user_space = spaces_lib.single_user_space(environment.single_observation_space)
        slate_space = gym_spaces.MultiDiscrete(environment.single_action_space.nvec)
        #: The agents, one a user.
        self.agents = [
            create_agent(user_space, slate_space, self._first_user + row)
            for row in range(self._num_envs)
        ]

    @property
    def _base_agents(self) -> list[Any]:
        return self.agents

    @property
    def uses_tensorflow(self) -> bool:
        """Whether an agent computes with TensorFlow."""
        return any(getattr(agent, "uses_tensorflow", False) for agent in self.agents)

    def begin(self, observation: vector_agent.Observation) -> np.ndarray:
        """Begins an episode with every agent and returns their slates."""
        self._check_users(observation)
        return self._joined(
            [
                agent.begin_episode(self._first_observation(observation, user))
                for user, agent in enumerate(self.agents)
            ]
        )

    def step(
        self,
        observation: vector_agent.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: Mapping[str, Any],
    ) -> np.ndarray:
        """Steps every agent; where an episode ended, ends the agent's and begins the next one.

        Raises:
            ValueError: if an agent's slate is not full.
        """
        self._check_users(observation)
        rewards, terminated, truncated = self._checked_outcome(rewards, terminated, truncated)
        self._check_infos(infos, terminated | truncated)
        slates = []
        for user, (agent, reward) in enumerate(zip(self.agents, rewards.tolist())):
            reward = float(reward)
            if not (terminated[user] or truncated[user]):
                slates.append(agent.step(reward, self._observation(observation, user)))
                continue
            last = self._observation(infos["final_obs"].batch, user)
            only_truncated = not terminated[user]
            single_user_agent.end_episode(agent, reward, last, truncated=only_truncated)
            slates.append(agent.begin_episode(self._first_observation(observation, user)))
        return self._joined(slates)

    def _observation(self, observation: vector_agent.Observation, user: int) -> dict[str, Any]:
        of_user = trees.rows_of(observation, user)
        documents = trees.split(of_user["doc"], self._num_candidates)
        return {
            "user": of_user["user"],
            "doc": {str(index): document for index, document in enumerate(documents)},
            "response": tuple(trees.split(of_user["response"], self._slate_size)),
        }

    def _first_observation(
        self, observation: vector_agent.Observation, user: int
    ) -> dict[str, Any]:
        return {**self._observation(observation, user), "response": None}

    def _joined(self, slates: Sequence[Any]) -> np.ndarray:
        for slate in slates:
            if len(slate) != self._slate_size:
                raise ValueError(
                    f"Slates of a vector environment hold {self._slate_size} documents, got "
                    f"{list(slate)} from an agent."
                )
        return np.array([np.asarray(slate) for slate in slates])

    def state_dict(self) -> types.State:
        """Returns the states of the agents."""
        return {"agents": [bundles.state_of(agent) for agent in self.agents]}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the agents, or none of them if one refuses.

        Raises:
            ValueError: if the state is of another number of agents, or one refuses its own.
        """
        bundles.require(self, state, "agents")
        states = state["agents"]
        if not isinstance(states, (list, tuple)) or len(states) != len(self.agents):
            number = len(states) if isinstance(states, (list, tuple)) else "no list of"
            raise bundles.UnfitStateError(
                f"it has {number} agents, and there are {len(self.agents)} here"
            )
        bundles.load_all(self.agents, states)


class SingleUserEnvs(vector_env.SlateVectorEnv):
    """Single-user environments as a vector environment, an environment a user.

    Episodes end, and observations come, as in :class:`recsim.vector.env.RecSimVectorEnv`.

    Args:
        environments: the environments, at least one, all with the same spaces. Those of the same
            seed have the same documents and users: give each a seed of its own.
        max_steps_per_episode: episodes are truncated after so many steps; None for no limit.
        first_user: number of the first user, which the random numbers of vector agents go by, as
            where :func:`recsim.vector.simulate.simulate` makes the environment.
        observation: the form of observations, see :class:`recsim.spaces.ObservationForm`.
        action: the form of actions, see :class:`recsim.spaces.ActionForm`.
        autoreset_mode: when next episodes begin, see :class:`recsim.vector.env.SlateVectorEnv`.

    Raises:
        TypeError: if one of them is not a single-user environment.
        ValueError: if there is no environment, one has several users, or their slates differ.
    """

    def __init__(
        self,
        environments: Sequence[recsim_gym.RecSimGymEnv],
        *,
        max_steps_per_episode: int | None = None,
        first_user: int = 0,
        observation: str = "nested",
        action: str = "slate",
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        if not isinstance(environments, (list, tuple)):
            raise TypeError(f"environments must be a list of RecSimGymEnvs, got {environments!r}.")
        #: The environments.
        self.environments = list(environments)
        number = validation.positive_int("the number of environments", len(self.environments))
        for env in self.environments:
            if not types.is_recommender_env(env):
                raise TypeError(
                    "environments must be RecSimGymEnvs, as the scenarios' create_environment "
                    f"makes, got {env!r}."
                )
        if any(rollout.has_several_users(env) for env in self.environments):
            raise ValueError("environments must have one user each, got one with several.")
        first: Any = self.environments[0]
        if any(env.action_space != first.action_space for env in self.environments):
            raise ValueError(
                "environments must have the same action_space, got "
                f"{sorted({str(env.action_space) for env in self.environments})}."
            )
        nvec = first.action_space.nvec
        super().__init__(
            number,
            int(nvec[0]),
            len(nvec),
            max_steps_per_episode,
            first_user,
            observation=observation,
            action=action,
            autoreset_mode=autoreset_mode,
        )
        all_spaces = [spaces_lib.spaces_of(env) for env in self.environments]
        for other in all_spaces:
            if other != all_spaces[0]:
                raise ValueError(
                    "environments must have the same spaces of users, documents and responses, got "
                    f"{all_spaces[0]!r} and {other!r}."
                )
        self._stacked = spaces_lib.ObservationStacker(
            all_spaces[0], self._num_candidates, self._slate_size, many=True
        )
        self._set_spaces(self._stacked.space, np.dtype(np.float32))
        self._has_masks = action_masks.are_in(self._stacked.space)
        self._observations: list[types.Observation] = []  # The last ones, once there was a reset.
        self._ended = np.zeros(self.num_envs, np.bool_)  # Who waits for the next episode.
        self._steps = np.zeros(self.num_envs, np.int64)  # Of the users' episodes.

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begins a new episode for every user.

        Args:
            seed: an integer >= 0 for the users' choices and transitions; samplers go back to
                their own seeds. None to continue the random streams.
            options: ``reset_mask``, see :class:`recsim.vector.env.SlateVectorEnv`.

        Returns:
            The first observation, and an empty dictionary.

        Raises:
            TypeError: if the seed is not an integer: users have no seeds of their own.
            ValueError: if it is negative, or for an option.
        """
        rows = self._rows_to_reset(options, seed, bool(self._observations))
        if seed is not None:
            validation.positive_int("seed", seed, 0)
            for number, env in enumerate(self.environments, start=self._first_user):
                env.seed(seeding.derived_seed(seed, f"user {number}"))
                env.reset_sampler()
        if rows is None:
            rows = np.arange(self.num_envs)
            self._observations = [{}] * self.num_envs
        self._begin_episodes(rows)
        return self._observed(self._observations), {}

    def _begin_episodes(self, rows: np.ndarray) -> None:
        for user in rows.tolist():
            self._observations[user] = self.environments[user].reset()
        self._steps[rows] = 0
        self._ended[rows] = False

    def step(
        self, actions: np.ndarray
    ) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Shows every user a slate.

        Args:
            actions: indices of candidates, integers of shape (num_envs, slate_size).

        Returns:
            What :meth:`recsim.vector.env.RecSimVectorEnv.step` returns.

        Raises:
            RuntimeError: if there was no reset before.
            TypeError, ValueError, IndexError: for a slate that cannot be shown.
        """
        # All of them before any user is shown a slate.
        slates = self._checked_slates(actions, bool(self._observations))
        self._check_all_are_reset(self._ended)
        waiting = np.flatnonzero(self._ended)
        shown = np.flatnonzero(~self._ended).tolist()
        self._check_masks(slates, shown)
        rewards = np.zeros(self.num_envs, np.float32)
        terminated = np.zeros(self.num_envs, np.bool_)
        for user in shown:
            env = self.environments[user]
            observation, reward, terminated[user], info = env.step(slates[user])
            rewards[user] = numbers.finite_float32("the reward", reward)
            if self._counted is None or self._counted[user]:
                env.update_metrics(observation["response"], info)
            self._observations[user] = observation
        self._steps[shown] += 1
        self._begin_episodes(waiting)
        truncated = np.zeros(self.num_envs, np.bool_)
        if self._max_steps is not None:
            truncated = self._steps >= self._max_steps
        ended = terminated | truncated
        infos: dict[str, Any] = {}
        if self.autoreset_mode != AutoresetMode.SAME_STEP:
            self._ended = ended
        elif ended.any():
            final = vector_env.FinalObservations(self._observed(self._observations), ended)
            infos = {"final_obs": final, "_final_obs": ended}
            self._begin_episodes(np.flatnonzero(ended))
        return self._observed(self._observations), rewards, terminated, truncated, infos

    def _check_masks(self, slates: np.ndarray, shown: Sequence[int]) -> None:
        """Raises ValueError if a slate has a document where its action mask does not let it stand.

        Args:
            slates: indices of candidates, shape (num_envs, slate_size).
            shown: the rows of the users who are shown theirs.
        """
        if not self._has_masks:
            return
        for user in shown:
            masks = action_masks.observed(self._observations[user]["doc"], self._slate_size)
            if masks is not None:
                number = [self._first_user + user]
                action_masks.check_slates(masks, slates[user : user + 1], number)

    def _observed(self, observations: Sequence[types.Observation]) -> dict[str, Any]:
        """Returns the arrays of the users' observations in the form that was asked for."""
        return self._in_form(self._stacked(observations))

    @property
    def metrics(self) -> Mapping[str, float]:
        """The metrics of all users since they were last set to zero."""
        metrics: dict[str, float] = collections.defaultdict(float)
        for env in self.environments:
            for name, value in env._metrics.items():  # noqa: SLF001  # RecSim's name.
                metrics[name] += value
        return dict(metrics)

    def reset_metrics(self) -> None:
        """Sets every metric to zero."""
        for env in self.environments:
            env.reset_metrics()

    @property
    def metrics_writer(self) -> Callable[..., None]:
        """The function that reports metrics: that of the first environment."""
        writer: Callable[..., None]
        writer = self.environments[0]._metrics_writer  # noqa: SLF001  # RecSim's name.
        return writer
