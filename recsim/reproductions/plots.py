"""Figures: what those of all results share. Matplotlib is imported where something is drawn."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from recsim._internal import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "LIGHT_BLUE",
    "ORANGE",
    "PURPLE",
    "RED",
    "add_curve",
    "add_mark",
    "half_widths",
    "import_matplotlib",
    "new_figure",
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


def import_matplotlib() -> None:
    """Raises ImportError, which says what to install, if there is no matplotlib."""
    try:
        importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ImportError(
            "The figure needs matplotlib, which is not installed: pip install matplotlib, or "
            "install recsim with its extra 'plots'."
        ) from error


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure, whose panels will have room for their labels.

    Args:
        width: in inches.
        height: in inches.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


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


def add_mark(axes: Axes, value: float, position: float, half_width: float, label: str) -> None:
    """Draws a published value over a bar.

    Args:
        axes: where.
        value: the value.
        position: the middle of the bar.
        half_width: half the width of the mark.
        label: the name in the legend; an empty string for none.
    """
    axes.hlines(value, position - half_width, position + half_width, color="black", label=label)


def half_widths(estimates: Sequence[Mapping[str, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the means of estimates, and half the widths of their confidence intervals."""
    means = np.array([each["mean"] for each in estimates])
    return means, np.array([each["high"] for each in estimates]) - means


def write(figure: Figure, path: str) -> None:
    """Writes a figure as PNG and SVG; the same figure gives the same files.

    Args:
        figure: the figure.
        path: path of the files without their suffixes.
    """
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "recsim"}):
        for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            with files.atomic_file(f"{path}.{suffix}") as file:
                figure.savefig(file, format=suffix, dpi=120, metadata=metadata)
