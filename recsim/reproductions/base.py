"""What the reproductions of published results share: the experiments of ``recsim reproduce``.

A reproduction is split into tasks that do not depend on each other. The result of each finished
task is stored in the output folder, so that the same command, started again after an interruption,
resumes from there and ends with the same numbers, with any number of workers.

To add one, write a :class:`Reproduction` in a module of its own and list it in
:data:`recsim.registry.REPRODUCTIONS`. A run leaves in its folder

* ``results.json``: command, settings, versions, time taken and the results;
* ``table.md``: the table;
* ``<name>.png`` and ``<name>.svg``: the figures;
* ``settings.json`` and ``tasks/…``: what a later command needs to resume. A file of a task that is
  spoiled is computed anew, with a warning.
"""

from __future__ import annotations

import abc
import argparse
import contextlib
import dataclasses
import functools
import json
import logging
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from recsim import clusters, parallel, types
from recsim._internal import (
    bindings,
    command_line,
    files,
    json_text,
    paths,
    provenance,
    resources,
    validation,
    version,
)
from recsim.experiments import plots, tables
from recsim.parallel import Advance, Result, Task, TaskError, usable_cores
from recsim.simulator import checkpoint, fingerprint, progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Advance",
    "Reproduction",
    "Result",
    "fingerprint_of",
    "Task",
    "TaskError",
    "TrainedAgent",
    "prepare",
    "run",
    "text",
    "usable_cores",
]

_SETTINGS = "settings.json"
_RESULTS = "results.json"

_logger = logging.getLogger(__name__)
_TASKS = "tasks"


@dataclasses.dataclass(frozen=True)
class Size:
    """A number that says how large an experiment is, and an option of its command.

    Attributes:
        name: its name.
        least: its least value.
        default: its value unless something else is said.
        quick: its value in a small version of the experiment.
        description: what it is the number of.
        bytes_each: the least memory that one of them takes, in bytes.
    """

    name: str
    least: int
    default: int
    quick: int
    description: str
    bytes_each: int = 0


class TrainedAgent(types.SlateAgent, types.Bundled, Protocol):
    """An agent whose bundle another one like it is given."""


