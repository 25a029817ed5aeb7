"""Measures how long deep agents take to train, with RecSim 0.2.4 beside it in the same sitting.

Usage::

    python -m recsim.benchmarks.training [--recsim-python INTERPRETER] [--rounds N]

Each training is a process, timed from its start to its end, so that importing the libraries and
building the networks count. Both libraries train the same agent for equally many environment and
gradient steps, interleaved; the ratio is of the times of a round. Only the ratios mean anything on
another machine.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from recsim import parallel
from recsim._internal import command_line
from recsim.benchmarks import throughput

__all__ = ["CASES", "Case", "main", "seconds_to_train"]

_WORKER = os.path.join(os.path.dirname(__file__), "_training_worker.py")


@dataclasses.dataclass(frozen=True)
class Case:
    """A training in interest evolution, 10 candidates and slates of 3.

    Attributes:
        agent: a name of ``slate_decomp_q_agent.create_agent``, or 'full_slate_q'.
        steps: number of environment steps.
        warm_up: number of them before learning begins; then there is a gradient step every 4.
    """

    agent: str
    steps: int
    warm_up: int


CASES = [
    Case("slate_optimal_optimal_q", 20_000, 2_000),
    Case("slate_topk_sarsa", 20_000, 2_000),
    Case("slate_topk_sarsa", 60_000, 2_000),
    # RecSim's takes minutes to build its graph.
    Case("full_slate_q", 1_000, 200),
]


def seconds_to_train(python: str, case: Case) -> float:
    """Returns how long a training takes under an interpreter, in a process of its own.

    Args:
        python: an interpreter that can import ``recsim``: this library's or RecSim 0.2.4.
        case: what to train.

    Raises:
        RuntimeError: if the process fails, with what it said, or if an interpreter that should
            have RecSim 0.2.4 has this library instead.
    """
    begin = time.perf_counter()
    process = parallel.start_script(python, _WORKER, subprocess.PIPE)
    answer, errors = process.communicate(json.dumps(dataclasses.asdict(case)))
    seconds = time.perf_counter() - begin
    if process.returncode:
        raise RuntimeError(f"{python} could not train:\n{errors}")
    throughput.check_library(python, json.loads(answer.splitlines()[-1])["library"])
    return seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark and prints its table; returns the exit code."""
    with command_line.orderly_exit("training_benchmark"):
        parser = command_line.Parser(
            prog="python -m recsim.benchmarks.training",
            description="Measures the time of trainings, and of RecSim 0.2.4's, interleaved.",
        )
        parser.add_argument(
            "--recsim-python",
            metavar="INTERPRETER",
            type=command_line.existing_file,
            help="the Python interpreter of an environment with RecSim 0.2.4, to measure it too",
        )
        parser.add_argument(
            "--rounds",
            metavar="N",
            type=command_line.integer(1),
            default=3,
            help="how often to measure everything, interleaved (default: %(default)s)",
        )
        options = parser.parse(sys.argv[1:] if argv is None else argv)
        print(f"{'agent':<26}{'steps':>8}{'seconds':>10}{'RecSim 0.2.4':>14}{'ratio':>8}  range")
        with command_line.user_errors(parser, RuntimeError, OSError):
            for case in CASES:
                print(_row(case, options.recsim_python, options.rounds), flush=True)
    return 0


def _row(case: Case, recsim_python: str | None, rounds: int) -> str:
    """Measures a case and returns its row of the table."""
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(seconds_to_train(sys.executable, case))
        if recsim_python:
            theirs.append(seconds_to_train(recsim_python, case))
    row = f"{case.agent:<26}{case.steps:>8,}{statistics.median(ours):>10.1f}"
    if not theirs:
        return row
    ratios = sorted(recsim / this for this, recsim in zip(ours, theirs))
    return (
        f"{row}{statistics.median(theirs):>14.1f}{statistics.median(ratios):>7.1f}x"
        f"  {ratios[0]:.1f} to {ratios[-1]:.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
