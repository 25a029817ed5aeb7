"""Entries of observations, and spaces of them, told apart from what is no observation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recsim._internal import numbers

__all__ = ["check_space", "entry", "without_entry"]


def without_entry(observation: Any, key: str) -> Exception:
    """Returns the error for an observation that has no entry 'user', 'doc' or 'response'."""
    if isinstance(observation, Mapping):
        return ValueError(
            f"observation must have the key {key!r}, as the environment's have, got the keys "
            f"{numbers.described(sorted(map(str, observation)))}."
        )
    return TypeError(
        "observation must be a dictionary as the environment returns it, got "
        f"{numbers.described(observation)}."
    )


def entry(observation: Mapping[str, Any], key: str) -> Any:
    """Returns an entry of an environment's observation.

    Raises:
        TypeError, ValueError: see :func:`without_entry`.
    """
    try:
        return observation[key]
    except (IndexError, KeyError, TypeError):
        raise without_entry(observation, key) from None


def check_space(space: Any, *keys: str) -> None:
    """Raises TypeError if a space is no Dict space of observations with some entries."""
    entries = getattr(space, "spaces", None)
    if not isinstance(entries, Mapping) or not set(keys) <= set(entries):
        raise TypeError(
            f"observation_space must be a Dict space with {' and '.join(map(repr, keys))} "
            f"(environment.observation_space), got {numbers.described(space)}."
        )
