"""Fits of values to samples of users, from sums over batches of them."""

from __future__ import annotations

import math

import numpy as np

from recsim.ope import estimates, models
from recsim.ope import log as log_lib
from recsim.ope import policy as policy_lib

__all__ = ["Sums"]


class Sums:
    """Sums over batches of users of what the fits of the values of all steps need.

    Args:
        log: logged slates.
        policy: the evaluated policy.
        rows: what :func:`by_episode` returns.
        users: those of the episodes, shape (num_episodes,).
        num_batches: the most batches to make.
        seed: of the batches.
    """

    def __init__(
        self,
        log: log_lib.SlateLog,
        policy: policy_lib.Policy,
        rows: np.ndarray,
        users: np.ndarray,
        num_batches: int,
        seed: int,
    ) -> None:
        _, of_episodes = np.unique(users, return_inverse=True)
        #: Number of users.
        self.num_users = int(of_episodes.max()) + 1
        num_batches = min(num_batches, self.num_users)
        # In a random order, for users who are neighbours may be alike.
        order = np.random.default_rng(seed).permutation(self.num_users)
        batches = (order % num_batches)[of_episodes.reshape(-1)]
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
        self._num_batches = num_batches
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

    def value(self, times: np.ndarray | None, discount: float, ridge: float) -> float:
        """Returns the mean value of the first slates.

        Args:
            times: how often each batch counts, shape (num_batches,); None for once.
            discount: of rewards from step to step.
            ridge: the penalty of a squared weight.
        """
        if times is None:
            times = np.ones(self._num_batches)
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

    def interval(
        self, value: float, wanted: estimates.Interval, discount: float, ridge: float
    ) -> tuple[float, float, float]:
        """Returns the standard error of a value and both ends of an interval around it.

        The standard error is that of the jackknife, of fits that leave out a batch each; a
        bootstrap is of batches. All are NaN with a single user.
        """
        number = self._num_batches
        if number < 2:
            return math.nan, math.nan, math.nan
        without = np.array([self.value(left, discount, ridge) for left in 1.0 - np.eye(number)])
        squares = ((without - without.mean()) ** 2).sum()
        error = math.sqrt((number - 1) / number * squares)
        if wanted.method != "bootstrap":
            half = wanted.quantile(number - 1) * error
            return error, value - half, value + half
        rng = np.random.default_rng(wanted.seed)
        samples = rng.multinomial(number, np.full(number, 1.0 / number), wanted.num_samples)
        values = [self.value(times.astype(np.float64), discount, ridge) for times in samples]
        tail = (1.0 - wanted.confidence) / 2.0
        low, high = np.quantile(values, [tail, 1.0 - tail]).tolist()
        return error, low, high
