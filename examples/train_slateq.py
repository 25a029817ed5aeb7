"""Trains SlateQ in interest evolution and evaluates it beside a random agent.

With the defaults it takes minutes; the published results need 300,000 steps, see
``recsim reproduce slateq``.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile

import numpy as np

from recsim.agents import random_agent, slate_decomp_q_agent
from recsim.environments import interest_evolution
from recsim.simulator import runner_lib


def make_environment(seed: int):
    return interest_evolution.create_environment(
        {"num_candidates": 10, "slate_size": 3, "resample_documents": True, "seed": seed}
    )


def create_random(sess, environment, eval_mode, summary_writer=None):
    return random_agent.RandomAgent(environment.action_space, random_seed=0)


def evaluate(folder: pathlib.Path, create_agent, episodes: int) -> None:
    """Evaluates the folder's last checkpoint, or a new agent where there is none."""
    runner_lib.EvalRunner(
        base_dir=str(folder),
        create_agent_fn=create_agent,
        env=make_environment(seed=1),  # Other users than those of the training.
        max_eval_episodes=episodes,
        test_mode=True,
        progress=False,
    ).run_experiment()
    (file,) = (folder / f"eval_{episodes}").glob("returns_*")
    returns = np.array(json.loads(file.read_text(encoding="utf-8")))
    error = returns.std(ddof=1) / np.sqrt(len(returns))
    print(f"{folder.name}: {returns.mean():.1f} minutes, standard error {error:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=20_000, help="of training (%(default)s)")
    parser.add_argument("--episodes", type=int, default=200, help="of evaluation (%(default)s)")
    args = parser.parse_args()

    def create_slateq(sess, environment, eval_mode, summary_writer=None):
        return slate_decomp_q_agent.create_agent(
            "slate_optimal_optimal_q",
            sess,
            observation_space=environment.observation_space,
            action_space=environment.action_space,
            eval_mode=eval_mode,
            summary_writer=summary_writer,
            learn_no_click_value=True,
            gamma=1.0,
            min_replay_history=args.steps // 10,
            epsilon_decay_period=args.steps // 4,
            target_update_period=500,
        )

    folder = pathlib.Path(tempfile.mkdtemp())
    runner_lib.TrainRunner(
        base_dir=str(folder / "slateq"),
        create_agent_fn=create_slateq,
        env=make_environment(seed=0),
        max_training_steps=args.steps,
        num_iterations=1,
    ).run_experiment()
    evaluate(folder / "slateq", create_slateq, args.episodes)
    evaluate(folder / "random", create_random, args.episodes)


if __name__ == "__main__":
    main()
