"""Measures the single-user engine, with RecSim 0.2.4 beside it in the same sitting.

Usage::

    python -m recsim.experiments.benchmark [--recsim-python INTERPRETER] [--output FILE]

Processes of both libraries play the same cases by turns, so that what else the machine does
touches both; the table gives the median over the rounds, and the ratio with its range. Only the
ratios mean anything on another machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import recsim
from recsim import _version
from recsim.simulator import _files

__all__ = ["CASES", "Case", "main", "measure"]

_WORKER = os.path.join(os.path.dirname(__file__), "_benchmark_worker.py")


@dataclasses.dataclass(frozen=True)
class Case:
    """What is measured: an agent in an environment of some size."""

    environment: str
    agent: str
    num_candidates: int
    slate_size: int

    def __str__(self) -> str:
        size = f"({self.num_candidates}, {self.slate_size})"
        return f"{self.environment:<24}{self.agent:<20}{size:<10}"


CASES = [
    Case(environment, "random", num_candidates, slate_size)
    for environment in ("interest_exploration", "interest_evolution", "long_term_satisfaction")
    for num_candidates, slate_size in ((10, 2), (100, 10))
] + [
    Case("interest_exploration", "cluster_bandit_ucb1", num_candidates, slate_size)
    for num_candidates, slate_size in ((10, 2), (100, 10))
]


def measure(python: str, cases: Sequence[Case], seconds: float) -> list[float]:
    """Returns the steps a second of each case under an interpreter, in a process of its own.

    Args:
        python: an interpreter that can import ``recsim``: this library's or RecSim 0.2.4.
        cases: what to measure.
        seconds: how long each case runs, about.

    Raises:
        RuntimeError: if the process fails, with what it said, or if an interpreter that should
            have RecSim 0.2.4 has this library instead.
    """
    request = {"seconds": seconds, "cases": [dataclasses.asdict(case) for case in cases]}
    is_ours = python == sys.executable
    result = subprocess.run(
        # RecSim's interpreter is isolated from what this one finds by PYTHONPATH.
        [python, *([] if is_ours else ["-I"]), _WORKER],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    if result.returncode:
        raise RuntimeError(f"{python} could not run the benchmark:\n{result.stderr}")
    answer = json.loads(result.stdout)
    if not is_ours and answer["library"] == recsim.__file__:
        raise RuntimeError(f"{python} imports this library, not RecSim 0.2.4: name another one.")
    return answer["rates"]


def _report(
    ours: list[list[float]], theirs: list[list[float]], cases: Sequence[Case]
) -> tuple[list[str], list[dict[str, Any]]]:
    """Returns the lines of the table, and the same as data."""
    lines = [f"{'environment':<24}{'agent':<20}{'size':<10}{'steps/s':>10}"]
    if theirs:
        lines[0] += f"{'RecSim 0.2.4':>14}{'ratio':>8}  range over rounds"
    records = []
    for index, case in enumerate(cases):
        our_rates = [rates[index] for rates in ours]
        record: dict[str, Any] = {**dataclasses.asdict(case), "steps_per_second": our_rates}
        line = f"{case}{statistics.median(our_rates):>10,.0f}"
        if theirs:
            their_rates = [rates[index] for rates in theirs]
            ratios = sorted(a / b for a, b in zip(our_rates, their_rates, strict=True))
            record.update(recsim_steps_per_second=their_rates, ratio=statistics.median(ratios))
            line += f"{statistics.median(their_rates):>14,.0f}{statistics.median(ratios):>7.1f}x"
            line += f"  {ratios[0]:.1f} to {ratios[-1]:.1f}"
        lines.append(line)
        records.append(record)
    return lines, records


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark and prints its table; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m recsim.experiments.benchmark",
        description="Measures single-user steps a second, RecSim 0.2.4 beside it if given.",
    )
    parser.add_argument("--recsim-python", help="an interpreter that has RecSim 0.2.4")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=0.5, help="of each case and round; default: %(default)s"
    )
    parser.add_argument("--output", help="a JSON file for the measurements")
    arguments = parser.parse_args(argv)
    ours, theirs = [], []
    for _ in range(arguments.rounds):
        ours.append(measure(sys.executable, CASES, arguments.seconds))
        if arguments.recsim_python:
            theirs.append(measure(arguments.recsim_python, CASES, arguments.seconds))
    machine = {
        "recsim": _version.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    lines, records = _report(ours, theirs, CASES)
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print("\n".join(lines))
    if arguments.output:
        with _files.atomic_file(arguments.output) as file:
            file.write(json.dumps({"machine": machine, "cases": records}, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
