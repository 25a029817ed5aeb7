"""Checks of what an agent's bundle holds, before anything is restored from it.

A bundle may be of anybody's file. What does not fit is a ValueError that names the agent, the
entry and what is there. Each ``unbundle`` checks everything first, then restores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from recsim._internal import generator_states, numbers

__all__ = [
    "array",
    "count",
    "entries",
    "generator_state",
    "number",
    "refuse",
]

_LARGEST = float(np.finfo(np.float64).max)


def refuse(owner: Any, name: str, expected: str, value: Any) -> NoReturn:
    """Raises the ValueError of an entry that is something else than expected.

    Args:
        owner: the agent that is to be restored.
        name: the entry's name.
        expected: what it must be.
        value: what it is.
    """
    raise ValueError(
        f"{type(owner).__name__} cannot be restored from this bundle: {name!r} must be {expected}, "
        f"got {numbers.described(value)}."
    )


def count(owner: Any, name: str, value: Any) -> int:
    """Returns an integer in [0, 2**63); ValueError if it is something else."""
    if isinstance(value, np.integer):
        value = int(value)
    if type(value) is not int or not 0 <= value < 1 << 63:
        refuse(owner, name, "an integer in [0, 2**63)", value)
    return value


def number(
    owner: Any, name: str, value: Any, low: float = -math.inf, high: float = math.inf
) -> Any:
    """Returns a finite number in a range; ValueError if it is something else."""
    real = type(value) in (float, int) or isinstance(value, (np.integer, np.floating))
    if not real or not max(low, -_LARGEST) <= value <= min(high, _LARGEST):
        limits = "" if math.isinf(low) else f" in [{low:g}, {high:g}]"
        refuse(owner, name, f"a finite number{limits}", value)
    return value


def entries(owner: Any, name: str, value: Any, *wanted: str) -> Mapping[Any, Any]:
    """Returns a dictionary with at least the entries wanted; ValueError if it is something else."""
    if not isinstance(value, Mapping) or not all(key in value for key in wanted):
        among = f" with {', '.join(map(repr, wanted))}" if wanted else ""
        refuse(owner, name, f"a dictionary{among}", value)
    return value


def array(
    owner: Any, name: str, value: Any, shape: Sequence[int | None], kinds: str = "f"
) -> np.ndarray:
    """Returns an array of finite numbers; ValueError if it is something else.

    Args:
        owner: the agent that is to be restored.
        name: the entry's name.
        value: what should be the array.
        shape: its shape, None for an axis of any length.
        kinds: the kinds of dtypes that it may have, such as ``'iu'``.
    """
    fits = (
        isinstance(value, np.ndarray)
        and value.dtype.kind in kinds
        and value.ndim == len(shape)
        and all(wanted in (None, there) for wanted, there in zip(shape, value.shape, strict=True))
    )
    if not fits or (value.dtype.kind == "f" and not np.isfinite(value).all()):
        dimensions = ", ".join("any" if axis is None else str(axis) for axis in shape)
        got: Any = value
        if isinstance(value, np.ndarray) and not fits:
            got = (value.dtype.name, value.shape)
        refuse(owner, name, f"an array of finite numbers of shape ({dimensions})", got)
    return value


def generator_state(owner: Any, name: str, state: Any, *, with_normal: bool) -> Any:
    """Returns a generator's state; ValueError if it is something else.

    Args:
        owner: the agent that is to be restored.
        name: the entry's name.
        state: what should be a state of :func:`recsim.seeding.generator_state`.
        with_normal: whether it is that of a RandomState.
    """
    try:
        generator_states.check_state(state, with_normal=with_normal)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{type(owner).__name__} cannot be restored from this bundle: {name!r} is no state of "
            f"its generator. {error}"
        ) from None
    return state
