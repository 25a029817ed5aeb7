"""Figures: what all of them share. Matplotlib is imported where something is drawn.

They have no background of their own, and are drawn so that they read on a light and on a dark one.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Literal

from recsim._internal import files, paths

if TYPE_CHECKING:
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
    from recsim._internal import notebook_figure

    return notebook_figure.NotebookFigure(figsize=(width, height), layout="constrained")


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
