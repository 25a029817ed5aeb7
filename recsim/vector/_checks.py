"""Checks of what a vectorized scenario's methods return."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from recsim._internal import numbers

__all__ = ["check_done", "check_fields", "checked_choice", "checked_metrics", "checked_rewards"]


def check_fields(part: object, method: str, values: object, *lengths: int) -> None:
    """Raises an error unless a method returned a dataclass of arrays of the right shape.

    Args:
        part: the user model or document sampler.
        method: the name of its method.
        values: what the method returned.
        *lengths: lengths of the first axes of each array.

    Raises:
        TypeError: if it is not a dataclass of arrays.
        ValueError: if an array has another shape.
    """
    name = f"{method} of {type(part).__name__}"
    if not dataclasses.is_dataclass(values):
        raise TypeError(
            f"{name} must return a dataclass of arrays, got {numbers.described(values)}."
        )
    for field in dataclasses.fields(values):
        value = getattr(values, field.name)
        if not isinstance(value, np.ndarray):
            raise TypeError(
                f"{name} must return arrays in its fields, got {numbers.described(value)} for "
                f"{field.name}."
            )
        if value.shape[: len(lengths)] != lengths:
            shape = f"({', '.join(map(str, lengths))}, …)"
            raise ValueError(
                f"{name} must return fields of shape {shape}, got {value.shape} for {field.name}."
            )


def checked_choice(part: object, choice: object, num_users: int, slate_size: int) -> np.ndarray:
    """Returns what ``choose`` returned as an array of positions in slates, or of bools for them.

    Raises:
        TypeError, ValueError: if it is not one position for each user, nor a bool for each position
            of each user.
    """
    name = f"choose of {type(part).__name__}"
    if isinstance(choice, np.ndarray) and choice.dtype == np.bool_:
        if choice.shape != (num_users, slate_size):
            raise ValueError(
                f"{name} must return bools for the positions of each user's slate, an array of "
                f"shape ({num_users}, {slate_size}), got one of shape {choice.shape}."
            )
        return choice
    if isinstance(choice, np.ndarray) and choice.dtype.kind in "iu":
        positions = choice
    else:
        positions = numbers.whole_array(f"What {name} returns", choice)
    if positions.shape != (num_users,):
        raise ValueError(
            f"{name} must return a position for each user, an array of shape ({num_users},), got "
            f"one of shape {positions.shape}."
        )
    if positions.min() < 0 or positions.max() > slate_size:
        bad = positions[(positions < 0) | (positions > slate_size)]
        raise ValueError(
            f"{name} must return positions in slates, 0 to {slate_size - 1}, or {slate_size} "
            f"(slate_size) where nothing is chosen, got {bad[0]} for {len(bad)} of {num_users} "
            "users."
        )
    return positions


def check_done(part: object, done: object, num_users: int) -> None:
    """Raises TypeError or ValueError unless ``is_done`` returned a bool for each user."""
    name = f"is_done of {type(part).__name__}"
    bools = numbers.array(f"What {name} returns", done)
    if np.isnan(bools).any():
        raise ValueError(f"{name} must return bools, got {numbers.described(done)}.")
    if bools.shape != (num_users,):
        raise ValueError(
            f"{name} must return a bool for each user, an array of shape ({num_users},), or None "
            f"if episodes never end, got one of shape {bools.shape}."
        )


def checked_rewards(rewards: object, num_users: int) -> np.ndarray:
    """Returns what a reward aggregator returned as an array of rewards.

    Raises:
        TypeError, ValueError: if it is not a finite number for each user.
    """
    array = numbers.float_array("the rewards, of reward_aggregator,", rewards)
    if array.shape != (num_users,):
        raise ValueError(
            "reward_aggregator must return a reward for each user, an array of shape "
            f"({num_users},), got one of shape {array.shape}: sum over axis 1 of the responses "
            "alone."
        )
    if not numbers.all_finite(array):
        bad = array[~np.isfinite(array)]
        raise ValueError(
            f"reward_aggregator must return finite rewards, got {bad[0]} for {len(bad)} of "
            f"{num_users} users."
        )
    return array


def checked_metrics(metrics: object) -> Mapping[str, float]:
    """Returns what a metrics aggregator returned as finite numbers by name.

    Raises:
        TypeError, ValueError: if it is something else.
    """
    if not isinstance(metrics, (dict, Mapping)):
        raise TypeError(
            "metrics_aggregator must return what it adds to the metrics, a dictionary of numbers "
            f"by name, got {numbers.described(metrics)}."
        )
    return {
        name: value
        if type(value) is float and math.isfinite(value)
        else numbers.finite(f"The metric {name!r}, of metrics_aggregator,", value)
        for name, value in metrics.items()
    }
