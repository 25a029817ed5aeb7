"""Agents compared on the same users: comparisons, results, statistics, figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import lazy

if TYPE_CHECKING:
    from recsim.experiments import (
        comparison,
        experiment,
        experiment_file,
        factories,
        plots,
        results,
        statistics,
        summary,
        tables,
    )

__all__ = [
    "comparison",
    "experiment",
    "experiment_file",
    "factories",
    "plots",
    "results",
    "statistics",
    "summary",
    "tables",
]

__getattr__, __dir__ = lazy.lazy_submodules(__name__, __all__)
