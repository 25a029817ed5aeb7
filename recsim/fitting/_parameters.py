"""The scenario's parameters that a fit of a slate log gives, sessions and values of clicks too."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from recsim.environments import fitted
from recsim.fitting import _estimation, _problem, tables

__all__ = ["numbers_of", "parameters_of", "session_model", "value_model"]

# How far the coefficients of the hazard are from 0, about, before the log says anything.
_HAZARD_DEVIATION = 5.0
# The logit of a hazard that is as good as 0.
_NEVER = -30.0
# Rounds in which effects on values, and their variances, are estimated.
_VALUE_ROUNDS = 30


def parameters_of(
    fit: _estimation.Fit,
    log: tables.SlateLog,
    data: _problem.Data,
    source: Mapping[str, object],
) -> fitted.FittedParameters:
    """Returns what the environment needs of a fit.

    Args:
        fit: the fit.
        log: the log that it is of.
        data: the same, as it was fitted to.
        source: facts for the record.
    """
    problem = _problem.Problem(fit.model, data)
    values = problem.values(fit.state, fit.deviations)
    catalogue = log.catalogue
    weights = data.user_weights
    of_users: dict[str, object] = {}
    if data.has_users:
        evaluated = problem.evaluate(fit.state, fit.deviations)
        sessions = np.bincount(log.users[_first_slates(log)], minlength=log.num_users)
        shares = weights * (sessions if log.has_sessions else sessions > 0)
        of_users = {
            "user_ids": tuple(map(str, log.user_table.ids)),
            "user_utilities": values.users,
            "user_factors": values.user_factors,
            "user_kinds": evaluated.responsibilities.argmax(axis=0),
            "user_weights": shares / shares.sum(),
            "user_features": log.user_table.features,
            "user_feature_names": tuple(log.user_table.feature_names),
        }
    if catalogue.topics is not None:
        of_users["item_topics"] = catalogue.topics
        of_users["topic_names"] = tuple(map(str, catalogue.topic_names))
    if catalogue.names is not None:
        of_users["item_names"] = tuple(map(str, catalogue.names))
    slate_weights = weights[log.users] if data.has_users else np.ones(log.num_slates)
    return fitted.FittedParameters(
        item_ids=tuple(map(str, catalogue.ids)),
        item_utilities=values.items,
        item_popularity=log.popularity,
        item_factors=values.item_factors,
        item_features=catalogue.features,
        item_feature_names=tuple(catalogue.feature_names),
        click_models=tuple(
            _click_model(*each) for each in problem.click_parameters(fit.state, fit.deviations)
        ),
        drift=values.drift,
        fatigue=values.fatigue,
        fatigue_memory=values.memory,
        session=session_model(log, slate_weights) if log.has_sessions else None,
        values=value_model(log, slate_weights),
        source=source,
        **of_users,  # type: ignore[arg-type]
    )


def _click_model(name: str, effects: np.ndarray, stops: np.ndarray) -> fitted.ClickModel:
    if name == "position_based":
        effects = np.exp(effects)
    return fitted.ClickModel(name, effects, np.ones_like(stops) if name == "cascade" else stops)


def _first_slates(log: tables.SlateLog) -> np.ndarray:
    """Returns where sessions begin."""
    return np.flatnonzero(np.r_[True, np.diff(log.sessions) != 0])


def session_model(log: tables.SlateLog, weights: np.ndarray) -> fitted.SessionModel:
    """Returns the hazard of the end of a session, by maximum likelihood.

    Sessions as long as the longest say nothing of how they would have continued: there, they end.

    Args:
        log: slates with sessions.
        weights: how often each slate counts, shape (n_slates,).
    """
    from scipy import optimize

    starts = _first_slates(log)
    lengths = np.diff(np.r_[starts, log.num_slates])
    steps = np.arange(log.num_slates) - np.repeat(starts, lengths)
    ends = np.zeros(log.num_slates)
    ends[starts + lengths - 1] = 1.0
    max_steps = int(lengths.max())
    rows = (steps < max_steps - 1) & (weights > 0.0)
    clicked = log.clicks.any(axis=1)
    causes = np.stack([np.ones(log.num_slates), clicked, np.log1p(steps)], axis=1)[rows]
    outcomes, counts = ends[rows], weights[rows]
    if not outcomes.any():
        return fitted.SessionModel(_NEVER, max_steps=max_steps)

    def negative(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        logits = causes @ coefficients
        chances = 1.0 / (1.0 + np.exp(-logits))
        value = float(counts @ (outcomes * logits - np.logaddexp(0.0, logits)))
        penalty = coefficients / _HAZARD_DEVIATION**2
        slope = causes.T @ (counts * (outcomes - chances)) - penalty
        return -(value - 0.5 * float(penalty @ coefficients)) / len(rows), -slope / len(rows)

    found = optimize.minimize(
        negative, np.zeros(3), jac=True, method="BFGS", options={"gtol": 1e-9}
    )
    intercept, after_click, log_step = map(float, found.x)
    return fitted.SessionModel(intercept, after_click, log_step, max_steps)


def value_model(log: tables.SlateLog, weights: np.ndarray) -> fitted.ValueModel | None:
    """Returns what clicks bring: means of items and effects of users, shrunk as far as they vary.

    Args:
        log: slates, with values of clicks or without.
        weights: how often each slate counts, shape (n_slates,).

    Returns:
        None if the log has no values, or only one.
    """
    if log.values is None:
        return None
    known = log.clicks & np.isfinite(log.values) & (weights > 0.0)[:, None]
    values = log.values[known].astype(np.float64)
    if not values.size or values.min() == values.max():
        return None
    slates = np.nonzero(known)[0]
    counts = weights[slates]
    groups = [(log.items[known], log.num_items)]
    if log.has_users:
        groups.append((log.users[slates], log.num_users))
    total = counts.sum()
    mean = float(counts @ values / total)
    effects = [np.zeros(number) for _, number in groups]
    residual = float(counts @ (values - mean) ** 2 / total)
    variances = [residual / 2.0] * len(groups)
    sizes = [np.bincount(each, counts, number) for each, number in groups]
    for _ in range(_VALUE_ROUNDS):
        uncertainty = 0.0
        for place, (each, number) in enumerate(groups):
            others = values - mean
            for other, (index, _) in enumerate(groups):
                if other != place:
                    others = others - effects[other][index]
            precision = sizes[place] + residual / variances[place]
            effects[place] = np.bincount(each, counts * others, number) / precision
            spread = residual / precision
            seen = sizes[place] > 0.0
            variances[place] = max(
                float((effects[place] ** 2 + spread)[seen].mean()), 1e-12 * residual
            )
            uncertainty += float(sizes[place] @ spread)
        errors = values - mean - sum(e[index] for e, (index, _) in zip(effects, groups))
        mean += float(counts @ errors / total)
        residual = max(float(counts @ errors**2 + uncertainty) / total, 1e-12)
    users = effects[1] if log.has_users else np.zeros(1)
    low, high = float(values.min()), float(values.max())
    return fitted.ValueModel(
        log.value_name, mean + effects[0], users, math.sqrt(residual), low, high
    )


def numbers_of(parameters: fitted.FittedParameters) -> dict[str, float]:
    """Returns the parameters that are not of single items or users, by name, in a fixed order."""
    shares = parameters.item_popularity
    mean = float(shares @ parameters.item_utilities)
    found = {
        "mean item utility": mean,
        "deviation of item utilities": math.sqrt(
            float(shares @ (parameters.item_utilities - mean) ** 2)
        ),
    }
    weights = parameters.user_weights
    if parameters.num_users > 1:
        for name, values in (
            ("deviation of user utilities", parameters.user_utilities[:, None]),
            ("norm of user factors", parameters.user_factors),
        ):
            if values.shape[1]:
                centred = values - weights @ values
                found[name] = math.sqrt(float(weights @ (centred**2).sum(axis=1)))
    kinds = len(parameters.click_models)
    for kind, model in enumerate(parameters.click_models):
        of_kind = f" of kind {kind}" if kinds > 1 else ""
        if kinds > 1:
            found[f"share{of_kind}"] = float(weights[parameters.user_kinds == kind].sum())
        for position in range(1, model.max_slate_size):
            if model.name == "multinomial_logit":
                found[f"effect of position {position}{of_kind}"] = float(
                    model.position_effects[position]
                )
            elif model.name == "position_based":
                found[f"look at position {position}{of_kind}"] = float(
                    model.position_effects[position]
                )
        if model.name == "dependent_click":
            for position in range(model.max_slate_size - 1):
                found[f"stop after position {position}{of_kind}"] = float(model.stops[position])
    if parameters.drift:
        found["drift"] = parameters.drift
    if parameters.fatigue:
        found["fatigue"] = parameters.fatigue
        found["fatigue memory"] = parameters.fatigue_memory
    if parameters.session is not None:
        found["end of session, intercept"] = parameters.session.intercept
        found["end of session, after a click"] = parameters.session.after_click
        found["end of session, log step"] = parameters.session.log_step
    return found
