"""Bandit indices: by hand, against their definition and recorded values, on arrays of bandits."""

from __future__ import annotations

import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from support import recorded

from recsim.agents.bandits import algorithms

RECORDED = recorded("choice_bandit_slateq_math")["ucb1"]
DETERMINISTIC = [
    (algorithms.UCB1, algorithms.ucb1_index),
    (algorithms.KLUCB, algorithms.kl_ucb_index),
]
ALL_CLASSES = [algorithms.UCB1, algorithms.KLUCB, algorithms.ThompsonSampling]


def divergence(p: float, q: float) -> float:
    """Kullback-Leibler divergence of Bernoulli distributions, for 0 <= p <= q < 1."""
    of_ones = p * math.log(p / q) if p > 0 else 0.0
    return of_ones + (1 - p) * math.log((1 - p) / (1 - q))


def kl_ucb_by_bisection(p: float, budget: float) -> float:
    """The largest q in [p, 1] with d(p, q) <= budget, to the last bit."""
    low, high = p, 1.0
    while low < (middle := (low + high) / 2) < high:
        if divergence(p, middle) <= budget:
            low = middle
        else:
            high = middle
    return low


@pytest.mark.parametrize("case", RECORDED)
def test_ucb1_as_recorded(case):
    arguments = (case["pulls"], case["reward"], case["t"], case["optimism_scaling"])
    np.testing.assert_allclose(algorithms.ucb1_index(*arguments), case["score"], rtol=1e-12)
    bandit = algorithms.UCB1(len(case["pulls"]), {"optimism_scaling": case["optimism_scaling"]})
    bandit.set_state(case["pulls"], case["reward"])
    np.testing.assert_allclose(bandit.get_score(case["t"]), case["score"], rtol=1e-12)
    assert bandit.get_arm(case["t"]) == case["arm"]


def test_ucb1_by_hand():
    # 10 pulls an arm in 20 rounds: the width is sqrt(2 ln 20 / 10) = 0.7740455.
    np.testing.assert_allclose(
        algorithms.ucb1_index([10, 10], [10, 0], 20), [1.7740455, 0.7740455], atol=1e-7
    )
    np.testing.assert_allclose(
        algorithms.ucb1_index([10, 10], [10, 0], 20, 0.5), [1.38702275, 0.38702275], atol=1e-7
    )


def test_kl_ucb_of_mean_zero_and_one_in_closed_form():
    # d(0, q) = -log(1 - q), so that q = 1 - exp(-budget); nothing is above the mean 1.
    budget = (math.log(20) + 3 * math.log(math.log(20))) / 10
    np.testing.assert_allclose(
        algorithms.kl_ucb_index([10, 10], [10, 0], 20), [1.0, 1 - math.exp(-budget)], atol=1e-9
    )
    assert 1 - math.exp(-budget) == pytest.approx(0.4667, abs=5e-5)


@pytest.mark.parametrize("t", [0, 1, 2])
def test_kl_ucb_does_not_explore_where_the_iterated_logarithm_is_negative(t):
    assert math.log(2) + 3 * math.log(math.log(2)) < 0
    np.testing.assert_array_equal(algorithms.kl_ucb_index([1, 4, 1], [0, 1, 1], t), [0, 0.25, 1])


@hypothesis.given(
    pulls=st.integers(1, 10**6),
    share=st.floats(0.0, 1.0),
    t=st.integers(1, 10**9),
    scaling=st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0]),
    c=st.sampled_from([0.0, 3.0]),
)
@hypothesis.settings(max_examples=400)
def test_kl_ucb_is_the_root_of_its_equation(pulls, share, t, scaling, c):
    reward = share * pulls
    mean = reward / pulls
    index = algorithms.kl_ucb_index([pulls], [reward], t, scaling, c)[0]
    exploration = math.log(t) + (c * math.log(math.log(t)) if c and t > 1 else 0.0)
    if c and t == 1:
        exploration = 0.0
    budget = scaling**2 * max(exploration, 0.0) / pulls
    expected = 1.0 if mean >= 1.0 else kl_ucb_by_bisection(mean, budget)
    assert index == pytest.approx(expected, abs=1e-7)
    assert mean <= index <= 1.0


