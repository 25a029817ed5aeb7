"""Numbers that come from outside: of an observation, a response, a reward, an argument.

Environments hand out numbers as Python's, as NumPy scalars and as arrays of one entry, such as an
element of ``Box(shape=(1,))``. All of them count as the number, and what is not one number is
refused by name. A Python float passes at the price of a call.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

__all__ = [
    "Floats",
    "array",
    "as_float",
    "as_int",
    "bool_per_user",
    "described",
    "finite",
    "finite_per_item",
    "finite_per_user",
    "finite_float32",
    "float_array",
    "is_nonzero",
    "on_floats",
    "one_per_item",
    "whole_array",
    "whole_per_item",
]

#: Types of single numbers, the frequent ones first: the last one is slow to ask for.
_NUMBERS = (int, np.floating, np.integer, numbers.Real)
_MAX_FLOAT32 = float(np.finfo(np.float32).max)
#: Characters of a value that an error shows.
_SHOWN = 120
#: Whole numbers up to here are whole numbers as floats too.
_MAX_WHOLE = 2.0**53

Function = TypeVar("Function", bound=Callable[..., Any])
#: What a formula takes and returns: numbers, or arrays.
Floats = TypeVar("Floats", float, np.ndarray)


def as_float(name: str, value: object) -> float:
    """Returns a number as a float; an array of one entry counts as that entry.

    Args:
        name: what the number is, for errors.
        value: the number: Python's, NumPy's, or an array of one.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is several numbers, or too large for a float.
    """
    if type(value) is float:
        return value
    if isinstance(value, float):
        return float(value)
    if type(value) is np.ndarray and value.size == 1:
        value = value.item()
    if isinstance(value, _NUMBERS):
        try:
            return float(value)
        except OverflowError:
            raise ValueError(
                f"{name} must be a number that a float can hold, got {described(value)}."
            ) from None
    return _unusual(name, value)


def _unusual(name: str, value: object) -> float:
    """Returns what is neither a Python number nor a NumPy array as a float."""
    if isinstance(value, np.bool_):
        return float(value)
    result = None
    if value is not None and not isinstance(value, (str, bytes, dict)):
        try:
            result = np.asarray(value)
        except Exception:  # Whatever a stranger's object does when it is asked for an array.
            result = None
    if result is None or result.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} must be a number, got {described(value)} of type {type(value).__name__}."
        )
    if result.size != 1:
        raise ValueError(
            f"{name} must be one number, got {result.size} in an array of shape {result.shape}: "
            f"{described(value)}."
        )
    return float(result.item())


def described(value: object) -> str:
    """Returns the ``repr`` of a value for an error, shortened where it is long."""
    try:
        text = repr(value)
    except Exception:  # An integer of more digits than Python writes, or a stranger's object.
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def finite(name: str, value: object) -> float:
    """Returns a number as a finite float, as :func:`as_float` does; ValueError if it is not one."""
    number = value if type(value) is float else as_float(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {described(value)}.")
    return number


def finite_float32(name: str, value: object) -> float:
    """Returns what :func:`finite` does, if single precision can hold it; ValueError if not."""
    number = finite(name, value)
    if not -_MAX_FLOAT32 <= number <= _MAX_FLOAT32:
        raise ValueError(
            f"{name} must be a number that single precision can hold, at most {_MAX_FLOAT32:.3g}, "
            f"got {described(value)}: scale it down."
        )
    return number


def as_int(name: str, value: object) -> int:
    """Returns a whole number as an int; an array of one entry counts as that entry.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is several numbers, or not a whole one.
    """
    if type(value) is int:
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    number = as_float(name, value)
    if not number.is_integer():
        raise ValueError(f"{name} must be a whole number, got {described(value)}.")
    return int(number)


def is_nonzero(name: str, value: object) -> bool:
    """Says whether a number, such as a response's click, is another one than 0.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is several numbers, or not finite.
    """
    if type(value) is int or type(value) is bool:
        return value != 0
    return finite(name, value) != 0.0


def array(name: str, values: object) -> np.ndarray:
    """Returns numbers as an array, of their own dtype.

    Args:
        name: what the numbers are, for errors.
        values: numbers, in an array or in nested lists.

    Raises:
        TypeError: if they are not real numbers.
        ValueError: if nested lists have different lengths.
    """
    if type(values) is np.ndarray and values.dtype.char in "fdlib":
        return values
    try:
        result = np.asarray(values)
    except ValueError:
        raise ValueError(
            f"{name} must be an array of numbers, got lists of different lengths: "
            f"{described(values)}."
        ) from None
    except Exception:  # Whatever a stranger's object does when it is asked for an array.
        result = np.asarray(None)
    if result.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} must be numbers, got {described(values)} of type {type(values).__name__}."
        )
    return result


def float_array(name: str, values: object) -> np.ndarray:
    """Returns numbers as an array of float32 or float64: float64 unless they were float32.

    Args:
        name: what the numbers are, for errors.
        values: numbers, in an array or in nested lists.

    Raises:
        TypeError: if they are not numbers.
        ValueError: if nested lists have different lengths.
    """
    if type(values) is np.ndarray and values.dtype.char in "fd":
        return values
    values = array(name, values)
    return values if values.dtype == np.float32 else values.astype(np.float64, copy=False)


def on_floats(*whole: str) -> Callable[[Function], Function]:
    """Returns a decorator that lets a formula take numbers and arrays of any real dtype.

    The arguments become floats, or arrays of float32 or float64, so that integers, unsigned ones
    among them, give what their floats give. What is not a number, or does not broadcast, is refused
    by name, as are finite arguments whose result is not finite.

    Args:
        *whole: names of the arguments that are whole numbers, which become integers.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: object, **kwargs: object) -> object:
            bound = signature.bind(*args, **kwargs)
            for name, value in bound.arguments.items():
                numeric = whole_array(name, value) if name in whole else float_array(name, value)
                bound.arguments[name] = numeric if numeric.ndim else numeric[()]
            return _formula(function, bound)

        return cast(Function, checked)

    return decorate


