"""Trains SlateQ with one user and with many at once, for equally many steps, and compares.

Usage::

    python -m recsim.benchmarks.vector_training [--steps N] [--seeds N] [--users N]
    python -m recsim.benchmarks.vector_training --baseline-python INTERPRETER [--train-users N]

Trainings are of ``slate_optimal_optimal_q`` in interest evolution, with 10 candidates and slates of
3, as in the SlateQ paper; a step is one of one user. The seconds are those of the training alone,
the returns those of new users, the same for both trainings of a seed.

With an interpreter that has another version of this library, it trains with users in parallel in
both versions, interleaved, each in a process of its own that is timed from its start; with the
paper's values and with a value of no click.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recsim import parallel, seeding
from recsim._internal import command_line
from recsim.agents import slate_decomp_q_agent
from recsim.environments import interest_evolution
from recsim.experiments import statistics
from recsim.simulator import rollout
from recsim.vector import env as vector_env
from recsim.vector import simulate

__all__ = ["compared", "evaluated", "main", "measured", "train_many_users", "train_one_user"]

STRATEGY = "slate_optimal_optimal_q"
NUM_ENVS = 128

_WORKER = os.path.join(os.path.dirname(__file__), "_vector_training_worker.py")
# With a value of no click, targets are copied more often, as in ``recsim reproduce slateq``.
_WITH_NO_CLICK = {"learn_no_click_value": True}
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
    begin = time.process_time()
    bundle = train(steps, seed)
    advance(steps)
    return {"bundle": bundle, "processor_seconds": time.process_time() - begin}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the trainings and prints their returns and times; returns the exit code."""
    with command_line.orderly_exit("vector_training"):
        parser = _parser()
        options = parser.parse(sys.argv[1:] if argv is None else argv)
        if options.baseline_python is not None:
            with command_line.user_errors(parser, RuntimeError, OSError):
                compared(
                    options.baseline_python,
                    options.steps,
                    options.seeds,
                    options.users,
                    options.train_users,
                )
            return 0
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


def measured(python: str, request: dict[str, Any]) -> dict[str, Any]:
    """Returns what a training gave under an interpreter, in a process of its own.

    Args:
        python: an interpreter that can import this library, of whatever version.
        request: as ``_vector_training_worker`` reads it, but for when it is made.

    Returns:
        ``seconds``, ``seconds_of_steps``, ``processor_seconds``, ``return`` and ``library``.

    Raises:
        RuntimeError: if the process fails, with what it said.
    """
    begin = time.time()
    process = parallel.start_script(python, _WORKER, subprocess.PIPE)
    answer, errors = process.communicate(json.dumps({**request, "begin": begin}))
    if process.returncode:
        raise RuntimeError(f"{python} could not train:\n{errors}")
    measurement: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return measurement


def compared(baseline_python: str, steps: int, seeds: int, users: int, train_users: int) -> None:
    """Trains in this version and in another, interleaved, and prints times, ratios and returns.

    Args:
        baseline_python: an interpreter that has the other version.
        steps: number of training steps.
        seeds: number of trainings of each kind.
        users: number of users of an evaluation.
        train_users: number of users to train with in parallel.
    """
    print(
        f"{train_users} users in parallel, {steps:,} steps: seconds from the start of the process, "
        "of the steps\nalone, and of processors, medians; ratios to the baseline, median and "
        "range; return, mean and\n95% interval.\n"
        f"{'':<16}{'version':<10}{'seconds':>9}{'ratio':>19}{'of steps':>10}{'processors':>12}"
        f"{'ratio':>19}  return"
    )
    settings = _settings(steps)
    values = {
        "one step": settings,
        "no-click value": {
            **settings,
            **_WITH_NO_CLICK,
            "target_update_period": max(1, steps // 300),
        },
    }
    for title, of_agent in values.items():
        results: dict[str, list[dict[str, Any]]] = {baseline_python: [], sys.executable: []}
        for number in range(seeds):
            request = {
                "strategy": STRATEGY,
                "config": _ENV_CONFIG,
                "settings": of_agent,
                "steps": steps,
                "users": users,
                "train_users": train_users,
                "seed": seeding.derived_seed(0, f"vector training {number}"),
            }
            # The one that is first has the caches of the other: they take turns.
            for python in sorted(results, key=lambda each: (each == baseline_python) == number % 2):
                results[python].append(measured(python, request))
        baseline, ours = results[baseline_python], results[sys.executable]
        for version, measurements in (("baseline", baseline), ("this", ours)):
            returns = statistics.estimate([each["return"] for each in measurements])
            compared_to = baseline if version == "this" else None
            print(
                f"{title:<16}{version:<10}{_times('seconds', measurements, compared_to, 9)}"
                f"{_times('seconds_of_steps', measurements, None, 10)}"
                f"{_times('processor_seconds', measurements, compared_to, 12)}"
                f"  {returns['mean']:.1f} ({returns['low']:.1f} to {returns['high']:.1f})",
                flush=True,
            )


def _times(
    name: str,
    measurements: Sequence[dict[str, Any]],
    baseline: Sequence[dict[str, Any]] | None,
    width: int,
) -> str:
    """Returns the median of a time, and, but for those of the steps, ratios to a baseline."""
    median = f"{np.median([each[name] for each in measurements]):.1f}"
    if name == "seconds_of_steps":
        return f"{median:>{width}}"
    if baseline is None:
        return f"{median:>{width}}{'':>19}"
    ratios = [other[name] / each[name] for other, each in zip(baseline, measurements, strict=True)]
    ratio = f"{np.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
    return f"{median:>{width}}{ratio:>19}"


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python -m recsim.benchmarks.vector_training",
        description="Trains SlateQ with one user and with many at once, and compares times and\n"
        "returns (with new users; mean and 95% interval over seeds).",
    )
    parser.add_argument(
        "--baseline-python",
        metavar="INTERPRETER",
        type=command_line.existing_file,
        help="the Python interpreter of an environment with another version of this library, to "
        "compare it with this one",
    )
    for name, least, default, text in (
        ("--steps", 300, 300_000, "training steps"),
        ("--seeds", 2, 3, "trainings of each kind"),
        ("--users", 1, 5_000, "users of an evaluation"),
        ("--train-users", 1, 512, "users to train with, beside another version"),
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
