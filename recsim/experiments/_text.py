"""The results of an experiment as tables: of plain text, and as cells for other forms."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim import registry
from recsim.experiments import summary, tables

if TYPE_CHECKING:
    import pandas as pd

    from recsim.experiments import results

__all__ = [
    "all_tables",
    "failures",
    "is_rate",
    "lines_of",
    "markdown",
    "notes",
    "shown_measure",
    "text",
]

BEST, ALIKE = "*", "~"

_SHARE_OF_TOPIC = "click_share_of_topic_"
_MEAN_OF_SLATE = "slate_mean_of_"
_LABEL_WIDTH = 24
_SPEED = "steps_per_second"
# Measures in the order in which they are shown, others follow; with their short names. What is a
# rate is shown in percent.
_MEASURES = {
    "return": "return",
    "click_through_rate": "click rate",
    "click_quality": "quality",
}
_LAST = {"steps": "steps", "seconds": "seconds", _SPEED: "steps/s"}
_RATES = ("click_through_rate", _SHARE_OF_TOPIC, "slate_share_of_")


def text(
    of_results: results.Results, baseline: str | None, *, topics: bool = False, width: int = 80
) -> str:
    """Returns all tables, the notes and the failures, see :meth:`results.Results.table`."""
    shown = [
        tables.plain(_wrapped(table, width), width)
        for table in all_tables(of_results, baseline, topics=topics)
    ]
    lines = [
        line
        for note in (*notes(of_results), *failures(of_results))
        for line in textwrap.wrap(note, width, subsequent_indent="  ")
    ]
    return "\n\n".join([*shown, "\n".join(lines)] if lines else shown)


def markdown(of_results: results.Results, baseline: str | None, *, topics: bool = False) -> str:
    """Returns the same in Markdown, see :meth:`results.Results.to_markdown`."""
    shown = [tables.markdown(table) for table in all_tables(of_results, baseline, topics=topics)]
    # A star alone would begin a list or emphasis.
    lines = [
        f"- {note.replace(BEST, f'`{BEST}`').replace(f' {ALIKE} ', f' `{ALIKE}` ')}"
        for note in (*notes(of_results), *failures(of_results))
    ]
    return "\n\n".join([*shown, "\n".join(lines)] if lines else shown)


def all_tables(
    of_results: results.Results,
    baseline: str | None = None,
    *,
    topics: bool = False,
    times: bool = True,
) -> Iterator[tables.Table]:
    """Yields a table of means for each scenario, one of differences, and one over scenarios."""
    rows = of_results.summary(baseline)
    if not times:
        rows = rows[~rows["measure"].isin(summary.TIMES)]
    for scenario, of_scenario in rows.groupby("scenario", sort=False):
        yield _means(str(scenario), of_scenario, topics)
        if (differences := _differences(str(scenario), of_scenario)) is not None:
            yield differences
    if len(over_scenarios := of_results.overall(baseline)):
        yield _overall(over_scenarios, rows["baseline"].iloc[0])


def is_rate(measure: str) -> bool:
    """Returns whether a measure is a share, and shown in percent."""
    return measure.startswith(_RATES)


def shown_measure(measure: str) -> str:
    """Returns what a measure is called in tables and figures."""
    if measure.startswith(_SHARE_OF_TOPIC):
        return f"topic {measure.removeprefix(_SHARE_OF_TOPIC)}"
    if measure.startswith(_MEAN_OF_SLATE):
        return f"{measure.removeprefix(_MEAN_OF_SLATE).replace('_', ' ')} of slates"
    return {**_MEASURES, **_LAST}.get(measure, measure.replace("_", " "))


def lines_of(agent: str, width: int, indent: str = "") -> list[str]:
    """Returns the name of an agent with its settings in lines that break between its words.

    Args:
        agent: the name.
        width: the greatest length of a line.
        indent: what all lines but the first begin with.
    """
    room = width - len(indent)
    parts: list[str] = []
    for word in agent.split(" "):
        # Long words break after punctuation, but not within numbers.
        pieces = re.split(r"(?<=[_=,/])|(?<=[.])(?!\d)", word) if len(word) > room else [word]
        parts += [
            piece[first : first + room] for piece in pieces for first in range(0, len(piece), room)
        ]
        parts.append(" ")
    lines, line = [], ""
    for part in parts[:-1]:
        if line.strip() and len(line + part) > width:
            lines.append(line.rstrip())
            line = indent
        line += part if line.strip() else part.lstrip()
    return [*lines, line.rstrip()]


def _means(scenario: str, rows: pd.DataFrame, topics: bool) -> tables.Table:
    """Returns the means of a scenario: a row an agent, a column a measure, speed last."""
    agents = _variants(rows)
    cells: dict[str, Mapping[summary.Variant, str]] = {}
    for measure in _in_order(rows["measure"].unique(), topics):
        of_measure = rows[rows["measure"] == measure]
        if measure == "steps" and np.ptp(of_measure[["mean", "low", "high"]].stack()) == 0.0:
            continue  # All episodes are of one length, which tells nothing of the agents.
        style = _style(measure, of_measure, "high")
        marks = len(of_measure) > 1
        cells[shown_measure(measure) + " %" * is_rate(measure)] = {
            _variant(row): _interval(row, style) + (_mark(row) if marks else "")
            for row in of_measure.to_dict("records")
        }
    return tables.Table(
        f"{scenario}: {_sample(rows)}",
        ["agent", *cells],
        [[str(agent), *(of.get(agent, "–") for of in cells.values())] for agent in agents],
    )


def _in_order(measures: Sequence[str], topics: bool) -> list[str]:
    """Returns the measures of a table: the known ones first, topics if asked for, speed last."""
    first = [measure for measure in _MEASURES if measure in measures]
    last = [measure for measure in _LAST if measure in measures]
    others = [
        measure
        for measure in measures
        if measure not in (*first, *last) and (topics or not measure.startswith(_SHARE_OF_TOPIC))
    ]
    return [*first, *others, *last]


def _sample(rows: pd.DataFrame) -> str:
    seeds, users = rows["seeds"].max(), rows["users"].max()
    return f"{_count(seeds, 'seed')}, {_count(users, 'user')}" + " each" * bool(seeds > 1)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def _differences(scenario: str, rows: pd.DataFrame) -> tables.Table | None:
    """Returns the differences of the returns to the baseline's, None if there are none."""
    rows = rows[(rows["measure"] == "return") & rows["difference"].notna()]
    if rows.empty:
        return None
    style = _style("return", rows, "difference_high", "difference")
    probability = bool(rows["improvement"].notna().any())
    over = rows["over"].iloc[0].removesuffix("s")
    return tables.Table(
        f"Return above that of {rows['baseline'].iloc[0]}, paired by {over} ({scenario}):",
        ["agent", "difference", "95% interval", *["P(better)", "95% interval"] * probability],
        [
            [
                str(_variant(row)),
                style(row["difference"], sign=True),
                _range(row, "difference", lambda value: style(value, sign=True)),
                *[_two_digits(row["improvement"]), _range(row, "improvement", _two_digits)]
                * probability,
            ]
            for row in rows.to_dict("records")
        ],
    )


