"""The page of the leaderboard: tables, what they show, and figures of entries.

The score of a run is its return on a scale on which the mean of ``random`` in the task is 0 and
that of the best agent 1, both when the version was published; a better one has more.

Example:
    >>> import tempfile
    >>> from recsim.experiments.leaderboard import runs
    >>> version = tasks_lib.version_of("recsim-slates-v1-quick")
    >>> place = runs.Place(workers=1, progress=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = runs.run(
    ...         version, folder, ["random", "greedy_pctr"], only_tasks=["easy"], place=place
    ...     )
    >>> [entry.agent for entry in Board(found).entries]
    ['greedy_pctr', 'random']
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recsim._internal import files, paths
from recsim.experiments import plots, statistics, summary, tables
from recsim.experiments.leaderboard import baselines, entries, figures, findings
from recsim.experiments.leaderboard import tasks as tasks_lib

__all__ = ["Board", "returns_table", "write"]

_RANDOM = "random"
_DASH = "–"


class Board:
    """What entries of one version say together.

    Args:
        of: the entries, of one version, that of ``random`` among them.

    Raises:
        ValueError: if there are none, they are of several versions, two are of one agent, or that
            of ``random`` is missing or has no results.

    Attributes:
        version: the version.
        entries: the entries, those of the highest scores first.
        tasks: the tasks in which ``random`` has results, and the oracle where it is among them, in
            the order of the version.

    Example:
        >>> task = tasks_lib.version_of("recsim-slates-v1").task("easy")
        >>> def entry_of(agent, *returns):
        ...     by_seed = {str(seed): value for seed, value in enumerate(returns)}
        ...     result = entries.TaskResult(
        ...         task.sha256, (), {}, 0.0, by_seed, None, dict.fromkeys(by_seed, 1.0), {}, "0"
        ...     )
        ...     return entries.Entry("recsim-slates-v1", agent, agent, "", {"easy": result}, {})
        >>> board = Board([entry_of("random", 31.0, 32.0), entry_of("mine", 55.0, 57.0)])
        >>> [entry.agent for entry in board.entries]
        ['mine', 'random']
        >>> board.returns(board.entries[0], "easy")
        array([55., 57.])
        >>> board.scores(board.entries[0])["easy"].round(2)  # 31.58 is 0, and 56.09 is 1.
        array([0.96, 1.04])
        >>> board.improvement(board.entries[0], "random")["mean"]
        1.0
    """

    def __init__(self, of: Sequence[entries.Entry]) -> None:
        if not of:
            raise ValueError("There must be entries on the leaderboard, got none.")
        versions = sorted({entry.version for entry in of})
        by_name = {entry.agent: entry for entry in of}
        if len(versions) > 1 or len(by_name) < len(of):
            agents = sorted(entry.agent for entry in of)
            raise ValueError(
                "Entries on the leaderboard must be of one version and of different agents, got "
                f"{', '.join(versions)} and {', '.join(agents)}."
            )
        self.version = tasks_lib.version_of(versions[0])
        if _RANDOM not in by_name:
            raise ValueError(
                f"There must be an entry of {_RANDOM!r}, which scores begin at, got those of "
                f"{', '.join(by_name)}."
            )
        yardsticks = [by_name[name] for name in (_RANDOM, baselines.ORACLE) if name in by_name]
        self.tasks = [
            name for name in self.version.tasks if all(name in entry.tasks for entry in yardsticks)
        ]
        if not self.tasks:
            raise ValueError(
                "There must be a task in which the entry of 'random', and that of the oracle where "
                "there is one, have results, got none."
            )
        of_entries = {
            name: (
                _mean(by_name[_RANDOM], name),
                max(_mean(entry, name) for entry in of if name in entry.tasks),
            )
            for name in self.tasks
        }
        self._scales = {**of_entries, **self.version.scales}
        self.entries = sorted(
            of,
            key=lambda entry: (
                not self.scores(entry),
                bool(self.to_run(entry)),
                -self.overall(entry)["mean"],
            ),
        )

    def to_run(self, entry: entries.Entry) -> list[str]:
        """Returns the tasks that an agent could take part in and has not been run in.

        Until it has, it stands below those that have: who runs tasks of his choice is not compared
        with those who run all.
        """
        return [
            name
            for name in self.tasks
            if name not in entry.tasks and name not in entry.not_applicable
        ]

    @property
    def complete(self) -> list[entries.Entry]:
        """The entries with results in all tasks that their agents can take part in."""
        return [each for each in self.entries if self.scores(each) and not self.to_run(each)]

    def returns(self, entry: entries.Entry, task: str) -> np.ndarray:
        """Returns the mean returns of an agent in a task, shape (n_seeds,)."""
        return np.array(list(entry.tasks[task].returns.values()), np.float64)

    def scores(self, entry: entries.Entry) -> dict[str, np.ndarray]:
        """Returns the scores of an agent's runs by task, shape (n_seeds,) each."""
        return {
            task: self.scaled(task, self.returns(entry, task))
            for task in self.tasks
            if task in entry.tasks
        }

    def ranked(self, task: str) -> list[entries.Entry]:
        """Returns the entries that have results in a task, those of the highest returns first."""
        there = [entry for entry in self.entries if task in entry.tasks]
        return sorted(there, key=lambda entry: -_mean(entry, task))

    def trained(self, task: str) -> list[entries.Entry]:
        """Returns the like of :meth:`ranked` of the agents that were trained."""
        return [entry for entry in self.ranked(task) if entry.tasks[task].curve]

    def scaled(self, task: str, returns: np.ndarray) -> np.ndarray:
        """Returns the scores of returns in a task."""
        low, high = self._scales[task]
        scores: np.ndarray = (returns - low) / (high - low if high > low else 1.0)
        return scores

    def overall(self, entry: entries.Entry) -> Mapping[str, Any]:
        """Returns the interquartile mean of the scores in all tasks, with its interval.

        Where the agent cannot take part, it has the score of random, 0. What it has not run yet
        is left out: see :meth:`to_run`. So that tasks count alike, the seeds do that were run in
        all of them.
        """
        own = self._of_common_seeds(entry)
        seeds = len(own[0]) if own else 1
        zeros = [np.zeros(seeds) for name in self.tasks if name in entry.not_applicable]
        return _with_enough(statistics.interquartile_mean([*own, *zeros] or [np.zeros(1)]), *own)

    def own(self, entry: entries.Entry) -> Mapping[str, Any]:
        """Returns the interquartile mean of the scores in the agent's own tasks."""
        return statistics.interquartile_mean(self._of_common_seeds(entry))

    def _of_common_seeds(self, entry: entries.Entry) -> list[np.ndarray]:
        """Returns the scores of an agent by task, of as many seeds as there are in each."""
        scores = list(self.scores(entry).values())
        seeds = min(map(len, scores), default=0)
        return [of_task[:seeds] for of_task in scores]

    def improvement(self, entry: entries.Entry, over: str) -> Mapping[str, Any] | None:
        """Returns how likely a run earns more than one of another agent, over tasks of both."""
        other = next((each for each in self.entries if each.agent == over), entry)
        if other.agent == entry.agent:
            return None
        both = [name for name in self.tasks if name in entry.tasks and name in other.tasks]
        if not both:
            return None
        ours, theirs = ([self.returns(each, name) for name in both] for each in (entry, other))
        found = statistics.probability_of_improvement(ours, theirs)
        return _with_enough(found, *ours, *theirs)

    def all_tables(self) -> Iterator[tables.Table]:
        """Yields the tables: of all tasks together, and of each."""
        yield self._overall_table()
        for name in self.tasks:
            yield self._task_table(name)

    def reasons(self) -> dict[tuple[str, ...], dict[str, list[str]]]:
        """Returns who cannot take part: by tasks, and by the reason, the agents."""
        found: dict[tuple[str, ...], dict[str, list[str]]] = {}
        for entry in sorted(self.entries, key=lambda entry: entry.agent):
            by_reason: dict[str, list[str]] = {}
            for task in self.version.tasks:
                if task in entry.not_applicable:
                    by_reason.setdefault(entry.not_applicable[task], []).append(task)
            for reason, names in by_reason.items():
                found.setdefault(tuple(names), {}).setdefault(reason, []).append(entry.agent)
        return found

    def _overall_table(self) -> tables.Table:
        rows = []
        for entry in self.entries:
            taken = [entry.tasks[name] for name in self.tasks if name in entry.tasks]
            to_run = self.to_run(entry)
            common = min((len(result.seconds) for result in taken), default=0)
            seconds = [list(result.seconds.values())[:common] for result in taken]
            rows.append(
                [
                    entry.agent,
                    _estimate(self.overall(entry) if taken and not to_run else None),
                    f"{len(taken)} of {len(self.tasks)}"
                    + (f", {len(to_run)} to run" if to_run else ""),
                    _score(self.own(entry)["mean"]) if taken else _DASH,
                    _estimate(self.improvement(entry, _RANDOM)),
                    _estimate(self.improvement(entry, baselines.ORACLE)),
                    _median(np.mean(seconds, axis=0)) if taken else _DASH,
                ]
            )
        return tables.Table(
            "All tasks together:",
            [
                "agent",
                "score",
                "tasks",
                "score there",
                "better than random",
                "better than oracle",
                "seconds",
            ],
            rows,
        )

    def _task_table(self, name: str) -> tables.Table:
        task = self.version.tasks[name]
        rows = []
        for entry in self.ranked(name):
            result = entry.tasks[name]
            returns = self.returns(entry, name)
            rows.append(
                [
                    entry.agent,
                    *_mean_and_interval(returns),
                    _score(float(self.scaled(name, returns).mean())),
                    str(len(returns)),
                    _median(list(result.seconds.values())),
                    "; ".join(map(_short, result.settings)) or _DASH,
                ]
            )
        return tables.Table(
            f"{name}: {task.title}; {task.environment}, {task.num_candidates:,} candidates, slates "
            f"of {task.slate_size}",
            ["agent", "return", "95% interval", "score", "seeds", "seconds", "setting"],
            rows,
        )

    def notes(self) -> str:
        """Returns what the results are of: seeds, budgets, time, versions."""
        found = [
            entry.tasks[name]
            for entry in self.entries
            for name in self.tasks
            if name in entry.tasks
        ]
        seeds = sorted({len(result.returns) for result in found})
        took = _duration(sum(sum(result.seconds.values()) for result in found))
        searched = _duration(sum(result.search_seconds for result in found))
        versions = dict.fromkeys(
            f"{package} {number}"
            for result in found
            for package, number in result.versions.items()
            if package in ("recsim", "numpy", "python")
        )
        span = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        codes = sorted({result.library[:12] for result in found})
        return (
            f"Results of {self.version.name}: {len(self.entries)} agents in {len(self.tasks)} of "
            f"{len(self.version.tasks)} tasks, {len(found)} pairs with {span} "
            f"seed{'' if span == '1' else 's'} each (a whole entry has {self.version.num_seeds}). "
            f"Training and evaluation took {took} of processor time, the searches of settings "
            f"{searched}. Seconds are of processor time, too, of one seed: the median of the "
            f"seeds, and the least and most. Made with {', '.join(versions)} (code "
            f"{', '.join(codes)})."
        )

    def markdown(self) -> str:
        """Returns notes, tables and reasons in Markdown."""
        reasons = [
            f"- {_coded(agents)} in {_coded(names)}: {reason}."
            for names, by_reason in sorted(self.reasons().items())
            for reason, agents in sorted(by_reason.items())
        ]
        parts = [self.notes(), *map(tables.markdown, self.all_tables())]
        if reasons:
            parts += ["Who cannot take part, and why:", "\n".join(reasons)]
        return "\n\n".join(parts) + "\n"

    def plain(self, width: int) -> str:
        """Returns the table of all tasks, and notes, for a terminal."""
        notes = textwrap.fill(self.notes(), max(width, 40))
        return f"{tables.plain(self._overall_table(), width)}\n\n{notes}"


