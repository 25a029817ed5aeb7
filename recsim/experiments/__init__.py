"""What turns runs into answers: comparisons of agents, benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim import _lazy

if TYPE_CHECKING:
    from recsim.experiments import benchmark, comparison, report

__all__ = ["benchmark", "comparison", "report"]

__getattr__, __dir__ = _lazy.lazy_submodules(__name__, __all__)
