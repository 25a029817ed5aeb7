"""What was fitted to a log: items, users, click models, and how users change. Data only."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from recsim._internal import json_text, numbers, validation

__all__ = ["CLICK_MODELS", "ClickModel", "FittedParameters", "SessionModel", "ValueModel"]

#: The click models by name. A slate has one click at most in the first and the third of them.
CLICK_MODELS = ("multinomial_logit", "position_based", "cascade", "dependent_click")

# Beyond this exp and the logistic function say nothing more, and their sums are finite.
_LARGEST_UTILITY = 1e6
_MOST_STEPS = 10**9
_MOST_ITEMS = 2**24

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, eq=False)
class ClickModel:
    """How users of a kind click, given their utilities of the items of a slate.

    With s the utility of an item, σ the logistic function and j a position from 0:

    * ``'multinomial_logit'``: one click at most, on j with a probability in proportion to
      ``exp(s + position_effects[j])``, where no click has ``exp(0)``. The first effect is 0, and
      ``stops`` are 0.
    * ``'position_based'``: position j is looked at with probability ``position_effects[j]``, the
      first of which is 1, and then clicked with probability σ(s), whatever happens at the others.
      ``stops`` are 0.
    * ``'cascade'``: the user goes down the slate, clicks with probability σ(s), and stops there.
      ``position_effects`` are 0 and ``stops`` are 1.
    * ``'dependent_click'``: the same, and the user stops after a click at j with probability
      ``stops[j]``. ``position_effects`` are 0.

    Args:
        name: one of :data:`CLICK_MODELS`.
        position_effects: see above, shape (max_slate_size,).
        stops: see above, in [0, 1], shape (max_slate_size,).

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if it is outside its range, or the shapes differ.

    Example:
        >>> ClickModel("position_based", np.array([1.0, 0.5]), np.zeros(2)).max_slate_size
        2
    """

    name: str
    position_effects: np.ndarray
    stops: np.ndarray

    def __post_init__(self) -> None:
        """Checks the arrays and makes them read-only."""
        if not isinstance(self.name, str) or self.name not in CLICK_MODELS:
            raise ValueError(
                f"name must be one of {', '.join(map(repr, CLICK_MODELS))}, got "
                f"{numbers.described(self.name)}."
                f"{validation.nearest_name(str(self.name), CLICK_MODELS)}"
            )
        effects = _floats("position_effects", self.position_effects, (None,))
        if not len(effects):
            raise ValueError("position_effects must have an entry for each position, got none.")
        stops = _floats("stops", self.stops, effects.shape, low=0.0, high=1.0)
        _set(self, position_effects=effects, stops=stops)
        if self.name == "multinomial_logit":
            self._require("position_effects", effects[0] == 0.0, "begin with 0")
        elif self.name == "position_based":
            probabilities = bool(((effects >= 0.0) & (effects <= 1.0)).all() and effects[0] == 1.0)
            self._require("position_effects", probabilities, "be in [0, 1] and begin with 1")
        else:
            self._require("position_effects", not effects.any(), "be 0")
        if self.name == "cascade":
            self._require("stops", bool((stops == 1.0).all()), "be 1")
        elif self.name != "dependent_click":
            self._require("stops", not stops.any(), "be 0")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ValueError(
                f"{name} must {expected} in the click model {self.name!r}, got "
                f"{numbers.described(getattr(self, name).tolist())}."
            )

    @property
    def max_slate_size(self) -> int:
        """Length of the longest slates that it was fitted to."""
        return len(self.position_effects)

    @property
    def one_click(self) -> bool:
        """Whether a slate has one click at most."""
        return self.name in ("multinomial_logit", "cascade")


@dataclasses.dataclass(frozen=True)
class SessionModel:
    """How long sessions last: a hazard after each slate.

    After the slate of step t, from 0, the session ends with probability
    σ(``intercept`` + ``after_click`` · [something was clicked] + ``log_step`` · log(1 + t)), and
    after ``max_steps`` slates in any case.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if it is outside its range.
    """

    intercept: float
    after_click: float = 0.0
    log_step: float = 0.0
    max_steps: int = 1000

    def __post_init__(self) -> None:
        """Checks the values and makes them numbers of Python."""
        for name in ("intercept", "after_click", "log_step"):
            value = validation.number(
                name, getattr(self, name), -_LARGEST_UTILITY, _LARGEST_UTILITY
            )
            _set(self, **{name: value})
        _set(self, max_steps=validation.positive_int("max_steps", self.max_steps, 1, _MOST_STEPS))


@dataclasses.dataclass(frozen=True, eq=False)
class ValueModel:
    """What a click brings: a rating, or a time.

    The value of a click by user u on item i is normal with mean ``item_means[i] +
    user_effects[u] + by_interest * p @ q[i]`` and standard deviation ``residual_sd``, truncated to
    ``low`` and ``high``; p are the user's factors as they have drifted, and q those of items.

    Args:
        name: what it is, such as 'rating' or 'time'.
        item_means: shape (num_items,).
        user_effects: shape (num_users,).
        residual_sd: at least 0.
        low: the least value.
        high: the greatest value, above ``low``.
        by_interest: what the product of factors counts, at least 0.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if it is outside its range.
    """

    name: str
    item_means: np.ndarray
    user_effects: np.ndarray
    residual_sd: float
    low: float
    high: float
    by_interest: float = 0.0

    def __post_init__(self) -> None:
        """Checks the arrays and makes them read-only."""
        _text("name", self.name)
        bounded = functools.partial(validation.number, low=-_LARGEST_UTILITY, high=_LARGEST_UTILITY)
        _set(
            self,
            item_means=_floats("item_means", self.item_means, (None,)),
            user_effects=_floats("user_effects", self.user_effects, (None,)),
            residual_sd=validation.number("residual_sd", self.residual_sd, 0.0, _LARGEST_UTILITY),
            low=bounded("low", self.low),
            high=bounded("high", self.high),
            by_interest=validation.number("by_interest", self.by_interest, 0.0),
        )
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low!r} and {self.high!r}.")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FittedParameters:
    """A scenario that was fitted to a log: its items, its users, and how they click and change.

    The utility of item i for user u is ``item_utilities[i] + user_utilities[u]``, plus the product
    of p and ``item_factors[i]``, minus ``fatigue * f[topic of i]``. At the beginning of a session p
    is ``user_factors[u]`` and f is 0. After each slate p becomes ``p + drift * (m - p)``, where m
    is the mean of the factors of what was clicked, if anything was; and f becomes
    ``fatigue_memory * f`` plus the number of clicks on each topic. How users with these utilities
    click, ``click_models[user_kinds[u]]`` says.

    Arrays are copied, and cannot be written to.

    Args:
        item_ids: different names, those in the log.
        item_utilities: shape (num_items,). Effects of the items' features are in it.
        item_popularity: the items' shares of the impressions, which sum to 1, shape (num_items,).
        click_models: one for each kind of users.
        item_factors: shape (num_items, num_factors). Their mean squared norm is 1.
        item_features: shape (num_items, number of features).
        item_feature_names: their names.
        item_names: what people call the items; None where the log does not say.
        item_topics: indices into ``topic_names``, shape (num_items,); None for no topics.
        topic_names: names of the topics.
        user_ids: different names, those in the log.
        user_utilities: shape (num_users,).
        user_factors: shape (num_users, num_factors).
        user_kinds: indices into ``click_models``, shape (num_users,).
        user_weights: how often each is sampled; they sum to 1, shape (num_users,).
        user_features: shape (num_users, number of features).
        user_feature_names: their names.
        drift: how far interests move to what was clicked, in [0, 1].
        fatigue: what a click on a topic takes off the utility of its items, at least 0.
        fatigue_memory: how much of the fatigue is left a slate later, in [0, 1].
        session: how long sessions last; None where the log does not say.
        values: what a click brings; None for clicks alone.
        source: facts on the log and the fit, JSON values by name.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if it is outside its range, or shapes do not fit one another.

    Example:
        >>> parameters = FittedParameters(
        ...     item_ids=("tea", "coffee"),
        ...     item_utilities=np.array([-1.0, 0.5]),
        ...     item_popularity=np.array([0.4, 0.6]),
        ...     click_models=(ClickModel("cascade", np.zeros(2), np.ones(2)),),
        ... )
        >>> parameters.num_items, parameters.num_users, parameters.max_slate_size
        (2, 1, 2)
    """

    item_ids: tuple[str, ...]
    item_utilities: np.ndarray
    item_popularity: np.ndarray
    click_models: tuple[ClickModel, ...]
    # Of these None stands for arrays without columns, and for one user who is like all.
    item_factors: np.ndarray = None  # type: ignore[assignment]
    item_features: np.ndarray = None  # type: ignore[assignment]
    item_feature_names: tuple[str, ...] = ()
    item_names: tuple[str, ...] | None = None
    item_topics: np.ndarray | None = None
    topic_names: tuple[str, ...] = ()
    user_ids: tuple[str, ...] = ("all",)
    user_utilities: np.ndarray = None  # type: ignore[assignment]
    user_factors: np.ndarray = None  # type: ignore[assignment]
    user_kinds: np.ndarray = None  # type: ignore[assignment]
    user_weights: np.ndarray = None  # type: ignore[assignment]
    user_features: np.ndarray = None  # type: ignore[assignment]
    user_feature_names: tuple[str, ...] = ()
    drift: float = 0.0
    fatigue: float = 0.0
    fatigue_memory: float = 0.0
    session: SessionModel | None = None
    values: ValueModel | None = None
    source: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks all of it and makes arrays read-only."""
        self._check_items()
        self._check_users()
        _set(
            self,
            drift=validation.probability("drift", self.drift),
            fatigue=validation.number("fatigue", self.fatigue, 0.0, _LARGEST_UTILITY),
            fatigue_memory=validation.probability("fatigue_memory", self.fatigue_memory),
        )
        if self.fatigue and self.item_topics is None:
            raise ValueError(
                f"fatigue must be 0 where there are no item_topics, got {self.fatigue!r}."
            )
        if self.drift and not self.num_factors:
            raise ValueError(f"drift must be 0 where there are no factors, got {self.drift!r}.")
        _instance("session", self.session, SessionModel)
        _instance("values", self.values, ValueModel)
        if self.values is not None:
            for name, number in (("item_means", self.num_items), ("user_effects", self.num_users)):
                if len(getattr(self.values, name)) != number:
                    raise ValueError(
                        f"values.{name} must have {number} entries, got "
                        f"{len(getattr(self.values, name))}."
                    )
        source = validation.mapping("source", self.source)
        try:
            json_text.dumps(dict(source))
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(f"source must hold JSON values: {error!s:.200}") from None

    def _check_items(self) -> None:
        ids = _names("item_ids", self.item_ids, different=True)
        if not 1 <= len(ids) <= _MOST_ITEMS:
            raise ValueError(f"item_ids must have 1 to {_MOST_ITEMS:,} items, got {len(ids):,}.")
        num_items = len(ids)
        given = _tuple("click_models", self.click_models)
        models = tuple(model for model in given if isinstance(model, ClickModel))
        if not models or len(models) < len(given):
            raise TypeError(
                "click_models must be a tuple of one ClickModel or more, got "
                f"{numbers.described(given)}."
            )
        if len({model.max_slate_size for model in models}) > 1:
            raise ValueError(
                "click_models must be for slates of one length, got "
                f"{[model.max_slate_size for model in models]}."
            )
        _set(
            self,
            item_ids=ids,
            click_models=models,
            item_utilities=_floats("item_utilities", self.item_utilities, (num_items,)),
            item_popularity=_distribution("item_popularity", self.item_popularity, num_items),
            item_factors=_columns("item_factors", self.item_factors, num_items),
            item_feature_names=_names("item_feature_names", self.item_feature_names),
            topic_names=_names("topic_names", self.topic_names, different=True),
        )
        _set(
            self,
            item_features=_columns(
                "item_features", self.item_features, num_items, len(self.item_feature_names)
            ).astype(np.float32),
        )
        if self.item_names is not None:
            item_names = _names("item_names", self.item_names)
            _check_length("item_names", item_names, num_items, "items")
            _set(self, item_names=item_names)
        if self.item_topics is not None:
            number = len(self.topic_names)
            _set(self, item_topics=_indices("item_topics", self.item_topics, num_items, number))
        elif self.topic_names:
            raise ValueError("topic_names must be empty where item_topics is None.")

    def _check_users(self) -> None:
        ids = _names("user_ids", self.user_ids, different=True)
        if not ids:
            raise ValueError("user_ids must name one user or more, got none.")
        number, num_factors = len(ids), self.num_factors

        def given(name: str, default: Callable[[], np.ndarray]) -> object:
            value = getattr(self, name)
            return default() if value is None else value

        _set(
            self,
            user_ids=ids,
            user_utilities=_floats(
                "user_utilities", given("user_utilities", lambda: np.zeros(number)), (number,)
            ),
            user_factors=_columns(
                "user_factors",
                given("user_factors", lambda: np.zeros((number, num_factors))),
                number,
                num_factors,
            ),
            user_kinds=_indices(
                "user_kinds",
                given("user_kinds", lambda: np.zeros(number, np.int32)),
                number,
                len(self.click_models),
            ),
            user_weights=_distribution(
                "user_weights",
                given("user_weights", lambda: np.full(number, 1.0 / number)),
                number,
            ),
            user_feature_names=_names("user_feature_names", self.user_feature_names),
        )
        _set(
            self,
            user_features=_columns(
                "user_features", self.user_features, number, len(self.user_feature_names)
            ).astype(np.float32),
        )

    def __repr__(self) -> str:
        models = " and ".join(model.name for model in self.click_models)
        parts = [
            f"{self.num_items:,} items, {self.num_users:,} users, {models}",
            f"{self.num_factors} factors",
            f"drift {self.drift:.3g}, fatigue {self.fatigue:.3g}",
            f"slates of up to {self.max_slate_size}",
        ]
        return f"<FittedParameters: {', '.join(parts)}>"

    @property
    def num_items(self) -> int:
        """Number of items."""
        return len(self.item_ids)

    @property
    def num_users(self) -> int:
        """Number of fitted users; 1 where the log has none."""
        return len(self.user_ids)

    @property
    def num_factors(self) -> int:
        """Number of latent factors, 0 for none."""
        return int(self.item_factors.shape[1])

    @property
    def num_topics(self) -> int:
        """Number of topics, 0 for none."""
        return len(self.topic_names)

    @property
    def max_slate_size(self) -> int:
        """Length of the longest slates that it was fitted to."""
        return self.click_models[0].max_slate_size

    def label(self, item: int) -> str:
        """Returns what people call an item: its name, or the id in the log."""
        return (self.item_names or self.item_ids)[item]

    @functools.cached_property
    def sha256(self) -> str:
        """The SHA-256 of all but ``source``, in hexadecimal."""
        data, arrays = self.contents()
        del data["source"]
        digest = hashlib.sha256(json_text.dumps(data).encode())
        for name, array in sorted(arrays.items()):
            digest.update(f"{name}{array.shape}{array.dtype.str}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def contents(self) -> tuple[dict[str, object], dict[str, np.ndarray]]:
        """Returns it as JSON values, and arrays by name."""
        data: dict[str, object] = {
            "item_ids": list(self.item_ids),
            "item_names": None if self.item_names is None else list(self.item_names),
            "item_feature_names": list(self.item_feature_names),
            "topic_names": list(self.topic_names),
            "user_ids": list(self.user_ids),
            "user_feature_names": list(self.user_feature_names),
            "click_models": [model.name for model in self.click_models],
            "drift": self.drift,
            "fatigue": self.fatigue,
            "fatigue_memory": self.fatigue_memory,
            "session": None if self.session is None else dataclasses.asdict(self.session),
            "values": None,
            "source": dict(self.source),
        }
        arrays = {
            name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        for kind, model in enumerate(self.click_models):
            arrays[f"position_effects_{kind}"] = model.position_effects
            arrays[f"stops_{kind}"] = model.stops
        if self.values is not None:
            arrays["value_item_means"] = self.values.item_means
            arrays["value_user_effects"] = self.values.user_effects
            names = ("name", "residual_sd", "low", "high", "by_interest")
            data["values"] = {name: getattr(self.values, name) for name in names}
        return data, arrays

    @classmethod
    def from_contents(
        cls, data: Mapping[str, object], arrays: Mapping[str, np.ndarray]
    ) -> FittedParameters:
        """Returns what :meth:`contents` was called on.

        Raises:
            KeyError, TypeError, ValueError: if something is missing, or is not good.
        """
        fields = dict(data)
        given = dict(arrays)
        models = tuple(
            ClickModel(
                _text("name", name),
                given.pop(f"position_effects_{kind}"),
                given.pop(f"stops_{kind}"),
            )
            for kind, name in enumerate(_tuple("click_models", fields.pop("click_models")))
        )
        session, values = fields.pop("session"), fields.pop("values")
        if session is not None:
            session = SessionModel(**validation.mapping("session", session))
        if values is not None:
            values = ValueModel(
                item_means=given.pop("value_item_means"),
                user_effects=given.pop("value_user_effects"),
                **validation.mapping("values", values),
            )
        made: FittedParameters = cls(
            **{**fields, **given},  # type: ignore[arg-type]  # They are checked when it is made.
            click_models=models,
            session=session,
            values=values,
        )
        return made


# Checks of fields.


def _set(owner: object, **values: object) -> None:
    """Sets fields of a frozen dataclass while it is being made; arrays as read-only copies."""
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            value = value.copy() if value.base is not None or value.flags.writeable else value
            value.flags.writeable = False
        object.__setattr__(owner, name, value)


def _floats(
    name: str,
    values: object,
    shape: tuple[int | None, ...],
    low: float = -_LARGEST_UTILITY,
    high: float = _LARGEST_UTILITY,
) -> np.ndarray:
    """Returns finite numbers of a shape, whose lengths are any where they are None."""
    array = np.array(numbers.float_array(name, values), np.float64, order="C")
    fits = array.ndim == len(shape) and all(
        wanted is None or wanted == length for wanted, length in zip(shape, array.shape)
    )
    if not fits:
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        raise ValueError(
            f"{name} must have shape ({wanted}{',' * (len(shape) == 1)}), got {array.shape}."
        )
    if not ((array >= low) & (array <= high)).all():
        bad = array[~((array >= low) & (array <= high))].flat[0]
        raise ValueError(f"{name} must hold numbers in [{low:g}, {high:g}], got {bad}.")
    return array


def _columns(name: str, values: object, rows: int, number: int | None = None) -> np.ndarray:
    """Returns a matrix with so many rows; without columns where there is none."""
    if values is None:
        values = np.zeros((rows, 0 if number is None else number))
        if number:
            raise ValueError(f"{name} must have {number} columns, one for each name, got None.")
    return _floats(name, values, (rows, number))


def _distribution(name: str, values: object, number: int) -> np.ndarray:
    """Returns shares that sum to 1."""
    array = _floats(name, values, (number,), low=0.0, high=1.0)
    if abs(array.sum() - 1.0) > 1e-4:
        raise ValueError(f"{name} must sum to 1, got {array.sum():.6g}: divide it by its sum.")
    return array


def _indices(name: str, values: object, number: int, limit: int) -> np.ndarray:
    array = numbers.whole_array(name, values)
    if array.shape != (number,):
        raise ValueError(f"{name} must have shape ({number},), got {array.shape}.")
    if not ((array >= 0) & (array < limit)).all():
        raise ValueError(
            f"{name} must be in [0, {limit - 1}], got {array[(array < 0) | (array >= limit)][0]}."
        )
    return array.astype(np.int32)


def _tuple(name: str, values: object) -> tuple[object, ...]:
    if not isinstance(values, (tuple, list)):
        raise TypeError(f"{name} must be a tuple, got {numbers.described(values)}.")
    return tuple(values)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {numbers.described(value)}.")
    return str(value)


def _names(name: str, values: object, *, different: bool = False) -> tuple[str, ...]:
    names = tuple(
        _text(f"{name}[{index}]", each) for index, each in enumerate(_tuple(name, values))
    )
    if different and len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(each for each in names if each in seen or seen.add(each))  # type: ignore[func-returns-value]
        raise ValueError(f"{name} must be different, got {twice!r} twice.")
    return names


def _check_length(name: str, values: tuple[str, ...], number: int, what: str) -> None:
    if len(values) != number:
        raise ValueError(f"{name} must be as many as the {number} {what}, got {len(values)}.")


def _instance(name: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise TypeError(
            f"{name} must be a {kind.__name__} or None, got {numbers.described(value)}."
        )
