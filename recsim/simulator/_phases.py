"""The phases of a run, training and evaluation, as each of the two engines has them."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from recsim import types
from recsim._internal import numbers, paths, resources
from recsim.simulator import episode_log, progress, rollout

if TYPE_CHECKING:
    from recsim.logs import parquet

__all__ = [
    "Calls",
    "EpisodeHook",
    "RolloutWorkers",
    "SingleUserPhases",
    "StepHook",
    "VectorPhases",
    "checked_log_path",
    "checked_rollout_workers",
    "connected",
    "phases_of",
]

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Calls:
    """What a runner gives to a phase.

    Attributes:
        run_one_episode: runs an episode and returns its number of steps and its total reward.
        agent: the agent.
        listeners: what is told of a vector rollout.
        stats: lists that get an entry an episode: ``episode_length``, ``episode_time`` and
            ``episode_reward``.
        rollout_workers: what simulates the users of a training, if not this process.
    """

    run_one_episode: Callable[[], tuple[int, float]]
    agent: Any
    listeners: Sequence[rollout.VectorListener]
    stats: dict[str, list[Any]]
    rollout_workers: RolloutWorkers | None = None


class RolloutWorkers(Protocol):
    """What simulates the users of trainings, see :class:`recsim.vector.rollouts.RolloutWorkers`."""

    @property
    def staleness(self) -> int:
        """How many steps, at most, what slates are chosen by is behind what was learned."""

    def check(self, env: object, agent: object) -> None:
        """Raises TypeError or ValueError if it cannot simulate an environment's users."""

    def connected(self) -> contextlib.AbstractContextManager[None]:
        """Connects to the workers for a block."""

    def rollout(
        self,
        env: types.VectorEnv,
        agent: types.VectorAgent,
        listeners: Sequence[rollout.VectorListener],
    ) -> rollout.VectorRollout:
        """Returns a rollout by the workers."""


def connected(workers: RolloutWorkers | None) -> contextlib.AbstractContextManager[None]:
    """Connects to rollout workers for a block, if there are any."""
    return contextlib.nullcontext() if workers is None else workers.connected()


def checked_rollout_workers(
    workers: RolloutWorkers | None, env: object, agent: object, log_user_state: bool
) -> dict[str, int]:
    """Returns what rollout workers add to the settings of a training, after checking them."""
    if workers is None:
        return {}
    needed = ("staleness", "check", "connected", "rollout")
    if not all(hasattr(workers, name) for name in needed):
        raise TypeError(
            "rollout_workers must be a recsim.vector.rollouts.RolloutWorkers, got "
            f"{numbers.described(workers)}."
        )
    if log_user_state:
        raise ValueError(
            "log_user_state must be False with rollout_workers: users' hidden states are in the "
            "workers."
        )
    workers.check(env, agent)
    return {"staleness": workers.staleness}


def phases_of(env: object, max_steps: int) -> SingleUserPhases | VectorPhases:
    """Returns the phases in an environment.

    Args:
        env: the environment.
        max_steps: number of steps after which episodes are truncated.

    Raises:
        TypeError: if the environment is of neither engine.
        ValueError: if it is a vector environment that does not begin new episodes by itself in
            the same step.
    """
    return VectorPhases(env, max_steps) if types.is_vector_env(env) else SingleUserPhases(env)


def checked_log_path(name: str, path: paths.Path | None) -> paths.Path | None:
    """Returns a runner's argument for an episode log; TypeError if it is not a path."""
    if not isinstance(path, (str, bytes, os.PathLike, type(None))):
        raise TypeError(
            f"{name} must be a path (str or os.PathLike), or '' for no log, got "
            f"{numbers.described(path)}."
        )
    return path


class StepHook(rollout.Listener):
    """Calls RecSim's ``_log_one_step`` of a runner, which subclasses may override.

    Args:
        log_one_step: the method.
    """

    def __init__(self, log_one_step: Callable[..., None]) -> None:
        self._log_one_step = log_one_step

    def on_step(self, step: rollout.Step) -> None:
        """Calls the method."""
        before = step.observation
        self._log_one_step(
            before["user"],
            before["doc"],
            step.slate,
            step.next_observation["response"],
            step.reward,
            step.done,
        )


