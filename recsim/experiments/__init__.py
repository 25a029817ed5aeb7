"""Agents compared on the same users: agent_runs, results, statistics, figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import lazy

if TYPE_CHECKING:
    from recsim.experiments import (
        agent_run,
        experiment,
        experiment_file,
        factories,
        leaderboard,
        plots,
        results,
        statistics,
        summary,
        tables,
    )

__all__ = [
    "agent_run",
    "experiment",
    "experiment_file",
    "factories",
    "leaderboard",
    "plots",
    "results",
    "statistics",
    "summary",
    "tables",
]

__getattr__, __dir__ = lazy.lazy_submodules(__name__, __all__)
