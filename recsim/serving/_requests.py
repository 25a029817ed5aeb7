"""What a served agent is asked and told: users, items and responses, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from recsim import spaces as spaces_lib
from recsim import types
from recsim._internal import action_masks, numbers, trees, validation

__all__ = [
    "Features",
    "Id",
    "Items",
    "ItemsLike",
    "ReadItems",
    "ReadUser",
    "Recommendation",
    "User",
    "UserLike",
    "is_batch",
    "is_id",
    "item_fields",
    "read_items",
    "read_responses",
    "read_user",
    "response_columns",
    "user_id",
]

#: The id of a user or an item. 1 and '1' are two ids.
Id: TypeAlias = str | int


@dataclasses.dataclass(frozen=True)
class User:
    """A user to recommend to.

    Attributes:
        id: the user's id, which an agent that remembers users needs; None for nobody in
            particular.
        features: what is observed of the user, as ``observation['user']`` has it; None where
            nothing is.
    """

    id: Id | None = None
    features: object = None


@dataclasses.dataclass(frozen=True)
class Items:
    """Items to recommend, or that were shown.

    Attributes:
        ids: their ids, each once.
        features: what is observed of them, one row an item: an array of shape (n_items, …) where
            a document's observation is an array, a dictionary of such arrays by name where it is a
            dictionary. A data frame of pandas or Polars is as good as either. None where the agent
            needs none.
    """

    ids: Sequence[Id]
    features: object = None


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """A recommendation, and what the agent went by.

    Attributes:
        items: ids of the recommended items, the first place first.
        scores: numbers of the recommended items by name, in the same order, such as
            ``{'Q-value': […]}``; empty for an agent that compares something else than items.
        explanation: all that the agent went by, with ids of items in the place of indices.
    """

    items: list[Id]
    scores: dict[str, list[float]]
    explanation: types.Explanation


#: What may be written as a dictionary.
RequestT = TypeVar("RequestT", User, Items)

UserLike: TypeAlias = User | Mapping[str, Any] | str | int
ItemsLike: TypeAlias = Items | Mapping[str, Any] | Sequence[Id]


def _id(name: str, value: object) -> Id:
    """Returns an id as a string or an integer of Python's."""
    if type(value) is str or type(value) is int:
        return value
    if isinstance(value, str):  # NumPy's strings, too.
        return str(value)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    raise TypeError(f"{name} must be a string or an integer, got {numbers.described(value)}.")


def is_id(value: object) -> bool:
    """Says whether something is of a type that ids have."""
    return isinstance(value, (str, int, np.integer))


def is_batch(user: object) -> bool:
    """Says whether several users are given: in a list, or a column of ids."""
    if isinstance(user, (list, tuple)):
        return True
    is_column = hasattr(user, "to_numpy") and not hasattr(user, "columns")
    return is_column or (isinstance(user, np.ndarray) and user.ndim == 1)


def user_id(user: object) -> Id:
    """Returns the id of a user that is given by it, or with it.

    Raises:
        TypeError, ValueError: if there is none.
    """
    of: Any = user
    if isinstance(user, Mapping):
        of = _of_mapping("user", User, user)
    value = of.id if isinstance(of, User) else of
    if value is None:
        raise ValueError("user must have an id, got a User without one.")
    return _id("user", value)


def _of_mapping(name: str, kind: type[RequestT], mapping: Mapping[str, Any]) -> RequestT:
    fields = [field.name for field in dataclasses.fields(kind)]
    for key in mapping:
        if key not in fields:
            raise ValueError(
                f"{name} must be a dictionary with {' and '.join(map(repr, fields))}, got the key "
                f"{key!r}.{validation.nearest_name(str(key), fields)}"
            )
    if kind is Items and "ids" not in mapping:
        raise ValueError(f"{name} must have 'ids', got the keys {sorted(mapping)}.")
    return kind(**mapping)


@dataclasses.dataclass(frozen=True)
class ReadUser:
    """A user that was read.

    Attributes:
        id: the id, None for nobody in particular.
        observation: what is observed, as ``observation['user']``.
    """

    id: Id | None
    observation: Any


