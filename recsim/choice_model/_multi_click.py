"""Choice of any number of documents: click probabilities on arrays, and the choice models."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recsim._internal import arrays, numbers, validation
from recsim.choice_model import _one_click

__all__ = [
    "DependentClickChoiceModel",
    "MultiClickCascadeChoiceModel",
    "MultiClickChoiceModel",
    "PositionBasedChoiceModel",
    "examination_probabilities",
    "multi_click_probabilities",
    "sample_clicks",
]


def examination_probabilities(
    slate_size: int, decay: float, *, both_ends: bool = False
) -> np.ndarray:
    """Returns probabilities of a look at each position that fall geometrically.

    Args:
        slate_size: number of positions.
        decay: the probability at a position, divided by that at the one before; in [0, 1].
        both_ends: whether half of the users go down the slate and half go up, so that the last
            position is looked at as often as the first.

    Returns:
        ``decay ** position``, or the mean of that in both directions, of shape (slate_size,).

    Example:
        >>> examination_probabilities(3, 0.5)
        array([1.  , 0.5 , 0.25])
        >>> examination_probabilities(3, 0.5, both_ends=True)
        array([0.625, 0.5  , 0.625])
    """
    slate_size = validation.positive_int("slate_size", slate_size)
    decay = validation.probability("decay", decay)
    falling: np.ndarray = decay ** np.arange(slate_size, dtype=np.float64)
    return 0.5 * falling + 0.5 * falling[::-1] if both_ends else falling


def multi_click_probabilities(
    click_if_seen: ArrayLike,
    continue_after_click: ArrayLike = 1.0,
    continue_after_skip: ArrayLike = 1.0,
) -> np.ndarray:
    """Returns how likely each position is clicked by users who go down a slate until they stop.

    Args:
        click_if_seen: probabilities of a click on a document that is reached, shape
            (..., slate_size).
        continue_after_click: probabilities of continuing at the next position after a click, a
            number or an array that broadcasts against the above. With 0 there is one click at most.
        continue_after_skip: the same where nothing was clicked.

    Returns:
        Array of shape (..., slate_size). Clicks on a slate depend on one another.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if one is not in [0, 1], or the shapes do not fit.

    Example:
        >>> multi_click_probabilities([0.5, 0.5], continue_after_click=0.2)
        array([0.5, 0.3])
    """
    clicks = _probabilities("click_if_seen", click_if_seen)
    chances = [
        _for_positions(name, value, clicks.shape)
        for name, value in (
            ("continue_after_click", continue_after_click),
            ("continue_after_skip", continue_after_skip),
        )
    ]
    proceeds = clicks * chances[0] + (1.0 - clicks) * chances[1]
    result = np.array(clicks)
    result[..., 1:] *= arrays.accumulated(np.multiply, proceeds[..., :-1])
    return result


def sample_clicks(
    click_if_seen: ArrayLike,
    uniform: ArrayLike,
    continue_after_click: ArrayLike = 1.0,
    continue_after_skip: ArrayLike = 1.0,
) -> np.ndarray:
    """Samples which positions are clicked by users who go down a slate until they stop.

    Args:
        click_if_seen: see :func:`multi_click_probabilities`.
        uniform: uniform numbers in [0, 1), of shape (..., slate_size) where nobody stops, and of
            shape (..., 2 * slate_size) else: those of the clicks, then those of continuing.
        continue_after_click: see :func:`multi_click_probabilities`.
        continue_after_skip: likewise.

    Returns:
        Bools of shape (..., slate_size).

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if one is not in [0, 1], or the shapes do not fit.
    """
    clicks = _probabilities("click_if_seen", click_if_seen)
    after_click = _for_positions("continue_after_click", continue_after_click, clicks.shape)
    after_skip = _for_positions("continue_after_skip", continue_after_skip, clicks.shape)
    size = clicks.shape[-1]
    stops = bool((after_click < 1.0).any() or (after_skip < 1.0).any())
    given = numbers.float_array("uniform", uniform)
    expected = (2 if stops else 1) * size
    if not given.ndim or given.shape[-1] != expected:
        raise ValueError(
            f"uniform must have {expected} numbers for each slate of {size} on its last axis, got "
            f"shape {given.shape}."
        )
    if not ((given >= 0.0) & (given < 1.0)).all():
        raise ValueError(f"uniform must be in [0, 1), got {numbers.described(uniform)}.")
    if not stops:
        return clicks_where_seen(clicks, given)
    return clicks_until_stop(clicks, given, after_click, after_skip)


def clicks_where_seen(click_if_seen: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Does what :func:`sample_clicks` does where nobody stops, without checks."""
    clicked = arrays.empty_slates(click_if_seen.shape, np.bool_)
    # In one order in memory, in which NumPy compares much faster.
    np.less(np.asfortranarray(uniform), click_if_seen, out=clicked)
    return clicked


