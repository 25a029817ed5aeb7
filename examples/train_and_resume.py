"""Trains tabular Q-learning, stops half-way, resumes, and ends as if it had not stopped.

Both trainings write their checkpoints and TensorBoard files below a folder.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile

from recsim.agents.tabular_q_agent import TabularQAgent
from recsim.environments import long_term_satisfaction
from recsim.simulator import runner_lib


def create_agent(sess, environment, eval_mode, summary_writer=None):
    return TabularQAgent(
        environment.observation_space, environment.action_space, eval_mode=eval_mode, seed=0
    )


def train(folder: pathlib.Path, iterations: int, steps: int) -> None:
    """Trains for a number of iterations, from the folder's last checkpoint on if there is one."""
    runner_lib.TrainRunner(
        base_dir=str(folder),
        create_agent_fn=create_agent,
        env=long_term_satisfaction.create_environment(
            {"num_candidates": 5, "slate_size": 1, "resample_documents": True, "seed": 0}
        ),
        max_training_steps=steps,
        num_iterations=iterations,
        max_steps_per_episode=50,
        progress=False,
    ).run_experiment()


def rewards(folder: pathlib.Path) -> list[float]:
    """Returns the mean return of each iteration of a training."""
    lines = (folder / "train" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["AverageEpisodeRewards"] for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=1000, help="steps an iteration (%(default)s)")
    parser.add_argument("--folder", type=pathlib.Path, default=None, help="(a temporary one)")
    args = parser.parse_args()
    folder = args.folder or pathlib.Path(tempfile.mkdtemp())

    train(folder / "whole", 4, args.steps)
    train(folder / "resumed", 2, args.steps)
    train(folder / "resumed", 4, args.steps)
    whole, resumed = rewards(folder / "whole"), rewards(folder / "resumed")
    print("mean return of each iteration:", *(f"{value:.1f}" for value in whole))
    print("the same when resumed:", whole == resumed)
    print("files:", folder)


if __name__ == "__main__":
    main()
