"""What turns runs into answers: comparisons of agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim import _lazy

if TYPE_CHECKING:
    from recsim.experiments import comparison

__all__ = ["comparison"]

__getattr__, __dir__ = _lazy.lazy_submodules(__name__, __all__)
