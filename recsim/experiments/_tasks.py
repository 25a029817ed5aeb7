"""Tasks of experiments: one agent in one scenario with one seed, and the file of what it gave.

A task has a folder, which is its lock too, so that several commands may share an experiment's
folder. It holds the files of the agent's runners, ``task.result`` once the task is finished, and
``error.txt`` where it has failed and no later command has finished it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import re
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import gin
import numpy as np

from recsim import parallel, registry
from recsim._internal import bindings, files, json_text
from recsim.experiments import _learning_curve, agent_run, factories
from recsim.simulator import checkpoint

__all__ = [
    "FAILED",
    "FINISHED",
    "TAKEN",
    "Spec",
    "check",
    "error_line",
    "gin_text",
    "read_error",
    "read_result",
    "run",
    "settings_text",
    "write_error",
]

_RESULT = "task.result"
_ERROR = "error.txt"

# What ends the other tasks too: the disk is full, or cannot be written to any more.
_OF_ALL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EROFS") if hasattr(errno, name)}
_LONGEST_FOLDER = 100

#: What :func:`run` returns as ``state``: it is finished, it has failed, another command runs it.
FINISHED, FAILED, TAKEN = "finished", "failed", "taken"


@dataclasses.dataclass(frozen=True)
class Spec:
    """One agent in one scenario with one seed.

    Attributes:
        scenario: the scenario's name.
        agent: the agent's name.
        settings: values of gin's parameters by name.
        seed: seed of users, documents and training.
        agent_seed: what the agent's seed is derived from.
        uses_tensorflow: whether it computes with TensorFlow, see :class:`recsim.parallel.Task`.
    """

    scenario: str
    agent: str
    settings: Mapping[str, Any]
    seed: int
    agent_seed: int
    uses_tensorflow: bool = False

    @property
    def name(self) -> str:
        """Its name, which is the path of its folder in the experiment's, with slashes."""
        settings = [_safe(settings_text(self.settings))] if self.settings else []
        return "/".join([self.scenario, *settings, f"seed_{self.seed}", self.agent])

    def folder(self, output: str) -> str:
        """Returns the path of its folder in that of the experiment."""
        return os.path.join(output, *self.name.split("/"))

    def data(self) -> dict[str, Any]:
        """Returns it as plain data."""
        return {**dataclasses.asdict(self), "settings": dict(self.settings)}


def settings_text(settings: Mapping[str, Any]) -> str:
    """Returns settings as a short text: ``ci_scaling=0.5``."""
    short = [name.rpartition(".")[2] for name in settings]
    names = short if len(set(short)) == len(short) else list(settings)
    return ", ".join(f"{name}={value}" for name, value in zip(names, settings.values()))


def _safe(text: str) -> str:
    """Returns a text that may be a file's name everywhere, another one for another text."""
    safe = re.sub(r"[^\w=.,+@-]+", "_", text)
    if safe == text.replace(", ", ",_") and len(safe) <= _LONGEST_FOLDER:
        return safe
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{safe[:_LONGEST_FOLDER]}-{digest}"


def gin_text(name: str, value: object) -> str:
    """Returns a binding as gin reads it. A string that begins with @ or % is gin's reference."""
    is_reference = isinstance(value, str) and value[:1] in ("@", "%")
    return f"{name} = {value if is_reference else repr(value)}"


def check(spec: Spec, folder: str, arguments: Mapping[str, Any]) -> bindings.Made:
    """Makes what a task runs, and runs nothing of it.

    Args:
        spec: the task.
        folder: an empty folder, for what is made.
        arguments: those of :class:`recsim.experiments.agent_run.AgentRun` that all tasks share.

    Returns:
        What gin could configure of it.

    Raises:
        ValueError, TypeError, MemoryError, OSError: what making the run raises.
    """
    with bindings.recorded() as made:
        _run_of(spec, folder, arguments)
    return made


def _run_of(
    spec: Spec, output: str, arguments: Mapping[str, Any], **more: object
) -> agent_run.AgentRun:
    settings: dict[str, Any] = {**arguments, **more}
    return agent_run.AgentRun(
        spec.scenario,
        spec.agent,
        spec.folder(output),
        seed=spec.seed,
        agent_seed=spec.agent_seed,
        **settings,
    )


