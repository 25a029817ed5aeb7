"""Bandits: multi-armed ones, and those with generalised linear, linear or logistic models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import lazy

if TYPE_CHECKING:
    from recsim.agents.bandits import (
        algorithms,
        glm_algorithms,
        linear_algorithms,
        logistic_algorithms,
    )

__all__ = ["algorithms", "glm_algorithms", "linear_algorithms", "logistic_algorithms"]

# Some take SciPy, which agents should not wait for.
__getattr__, __dir__ = lazy.lazy_submodules(__name__, __all__)
