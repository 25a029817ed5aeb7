"""How runners play: one user's episode after the other, or those of many users at once."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np

from recsim._internal import numbers, owned_generators
from recsim.simulator import environment as environment_lib
from recsim.simulator import episode_log, progress
from recsim.vector import agent as vector_agent

__all__ = [
    "AllUsersAtOnce",
    "EpisodeByEpisode",
    "UsersStep",
    "metrics_state",
    "parts_without_generator",
    "restore_metrics",
    "way_to_play",
]

_logger = logging.getLogger(__name__)


def way_to_play(runner: Any) -> EpisodeByEpisode | AllUsersAtOnce:
    """Returns how a runner plays in its environment."""
    is_vector = hasattr(runner._env, "single_action_space")
    return AllUsersAtOnce(runner) if is_vector else EpisodeByEpisode(runner)


class EpisodeByEpisode:
    """Plays the episodes of a :class:`recsim.simulator.recsim_gym.RecSimGymEnv` one by one.

    Args:
        runner: the runner, whose ``_run_one_episode`` plays.

    Raises:
        TypeError: if the environment is of another kind.
    """

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        env = runner._env
        if not hasattr(env, "environment"):
            raise TypeError(
                "env must be a RecSimGymEnv, as the scenarios' create_environment makes, or a "
                f"RecSimVectorEnv, as their create_vector_environment makes, got {env!r}."
            )
        self.several_users = isinstance(env.environment, environment_lib.MultiUserEnvironment)

    def check_agent(self, agent: Any) -> None:
        """Raises ValueError if an agent does not fit the environment."""
        name = type(agent).__name__
        if not hasattr(agent, "multi_user"):
            raise ValueError(
                f"{name} does not serve the users of a RecSimGymEnv: let create_agent_fn return an "
                "AbstractEpisodicRecommenderAgent, or pass a vector environment to a vector agent."
            )
        if agent.multi_user and not self.several_users:
            raise ValueError(
                f"{name} serves several users, but the environment has one: make "
                "it of a MultiUserEnvironment, or let create_agent_fn return a single-user agent."
            )
        if self.several_users and not agent.multi_user:
            raise ValueError(
                f"{name} serves one user, but the environment is a "
                "MultiUserEnvironment: let create_agent_fn return an agent for several users (an "
                "AbstractMultiUserEpisodicRecommenderAgent), or pass a single-user environment."
            )

    def episode_log(self, path: str) -> episode_log.EpisodeLog:
        """Returns a log for the episodes."""
        return episode_log.EpisodeLog(path, self._runner._env)

    def train(self, num_steps: int, advance: progress.Advance) -> int:
        """Plays whole episodes until there are enough steps, and returns how many there were."""
        done = self._runner._steps_before
        while done < num_steps:
            self._runner._stop_if_requested(done)
            episode_length, _ = self._runner._run_one_episode()
            done += episode_length
            advance(episode_length, max(0, done - num_steps))
        return done

    def evaluate(self, num_episodes: int, advance: progress.Advance) -> list[float]:
        """Plays episodes from the samplers' seeds on and returns their returns."""
        self._runner._env.reset_sampler()
        returns = []
        for _ in range(num_episodes):
            _, episode_return = self._runner._run_one_episode()
            returns.append(numbers.as_float("the return of an episode", episode_return))
            advance(1, 0)
        return returns

    def state(self) -> Any:
        """Returns the state of episodes under way: there are none between two iterations."""
        return None

    def restore(self, state: Any) -> None:
        """Restores what :meth:`state` returned."""
        del state


@dataclasses.dataclass(frozen=True)
class UsersStep:
    """A step of all users of a vector environment.

    Attributes:
        observation: what is observed after it.
        slates: what was shown, integers of shape (n_users, slate_size).
        responses: the observed responses, arrays of shape (n_users, slate_size, …).
        rewards: shape (n_users,).
        terminated: whose sessions ended by themselves, bools of shape (n_users,).
        ended: all whose episodes ended with it, indices.
        users: those whose episodes ended with it and count, indices.
        episodes: the numbers of these episodes.
        lengths: their numbers of steps.
        returns: their returns.
    """

    observation: Any
    slates: np.ndarray
    responses: Any
    rewards: np.ndarray
    terminated: np.ndarray
    ended: np.ndarray
    users: np.ndarray
    episodes: np.ndarray
    lengths: np.ndarray
    returns: np.ndarray


