"""Estimators for episodes of several steps, in which slates change what comes later.

The value is that of an episode: the expected sum of its discounted rewards over as many steps as
episodes of the log have, from its beginning, under the evaluated policy. Rows of a log are steps;
what the evaluated policy would have done is asked of it at each of them.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from recsim._internal import validation
from recsim.ope import estimates, estimators, models
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
        _, of_episodes = np.unique(users, return_inverse=True)
        num_users = int(of_episodes.max()) + 1
        # Users in a random order, for neighbours may be alike.
        order = np.random.default_rng(interval.seed).permutation(num_users)
        num_batches = min(self.num_batches, num_users)
        batches = (order % num_batches)[of_episodes.reshape(-1)]
        sums = _Sums(log, policy, rows, batches, num_batches)
        value = sums.value(np.ones(num_batches), self.discount, self.ridge)
        error, low, high = math.nan, math.nan, math.nan
        if num_batches > 1:
            without = np.array(
                [sums.value(left, self.discount, self.ridge) for left in 1.0 - np.eye(num_batches)]
            )
            squares = ((without - without.mean()) ** 2).sum()
            error = math.sqrt((num_batches - 1) / num_batches * squares)
            low, high = self._ends(sums, value, error, interval)
        return estimates.Estimate(
            self.name, value, error, low, high, interval.confidence, num_users, None, missing
        )

    def _ends(
        self, sums: _Sums, value: float, error: float, interval: estimates.Interval
    ) -> tuple[float, float]:
        """Returns both ends of the interval."""
        if interval.method != "bootstrap":
            half = interval.quantile(sums.num_batches - 1) * error
            return value - half, value + half
        rng = np.random.default_rng(interval.seed)
        shares = np.full(sums.num_batches, 1.0 / sums.num_batches)
        samples = rng.multinomial(sums.num_batches, shares, interval.num_samples)
        values = [
            sums.value(times.astype(np.float64), self.discount, self.ridge) for times in samples
        ]
        tail = (1.0 - interval.confidence) / 2.0
        low, high = np.quantile(values, [tail, 1.0 - tail]).tolist()
        return low, high


class _Sums:
    """Sums over batches of users of what the fits of the values of all steps need.

    Args:
        log: logged slates.
        policy: the evaluated policy.
        rows: what :func:`by_episode` returns.
        batches: the batch of each episode, shape (num_episodes,).
        num_batches: number of batches.
    """

    def __init__(
        self,
        log: log_lib.SlateLog,
        policy: policy_lib.Policy,
        rows: np.ndarray,
        batches: np.ndarray,
        num_batches: int,
    ) -> None:
        shown = models.slate_features(log.user_features, models.shown_documents(log))
        expected = models.expected_features(log, policy)
        means, deviations = shown.mean(axis=0), shown.std(axis=0)
        used = deviations > 1e-9 * np.maximum(1.0, np.abs(means))
        shown, expected = (
            np.concatenate(
                [np.ones((len(array), 1)), (array[:, used] - means[used]) / deviations[used]],
                axis=1,
            )
            for array in (shown, expected)
        )
        self.num_batches = num_batches
        num_steps, size = rows.shape[1], shown.shape[1]
        self._grams = np.zeros((num_steps, num_batches, size, size))
        self._rewards = np.zeros((num_steps, num_batches, size))
        # Products of features with those that are expected at the next step.
        self._next = np.zeros((num_steps, num_batches, size, size))
        self._first = np.zeros((num_batches, size))
        self._episodes = np.bincount(batches, minlength=num_batches).astype(np.float64)
        following = np.concatenate([rows[:, 1:], np.full((len(rows), 1), -1)], axis=1)
        for batch in range(num_batches):
            of_batch = batches == batch
            self._first[batch] = expected[rows[of_batch, 0]].sum(axis=0)
            for step in range(num_steps):
                there = of_batch & (rows[:, step] >= 0)
                now, after = rows[there, step], following[there, step]
                features, continues = shown[now], after >= 0
                self._grams[step, batch] = features.T @ features
                self._rewards[step, batch] = log.rewards[now] @ features
                self._next[step, batch] = features[continues].T @ expected[after[continues]]

    def value(self, times: np.ndarray, discount: float, ridge: float) -> float:
        """Returns the mean value of the first slates, with each batch so many times."""
        weights = np.zeros(self._first.shape[1])
        # A step that no slate of these batches tells of has no value.
        penalty = np.full(len(weights), max(ridge, 1e-9))
        penalty[0] = 1e-9
        for step in reversed(range(len(self._grams))):
            gram = np.tensordot(times, self._grams[step], 1)
            gram[np.diag_indices_from(gram)] += penalty
            targets = times @ self._rewards[step]
            targets = targets + discount * np.tensordot(times, self._next[step], 1) @ weights
            weights = np.linalg.solve(gram, targets)
        return float(times @ self._first @ weights / (times @ self._episodes))
