"""Simulation of recommender systems that interact with users over time.

The import registers the scenarios in Gymnasium. What is below loads at its first use, so that it
stays fast and brings in neither TensorFlow nor Gym.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim import registry
from recsim._internal import lazy
from recsim._internal.version import __version__

if TYPE_CHECKING:
    from recsim import (
        action_masks,
        agent,
        agents,
        benchmarks,
        choice_model,
        cli,
        clusters,
        document,
        environments,
        experiments,
        fitting,
        logs,
        main,
        metrics,
        ope,
        parallel,
        reproductions,
        sb3,
        seeding,
        serving,
        simulator,
        spaces,
        testing,
        types,
        user,
        utils,
        vector,
        watching,
    )
    from recsim.experiments.experiment import experiment
    from recsim.logs.reader import read_episodes
    from recsim.serving import load_agent
    from recsim.watching.recording import watch

__all__ = [
    "__version__",
    "action_masks",
    "agent",
    "agents",
    "benchmarks",
    "choice_model",
    "cli",
    "clusters",
    "document",
    "environments",
    "experiment",
    "experiments",
    "fitting",
    "load_agent",
    "logs",
    "main",
    "metrics",
    "ope",
    "parallel",
    "read_episodes",
    "registry",
    "reproductions",
    "sb3",
    "seeding",
    "serving",
    "simulator",
    "spaces",
    "testing",
    "types",
    "user",
    "utils",
    "vector",
    "watch",
    "watching",
]

registry.register_in_gymnasium()

_CONTENTS = {
    "experiment": "experiments.experiment",
    "load_agent": "serving",
    "read_episodes": "logs.reader",
    "watch": "watching.recording",
}

__getattr__, __dir__ = lazy.lazy_submodules(
    __name__, [name for name in __all__ if name not in _CONTENTS], _CONTENTS
)
