"""The level of utilities and the looks at positions, from how often each position is clicked.

Modes of users' effects fit the very clicks that they come of, and vary less than users do. Given
them, likelihood takes what was not clicked for disliked rather than not looked at: looks come out
too high, and so the level too low for the first position, where the look is 1 (Neyman and Scott,
1948, "Consistent estimates based on partially consistent observations"). Click rates of positions
have no such bias, as every impression counts in them alike.
"""

from __future__ import annotations

import numpy as np

from recsim.fitting import _click_models, _problem

__all__ = ["at_click_rates"]

# The most that the level is moved at a time, and how closely it is found.
_MOST_LEVEL, _TOLERANCE = 2.0, 1e-4
_ITERATIONS = 20


def at_click_rates(
    problem: _problem.Problem, state: _problem.State, deviations: _problem.State
) -> _problem.State:
    """Returns the state with the level and the looks that give the log's click rates by position.

    Args:
        problem: of a log with users; only position-based models have looks.
        state: where all else is.
        deviations: those of the priors, which looks keep.
    """
    from scipy import optimize

    layout, data, size = problem.layout, problem.data, float(deviations["effects"])
    value = problem.evaluate(state, deviations)
    utilities = value.made.utilities
    weights = [data.fitted * shares[layout.users] for shares in value.responsibilities]
    clicks = [layout.by_position(weight * layout.clicks) for weight in weights]
    kinds = problem.click_parameters(state, deviations)
    everywhere = np.zeros(layout.num_positions)

    def expected(level: float) -> tuple[float, list[np.ndarray]]:
        """Returns how many clicks there should be at a level, and effects of positions there."""
        total, found = 0.0, []
        for (name, effects, stops), weight, counts in zip(kinds, weights, clicks):
            if name == "position_based":
                effects = everywhere
            chances = _click_models.click_probabilities(
                name, utilities + level, effects, stops, layout
            )
            sums = layout.by_position(weight * chances)
            if name == "position_based":
                effects = _log_looks(counts, sums, size)
                sums = np.exp(effects) * sums
            total += float(sums.sum())
            found.append(effects)
        return total, found

    number = float(sum(counts.sum() for counts in clicks))

    def surplus(level: float) -> float:
        return expected(level)[0] - number

    level = 0.0
    if surplus(-_MOST_LEVEL) < 0.0 < surplus(_MOST_LEVEL):
        level = optimize.brentq(surplus, -_MOST_LEVEL, _MOST_LEVEL, xtol=_TOLERANCE)
    effects = np.stack(expected(level)[1])[:, 1:] / size
    return {**state, "intercept": state["intercept"] + level, "effects": effects}


def _log_looks(clicks: np.ndarray, liked: np.ndarray, deviation: float) -> np.ndarray:
    """Returns logarithms of looks, at most 0, by Newton's method; clicks count as Poisson's.

    Args:
        clicks: on each position.
        liked: how many there would be if all of it were looked at, likewise.
        deviation: of the looks' prior.
    """
    found = np.zeros_like(clicks)
    precision = 1.0 / deviation**2
    for _ in range(_ITERATIONS):
        expected = np.exp(found) * liked
        steps = (clicks - expected - precision * found) / (expected + precision)
        found = np.minimum(found + steps, 0.0)
    found[0] = 0.0
    return found
