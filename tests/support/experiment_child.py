"""An experiment in a process of its own: ``python experiment_child.py FOLDER [I/N]``."""

from __future__ import annotations

import sys

from recsim.experiments import experiment

SETTINGS = {
    "seeds": 2,
    "episodes": 4,
    "steps": 30,
    "train_steps": 3000,
    "sweep": {"ClusterBanditAgent.ci_scaling": [0.5, 1.0]},
}
AGENTS = ["tabular_q", "cluster_bandit_ts", "random"]


def main(folder: str, shard: str = "1/1", workers: int = 2) -> None:
    """Runs the experiment, or a shard of it."""
    number, of = map(int, shard.split("/"))
    experiment.experiment(
        AGENTS,
        output=folder,
        shard=None if of == 1 else (number, of),
        workers=workers,
        progress=False,
        figures=False,
        **SETTINGS,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
