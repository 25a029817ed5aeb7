"""Figures: what those of all results share. Matplotlib is imported where something is drawn.

They have no background of their own, and are drawn so that they read on a light and on a dark one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from recsim._internal.figures import (
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    INK,
    LIGHT_BLUE,
    MARKERS,
    MOST_LINES,
    ORANGE,
    PURPLE,
    RED,
    for_any_background,
    new_figure,
    save,
    svg,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "BLUE",
    "COLOURS",
    "GREEN",
    "GREY",
    "INK",
    "LIGHT_BLUE",
    "MARKERS",
    "MOST_LINES",
    "ORANGE",
    "PURPLE",
    "RED",
    "add_curve",
    "add_interval",
    "add_mark",
    "for_any_background",
    "new_figure",
    "save",
    "svg",
    "write",
]


def add_curve(
    axes: Axes,
    x: ArrayLike,
    curve: Mapping[str, ArrayLike],
    *,
    colour: object,
    label: str,
    opacity: float,
) -> None:
    """Draws a line of means and a band of their confidence intervals.

    Args:
        axes: where.
        x: the points, shape (n,).
        curve: ``mean``, ``low`` and ``high``, each of shape (n,).
        colour: the colour of both.
        label: the name in the legend; an empty string for none.
        opacity: that of the band, in [0, 1].
    """
    axes.plot(x, curve["mean"], color=colour, label=label)
    axes.fill_between(x, curve["low"], curve["high"], color=colour, alpha=opacity, linewidth=0)


def add_interval(
    axes: Axes,
    place: float,
    estimate: Mapping[str, float],
    *,
    colour: object,
    marker: str = "o",
    label: str = "",
    horizontal: bool = True,
) -> None:
    """Draws a mean as a point and its confidence interval as a line.

    Where a zero would hide the differences, these stand for bars, which begin at zero.

    Args:
        axes: where.
        place: the place on the axis of names.
        estimate: ``mean``, ``low`` and ``high``; without an interval the last two are NaN.
        colour: the colour of both.
        marker: the point's form.
        label: the name in the legend; an empty string for none.
        horizontal: whether values are on the horizontal axis.
    """
    ends = (estimate["low"], estimate["high"])
    if np.isfinite(ends).all():
        draw = axes.hlines if horizontal else axes.vlines
        draw(place, *ends, color=colour, linewidth=2, zorder=3)
    point = (estimate["mean"], place) if horizontal else (place, estimate["mean"])
    axes.plot(*point, marker, color=colour, markersize=7, label=label or "_", zorder=3)


def add_mark(axes: Axes, value: float, position: float, half_width: float, label: str) -> None:
    """Draws a published value over a bar or a point.

    Args:
        axes: where.
        value: the value.
        position: the middle of the bar.
        half_width: half the width of the mark.
        label: the name in the legend; an empty string for none.
    """
    ends = (position - half_width, position + half_width)
    axes.hlines(value, *ends, color="black", label=label)
