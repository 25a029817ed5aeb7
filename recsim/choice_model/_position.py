"""The position that one user chooses by weights, and what is said of bad weights."""

from __future__ import annotations

import math
from typing import Any, NoReturn

from numpy.typing import ArrayLike

from recsim._internal import numbers

__all__ = ["position", "refuse_uniform", "refuse_weights"]


def position(weights: list[float], uniform: float) -> int:
    """Returns a position with probability proportional to its weight.

    Plain loops, which for a slate take less time than functions of the standard library.

    Args:
        weights: numbers >= 0 with a positive sum.
        uniform: a number in [0, 1).

    Raises:
        TypeError: if a weight is not a number.
        ValueError: if the weights give no distribution, or the number is not in [0, 1).
    """
    total = 0.0
    for weight in weights:
        if weight < 0.0:
            refuse_weights(weights)
        total += weight
    if not 0.0 < total < math.inf:
        refuse_weights(weights)
    if not 0.0 <= uniform < 1.0:
        refuse_uniform(uniform)
    threshold, reached, chosen = uniform * total, 0.0, 0
    for weight in weights[:-1]:
        reached += weight
        if threshold < reached:
            return chosen
        chosen += 1
    return chosen


def refuse_weights(weights: list[Any]) -> NoReturn:
    """Raises ValueError for weights that give no distribution."""
    raise ValueError(
        "scores must give a distribution: finite weights >= 0 with a positive sum, got "
        f"{weights} for the documents and, last, no click (a proportional model's weights are "
        "scores minus min_normalizer, which no score may go below)."
    )


def refuse_uniform(uniform: ArrayLike) -> NoReturn:
    """Raises ValueError for numbers that are not in [0, 1)."""
    raise ValueError(f"uniform must be numbers in [0, 1), got {numbers.described(uniform)}.")
