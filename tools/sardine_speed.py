"""Steps per second of topic boredom and of sardine-rec, interleaved, in its eight settings.

    pip install sardine-rec==1.0.8
    python tools/sardine_speed.py [--users 10000] [--rounds 5] [--baseline-python INTERPRETER]

Slates are random, sampled included: those of sardine-rec are of its environments' action spaces,
one user in one process, and this library's those of the random agent, users in parallel. Lines of
tables have the medians of the rates, and those of the ratios of a round with their range.

The first table is of users in parallel on all processor cores as ``recsim bench`` measures them,
beside sardine-rec, by the clock: here means over a second and more of whole simulations, and of
sardine-rec the fastest section of 500 steps. With the interpreter of another version of this
library, ``--baseline-python``, it is measured likewise, and the last columns are our rate divided
by that version's.

The second table is of one process each, by processor time: the fastest of sections of about ten
milliseconds, which alternate. Whatever else the machine does can only slow a section down.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata

import gymnasium
import numpy as np
import sardine  # noqa: F401  # Its ids.

from recsim import parallel, types
from recsim.agents import random_agent
from recsim.benchmarks import throughput
from recsim.environments import topic_boredom

SETTINGS = {
    "single_static": "SingleItem-Static",
    "single_bored_drifting": "SingleItem-BoredInf",
    "single_uncertain": "SingleItem-Uncertain",
    "slate_bored": "SlateTopK-Bored",
    "slate_bored_drifting": "SlateTopK-BoredInf",
    "slate_uncertain": "SlateTopK-Uncertain",
    "rerank_static": "SlateRerank-Static",
    "rerank_bored": "SlateRerank-Bored",
}
#: Steps of a section by the clock, as ``recsim bench`` has for RecSim; and for how long there are
#: sections, and simulations at least, in a round.
CLOCK_STEPS, SECONDS = 500, 1.0
#: Steps of a section by processor time, as long as a step of 10,000 users, and sections of a round.
PROCESSOR_STEPS, SECTIONS = 50, 60


def seconds_of(one: gymnasium.Env, steps: int, clock: Callable[[], float]) -> float:
    """Returns the seconds of steps of sardine-rec."""
    begin = clock()
    for _ in range(steps):
        if one.step(one.action_space.sample())[2]:
            one.reset()
    return clock() - begin


def rate_by_clock(one: gymnasium.Env) -> float:
    """Returns the steps per second of the fastest section of sardine-rec in a round."""
    end = time.perf_counter() + SECONDS
    fastest = seconds_of(one, CLOCK_STEPS, time.perf_counter)
    while time.perf_counter() < end:
        fastest = min(fastest, seconds_of(one, CLOCK_STEPS, time.perf_counter))
    return CLOCK_STEPS / fastest


def rates_by_processor(
    one: gymnasium.Env, many: types.VectorEnv, agent: types.VectorAgent
) -> tuple[float, float]:
    """Returns the steps per second of sardine-rec and of users in parallel, of a round.

    A section of users in parallel is a step. Those in which episodes end count for as many as
    there are.
    """
    shortest = float("inf")
    seconds: dict[bool, list[float]] = {False: [], True: []}
    slates = agent.begin(many.reset()[0])
    for _ in range(SECTIONS):
        shortest = min(shortest, seconds_of(one, PROCESSOR_STEPS, time.process_time))
        begin = time.process_time()
        outcome = many.step(slates)
        slates = agent.step(*outcome)
        seconds[bool(outcome[2].any())].append(time.process_time() - begin)
    total = sum(len(steps) * min(steps) for steps in seconds.values() if steps)
    return PROCESSOR_STEPS / shortest, many.num_envs * SECTIONS / total


def row(variant: str, rates: Sequence[Sequence[float]]) -> str:
    """Returns a line of a table.

    Args:
        variant: the variant.
        rates: of each round sardine-rec's, ours and, if there is one, another version's.
    """
    theirs, ours, *others = np.array(rates).T
    cells = [f"`{variant}`", f"{np.median(theirs):,.0f}", f"{np.median(ours):,.0f}"]
    for ratios, digits in [(ours / theirs, 0), *((ours / other, 2) for other in others)]:
        cells.append(f"{np.median(ratios):.{digits}f}")
        cells.append(f"{ratios.min():.{digits}f} to {ratios.max():.{digits}f}")
    return f"| {' | '.join(cells)} |"


def print_head(*titles: str) -> None:
    """Prints the first lines of a table."""
    print(f"\n| {' | '.join(titles)} |\n|---|{'--:|' * (len(titles) - 1)}", flush=True)


def print_by_clock(options: argparse.Namespace, environments: dict[str, gymnasium.Env]) -> None:
    """Prints the table of users on all processor cores."""
    interpreters = [sys.executable, *filter(None, [options.baseline_python])]
    number = len(throughput.shares_of_users(options.users, parallel.usable_cores()))
    against = ["times the baseline", "range"] if options.baseline_python else []
    print_head("variant", "sardine-rec", f"here, {number} processes", "ratio", "range", *against)
    with contextlib.ExitStack() as stack:
        versions = [
            stack.enter_context(throughput.start_processes(python, number))
            for python in interpreters
        ]
        for variant, one in environments.items():
            config = {**topic_boredom.VARIANTS[variant], "seed": 0}
            sizes = config["num_candidates"], config["slate_size"]
            case = throughput.Case("topic_boredom", "random", *sizes, options.users, False)
            rates = []
            for round_number in range(options.rounds):
                of_versions = {}
                # Each version is the first in turn.
                for version in versions[:: -1 if round_number % 2 else 1]:
                    of_versions[version] = version.measured(case, SECONDS, config)[0]
                rates.append([rate_by_clock(one), *map(of_versions.get, versions)])
            print(row(variant, rates), flush=True)


def print_by_processor(options: argparse.Namespace, environments: dict[str, gymnasium.Env]) -> None:
    """Prints the table of one process."""
    print_head("variant", "sardine-rec", "here, one process", "ratio", "range")
    for variant, one in environments.items():
        config = {**topic_boredom.VARIANTS[variant], "seed": 0}
        many = topic_boredom.create_vector_environment(config, options.users)
        agent = random_agent.VectorRandomAgent(many)
        rates_by_processor(one, many, agent)  # The first steps, in which more is checked.
        rates = [rates_by_processor(one, many, agent) for _ in range(options.rounds)]
        print(row(variant, rates), flush=True)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--baseline-python")
    options = parser.parse_args()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("sardine-rec", "numpy"))
    print(f"python {platform.python_version()}, {versions}, {os.cpu_count()} cores")
    environments = {}
    for variant, name in SETTINGS.items():
        one = gymnasium.make(f"sardine/{name}-v0", disable_env_checker=True)
        one.reset(seed=0)
        environments[variant] = one
    print_by_clock(options, environments)
    print_by_processor(options, environments)


if __name__ == "__main__":
    main()
