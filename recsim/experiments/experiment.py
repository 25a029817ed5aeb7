"""Experiments: agents in scenarios, over seeds and settings, and what came of them.

    >>> import tempfile
    >>> results = experiment(
    ...     ["cluster_bandit_ucb1", "random"], seeds=2, episodes=3, steps=20,
    ...     output=tempfile.mkdtemp(), progress=False)
    >>> sorted(set(results.to_dataframe().agent))
    ['cluster_bandit_ucb1', 'random']

An experiment is split into tasks, one for each scenario, agent, setting and seed, which run over
the cores of the machine. Each finished task has its result in a file, so that the same call in the
same folder resumes, and repeats nothing; a task that fails does not stop the others. Several calls,
also with ``shard``, may share a folder: each task has a lock.

All agents of a scenario and a seed meet the same users. A run leaves in its folder

* ``experiment.json``: the experiment and its tasks, which a later call must agree with;
* ``<scenario>/[<settings>/]seed_<seed>/<agent>/``: result and files of each task;
* what :meth:`recsim.experiments.results.Results.save` writes, when all tasks are finished or have
  failed, and ``episodes.csv``: every measure of every episode in a row.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gin

from recsim import parallel, registry
from recsim._internal import (
    bindings,
    files,
    json_text,
    keys,
    paths,
    provenance,
    resources,
    validation,
)
from recsim.experiments import _tasks, comparison, factories
from recsim.experiments.results import Metadata, Results
from recsim.simulator import progress as progress_lib

__all__ = ["Experiment", "ExperimentFailedError", "experiment", "rerun"]

_RECORD = "experiment.json"
_FORMAT = 1
_DEFAULT_SEEDS = 3
_LARGEST_SEED = 2**32 - 1
_MOST_TASKS = 100_000
# A row of the data frame.
_BYTES_OF_VALUE = 56
# Experiments of fewer steps are over before processes have started.
_STEPS_WORTH_A_WORKER = 200_000
_SECONDS_BETWEEN_LOOKS = 0.5
_NAME = re.compile(r"[\w.+@-]+")

_logger = logging.getLogger(__name__)


class ExperimentFailedError(RuntimeError):
    """All tasks of an experiment have failed."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What to run.

    Attributes:
        agents: what recommends: names of :mod:`recsim.registry`, references to code (see
            :mod:`recsim.experiments.factories`), classes or functions; a dictionary gives them
            names of your own. The last one is the baseline of differences.
        scenarios: likewise.
        seeds: how many seeds, each of which has users, agents and trainings of its own; by default
            3 where an agent learns, else 1.
        seed: the first seed; the others follow it.
        agent_seed: what the agents' first seed is derived from, if not from ``seed``: with other
            values other agents meet the same users.
        sweep: values to try, in all combinations, by gin's name of a parameter, such as
            ``{"ClusterBanditAgent.ci_scaling": [0.1, 0.5, 1]}``. An agent that a parameter does not
            concern runs once.
        num_candidates: number of documents to choose from at each step.
        slate_size: number of documents in a slate.
        resample_documents: whether each step has new documents.
        steps: greatest number of steps of an episode; 200 by default.
        episodes: episodes of each agent and seed; 50 by default, with ``num_envs`` one each.
        train_steps: number of training steps of agents that learn; 30,000 by default.
        num_envs: number of users in parallel; None for the single-user engine.
        gin_files: paths of files of gin bindings.
        gin_bindings: gin bindings, such as ``"ClusterBanditAgent.ci_scaling = 0.5"``.
        gin_allow_unused: whether bindings may have no effect. A sweep may not.
        log_episodes: whether episodes are logged, see
            :class:`recsim.experiments.comparison.Comparison`.
        log_user_state: whether these logs have the users' hidden states too.

    Raises:
        TypeError: if a value is of the wrong type; the message begins with its name.
        ValueError: if a value is not valid, likewise.
    """

    agents: Mapping[str, factories.Reference] | Sequence[factories.Reference] | factories.Reference
    scenarios: (
        Mapping[str, factories.Reference] | Sequence[factories.Reference] | factories.Reference
    ) = "interest_exploration"
    seeds: int | None = None
    seed: int = 0
    agent_seed: int | None = None
    sweep: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    num_candidates: int = 10
    slate_size: int = 2
    resample_documents: bool = True
    steps: int | None = None
    episodes: int | None = None
    train_steps: int | None = None
    num_envs: int | None = None
    gin_files: Sequence[str] = ()
    gin_bindings: Sequence[str] = ()
    gin_allow_unused: bool = False
    log_episodes: bool = False
    log_user_state: bool = False

    def __post_init__(self) -> None:
        for name in ("agents", "scenarios"):
            object.__setattr__(self, name, _named(name, getattr(self, name)))
        for name in ("seeds", "steps", "episodes", "train_steps", "num_envs"):
            if getattr(self, name) is not None:
                self._set(name, validation.positive_int(name, getattr(self, name)))
        for name in ("num_candidates", "slate_size"):
            self._set(name, validation.positive_int(name, getattr(self, name)))
        for name in ("resample_documents", "gin_allow_unused", "log_episodes", "log_user_state"):
            self._set(name, validation.flag(name, getattr(self, name)))
        for name in ("gin_files", "gin_bindings"):
            self._set(name, _texts(name, getattr(self, name)))
        self._set("sweep", _checked_sweep(self.sweep))
        for name in ("seed", "agent_seed"):
            value = getattr(self, name)
            if value is not None:
                value = validation.positive_int(name, value, minimum=0)
                if value + (self.seeds or _DEFAULT_SEEDS) - 1 > _LARGEST_SEED:
                    raise ValueError(
                        f"{name} must be so small that the last seed is at most {_LARGEST_SEED}, "
                        f"got {value} with {self.seeds or _DEFAULT_SEEDS} seeds."
                    )
                self._set(name, value)
        if self.log_user_state and not self.log_episodes:
            raise ValueError("log_user_state has no effect without log_episodes.")

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def learners(self) -> list[str]:
        """The names of the agents that are trained."""
        agents = _mapping(self.agents)
        return [name for name, of in agents.items() if factories.agent_entry(of).learns]

    @property
    def num_seeds(self) -> int:
        """How many seeds there are."""
        return self.seeds or (_DEFAULT_SEEDS if self.learners else 1)

    def data(self) -> dict[str, Any]:
        """Returns it as plain data, code by its name."""
        data: dict[str, Any] = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self)
        }
        for name in ("agents", "scenarios"):
            data[name] = {label: factories.name_of(of) for label, of in data[name].items()}
        data["sweep"] = {name: list(values) for name, values in self.sweep.items()}
        for name in ("gin_files", "gin_bindings"):
            data[name] = list(data[name])
        return data

    def arguments(self) -> dict[str, Any]:
        """Returns what all tasks give :class:`recsim.experiments.comparison.Comparison`."""
        names = (
            "num_candidates",
            "slate_size",
            "resample_documents",
            "steps",
            "episodes",
            "train_steps",
            "num_envs",
            "log_episodes",
            "log_user_state",
        )
        return {name: getattr(self, name) for name in names}


def experiment(
    agents: Mapping[str, factories.Reference]
    | Sequence[factories.Reference]
    | factories.Reference
    | Experiment,
    scenarios: (
        Mapping[str, factories.Reference] | Sequence[factories.Reference] | factories.Reference
    ) = "interest_exploration",
    *,
    output: paths.Path | None = None,
    workers: int | None = None,
    shard: tuple[int, int] | None = None,
    progress: bool | None = None,
    command_arguments: Sequence[str] | None = None,
    **settings: Any,
) -> Results:
    """Runs an experiment, or what is left of it, and returns its results.

    Args:
        agents: what recommends, see :class:`Experiment`; or an :class:`Experiment`, which has all
            settings.
        scenarios: see :class:`Experiment`.
        output: the folder for the files: new, empty, or that of the same experiment, which
            resumes. None for a temporary one, of which nothing stays.
        workers: the most tasks to run at a time; the results do not depend on it. By default the
            number of cores, and 1 for what is soon over.
        shard: ``(i, n)`` runs every ``n``-th task alone, from the ``i``-th on (from 1). The results
            are of the tasks that are finished, and are saved by the call that finishes the last.
        progress: False to show nothing; None shows progress on the standard error stream.
        command_arguments: those of the command that asked for it, for the record.
        **settings: of :class:`Experiment`.

    Returns:
        The results. A task that failed is in ``metadata.failures``.

    Raises:
        TypeError, ValueError: if a setting is not valid, an agent does not fit a scenario, a sweep
            or a binding has no effect, or the folder holds something else.
        ExperimentFailedError: if all tasks have failed, with the first traceback.
        OSError: if the folder cannot be written to.
    """
    if isinstance(agents, Experiment):
        if settings:
            raise TypeError(f"An Experiment has all settings, got {', '.join(settings)} beside it.")
        wanted = agents
    else:
        fields = [field.name for field in dataclasses.fields(Experiment)]
        keys.refuse_unknown("experiment", settings, fields)
        wanted = Experiment(agents, scenarios, **settings)
    if shard is not None:
        shard = _checked_shard(shard)
    if workers is not None:
        workers = validation.positive_int("workers", workers)
    with contextlib.ExitStack() as stack:
        if output is None:
            if shard is not None:
                raise ValueError("output must be given with shard: shards share a folder.")
            output = stack.enter_context(tempfile.TemporaryDirectory())
        folder = paths.absolute("output", output)
        return _Run(wanted, folder, workers, shard, progress, command_arguments)()


def rerun(
    recorded: paths.Path,
    *,
    output: paths.Path | None = None,
    workers: int | None = None,
    progress: bool | None = None,
    agents: Mapping[str, factories.Reference] | None = None,
    scenarios: Mapping[str, factories.Reference] | None = None,
    command_arguments: Sequence[str] | None = None,
) -> Results:
    """Runs a recorded experiment again; the results are the same to the digit, but for times.

    Args:
        recorded: path of its ``results.json``, or of its folder.
        output: see :func:`experiment`.
        workers: see :func:`experiment`.
        progress: see :func:`experiment`.
        agents: the classes or functions, by name, of agents that were defined in a notebook or in a
            script.
        scenarios: likewise.
        command_arguments: those of the command that asked for it, for the record.

    Raises:
        ValueError: if the file is not the record of an experiment, or a class of it cannot be
            found.
        FileNotFoundError: if it is not there.
    """
    path = paths.absolute("recorded", recorded)
    if os.path.isdir(path):
        path = os.path.join(path, "results.json")
    spec, record = _recorded(path)
    for name, given in (("agents", agents), ("scenarios", scenarios)):
        unknown = set(given or {}) - set(spec[name])
        if unknown:
            raise ValueError(f"{name} has {sorted(unknown)[0]!r}, which is not in {path!r}.")
        spec[name] = {**spec[name], **(given or {})}
        for label, of in spec[name].items():
            try:
                _entry_of(name, of)
            except ValueError as error:
                raise ValueError(
                    f"{path!r} cannot be run again, since {label!r} of its {name} is not found: "
                    f"{error}"
                ) from error
    wanted = Experiment(**spec)
    _warn_of_changes(wanted, record, path)
    return experiment(
        wanted,
        output=output,
        workers=workers,
        progress=progress,
        command_arguments=(record.get("argv") or [""])[1:] or command_arguments,
    )


def _recorded(path: str) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Returns the experiment that a file records, and its provenance."""
    with open(path, encoding="utf-8") as file:
        try:
            record = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path!r} is not a record of results: {error}.") from error
    fields = {field.name for field in dataclasses.fields(Experiment)}
    spec = record.get("spec") if isinstance(record, dict) else None
    if not isinstance(spec, dict) or not {"agents", "scenarios"} <= set(spec) <= fields:
        raise ValueError(
            f"{path!r} is not the record of an experiment: give the results.json of recsim run."
        )
    return dict(spec), record.get("provenance", {})


