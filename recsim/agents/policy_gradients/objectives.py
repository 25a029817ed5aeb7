"""What policy gradients climb: the gradient of an objective by the scores of items."""

from __future__ import annotations

import abc
import dataclasses

import numpy as np

from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.agents.policy_gradients import masked_slates, plackett_luce

__all__ = ["Batch", "ClippedSurrogate", "Objective", "TopKReinforce"]


@dataclasses.dataclass
class Batch:
    """Slates that were shown, and their outcomes.

    Attributes:
        slates: integers of shape (n, slate_size).
        remembered: what the objective remembered of them, float64 of the same shape.
        clicks: which positions were clicked, bools of the same shape.
        credits: how much better than expected each was, float64 of shape (n,).
        masks: which documents may stand where, bools of shape (n, num_items, slate_size); None
            without masks.
    """

    slates: np.ndarray
    remembered: np.ndarray
    clicks: np.ndarray
    credits: np.ndarray
    masks: np.ndarray | None = None


class Objective(abc.ABC):
    """What the scores of items are to make large."""

    #: Whether only items that were clicked are credited.
    needs_clicks: bool = False
    #: Number of values that are learned of a state.
    num_values: int = 1

    @abc.abstractmethod
    def remembered(
        self, scores: np.ndarray, slates: np.ndarray, allowed: AllowedSlates | None = None
    ) -> np.ndarray:
        """Returns what is remembered of slates when they are shown.

        Args:
            scores: the items' scores, shape (n, num_items).
            slates: the slates, shape (n, slate_size).
            allowed: the slates that masks allow; None without masks.

        Returns:
            float64 array of shape (n, slate_size).
        """

    @abc.abstractmethod
    def credits(self, advantages: np.ndarray, values: np.ndarray, clicks: np.ndarray) -> np.ndarray:
        """Returns how much better than expected slates were, in units of their spread.

        Args:
            advantages: what followed minus the value of the state, shape (n,).
            values: the state's values, shape (n, num_values).
            clicks: which positions were clicked, shape (n, slate_size).
        """

    @abc.abstractmethod
    def gradient(self, scores: plackett_luce.Slates, batch: Batch) -> np.ndarray:
        """Returns the gradient of the objective's sum over slates by the items' scores.

        Args:
            scores: the items' scores now, and the slates.
            batch: the slates and their outcomes.

        Returns:
            float64 array of shape (n, num_items).
        """


@dataclasses.dataclass
class ClippedSurrogate(Objective):
    """The objective of proximal policy optimization (PPO; Schulman et al., 2017).

    It is the mean advantage of slates, each weighted by the ratio of its probability now to that
    when it was shown. Where the ratio has left ``1 ± clip_range`` in the direction in which the
    objective grows, there is no gradient.

    Attributes:
        clip_range: above 0.
    """

    clip_range: float

    def remembered(
        self, scores: np.ndarray, slates: np.ndarray, allowed: AllowedSlates | None = None
    ) -> np.ndarray:
        """Returns the log-probability of each item, given those before it."""
        if allowed is not None:
            of_slates = masked_slates.MaskedSlates(scores, slates, allowed.opened(slates))
            return of_slates.log_probabilities()
        return plackett_luce.log_probabilities(scores, slates)

    def credits(self, advantages: np.ndarray, values: np.ndarray, clicks: np.ndarray) -> np.ndarray:
        """Returns the advantages, of mean 0 and standard deviation 1."""
        del values, clicks
        centred = advantages - advantages.mean()
        normalized: np.ndarray = centred / (centred.std() + 1e-8)
        return normalized

    def gradient(self, scores: plackett_luce.Slates, batch: Batch) -> np.ndarray:
        """Returns the gradient of ``min(ratio * credit, clipped ratio * credit)``."""
        logs = scores.log_probabilities()
        with np.errstate(over="ignore"):  # Such a ratio is clipped, or the training has diverged.
            ratios = np.exp((logs - batch.remembered).sum(axis=-1))
        clipped = np.where(
            batch.credits > 0.0, ratios > 1.0 + self.clip_range, ratios < 1.0 - self.clip_range
        )
        weights = np.where(clipped, 0.0, ratios * batch.credits)
        return scores.log_probability_gradient(
            np.broadcast_to(weights[:, np.newaxis], batch.slates.shape)
        )


