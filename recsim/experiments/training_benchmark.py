"""Measures how long deep agents take to train, with RecSim 0.2.4 beside it in the same sitting.

Usage::

    python -m recsim.experiments.training_benchmark [--recsim-python INTERPRETER] [--rounds N]

Each training is a process, timed from its start to its end, so that importing the libraries and
building the networks count. Both libraries train the same agent for equally many environment and
gradient steps, by turns; the ratio is of the times of a round. Only the ratios mean anything on
another machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import recsim

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
    is_ours = python == sys.executable
    begin = time.perf_counter()
    result = subprocess.run(
        # RecSim's interpreter is isolated from what this one finds by PYTHONPATH.
        [python, *([] if is_ours else ["-I"]), _WORKER],
        input=json.dumps(dataclasses.asdict(case)),
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    seconds = time.perf_counter() - begin
    if result.returncode:
        raise RuntimeError(f"{python} could not train:\n{result.stderr}")
    answer = json.loads(result.stdout.splitlines()[-1])
    if not is_ours and answer["library"] == recsim.__file__:
        raise RuntimeError(f"{python} imports this library, not RecSim 0.2.4: name another one.")
    return seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark and prints its table; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m recsim.experiments.training_benchmark",
        description="Measures the time of trainings, RecSim 0.2.4 beside them if given.",
    )
    parser.add_argument("--recsim-python", help="an interpreter that has RecSim 0.2.4")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    print(f"{'agent':<26}{'steps':>8}{'seconds':>10}{'RecSim 0.2.4':>14}{'ratio':>8}  range")
    for case in CASES:
        line = f"{case.agent:<26}{case.steps:>8,}"
        ours, theirs = [], []
        for _ in range(arguments.rounds):
            ours.append(seconds_to_train(sys.executable, case))
            if arguments.recsim_python:
                theirs.append(seconds_to_train(arguments.recsim_python, case))
        line += f"{statistics.median(ours):>10.1f}"
        if theirs:
            ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
            line += f"{statistics.median(theirs):>14.1f}{statistics.median(ratios):>7.1f}x"
            line += f"  {ratios[0]:.1f} to {ratios[-1]:.1f}"
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
