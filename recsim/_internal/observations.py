"""Entries of observations, and spaces of them, told apart from what is no observation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recsim._internal import numbers

__all__ = ["check_space", "entry"]


def entry(observation: Mapping[str, Any], key: str) -> Any:
    """Returns an entry of an environment's observation: 'user', 'doc' or 'response'.

    Raises:
        TypeError: if the observation is no dictionary.
        ValueError: if it has no such entry.
    """
    try:
        return observation[key]
    except (IndexError, KeyError, TypeError):
        if isinstance(observation, Mapping):
            raise ValueError(
                f"observation must have the key {key!r}, as the environment's have, got the keys "
                f"{numbers.described(sorted(map(str, observation)))}."
            ) from None
        raise TypeError(
            "observation must be a dictionary as the environment returns it, got "
            f"{numbers.described(observation)}."
        ) from None


def check_space(space: Any, *keys: str) -> None:
    """Raises TypeError if a space is no Dict space of observations with some entries."""
    entries = getattr(space, "spaces", None)
    if not isinstance(entries, Mapping) or not set(keys) <= set(entries):
        raise TypeError(
            f"observation_space must be a Dict space with {' and '.join(map(repr, keys))} "
            f"(environment.observation_space), got {numbers.described(space)}."
        )
