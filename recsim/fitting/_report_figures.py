"""The figures of a report on a fit."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from recsim._internal import figures
from recsim.fitting import fidelity as fidelity_lib
from recsim.fitting import ranking as ranking_lib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Panel", "drawn", "of_calibration", "of_groups", "of_ranking", "overview"]

_SIZE = (5.2, 3.4)


@dataclasses.dataclass(frozen=True)
class Panel:
    """A figure of one panel, to be drawn.

    Attributes:
        title: what it shows.
        draw: function that draws it.
    """

    title: str
    draw: Callable[[Axes], None]


def drawn(panel: Panel) -> Figure:
    """Returns a figure with a panel alone, without its title."""
    figure = figures.new_figure(*_SIZE)
    panel.draw(figure.add_subplot())
    return figure


def overview(panels: Sequence[Panel]) -> Figure:
    """Returns a figure with all panels, two in a row."""
    rows = math.ceil(len(panels) / 2)
    figure = figures.new_figure(2 * _SIZE[0], rows * (_SIZE[1] + 0.3))
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(rows, 2, number + 1)
        panel.draw(axes)
        axes.set_title(panel.title, fontsize="medium")
    return figure


def of_groups(
    title: str, groups: Sequence[fidelity_lib.Group], x: str, y: str = "click rate"
) -> Panel:
    """Returns a panel of the log's rates with their intervals, beside the scenario's."""
    return Panel(title, functools.partial(_draw_groups, list(groups), x, y))


def _draw_groups(groups: list[fidelity_lib.Group], x: str, y: str, axes: Axes) -> None:
    places = np.arange(len(groups))
    for place, group in zip(places, groups, strict=True):
        axes.vlines(place - 0.12, group.low, group.high, color=figures.BLUE, linewidth=2)
    observed = [group.observed for group in groups]
    expected = [group.expected for group in groups]
    axes.plot(places - 0.12, observed, "o", color=figures.BLUE, label="log, 95% interval")
    axes.plot(places + 0.12, expected, "D", color=figures.ORANGE, label="scenario")
    shown = places if len(groups) <= 10 else places[:: math.ceil(len(groups) / 8)]
    axes.set_xticks(shown, [groups[place].label for place in shown])
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    # Room for the legend above.
    axes.set_ylim(0.0, 1.25 * max(max(group.high for group in groups), *expected, 1e-9))
    _finish(axes, above=True)


def of_calibration(
    title: str,
    groups: Sequence[fidelity_lib.Group],
    x: str = "predicted click rate",
    y: str = "click rate, held out",
) -> Panel:
    """Returns a panel of what was observed against what was predicted."""
    return Panel(title, functools.partial(_draw_calibration, list(groups), x, y))


def _draw_calibration(groups: list[fidelity_lib.Group], x: str, y: str, axes: Axes) -> None:
    expected = np.array([group.expected for group in groups])
    ends = [
        min(expected.min(), min(group.low for group in groups)),
        max(expected.max(), max(group.high for group in groups)),
    ]
    axes.plot(ends, ends, color=figures.GREY, linewidth=1, label="as predicted")
    axes.vlines(
        expected,
        [group.low for group in groups],
        [group.high for group in groups],
        color=figures.BLUE,
        linewidth=2,
    )
    axes.plot(
        expected,
        [group.observed for group in groups],
        "o",
        color=figures.BLUE,
        label=f"{len(groups)} groups of equal size, 95% interval",
    )
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    _finish(axes)


def of_ranking(ranking: ranking_lib.Ranking) -> Panel:
    """Returns a panel of the agents' returns in all scenarios."""
    return Panel(
        "Returns of five agents, in each scenario", functools.partial(_draw_ranking, ranking)
    )


def _draw_ranking(ranking: ranking_lib.Ranking, axes: Axes) -> None:
    order = np.argsort(ranking.returns[0])
    for place, agent in enumerate(order):
        values = ranking.returns[1:, agent]
        jitter = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else np.zeros(len(values))
        axes.plot(
            values,
            place + jitter,
            "o",
            color=figures.LIGHT_BLUE,
            markersize=4,
            label="refits and other models" if not place else "_",
        )
        axes.plot(
            ranking.returns[0, agent],
            place,
            "D",
            color=figures.ORANGE,
            label="the scenario" if not place else "_",
        )
    axes.set_yticks(range(len(order)), [ranking.agents[agent] for agent in order])
    axes.set_xlabel("clicks in a session")
    _finish(axes)


def _finish(axes: Axes, *, above: bool = False) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    if above:
        axes.legend(fontsize="small", frameon=False, loc="upper right", ncols=2)
    else:
        axes.legend(fontsize="small", frameon=False, loc="best")
