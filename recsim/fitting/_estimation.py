"""Fits a model to a slate log: estimates of effects, and of how far they shrink.

The deviations of the effects' priors are estimated with the effects, by the fixed point of MacKay
(1992), "Bayesian interpolation": the sum of squares over the number of effects that the data
determine. Effects of items and users with few clicks then shrink as far as the data say.

Strengths of drift and fatigue are estimated with users' effects integrated out by Laplace's
approximation: how well these are known depends on the strengths. Looks at positions are estimated
with users' effects by click rates, see :mod:`recsim.fitting._looks`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from recsim.fitting import _click_models, _dynamics, _layout, _looks, _problem
from recsim.fitting._problem import Problem, State

__all__ = ["Fit", "Widths", "begun", "fit"]

_ITERATIONS = 25
# Deviations of priors stay in this range; at its lower end an effect is nil.
_SMALLEST, _LARGEST = 1e-3, 10.0
# Rounds end when one brings less, in nats per slate.
_TOLERANCE = 5e-6
# Rounds without improvement of the held-out likelihood after which estimation ends.
_PATIENCE = 2
# Iterations in which the priors' deviations of users' effects are found, and the least part of
# itself that one becomes in a round.
_SHRINKAGES, _LEAST_CHANGE = 20, 0.2
# How far the drift moves in a round towards where the objective is greatest: what the corrections
# leave out lets it overshoot.
_DAMPING = 0.7
# Steps of differences by strengths.
_DIFFERENCE = 0.01


@dataclasses.dataclass(frozen=True)
class Fit:
    """A fitted model.

    Attributes:
        model: what was fitted.
        state: estimates, standardized.
        deviations: those of the priors.
        log_likelihood: of the slates fitted to, per impression.
        marginal: logarithm of their likelihood with the effects integrated out.
        log_likelihoods: of each slate, under the most probable kind of its user, in the layout's
            order.
        rounds: rounds of the estimation.
    """

    model: _problem.Model
    state: State
    deviations: State
    log_likelihood: float
    marginal: float
    log_likelihoods: np.ndarray
    rounds: int


def fit(
    model: _problem.Model,
    data: _problem.Data,
    seed: np.random.SeedSequence,
    *,
    rounds: int = 12,
    start: Fit | None = None,
    stop_early: bool = True,
    advance: Callable[[int], None] | None = None,
) -> Fit:
    """Fits a model.

    Args:
        model: what to fit.
        data: what to fit it to.
        seed: of the factors where estimation begins.
        rounds: the most rounds, each of some iterations and a new estimate of deviations.
        start: a fit of a model with some of the parameters, to begin with.
        stop_early: whether to end when the held-out likelihood, if any, falls, with the best
            state; else when little changes.
        advance: called with the number of rounds done since the last call.
    """
    problem = Problem(model, data)
    state, deviations = begun(problem, seed, start)
    best: tuple[float, Fit] | None = None
    current, widths = _measured(problem, state, deviations, 0)
    for done in range(1, rounds + 1):
        widths.correct()
        before, state = state, _maximized(problem, state, deviations, widths)
        if model.drift:
            state["drift"] = before["drift"] + _DAMPING * (state["drift"] - before["drift"])
        state = problem.rescaled(state, deviations)
        state, deviations = Widths(problem, state, deviations).shrunk()
        if data.has_users and "position_based" in model.click_models and "effects" in state:
            state = _looks.at_click_rates(problem, state, deviations)
        last = current.marginal
        current, widths = _measured(problem, state, deviations, done)
        if advance is not None:
            advance(1)
        if stop_early and data.held_out.any():
            found = float(data.held_out @ current.log_likelihoods)
            if best is None or found > best[0]:
                best = found, current
            elif done - best[1].rounds >= _PATIENCE:
                break
        if abs(current.marginal - last) < _TOLERANCE * data.fitted.sum():
            break
    return current if best is None else best[1]


def _measured(problem: Problem, state: State, deviations: State, rounds: int) -> tuple[Fit, Widths]:
    """Returns a fit as it is now, and how well its parameters are determined."""
    problem.remove_corrections()
    value = problem.evaluate(state, deviations)
    total, _ = problem.mixed(state, value.log_likelihoods)
    widths = Widths(problem, state, deviations)
    impressions = float(problem.layout.impressions(problem.data.fitted).sum())
    marginal = value.objective - widths.half_log_determinant()
    of_slates = _hard(problem, value)
    fit = Fit(problem.model, state, deviations, total / impressions, marginal, of_slates, rounds)
    return fit, widths


def _hard(problem: Problem, value: _problem.Value) -> np.ndarray:
    """Returns log-likelihoods of slates under the most probable kinds of their users."""
    if len(value.log_likelihoods) == 1:
        only: np.ndarray = value.log_likelihoods[0]
        return only
    kinds = value.responsibilities.argmax(axis=0)[problem.layout.users]
    chosen: np.ndarray = np.take_along_axis(value.log_likelihoods, kinds[None], axis=0)[0]
    return chosen


def begun(problem: Problem, seed: np.random.SeedSequence, start: Fit | None) -> tuple[State, State]:
    """Returns where estimation begins, with what another fit has.

    Args:
        problem: what is fitted to what.
        seed: of the factors.
        start: a fit of a model with some of the parameters; a kind of users begins with what it has
            of the kind's click model. None to begin with nothing.
    """
    state, deviations = problem.start(seed)
    if start is None:
        return state, deviations
    for name, value in start.state.items():
        if name not in problem.shapes:
            continue
        if name in ("effects", "stops"):
            for kind, model in enumerate(problem.model.click_models):
                if model in start.model.click_models:
                    state[name][kind] = value[start.model.click_models.index(model)]
        elif problem.shapes[name] == value.shape:
            state[name] = value.copy()
    for name, value in start.deviations.items():
        if name in deviations and deviations[name].shape == value.shape:
            deviations[name] = value.copy()
    if problem.model.drift and not start.model.drift and "q" in start.state:
        _balance(problem, state, deviations)
    if len(problem.model.click_models) > len(start.model.click_models):
        problem.set_apart(state)
    return state, deviations


def _balance(problem: Problem, state: State, deviations: State) -> None:
    """Lets all of users' factors vary as much, and items' factors so that utilities remain."""
    before = problem.factor_norm(problem.raw_factors(state, deviations), deviations)
    common = math.sqrt(float(np.mean(deviations["p"] ** 2)))
    ratios = deviations["p"] / common
    for name in ("q", "q_weights"):
        if name in state:
            state[name] = state[name] * ratios
    scale = problem.factor_norm(problem.raw_factors(state, deviations), deviations) / before
    deviations["p"] = np.full(ratios.shape, common * scale)
    if "p_weights" in state:
        state["p_weights"] = state["p_weights"] * (scale / ratios)


def _maximized(problem: Problem, state: State, deviations: State, widths: Widths) -> State:
    """Returns the state after some iterations of L-BFGS, on parameters of like curvature."""
    from scipy import optimize

    names = list(problem.shapes)
    scales = widths.scales()
    ends = np.cumsum([state[name].size for name in names])

    def unpacked(vector: np.ndarray) -> State:
        parts = np.split(vector, ends[:-1])
        return {
            name: part.reshape(problem.shapes[name]) / scales[name]
            for name, part in zip(names, parts)
        }

    def packed(arrays: State) -> np.ndarray:
        return np.concatenate([np.ravel(arrays[name]) for name in names])

    def negative(vector: np.ndarray) -> tuple[float, np.ndarray]:
        value = problem.evaluate(unpacked(vector), deviations)
        slopes = {name: slope / scales[name] for name, slope in value.gradient.items()}
        return -value.objective, -packed(slopes)

    limits = [problem.bounds(name) for name in names]
    lows, highs = (
        packed({name: each[side] * scales[name] for name, each in zip(names, limits)})
        for side in (0, 1)
    )
    found = optimize.minimize(
        negative,
        np.clip(packed({name: state[name] * scales[name] for name in names}), lows, highs),
        jac=True,
        method="L-BFGS-B",
        bounds=optimize.Bounds(lows, highs),
        options={"maxiter": _ITERATIONS, "maxcor": 20, "ftol": 1e-8, "gtol": 1e-3},
    )
    return unpacked(found.x)


class Widths:
    """How well parameters are determined: curvatures of the log-likelihood at a state."""

    def __init__(self, problem: Problem, state: State, deviations: State) -> None:
        self._problem, self._state, self._deviations = problem, state, deviations
        data, layout = problem.data, problem.layout
        values = problem.values(state, deviations)
        self._made = made = problem.forward(values)
        clicks = problem.click_parameters(state, deviations)
        self._factors = values.item_factors
        if len(clicks) > 1:
            likelihoods = np.stack(
                [
                    _click_models.terms(name, made.utilities, effects, stops, layout).log_likelihood
                    for name, effects, stops in clicks
                ]
            )
            _, responsibilities = problem.mixed(state, likelihoods)
        else:
            responsibilities = np.ones((1, layout.num_users))
        #: Of impressions, for all kinds together and for each.
        self.diagonal = np.zeros_like(made.utilities)
        self._by_kind = []
        self._curvatures: list[tuple[np.ndarray, np.ndarray | None]] = []
        # Of slates, by what interests are at them.
        self._by_interest = np.zeros((values.item_factors.shape[1], len(layout.users)))
        blocks = _UserBlocks(layout, values, problem.model.drift)
        seen = (data.fitted > 0.0).astype(np.float64)
        for (name, effects, stops), shares in zip(clicks, responsibilities):
            weights, vectors = _click_models.curvature(name, made.utilities, effects, stops, layout)
            share = shares[layout.users]
            blocks.add(seen * share, weights, vectors)
            self._curvatures.append((weights * (data.fitted * share), vectors))
            if problem.model.drift:
                self._by_interest += data.fitted * share * _along(values, layout, weights, vectors)
            if vectors is not None:
                weights = weights - vectors**2
            weights = weights * (data.fitted * share)
            self.diagonal += weights
            self._by_kind.append(layout.by_position(weights))
        self._blocks, self._rows, self._left = blocks.matrices, blocks.rows, blocks.left
        self._clicks = clicks

    def _user_matrices(self) -> tuple[list[tuple[str, int]], np.ndarray]:
        """Returns which effects of users there are, and their standardized posterior precisions."""
        state, deviations = self._state, self._deviations
        entries = [("user", 0)] if "user" in state else []
        if "p" in state:
            entries += [("p", each) for each in range(state["p"].shape[1])]
        chosen = [0 if name == "user" else 1 + each for name, each in entries]
        sizes = np.array([float(np.ravel(deviations[name])[each]) for name, each in entries])
        matrices = self._blocks[:, chosen][:, :, chosen] * sizes[:, None] * sizes
        return entries, matrices + np.eye(len(chosen))

    def half_log_determinant(self) -> float:
        """Returns what the integral over standardized effects takes off the logarithm."""
        total = sum(0.5 * float(np.log1p(each).sum()) for each in self.information().values())
        entries, matrices = self._user_matrices()
        if entries:
            logs = np.linalg.slogdet(matrices)[1]
            total += 0.5 * float(self._problem.data.user_weights @ logs)
        return total

    def information(self) -> State:
        """Returns curvatures by standardized effects that are not of users."""
        problem, deviations = self._problem, self._deviations
        layout, data = problem.layout, problem.data
        by_item = layout.by_item(self.diagonal)
        found: State = {
            "item": by_item,
            "item_weights": data.item_features.T**2 @ by_item,
            "effects": np.stack(self._by_kind)[:, 1:],
        }
        diagonals = np.einsum("uaa->ua", self._blocks) * data.user_weights[:, None]
        found["user_weights"] = data.user_features.T**2 @ diagonals[:, 0]
        if self._factors.shape[1]:
            raw = problem.raw_factors(self._state, deviations)
            norm = problem.factor_norm(raw, deviations) ** 2
            squares = [layout.by_item(self.diagonal * row**2) for row in self._made.interests]
            found["q"] = np.stack(squares, axis=1) / norm
            if problem.model.drift:
                # Where interests went says what the items are that they moved to.
                drift = float(self._state["drift"])
                found["q"] += _dynamics.by_target(drift, layout, self._by_interest) / norm
            found["q_weights"] = data.item_features.T**2 @ found["q"]
            found["p_weights"] = data.user_features.T**2 @ diagonals[:, 1:]
        return {
            name: value * deviations[name] ** 2
            for name, value in found.items()
            if name in deviations
        }

    def shrunk(self) -> tuple[State, State]:
        """Returns new deviations, and the state: effects of users as far as these shrink them."""
        state, deviations = dict(self._state), dict(self._deviations)
        for name, information in self.information().items():
            determined = information / (1.0 + information)
            if name == "effects":
                used = np.array(
                    [
                        model in ("multinomial_logit", "position_based")
                        for model in self._problem.model.click_models
                    ]
                )
                determined = determined[used]
            if name == "q" and "reliability" in deviations:
                unknown = float((deviations[name] ** 2 / (1.0 + information)).sum())
                known = float((self._problem.raw_factors(state, deviations) ** 2).sum())
                deviations["reliability"] = np.array(known / (known + unknown))
            axes = 0 if deviations[name].ndim else None
            _change(
                state,
                deviations,
                name,
                (state[name] ** 2).sum(axis=axes),
                determined.sum(axis=axes),
            )
        entries, matrices = self._user_matrices()
        if entries:
            columns = [state[name].reshape(len(matrices), -1)[:, each] for name, each in entries]
            given = np.stack(columns, axis=1)
            # Interests move along with items' factors: where they do, all vary as much.
            of_users = self._problem.data.user_weights
            groups = np.array([name == "p" for name, _ in entries], np.intp)
            if not self._problem.model.drift:
                groups = np.arange(len(entries))
            effects, factors = _shrunk_further(given, matrices, of_users, groups)
            for name in dict.fromkeys(name for name, _ in entries):
                chosen = [place for place, (each, _) in enumerate(entries) if each == name]
                factor = factors[chosen].reshape(deviations[name].shape)
                new = np.clip(deviations[name] * factor, _SMALLEST, _LARGEST)
                effect = effects[:, chosen].reshape(state[name].shape)
                state[name], deviations[name] = effect * (deviations[name] / new), new
        return state, deviations

    def _covariances(self) -> np.ndarray:
        """Returns posterior covariances of users' effects, shape (n_users, 1 + k, 1 + k)."""
        entries, matrices = self._user_matrices()
        chosen = np.array([0 if name == "user" else 1 + each for name, each in entries])
        sizes = np.array([float(np.ravel(self._deviations[name])[each]) for name, each in entries])
        covariances = np.zeros_like(self._blocks)
        inverses = np.linalg.inv(matrices) * sizes[:, None] * sizes
        covariances[:, chosen[:, None], chosen] = inverses
        return covariances

    def correct(self) -> None:
        """Gives the problem what the integral over users' effects adds to its objective."""
        problem, factors = self._problem, self._factors
        layout, k = problem.layout, factors.shape[1]
        problem.corrections = {}
        if problem.model.fatigue:
            problem.corrections = {name: self._difference(name) for name in ("fatigue", "memory")}
        if not k:
            return
        of_slates = np.ascontiguousarray(self._covariances().transpose(1, 2, 0))[:, :, layout.users]
        slopes, curvatures = np.zeros_like(factors), np.zeros((len(factors), k, k))
        squares, products = np.zeros(layout.items.shape), np.zeros(layout.items.shape)
        left = 1.0 if self._left is None else self._left
        for weights, vectors in self._curvatures:
            centred, narrowed = self._rows, weights
            if vectors is not None:
                centred = [row - (vectors * row).sum(axis=0) for row in self._rows]
                narrowed = weights * (1.0 - vectors)
            for a in range(k):
                pulled = sum(of_slates[1 + a, b] * row for b, row in enumerate(centred))
                slopes[:, a] -= layout.by_item(left * weights * pulled)
                along = factors[:, a][layout.items]
                products += narrowed * along * of_slates[1 + a, 0]
                for b in range(k):
                    spread = narrowed * of_slates[1 + a, 1 + b]
                    squares += spread * along * factors[:, b][layout.items]
                    if b >= a:
                        curvatures[:, a, b] += layout.by_item(left**2 * spread)
                        curvatures[:, b, a] = curvatures[:, a, b]
        problem.factor_correction = _problem.FactorCorrection(factors, slopes, curvatures)
        if problem.model.drift:
            before = _dynamics.clicks_before(layout)
            drift = float(self._state["drift"])
            correction = _problem.DriftCorrection(
                drift,
                np.bincount(before, squares.sum(axis=0)),
                np.bincount(before, products.sum(axis=0)),
                0.0,
            )
            slope = self._difference("drift") - correction.at(drift)[1]
            problem.drift_correction = dataclasses.replace(correction, slope=slope)

    def _difference(self, name: str) -> float:
        """Returns the derivative of the integral over users' effects by a strength."""
        ends = []
        for change in (-_DIFFERENCE, _DIFFERENCE):
            moved = np.clip(self._state[name] + change, *self._problem.bounds(name))
            widths = Widths(self._problem, {**self._state, name: moved}, self._deviations)
            ends.append((float(moved), widths.half_log_determinant()))
        (low, before), (high, after) = ends
        return -(after - before) / (high - low)

    def scales(self) -> State:
        """Returns square roots of curvatures by the parameters, for L-BFGS."""
        problem, data, layout = self._problem, self._problem.data, self._problem.layout
        found = {name: np.sqrt(1.0 + value) for name, value in self.information().items()}
        entries, matrices = self._user_matrices()
        diagonals = np.sqrt(np.einsum("uaa->ua", matrices))
        for name in dict.fromkeys(name for name, _ in entries):
            chosen = [place for place, (each, _) in enumerate(entries) if each == name]
            found[name] = diagonals[:, chosen].reshape(problem.shapes[name])
        found["intercept"] = np.sqrt(1.0 + self.diagonal.sum())
        if "stops" in problem.shapes:
            clicks = layout.by_position(data.fitted * layout.clicks)
            spread = np.stack([stops * (1.0 - stops) for _, _, stops in self._clicks])
            found["stops"] = np.sqrt(0.1 + clicks * spread)
        if "kinds" in problem.shapes:
            found["kinds"] = np.sqrt(1.0 + 0.2 * data.user_weights.sum())
        if problem.model.fatigue:
            levels, slopes = self._made.levels, self._made.level_slopes
            assert levels is not None and slopes is not None
            found["fatigue"] = np.sqrt(1.0 + (self.diagonal * levels**2).sum())
            strength = 0.05 + float(self._state["fatigue"])
            found["memory"] = np.sqrt(1.0 + strength**2 * (self.diagonal * slopes**2).sum())
        if problem.model.drift:
            assert self._made.targets is not None
            total = np.einsum("uaa->a", self._blocks * data.user_weights[:, None, None])
            found["p_mean"] = np.sqrt(1.0 + total[1:])
            found["drift"] = self._drift_scale()
        return {
            name: np.broadcast_to(found.get(name, np.ones(())), shape)
            for name, shape in problem.shapes.items()
        }

    def _drift_scale(self) -> np.ndarray:
        """Returns the root of the curvature by the drift, from the change of utilities with it."""
        problem = self._problem
        ends = []
        for change in (-_DIFFERENCE, _DIFFERENCE):
            drift = np.clip(self._state["drift"] + change, *problem.bounds("drift"))
            values = problem.values({**self._state, "drift": drift}, self._deviations)
            ends.append((float(drift), problem.forward(values).utilities))
        (low, before), (high, after) = ends
        slopes = (after - before) / (high - low)
        scale: np.ndarray = np.sqrt(1.0 + (self.diagonal * slopes**2).sum())
        return scale


