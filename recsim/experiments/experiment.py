"""Experiments: agents in scenarios, over seeds and settings, and their results.

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
  failed, and ``episodes.csv``: every measure of every episode in a row;
* what :func:`draw` writes then: ``results.png``, ``results.svg`` and ``report.html``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from recsim import clusters, registry
from recsim._internal import (
    keys,
    paths,
    provenance,
    validation,
)
from recsim.experiments import _engine, factories
from recsim.experiments._engine import ExperimentFailedError
from recsim.experiments.results import Results

__all__ = ["Experiment", "ExperimentFailedError", "draw", "experiment", "rerun"]

_DEFAULT_SEEDS = 3
_LARGEST_SEED = 2**32 - 1
_NAME = re.compile(r"\w[\w.+@-]*")

_logger = logging.getLogger(__name__)


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
        num_candidates: number of documents to choose from at each step; by default 10, or what the
            scenario's variant has.
        slate_size: number of documents in a slate; by default 2, or likewise.
        resample_documents: whether each step has new documents; by default True, or likewise.
        steps: greatest number of steps of an episode; 200 by default.
        episodes: episodes of each agent and seed; 50 by default, with ``num_envs`` one each.
        train_steps: number of training steps of agents that learn; 30,000 by default. It must not
            be given where none learns.
        num_envs: number of users in parallel; None for the single-user engine.
        train_envs: number of users in parallel of trainings, by default ``num_envs``, 100 at most.
        staleness: of how many steps, at most, updates may be missing in what a training's slates
            are chosen by, see :mod:`recsim.vector.rollouts`.
        gin_files: paths of files of gin bindings.
        gin_bindings: gin bindings, such as ``"ClusterBanditAgent.ci_scaling = 0.5"``.
        gin_allow_unused: whether bindings may have no effect. A sweep may not.
        log_episodes: whether episodes are logged, see
            :class:`recsim.experiments.agent_run.AgentRun`.
        log_user_state: whether these logs have the users' hidden states too.
        curve_users: number of users whom an agent is evaluated on after each iteration of its
            training, an episode each, for the learning curve; None for a curve of the training's
            own episodes. It needs ``num_envs``.

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
    num_candidates: int | None = None
    slate_size: int | None = None
    resample_documents: bool | None = None
    steps: int | None = None
    episodes: int | None = None
    train_steps: int | None = None
    num_envs: int | None = None
    train_envs: int | None = None
    staleness: int = 0
    gin_files: Sequence[str] = ()
    gin_bindings: Sequence[str] = ()
    gin_allow_unused: bool = False
    log_episodes: bool = False
    log_user_state: bool = False
    curve_users: int | None = None

    def __post_init__(self) -> None:
        for name in ("agents", "scenarios"):
            object.__setattr__(self, name, _named(name, getattr(self, name)))
        optional = ("seeds", "steps", "episodes", "train_steps")
        for name in (*optional, "num_envs", "train_envs", "curve_users"):
            if getattr(self, name) is not None:
                self._set(name, validation.positive_int(name, getattr(self, name)))
        self._set_sizes()
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
        for path in self.gin_files:
            if not os.path.isfile(path):
                raise ValueError(f"gin_files must be files that can be read, got {path!r}.")
        if self.train_steps is not None and not self.learners:
            raise ValueError(
                f"train_steps has no effect: of {', '.join(self.agents_by_name)} none is trained, "
                "since none learns from one episode for the next."
            )
        if self.log_user_state and not self.log_episodes:
            raise ValueError("log_user_state has no effect without log_episodes.")
        self._set("staleness", validation.positive_int("staleness", self.staleness, minimum=0))
        for name in ("train_envs", "staleness", "curve_users"):
            if getattr(self, name) and (self.num_envs is None or not self.learners):
                raise ValueError(
                    f"{name} has no effect without num_envs and an agent that learns: it is of "
                    "trainings of users in parallel."
                )

    def _set_sizes(self) -> None:
        """Takes the sizes that are not given from the scenarios, which must agree on them."""
        configs = {
            label: factories.environment_entry(of).config()
            for label, of in self.scenarios_by_name.items()
        }
        for name in ("num_candidates", "slate_size", "resample_documents"):
            if getattr(self, name) is None:
                own = {label: config[name] for label, config in configs.items()}
                if len(set(own.values())) > 1:
                    shown = ", ".join(f"{value} in {label}" for label, value in own.items())
                    raise ValueError(
                        f"{name} must be given where the scenarios have others of their own: "
                        f"{shown}. Or run an experiment for each."
                    )
                self._set(name, next(iter(own.values())))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def agents_by_name(self) -> Mapping[str, factories.Reference]:
        """The agents."""
        return self._by_name("agents")

    @property
    def scenarios_by_name(self) -> Mapping[str, factories.Reference]:
        """The scenarios."""
        return self._by_name("scenarios")

    def _by_name(self, name: str) -> Mapping[str, factories.Reference]:
        named: Mapping[str, factories.Reference] = getattr(self, name)
        return named

    @property
    def learners(self) -> list[str]:
        """The names of the agents that are trained."""
        agents = self.agents_by_name.items()
        return [name for name, of in agents if factories.agent_entry(of).learns]

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
        """Returns what all tasks give :class:`recsim.experiments.agent_run.AgentRun`."""
        names = (
            "num_candidates",
            "slate_size",
            "resample_documents",
            "steps",
            "episodes",
            "train_steps",
            "num_envs",
            "train_envs",
            "log_episodes",
            "log_user_state",
            "curve_users",
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
    backend: clusters.BackendLike = "loky",
    address: str | None = None,
    rollout_workers: int | None = None,
    shard: tuple[int, int] | None = None,
    progress: bool | None = None,
    figures: bool = True,
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
        backend: where the tasks run: in processes of this machine (``"loky"``), or on a cluster,
            see :func:`recsim.clusters.connect`. Its workers must have the folder, too.
        address: that of the cluster, None for one of this machine.
        rollout_workers: how many workers simulate the users of a training, see
            :mod:`recsim.vector.rollouts`: the tasks then run one at a time, here, and the backend
            (``"loky"``, ``"ray"`` or ``"dask"``) is where these workers are. None for trainings in
            one process each. With the same ``staleness`` the results do not depend on it.
        shard: ``(i, n)`` runs every ``n``-th task alone, from the ``i``-th on (from 1). The results
            are of the tasks that are finished, and are saved by the call that finishes the last.
        progress: False to show nothing; None shows progress on the standard error stream.
        figures: whether figure and report are drawn in the folder, see :func:`draw`, once the
            results are saved.
        command_arguments: those of the command that asked for it, for the record.
        **settings: of :class:`Experiment`.

    Returns:
        The results. A task that failed is in ``metadata.failures``.

    Raises:
        TypeError, ValueError: if a setting is not valid, an agent does not fit a scenario, a sweep
            or a binding has no effect, or the folder holds something else.
        ExperimentFailedError: if all tasks have failed, with the first traceback.
        OSError: if the folder cannot be written to.
        ImportError: if the backend's package is not installed.
        ConnectionError: if there is no cluster at the address.
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
    figures = validation.flag("figures", figures)
    with contextlib.ExitStack() as stack:
        if output is None:
            figures = False
            if shard is not None:
                raise ValueError("output must be given with shard: shards share a folder.")
            output = stack.enter_context(tempfile.TemporaryDirectory())
        folder = paths.absolute("output", output)
        results = _engine.Run(
            wanted,
            folder,
            workers,
            shard,
            progress,
            command_arguments,
            backend,
            address,
            rollout_workers,
        )()
        if figures and is_complete(folder):
            draw(results, folder)
    return results


def is_complete(folder: paths.Path) -> bool:
    """Returns whether all tasks of an experiment have come to an end: its results are saved."""
    return os.path.exists(os.path.join(folder, "results.json"))


def draw(of_results: Results, folder: paths.Path) -> None:
    """Writes ``results.png``, ``results.svg`` and ``report.html`` to an experiment's folder.

    Other calls may use the folder at the same time.

    Args:
        of_results: the results.
        folder: the folder that they are from.

    Raises:
        OSError: if it cannot be written to.
    """
    _engine.draw(of_results, paths.absolute("folder", folder))


def rerun(
    recorded: paths.Path,
    *,
    output: paths.Path | None = None,
    workers: int | None = None,
    backend: clusters.BackendLike = "loky",
    address: str | None = None,
    rollout_workers: int | None = None,
    progress: bool | None = None,
    figures: bool = True,
    agents: Mapping[str, factories.Reference] | None = None,
    scenarios: Mapping[str, factories.Reference] | None = None,
) -> Results:
    """Runs a recorded experiment again; the results are the same to the digit, but for times.

    Args:
        recorded: path of its ``results.json``, or of its folder.
        output: see :func:`experiment`.
        workers: see :func:`experiment`.
        backend: see :func:`experiment`.
        address: see :func:`experiment`.
        rollout_workers: see :func:`experiment`.
        progress: see :func:`experiment`.
        figures: see :func:`experiment`.
        agents: the classes or functions, by name, of agents that were defined in a notebook or in a
            script.
        scenarios: likewise.

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
            except (ValueError, FileNotFoundError) as error:
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
        backend=backend,
        address=address,
        rollout_workers=rollout_workers,
        progress=progress,
        figures=figures,
        command_arguments=None if record.get("argv") is None else record["argv"][1:],
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
    """Warns of versions and sources that differ from those on record; refuses another folder."""
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
    sources = _engine.sources(wanted)
    for name, digest in dict(record.get("sources", {})).items():
        if sources.get(name) != digest and registry.is_folder(wanted.scenarios_by_name.get(name)):
            raise ValueError(
                f"{path!r} cannot be run again, since the fitted scenario {name!r} in "
                f"{wanted.scenarios_by_name[name]!r} is not the recorded one (its SHA-256 is "
                f"{sources.get(name)}, not {digest}): put that back, or run a new experiment."
            )
        if sources.get(name) != digest:
            _logger.warning(
                "The source of %s has changed since %s was written: numbers may differ.", name, path
            )


