"""Slates sampled without replacement by a softmax of scores: log-probabilities and gradients.

The first position is given to an item by a softmax of the scores (Plackett, 1975; Luce, 1959), each
further one likewise among the items that are left. All functions work on logarithms: no score is so
much larger than the others that a result overflows or is not a number.

Scores are float64 arrays of shape (..., num_items), slates integers of shape (..., slate_size) with
different items. A score of -inf is that of an item that may not be shown.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "Slates",
    "conditional_entropies",
    "entropy_gradient",
    "highest",
    "log_probabilities",
    "log_probability_gradient",
    "sample",
    "top_k_correction",
    "top_k_inclusion",
]

# A score that leaves an item no probability, with which products are still numbers.
_EXCLUDED = -1e30


def sample(scores: np.ndarray, uniforms: np.ndarray, slate_size: int) -> np.ndarray:
    """Returns slates: the highest scores after noise of Gumbel's distribution was added.

    Args:
        scores: the items' scores, at least ``slate_size`` of them finite in each row.
        uniforms: numbers in [0, 1), of the shape of the scores.
        slate_size: number of items in a slate.

    Returns:
        Integers of shape (..., slate_size).

    Example:
        >>> sample(np.array([[0.0, 5.0, 1.0]]), np.full((1, 3), 0.5), 2).tolist()
        [[1, 2]]
    """
    # A uniform number may be 0, and is below 1.
    with np.errstate(divide="ignore"):
        noise = np.log(-np.log1p(-np.asarray(uniforms, np.float64)))
    return highest(scores - np.maximum(noise, -700.0), slate_size)


def highest(scores: np.ndarray, slate_size: int) -> np.ndarray:
    """Returns the items of the highest scores, of those that tie the first one first.

    Args:
        scores: the items' scores, which are not changed.
        slate_size: number of items in a slate.

    Returns:
        Integers of shape (..., slate_size).
    """
    num_items = scores.shape[-1]
    if slate_size * 8 >= num_items or num_items < 64:
        return np.argsort(-scores, axis=-1, kind="stable")[..., :slate_size]
    # Few of many: the slate's lowest score is found first, and only what reaches it is sorted.
    rows = scores.reshape(-1, num_items)
    lowest = np.partition(rows, num_items - slate_size, axis=-1)[:, num_items - slate_size]
    slates = np.empty((len(rows), slate_size), np.int64)
    for slate, row, least in zip(slates, rows, lowest):
        above = np.flatnonzero(row >= least)
        slate[:] = above[np.argsort(-row[above], kind="stable")[:slate_size]]
    return slates.reshape(*scores.shape[:-1], slate_size)


class Slates:
    """Slates and the scores that they are sampled by, of which this module's functions are made.

    Args:
        scores: the items' scores, shape (..., num_items).
        slates: the slates, shape (..., slate_size).
    """

    def __init__(self, scores: np.ndarray, slates: np.ndarray) -> None:
        #: The scores, finite.
        self.scores = np.maximum(np.asarray(scores, np.float64), _EXCLUDED)
        self._slates = np.asarray(slates)
        self._of_slate = np.take_along_axis(self.scores, self._slates, axis=-1)
        size = self._slates.shape[-1]
        # Of what is left at each position, and after the last one: the logarithm of the sum of
        # exponentials, and the mean by the probabilities.
        totals, means = np.empty((2, *self.scores.shape[:-1], size + 1))
        never = self.scores.copy()
        np.put_along_axis(never, self._slates, -np.inf, axis=-1)
        # There may be no item that is not in the slate.
        shift = np.maximum(never.max(axis=-1), _EXCLUDED)
        weights = np.exp(never - shift[..., np.newaxis])
        sums = weights.sum(axis=-1)
        products = np.einsum("...i,...i", weights, self.scores)
        with np.errstate(divide="ignore", invalid="ignore"):
            totals[..., -1] = np.log(sums) + shift
            means[..., -1] = np.where(sums > 0.0, products / sums, 0.0)
        for position in reversed(range(size)):
            score, later = self._of_slate[..., position], totals[..., position + 1]
            total = totals[..., position] = np.logaddexp(later, score)
            means[..., position] = (
                np.exp(score - total) * score + np.exp(later - total) * means[..., position + 1]
            )
        self._totals, self._means = totals[..., :-1], means[..., :-1]

    def log_probabilities(self) -> np.ndarray:
        """See the module's :func:`log_probabilities`."""
        logs: np.ndarray = self._of_slate - self._totals
        return logs

    def log_probability_gradient(self, weights: np.ndarray) -> np.ndarray:
        """See the module's :func:`log_probability_gradient`."""
        sums = self._summed(np.asarray(weights, np.float64))
        gradient: np.ndarray = -self._probabilities_at_last() * sums[..., -1:]
        of_slate = weights - np.exp(self._of_slate - self._totals) * sums
        np.put_along_axis(gradient, self._slates, of_slate, axis=-1)
        return gradient

    def conditional_entropies(self) -> np.ndarray:
        """See the module's :func:`conditional_entropies`."""
        # Rounding may leave a little less than 0.
        entropies: np.ndarray = np.maximum(self._totals - self._means, 0.0)
        return entropies

    def entropy_gradient(self) -> np.ndarray:
        """See the module's :func:`entropy_gradient`."""
        sums = self._summed(np.ones(self._of_slate.shape))
        of_means = self._summed(self._means)
        gradient: np.ndarray = of_means[..., -1:] - self.scores * sums[..., -1:]
        gradient *= self._probabilities_at_last()
        of_slate = of_means - self._of_slate * sums
        of_slate *= np.exp(self._of_slate - self._totals)
        np.put_along_axis(gradient, self._slates, of_slate, axis=-1)
        return gradient

    def _summed(self, weights: np.ndarray) -> np.ndarray:
        """Returns ``exp(total[k]) * sum over m <= k of weights[m] / exp(total[m])``."""
        sums = np.empty(weights.shape)
        sums[..., 0] = weights[..., 0]
        for position in range(1, weights.shape[-1]):
            ratio = np.exp(self._totals[..., position] - self._totals[..., position - 1])
            sums[..., position] = weights[..., position] + sums[..., position - 1] * ratio
        return sums

    def _probabilities_at_last(self) -> np.ndarray:
        """Returns the items' probabilities at the last position; any for those shown before."""
        last = self._totals[..., -1, np.newaxis]
        probabilities: np.ndarray = np.exp(np.minimum(self.scores - last, 0.0))
        return probabilities