def _overall(rows: pd.DataFrame, baseline: str) -> tables.Table:
    ratios = bool(rows["ratio"].notna().any())
    return tables.Table(
        f"Returns beside those of {baseline}, all scenarios together:",
        ["agent", "P(better)", "95% interval", *["IQM of ratios", "95% interval"] * ratios],
        [
            [
                str(_variant(row)),
                _two_digits(row["improvement"]),
                _range(row, "improvement", _two_digits),
                *[_two_digits(row["ratio"]), _range(row, "ratio", _two_digits)] * ratios,
            ]
            for row in rows.to_dict("records")
        ],
    )


@dataclasses.dataclass(frozen=True)
class _Style:
    """How the numbers of a column are written.

    Attributes:
        decimals: digits after the point.
        percent: whether they are shares, shown in percent: the column's name says so.
    """

    decimals: int
    percent: bool = False

    def __call__(self, value: float, *, sign: bool = False) -> str:
        """Returns a number as text, "–" for NaN."""
        if math.isnan(value):
            return "–"
        return f"{value * (100 if self.percent else 1):{'+' if sign else ''},.{self.decimals}f}"


def _style(measure: str, rows: pd.DataFrame, high: str, mean: str = "mean") -> _Style:
    """Returns a style in which a usual interval's half-width has two digits, or one from 5 on."""
    percent = is_rate(measure)
    if measure == _SPEED:
        return _Style(0)
    half_widths = (rows[high] - rows[mean]).to_numpy()
    half_widths = half_widths[half_widths > 0.0]
    if len(half_widths):
        usual = float(np.median(half_widths))
        magnitude = math.floor(math.log10(usual))
        decimals = -magnitude + (usual < 5 * 10.0**magnitude)
    else:
        largest = float(rows[mean].abs().max())
        decimals = 2 - math.floor(math.log10(largest)) if largest > 0.0 else 1
    return _Style(min(max(decimals - 2 * percent, 0), 4), percent)


