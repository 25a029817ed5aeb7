"""Mathematics of policy gradients, beside values by hand, enumeration and finite differences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from recsim.agents import _propensities
from recsim.agents.networks import item_scorers
from recsim.agents.policy_gradients import advantages, objectives, plackett_luce

SCORES = np.array([0.3, -1.2, 2.0, 0.0, 0.7])
SLATE = np.array([3, 0, 2])
ALL_SLATES = np.array(list(itertools.permutations(range(5), 3)))


def slopes(function, at, step=1e-6):
    """Returns the gradient of a function of a vector by central differences."""
    moves = np.eye(len(at)) * step
    return np.array([(function(at + move) - function(at - move)) / (2 * step) for move in moves])


def test_log_probabilities_by_hand():
    scores = np.log([3.0, 2.0, 1.0])
    logs = plackett_luce.log_probabilities(scores, np.array([1, 2, 0]))
    np.testing.assert_allclose(np.exp(logs), [2 / 6, 1 / 4, 1.0])


def test_probabilities_of_all_slates_are_those_that_agents_tell():
    logs = plackett_luce.log_probabilities(np.tile(SCORES, (60, 1)), ALL_SLATES)
    known = _propensities.plackett_luce(ALL_SLATES, SCORES)
    np.testing.assert_allclose(np.exp(logs.cumsum(axis=1)), known.prefixes)
    np.testing.assert_allclose(np.exp(logs.sum(axis=1)).sum(), 1.0)


def test_the_gradient_of_log_probabilities():
    weights = np.array([0.3, -1.0, 2.0])
    expected = slopes(
        lambda scores: weights @ plackett_luce.log_probabilities(scores, SLATE), SCORES
    )
    gradient = plackett_luce.log_probability_gradient(SCORES, SLATE, weights)
    np.testing.assert_allclose(gradient, expected, atol=1e-8)
    # Of one position it is that of a softmax: 1 where it is shown, minus the probabilities.
    gradient = plackett_luce.log_probability_gradient(
        np.log([3.0, 2.0, 1.0]), np.array([1]), np.ones(1)
    )
    np.testing.assert_allclose(gradient, [-3 / 6, 1 - 2 / 6, -1 / 6])


def test_the_score_function_has_mean_0():
    scores = np.tile(SCORES, (60, 1))
    probabilities = np.exp(plackett_luce.log_probabilities(scores, ALL_SLATES).sum(axis=1))
    gradients = plackett_luce.log_probability_gradient(scores, ALL_SLATES, np.ones((60, 3)))
    np.testing.assert_allclose(probabilities @ gradients, 0.0, atol=1e-12)


def test_the_entropy_of_slates_and_its_gradient():
    scores = np.tile(SCORES, (60, 1))
    logs = plackett_luce.log_probabilities(scores, ALL_SLATES).sum(axis=1)
    of_positions = plackett_luce.conditional_entropies(scores, ALL_SLATES).sum(axis=1)
    np.testing.assert_allclose(np.exp(logs) @ of_positions, -np.exp(logs) @ logs)
    expected = slopes(
        lambda scores: plackett_luce.conditional_entropies(scores, SLATE).sum(), SCORES
    )
    gradient = plackett_luce.entropy_gradient(SCORES, SLATE)
    np.testing.assert_allclose(gradient, expected, atol=1e-8)


@pytest.mark.parametrize("slate", [[0, 1, 2], [2, 1, 0], [1, 0], [2]])
def test_scores_far_apart_give_finite_numbers(slate):
    scores = np.array([1e6, 0.0, -1e6])
    slate = np.array(slate)
    for numbers in (
        plackett_luce.log_probabilities(scores, slate),
        plackett_luce.log_probability_gradient(scores, slate, np.ones(len(slate))),
        plackett_luce.conditional_entropies(scores, slate),
        plackett_luce.entropy_gradient(scores, slate),
    ):
        assert np.isfinite(numbers).all()
    assert plackett_luce.log_probabilities(scores, np.array([2, 1])).tolist() == [-2e6, -1e6]


def test_items_that_may_not_be_shown_count_for_nothing():
    scores = np.array([0.0, -np.inf, 1.0, 0.5, -np.inf])
    allowed = np.array([0, 2, 3])
    slate, without = np.array([2, 0]), np.array([1, 0])
    for function in (plackett_luce.log_probabilities, plackett_luce.conditional_entropies):
        np.testing.assert_allclose(function(scores, slate), function(scores[allowed], without))
    for gradient, expected in (
        (
            plackett_luce.log_probability_gradient(scores, slate, np.ones(2)),
            plackett_luce.log_probability_gradient(scores[allowed], without, np.ones(2)),
        ),
        (
            plackett_luce.entropy_gradient(scores, slate),
            plackett_luce.entropy_gradient(scores[allowed], without),
        ),
    ):
        np.testing.assert_allclose(gradient[allowed], expected)
        assert not gradient[[1, 4]].any()
    uniforms = np.random.RandomState(0).random_sample((200, 5))
    slates = plackett_luce.sample(np.tile(scores, (200, 1)), uniforms, 3)
    assert set(slates.ravel()) == {0, 2, 3}


def test_samples_have_the_probabilities():
    uniforms = np.random.RandomState(1).random_sample((40_000, 5))
    slates = plackett_luce.sample(np.tile(SCORES, (40_000, 1)), uniforms, 3)
    numbers = slates @ [25, 5, 1]
    shares = (numbers[:, np.newaxis] == ALL_SLATES @ [25, 5, 1]).mean(axis=0)
    expected = np.exp(
        plackett_luce.log_probabilities(np.tile(SCORES, (60, 1)), ALL_SLATES).sum(axis=1)
    )
    # Five standard errors.
    assert (np.abs(shares - expected) <= 5 * np.sqrt(expected / 40_000)).all()


@pytest.mark.parametrize("num_items", [3, 10, 500])
def test_highest_scores_are_those_of_a_sort(num_items):
    scores = np.random.RandomState(2).randint(0, 20, (7, num_items)).astype(np.float64)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :3]
    np.testing.assert_array_equal(plackett_luce.highest(scores, 3), expected)
    np.testing.assert_array_equal(plackett_luce.highest(scores[0], 3), expected[0])


def test_the_top_k_correction_is_the_derivative_of_inclusion():
    probabilities = np.array([0.0, 0.1, 0.5, 0.9])
    np.testing.assert_allclose(
        plackett_luce.top_k_correction(probabilities, 4), 4 * (1 - probabilities) ** 3
    )
    np.testing.assert_allclose(plackett_luce.top_k_inclusion(probabilities, 2)[2], 0.75)
    step = 1e-6
    inside = probabilities[1:]
    up, down = (plackett_luce.top_k_inclusion(inside + move, 4) for move in (step, -step))
    np.testing.assert_allclose(
        (up - down) / (2 * step), plackett_luce.top_k_correction(inside, 4), rtol=1e-6
    )
    assert plackett_luce.top_k_correction(np.array([0.3]), 1).tolist() == [1.0]
    assert plackett_luce.top_k_inclusion(np.array([1.0]), 2).tolist() == [1.0]


def test_advantages_by_hand():
    rewards = np.array([[1.0, 1.0], [2.0, 2.0], [0.0, 4.0]])
    values = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    next_values = np.array([[2.0, 2.0], [3.0, 0.0], [1.0, 1.0]])
    ended = np.array([[False, False], [False, True], [False, False]])
    found = advantages.generalized_advantages(rewards, values, next_values, ended, 0.5, 0.8)
    # Temporal differences 1, 1.5, -2.5 and, with the end of an episode, 1, 0, 1.5.
    last = -2.5
    second = 1.5 + 0.4 * last
    np.testing.assert_allclose(found[:, 0], [1.0 + 0.4 * second, second, last])
    np.testing.assert_allclose(found[:, 1], [1.0, 0.0, 1.5])


def test_advantages_and_values_are_returns_with_full_traces():
    rng = np.random.RandomState(3)
    rewards, values = rng.standard_normal((2, 4))
    next_values = np.append(values[1:], 0.0)
    ended = np.array([False, False, False, True])
    found = advantages.generalized_advantages(rewards, values, next_values, ended, 0.9, 1.0)
    expected = [sum(0.9**k * reward for k, reward in enumerate(rewards[t:])) for t in range(4)]
    np.testing.assert_allclose(found + values, expected)


# Objectives.


def batch_of(objective, before, credit, clicks=(True, False, True)):
    slates = SLATE[np.newaxis]
    remembered = objective.remembered(before[np.newaxis], slates)
    return objectives.Batch(slates, remembered, np.array([clicks]), np.array([credit]))


def gradient_of(objective, scores, batch):
    slates = plackett_luce.Slates(scores[np.newaxis], batch.slates)
    return objective.gradient(slates, batch)[0]


@pytest.mark.parametrize(("credit", "moved"), [(1.5, 0.05), (-1.5, 0.05), (-1.5, 1.0), (1.5, -1.0)])
def test_the_clipped_surrogate_has_the_gradient_of_its_value(credit, moved):
    objective = objectives.ClippedSurrogate(0.2)
    now = SCORES.copy()
    now[3] += moved

    def value(scores):
        logs = [plackett_luce.log_probabilities(each, SLATE).sum() for each in (scores, SCORES)]
        ratio = np.exp(logs[0] - logs[1])
        return min(ratio * credit, np.clip(ratio, 0.8, 1.2) * credit)

    found = gradient_of(objective, now, batch_of(objective, SCORES, credit))
    np.testing.assert_allclose(found, slopes(value, now), atol=1e-7)
    assert found.any()


def test_slates_that_have_become_too_likely_have_no_gradient():
    objective = objectives.ClippedSurrogate(0.2)
    now = SCORES.copy()
    now[3] += 1.0
    assert not gradient_of(objective, now, batch_of(objective, SCORES, 1.0)).any()
    now[3] -= 2.0
    assert not gradient_of(objective, now, batch_of(objective, SCORES, -1.0)).any()


def test_reinforce_climbs_the_probability_to_be_in_the_slate():
    objective = objectives.TopKReinforce(3, max_weight=10.0)

    def inclusion(scores):
        shares = np.exp(scores) / np.exp(scores).sum()
        before = np.exp(SCORES) / np.exp(SCORES).sum()
        shown = plackett_luce.top_k_inclusion(before, 3)
        # Items 3 and 2 were clicked.
        return 2.0 * (plackett_luce.top_k_inclusion(shares, 3) / shown)[[3, 2]].sum()

    found = gradient_of(objective, SCORES, batch_of(objective, SCORES, 2.0))
    np.testing.assert_allclose(found, slopes(inclusion, SCORES), atol=1e-7)
    now = SCORES + np.array([0.1, -0.2, 0.3, 0.2, 0.0])
    found = gradient_of(objective, now, batch_of(objective, SCORES, 2.0))
    np.testing.assert_allclose(found, slopes(inclusion, now), atol=1e-7)
    without = gradient_of(objective, now, batch_of(objective, SCORES, 2.0, (False,) * 3))
    assert not without.any()


def test_weights_of_reinforce_are_capped():
    objective = objectives.TopKReinforce(1, max_weight=2.0)
    slates = np.array([[0]])
    remembered = np.log([[1e-3]])
    batch = objectives.Batch(slates, remembered, np.array([[True]]), np.array([1.0]))
    found = objective.gradient(plackett_luce.Slates(np.zeros((1, 2)), slates), batch)
    np.testing.assert_allclose(found, [[1.0, -1.0]])  # A weight of 2 times (1 - 1/2).


def test_credits_by_hand():
    credits_of = objectives.ClippedSurrogate(0.2).credits
    no_clicks = np.zeros((2, 1), bool)
    np.testing.assert_allclose(
        credits_of(np.array([1.0, 3.0]), np.zeros((2, 1)), no_clicks), [-1.0, 1.0]
    )
    credits_of = objectives.TopKReinforce(1, 1.0).credits
    values = np.array([[5.0, 2.0], [5.0, 2.0]])
    # Beyond the value of no click were 1 + 5 - 2 and -2 + 5 - 2; only the first was clicked.
    found = credits_of(np.array([1.0, -2.0]), values, np.array([[True], [False]]))
    np.testing.assert_allclose(found, [1.0, 0.25])


@pytest.mark.parametrize("item_units", [(), (4,), (6, 3)])
def test_the_gradient_of_scores_by_weights(item_units):
    rng = np.random.RandomState(4)
    scorer = item_scorers.ItemScorer.initial(3, 2, (5,), item_units, rng)
    for weights in scorer.weights:
        weights += rng.standard_normal(weights.shape).astype(np.float32)
    users = rng.standard_normal((6, 3)).astype(np.float32)
    documents = rng.standard_normal((6, 4, 2)).astype(np.float32)
    change = rng.standard_normal((6, 4)).astype(np.float32)
    gradients = [np.full_like(weights, np.nan) for weights in scorer.weights]
    item_scorers.Scores(scorer, users, documents).backward(change, gradients)
    step = 1e-3
    for weights, gradient in zip(scorer.weights, gradients, strict=True):
        found, expected = [], []
        for index in np.ndindex(weights.shape):
            before = weights[index]
            values = []
            for moved in (before + step, before - step):
                weights[index] = moved
                values.append((scorer.scores(users, documents) * change).sum())
            weights[index] = before
            expected.append((values[0] - values[1]) / (2 * step))
            found.append(gradient[index])
        np.testing.assert_allclose(found, expected, rtol=2e-2, atol=2e-2)