def _warn_of_changes(wanted: Experiment, record: Mapping[str, Any], path: str) -> None:
    """Warns of versions and sources that differ from those on record."""
    then = dict(record.get("versions", {}))
    now = provenance.installed()
    for package, version in then.items():
        if now.get(package) != version:
            _logger.warning(
                "%s has results of %s %s, and %s is installed: numbers may differ.",
                path,
                package,
                version,
                now.get(package, "none"),
            )
    sources = _sources(wanted)
    for name, digest in dict(record.get("sources", {})).items():
        if sources.get(name) != digest:
            _logger.warning(
                "The source of %s has changed since %s was written: numbers may differ.", name, path
            )


def _mapping(named: object) -> Mapping[str, factories.Reference]:
    assert isinstance(named, Mapping)
    return named


def _entry_of(kind: str, of: factories.Reference) -> registry.Entry:
    if kind == "agents":
        return factories.agent_entry(of)
    return factories.environment_entry(of)


def _sources(wanted: Experiment) -> dict[str, str | None]:
    """Returns digests of the sources of a user's own agents and scenarios, by name."""
    return {
        label: factories.source_digest(of, kind)
        for kind, named in (
            ("scenario", _mapping(wanted.scenarios)),
            ("agent", _mapping(wanted.agents)),
        )
        for label, of in named.items()
        if not (isinstance(of, str) and not factories.is_reference(of))
    }


