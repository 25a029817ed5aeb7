"""Published results, repeated: one base, and a module a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import lazy

if TYPE_CHECKING:
    from recsim.reproductions import (
        advantage_amplification,
        bandit_regret,
        base,
        interest_exploration,
        slateq,
    )

__all__ = [
    "advantage_amplification",
    "bandit_regret",
    "base",
    "interest_exploration",
    "slateq",
]

__getattr__, __dir__ = lazy.lazy_submodules(__name__, __all__)