def _change(
    state: State, deviations: State, name: str, squares: np.ndarray, determined: np.ndarray
) -> None:
    """Sets a prior's deviation by MacKay's fixed point, and scales effects to remain the same.

    The deviation's own prior density falls as its reciprocal. It says nothing on where many
    effects are determined; where less than a few are, it lets them all be nil.
    """
    ratios = np.sqrt(np.maximum(squares, 1e-12) / (determined + 1.0))
    new = np.clip(deviations[name] * np.clip(ratios, 0.3, 3.0), _SMALLEST, _LARGEST)
    state[name] = state[name] * (deviations[name] / new)
    deviations[name] = new


def _shrunk_further(
    effects: np.ndarray, precisions: np.ndarray, weights: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns users' effects with other deviations of their prior, by MacKay's fixed point.

    The likelihood is taken to be normal, with its mode and curvature as they are.

    Args:
        effects: standardized, at their posterior mode, shape (n_users, d).
        precisions: of their posterior, shape (n_users, d, d).
        weights: how often each user counts.
        groups: numbers from 0; effects of one group have one deviation, shape (d,).

    Returns:
        The effects, and what to multiply the deviations by, shape (d,).
    """
    number = effects.shape[1]
    pulls = np.einsum("uab,ub->ua", precisions, effects)
    squares = np.ones(number)
    for _ in range(_SHRINKAGES):
        changed = precisions + np.diag(1.0 / squares - 1.0)
        covariances = np.linalg.inv(changed)
        effects = np.einsum("uab,ub->ua", covariances, pulls)
        determined = weights @ (1.0 - np.einsum("uaa->ua", covariances) / squares)
        totals = [
            np.bincount(groups, each) for each in (weights @ effects**2, determined * squares)
        ]
        ratios = (totals[0] / np.maximum(totals[1], 1e-9))[groups]
        # Beyond the fixed point's own step, which is short where little is determined.
        steps = np.clip(ratios, 0.1, 10.0) ** 1.5
        squares = np.clip(squares * steps, _LEAST_CHANGE**2, _LEAST_CHANGE**-2)
        if np.abs(np.log(steps)).max() < 1e-3:
            break
    return effects, np.sqrt(squares)


def _along(
    values: _dynamics.Values,
    layout: _layout.Layout,
    weights: np.ndarray,
    vectors: np.ndarray | None,
) -> np.ndarray:
    """Returns curvatures of slates by the user's interests, shape (k, n_slates).

    Args:
        values: with the items' factors.
        layout: what was shown.
        weights: the diagonal by utilities, shape (L, n_slates).
        vectors: what the outer product of is subtracted, likewise, or None.
    """
    found = []
    for row in np.ascontiguousarray(values.item_factors.T):
        along = row[layout.items]
        sums = (weights * along**2).sum(axis=0)
        found.append(sums if vectors is None else sums - (vectors * along).sum(axis=0) ** 2)
    return np.reshape(found, (-1, len(layout.users)))


class _UserBlocks:
    """Second derivatives of each user's log-likelihood by utility and factors."""

    def __init__(self, layout: _layout.Layout, values: _dynamics.Values, drifts: bool) -> None:
        self._layout = layout
        self.left = left = None
        if drifts:
            self.left = left = (1.0 - values.drift) ** _dynamics.clicks_before(layout)
        self.rows = [np.ones(layout.items.shape)]
        for row in np.ascontiguousarray(values.item_factors.T):
            by_start = row[layout.items]
            self.rows.append(by_start if left is None else by_start * left)
        size = len(self.rows)
        self.matrices = np.zeros((layout.num_users, size, size))

    def add(self, shares: np.ndarray, weights: np.ndarray, vectors: np.ndarray | None) -> None:
        """Adds those of a click model.

        Args:
            shares: how much slates count, shape (n_slates,).
            weights: the diagonal by utilities, shape (L, n_slates).
            vectors: what the outer product of is subtracted, likewise, or None.
        """
        means = None
        if vectors is not None:
            means = [(vectors * row).sum(axis=0) for row in self.rows]
        for a, first in enumerate(self.rows):
            weighted = weights * first
            for b in range(a, len(self.rows)):
                sums = (weighted * self.rows[b]).sum(axis=0)
                if means is not None:
                    sums = sums - means[a] * means[b]
                found = self._layout.by_user(shares * sums)
                self.matrices[:, a, b] += found
                if a != b:
                    self.matrices[:, b, a] += found
