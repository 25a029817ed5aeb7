"""What a served agent remembers of users: the last so many of them, and as data for a file."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from recsim import types
from recsim._internal import numbers
from recsim.serving._requests import Id

__all__ = ["Record", "Users"]


@dataclasses.dataclass(slots=True)
class Record:
    """What is remembered of a user.

    Attributes:
        state: what the agent knows of the user, see ``user_state`` of agents.
        slate: ids of the items that were recommended last.
        shown: columns of what of them responses repeat, such as their topics.
        responses: the responses since then, None for none.
        reward: the reward since then.
    """

    state: types.State | None
    slate: list[Id]
    shown: dict[str, np.ndarray]
    responses: list[dict[str, Any]] | None = None
    reward: float = 0.0


class Users:
    """Records of users by their ids, of those that were seen last.

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._records: collections.OrderedDict[Id, Record] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Id]:
        return iter(self._records)

    def get(self, user: Id) -> Record | None:
        """Returns the record of a user, None if there is none."""
        return self._records.get(user)

    def put(self, user: Id, record: Record) -> None:
        """Remembers a record, and forgets the users that were not seen for longest."""
        self._records[user] = record
        self._records.move_to_end(user)
        while len(self._records) > self._most:
            self._records.popitem(last=False)

    def remove(self, user: Id) -> bool:
        """Forgets a user; returns whether there was a record."""
        return self._records.pop(user, None) is not None

    def data(self) -> dict[str, Any]:
        """Returns all records as data, the users that were seen last at the end.

        Records of the same form are in arrays together: a file for each number would be large and
        slow to read.
        """
        groups: dict[object, tuple[list[int], list[list[Any]], Any]] = {}
        for row, record in enumerate(self._records.values()):
            tree = {name: getattr(record, name) for name in _FIELDS}
            leaves: list[Any] = []
            form = _form(tree, leaves)
            rows, of_rows, _ = groups.setdefault(form, ([], [], tree))
            rows.append(row)
            of_rows.append(leaves)
        return {
            "ids": list(self._records),
            "groups": [
                {
                    "rows": np.array(rows, np.int64),
                    "columns": [_column(column) for column in zip(*of_rows)],
                    "form": _numbered(tree, iter(range(len(of_rows[0])))),
                }
                for rows, of_rows, tree in groups.values()
            ],
        }

    def load(self, data: object, check: Callable[[Record], None]) -> None:
        """Remembers the records that :meth:`data` returned.

        Args:
            data: the data.
            check: function that raises an error for a record that is none of the agent's, called
                with one of each form.

        Raises:
            ValueError: if it is something else.
        """
        of: Any = data
        if not isinstance(of, dict) or not isinstance(of.get("ids"), list):
            raise ValueError(f"its users are {numbers.described(data)}")
        ids, groups = of["ids"], of.get("groups")
        if any(type(each) not in (str, int) for each in ids) or len(set(ids)) < len(ids):
            raise ValueError("the ids of its users are not different texts and integers")
        found: dict[int, Record] = {}
        for group in groups if isinstance(groups, list) else []:
            rows, records = _of_group(group)
            found.update(zip(rows, records))
            check(records[0])
        if sorted(found) != list(range(len(ids))):
            raise ValueError("it does not have a record for each of its users")
        for row, user in enumerate(ids):
            self.put(user, found[row])


_FIELDS = tuple(field.name for field in dataclasses.fields(Record))


def _children(tree: object) -> list[Any] | None:
    """Returns what a container of a tree holds; None for a leaf."""
    if isinstance(tree, dict):
        return list(tree.values())
    return list(tree) if isinstance(tree, (list, tuple)) else None


def _form(tree: object, leaves: list[Any]) -> object:
    """Returns what is equal for trees of the same form, and gathers the leaves."""
    children = _children(tree)
    if children is not None:
        keys = tuple(tree) if isinstance(tree, dict) else None
        return type(tree).__name__, keys, tuple(_form(child, leaves) for child in children)
    leaves.append(tree)
    if isinstance(tree, np.ndarray):
        return tree.dtype.str, tree.shape
    return "value"


def _column(values: tuple[Any, ...]) -> object:
    """Returns an array of arrays, or a list of other values."""
    return np.stack(values) if isinstance(values[0], np.ndarray) else list(values)


def _numbered(tree: object, count: Iterator[int]) -> object:
    """Returns a tree with the numbers of its leaves in their places."""
    return _mapped(lambda _: next(count), tree)


def _mapped(function: Callable[[Any], object], tree: object) -> object:
    """Returns a tree of what a function makes of the leaves of a tree, in their order."""
    if isinstance(tree, dict):
        return {key: _mapped(function, child) for key, child in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)([_mapped(function, child) for child in tree])
    return function(tree)


def _filled(form: object, leaves: tuple[Any, ...]) -> object:
    return _mapped(leaves.__getitem__, form)


def _of_group(group: object) -> tuple[list[int], list[Record]]:
    of: Any = group
    if not isinstance(of, dict) or not {"rows", "columns", "form"} <= of.keys():
        raise ValueError(f"its users are {numbers.described(group)}")
    rows, columns, form = of["rows"], of["columns"], of["form"]
    if not isinstance(rows, np.ndarray) or rows.dtype != np.int64 or rows.ndim != 1:
        raise ValueError(f"the rows of its users are {numbers.described(rows)}")
    if type(columns) is not list or not all(
        (type(column) is list or (isinstance(column, np.ndarray) and column.ndim))
        and len(column) == len(rows)
        for column in columns
    ):
        raise ValueError("the columns of its users are not as long as its rows")
    numbered: list[Any] = []
    _form(form, numbered)
    if numbered != list(range(len(columns))) or not len(rows) or type(form) is not dict:
        raise ValueError(f"the form of its users is {numbers.described(form)}")
    if set(form) != set(_FIELDS):
        raise ValueError(f"the form of its users is {numbers.described(list(form))}")
    records = []
    for leaves in zip(*columns):
        tree: Any = _filled(form, leaves)
        record = Record(**tree)
        _check(record)
        records.append(record)
    return rows.tolist(), records


def _check(record: Record) -> None:
    """Raises ValueError for a record that nothing remembers."""
    if (
        not isinstance(record.state, Mapping)
        or not isinstance(record.slate, list)
        or any(type(each) not in (str, int) for each in record.slate)
        or not isinstance(record.shown, dict)
        or not all(isinstance(column, np.ndarray) for column in record.shown.values())
        or not all(len(column) == len(record.slate) for column in record.shown.values())
        or not isinstance(record.responses, (list, type(None)))
        or not all(isinstance(each, dict) for each in record.responses or ())
        or type(record.reward) is not float
    ):
        raise ValueError(f"a record of a user is {numbers.described(record)}")
