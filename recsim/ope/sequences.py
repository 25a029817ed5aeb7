"""Estimators for episodes of several steps, in which slates change what comes later.

The value is that of an episode: the expected sum of its discounted rewards over as many steps as
episodes of the log have, from its beginning, under the evaluated policy. Rows of a log are steps;
what the evaluated policy would have done is asked of it at each of them.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from recsim._internal import validation
from recsim.ope import _sums, estimates, estimators
from recsim.ope import log as log_lib
from recsim.ope import policy as policy_lib

__all__ = ["FittedQ", "PerDecision", "by_episode"]


def by_episode(log: log_lib.SlateLog) -> tuple[np.ndarray, np.ndarray]:
    """Returns which row of a log is which step of which episode.

    Returns:
        Indices of rows, of shape (num_episodes, num_steps), -1 where an episode has ended; and the
        users of the episodes, shape (num_episodes,).
    """
    new = (np.diff(log.users) != 0) | (np.diff(log.episodes) != 0)
    starts = np.concatenate([[0], np.flatnonzero(new) + 1])
    lengths = np.diff(np.concatenate([starts, [log.num_slates]]))
    steps = np.arange(lengths.max())
    rows = np.where(steps < lengths[:, np.newaxis], starts[:, np.newaxis] + steps, -1)
    return rows, log.users[starts]


def _check(discount: float) -> None:
    validation.probability("discount", discount)


@dataclasses.dataclass(frozen=True)
class PerDecision:
    """Weighs each reward by how likely the slates so far are under the evaluated policy.

    The weight of a reward is the product of the weights of its slate and of those before it in the
    episode (Precup et al., 2000). It is unbiased; its variance grows fast with the steps.

    Attributes:
        self_normalized: whether to divide, at each step, by the sum of the weights of all episodes,
            not their number: biased, and of less variance. An episode that has ended keeps its
            weight.
        discount: of rewards from step to step, in [0, 1].
        clip: the highest weight that counts; None for no clipping.
    """

    self_normalized: bool = False
    discount: float = 1.0
    clip: float | None = None

    def __post_init__(self) -> None:
        _check(self.discount)
        validation.flag("self_normalized", self.self_normalized)
        if self.clip is not None:
            validation.positive_float("clip", self.clip)

    @property
    def name(self) -> str:
        """A short name."""
        clipped = "" if self.clip is None else f" clipped at {self.clip:g}"
        return f"{'weighted ' if self.self_normalized else ''}PDIS{clipped}"

    def estimate(
        self,
        log: log_lib.SlateLog,
        policy: policy_lib.Policy,
        interval: estimates.Interval | None = None,
    ) -> estimates.Estimate:
        """See :meth:`recsim.ope.estimators.Estimator.estimate`."""
        rows, users = by_episode(log)
        of_steps = estimators.importance_weights(log, policy)
        there = rows >= 0
        ratios = np.where(there, of_steps[rows], 1.0)
        weights = np.cumprod(ratios, axis=1)
        if self.clip is not None:
            weights = np.minimum(weights, self.clip)
        rewards = np.where(there, log.rewards[rows], 0.0)
        rewards = rewards * self.discount ** np.arange(rows.shape[1])
        missing = estimators.missing_support(log, policy)
        missing = estimates.warn_of_support(missing, weights, self.name)
        return estimates.estimate(
            self.name,
            weights * rewards,
            weights if self.self_normalized else None,
            users=users,
            interval=interval,
            weights=weights,
            missing_support=missing,
        )


@dataclasses.dataclass(frozen=True)
class FittedQ:
    """Fits the values of slates, and takes those of what the evaluated policy would begin with.

    The value of a slate is its reward and, discounted, the value of what the policy shows next
    (fitted Q evaluation, Le et al., 2019). It is a linear function of
    :func:`recsim.ope.models.slate_features`, fitted by ridge regression for each step, backwards
    from the last one, which nothing follows. Standard error and interval come from fits that leave
    out a batch of users each (the jackknife), or from bootstrap samples of batches.

    Attributes:
        discount: of rewards from step to step, in [0, 1].
        ridge: the penalty of a squared weight of standardized features, >= 0.
        num_batches: number of batches of users, at least 2. There are no more than users.
    """

    discount: float = 1.0
    ridge: float = 1.0
    num_batches: int = 50

    def __post_init__(self) -> None:
        _check(self.discount)
        validation.non_negative_float("ridge", self.ridge)
        validation.positive_int("num_batches", self.num_batches, 2)

    @property
    def name(self) -> str:
        """A short name."""
        return "FQE"

    def estimate(
        self,
        log: log_lib.SlateLog,
        policy: policy_lib.Policy,
        interval: estimates.Interval | None = None,
    ) -> estimates.Estimate:
        """See :meth:`recsim.ope.estimators.Estimator.estimate`."""
        interval = interval or estimates.Interval()
        missing = estimators.missing_support(log, policy)
        if missing is not None:
            estimates.warn_of_support(missing, (), self.name)
        rows, users = by_episode(log)
        sums = _sums.Sums(log, policy, rows, users, self.num_batches, interval.seed)
        value = sums.value(None, self.discount, self.ridge)
        error, low, high = sums.interval(value, interval, self.discount, self.ridge)
        return estimates.Estimate(
            self.name, value, error, low, high, interval.confidence, sums.num_users, None, missing
        )