def _interval(row: Mapping[str, Any], style: _Style) -> str:
    """Returns mean ± half the interval's width; a speed, and what is constant, has no interval."""
    mean, half_width = row["mean"], row["high"] - row["mean"]
    if math.isnan(half_width) or half_width == 0.0 or row["measure"] in summary.TIMES:
        return style(mean)
    return f"{style(mean)} ± {style(half_width)}"


def _mark(row: Mapping[str, object]) -> str:
    """Returns the mark of the best and of what cannot be told apart from it, of equal length."""
    if row["measure"] not in summary.HIGHER_IS_BETTER:
        return ""
    return f" {BEST if row['best'] else ALIKE if row['alike'] else ' '}"


def _variant(row: Mapping[str, str]) -> summary.Variant:
    return summary.Variant(row["agent"], row["settings"])


def _variants(rows: pd.DataFrame) -> list[summary.Variant]:
    return summary.variants(rows)


def _wrapped(table: tables.Table, width: int) -> tables.Table:
    """Returns a table whose title and names of rows take as many lines as they need."""
    rows = []
    for name, *cells in table.rows:
        first, *more = lines_of(name, _LABEL_WIDTH, "  ")
        rows += [[first, *cells], *([line, *[""] * len(cells)] for line in more)]
    return dataclasses.replace(table, title=textwrap.fill(table.title, width), rows=rows)


def notes(of_results: results.Results) -> list[str]:
    """Returns what there is to say about the tables, a sentence or two each."""
    rows = of_results.summary()
    if rows.empty:
        return []
    found = []
    seeds = int(rows["seeds"].max())
    if seeds > 1:
        found.append(
            "± half the 95% interval of the mean over seeds, each with the mean of its users."
        )
    elif rows["low"].notna().any():
        found.append("± half the 95% interval of the mean over users.")
    if rows["alike"].any() or len(_variants(rows)) > 1:
        found.append(
            f"{BEST} the best; {ALIKE} cannot be told apart from it (paired t-tests, 5%, Holm)."
        )
    if seeds == 1:
        found.append(
            "One seed is too few to say anything of the next: intervals are over users, and an "
            "agent trained with another seed may differ by more than they say."
        )
    elif seeds < summary.FEW_SEEDS:
        found.append(
            f"{seeds} seeds are few: intervals rest on the normal distribution, and there are "
            f"none by bootstrap; ask for {summary.FEW_SEEDS} seeds or more."
        )
    if rows["improvement"].notna().any():
        found.append(
            "P(better): the probability that a run's return is above one of the baseline's."
        )
    reference = rows["baseline"].iloc[0]
    if reference not in map(str, _variants(rows)):
        found.append(
            f"{reference}, the baseline, has no results: nothing is compared with it. Name another "
            "as baseline, or run the same command again."
        )
    found += _trainings(of_results.metadata.provenance.get("tasks"))
    for scenario in rows["scenario"].unique():
        with contextlib.suppress(ValueError):
            found.append(f"Return in {scenario}: {registry.environment_entry(scenario).reward}.")
    return found


def _trainings(tasks: object) -> list[str]:
    """Returns what the record of an experiment's tasks says of trainings, a line an agent."""
    steps: dict[str, set[int]] = {}
    without_update: set[str] = set()
    for task in tasks.values() if isinstance(tasks, Mapping) else ():
        settings = task.get("settings", {})
        for agent, number in settings.get("training_steps", {}).items():
            steps.setdefault(agent, set()).add(number)
            if settings["training_updates"][agent] == 0:
                without_update.add(agent)
    lines = []
    for agent, numbers in steps.items():
        how_many = " to ".join(f"{number:,}" for number in sorted({min(numbers), max(numbers)}))
        if agent in without_update:
            lines.append(f"{agent} has learned nothing: it made no update in {how_many} steps.")
        else:
            lines.append(f"{agent} was trained for {how_many} steps with other users.")
    return lines


def failures(of_results: results.Results) -> list[str]:
    """Returns a line for each task that failed, after one that says how many did."""
    failed = of_results.metadata.failures
    if not failed:
        return []
    return [
        f"{_count(len(failed), 'task')} failed, and {'is' if len(failed) == 1 else 'are'} not in "
        "the tables:",
        *(f"{each.get('task', 'a task')}: {each.get('error', 'unknown')}" for each in failed),
    ]


def _two_digits(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _range(row: Mapping[str, float], name: str, style: Callable[[float], str]) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "–" if math.isnan(low) else f"{style(low)} to {style(high)}"
