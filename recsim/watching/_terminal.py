"""An episode as text: a step at a time, within the width of a terminal."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

import numpy as np

from recsim import types
from recsim.watching import _columns
from recsim.watching._leaves import Leaf

if TYPE_CHECKING:
    from recsim.watching.episode import Episode, Step

__all__ = ["show", "text"]

# How many rows of a table, and entries of an array, fit a terminal.
_MOST_ROWS = 12
_MOST_BARS = 20
_MOST_CHANGES = 3
_BAR_WIDTH = 14
_KEYS = "Enter next, b back, number of a step, a all that follow, q quit: "
_LEVELS, _ASCII_LEVELS = "▁▂▃▄▅▆▇█", "_.:-=+*#"
_PLAIN = str.maketrans(
    {**dict(zip(_LEVELS, _ASCII_LEVELS)), "→": ">", "…": "~", "✓": "x", "·": "-", "█": "#"}
)

Cells = list[str]


def show(episode: Episode, width: int, keys: TextIO | None) -> None:
    """Prints an episode.

    Args:
        episode: the episode.
        width: the length of a line.
        keys: what keys are read from, None to print all steps.
    """
    index, waits = 0, keys is not None
    while index < len(episode):
        _print(f"{text(episode, index, width)}\n")
        index += 1
        while waits and keys is not None and index < len(episode):
            print(_KEYS, end="", flush=True)
            line = keys.readline()
            key = line.strip().lower()
            if not line or key.startswith("q"):
                if not line:
                    print()
                return
            if key == "":
                break
            if key == "a":
                waits = False
            elif key == "b":
                index = max(index - 2, 0)
                break
            elif key.isdecimal() and 1 <= int(key) <= len(episode):
                index = int(key) - 1
                break
            else:
                _print(f"There is no key '{_printable(key)}', and no such step.")
    ended = "the limit on its steps" if episode.truncated else "the environment"
    _print(f"{episode.length}, return {_number(episode.total_reward)}; {ended} ended it.")


def text(episode: Episode, index: int, width: int) -> str:
    """Returns a step as lines of a width at most."""
    step = episode[index]
    so_far = sum(each.reward for each in episode.steps[: index + 1])
    lines = [
        f"Step {index + 1} of {len(episode)} · {_printable(episode.title)}",
        *_slate(step, width),
        f"Reward {_number(step.reward)}, return so far {_number(so_far)}",
        *_hidden_state(step, width),
        *_explanation(step.explanation, width),
        *_candidates(step, width),
    ]
    return "\n".join(line if len(line) <= width else f"{line[: width - 1]}…" for line in lines)


def _print(lines: str) -> None:
    """Prints lines, with plainer signs where the stream cannot show these."""
    encoding = sys.stdout.encoding or "ascii"
    try:
        lines.encode(encoding)
    except UnicodeEncodeError:
        lines = lines.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    print(lines)


def _slate(step: Step, width: int) -> Iterator[str]:
    """Yields the slate with the user's choice of it."""
    features = _cells_of(step.candidates, step.slate)
    of_responses = {
        name: column for name, column in step.responses.items() if name not in step.candidates
    }
    responses = _cells_of(of_responses, range(len(step.slate)))
    clicked = step.clicked or ()
    rows = []
    for position, candidate in enumerate(step.slate):
        rows.append(
            [
                "✓" if position in clicked else "",
                str(position + 1),
                str(candidate),
                *_chance(step.probabilities, position),
                *(column[position] for column in features.values()),
                *(column[position] for column in responses.values() if position < len(column)),
            ]
        )
    if step.probabilities is not None:
        chosen = "✓" if step.clicked == () else ""
        rows.append([chosen, "", "no click", *_chance(step.probabilities, len(step.slate))])
    chance = ["chance", ""] if step.probabilities is not None else []
    header = ["", "slate", "candidate", *chance, *features, *responses]
    yield from _table(header, rows, width, fixed=3)


