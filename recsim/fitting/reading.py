"""Tables read as logs: CSV and Parquet files, data frames, episode logs of this library.

    >>> import pandas as pd
    >>> table = pd.DataFrame({
    ...     "user": ["ann", "ann", "bob", "bob"], "time": [5, 5, 7, 7], "position": [1, 2, 1, 2],
    ...     "item": ["tea", "milk", "tea", "rice"], "click": [0, 1, 0, 0]})
    >>> log = read(table)
    Columns: user, item, position, click, time (guessed by name).
    >>> log.num_slates, log.catalogue.ids[log.items[0]].tolist(), log.treatments
    (2, ['tea', 'milk'], ('Positions are counted from 1 in the table, from 0 here.',))

A file is read some rows at a time, so that it may be larger than memory: 40 to 130 bytes are needed
for each row, by the number of columns that are used. Where even these do not fit into memory the
table is refused, as are more than 2,147,483,647 rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recsim._internal import validation
from recsim.fitting import _assembly, _rows, _sources, tables
from recsim.fitting import columns as columns_lib

__all__ = ["read"]


def read(
    table: object,
    columns: columns_lib.Columns | Mapping[str, object] | None = None,
    *,
    kind: str = columns_lib.AUTO,
    item_table: object = None,
    user_table: object = None,
    session_gap: float | None = None,
    missing: str = "error",
    separator: str | None = None,
    column_names: Sequence[str] | None = None,
    tell: Callable[[str], object] | None = print,
    advance: Callable[[int], object] | None = None,
) -> tables.SlateLog | tables.RatingsLog:
    """Reads a table with a row for each impression, or each rating.

    Args:
        table: path of a CSV file (also compressed), a Parquet file or a folder of such, such as an
            episode log; a data frame of pandas or Polars; a table of pyarrow. A log is returned
            as it is.
        columns: which column means what, see :class:`recsim.fitting.columns.Columns`; a dictionary
            will do. What is not said is guessed by the names.
        kind: 'slates', 'ratings', or 'auto' to tell by the columns.
        item_table: a table with a row for each item: its name, topic and features.
        user_table: a table with a row for each user: features.
        session_gap: a user's session ends when so much time passes without a slate: seconds, or
            whatever times are in. Without it, sessions are those of the column ``session``.
        missing: what is done with rows in which something is missing that is needed: 'error' or
            'drop'.
        separator: what stands between entries of a CSV file; found in its first line by default.
        column_names: names of the columns of a CSV file without a header.
        tell: called with the sentence that says which column is taken for what; None for nothing.
        advance: called with numbers of rows that were read.

    Returns:
        A log of slates or of ratings. Its treatments say what was done with rows that are unusual.

    Raises:
        FileNotFoundError: if there is no such file.
        MemoryError: if the log does not fit into memory.
        TypeError: for something that is not a table.
        ValueError: for columns that are missing, doubled or ambiguous, and for values that do not
            fit their column, with its name and the row; for a log that teaches nothing.
    """
    if isinstance(table, tables.SlateLog | tables.RatingsLog):
        return table
    given = columns_lib.Columns.of(columns)
    columns_lib.check_choice("missing", missing, _rows.MISSING)
    if session_gap is not None:
        session_gap = validation.positive_float("session_gap", session_gap)
    source = _sources.open_source(table, separator, column_names)
    of_items = None if item_table is None else _sources.open_source(item_table, name="item_table")
    of_users = None if user_table is None else _sources.open_source(user_table, name="user_table")
    others = [name for other in (of_items, of_users) if other for name in other.columns]
    found = columns_lib.find(
        source.columns, columns_lib.without(given, source.columns, others), kind
    )
    _check_options(found, of_users, session_gap)
    if tell is not None:
        tell(found.text())
    rows = _rows.read_rows(source, found, missing, advance or (lambda number: None))
    item_order, catalogue = _rows.catalogue_of(rows, found, given, of_items)
    rows.recode("item", item_order)
    known: dict[str, Any] = {"catalogue": catalogue}
    if "user" in found:
        user_order, known["user_table"] = _rows.users_of(rows, found, given, of_users)
        rows.recode("user", user_order)
    if found.kind == "ratings":
        known |= _assembly.ratings_of(rows)
        return tables.RatingsLog(**known, treatments=tuple(rows.treatments))
    known |= _assembly.slates_of(rows, session_gap)
    return tables.SlateLog(**known, treatments=tuple(rows.treatments))


def _check_options(
    found: columns_lib.Found, users: _sources.Source | None, session_gap: float | None
) -> None:
    """Raises ValueError for options that would have no effect."""
    if users is not None and "user" not in found:
        raise ValueError("A table of users has no effect: the log has no column of users.")
    if session_gap is None:
        return
    if found.kind == "ratings":
        raise ValueError("session_gap has no effect on a table of ratings: leave it out.")
    for role in ("session", "user", "time"):
        if (role in found) == (role == "session"):
            raise ValueError(
                f"session_gap must be left out of a log {'with' if role in found else 'without'} "
                f"a column of {role}s."
            )
