"""What happens over the episode: rewards, clicks and what slates are made of, step by step.

Listeners of evaluations, which keep sums over users by the step of the episode. What slates are
made of is told by topics, which responses say, or by the score of documents of which a single
number is observed, such as how much clickbait they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from recsim import types
from recsim._internal import arrays
from recsim.experiments import _recorders
from recsim.simulator import rollout

if TYPE_CHECKING:
    from recsim.simulator import recsim_gym
    from recsim.vector import env as vector_env

__all__ = ["Course", "EpisodeCourse", "UsersCourse", "for_environment"]

#: As many points has the course of an episode at most: steps of longer ones are put together.
MOST_POINTS = 200

_FEW_TOPICS = 4

_TOPIC = "slate_share_of_topic_"
_SCORE = "slate_mean_of_"
# What the number is that is observed of a document, by scenario.
_SCORE_NAMES = {"long_term_satisfaction": "clickbait_score"}

# The first columns of the sums; those of topics follow.
_USERS, _REWARDS, _CLICKS, _SCORES, _TOPICS = range(5)


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What can be counted in an environment.

    Attributes:
        has_clicks: whether responses say of clicks.
        num_topics: number of topics that they say of, 0 for none.
        has_score: whether a single number is observed of a document.
        score: what it is called.
    """

    has_clicks: bool
    num_topics: int
    has_score: bool
    score: str

    @classmethod
    def of(cls, response: types.Space, documents: list[Any], num_axes: int, score: str) -> _Kind:
        """Returns what can be counted.

        Args:
            response: the space of a response, or of one user's responses to a slate as arrays.
            documents: the spaces of the candidates, or the one of all of them as arrays.
            num_axes: how many axes these spaces have where a single number is observed.
            score: what the number is called.
        """
        try:
            names = set(dict(getattr(response, "spaces", ())))
        except (TypeError, ValueError):
            names = set()
        has_score = all(
            hasattr(space, "low") and space.shape[-1:] == (1,) and len(space.shape) == num_axes
            for space in documents
        )
        return cls("click" in names, _recorders.num_topics(response), has_score, score)

    @property
    def width(self) -> int:
        """The number of columns of the sums."""
        return _TOPICS + self.num_topics


class EpisodeCourse(rollout.Listener):
    """Keeps the course of the episodes of an environment of RecSim's kind with one user.

    Args:
        env: the environment.
        score: what the number is called that is observed of a document, if it is a single one.
    """

    def __init__(self, env: recsim_gym.RecSimGymEnv, score: str) -> None:
        space: Any = env.environment.user_model.response_space()
        documents: Any = env.observation_space["doc"]
        response = getattr(space, "spaces", [None])[0]
        self._kind = _Kind.of(response, list(documents.spaces.values()), 1, score)
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
        rows, kind = self._rows, self._kind
        if place == len(rows):
            rows.append([0.0] * kind.width)
        row = rows[place]
        row[_USERS] += 1.0
        row[_REWARDS] += step.reward
        if kind.has_score and len(step.slate):
            documents = list(step.observation["doc"].values())
            scores = [float(documents[int(position)][0]) for position in np.asarray(step.slate)]
            row[_SCORES] += sum(scores) / len(scores)
        if kind.has_clicks:
            for response in step.next_observation["response"]:
                if response["click"]:
                    row[_CLICKS] += 1.0
                if kind.num_topics:
                    row[_TOPICS + int(response["cluster_id"])] += 1.0

    def measures(self) -> dict[str, np.ndarray]:
        """Returns ``step``, shape (n_points,), and means over episodes likewise, by measure."""
        return _measures(
            np.array(self._rows).reshape(len(self._rows), self._kind.width), self._kind
        )


