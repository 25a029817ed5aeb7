"""The penalized log-likelihood of a model of a slate log, as a function of its parameters.

Everything that there are many of (effects of items, of users, of positions, factors, weights of
features) has a normal prior with mean 0, and is a standardized effect times the prior's deviation.

The likelihood of a mixture is that of each user: a sum over kinds of the product over slates. Its
gradient weighs the kinds by their posterior probabilities, which is the E step of the EM algorithm
(Dempster et al. 1977) at every evaluation.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from recsim.fitting import _click_models, _dynamics, _layout

__all__ = ["Data", "Model", "Problem", "State", "Value"]

#: Arrays by name.
State = dict[str, np.ndarray]

# The prior deviation of the logit of stopping after a click.
_STOP_DEVIATION = 3.0
# The prior deviations of a model at the beginning.
_DEVIATIONS = {
    "item": 0.5,
    "item_weights": 0.3,
    "user": 0.5,
    "user_weights": 0.3,
    "effects": 0.5,
    "q_weights": 0.3,
    "p": 0.3,
    "p_weights": 0.1,
}
_BOUNDS = {
    "drift": (0.0, 0.95),
    "fatigue": (0.0, np.inf),
    "memory": (0.0, 0.99),
    "stops": (-9.0, 9.0),
}


@dataclasses.dataclass(frozen=True)
class Model:
    """What is fitted.

    Attributes:
        click_models: the click model of each kind of users.
        num_factors: number of latent factors of items and users.
        drift: whether interests move.
        fatigue: whether clicks on a topic tire of it.
    """

    click_models: tuple[str, ...]
    num_factors: int = 0
    drift: bool = False
    fatigue: bool = False

    @property
    def name(self) -> str:
        """A name that tells models apart, fit for a file's."""
        extras = [f"{self.num_factors}_factors"]
        extras += ["drift"] * self.drift + ["fatigue"] * self.fatigue
        return "-".join(["+".join(self.click_models), *extras])


@dataclasses.dataclass(frozen=True)
class Data:
    """A log to fit to.

    Attributes:
        layout: its slates.
        item_features: standardized, shape (n_items, d).
        user_features: standardized, shape (n_users, d).
        has_users: whether the log says who saw what.
        fitted: weights of slates, those of users included, shape (n_slates,): 0 where held out.
        user_weights: how often each user counts, shape (n_users,).
        held_out: 1 for slates that are held out, 0 for others, shape (n_slates,).
    """

    layout: _layout.Layout
    item_features: np.ndarray
    user_features: np.ndarray
    has_users: bool
    fitted: np.ndarray
    user_weights: np.ndarray
    held_out: np.ndarray


@dataclasses.dataclass(frozen=True)
class Value:
    """The objective at a point.

    Attributes:
        objective: log-likelihood less penalties.
        gradient: its derivatives by the state.
        log_likelihoods: of each slate under each kind, shape (kinds, n_slates).
        responsibilities: posterior probabilities of kinds, shape (kinds, n_users).
        made: utilities and what they are made of.
    """

    objective: float
    gradient: State
    log_likelihoods: np.ndarray
    responsibilities: np.ndarray
    made: _dynamics.Utilities


@dataclasses.dataclass(frozen=True)
class FactorCorrection:
    """What the integral over users' effects adds to the objective, as items' factors move.

    Attributes:
        factors: items' factors where it is 0, shape (n_items, k).
        slopes: its derivatives there, of that shape.
        curvatures: its second derivatives, without their sign, shape (n_items, k, k).
    """

    factors: np.ndarray
    slopes: np.ndarray
    curvatures: np.ndarray

    def at(self, factors: np.ndarray) -> tuple[float, np.ndarray]:
        """Returns it, and its derivatives."""
        moved = factors - self.factors
        bent = np.einsum("iab,ib->ia", self.curvatures, moved)
        return float(((self.slopes - 0.5 * bent) * moved).sum()), self.slopes - bent


@dataclasses.dataclass(frozen=True)
class DriftCorrection:
    """What the integral over users' effects adds to the objective, as the drift moves.

    The more of the interests at the start of a session is gone, the less is known of them, and the
    less does it matter.

    Attributes:
        drift: where it is 0.
        squares: variances of utilities by users' factors, summed over impressions, by how many
            slates of the session had a click before; without what the drift leaves of them.
        products: covariances of these with users' utilities, likewise.
        slope: a further derivative.
    """

    drift: float
    squares: np.ndarray
    products: np.ndarray
    slope: float

    def at(self, drift: float) -> tuple[float, float]:
        """Returns it, and its derivative."""
        here, slope = self._terms(drift)
        return here - self._terms(self.drift)[0] + self.slope * (drift - self.drift), (
            slope + self.slope
        )

    def _terms(self, drift: float) -> tuple[float, float]:
        times, left = np.arange(len(self.squares)), 1.0 - drift
        value = -0.5 * left ** (2 * times) @ self.squares - left**times @ self.products
        by_square = times * left ** np.maximum(2 * times - 1, 0)
        by_product = times * left ** np.maximum(times - 1, 0)
        return float(value), float(by_square @ self.squares + by_product @ self.products)


