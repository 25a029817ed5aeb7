"""Episode logs as Parquet files, a row for each impression.

A log is a folder of Parquet files, as pandas, Polars and DuckDB read it as one table. It is a
listener of a rollout:

    >>> import tempfile
    >>> from recsim.agents import random_agent
    >>> from recsim.environments import interest_exploration
    >>> from recsim.simulator import rollout
    >>> env = interest_exploration.create_environment(
    ...     {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0})
    >>> log = ParquetLog(tempfile.mkdtemp() + "/episodes.parquet", env)
    >>> agent = random_agent.RandomAgent(env.action_space)
    >>> _ = rollout.run_episode(env, agent, max_steps=3, listeners=[log])
    >>> log.finish()
    >>> import recsim
    >>> len(recsim.read_episodes(log.path))
    6

:mod:`recsim.logs.columns` says what the columns are. The runners write such a log
(``parquet_log``), and :func:`recsim.vector.simulate.simulate` writes one with a file a chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recsim import types
from recsim._internal import paths
from recsim.logs import dataset, impressions

if TYPE_CHECKING:
    from recsim.simulator import rollout

__all__ = ["ParquetLog", "VectorParquetLog"]


class ParquetLog(dataset.Dataset):
    """A Parquet log of the episodes of an environment of RecSim's kind.

    Call :meth:`finish` after the last episode: before that there is no folder of this name.

    Args:
        path: the folder, of a name that is free.
        env: see :class:`recsim.logs.impressions.Impressions`.
        user_state: likewise.
        name: what the path is called in errors.

    Raises:
        TypeError, ValueError, OSError: see :class:`recsim.logs.dataset.Dataset`.
    """

    def __init__(
        self,
        path: paths.Path,
        env: types.RecommenderEnv,
        *,
        user_state: bool = False,
        name: str = "path",
    ) -> None:
        super().__init__(name, path)
        self._rows = impressions.Impressions(env, self.add, user_state=user_state)

    def start(self, kept: Mapping[str, object] | None = None) -> None:
        """See :meth:`recsim.logs.dataset.Dataset.start`."""
        super().start(kept)
        episode = 0 if kept is None else kept.get("episode", 0)
        self._rows.start(episode if type(episode) is int else 0)

    def sync(self) -> dict[str, object]:
        """See :meth:`recsim.logs.dataset.Dataset.sync`; the number of the next episode is added."""
        self._rows.flush()
        return {**super().sync(), "episode": self._rows.episode}

    def finish(self) -> None:
        """See :meth:`recsim.logs.dataset.Dataset.finish`."""
        self._rows.flush()
        super().finish()

    def on_reset(self, observation: types.Observation) -> None:
        """Begins an episode."""
        self._rows.on_reset(observation)

    def on_step(self, step: rollout.Step) -> None:
        """Adds the impressions of a step."""
        self._rows.on_step(step)

    def on_episode_end(self, episode: rollout.Episode) -> None:
        """Ends the present episode."""
        self._rows.on_episode_end(episode)


class VectorParquetLog(dataset.Dataset):
    """A Parquet log of the episodes of users in parallel.

    An episode that was under way when the log ended is there without its end: its last rows are
    neither terminated nor truncated.

    Args:
        path: the folder, of a name that is free.
        env: see :class:`recsim.logs.impressions.VectorImpressions`.
        user_state: likewise.
        name: what the path is called in errors.

    Raises:
        TypeError, ValueError, OSError: see :class:`recsim.logs.dataset.Dataset`.
    """

    def __init__(
        self,
        path: paths.Path,
        env: types.VectorEnv,
        *,
        user_state: bool = False,
        name: str = "path",
    ) -> None:
        super().__init__(name, path)
        self._rows = impressions.VectorImpressions(env, self.add, user_state=user_state)

    def start(self, kept: Mapping[str, object] | None = None) -> None:
        """See :meth:`recsim.logs.dataset.Dataset.start`."""
        super().start(kept)
        state = None if kept is None else kept.get("episodes")
        self._rows.load_state_dict(state if isinstance(state, dict) else None)

    def sync(self) -> dict[str, object]:
        """See :meth:`recsim.logs.dataset.Dataset.sync`; the episodes under way are added."""
        return {**super().sync(), "episodes": self._rows.state_dict()}

    def on_reset(self, observation: types.Observation, infos: types.Infos) -> None:
        """Begins an episode of every user."""
        self._rows.on_reset(observation, infos)

    def on_step(self, step: rollout.VectorStep) -> None:
        """Adds the impressions of a step."""
        self._rows.on_step(step)

    def on_episodes_end(self, episodes: rollout.EndedEpisodes) -> None:
        """Does nothing: a step says which episodes ended with it."""