def _named(what: str, given: object) -> dict[str, factories.Reference]:
    """Returns references by name."""
    kind = what[:-1]
    if isinstance(given, Mapping):
        named = dict(given)
    else:
        several = given if isinstance(given, (list, tuple)) else [given]
        named = {}
        for of in several:
            if not (isinstance(of, (str, registry.AgentEntry, registry.EnvironmentEntry))) and (
                not callable(of)
            ):
                raise TypeError(
                    f"{what} must be names, classes or functions, got {of!r}: {kind} by name, "
                    "module:factory, path to a file, class or function."
                )
            label = factories.label_of(of)
            if label in named:
                raise ValueError(
                    f"{what} must have names that differ, got {label!r} twice: give a dictionary, "
                    "with a name for each."
                )
            named[label] = of
    if not named:
        raise ValueError(f"{what} must be at least one, got none.")
    for label, of in named.items():
        if not isinstance(label, str) or not _NAME.fullmatch(label):
            raise ValueError(
                f"{what} must have names of letters, digits and _ . + @ -, got {label!r}."
            )
        try:
            _entry_of(what, of)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from error
    return named


def _texts(name: str, given: object) -> tuple[str, ...]:
    if isinstance(given, (list, tuple)) and all(isinstance(text, str) for text in given):
        return tuple(given)
    raise TypeError(f"{name} must be a list of strings, got {given!r}.")