class EpisodeHook(rollout.Listener):
    """Calls RecSim's ``_update_episode_metrics`` of a runner, which subclasses may override.

    Args:
        update_episode_metrics: the method.
    """

    def __init__(self, update_episode_metrics: Callable[..., None]) -> None:
        self._update_episode_metrics = update_episode_metrics

    def on_episode_end(self, episode: rollout.Episode) -> None:
        """Calls the method."""
        self._update_episode_metrics(
            episode_length=episode.num_steps,
            episode_time=episode.seconds,
            episode_reward=episode.total_reward,
        )


class SingleUserPhases:
    """Phases of episodes of a :class:`recsim.simulator.recsim_gym.RecSimGymEnv`.

    Args:
        env: the environment.

    Raises:
        TypeError: if the environment is of another kind.
    """

    #: What listeners are.
    listener_type = rollout.Listener

    def __init__(self, env: object) -> None:
        if not types.is_recommender_env(env):
            raise TypeError(
                "env must be a RecSimGymEnv, as the scenarios' create_environment makes, or a "
                f"RecSimVectorEnv, as their create_vector_environment makes, got {env!r}."
            )
        self._env: Any = env

    def check_agent(self, agent: object) -> None:
        """Raises ValueError if an agent does not fit the environment."""
        name = type(agent).__name__
        several_users = rollout.has_several_users(self._env)
        if not types.is_slate_agent(agent):
            raise ValueError(
                f"{name} does not serve the users of a RecSimGymEnv: let create_agent_fn return an "
                "AbstractEpisodicRecommenderAgent, or pass a vector environment to a vector agent."
            )
        serves_several = getattr(agent, "multi_user", False)
        if serves_several and not several_users:
            raise ValueError(
                f"{name} serves several users, but the environment has one: make "
                "it of a MultiUserEnvironment, or let create_agent_fn return a single-user agent."
            )
        if several_users and not serves_several:
            raise ValueError(
                f"{name} serves one user, but the environment is a "
                "MultiUserEnvironment: let create_agent_fn return an agent for several users (an "
                "AbstractMultiUserEpisodicRecommenderAgent), or pass a single-user environment."
            )

    def episode_log(self, path: str) -> episode_log.EpisodeLog:
        """Returns a log for the episodes."""
        return episode_log.EpisodeLog(path, self._env)

    def parquet_log(self, path: str, user_state: bool) -> parquet.ParquetLog:
        """Returns a Parquet log for the episodes, a listener, with hidden states or without."""
        from recsim.logs import parquet

        return parquet.ParquetLog(path, self._env, user_state=user_state, name="parquet_log")

    def train(
        self,
        calls: Calls,
        num_steps: int,
        steps_before: int,
        stop_if_requested: Callable[[int], None],
        advance: progress.Advance,
    ) -> int:
        """Runs whole episodes until an iteration has enough steps.

        Args:
            calls: what the runner gives.
            num_steps: the least number of steps of the iteration.
            steps_before: how many of them there were before an interruption.
            stop_if_requested: called with the number of steps so far before there are more; it
                raises where the training is to stop.
            advance: called after each episode.

        Returns:
            The number of steps of the iteration.
        """
        done = steps_before
        while done < num_steps:
            stop_if_requested(done)
            episode_length, _ = calls.run_one_episode()
            done += episode_length
            advance(episode_length, max(0, done - num_steps))
        resources.return_free_memory()
        return done

    def evaluate(self, calls: Calls, num_episodes: int, advance: progress.Advance) -> list[float]:
        """Runs episodes from the samplers' seeds on and returns their returns."""
        self._env.reset_sampler()
        returns = []
        for _ in range(num_episodes):
            _, episode_return = calls.run_one_episode()
            returns.append(numbers.as_float("the return of an episode", episode_return))
            advance(1, 0)
        return returns

    def settle(self) -> None:
        """Does nothing: episodes are whole."""

    def state_dict(self) -> None:
        """Returns the state of episodes under way: there are none between two iterations."""

    def load_state_dict(self, state: None) -> None:
        """Restores what :meth:`state_dict` returned."""
        del state