def run(
    spec: Spec,
    output: str,
    arguments: Mapping[str, Any],
    advance: Callable[[int], None],
) -> parallel.Result:
    """Runs a task, unless another command does so now or has done it, and writes its result.

    Args:
        spec: the task.
        output: the experiment's folder.
        arguments: see :func:`check`.
        advance: is told of steps.

    Returns:
        ``state``, and for a task that has failed ``error``, its traceback.
    """
    folder = spec.folder(output)
    os.makedirs(folder, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(files.locked(folder))
        except BlockingIOError:
            return {"state": TAKEN}
        if read_result(spec, output) is not None:
            return {"state": FINISHED}
        files.remove_unfinished(folder)
        begin, processor = time.perf_counter(), time.process_time()
        try:
            result = _measured(spec, output, arguments, advance)
        except Exception as problem:  # It may run anybody's code; the others continue.
            if isinstance(problem, OSError) and problem.errno in _OF_ALL:
                raise
            error = traceback.format_exc()
            write_error(spec, output, error)
            return {"state": FAILED, "error": error}
        result["seconds"] = time.perf_counter() - begin
        result["processor_seconds"] = time.process_time() - processor
        checkpoint.save(os.path.join(folder, _RESULT), result)
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(folder, _ERROR))
        return {"state": FINISHED}


def _measured(
    spec: Spec, output: str, arguments: Mapping[str, Any], advance: Callable[[int], None]
) -> dict[str, Any]:
    """Runs a task and returns what it gave, as a checkpoint holds it."""
    with bindings.restored():
        if spec.settings:
            registry.import_all()
            factories.import_own()
        bindings.load([], [gin_text(*setting) for setting in spec.settings.items()])
        with bindings.recorded():
            found = _run_of(spec, output, arguments, advance=advance).measure()
            operative = gin.operative_config_str()
    measures = dict(found.measures)
    speed = measures.pop("steps_per_second")
    return {
        "task": spec.name,
        "measures": measures,
        "steps_per_second": speed,
        "curve": _curve(os.path.join(spec.folder(output), "train")),
        "course": found.course,
        "settings": json_text.dumps(found.settings),
        "seeds": json_text.dumps(found.seeds),
        "fingerprints": json_text.dumps(found.fingerprints),
        "operative": operative,
    }


def _curve(folder: str) -> dict[str, np.ndarray]:
    """Returns mean returns by the steps of a training.

    They are those of evaluations, where there were some, and else of the training's iterations.
    """
    path = os.path.join(folder, "metrics.jsonl")
    if not os.path.exists(path):
        return {}
    points: list[tuple[int, float]] = list(_learning_curve.read(folder).items())
    if not points:
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        value = "AverageEpisodeRewards"
        points = [
            (line["total_steps"], line[value]) for line in lines if line.get(value) is not None
        ]
    return {
        "step": np.array([step for step, _ in points], np.int64),
        "value": np.array([value for _, value in points], np.float64),
    }


def read_result(spec: Spec, output: str) -> dict[str, Any] | None:
    """Returns what a task gave; None where it is not finished, or its file is spoiled."""
    path = os.path.join(spec.folder(output), _RESULT)
    if not os.path.lexists(path):
        return None
    try:
        tree = checkpoint.load(path)
    except (checkpoint.CheckpointError, OSError):
        return None
    is_result = isinstance(tree, dict) and tree.get("task") == spec.name
    return tree if is_result else None


def write_error(spec: Spec, output: str, error: str) -> None:
    """Notes why a task has failed."""
    folder = spec.folder(output)
    os.makedirs(folder, exist_ok=True)
    with files.atomic_file(os.path.join(folder, _ERROR)) as file:
        file.write(error.encode())


def error_line(error: str) -> str:
    """Returns the line of a traceback that says what the error is: the first after the calls."""
    lines = error.rstrip().splitlines() or [""]
    calls = [number for number, line in enumerate(lines) if line.startswith("  File ")]
    after = [line for line in lines[calls[-1] if calls else 0 :] if not line.startswith(" ")]
    return after[0] if calls and after else lines[-1]


def read_error(spec: Spec, output: str) -> str | None:
    """Returns the traceback of a task that has failed; None if it has not."""
    try:
        with open(os.path.join(spec.folder(output), _ERROR), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None
