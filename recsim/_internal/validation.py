"""Checks of arguments, whose errors say what was expected, what came and what to do."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from recsim._internal import numbers

__all__ = [
    "LARGEST",
    "SMALLEST",
    "callable_or_none",
    "candidates_and_slate",
    "distinct",
    "finite",
    "flag",
    "function",
    "mapping",
    "nearest_name",
    "non_negative_float",
    "number",
    "positive_float",
    "positive_int",
    "probability",
    "probability_vector",
    "random_state",
    "seed",
]

#: Settings beyond this have products and squares that a float cannot hold: they are refused.
LARGEST = 1e100
#: The like for what is divided by.
SMALLEST = 1e-100

_MAX_INT = 2**63 - 1


def positive_int(name: str, value: object, minimum: int = 1, maximum: int | None = _MAX_INT) -> int:
    """Returns ``value`` as an int of at least ``minimum``.

    Args:
        name: what the number is, for errors.
        value: the number.
        minimum: the least that it may be.
        maximum: the most that it may be, None for no limit.

    Raises:
        TypeError: if the value is not a whole number (a bool or a float is not one).
        ValueError: if the value is below ``minimum`` or above ``maximum``.
    """
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer >= {minimum}, got the bool {value!r}.")
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # Else it raises.
    except TypeError:
        raise TypeError(
            f"{name} must be an integer >= {minimum}, got {numbers.described(value)} of type "
            f"{type(value).__name__}; pass a whole number."
        ) from None
    if number < minimum:
        raise ValueError(
            f"{name} must be an integer >= {minimum}, got {numbers.described(number)}."
        )
    if maximum is not None and number > maximum:
        raise ValueError(
            f"{name} must be an integer <= {maximum}, got {numbers.described(number)}."
        )
    return number


def seed(name: str, value: object) -> int:
    """Returns a seed, an integer >= 0 of any size; raises as :func:`positive_int` does."""
    return positive_int(name, value, minimum=0, maximum=None)


def random_state(name: str, value: object) -> np.random.RandomState:
    """Returns ``np.random.RandomState(value)``, whose errors do not name the argument.

    Args:
        name: what the seed is, for errors.
        value: an integer in [0, 2**32 - 1], a list of them, or None for one of the system's.

    Raises:
        TypeError, ValueError: for another seed.
    """
    try:
        return np.random.RandomState(value)  # type: ignore[arg-type]  # Else it raises.
    except (TypeError, ValueError, OverflowError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"{name} must be an integer in [0, 2**32 - 1] or None, got {numbers.described(value)}."
        ) from None


def candidates_and_slate(num_candidates: object, slate_size: object) -> tuple[int, int]:
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


def distinct(slates: np.ndarray, users: Sequence[int] | None = None) -> None:
    """Raises ValueError if a slate has a candidate twice.

    Args:
        slates: indices of candidates, shape (n_users, slate_size).
        users: the users' numbers, for the error; None where there is one.
    """
    in_order = np.sort(slates, axis=1)
    repeated = (in_order[:, 1:] == in_order[:, :-1]).any(axis=1)
    if repeated.any():
        row = int(repeated.argmax())
        whose = "" if users is None else f" of user {users[row]}"
        raise ValueError(
            "slates must hold different candidates, for the environment's distinct_slates is True, "
            f"but the slate{whose} is {slates[row].tolist()}: choose each candidate once."
        )


def number(name: str, value: object, low: float = -LARGEST, high: float = LARGEST) -> float:
    """Returns ``value`` as a float in [low, high].

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is not within the bounds, which NaN is not.
    """
    as_float = numbers.as_float(name, value)
    if not low <= as_float <= high:
        raise ValueError(
            f"{name} must be a finite number{_bounds(as_float, low, high)}, got "
            f"{numbers.described(value)}."
        )
    return as_float


def _bounds(number: float, low: float, high: float) -> str:
    """Returns " in [low, high]", without a bound that is only there for results to be finite."""
    if high == LARGEST and abs(number) > LARGEST:
        return f" of at most {LARGEST:g} in size"
    if high == LARGEST:
        return f" >= {low:g}"
    return f" in [{low:g}, {high:g}]"


def non_negative_float(name: str, value: object) -> float:
    """Returns ``value`` as a float of at least 0, see :func:`number`."""
    return number(name, value, low=0.0)


def positive_float(name: str, value: object) -> float:
    """Returns ``value`` as a float above 0 whose reciprocal is finite, see :func:`number`."""
    as_float = numbers.as_float(name, value)
    if not SMALLEST <= as_float <= LARGEST:
        raise ValueError(
            f"{name} must be above 0, a number from {SMALLEST:g} to {LARGEST:g}, got "
            f"{numbers.described(value)}."
        )
    return as_float


def finite(name: str, values: object) -> np.ndarray:
    """Returns ``values`` as a float64 array of finite numbers.

    Raises:
        TypeError: if they are not numbers.
        ValueError: if one is not finite, or beyond 1e100.
    """
    array = numbers.float_array(name, values).astype(np.float64, copy=False)
    if not (np.abs(array) <= LARGEST).all():
        raise ValueError(
            f"{name} must be finite, in [{-LARGEST:g}, {LARGEST:g}], got "
            f"{numbers.described(array.tolist())}."
        )
    return array


def probability(name: str, value: object) -> float:
    """Returns ``value`` as a float in [0, 1].

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is outside [0, 1], as NaN is.
    """
    as_float = numbers.as_float(name, value)
    if not 0.0 <= as_float <= 1.0:
        raise ValueError(f"{name} must be a probability in [0, 1], got {numbers.described(value)}.")
    return as_float


def callable_or_none(name: str, value: object) -> Callable[..., Any] | None:
    """Returns a function, or None; TypeError for anything else."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a function, got {numbers.described(value)}.")
    return value


def flag(name: str, value: object) -> bool:
    """Returns a bool, also for 0 and 1; TypeError for anything else, such as "False"."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)) and value in (0, 1):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {numbers.described(value)}.")


def function(name: str, value: object) -> Callable[..., Any]:
    """Returns a function or a class; TypeError for anything else."""
    if not callable(value):
        raise TypeError(f"{name} must be a function or a class, got {numbers.described(value)}.")
    return value


def mapping(name: str, value: object) -> Mapping[Any, Any]:
    """Returns a dictionary or what behaves like one; TypeError for anything else."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dictionary, got {numbers.described(value)}.")
    return value


def probability_vector(name: str, values: object) -> np.ndarray:
    """Returns ``values`` as a float64 vector of probabilities that sum to one.

    Raises:
        ValueError: if the vector is empty, has a negative or non-finite entry, or does not sum
            to one within 1e-8 (the tolerance of ``numpy.random.RandomState.choice``).
    """
    vector = numbers.float_array(name, values).astype(np.float64, copy=False)
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


def nearest_name(name: str, known: Iterable[str], similarity: float = 0.5) -> str:
    """Returns " Did you mean 'x'?" for the known name closest to ``name``, or an empty string.

    Args:
        name: the name that is not known.
        known: the names that are.
        similarity: how similar the closest must be, from 0 to 1.
    """
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=similarity)
    return f" Did you mean {close[0]!r}?" if close else ""