class Problem:
    """The penalized log-likelihood of a model as a function of one vector."""

    def __init__(self, model: Model, data: Data) -> None:
        self.model, self.data = model, data
        self.layout = data.layout
        layout, k = data.layout, model.num_factors
        kinds, positions = len(model.click_models), layout.num_positions
        of_items, of_users = data.item_features.shape[1], data.user_features.shape[1]
        shapes: dict[str, tuple[int, ...]] = {
            "intercept": (),
            "item": (layout.num_items,),
            "item_weights": (of_items,),
            "kinds": (kinds - 1,),
        }
        # Click models without effects of positions, or of stops, leave them where they are.
        if {"multinomial_logit", "position_based"} & set(model.click_models):
            shapes["effects"] = (kinds, positions - 1)
        if "dependent_click" in model.click_models:
            shapes["stops"] = (kinds, positions)
        if data.has_users:
            shapes.update(user=(layout.num_users,), user_weights=(of_users,))
        if k:
            shapes.update(q=(layout.num_items, k), q_weights=(of_items, k))
            shapes.update(p=(layout.num_users, k), p_weights=(of_users, k))
        if model.drift:
            shapes.update(drift=(), p_mean=(k,))
        if model.fatigue:
            shapes.update(fatigue=(), memory=())
        self.shapes = {name: shape for name, shape in shapes.items() if math.prod(shape)}
        self.remove_corrections()
        self._shares = np.maximum(layout.by_item(layout.impressions(data.fitted)), 1e-9)
        self._shares = self._shares / self._shares.sum()

    def remove_corrections(self) -> None:
        """Makes the objective that of the joint mode, without integrals over users' effects."""
        #: What the integrals add as parameters move: derivatives by strengths that are constant,
        self.corrections: dict[str, float] = {}
        #: the like by the drift, and by items' factors, which are not.
        self.drift_correction: DriftCorrection | None = None
        self.factor_correction: FactorCorrection | None = None

    def start(self, seed: np.random.SeedSequence) -> tuple[State, State]:
        """Returns where estimation begins: standardized effects, and deviations of priors.

        With drift, the latter have the ``'reliability'`` of factors too: how large their estimates
        are, in square and mean, beside the factors, whose mean squared norm is 1.
        """
        rng = np.random.default_rng(seed)
        state = {name: np.zeros(shape) for name, shape in self.shapes.items()}
        deviations = {name: np.array(size) for name, size in _DEVIATIONS.items()}
        weights = self.layout.impressions(self.data.fitted)
        clicks = (weights * self.layout.clicks).sum()
        rate = (clicks + 0.5) / (weights.sum() + 1.0)
        state["intercept"] = np.array(np.log(rate / (1.0 - rate)))
        k = self.model.num_factors
        if k:
            state["q"] = rng.standard_normal(self.shapes["q"])
            deviations["q"] = np.array(1.0 / math.sqrt(k))
            deviations["p"] = np.full(k, _DEVIATIONS["p"])
        self.set_apart(state)
        if self.model.drift:
            state["drift"] = np.array(0.05)
        if self.model.fatigue:
            state["fatigue"], state["memory"] = np.array(0.1), np.array(0.5)
        deviations = {name: value for name, value in deviations.items() if name in self.shapes}
        if self.model.drift:
            deviations["reliability"] = np.array(1.0)
        return state, deviations

    def set_apart(self, state: State) -> None:
        """Lets kinds of the same click model differ, who would else remain the same."""
        for kind, effects in enumerate(state.get("effects", ())):
            effects -= 0.5 * kind
        for kind, stops in enumerate(state.get("stops", ())):
            stops += 0.5 * kind

    def bounds(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns the least and the greatest values of a parameter, arrays of its shape."""
        low, high = _BOUNDS.get(name, (-np.inf, np.inf))
        lows, highs = np.full(self.shapes[name], low), np.full(self.shapes[name], high)
        if name == "effects":  # Logarithms of probabilities of a look.
            highs[[model == "position_based" for model in self.model.click_models]] = 0.0
        return lows, highs

    def values(self, state: State, deviations: State) -> _dynamics.Values:
        """Returns what utilities are made of."""
        data = self.data
        items = state["intercept"] + deviations["item"] * state["item"]
        if "item_weights" in state:
            items = items + data.item_features @ (
                deviations["item_weights"] * state["item_weights"]
            )
        users = np.zeros(self.layout.num_users)
        if "user" in state:
            users = deviations["user"] * state["user"]
        if "user_weights" in state:
            users = users + data.user_features @ (
                deviations["user_weights"] * state["user_weights"]
            )
        interests = np.zeros((self.layout.num_users, 0))
        if "p" in state:
            interests = deviations["p"] * state["p"]
        if "p_weights" in state:
            interests = interests + data.user_features @ (
                deviations["p_weights"] * state["p_weights"]
            )
        if "p_mean" in state:
            interests = interests + state["p_mean"]
        raw = self.raw_factors(state, deviations)
        norm = self.factor_norm(raw, deviations) if raw.size else 1.0
        return _dynamics.Values(
            items,
            users,
            raw / norm,
            interests,
            *(float(state.get(name, 0.0)) for name in ("drift", "fatigue", "memory")),
        )

    def factor_norm(self, raw: np.ndarray, deviations: State) -> float:
        """Returns what raw factors are divided by for their scale to be that of the scenario."""
        return math.sqrt((raw**2).sum() / len(raw) / float(deviations.get("reliability", 1.0)))

    def raw_factors(self, state: State, deviations: State) -> np.ndarray:
        """Returns items' factors before their mean squared norm is made 1."""
        raw = np.zeros((self.layout.num_items, 0))
        if "q" in state:
            raw = deviations["q"] * state["q"]
        if "q_weights" in state:
            raw = raw + self.data.item_features @ (deviations["q_weights"] * state["q_weights"])
        return raw

    def click_parameters(
        self, state: State, deviations: State
    ) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Returns each kind's click model, with effects of positions and chances of stopping."""
        found = []
        positions = self.layout.num_positions
        for kind, name in enumerate(self.model.click_models):
            effects, stops = np.zeros(positions), np.zeros(positions)
            if "effects" in state and name in ("multinomial_logit", "position_based"):
                effects[1:] = deviations["effects"] * state["effects"][kind]
            if name == "dependent_click":
                stops = 1.0 / (1.0 + np.exp(-state["stops"][kind]))
            found.append((name, effects, stops))
        return found

    def kind_shares(self, state: State) -> np.ndarray:
        """Returns the prior probabilities of kinds."""
        logits = np.concatenate([[0.0], state["kinds"]]) if "kinds" in state else np.zeros(1)
        weights = np.exp(logits - logits.max())
        shares: np.ndarray = weights / weights.sum()
        return shares

    def evaluate(self, state: State, deviations: State) -> Value:
        """Returns the objective, its gradient, and what else comes of them."""
        layout, data = self.layout, self.data
        values = self.values(state, deviations)
        made = self.forward(values)
        clicks = self.click_parameters(state, deviations)
        terms = [
            _click_models.terms(name, made.utilities, effects, stops, layout)
            for name, effects, stops in clicks
        ]
        log_likelihoods = np.stack([each.log_likelihood for each in terms])
        total, responsibilities = self.mixed(state, log_likelihoods)
        by_utility = np.zeros_like(made.utilities)
        by_effects, by_stops = [], []
        for each, shares, (_, _, stops) in zip(terms, responsibilities, clicks):
            weights = data.fitted * (shares[layout.users] if len(terms) > 1 else 1.0)
            by_utility += weights * each.by_utility
            by_effect, by_stop = np.zeros(layout.num_positions), np.zeros(layout.num_positions)
            if each.by_effect is not None and layout.num_positions > 1:
                by_effect = layout.by_position(weights * each.by_effect)
            if each.by_stop is not None:
                by_stop = layout.by_position(weights * each.by_stop) * stops * (1.0 - stops)
            by_effects.append(by_effect[1:])
            by_stops.append(by_stop)
        slopes = _dynamics.backward(values, layout, made, by_utility)
        if self.factor_correction is not None:
            gain, by_factors = self.factor_correction.at(values.item_factors)
            total += gain
            slopes = dataclasses.replace(slopes, item_factors=slopes.item_factors + by_factors)
        gradient = self._gradient(state, deviations, values, slopes)
        gradient["effects"] = deviations.get("effects", np.zeros(())) * np.stack(by_effects)
        gradient["stops"] = np.stack(by_stops)
        excess = responsibilities - self.kind_shares(state)[:, None]
        gradient["kinds"] = (excess * data.user_weights)[1:].sum(axis=1)
        gradient = {name: np.asarray(gradient[name]) for name in self.shapes}
        objective = total - self._penalize(state, deviations, gradient)
        for name, slope in self.corrections.items():
            objective += slope * float(state[name])
            gradient[name] = gradient[name] + slope
        if self.drift_correction is not None:
            gain, slope = self.drift_correction.at(float(state["drift"]))
            objective += gain
            gradient["drift"] = gradient["drift"] + slope
        return Value(objective, gradient, log_likelihoods, responsibilities, made)

    def forward(self, values: _dynamics.Values) -> _dynamics.Utilities:
        """Returns the utilities that values make."""
        model = self.model
        return _dynamics.forward(values, self.layout, drifts=model.drift, tires=model.fatigue)

    def mixed(self, state: State, log_likelihoods: np.ndarray) -> tuple[float, np.ndarray]:
        """Returns the log-likelihood of the slates fitted to, and users' probabilities of kinds."""
        data, layout = self.data, self.layout
        if len(log_likelihoods) == 1:
            return float(data.fitted @ log_likelihoods[0]), np.ones((1, layout.num_users))
        seen = (data.fitted > 0.0).astype(np.float64)
        of_users = np.stack([layout.by_user(seen * each) for each in log_likelihoods])
        of_users += np.log(self.kind_shares(state))[:, None]
        greatest = of_users.max(axis=0)
        weights = np.exp(of_users - greatest)
        sums = weights.sum(axis=0)
        return float(data.user_weights @ (greatest + np.log(sums))), weights / sums

    def _gradient(
        self, state: State, deviations: State, values: _dynamics.Values, slopes: _dynamics.Slopes
    ) -> State:
        """Returns derivatives by what utilities are made of, before penalties."""
        data = self.data
        found: State = {
            "intercept": slopes.items.sum(),
            "item": slopes.items,
            "item_weights": slopes.items @ data.item_features,
            "user": slopes.users,
            "user_weights": slopes.users @ data.user_features,
            "p": slopes.user_factors,
            "p_weights": data.user_features.T @ slopes.user_factors,
            "p_mean": slopes.user_factors.sum(axis=0),
            "drift": np.asarray(slopes.drift),
            "fatigue": np.asarray(slopes.fatigue),
            "memory": np.asarray(slopes.memory),
        }
        factors = values.item_factors
        if factors.size:
            raw = self.raw_factors(state, deviations)
            along = (slopes.item_factors * factors).sum() / (factors**2).sum()
            norm = self.factor_norm(raw, deviations)
            found["q"] = (slopes.item_factors - factors * along) / norm
            found["q_weights"] = data.item_features.T @ found["q"]
        return {name: slope * deviations.get(name, 1.0) for name, slope in found.items()}

    def _penalize(self, state: State, deviations: State, gradient: State) -> float:
        """Returns the penalties, and takes their derivatives from the gradient."""
        penalty = 0.0
        for name in ("item", "item_weights", "user_weights", "effects", "p_weights"):
            if name in state:
                penalty += 0.5 * float((state[name] ** 2).sum())
                gradient[name] = gradient[name] - state[name]
        if "p_mean" in state:
            penalty += 0.5 * float((state["p_mean"] ** 2).sum())
            gradient["p_mean"] = gradient["p_mean"] - state["p_mean"]
        if "stops" in state:
            penalty += 0.5 * float((state["stops"] ** 2).sum()) / _STOP_DEVIATION**2
            gradient["stops"] = gradient["stops"] - state["stops"] / _STOP_DEVIATION**2
        weights = self.data.user_weights
        for name, each in (("user", weights), ("p", weights[:, None])):
            if name in state:
                penalty += 0.5 * float((each * state[name] ** 2).sum())
                gradient[name] = gradient[name] - each * state[name]
        if "q" in state:
            # The scale of the factors is free, so that their penalty must not depend on it: the
            # mean squared norm of what is shown is taken to be 1.
            raw = self.raw_factors(state, deviations)
            size = float(self._shares @ (raw**2).sum(axis=1))
            names = [name for name in ("q", "q_weights") if name in state]
            of_factors = 0.5 * sum(float((state[name] ** 2).sum()) for name in names) / size
            penalty += of_factors
            by_raw = -2.0 * of_factors / size * self._shares[:, None] * raw
            by_name = {"q": by_raw, "q_weights": self.data.item_features.T @ by_raw}
            for name in names:
                slope = state[name] / size + deviations[name] * by_name[name]
                gradient[name] = gradient[name] - slope
        return penalty

    def rescaled(self, state: State, deviations: State) -> State:
        """Returns the state with factors of the scale that their penalty takes them to have."""
        if "q" not in state:
            return state
        raw = self.raw_factors(state, deviations)
        size = math.sqrt(float(self._shares @ (raw**2).sum(axis=1)))
        return {
            name: value / size if name in ("q", "q_weights") else value
            for name, value in state.items()
        }