def _formula(function: Callable[..., Any], bound: inspect.BoundArguments) -> object:
    """Calls a formula with arguments that are numbers; refuses those that do not fit."""
    try:
        with np.errstate(all="ignore"):
            result = function(*bound.args, **bound.kwargs)
    except (ValueError, IndexError) as error:
        shapes = {name: np.shape(value) for name, value in bound.arguments.items()}
        raise ValueError(
            f"{function.__name__} takes arguments whose shapes fit one another, got {shapes} "
            f"({error})."
        ) from None
    if not np.isfinite(result).all() and all(
        np.isfinite(value).all() for value in bound.arguments.values()
    ):
        raise ValueError(
            f"{function.__name__} is not finite for the arguments {described(bound.arguments)}: "
            "choose smaller ones."
        )
    return result


def whole_array(name: str, values: object) -> np.ndarray:
    """Returns whole numbers as an array of integers.

    Raises:
        TypeError: if they are not numbers.
        ValueError: if one is not whole, or too large for an integer.
    """
    result = array(name, values)
    if result.dtype.kind in "iu":
        return result.astype(np.int64) if result.dtype == np.uint64 else result
    if not (np.abs(result.astype(np.float64)) <= _MAX_WHOLE).all():
        raise ValueError(f"{name} must hold whole numbers, got {described(values)}.")
    integers = result.astype(np.int64)
    if (integers != result).any():
        raise ValueError(f"{name} must hold whole numbers, got {described(values)}.")
    return integers


def one_per_item(name: str, values: object, num_axes: int) -> np.ndarray:
    """Returns an array with one number for each item, without further axes of length one.

    Args:
        name: what the numbers are, for errors.
        values: array whose first ``num_axes`` axes count the items, such as users and documents.
        num_axes: number of those axes.

    Raises:
        TypeError: if they are not real numbers.
        ValueError: if an item has several numbers.
    """
    values = array(name, values)
    if values.ndim == num_axes:
        return values
    if values.ndim < num_axes or any(length != 1 for length in values.shape[num_axes:]):
        raise ValueError(
            f"{name} must have one number for each item, items on the first {num_axes} axes, got "
            f"an array of shape {values.shape}."
        )
    return values.reshape(values.shape[:num_axes])


def whole_per_item(name: str, values: object, num_axes: int) -> np.ndarray:
    """Returns what :func:`one_per_item` does as integers; ValueError if one is not whole."""
    return whole_array(name, one_per_item(name, values, num_axes))


def finite_per_item(name: str, values: object, num_axes: int) -> np.ndarray:
    """Returns what :func:`one_per_item` does; ValueError if a number is not finite."""
    values = one_per_item(name, values, num_axes)
    good = np.isfinite(values)
    if not good.all():
        raise ValueError(f"{name} must be finite numbers, got {values[~good][0]}.")
    return values


def all_finite(array: np.ndarray) -> bool:
    """Says whether all numbers of an array are finite."""
    return bool(np.isfinite(array).all())


def finite_per_user(
    name: str, values: object, num_users: int, *, single_precision: bool = False
) -> np.ndarray:
    """Returns a real finite number for each user, an array of shape (num_users,).

    Args:
        name: what the numbers are, for errors.
        values: array of shape (num_users,), or (num_users, 1), whose dtype stays.
        num_users: number of users.
        single_precision: whether the numbers must be finite as float32 too.

    Raises:
        TypeError: if they are not real numbers.
        ValueError: if they are not one number for each user, or one is not finite.
    """
    result = array(name, values)
    if result.ndim != 1:  # An entry of one number counts as the number.
        result = one_per_item(name, result, 1)
    if len(result) != num_users:
        raise ValueError(
            f"{name} must be a number for each of the {num_users} users, got {len(result)}: "
            f"{described(values)}."
        )
    checked = result
    if single_precision and result.dtype != np.float32:
        with np.errstate(over="ignore"):  # What single precision cannot hold becomes infinity.
            checked = result.astype(np.float32)
    if not all_finite(checked):
        good = np.isfinite(checked)
        raise ValueError(
            f"{name} must be finite numbers{' in single precision' * single_precision}, got "
            f"{result[~good][0]}."
        )
    return result


def bool_per_user(name: str, values: object, num_users: int) -> np.ndarray:
    """Returns a bool for each user, an array of shape (num_users,).

    Raises:
        TypeError: if they are not bools.
        ValueError: if their shape is another one.
    """
    result = values if type(values) is np.ndarray else np.asarray(array(name, values))
    if result.dtype != np.bool_:
        raise TypeError(
            f"{name} must be a bool for each of the {num_users} users, got {described(values)} of "
            f"type {result.dtype}."
        )
    if result.shape != (num_users,):
        raise ValueError(
            f"{name} must be a bool for each of the {num_users} users, an array of shape "
            f"({num_users},), got shape {result.shape}."
        )
    return result
