"""The page of the leaderboard: tables and figures of entries.

The score of a run is its return on a scale on which the mean of ``random`` in the task is 0 and
that of the best agent 1, both when the version was published; a better one has more.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim._internal import files, paths
from recsim.experiments import plots, statistics, summary, tables
from recsim.experiments.leaderboard import baselines, entries
from recsim.experiments.leaderboard import tasks as tasks_lib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Board", "write"]

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
            of, key=lambda entry: (not self.scores(entry), -self.overall(entry)["mean"])
        )

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

    def scaled(self, task: str, returns: np.ndarray) -> np.ndarray:
        """Returns the scores of returns in a task."""
        low, high = self._scales[task]
        scores: np.ndarray = (returns - low) / (high - low if high > low else 1.0)
        return scores

    def overall(self, entry: entries.Entry) -> Mapping[str, Any]:
        """Returns the interquartile mean of the scores in all tasks, with its interval.

        Where the agent cannot take part, it has the score of random, 0. What it has not run yet is
        left out. So that tasks count alike, the seeds do that were run in all of them.
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
        """Yields the tables: of all tasks together, of each, and of who cannot take part."""
        yield self._overall_table()
        for name in self.tasks:
            yield self._task_table(name)
        reasons = [
            [entry.agent, ", ".join(names), reason]
            for entry in self.entries
            for reason, names in _by_reason(entry).items()
        ]
        if reasons:
            yield tables.Table(
                "Not applicable, and why:", ["agent", "tasks", "reason"], sorted(reasons)
            )

    def _overall_table(self) -> tables.Table:
        rows = []
        for entry in self.entries:
            taken = [entry.tasks[name] for name in self.tasks if name in entry.tasks]
            seconds = [value for result in taken for value in result.seconds.values()]
            rows.append(
                [
                    entry.agent,
                    _estimate(self.overall(entry) if taken else None),
                    f"{len(taken)} of {len(self.tasks)}",
                    _score(self.own(entry)["mean"]) if taken else _DASH,
                    _estimate(self.improvement(entry, _RANDOM)),
                    _estimate(self.improvement(entry, baselines.ORACLE)),
                    f"{np.mean(seconds):.1f}" if seconds else _DASH,
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
        taking_part = [entry for entry in self.entries if name in entry.tasks]
        rows = []
        for entry in sorted(taking_part, key=lambda entry: -_mean(entry, name)):
            result = entry.tasks[name]
            returns = self.returns(entry, name)
            interval = _DASH
            if len(returns) > 1:
                of_seeds = statistics.estimate(returns)
                interval = f"{of_seeds['low']:,.2f} to {of_seeds['high']:,.2f}"
            rows.append(
                [
                    entry.agent,
                    f"{returns.mean():,.2f}",
                    interval,
                    _score(float(self.scaled(name, returns).mean())),
                    str(len(returns)),
                    f"{np.mean(list(result.seconds.values())):.1f}",
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
            f"{searched}; made with {', '.join(versions)} (code {', '.join(codes)})."
        )

    def markdown(self) -> str:
        """Returns notes and tables in Markdown."""
        return "\n\n".join([self.notes(), *map(tables.markdown, self.all_tables())]) + "\n"

    def plain(self, width: int) -> str:
        """Returns the table of all tasks, and notes, for a terminal."""
        notes = textwrap.fill(self.notes(), max(width, 40))
        return f"{tables.plain(self._overall_table(), width)}\n\n{notes}"

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """Yields the figures and their names: scores, performance profiles, learning curves."""
        yield "scores", self._scores_figure()
        yield "profiles", self._profiles_figure()
        ran = [entry.tasks.get(name) for entry in self.entries for name in self.tasks]
        if any(result is not None and result.curve for result in ran):
            yield "curves", self._curves_figure()

    def _scores_figure(self) -> Figure:
        shown = [entry for entry in self.entries[::-1] if self.scores(entry)]
        figure = plots.new_figure(7.0, 1.0 + 0.24 * len(shown))
        axes = figure.subplots()
        for place, entry in enumerate(shown):
            found = self.overall(entry)
            known = {name: np.nan if value is None else value for name, value in found.items()}
            colour = plots.ORANGE if entry.agent == baselines.ORACLE else plots.BLUE
            plots.add_interval(axes, place, known, colour=colour)
        axes.set_yticks(range(len(shown)), [entry.agent for entry in shown])
        axes.set_xlabel("score in all tasks, interquartile mean")
        axes.grid(axis="x", alpha=0.25)
        return figure

    def _profiles_figure(self) -> Figure:
        figure = plots.new_figure(7.0, 4.5)
        axes = figure.subplots()
        levels = np.linspace(-0.25, 1.25, 151)
        ran = [entry for entry in self.entries if self.scores(entry)]
        for place, entry in enumerate(ran[: plots.MOST_LINES]):
            of_tasks = list(self.scores(entry).values())
            shares = np.mean([(scores[:, None] > levels).mean(axis=0) for scores in of_tasks], 0)
            axes.plot(
                levels,
                shares,
                color=plots.COLOURS[place],
                linestyle="--" if place % 2 else "-",
                label=f"{entry.agent} ({len(of_tasks)} tasks)",
            )
        axes.set_xlabel("score")
        axes.set_ylabel("share of runs with a higher score")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=9, loc="lower left")
        return figure

    def _curves_figure(self) -> Figure:
        rows = -(-len(self.tasks) // 2)
        figure = plots.new_figure(9.0, 3.4 * rows)
        panels = np.atleast_2d(figure.subplots(rows, 2, squeeze=False)).ravel()
        for axes, name in zip(panels, self.tasks):
            self._draw_curves(axes, name)
        for axes in panels[len(self.tasks) :]:
            axes.set_axis_off()
        return figure

    def _draw_curves(self, axes: Axes, name: str) -> None:
        ranked = sorted(
            (entry for entry in self.entries if name in entry.tasks and entry.tasks[name].curve),
            key=lambda entry: -_mean(entry, name),
        )
        for place, entry in enumerate(ranked[: plots.MOST_LINES - 1]):
            curve = entry.tasks[name].curve
            assert curve is not None
            values = np.array(list(curve["values"].values()), np.float64)
            mean = values.mean(axis=0)
            band: Mapping[str, Any] = {"mean": mean, "low": mean, "high": mean}
            if len(values) >= summary.FEW_SEEDS:
                band = statistics.estimate(values)
            colour = plots.COLOURS[place]
            plots.add_curve(
                axes, curve["steps"], band, colour=colour, label=entry.agent, opacity=0.15
            )
        for entry in self.entries:
            if entry.agent in (_RANDOM, baselines.ORACLE) and name in entry.tasks:
                dashes = ":" if entry.agent == _RANDOM else "--"
                axes.axhline(
                    _mean(entry, name), color=plots.GREY, linestyle=dashes, label=entry.agent
                )
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("user-steps of training")
        axes.set_ylabel("return")
        axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
        axes.locator_params(axis="x", nbins=5)
        axes.grid(alpha=0.25)
        axes.legend(framealpha=0.85, edgecolor="none", fontsize=7)


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds > 3600 else f"{seconds / 60:.1f} minutes"


def write(of: Sequence[entries.Entry], folder: paths.Path) -> list[str]:
    """Writes tables and figures to a folder: ``tables.md``, ``scores.png`` and others.

    Args:
        of: the entries, see :class:`Board`.
        folder: the folder, which is made where it is not there.

    Returns:
        The paths of the files.

    Raises:
        ValueError: if there is no board of them.
        OSError: if the folder cannot be written to.
    """
    board = Board(of)
    place = paths.absolute("folder", folder)
    paths.writable_folder("The folder of the page", place)
    written = [os.path.join(place, "tables.md")]
    with files.atomic_file(written[0]) as file:
        file.write(board.markdown().encode())
    for name, figure in board.figures():
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


def _short(binding: str) -> str:
    """Returns a binding without the class that it is of."""
    return binding.partition(".")[2] if "." in binding.partition("=")[0] else binding


def _by_reason(entry: entries.Entry) -> dict[str, list[str]]:
    """Returns the tasks that an agent cannot take part in, by the reason."""
    found: dict[str, list[str]] = {}
    for task, reason in entry.not_applicable.items():
        found.setdefault(reason, []).append(task)
    return found
