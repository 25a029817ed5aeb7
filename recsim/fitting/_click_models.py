"""Log-likelihoods of click models, with gradients and curvatures, for all slates of a log.

Arrays have positions on the first axis, (L, n_slates), as in :mod:`recsim.fitting._layout`. A
model's ``effects`` are those of positions: added to the utility in the multinomial logit,
logarithms of the probability of a look in the position-based model; the other two have none.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from recsim.fitting import _layout

__all__ = ["MODELS", "Terms", "click_probabilities", "curvature", "terms"]

#: The names of the models, those with fewer parameters first.
MODELS = ("cascade", "multinomial_logit", "position_based", "dependent_click")

# Beyond it a probability is as good as 0 or 1.
_LARGEST_UTILITY = 30.0


@dataclasses.dataclass(frozen=True)
class Terms:
    """The log-likelihood of slates and its derivatives.

    Attributes:
        log_likelihood: of each slate, shape (n_slates,).
        by_utility: derivative by the utility of each impression, shape (L, n_slates).
        by_effect: by the effect of its position, of that shape; None where there are no effects.
        by_stop: by the probability of stopping after a click, of that shape; None likewise.
    """

    log_likelihood: np.ndarray
    by_utility: np.ndarray
    by_effect: np.ndarray | None = None
    by_stop: np.ndarray | None = None


def terms(
    name: str, utilities: np.ndarray, effects: np.ndarray, stops: np.ndarray, data: _layout.Layout
) -> Terms:
    """Returns the log-likelihood of each slate under a model, with its derivatives.

    Args:
        name: the model's name.
        utilities: of the items shown, shape (L, n_slates).
        effects: of positions, shape (num_positions,).
        stops: probabilities of stopping after a click, of that shape.
        data: what was shown and clicked.
    """
    if name == "multinomial_logit":
        return _multinomial_logit(utilities + data.at_positions(effects), data)
    utilities = np.clip(utilities, -_LARGEST_UTILITY, _LARGEST_UTILITY)
    if name == "position_based":
        return _position_based(utilities, data.at_positions(effects), data)
    if name == "cascade":
        return _cascade(utilities, data)
    return _dependent_click(utilities, data.at_positions(stops), data)


def _multinomial_logit(utilities: np.ndarray, data: _layout.Layout) -> Terms:
    shares, log_total = _softmax(utilities, data)
    log_likelihood = (data.clicks * utilities).sum(axis=0) - log_total
    by_utility = data.clicks - shares
    return Terms(log_likelihood, by_utility, by_effect=by_utility)


def _softmax(utilities: np.ndarray, data: _layout.Layout) -> tuple[np.ndarray, np.ndarray]:
    """Returns choice probabilities, and the logarithm of the sum with that of no click."""
    if data.shown is not None:
        utilities = np.where(data.shown > 0.0, utilities, -np.inf)
    greatest = np.maximum(utilities.max(axis=0), 0.0)
    weights = np.exp(utilities - greatest)
    total = np.exp(-greatest) + weights.sum(axis=0)
    return weights / total, greatest + np.log(total)


def _sigmoid(utilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns probabilities, and the logarithms of their complements."""
    weights = np.exp(utilities)
    return weights / (1.0 + weights), -np.log1p(weights)


def _position_based(utilities: np.ndarray, log_looks: np.ndarray, data: _layout.Layout) -> Terms:
    chances, log_rests = _sigmoid(utilities)
    seen = np.exp(log_looks) * chances
    clicked = data.clicks > 0.0
    values = np.where(clicked, log_looks + utilities + log_rests, np.log1p(-seen))
    odds = seen / (1.0 - seen)
    by_effect = np.where(clicked, 1.0, -odds)
    by_utility = by_effect * (1.0 - chances)
    if data.shown is not None:
        values, by_effect, by_utility = (
            values * data.shown,
            by_effect * data.shown,
            by_utility * data.shown,
        )
    return Terms(values.sum(axis=0), by_utility, by_effect=by_effect)


