"""Runs of the leaderboard: agents in the tasks of a version, and the files of what they earned.

Each agent in a task is an experiment of its own, in the folder ``runs/<task>/<agent>``, and so are
those that its settings are chosen by, in ``search/<task>/<agent>/<n>``. What is finished is not run
again. An agent's entry is in ``entries/<agent>.json``, which is written anew after each of its
tasks: see :mod:`recsim.experiments.leaderboard.entries`.

Example:
    >>> import tempfile
    >>> version = tasks.version_of("recsim-slates-v1-quick")
    >>> place = Place(workers=1, progress=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (entry,) = run(version, folder, ["random"], only_tasks=["easy"], seeds=1, place=place)
    >>> recorded, now = rerun(entry, "easy", 0, place=place)
    >>> recorded == now
    True
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import glob
import os
import shutil
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recsim import clusters, parallel
from recsim._internal import paths, provenance, validation
from recsim.experiments import experiment, factories, results
from recsim.experiments.leaderboard import _own_agents, baselines, entries, tasks
from recsim.simulator import progress as progress_lib

__all__ = ["Place", "rerun", "run"]

# What a run's timing has by task.
_SECONDS = "processor_seconds_of_tasks"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where experiments run, see :func:`recsim.experiments.experiment.experiment`.

    Attributes:
        workers: the most tasks at a time.
        backend: where they run.
        address: that of a cluster.
        progress: False to show nothing.

    Example:
        >>> Place(workers=2, progress=False).backend
        'loky'
    """

    workers: int | None = None
    backend: clusters.BackendLike = "loky"
    address: str | None = None
    progress: bool | None = None


def run(
    version: tasks.Version,
    output: paths.Path,
    agents: Sequence[str] | None = None,
    *,
    only_tasks: Sequence[str] | None = None,
    seeds: int | None = None,
    place: Place | None = None,
) -> list[entries.Entry]:
    """Runs agents in the tasks of a version, or what is left of it.

    Args:
        version: the version, see :func:`recsim.experiments.leaderboard.tasks.version_of`.
        output: the folder for the files: new, empty, or that of an earlier call, which resumes. It
            may be called again with further agents, tasks and seeds.
        agents: names of the library's agents, or references such as ``module:factory``; by default
            all of :func:`recsim.experiments.leaderboard.baselines.names`.
        only_tasks: names of tasks; by default all.
        seeds: how many seeds, at most those of the version, which are the default.
        place: where it runs.

    Returns:
        The agents' entries.

    Raises:
        ValueError: for an unknown task or agent, more seeds than there are, or if the seeds that
            there are were run by other code of this library.
        OSError: if the folder cannot be written to.
        recsim.experiments.experiment.ExperimentFailedError: if agents fail in tasks; all others are
            run to their ends first.

    Example:
        >>> import tempfile
        >>> version = tasks.version_of("recsim-slates-v1-quick")
        >>> place = Place(workers=1, progress=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = run(
        ...         version, folder, ["greedy_pctr"], only_tasks=["easy", "boredom"], place=place
        ...     )
        >>> list(found[0].tasks), list(found[0].not_applicable)
        (['easy'], ['boredom'])
    """
    names = list(version.tasks) if only_tasks is None else list(only_tasks)
    wanted = [version.task(name) for name in names]
    most = version.num_seeds
    seeds = validation.positive_int("seeds", most if seeds is None else seeds, maximum=most)
    labels: dict[str, str] = {}
    for name in baselines.names() if agents is None else agents:
        label = factories.label_of(name)
        if label in labels:
            raise ValueError(f"agents must have different names, got {label!r} twice.")
        reference = baselines.reference_of(name)
        entries.check_name(label, factories.name_of(reference))
        _own_agents.check(reference, wanted)
        labels[label] = name
    folder = paths.absolute("output", output)
    paths.writable_folder("The output folder", folder)
    place = place or Place()
    found = {label: _begun(version, folder, label, name) for label, name in labels.items()}
    left = [
        _Cells(version, task, label, name, folder, place)
        for task in wanted
        for label, name in labels.items()
        if not _is_known(found[label], task, seeds)
    ]
    for cells in left:
        _check_same_code(found[cells.label], cells.task.name)
    failures = []
    for cells, measured in _measured(left, seeds, place):
        if measured.failure:
            failures.append(measured.failure)
            continue
        found[cells.label] = measured.added_to(found[cells.label], cells.task.name)
        entries.save(found[cells.label], os.path.join(folder, entries.FOLDER))
    if failures:
        raise experiment.ExperimentFailedError("\n".join(failures))
    return list(found.values())