def _entry_of(kind: str, of: factories.Reference) -> registry.Entry:
    if kind == "agents":
        return factories.agent_entry(of)
    return factories.environment_entry(of)


def _named(what: str, given: object) -> dict[str, factories.Reference]:
    """Returns references by name."""
    if isinstance(given, Mapping):
        named = dict(given)
        for of in named.values():
            _check_reference(what, of)
    else:
        several = given if isinstance(given, (list, tuple)) else [given]
        named = {}
        for of in several:
            _check_reference(what, of)
            label = factories.label_of(cast("factories.Reference", of))
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
                f"{what} must have names of letters, digits and _ . + @ -, which begin with one of "
                f"the first three kinds, got {label!r}: give a dictionary, with a name for each."
            )
        try:
            _entry_of(what, of)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from error
    if what == "scenarios":  # The paths of folders as absolute ones, which no scenario is named by.
        named = {
            label: factories.name_of(of) if registry.is_folder(of) else of
            for label, of in named.items()
        }
    return named


def _check_reference(what: str, of: object) -> None:
    """Raises TypeError for what can name or make nothing."""
    kinds = (str, os.PathLike, registry.AgentEntry, registry.EnvironmentEntry)
    if not (isinstance(of, kinds) or callable(of)):
        raise TypeError(
            f"{what} must be names, classes or functions, got {of!r}: {what[:-1]} by name, "
            "module:factory, path to a file, class or function."
        )


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
        if isinstance(values, np.ndarray):
            values = values.tolist()
        if not isinstance(values, (list, tuple)) or not values:
            raise TypeError(f"sweep must have a list of values for {name}, got {values!r}.")
        values = [value.item() if isinstance(value, np.generic) else value for value in values]
        # They are told apart by their texts, also in the names of folders.
        if len({str(value).casefold() for value in values}) < len(values):
            raise ValueError(
                f"sweep must have values that differ as texts for {name}, got {list(values)!r}."
            )
        for value in values:
            if not _is_plain(value):
                raise TypeError(
                    f"sweep must have numbers, strings, booleans and lists of these for {name}, "
                    f"got {value!r}."
                )
            if not _is_finite(value):
                raise ValueError(
                    f"sweep must have finite numbers for {name}, which gin can read, got {value!r}."
                )
        checked[name] = tuple(values)
    return checked


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str)  # As they are written for gin.


def _is_finite(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _checked_shard(shard: object) -> tuple[int, int]:
    if (
        isinstance(shard, (list, tuple))
        and len(shard) == 2
        and all(isinstance(number, int) and not isinstance(number, bool) for number in shard)
        and 1 <= shard[0] <= shard[1]
    ):
        return shard[0], shard[1]
    raise ValueError(f"shard must be (i, n) with 1 <= i <= n, got {shard!r}.")
