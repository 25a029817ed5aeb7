"""Rollouts: an agent recommends in an environment, and listeners are told what happens.

:func:`run_episode` runs an episode of an environment of RecSim's kind, :class:`VectorRollout` the
episodes of all users of a vector environment. Both only move agent and environment on. What is to
be made of it, such as metrics, statistics or an episode log, is up to listeners: objects that are
called after each step and at the end of each episode.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Protocol

import numpy as np

from recsim import agent as agent_lib
from recsim import types
from recsim._internal import (
    final_observations,
    global_generator,
    numbers,
    observations,
    validation,
)
from recsim.simulator import environment

__all__ = [
    "EndedEpisodes",
    "Episode",
    "EpisodeTotals",
    "Listener",
    "Metrics",
    "OnStep",
    "Step",
    "VectorListener",
    "VectorRollout",
    "VectorStep",
    "checked_listeners",
    "has_several_users",
    "run_episode",
]

# So many steps without an end of an episode are taken for episodes that never end.
_MAX_STEPS_WITHOUT_END = 1_000_000


@dataclasses.dataclass(slots=True)
class Step:
    """A step of an episode.

    Attributes:
        observation: what was observed before it.
        slate: what was shown; with several users, a slate for each.
        reward: the reward of the slate, a float; with several users, what the environment returned.
        next_observation: what was observed after it, with the responses to the slate.
        done: whether the environment ended the episode with it.
        info: the environment's info.
        agent: who chose the slate, and was not told of the outcome yet.
    """

    observation: types.Observation
    slate: types.Action
    reward: Any
    next_observation: types.Observation
    done: bool
    info: Any
    agent: types.SlateAgent


@dataclasses.dataclass(frozen=True, slots=True)
class Episode:
    """An episode that has ended.

    Attributes:
        num_steps: number of its steps.
        total_reward: the sum of its rewards, of all users.
        seconds: the time that it took.
        truncated: whether the limit on its steps ended it, not the environment.
    """

    num_steps: int
    total_reward: float
    seconds: float
    truncated: bool


class Listener(Protocol):
    """What :func:`run_episode` tells of steps and ends of episodes.

    A subclass defines the methods that it needs.
    """

    def on_reset(self, observation: types.Observation) -> None:
        """Is called when an episode has begun, before the agent chooses the first slate."""
        return

    def on_step(self, step: Step) -> None:
        """Is called after each step, before the agent is told of it."""
        return

    def on_episode_end(self, episode: Episode) -> None:
        """Is called when an episode has ended and the agent was told so."""
        return


def checked_listeners(listeners: object, kind: type) -> tuple[Any, ...]:
    """Returns listeners, which must be what a rollout can call.

    Args:
        listeners: the listeners.
        kind: :class:`Listener` or :class:`VectorListener`.

    Raises:
        TypeError: if they are something else.
    """
    if isinstance(listeners, (str, bytes, Mapping)) or not isinstance(listeners, Iterable):
        raise TypeError(f"listeners must be a list of {kind.__name__}, got {listeners!r}.")
    needed = [name for name in vars(kind) if name.startswith("on_")]
    result = tuple(listeners)
    for listener in result:
        missing = [name for name in needed if not callable(getattr(listener, name, None))]
        if missing or isinstance(listener, type):
            raise TypeError(
                f"listeners must be of the kind {kind.__name__} in this environment, got "
                f"{listener!r}, which has no {', '.join(missing) or 'instance'}: derive it from "
                f"recsim.simulator.rollout.{kind.__name__} and pass an instance."
            )
    return result


def _own_methods(listeners: Iterable[object], base: type, name: str) -> list[Callable[[Any], None]]:
    """Returns the methods of a name of those listeners that define it: others need no call."""
    return [
        getattr(listener, name)
        for listener in listeners
        if getattr(type(listener), name, None) is not getattr(base, name)
    ]


class Metrics(Listener):
    """Counts each step in the metrics of the environment.

    Args:
        update_metrics: the environment's ``update_metrics``.
    """

    def __init__(self, update_metrics: Callable[[Any, Any], None]) -> None:
        self._update_metrics = update_metrics

    def on_step(self, step: Step) -> None:
        """Counts a step."""
        self._update_metrics(step.next_observation["response"], step.info)


class OnStep(Listener):
    """Calls a function after each step.

    Args:
        function: the function.
    """

    def __init__(self, function: Callable[[Step], object]) -> None:
        self._function = function

    def on_step(self, step: Step) -> None:
        """Calls the function."""
        self._function(step)


def has_several_users(env: types.RecommenderEnv) -> bool:
    """Says whether an environment of RecSim's kind has several users."""
    return isinstance(getattr(env, "environment", None), environment.MultiUserEnvironment)