def log_probabilities(scores: np.ndarray, slates: np.ndarray) -> np.ndarray:
    """Returns the log-probability of each item of slates, given those before it.

    Their sum is that of the slate.

    Args:
        scores: the items' scores, shape (..., num_items).
        slates: the slates, shape (..., slate_size).

    Returns:
        float64 array of shape (..., slate_size).

    Example:
        >>> scores = np.log([3.0, 2.0, 1.0])
        >>> np.exp(log_probabilities(scores, np.array([0, 2]))).round(4).tolist()
        [0.5, 0.3333]
    """
    return Slates(scores, slates).log_probabilities()


def log_probability_gradient(
    scores: np.ndarray, slates: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Returns the gradient of a weighted sum of :func:`log_probabilities` by the scores.

    Args:
        scores: the items' scores, shape (..., num_items).
        slates: the slates, shape (..., slate_size).
        weights: of each position, shape (..., slate_size): all 1 for the slate's log-probability.

    Returns:
        float64 array of the shape of the scores.
    """
    return Slates(scores, slates).log_probability_gradient(weights)


def conditional_entropies(scores: np.ndarray, slates: np.ndarray) -> np.ndarray:
    """Returns the entropy of each position of slates, given the items before it, in nats.

    Over slates that are sampled, the mean of their sum is the entropy of slates.

    Args:
        scores: the items' scores, shape (..., num_items).
        slates: the slates, shape (..., slate_size).

    Returns:
        float64 array of shape (..., slate_size).

    Example:
        >>> conditional_entropies(np.zeros(3), np.array([0, 2])).round(3).tolist()  # log 3, log 2
        [1.099, 0.693]
    """
    return Slates(scores, slates).conditional_entropies()


def entropy_gradient(scores: np.ndarray, slates: np.ndarray) -> np.ndarray:
    """Returns the gradient of the sum of :func:`conditional_entropies` by the scores.

    Args:
        scores: the items' scores, shape (..., num_items).
        slates: the slates, shape (..., slate_size).

    Returns:
        float64 array of the shape of the scores.
    """
    return Slates(scores, slates).entropy_gradient()


def top_k_correction(probabilities: np.ndarray, slate_size: int) -> np.ndarray:
    """Returns the multiplier of Chen et al. (2019), ``K * (1 - p) ** (K - 1)``.

    It is the derivative, by an item's probability in one sample, of its probability to be among
    K samples. It turns the gradient of one recommendation into that of a slate: an item that
    is nearly sure to be in the slate need not become more likely.

    Args:
        probabilities: of items, by the softmax of all scores.
        slate_size: number of items in a slate, K.

    Returns:
        float64 array of the shape of the probabilities.

    Example:
        >>> top_k_correction(np.array([0.0, 0.5, 1.0]), 3).tolist()
        [3.0, 0.75, 0.0]
    """
    left = 1.0 - np.asarray(probabilities, np.float64)
    multiplier: np.ndarray = slate_size * left ** (slate_size - 1)
    return multiplier


def top_k_inclusion(probabilities: np.ndarray, slate_size: int) -> np.ndarray:
    """Returns the probabilities that items are among K samples, ``1 - (1 - p) ** K``.

    Args:
        probabilities: of items, by the softmax of all scores.
        slate_size: number of items in a slate, K.

    Returns:
        float64 array of the shape of the probabilities.

    Example:
        >>> top_k_inclusion(np.array([0.0, 0.5, 1.0]), 3).tolist()
        [0.0, 0.875, 1.0]
    """
    probabilities = np.asarray(probabilities, np.float64)
    with np.errstate(divide="ignore"):
        inclusion: np.ndarray = -np.expm1(slate_size * np.log1p(-probabilities))
    return inclusion
