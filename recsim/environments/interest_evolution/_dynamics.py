"""The mathematics of interest evolution, on arrays with any leading axes, without checks."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsim._internal.numbers import Floats

__all__ = [
    "mean_qualities",
    "scaled_interests",
    "updated_budget",
    "updated_interests",
    "updated_interests_of_one",
]

# NumPy takes longer for Python's numbers than for arrays of them.
_FLOAT64 = np.dtype(np.float64)
_LEAST, _GREATEST = np.array(-1.0), np.array(1.0)


def updated_interests(
    interests: np.ndarray,
    features: np.ndarray,
    uniform: float | np.ndarray,
    x_intercept: float = 1.0,
    y_intercept: float = 0.3,
) -> np.ndarray:
    """Returns users' interests after they watched a video.

    Interests move towards the video's features with probability ((interests + 1) / 2) . features,
    and away from them otherwise, by a step that is the smaller the stronger the interest:
    y_intercept (1 - abs(interest) / x_intercept).

    Args:
        interests: array of shape (..., n_topics), in [-1, 1].
        features: array of shape (..., n_topics).
        uniform: numbers in [0, 1) that decide the direction, of shape (...).
        x_intercept: interest at which the step is zero.
        y_intercept: step of an interest of zero.

    Returns:
        New array of shape (..., n_topics), in [-1, 1].
    """
    step: np.ndarray = np.abs(interests)
    step *= -y_intercept / x_intercept
    step += y_intercept
    step *= features
    step *= features - interests
    # Ties are real: a seed shared by users and choices gives both the same uniform numbers.
    towards: Any = _inner_product(interests + 1.0, features) > 2.0 * uniform
    direction: Any = 2.0 * towards - 1.0
    if interests.ndim > 1:
        direction = direction[..., np.newaxis]
    step *= direction
    step += interests
    moved: np.ndarray = np.minimum(np.maximum(step, -1.0), 1.0)
    return moved


def updated_interests_of_one(
    interests: np.ndarray,
    features: np.ndarray,
    uniform: float,
    x_intercept: float,
    y_intercept: float,
) -> np.ndarray:
    """Returns what :func:`updated_interests` does for one user, to the last bit.

    Where the video has a single topic it computes that one's number alone, in half the time.
    """
    (topics,) = features.nonzero()
    is_usual = interests.dtype is features.dtype is _FLOAT64 and interests.ndim == topics.size == 1
    if not is_usual:
        return updated_interests(interests, features, uniform, x_intercept, y_intercept)
    topic = topics.item()
    interest, feature = interests.item(topic), features.item(topic)
    step = (abs(interest) * (-y_intercept / x_intercept) + y_intercept) * feature
    step *= feature - interest
    towards = (interest + 1.0) * feature > 2.0 * uniform
    moved: np.ndarray = np.minimum(np.maximum(interests, _LEAST), _GREATEST)
    moved[topic] = min(max(step * (2.0 * towards - 1.0) + interest, -1.0), 1.0)
    return moved


def _inner_product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the inner products over the last axis; of two vectors by the faster ``dot``."""
    products: np.ndarray
    if first.ndim == second.ndim == 1:
        products = first.dot(second)
        return products
    products = first * second
    # NumPy takes longer to add up many sums of one number than to compute them.
    return products[..., 0] if products.shape[-1] == 1 else products.sum(axis=-1)


def updated_budget(budget: Floats, watch_time: Floats, utility: Floats, alpha: float) -> Floats:
    """Returns users' time budgets after they watched a video.

    Args:
        budget: time left, numbers or arrays of shape (...), as the other arguments.
        watch_time: time watched, in the unit of the budget.
        utility: received utility (the video's quality, by default).
        alpha: share of the watch time that a unit of utility gives back.
    """
    result: Floats = budget - watch_time + alpha * watch_time * utility
    return result


def scaled_interests(uniform: np.ndarray, low: float, high: float) -> np.ndarray:
    """Returns uniform numbers in [0, 1) as interests in [low, high)."""
    return (high - low) * uniform + low


def mean_qualities(
    num_topics: int, min_utility: float, max_utility: float, low_quality_share: float
) -> np.ndarray:
    """Returns the mean qualities of videos by topic, shape (num_topics,), in ascending order.

    Args:
        num_topics: number of topics.
        min_utility: mean quality of the first topic.
        max_utility: mean quality of the last topic.
        low_quality_share: share of the topics, rounded down to whole ones, whose means are evenly
            spaced from ``min_utility`` to 0; those of the others are, from 0 to ``max_utility``.
    """
    low = np.linspace(min_utility, 0, int(num_topics * low_quality_share))
    high = np.linspace(0, max_utility, num_topics - len(low))
    return np.concatenate((low, high))
