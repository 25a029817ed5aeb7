"""Rows of a table put together to slates, or in the order of ratings."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from recsim._internal import resources
from recsim.fitting import _rows

__all__ = ["ratings_of", "slates_of"]

# Bytes of a position of a slate in the arrays of a log.
_BYTES_OF_CELL = 15


@dataclasses.dataclass
class _Slates:
    """Slates in the order of the log, and the rows that they are made of.

    Attributes:
        rows: indices of rows, those of a slate one after another in the order of positions.
        lengths: number of rows of each slate.
        users: code of each slate's user; None without users.
        sessions: number of each slate's session.
        steps: number of each slate in its session.
        has_sessions: whether the log says where sessions begin.
    """

    rows: np.ndarray
    lengths: np.ndarray
    users: np.ndarray | None
    sessions: np.ndarray
    steps: np.ndarray
    has_sessions: bool


def slates_of(rows: _rows.Rows, session_gap: float | None) -> dict[str, Any]:
    """Returns the arrays of a log of slates, with codes for items and users.

    Args:
        rows: the rows of the table, whose treatments are added to.
        session_gap: so much time after a slate the next one begins a session; None where sessions
            are not told by times.

    Raises:
        ValueError: for positions that are doubled in a slate, and logs that teach nothing.
    """
    arrays = rows.arrays
    clicks = _clicks(rows)
    if "position" in arrays:
        _count_from_0(rows)
    slates = _grouped(rows, session_gap)
    shape = len(slates.lengths), int(slates.lengths.max())
    resources.check_memory(
        shape[0] * shape[1] * _BYTES_OF_CELL,
        f"{shape[0]:,} slates, of which the longest has {shape[1]:,} items,",
        "name the column that tells which rows are a slate (slate), or take a sample",
    )
    at = np.repeat(np.arange(shape[0]), slates.lengths)
    starts = np.cumsum(slates.lengths) - slates.lengths
    within = np.arange(len(at)) - starts[at]

    def table(values: np.ndarray, fill: float, dtype: type[np.generic]) -> np.ndarray:
        result = np.full(shape, fill, dtype)
        result[at, within] = values[slates.rows]
        return result

    positions = np.broadcast_to(np.arange(shape[1], dtype=np.int16), shape)
    if "position" in arrays:
        positions = table(arrays["position"], 0, np.int16)
    found: dict[str, Any] = {
        "items": table(arrays["item"], -1, np.int32),
        "clicks": table(clicks, False, np.bool_),
        "positions": positions,
        "users": slates.users,
        "sessions": slates.sessions,
        "steps": slates.steps,
        "has_sessions": slates.has_sessions,
    }
    if (propensities := _propensities(rows)) is not None:
        found["propensities"] = table(propensities, 1.0, np.float32)
    for role, name in (("rating", "rating"), ("duration", "time")):
        if role in arrays:
            values = np.where(clicks, arrays[role], np.float32(np.nan))
            found["values"] = table(values, np.nan, np.float32)
            found["value_name"] = name
            if (nothing := int((clicks & np.isnan(values)).sum())) > 0:
                rows.treatments.append(
                    f"{nothing:,} clicks have no {role}: their values are unknown."
                )
    if slates.users is not None:
        _note_single_impressions(rows, slates)
    return found


def _clicks(rows: _rows.Rows) -> np.ndarray:
    """Returns which rows were clicked."""
    arrays = rows.arrays
    if "click" in arrays:
        clicks = arrays["click"]
    elif "rating" in arrays:
        clicks = ~np.isnan(arrays["rating"])
        rows.treatments.append("What has a rating counts as clicked.")
    else:
        with np.errstate(invalid="ignore"):
            clicks = arrays["duration"] > 0
        rows.treatments.append("What has a duration above 0 counts as clicked.")
    number = int(clicks.sum())
    if number in (0, len(clicks)):
        what = "none" if number == 0 else "all"
        raise ValueError(
            f"The table must have items that were clicked and items that were not, got {what} of "
            f"{len(clicks):,} clicked: a log of slates has a row for everything that was shown."
        )
    if len(rows.items) < 2:
        raise ValueError("The table must have at least two items, got one.")
    return clicks


def _count_from_0(rows: _rows.Rows) -> None:
    """Lets positions begin with 0."""
    positions = rows.arrays["position"]
    if positions.min() > 0:
        rows.arrays["position"] = positions - np.int16(1)
        rows.treatments.append("Positions are counted from 1 in the table, from 0 here.")


def _propensities(rows: _rows.Rows) -> np.ndarray | None:
    """Returns the propensities, which must be known of all rows or of none."""
    propensities = rows.arrays.get("propensity")
    if propensities is None:
        return None
    missing = np.isnan(propensities)
    if missing.all():
        rows.treatments.append("The column of propensities is empty: it is left out.")
        return None
    if missing.any():
        raise ValueError(
            "The column of propensities must say all of them, or none, got nothing in "
            f"{rows.row(int(missing.argmax()))} and {int(missing.sum()) - 1:,} other rows: fill "
            "them in, or leave the column out (propensity=None, on the command line none)."
        )
    return propensities


def _grouped(rows: _rows.Rows, session_gap: float | None) -> _Slates:
    """Returns which rows are a slate, and the order of slates."""
    arrays = rows.arrays
    user, session = arrays.get("user"), arrays.get("session")
    if user is None and session is not None:
        user = np.unique(session, return_inverse=True)[1].reshape(-1).astype(np.int32)
        rows.treatments.append("The table has no users: each session counts as a user.")
    key = arrays.get("slate")
    if key is None and user is not None:
        key = arrays.get("step", arrays.get("time"))
    if key is None and "position" in arrays:
        key = _counted(rows, [values for values in (user, session) if values is not None])
    number = len(rows)
    order = np.arange(number)
    starts = np.ones(number, np.bool_)
    if key is not None:
        groups = [values for values in (user, session, key) if values is not None]
        position = arrays.get("position")
        keys = [*groups, *([] if position is None else [position])]
        order = np.lexsort(keys[::-1])
        starts[1:] = False
        for values in groups:
            starts[1:] |= (
                np.diff(values[order]) != 0
                if values.dtype.kind != "u"
                else (values[order][1:] != values[order][:-1])
            )
    first = np.flatnonzero(starts)
    lengths = np.diff(np.append(first, number))
    _check_positions(rows, order, starts, told=key is not None)
    return _in_order(rows, order, first, lengths, user, session, session_gap)


def _counted(rows: _rows.Rows, groups: list[np.ndarray]) -> np.ndarray | None:
    """Returns a number for each row's slate where positions tell: they count up from 0, row by row.

    Args:
        rows: the rows, which nothing else says of which slate they are.
        groups: the users, and the sessions, where there are some: slates are of one of each.

    Returns:
        Integers of shape (n,); None where one position does not fit, and rows are slates by
        themselves.
    """
    position = rows.arrays["position"]
    order = np.lexsort(groups) if groups else np.arange(len(position))
    in_order = position[order]
    begins = in_order == 0
    others = np.ones(len(position), np.bool_)
    others[1:] = np.diff(in_order) != 1
    for values in groups:
        others[1:] |= _differs(values[order])
    if (others & ~begins).any():
        rows.treatments.append(
            "Nothing says which rows are a slate, and positions do not count up row by row: each "
            "row is a slate by itself. Name the column that tells (slate, step, time)."
        )
        return None
    if not begins.all():
        rows.treatments.append(
            "Rows whose positions count up are a slate: nothing else says which rows are one."
        )
    slates = np.empty(len(position), np.int64)
    slates[order] = np.cumsum(begins)
    return slates


def _check_positions(
    rows: _rows.Rows, order: np.ndarray, starts: np.ndarray, *, told: bool
) -> None:
    """Refuses two items at a position; tells of gaps, and of positions that nobody wrote down."""
    position = rows.arrays.get("position")
    several = not starts.all()
    if position is None:
        rows.treatments.append(
            "The table has no positions: "
            + ("the order of its rows is the order of a slate." if several else "all are 0.")
        )
        return
    if not told:
        return
    sorted_ = position[order]
    doubled = ~starts[1:] & (np.diff(sorted_) == 0)
    if doubled.any():
        place = int(doubled.argmax())
        one, other = sorted(order[place : place + 2])
        raise ValueError(
            f"A slate must have one item at a position, got two at position {sorted_[place]} in "
            f"{rows.row(one)} and {rows.row(other)} (counted from 0): name the column that tells "
            "which rows are a slate (slate, or session and step), or drop the doubled rows."
        )
    index = np.arange(len(order))
    within = index - np.maximum.accumulate(np.where(starts, index, 0))
    slate = np.cumsum(starts) - 1
    gaps = np.unique(slate[sorted_ != within])
    if len(gaps):
        rows.treatments.append(
            f"{len(gaps):,} of {slate[-1] + 1:,} slates have gaps in their positions: what is "
            "there stays at its position."
        )


def _in_order(
    rows: _rows.Rows,
    order: np.ndarray,
    first: np.ndarray,
    lengths: np.ndarray,
    user: np.ndarray | None,
    session: np.ndarray | None,
    session_gap: float | None,
) -> _Slates:
    """Returns the slates by users, sessions and steps."""
    arrays = rows.arrays
    first_row = np.minimum.reduceat(order, first) if len(first) < len(order) else order
    if user is None:
        by_row = np.argsort(first_row, kind="stable")
        each = np.arange(len(first), dtype=np.int32)
        picked = _rows_of_slates(order, first, lengths, by_row)
        return _Slates(picked, lengths[by_row], None, each, np.zeros_like(each), False)

    def of_slates(role: str) -> np.ndarray | None:
        values = arrays.get(role)
        if values is None:
            return None
        values = values[order]
        return np.minimum.reduceat(values, first) if len(first) < len(order) else values

    of_user = user[order[first]]
    time, step = of_slates("time"), of_slates("step")
    when = first_row if time is None else time
    if session is None:
        of_session = np.zeros(len(first), np.int64)
        if session_gap is not None:
            of_session = _by_gaps(of_user, time, session_gap)
    else:
        of_session = session[order[first]]
    # Sessions of a user in the order in which they begin.
    place = step if step is not None else when
    by_session = np.lexsort((when, of_session, of_user))
    begins = np.r_[True, _differs(of_user[by_session]) | _differs(of_session[by_session])]
    begin = np.empty(len(first), when.dtype)
    begin[by_session] = when[by_session][np.flatnonzero(begins)][np.cumsum(begins) - 1]
    final = np.lexsort((first_row, place, of_session, begin, of_user))
    begins = np.r_[True, _differs(of_user[final]) | _differs(of_session[final])]
    sessions = np.cumsum(begins, dtype=np.int32) - np.int32(1)
    index = np.arange(len(first))
    steps = index - np.maximum.accumulate(np.where(begins, index, 0))
    _note_order(rows, begins, sessions, steps, first_row[final], _at(time, final), _at(step, final))
    return _Slates(
        _rows_of_slates(order, first, lengths, final),
        lengths[final],
        of_user[final],
        sessions,
        steps.astype(np.int32),
        session is not None or session_gap is not None,
    )


def _note_order(
    rows: _rows.Rows,
    begins: np.ndarray,
    sessions: np.ndarray,
    steps: np.ndarray,
    first_row: np.ndarray,
    time: np.ndarray | None,
    step: np.ndarray | None,
) -> None:
    """Tells of times out of order, and of steps that are missing."""
    inside = ~begins[1:]
    if step is not None:
        gaps = len(np.unique(sessions[1:][inside & (np.diff(step) != 1)]))
        if gaps:
            rows.treatments.append(
                f"{gaps:,} of {sessions[-1] + 1:,} sessions lack steps: their slates are counted "
                "without gaps."
            )
        if time is not None:
            back = len(np.unique(sessions[1:][inside & (np.diff(time) < 0)]))
            if back:
                rows.treatments.append(
                    f"{back:,} sessions have times that go back from one step to the next: steps "
                    "count."
                )
    elif time is not None:
        unsorted = len(np.unique(sessions[1:][inside & (np.diff(first_row) < 0)]))
        if unsorted:
            rows.treatments.append(
                f"The rows of {unsorted:,} sessions were not in the order of time: they were "
                "sorted."
            )
    elif len(steps) > 1 and steps.max() > 0:
        rows.treatments.append(
            "The table has neither times nor steps: the order of its rows is the order of slates."
        )


def _by_gaps(users: np.ndarray, times: np.ndarray | None, gap: float) -> np.ndarray:
    """Returns a number for each slate's session: a new one after a pause of a user."""
    if times is None:
        raise ValueError("session_gap needs a column of times, and the table has none.")
    order = np.lexsort((times, users))
    new = np.r_[True, _differs(users[order]) | (np.diff(times[order]) > gap)]
    sessions = np.empty(len(users), np.int64)
    sessions[order] = np.cumsum(new)
    return sessions