def test_kl_ucb_changes_nothing_that_it_is_given():
    pulls, reward = np.array([4.0, 9.0]), np.array([1.0, 8.0])
    algorithms.kl_ucb_index(pulls, reward, 13)
    np.testing.assert_array_equal(pulls, [4, 9])
    np.testing.assert_array_equal(reward, [1, 8])


@pytest.mark.parametrize("index", [algorithms.ucb1_index, algorithms.kl_ucb_index])
def test_arms_never_pulled_come_first(index):
    np.testing.assert_array_equal(index([3, 0, 1], [3, 0, 0], 4), [0, np.inf, 0])
    np.testing.assert_array_equal(index([0, 0], [0, 0], 0), [np.inf, np.inf])
    # Each bandit of an array for itself.
    both = index([[3, 0], [2, 2]], [[3, 0], [1, 2]], [3, 4])
    np.testing.assert_array_equal(both[0], [0, np.inf])
    np.testing.assert_array_equal(both[1], index([2, 2], [1, 2], 4))


@pytest.mark.parametrize(("bandit_class", "index"), DETERMINISTIC)
def test_arrays_of_bandits_and_the_class_agree(bandit_class, index):
    rng = np.random.RandomState(0)
    pulls = rng.randint(0, 50, size=(3, 40, 5))
    reward = rng.binomial(pulls, rng.random_sample((3, 40, 5)))
    t = rng.randint(1, 10_000, size=(3, 40))
    scores = index(pulls, reward, t, 0.5)
    assert scores.shape == pulls.shape
    for place in np.ndindex(3, 40):
        bandit = bandit_class(5, {"optimism_scaling": 0.5})
        bandit.set_state(pulls[place], reward[place])
        # Not to the last bit: NumPy's logarithm rounds differently in long arrays.
        np.testing.assert_allclose(bandit.get_score(t[place]), scores[place], rtol=1e-13)
        assert bandit.get_arm(t[place]) == bandit.get_score(t[place]).argmax()


def test_one_round_for_all_bandits_broadcasts():
    pulls, reward = np.full((4, 3), 5), np.full((4, 3), 2)
    for index in (algorithms.ucb1_index, algorithms.kl_ucb_index):
        np.testing.assert_array_equal(index(pulls, reward, 15), index(pulls, reward, [15] * 4))


def test_klucb_takes_its_weight_of_the_iterated_logarithm_from_params():
    bandit = algorithms.KLUCB(2, {"c": 0.0})
    bandit.set_state([5, 5], [1, 2])
    np.testing.assert_array_equal(
        bandit.get_score(10), algorithms.kl_ucb_index([5, 5], [1, 2], 10, c=0.0)
    )


def test_thompson_class_samples_what_the_function_samples():
    bandit = algorithms.ThompsonSampling(2, {"optimism_scaling": 0.5}, seed=7)
    bandit.set_state([10, 10], [10, 0])
    rng = np.random.RandomState(7)
    for _ in range(3):
        expected = algorithms.thompson_index([10, 10], [10, 0], rng, 0.5)
        np.testing.assert_array_equal(bandit.get_score(20), expected)


def test_thompson_draws_recsims_numbers():
    # The values that RecSim 0.2.4's own test expects of seed 0.
    bandit = algorithms.ThompsonSampling(2, {})
    bandit.set_state([10, 10], [10, 0])
    np.testing.assert_allclose(bandit.get_score(20), [0.9570183, 0.0438080], atol=1e-7)


