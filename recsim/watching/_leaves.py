"""Observations and states of any shape as named values: numbers, arrays of numbers and text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TypeAlias

import numpy as np

__all__ = ["Leaf", "leaves", "leaves_of_object", "stacked"]

#: A value that an episode records.
Leaf: TypeAlias = bool | int | float | str | np.ndarray

_DEEPEST = 8
_LONGEST_TEXT = 200


def leaves(value: object, name: str = "value") -> dict[str, Leaf]:
    """Returns what is in a value by name, as copies: ``{"a": {"b": 1}}`` has ``a.b``.

    Args:
        value: mappings and sequences, nested at will, of numbers, arrays and text. What is None is
            left out, and something else is shown as text.
        name: what a value is called that is not in a mapping.
    """
    found: dict[str, Leaf] = {}
    _collect(value, "", name, found, 0)
    return found


def leaves_of_object(owner: object) -> dict[str, Leaf]:
    """Returns the attributes of an object that hold numbers or text, by name.

    Leading underscores of names are left out.
    """
    attributes = dict(getattr(owner, "__dict__", {}))
    for of_class in type(owner).__mro__:
        slots = vars(of_class).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if hasattr(owner, slot):
                attributes.setdefault(slot, getattr(owner, slot))
    found: dict[str, Leaf] = {}
    for name, value in attributes.items():
        if isinstance(value, Set):
            value = f"{{{', '.join(sorted(map(str, value)))}}}" if value else None
        if _is_plain(value):
            _collect(value, name.lstrip("_"), name, found, 0)
    return found


def _is_plain(value: object, depth: int = 0) -> bool:
    """Says whether a value holds numbers and text alone."""
    if value is None or isinstance(value, (bool, int, float, str, np.generic)):
        return True
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biufUS"
    if depth == _DEEPEST:
        return False
    if isinstance(value, Mapping):
        return all(_is_plain(entry, depth + 1) for entry in value.values())
    return isinstance(value, (list, tuple)) and all(_is_plain(entry, depth + 1) for entry in value)


def _collect(value: object, path: str, name: str, found: dict[str, Leaf], depth: int) -> None:
    here = path or name
    if value is None:
        return
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (bool, int, float)):
        found[here] = value
    elif isinstance(value, str):
        found[here] = _short(value)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        if value.ndim:
            found[here] = value.copy()
        else:
            found[here] = value.item()
    elif isinstance(value, Mapping) and depth < _DEEPEST:
        for key, entry in value.items():
            _collect(entry, f"{path}.{key}" if path else str(key), name, found, depth + 1)
    elif isinstance(value, Sequence) and not isinstance(value, bytes) and depth < _DEEPEST:
        array = _numbers(value)
        if array is not None:
            found[here] = array
            return
        for index, entry in enumerate(value):
            _collect(entry, f"{here}.{index}", name, found, depth + 1)
    else:
        found[here] = _short(str(value))


def _numbers(values: Sequence[object]) -> np.ndarray | None:
    """Returns a sequence of numbers, or of arrays of one shape, as an array; else None."""
    if not all(isinstance(value, (bool, int, float, np.generic, np.ndarray)) for value in values):
        return None
    try:
        array = np.array(values)
    except ValueError:  # The shapes differ.
        return None
    return array if array.dtype.kind in "biuf" else None


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def stacked(rows: Sequence[Mapping[str, Leaf]]) -> dict[str, np.ndarray]:
    """Returns a column for each name of the rows.

    Returns:
        Arrays with the rows on axis 0: of numbers where all rows that have the name have numbers
        of one shape, NaN in those that lack it; else of text.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _column([row.get(name) for row in rows]) for name in names}


def _column(values: Sequence[Leaf | None]) -> np.ndarray:
    known = [value for value in values if value is not None]
    if any(isinstance(value, str) for value in known):
        return np.array(["" if value is None else str(value) for value in values])
    shapes = {np.shape(value) for value in known}
    if len(shapes) > 1:
        return np.array(["" if value is None else _short(str(value)) for value in values])
    if len(known) < len(values):
        missing = np.full(shapes.pop(), np.nan)
        return np.array([missing if value is None else value for value in values], np.float64)
    return np.array(known)