def _checked_sweep(given: object) -> dict[str, tuple[Any, ...]]:
    """Returns the values to try, by the names of parameters."""
    if not isinstance(given, Mapping):
        raise TypeError(
            "sweep must be a dictionary of lists of values by gin's name of a parameter, such as "
            f"{{'ClusterBanditAgent.ci_scaling': [0.1, 1]}}, got {given!r}."
        )
    checked = {}
    for name, values in given.items():
        if not isinstance(name, str) or "." not in name:
            raise ValueError(
                f"sweep must name parameters as gin does, such as ClusterBanditAgent.ci_scaling, "
                f"got {name!r}."
            )
        if not isinstance(values, (list, tuple)) or not values:
            raise TypeError(f"sweep must have a list of values for {name}, got {values!r}.")
        if len({repr(value) for value in values}) < len(values):
            raise ValueError(f"sweep must have different values for {name}, got {list(values)!r}.")
        for value in values:
            if not _is_plain(value):
                raise TypeError(
                    f"sweep must have numbers, strings, booleans and lists of these for {name}, "
                    f"got {value!r}."
                )
        checked[name] = tuple(values)
    return checked


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _checked_shard(shard: object) -> tuple[int, int]:
    if (
        isinstance(shard, (list, tuple))
        and len(shard) == 2
        and all(isinstance(number, int) and not isinstance(number, bool) for number in shard)
        and 1 <= shard[0] <= shard[1]
    ):
        return shard[0], shard[1]
    raise ValueError(f"shard must be (i, n) with 1 <= i <= n, got {shard!r}.")


@contextlib.contextmanager
def _registered(wanted: Experiment) -> Iterator[None]:
    """Gives agents and scenarios their names in the registry, in workers too, in a block."""
    before = registry.own_entries()
    try:
        for label, of in _mapping(wanted.scenarios).items():
            registry.ENVIRONMENTS[label] = factories.environment_entry(of)
        for label, of in _mapping(wanted.agents).items():
            registry.AGENTS[label] = factories.agent_entry(of)
        yield
    finally:
        registry.set_own_entries(before)


