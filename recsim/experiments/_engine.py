"""One call that runs an experiment: its record, its tasks, its results."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gin

from recsim import clusters, parallel, registry
from recsim._internal import (
    bindings,
    files,
    json_text,
    paths,
    provenance,
    resources,
    validation,
)
from recsim.experiments import _frames, _plan, _tasks, agent_run, factories
from recsim.experiments.results import Metadata, Results
from recsim.simulator import progress as progress_lib
from recsim.vector import rollouts, streams

if TYPE_CHECKING:
    from recsim.experiments.experiment import Experiment

__all__ = ["ExperimentFailedError", "Run", "draw", "sources"]

_RECORD = "experiment.json"
_FORMAT = 1
# A row of the data frame.
_BYTES_OF_VALUE = 56
# Experiments of fewer steps are over before processes have started.
_STEPS_WORTH_A_WORKER = 200_000
_SECONDS_BETWEEN_LOOKS = 0.5

# Options of commands that say where tasks run.
_OPTIONS_OF_PLACE = ("--workers", "--backend", "--address", "--rollout-workers")

_logger = logging.getLogger(__name__)


class ExperimentFailedError(RuntimeError):
    """All tasks of an experiment have failed."""


def sources(wanted: Experiment) -> dict[str, str | None]:
    """Returns digests of the sources of a user's own agents and scenarios, by name."""
    return {
        label: factories.source_digest(of, kind)
        for kind, named in (
            ("scenario", wanted.scenarios_by_name),
            ("agent", wanted.agents_by_name),
        )
        for label, of in named.items()
        if not isinstance(of, str)
        or factories.is_reference(of)
        or (kind == "scenario" and registry.is_folder(of))
    }


def _rollout_workers(
    wanted: Experiment,
    number: int | None,
    workers: int | None,
    backend: clusters.BackendLike,
    address: str | None,
) -> rollouts.RolloutWorkers | None:
    """Returns what simulates the users of trainings; None for the processes of the tasks.

    Raises:
        TypeError, ValueError: if it cannot.
    """
    if number is None and not wanted.staleness:
        return None
    number = validation.positive_int("rollout_workers", 1 if number is None else number)
    if wanted.num_envs is None or not wanted.learners:
        raise ValueError(
            "rollout_workers has no effect without num_envs and an agent that learns: they "
            "simulate users in parallel, in trainings."
        )
    if wanted.log_user_state:
        raise ValueError(
            "log_user_state must be False with rollout_workers (or a staleness): users' hidden "
            "states are in the workers."
        )
    if workers not in (None, 1):
        raise ValueError(
            f"workers must be 1, or left out, with rollout_workers, got {workers}: tasks run one "
            "at a time, each with these workers."
        )
    if not isinstance(backend, str):
        raise TypeError(
            "backend must be one of 'loky', 'ray' and 'dask' with rollout_workers, got "
            f"{backend!r}: each task connects to it from its process."
        )
    users = wanted.train_envs or min(wanted.num_envs, agent_run.MOST_TRAINING_USERS)
    chunks = len(streams.chunks(0, users))
    if number > chunks:
        raise ValueError(
            f"rollout_workers must be at most {chunks} for {users:,} users in training, got "
            f"{number}: each has a chunk of {streams.CHUNK_SIZE:,} users at least. Ask for fewer, "
            f"or for more users (train_envs)."
        )
    return rollouts.RolloutWorkers(number, backend, address, staleness=wanted.staleness)


@contextlib.contextmanager
def _registered(wanted: Experiment) -> Iterator[None]:
    """Gives agents and scenarios their names in the registry, in workers too, in a block."""
    before = registry.own_entries()
    try:
        for label, of in wanted.scenarios_by_name.items():
            registry.ENVIRONMENTS[label] = factories.environment_entry(of)
        for label, of in wanted.agents_by_name.items():
            registry.AGENTS[label] = factories.agent_entry(of)
        yield
    finally:
        registry.set_own_entries(before)


def draw(of_results: Results, folder: str) -> None:
    """Writes figure and report to the folder of an experiment, see :func:`experiment.draw`."""
    with _locked(folder):  # Others remove what killed commands have left there.
        of_results.plot(os.path.join(folder, "results"))
        of_results.report(os.path.join(folder, "report.html"))


