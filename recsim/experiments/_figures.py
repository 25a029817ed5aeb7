"""The figures of an experiment: returns, learning curves, and what happened over the episode."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recsim.experiments import _text, plots, statistics, summary

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recsim.experiments import results

__all__ = ["Panel", "curve_panels", "drawn", "episode_panels", "overview", "return_panels"]

_SHARE = "slate_share_of_"
_MOST_POINTS = 60
_LABEL_WIDTH = 26
_WIDTH, _HEIGHT = 4.6, 3.0

#: A line by agent: mean, low and high at some steps.
_Curve = tuple[np.ndarray, Mapping[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Panel:
    """A part of a figure that can stand alone.

    Attributes:
        title: what is to be seen.
        draw: draws it.
        height: in inches.
    """

    title: str
    draw: Callable[[Axes], None]
    height: float = _HEIGHT


def drawn(panel: Panel) -> Figure:
    """Returns a figure of a single panel, of a size that reads on a phone."""
    figure = plots.new_figure(_WIDTH, panel.height)
    panel.draw(figure.subplots())
    return figure


def overview(of_results: results.Results) -> Figure:
    """Returns a figure of the returns and the learning curves: a row a scenario."""
    rows: dict[str, list[Panel]] = {}
    for scenario, panel in (*return_panels(of_results), *curve_panels(of_results)):
        rows.setdefault(scenario, []).append(panel)
    if not rows:
        raise ValueError("There is nothing to draw: the results hold no returns and no curves.")
    columns = max(map(len, rows.values()))
    heights = [max(panel.height for panel in panels) for panels in rows.values()]
    figure = plots.new_figure(_WIDTH * columns, sum(heights))
    grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for row, panels in zip(grid, rows.values()):
        for axes, panel in zip(row, panels):
            panel.draw(axes)
            axes.set_title(panel.title, fontsize=10)
        for axes in row[len(panels) :]:
            axes.set_axis_off()
    return figure


def return_panels(of_results: results.Results) -> Iterator[tuple[str, Panel]]:
    """Yields for each scenario a panel of the returns: points with their intervals."""
    rows = of_results.summary()
    rows = rows[rows["measure"] == "return"]
    values = summary.scores(of_results.to_dataframe().query("measure == 'return'"))
    for scenario, of_scenario in rows.groupby("scenario", sort=False):
        records = of_scenario.to_dict("records")
        draw = functools.partial(
            _draw_returns, rows=records, scores=values[str(scenario), "return"]
        )
        lines = max(_label(row["agent"], row["settings"]).count("\n") for row in records)
        height = 1.1 + len(records) * max(0.38, 0.17 * (lines + 1.5))
        yield str(scenario), Panel(f"{scenario}: return", draw, height)


def _draw_returns(
    axes: Axes,
    rows: Sequence[Mapping[str, Any]],
    scores: Mapping[summary.Variant, pd.Series],
) -> None:
    for place, row in enumerate(rows):
        variant = summary.Variant(row["agent"], row["settings"])
        colour, marker, _ = _look(place)
        if row["over"] == "seeds":
            seeds = scores[variant].to_numpy()
            below = np.full(len(seeds), place + 0.2)
            axes.plot(seeds, below, "o", color=colour, alpha=0.5, markersize=3)
        plots.add_interval(axes, place, row, colour=colour, marker=marker)
    names = [_label(row["agent"], row["settings"]) for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=9)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"return, with 95% intervals over {rows[0]['over']}")
    axes.grid(axis="x", alpha=0.25)


def curve_panels(of_results: results.Results) -> Iterator[tuple[str, Panel]]:
    """Yields panels of the learning curves, of at most six lines each."""
    curves = of_results.curves
    if curves is None:
        return
    for scenario, of_scenario in curves.groupby("scenario", sort=False):
        if of_scenario["step"].nunique() < 2:
            continue  # That is a point.
        for panel in _line_panels(
            of_results,
            of_scenario,
            f"{scenario}: learning curves",
            "training steps",
            "return",
        ):
            yield str(scenario), panel


def episode_panels(of_results: results.Results) -> Iterator[tuple[str, Panel]]:
    """Yields panels of what happened over the episode: rates as lines, slates as areas."""
    steps = of_results.steps
    if steps is None:
        return
    for scenario, of_scenario in steps.groupby("scenario", sort=False):
        shares = of_scenario["measure"].str.startswith(_SHARE)
        for measure, of_measure in of_scenario[~shares].groupby("measure", sort=False):
            if np.ptp(of_measure["value"]) == 0.0:
                continue  # Such as clicks where every slate is clicked.
            title = f"{scenario}: {_text.shown_measure(str(measure))} over the episode"
            for panel in _line_panels(of_results, of_measure, title, "step", str(measure)):
                yield str(scenario), panel
        rows = of_scenario[shares]
        largest = _largest(rows)
        for (agent, settings), of_agent in rows.groupby(["agent", "settings"], sort=False):
            title = f"{scenario}: slates of {summary.Variant(agent, settings)}"
            draw = functools.partial(_draw_shares, rows=of_agent, largest=largest)
            yield str(scenario), Panel(title, draw)


def _line_panels(
    of_results: results.Results,
    rows: pd.DataFrame,
    title: str,
    x_label: str,
    measure: str,
) -> Iterator[Panel]:
    """Yields panels of a line for each agent, with its place's colour, at most six in each."""
    places = {
        variant: place for place, variant in enumerate(summary.variants(of_results.to_dataframe()))
    }
    lines = {
        summary.Variant(*names): _mean_curve(of_variant)
        for names, of_variant in rows.groupby(["agent", "settings"], sort=False)
    }
    for first in range(0, len(lines), plots.MOST_LINES):
        some = dict(list(lines.items())[first : first + plots.MOST_LINES])
        # Six agents in a row have six colours.
        looks = {variant: _look(places.get(variant, first)) for variant in some}
        if len({look[0] for look in looks.values()}) < len(looks):
            looks = {variant: _look(place) for place, variant in enumerate(some)}
        draw = functools.partial(
            _draw_lines, lines=some, looks=looks, x_label=x_label, measure=measure
        )
        number = f" ({first // plots.MOST_LINES + 1})" if len(lines) > plots.MOST_LINES else ""
        longest = max(_label(each.agent, each.settings).count("\n") + 1 for each in some)
        height = _HEIGHT + 0.15 * (longest + 0.5) * ((len(some) + 1) // 2)
        yield Panel(f"{title}{number}", draw, height)


def _draw_lines(
    axes: Axes,
    lines: Mapping[summary.Variant, _Curve],
    looks: Mapping[summary.Variant, tuple[str, str, Literal["-", "--"]]],
    x_label: str,
    measure: str,
) -> None:
    for variant, (steps, curve) in lines.items():
        colour, marker, dashes = looks[variant]
        label = _label(variant.agent, variant.settings)
        plots.add_curve(axes, steps, curve, colour=colour, label=label, opacity=0.18)
        line = axes.lines[-1]
        line.set_linestyle(dashes)
        line.set_marker(marker)
        line.set_markersize(4)
        if len(steps) > 5:
            line.set_markevery(0.2)
    axes.set_xlabel(x_label)
    _whole_steps(axes)
    axes.set_ylabel(_text.shown_measure(measure))
    if _text.is_rate(measure):
        _keep_within_one(axes, [curve["mean"] for _, curve in lines.values()])
        axes.yaxis.set_major_formatter(lambda rate, _: f"{rate:.0%}")
    axes.grid(alpha=0.25)
    _add_legend(axes, 2)


def _whole_steps(axes: Axes) -> None:
    """Has marks at whole steps alone."""
    axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    axes.locator_params(axis="x", nbins=6, integer=True)


def _keep_within_one(axes: Axes, means: Sequence[np.ndarray]) -> None:
    """Ends the axis of shares at 0 and 1: intervals of Student's know no bounds."""
    low, high = axes.get_ylim()
    most = max(float(np.max(mean)) for mean in means)
    axes.set_ylim(max(low, 0.0), min(high, 1.0) if most <= 1.0 else high)


def _add_legend(axes: Axes, columns: int) -> None:
    """Adds a legend below the axes and their labels."""
    from matplotlib import transforms

    below = transforms.ScaledTranslation(0.0, -0.5, axes.figure.dpi_scale_trans)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        bbox_transform=axes.transAxes + below,
        borderaxespad=0.0,
        ncols=columns,
        fontsize=9,
        frameon=False,
    )