def returns_table(of: Sequence[entries.Entry]) -> tables.Table:
    """Returns a table of what agents earned in each task, where there are no scores.

    Args:
        of: the entries.

    Example:
        >>> returns_table([entries.Entry("recsim-slates-v1", "mine", "mine", "", {}, {})]).header
        ['agent', 'task', 'return', '95% interval', 'seeds']
    """
    rows = []
    for entry in of:
        for name, result in entry.tasks.items():
            returns = np.array(list(result.returns.values()), np.float64)
            rows.append([entry.agent, name, *_mean_and_interval(returns), str(len(returns))])
    header = ["agent", "task", "return", "95% interval", "seeds"]
    return tables.Table("Returns:", header, rows, num_labels=2)


def _mean_and_interval(returns: np.ndarray) -> tuple[str, str]:
    interval = _DASH
    if len(returns) > 1:
        of_seeds = statistics.estimate(returns)
        interval = f"{of_seeds['low']:,.2f} to {of_seeds['high']:,.2f}"
    return f"{returns.mean():,.2f}", interval


def _duration(seconds: float) -> str:
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds > length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def write(of: Sequence[entries.Entry], folder: paths.Path) -> list[str]:
    """Writes a page to a folder: ``tables.md``, ``findings.md``, ``scores.png`` and others.

    Args:
        of: the entries, see :class:`Board`.
        folder: the folder, which is made where it is not there.

    Returns:
        The paths of the files.

    Raises:
        ValueError: if there is no board of them.
        OSError: if the folder cannot be written to.

    Example:
        >>> import tempfile
        >>> from recsim.experiments.leaderboard import runs
        >>> version = tasks_lib.version_of("recsim-slates-v1-quick")
        >>> place = runs.Place(workers=1, progress=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = runs.run(version, folder, ["random"], only_tasks=["easy"], place=place)
        ...     [os.path.basename(path) for path in write(found, os.path.join(folder, "page"))]
        ['tables.md', 'findings.md', 'scores.png', 'profiles.png']
    """
    board = Board(of)
    place = paths.absolute("folder", folder)
    paths.writable_folder("The folder of the page", place)
    written = []
    for name, text in (("tables", board.markdown()), ("findings", findings.markdown(board))):
        written.append(os.path.join(place, f"{name}.md"))
        with files.atomic_file(written[-1]) as file:
            file.write(text.encode())
    for name, figure in figures.all_of(board):
        written.append(os.path.join(place, f"{name}.png"))
        plots.save(figure, written[-1])
    return written


