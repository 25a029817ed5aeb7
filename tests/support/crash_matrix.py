"""Crashes at every system call, power failures and I/O errors: what a run leaves, and ends with.

    python -m support.crash_matrix            # up to ten calls of each kind and fault
    python -m support.crash_matrix --every    # each call, some hours
    python -m support.crash_matrix --short    # one call of each kind and fault, as in CI

in the folder ``tests`` prints a table. Each of five programs is run with a fault at one point, and
again without: the files that the first left must be whole, and the second must end with the numbers
of a run that had no fault. The faults, each at the k-th call of its kind:

* *killed before* a rename, an fsync, a removal, a write, a truncation or the making of a folder
  (as by ``kill -9``), and *killed within* a write, half of which is in the file then;
* *power failure* at such a call: what was not brought onto the disk by ``fsync`` is lost, contents
  of files and names in folders (*all lost*), or only contents while names remain (*names kept*);
* *no space* (ENOSPC) and *bad disk* (EIO) at a write, an fsync, a rename or the opening of a file;
  *short write*: half of a write is done, and the rest fails.

It ends with code 1 if a number is wrong. It needs Linux: processes are forked, and ``/proc`` is
read.
"""

from __future__ import annotations

import collections
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from recsim import parallel
from recsim.benchmarks.endurance import file_faults, outcomes, programs
from recsim.reproductions import base
from support import vector_training_child

# Programs. Each writes to a folder, and continues with what is there.


def train_users_in_parallel(folder: str) -> None:
    """A training of a vector environment, with logs of both formats and fewer checkpoints."""
    vector_training_child.train(
        folder,
        num_iterations=3,
        checkpoint_frequency=2,
        keep_checkpoints=1,
        max_training_steps=15,
        parquet_log="episodes.parquet",
        log_user_state=True,
    )


def evaluate(folder: str) -> None:
    """Evaluations of one user and of users in parallel, of a training that had no fault."""
    if not os.path.isdir(os.path.join(folder, "one")):
        shutil.copytree(_TRAINED, folder, dirs_exist_ok=True)
    programs.evaluate(os.path.join(folder, "one"))
    vector_training_child.evaluate(os.path.join(folder, "several"), test_mode=False)


def _task(start: int, advance: Callable[[int], None]) -> dict[str, Any]:
    advance(5)
    return {"values": np.arange(start, start + 5.0)}


class _Reproduction(base.Reproduction):
    """A reproduction without anything that takes long."""

    sizes = (base.Size("number", 1, 4, 2, "tasks"),)
    name = "matrix"
    unit = "numbers"
    notes = "No notes."

    def __init__(self, seed: int = 0, number: int = 4) -> None:
        super().__init__(seed, number=number)

    def tasks(self, folder: str) -> list[Any]:
        return [
            parallel.Task(f"task_{i}", _task, {"start": i}, 5)
            for i in range(self.settings["number"])
        ]

    def results(self, tasks: Any) -> dict[str, Any]:
        return {name: np.asarray(task["values"]).tolist() for name, task in tasks.items()}

    def tables(self, results: Any) -> list[Any]:
        return []

    def figures(self, results: Any) -> dict[str, Any]:
        return {}


def run_reproduction(folder: str) -> None:
    """What ``recsim reproduce`` does."""
    base.run(_Reproduction(), folder, show_progress=False)


PROGRAMS: dict[str, Callable[[str], None]] = {
    "training, one user": programs.train_one_user,
    "training, users in parallel": train_users_in_parallel,
    "evaluation": evaluate,
    "recsim run": programs.run_experiment,
    "recsim reproduce": run_reproduction,
}

_TRAINED = ""


def _make_trained(folder: str) -> None:
    """Makes the trainings that are evaluated."""
    programs.train_one_user(os.path.join(folder, "one"))
    vector_training_child.train(os.path.join(folder, "several"), num_iterations=2)


def examine(
    name: str, expected: dict[str, Any], point: tuple[str, int, str], folder: str
) -> str | None:
    """Runs a program with a fault, and again; returns what is wrong, or None."""
    program = PROGRAMS[name]
    run, log = os.path.join(folder, "run"), os.path.join(folder, "log")
    os.makedirs(run)
    if name == "evaluation":
        shutil.copytree(_TRAINED, run, dirs_exist_ok=True)
    ended = programs.in_a_process(program, run, log, file_faults.Faults(run, *point))
    group = file_faults.GROUPS[point[2]]
    wanted = (-signal.SIGKILL,) if group != "I/O error" else (0, 3)
    if ended.code not in wanted:
        return f"ended with {ended.code}: {ended.error[-800:]}"
    try:
        outcomes.check_files(run, expected)
    except (AssertionError, ValueError, OSError, KeyError) as error:
        return f"left a file that is not whole: {error!r}"
    again = programs.in_a_process(program, run, log)
    if again.code != 0:
        return f"did not continue ({again.code}): {again.error[-800:]}"
    return outcomes.difference(run, expected)


def main(most: int | None) -> int:
    """Examines the points, or at most some of each kind and fault, and prints the table."""
    global _TRAINED
    table: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(
        collections.Counter
    )
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        _TRAINED = os.path.join(folder, "trained")
        ended = programs.in_a_process(_make_trained, _TRAINED, os.path.join(folder, "log"))
        assert ended.code == 0, ended.error
        for name, program in PROGRAMS.items():
            whole = os.path.join(folder, "whole")
            os.makedirs(whole)
            if name == "evaluation":
                shutil.copytree(_TRAINED, whole, dirs_exist_ok=True)
            log = os.path.join(folder, "log")
            ended = programs.in_a_process(program, whole, log, file_faults.Faults(whole))
            assert ended.code == 0, ended.error
            expected = outcomes.outcome(whole)
            assert expected
            for number, point in enumerate(file_faults.points(ended.counts, most)):
                where = os.path.join(folder, f"point_{number}")
                problem = examine(name, expected, point, where)
                table[name, file_faults.GROUPS[point[2]]]["points"] += 1
                if problem is not None:
                    table[name, file_faults.GROUPS[point[2]]]["wrong"] += 1
                    problems.append((name, point, problem))
                    print(name, point, problem, file=sys.stderr, flush=True)
                shutil.rmtree(where)
            shutil.rmtree(whole)
    groups = list(dict.fromkeys(file_faults.GROUPS.values()))
    print(f"| Program | {' | '.join(groups)} | wrong |\n|---|{'---|' * (len(groups) + 1)}")
    for name in PROGRAMS:
        cells = [str(table[name, group]["points"]) for group in groups]
        wrong = sum(table[name, group]["wrong"] for group in groups)
        print(f"| {name} | {' | '.join(cells)} | {wrong} |")
    total = sum(each["points"] for each in table.values())
    print(f"\n{total} points, {len(problems)} of them wrong.")
    return 1 if problems else 0


if __name__ == "__main__":
    choices = {"--every": None, "--short": 1, "": 10}
    sys.exit(main(choices[(sys.argv[1:] or [""])[0]]))