def _chance(probabilities: np.ndarray | None, position: int) -> Cells:
    if probabilities is None:
        return []
    chance = probabilities[position]
    return [f"{chance:.1%}", ("█" * round(_BAR_WIDTH * chance)).ljust(_BAR_WIDTH)]


def _hidden_state(step: Step, width: int) -> Iterator[str]:
    """Yields what changed of the hidden state, then the rest in a line."""
    if not step.state:
        return
    yield "Hidden state of the user"
    unchanged = []
    for name, before in step.state.items():
        after = step.next_state.get(name)
        changes = [] if after is None else _changes(name, before, after)
        if changes is None:
            unchanged.append(f"{name} {_value(before)}")
        elif changes:
            yield from (f"  {change}" for change in changes)
        else:
            yield f"  {name}  {_value(before)}"
            yield f"  {'→'.rjust(len(name))}  {'none' if after is None else _value(after)}"
    if unchanged:
        yield from _wrapped(f"unchanged: {', '.join(unchanged)}", width)


def _changes(name: str, before: Leaf, after: Leaf) -> list[str] | None:
    """Returns lines on a few numbers that changed, no line where many did, None if none did."""
    if _equal(before, after):
        return None
    if np.ndim(before) == 0:
        return [f"{name}  {_change(before, after)}"]
    if np.shape(before) != np.shape(after):
        return []
    old, new = np.ravel(before), np.ravel(after)
    changed = np.flatnonzero(old != new)
    if len(changed) > _MOST_CHANGES:
        return []
    return [f"{name}[{i}]  {_change(old[i], new[i])}" for i in changed]


def _equal(before: Leaf, after: Leaf) -> bool:
    with_nan = all(np.asarray(value).dtype.kind == "f" for value in (before, after))
    return np.array_equal(before, after, equal_nan=with_nan)


def _change(before: Leaf, after: Leaf) -> str:
    """Returns two values that differ, in as many digits as show it."""
    texts = _value(before), _value(after)
    if texts[0] == texts[1] and not isinstance(before, str):
        digits = range(4, 17)
        texts = next(
            (
                pair
                for n in digits
                if (pair := (f"{before:.{n}g}", f"{after:.{n}g}")) and pair[0] != pair[1]
            ),
            texts,
        )
    return f"{texts[0]} → {texts[1]}"


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, initial_indent="  ", subsequent_indent="    ")


def _explanation(explanation: types.Explanation | None, width: int) -> Iterator[str]:
    """Yields what the agent went by, but for what it says of candidates."""
    if explanation is None:
        return
    yield from textwrap.wrap(f"Agent: {explanation.title}", width, subsequent_indent="  ")
    for table in explanation.tables:
        if table.of == "candidate":
            continue
        columns = [
            [_number(value) for value in np.asarray(column)] for column in table.columns.values()
        ]
        rows = [
            [_row_name(row), *(column[number] for column in columns)]
            for number, row in enumerate(table.rows)
        ]
        yield from _table([table.of, *table.columns], rows, width)
    if explanation.numbers:
        entries = explanation.numbers.items()
        yield from _wrapped(", ".join(f"{name} {_number(value)}" for name, value in entries), width)


def _row_name(row: object) -> str:
    return " ".join(map(str, row)) if isinstance(row, (tuple, list)) else str(row)


def _candidates(step: Step, width: int) -> Iterator[str]:
    """Yields the candidates with their features and what the agent says of them."""
    number = len(step.item_ids)
    yield f"Candidates ({number})"
    shown = list(range(number))
    if number > _MOST_ROWS:
        in_slate = set(step.slate)
        others = [index for index in range(number) if index not in in_slate]
        shown = sorted([*in_slate, *others[: max(0, _MOST_ROWS - len(in_slate))]])
    columns = _cells_of(step.candidates, shown)
    if step.item_names is not None:
        columns = {"name": [step.item_names[index] for index in shown], **columns}
    for name, values in _of_candidates(step.explanation).items():
        columns[name] = [_number(values.get(index, np.nan)) for index in shown]
    positions = {candidate: place + 1 for place, candidate in enumerate(step.slate)}
    rows = [
        [str(positions.get(index, "")), str(index), *(column[row] for column in columns.values())]
        for row, index in enumerate(shown)
    ]
    yield from _table(["slate", "candidate", *columns], rows, width, fixed=2)
    if len(shown) < number:
        yield f"  … and {number - len(shown)} more"


