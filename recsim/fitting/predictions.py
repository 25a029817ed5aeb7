"""How likely logged clicks are in a fitted scenario, or in any other of its family.

Interests and fatigue at a slate are those that what was clicked before it in its session, as the
log has it, makes of a user.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from recsim.environments import fitted
from recsim.fitting import _click_models, _dynamics, _layout, tables

__all__ = ["click_probabilities", "log_likelihoods"]

# Stopping is never quite certain, so that the logarithm of continuing is finite.
_MOST_CERTAIN = 1.0 - 1e-12
_LEAST_LOOK = 1e-12


def log_likelihoods(parameters: fitted.FittedParameters, log: tables.SlateLog) -> np.ndarray:
    """Returns the logarithm of how likely the clicks on each slate are.

    Args:
        parameters: the scenario.
        log: slates of its items. Users are found by their ids; one whom the scenario does not have
            is its mean user, as are all where the log has none.

    Returns:
        Array of shape (n_slates,), in the log's order; -inf where a model of one click at most has
        several to explain.

    Raises:
        ValueError: if the log has items or topics that the scenario has not, or longer slates.

    Example:
        >>> from recsim.environments.fitted import ClickModel, FittedParameters
        >>> cascade = FittedParameters(
        ...     item_ids=("0", "1"), item_utilities=np.zeros(2), item_popularity=np.full(2, 0.5),
        ...     click_models=(ClickModel("cascade", np.zeros(2), np.ones(2)),))
        >>> log = tables.SlateLog(items=[[0, 1], [1, 0]], clicks=[[0, 1], [1, 0]])
        >>> np.exp(log_likelihoods(cascade, log))
        array([0.25, 0.5 ])
    """
    result = np.empty(log.num_slates)
    for model, rows, data, utilities in _by_kind(parameters, log):
        found = _click_models.terms(model.name, utilities, *_effects(model), data).log_likelihood
        if model.one_click:
            found = np.where(data.clicks.sum(axis=0) > 1.0, -np.inf, found)
        result[data.order[rows]] = found[rows]
    return result


def click_probabilities(parameters: fitted.FittedParameters, log: tables.SlateLog) -> np.ndarray:
    """Returns how likely each impression is clicked, whatever else on its slate is.

    Args:
        parameters: the scenario.
        log: see :func:`log_likelihoods`.

    Returns:
        Array of shape (n_slates, L), in the log's order; 0 where there is no item.

    Raises:
        ValueError: as :func:`log_likelihoods`.
    """
    result = np.empty(log.items.shape)
    for model, rows, data, utilities in _by_kind(parameters, log):
        found = _click_models.click_probabilities(model.name, utilities, *_effects(model), data)
        result[data.order[rows]] = found.T[rows]
    return result


def _by_kind(
    parameters: fitted.FittedParameters, log: tables.SlateLog
) -> Iterator[tuple[fitted.ClickModel, np.ndarray, _layout.Layout, np.ndarray]]:
    """Yields for each kind its click model, its users' slates, the layout and the utilities."""
    if log.num_positions > parameters.max_slate_size:
        raise ValueError(
            f"log must have at most {parameters.max_slate_size} positions, as the scenario, got "
            f"{log.num_positions}."
        )
    data = _layout.layout_of(log)
    items = _found(log.catalogue.ids, parameters.item_ids)
    if (items < 0).any():
        unknown = str(log.catalogue.ids[items < 0][0])
        raise ValueError(f"log must have items of the scenario only, got {unknown!r}.")
    # The last user is the mean one.
    num_users = parameters.num_users + 1
    users = np.zeros(1, np.intp)
    if log.has_users:
        users = _found(log.user_table.ids, parameters.user_ids) % num_users
    elif parameters.num_users > 1:
        users = np.array([parameters.num_users])
    topics = parameters.item_topics
    shown = items[data.items]
    data = dataclasses.replace(
        data,
        items=shown,
        users=users[data.users],
        topics=None if topics is None else topics[shown].astype(np.intp),
        num_items=parameters.num_items,
        num_users=num_users,
        num_positions=parameters.max_slate_size,
        num_topics=len(parameters.topic_names),
    )
    weights = parameters.user_weights
    values = _dynamics.Values(
        parameters.item_utilities,
        np.r_[parameters.user_utilities, weights @ parameters.user_utilities],
        parameters.item_factors,
        np.vstack([parameters.user_factors, weights @ parameters.user_factors]),
        parameters.drift,
        parameters.fatigue,
        parameters.fatigue_memory,
    )
    made = _dynamics.forward(
        values, data, drifts=parameters.drift > 0.0, tires=parameters.fatigue > 0.0
    )
    shares = np.bincount(parameters.user_kinds, weights, len(parameters.click_models))
    kinds = np.r_[parameters.user_kinds, shares.argmax()][data.users]
    for kind, model in enumerate(parameters.click_models):
        rows = np.flatnonzero(kinds == kind)
        if len(rows):
            yield model, rows, data, made.utilities


def _found(ids: Sequence[str] | np.ndarray, known: Sequence[str]) -> np.ndarray:
    """Returns where ids are among those known, -1 for others."""
    places = {name: place for place, name in enumerate(known)}
    return np.array([places.get(str(name), -1) for name in ids], np.intp)


def _effects(model: fitted.ClickModel) -> tuple[np.ndarray, np.ndarray]:
    """Returns effects of positions as logarithms or logits, and chances of stopping."""
    effects = model.position_effects
    if model.name == "position_based":
        effects = np.log(np.maximum(effects, _LEAST_LOOK))
    return effects, np.minimum(model.stops, _MOST_CERTAIN)
