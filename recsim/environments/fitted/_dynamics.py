"""The mathematics of fitted scenarios, on arrays with any leading axes, without checks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from recsim import choice_model as choice_models
from recsim._internal import arrays
from recsim.environments.fitted._parameters import ClickModel, SessionModel, ValueModel

__all__ = [
    "add_clicks",
    "choice_probabilities",
    "click_probabilities",
    "clicks_by_topic",
    "factors_after",
    "hazards",
    "logit",
    "numbers_of_clicks",
    "sampled_clicks",
    "sampled_values",
    "utilities",
]


def utilities(
    base: np.ndarray,
    factors: np.ndarray,
    item_factors: np.ndarray,
    tired: np.ndarray | None = None,
) -> np.ndarray:
    """Returns users' utilities of items.

    Args:
        base: what does not depend on factors, shape (..., n_items).
        factors: the users', shape (..., num_factors).
        item_factors: shape (..., n_items, num_factors).
        tired: what fatigue takes off, shape (..., n_items); None for nothing.

    Returns:
        Array of shape (..., n_items).
    """
    if factors.shape[-1]:
        if item_factors.ndim == 3:  # Positions first in memory, as slates have them.
            by_position = np.einsum("lnk,nk->ln", item_factors.swapaxes(0, 1), factors)
            base = base + by_position.T
        else:
            base = base + np.einsum("...lk,...k->...l", item_factors, factors)
    return base if tired is None else base - tired


def sampled_values(
    model: ValueModel,
    base: np.ndarray,
    factors: np.ndarray,
    item_factors: np.ndarray,
    noise: np.ndarray,
) -> np.ndarray:
    """Returns what clicks on items would bring, shape (..., n_items).

    Args:
        model: what values are like.
        base: their means without factors, shape (..., n_items).
        factors: the users', shape (..., num_factors).
        item_factors: shape (..., n_items, num_factors).
        noise: standard normal numbers, shape (..., n_items).
    """
    if model.by_interest:
        base = utilities(base, model.by_interest * factors, item_factors)
    values: np.ndarray = np.clip(base + model.residual_sd * noise, model.low, model.high)
    return values


def logit(probabilities: np.ndarray) -> np.ndarray:
    """Returns the utilities that probabilities are the logistic function of."""
    result: np.ndarray = special.logit(probabilities)
    return result


def numbers_of_clicks(model: ClickModel, slate_size: int) -> int:
    """Returns how many uniform numbers :func:`sampled_clicks` takes for each slate."""
    of_model = {"multinomial_logit": 1, "position_based": slate_size}
    return of_model.get(model.name, 2 * slate_size)


def sampled_clicks(model: ClickModel, utility: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Returns which positions of slates are clicked, bools of shape (..., slate_size).

    Args:
        model: how users click.
        utility: utilities, shape (..., slate_size).
        uniform: uniform numbers in [0, 1), as many as :func:`numbers_of_clicks` says on the last
            axis.
    """
    size = utility.shape[-1]
    if model.name == "multinomial_logit":
        chosen = choice_models.sampled_choices(_weights(model, utility), uniform[..., 0])
        clicked = arrays.empty_slates(utility.shape, np.bool_)
        np.equal(np.arange(size), np.asarray(chosen)[..., np.newaxis], out=clicked)
        return clicked
    return _several(model, size).sampled_clicks(special.expit(utility), uniform)


def click_probabilities(model: ClickModel, utility: np.ndarray) -> np.ndarray:
    """Returns how likely each position of slates is clicked, shape (..., slate_size).

    Args:
        model: how users click.
        utility: utilities, shape (..., slate_size).
    """
    if model.name == "multinomial_logit":
        return _weights(model, utility)[..., :-1]
    return _several(model, utility.shape[-1]).click_probabilities(special.expit(utility))


def choice_probabilities(model: ClickModel, utility: np.ndarray) -> np.ndarray | None:
    """Returns the probabilities of a click at each position and, last, of none.

    Args:
        model: how users click.
        utility: utilities, shape (..., slate_size).

    Returns:
        Array of shape (..., slate_size + 1); None where a slate may have several clicks.
    """
    if not model.one_click:
        return None
    clicks = click_probabilities(model, utility)
    none = np.clip(1.0 - clicks.sum(axis=-1, keepdims=True), 0.0, 1.0)
    return np.concatenate([clicks, none], axis=-1)


def _weights(model: ClickModel, utility: np.ndarray) -> np.ndarray:
    effects = model.position_effects[: utility.shape[-1]].astype(utility.dtype)
    return choice_models.multinomial_logit_probabilities(utility + effects, 0.0)


def _several(model: ClickModel, size: int) -> choice_models.MultiClickChoiceModel:
    if model.name == "position_based":
        looks = model.position_effects[:size]
        return choice_models.PositionBasedChoiceModel({"examination_probs": looks})
    after_click = 1.0 - model.stops[:size]
    return choice_models.DependentClickChoiceModel({"continue_after_click": after_click})


def factors_after(
    factors: np.ndarray, clicked: np.ndarray, item_factors: np.ndarray, drift: float
) -> np.ndarray:
    """Returns users' factors after clicks.

    Args:
        factors: before, shape (..., num_factors).
        clicked: bools of shape (..., slate_size).
        item_factors: of the slates, shape (..., slate_size, num_factors).
        drift: how far they move to the mean of what was clicked, in [0, 1].
    """
    weights = clicked.astype(factors.dtype)
    number = weights.sum(axis=-1)[..., np.newaxis]
    sums = np.einsum("...l,...lk->...k", weights, item_factors)
    rate = factors.dtype.type(drift)
    moved: np.ndarray = factors + rate * (sums - number * factors) / np.maximum(number, 1)
    return moved


def clicks_by_topic(clicked: np.ndarray, topics: np.ndarray, num_topics: int) -> np.ndarray:
    """Returns how many items of each topic were clicked, int64 of shape (n_slates, num_topics).

    Args:
        clicked: bools of shape (n_slates, slate_size).
        topics: the items' topics, of the same shape.
        num_topics: number of topics.
    """
    rows, positions = clicked.nonzero()
    cells = rows * num_topics + topics[rows, positions]
    counts = np.bincount(cells, minlength=len(clicked) * num_topics)
    return counts.reshape(len(clicked), num_topics)


def add_clicks(clicked: np.ndarray, topics: np.ndarray, *counts: np.ndarray) -> None:
    """Adds the number of clicks on items of each topic to counts, in place.

    Args:
        clicked: bools of shape (n_slates, slate_size).
        topics: the items' topics, of the same shape.
        *counts: each of shape (n_slates, num_topics).
    """
    rows, positions = clicked.nonzero()
    on_topics = topics[rows, positions]
    for each in counts:
        one = each.dtype.type(1)
        if each.flags.c_contiguous:  # NumPy is quicker with one index.
            np.add.at(each.reshape(-1), rows * each.shape[1] + on_topics, one)
        else:
            np.add.at(each, (rows, on_topics), one)


def hazards(session: SessionModel, clicked: ArrayLike, steps: ArrayLike) -> np.ndarray:
    """Returns how likely sessions end after slates.

    Args:
        session: how long sessions last.
        clicked: whether something was clicked, bools of shape (...).
        steps: the steps of the slates, from 0, shape (...).
    """
    after_click = session.after_click * np.asarray(clicked, np.float64)
    score = session.intercept + after_click + session.log_step * np.log1p(steps)
    ends: np.ndarray = special.expit(score)
    return ends
