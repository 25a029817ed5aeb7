"""What a sample says: means, standard errors, confidence intervals, paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recsim._internal import numbers

__all__ = [
    "RESAMPLES",
    "estimate",
    "holm",
    "in_standard_errors",
    "interquartile_mean",
    "median_interval",
    "paired_difference",
    "paired_p_value",
    "probability_of_improvement",
]

#: Number of bootstrap samples.
RESAMPLES = 2000
# The same scores have the same interval.
_BOOTSTRAP_SEED = 0


def estimate(values: ArrayLike) -> dict[str, Any]:
    """Returns the mean of a sample, its standard error and its 95% confidence interval.

    The interval is Student's.

    Args:
        values: the sample, shape (n, ...) with n >= 2; each entry of the other axes is a quantity
            of its own.

    Returns:
        ``mean``, ``standard_error``, ``low`` and ``high``: floats for a sample of shape (n,), else
        nested lists of the shape of the other axes.

    Raises:
        ValueError: if there are fewer than two values.

    Example:
        >>> {name: round(value, 2) for name, value in estimate([1.0, 3.0, 2.0]).items()}
        {'mean': 2.0, 'standard_error': 0.58, 'low': -0.48, 'high': 4.48}
    """
    from scipy import special  # Slow to import, and not needed where samples are only drawn.

    values = numbers.float_array("values", values).astype(np.float64, copy=False)
    if values.ndim == 0 or len(values) < 2:
        raise ValueError(f"values must hold at least two, got an array of shape {values.shape}.")
    mean = values.mean(axis=0)
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    half_width = special.stdtrit(len(values) - 1, 0.975) * error
    return {
        "mean": mean.tolist(),
        "standard_error": error.tolist(),
        "low": (mean - half_width).tolist(),
        "high": (mean + half_width).tolist(),
    }


def _sample(name: str, values: ArrayLike) -> np.ndarray:
    """Returns numbers as a float array of shape (n,)."""
    return numbers.one_per_item(name, numbers.float_array(name, values), 1)


def paired_difference(values: np.ndarray, baseline: np.ndarray) -> dict[str, Any]:
    """Returns the mean difference of paired values, with its 95% confidence interval.

    The interval is Student's for the mean of the differences, which takes the pairs for a sample.

    Args:
        values: an agent's values by episode or by seed, shape (n,).
        baseline: another agent's values in the same episodes or seeds, of the same shape.

    Returns:
        ``mean``, and ``low`` and ``high``, which are None if there is a single pair.

    Example:
        >>> result = paired_difference(np.array([2.0, 4.0, 3.0]), np.array([1.0, 1.0, 1.0]))
        >>> {name: round(value, 2) for name, value in result.items()}
        {'mean': 2.0, 'low': -0.48, 'high': 4.48}
    """
    differences = _differences(values, baseline)
    if len(differences) < 2:
        return {"mean": float(differences.mean()), "low": None, "high": None}
    estimated = estimate(differences)
    return {name: estimated[name] for name in ("mean", "low", "high")}


def _differences(values: ArrayLike, baseline: ArrayLike) -> np.ndarray:
    """Returns the differences of pairs, at least one."""
    values, baseline = _sample("values", values), _sample("baseline", baseline)
    if len(values) != len(baseline) or not len(values):
        raise ValueError(
            "values and baseline must be of the same episodes or seeds, at least one, got "
            f"{len(values)} and {len(baseline)} of them."
        )
    differences: np.ndarray = values - baseline
    return differences


def in_standard_errors(
    mean: float, standard_error: float, other_mean: float, other_error: float
) -> float:
    """Returns how many standard errors of their difference one mean is above another.

    Args:
        mean: the mean of a sample.
        standard_error: its standard error.
        other_mean: the mean of another sample, independent of the first.
        other_error: its standard error, not 0 if the first is.

    Raises:
        TypeError: if an argument is not a number.
        ValueError: if one is not finite, or both standard errors are 0.
    """
    error = math.hypot(
        numbers.finite("standard_error", standard_error),
        numbers.finite("other_error", other_error),
    )
    if error == 0.0:
        raise ValueError("standard_error and other_error must not both be 0.")
    difference = numbers.finite("mean", mean) - numbers.finite("other_mean", other_mean)
    return difference / error


def median_interval(values: ArrayLike) -> tuple[float, float]:
    """Returns a confidence interval of a median, of at least 95%, from order statistics.

    It supposes nothing of the distribution: the number of values below the median is binomial.

    Args:
        values: the sample, shape (n,). Fewer than six values bound nothing at 95%: the interval
            is then the whole line.

    Returns:
        The interval's ends, minus and plus infinity where there are too few values.

    Example:
        >>> median_interval(range(15))
        (3.0, 11.0)
    """
    from scipy import special

    ordered = numbers.float_array("values", values).astype(np.float64)
    if ordered.ndim != 1 or np.isnan(ordered).any():
        raise ValueError(
            "values must be a sample of shape (n,) without NaN, got "
            f"{numbers.described(ordered.tolist())}."
        )
    ordered.sort()
    number = len(ordered)
    # The rank of the lower end: with 97.5%, so many values at least are below the median.
    rank = int((special.bdtr(np.arange(number), number, 0.5) <= 0.025).sum())
    if not rank:
        return -np.inf, np.inf
    return float(ordered[rank - 1]), float(ordered[-rank])


def interquartile_mean(
    scores: Sequence[ArrayLike], *, resamples: int = RESAMPLES
) -> dict[str, float | None]:
    """Returns the mean of the middle half of scores, with its 95% interval.

    The interquartile mean of Agarwal et al. (2021, "Deep reinforcement learning at the edge of the
    statistical precipice"): a quarter of the scores is left out at each end, of all scenarios
    together. The interval is of a stratified bootstrap: runs are sampled anew in each scenario.

    Args:
        scores: an array of shape (n_seeds,) for each scenario: a run's score by seed. Scores of
            several scenarios must be of one scale.
        resamples: number of bootstrap samples.

    Returns:
        ``mean``, ``low`` and ``high``, the last two None where a scenario has a single run.

    Example:
        >>> interquartile_mean([[0.0, 2.0, 3.0, 4.0, 100.0]])["mean"]
        3.0
    """
    strata = _strata("scores", scores)
    rng = np.random.default_rng(_BOOTSTRAP_SEED)
    resampled = np.concatenate(
        [runs[rng.integers(len(runs), size=(resamples, len(runs)))] for runs in strata], axis=1
    )
    return {
        "mean": float(_middle_mean(np.concatenate(strata))),
        **_percentiles(_middle_mean(resampled), strata),
    }


def probability_of_improvement(
    scores: Sequence[ArrayLike],
    baseline: Sequence[ArrayLike],
    *,
    resamples: int = RESAMPLES,
) -> dict[str, float | None]:
    """Returns how probably a run scores higher than one of a baseline, with its 95% interval.

    That of Agarwal et al. (2021): the share of pairs of runs in which the first has the higher
    score, where equal scores count half, as a mean over the scenarios. The 95% interval is of a
    stratified bootstrap: runs of both are sampled anew in each scenario.

    Args:
        scores: an array of shape (n_seeds,) for each scenario: a run's score by seed.
        baseline: those of the baseline in the same scenarios, with as many seeds or others.
        resamples: number of bootstrap samples.

    Returns:
        ``mean``, ``low`` and ``high``, the last two None where a scenario has a single run.

    Example:
        >>> probability_of_improvement([[1.0, 2.0]], [[0.0, 2.0]])["mean"]
        0.625
    """
    ours, theirs = _strata("scores", scores), _strata("baseline", baseline)
    if len(ours) != len(theirs):
        raise ValueError(
            "scores and baseline must be of the same scenarios, got "
            f"{len(ours)} and {len(theirs)} of them."
        )
    rng = np.random.default_rng(_BOOTSTRAP_SEED)
    mean, resampled = 0.0, np.zeros(resamples)
    for runs, others in zip(ours, theirs):
        wins = 0.5 + 0.5 * np.sign(np.subtract.outer(runs, others))
        mean += wins.mean() / len(ours)
        # How often each run is in a bootstrap sample is all that its share of pairs depends on.
        counts, other_counts = (
            rng.multinomial(number, np.full(number, 1 / number), size=resamples) / number
            for number in wins.shape
        )
        resampled += np.einsum("ri,ij,rj->r", counts, wins, other_counts, optimize=True) / len(ours)
    return {"mean": float(mean), **_percentiles(resampled, [*ours, *theirs])}


def _strata(name: str, scores: Sequence[ArrayLike]) -> list[np.ndarray]:
    """Returns the scores of each scenario as a float array, at least one each."""
    strata = [_sample(name, runs).astype(np.float64, copy=False) for runs in scores]
    if not strata or not all(map(len, strata)):
        raise ValueError(f"{name} must hold at least one score of each scenario.")
    return strata


def _middle_mean(scores: np.ndarray) -> np.ndarray:
    """Returns the mean of the middle half along the last axis."""
    left_out = scores.shape[-1] // 4
    middle = np.sort(scores, axis=-1)[..., left_out : scores.shape[-1] - left_out]
    mean: np.ndarray = middle.mean(axis=-1)
    return mean


def _percentiles(resampled: np.ndarray, strata: Sequence[np.ndarray]) -> dict[str, float | None]:
    if min(map(len, strata)) < 2:
        return {"low": None, "high": None}
    low, high = np.percentile(resampled, [2.5, 97.5])
    return {"low": float(low), "high": float(high)}


def paired_p_value(values: ArrayLike, baseline: ArrayLike) -> float | None:
    """Returns the p-value of a paired t-test, two-sided; None of a single pair.

    Args:
        values: a sample, shape (n,).
        baseline: what each of its values is paired with, of the same shape.

    Example:
        >>> round(paired_p_value([2.0, 4.0, 3.0], [1.0, 1.0, 1.0]), 3)
        0.074
    """
    from scipy import special

    differences = _differences(values, baseline)
    number = len(differences)
    if number < 2:
        return None
    error = float(differences.std(ddof=1)) / math.sqrt(number)
    mean = float(differences.mean())
    if error == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    return float(2.0 * special.stdtr(number - 1, -abs(mean) / error))


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Returns which of several tests are significant, by the procedure of Holm (1979).

    Args:
        p_values: those of the tests.
        level: the probability, at most, that any is called significant without a reason.

    Example:
        >>> holm([0.04, 0.01, 0.03])
        [False, True, False]
    """
    significant = [False] * len(p_values)
    for rank, test in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[test] > level / (len(p_values) - rank):
            break
        significant[test] = True
    return significant
