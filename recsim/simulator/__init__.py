"""The simulator: environments, their Gym interfaces, and runners of experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import lazy

if TYPE_CHECKING:
    from recsim.simulator import (
        checkpoint,
        environment,
        episode_log,
        gymnasium_env,
        progress,
        recsim_gym,
        rollout,
        runner_lib,
        summary,
    )

__all__ = [
    "checkpoint",
    "environment",
    "episode_log",
    "gymnasium_env",
    "progress",
    "recsim_gym",
    "rollout",
    "runner_lib",
    "summary",
]

# Scenarios need the environment, and should not wait for the runners.
__getattr__, __dir__ = lazy.lazy_submodules(__name__, __all__)
