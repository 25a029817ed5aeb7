"""Simulation of recommender systems that interact with users over time.

The modules below load at their first use, so that ``import recsim`` stays fast and brings in
neither TensorFlow nor Gym.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import gymnasium_ids, lazy
from recsim._internal.version import __version__

if TYPE_CHECKING:
    from recsim import (
        agent,
        agents,
        choice_model,
        cli,
        document,
        environments,
        experiments,
        main,
        parallel,
        registry,
        seeding,
        simulator,
        spaces,
        testing,
        user,
        utils,
        vector,
    )

__all__ = [
    "__version__",
    "agent",
    "agents",
    "choice_model",
    "cli",
    "document",
    "environments",
    "experiments",
    "main",
    "parallel",
    "registry",
    "seeding",
    "simulator",
    "spaces",
    "testing",
    "user",
    "utils",
    "vector",
]

gymnasium_ids.register_when_imported()

__getattr__, __dir__ = lazy.lazy_submodules(__name__, __all__)