def run_episode(
    env: types.RecommenderEnv,
    agent: types.SlateAgent,
    *,
    max_steps: int | None = None,
    listeners: Iterable[Listener] = (),
    watched: bool = False,
) -> Episode:
    """Runs an episode from the environment's reset to its end.

    Args:
        env: the environment.
        agent: the agent.
        max_steps: number of steps, >= 1, after which the episode is truncated; None for no limit.
        listeners: what is told of steps and of the end, in this order.
        watched: whether to warn where the agent's first steps sample from NumPy's global generator.

    Returns:
        What the episode was like.

    Raises:
        TypeError, ValueError: if a reward is not a finite number, or the limit not an integer >= 1.

    Example:
        >>> from recsim.agents import random_agent
        >>> from recsim.environments import interest_exploration
        >>> env = interest_exploration.create_environment(
        ...     {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0})
        >>> agent = random_agent.RandomAgent(env.action_space, random_seed=0)
        >>> slates = []
        >>> run_episode(env, agent, max_steps=3, listeners=[
        ...     OnStep(lambda step: slates.append(list(step.slate)))]).num_steps
        3
        >>> len(slates)
        3
    """
    if max_steps is not None:
        validation.positive_int("max_steps", max_steps)
    begin_episode, next_slate = agent.begin_episode, agent.step
    if watched:
        begin_episode = global_generator.watched(begin_episode, agent, global_generator.IN_AGENT)
        next_slate = global_generator.watched(next_slate, agent, global_generator.IN_AGENT)
    listeners = tuple(listeners)
    on_step = _own_methods(listeners, Listener, "on_step")
    several_users = has_several_users(env)
    start_time = time.perf_counter()
    num_steps, total_reward = 0, 0.0
    observation = env.reset()
    for begin in _own_methods(listeners, Listener, "on_reset"):
        begin(observation)
    slate = begin_episode(observation)
    while True:
        before = observation
        observation, reward, done, info = env.step(slate)
        if several_users:
            total_reward += numbers.finite("the sum of the users' rewards", np.sum(reward))
        else:
            if type(reward) is not float or not isfinite(reward):
                reward = numbers.finite("the reward", reward)
            total_reward += reward
        num_steps += 1
        if on_step:
            step = Step(before, slate, reward, observation, done, info, agent)
            for tell in on_step:
                tell(step)
        if done or num_steps == max_steps:
            break
        slate = next_slate(reward, observation)
    truncated = not done
    agent_lib.end_episode(agent, reward, observation, truncated=truncated)
    episode = Episode(num_steps, total_reward, time.perf_counter() - start_time, truncated)
    for listener in listeners:
        listener.on_episode_end(episode)
    return episode


@dataclasses.dataclass
class VectorStep:
    """A step of all users of a vector environment.

    Attributes:
        slates: what was shown, integers of shape (n_users, slate_size).
        observation: what is observed after it; where an episode ended, already of the next one.
        rewards: shape (n_users,).
        terminated: whose episodes ended by themselves, bools of shape (n_users,).
        truncated: whose episodes a limit ended, bools of shape (n_users,).
        infos: the environment's infos.
        agent: who chose the slates, and was not told of the outcome yet.
        counting: whose steps count, bools of shape (n_users,); None for all users'.
    """

    slates: np.ndarray
    observation: types.Observation
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    infos: types.Infos
    agent: types.VectorAgent
    counting: np.ndarray | None

    @functools.cached_property  # Where episodes end, they are put together: once is enough.
    def responses(self) -> Any:  # noqa: ANN401  # An array, or arrays by name, as observed.
        """The observed responses to the slates, arrays of shape (n_users, slate_size, …)."""
        return observations.last_responses(self.observation, self.infos)


@dataclasses.dataclass(frozen=True, slots=True)
class EndedEpisodes:
    """The episodes that ended with a step.

    Episode ``e`` of ``n`` users is the one with number ``e // n`` of user ``e % n``.

    Attributes:
        ended: all users whose episodes ended, indices.
        users: those whose episodes ended and count, indices of shape (n_ended,).
        episodes: the numbers of these episodes, shape (n_ended,), as are the following.
        lengths: their numbers of steps.
        returns: the sums of their rewards.
    """

    ended: np.ndarray
    users: np.ndarray
    episodes: np.ndarray
    lengths: np.ndarray
    returns: np.ndarray