class _Run:
    """One call that runs an experiment.

    Args:
        wanted: the experiment.
        folder: the folder for its files.
        workers: the most tasks at a time, None for a number that suits.
        shard: which tasks to run, None for all.
        progress: whether to show progress.
        command_arguments: those of the command, for the record.
    """

    def __init__(
        self,
        wanted: Experiment,
        folder: str,
        workers: int | None,
        shard: tuple[int, int] | None,
        progress: bool | None,
        command_arguments: Sequence[str] | None,
    ) -> None:
        self._wanted = wanted
        self._folder = folder
        self._workers = workers
        self._shard = shard
        self._progress = progress
        self._command_arguments = command_arguments
        self._arguments = wanted.arguments()

    def __call__(self) -> Results:
        with _registered(self._wanted), bindings.restored():
            registry.import_all()
            bindings.load(self._wanted.gin_files, self._wanted.gin_bindings)
            self._gin = gin.config_str()
            record = self._prepare()
            tasks = [_tasks.Spec(**task) for task in record["tasks"]]
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
                wanted["tasks"] = [task.data() for task in self._planned()]
                with files.atomic_file(path) as file:
                    file.write(f"{json_text.dumps(wanted, indent=1)}\n".encode())
            with open(path, encoding="utf-8") as opened:
                try:
                    found = json.load(opened)
                    tasks = found["tasks"]
                except (ValueError, KeyError, TypeError) as error:
                    raise ValueError(
                        f"{path!r}, which says what the results in its folder are of, is spoiled "
                        f"({error}): choose another output folder."
                    ) from error
        _check_same(json.loads(json_text.dumps(wanted)), found, self._folder)
        return {**wanted, "tasks": tasks}

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
            "sources": _sources(self._wanted),
        }

    def _planned(self) -> list[_tasks.Spec]:
        """Returns the tasks, when it is certain that each of them can be made."""
        wanted = self._wanted
        self._check_memory()
        refuse = not wanted.gin_allow_unused
        made = bindings.Made()
        combinations = []
        given = {name: getattr(wanted, name) for name in ("steps", "episodes", "train_steps")}
        for scenario, agent in itertools.product(
            _mapping(wanted.scenarios), _mapping(wanted.agents)
        ):
            for settings, made_of_it in self._settings(scenario, agent):
                made = made.joined_with(made_of_it)
                combinations.append((scenario, agent, settings, "tensorflow" in sys.modules))
        with bindings.restored():
            first = [_tasks.gin_text(name, values[0]) for name, values in wanted.sweep.items()]
            if not refuse:
                gin.clear_config()
            bindings.load([], first)
            made.refuse_unused(comparison.overridden(given), registry.makers_of)
        if len(combinations) * wanted.num_seeds > _MOST_TASKS:
            raise ValueError(
                f"seeds and sweep must make at most {_MOST_TASKS:,} tasks, got "
                f"{len(combinations) * wanted.num_seeds:,}."
            )
        agent_seed = wanted.seed if wanted.agent_seed is None else wanted.agent_seed
        # A seed of all agents after the other: a part of the tasks compares them already.
        return [
            _tasks.Spec(scenario, agent, settings, wanted.seed + number, agent_seed + number, uses)
            for number in range(wanted.num_seeds)
            for scenario, agent, settings, uses in combinations
        ]

    def _check_memory(self) -> None:
        """Raises MemoryError if the results cannot be in memory."""
        wanted = self._wanted
        episodes = wanted.episodes or 1
        tasks = len(_mapping(wanted.agents)) * len(_mapping(wanted.scenarios)) * wanted.num_seeds
        resources.check_memory(
            episodes * tasks * len(("steps", "return", "steps_per_second")) * _BYTES_OF_VALUE,
            f"The results of {resources.shown(episodes)} episodes of {tasks} tasks",
            "choose fewer episodes",
        )

    def _settings(
        self, scenario: str, agent: str
    ) -> Iterator[tuple[dict[str, Any], bindings.Made]]:
        """Yields the settings of an agent in a scenario, each with what gin could configure."""
        sweep = self._wanted.sweep
        first = {name: values[0] for name, values in sweep.items()}
        made = self._made(scenario, agent, first)
        own = [name for name in sweep if made.uses(name)]
        for values in itertools.product(*(sweep[name] for name in own)):
            settings = dict(zip(own, values))
            if settings != {name: first[name] for name in own}:
                made = self._made(scenario, agent, settings)
            yield settings, made

    def _made(self, scenario: str, agent: str, settings: Mapping[str, Any]) -> bindings.Made:
        spec = _tasks.Spec(scenario, agent, settings, self._wanted.seed, 0)
        with tempfile.TemporaryDirectory() as folder, bindings.restored():
            try:
                bindings.load([], [_tasks.gin_text(*setting) for setting in settings.items()])
            except ValueError as error:
                raise ValueError(f"sweep: {error}") from error
            # Some agents take any argument: what nothing reads of them is told of.
            refused = {} if self._wanted.gin_allow_unused else bindings.by_parameter()
            with keys.refusing_bound(refused):
                return _tasks.check(spec, folder, self._arguments)

    def _run(self, mine: Sequence[_tasks.Spec]) -> None:
        """Runs tasks until all are finished or have failed, be it by another command."""
        left = [spec for spec in mine if _tasks.read_result(spec, self._folder) is None]
        if len(left) < len(mine) and left and self._progress is not False:
            done = f"{len(mine) - len(left)} of {len(mine)} tasks are done."
            print(f"Resuming: {done}", file=sys.stderr, flush=True)
        size = self._size_of_task()
        total = size * len(left)
        with progress_lib.progress_bar("Experiment", total, "steps", self._progress) as show:
            while left:
                taken = self._run_tasks(left, size, lambda more: show(more, 0))
                left = [spec for spec in left if spec.name in taken]
                if left:
                    time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _run_tasks(
        self, left: Sequence[_tasks.Spec], size: int, advance: parallel.Advance
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
        if workers is None:
            uses_tensorflow = any(spec.uses_tensorflow for spec in left)
            is_long = uses_tensorflow or size * len(left) > _STEPS_WORTH_A_WORKER
            workers = min(parallel.usable_cores(), len(left)) if is_long else 1
        resources.check_processes(min(workers, len(left)))
        taken = set()
        try:
            # The processes end with the block, whatever ends it.
            with contextlib.closing(
                parallel.run_tasks(tasks, workers, advance, keep_going=True)
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

    def _size_of_task(self) -> int:
        """Returns about how many steps a task has."""
        wanted = self._wanted
        steps = wanted.steps or comparison.EVAL_DEFAULTS["max_steps_per_episode"]
        episodes = wanted.episodes or wanted.num_envs
        size = steps * (episodes or comparison.EVAL_DEFAULTS["max_eval_episodes"])
        if wanted.learners:
            iterations = comparison.TRAIN_DEFAULTS["num_iterations"]
            planned = comparison.TRAIN_DEFAULTS["max_training_steps"] * iterations
            size += wanted.train_steps or planned
        return size

    def _collect(self, tasks: Sequence[_tasks.Spec], record: Mapping[str, Any]) -> Results:
        """Returns the results of the tasks that are finished, saved if all have come to an end."""
        from recsim.experiments import _frames

        found = {spec.name: _tasks.read_result(spec, self._folder) for spec in tasks}
        errors = {
            spec.name: error
            for spec in tasks
            if found[spec.name] is None
            and (error := _tasks.read_error(spec, self._folder)) is not None
        }
        finished = [(spec, result) for spec in tasks if (result := found[spec.name]) is not None]
        if not finished and errors:
            name, error = next(iter(errors.items()))
            last = error.rstrip().rpartition("\n")[2]
            raise ExperimentFailedError(f"All tasks have failed, the first, {name}, with {last}")
        failures = [
            {"task": name, "error": error.rstrip().rpartition("\n")[2], "traceback": error}
            for name, error in errors.items()
        ]
        metadata = Metadata(
            spec=record["spec"],
            provenance=self._provenance(record, finished),
            failures=failures,
            timing={
                "seconds_of_tasks": {
                    spec.name: round(float(result["seconds"]), 3) for spec, result in finished
                },
            },
        )
        results = Results(
            _frames.values(finished),
            metadata,
            curves=_frames.curves(finished),
            steps=_frames.steps(finished),
        )
        if len(finished) + len(errors) == len(tasks):
            results.save(self._folder)
            _frames.write_episodes(finished, os.path.join(self._folder, "episodes.csv"))
        return results

    def _provenance(
        self,
        record: Mapping[str, Any],
        finished: Sequence[tuple[_tasks.Spec, Mapping[str, Any]]],
    ) -> dict[str, Any]:
        """Returns what else the numbers depend on, the same whoever ran which task."""
        argv = ["recsim", *_that_count(self._command_arguments or ())]
        return {
            "argv": argv if self._command_arguments is not None else None,
            "versions": record["versions"],
            "sources": record["sources"],
            "tasks": {
                spec.name: {
                    "seeds": json.loads(result["seeds"]),
                    "fingerprints": json.loads(result["fingerprints"]),
                    "settings": json.loads(result["settings"]),
                    "operative": result["operative"],
                }
                for spec, result in finished
            },
        }


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
        if name in ("--workers", "--shard", "--output"):
            skip = not equals
        elif name != "--quiet":
            yield argument
