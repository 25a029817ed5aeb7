"""Figures: colours on light and dark backgrounds, points with intervals, files."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import colors
from matplotlib.collections import LineCollection
from matplotlib.text import Text

from recsim.experiments import plots

LIGHT, DARK = "#ffffff", "#0d1117"


def luminance(colour):
    """As WCAG 2 defines it."""
    channels = np.array(colors.to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_can_be_read_on_light_and_dark():
    assert contrast(plots.INK, LIGHT) >= 4.5
    assert contrast(plots.INK, DARK) >= 4.0
    assert all(contrast(colour, back) >= 2 for colour in plots.COLOURS for back in (LIGHT, DARK))


# Machado et al. (2009), for complete deuteranopia, protanopia and tritanopia.
BLINDNESS = {
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("kind", BLINDNESS)
def test_lines_can_be_told_apart_by_the_colour_blind(kind):
    seen = np.clip([np.array(BLINDNESS[kind]) @ colors.to_rgb(c) for c in plots.COLOURS], 0, 1)
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=2)
    assert distances[~np.eye(len(seen), dtype=bool)].min() > 0.12
    assert len(set(plots.MARKERS)) == len(plots.COLOURS) == plots.MOST_LINES


def figure_with_black():
    figure = plots.new_figure(4, 3)
    axes = figure.subplots()
    axes.bar([0, 1], [1.0, 2.0], yerr=[0.1, 0.2], capsize=3, color=plots.BLUE)
    plots.add_mark(axes, 1.5, 0, 0.4, "published")
    axes.axhline(1.0, color="black", linestyle="--", label="bound")
    plots.add_curve(
        axes,
        [0, 1],
        {"mean": [1, 2], "low": [0, 1], "high": [2, 3]},
        colour=plots.RED,
        label="a",
        opacity=0.2,
    )
    axes.set(title="title", xlabel="x", ylabel="y")
    axes.legend()
    return figure, axes


def test_figures_have_no_background_and_nothing_black(tmp_path):
    figure, axes = figure_with_black()
    plots.save(figure, tmp_path / "figure.png")
    from PIL import Image

    pixels = np.asarray(Image.open(tmp_path / "figure.png").convert("RGBA"))
    assert (pixels[0, 0, 3], pixels[-1, -1, 3]) == (0, 0)
    opaque = pixels[pixels[..., 3] == 255][:, :3]
    assert opaque.max(axis=1).min() > 0x50  # Without shades near black.
    inks = {colors.to_hex(text.get_color()) for text in figure.findobj(Text) if text.get_text()}
    assert inks == {plots.INK}
    marks = [each for each in axes.collections if isinstance(each, LineCollection)]
    assert len(marks) == 2 and all(mark.get_path_effects() for mark in marks)


def test_intervals_are_drawn_where_there_are_any():
    axes = plots.new_figure(4, 3).subplots()
    plots.add_interval(axes, 2, {"mean": 1.0, "low": 0.5, "high": 2.0}, colour="red", label="a")
    plots.add_interval(
        axes, 3, {"mean": 4.0, "low": np.nan, "high": np.nan}, colour="red", horizontal=False
    )
    np.testing.assert_allclose(axes.collections[0].get_segments(), [[[0.5, 2], [2, 2]]])
    assert len(axes.collections) == 1
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[1, 2]], [[3, 4]]]
    assert axes.get_legend_handles_labels()[1] == ["a"]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_figure_gives_the_same_file(tmp_path, suffix):
    for name in "ab":
        plots.save(figure_with_black()[0], tmp_path / f"{name}.{suffix}")
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
    assert first == second


def test_files_of_a_figure(tmp_path):
    figure, _ = figure_with_black()
    plots.save(figure, tmp_path / "figure")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.png", "figure.svg"]
    with pytest.raises(ValueError, match=r"path must end in one of \.png, \.svg, \.pdf"):
        plots.save(figure, tmp_path / "new" / "figure.jpeg")
    assert not (tmp_path / "new").exists()
    text = plots.svg(figure)
    assert text.startswith("<svg") and ">title</text>" in text
