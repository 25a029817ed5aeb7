"""Checkpoints that were spoiled or come from elsewhere, and trainings that find them."""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import os
import pathlib
import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from recsim.benchmarks.endurance import outcomes, programs, results
from recsim.simulator import checkpoint

__all__ = ["run"]

_ITERATIONS = 3

_COLUMNS = ("one before used", "refused", "wrong")

_Spoil: TypeAlias = Callable[[random.Random, bytes], bytes]


def _flipped(rng: random.Random, content: bytes) -> bytes:
    spoiled = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 10))):
        spoiled[rng.randrange(len(spoiled))] ^= 1 << rng.randrange(8)
    return bytes(spoiled) if bytes(spoiled) != content else _flipped(rng, content)


def _overwritten(rng: random.Random, content: bytes) -> bytes:
    begin = rng.randrange(len(content))
    size = rng.randint(1, 4096)
    spoiled = content[:begin] + bytes(size) + content[begin + size :]
    return spoiled if spoiled != content else _flipped(rng, content)


def _foreign(rng: random.Random, content: bytes) -> bytes:
    del content
    text = json.dumps({"agent": 1, "current_iteration": 3}).encode()
    return rng.choice(
        (text, pickle.dumps({"agent": 1}), rng.randbytes(5000), b"PK\x05\x06" + bytes(18))
    )


_SPOILED: dict[str, _Spoil] = {
    "bits flipped": _flipped,
    "truncated": lambda rng, content: content[: rng.randrange(1, len(content))],
    "empty": lambda rng, content: b"",
    "zeros written over it": _overwritten,
    "bytes added": lambda rng, content: content + rng.randbytes(rng.randint(1, 100)),
    "another kind of file": _foreign,
}


@dataclasses.dataclass(frozen=True)
class _Training:
    """A training whose checkpoints are spoiled.

    Attributes:
        train: the program, which takes ``num_iterations``.
        other_agent: the name of another agent for it.
    """

    train: Callable[..., None]
    other_agent: str


_TRAININGS = {
    "training, one user": _Training(programs.train_one_user, "tabular_q"),
    "training, users in parallel": _Training(programs.train_users_in_parallel, "softmax"),
}


def run(folder: str, cases: int, seed: int) -> results.Phase:
    """Spoils checkpoints, and lets trainings continue.

    Args:
        folder: an empty folder.
        cases: how often each is done to the newest checkpoint, and to all of them.
        seed: of what is done.
    """
    rng = random.Random(f"checkpoints {seed}")
    found: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    problems: list[str] = []
    for name, training in _TRAININGS.items():
        for kind, what, problem in _cases(training, os.path.join(folder, name), cases, rng):
            found[kind][what if problem is None else "wrong"] += 1
            if problem is not None:
                problems.append(f"{name}, {kind}: {problem}")
    kinds = sorted(found, key=lambda kind: kind.startswith("all"))
    rows = [
        [kind, *map(str, (found[kind].total(), *(found[kind][each] for each in _COLUMNS)))]
        for kind in kinds
    ]
    return results.Phase(
        ["checkpoints", "cases", *_COLUMNS],
        rows,
        problems,
        "A training of one user and one of users in parallel resume. If the newest checkpoint is "
        "spoiled, the one before must be used, and the numbers in the end be those of a training "
        "that nothing was done to. If all are, or they are of something else, the training must be "
        "refused with a clear error, and no file be changed.",
    )