@dataclasses.dataclass(frozen=True)
class ReadItems:
    """Items that were read.

    Attributes:
        ids: their ids.
        arrays: what is observed of them: arrays with the items on axis 0; None for nothing.
    """

    ids: list[Id]
    arrays: trees.ArrayTree | None

    def observations(self) -> dict[str, Any]:
        """Returns what is observed of each, by the ids as texts, as ``observation['doc']``."""
        if self.arrays is None:
            return {str(each): None for each in self.ids}
        arrays: Any = self.arrays
        rows = arrays if isinstance(arrays, np.ndarray) else _rows(arrays, len(self))
        return dict(zip(map(str, self.ids), rows))

    def __len__(self) -> int:
        return len(self.ids)


def _rows(arrays: trees.ArrayTree, number: int) -> list[Any]:
    """Returns a tree for each row of the arrays of a tree; Python's integers of whole numbers."""
    tree: Any = arrays
    if isinstance(tree, np.ndarray):
        return tree.tolist() if tree.ndim == 1 and tree.dtype.kind in "iub" else list(tree)
    is_dict = isinstance(tree, dict)
    columns = [_rows(column, number) for column in (tree.values() if is_dict else tree)]
    rows = list(zip(*columns)) if columns else [()] * number
    return [dict(zip(tree, row)) for row in rows] if is_dict else rows


class Features:
    """Reads features as observations of a space, checked against it.

    Args:
        space: the space of one observation.
    """

    def __init__(self, space: types.Space) -> None:
        self.space = space
        kind = spaces_lib.kind_of(space)
        self._entries: dict[Any, Features] | None = None
        self._is_dict = kind == "Dict"
        #: Whether there is nothing to observe.
        self.is_empty: bool
        if spaces_lib.is_composite(space):
            self._entries = {key: Features(entry) for key, entry in spaces_lib.children(space)}
            self.is_empty = all(entry.is_empty for entry in self._entries.values())
            return
        leaf: Any = space
        self._shape = tuple(leaf.shape or ())
        self._low, self._high = spaces_lib.bounds(space)
        self._whole = kind != "Box" or leaf.dtype.kind != "f"
        self._dtype = leaf.dtype if kind == "Box" else np.dtype(np.int64)
        self.is_empty = 0 in self._shape

    @property
    def fields(self) -> dict[str, Features]:
        """The entries of a Dict space by name; none of another."""
        return dict(self._entries or {}) if self._is_dict else {}

    def described(self) -> dict[str, Any]:
        """Returns the features as JSON values: shapes and bounds, None for no bound."""
        if self._entries is not None:
            return {str(key): entry.described() for key, entry in self._entries.items()}
        return {
            "shape": list(self._shape),
            "low": _bound(self._low),
            "high": _bound(self._high),
            "whole": self._whole,
        }

    def read(self, name: str, values: object, of: Sequence[Id] | None = None) -> trees.ArrayTree:
        """Returns features as arrays, nested as the space is.

        Args:
            name: what they are of, for errors.
            values: the features: a row for each item, or those of one user.
            of: the ids of the items; None for one user.

        Raises:
            TypeError: if something is not numbers.
            ValueError: if a feature is missing or unknown, of another shape, not finite, or
                outside the space.
        """
        if self.is_empty and values is None:
            return self.nothing(of)
        if self._entries is not None:
            return self._composite(name, values, of)
        if values is None:
            raise ValueError(
                f"{name} must be given: the agent needs an array of shape {self._shape}"
                f"{' for each item' if of is not None else ''}, got None."
            )
        return self._leaf(name, values, of)

    def nothing(self, of: Sequence[Id] | None) -> trees.ArrayTree:
        """Returns the arrays of a space without numbers."""
        if self._entries is None:
            leading = () if of is None else (len(of),)
            return np.zeros((*leading, *self._shape), self._dtype)
        parts = {key: entry.nothing(of) for key, entry in self._entries.items()}
        return parts if self._is_dict else tuple(parts.values())

    def _composite(self, name: str, given: object, of: Sequence[Id] | None) -> trees.ArrayTree:
        assert self._entries is not None
        values: Any = given
        keys = list(self._entries)
        if values is None:
            raise ValueError(
                f"{name} must be given: the agent needs {', '.join(map(repr, keys))}, got None."
            )
        if not self._is_dict:
            if not isinstance(values, (list, tuple)) or len(values) != len(keys):
                raise ValueError(
                    f"{name} must be {len(keys)} entries in a tuple, got "
                    f"{numbers.described(values)}."
                )
            return tuple(
                entry.read(f"{name}[{key}]", values[key], of)
                for key, entry in self._entries.items()
            )
        columns = values if isinstance(values, Mapping) else getattr(values, "columns", None)
        if columns is None:
            raise ValueError(
                f"{name} must be a dictionary or data frame with {', '.join(map(repr, keys))}, "
                f"got {numbers.described(values)}."
            )
        there = [str(key) for key in columns]
        for key in there:
            if key not in keys:
                raise ValueError(
                    f"{name} must have no more than the agent was made for, "
                    f"{', '.join(map(repr, keys))}, got {key!r}."
                    f"{validation.nearest_name(key, keys)}"
                )
        for key, entry in self._entries.items():
            if key not in there and not entry.is_empty:
                raise ValueError(
                    f"{name} must have {key!r}, which the agent needs, got "
                    f"{', '.join(map(repr, there)) or 'nothing'}."
                )
        return {
            key: entry.read(f"{name}[{key!r}]", values[key] if key in there else None, of)
            for key, entry in self._entries.items()
        }

    def _leaf(self, name: str, values: object, of: Sequence[Id] | None) -> np.ndarray:
        to_numpy = getattr(values, "to_numpy", None)
        array = numbers.array(name, values if to_numpy is None else to_numpy())
        shape = self._shape if of is None else (len(of), *self._shape)
        if array.shape != shape:
            # A number counts as an array of one, such as an element of Box(shape=(1,)).
            if [axis for axis in array.shape if axis != 1] != [axis for axis in shape if axis != 1]:
                raise ValueError(f"{name} must have the shape {shape}, got {array.shape}.")
            array = array.reshape(shape)
        if self._whole and array.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                whole = array.astype(np.int64)
            self._check(name, whole == array, array, of, "whole numbers")
            array = whole
        elif array.dtype.kind == "f":
            self._check(name, np.isfinite(array), array, of, "finite numbers")
        else:
            array = array.astype(np.int64 if self._whole else np.float64)
        rounded = array if self._whole else array.astype(self._dtype, copy=False)
        inside = (rounded >= self._low) & (rounded <= self._high)
        if not inside.all():
            wanted = f"within {self.space}, which the agent was made for"
            self._check(name, inside, array, of, wanted)
        return array

    def _check(
        self,
        name: str,
        good: np.ndarray,
        array: np.ndarray,
        of: Sequence[Id] | None,
        wanted: str,
    ) -> None:
        if good.all():
            return
        where = np.argwhere(~good)[0]
        item = "" if of is None else f" for the item {of[where[0]]!r}"
        raise ValueError(f"{name} must be {wanted}, got {array[tuple(where)].item()!r}{item}.")


