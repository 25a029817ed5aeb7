"""Runs that are killed (SIGKILL) at random moments, and resumed until they end."""

from __future__ import annotations

import functools
import os
import pathlib
import random
import shutil
from typing import Any

from recsim.benchmarks.endurance import outcomes, programs, results

__all__ = ["run"]

_MOST_KILLS = 4
# So long may the workers of a process that was killed take to notice.
_SECONDS_TO_END = 30.0

_PROGRAMS: dict[str, programs.Program] = {
    "training, one user": functools.partial(programs.train_one_user, num_iterations=25),
    "training, users in parallel": functools.partial(
        programs.train_users_in_parallel, num_iterations=25
    ),
    "recsim run, 2 workers": functools.partial(
        programs.run_experiment, workers=2, seeds=2, episodes=40
    ),
}


def run(folder: str, cases: int, seed: int) -> results.Phase:
    """Kills and resumes each program.

    Args:
        folder: an empty folder.
        cases: how often each program is run.
        seed: of the moments.
    """
    moments = random.Random(f"kills {seed}")
    rows, problems = [], []
    evaluation: programs.Program = functools.partial(_evaluate_both, _trained(folder))
    for name, program in {**_PROGRAMS, "evaluation": evaluation}.items():
        whole = os.path.join(folder, "whole")
        expected, seconds = _uninterrupted(program, whole, os.path.join(folder, "log"))
        kills = wrong = left = 0
        for number in range(cases):
            where = os.path.join(folder, f"case_{number}")
            log = f"{where}.log"
            killed, problem = _case(program, where, log, expected, seconds, moments)
            kills += killed
            remaining = programs.processes_left(log, _SECONDS_TO_END)
            left += remaining
            if remaining and problem is None:
                problem = f"left {remaining} processes"
            if problem is not None:
                wrong += 1
                problems.append(f"{name}, case {number}: {problem}")
            shutil.rmtree(where, ignore_errors=True)
            pathlib.Path(log).unlink(missing_ok=True)
        shutil.rmtree(whole)
        rows.append([name, *map(str, (cases, kills, cases - wrong, wrong, left))])
    return results.Phase(
        ["program", "runs", "kills", "same numbers", "wrong", "processes left"],
        rows,
        problems,
        "Each run is killed up to four times, at moments anywhere in its course, and resumed. "
        "Files must be whole after each, and in the end the same, byte for byte but for times, as "
        f"those of a run that was not killed; {_SECONDS_TO_END:.0f} seconds later no process may "
        "be left.",
    )


def _evaluate_both(trained: str, folder: str) -> None:
    """Evaluates copies of trainings of one user and of users in parallel."""
    for kind in ("one", "several"):
        where = os.path.join(folder, kind)
        if not os.path.isdir(where):
            copy = f"{folder}.copy"  # Of which a part is there when it is killed.
            shutil.copytree(os.path.join(trained, kind), copy, dirs_exist_ok=True)
            os.rename(copy, where)
        programs.evaluate(where, parallel=kind == "several", episodes=60)


def _trained(folder: str) -> str:
    """Makes the trainings that are evaluated, and returns their folder."""
    trained = os.path.join(folder, "trained")
    for kind, program in (
        ("one", programs.train_one_user),
        ("several", programs.train_users_in_parallel),
    ):
        _uninterrupted(program, os.path.join(trained, kind), os.path.join(folder, "log"))
    return trained


def _uninterrupted(
    program: programs.Program, folder: str, log: str
) -> tuple[dict[str, Any], float]:
    """Runs a program without a fault; returns what it left, and the time it took."""
    os.makedirs(folder)
    ended = programs.in_a_process(program, folder, log)
    if ended.code:
        raise RuntimeError(f"A program failed that nothing was done to: {ended.error}")
    return outcomes.outcome(folder), ended.seconds


def _case(
    program: programs.Program,
    folder: str,
    log: str,
    expected: dict[str, Any],
    seconds: float,
    moments: random.Random,
) -> tuple[int, str | None]:
    """Kills a program at random moments; returns how often, and what is wrong."""
    os.makedirs(folder)
    kills = 0
    while True:
        moment = moments.uniform(0, seconds) if kills < _MOST_KILLS else None
        ended = programs.in_a_process(program, folder, log, kill_after=moment)
        if ended.code == 0:
            break
        if ended.code > 0:
            return kills, f"ended with {ended.code} after {kills} kills: {ended.error[-800:]}"
        kills += 1
        try:
            outcomes.check_files(folder, expected)
        except (AssertionError, ValueError, OSError, KeyError) as error:
            return kills, f"left a file that is not whole: {error!r}"
    return kills, outcomes.difference(folder, expected)