class AllUsersAtOnce:
    """Plays the episodes of all users of a :class:`recsim.vector.env.RecSimVectorEnv` at once.

    Episode ``e`` of ``n`` users is the one with number ``e // n`` of user ``e % n``. In a training,
    sessions go on from one iteration to the next. In an evaluation each user has a given number of
    episodes, so that long ones count as often as short ones.

    Args:
        runner: the runner, whose metrics and log are told of the episodes that ended.

    Raises:
        TypeError: if the environment lacks methods of a RecSimVectorEnv.
        ValueError: if the environment does not begin new episodes by itself in the same step.
    """

    several_users = True

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self._env = runner._env
        needed = ("max_steps_per_episode", "count_metrics_of", "reset_metrics", "write_metrics")
        missing = [name for name in needed if not hasattr(self._env, name)]
        if missing:
            raise TypeError(
                "env must be a RecSimVectorEnv or what behaves like one, got "
                f"{self._env}, which has no {', '.join(missing)}: pass the environment without "
                "wrappers, and one that recsim made."
            )
        self._world = self._env.unwrapped
        mode = self._env.metadata.get("autoreset_mode")
        if getattr(mode, "name", mode) != "SAME_STEP":
            raise ValueError(
                "env must replace users in the step in which their sessions end "
                f"(autoreset_mode SAME_STEP), got {mode}."
            )
        self._num_users = self._env.num_envs
        own_limit = self._world.max_steps_per_episode
        limit = runner._max_steps_per_episode
        self._max_steps = limit if own_limit is None else min(limit, own_limit)
        self._slates: Any = None  # What is shown next; None before the first episode.

    def check_agent(self, agent: Any) -> None:
        """Raises ValueError if an agent does not fit the environment."""
        name = type(agent).__name__
        if not hasattr(agent, "num_envs"):
            raise ValueError(
                f"{name} serves one user, but the environment is a vector environment with "
                f"{self._num_users:,}: let create_agent_fn return a vector agent, such as "
                "recsim.registry.create_vector_agent makes, or pass a single-user environment."
            )
        if agent.num_envs != self._num_users:
            raise ValueError(
                f"{name} serves {agent.num_envs:,} users, but the environment has "
                f"{self._num_users:,}: create it for this environment."
            )

    def episode_log(self, path: str) -> episode_log.VectorEpisodeLog:
        """Returns a log for the episodes."""
        return episode_log.VectorEpisodeLog(path, self._env)

    def train(self, num_steps: int, advance: progress.Advance) -> int:
        """Plays at least so many steps, of all users together, and returns how many there were."""
        start_time = time.perf_counter()
        done = before = self._runner._steps_before
        with self._limited_sessions():
            if self._slates is None:
                self._begin(np.full(self._num_users, np.iinfo(np.int64).max))
            while done < num_steps:
                self._runner._stop_if_requested(done)
                self._step()
                done += self._num_users
                advance(self._num_users, max(0, done - num_steps))
        self._count_time(start_time, done - before)
        return done

    def evaluate(self, num_episodes: int, advance: progress.Advance) -> list[float]:
        """Plays episodes of new users and returns their returns, in the order of their numbers."""
        if num_episodes < self._num_users:
            _logger.warning(
                "max_eval_episodes is %d: only so many of the %d users count. A smaller "
                "environment would do.",
                num_episodes,
                self._num_users,
            )
        start_time = time.perf_counter()
        each, rest = divmod(num_episodes, self._num_users)
        returns = np.empty(num_episodes)
        steps, remaining = 0, num_episodes
        with self._limited_sessions():
            self._begin(each + (np.arange(self._num_users) < rest))
            while remaining:
                playing = self._episodes < self._num_episodes
                self._world.count_metrics_of(None if playing.all() else playing)
                step = self._step()
                returns[step.episodes] = step.returns
                steps += self._num_users
                remaining -= len(step.users)
                advance(len(step.users), 0)
        self._count_time(start_time, steps)
        return returns.tolist()

    @contextlib.contextmanager
    def _limited_sessions(self) -> Iterator[None]:
        """Cuts sessions off at the limit while the runner plays, and not when others do."""
        own_limit = self._world.max_steps_per_episode
        self._world.max_steps_per_episode = self._max_steps
        try:
            yield
        finally:
            self._world.max_steps_per_episode = own_limit
            self._world.count_metrics_of(None)

    def _begin(self, num_episodes: np.ndarray) -> None:
        """Begins an episode for every user.

        Args:
            num_episodes: how many of the users' episodes count, integers of shape (n_users,).
        """
        observation, _ = self._env.reset()
        self._num_episodes = num_episodes
        self._episodes = np.zeros(self._num_users, np.int64)
        self._lengths = np.zeros(self._num_users, np.int64)
        self._returns = np.zeros(self._num_users)
        if self._runner._episode_log is not None:
            self._runner._episode_log.begin(observation)
        self._slates = self._runner._agent.begin(observation)

    def _step(self) -> UsersStep:
        """Shows every user a slate and lets the agent choose the next ones."""
        slates = self._slates
        observation, rewards, terminated, truncated, infos = self._env.step(slates)
        if not np.isfinite(rewards).all():
            raise ValueError("The environment's rewards must be finite, got some that are not.")
        self._lengths += 1
        self._returns += rewards
        ended = np.flatnonzero(terminated | truncated)
        users = ended[self._episodes[ended] < self._num_episodes[ended]]
        step = UsersStep(
            observation,
            slates,
            vector_agent.last_responses(observation, infos),
            rewards,
            terminated,
            ended,
            users,
            self._episodes[users] * self._num_users + users,
            self._lengths[users],
            self._returns[users],
        )
        self._runner._stats["episode_length"] += step.lengths.tolist()
        self._runner._stats["episode_reward"] += step.returns.tolist()
        self._runner._log_users_step(step)
        self._episodes[ended] += 1
        self._lengths[ended] = 0
        self._returns[ended] = 0.0
        self._slates = self._runner._agent.step(observation, rewards, terminated, truncated, infos)
        return step

    def _count_time(self, start_time: float, num_steps: int) -> None:
        """Shares the time since the start out to the episodes, by their lengths.

        It is not known where an iteration that was interrupted had nothing left to play.
        """
        seconds = time.perf_counter() - start_time
        seconds_a_step = seconds / num_steps if num_steps else np.nan
        stats = self._runner._stats
        stats["episode_time"] = [seconds_a_step * n for n in stats["episode_length"]]

    def state(self) -> Any:
        """Returns what the runner knows of the episodes under way."""
        log = self._runner._episode_log
        return {
            "slates": np.array(self._slates),
            "num_episodes": self._num_episodes,
            "episodes": self._episodes,
            "lengths": self._lengths,
            "returns": self._returns,
            "episode_log": None if log is None else log.state(),
        }

    def restore(self, state: Any) -> None:
        """Restores what :meth:`state` returned; without it, the next step begins new episodes."""
        self._slates = None
        if state is None:
            return
        self._slates = state["slates"]
        self._num_episodes = state["num_episodes"]
        self._episodes = state["episodes"]
        self._lengths = state["lengths"]
        self._returns = state["returns"]
        if self._runner._episode_log is not None and state["episode_log"] is not None:
            self._runner._episode_log.restore(state["episode_log"])


