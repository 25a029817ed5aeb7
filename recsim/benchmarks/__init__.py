"""Measurements of speed, memory and training, also beside RecSim 0.2.4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import lazy

if TYPE_CHECKING:
    from recsim.benchmarks import (
        default_training,
        endurance,
        episode_logs,
        fitting_recovery,
        off_policy,
        rollout_workers,
        sampling,
        scaling,
        scenario_fits,
        slate_learning,
        stable_baselines3,
        throughput,
        training,
        vector_training,
    )

__all__ = [
    "default_training",
    "endurance",
    "episode_logs",
    "fitting_recovery",
    "off_policy",
    "rollout_workers",
    "sampling",
    "scaling",
    "scenario_fits",
    "slate_learning",
    "stable_baselines3",
    "throughput",
    "training",
    "vector_training",
]

__getattr__, __dir__ = lazy.lazy_submodules(__name__, __all__)