def _mean(entry: entries.Entry, task: str) -> float:
    return float(np.mean(list(entry.tasks[task].returns.values())))


def _with_enough(found: Mapping[str, Any], *samples: np.ndarray) -> Mapping[str, Any]:
    """Returns an estimate, without its interval where too few seeds would make it too narrow."""
    if min(map(len, samples), default=0) >= summary.FEW_SEEDS:
        return found
    return {**found, "low": None, "high": None}


def _estimate(found: Mapping[str, Any] | None) -> str:
    """Returns a number between 0 and 1, or about, with its interval where there is one."""
    if found is None:
        return _DASH
    if found["low"] is None:
        return _score(found["mean"])
    return f"{_score(found['mean'])} ({_score(found['low'])} to {_score(found['high'])})"


def _score(value: float) -> str:
    """Returns a score with two digits, 0 without a sign."""
    return f"{round(value, 2) + 0.0:.2f}"


def _coded(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _median(values: ArrayLike) -> str:
    """Returns the median of seconds, and the least and most where there are several."""
    seconds = np.asarray(values, np.float64)
    median = f"{np.median(seconds):.1f}"
    if len(seconds) == 1:
        return median
    return f"{median} ({seconds.min():.1f} to {seconds.max():.1f})"


def _short(binding: str) -> str:
    """Returns a binding without the class that it is of."""
    return binding.partition(".")[2] if "." in binding.partition("=")[0] else binding