class Reproduction(abc.ABC):
    """An experiment whose tasks can be run side by side, and resumed.

    Args:
        seed: seed of everything, at least 0.
        **sizes: a number for each of ``sizes``; constructors of subclasses name them.

    Raises:
        TypeError: if a number is not an integer.
        ValueError: if a number is too small.
        MemoryError: if a number is too large for this machine.

    Attributes:
        sizes: how large it can be chosen to be.
        name: its name in the command ``recsim reproduce <name>``.
        unit: what progress counts, in the plural.
        notes: what there is to say under its tables.
        packages: the packages whose versions its numbers depend on, beside this library.
    """

    sizes: tuple[Size, ...]
    name: str
    unit: str
    notes: str
    packages: tuple[str, ...] = ("numpy",)

    def __init__(self, seed: int, **sizes: int) -> None:
        least = {size.name: size.least for size in self.sizes}
        #: All that the numbers depend on, under the names of the options, as plain data.
        self.settings = {
            name: validation.positive_int(name, number, minimum=least[name])
            for name, number in sizes.items()
        }
        self.settings["seed"] = validation.positive_int("seed", seed, minimum=0)
        for size in self.sizes:
            number = self.settings[size.name]
            resources.check_memory(
                number * size.bytes_each,
                f"{self.name} with {size.name}={resources.shown(number)}",
                f"choose fewer {size.name}",
            )

    @classmethod
    def add_options(cls, group: command_line.Options) -> None:
        """Adds an option for each of its sizes."""
        for size in cls.sizes:
            group.add_argument(
                f"--{size.name.replace('_', '-')}",
                metavar="N",
                type=command_line.integer(size.least),
                help=f"{size.description} (default: {size.default}; quick: {size.quick})",
            )

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> Reproduction:
        """Makes the experiment that the options of the command ask for.

        Args:
            options: its own options, ``seed``, and ``quick``, which asks for a small version where
                nothing else is said.
        """
        sizes = {
            size.name: getattr(options, size.name)
            or (size.quick if options.quick else size.default)
            for size in cls.sizes
        }
        return cls(seed=options.seed, **sizes)

    @abc.abstractmethod
    def tasks(self, folder: str) -> list[Task]:
        """Returns the tasks.

        Args:
            folder: where a task may keep what it needs to be resumed in its middle, under the
                task's name.
        """

    @abc.abstractmethod
    def results(self, tasks: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
        """Returns the results as plain data, from what each task, by its name, returned."""

    @abc.abstractmethod
    def tables(self, results: Mapping[str, Any]) -> list[tables.Table]:
        """Returns the results as tables."""

    @abc.abstractmethod
    def figures(self, results: Mapping[str, Any]) -> dict[str, Figure]:
        """Returns figures by name."""


def prepare(experiment: Reproduction, folder: paths.Path) -> None:
    """Checks, before anything is computed, that a run can begin or resume in a folder.

    Args:
        experiment: what to run.
        folder: the output folder, which is made.

    Raises:
        ValueError: if the folder holds anything but an earlier run of the same settings, or its
            ``settings.json`` is spoiled.
        BlockingIOError: if another command writes to the folder now.
        OSError: if the folder cannot be written to.
    """
    folder = paths.absolute("folder", folder)
    run_fingerprint = _run_fingerprint(experiment)
    paths.writable_folder("The output folder", folder)
    with files.locked(folder):
        files.remove_unfinished(folder)
        path = os.path.join(folder, _SETTINGS)
        if os.path.exists(path):
            try:
                there = _read_json(path)
            except ValueError as error:
                raise ValueError(
                    f"{path!r}, which says what the results in its folder are of, is spoiled "
                    f"({error}): choose another output folder."
                ) from error
            _check_same(run_fingerprint, there, folder)
        else:
            files.check_empty("The output folder", folder)
            _write_json(path, run_fingerprint)


def run(
    experiment: Reproduction,
    folder: paths.Path,
    *,
    workers: int | None = 1,
    backend: clusters.BackendLike = "loky",
    address: str | None = None,
    show_progress: bool | None = None,
    arguments: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Runs an experiment, or what is left of it, and writes its files.

    Args:
        experiment: what to run.
        folder: the output folder: new, empty, or that of an earlier run of the same settings.
        workers: the most tasks to run at a time, None for one a core; the results do not depend on
            it.
        backend: where the tasks run, see :func:`recsim.clusters.connect`. The workers of a cluster
            must have the folder, too.
        address: that of the cluster, None for one of this machine.
        show_progress: False to show nothing; None shows it on the standard error stream.
        arguments: those of the command that asked for it, for the record; None for a program.

    Returns:
        What is in ``results.json``. Its ``provenance`` is of the command that computed the last
        task; ``fingerprints`` there has those of scenario and agent with the names of the tasks.

    Raises:
        ValueError, ImportError, OSError: see :func:`prepare`.
        ConnectionError: if there is no cluster at the address.
        TaskError: if the processes of tasks have ended three times before these were done, after
            the other tasks are. The same call runs them anew.
    """
    if workers is not None:
        workers = validation.positive_int("workers", workers)
    connected = functools.partial(clusters.connect, backend, address, workers)
    folder = paths.absolute("folder", folder)
    prepare(experiment, folder)
    with files.locked(folder):
        start = time.perf_counter()
        tasks = experiment.tasks(os.path.join(folder, _TASKS))
        finished = _finished_tasks(tasks, folder)
        computed = len(tasks) - len(finished)
        _compute(experiment, tasks, finished, folder, workers, connected, show_progress)
        # Written anew, with how long it took then.
        record = None if computed else _earlier_record(experiment, folder)
        if record is None:
            record = {
                **_run_fingerprint(experiment),
                "command": _command(experiment, workers),
                "provenance": provenance.record(
                    arguments,
                    {"everything": experiment.settings["seed"]},
                    fingerprints=fingerprints_of(finished),
                ),
                "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
                "time": {
                    "seconds": round(time.perf_counter() - start, 1),
                    "tasks": len(tasks),
                    "tasks_of_earlier_commands": len(tasks) - computed,
                    "seconds_of_all_tasks": round(
                        sum(float(task["seconds"]) for task in finished.values())
                    ),
                },
            }
        record["results"] = experiment.results({task.name: finished[task.name] for task in tasks})
        _write_files(experiment, record, folder)
        return record


def fingerprint_of(env: types.AnyEnv, agent: types.AnyAgent) -> np.ndarray:
    """Returns the fingerprint of scenario and agent as an entry ``fingerprint`` of a task's result.

    Args:
        env: the environment.
        agent: the agent, as it was made.
    """
    return np.array(json_text.dumps(fingerprint.fingerprint(env, agent).data()))


def fingerprints_of(finished: Mapping[str, Result]) -> list[dict[str, Any]]:
    """Returns the different fingerprints, each with the names of its tasks."""
    tasks: dict[str, list[str]] = {}
    for name in sorted(finished):
        if "fingerprint" in finished[name]:
            tasks.setdefault(str(finished[name]["fingerprint"]), []).append(name)
    return [{"tasks": names, **json.loads(data)} for data, names in tasks.items()]


def text(experiment: Reproduction, record: Mapping[str, Any], width: int = 80) -> str:
    """Returns tables and notes as plain text.

    Args:
        experiment: what was run.
        record: what :func:`run` returned.
        width: number of columns of the terminal. Wider tables continue below.
    """
    shown = [tables.plain(table, width) for table in experiment.tables(record["results"])]
    return "\n\n".join([*shown, experiment.notes])


def _finished_tasks(tasks: list[Task], folder: str) -> dict[str, Result]:
    """Returns what earlier commands computed, by the task's name, without what is spoiled."""
    folder_of_tasks = os.path.join(folder, _TASKS)
    with contextlib.suppress(OSError):  # Its name in a folder of an earlier version.
        os.rename(os.path.join(folder, "parts"), folder_of_tasks)
    os.makedirs(folder_of_tasks, exist_ok=True)
    files.remove_unfinished(folder_of_tasks)
    finished = {}
    for task in tasks:
        path = _task_path(folder, task)
        if not os.path.lexists(path):
            continue
        try:
            finished[task.name] = _read_task(folder, task)
        except (checkpoint.CheckpointError, OSError) as error:
            _logger.warning(
                "%r is spoiled and computed anew: %s", path, getattr(error, "fault", error)
            )
            if os.path.isdir(path):
                shutil.rmtree(path)
    return finished


def _earlier_record(experiment: Reproduction, folder: str) -> dict[str, Any] | None:
    """Returns what an earlier command wrote of its results, None if that is gone or spoiled."""
    path = os.path.join(folder, _RESULTS)
    if not os.path.lexists(path):
        return None
    try:
        record = _read_json(path)
        expected = json.loads(json_text.dumps(_run_fingerprint(experiment)))
        if any(record.get(name) != value for name, value in expected.items()):
            raise ValueError("it is not of these settings")
        if not isinstance(record["command"], str) or not isinstance(record["time"], dict):
            raise ValueError("it does not say how it was computed")
        return record
    except (ValueError, KeyError, OSError) as error:
        _logger.warning("%r is spoiled and put together anew: %s", path, error)
        if os.path.isdir(path):
            shutil.rmtree(path)
        return None


def _compute(
    experiment: Reproduction,
    tasks: list[Task],
    finished: dict[str, Result],
    folder: str,
    workers: int | None,
    connected: Callable[[], contextlib.AbstractContextManager[clusters.Backend | None]],
    show_progress: bool | None,
) -> None:
    """Runs the tasks that no earlier command has finished and adds what they return."""
    left = [task for task in tasks if task.name not in finished]
    if not left:
        return
    if finished and show_progress is not False:
        done = f"{len(finished)} of {len(tasks)} tasks are done."
        print(f"Resuming: {done}", file=sys.stderr, flush=True)
    total = sum(task.size for task in left)
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(connected())
        if workers is None:
            workers = usable_cores() if cluster is None else cluster.cores()
        if cluster is None:
            resources.check_processes(min(workers, len(left)))
        show = stack.enter_context(
            progress.progress_bar(experiment.name, total, experiment.unit, show_progress)
        )
        # The processes end with the block, whatever ends it.
        results = stack.enter_context(
            contextlib.closing(
                parallel.run_tasks(
                    left, workers, lambda more: show(more, 0), keep_going=True, backend=cluster
                )
            )
        )
        for task, result in results:
            arrays = {name: np.asarray(value) for name, value in result.items()}
            checkpoint.save(_task_path(folder, task), {"task": task.name, "result": arrays})
            finished[task.name] = _read_task(folder, task)


def _task_path(folder: str, task: Task) -> str:
    return os.path.join(folder, _TASKS, f"{task.name}.result")


def _read_task(folder: str, task: Task) -> Result:
    """Returns what a task returned.

    Raises:
        checkpoint.CheckpointError: if the file is spoiled, or of another task.
        OSError: if it cannot be read.
    """
    path = _task_path(folder, task)
    tree = checkpoint.load(path)
    is_record = isinstance(tree, dict) and isinstance(tree.get("result"), dict)
    if not is_record or tree.get("task") != task.name:
        raise checkpoint.CheckpointError(f"{path!r} is not of the task {task.name}.")
    return dict(tree["result"])


@functools.cache  # It reads the files of all that is installed.
def _distributions() -> Mapping[str, Sequence[str]]:
    """Returns the distributions of each package, without importing any, which may take long."""
    return metadata.packages_distributions()


def _run_fingerprint(experiment: Reproduction) -> dict[str, Any]:
    """Returns what must be the same for tasks of two commands to go together."""
    if not _distributions().keys() >= set(experiment.packages):
        _distributions.cache_clear()  # They may have been installed since.
    distributions = _distributions()
    for package in experiment.packages:
        if package not in distributions:
            raise ImportError(
                f"{experiment.name} needs {package}, which is not installed: pip install {package}."
            )
    bound = bindings.described()
    return {
        "experiment": experiment.name,
        "settings": experiment.settings,
        **({"gin_bindings": bound} if bound else {}),
        "versions": {
            "recsim": version.__version__,
            "python": ".".join(platform.python_version_tuple()[:2]),
            **{
                package: metadata.version(distributions[package][0])
                for package in experiment.packages
            },
        },
    }


def _check_same(wanted: Mapping[str, Any], found: Mapping[str, Any], folder: str) -> None:
    """Raises ValueError, with what differs, if a folder's results are of other settings."""

    def flat(of_run: Mapping[str, Any]) -> dict[str, Any]:
        versions = of_run.get("versions", {})
        return {
            "experiment": of_run.get("experiment", "nothing"),
            **of_run.get("settings", {}),
            **{f"binding of {name}": v for name, v in of_run.get("gin_bindings", {}).items()},
            **{f"version of {name}": text for name, text in versions.items()},
        }

    there, here = flat(found), flat(wanted)
    differences = [
        f"{name} {there.get(name, 'nothing')} there and {here.get(name, 'nothing')} here"
        for name in {**there, **here}
        if there.get(name) != here.get(name)
    ]
    if differences:
        raise ValueError(
            f"The output folder {folder!r} holds results of other settings "
            f"({'; '.join(differences)}): choose another, or the same settings to resume."
        )


def _command(experiment: Reproduction, workers: int | None) -> str:
    """Returns a command that runs the experiment."""
    options = {**experiment.settings, **({"workers": workers} if workers else {})}
    texts = [f"--{name.replace('_', '-')} {value}" for name, value in options.items()]
    return " ".join(["recsim reproduce", experiment.name, *texts])


def _write_files(experiment: Reproduction, record: Mapping[str, Any], folder: str) -> None:
    results = record["results"]
    for name, figure in experiment.figures(results).items():
        plots.write(figure, os.path.join(folder, name))
    shown = [*map(tables.markdown, experiment.tables(results)), experiment.notes]
    with files.atomic_file(os.path.join(folder, "table.md")) as file:
        file.write(("\n\n".join(shown) + "\n").encode())
    _write_json(os.path.join(folder, _RESULTS), record)


def _read_json(path: str) -> dict[str, Any]:
    """Returns a dictionary that a file has as JSON; raises ValueError if it has something else."""
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    if not isinstance(data, dict):
        raise ValueError("it does not hold a dictionary")
    return data


def _write_json(path: str, data: Mapping[str, Any]) -> None:
    with files.atomic_file(path) as file:
        file.write(f"{json_text.dumps(data, indent=1)}\n".encode())