def _largest(rows: pd.DataFrame) -> list[str]:
    """Returns the measures of the shares that have areas of their own, the same for all agents."""
    means = rows.groupby("measure", sort=False)["value"].mean()
    largest = list(means.sort_values(ascending=False, kind="stable").index)
    return largest if len(largest) <= plots.MOST_LINES else largest[: plots.MOST_LINES - 1]


def _draw_shares(axes: Axes, rows: pd.DataFrame, largest: Sequence[str]) -> None:
    """Draws what slates were made of as areas: the largest shares, and the others together."""
    means = rows.groupby(["measure", "step"], sort=False)["value"].mean().unstack("measure")
    means = means.sort_index().fillna(0.0)
    shown = [measure for measure in means.columns if measure in largest]
    parts = {measure.removeprefix(_SHARE).replace("_", " "): means[measure] for measure in shown}
    if others := [measure for measure in means.columns if measure not in shown]:
        parts[f"{len(others)} others"] = means[others].sum(axis=1)
    steps, values = _thinned(means.index.to_numpy(), np.stack([*map(np.asarray, parts.values())]))
    colours = [*plots.COLOURS[: len(shown)], plots.GREY]
    areas = axes.stackplot(steps, values, labels=list(parts), colors=colours)
    for area, hatch in zip(areas, ("", "//", "..", "\\\\", "xx")):
        area.set(hatch=hatch, edgecolor="white", linewidth=0.4)
    axes.set_ylim(0.0, 1.0)
    axes.set_xlim(steps[0], steps[-1] if len(steps) > 1 else steps[0] + 1)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_xlabel("step")
    _whole_steps(axes)
    axes.set_ylabel("share of the slate")
    _add_legend(axes, 3)


