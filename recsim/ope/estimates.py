"""Estimates with standard errors, intervals and effective sample sizes.

Every estimator of this package is a sum of ratios of means: of what each logged slate, or each
episode, adds to numerators and denominators. This module makes estimates of these. What belongs to
one user is not independent: standard errors and bootstrap samples are over users.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence

import numpy as np

from recsim._internal import validation

__all__ = [
    "METHODS",
    "Estimate",
    "Interval",
    "SupportWarning",
    "effective_sample_size",
    "estimate",
    "warn_of_support",
]

#: How intervals are made, see :class:`Interval`.
METHODS = ("student", "normal", "bootstrap")

# Of users times samples, in an array of a bootstrap.
_BLOCK = 2_000_000
# So many standard errors below 1 tell that weights lack what the logging policy never shows.
_FAR = 5.0


class SupportWarning(UserWarning):
    """The evaluated policy shows what the logging policy never does: the log cannot tell of it."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """How to make a confidence interval.

    Attributes:
        method: 'student' (the estimate, and quantiles of Student's distribution times the standard
            error), 'normal' (the like of the normal distribution) or 'bootstrap' (percentiles of
            estimates from samples of users, with replacement).
        confidence: the probability that it holds the true value, in (0, 1).
        num_samples: number of bootstrap samples, at least 2.
        seed: of the bootstrap, an integer >= 0.

    Raises:
        TypeError, ValueError: for what is not of that kind.
    """

    method: str = "student"
    confidence: float = 0.95
    num_samples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.method, str) or self.method not in METHODS:
            raise ValueError(
                f"method must be one of {', '.join(METHODS)}, got {self.method!r}."
                f"{validation.nearest_name(str(self.method), METHODS)}"
            )
        if not 0.0 < validation.probability("confidence", self.confidence) < 1.0:
            raise ValueError(f"confidence must be above 0 and below 1, got {self.confidence!r}.")
        validation.positive_int("num_samples", self.num_samples, 2)
        validation.positive_int("seed", self.seed, 0)

    def quantile(self, degrees_of_freedom: int) -> float:
        """Returns how many standard errors from the estimate the ends are, without a bootstrap."""
        from scipy import special

        tail = (1.0 - self.confidence) / 2.0
        if self.method == "student":
            return float(special.stdtrit(degrees_of_freedom, 1.0 - tail))
        return float(special.ndtri(1.0 - tail))


@dataclasses.dataclass(frozen=True)
class Estimate:
    """An estimate of the value of a policy.

    Attributes:
        name: of the estimator.
        value: the estimate.
        standard_error: of the estimate, over users; NaN with a single user.
        low: lower end of the interval.
        high: upper end of the interval.
        confidence: of the interval.
        num_users: number of users, or other independent units.
        effective_sample_size: of how many slates (or episodes) of the evaluated policy itself the
            weighted ones are worth, see :func:`effective_sample_size`; None without weights.
        missing_support: the share of what the evaluated policy shows that the logging policy never
            does; None where the log does not tell.
    """

    name: str
    value: float
    standard_error: float
    low: float
    high: float
    confidence: float
    num_users: int
    effective_sample_size: float | None = None
    missing_support: float | None = None


def effective_sample_size(weights: np.ndarray) -> float:
    """Returns the effective sample size of weights (Kish, 1965).

    Args:
        weights: shape (n,) or (n, slate_size); of several positions the smallest size counts.

    Returns:
        The square of their sum, divided by the sum of their squares; 0 if all are 0.
    """
    by_position = np.asarray(weights, np.float64).reshape(len(weights), -1)
    squares = (by_position**2).sum(axis=0)
    sums = by_position.sum(axis=0) ** 2
    return float(np.divide(sums, squares, out=np.zeros_like(sums), where=squares > 0).min())


def estimate(
    name: str,
    numerators: np.ndarray,
    denominators: np.ndarray | None = None,
    *,
    users: np.ndarray | None = None,
    interval: Interval | None = None,
    weights: np.ndarray | None = None,
    missing_support: float | None = None,
) -> Estimate:
    """Returns the sum over columns of ``sum(numerators) / sum(denominators)``, with an interval.

    The standard error is that of the linearised ratios (the delta method), over users.

    Args:
        name: of the estimator.
        numerators: shape (n,) or (n, num_columns).
        denominators: of the same shape; None for ones, of which the sum of ratios is a mean.
        users: whom each row belongs to, integers of shape (n,); None for one each.
        interval: how the interval is made; None for Student's of 95%.
        weights: importance weights, for the effective sample size; None for none.
        missing_support: see :class:`Estimate`.

    Raises:
        ValueError: if there are no rows, or a denominator sums up to 0.
    """
    interval = interval or Interval()
    above = np.asarray(numerators, np.float64)
    above = above.reshape(len(above), -1)
    below = np.ones_like(above)
    if denominators is not None:
        below = np.asarray(denominators, np.float64).reshape(above.shape)
    if not len(above):
        raise ValueError("There is nothing to estimate from: the log has no slates.")
    if users is not None:
        above, below = _sums_by_user(above, users), _sums_by_user(below, users)
    totals = below.sum(axis=0)
    if not totals.all():
        raise ValueError(
            f"{name}: all weights are 0, so that there is nothing to divide by: the evaluated "
            "policy shows nothing of what the log has. Log with an agent that explores more, or "
            "use an estimator that is not self-normalized."
        )
    num_users = len(above)
    ratios = above.sum(axis=0) / totals
    value = float(ratios.sum())
    standard_error = math.nan
    if num_users > 1:
        influence = ((above - ratios * below) / (totals / num_users)).sum(axis=1)
        standard_error = float(influence.std(ddof=1) / math.sqrt(num_users))
    low, high = _ends(value, standard_error, above, below, interval)
    size = None if weights is None else effective_sample_size(weights)
    return Estimate(
        name,
        value,
        standard_error,
        low,
        high,
        interval.confidence,
        num_users,
        size,
        missing_support,
    )


def _sums_by_user(values: np.ndarray, users: np.ndarray) -> np.ndarray:
    _, rows = np.unique(users, return_inverse=True)
    if rows.max() + 1 == len(values):
        return values
    sums = [np.bincount(rows.reshape(-1), column) for column in values.T]
    return np.stack(sums, axis=1)


def _ends(
    value: float,
    standard_error: float,
    above: np.ndarray,
    below: np.ndarray,
    interval: Interval,
) -> tuple[float, float]:
    """Returns both ends of an interval."""
    if math.isnan(standard_error):
        return math.nan, math.nan
    if interval.method == "bootstrap":
        tail = (1.0 - interval.confidence) / 2.0
        samples = _bootstrap(above, below, interval)
        low, high = np.quantile(samples, [tail, 1.0 - tail]).tolist()
        return low, high
    half = interval.quantile(len(above) - 1) * standard_error
    return value - half, value + half


def _bootstrap(above: np.ndarray, below: np.ndarray, interval: Interval) -> np.ndarray:
    """Returns the estimates of samples of users."""
    rng = np.random.default_rng(interval.seed)
    num_users = len(above)
    same = bool((below == 1.0).all())
    size = max(1, _BLOCK // num_users)
    samples = []
    for start in range(0, interval.num_samples, size):
        number = min(size, interval.num_samples - start)
        picked = rng.integers(num_users, size=(number, num_users))
        times = np.stack([np.bincount(row, minlength=num_users) for row in picked])
        times = times.astype(np.float64)
        sums = times @ above
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = sums / num_users if same else sums / (times @ below)
        # A sample in which every weight is 0 says nothing of the value.
        samples.append(np.where(np.isfinite(ratios), ratios, 0.0).sum(axis=1))
    return np.concatenate(samples)


def warn_of_support(
    missing: float | None, weights: np.ndarray | Sequence[np.ndarray], name: str
) -> float | None:
    """Warns if the evaluated policy shows what the logging policy never does.

    Args:
        missing: the share of what it shows that is never logged, if that is known.
        weights: importance weights, shape (n,) or (n, slate_size). Where the share is not known,
            weights whose mean is far below 1 tell of it.
        name: of the estimator.

    Returns:
        The share, None where it is not known.
    """
    if len(weights) and not np.asarray(weights).reshape(len(weights), -1).any(axis=0).all():
        warnings.warn(
            f"{name}: the evaluated policy shows nothing of what the log has, at some position or "
            "step: all weights are 0, and no reward of it counts. Log more, or with an agent that "
            "is more alike.",
            SupportWarning,
            stacklevel=4,
        )
    if missing is not None:
        if missing > 1e-9:
            warnings.warn(
                f"{name}: {missing:.1%} of what the evaluated policy shows is never shown by the "
                "logging policy. Its rewards are not in the log, and the estimate leaves them out: "
                "log with an agent that explores, or read the estimate as one of the rest.",
                SupportWarning,
                stacklevel=4,
            )
        return missing
    by_position = np.asarray(weights).reshape(len(weights), -1)
    if len(by_position) < 2:
        return None
    means = by_position.mean(axis=0)
    errors = by_position.std(axis=0, ddof=1) / math.sqrt(len(by_position))
    if (means + _FAR * errors < 1.0 - 1e-6).any():
        warnings.warn(
            f"{name}: the importance weights have a mean of {means.min():.3g}, which should be 1: "
            "the evaluated policy seems to show what the logging policy never does, or the "
            "propensities are wrong.",
            SupportWarning,
            stacklevel=4,
        )
    return None