class UsersCourse(rollout.VectorListener):
    """Keeps the course of the episodes of users in parallel.

    Args:
        env: the environment.
        score: what the number is called that is observed of a document, if it is a single one.
    """

    def __init__(self, env: types.VectorEnv, score: str) -> None:
        spaces: Any = env.single_observation_space
        self._kind = _Kind.of(spaces["response"], [spaces["doc"]], 2, score)
        # Of each user the number of the step that comes next, from 1.
        self._steps = np.ones(env.num_envs, np.int64)
        self.clear()

    def clear(self) -> None:
        """Forgets the episodes."""
        # By the number of the step. In row 0 is what does not count.
        self._rows = np.zeros((64, self._kind.width))
        self._longest = 0

    def on_reset(self, observation: types.Observation, infos: Mapping[str, Any]) -> None:
        """Begins an episode of every user."""
        self._steps[:] = 1
        self._together = True  # All users are in the same step of their episodes.
        self._documents = observation["doc"]

    def on_step(self, step: rollout.VectorStep) -> None:
        """Counts a step of those users whose steps count."""
        columns: dict[int, np.ndarray] = {_REWARDS: np.asarray(step.rewards, np.float64)}
        if self._kind.has_score:
            places = arrays.row_positions(step.slates, self._documents.shape[1])
            shown = arrays.take_positions(self._documents, places)
            columns[_SCORES] = shown[..., 0].T.sum(axis=0) / len(places)
            self._documents = step.observation["doc"]
        topics: np.ndarray | None = None
        if self._kind.has_clicks:
            # The users, not the positions, are neighbours in memory.
            columns[_CLICKS] = step.responses["click"].T.sum(axis=0)
            if self._kind.num_topics:
                topics = step.responses["cluster_id"].T
        if step.counting is None and self._together:
            self._count_together(columns, topics)
        else:
            self._count(columns, topics, step.counting)
        self._steps += 1

    def _count_together(self, columns: Mapping[int, np.ndarray], topics: np.ndarray | None) -> None:
        """Counts a step of users who all are in the same step of their episodes."""
        place = int(self._steps[0])
        row = self._reach(place)[place]
        row[_USERS] += len(self._steps)
        for column, values in columns.items():
            row[column] += values.sum(dtype=np.float64)
        if topics is not None:
            row[_TOPICS:] += _counts(topics, self._kind.num_topics)

    def _count(
        self,
        columns: Mapping[int, np.ndarray],
        topics: np.ndarray | None,
        counting: np.ndarray | None,
    ) -> None:
        """Counts a step of users who are in different steps of their episodes.

        Args:
            columns: values by column, of shape (n_users,).
            topics: shape (slate_size, n_users).
            counting: whose steps count; None for all.
        """
        places = self._steps if counting is None else self._steps * counting
        longest = int(places.max())
        rows = self._reach(longest)[: longest + 1]
        rows[:, _USERS] += np.bincount(places)
        for column, values in columns.items():
            rows[:, column] += np.bincount(places, values)
        if topics is not None:
            firsts = places * self._kind.num_topics
            for of_position in topics:
                counts = np.bincount(firsts + of_position, minlength=rows[:, _TOPICS:].size)
                rows[:, _TOPICS:] += counts.reshape(longest + 1, -1)

    def _reach(self, longest: int) -> np.ndarray:
        """Returns the sums by step, with room for so many steps."""
        if longest >= len(self._rows):
            more = np.zeros((max(longest + 1, 2 * len(self._rows)), self._rows.shape[1]))
            more[: len(self._rows)] = self._rows
            self._rows = more
        self._longest = max(self._longest, longest)
        return self._rows

    def on_episodes_end(self, episodes: rollout.EndedEpisodes) -> None:
        """Lets the users whose episodes ended begin anew."""
        self._steps[episodes.ended] = 1
        self._together = len(episodes.ended) == len(self._steps)

    def measures(self) -> dict[str, np.ndarray]:
        """Returns what :meth:`EpisodeCourse.measures` does."""
        return _measures(self._rows[1 : self._longest + 1], self._kind)


Course = EpisodeCourse | UsersCourse


def for_environment(
    env: recsim_gym.RecSimGymEnv | vector_env.SlateVectorEnv, scenario: str = ""
) -> Course | None:
    """Returns what keeps the course of episodes of either engine; None with several users each.

    Args:
        env: the environment.
        scenario: its name.
    """
    score = _SCORE_NAMES.get(scenario, "document_score")
    if types.is_vector_env(env):
        return UsersCourse(env, score)
    single = cast("recsim_gym.RecSimGymEnv", env)
    return None if rollout.has_several_users(single) else EpisodeCourse(single, score)


def _counts(topics: np.ndarray, num_topics: int) -> np.ndarray:
    """Returns how many documents there are of each topic, shape (num_topics,)."""
    if num_topics <= _FEW_TOPICS:  # np.bincount waits for each count of the same topic.
        return np.array([np.count_nonzero(topics == topic) for topic in range(num_topics)])
    return np.bincount(topics.ravel(), minlength=num_topics)


def _measures(rows: np.ndarray, kind: _Kind) -> dict[str, np.ndarray]:
    """Returns the measures of sums by step, of which those of long episodes are put together.

    Args:
        rows: users, rewards, clicks, scores, then documents by topic; shape (n_steps, width).
        kind: what was counted.
    """
    if not len(rows):
        return {}
    firsts = np.arange(0, len(rows), -(-len(rows) // MOST_POINTS))
    sums = np.add.reduceat(rows, firsts, axis=0)
    users = sums[:, _USERS]
    measures = {"step": firsts, "reward": sums[:, _REWARDS] / users}
    if kind.has_clicks:
        measures["click_through_rate"] = sums[:, _CLICKS] / users
    if kind.has_score:
        measures[f"{_SCORE}{kind.score}"] = sums[:, _SCORES] / users
    of_topics = sums[:, _TOPICS:]
    documents = np.maximum(of_topics.sum(axis=1), 1.0)
    for topic, shown in enumerate(of_topics.T):
        measures[f"{_TOPIC}{topic}"] = shown / documents
    return measures
