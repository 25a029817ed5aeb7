"""Logistic contextual bandits: the posterior's maximum, its curvature, blocks, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special

from recsim.agents.bandits import logistic_algorithms

DIM = 4


def outcomes(num=120, seed=0):
    rng = np.random.default_rng(seed)
    contexts = rng.normal(size=(num, DIM))
    clicks = rng.random(num) < special.expit(contexts @ [1.0, -1.0, 0.5, 0.0])
    return contexts, clicks.astype(float)


def prior(seed=1):
    matrix = np.random.default_rng(seed).normal(size=(DIM, 2 * DIM))
    return np.linspace(-1.0, 1.0, DIM), matrix @ matrix.T


@pytest.mark.parametrize("num", [1, 3, 120])
@pytest.mark.parametrize("diagonal", [False, True])
def test_posterior(num, diagonal):
    """The mean has the highest posterior density by SciPy; the precision is the curvature there."""
    contexts, clicks = outcomes(num)
    mean, precision = prior()
    given = np.diag(precision).copy() if diagonal else precision
    matrix = np.diag(given) if diagonal else precision

    def loss(weights):
        logits = contexts @ weights
        fit = np.logaddexp(0.0, logits).sum() - clicks @ logits
        return 0.5 * (weights - mean) @ matrix @ (weights - mean) + fit

    weights, found = logistic_algorithms.laplace_update(mean, given, contexts, clicks)
    best = optimize.minimize(loss, mean, method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(weights, best.x, atol=1e-6)
    chance = special.expit(contexts @ weights)
    curvature = matrix + (contexts.T * (chance * (1 - chance))) @ contexts
    np.testing.assert_allclose(found, np.diag(curvature) if diagonal else curvature, rtol=1e-12)


def test_by_hand():
    """A click in the context 1 under a standard normal prior: w = 1 - sigmoid(w)."""
    weights, precision = logistic_algorithms.laplace_update([0.0], [[1.0]], [[1.0]], [1.0])
    assert weights[0] == pytest.approx(0.40106, abs=1e-5)
    assert weights[0] == pytest.approx(1.0 - special.expit(weights[0]), abs=1e-12)
    chance = special.expit(weights[0])
    assert precision[0, 0] == pytest.approx(1.0 + chance * (1.0 - chance))


def test_far_from_the_prior():
    """Newton's steps are halved where they overshoot: far away the curvature is nearly none."""
    contexts = np.array([[100.0], [50.0], [-80.0]])
    weights, _ = logistic_algorithms.laplace_update([3.0], [[1e-6]], contexts, [0.0, 0.0, 1.0])
    slope = 1e-6 * (weights - 3.0) + (special.expit(contexts @ weights) - [0, 0, 1]) @ contexts
    assert weights[0] < 0.0 and abs(slope[0]) < 1e-6


def test_no_outcome_changes_nothing():
    mean, precision = prior()
    weights, found = logistic_algorithms.laplace_update(mean, precision, np.empty((0, DIM)), [])
    np.testing.assert_array_equal(weights, mean)
    np.testing.assert_array_equal(found, precision)


@pytest.mark.parametrize("diagonal", [False, True])
def test_models_of_arms_are_those_of_their_outcomes(diagonal):
    contexts, clicks = outcomes()
    arms = np.random.default_rng(2).integers(3, size=len(clicks))
    model = logistic_algorithms.LogisticModels(DIM, 3, ridge=0.5, diagonal=diagonal)
    start = np.full(DIM, 0.5) if diagonal else 0.5 * np.eye(DIM)
    expected = [(np.zeros(DIM), start) for _ in range(3)]
    for block in (slice(0, 50), slice(50, 51), slice(51, 120)):
        model.update(contexts[block], clicks[block], arms[block])
        for arm in range(3):
            rows = arms[block] == arm
            expected[arm] = logistic_algorithms.laplace_update(
                *expected[arm], contexts[block][rows], clicks[block][rows]
            )
    for arm, (weights, precision) in enumerate(expected):
        np.testing.assert_allclose(model.weights[arm], weights, atol=1e-12)
        np.testing.assert_allclose(model.precision[arm], precision, rtol=1e-12)
        covariance = np.diag(1 / precision) if diagonal else np.linalg.inv(precision)
        deviations = np.sqrt(np.einsum("ni,ij,nj->n", contexts, covariance, contexts))
        of_arm = np.full(len(contexts), arm)
        np.testing.assert_allclose(model.deviations(contexts, of_arm), deviations, rtol=1e-9)


@pytest.mark.parametrize("diagonal", [False, True])
def test_samples_have_the_posteriors_moments(diagonal):
    contexts, clicks = outcomes()
    model = logistic_algorithms.LogisticModels(DIM, diagonal=diagonal)
    model.update(contexts, clicks)
    num_users, scale = 100_000, 0.5
    normals = np.random.default_rng(4).normal(size=(num_users, DIM))
    sampled = model.sampled_means(
        np.broadcast_to(contexts[:2], (num_users, 2, DIM)), normals, scale
    )
    means, deviations = model.means(contexts[:2]), scale * model.deviations(contexts[:2])
    assert (np.abs(sampled.mean(axis=0) - means) < 4 * deviations / num_users**0.5).all()
    errors = 4 * deviations / (2 * num_users) ** 0.5
    assert (np.abs(sampled.std(axis=0) - deviations) < errors).all()


def test_it_learns_the_weights():
    contexts, clicks = outcomes(5000)
    model = logistic_algorithms.LogisticModels(DIM)
    for start in range(0, 5000, 100):
        model.update(contexts[start : start + 100], clicks[start : start + 100])
    errors = 1 / np.sqrt(np.diag(model.precision[0]))
    assert (np.abs(model.weights[0] - [1.0, -1.0, 0.5, 0.0]) < 4 * errors).all()


def test_an_update_without_digits_is_refused_and_changes_nothing():
    """Not even the arm before the one whose features are large and nearly equal."""
    contexts, clicks = outcomes(20)
    arms = np.arange(20) % 2
    model = logistic_algorithms.LogisticModels(DIM, 2)
    model.update(contexts[::2], clicks[::2], arms[::2])
    before, deviations = model.state_dict(), model.deviations(contexts, arms)
    large, half = contexts.copy(), np.where(arms == 1, 0.5, clicks)
    large[1] = [1e10, 1e10, 0.0, 0.0]
    with pytest.raises(FloatingPointError, match="no longer exact"):
        model.update(large, half, arms)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    np.testing.assert_array_equal(model.deviations(contexts, arms), deviations)
    # The diagonal alone is exact whatever the features are.
    logistic_algorithms.LogisticModels(DIM, 2, diagonal=True).update(large, half, arms)


BAD = {
    "a reward above 1": (
        lambda: logistic_algorithms.LogisticModels(1).update([[1.0]], [1.5]),
        ValueError,
        r"rewards of a logistic model must be in \[0, 1\], got \[1.5\]",
    ),
    "a precision of another size": (
        lambda: logistic_algorithms.laplace_update([0.0], np.eye(2), [[1.0]], [1.0]),
        ValueError,
        r"mean and precision must have the shapes",
    ),
    "contexts of another size": (
        lambda: logistic_algorithms.laplace_update([0.0], [[1.0]], [[1.0, 2.0]], [1.0]),
        ValueError,
        "contexts and rewards must have the shapes",
    ),
    "no ridge": (lambda: logistic_algorithms.LogisticModels(1, ridge=0), ValueError, "ridge"),
    "no size": (lambda: logistic_algorithms.LogisticModels(0), ValueError, "dim"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call()