def _check_same_code(entry: entries.Entry, task: str) -> None:
    """Raises ValueError if an agent was run in a task by other code than this, by fewer seeds."""
    there = entry.tasks.get(task)
    if there is not None and there.library != provenance.source_digest():
        raise ValueError(
            f"output must be of the same code of recsim, whose SHA-256 is "
            f"{provenance.source_digest()[:12]}…, got {entry.agent} in {task} run by "
            f"{there.library[:12]}…: choose another folder, or continue with the code from before."
        )


def _begun(version: tasks.Version, folder: str, label: str, name: str) -> entries.Entry:
    """Returns an agent's entry as far as it is there."""
    reference = baselines.reference_of(name)
    path = os.path.join(folder, entries.FOLDER, f"{label}.json")
    if os.path.exists(path):
        entry = entries.load(path)
        if (entry.version, entry.made_by) != (version.name, factories.name_of(reference)):
            raise ValueError(
                f"output must be a folder of {version.name} with {label!r} made by "
                f"{factories.name_of(reference)}, got one of {entry.version} in which it is made "
                f"by {entry.made_by}: choose another folder, or another name."
            )
        source = _source_of(reference)
        changed = [of for of, there in entry.tasks.items() if source and there.source != source]
        if changed:
            raise ValueError(
                f"{label} has another source than when {path!r} got its results in "
                f"{', '.join(changed)}: choose another folder, or delete that file and the agent's "
                "folders in runs and search."
            )
        return entry
    description = factories.agent_entry(reference).description
    return entries.Entry(version.name, label, factories.name_of(reference), description, {}, {})


def _source_of(reference: factories.Reference) -> str | None:
    """Returns the digest of an agent's code, where it is of one's own."""
    if reference == baselines.reference_of(baselines.ORACLE) or not (
        isinstance(reference, str) and factories.is_reference(reference)
    ):
        return None
    return factories.source_digest(reference, "agent")


def _is_known(entry: entries.Entry, task: tasks.Task, seeds: int) -> bool:
    """Says whether an entry has what an agent earns in a task with so many seeds."""
    there = entry.tasks.get(task.name)
    return there is not None and len(there.returns) >= seeds


def _measured(
    left: Sequence[_Cells], seeds: int, place: Place
) -> Iterator[tuple[_Cells, _Measured]]:
    """Runs agents in tasks, several at a time, and yields each with what it earned.

    One alone runs its seeds at the same time instead.
    """
    if len(left) == 1:
        yield left[0], _outcome(left[0], seeds)
        return
    by_name = {f"{cells.task.name}/{cells.label}": cells for cells in left}
    work = [
        parallel.Task(
            name, functools.partial(_run_cells, cells.sequentially()), {"seeds": seeds}, 1
        )
        for name, cells in by_name.items()
    ]
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(clusters.connect(place.backend, place.address, place.workers))
        workers = place.workers
        if workers is None:
            workers = parallel.usable_cores() if cluster is None else cluster.cores()
        show = stack.enter_context(
            progress_lib.progress_bar("Leaderboard", len(left), "pairs", place.progress)
        )
        done = stack.enter_context(
            contextlib.closing(
                parallel.run_tasks(work, workers, lambda more: show(more, 0), backend=cluster)
            )
        )
        for task, result in done:
            yield by_name[task.name], result["measured"]


