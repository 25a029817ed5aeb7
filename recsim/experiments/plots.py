"""Figures: what those of all results share. Matplotlib is imported where something is drawn.

They have no background of their own, and are drawn so that they read on a light and on a dark one.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from recsim._internal import files, paths

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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

# Okabe and Ito's colours, which colour-blind readers can tell apart.
ORANGE = "#E69F00"
LIGHT_BLUE = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
RED = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#999999"
#: Text and axes: a grey that can be read on white (contrast 4.5) and on near-black (4.2) alike.
INK = "#767676"
#: The colours of lines, and a marker for each, in the order in which lines take them.
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, LIGHT_BLUE)
MARKERS = ("o", "s", "D", "^", "v", "P")
#: Lines in a panel: more cannot be told apart.
MOST_LINES = len(COLOURS)

_SUFFIXES = (".png", ".svg", ".pdf")
_BLACK = (0.0, 0.0, 0.0, 1.0)


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure, whose panels will have room for their labels.

    Args:
        width: in inches.
        height: in inches.
    """
    from recsim.experiments import _notebook_figure

    return _notebook_figure.NotebookFigure(figsize=(width, height), layout="constrained")


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


def for_any_background(figure: Figure) -> None:
    """Makes a figure transparent, and what is black in it readable on light and dark backgrounds.

    Args:
        figure: the figure, complete: it is changed.
    """
    from matplotlib import colors, patheffects, text
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    def is_black(colour: object) -> bool:
        try:
            return bool(colors.same_color(colour, _BLACK))  # type: ignore[arg-type]
        except ValueError:  # No colour, such as "none", or several.
            return False

    figure.patch.set_alpha(0.0)
    legends = list(figure.legends)
    # Marks and bars of errors stand over bars: an outline sets them off.
    outline: list[patheffects.AbstractPathEffect] = [
        patheffects.withStroke(linewidth=3.0, foreground="white")
    ]
    for axes in figure.axes:
        axes.patch.set_alpha(0.0)
        axes.tick_params(which="both", color=INK, labelcolor=INK)
        for spine in axes.spines.values():
            spine.set_edgecolor(INK)
        if (legend := axes.get_legend()) is not None:
            legends.append(legend)
        for line in axes.lines:
            if is_black(line.get_color()):
                line.set_color(INK)
            if is_black(line.get_markeredgecolor()):
                line.set_markeredgecolor(INK)
        for marks in axes.collections:
            if isinstance(marks, LineCollection) and is_black(marks.get_edgecolor()):
                marks.set_color(INK)
                marks.set_path_effects(outline)
    for legend in legends:
        legend.get_frame().set_alpha(0.0)
        for handle in legend.legend_handles:
            if isinstance(handle, (Line2D, LineCollection)) and is_black(handle.get_color()):
                handle.set_color(INK)
    for words in figure.findobj(text.Text):
        if isinstance(words, text.Text) and is_black(words.get_color()):
            words.set_color(INK)


def write(figure: Figure, path: str) -> None:
    """Writes a figure as PNG and SVG; the same figure gives the same files.

    Args:
        figure: the figure.
        path: path of the files without their suffixes.
    """
    for suffix in ("png", "svg"):
        with files.atomic_file(f"{path}.{suffix}") as file:
            file.write(_drawn(figure, suffix))


def save(figure: Figure, path: paths.Path) -> None:
    """Writes a figure to a file, or to two where the path has no suffix.

    Args:
        figure: the figure.
        path: the file, which ends in ``.png``, ``.svg`` or ``.pdf``; without any of them a PNG and
            an SVG file are written.

    Raises:
        TypeError, ValueError: if it is not a path, or has another suffix.
        OSError: if it cannot be written.
    """
    suffix = os.path.splitext(paths.absolute("path", path))[1]
    if suffix not in ("", *_SUFFIXES):
        raise ValueError(
            f"path must end in one of {', '.join(_SUFFIXES)}, or in none of them for PNG and SVG, "
            f"got {os.fspath(path)!r}."
        )
    file_path = paths.output_file("path", path)
    if not suffix:
        write(figure, file_path)
        return
    with files.atomic_file(file_path) as file:
        file.write(_drawn(figure, suffix[1:]))


def svg(figure: Figure) -> str:
    """Returns a figure as an SVG element, with text as text, for a page of HTML."""
    text = _drawn(figure, "svg", "none").decode()
    return text[text.index("<svg") :]


def _drawn(figure: Figure, suffix: str, text_as: Literal["path", "none"] = "path") -> bytes:
    import matplotlib

    for_any_background(figure)
    metadata: dict[str, dict[str, str | None]] = {
        "png": {"Software": None},
        "svg": {"Date": None},
        "pdf": {"CreationDate": None},
    }
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "recsim", "svg.fonttype": text_as}):
        figure.savefig(file, format=suffix, dpi=120, metadata=metadata[suffix])
    return file.getvalue()