def _bound(values: object) -> object:
    """Returns bounds as JSON values: a number where they are equal, None for infinity."""
    array = np.asarray(values)
    if array.size and (array == array.flat[0]).all():
        array = array.flat[0]
    return _finite(array.tolist())


def _finite(value: object) -> object:
    """Returns numbers, nested in lists, with None for those that are not finite."""
    if isinstance(value, list):
        return [_finite(each) for each in value]
    number: Any = value
    return value if np.isfinite(number) else None


def read_user(user: object, features: Features | None) -> ReadUser:
    """Returns a user that somebody asks for, checked.

    Args:
        user: a User, a dictionary of its fields, or an id.
        features: what reads the features; None if the agent looks at none.

    Raises:
        TypeError, ValueError: for something else.
    """
    if isinstance(user, Mapping):
        user = _of_mapping("user", User, user)
    if not isinstance(user, User):
        user = User(_id("user", user))
    number = None if user.id is None else _id("the user's id", user.id)
    name = "the user's features" if number is None else f"the features of the user {number!r}"
    observation = user.features if features is None else features.read(name, user.features)
    return ReadUser(number, observation)


def read_items(name: str, items: object, features: Features | None) -> ReadItems:
    """Returns items that somebody names, checked.

    Args:
        name: what to call them in errors.
        items: Items, a dictionary of its fields, or ids.
        features: what reads the features; None if the agent looks at none.

    Raises:
        TypeError, ValueError: for something else.
    """
    ids, given = item_fields(name, items)
    if features is not None:
        return ReadItems(ids, features.read(f"the features of {name}", given, ids))
    fields = given if isinstance(given, Mapping) else getattr(given, "columns", ())
    if action_masks.KEY in map(str, fields):
        raise ValueError(
            f"the features of {name} must be without {action_masks.KEY!r}, for the agent was saved "
            "without the space of its observations, and would not heed it: save it again by "
            "save(path, observation_space=environment.observation_space)."
        )
    return ReadItems(ids, None)


