"""JSON that every reader takes: what is not a finite number is written as null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

__all__ = ["dumps"]


def dumps(data: object, *, indent: int | None = None) -> str:
    """Returns data as JSON text, with ``null`` for every number that is not finite.

    ``NaN`` and ``Infinity``, which Python would write, are not JSON: strict readers refuse the
    whole file.

    Args:
        data: dictionaries, lists and tuples of strings, numbers, booleans and None. NumPy's
            numbers and arrays are written as Python's numbers and lists.
        indent: how far to indent each level; None for a single line.

    Raises:
        TypeError: if something else is in the data.

    Example:
        >>> dumps({"mean": float("nan"), "values": [1.0, float("inf")]})
        '{"mean": null, "values": [1.0, null]}'
    """
    try:
        return json.dumps(data, indent=indent, allow_nan=False, default=_plain)
    except ValueError:  # Seldom: so the common case needs no copy.
        return json.dumps(_without_holes(data), indent=indent, allow_nan=False)


def _plain(value: object) -> object:
    """Returns a number or array of NumPy's as numbers and lists of Python's."""
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        plain: object = value.tolist()
        return plain
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be written as JSON.")


def _without_holes(data: object) -> object:
    """Returns a copy of data with None in place of numbers that are not finite."""
    if isinstance(data, Mapping):
        return {key: _without_holes(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_without_holes(value) for value in data]
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if data is None or isinstance(data, (str, int)):
        return data
    return _without_holes(_plain(data))