@dataclasses.dataclass
class TopKReinforce(Objective):
    """REINFORCE with the top-k correction (Chen et al., 2019).

    An item's contribution to a slate's return is taken to be its own, which is 0 unless it is
    clicked. The gradient of an item's log-probability by the softmax of all scores is multiplied
    by what followed the click, by the top-k correction, and by the off-policy correction: the
    probability of the item now over the probability that it was in the slate, at most
    ``max_weight``. Slates count as if their items were sampled with replacement here, as in the
    paper.

    What followed the click is counted from the value of the state if nothing is clicked, which is
    learned from the slates that nobody clicked: where users stay without a click, a click is worth
    what it adds.

    Where positions have items of their own, each position's sample is by the softmax of the scores
    of its items: an item is among the slate's with ``1 - prod(1 - p_k)`` over the positions k, and
    the correction is the derivative of that by each of the ``p_k``.

    Attributes:
        slate_size: number of items in a slate.
        max_weight: above 0.
    """

    slate_size: int
    max_weight: float
    needs_clicks: bool = True
    num_values: int = 2

    def remembered(
        self, scores: np.ndarray, slates: np.ndarray, allowed: AllowedSlates | None = None
    ) -> np.ndarray:
        """Returns the log-probability of each item by the softmax of all scores.

        Where positions have items of their own, it is that of being among the slate's.
        """
        if allowed is not None:
            of_items = _of_items(_softmaxes(scores, allowed.masks), slates)
            with np.errstate(divide="ignore"):
                among: np.ndarray = np.log(-np.expm1(np.log1p(-of_items).sum(axis=-1)))
            return among
        return _log_softmax_of_slates(scores, slates)

    def credits(self, advantages: np.ndarray, values: np.ndarray, clicks: np.ndarray) -> np.ndarray:
        """Returns what followed, beyond the value of no click, in units of its size at clicks."""
        beyond = advantages + values[:, 0] - values[:, 1]
        clicked = clicks.any(axis=-1)
        size = np.sqrt(np.mean(np.square(beyond[clicked]))) if clicked.any() else 0.0
        scaled: np.ndarray = beyond / (size + 1e-8)
        return scaled

    def gradient(self, scores: plackett_luce.Slates, batch: Batch) -> np.ndarray:
        """Returns the sum over the items clicked, see the class."""
        if batch.masks is not None:
            return self._gradient_under_masks(scores.scores, batch, batch.masks)
        shown = np.exp(batch.remembered)
        logs = _log_softmax_of_slates(scores.scores, batch.slates)
        now = np.exp(logs)
        weights = self._ratios(now, plackett_luce.top_k_inclusion(shown, self.slate_size))
        weights *= plackett_luce.top_k_correction(now, self.slate_size)
        weights *= batch.credits[:, np.newaxis] * batch.clicks
        probabilities = _softmax(scores.scores)
        gradient: np.ndarray = -probabilities * weights.sum(axis=-1, keepdims=True)
        of_slate = np.take_along_axis(gradient, batch.slates, axis=-1) + weights
        np.put_along_axis(gradient, batch.slates, of_slate, axis=-1)
        return gradient

    def _ratios(self, now: np.ndarray, shown: np.ndarray) -> np.ndarray:
        """Returns the off-policy corrections."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = now / shown
        ratios = np.nan_to_num(ratios, posinf=self.max_weight)
        corrections: np.ndarray = np.minimum(ratios, self.max_weight)
        return corrections

    def _gradient_under_masks(
        self, scores: np.ndarray, batch: Batch, masks: np.ndarray
    ) -> np.ndarray:
        softmaxes = _softmaxes(scores, masks)
        now = _of_items(softmaxes, batch.slates)
        weights = self._ratios(now, np.exp(batch.remembered)[..., np.newaxis])
        for position in range(self.slate_size):
            others = np.delete(now, position, axis=-1)
            weights[..., position] *= (1.0 - others).prod(axis=-1)
        weights *= (batch.credits[:, np.newaxis] * batch.clicks)[..., np.newaxis]
        gradient: np.ndarray = -np.einsum("nk,nki->ni", weights.sum(axis=1), softmaxes)
        of_slate = np.take_along_axis(gradient, batch.slates, axis=-1) + weights.sum(axis=-1)
        np.put_along_axis(gradient, batch.slates, of_slate, axis=-1)
        return gradient


def _softmaxes(scores: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Returns the probabilities of items by the softmax of each position's, (n, slate_size, ...).

    Args:
        scores: the items' scores, shape (n, num_items).
        masks: which items may stand where, bools of shape (n, num_items, slate_size).
    """
    probabilities: np.ndarray = np.exp(masked_slates.log_softmax(scores, masks.swapaxes(1, 2)))
    return probabilities


def _of_items(softmaxes: np.ndarray, slates: np.ndarray) -> np.ndarray:
    """Returns the probabilities of slates' items in all positions, shape (n, items, positions)."""
    found: np.ndarray = np.take_along_axis(softmaxes, slates[:, np.newaxis], axis=-1)
    return found.swapaxes(1, 2)


def _softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = weights / weights.sum(axis=-1, keepdims=True)
    return probabilities


def _log_softmax_of_slates(scores: np.ndarray, slates: np.ndarray) -> np.ndarray:
    highest = scores.max(axis=-1, keepdims=True)
    totals = highest + np.log(np.exp(scores - highest).sum(axis=-1, keepdims=True))
    logs: np.ndarray = np.take_along_axis(scores, slates, axis=-1) - totals
    return logs