def _cases(
    training: _Training, folder: str, cases: int, rng: random.Random
) -> Iterator[tuple[str, str, str | None]]:
    """Yields what was done to checkpoints, what had to come of it, and what is wrong or None."""
    train = functools.partial(training.train, keep_checkpoints=_ITERATIONS)
    trained = _after(train, os.path.join(folder, "trained"), _ITERATIONS)
    whole = _after(train, os.path.join(folder, "whole"), _ITERATIONS + 2)
    expected = outcomes.outcome(whole)
    longer = functools.partial(train, num_iterations=_ITERATIONS + 2)
    resume = functools.partial(_resumed, longer, trained, os.path.join(folder, "case"))
    for kind, spoil in _SPOILED.items():
        for _ in range(cases):
            resumed = resume(functools.partial(_spoil, rng, spoil, 1))
            yield f"the newest: {kind}", "one before used", _not_continued(resumed, expected)
            resumed = resume(functools.partial(_spoil, rng, spoil, _ITERATIONS))
            yield f"all: {kind}", "refused", _not_refused(resumed, "CheckpointError")
    for kind, other in (
        ("of another agent", {"agent": training.other_agent}),
        ("of another scenario", {"agent": "random", "scenario": "interest_evolution"}),
    ):
        source = _after(functools.partial(train, **other), os.path.join(folder, kind), _ITERATIONS)
        resumed = resume(functools.partial(_replace, source))
        yield f"all: {kind}", "refused", _not_refused(resumed, "ValueError")


def _after(train: Callable[..., None], folder: str, num_iterations: int) -> str:
    """Runs a training in a new folder, which it returns."""
    os.makedirs(folder)
    program = functools.partial(train, num_iterations=num_iterations)
    ended = programs.in_a_process(program, folder, f"{folder}.log")
    if ended.code:
        raise RuntimeError(f"A training failed that nothing was done to: {ended.error}")
    return folder


def _checkpoints(folder: str) -> list[pathlib.Path]:
    """Returns the checkpoints of a training, the newest first."""
    directory = os.path.join(folder, "train", "checkpoints")
    checkpoints = checkpoint.Checkpointer(directory)
    return [pathlib.Path(checkpoints.path(number)) for number in checkpoints.iterations()[::-1]]


def _spoil(rng: random.Random, spoil: _Spoil, number: int, folder: str) -> None:
    for path in _checkpoints(folder)[:number]:
        path.write_bytes(spoil(rng, path.read_bytes()))


def _replace(source: str, folder: str) -> None:
    for ours, theirs in zip(_checkpoints(folder), _checkpoints(source), strict=True):
        shutil.copyfile(theirs, ours)


@dataclasses.dataclass(frozen=True)
class _Resumed:
    """A training that was resumed with spoiled checkpoints.

    Attributes:
        folder: where it wrote.
        ended: how it ended.
        changed: the names of the checkpoints that it changed or made.
    """

    folder: str
    ended: programs.Ended
    changed: list[str]


def _resumed(
    program: programs.Program, trained: str, folder: str, spoil: Callable[[str], None]
) -> _Resumed:
    """Resumes a copy of a training after something was done to its checkpoints."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(trained, folder)
    spoil(folder)
    before = _contents(folder)
    ended = programs.in_a_process(program, folder, f"{folder}.log")
    after = _contents(folder)
    changed = [name for name, content in after.items() if before.get(name) != content]
    return _Resumed(folder, ended, changed)


def _contents(folder: str) -> dict[str, bytes]:
    paths = pathlib.Path(folder, "train", "checkpoints").iterdir()
    return {path.name: path.read_bytes() for path in paths}


def _not_continued(resumed: _Resumed, expected: dict[str, Any]) -> str | None:
    """Says what is wrong with a training that had to continue; None if nothing is."""
    if resumed.ended.code:
        return f"did not continue ({resumed.ended.code}): {resumed.ended.error[-800:]}"
    return outcomes.difference(resumed.folder, expected)


def _not_refused(resumed: _Resumed, error: str) -> str | None:
    """Says what is wrong with a training that had to be refused; None if nothing is."""
    if resumed.ended.code != 4:
        return f"was not refused but ended with {resumed.ended.code}"
    *_, last = [line for line in resumed.ended.error.splitlines() if line[:1].strip()]
    if not last.startswith(error) and f".{error}: " not in last:
        return f"was refused by another error than {error}: {last}"
    return f"changed {resumed.changed}" if resumed.changed else None
