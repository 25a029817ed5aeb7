"""The figures of the leaderboard's page: scores, performance profiles, learning curves.

Each is of a :class:`recsim.experiments.leaderboard.page.Board`, and needs Matplotlib.

Example:
    >>> import tempfile
    >>> from recsim.experiments.leaderboard import page, runs, tasks
    >>> version = tasks.version_of("recsim-slates-v1-quick")
    >>> place = runs.Place(workers=1, progress=False)
    >>> agents = ["random"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = runs.run(version, folder, agents, only_tasks=["easy"], place=place)
    >>> for name, figure in all_of(page.Board(found)):
    ...     print(name, len(figure.axes))
    scores 1
    profiles 1
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim.experiments import plots, statistics, summary
from recsim.experiments.leaderboard import baselines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recsim.experiments.leaderboard import page

__all__ = ["all_of", "curves", "profiles", "scores"]


def all_of(board: page.Board) -> Iterator[tuple[str, Figure]]:
    """Yields the figures with their names, ``curves`` only where an agent was trained.

    Args:
        board: what entries say together.

    Example:
        >>> import tempfile
        >>> from recsim.experiments.leaderboard import page, runs, tasks
        >>> version = tasks.version_of("recsim-slates-v1-quick")
        >>> place = runs.Place(workers=1, progress=False)
        >>> agents = ["random"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = runs.run(version, folder, agents, only_tasks=["easy"], place=place)
        >>> [name for name, _ in all_of(page.Board(found))]
        ['scores', 'profiles']
    """
    yield "scores", scores(board)
    yield "profiles", profiles(board)
    ran = [entry.tasks.get(name) for entry in board.entries for name in board.tasks]
    if any(result is not None and result.curve for result in ran):
        yield "curves", curves(board)


def scores(board: page.Board) -> Figure:
    """Draws the interquartile means of the agents' scores, with their intervals.

    Where an agent takes part in some of the tasks only, its score in these is another mark.

    Args:
        board: what entries say together.

    Example:
        >>> import tempfile
        >>> from recsim.experiments.leaderboard import page, runs, tasks
        >>> version = tasks.version_of("recsim-slates-v1-quick")
        >>> place = runs.Place(workers=1, progress=False)
        >>> agents = ["random", "greedy_pctr"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = runs.run(version, folder, agents, only_tasks=["easy"], place=place)
        >>> (axes,) = scores(page.Board(found)).axes
        >>> [label.get_text() for label in axes.get_yticklabels()]
        ['random', 'greedy_pctr']
    """
    shown = board.complete[::-1]
    figure = plots.new_figure(7.5, 1.4 + 0.24 * len(shown))
    axes = figure.subplots()
    names = []
    for place, entry in enumerate(shown):
        colour = plots.ORANGE if entry.agent == baselines.ORACLE else plots.BLUE
        plots.add_interval(axes, place, _known(board.overall(entry)), colour=colour)
        taken = len(board.scores(entry))
        names.append(entry.agent)
        if taken < len(board.tasks):
            axes.plot(
                board.own(entry)["mean"],
                place,
                "o",
                color=colour,
                markerfacecolor="none",
                markersize=7,
            )
            names[-1] += f" ({taken} of {len(board.tasks)})"
    axes.set_yticks(range(len(shown)), names)
    axes.set_ylim(-0.8, len(shown) - 0.2)
    axes.set_xlabel("score, interquartile mean in all tasks\n(circles: in the agent's own tasks)")
    axes.grid(axis="x", alpha=0.25)
    return figure


def profiles(board: page.Board) -> Figure:
    """Draws the performance profiles of the agents of the highest scores.

    Args:
        board: what entries say together.

    Example:
        >>> import tempfile
        >>> from recsim.experiments.leaderboard import page, runs, tasks
        >>> version = tasks.version_of("recsim-slates-v1-quick")
        >>> place = runs.Place(workers=1, progress=False)
        >>> agents = ["random", "greedy_pctr"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = runs.run(version, folder, agents, only_tasks=["easy"], place=place)
        >>> (axes,) = profiles(page.Board(found)).axes
        >>> [line.get_label() for line in axes.lines]
        ['greedy_pctr (1 task)', 'random (1 task)']
    """
    figure = plots.new_figure(7.0, 4.5)
    axes = figure.subplots()
    levels = np.linspace(-0.25, 1.25, 151)
    ran = board.complete
    for place, entry in enumerate(ran[: plots.MOST_LINES]):
        of_tasks = list(board.scores(entry).values())
        shares = np.mean([(of_task[:, None] > levels).mean(axis=0) for of_task in of_tasks], 0)
        axes.plot(
            levels,
            shares,
            color=plots.COLOURS[place],
            linestyle="--" if place % 2 else "-",
            label=f"{entry.agent} ({len(of_tasks)} task{'s' * (len(of_tasks) > 1)})",
        )
    axes.set_xlabel("score")
    axes.set_ylabel("share of runs with a higher score")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9, loc="lower left")
    return figure


def curves(board: page.Board) -> Figure:
    """Draws the learning curves of the trained agents that earn the most, a panel for each task.

    Lines across are of ``random``, dotted, and of the oracle, dashed.

    Args:
        board: what entries say together.

    Example:
        >>> import tempfile
        >>> from recsim.experiments.leaderboard import page, runs, tasks
        >>> version = tasks.version_of("recsim-slates-v1-quick")
        >>> place = runs.Place(workers=1, progress=False)
        >>> agents = ["random", "lin_ucb"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = runs.run(version, folder, agents, only_tasks=["easy"], place=place)
        >>> axes = curves(page.Board(found)).axes[0]
        >>> [line.get_label() for line in axes.lines]
        ['lin_ucb', 'random']
    """
    rows = -(-len(board.tasks) // 2)
    figure = plots.new_figure(9.0, 3.6 * rows)
    panels = np.atleast_2d(figure.subplots(rows, 2, squeeze=False)).ravel()
    for axes, name in zip(panels, board.tasks):
        _draw_curves(axes, board, name)
    for axes in panels[len(board.tasks) :]:
        axes.set_axis_off()
    return figure


def _draw_curves(axes: Axes, board: page.Board, name: str) -> None:
    for place, entry in enumerate(board.trained(name)[: plots.MOST_LINES - 1]):
        curve = entry.tasks[name].curve
        assert curve is not None
        values = np.array(list(curve["values"].values()), np.float64)
        mean = values.mean(axis=0)
        band: Mapping[str, Any] = {"mean": mean, "low": mean, "high": mean}
        if len(values) >= summary.FEW_SEEDS:
            band = statistics.estimate(values)
        colour = plots.COLOURS[place]
        plots.add_curve(axes, curve["steps"], band, colour=colour, label=entry.agent, opacity=0.15)
    for agent, dashes in (("random", ":"), (baselines.ORACLE, "--")):
        for entry in board.ranked(name):
            if entry.agent == agent:
                level = board.returns(entry, name).mean()
                axes.axhline(level, color=plots.GREY, linestyle=dashes, label=agent)
    axes.set_title(name, fontsize=10)
    axes.set_xlabel("user-steps of training")
    axes.set_ylabel("return")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.locator_params(axis="x", nbins=5)
    axes.grid(alpha=0.25)
    # Above the lines, so that it hides none of them.
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.42 * (high - low))
    axes.legend(
        frameon=False, fontsize=6.5, ncols=2, loc="upper left", handlelength=1.5, columnspacing=1.0
    )


def _known(estimate: Mapping[str, Any]) -> dict[str, float]:
    """Returns an estimate with NaN where it has no interval."""
    return {name: np.nan if value is None else value for name, value in estimate.items()}
