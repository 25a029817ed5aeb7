"""Recorders of runs: listeners that keep what each episode of an evaluation was like."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from recsim import metrics, types
from recsim.simulator import rollout

if TYPE_CHECKING:
    from recsim.simulator import recsim_gym
    from recsim.vector import env as vector_env

__all__ = [
    "EpisodeRecorder",
    "Recorder",
    "UsersRecorder",
    "for_environment",
    "num_topics",
    "ticker",
]

_CLICKS_BY_TOPIC = "clicks_by_topic"


class EpisodeRecorder(rollout.Listener):
    """Keeps what each episode was like.

    Args:
        env: the environment.
    """

    def __init__(self, env: recsim_gym.RecSimGymEnv) -> None:
        self._env = env
        self.clear()

    def clear(self) -> None:
        """Forgets the episodes."""
        self._episodes: list[dict[str, float]] = []
        self._counts: dict[str, float] = {}

    def on_episode_end(self, episode: rollout.Episode) -> None:
        """Keeps an episode."""
        # Of all episodes so far. The attribute is one of RecSim's.
        counts = dict(self._env._metrics)  # noqa: SLF001
        in_episode = {name: counts[name] - self._counts.get(name, 0) for name in counts}
        self._counts = counts
        self._episodes.append(
            {
                "steps": episode.num_steps,
                "return": episode.total_reward,
                "steps_per_second": episode.num_steps / episode.seconds,
                **in_episode,
            }
        )

    def episode_counts(self) -> dict[str, np.ndarray]:
        """Returns steps, return, speed and the environment's metrics of each episode."""
        names = dict.fromkeys(name for episode in self._episodes for name in episode)
        if metrics.IMPRESSIONS in names:
            space: Any = self._env.environment.user_model.response_space()
            topics = range(num_topics(getattr(space, "spaces", [None])[0]))
            names |= dict.fromkeys(f"{metrics.CLICKS_ON_TOPIC}{topic}" for topic in topics)
        return {
            name: np.array([episode.get(name, 0) for episode in self._episodes]) for name in names
        }


class UsersRecorder(rollout.VectorListener):
    """Keeps what each episode of users in parallel was like.

    Args:
        env: the environment.
    """

    def __init__(self, env: types.VectorEnv) -> None:
        spaces: Any = env.single_observation_space
        self._num_topics = num_topics(spaces["response"])
        self.clear()

    def clear(self) -> None:
        """Forgets the episodes."""
        # The values of all episodes, in the order in which they ended, and their numbers.
        self._episodes: dict[str, list[np.ndarray]] = {}
        self._numbers: list[np.ndarray] = []
        self._counts: dict[str, np.ndarray] = {}  # Of each user's present episode.

    def on_reset(self, observation: types.Observation, infos: Mapping[str, Any]) -> None:
        """Begins to measure the time."""
        self._start_time = time.perf_counter()
        self._num_steps = 0

    def on_step(self, step: rollout.VectorStep) -> None:
        """Counts a step of all users."""
        self._num_steps += len(step.rewards)
        in_step = _click_counts(step.responses, self._num_topics) if self._num_topics else {}
        for name, counts in in_step.items():
            if name in self._counts:
                self._counts[name] += counts
            else:
                self._counts[name] = counts

    def on_episodes_end(self, episodes: rollout.EndedEpisodes) -> None:
        """Keeps the episodes that count."""
        self._seconds = time.perf_counter() - self._start_time
        measured = {name: counts[episodes.users] for name, counts in self._counts.items()}
        measured = {"steps": episodes.lengths, "return": episodes.returns, **measured}
        for name, values in measured.items():
            self._episodes.setdefault(name, []).append(values)
        self._numbers.append(episodes.episodes)
        for counts in self._counts.values():
            counts[episodes.ended] = 0

    def episode_counts(self) -> dict[str, np.ndarray]:
        """Returns what :meth:`EpisodeRecorder.episode_counts` does."""
        order = np.argsort(np.concatenate(self._numbers))
        counts = {
            name: np.concatenate(values)[order].astype(np.float64)
            for name, values in self._episodes.items()
        }
        by_topic = counts.pop(_CLICKS_BY_TOPIC, np.zeros((0, 0)))
        for topic in range(by_topic.shape[1]):
            counts[f"{metrics.CLICKS_ON_TOPIC}{topic}"] = by_topic[:, topic]
        rate = self._num_steps / self._seconds
        return {**counts, "steps_per_second": np.full(len(order), rate)}


Recorder = EpisodeRecorder | UsersRecorder


def for_environment(env: recsim_gym.RecSimGymEnv | vector_env.SlateVectorEnv) -> Recorder:
    """Returns a recorder of an evaluation in an environment of either engine."""
    if types.is_vector_env(env):
        return UsersRecorder(env)
    return EpisodeRecorder(cast("recsim_gym.RecSimGymEnv", env))


class _EpisodeTicker(rollout.Listener):
    """Tells of the steps of each episode that has ended."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance = advance

    def on_episode_end(self, episode: rollout.Episode) -> None:
        self._advance(episode.num_steps)


class _UsersTicker(rollout.VectorListener):
    """Tells of the steps of all users."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance = advance

    def on_step(self, step: rollout.VectorStep) -> None:
        self._advance(len(step.rewards))


def ticker(
    env: types.AnyEnv, advance: Callable[[int], None]
) -> rollout.Listener | rollout.VectorListener:
    """Returns a listener that tells of progress in an environment of either engine.

    Args:
        env: the environment.
        advance: called with the number of steps since the last call.
    """
    return _UsersTicker(advance) if types.is_vector_env(env) else _EpisodeTicker(advance)


def num_topics(response_space: types.Space) -> int:
    """Returns how many topics clicks are counted by, 0 where responses do not say.

    Args:
        response_space: the space of a response, or of one user's responses to a slate as arrays.
    """
    try:
        entries = dict(getattr(response_space, "spaces", ()))
    except (TypeError, ValueError):
        return 0
    if not {"click", "quality", "cluster_id"} <= set(entries):
        return 0
    topics = entries["cluster_id"]
    return int(topics.nvec.max() if hasattr(topics, "nvec") else getattr(topics, "n", 0))


def _click_counts(responses: Mapping[str, np.ndarray], num_topics: int) -> dict[str, np.ndarray]:
    """Returns the counts of :mod:`recsim.metrics` for one step of each of the users.

    Args:
        responses: observed responses, arrays of shape (n_users, slate_size).
        num_topics: number of topics.

    Returns:
        Arrays of shape (n_users,), and clicks by topic of shape (n_users, num_topics).
    """
    clicked = responses["click"].astype(bool)
    return {
        metrics.IMPRESSIONS: np.ones(len(clicked)),
        metrics.CLICKS: metrics.num_clicks(clicked).astype(np.float64),
        metrics.QUALITY: metrics.click_quality(clicked, responses["quality"]),
        _CLICKS_BY_TOPIC: metrics.clicks_by_topic(clicked, responses["cluster_id"], num_topics),
    }
