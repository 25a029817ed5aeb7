"""Slates whose positions have items of their own, beside enumeration and finite differences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.agents.policy_gradients import masked_slates, objectives, plackett_luce

SCORES = np.array([0.3, -1.2, 2.0, 0.0, 0.7])
# Item 3 is shown nowhere, and the last position needs item 1, which others may have, too.
NEEDS_ONE = np.array([[1, 1, 0], [1, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 0]], bool)
# Positions 0 and 2 have the same items, position 1 has others.
PAGE = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1], [1, 0, 1], [0, 1, 0]], bool)
MASKS = {"needs one": NEEDS_ONE, "page": PAGE}


def probabilities_by_hand(mask):
    """Returns the probabilities of all slates that a mask allows, position by position."""
    allowed = [
        slate for slate in itertools.permutations(range(5), 3) if mask[list(slate), range(3)].all()
    ]
    found = {}
    for slate in allowed:
        probability = 1.0
        for place in range(3):
            going_on = {other[place] for other in allowed if other[:place] == slate[:place]}
            weights = {item: np.exp(SCORES[item]) for item in going_on}
            probability *= weights[slate[place]] / sum(weights.values())
        found[slate] = probability
    return found


def with_scores(mask, slates, scores=SCORES):
    number = len(slates)
    opened = AllowedSlates(np.tile(mask, (number, 1, 1))).opened(slates)
    return masked_slates.MaskedSlates(np.tile(scores, (number, 1)), slates, opened)


def slopes(function, at=SCORES, step=1e-6):
    moves = np.eye(len(at)) * step
    return np.array([(function(at + move) - function(at - move)) / (2 * step) for move in moves])


@pytest.mark.parametrize("name", MASKS)
def test_probabilities_of_all_slates_are_those_by_hand(name):
    expected = probabilities_by_hand(MASKS[name])
    slates = np.array(list(expected))
    found = with_scores(MASKS[name], slates)
    probabilities = np.exp(found.log_probabilities().sum(axis=1))
    np.testing.assert_allclose(probabilities, list(expected.values()))
    np.testing.assert_allclose(probabilities.sum(), 1.0)
    # The entropy of slates is the mean of the sum of those of the positions.
    entropies = found.conditional_entropies().sum(axis=1)
    np.testing.assert_allclose(
        probabilities @ entropies, -probabilities @ np.log(probabilities), atol=1e-12
    )
    gradients = found.log_probability_gradient(np.ones(slates.shape))
    np.testing.assert_allclose(probabilities @ gradients, 0.0, atol=1e-12)


@pytest.mark.parametrize("name", MASKS)
def test_samples_have_the_probabilities(name):
    expected, number = probabilities_by_hand(MASKS[name]), 20_000
    allowed = AllowedSlates(np.tile(MASKS[name], (number, 1, 1)))
    uniforms = np.random.RandomState(1).random_sample((number, 3))
    slates = masked_slates.sample(np.tile(SCORES, (number, 1)), uniforms, 3, allowed).tolist()
    assert set(map(tuple, slates)) <= set(expected)
    for slate, probability in expected.items():
        share = slates.count(list(slate)) / number
        assert abs(share - probability) <= 5 * np.sqrt(probability / number)


@pytest.mark.parametrize("name", MASKS)
def test_gradients_are_those_of_finite_differences(name):
    weights = np.array([0.3, -1.0, 2.0])
    for slate in list(probabilities_by_hand(MASKS[name]))[::3]:
        slates = np.array([slate])

        def of(scores, slates=slates):
            return with_scores(MASKS[name], slates, scores)

        found = of(SCORES)
        np.testing.assert_allclose(
            found.log_probability_gradient(weights[np.newaxis])[0],
            slopes(lambda scores: weights @ of(scores).log_probabilities()[0]),
            atol=1e-8,
        )
        np.testing.assert_allclose(
            found.entropy_gradient()[0],
            slopes(lambda scores: of(scores).conditional_entropies()[0].sum()),
            atol=1e-8,
        )


def test_with_all_items_everywhere_it_is_the_distribution_without_masks():
    slates = np.array(list(itertools.permutations(range(5), 3)))
    found = with_scores(np.ones((5, 3), bool), slates)
    expected = plackett_luce.Slates(np.tile(SCORES, (60, 1)), slates)
    weights = np.random.RandomState(2).standard_normal(slates.shape)
    for one, other in (
        (found.log_probabilities(), expected.log_probabilities()),
        (found.conditional_entropies(), expected.conditional_entropies()),
        (found.log_probability_gradient(weights), expected.log_probability_gradient(weights)),
        (found.entropy_gradient(), expected.entropy_gradient()),
    ):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_scores_far_apart_give_finite_numbers():
    slates = np.array(list(probabilities_by_hand(PAGE)))
    found = with_scores(PAGE, slates, np.array([1e6, 0.0, -1e6, 5.0, 1e5]))
    assert np.isfinite(found.log_probabilities()).all()
    for gradient in (found.entropy_gradient(), found.log_probability_gradient(np.ones((1, 3)))):
        assert np.isfinite(gradient).all()


def batch(mask, slates, objective, clicks, credits):
    scores = np.tile(SCORES, (len(slates), 1))
    masks = np.tile(mask, (len(slates), 1, 1))
    remembered = objective.remembered(scores, slates, AllowedSlates(masks))
    return objectives.Batch(slates, remembered, clicks, credits, masks)


def test_reinforce_with_all_items_everywhere_is_that_without_masks():
    objective = objectives.TopKReinforce(3, 2.0)
    slates = np.array([[0, 2, 4], [1, 0, 3]])
    clicks, credits = np.array([[1, 0, 1], [0, 1, 0]], bool), np.array([0.5, -2.0])
    masked = batch(np.ones((5, 3), bool), slates, objective, clicks, credits)
    scores = np.tile(SCORES, (2, 1))
    plain = objectives.Batch(slates, objective.remembered(scores, slates), clicks, credits)
    moved = scores + [0.2, -0.1, 0.4, 0.0, 0.3]
    of_scores = plackett_luce.Slates(moved, slates)
    expected = objective.gradient(of_scores, plain)
    np.testing.assert_allclose(objective.gradient(of_scores, masked), expected, atol=1e-12)


@pytest.mark.parametrize("name", MASKS)
def test_reinforce_climbs_the_probability_of_items_to_be_in_slates_of_their_positions(name):
    objective = objectives.TopKReinforce(3, 100.0)
    slates = np.array([next(iter(probabilities_by_hand(MASKS[name])))])
    clicks = np.array([[False, True, False]])
    of_batch = batch(MASKS[name], slates, objective, clicks, np.array([1.5]))
    gradient = objective.gradient(with_scores(MASKS[name], slates), of_batch)

    def log_among(scores):
        weights = np.where(MASKS[name], np.exp(scores)[:, np.newaxis], 0.0)
        of_positions = (weights / weights.sum(axis=0))[slates[0, 1]]
        return np.log(1.0 - np.prod(1.0 - of_positions))

    np.testing.assert_allclose(gradient[0], 1.5 * slopes(log_among), atol=1e-7)
