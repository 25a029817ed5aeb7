"""Logistic bandits: recorded values, the solver against the likelihood, learning, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special
from support import recorded

from recsim.agents.bandits import glm_algorithms

RECORDED = recorded("choice_bandit_slateq_math")["glm"]


def pulled(bandit, arms, rewards):
    for arm, reward in zip(arms, rewards, strict=True):
        bandit.update(reward, arm)
    return bandit


@pytest.mark.parametrize("case", RECORDED)
def test_as_recorded(case):
    bandit = pulled(
        glm_algorithms.UCB_GLM(case["dim"], case["horizon"]), case["arms_pulled"], case["rewards"]
    )
    weights, gram = bandit.solve_logistic_bandit()
    np.testing.assert_allclose(weights, case["weights"], rtol=1e-9)
    np.testing.assert_allclose(gram, case["gram"], rtol=1e-9)
    candidates = [np.array(arm) for arm in case["candidate_arms"]]
    arm, index, scores = bandit.get_arm(candidates)
    np.testing.assert_allclose(scores, case["ucb_glm_scores"], rtol=1e-9)
    assert index == case["ucb_glm_arm"]
    assert arm is candidates[index]


def test_solution_maximises_the_posterior():
    rng = np.random.RandomState(0)
    arms = rng.standard_normal((80, 3))
    rewards = (rng.random_sample(80) < special.expit(arms @ [1.0, -0.5, 0.2])).astype(float)
    bandit = pulled(glm_algorithms.GLM_TS(3, sigma0=2.0), arms, rewards)
    weights, gram = bandit.solve_logistic_bandit(tol=1e-10)

    def loss(w):
        logits = arms @ w
        return np.logaddexp(0.0, logits).sum() - rewards @ logits + 0.5 * (w @ w) / 2.0**2

    best = optimize.minimize(loss, np.zeros(3), tol=1e-12).x
    np.testing.assert_allclose(weights, best, atol=1e-5)
    variances = special.expit(arms @ weights) * special.expit(-arms @ weights)
    np.testing.assert_allclose(gram, arms.T @ np.diag(variances) @ arms + np.eye(3) / 4, rtol=1e-6)


def test_few_pulls_give_the_prior():
    bandit = pulled(glm_algorithms.UCB_GLM(2, horizon=10, sigma0=0.5), np.ones((10, 2)), [1] * 10)
    weights, gram = bandit.solve_logistic_bandit()
    assert weights.tolist() == [0, 0]
    np.testing.assert_array_equal(gram, 4 * np.eye(2))
    weights, _ = bandit.solve_logistic_bandit(init_iters=9)
    assert (weights > 0).all()


def test_everything_pulled_is_kept_past_the_first_storage():
    rng = np.random.RandomState(1)
    arms, rewards = rng.standard_normal((100, 2)), rng.randint(0, 2, size=100)
    bandit = glm_algorithms.GLM_TS(2)
    for count in range(1, 101):
        bandit.update(rewards[count - 1], arms[count - 1])
        if count <= 10:  # With so few pulls the weights are not fitted.
            continue
        weights, precision = bandit.solve_logistic_bandit(num_iters=100, tol=1e-12)
        # What is fitted depends on every pull: the gradient of their likelihood and the prior's.
        pulled, means = arms[:count], special.expit(arms[:count] @ weights)
        np.testing.assert_allclose(pulled.T @ (rewards[:count] - means), weights, atol=1e-9)
        information = (pulled.T * (means * (1 - means))) @ pulled
        np.testing.assert_allclose(precision, np.eye(2) + information, rtol=1e-6)


def test_widths_of_confidence_intervals_are_those_of_all_pulls():
    arms = np.random.RandomState(1).standard_normal((100, 2))
    bandit = glm_algorithms.UCB_GLM(2, 1000)
    for arm in arms:
        bandit.update(1.0, arm)
    axes = np.eye(2)
    weights, _ = bandit.solve_logistic_bandit()
    widths = bandit.get_arm(axes)[2] - axes @ weights
    expected = np.sqrt(np.diag(np.linalg.inv(np.eye(2) + arms.T @ arms)))
    assert widths[0] / widths[1] == pytest.approx(expected[0] / expected[1])


@pytest.mark.parametrize(
    "make",
    [lambda seed: glm_algorithms.UCB_GLM(3, 500, optimism_scaling=0.1, seed=seed),
     lambda seed: glm_algorithms.GLM_TS(3, seed=seed)],
    ids=["UCB_GLM", "GLM_TS"],
)  # fmt: skip
def test_learns_the_best_arm_and_repeats_with_its_seed(make):
    arms = list(np.eye(3))
    means = np.array([0.2, 0.8, 0.4])

    def run(seed):
        bandit, rng = make(seed), np.random.RandomState(5)
        chosen = []
        for _ in range(500):
            arm, index, _ = bandit.get_arm(arms)
            bandit.update(float(rng.random_sample() < means[index]), arm)
            chosen.append(index)
        return chosen

    first = run(seed=0)
    assert np.mean(np.array(first[-200:]) == 1) > 0.7
    assert run(seed=0) == first
    assert run(seed=1) != first


def test_ties_are_broken_at_random():
    bandit = glm_algorithms.UCB_GLM(2, 100)
    picks = [bandit.get_arm([np.array([1.0, 0.0])] * 4)[1] for _ in range(200)]
    assert min(np.bincount(picks, minlength=4)) > 20


@pytest.mark.parametrize("scaling", [1.0, 0.25])
def test_thompson_scores_have_the_scaled_posterior_width(scaling):
    # Before any pull the posterior is the prior: weights with standard deviation sigma0.
    bandit = glm_algorithms.GLM_TS(2, sigma0=2.0, optimism_scaling=scaling)
    scores = np.array([bandit.get_arm([[1.0, 0.0], [0.0, 3.0]])[2] for _ in range(4000)])
    np.testing.assert_allclose(scores.std(axis=0), [2.0 * scaling, 6.0 * scaling], rtol=0.06)


def test_names():
    assert glm_algorithms.UCB_GLM.print() == "GLM-UCB"
    assert glm_algorithms.GLM_TS.print() == "GLM-TS"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: glm_algorithms.GLM_TS(0), ValueError, "dim must be an integer >= 1, got 0"),
        (lambda: glm_algorithms.GLM_TS(1.5), TypeError, "dim must be an integer"),
        (lambda: glm_algorithms.GLM_TS(2, sigma0=0.0), ValueError, "sigma0 must be above 0"),
        (lambda: glm_algorithms.UCB_GLM(2, 0), ValueError, "horizon must be an integer >= 1"),
        (lambda: glm_algorithms.GLM_TS(2).update(1, [1.0] * 3), ValueError, r"dim=2.*\(3,\)"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
