"""The mathematics of long-term satisfaction, on numbers or arrays of any shape, without checks."""

from __future__ import annotations

import numpy as np

from recsim._internal.numbers import Floats

__all__ = [
    "initial_net_positive_exposure",
    "interpolated",
    "log_engagement",
    "next_net_positive_exposure",
    "satisfaction",
    "scaled_score",
]


def satisfaction(net_positive_exposure: Floats, sensitivity: float) -> Floats:
    """Returns users' satisfaction in (0, 1): the logistic function of sensitivity * exposure."""
    exponent = -sensitivity * net_positive_exposure
    if type(exponent) is float:
        if exponent > 700.0:
            exponent = 700.0  # The exponential of more overflows; satisfaction is as good as 0.
        return 1.0 / (1.0 + float(np.exp(exponent)))
    result: Floats = 1.0 / (1.0 + np.exp(exponent))
    return result


def next_net_positive_exposure(
    net_positive_exposure: Floats,
    clickbait_score: Floats,
    memory_discount: float,
    innovation: Floats,
) -> Floats:
    """Returns users' net positive exposure after a document was shown to them.

    Args:
        net_positive_exposure: numbers or arrays of shape (...), as the other arguments.
        clickbait_score: the document's score in [0, 1].
        memory_discount: share of the exposure that is remembered, in [0, 1).
        innovation: noise, normal with standard deviation ``innovation_stddev``.
    """
    result: Floats = (
        memory_discount * net_positive_exposure - 2.0 * (clickbait_score - 0.5) + innovation
    )
    return result


def initial_net_positive_exposure(
    memory_discount: float, uniform: Floats, scale: float = 1.0
) -> Floats:
    """Returns new users' net positive exposure, uniform and centred on 0.

    Args:
        memory_discount: see :func:`next_net_positive_exposure`.
        uniform: numbers in [0, 1), of shape (...).
        scale: width of the distribution, in units of 1 / (1 - memory_discount), the sum of the
            exposures to kale that a user remembers.
    """
    result: Floats = (uniform - 0.5) * (scale / (1.0 - memory_discount))
    return result


def log_engagement(location: Floats, scale: Floats, satisfaction: Floats, normal: Floats) -> Floats:
    """Returns the logarithms of users' engagements with documents.

    Args:
        location: the documents' means at a satisfaction of 1, of shape (...), as the others.
        scale: their standard deviations, see :func:`interpolated` for both.
        satisfaction: the users' satisfaction.
        normal: standard normal numbers.
    """
    result: Floats = location * satisfaction + scale * normal
    return result


def interpolated(clickbait_score: Floats, choc: Floats, kale: Floats) -> Floats:
    """Returns a document's parameter of engagement between those of kale (0) and choc (1)."""
    result: Floats = clickbait_score * choc + (1 - clickbait_score) * kale
    return result


def scaled_score(uniform: np.ndarray, low: float, high: float) -> np.ndarray:
    """Returns uniform numbers in [0, 1) as clickbait scores in [low, high)."""
    if low == 0.0 and high == 1.0:
        return uniform
    return low + (high - low) * uniform