def _run_cells(cells: _Cells, seeds: int, advance: parallel.Advance) -> parallel.Result:
    del advance  # It is done at once.
    return {"measured": _outcome(cells, seeds)}


def _outcome(cells: _Cells, seeds: int) -> _Measured:
    where = f"{cells.label} has failed in {cells.task.name}"
    try:
        return cells.measured(seeds)
    except experiment.ExperimentFailedError as error:
        return _Measured(failure=f"{where}: {error}")
    except OSError:
        raise
    except Exception:  # Agents may be anybody's code; the others continue.
        return _Measured(failure=f"{where}: {traceback.format_exc().rstrip()}")


@dataclasses.dataclass(frozen=True)
class _Measured:
    """What an agent earned in a task, why it cannot take part, or how it failed."""

    result: entries.TaskResult | None = None
    reason: str = ""
    failure: str = ""

    def added_to(self, entry: entries.Entry, task: str) -> entries.Entry:
        # One or the other: an agent of one's own may have changed since.
        reasons = {name: why for name, why in entry.not_applicable.items() if name != task}
        results = {name: result for name, result in entry.tasks.items() if name != task}
        if self.result is None:
            reasons[task] = self.reason
        else:
            results[task] = self.result
        return dataclasses.replace(entry, tasks=results, not_applicable=reasons)


class _Cells:
    """An agent in a task: the runs of all seeds, and those that its settings are chosen by."""

    def __init__(
        self,
        version: tasks.Version,
        task: tasks.Task,
        label: str,
        name: str,
        folder: str,
        place: Place,
    ) -> None:
        self._version, self._place = version, place
        self._name, self._folder = name, folder
        self.task, self.label = task, label
        self._reference = baselines.reference_of(name)
        self._learns = factories.agent_entry(self._reference).learns

    def sequentially(self) -> _Cells:
        """Returns the same runs, to be made sequentially in one process."""
        place = Place(workers=1, progress=False)
        return _Cells(self._version, self.task, self.label, self._name, self._folder, place)

    def measured(self, seeds: int) -> _Measured:
        """Returns what the agent earned, with the best of the settings that are tried."""
        reason = baselines.reason_against(self._reference, self.task, self._version.train_envs)
        if reason is not None:
            return _Measured(reason=reason)
        search, search_seconds = self._search()
        settings = (max(search, key=lambda each: search[each]),) if search else ()
        of_all = self._run(("runs", self.task.name, self.label), settings, seeds=seeds)
        record: Any = of_all.metadata.provenance
        timing: Any = of_all.metadata.timing
        seconds = {
            name.split("/")[-2].removeprefix("seed_"): seconds
            for name, seconds in timing[_SECONDS].items()
        }
        result = entries.TaskResult(
            self.task.sha256,
            settings,
            search,
            search_seconds,
            _returns(of_all),
            _curve(of_all),
            seconds,
            record["versions"],
            provenance.source_digest(),
            record["sources"].get(self.label),
        )
        return _Measured(result)

    def _search(self) -> tuple[dict[str, float], float]:
        """Returns the mean return with each of the settings that are tried, and their seconds."""
        found, total = {}, 0.0
        for number, settings in enumerate(baselines.settings_to_try(self._name)):
            place = ("search", self.task.name, self.label, str(number))
            of_settings = self._run(
                place,
                (settings,),
                seeds=self._version.search_seeds,
                seed=self._version.first_search_seed,
                share=self._version.search_share,
            )
            returns = _returns(of_settings)
            found[settings] = sum(returns.values()) / len(returns)
            timing: Any = of_settings.metadata.timing
            total += sum(timing[_SECONDS].values())
        return found, round(total, 3)

    def _run(
        self,
        parts: Sequence[str],
        settings: Sequence[str],
        *,
        seeds: int,
        seed: int = 0,
        share: float = 1.0,
    ) -> results.Results:
        """Runs the experiment in a folder, or returns what it gave before."""
        folder = os.path.join(self._folder, *parts)
        if experiment.is_complete(folder):
            there = results.Results.load(folder)
            of_then: Any = there.metadata.provenance
            source = _source_of(self._reference)
            is_same = source is None or of_then["sources"].get(self.label) == source
            has_all = there.metadata.spec["seeds"] == seeds and not there.metadata.failures
            if has_all and is_same:
                return there
        found = experiment.experiment(
            self.experiment(settings, seeds=seeds, seed=seed, share=share),
            output=folder,
            workers=self._place.workers,
            backend=self._place.backend,
            address=self._place.address,
            progress=self._place.progress,
            figures=False,
        )
        if found.metadata.failures:
            first = found.metadata.failures[0]
            raise experiment.ExperimentFailedError(
                f"{first['task']}, with {first['error']} ({folder})"
            )
        # Replay buffers would fill the disk; what was measured is in other files.
        for checkpoints in glob.glob(os.path.join(folder, "*", "*", "*", "train", "checkpoints")):
            shutil.rmtree(checkpoints, ignore_errors=True)
        return found

    def experiment(
        self, settings: Sequence[str], *, seeds: int, seed: int = 0, share: float = 1.0
    ) -> experiment.Experiment:
        """Returns the experiment of some seeds."""
        task, version = self.task, self._version
        of_training: Mapping[str, Any] = {
            "train_steps": task.train_steps,
            "train_envs": version.train_envs,
            "curve_users": task.curve_users if share == 1.0 else None,
        }
        users = max(1, round(share * task.users))
        return experiment.Experiment(
            {self.label: self._reference},
            {task.name: version.reference(task)},
            seeds=seeds,
            seed=seed,
            num_candidates=task.num_candidates,
            slate_size=task.slate_size,
            resample_documents=task.resample_documents,
            steps=task.steps,
            episodes=users,
            num_envs=users,
            gin_bindings=list(settings),
            **(of_training if self._learns else {}),
        )


