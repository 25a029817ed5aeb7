"""Slates whose positions have documents of their own, sampled in turn by softmaxes of scores.

Each position is given to one of the items that are open there, by a softmax of their scores. What
is open follows from an action mask: items that may stand in the position, that are not in one
before it, and that leave items for those after it. With all items in all positions this is the
distribution of :mod:`recsim.agents.policy_gradients.plackett_luce`, which is faster then.
"""

from __future__ import annotations

import numpy as np

from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.agents.policy_gradients import plackett_luce

__all__ = ["MaskedSlates", "highest", "log_softmax", "sample"]


def sample(
    scores: np.ndarray, uniforms: np.ndarray, slate_size: int, allowed: AllowedSlates | None
) -> np.ndarray:
    """Returns sampled slates, integers of shape (n_users, slate_size).

    Args:
        scores: the items' scores, finite, shape (n_users, num_items).
        uniforms: numbers in [0, 1): one for each item, or for each position under masks.
        slate_size: number of items in a slate.
        allowed: the slates that masks allow; None without masks.
    """
    if allowed is None:
        return plackett_luce.sample(scores, uniforms, slate_size)
    return allowed.sample(scores, uniforms)


def highest(scores: np.ndarray, slate_size: int, allowed: AllowedSlates | None) -> np.ndarray:
    """Returns slates filled in turn by the items of the highest scores, see :func:`sample`."""
    if allowed is None:
        return plackett_luce.highest(scores, slate_size)
    return allowed.fill(scores)


class MaskedSlates(plackett_luce.Slates):
    """Slates and the scores that they are sampled by, where positions have items of their own.

    Args:
        scores: the items' scores, finite, shape (n, num_items).
        slates: the slates, shape (n, slate_size).
        opened: which items could be in each position, given those before it, bools of shape
            (n, slate_size, num_items).
    """

    def __init__(self, scores: np.ndarray, slates: np.ndarray, opened: np.ndarray) -> None:
        self.scores = np.asarray(scores, np.float64)
        self._slates = np.asarray(slates)
        # Of each position: all items' log-probabilities, and their probabilities.
        logs = log_softmax(self.scores, opened)
        self._probabilities = np.exp(logs)
        self._of_slates = np.take_along_axis(logs, self._slates[..., np.newaxis], axis=-1)[..., 0]
        # Items that are not open have the probability 0, and count for nothing.
        self._logs = np.where(opened, logs, 0.0)
        products = np.einsum("...i,...i", self._probabilities, self._logs)
        # Rounding may leave a little less than 0.
        self._entropies = np.maximum(-products, 0.0)

    def log_probabilities(self) -> np.ndarray:
        """Returns the log-probability of each item, given those before it, of the slates' shape."""
        logs: np.ndarray = self._of_slates
        return logs

    def log_probability_gradient(self, weights: np.ndarray) -> np.ndarray:
        """Returns the gradient of a weighted sum of :meth:`log_probabilities` by the scores.

        Args:
            weights: of each position, shape (n, slate_size).
        """
        weights = np.asarray(weights, np.float64)
        gradient: np.ndarray = np.einsum("...k,...ki->...i", -weights, self._probabilities)
        of_slate = np.take_along_axis(gradient, self._slates, axis=-1) + weights
        np.put_along_axis(gradient, self._slates, of_slate, axis=-1)
        return gradient

    def conditional_entropies(self) -> np.ndarray:
        """Returns the entropy of each position, given the items before it, of the slates' shape."""
        entropies: np.ndarray = self._entropies
        return entropies

    def entropy_gradient(self) -> np.ndarray:
        """Returns the gradient of the sum of :meth:`conditional_entropies` by the scores."""
        terms = self._probabilities * (self._logs + self._entropies[..., np.newaxis])
        gradient: np.ndarray = -terms.sum(axis=-2)
        return gradient


def log_softmax(scores: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Returns the items' log-probabilities by the softmax of the scores of some, for each position.

    Args:
        scores: the items' scores, finite, float64 of shape (n, num_items).
        allowed: which items count, at least one at each position, bools of shape
            (n, slate_size, num_items).

    Returns:
        float64 array of shape (n, slate_size, num_items); -inf for the items that do not count.
    """
    logits = np.where(allowed, scores[..., np.newaxis, :], -np.inf)
    logits -= logits.max(axis=-1, keepdims=True)
    totals: np.ndarray = np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    logits -= totals
    return logits