class VectorListener(Protocol):
    """What a :class:`VectorRollout` tells of steps and ends of episodes.

    A subclass defines the methods that it needs.
    """

    def on_reset(self, observation: types.Observation, infos: Mapping[str, Any]) -> None:
        """Is called when an episode of every user has begun."""
        return

    def on_step(self, step: VectorStep) -> None:
        """Is called after each step, before the agent is told of it."""
        return

    def on_episodes_end(self, episodes: EndedEpisodes) -> None:
        """Is called after :meth:`on_step` where the step ended an episode."""
        return


class EpisodeTotals(VectorListener):
    """Keeps length and return of each episode that counts.

    Args:
        num_episodes: number of episodes, of all users together.

    Attributes:
        lengths: numbers of steps by number of the episode, int64, shape (num_episodes,).
        returns: sums of rewards likewise, float64.
    """

    def __init__(self, num_episodes: int) -> None:
        self.lengths = np.zeros(num_episodes, np.int64)
        self.returns = np.zeros(num_episodes)

    def on_episodes_end(self, episodes: EndedEpisodes) -> None:
        """Keeps those that have ended."""
        self.lengths[episodes.episodes] = episodes.lengths
        self.returns[episodes.episodes] = episodes.returns


class VectorRollout:
    """The episodes of all users of a vector environment, in which the agent recommends.

    A user whose episode has ended begins another one with the next step.

    Args:
        env: the environment. Unless it begins new episodes in the step in which the old ones end
            (Gymnasium's ``AutoresetMode.SAME_STEP``), it is reset for the users whose episodes have
            ended, by a ``reset_mask``: agent and listeners are told the same in all modes, and
            there is no step without a slate.
        agent: the agent.
        listeners: what is told of steps and ended episodes, in this order.
        follows_episodes: whether to count the steps and rewards of episodes. Without that,
            listeners are not told of ended episodes.
        watched: whether to warn where the agent's first steps sample from NumPy's global generator.
    """

    def __init__(
        self,
        env: types.VectorEnv,
        agent: types.VectorAgent,
        listeners: Sequence[VectorListener] = (),
        *,
        follows_episodes: bool = True,
        watched: bool = False,
    ) -> None:
        self._env = env
        self._agent = agent
        self._begin, self._next_slates = agent.begin, agent.step
        if watched:
            self._begin, self._next_slates = (
                global_generator.watched(method, agent, global_generator.IN_VECTOR_AGENT)
                for method in (agent.begin, agent.step)
            )
        mode = getattr(env, "metadata", {}).get("autoreset_mode")
        self._resets_users = getattr(mode, "name", mode) in ("NEXT_STEP", "DISABLED")
        self._listeners = tuple(listeners)
        self._on_step = _own_methods(self._listeners, VectorListener, "on_step")
        self._follows_episodes = follows_episodes
        self._slates: np.ndarray | None = None
        self._counting: np.ndarray | None = None

    def reset(self, *, seed: int | None = None, num_episodes: np.ndarray | None = None) -> None:
        """Begins an episode of every user.

        Args:
            seed: seed of the environment; None to continue its random stream.
            num_episodes: how many of the users' episodes count, integers of shape (n_users,); None
                for all.
        """
        observation, infos = self._env.reset(seed=seed)
        num_users = self._env.num_envs
        if num_episodes is None:
            num_episodes = np.full(num_users, np.iinfo(np.int64).max)
        self._num_episodes = num_episodes
        self._counting = None
        self._episodes = np.zeros(num_users, np.int64)
        self._lengths = np.zeros(num_users, np.int64)
        self._returns = np.zeros(num_users)
        for listener in self._listeners:
            listener.on_reset(observation, infos)
        self._slates = self._begin(observation)

    def step(self) -> None:
        """Shows every user a slate, and lets the agent choose the next ones.

        Raises:
            RuntimeError: if there was no reset before.
        """
        step, _ = self._show()
        self._choose(step)

    def plan(self, num_steps: int) -> None:
        """Says how many steps are to come; a rollout elsewhere makes some of them ahead."""

    def settle(self) -> None:
        """Brings agent and environment to where they are after the last step, for their states."""

    def run_steps(self, num_steps: int, *, seed: int | None = None) -> None:
        """Runs steps from a reset on; the agent is not asked for more slates than are shown.

        Args:
            num_steps: number of steps of each user, >= 1.
            seed: see :meth:`reset`.

        Raises:
            TypeError, ValueError: if the number is not an integer >= 1.
        """
        validation.positive_int("num_steps", num_steps)
        self.reset(seed=seed)
        for _ in range(num_steps - 1):
            self.step()
        self._show()

    def run_episodes(self, num_episodes: np.ndarray, *, seed: int | None = None) -> None:
        """Runs episodes from a reset on; the environment's metrics count these alone.

        Users who are done continue, and do not count, until all are.

        Args:
            num_episodes: how many of each user's, integers of shape (n_users,), not all of them 0.
            seed: see :meth:`reset`.

        Raises:
            ValueError: if it is none of any user's.
            RuntimeError: if no episode ends in a million steps.
        """
        if not np.any(num_episodes):
            raise ValueError("num_episodes must be at least 1 for some user, got 0 for all.")
        self.reset(seed=seed, num_episodes=num_episodes)
        counting = self._episodes < num_episodes
        steps_without_end = 0
        while True:
            self._counting = None if counting.all() else counting
            self._env.count_metrics_of(self._counting)
            step, some_ended = self._show()
            steps_without_end = 0 if some_ended else steps_without_end + 1
            if steps_without_end == _MAX_STEPS_WITHOUT_END:
                raise RuntimeError(
                    f"No episode has ended in {_MAX_STEPS_WITHOUT_END:,} steps, but num_episodes "
                    "needs episodes that end: make the environment with max_steps_per_episode."
                )
            if some_ended:
                counting = self._episodes < num_episodes
                if not counting.any():
                    return
            self._choose(step)

    def _show(self) -> tuple[VectorStep, bool]:
        """Shows every user a slate; returns the step, and whether episodes ended with it.

        The latter is False where episodes are not followed.
        """
        slates = self._slates
        if slates is None:
            raise RuntimeError("Call reset() before the first step.")
        outcome = self._env.step(slates)
        if self._resets_users:
            outcome = self._with_next_episodes(*outcome)
        step = VectorStep(slates, *outcome, self._agent, self._counting)
        for tell in self._on_step:
            tell(step)
        return step, self._follows_episodes and self._follow(step)

    def _with_next_episodes(
        self,
        observation: types.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: Mapping[str, Any],
    ) -> tuple[types.Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Begins the next episodes; returns the outcome of the step as in mode SAME_STEP."""
        ended = terminated | truncated
        new_infos = dict(infos)
        if ended.any():
            final = final_observations.FinalObservations(observation, ended)
            observation, _ = self._env.reset(options={"reset_mask": ended})
            new_infos |= {"final_obs": final, "_final_obs": ended}
        return observation, rewards, terminated, truncated, new_infos

    def _choose(self, step: VectorStep) -> None:
        """Lets the agent choose the next slates."""
        self._slates = self._next_slates(
            step.observation, step.rewards, step.terminated, step.truncated, step.infos
        )

    def _follow(self, step: VectorStep) -> bool:
        """Counts a step in the users' episodes; tells the listeners of those that ended, if any."""
        if not numbers.all_finite(step.rewards):
            raise ValueError("The environment's rewards must be finite, got some that are not.")
        self._lengths += 1
        self._returns += step.rewards
        ended = np.flatnonzero(step.terminated | step.truncated)
        if not len(ended):
            return False
        users = ended[self._episodes[ended] < self._num_episodes[ended]]
        episodes = EndedEpisodes(
            ended,
            users,
            self._episodes[users] * self._env.num_envs + users,
            self._lengths[users],
            self._returns[users],
        )
        for listener in self._listeners:
            listener.on_episodes_end(episodes)
        self._episodes[ended] += 1
        self._lengths[ended] = 0
        self._returns[ended] = 0.0
        return True

    def state_dict(self) -> dict[str, np.ndarray]:
        """Returns what is known of the episodes under way between two steps, as data."""
        return {
            "slates": np.array(self._slates),
            "num_episodes": self._num_episodes,
            "episodes": self._episodes,
            "lengths": self._lengths,
            "returns": self._returns,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues the episodes that :meth:`state_dict` returned, in place of a reset."""
        self._slates = state["slates"]
        self._counting = None
        self._num_episodes = state["num_episodes"]
        self._episodes = state["episodes"]
        self._lengths = state["lengths"]
        self._returns = state["returns"]