def _rows_of_slates(
    order: np.ndarray, first: np.ndarray, lengths: np.ndarray, slates: np.ndarray
) -> np.ndarray:
    """Returns the rows of slates, in another order of slates."""
    of_slates = lengths[slates]
    starts = np.cumsum(of_slates) - of_slates
    places = np.arange(of_slates.sum()) + np.repeat(first[slates] - starts, of_slates)
    rows: np.ndarray = order[places]
    return rows


def _note_single_impressions(rows: _rows.Rows, slates: _Slates) -> None:
    assert slates.users is not None
    impressions = np.bincount(slates.users, slates.lengths)
    single = int((impressions == 1).sum())
    if single:
        rows.treatments.append(
            f"{single:,} of {int((impressions > 0).sum()):,} users have one impression, which says "
            "little of them: they come out close to the average user."
        )


def ratings_of(rows: _rows.Rows) -> dict[str, Any]:
    """Returns the arrays of a log of ratings, with codes for items and users, sorted by users.

    Raises:
        ValueError: for logs that teach nothing.
    """
    arrays = rows.arrays
    users, items, ratings = arrays["user"], arrays["item"], arrays["rating"]
    times = arrays.get("time")
    if ratings.min() == ratings.max():
        raise ValueError(
            f"The ratings must not all be the same, got {ratings[0]:g} in {len(ratings):,} rows."
        )
    if len(rows.items) < 2:
        raise ValueError("The table must have at least two items, got one.")
    when = [] if times is None else [times]
    order = np.lexsort((*when, items, users))  # Stable: of equal times the last row is last.
    last = np.r_[_differs(users[order]) | _differs(items[order]), True]
    if (doubled := int((~last).sum())) > 0:
        rows.treatments.append(
            f"{doubled:,} ratings were followed by another of the same user and item: the last one "
            "counts."
        )
    order = order[last]
    if times is not None:
        order = order[np.lexsort((times[order], users[order]))]
    if (single := int((np.bincount(users[order]) == 1).sum())) > 0:
        rows.treatments.append(
            f"{single:,} of {len(rows.users):,} users have one rating, which says little of them: "
            "they come out close to the average user."
        )
    return {
        "users": users[order],
        "items": items[order],
        "ratings": ratings[order],
        "times": _at(times, order),
    }


def _differs(values: np.ndarray) -> np.ndarray:
    """Returns whether entries are others than those before them."""
    different: np.ndarray = values[1:] != values[:-1]
    return different


def _at(values: np.ndarray | None, indices: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[indices]