def _mean_curve(rows: pd.DataFrame) -> _Curve:
    """Returns the mean over seeds by step, with its interval where there are several.

    Where seeds have values at different steps, they are interpolated, and the curve has the steps
    that all of them reach.
    """
    by_seed = rows.pivot(index="step", columns="seed", values="value").sort_index()
    if by_seed.isna().to_numpy().any():
        between = by_seed.interpolate(method="index", limit_area="inside").dropna()
        by_seed = between if len(between) else by_seed.ffill().bfill()
    steps, values = _thinned(by_seed.index.to_numpy(), by_seed.to_numpy().T)
    if len(values) < 2:
        return steps, dict.fromkeys(("mean", "low", "high"), values[0])
    estimate = statistics.estimate(values)
    return steps, {name: np.asarray(estimate[name]) for name in ("mean", "low", "high")}


def _thinned(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns means over pieces of a curve that has more points than can be seen.

    Args:
        steps: shape (n_steps,).
        values: shape (n_curves, n_steps).
    """
    width = -(-len(steps) // _MOST_POINTS)
    firsts = np.arange(0, len(steps), width)
    numbers = np.diff([*firsts, len(steps)])
    return (
        np.add.reduceat(steps, firsts) / numbers,
        np.add.reduceat(values, firsts, axis=1) / numbers,
    )


def _look(place: int) -> tuple[str, str, Literal["-", "--"]]:
    """Returns colour, marker and dashes of the agent in a place."""
    which = place % plots.MOST_LINES
    return plots.COLOURS[which], plots.MARKERS[which], "--" if which % 2 else "-"


def _label(agent: str, settings: str) -> str:
    """Returns the name of an agent with its settings, in lines."""
    return "\n".join(_text.lines_of(str(summary.Variant(agent, settings)), _LABEL_WIDTH))
