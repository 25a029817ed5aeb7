"""The leaderboard: a frozen benchmark of agents, its tasks, its runs and its page.

:mod:`recsim.experiments.leaderboard.tasks` says what a version of it is made of,
:mod:`recsim.experiments.leaderboard.slates_v1` has the tasks of the first,
:mod:`recsim.experiments.leaderboard.baselines` the library's agents and the settings that are tried
for them, :mod:`recsim.experiments.leaderboard.runs` runs agents in the tasks,
:mod:`recsim.experiments.leaderboard.entries` has the files of what they earned, and
:mod:`recsim.experiments.leaderboard.page` makes tables,
:mod:`recsim.experiments.leaderboard.findings` sentences and
:mod:`recsim.experiments.leaderboard.figures` figures of these.

Example:
    >>> from recsim.experiments import leaderboard
    >>> version = leaderboard.tasks.version_of("recsim-slates-v1")
    >>> len(version.tasks), version.num_seeds
    (8, 10)
    >>> "ppo+recent5" in leaderboard.baselines.names()
    True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import lazy

if TYPE_CHECKING:
    from recsim.experiments.leaderboard import (
        baselines,
        entries,
        figures,
        findings,
        page,
        runs,
        slates_v1,
        tasks,
    )

__all__ = ["baselines", "entries", "figures", "findings", "page", "runs", "slates_v1", "tasks"]

__getattr__, __dir__ = lazy.lazy_submodules(__name__, __all__)
