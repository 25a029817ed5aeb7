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


class _Sums:
    """Sums over users by step of the episode, in arrays that grow.

    Args:
        num_topics: number of topics, 0 where responses have none.
        has_clicks: whether responses say what was clicked.
    """

    def __init__(self, num_topics: int, has_clicks: bool) -> None:
        self.num_topics = num_topics
        self.has_clicks = has_clicks
        self.clear()

    def clear(self) -> None:
        """Forgets everything."""
        # Users, rewards, clicks, then documents by topic.
        self.rows = np.zeros((64, 3 + self.num_topics))
        self.num_steps = 0

    def reach(self, num_steps: int) -> None:
        """Makes room for so many steps."""
        if num_steps > len(self.rows):
            more = np.zeros((max(num_steps, 2 * len(self.rows)), self.rows.shape[1]))
            more[: len(self.rows)] = self.rows
            self.rows = more
        self.num_steps = max(self.num_steps, num_steps)

    def measures(self) -> dict[str, np.ndarray]:
        """Returns ``step``, shape (n_points,), and means over users likewise, by measure."""
        width = max(1, -(-self.num_steps // MOST_POINTS))
        firsts = np.arange(0, self.num_steps, width)
        if not len(firsts):
            return {}
        sums = np.add.reduceat(self.rows[: self.num_steps], firsts, axis=0)
        users, rewards, clicks = sums[:, :3].T
        measures = {"step": firsts, "reward": rewards / users}
        if self.has_clicks:
            measures["click_through_rate"] = clicks / users
        documents = np.maximum(sums[:, 3:].sum(axis=1), 1.0)
        for topic in range(self.num_topics):
            measures[f"{_TOPIC}{topic}"] = sums[:, 3 + topic] / documents
        return measures


class EpisodeCourse(rollout.Listener):
    """Keeps the course of the episodes of an environment of RecSim's kind with one user.

    Args:
        env: the environment.
    """

    def __init__(self, env: recsim_gym.RecSimGymEnv) -> None:
        space: Any = env.environment.user_model.response_space()
        of_one = getattr(space, "spaces", [None])[0]
        self._sums = _Sums(*_kind(of_one))

    def clear(self) -> None:
        """Forgets the episodes."""
        self._sums.clear()

    def on_reset(self, observation: types.Observation) -> None:
        """Begins an episode."""
        self._step = 0

    def on_step(self, step: rollout.Step) -> None:
        """Counts a step."""
        sums = self._sums
        self._step += 1
        sums.reach(self._step)
        row = sums.rows[self._step - 1]
        row[0] += 1.0
        row[1] += step.reward
        if sums.has_clicks:
            responses = step.next_observation["response"]
            row[2] += sum(int(response["click"]) for response in responses)
            if sums.num_topics:
                for response in responses:
                    row[3 + int(response["cluster_id"])] += 1.0

    def measures(self) -> dict[str, np.ndarray]:
        """Returns ``step``, shape (n_points,), and means over episodes likewise, by measure."""
        return self._sums.measures()


class UsersCourse(rollout.VectorListener):
    """Keeps the course of the episodes of users in parallel.

    Args:
        env: the environment.
    """

    def __init__(self, env: types.VectorEnv) -> None:
        spaces: Any = env.single_observation_space
        self._sums = _Sums(*_kind(spaces["response"]))
        self._steps = np.zeros(env.num_envs, np.int64)

    def clear(self) -> None:
        """Forgets the episodes."""
        self._sums.clear()

    def on_reset(self, observation: types.Observation, infos: Mapping[str, Any]) -> None:
        """Begins an episode of every user."""
        self._steps[:] = 0

    def on_step(self, step: rollout.VectorStep) -> None:
        """Counts a step of those users whose steps count."""
        sums = self._sums
        which = slice(None) if step.counting is None else step.counting
        steps = self._steps[which].copy()
        self._steps += 1
        longest = int(steps.max()) + 1
        sums.reach(longest)
        parts = [np.ones(len(steps)), np.asarray(step.rewards, np.float64)[which]]
        responses = step.responses if sums.has_clicks else {}
        if sums.has_clicks:
            clicked = responses["click"][which]
            parts.append(np.count_nonzero(clicked, axis=-1).astype(np.float64))
        for column, values in enumerate(parts):
            sums.rows[:longest, column] += np.bincount(steps, values, longest)
        if sums.num_topics:
            topics = np.asarray(responses["cluster_id"][which], np.int64)
            cells = (steps[:, np.newaxis] * sums.num_topics + topics).ravel()
            counts = np.bincount(cells, minlength=longest * sums.num_topics)
            sums.rows[:longest, 3:] += counts.reshape(longest, sums.num_topics)

    def on_episodes_end(self, episodes: rollout.EndedEpisodes) -> None:
        """Lets the users whose episodes ended begin anew."""
        self._steps[episodes.ended] = 0

    def measures(self) -> dict[str, np.ndarray]:
        """Returns what :meth:`EpisodeCourse.measures` does."""
        return self._sums.measures()


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
