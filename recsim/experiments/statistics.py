"""What a sample says: means, standard errors, confidence intervals, paired differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recsim._internal import numbers

__all__ = [
    "estimate",
    "in_standard_errors",
    "mean_and_deviation",
    "median_interval",
    "paired_difference",
]


def estimate(values: ArrayLike) -> dict[str, Any]:
    """Returns the mean of a sample, its standard error and its 95% confidence interval.

    The interval is Student's.

    Args:
        values: the sample, shape (n, ...) with n >= 2; each entry of the other axes is a quantity
            of its own.

    Returns:
        ``mean``, ``standard_error``, ``low`` and ``high``: floats for a sample of shape (n,), else
        nested lists of the shape of the other axes.

    Raises:
        ValueError: if there are fewer than two values.

    Example:
        >>> {name: round(value, 2) for name, value in estimate([1.0, 3.0, 2.0]).items()}
        {'mean': 2.0, 'standard_error': 0.58, 'low': -0.48, 'high': 4.48}
    """
    from scipy import special  # Slow to import, and not needed where samples are only drawn.

    values = numbers.float_array("values", values).astype(np.float64, copy=False)
    if values.ndim == 0 or len(values) < 2:
        raise ValueError(f"values must hold at least two, got an array of shape {values.shape}.")
    mean = values.mean(axis=0)
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    half_width = special.stdtrit(len(values) - 1, 0.975) * error
    return {
        "mean": mean.tolist(),
        "standard_error": error.tolist(),
        "low": (mean - half_width).tolist(),
        "high": (mean + half_width).tolist(),
    }


def _sample(name: str, values: ArrayLike) -> np.ndarray:
    """Returns numbers as a float array of shape (n,)."""
    return numbers.one_per_item(name, numbers.float_array(name, values), 1)


def mean_and_deviation(values: np.ndarray) -> dict[str, Any]:
    """Returns mean and standard deviation of the values that are not NaN, None of too few.

    Args:
        values: a measure by episode, shape (num_episodes,).

    Returns:
        ``mean``, ``standard_deviation`` (with n - 1) and ``episodes``, the number of values.
    """
    values = _sample("values", values)
    values = values[~np.isnan(values)]
    return {
        "mean": float(values.mean()) if len(values) else None,
        "standard_deviation": float(values.std(ddof=1)) if len(values) > 1 else None,
        "episodes": len(values),
    }


def paired_difference(values: np.ndarray, baseline: np.ndarray) -> dict[str, Any]:
    """Returns the mean difference of paired values, with its 95% confidence interval.

    The interval is Student's for the mean of the differences, which takes the pairs for a sample.

    Args:
        values: an agent's values by episode, shape (num_episodes,).
        baseline: another agent's values in the same episodes, of the same shape.

    Returns:
        ``mean``, and ``low`` and ``high``, which are None if there is a single pair.

    Example:
        >>> result = paired_difference(np.array([2.0, 4.0, 3.0]), np.array([1.0, 1.0, 1.0]))
        >>> {name: round(value, 2) for name, value in result.items()}
        {'mean': 2.0, 'low': -0.48, 'high': 4.48}
    """
    values = _sample("values", values)
    baseline = _sample("baseline", baseline)
    if len(values) != len(baseline) or not len(values):
        raise ValueError(
            "values and baseline must be of the same episodes, at least one, got "
            f"{len(values)} and {len(baseline)} of them."
        )
    differences = values - baseline
    if len(differences) < 2:
        return {"mean": float(differences.mean()), "low": None, "high": None}
    estimated = estimate(differences)
    return {name: estimated[name] for name in ("mean", "low", "high")}


def in_standard_errors(
    mean: float, standard_error: float, other_mean: float, other_error: float
) -> float:
    """Returns how many standard errors of their difference one mean is above another.

    Args:
        mean: the mean of a sample.
        standard_error: its standard error.
        other_mean: the mean of another sample, independent of the first.
        other_error: its standard error, not 0 if the first is.

    Raises:
        TypeError: if an argument is not a number.
        ValueError: if one is not finite, or both standard errors are 0.
    """
    error = math.hypot(
        numbers.finite("standard_error", standard_error),
        numbers.finite("other_error", other_error),
    )
    if error == 0.0:
        raise ValueError("standard_error and other_error must not both be 0.")
    difference = numbers.finite("mean", mean) - numbers.finite("other_mean", other_mean)
    return difference / error


def median_interval(values: ArrayLike) -> tuple[float, float]:
    """Returns a confidence interval of a median, of at least 95%, from order statistics.

    It supposes nothing of the distribution: the number of values below the median is binomial.

    Args:
        values: the sample, shape (n,). Fewer than six values bound nothing at 95%: the interval
            is then the whole line.

    Returns:
        The interval's ends, minus and plus infinity where there are too few values.

    Example:
        >>> median_interval(range(15))
        (3.0, 11.0)
    """
    from scipy import special

    ordered = numbers.float_array("values", values).astype(np.float64)
    if ordered.ndim != 1 or np.isnan(ordered).any():
        raise ValueError(
            "values must be a sample of shape (n,) without NaN, got "
            f"{numbers.described(ordered.tolist())}."
        )
    ordered.sort()
    number = len(ordered)
    # The rank of the lower end: with 97.5%, so many values at least are below the median.
    rank = int((special.bdtr(np.arange(number), number, 0.5) <= 0.025).sum())
    if not rank:
        return -np.inf, np.inf
    return float(ordered[rank - 1]), float(ordered[-rank])