def _cascade(utilities: np.ndarray, data: _layout.Layout) -> Terms:
    chances, log_rests = _sigmoid(utilities)
    looks = data.before_click
    values = looks * (data.clicks * utilities + log_rests)
    return Terms(values.sum(axis=0), looks * (data.clicks - chances))


def _dependent_click(utilities: np.ndarray, stops: np.ndarray, data: _layout.Layout) -> Terms:
    chances, log_rests = _sigmoid(utilities)
    looks, below = data.until_last_click, data.after_last_click
    values = looks * (data.clicks * utilities + log_rests)
    stop = (data.last_click * stops).sum(axis=0)
    nothing_below = np.exp((below * log_rests).sum(axis=0))
    chance = stop + (1.0 - stop) * nothing_below
    # Where nothing was clicked, it is 1: nobody could stop.
    chance = np.where(data.clicked > 0.0, chance, 1.0)
    continued = data.clicks - data.last_click
    log_likelihood = values.sum(axis=0) + np.log(chance)
    log_likelihood += (continued * np.log1p(-stops)).sum(axis=0)
    went_below = (1.0 - stop) * nothing_below / chance
    by_utility = looks * (data.clicks - chances) - below * went_below * chances
    by_stop = data.last_click * ((1.0 - nothing_below) / chance) - continued / (1.0 - stops)
    return Terms(log_likelihood, by_utility, by_stop=by_stop)


def curvature(
    name: str, utilities: np.ndarray, effects: np.ndarray, stops: np.ndarray, data: _layout.Layout
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns what the second derivatives by utilities are expected to be, without their sign.

    They are a diagonal and, for the multinomial logit, less the outer product of a vector with
    itself.

    Args:
        name: see :func:`terms`; the other arguments, too.
        utilities: see there.
        effects: see there.
        stops: see there.
        data: see there.

    Returns:
        Diagonals, shape (L, n_slates), and the vectors, of that shape, or None.
    """
    if name == "multinomial_logit":
        shares, _ = _softmax(utilities + data.at_positions(effects), data)
        return shares, shares
    utilities = np.clip(utilities, -_LARGEST_UTILITY, _LARGEST_UTILITY)
    chances, log_rests = _sigmoid(utilities)
    spread = chances * (1.0 - chances)
    if name == "position_based":
        looks = np.exp(data.at_positions(effects))
        spread = spread * looks * (1.0 - chances) / (1.0 - looks * chances)
        return (spread if data.shown is None else spread * data.shown), None
    if name == "cascade":
        return data.before_click * spread, None
    stop = (data.last_click * data.at_positions(stops)).sum(axis=0)
    nothing_below = np.exp((data.after_last_click * log_rests).sum(axis=0))
    went_below = (1.0 - stop) * nothing_below / (stop + (1.0 - stop) * nothing_below)
    went_below = np.where(data.clicked > 0.0, went_below, 0.0)
    return spread * (data.until_last_click + data.after_last_click * went_below), None


def click_probabilities(
    name: str, utilities: np.ndarray, effects: np.ndarray, stops: np.ndarray, data: _layout.Layout
) -> np.ndarray:
    """Returns how likely each impression is clicked, shape (L, n_slates); 0 where there is none.

    Args:
        name: see :func:`terms`; the other arguments, too.
        utilities: see there.
        effects: see there.
        stops: see there.
        data: see there.
    """
    if name == "multinomial_logit":
        return _softmax(utilities + data.at_positions(effects), data)[0]
    chances, _ = _sigmoid(np.clip(utilities, -_LARGEST_UTILITY, _LARGEST_UTILITY))
    if data.shown is not None:
        chances = chances * data.shown
    if name == "position_based":
        looked: np.ndarray = np.exp(data.at_positions(effects)) * chances
        return looked
    goes = 1.0 - chances * (data.at_positions(stops) if name == "dependent_click" else 1.0)
    result = chances.copy()
    result[1:] *= goes.cumprod(axis=0)[:-1]
    return result