class _Statistics(rollout.VectorListener):
    """Adds length and return of each episode that ends to a runner's lists."""

    def __init__(self, stats: dict[str, list[Any]]) -> None:
        self._stats = stats

    def on_episodes_end(self, episodes: rollout.EndedEpisodes) -> None:
        self._stats["episode_length"] += episodes.lengths.tolist()
        self._stats["episode_reward"] += episodes.returns.tolist()

    def share_time(self, seconds: float, num_steps: int) -> None:
        """Gives each episode the time of its steps.

        It is not known where an iteration that was interrupted had no steps left.
        """
        seconds_per_step = seconds / num_steps if num_steps else np.nan
        self._stats["episode_time"] = [
            seconds_per_step * length for length in self._stats["episode_length"]
        ]


class _Progress(rollout.VectorListener):
    """Shows how many steps were made, and how many episodes that count have ended."""

    def __init__(self, advance: progress.Advance) -> None:
        self._advance = advance
        self.num_steps = 0

    def on_step(self, step: rollout.VectorStep) -> None:
        self.num_steps += len(step.rewards)

    def on_episodes_end(self, episodes: rollout.EndedEpisodes) -> None:
        self._advance(len(episodes.users), 0)


class VectorPhases:
    """Phases of the episodes of all users of a :class:`recsim.vector.env.RecSimVectorEnv`.

    In a training, episodes continue from one iteration to the next. In an evaluation each user has
    a given number of episodes, so that long ones count as often as short ones.

    Args:
        env: the environment.
        max_steps: number of steps after which episodes are truncated; the environment's own limit
            holds where it is smaller.

    Raises:
        TypeError: if the environment lacks methods of a RecSimVectorEnv.
        ValueError: if it does not say when next episodes begin.
    """

    #: What listeners are.
    listener_type = rollout.VectorListener

    def __init__(self, env: types.VectorEnv, max_steps: int) -> None:
        self._env: Any = env
        needed = ("max_steps_per_episode", "count_metrics_of", "reset_metrics", "write_metrics")
        missing = [name for name in needed if not hasattr(env, name)]
        if missing:
            raise TypeError(
                "env must be a RecSimVectorEnv or what behaves like one, got "
                f"{env}, which has no {', '.join(missing)}: pass the environment without "
                "wrappers, and one that recsim made."
            )
        mode = env.metadata.get("autoreset_mode")
        if getattr(mode, "name", mode) not in ("SAME_STEP", "NEXT_STEP", "DISABLED"):
            raise ValueError(
                "env must say by its metadata['autoreset_mode'] when next episodes begin: "
                f"SAME_STEP, NEXT_STEP or DISABLED of Gymnasium's AutoresetMode, got {mode}."
            )
        own_limit = getattr(env.unwrapped, "max_steps_per_episode", None)
        self._max_steps = max_steps if own_limit is None else min(max_steps, own_limit)
        self._log: episode_log.VectorEpisodeLog | None = None
        # The rollout of the last iteration of a training, or else what it is to be restored from.
        self._rollout: rollout.VectorRollout | None = None
        self._restored: Mapping[str, Any] | None = None

    def check_agent(self, agent: object) -> None:
        """Raises ValueError if an agent does not fit the environment."""
        name = type(agent).__name__
        num_users = self._env.num_envs
        if not types.is_vector_agent(agent):
            raise ValueError(
                f"{name} serves one user, but the environment is a vector environment with "
                f"{num_users:,}: let create_agent_fn return a vector agent, such as "
                "recsim.registry.create_vector_agent makes, or pass a single-user environment."
            )
        if agent.num_envs != num_users:
            raise ValueError(
                f"{name} serves {agent.num_envs:,} users, but the environment has "
                f"{num_users:,}: create it for this environment."
            )

    def episode_log(self, path: str) -> episode_log.VectorEpisodeLog:
        """Returns a log for the episodes, which listens to them."""
        self._log = episode_log.VectorEpisodeLog(path, self._env)
        return self._log

    def parquet_log(self, path: str, user_state: bool) -> parquet.VectorParquetLog:
        """Returns a Parquet log for the episodes, a listener, with hidden states or without."""
        from recsim.logs import parquet

        return parquet.VectorParquetLog(path, self._env, user_state=user_state, name="parquet_log")

    def train(
        self,
        calls: Calls,
        num_steps: int,
        steps_before: int,
        stop_if_requested: Callable[[int], None],
        advance: progress.Advance,
    ) -> int:
        """Runs steps of all users until an iteration has enough of them together.

        Args:
            calls: what the runner gives.
            num_steps: the least number of steps of the iteration.
            steps_before: how many of them there were before an interruption.
            stop_if_requested: called with the number of steps so far before there are more; it
                raises where the training is to stop.
            advance: called after each step of all users.

        Returns:
            The number of steps of the iteration.
        """
        under_way = self._restored if self._rollout is None else self._rollout.state_dict()
        statistics = _Statistics(calls.stats)
        self._rollout = self._new_rollout(calls, calls.rollout_workers, statistics)
        start_time = time.perf_counter()
        done = steps_before
        with self._limited_episodes():
            if under_way is None:
                self._rollout.reset()
            else:
                self._rollout.load_state_dict(under_way)
            self._rollout.plan(-(-(num_steps - done) // self._env.num_envs))
            while done < num_steps:
                stop_if_requested(done)
                self._rollout.step()
                done += self._env.num_envs
                advance(self._env.num_envs, max(0, done - num_steps))
            self._rollout.settle()
        statistics.share_time(time.perf_counter() - start_time, done - steps_before)
        resources.return_free_memory()
        return done

    def evaluate(self, calls: Calls, num_episodes: int, advance: progress.Advance) -> list[float]:
        """Runs episodes of new users and returns their returns, in the order of their numbers."""
        num_users = self._env.num_envs
        if num_episodes < num_users:
            _logger.warning(
                "max_eval_episodes is %d: only so many of the %d users count. A smaller "
                "environment would do.",
                num_episodes,
                num_users,
            )
        statistics, totals = _Statistics(calls.stats), rollout.EpisodeTotals(num_episodes)
        shown = _Progress(advance)
        start_time = time.perf_counter()
        each, rest = divmod(num_episodes, num_users)
        with self._limited_episodes():
            self._new_rollout(calls, None, statistics, totals, shown).run_episodes(
                each + (np.arange(num_users) < rest)
            )
        statistics.share_time(time.perf_counter() - start_time, shown.num_steps)
        return totals.returns.tolist()

    def _new_rollout(
        self, calls: Calls, workers: RolloutWorkers | None, *listeners: rollout.VectorListener
    ) -> rollout.VectorRollout:
        log = [] if self._log is None else [self._log]
        all_listeners = [*listeners, *log, *calls.listeners]
        if workers is not None:
            return workers.rollout(self._env, calls.agent, all_listeners)
        return rollout.VectorRollout(self._env, calls.agent, all_listeners)

    @contextlib.contextmanager
    def _limited_episodes(self) -> Iterator[None]:
        """Truncates episodes at the limit while the runner runs them, and not when others do."""
        limited = self._env.unwrapped
        own_limit = limited.max_steps_per_episode
        limited.max_steps_per_episode = self._max_steps
        try:
            yield
        finally:
            limited.max_steps_per_episode = own_limit
            limited.count_metrics_of(None)

    def settle(self) -> None:
        """See :meth:`recsim.simulator.rollout.VectorRollout.settle`."""
        if self._rollout is not None:
            self._rollout.settle()

    def state_dict(self) -> dict[str, Any] | None:
        """Returns what is known of the episodes under way; None if there are none."""
        if self._rollout is None:
            return None
        log = None if self._log is None else self._log.state_dict()
        return {**self._rollout.state_dict(), "episode_log": log}

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Restores what :meth:`state_dict` returned; without it, new episodes begin."""
        self._rollout, self._restored = None, state
        if state is not None and self._log is not None and state["episode_log"] is not None:
            self._log.load_state_dict(state["episode_log"])
