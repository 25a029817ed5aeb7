"""The mathematics of interest exploration, on arrays with any leading axes, without checks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from recsim._internal import arrays
from recsim._internal.numbers import Floats

__all__ = ["cumulative", "document_scores", "sampled_log_normal"]


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
