"""The mathematics of interest exploration, on arrays with any leading axes, without checks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from recsim._internal import arrays
from recsim._internal.numbers import Floats

__all__ = ["attractions", "cumulative", "document_scores", "sampled_log_normal"]


def document_scores(
    topic_affinity: np.ndarray, cluster_id: np.ndarray, quality: np.ndarray
) -> np.ndarray:
    """Returns the users' scores of documents: affinity to the topic plus quality.

    Args:
        topic_affinity: affinities of shape (..., n_topics).
        cluster_id: topics in [0, n_topics), of shape (..., n_docs).
        quality: qualities of shape (..., n_docs).

    Returns:
        Scores of shape (..., n_docs).
    """
    if topic_affinity.ndim == 1:
        scores: np.ndarray = topic_affinity[cluster_id] + quality
    else:
        scores = arrays.take_along_rows(topic_affinity, cluster_id) + quality
    return scores


def attractions(scores: np.ndarray, no_click_mass: float) -> np.ndarray:
    """Returns how likely documents are clicked that are looked at, as each would be alone.

    Args:
        scores: users' scores of documents, of any shape.
        no_click_mass: the logit of no click.

    Returns:
        Probabilities of the same shape.
    """
    # The exponential of more is infinite in single precision.
    exponents = np.minimum(scores.dtype.type(no_click_mass) - scores, scores.dtype.type(80.0))
    probabilities: np.ndarray = 1.0 / (1.0 + np.exp(exponents))
    return probabilities


def sampled_log_normal(mean: Floats, stddev: Floats, normal: Floats) -> Floats:
    """Returns log-normal numbers, such as affinities and qualities.

    Args:
        mean: means of their logarithms, numbers or arrays of any shape, as the other arguments.
        stddev: standard deviations of their logarithms.
        normal: standard normal numbers.
    """
    result: Floats = np.exp(mean + stddev * normal)
    return result


def cumulative(distribution: ArrayLike) -> np.ndarray:
    """Returns the cumulative sums of probabilities, the last of which is exactly 1."""
    sums = np.cumsum(np.asarray(distribution, np.float64))
    sums /= sums[-1]
    return sums
