"""Trains SlateQ with one user and with many at once, for equally many steps, and compares.

Usage::

    python -m recsim.benchmarks.vector_training [--steps N] [--seeds N] [--users N]

Both trainings are of ``slate_optimal_optimal_q`` in interest evolution, with 10 candidates and
slates of 3, as in the SlateQ paper; a step is one of one user. The seconds are those of the
training alone, the returns those of new users, the same for both trainings of a seed.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recsim import parallel, seeding
from recsim._internal import command_line
from recsim.agents import slate_decomp_q_agent
from recsim.agents.dopamine import training
from recsim.environments import interest_evolution
from recsim.experiments import statistics
from recsim.simulator import rollout
from recsim.vector import env as vector_env
from recsim.vector import simulate

__all__ = ["evaluated", "main", "train_many_users", "train_one_user"]

STRATEGY = "slate_optimal_optimal_q"
NUM_ENVS = 128

_ENV_CONFIG = {"num_candidates": 10, "slate_size": 3, "resample_documents": True}


def _settings(steps: int) -> dict[str, Any]:
    """Returns the paper's settings, with periods in proportion to the steps."""
    return {
        "gamma": 1.0,
        "min_replay_history": steps // 15,
        "epsilon_decay_period": steps * 5 // 6,
        "target_update_period": max(1, steps * 2 // 75),
    }


def train_one_user(steps: int, seed: int) -> dict[str, Any]:
    """Trains with users sequentially.

    Args:
        steps: number of training steps.
        seed: seed of users and agent.

    Returns:
        What serving needs, see ``DQNAgent.serving_bundle``.
    """
    env = interest_evolution.create_environment({**_ENV_CONFIG, "seed": seed})
    agent = slate_decomp_q_agent.create_agent(
        STRATEGY,
        None,
        observation_space=env.observation_space,
        action_space=env.action_space,
        seed=seed,
        **_settings(steps),
    )
    while agent.training_steps < steps:
        rollout.run_episode(env, agent)
    return agent.serving_bundle()


def train_many_users(steps: int, seed: int) -> dict[str, Any]:
    """Trains with users in parallel; takes and returns what :func:`train_one_user` does."""
    env = interest_evolution.create_vector_environment({**_ENV_CONFIG, "seed": seed}, NUM_ENVS)
    agent = slate_decomp_q_agent.create_vector_agent(STRATEGY, env, seed=seed, **_settings(steps))
    training_rollout = rollout.VectorRollout(env, agent, follows_episodes=False)
    training_rollout.reset()
    while agent.training_steps < steps:
        training_rollout.step()
    return agent.serving_bundle()


def evaluated(bundle: dict[str, Any], num_users: int, seed: int) -> np.ndarray:
    """Returns the returns of users whom a trained agent recommends to, shape (num_users,).

    Args:
        bundle: what one of the trainings returned.
        num_users: number of users.
        seed: seed of the users.
    """
    result = simulate.simulate(
        functools.partial(
            interest_evolution.create_vector_environment, {**_ENV_CONFIG, "seed": seed}
        ),
        functools.partial(_served, bundle),
        num_users,
        num_episodes=1,
        workers=1,
    )
    return result.returns[:, 0]


def _served(
    bundle: dict[str, Any], environment: vector_env.RecSimVectorEnv
) -> slate_decomp_q_agent.VectorSlateDecompQAgent:
    agent = slate_decomp_q_agent.create_vector_agent(
        STRATEGY, environment, eval_mode=True, epsilon_eval=0.0
    )
    agent.unbundle("", 0, bundle)
    return agent


def _trained(
    train: Callable[[int, int], dict[str, Any]],
    steps: int,
    seed: int,
    advance: parallel.Advance,
) -> parallel.Result:
    """Runs a task: a training, and the processor time that it took without imports."""
    training.import_tensorflow()
    begin = time.process_time()
    bundle = train(steps, seed)
    advance(steps)
    return {"bundle": bundle, "processor_seconds": time.process_time() - begin}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the trainings and prints their returns and times; returns the exit code."""
    with command_line.orderly_exit("vector_training"):
        options = _parser().parse(sys.argv[1:] if argv is None else argv)
        ways = {"one user": train_one_user, f"{NUM_ENVS} users": train_many_users}
        returns: dict[str, list[float]] = {name: [] for name in ways}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        tasks = [
            parallel.Task(
                f"seed {number}, {name}",
                _trained,
                {
                    "train": train,
                    "steps": options.steps,
                    "seed": seeding.derived_seed(0, f"vector training {number}"),
                },
                options.steps,
                uses_tensorflow=True,
            )
            for number in range(options.seeds)
            for name, train in ways.items()
        ]
        for task, result in parallel.run_tasks(tasks, 1, lambda done: None):
            name = task.name.partition(", ")[2]
            users_seed = task.arguments["seed"] + 1
            seconds[name].append(result["processor_seconds"])
            of_users = evaluated(result["bundle"], options.users, users_seed)
            returns[name].append(float(of_users.mean()))
            print(
                f"{task.name}: return {returns[name][-1]:.2f}, "
                f"{seconds[name][-1]:.1f} s of processor time",
                flush=True,
            )
        for name in ways:
            estimate = statistics.estimate(returns[name])
            print(
                f"{name:>10}: {np.mean(seconds[name]):6.1f} s, return {estimate['mean']:.2f} "
                f"({estimate['low']:.2f} to {estimate['high']:.2f})"
            )
    return 0


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python -m recsim.benchmarks.vector_training",
        description="Trains SlateQ with one user and with many at once, and compares times and\n"
        "returns (with new users; mean and 95% interval over seeds).",
    )
    for name, least, default, text in (
        ("--steps", 300, 300_000, "training steps"),
        ("--seeds", 2, 3, "trainings of each kind"),
        ("--users", 1, 5_000, "users of an evaluation"),
    ):
        parser.add_argument(
            name,
            metavar="N",
            type=command_line.integer(least),
            default=default,
            help=f"{text} (default: %(default)s)",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