@pytest.mark.parametrize("make_rng", [np.random.RandomState, np.random.default_rng])
@pytest.mark.parametrize("scaling", [1.0, 0.5])
def test_thompson_draws_from_the_posterior(make_rng, scaling):
    # Beta(1 + r / s^2, 1 + (n - r) / s^2); 40,000 samples put the mean within 5 errors.
    pulls, reward, num_samples = 8.0, 6.0, 40_000
    alpha, beta = 1 + reward / scaling**2, 1 + (pulls - reward) / scaling**2
    sample = algorithms.thompson_index(
        np.full((num_samples, 1), pulls), np.full((num_samples, 1), reward), make_rng(0), scaling
    )
    mean = alpha / (alpha + beta)
    variance = mean * (1 - mean) / (alpha + beta + 1)
    assert sample.shape == (num_samples, 1)
    assert sample.mean() == pytest.approx(mean, abs=5 * math.sqrt(variance / num_samples))
    assert sample.var() == pytest.approx(variance, rel=0.05)


def test_thompson_needs_a_width():
    with pytest.raises(ValueError, match="optimism_scaling must be a finite number >= 1e-06"):
        algorithms.thompson_index([1, 1], [0, 1], np.random.RandomState(0), 0.0)


def test_thompson_update_makes_fractional_rewards_binary():
    bandit = algorithms.ThompsonSampling(2, {})
    for _ in range(2000):
        bandit.update(0, 0.7)
        bandit.update(1, 1)
    assert bandit.pulls.tolist() == [2000, 2000]
    assert bandit.reward[0] == int(bandit.reward[0])
    assert bandit.reward[0] / 2000 == pytest.approx(0.7, abs=0.05)
    assert bandit.reward[1] == 2000


@pytest.mark.parametrize("bandit_class", ALL_CLASSES)
def test_updates_and_names(bandit_class):
    bandit = bandit_class(3, {"optimism_scaling": 0.25})
    assert bandit.optimism_scaling == 0.25
    assert bandit_class.print() in ("UCB1", "KL-UCB", "ThompsonSampling")
    bandit.update(0, 1)
    bandit.update(2, 0)
    bandit.update(2, 1)
    assert bandit.pulls.tolist() == [1, 0, 2]
    assert bandit.reward.tolist() == [1, 0, 1]


@pytest.mark.parametrize("bandit_class", [algorithms.UCB1, algorithms.KLUCB])
def test_the_arm_never_pulled_is_pulled(bandit_class):
    bandit = bandit_class(3, {})
    bandit.update(0, 1)
    bandit.update(2, 1)
    assert bandit.get_arm(2) == 1


@pytest.mark.parametrize("bandit_class", ALL_CLASSES)
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda cls: cls(1, {}), ValueError, "num_arms must be an integer >= 2, got 1"),
        (lambda cls: cls(2.5, {}), TypeError, "num_arms must be an integer"),
        (lambda cls: cls(2, {}).update(0, 1.5), ValueError, r"reward must be in \[0, 1\], got 1.5"),
        (lambda cls: cls(2, {}).update(0, -0.1), ValueError, r"reward must be in \[0, 1\]"),
        (lambda cls: cls(2, {}).set_state([1, 2, 3], [0, 0, 0]), ValueError, "each of the 2 arms"),
        (lambda cls: cls(2, {}).set_state([1, 2], [0]), ValueError, "each of the 2 arms"),
    ],
)
def test_bad_input(bandit_class, call, error, message):
    with pytest.raises(error, match=message):
        call(bandit_class)


def test_the_base_class_has_no_index():
    with pytest.raises(NotImplementedError, match="MABAlgorithm must define get_score"):
        algorithms.MABAlgorithm(2, {}).get_arm(3)


@pytest.mark.parametrize("bandit_class", ALL_CLASSES)
@pytest.mark.parametrize(
    ("rounds", "error"),
    [
        ("x", TypeError),
        (None, TypeError),
        (1j, TypeError),
        ({}, TypeError),
        (np.nan, ValueError),
        (np.inf, ValueError),
        ([1, 2, 3], ValueError),
    ],
    ids=repr,
)
def test_every_bandit_refuses_what_is_no_round(bandit_class, rounds, error):
    bandit = bandit_class(2, {})
    bandit.set_state(np.array([2.0, 2.0]), np.array([1.0, 0.0]))
    for take in (bandit.get_arm, bandit.get_score):
        with pytest.raises(error, match="^t must be"):
            take(rounds)
