"""Runs whose disk is full or bad at some call, and which are run again when it is not."""

from __future__ import annotations

import collections
import functools
import os
import pathlib
import random
import resource
import shutil
import signal
from collections.abc import Iterator
from typing import Any

from recsim.benchmarks.endurance import file_faults, outcomes, programs, results

__all__ = ["run"]

_PROGRAMS: dict[str, programs.Program] = {
    "training, one user": programs.train_one_user,
    "training, users in parallel": programs.train_users_in_parallel,
    "recsim run": programs.run_experiment,
}
_KINDS = {
    "no space": "no space",
    "bad disk": "I/O error",
    "short": "short write",
    "limit": "file too large",
}


def run(folder: str, cases: int, seed: int) -> results.Phase:
    """Lets the disk of each program fail.

    Args:
        folder: an empty folder.
        cases: how many calls of each kind fail in each way, and how many limits of the size of
            files there are.
        seed: of their choice.
    """
    rows, problems = [], []
    for name, program in _PROGRAMS.items():
        whole, log = os.path.join(folder, "whole"), os.path.join(folder, "log")
        os.makedirs(whole)
        ended = programs.in_a_process(program, whole, log, file_faults.Faults(whole))
        if ended.code:
            raise RuntimeError(f"A program failed that nothing was done to: {ended.error}")
        expected = outcomes.outcome(whole)
        numbers: collections.Counter[str] = collections.Counter()
        wrong = 0
        for case in _cases(ended.counts, whole, cases, seed):
            where = os.path.join(folder, "case")
            os.makedirs(where)
            problem = _case(program, case, where, log, expected)
            numbers[_KINDS[case[2]]] += 1
            if problem is not None:
                wrong += 1
                problems.append(f"{name}, {case}: {problem}")
            shutil.rmtree(where)
        shutil.rmtree(whole)
        total = sum(numbers.values())
        rows.append(
            [
                name,
                *(str(numbers[kind]) for kind in _KINDS.values()),
                f"{total - wrong}",
                f"{wrong}",
            ]
        )
    return results.Phase(
        ["program", *_KINDS.values(), "same numbers", "wrong"],
        rows,
        problems,
        "A write, fsync, rename or opening of a file fails for want of space or with an I/O error, "
        "a write is done by half, or files cannot become larger than a limit of the system's "
        "(RLIMIT_FSIZE). The run must continue or end with an OSError, its files must be whole, "
        "and run again on a good disk it must end with the numbers of a run that had one from the "
        "beginning.",
    )


def _cases(
    counts: dict[str, int], whole: str, cases: int, seed: int
) -> Iterator[tuple[str, int, str]]:
    """Yields what fails: a kind of call, its number and how; or a limit in bytes."""
    yield from file_faults.points(counts, cases, groups=("I/O error",), seed=seed)
    largest = max(path.stat().st_size for path in pathlib.Path(whole).rglob("*") if path.is_file())
    chosen = random.Random(f"limits {seed}")
    for _ in range(cases):
        yield "limit", int(largest ** chosen.random()), "limit"


def _case(
    program: programs.Program,
    case: tuple[str, int, str],
    folder: str,
    log: str,
    expected: dict[str, Any],
) -> str | None:
    """Runs a program with a fault, and again; returns what is wrong, or None."""
    kind, number, _ = case
    if kind == "limit":
        prepare = functools.partial(_limit_files, number)
        ended = programs.in_a_process(program, folder, log, prepare=prepare)
    else:
        ended = programs.in_a_process(program, folder, log, file_faults.Faults(folder, *case))
    if ended.code not in (0, 3):
        return f"ended with {ended.code}: {ended.error[-800:]}"
    try:
        outcomes.check_files(folder, expected)
    except (AssertionError, ValueError, OSError, KeyError) as error:
        return f"left a file that is not whole: {error!r}"
    again = programs.in_a_process(program, folder, log)
    if again.code:
        return f"did not continue ({again.code}): {again.error[-800:]}"
    return outcomes.difference(folder, expected)


def _limit_files(size: int) -> None:
    """Lets no file of this process become larger than a size, in bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
