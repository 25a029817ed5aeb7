"""Checks of arguments, whose errors say what was expected, what came and what to do."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = [
    "candidates_and_slate",
    "finite",
    "non_negative_float",
    "nearest_name",
    "positive_int",
    "probability",
    "probability_vector",
]


def positive_int(name: str, value: Any, minimum: int = 1) -> int:
    """Returns ``value`` as an int of at least ``minimum``.

    Raises:
        TypeError: if the value is not a whole number (a bool or a float is not one).
        ValueError: if the value is below ``minimum``.
    """
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer >= {minimum}, got the bool {value!r}.")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be an integer >= {minimum}, got {value!r} of type "
            f"{type(value).__name__}; pass a whole number."
        ) from None
    if number < minimum:
        raise ValueError(f"{name} must be an integer >= {minimum}, got {number}.")
    return number


def candidates_and_slate(num_candidates: Any, slate_size: Any) -> tuple[int, int]:
    """Returns the numbers of candidates and of documents in a slate, as ints.

    Raises:
        TypeError: if one is not a whole number.
        ValueError: if one is below 1, or the slate is larger than the candidate set.
    """
    candidates = positive_int("num_candidates", num_candidates)
    size = positive_int("slate_size", slate_size)
    if size > candidates:
        raise ValueError(
            "slate_size must be at most num_candidates, got "
            f"slate_size={slate_size} and num_candidates={num_candidates}."
        )
    return candidates, size


def non_negative_float(name: str, value: Any) -> float:
    """Returns ``value`` as a finite float of at least 0, or raises ValueError."""
    number = float(value)
    if not (np.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be a finite number >= 0, got {value!r}.")
    return number


def finite(name: str, values: Any) -> np.ndarray:
    """Returns ``values`` as a float64 array of finite numbers, or raises ValueError."""
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {array.tolist()}.")
    return array


def probability(name: str, value: Any) -> float:
    """Returns ``value`` as a float in [0, 1], or raises ValueError."""
    number = float(value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{name} must be a probability in [0, 1], got {value!r}.")
    return number


def probability_vector(name: str, values: Any) -> np.ndarray:
    """Returns ``values`` as a float64 vector of probabilities that sum to one.

    Raises:
        ValueError: if the vector is empty, has a negative or non-finite entry, or does not sum
            to one within 1e-8 (the tolerance of ``numpy.random.RandomState.choice``).
    """
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or vector.size == 0:
        raise ValueError(
            f"{name} must be a non-empty list of probabilities, got an array of shape "
            f"{vector.shape}."
        )
    if not np.all(np.isfinite(vector)) or np.any(vector < 0):
        raise ValueError(f"{name} must hold probabilities >= 0, got {vector.tolist()}.")
    total = float(vector.sum())
    if abs(total - 1.0) > np.sqrt(np.finfo(np.float64).eps):
        raise ValueError(
            f"{name} must sum to 1, got {vector.tolist()}, which sums to {total:.6g}; divide the "
            "entries by their sum."
        )
    return vector


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" for the known name closest to ``name``, or an empty string."""
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