class Run:
    """One call that runs an experiment.

    Args:
        wanted: the experiment.
        folder: the folder for its files.
        workers: the most tasks at a time, None for a number that suits.
        shard: which tasks to run, None for all.
        progress: whether to show progress.
        command_arguments: those of the command, for the record.
        backend: where the tasks run, see :func:`recsim.clusters.connect`.
        address: that of the cluster.
        rollout_workers: how many workers there simulate the users of a training, while the tasks
            run here, one at a time; None for none.
    """

    def __init__(
        self,
        wanted: Experiment,
        folder: str,
        workers: int | None,
        shard: tuple[int, int] | None,
        progress: bool | None,
        command_arguments: Sequence[str] | None,
        backend: clusters.BackendLike,
        address: str | None,
        rollout_workers: int | None,
    ) -> None:
        self._wanted = wanted
        simulating = _rollout_workers(wanted, rollout_workers, workers, backend, address)
        if simulating is not None:
            workers, backend, address = 1, "loky", None
        self._connected = functools.partial(clusters.connect, backend, address, workers)
        self._folder = folder
        self._workers = workers
        self._shard = shard
        self._progress = progress
        self._command_arguments = command_arguments
        self._arguments = {**wanted.arguments(), "rollout_workers": simulating}

    def __call__(self) -> Results:
        with _registered(self._wanted), bindings.restored():
            registry.import_all()
            bindings.load(self._wanted.gin_files, self._wanted.gin_bindings)
            self._gin = gin.config_str()
            record = self._prepare()
            tasks = [_tasks.Spec(**task) for task in record["tasks"]]
            self._check_shard(len(tasks))
            mine = tasks if self._shard is None else tasks[self._shard[0] - 1 :: self._shard[1]]
            self._run(mine)
        return self._collect(tasks, record)

    def _prepare(self) -> dict[str, Any]:
        """Returns the record of the experiment, which is written where it is not there yet."""
        paths.writable_folder("The output folder", self._folder)
        path = os.path.join(self._folder, _RECORD)
        wanted = self._record()
        with _locked(self._folder):
            if not os.path.exists(path):
                files.remove_unfinished(self._folder)
                files.check_empty("The output folder", self._folder)
                self._write(path, wanted, self._planned())
            found = _read(path)
            if self._extends(found):
                planned = self._planned()
                of_as_many = {**found["spec"], "seeds": self._wanted.num_seeds}
                _check_same(_as_read(wanted), {**found, "spec": of_as_many}, self._folder)
                self._write(path, wanted, planned)
                found = _read(path)
        _check_same(_as_read(wanted), found, self._folder)
        return {**wanted, "tasks": found["tasks"]}

    def _extends(self, found: Mapping[str, Any]) -> bool:
        """Says whether more seeds are wanted than the folder's record has."""
        there = (found.get("spec") or {}).get("seeds")
        return isinstance(there, int) and self._wanted.num_seeds > there

    def _write(self, path: str, record: Mapping[str, Any], planned: Sequence[_tasks.Spec]) -> None:
        """Writes the record with its tasks, before which the folder is not this experiment's."""
        self._check_shard(len(planned))
        with files.atomic_file(path) as file:
            of_tasks = {**record, "tasks": [task.data() for task in planned]}
            file.write(f"{json_text.dumps(of_tasks, indent=1)}\n".encode())

    def _check_shard(self, num_tasks: int) -> None:
        """Raises ValueError for more parts than tasks, some of which would be empty."""
        if self._shard is not None and self._shard[1] > num_tasks:
            raise ValueError(
                f"shard must be of as many parts as there are tasks at most, {num_tasks}, got "
                f"{self._shard[1]} parts."
            )

    def _record(self) -> dict[str, Any]:
        """Returns all that the numbers depend on, but for the tasks."""
        spec = self._wanted.data()
        # Files may change. What gin has been told otherwise in this process counts too.
        spec["gin_files"], spec["gin_bindings"] = [], [self._gin] if self._gin.strip() else []
        spec["seeds"] = self._wanted.num_seeds
        return {
            "format": _FORMAT,
            "spec": spec,
            "versions": provenance.installed(),
            "sources": sources(self._wanted),
        }

    def _planned(self) -> list[_tasks.Spec]:
        """Returns the tasks, when it is certain that each of them can be made."""
        wanted = self._wanted
        self._check_memory()
        refuse = not wanted.gin_allow_unused
        given = {name: getattr(wanted, name) for name in ("steps", "episodes", "train_steps")}
        combinations = _plan.combinations(wanted, self._arguments)
        made = functools.reduce(bindings.Made.joined_with, (of.made for of in combinations))
        with bindings.restored():
            first = [_tasks.gin_text(name, values[0]) for name, values in wanted.sweep.items()]
            if not refuse:
                gin.clear_config()
            bindings.load([], first)
            made.refuse_unused(agent_run.overridden(given), registry.makers_of)
        agent_seed = wanted.seed if wanted.agent_seed is None else wanted.agent_seed
        # A seed of all agents after the other: a part of the tasks compares them already.
        return [
            _tasks.Spec(
                of.scenario,
                of.agent,
                of.settings,
                wanted.seed + number,
                agent_seed + number,
                _plan.uses_tensorflow(wanted, of.agent),
            )
            for number in range(wanted.num_seeds)
            for of in combinations
        ]

    def _check_memory(self) -> None:
        """Raises MemoryError if the results cannot be in memory."""
        wanted = self._wanted
        episodes = wanted.episodes or 1
        tasks = len(wanted.agents_by_name) * len(wanted.scenarios_by_name) * wanted.num_seeds
        resources.check_memory(
            episodes * tasks * len(("steps", "return", "steps_per_second")) * _BYTES_OF_VALUE,
            f"The results of {resources.shown(episodes)} episodes of {tasks} tasks",
            "choose fewer episodes",
        )

    def _run(self, mine: Sequence[_tasks.Spec]) -> None:
        """Runs tasks until all are finished or have failed, be it by another command."""
        left = [spec for spec in mine if _tasks.read_result(spec, self._folder) is None]
        if len(left) < len(mine) and left and self._progress is not False:
            done = f"{len(mine) - len(left)} of {len(mine)} tasks are done."
            print(f"Resuming: {done}", file=sys.stderr, flush=True)
        size = _plan.size_of_task(self._wanted)
        total = size * len(left)
        if not left:
            return
        with (
            self._connected() as backend,
            progress_lib.progress_bar("Experiment", total, "steps", self._progress) as show,
        ):
            while left:
                taken = self._run_tasks(left, size, lambda more: show(more, 0), backend)
                left = [spec for spec in left if spec.name in taken]
                if left:
                    time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _run_tasks(
        self,
        left: Sequence[_tasks.Spec],
        size: int,
        advance: parallel.Advance,
        backend: clusters.Backend | None,
    ) -> set[str]:
        """Runs tasks and returns the names of those that another command is running."""
        tasks = [
            parallel.Task(
                spec.name,
                functools.partial(_tasks.run, spec, self._folder, self._arguments),
                {},
                size,
                uses_tensorflow=spec.uses_tensorflow,
            )
            for spec in left
        ]
        workers = self._workers
        if workers is None and backend is not None:
            workers = min(backend.cores(), len(left))
        elif workers is None:
            uses_tensorflow = any(spec.uses_tensorflow for spec in left)
            is_long = uses_tensorflow or size * len(left) > _STEPS_WORTH_A_WORKER
            workers = min(parallel.usable_cores(), len(left)) if is_long else 1
        if backend is None:
            resources.check_processes(min(workers, len(left)))
        taken = set()
        try:
            # The processes end with the block, whatever ends it.
            with contextlib.closing(
                parallel.run_tasks(tasks, workers, advance, keep_going=True, backend=backend)
            ) as results:
                for task, result in results:
                    if result["state"] == _tasks.TAKEN:
                        taken.add(task.name)
                    elif result["state"] == _tasks.FAILED:
                        _logger.error("The task %s has failed.\n%s", task.name, result["error"])
        except parallel.TaskError as error:  # The processes of tasks were killed, again and again.
            self._note_killed(left, str(error))
        return taken

    def _note_killed(self, left: Sequence[_tasks.Spec], message: str) -> None:
        for spec in left:
            if repr(spec.name) in message:
                _tasks.write_error(spec, self._folder, message)
        _logger.error(message)

    def _collect(self, tasks: Sequence[_tasks.Spec], record: Mapping[str, Any]) -> Results:
        """Returns the results of the tasks that are finished, saved if all have come to an end."""
        found = {spec.name: _tasks.read_result(spec, self._folder) for spec in tasks}
        errors = {
            spec.name: error
            for spec in tasks
            if found[spec.name] is None
            and (error := _tasks.read_error(spec, self._folder)) is not None
        }
        # Agents in the order in which they are named, the baseline last, whatever is missing.
        places = {name: place for place, name in enumerate(dict.fromkeys(map(_variant, tasks)))}
        finished = [
            (spec, result)
            for spec in sorted(tasks, key=lambda spec: places[_variant(spec)])
            if (result := found[spec.name]) is not None
        ]
        if not finished and errors:
            name, error = next(iter(errors.items()))
            line = _tasks.error_line(error)
            raise ExperimentFailedError(f"All tasks have failed, the first, {name}, with {line}")
        failures = [
            {"task": name, "error": _tasks.error_line(error), "traceback": error}
            for name, error in errors.items()
        ]
        metadata = Metadata(
            spec=record["spec"],
            provenance=self._provenance(record, tasks, finished),
            failures=failures,
            timing={
                f"{what}_of_tasks": {
                    spec.name: round(float(result[what]), 3)
                    for spec, result in finished
                    if what in result  # Results of earlier versions lack one.
                }
                for what in ("seconds", "processor_seconds")
            },
        )
        results = Results(
            _frames.values(finished),
            metadata,
            curves=_frames.curves(finished),
            steps=_frames.steps(finished),
        )
        if len(finished) + len(errors) == len(tasks):
            with _locked(self._folder):
                files.remove_unfinished(self._folder)  # Of a command that was killed in between.
                results.save(self._folder)
                _frames.write_episodes(finished, os.path.join(self._folder, "episodes.csv"))
        return results

    def _provenance(
        self,
        record: Mapping[str, Any],
        tasks: Sequence[_tasks.Spec],
        finished: Sequence[tuple[_tasks.Spec, Mapping[str, Any]]],
    ) -> dict[str, Any]:
        """Returns what else the numbers depend on, the same whoever ran which task."""
        argv = ["recsim", *_that_count(self._command_arguments or ())]
        # These are long, and the same for every seed of an agent.
        operative = list(dict.fromkeys(result["operative"] for _, result in finished))
        fingerprints: dict[str, Any] = {}
        of_tasks = {}
        for spec, result in finished:
            of_task = json.loads(result["fingerprints"])
            of_tasks[spec.name] = {phase: of["sha256"] for phase, of in of_task.items()}
            fingerprints |= {of["sha256"]: of for of in of_task.values()}
        return {
            "argv": argv if self._command_arguments is not None else None,
            "versions": record["versions"],
            "sources": record["sources"],
            "variants": [list(names) for names in dict.fromkeys(map(_variant, tasks))],
            "tasks": {
                spec.name: {
                    "seeds": json.loads(result["seeds"]),
                    "fingerprints": of_tasks[spec.name],
                    "settings": json.loads(result["settings"]),
                    "operative": operative.index(result["operative"]),
                }
                for spec, result in finished
            },
            "fingerprints": fingerprints,
            "operative": operative,
        }


