"""Simulation of recommender systems that interact with users over time.

The modules below load at their first use, so that ``import recsim`` stays fast and brings in
neither TensorFlow nor Gym.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from recsim._version import __version__

if TYPE_CHECKING:
    from recsim import (
        agent,
        agents,
        choice_model,
        document,
        environments,
        main,
        seeding,
        simulator,
        spaces,
        testing,
        user,
        utils,
    )

__all__ = [
    "__version__",
    "agent",
    "agents",
    "choice_model",
    "document",
    "environments",
    "main",
    "seeding",
    "simulator",
    "spaces",
    "testing",
    "user",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"recsim.{name}")
    raise AttributeError(f"module 'recsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