def _of_candidates(explanation: types.Explanation | None) -> dict[str, dict[int, float]]:
    """Returns what an agent says of candidates: numbers by column and index."""
    found: dict[str, dict[int, float]] = {}
    for table in explanation.tables if explanation is not None else ():
        if table.of == "candidate":
            for name, column in table.columns.items():
                values = np.asarray(column).tolist()
                found.setdefault(name, {}).update(zip(table.rows, values))  # type: ignore[arg-type]
    return found


def _cells_of(columns: Mapping[str, np.ndarray], rows: Sequence[int]) -> dict[str, Cells]:
    """Returns the cells of rows by the names of the columns."""
    cells = {}
    for column in _columns.columns_of([columns]):
        values, name = columns[column.name], column.name
        if column.kind == _columns.ONE_HOT:
            values, name = _columns.one_hot_index(values), f"{name} (one-hot)"
        cells[name] = [_value(values[row]) for row in rows if row < len(values)]
    return cells


def _table(header: Cells, rows: Sequence[Cells], width: int, *, fixed: int = 1) -> Iterator[str]:
    """Yields the lines of a table; columns that do not fit the width continue below.

    Args:
        header: the names of the columns.
        rows: their cells; a row may end early.
        width: the length of a line.
        fixed: how many of the first columns are repeated.
    """
    table = [[_printable(cell) for cell in row] for row in [header, *rows]]
    widths = [
        max(len(row[column]) for row in table if column < len(row)) for column in range(len(header))
    ]
    first = list(range(fixed))
    columns = first[:]
    for column in [*range(fixed, len(header)), None]:
        wide = column is not None and sum(widths[i] + 2 for i in [*columns, column]) > width
        if column is None or (wide and len(columns) > fixed):
            for row in table:
                cells = [row[i].rjust(widths[i]) for i in columns if i < len(row)]
                if len(cells) > fixed or columns == list(range(len(header))):
                    yield ("  " + "  ".join(cells)).rstrip()
            columns = first[:]
        if column is not None:
            columns.append(column)


def _value(value: Leaf | np.generic) -> str:
    """Returns a number, an array as bars, or text."""
    if isinstance(value, str):
        return _printable(value)
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        return str(value)
    if array.size == 1:
        return _number(array.item())
    flat = array.ravel().astype(np.float64)
    if flat.size <= 3:
        return f"[{' '.join(map(_number, flat))}]"
    more = f" … {flat.size - _MOST_BARS} more" if flat.size > _MOST_BARS else ""
    finite = flat[np.isfinite(flat)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    bars = _bars(flat[:_MOST_BARS], low, high)
    return f"{bars} ({_number(low)} to {_number(high)}){more}"


def _bars(values: np.ndarray, low: float, high: float) -> str:
    """Returns a bar for each number of a range, what is not finite at its ends."""
    span = high - low if high > low else 1.0
    places = np.nan_to_num((np.clip(values, low, high) - low) / span) * (len(_LEVELS) - 1)
    return "".join(_LEVELS[int(place)] for place in places.round())


def _number(value: float) -> str:
    """Returns a number in few digits."""
    number = float(value)
    if np.isnan(number):
        return "-"
    if number == int(number) if np.isfinite(number) else False:
        return f"{int(number):,}" if abs(number) < 1e9 else f"{number:.3g}"
    return f"{number:.3f}" if 1e-3 <= abs(number) < 1e3 else f"{number:.3g}"


def _printable(line: str) -> str:
    """Returns text of whoever made the environment as one that a terminal only shows."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in line
    )