def clicks_until_stop(
    click_if_seen: np.ndarray,
    uniform: np.ndarray,
    continue_after_click: np.ndarray,
    continue_after_skip: np.ndarray,
) -> np.ndarray:
    """Does what :func:`sample_clicks` does where users may stop, without checks."""
    size = click_if_seen.shape[-1]
    clicked = clicks_where_seen(click_if_seen, uniform[..., :size])
    stays = uniform[..., size:] < np.where(clicked, continue_after_click, continue_after_skip)
    clicked[..., 1:] &= arrays.accumulated(np.logical_and, stays[..., :-1])
    return clicked


def _probabilities(name: str, values: ArrayLike) -> np.ndarray:
    """Returns probabilities with the slate's positions on the last axis, a floating-point array."""
    array = numbers.float_array(name, values)
    if not array.ndim:
        raise ValueError(
            f"{name} must be an array with the slate's positions on its last axis, got "
            f"{numbers.described(values)}."
        )
    if not ((array >= 0.0) & (array <= 1.0)).all():
        bad = array[~((array >= 0.0) & (array <= 1.0))]
        raise ValueError(f"{name} must be probabilities in [0, 1], got {bad.flat[0]:g}.")
    return array


def _for_positions(name: str, values: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(_probabilities(name, np.atleast_1d(numbers.float_array(name, values))))
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(
            f"{name} must be a number, or an array that broadcasts against slates of shape "
            f"{shape}, got shape {array.shape}."
        ) from None


class MultiClickChoiceModel(_one_click.NormalizableChoiceModel):
    """The base class of the models of any number of clicks on a slate.

    ``scores`` are the probabilities of a click on a document that is looked at, and
    ``score_no_click`` is None: clicks do not exclude one another.

    A document that is looked at is clicked with probability
    ``score_scaling * (score - min_normalizer)``, which must be in [0, 1].

    Args:
        choice_features: a dictionary with ``score_scaling`` (1 where it is missing) and
            ``min_normalizer`` (0 where it is missing).

    Raises:
        ValueError: if ``score_scaling`` is negative.
    """

    #: How many uniform numbers :meth:`sampled_clicks` takes for each position.
    numbers_per_position = 1

    def __init__(self, choice_features: Mapping[str, Any]) -> None:
        self._check_features(choice_features)
        self._score_scaling = validation.non_negative_float(
            "score_scaling", choice_features.get("score_scaling", 1.0)
        )
        self._min_normalizer = validation.number(
            "min_normalizer", choice_features.get("min_normalizer", 0.0)
        )

    def clicks_if_seen(self, scores: ArrayLike) -> np.ndarray:
        """Returns how likely documents are clicked that are looked at.

        Args:
            scores: users' scores of documents, shape (..., slate_size).

        Returns:
            Probabilities of that shape.

        Raises:
            ValueError: if one is not in [0, 1].
        """
        array = numbers.float_array("scores", scores)
        if self._score_scaling != 1.0 or self._min_normalizer != 0.0:
            # Of the dtype of the scores.
            scaling, least = array.dtype.type(self._score_scaling), self._min_normalizer
            array = scaling * (array - array.dtype.type(least))
        if array.size and not (array.min() >= 0.0 and array.max() <= 1.0):
            raise ValueError(
                "scores must give probabilities of a click, score_scaling * (score - "
                f"min_normalizer) in [0, 1], got {array.min():g} to {array.max():g} with "
                f"score_scaling={self._score_scaling:g} and min_normalizer="
                f"{self._min_normalizer:g}."
            )
        return array

    @abc.abstractmethod
    def click_probabilities(self, scores: ArrayLike) -> np.ndarray:
        """Returns how likely each position of slates is clicked.

        Args:
            scores: users' scores of documents, shape (..., slate_size).

        Returns:
            Probabilities of that shape.
        """

    @abc.abstractmethod
    def sampled_clicks(self, scores: ArrayLike, uniform: np.ndarray) -> np.ndarray:
        """Returns which positions of slates are clicked, bools of shape (..., slate_size).

        Args:
            scores: users' scores of documents, shape (..., slate_size).
            uniform: uniform numbers in [0, 1), of shape
                (..., ``numbers_per_position`` * slate_size), which are not checked.
        """

    def choice_weights(self, scores: ArrayLike) -> np.ndarray:
        """Raises NotImplementedError: there is no distribution over single positions."""
        raise NotImplementedError(
            f"{type(self).__name__} may click several documents of a slate, so that there are no "
            "weights of a single choice: call click_probabilities or sampled_clicks."
        )

    def score_documents(self, user_state: object, doc_obs: Iterable[Any]) -> None:
        """See :meth:`AbstractChoiceModel.score_documents`."""
        self._scores = self.clicks_if_seen(self._score_documents_helper(user_state, doc_obs))
        self._score_no_click = None

    def choose_item(self) -> int | None:
        """Raises TypeError: several documents may be clicked, see :meth:`choose_items`."""
        raise TypeError(
            f"{type(self).__name__} may click several documents of a slate, got a call of "
            "choose_item, which is for one: call choose_items, or give the user model a choice "
            "model of one click, such as MultinomialLogitChoiceModel."
        )

    def choose_items(self) -> list[int]:
        """Returns the positions that are clicked, in the slate's order.

        Raises:
            RuntimeError: if no documents were scored before.
        """
        if self._scores is None:
            raise RuntimeError("choose_items needs scores: call score_documents(…) before it.")
        number = self.numbers_per_position * len(self._scores)
        uniform = np.array([self._random_sample() for _ in range(number)])
        positions: list[int] = np.flatnonzero(self._clicks(self._scores, uniform)).tolist()
        return positions

    @abc.abstractmethod
    def _clicks(self, click_if_seen: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Returns which positions are clicked, given how likely they are if they are looked at."""


class PositionBasedChoiceModel(MultiClickChoiceModel):
    """Position-based clicks: every position is looked at with a probability of its own.

    Args:
        choice_features: as :class:`MultiClickChoiceModel`, and ``examination_probs``, the
            probabilities of a look at each position, for slates of their number at most (1 for all
            positions where they are missing).

    Raises:
        ValueError: as :class:`MultiClickChoiceModel`, or if a probability is outside [0, 1].
    """

    def __init__(self, choice_features: Mapping[str, Any]) -> None:
        super().__init__(choice_features)
        given = choice_features.get("examination_probs")
        self._looks = None if given is None else _probabilities("examination_probs", given)
        if self._looks is not None and self._looks.ndim != 1:
            raise ValueError(
                "examination_probs must be a list of a probability for each position, got shape "
                f"{self._looks.shape}."
            )
        self._examination_probs = None if self._looks is None else self._looks.tolist()

    def click_probabilities(self, scores: ArrayLike) -> np.ndarray:
        """See :meth:`MultiClickChoiceModel.click_probabilities`."""
        return self._looked_at(self.clicks_if_seen(scores))

    def sampled_clicks(self, scores: ArrayLike, uniform: np.ndarray) -> np.ndarray:
        """See :meth:`MultiClickChoiceModel.sampled_clicks`."""
        return self._clicks(self.clicks_if_seen(scores), uniform)

    def _clicks(self, click_if_seen: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        return clicks_where_seen(self._looked_at(click_if_seen), uniform)

    def _looked_at(self, click_if_seen: np.ndarray) -> np.ndarray:
        looks, size = self._looks, click_if_seen.shape[-1]
        if looks is None:
            return click_if_seen
        if len(looks) < size:
            raise ValueError(
                f"examination_probs must have a probability for each of the {size} positions of a "
                f"slate, got {len(looks)}."
            )
        looked_at: np.ndarray = click_if_seen * looks[:size].astype(click_if_seen.dtype)
        return looked_at


class MultiClickCascadeChoiceModel(MultiClickChoiceModel):
    """A cascade with any number of clicks: the user goes down the slate until he stops.

    A document that is reached is looked at with probability ``attention_prob``, as in RecSim's
    cascade, which this is with ``continue_after_click`` 0.

    Args:
        choice_features: as :class:`MultiClickChoiceModel`, and ``attention_prob`` (1 where it is
            missing), ``continue_after_click``, the probability of continuing after a click (1 where
            it is missing), and ``continue_after_skip``, that of continuing without one (likewise).

    Raises:
        ValueError: as :class:`MultiClickChoiceModel`, or if a probability is outside [0, 1].
    """

    numbers_per_position = 2

    def __init__(self, choice_features: Mapping[str, Any]) -> None:
        super().__init__(choice_features)
        self._attention_prob, self._continue_after_click, self._continue_after_skip = (
            validation.probability(name, choice_features.get(name, 1.0))
            for name in ("attention_prob", "continue_after_click", "continue_after_skip")
        )

    def click_probabilities(self, scores: ArrayLike) -> np.ndarray:
        """See :meth:`MultiClickChoiceModel.click_probabilities`."""
        return multi_click_probabilities(
            self._attended(self.clicks_if_seen(scores)),
            self._continue_after_click,
            self._continue_after_skip,
        )

    def sampled_clicks(self, scores: ArrayLike, uniform: np.ndarray) -> np.ndarray:
        """See :meth:`MultiClickChoiceModel.sampled_clicks`."""
        return self._clicks(self.clicks_if_seen(scores), uniform)

    def _clicks(self, click_if_seen: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        return clicks_until_stop(
            self._attended(click_if_seen),
            uniform,
            np.asarray(self._continue_after_click, click_if_seen.dtype),
            np.asarray(self._continue_after_skip, click_if_seen.dtype),
        )

    def _attended(self, click_if_seen: np.ndarray) -> np.ndarray:
        attended: np.ndarray = click_if_seen * click_if_seen.dtype.type(self._attention_prob)
        return attended


class DependentClickChoiceModel(MultiClickChoiceModel):
    """Dependent clicks: the user continues after each skip, and after a click with a probability.

    Args:
        choice_features: as :class:`MultiClickChoiceModel`, and ``continue_after_click``, the
            probability of continuing after a click: a number, or one for each position, for slates
            of their number at most (1 where it is missing).

    Raises:
        ValueError: as :class:`MultiClickChoiceModel`, or if a probability is outside [0, 1].
    """

    numbers_per_position = 2

    def __init__(self, choice_features: Mapping[str, Any]) -> None:
        super().__init__(choice_features)
        given = numbers.float_array(
            "continue_after_click", choice_features.get("continue_after_click", 1.0)
        )
        self._after_clicks = _probabilities("continue_after_click", np.atleast_1d(given))
        if self._after_clicks.ndim != 1:
            raise ValueError(
                "continue_after_click must be a number or a list of one for each position, got "
                f"shape {given.shape}."
            )
        self._by_position = bool(given.ndim)
        self._continue_after_click = given.tolist()

    def click_probabilities(self, scores: ArrayLike) -> np.ndarray:
        """See :meth:`MultiClickChoiceModel.click_probabilities`."""
        clicks = self.clicks_if_seen(scores)
        return multi_click_probabilities(clicks, self._after_click(clicks))

    def sampled_clicks(self, scores: ArrayLike, uniform: np.ndarray) -> np.ndarray:
        """See :meth:`MultiClickChoiceModel.sampled_clicks`."""
        return self._clicks(self.clicks_if_seen(scores), uniform)

    def _clicks(self, click_if_seen: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        after_skip = np.ones((), click_if_seen.dtype)
        return clicks_until_stop(
            click_if_seen, uniform, self._after_click(click_if_seen), after_skip
        )

    def _after_click(self, click_if_seen: np.ndarray) -> np.ndarray:
        given, size = self._after_clicks, click_if_seen.shape[-1]
        if self._by_position and len(given) < size:
            raise ValueError(
                f"continue_after_click must have a probability for each of the {size} positions of "
                f"a slate, got {len(given)}."
            )
        return (given[:size] if self._by_position else given).astype(click_if_seen.dtype)
