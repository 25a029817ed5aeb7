"""The rows of a table as arrays, one entry a row, and what is known of items and users."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from recsim._internal import resources
from recsim.fitting import _conversion, _sources, tables
from recsim.fitting import columns as columns_lib

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MISSING", "MOST_POSITIONS", "Advance", "Rows", "catalogue_of", "read_rows", "users_of"]

#: What may be done with rows in which something is missing.
MISSING = ("error", "drop")
#: Positions are below this.
MOST_POSITIONS = 1000
#: The largest number of rows that can be numbered.
_MOST_ROWS = 2**31 - 1

# Bytes that a row needs for what a column means, the copy that is sorted included.
_BYTES = {
    "user": 8,
    "item": 8,
    "position": 4,
    "click": 2,
    "rating": 8,
    "duration": 8,
    "propensity": 8,
    "time": 16,
    "session": 16,
    "step": 16,
    "slate": 16,
}
_BYTES_OF_ORDER = 16
#: What every row must have: else it is refused or dropped.
_REQUIRED = ("user", "item", "position", "click", "time", "session", "step", "slate")

Advance = Callable[[int], object]


@dataclasses.dataclass
class Rows:
    """The rows of a table.

    Attributes:
        arrays: an array for each meaning that the table has a column of: codes of users and items,
            numbers, and hashes of sessions and slates.
        users: the labels of users.
        items: the labels of items.
        of_items: what columns say of items, by what they mean.
        of_users: the features of users.
        source: where the rows come from.
        kept: indices in the table of the rows that were not dropped; None for all.
        treatments: sentences on what was done.
    """

    arrays: dict[str, np.ndarray]
    users: _conversion.Labels
    items: _conversion.Labels
    of_items: dict[str, list[_conversion.ValuesByLabel]]
    of_users: list[_conversion.ValuesByLabel]
    source: _sources.Source
    kept: np.ndarray | None
    treatments: list[str]

    def __len__(self) -> int:
        return len(self.arrays["item"])

    def recode(self, role: str, order: np.ndarray) -> None:
        """Replaces the codes of items or users by their places in an order of codes."""
        places = np.empty(len(order), np.int32)
        places[order] = np.arange(len(order))
        self.arrays[role] = places[self.arrays[role]]

    def row(self, index: int) -> str:
        """Returns how a message calls the row of an index."""
        return self.source.row(int(index if self.kept is None else self.kept[index]))


def read_rows(
    source: _sources.Source, found: columns_lib.Found, missing: str, advance: Advance
) -> Rows:
    """Reads a table, some rows at a time.

    Args:
        source: the table.
        found: its columns.
        missing: of :data:`MISSING`: 'drop' leaves rows out in which something is missing.
        advance: called with the number of rows that were read.

    Raises:
        MemoryError: for a table whose arrays do not fit into memory.
        ValueError: for what does not fit its column, and a table without rows.
    """
    _check_size(source.num_rows or 0, found)
    rows = Rows(
        {},
        _conversion.Labels(),
        _conversion.Labels(),
        _values_of_items(found),
        [],
        source,
        None,
        [],
    )
    rows.of_users = [_conversion.ValuesByLabel(name, "users") for name in found.user_features]
    parts: dict[str, list[np.ndarray]] = {}
    kept: list[np.ndarray] = []
    number = 0
    for batch in source.batches(found.needed):
        start, number = number, number + batch.num_rows
        _check_size(number, found)
        indices = _rows_to_keep(batch, found, source, start, missing)
        if len(indices) < batch.num_rows:
            batch = batch.take(_arrow(indices - start))
        kept.append(indices)
        if len(indices):
            for role, values in _converted(batch, found, source, indices, rows).items():
                parts.setdefault(role, []).append(values)
        advance(batch.num_rows)
    if not parts:
        raise ValueError(f"{source.name} has no row{' that is complete' * bool(number)}.")
    for role in list(parts):
        rows.arrays[role] = np.concatenate(parts.pop(role))
    if (dropped := number - len(rows)) > 0:
        rows.kept = np.concatenate(kept)
        rows.treatments.append(
            f"{dropped:,} of {number:,} rows were dropped, in which something is missing."
        )
    return rows


def catalogue_of(
    rows: Rows,
    found: columns_lib.Found,
    columns: columns_lib.Columns,
    table: _sources.Source | None,
) -> tuple[np.ndarray, tables.Catalogue]:
    """Returns the codes of items in the order of the catalogue, and the catalogue.

    Args:
        rows: the rows of the log, whose treatments are added to.
        found: its columns.
        columns: what the caller says of columns.
        table: a table of items; None if there is none.
    """
    order = rows.items.order()
    of_items = rows.of_items
    explicit = columns.item_features != columns_lib.AUTO
    if table is not None:
        described = _described(rows, rows.items, table, "item", found, columns)
        of_items = {
            role: [*described[role], *of_items[role]]
            if role == "item_features"
            else described[role] or of_items[role]
            for role in of_items
        }
    features, names = _features(of_items["item_features"], order, explicit, rows.treatments)
    topics: np.ndarray | None = None
    topic_names: tuple[str, ...] = ()
    if of_items["topic"]:
        labels, remarks = of_items["topic"][0].labels(order)
        rows.treatments += remarks
        if (nothing := int((labels == "").sum())) > 0:
            rows.treatments.append(f"{nothing:,} items have no topic: they share one without name.")
        topics, topic_names = _coded(labels)
    titles: np.ndarray | None = None
    if of_items["item_name"]:
        titles, remarks = of_items["item_name"][0].labels(order)
        rows.treatments += remarks
        titles = np.where(titles == "", rows.items.texts()[order], titles)
    catalogue = tables.Catalogue(
        rows.items.texts()[order], features, names, topics, topic_names, titles
    )
    return order, catalogue


def users_of(
    rows: Rows,
    found: columns_lib.Found,
    columns: columns_lib.Columns,
    table: _sources.Source | None,
) -> tuple[np.ndarray, tables.Users]:
    """Returns the codes of users in their order, and what is known of them."""
    order = rows.users.order()
    of_users = rows.of_users
    if table is not None:
        described = _described(rows, rows.users, table, "user", found, columns)
        of_users = [*described["user_features"], *of_users]
    explicit = columns.user_features != columns_lib.AUTO
    features, names = _features(of_users, order, explicit, rows.treatments)
    return order, tables.Users(rows.users.texts()[order], features, names)


def _check_size(number: int, found: columns_lib.Found) -> None:
    """Raises an error if the arrays of so many rows do not fit into memory."""
    if number > _MOST_ROWS:
        raise ValueError(
            f"A table must have at most {_MOST_ROWS:,} rows, got more: take a sample of its users."
        )
    bytes_of_row = _BYTES_OF_ORDER + sum(_BYTES.get(role, 0) for role in found.names)
    resources.check_memory(
        number * bytes_of_row, f"{number:,} rows or more", "take a sample of the log's users"
    )


def _values_of_items(found: columns_lib.Found) -> dict[str, list[_conversion.ValuesByLabel]]:
    of_items = {
        role: [_conversion.ValuesByLabel(found.names[role], "items", categories=True)]
        if role in found
        else []
        for role in ("topic", "item_name")
    }
    of_items["item_features"] = [
        _conversion.ValuesByLabel(name, "items") for name in found.item_features
    ]
    return of_items


def _arrow(indices: np.ndarray) -> pa.Array:
    import pyarrow as pa

    return pa.array(indices)


def _rows_to_keep(
    batch: pa.RecordBatch,
    found: columns_lib.Found,
    source: _sources.Source,
    start: int,
    missing: str,
) -> np.ndarray:
    """Returns the indices, in the table, of the rows in which nothing is missing."""
    required = [role for role in _REQUIRED if role in found]
    if found.kind == "ratings":
        required.append("rating")
    complete = np.ones(batch.num_rows, np.bool_)
    for role in required:
        name = found.names[role]
        column = _conversion.Column(
            name, batch.column(name), lambda i: source.row(start + i), found.remark(role)
        )
        nothing = column.missing()
        if missing == "error" and nothing.any():
            raise column.lacking(
                int(nothing.argmax()),
                "something in each row",
                "Fill it in, or leave such rows out with the option missing: drop.",
            )
        complete &= ~nothing
    return start + np.flatnonzero(complete)


def _converted(
    batch: pa.RecordBatch,
    found: columns_lib.Found,
    source: _sources.Source,
    indices: np.ndarray,
    rows: Rows,
) -> dict[str, np.ndarray]:
    """Returns the arrays of some rows, and adds what they say of items and users."""

    def column(name: str, role: str) -> _conversion.Column:
        return _conversion.Column(
            name, batch.column(name), lambda i: source.row(int(indices[i])), found.remark(role)
        )

    arrays: dict[str, np.ndarray] = {}
    for role, name in found.names.items():
        values = column(name, role)
        if role in ("user", "item"):
            arrays[role] = (rows.users if role == "user" else rows.items).codes(values.labels())
        elif role in _CONVERSIONS:
            arrays[role] = _CONVERSIONS[role](values)
    for role, known in rows.of_items.items():
        for item_values in known:
            item_values.add(arrays["item"], column(item_values.name, role), len(rows.items))
    for user_values in rows.of_users:
        if "user" in arrays:
            user_values.add(
                arrays["user"], column(user_values.name, "user_features"), len(rows.users)
            )
    return arrays


def _duration(column: _conversion.Column) -> np.ndarray:
    values = column.numbers("times, numbers >= 0")
    if (values < 0).any():
        raise column.refused(int((values < 0).argmax()), "times, numbers >= 0")
    return values.astype(np.float32)


def _propensity(column: _conversion.Column) -> np.ndarray:
    wanted = "probabilities above 0 and at most 1, for what was shown had one"
    values = column.numbers(wanted)
    wrong = ~((values > 0.0) & (values <= 1.0 + 1e-9)) & ~np.isnan(values)
    if wrong.any():
        raise column.refused(int(wrong.argmax()), wanted, remedy="Correct it, or drop the column.")
    propensities: np.ndarray = np.minimum(values, 1.0).astype(np.float32)
    return propensities


def _click(column: _conversion.Column) -> np.ndarray:
    return column.flags("Ratings or times of clicked items are named as rating or duration.")


_CONVERSIONS: Mapping[str, Callable[[_conversion.Column], np.ndarray]] = {
    "position": lambda column: column.whole(0, MOST_POSITIONS).astype(np.int16),
    "click": _click,
    "rating": lambda column: column.numbers().astype(np.float32),
    "duration": _duration,
    "propensity": _propensity,
    "time": lambda column: column.seconds(),
    "session": lambda column: column.hashes(),
    "step": lambda column: column.whole(0, 2**53),
    "slate": lambda column: column.hashes(),
}


def _described(
    rows: Rows,
    labels: _conversion.Labels,
    table: _sources.Source,
    role: str,
    found: columns_lib.Found,
    columns: columns_lib.Columns,
) -> dict[str, list[_conversion.ValuesByLabel]]:
    """Returns what a table says of items or users; those that are not in the log do not count."""
    what = f"{role}s"
    layout = columns_lib.find_described(table.columns, role, found.names[role], columns)
    values = {
        of_role: [
            _conversion.ValuesByLabel(name, what, categories=not of_role.endswith("_features"))
            for name in names
        ]
        for of_role, names in layout.items()
        if of_role != role
    }
    (key,) = layout[role]
    seen = np.zeros(len(labels), np.int64)
    strangers = number = 0
    for batch in table.batches([name for names in layout.values() for name in names]):
        start, number = number, number + batch.num_rows

        def column(
            name: str, batch: pa.RecordBatch = batch, start: int = start
        ) -> _conversion.Column:
            return _conversion.Column(name, batch.column(name), lambda i: table.row(start + i))

        keys = column(key)
        if (nothing := keys.missing()).any():
            raise keys.lacking(int(nothing.argmax()), f"a label of each of the {what}")
        codes = labels.codes(keys.labels(), add=False)
        strangers += int((codes < 0).sum())
        seen += np.bincount(codes[codes >= 0], minlength=len(labels))
        if (seen > 1).any():
            raise ValueError(
                f"The table of {what} must have a row for each, got "
                f"{str(labels.texts()[seen.argmax()])!r} in the column {key!r} more than once."
            )
        for value in (value for of_role in values.values() for value in of_role):
            value.add(codes, column(value.name), len(labels))
    if not seen.any():
        raise ValueError(
            f"The table of {what} must have rows of those in the log, got none: is {key!r} the "
            f"column that the log calls {found.names[role]!r}?"
        )
    if strangers:
        rows.treatments.append(
            f"{strangers:,} {what} of the table of {what} are never in the log: they are left out."
        )
    if (nothing_known := int((seen == 0).sum())) > 0:
        rows.treatments.append(
            f"{nothing_known:,} {what} of the log are not in the table of {what}."
        )
    return values


def _features(
    values: Sequence[_conversion.ValuesByLabel],
    order: np.ndarray,
    explicit: bool,
    treatments: list[str],
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns all features (n, k), and their names."""
    matrices = [np.zeros((len(order), 0), np.float32)]
    names: list[str] = []
    for value in values:
        matrix, of_value, remarks = value.features(order, refuse=explicit)
        matrices.append(matrix)
        names += of_value
        treatments += remarks
    return np.concatenate(matrices, axis=1), tuple(names)


def _coded(labels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns the index of each label, and the labels in their order: of numbers, if they are."""
    names, codes = np.unique(labels, return_inverse=True)
    try:
        order = np.argsort(names.astype(np.int64), kind="stable")
    except (ValueError, OverflowError):
        order = np.arange(len(names))
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(len(order))
    coded: np.ndarray = ranks[codes.reshape(-1)]
    return coded, tuple(names[order].tolist())
