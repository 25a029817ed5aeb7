"""What happens over the episode: rewards, clicks and what slates are made of, step by step.

Listeners of evaluations, which keep sums over users by the step of the episode.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from recsim import types
from recsim.experiments import _recorders
from recsim.simulator import rollout

if TYPE_CHECKING:
    from recsim.simulator import recsim_gym
    from recsim.vector import env as vector_env

__all__ = ["Course", "EpisodeCourse", "UsersCourse", "for_environment"]

#: As many points has the course of an episode at most: steps of longer ones are put together.
MOST_POINTS = 200

_TOPIC = "slate_share_of_topic_"


class EpisodeCourse(rollout.Listener):
    """Keeps the course of the episodes of an environment of RecSim's kind with one user.

    Args:
        env: the environment.
    """

    def __init__(self, env: recsim_gym.RecSimGymEnv) -> None:
        space: Any = env.environment.user_model.response_space()
        self._num_topics, self._has_clicks = _kind(getattr(space, "spaces", [None])[0])
        self.clear()

    def clear(self) -> None:
        """Forgets the episodes."""
        # By step: numbers of Python's, which single ones are faster added to than to an array.
        self._rows: list[list[float]] = []

    def on_reset(self, observation: types.Observation) -> None:
        """Begins an episode."""
        self._step = 0

    def on_step(self, step: rollout.Step) -> None:
        """Counts a step."""
        place = self._step
        self._step = place + 1
        rows = self._rows
        if place == len(rows):
            rows.append([0.0] * (3 + self._num_topics))
        row = rows[place]
        row[0] += 1.0
        row[1] += step.reward
        if self._has_clicks:
            for response in step.next_observation["response"]:
                if response["click"]:
                    row[2] += 1.0
                if self._num_topics:
                    row[3 + int(response["cluster_id"])] += 1.0

    def measures(self) -> dict[str, np.ndarray]:
        """Returns ``step``, shape (n_points,), and means over episodes likewise, by measure."""
        rows = np.array(self._rows).reshape(len(self._rows), 3 + self._num_topics)
        return _measures(rows, self._has_clicks)


class UsersCourse(rollout.VectorListener):
    """Keeps the course of the episodes of users in parallel.

    Args:
        env: the environment.
    """

    def __init__(self, env: types.VectorEnv) -> None:
        spaces: Any = env.single_observation_space
        self._num_topics, self._has_clicks = _kind(spaces["response"])
        self._steps = np.zeros(env.num_envs, np.int64)
        self.clear()

    def clear(self) -> None:
        """Forgets the episodes."""
        self._rows = np.zeros((64, 3 + self._num_topics))
        self._longest = 0

    def on_reset(self, observation: types.Observation, infos: Mapping[str, Any]) -> None:
        """Begins an episode of every user."""
        self._steps[:] = 0
        self._together = True  # All users are in the same step of their episodes.

    def on_step(self, step: rollout.VectorStep) -> None:
        """Counts a step of those users whose steps count."""
        rewards = np.asarray(step.rewards, np.float64)
        responses = step.responses if self._has_clicks else {}
        if step.counting is None and self._together:
            place = int(self._steps[0])
            row = self._reach(place + 1)[place]
            row[0] += len(rewards)
            row[1] += rewards.sum()
            if self._has_clicks:
                row[2] += np.count_nonzero(responses["click"])
            if self._num_topics:
                topics = responses["cluster_id"].ravel(order="K")
                row[3:] += np.bincount(topics, minlength=self._num_topics)
        else:
            self._count(rewards, responses, step.counting)
        self._steps += 1

    def _count(
        self,
        rewards: np.ndarray,
        responses: Mapping[str, np.ndarray],
        counting: np.ndarray | None,
    ) -> None:
        """Counts a step of users who are in different steps of their episodes."""
        which = slice(None) if counting is None else counting
        steps = self._steps[which]
        longest = int(steps.max()) + 1
        rows = self._reach(longest)[:longest]
        rows[:, 0] += np.bincount(steps, minlength=longest)
        rows[:, 1] += np.bincount(steps, rewards[which], longest)
        if self._has_clicks:
            clicks = np.count_nonzero(responses["click"][which], axis=-1)
            rows[:, 2] += np.bincount(steps, clicks, longest)
        if self._num_topics:
            topics = responses["cluster_id"][which].astype(np.int64)
            cells = (steps[:, np.newaxis] * self._num_topics + topics).ravel()
            counts = np.bincount(cells, minlength=longest * self._num_topics)
            rows[:, 3:] += counts.reshape(longest, self._num_topics)

    def _reach(self, num_steps: int) -> np.ndarray:
        """Returns the sums by step, with room for so many steps."""
        if num_steps > len(self._rows):
            more = np.zeros((max(num_steps, 2 * len(self._rows)), self._rows.shape[1]))
            more[: len(self._rows)] = self._rows
            self._rows = more
        self._longest = max(self._longest, num_steps)
        return self._rows

    def on_episodes_end(self, episodes: rollout.EndedEpisodes) -> None:
        """Lets the users whose episodes ended begin anew."""
        self._steps[episodes.ended] = 0
        self._together = len(episodes.ended) == len(self._steps)

    def measures(self) -> dict[str, np.ndarray]:
        """Returns what :meth:`EpisodeCourse.measures` does."""
        return _measures(self._rows[: self._longest], self._has_clicks)


Course = EpisodeCourse | UsersCourse


def for_environment(env: recsim_gym.RecSimGymEnv | vector_env.SlateVectorEnv) -> Course | None:
    """Returns what keeps the course of episodes of either engine; None with several users each."""
    if types.is_vector_env(env):
        return UsersCourse(env)
    single = cast("recsim_gym.RecSimGymEnv", env)
    return None if rollout.has_several_users(single) else EpisodeCourse(single)


def _kind(response_space: types.Space) -> tuple[int, bool]:
    """Returns the number of topics of responses, 0 for none, and whether they say of clicks."""
    try:
        names = set(dict(getattr(response_space, "spaces", ())))
    except (TypeError, ValueError):
        names = set()
    return _recorders.num_topics(response_space), "click" in names


def _measures(rows: np.ndarray, has_clicks: bool) -> dict[str, np.ndarray]:
    """Returns the measures of sums by step, of which those of long episodes are put together.

    Args:
        rows: users, rewards, clicks, then documents by topic; shape (n_steps, 3 + n_topics).
        has_clicks: whether clicks were counted.
    """
    if not len(rows):
        return {}
    firsts = np.arange(0, len(rows), -(-len(rows) // MOST_POINTS))
    sums = np.add.reduceat(rows, firsts, axis=0)
    users, rewards, clicks = sums[:, :3].T
    measures = {"step": firsts, "reward": rewards / users}
    if has_clicks:
        measures["click_through_rate"] = clicks / users
    documents = np.maximum(sums[:, 3:].sum(axis=1), 1.0)
    for topic, shown in enumerate(sums[:, 3:].T):
        measures[f"{_TOPIC}{topic}"] = shown / documents
    return measures
