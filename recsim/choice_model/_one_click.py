"""Choice of one document at most: choice probabilities on arrays, and RecSim's choice models."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable, Mapping
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from recsim._internal import arrays, keys, numbers, shared_stream, validation
from recsim.choice_model import _position

__all__ = [
    "AbstractChoiceModel",
    "CascadeChoiceModel",
    "ExponentialCascadeChoiceModel",
    "MultinomialLogitChoiceModel",
    "MultinomialProportionalChoiceModel",
    "NormalizableChoiceModel",
    "ProportionalCascadeChoiceModel",
    "cascade_probabilities",
    "exponential_cascade_probabilities",
    "multinomial_logit_probabilities",
    "multinomial_proportional_probabilities",
    "proportional_cascade_probabilities",
    "sample_choice",
    "softmax",
]


# Greater numbers may have infinite differences to others, also in single precision.
_MODERATE = 1e30


def softmax(vector: ArrayLike) -> np.ndarray:
    """Returns ``exp(x) / sum(exp(x))`` over the last axis, without overflow.

    Args:
        vector: array of shape (..., n).

    Returns:
        Array of shape (..., n) whose last axis sums to one.

    Raises:
        TypeError: if the entries are not numbers.
        ValueError: if an entry is NaN or plus infinity, or all are minus infinity, or there is
            none.
    """
    vector = _slates_of("vector", vector)
    if not vector.shape[-1]:
        raise ValueError(f"vector must hold numbers, got an array of shape {vector.shape}.")
    highest = vector.max(axis=-1, keepdims=True)
    if not np.isfinite(highest).all():
        raise ValueError(
            "vector must have no NaN and no plus infinity, and not be minus infinity alone, got "
            f"{_first_bad(vector, np.isfinite(highest))}."
        )
    with np.errstate(over="ignore"):  # Of what overflows the exponential is 0.
        exponentials: np.ndarray = np.exp(vector - highest)
    exponentials /= exponentials.sum(axis=-1, keepdims=True)
    return exponentials


def _slates_of(name: str, values: ArrayLike) -> np.ndarray:
    """Returns numbers of slates as a floating-point array with an axis at least."""
    if type(values) is np.ndarray and values.dtype.char in "fd" and values.ndim:
        return values
    array = numbers.float_array(name, values)
    if not array.ndim:
        raise ValueError(
            f"{name} must be an array with the slate's positions on its last axis, got "
            f"{numbers.described(values)}."
        )
    return array


def _no_click_of_slates(no_click_mass: ArrayLike, least: float) -> ArrayLike:
    """Returns masses of no click that are numbers below infinity, and no less than some number."""
    if type(no_click_mass) is float and least <= no_click_mass < math.inf:
        return no_click_mass
    masses = numbers.float_array("no_click_mass", no_click_mass)
    as_double = masses.astype(np.float64)  # Single precision does not hold the least.
    if not ((as_double >= least) & (as_double < np.inf)).all():
        raise ValueError(
            f"no_click_mass must be numbers from {least:g} to below infinity, got "
            f"{numbers.described(no_click_mass)}."
        )
    return masses


def _of_slates(
    name: str, value: ArrayLike, leading: tuple[int, ...], of: str = "scores"
) -> float | np.ndarray:
    """Returns a number, or numbers that broadcast against the leading axes of slates.

    Raises:
        TypeError: if they are not numbers.
        ValueError: if their shape is another one.
    """
    if type(value) is float:
        return value
    array = numbers.float_array(name, value)
    try:
        np.broadcast_shapes(array.shape, leading)
    except ValueError:
        raise ValueError(
            f"{name} must be a number or an array of shape {leading}, one for each slate of {of}, "
            f"got shape {array.shape}."
        ) from None
    return array


def _append_no_click(scores: ArrayLike, no_click: ArrayLike) -> np.ndarray:
    scores = _slates_of("scores", scores)
    dtype = scores.dtype
    leading = scores.shape[:-1]
    if type(no_click) is not float:
        no_click = _of_slates("no_click_mass", no_click, leading)
        leading = np.broadcast_shapes(leading, np.shape(no_click))
    result = arrays.empty_slates((*leading, scores.shape[-1] + 1), dtype)
    result[..., :-1] = scores
    result[..., -1] = no_click
    return result


def multinomial_logit_probabilities(
    scores: ArrayLike, no_click_mass: ArrayLike = -np.inf
) -> np.ndarray:
    """Multinomial logit (conditional logit) choice: P(i) proportional to ``exp(score_i)``.

    Args:
        scores: array of shape (..., slate_size).
        no_click_mass: the logit of no click, of shape (...); minus infinity for a user who always
            clicks.

    Returns:
        Array of shape (..., slate_size + 1), the last entry being the probability of no click.

    Raises:
        ValueError: if the scores give no distribution: one is NaN or plus infinity, or all are
            minus infinity.
    """
    weights = _logit_weights(scores, _no_click_of_slates(no_click_mass, -math.inf))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def _logit_weights(scores: ArrayLike, no_click_mass: ArrayLike) -> np.ndarray:
    """Returns ``exp(logit)`` divided by the greatest of them, a new array."""
    logits = _append_no_click(scores, no_click_mass)
    highest = logits.max(axis=-1, keepdims=True)
    if not _are_moderate(highest):
        if not np.isfinite(highest).all():
            raise ValueError(
                "scores must give a distribution: logits without NaN and plus infinity, and not "
                f"all minus infinity, got {_first_bad(logits, np.isfinite(highest))} for the "
                "documents and, last, no click."
            )
        with np.errstate(over="ignore"):  # Of what overflows the exponential is 0.
            logits -= highest
    else:
        logits -= highest
    np.exp(logits, out=logits)
    return logits


def _are_moderate(values: np.ndarray) -> bool:
    """Says whether numbers are finite, and so small that differences to finite ones are finite."""
    if values.size == 1:  # Of one slate, for which Python takes less time.
        return bool(-_MODERATE < values.item() < _MODERATE)
    return bool((np.abs(values) < _MODERATE).all())


def multinomial_proportional_probabilities(
    scores: ArrayLike, no_click_mass: ArrayLike = 0.0, min_normalizer: float = 0.0
) -> np.ndarray:
    """Multinomial proportional choice: P(i) proportional to ``score_i - min_normalizer``.

    Args:
        scores: array of shape (..., slate_size).
        no_click_mass: the score of no click, of shape (...).
        min_normalizer: what is subtracted from every score, that of no click included; the least
            score or less.

    Returns:
        Array of shape (..., slate_size + 1), the last entry being the probability of no click.

    Raises:
        ValueError: if a score is below ``min_normalizer``, or all are equal to it.
    """
    min_normalizer = validation.number("min_normalizer", min_normalizer)
    no_click_mass = _no_click_of_slates(no_click_mass, -validation.LARGEST)
    weights = _proportional_weights(_append_no_click(scores, no_click_mass), min_normalizer)
    with np.errstate(over="ignore"):  # A total that overflows is refused.
        total = weights.sum(axis=-1, keepdims=True)
    _check_totals(weights, total)
    weights /= total
    return weights


def exponential_cascade_probabilities(
    scores: ArrayLike, attention_prob: ArrayLike = 1.0, score_scaling: float = 1.0
) -> np.ndarray:
    """Cascade choice, where a document seen is clicked with ``score_scaling * exp(score)``.

    Takes and returns arrays as :func:`cascade_probabilities`.
    """
    scores = _slates_of("scores", scores)
    with np.errstate(over="ignore"):  # What overflows is not a probability, and refused.
        weights = np.exp(scores)
    return cascade_probabilities(weights, attention_prob, score_scaling)


def proportional_cascade_probabilities(
    scores: ArrayLike,
    attention_prob: ArrayLike = 1.0,
    score_scaling: float = 1.0,
    min_normalizer: float = 0.0,
) -> np.ndarray:
    """Cascade choice, where a document seen is clicked with ``scaling * (score - normalizer)``.

    Takes and returns arrays as :func:`cascade_probabilities`.

    Raises:
        ValueError: if a score is below ``min_normalizer``.
    """
    min_normalizer = validation.number("min_normalizer", min_normalizer)
    weights = _proportional_weights(_slates_of("scores", scores), min_normalizer)
    return cascade_probabilities(weights, attention_prob, score_scaling)


def cascade_probabilities(
    weights: ArrayLike, attention_prob: ArrayLike = 1.0, score_scaling: float = 1.0
) -> np.ndarray:
    """Cascade choice: the user goes down the slate and stops at the first click.

    A document at position i is looked at with probability ``attention_prob`` (if nothing above
    was clicked) and then clicked with probability ``score_scaling * weight_i``.

    Args:
        weights: array of shape (..., slate_size), at least 0.
        attention_prob: probability in [0, 1], of shape (...).
        score_scaling: factor that turns weights into probabilities.

    Returns:
        Array of shape (..., slate_size + 1), the last entry being the probability of no click.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if an attention or a scaled weight is not in [0, 1].
    """
    score_scaling = validation.number("score_scaling", score_scaling)
    weights = _slates_of("weights", weights)
    if score_scaling == 0.0 and not np.isfinite(weights).all():
        raise ValueError(f"weights must be finite, got {numbers.described(weights.tolist())}.")
    with np.errstate(over="ignore"):  # What overflows is not a probability, and refused.
        click_if_seen = score_scaling * weights
    if not _are_probabilities(click_if_seen).all():
        raise ValueError(
            f"score_scaling={score_scaling!r} must turn all scores (weights) into probabilities, "
            f"got {_first_bad(click_if_seen, _are_probabilities(click_if_seen))}; choose a "
            "smaller score_scaling."
        )
    attention = np.asarray(
        _of_slates("attention_prob", attention_prob, click_if_seen.shape[:-1]),
        dtype=click_if_seen.dtype,
    )
    if not _are_probabilities(attention).all():
        raise ValueError(f"attention_prob must be in [0, 1], got {attention.tolist()}.")
    click_if_reached = attention[..., np.newaxis] * click_if_seen
    probabilities = _append_no_click(click_if_reached, 1.0)
    # Position i is reached if none above it was clicked; "no click" is reached past the last.
    probabilities[..., 1:] *= arrays.accumulated(np.multiply, 1.0 - click_if_reached)
    return probabilities


def _are_probabilities(values: np.ndarray) -> np.ndarray:
    return (values >= 0.0) & (values <= 1.0)


def _first_bad(values: np.ndarray, good: np.ndarray) -> list[float]:
    """Returns the numbers of the first bad slate: there may be thousands of slates.

    Args:
        values: numbers of slates, shape (..., n).
        good: bools of shape (..., n) or (..., 1).
    """
    slates = values.reshape(-1, values.shape[-1])
    bad: list[float] = slates[good.all(axis=-1).argmin()].tolist()
    return bad


def _proportional_weights(scores: np.ndarray, min_normalizer: float) -> np.ndarray:
    with np.errstate(over="ignore"):  # What overflows is not a weight, and refused.
        weights = scores - min_normalizer
    if weights.size and weights.min() < 0.0:
        raise ValueError(
            "scores must be at least min_normalizer, for the differences are the choice weights: "
            f"got min_normalizer={min_normalizer!r} and the least score {np.min(scores)!r}; "
            "choose a min_normalizer that no score goes below."
        )
    return weights


def _check_totals(weights: np.ndarray, total: np.ndarray) -> None:
    # A NaN among the weights makes the total NaN, which is in no range.
    if not weights.size:
        return
    good = (total > 0.0) & (total < np.inf)
    if not good.all() or weights.min() < 0.0:
        _position.refuse_weights(_first_bad(weights, good & (weights >= 0.0)))


@overload
def sample_choice(weights: list[float], uniform: float) -> int: ...


@overload
def sample_choice(weights: ArrayLike, uniform: ArrayLike) -> int | np.ndarray: ...


def sample_choice(weights: ArrayLike, uniform: ArrayLike) -> int | np.ndarray:
    """Samples a position with probabilities proportional to weights, one uniform number each.

    The same number gives the same choice as ``RandomState.choice(n, p=weights / sum(weights))``.

    Args:
        weights: choice probabilities, or weights >= 0 that do not sum to one, of shape (..., n).
        uniform: numbers in [0, 1), of shape (...).

    Returns:
        Integers in [0, n - 1], of shape (...): n - 1 is no click, for the functions above. An int
        where the weights are a list of numbers, for which plain Python is several times faster.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if the weights give no distribution, or a number is not in [0, 1).
    """
    if isinstance(weights, list) and type(uniform) is float:
        try:
            return _position.position(weights, uniform)
        except (TypeError, OverflowError):
            pass  # They are lists of numbers, or no numbers at all.
    choice = _sampled_choices(_slates_of("weights", weights), uniform)
    return choice if choice.ndim or isinstance(weights, np.ndarray) else int(choice)


def _sampled_choices(weights: np.ndarray, uniform: ArrayLike) -> np.ndarray:
    """Checks the arguments and does what :func:`sampled_choices` does."""
    if not weights.shape[-1]:
        _position.refuse_weights(weights.tolist())
    numbers_in_unit = numbers.float_array("uniform", uniform)
    if not ((numbers_in_unit >= 0.0) & (numbers_in_unit < 1.0)).all():
        _position.refuse_uniform(uniform)
    _of_slates("uniform", numbers_in_unit, weights.shape[:-1], "weights")
    return sampled_choices(weights, numbers_in_unit)


def sampled_choices(weights: ArrayLike, uniform: np.ndarray) -> np.ndarray:
    """Does what :func:`sample_choice` does with arrays, without a look at ``uniform``.

    It is for numbers that come from a generator, at each step of thousands of users.
    """
    weights = _slates_of("weights", weights)
    cumulative = arrays.accumulated(np.add, weights)
    total = cumulative[..., -1:]
    _check_totals(weights, total)
    threshold = uniform[..., np.newaxis] * total
    choices: np.ndarray = (cumulative[..., :-1] <= threshold).sum(axis=-1)
    return choices


#: What the models below read in their ``choice_features``. A user's features may serve any of them,
#: so each model takes all of these and leaves those that it has no use for.
CHOICE_FEATURES = (
    "attention_prob",
    "continue_after_click",
    "continue_after_skip",
    "examination_probs",
    "min_normalizer",
    "no_click_mass",
    "score_scaling",
)


class AbstractChoiceModel(abc.ABC):
    """A user's choice model: scores the documents of a slate, then chooses one or none.

    The model samples from the stream of the environment that its user is in. A model used alone
    samples from a generator of its own with seed 0.
    """

    #: The stream that the model was given, see :meth:`use_generator`.
    environment_rng: np.random.RandomState | None = None

    _scores: np.ndarray | None = None
    _score_no_click: float | None = None
    _rng_when_alone: np.random.RandomState | None = None

    @abc.abstractmethod
    def score_documents(self, user_state: object, doc_obs: Iterable[Any]) -> None:
        """Computes the scores of documents for a user, into ``scores`` and ``score_no_click``.

        Args:
            user_state: an instance of AbstractUserState.
            doc_obs: the observations of the documents, in the slate's order.
        """

    @property
    def scores(self) -> np.ndarray | None:
        """Unnormalised choice weights of the documents scored last, shape (slate_size,)."""
        return self._scores

    @property
    def score_no_click(self) -> float | None:
        """Unnormalised choice weight of choosing no document."""
        return self._score_no_click

    @abc.abstractmethod
    def choose_item(self) -> int | None:
        """Returns the position of the chosen document in the slate, or None for no click."""

    def choose_items(self) -> list[int]:
        """Returns the positions that are clicked, in order; by default one at most."""
        choice = self.choose_item()
        return [] if choice is None else [choice]

    def use_generator(self, rng: np.random.RandomState) -> None:
        """Makes the model sample from ``rng`` from now on."""
        self.environment_rng = rng

    def _random_sample(self) -> float:
        rng = self.environment_rng
        if rng is None:
            rng = shared_stream.current()
        if rng is None:
            if self._rng_when_alone is None:
                self._rng_when_alone = np.random.RandomState(0)
            rng = self._rng_when_alone
        return rng.random_sample()


class NormalizableChoiceModel(AbstractChoiceModel):
    """A choice model whose scores, divided by their sum, are choice probabilities."""

    @staticmethod
    def _score_documents_helper(user_state: object, doc_obs: Iterable[Any]) -> np.ndarray:
        """Returns the user's scores of the documents, as float64 of shape (n_docs,)."""
        try:
            documents = doc_obs if type(doc_obs) is list else list(doc_obs)
        except TypeError:
            raise TypeError(
                "doc_obs must be the observations of documents in the slate's order, got "
                f"{numbers.described(doc_obs)}."
            ) from None
        if not documents:
            return np.zeros(0)
        one = getattr(user_state, "score_document", None)
        scored_by = getattr(user_state.__class__, "_scored_by", None)
        # A subclass, or a state, that has an own way to score a single document is heeded.
        if one is None or (scored_by is not None and getattr(one, "__func__", None) is scored_by):
            user: Any = user_state
            scores: np.ndarray = user.score_documents(documents)
        else:
            scores = [one(doc) for doc in documents]  # type: ignore[assignment]
        if type(scores) is not np.ndarray or scores.dtype.char != "d":
            scores = np.asarray(numbers.array("A user's scores of documents", scores), np.float64)
        if scores.shape == (len(documents),):
            return scores
        # Scores of one-dimensional documents often come as arrays of one entry.
        return numbers.one_per_item("A user's scores of documents", scores, 1)

    def choice_weights(self, scores: ArrayLike) -> np.ndarray:
        """Returns the weights of a choice from slates of scored documents.

        Args:
            scores: users' scores of documents, shape (..., slate_size).

        Returns:
            Weights for :func:`sample_choice`, shape (..., slate_size + 1), no click the last.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define choice_weights to be used in the vector engine."
        )

    def slate_weights(self, scores: ArrayLike) -> np.ndarray:
        """Returns the weights that ``scores`` and ``score_no_click`` have, of many slates.

        Args:
            scores: users' scores of documents, shape (..., slate_size).

        Returns:
            Weights of shape (..., slate_size + 1), no click the last.
        """
        return self.choice_weights(scores)

    def choose_item(self) -> int | None:
        """Returns the position of the chosen document in the slate, or None for no click.

        Raises:
            RuntimeError: if no documents were scored before.
            ValueError: if the scores give no distribution.
        """
        if self._scores is None:
            raise RuntimeError("choose_item needs scores: call score_documents(…) before it.")
        scores = np.asarray(self._scores)
        if scores.ndim != 1:
            scores = numbers.one_per_item("scores", scores, 1)
        weights = scores.tolist()
        weights.append(numbers.as_float("score_no_click", self._score_no_click))
        choice = sample_choice(weights, self._random_sample())
        return None if choice == len(weights) - 1 else choice

    @property
    def choice_features(self) -> dict[str, float]:
        """The features that the model was made with, those left out included."""
        own = vars(self)
        return {name: own[f"_{name}"] for name in CHOICE_FEATURES if f"_{name}" in own}

    def _check_features(self, choice_features: Mapping[str, Any]) -> None:
        """Warns of features that no model reads."""
        validation.mapping("choice_features", choice_features)
        similarity = keys.similarity_for(type(self))
        keys.warn_of_unknown(
            "choice_features", choice_features, CHOICE_FEATURES, similarity=similarity
        )

    def _set_weights(self, weights: np.ndarray) -> None:
        self._scores = weights[:-1]
        self._score_no_click = weights[-1]


class MultinomialLogitChoiceModel(NormalizableChoiceModel):
    """Multinomial logit choice, see :func:`multinomial_logit_probabilities`.

    ``scores`` are the probabilities of the documents.

    Args:
        choice_features: a dictionary with ``no_click_mass``, the logit of no click (minus
            infinity where it is missing).
    """

    def __init__(self, choice_features: Mapping[str, Any]) -> None:
        self._check_features(choice_features)
        self._no_click_mass = _no_click_mass(choice_features, -np.inf)

    def choice_weights(self, scores: ArrayLike) -> np.ndarray:
        """See :meth:`NormalizableChoiceModel.choice_weights`."""
        return _logit_weights(scores, self._no_click_mass)

    def slate_weights(self, scores: ArrayLike) -> np.ndarray:
        """See :meth:`NormalizableChoiceModel.slate_weights`."""
        return multinomial_logit_probabilities(scores, self._no_click_mass)

    def score_documents(self, user_state: object, doc_obs: Iterable[Any]) -> None:
        """See :meth:`AbstractChoiceModel.score_documents`."""
        scores = self._score_documents_helper(user_state, doc_obs)
        self._set_weights(multinomial_logit_probabilities(scores, self._no_click_mass))


class MultinomialProportionalChoiceModel(NormalizableChoiceModel):
    """Multinomial proportional choice, see :func:`multinomial_proportional_probabilities`.

    ``scores`` are the choice weights ``score - min_normalizer``.

    Args:
        choice_features: a dictionary with ``min_normalizer``, and ``no_click_mass``, the score of
            no click (0 where it is missing).

    Raises:
        ValueError: if ``min_normalizer`` is missing, or ``no_click_mass`` below it.
    """

    def __init__(self, choice_features: Mapping[str, Any]) -> None:
        self._check_features(choice_features)
        self._min_normalizer = _required(choice_features, "min_normalizer")
        self._no_click_mass = _no_click_mass(choice_features, 0.0)
        if self._no_click_mass < self._min_normalizer:
            raise ValueError(
                "no_click_mass must be at least min_normalizer, for their difference is the weight "
                f"of no click, got {self._no_click_mass:g} and {self._min_normalizer:g}."
            )

    def choice_weights(self, scores: ArrayLike) -> np.ndarray:
        """See :meth:`NormalizableChoiceModel.choice_weights`."""
        return _append_no_click(scores, self._no_click_mass) - self._min_normalizer

    def score_documents(self, user_state: object, doc_obs: Iterable[Any]) -> None:
        """See :meth:`AbstractChoiceModel.score_documents`."""
        scores = self._score_documents_helper(user_state, doc_obs)
        # Negative weights are refused when a document is chosen.
        self._scores = scores - self._min_normalizer
        self._score_no_click = self._no_click_mass - self._min_normalizer


class CascadeChoiceModel(NormalizableChoiceModel):
    """The base class of the cascade models, see :func:`cascade_probabilities`.

    ``scores`` are the probabilities of the documents. Scoring raises ValueError where
    ``score_scaling`` does not turn the scores into probabilities.

    Args:
        choice_features: a dictionary with ``score_scaling`` and ``attention_prob``, in [0, 1]
            (1 where it is missing).

    Raises:
        ValueError: if ``attention_prob`` is outside [0, 1], or ``score_scaling`` is missing or
            negative.
    """

    def __init__(self, choice_features: Mapping[str, Any]) -> None:
        self._check_features(choice_features)
        self._attention_prob = validation.probability(
            "attention_prob", choice_features.get("attention_prob", 1.0)
        )
        self._score_scaling = validation.non_negative_float(
            "score_scaling", _required(choice_features, "score_scaling")
        )

    def _positional_normalization(self, scores: ArrayLike) -> None:
        self._set_weights(cascade_probabilities(scores, self._attention_prob, self._score_scaling))


class ExponentialCascadeChoiceModel(CascadeChoiceModel):
    """Exponential cascade choice, see :func:`exponential_cascade_probabilities`."""

    def choice_weights(self, scores: ArrayLike) -> np.ndarray:
        """See :meth:`NormalizableChoiceModel.choice_weights`."""
        return exponential_cascade_probabilities(scores, self._attention_prob, self._score_scaling)

    def score_documents(self, user_state: object, doc_obs: Iterable[Any]) -> None:
        """See :meth:`AbstractChoiceModel.score_documents`."""
        scores = self._score_documents_helper(user_state, doc_obs)
        with np.errstate(over="ignore"):  # What overflows is not a probability, and refused.
            weights = np.exp(scores)
        self._positional_normalization(weights)


class ProportionalCascadeChoiceModel(CascadeChoiceModel):
    """Proportional cascade choice, see :func:`proportional_cascade_probabilities`.

    Args:
        choice_features: as :class:`CascadeChoiceModel`, and ``min_normalizer``.

    Raises:
        ValueError: as :class:`CascadeChoiceModel`, or if ``min_normalizer`` is missing.
    """

    def __init__(self, choice_features: Mapping[str, Any]) -> None:
        super().__init__(choice_features)
        self._min_normalizer = _required(choice_features, "min_normalizer")

    def choice_weights(self, scores: ArrayLike) -> np.ndarray:
        """See :meth:`NormalizableChoiceModel.choice_weights`."""
        return proportional_cascade_probabilities(
            scores, self._attention_prob, self._score_scaling, self._min_normalizer
        )

    def score_documents(self, user_state: object, doc_obs: Iterable[Any]) -> None:
        """See :meth:`AbstractChoiceModel.score_documents`."""
        scores = self._score_documents_helper(user_state, doc_obs)
        self._positional_normalization(_proportional_weights(scores, self._min_normalizer))


def _required(choice_features: Mapping[str, Any], key: str) -> float:
    value = choice_features.get(key)
    if value is None:
        raise ValueError(
            f"choice_features must have a number for {key!r}, got {dict(choice_features)!r}."
        )
    return validation.number(key, value)


def _no_click_mass(choice_features: Mapping[str, Any], missing: float) -> float:
    """Returns the mass of no click, which may be minus infinity: then there is always a click."""
    value = numbers.as_float("no_click_mass", choice_features.get("no_click_mass", missing))
    return value if value == -np.inf else validation.number("no_click_mass", value)
