"""Estimators on logs that are small enough to work the values out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recsim.ope import estimates, estimators, models, sequences, slates
from recsim.ope.log import SlateLog
from recsim.ope.policy import Policy, SlateDistribution

# Weights of 2, 1/2 and 1.
LOG = SlateLog(
    items=[0, 1, 2], rewards=[1.0, 0.0, 2.0], slate_propensities=[0.25, 0.5, 0.25], users=[5, 6, 7]
)
POLICY = Policy(slates=[0.5, 0.25, 0.25])


@pytest.mark.parametrize(
    ("estimator", "value"),
    [
        (estimators.InversePropensity(), 4 / 3),
        (estimators.InversePropensity(self_normalized=True), 4 / 3.5),
        (estimators.InversePropensity(clip=1.5), 3.5 / 3),
        (estimators.InversePropensity("items"), 4 / 3),
        (estimators.InversePropensity("prefixes", clip=0.75), 0.75),
        (estimators.DirectMethod(models.Predictions([9.0, 9.0, 9.0], [1.0, 2.0, 6.0])), 3.0),
        # 3, and weighted errors of 2 * 0, 1/2 * -1 and 1 * 1.
        (
            estimators.DoublyRobust(models.Predictions([1.0, 1.0, 1.0], [1.0, 2.0, 6.0])),
            3.0 + 0.5 / 3,
        ),
        (
            estimators.DoublyRobust(
                models.Predictions([1.0, 1.0, 1.0], [1.0, 2.0, 6.0]), self_normalized=True
            ),
            3.0 + 0.5 / 3.5,
        ),
        (
            estimators.DoublyRobust(
                models.Predictions([1.0, 1.0, 1.0], [1.0, 2.0, 6.0]), switch=0.75
            ),
            3.0 - 0.5 / 3,
        ),
        (
            estimators.DoublyRobust(models.Predictions([1.0, 1.0, 1.0], [1.0, 2.0, 6.0]), clip=0.5),
            3.0,
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_by_hand(estimator, value):
    assert estimator.estimate(LOG, POLICY).value == pytest.approx(value)


def test_effective_sample_size_and_intervals_by_hand():
    estimate = estimators.InversePropensity().estimate(LOG, POLICY)
    assert estimate.effective_sample_size == pytest.approx(3.5**2 / (4 + 0.25 + 1))
    # What slates add is 2, 0 and 2: a variance of 4/3 over 3.
    error = math.sqrt(4 / 3 / 3)
    assert estimate.standard_error == pytest.approx(error)
    assert estimate.num_users == 3
    # Student's quantile with 2 degrees of freedom.
    assert estimate.high - estimate.value == pytest.approx(4.302653 * error, rel=1e-6)
    normal = estimators.InversePropensity().estimate(
        LOG, POLICY, estimates.Interval("normal", confidence=0.9)
    )
    assert normal.value - normal.low == pytest.approx(1.644854 * error, rel=1e-6)
    # A sample of three of 2, 0 and 2 has a mean below 2/3 once in 27 times.
    bootstrap = estimators.InversePropensity().estimate(
        LOG, POLICY, estimates.Interval("bootstrap", num_samples=4000)
    )
    assert (bootstrap.low, bootstrap.high) == pytest.approx((0.0, 2.0))


def test_what_belongs_to_a_user_counts_together():
    log = SlateLog(
        items=[0, 1, 2, 2],
        rewards=[1.0, 0.0, 2.0, 4.0],
        slate_propensities=[0.5] * 4,
        users=[0, 0, 1, 1],
    )
    estimate = estimators.InversePropensity().estimate(log, Policy(slates=[0.5] * 4))
    # Sums of 1 and 6 of two slates each: means of 1/2 and 3.
    assert estimate.value == 1.75
    assert estimate.num_users == 2
    assert estimate.standard_error == pytest.approx(math.sqrt(2 * 1.25**2 / 2))


def test_standard_error_of_a_ratio_is_that_of_many_samples():
    rng = np.random.default_rng(0)
    number, repetitions = 400, 2000
    values, errors = np.empty(repetitions), np.empty(repetitions)
    for i in range(repetitions):
        weights = rng.exponential(size=number)
        rewards = weights + rng.normal(size=number)
        found = estimates.estimate("ratio", weights * rewards, weights)
        values[i], errors[i] = found.value, found.standard_error
    assert values.mean() == pytest.approx(2.0, abs=0.01)
    assert errors.mean() == pytest.approx(values.std(), rel=0.06)


def test_cascade_doubly_robust_by_hand():
    log = SlateLog(
        items=[[0, 1]],
        rewards=[4.0],
        position_rewards=[[1.0, 3.0]],
        slate_propensities=[0.25],
        prefix_propensities=[[0.5, 0.25]],
    )
    policy = Policy(prefixes=[[0.75, 0.25]])
    predictions = models.Predictions([[3.0, 2.0]], [[3.5, 2.5]])
    estimate = slates.CascadeDoublyRobust(predictions).estimate(log, policy)
    # 3.5, then 1.5 * (1 - 3 + 2.5), then 1 * (3 - 2).
    assert estimate.value == pytest.approx(3.5 + 1.5 * 0.5 + 1.0)


def test_pseudo_inverse_by_hand():
    """Where positions are filled independently the weight is a sum over positions."""
    pairs = [[0, 0], [0, 1], [1, 0], [1, 1]]
    uniform = SlateDistribution(pairs, np.full((2, 4), 0.25))
    first, second = np.array([0.9, 0.1]), np.array([0.3, 0.7])
    evaluated = SlateDistribution(pairs, np.tile(np.outer(first, second).reshape(-1), (2, 1)))
    items = np.array([[0, 1], [1, 1]])
    log = SlateLog(items=items, rewards=[1.0, 3.0], distribution=uniform)
    policy = Policy.of(evaluated, items)
    weights = slates.pseudo_inverse_weights(log, policy)
    # Of the documents 9/5 and 7/5, and 1/5 and 7/5, less one.
    assert weights == pytest.approx([2.2, 0.6])
    assert slates.PseudoInverse().estimate(log, policy).value == pytest.approx((2.2 + 1.8) / 2)
    normalized = slates.PseudoInverse(self_normalized=True).estimate(log, policy)
    assert normalized.value == pytest.approx((2.2 + 1.8) / 2.8)


def test_pseudo_inverse_of_permutations_is_that_of_slates_of_two():
    """With two documents, a slate is one of two, and the weight is that of the slate."""
    items = np.array([[0, 1], [1, 0]])
    log = SlateLog(items=items, rewards=[1.0, 2.0], distribution=SlateDistribution.uniform(2, 2, 2))
    policy = Policy.of(SlateDistribution(items, [[0.8, 0.2], [0.8, 0.2]]), items)
    assert slates.pseudo_inverse_weights(log, policy) == pytest.approx([1.6, 0.4])


EPISODES = SlateLog(
    items=[0, 1, 1, 0],
    rewards=[1.0, 3.0, 0.0, 2.0],
    users=[0, 0, 1, 1],
    steps=[0, 1, 0, 1],
    slate_propensities=[0.25, 0.5, 0.5, 0.5],
)
OF_EPISODES = Policy(slates=[0.5, 0.25, 0.25, 0.5])


@pytest.mark.parametrize(
    ("estimator", "value"),
    [
        # Weights of 2 and 1, and of 1/2 and 1/2.
        (sequences.PerDecision(), (2 * 1 + 1 * 3 + 0.5 * 0 + 0.5 * 2) / 2),
        (sequences.PerDecision(discount=0.5), (2 * 1 + 1 * 1.5 + 0.5 * 1) / 2),
        (sequences.PerDecision(self_normalized=True), 2 / 2.5 + 4 / 1.5),
        (sequences.PerDecision(clip=1.0), (1 + 3 + 1) / 2),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_per_decision_by_hand(estimator, value):
    estimate = estimator.estimate(EPISODES, OF_EPISODES)
    assert estimate.value == pytest.approx(value)
    assert estimate.num_users == 2


def test_an_episode_that_ended_earns_nothing_and_keeps_its_weight():
    log = SlateLog(
        items=[0, 1, 1],
        rewards=[1.0, 3.0, 5.0],
        users=[0, 0, 1],
        steps=[0, 1, 0],
        slate_propensities=[0.5, 0.5, 0.5],
    )
    policy = Policy(slates=[0.5, 0.25, 0.75])
    rows, users = sequences.by_episode(log)
    assert rows.tolist() == [[0, 1], [2, -1]] and users.tolist() == [0, 1]
    value = (1 + 0.5 * 3 + 1.5 * 5) / 2
    assert sequences.PerDecision().estimate(log, policy).value == pytest.approx(value)
    weighted = (1 + 1.5 * 5) / 2.5 + 0.5 * 3 / 2
    weights = sequences.PerDecision(self_normalized=True).estimate(log, policy)
    assert weights.value == pytest.approx(weighted)


def test_fitted_q_by_hand():
    """Two candidates, no features: values are means by step and candidate."""
    log = SlateLog(
        items=[0, 0, 0, 1, 1, 0, 1, 1],
        rewards=[1.0, 2.0, 3.0, 6.0, 0.0, 4.0, 2.0, 8.0],
        users=[0, 0, 1, 1, 2, 2, 3, 3],
        steps=[0, 1] * 4,
        slate_propensities=[0.5] * 8,
    )
    evaluated = np.array([[0.75, 0.25], [0.5, 0.5]] * 4)
    policy = Policy.of(SlateDistribution([[0], [1]], evaluated), log.items)
    # At the second step the first candidate is worth 3 and the second one 7: the policy earns 5.
    # At the first step 2 and 1, and that.
    estimate = sequences.FittedQ(ridge=0.0, discount=0.5).estimate(log, policy)
    assert estimate.value == pytest.approx(0.75 * 2 + 0.25 * 1 + 0.5 * 5, abs=1e-6)
    assert estimate.low < estimate.value < estimate.high


def test_distributions_by_hand():
    softmax = SlateDistribution.softmax(np.log([[6.0, 3.0, 1.0]]), 2)
    by_slate = dict(zip(map(tuple, softmax.slates.tolist()), softmax.probabilities[0]))
    assert by_slate[1, 0] == pytest.approx(0.3 * 6 / 7)
    assert by_slate[0, 1] == pytest.approx(0.6 * 3 / 4)
    marginals = softmax.marginals()[0]
    assert marginals[:, 0] == pytest.approx([0.6, 0.3, 0.1])
    assert marginals.sum(axis=0) == pytest.approx([1.0, 1.0])
    prefixes, conditionals = softmax.of_beginnings(np.array([[1, 2]]))
    assert prefixes[0] == pytest.approx([0.3, 0.3 / 7])
    assert conditionals[0, :, 1] == pytest.approx([6 / 7, 0.0, 1 / 7])
    certain = SlateDistribution.certain(np.array([[2, 0]]), 3)
    assert certain.of_slates(np.array([[2, 0]])) == [1.0]
    mixed = certain.mixed(SlateDistribution.uniform(1, 3, 2), 0.3)
    assert mixed.of_slates(np.array([[2, 0]]))[0] == pytest.approx(0.7 + 0.05)


def test_support_that_is_missing_is_told():
    items = np.array([[0], [1], [0], [1]])
    logged = SlateDistribution([[0], [1], [2]], [[0.5, 0.5, 0.0]] * 4)
    evaluated = SlateDistribution([[0], [1], [2]], [[0.25, 0.25, 0.5]] * 4)
    log = SlateLog(
        items=items, rewards=[1.0] * 4, slate_propensities=[0.5] * 4, distribution=logged
    )
    policy = Policy.of(evaluated, items)
    with pytest.warns(estimates.SupportWarning, match=r"50\.0% of what the evaluated policy shows"):
        estimate = estimators.InversePropensity().estimate(log, policy)
    assert estimate.missing_support == pytest.approx(0.5)
    # And where only the weights can tell: they are 1/2, whatever is shown.
    bare = SlateLog(items=items, rewards=[1.0] * 4, slate_propensities=[0.5] * 4)
    with pytest.warns(estimates.SupportWarning, match=r"mean of 0\.5, which should be 1"):
        estimate = estimators.InversePropensity().estimate(bare, Policy(slates=[0.25] * 4))
    assert estimate.missing_support is None


def test_a_linear_model_finds_a_linear_reward():
    rng = np.random.default_rng(0)
    number = 400
    users = rng.normal(size=(number, 2))
    candidates = rng.normal(size=(number, 3, 2))
    of_all = SlateDistribution.uniform(number, 3, 2)
    items = of_all.slates[rng.integers(6, size=number)]

    def reward(documents):
        return 1.0 + users[:, 0] + 2 * documents[:, 0, 1] - (documents[:, 1] * users).sum(axis=1)

    shown = np.take_along_axis(candidates, items[:, :, np.newaxis], axis=1)
    log = SlateLog(
        items=items,
        rewards=reward(shown),
        user_features=users,
        candidate_features=candidates,
        distribution=of_all,
        slate_propensities=np.full(number, 1 / 6),
    )
    greedy = SlateDistribution.certain(np.tile([2, 0], (number, 1)), 3)
    policy = Policy.of(greedy, items)
    truth = reward(candidates[:, [2, 0]])
    found = models.LinearModel(ridge=1e-6).predict(log, policy)
    np.testing.assert_allclose(found.logged, log.rewards, atol=1e-5)
    np.testing.assert_allclose(found.expected, truth, atol=1e-5)
    estimate = estimators.DoublyRobust(models.LinearModel(ridge=1e-6)).estimate(log, policy)
    assert estimate.value == pytest.approx(truth.mean(), abs=1e-5)