def _variant(spec: _tasks.Spec) -> tuple[str, str]:
    """Returns what a row of the tables is of: an agent with its settings."""
    return spec.agent, _tasks.settings_text(spec.settings)


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Has a folder's record to itself, when other commands have read or written it."""
    deadline = time.monotonic() + 600
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(files.locked(folder))
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield


def _read(path: str) -> dict[str, Any]:
    """Returns a folder's record.

    Raises:
        ValueError: if it is none.
    """
    with open(path, encoding="utf-8") as opened:
        try:
            record: dict[str, Any] = json.load(opened)
            record["tasks"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path!r}, which says what the results in its folder are of, is spoiled "
                f"({error}): choose another output folder."
            ) from error
    return record


def _as_read(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a record as it is read when it was written."""
    read: dict[str, Any] = json.loads(json_text.dumps(record))
    return read


def _check_same(wanted: Mapping[str, Any], found: Mapping[str, Any], folder: str) -> None:
    """Raises ValueError, with what differs, if a folder's results are of another experiment."""

    def flat(record: Mapping[str, Any]) -> dict[str, Any]:
        parts = {name: record.get(name) or {} for name in ("spec", "versions", "sources")}
        return {
            "format": record.get("format"),
            **parts["spec"],
            **{f"version of {name}": version for name, version in parts["versions"].items()},
            **{f"source of {name}": digest for name, digest in parts["sources"].items()},
        }

    there, here = flat(found), flat(wanted)
    differences = [
        f"{name} {there.get(name, 'nothing')} there and {here.get(name, 'nothing')} here"
        for name in {**there, **here}
        if there.get(name) != here.get(name)
    ]
    if differences:
        raise ValueError(
            f"The output folder {folder!r} holds results of another experiment "
            f"({'; '.join(differences)}): choose another, or the same experiment to resume."
        )


def _that_count(arguments: Sequence[str]) -> Iterator[str]:
    """Yields the arguments of a command but for those that its numbers do not depend on."""
    skip = False
    for argument in arguments:
        if skip:
            skip = False
            continue
        name, equals, _ = argument.partition("=")
        if name in (*_OPTIONS_OF_PLACE, "--shard", "--output"):
            skip = not equals
        elif name != "--quiet":
            yield argument
