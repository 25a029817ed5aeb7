"""The columns of a Parquet episode log.

A log has one row for each impression, a document shown to a user at a position of a slate:

======================  ======  ====================================================================
column                  type    content
======================  ======  ====================================================================
``episode``             int64   number of the episode, of those of this user in the log, from 0
``user``                int64   number of the user; 0 in a single-user environment
``step``                int32   number of the step in the episode, from 0
``position``            int32   position in the slate, from 0
``candidate``           int64   index of the document among the candidates, as in the slate
``item_id``             string  ID of the document, its key in the observation; in a vector
                        or int  environment an int64, see below
``item_feature…``               the observation of the document
``user_feature…``               the observation of the user before the slate
``response…``                   the observation of the response to the document
``reward``              double  the reward of the slate, the same in all of its rows
``terminated``          bool    whether the environment ended the episode with this step
``truncated``           bool    whether a limit on its steps did
``slate_probability``   double  probability with which the agent chose the slate, null if unknown
``item_probability``    double  probability with which the agent showed this document at this
                                position, null if unknown
``prefix_probability``  double  probability with which it showed this document and those before it
                                at their positions, null if unknown
``propensity_samples``  int64   from how many sampled slates the probabilities are estimated, null
                                where they are exact or unknown
``state_…``                     the hidden state of the user before the slate, where asked for
======================  ======  ====================================================================

An observation has a column for each of its numbers: the entry ``quality`` of a document is
``item_feature_quality``, and a document that is an array of 20 numbers is ``item_feature_0`` to
``item_feature_19``. Arrays of more axes are numbered in C order, and a column of an array of one
number has no number in its name. An action mask (:mod:`recsim.action_masks`) is
``action_mask_0`` and following, a position each, and not a feature of the document. Nothing is
encoded: an integer of a Discrete space is that integer.

In a vector environment documents have no IDs. Where all users share their candidates, ``item_id``
is the index; where each user gets new ones, it is unique to user and document
(:data:`ITEMS_OF_USER` times the number of the user and upwards); and it is null where the
environment does not say which of the two holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim import spaces as spaces_lib
from recsim import types
from recsim._internal import action_masks

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "FIRST_COLUMNS",
    "ITEMS_OF_USER",
    "ITEM_FEATURE",
    "LAST_COLUMNS",
    "ROWS_OF_GROUP",
    "Entry",
    "check_names",
    "entries_of_space",
    "entry_of_array",
    "schema",
    "take",
]

#: Distance of the first item IDs of two users in a vector environment.
ITEMS_OF_USER = 2**32

#: The beginning of the names of the columns of a document's features.
ITEM_FEATURE = "item_feature"

#: Number of rows that are written together.
ROWS_OF_GROUP = 65_536

#: Names of the columns of every log that stand before the observations.
FIRST_COLUMNS = ("episode", "user", "step", "position", "candidate", "item_id")
#: Names of the columns of every log that stand after the observations.
LAST_COLUMNS = (
    "reward",
    "terminated",
    "truncated",
    "slate_probability",
    "item_probability",
    "prefix_probability",
    "propensity_samples",
)

#: What tells a log from other Parquet files, in the metadata of the schema: name and version.
_MARK = {b"recsim_episode_log": b"1"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """An array of an observation, with a column for each of its numbers.

    Attributes:
        path: the keys that lead to it.
        names: the names of the columns.
        dtype: their dtype; object for text.
    """

    path: tuple[object, ...]
    names: tuple[str, ...]
    dtype: np.dtype

    def columns(self, values: np.ndarray) -> list[np.ndarray]:
        """Returns the columns of values of shape (n_rows, …), each contiguous in memory."""
        by_column = values.reshape(len(values), len(self.names)).T
        return list(np.ascontiguousarray(by_column, self.dtype))


def take(observation: object, path: Sequence[object]) -> object:
    """Returns the part of a nested observation that keys lead to."""
    for key in path:
        observation = observation[key]  # type: ignore[index]
    return observation


def entries_of_space(
    space: types.Space, prefix: str, *, num_axes: int = 0, exact: bool = False
) -> list[Entry]:
    """Returns the entries of the observations of a space, without those that hold nothing.

    Args:
        space: a space of gym or gymnasium; Dict and Tuple ones are nested at will.
        prefix: the beginning of the columns' names.
        num_axes: number of leading axes that count documents, and so rows.
        exact: whether numbers keep the precision of the single-user engine: its observations are
            float64 and Python integers, whatever the space says.

    Raises:
        NotImplementedError: for a space whose elements are not arrays of a fixed shape or text.
    """
    entries: list[Entry] = []
    leaf: Any
    for path, leaf in spaces_lib.leaves(space):
        # Where a document may stand does not describe it.
        is_mask = prefix == ITEM_FEATURE and path == (action_masks.KEY,)
        name = action_masks.KEY if is_mask else "_".join([prefix, *map(str, path)])
        if spaces_lib.kind_of(leaf) == "Text":
            entries.append(Entry(path, (name,), np.dtype(object)))
            continue
        if not spaces_lib.is_numeric(leaf):
            raise spaces_lib.unsupported(leaf)
        dtype: np.dtype = np.dtype(leaf.dtype)
        if exact:
            dtype = np.dtype(np.float64 if dtype.kind == "f" else np.int64)
        entries += entry_of_array(path, name, tuple(leaf.shape)[num_axes:], dtype)
    return entries


def entry_of_array(
    path: tuple[object, ...], name: str, shape: tuple[int, ...], dtype: np.dtype
) -> list[Entry]:
    """Returns the entry of arrays of a shape; nothing where they hold nothing."""
    size = int(np.prod(shape))
    if not size:
        return []
    names = (name,) if size == 1 else tuple(f"{name}_{i}" for i in range(size))
    return [Entry(path, names, dtype)]


def check_names(names: Sequence[str]) -> None:
    """Raises ValueError if two columns have the same name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(
                f"Two entries of the observations would be the column {name!r} of the log: rename "
                "one of them in the environment's spaces."
            )
        seen.add(name)


def schema(item_id: pa.DataType, entries: Iterable[Entry], states: Iterable[Entry]) -> pa.Schema:
    """Returns the schema of a log.

    Args:
        item_id: the type of item IDs.
        entries: the entries of documents, users and responses.
        states: the entries of hidden states.

    Raises:
        ValueError: if two columns have the same name.
    """
    import pyarrow as pa

    def fields(of_entries: Iterable[Entry]) -> list[tuple[str, pa.DataType]]:
        return [
            (name, pa.string() if entry.dtype == object else pa.from_numpy_dtype(entry.dtype))
            for entry in of_entries
            for name in entry.names
        ]

    first = [pa.int64(), pa.int64(), pa.int32(), pa.int32(), pa.int64(), item_id]
    of_agent = [pa.float64(), pa.float64(), pa.float64(), pa.int64()]
    last = [pa.float64(), pa.bool_(), pa.bool_(), *of_agent]
    columns = [
        *zip(FIRST_COLUMNS, first, strict=True),
        *fields(entries),
        *zip(LAST_COLUMNS, last, strict=True),
        *fields(states),
    ]
    check_names([name for name, _ in columns])
    return pa.schema(columns, metadata=_MARK)
