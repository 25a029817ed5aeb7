"""How likely a policy is to show what a log has, and what it may show instead."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np

from recsim._internal import numbers, validation

__all__ = ["MOST_SLATES", "Policy", "SlateDistribution", "all_slates", "index_of"]

#: Of more slates that can be made of the candidates, not all are looked at.
MOST_SLATES = 5040

# Numbers in an array that goes through slates, documents and positions.
_BLOCK = 4_000_000


def all_slates(num_candidates: int, slate_size: int) -> np.ndarray:
    """Returns all slates without repetition, integers of shape (num_slates, slate_size).

    Raises:
        TypeError, ValueError: if a number is not an integer >= 1, there are fewer candidates than
            positions, or more than :data:`MOST_SLATES` slates.
    """
    num_candidates, slate_size = validation.candidates_and_slate(num_candidates, slate_size)
    number = math.perm(num_candidates, slate_size)
    if number > MOST_SLATES:
        raise ValueError(
            f"{num_candidates} candidates make {number} slates of {slate_size}, which is more than "
            f"the {MOST_SLATES} that are looked at one by one: use an estimator that needs the "
            "probabilities of logged slates alone."
        )
    return np.array(list(itertools.permutations(range(num_candidates), slate_size)))


@dataclasses.dataclass(frozen=True)
class SlateDistribution:
    """The probabilities of all slates that a policy may show, for each slate of a log.

    Attributes:
        slates: the slates, integers of shape (num_slates, slate_size).
        probabilities: of each of them, shape (n, num_slates); rows sum up to 1.

    Raises:
        TypeError, ValueError: for arrays of other shapes, or rows that do not sum up to 1.
    """

    slates: Any
    probabilities: Any

    def __post_init__(self) -> None:
        slates = numbers.whole_array("slates", self.slates)
        probabilities = validation.finite("probabilities", self.probabilities)
        if slates.ndim != 2 or probabilities.ndim != 2 or len(slates) != probabilities.shape[1]:
            raise ValueError(
                "slates and probabilities must have the shapes (num_slates, slate_size) and "
                f"(n, num_slates), got {slates.shape} and {probabilities.shape}."
            )
        if (probabilities < -1e-12).any() or not np.allclose(
            probabilities.sum(axis=1), 1.0, atol=1e-6
        ):
            raise ValueError(
                "Each row of probabilities must be a distribution, of numbers >= 0 that sum up to "
                f"1, got the lowest {probabilities.min():.3g} and sums from "
                f"{probabilities.sum(axis=1).min():.6g} to {probabilities.sum(axis=1).max():.6g}."
            )
        object.__setattr__(self, "slates", slates)
        object.__setattr__(self, "probabilities", probabilities)

    @classmethod
    def uniform(cls, number: int, num_candidates: int, slate_size: int) -> SlateDistribution:
        """Returns that of the random agent: all slates without repetition are equally likely."""
        slates = all_slates(num_candidates, slate_size)
        return cls(slates, np.full((number, len(slates)), 1.0 / len(slates)))

    @classmethod
    def softmax(
        cls, scores: np.ndarray, slate_size: int, temperature: float = 1.0
    ) -> SlateDistribution:
        """Returns that of :class:`recsim.agents.softmax_agent.SoftmaxAgent`.

        Args:
            scores: of the candidates, shape (n, num_candidates).
            slate_size: number of documents of a slate.
            temperature: what scores are divided by, above 0.
        """
        scores = validation.finite("scores", scores)
        if scores.ndim != 2:
            raise ValueError(f"scores must have the shape (n, num_candidates), got {scores.shape}.")
        temperature = validation.positive_float("temperature", temperature)
        slates = all_slates(scores.shape[1], slate_size)
        logs = scores / temperature
        logs -= logs.max(axis=1, keepdims=True)
        total = np.zeros((len(logs), len(slates)))
        taken = np.zeros((len(slates), scores.shape[1]), np.bool_)
        for documents in slates.T:
            for row, without in enumerate(taken):
                left = np.where(without, -np.inf, logs)
                highest = left.max(axis=1, keepdims=True)
                of_all = np.log(np.exp(left - highest).sum(axis=1)) + highest[:, 0]
                total[:, row] += logs[:, documents[row]] - of_all
            taken[np.arange(len(slates)), documents] = True
        return cls(slates, np.exp(total))

    def mixed(self, other: SlateDistribution, share: float) -> SlateDistribution:
        """Returns the distribution of this with a probability of ``1 - share``, else of another."""
        share = validation.probability("share", share)
        probabilities = (1.0 - share) * self.probabilities + share * other.probabilities
        return SlateDistribution(self.slates, probabilities)

    @classmethod
    def certain(cls, chosen: np.ndarray, num_candidates: int) -> SlateDistribution:
        """Returns that of a policy without chance.

        Args:
            chosen: the slates that it shows, integers of shape (n, slate_size).
            num_candidates: number of candidates.
        """
        chosen = numbers.whole_array("chosen", chosen)
        if chosen.ndim != 2:
            raise ValueError(
                f"chosen must be slates, of shape (n, slate_size), got shape {chosen.shape}."
            )
        num_candidates = validation.positive_int("num_candidates", num_candidates)
        if not 1 <= chosen.shape[1] <= num_candidates:
            raise ValueError(
                f"chosen must be slates of 1 to num_candidates={num_candidates} documents, got "
                f"shape {chosen.shape}."
            )
        slates = all_slates(num_candidates, chosen.shape[1])
        index = index_of(chosen, slates, num_candidates, name="chosen")
        probabilities = np.zeros((len(chosen), len(slates)))
        probabilities[np.arange(len(chosen)), index] = 1.0
        return cls(slates, probabilities)

    @property
    def num_candidates(self) -> int:
        """Number of candidates, one more than the highest index."""
        return int(self.slates.max()) + 1

    def of_slates(self, items: np.ndarray) -> np.ndarray:
        """Returns the probabilities of slates, one of each row, shape (n,)."""
        index = index_of(items, self.slates, self.num_candidates)
        found: np.ndarray = self.probabilities[np.arange(len(items)), index]
        return found

    def marginals(self) -> np.ndarray:
        """Returns the probabilities of documents at positions, (n, num_candidates, slate_size)."""
        slate_size = self.slates.shape[1]
        marginals = np.empty((len(self.probabilities), self.num_candidates, slate_size))
        for place, documents in enumerate(self.slates.T):
            indicators = documents[:, np.newaxis] == np.arange(self.num_candidates)
            marginals[:, :, place] = self.probabilities @ indicators.astype(np.float64)
        return marginals

    def of_beginnings(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the probabilities of the beginnings of slates, and what may come next.

        Args:
            items: slates, integers of shape (n, slate_size).

        Returns:
            The probabilities of each beginning, shape (n, slate_size); and those of each document
            at a position, given what stands before it, (n, num_candidates, slate_size). The latter
            are 0 where what stands before is never shown.
        """
        number, slate_size = items.shape
        prefixes = np.empty((number, slate_size))
        conditionals = np.zeros((number, self.num_candidates, slate_size))
        rows = max(1, _BLOCK // len(self.slates))
        for start in range(0, number, rows):
            block = slice(start, start + rows)
            left = self.probabilities[block].copy()
            for place, documents in enumerate(self.slates.T):
                indicators = documents[:, np.newaxis] == np.arange(self.num_candidates)
                of_next = left @ indicators.astype(np.float64)
                before = of_next.sum(axis=1, keepdims=True)
                conditionals[block, :, place] = np.divide(
                    of_next, before, out=np.zeros_like(of_next), where=before > 0
                )
                left *= documents == items[block, place, np.newaxis]
                prefixes[block, place] = left.sum(axis=1)
        return prefixes, conditionals

    def second_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns how likely pairs of documents are at pairs of positions.

        Returns:
            Arrays of shape (num_distinct, k, k), k being slate_size * num_candidates and position
            by position, of the distinct rows of probabilities; and for each row which it is, (n,).
        """
        distinct, which = np.unique(self.probabilities, axis=0, return_inverse=True)
        num_candidates = self.num_candidates
        indicators = np.concatenate(
            [documents[:, np.newaxis] == np.arange(num_candidates) for documents in self.slates.T],
            axis=1,
        ).astype(np.float64)
        size = indicators.shape[1]
        moments = np.empty((len(distinct), size, size))
        for row, probabilities in enumerate(distinct):
            moments[row] = (indicators * probabilities[:, np.newaxis]).T @ indicators
        return moments, which.reshape(-1)


def index_of(
    items: np.ndarray, slates: np.ndarray, num_candidates: int, *, name: str = "items"
) -> np.ndarray:
    """Returns which of some slates others are, integers of shape (n,).

    Args:
        items: the slates to look for, integers of shape (n, slate_size).
        slates: all slates, of shape (num_slates, slate_size).
        num_candidates: number of candidates.
        name: what the slates to look for are, for errors.

    Raises:
        ValueError: if one is none of them.
    """
    if items.shape[1] != slates.shape[1]:
        raise ValueError(
            f"{name} must be slates of {slates.shape[1]} documents, got some of {items.shape[1]}."
        )
    base = num_candidates ** np.arange(slates.shape[1])
    keys, asked = slates @ base, items @ base
    order = np.argsort(keys)
    place = np.minimum(np.searchsorted(keys, asked, sorter=order), len(keys) - 1)
    index: np.ndarray = order[place]
    wrong = (slates[index] != items).any(axis=1)
    if wrong.any():
        raise ValueError(
            f"{name} must be among the {len(slates)} slates of the distribution, got "
            f"{items[wrong][0].tolist()}."
        )
    return index


@dataclasses.dataclass(frozen=True)
class Policy:
    """The probabilities of an evaluated policy, for each slate of a log. None is not known.

    :meth:`of` makes all of it of the probabilities of all slates. An estimator needs a part.

    Attributes:
        slates: with which the policy would have shown the logged slates, shape (n,).
        items: with which each document would have been at its position, shape (n, slate_size).
        prefixes: with which each document, and those before it, would have been at theirs, of the
            same shape.
        marginals: of each candidate at each position, shape (n, num_candidates, slate_size).
        conditionals: the same, given what the logged slates have before the position.
        distribution: the probabilities of all slates.

    Raises:
        TypeError: for arrays that are not of numbers.
        ValueError: for arrays of other shapes, or numbers outside of [0, 1].

    Example:
        >>> policy = Policy(slates=[0.9, 0.1, 0.9])
        >>> policy.slates.tolist()
        [0.9, 0.1, 0.9]
    """

    slates: Any = None
    items: Any = None
    prefixes: Any = None
    marginals: Any = None
    conditionals: Any = None
    distribution: SlateDistribution | None = None

    def __post_init__(self) -> None:
        axes = {"slates": 1, "items": 2, "prefixes": 2, "marginals": 3, "conditionals": 3}
        for name, num_axes in axes.items():
            value = getattr(self, name)
            if value is None:
                continue
            array = validation.finite(name, value)
            if name in ("items", "prefixes") and array.ndim == 1:
                array = array[:, np.newaxis]
            if array.ndim != num_axes:
                raise ValueError(f"{name} must have {num_axes} axes, got shape {array.shape}.")
            if ((array < 0.0) | (array > 1.0 + 1e-9)).any():
                wrong = array[(array < 0.0) | (array > 1.0 + 1e-9)][0]
                raise ValueError(f"{name} must be probabilities, from 0 to 1, got {wrong!r}.")
            object.__setattr__(self, name, array)
        self._fill_in_single_items()

    def _fill_in_single_items(self) -> None:
        """Takes the probabilities of items from those of slates of one, and the reverse."""
        known = [array for array in (self.items, self.prefixes) if array is not None]
        if known and self.slates is None and known[0].shape[1] == 1:
            object.__setattr__(self, "slates", known[0][:, 0])

    @classmethod
    def of(cls, distribution: SlateDistribution, items: np.ndarray) -> Policy:
        """Returns all that the probabilities of all slates say of the slates of a log.

        Args:
            distribution: the probabilities of all slates, for each slate of the log.
            items: what the log has, integers of shape (n, slate_size).
        """
        items = numbers.whole_array("items", items)
        marginals = distribution.marginals()
        prefixes, conditionals = distribution.of_beginnings(items)
        return cls(
            slates=prefixes[:, -1],
            items=np.take_along_axis(marginals, items[:, np.newaxis], axis=1)[:, 0],
            prefixes=prefixes,
            marginals=marginals,
            conditionals=conditionals,
            distribution=distribution,
        )
