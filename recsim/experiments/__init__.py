"""What turns runs into answers: comparisons of agents, reproductions of papers, benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import lazy

if TYPE_CHECKING:
    from recsim.experiments import (
        advantage_amplification,
        bandit_regret,
        benchmark,
        comparison,
        default_training,
        draws_benchmark,
        estimates,
        interest_exploration_order,
        report,
        reproduce,
        slateq,
        tables,
        training_benchmark,
        vector_training,
    )

__all__ = [
    "advantage_amplification",
    "bandit_regret",
    "benchmark",
    "comparison",
    "default_training",
    "draws_benchmark",
    "estimates",
    "interest_exploration_order",
    "report",
    "reproduce",
    "slateq",
    "tables",
    "training_benchmark",
    "vector_training",
]

__getattr__, __dir__ = lazy.lazy_submodules(__name__, __all__)
