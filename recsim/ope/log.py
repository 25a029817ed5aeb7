"""Logged slates with their propensities, as arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim._internal import numbers, paths, validation
from recsim.ope import policy as policy_lib

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SlateLog"]


@dataclasses.dataclass(frozen=True)
class SlateLog:
    """Slates that an agent showed, what they earned, and how likely it was to show them.

    A single item is a slate of one. Rows are slates; those of an episode follow one another. The
    arrays are checked, and converted to integers, float64 and bools.

    Attributes:
        items: what was shown: the candidates' indices, integers of shape (n, slate_size).
        rewards: of the slates, shape (n,).
        slate_propensities: probabilities with which the agent chose the slates, in (0, 1], shape
            (n,); None if not known, as the following two.
        item_propensities: those of each document being at its position, (n, slate_size).
        prefix_propensities: those of each document and all before it being at their positions, of
            the same shape.
        position_rewards: what each document earned, shape (n, slate_size), for the estimators that
            go by positions; None if not known. Their sums should be the rewards.
        clicks: which documents were clicked, of the same shape; None if not known.
        users: whom they were shown to, integers of shape (n,); by default one user each.
        episodes: number of the user's episode; by default 0, and without steps another one for each
            slate.
        steps: number of the step in the episode, without gaps; by default 0.
        terminated: whether the environment ended the episode with it; by default it did.
        user_features: of the users before the slates, (n, num_user_features); by default none.
        candidate_features: of all candidates, shape (n, num_candidates, num_features), or
            (1, num_candidates, num_features) where they are always the same; None if not known.
        num_candidates: how many documents could be shown; by default those of the other arrays.
        distribution: the probabilities of all slates, by the agent that logged; None if not known.
        propensity_samples: from how many samples the propensities are estimated; None if exact.

    Raises:
        TypeError: for arrays that are not of numbers.
        ValueError: for arrays of other shapes, that are not finite, or propensities outside of
            (0, 1]; if there are no slates, or an episode's steps are not in order.

    Example:
        >>> log = SlateLog(items=[[0], [1], [0]], rewards=[1.0, 0.0, 0.0],
        ...                slate_propensities=[0.5, 0.5, 0.5])
        >>> log.num_slates, log.slate_size, log.num_candidates
        (3, 1, 2)
    """

    items: Any
    rewards: Any
    slate_propensities: Any = None
    item_propensities: Any = None
    prefix_propensities: Any = None
    position_rewards: Any = None
    clicks: Any = None
    users: Any = None
    episodes: Any = None
    steps: Any = None
    terminated: Any = None
    user_features: Any = None
    candidate_features: Any = None
    num_candidates: int | None = None
    distribution: policy_lib.SlateDistribution | None = None
    propensity_samples: int | None = None

    def __post_init__(self) -> None:
        items = numbers.whole_array("items", self.items)
        if items.ndim == 1:
            items = items[:, np.newaxis]
        if items.ndim != 2 or not items.size:
            raise ValueError(
                "items must have a row for each slate, shape (n, slate_size), and at least one "
                f"slate, got shape {items.shape}."
            )
        if items.min() < 0:
            raise ValueError(f"items must be indices of candidates, >= 0, got {items.min()}.")
        number, slate_size = items.shape
        self._set("items", items)
        self._check("rewards", (number,))
        self._check("slate_propensities", (number,), of_chance=True)
        for name in ("item_propensities", "prefix_propensities"):
            self._check(name, (number, slate_size), of_chance=True)
        if slate_size == 1:
            self._fill_in_single_items()
        self._check("position_rewards", (number, slate_size))
        self._check("clicks", (number, slate_size))
        if self.clicks is not None:
            self._set("clicks", self.clicks != 0)
        every = np.arange(number)
        episodes = every if self.steps is None else 0
        for name, default in (("users", every), ("episodes", episodes), ("steps", 0)):
            value = getattr(self, name)
            array = np.zeros(number, np.int64) + default
            if value is not None:
                array = numbers.whole_array(name, value)
            self._set(name, self._of_shape(name, array, (number,)))
        ended = np.ones(number, np.bool_)
        if self.terminated is not None:
            ended = numbers.bool_per_user("terminated", self.terminated, number)
        self._set("terminated", ended)
        self._check("user_features", (number, None), default=np.zeros((number, 0)))
        self._check_candidates(int(items.max()) + 1)
        self._check_order()
        if self.distribution is not None and len(self.distribution.probabilities) != number:
            raise ValueError(
                f"distribution must be of the {number} slates of the log, got one of "
                f"{len(self.distribution.probabilities)}."
            )

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check(
        self,
        name: str,
        shape: Sequence[int | None],
        *,
        of_chance: bool = False,
        default: np.ndarray | None = None,
    ) -> None:
        """Replaces an attribute by a checked array."""
        value = getattr(self, name)
        if value is None:
            self._set(name, default)
            return
        array = self._of_shape(name, validation.finite(name, value), shape)
        if of_chance and not ((array > 0.0) & (array <= 1.0 + 1e-9)).all():
            wrong = array[~((array > 0.0) & (array <= 1.0 + 1e-9))][0]
            raise ValueError(
                f"{name} must be probabilities above 0 and at most 1, for what was shown had one, "
                f"got {wrong!r}."
            )
        self._set(name, array)

    def _of_shape(self, name: str, array: np.ndarray, shape: Sequence[int | None]) -> np.ndarray:
        """Returns an array, which must have a shape, with None for any number."""
        fits = array.ndim == len(shape) and all(
            wanted in (None, found) for wanted, found in zip(shape, array.shape)
        )
        if not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise ValueError(
                f"{name} must have the shape ({wanted}), for items are of shape "
                f"{self.items.shape}, got {array.shape}."
            )
        return array

    def _fill_in_single_items(self) -> None:
        """Takes the propensity of an item, a slate of one, from whatever is known."""
        known = [
            array.reshape(-1)
            for array in (self.slate_propensities, self.item_propensities, self.prefix_propensities)
            if array is not None
        ]
        if known:
            if self.slate_propensities is None:
                self._set("slate_propensities", known[0])
            for name in ("item_propensities", "prefix_propensities"):
                if getattr(self, name) is None:
                    self._set(name, known[0][:, np.newaxis])
        if self.position_rewards is None:
            self._set("position_rewards", np.asarray(self.rewards)[:, np.newaxis])

    def _check_candidates(self, at_least: int) -> None:
        number = len(self.items)
        features = self.candidate_features
        if features is not None:
            features = validation.finite("candidate_features", features)
            if features.ndim != 3 or len(features) not in (1, number):
                raise ValueError(
                    "candidate_features must have the shape (n, num_candidates, num_features) or "
                    f"(1, num_candidates, num_features), n being {number}, got {features.shape}."
                )
            self._set("candidate_features", features)
        known = at_least if features is None else features.shape[1]
        if self.num_candidates is not None:
            known = validation.positive_int("num_candidates", self.num_candidates)
        if known < at_least or (features is not None and features.shape[1] != known):
            raise ValueError(
                f"num_candidates must be above the largest index in items, {at_least - 1}, and "
                f"that of candidate_features, got {known}."
            )
        self._set("num_candidates", known)

    def _check_order(self) -> None:
        same = (np.diff(self.users) == 0) & (np.diff(self.episodes) == 0)
        num_episodes = len(np.unique(np.stack([self.users, self.episodes]), axis=1).T)
        follow = np.diff(self.steps)[same] == 1
        if (~same).sum() + 1 != num_episodes or not follow.all():
            raise ValueError(
                "The slates of an episode must stand together, their steps counted one by one; got "
                "others: sort the log by users, episodes and steps, and leave no step out."
            )

    @property
    def num_slates(self) -> int:
        """Number of slates."""
        return len(self.items)

    @property
    def slate_size(self) -> int:
        """Number of documents of a slate."""
        return int(self.items.shape[1])

    @property
    def features(self) -> np.ndarray:
        """Features of the candidates; where there are none, indicators of which one it is."""
        if self.candidate_features is not None:
            features: np.ndarray = self.candidate_features
            return features
        assert self.num_candidates is not None
        return np.eye(self.num_candidates)[np.newaxis]

    @classmethod
    def from_episodes(
        cls, episodes: pd.DataFrame | paths.Path, *, position_reward: str | None = None
    ) -> SlateLog:
        """Makes a log of an episode log.

        Args:
            episodes: what :func:`recsim.read_episodes` returns, or the path of a log.
            position_reward: the column that says what each document earned, such as
                ``'response_click'``; None for the one whose sums over slates are the rewards,
                of responses as they are or where they were clicked, if there is one.

        Raises:
            FileNotFoundError, TypeError, ValueError: for what is not an episode log, or lacks a
                column or has one twice; for numbers that are missing, positions with gaps, and
                slates of different sizes.
        """
        from recsim.ope import _frames

        arrays = _frames.arrays_of(episodes, position_reward)
        return cls(**arrays)