def _returns(of: results.Results) -> dict[str, float]:
    """Returns the mean returns by seed."""
    frame = of.to_dataframe()
    means = frame[frame["measure"] == "return"].groupby("seed")["value"].mean()
    return {str(seed): float(value) for seed, value in means.items()}


def _curve(of: results.Results) -> dict[str, Any] | None:
    """Returns the learning curves by seed; None of an agent that is not trained."""
    if of.curves is None:
        return None
    by_seed = of.curves.groupby("seed")
    steps = [[int(step) for step in rows["step"]] for _, rows in by_seed]
    values = {str(seed): [float(value) for value in rows["value"]] for seed, rows in by_seed}
    return {"steps": steps[0], "values": values}


def rerun(
    entry: entries.Entry, task_name: str, seed: int, *, place: Place | None = None
) -> tuple[float, float]:
    """Runs a single cell of an entry again: an agent in a task with a seed.

    Args:
        entry: the entry.
        task_name: the task.
        seed: the seed.
        place: where it runs.

    Returns:
        The return on record, and the one of now. They are the same to the digit with the same
        versions of the packages on record.

    Raises:
        ValueError: if the entry has no such result, or its agent is not found.

    Example:
        >>> entry = entries.Entry("recsim-slates-v1", "random", "random", "random slates", {}, {})
        >>> rerun(entry, "easy", 3)
        Traceback (most recent call last):
        ValueError: seed must be one that the entry of random has in easy: none, got 3.
    """
    version = tasks.version_of(entry.version)
    task = version.task(task_name)
    recorded = entry.tasks.get(task_name)
    if recorded is None or str(seed) not in recorded.returns:
        there = "none" if recorded is None else ", ".join(recorded.returns)
        raise ValueError(
            f"seed must be one that the entry of {entry.agent} has in {task_name}: {there}, got "
            f"{seed}."
        )
    cells = _Cells(version, task, entry.agent, entry.made_by, "", Place())
    found = experiment.experiment(
        cells.experiment(recorded.settings, seeds=1, seed=seed),
        workers=1,
        progress=(place or Place()).progress,
    )
    return recorded.returns[str(seed)], _returns(found)[str(seed)]