def metrics_state(env: Any) -> Any:
    """Returns an environment's metrics as data, None if it does not keep them by name."""
    if environments := getattr(env, "environments", None):
        states = [metrics_state(each) for each in environments]
        return None if None in states else states
    metrics = getattr(env, "_metrics", None)
    return dict(metrics) if isinstance(metrics, MutableMapping) else None


def restore_metrics(env: Any, state: Any) -> None:
    """Gives an environment the metrics that :func:`metrics_state` returned."""
    if isinstance(state, list):
        for each, of_each in zip(env.environments, state, strict=True):
            restore_metrics(each, of_each)
        return
    env.reset_metrics()
    env._metrics.update(state)


def _wrappers(env: Any) -> Iterator[tuple[Any, Any]]:
    """Yields the wrappers around an environment that save nothing themselves, and what is in each.

    One that asks what it wraps for what it has not itself, as Gym's do, has ``checkpoint_state``.
    """
    while not hasattr(type(env), "checkpoint_state"):
        inner = getattr(env, "__dict__", {}).get("env")
        if inner is None:
            return
        yield env, inner
        env = inner


def env_state(env: Any) -> Any:
    """Returns the state of an environment, with the generators of the wrappers around it."""
    state = env.checkpoint_state()
    of_wrappers = [owned_generators.state_of(*wrapper) for wrapper in _wrappers(env)]
    if any(of_wrappers) and isinstance(state, Mapping):
        return {**state, "wrappers": of_wrappers}
    return state


def restore_env(env: Any, state: Any) -> None:
    """Gives an environment, and the wrappers around it, a state from :func:`env_state`."""
    env.restore_state(state)
    of_wrappers = state.get("wrappers", []) if isinstance(state, Mapping) else []
    for (wrapper, inner), own in zip(_wrappers(env), of_wrappers, strict=False):
        owned_generators.restore(wrapper, own.get("generators", {}), inner)


def parts_without_generator(state: Any, part: str = "the environment") -> Iterator[str]:
    """Yields the parts of an environment whose ``checkpoint_state`` has None for a generator."""
    if isinstance(state, Mapping):
        if state.get("rng", state) is None and not state.get("generators"):
            yield part
        yield from state.get("unsaved_generators", ())
        for name, value in state.items():
            yield from parts_without_generator(value, str(name))
    elif isinstance(state, list):
        for i, value in enumerate(state):
            yield from parts_without_generator(value, f"{part}[{i}]")