def item_fields(name: str, items: object) -> tuple[list[Id], object]:
    """Returns the ids of items, each there once, and their features as they were given."""
    if isinstance(items, Mapping):
        items = _of_mapping(name, Items, items)
    of: Any = items
    ids, given = (of.ids, of.features) if isinstance(items, Items) else (of, None)
    if isinstance(ids, (str, bytes)) or not hasattr(ids, "__len__"):
        raise TypeError(
            f"{name} must be Items, a dictionary with 'ids' and 'features', or a list of ids, got "
            f"{numbers.described(items)}."
        )
    read = [_id(f"an id of {name}", each) for each in ids]
    texts = dict.fromkeys(map(str, read))
    if len(texts) < len(read):
        seen: set[str] = set()
        for each in read:
            if str(each) in seen:
                raise ValueError(
                    f"{name} must have different ids, got {each!r} twice (as text, which they are "
                    "told apart by in one request)."
                )
            seen.add(str(each))
    return read, given


def read_responses(
    columns: Mapping[str, object],
    ids: Sequence[Id],
    fields: Mapping[str, Features],
    needed: Collection[str],
    known: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Returns the responses to items, each as a dictionary.

    Args:
        columns: what :func:`response_columns` returned.
        ids: the items' ids.
        fields: what reads the fields that there are, by name; nothing if the agent does not know.
        needed: names of those that the agent needs.
        known: columns of fields that the responses may lack, such as a topic of the items.

    Raises:
        TypeError, ValueError: for something else, or if a field is missing or unknown.
    """
    there = ", ".join(map(repr, fields))
    read: dict[str, Any] = {}
    for name, column in columns.items() if fields else ():
        if name not in fields:
            raise ValueError(
                f"responses must have no more than the agent was made for, {there}, got "
                f"{name!r}.{validation.nearest_name(name, fields)}"
            )
        values = fields[name].read(f"responses[{name!r}]", column, ids)
        if name in needed:
            read[name] = values
    for name in needed:
        if name not in columns and name not in known:
            raise ValueError(
                f"responses must have {name!r}, for the agent takes in "
                f"{', '.join(map(repr, needed))}, got "
                f"{', '.join(map(repr, columns)) or 'nothing'}."
            )
        read.setdefault(name, known.get(name))
    return _rows(read, len(ids)) if read else [{} for _ in ids]


def response_columns(responses: object, number: int) -> dict[str, Any]:
    """Returns the responses to so many items as columns by field, not checked yet.

    Args:
        responses: a dictionary (or data frame) of columns by field, or a list with a dictionary
            for each item.
        number: number of items.

    Raises:
        TypeError, ValueError: for something else.
    """
    if isinstance(responses, Mapping):
        return {str(key): column for key, column in responses.items()}
    frame: Any = responses
    if hasattr(frame, "columns"):
        return {str(key): frame[key] for key in frame.columns}
    if not isinstance(responses, (list, tuple)) or not all(
        isinstance(each, Mapping) for each in responses
    ):
        raise TypeError(
            "responses must be a dictionary or data frame of columns, or a list with a dictionary "
            f"for each item, got {numbers.described(responses)}."
        )
    if len(responses) != number:
        raise ValueError(f"responses must be as many as items, {number}, got {len(responses)}.")
    names = list(responses[0]) if responses else []
    if any(set(each) != set(names) for each in responses):
        raise ValueError(
            f"responses must all have the same fields, got {numbers.described(responses)}."
        )
    return {str(name): [each[name] for each in responses] for name in names}
