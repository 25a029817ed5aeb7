"""Choice models of several clicks: by hand, and by how often they click."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest

from recsim import choice_model

SCORES = [0.5, 0.2, 0.8]


class User:
    """Whose scores of documents are the documents."""

    def score_document(self, document: float) -> float:
        return document


def enumerated(clicks: list[float], after_click: list[float], after_skip: float) -> np.ndarray:
    """Returns probabilities of a click by position, over all that may happen."""
    size = len(clicks)
    result = np.zeros(size)
    for happens in itertools.product([False, True], repeat=2 * size):
        probability, reached = 1.0, True
        clicked = np.zeros(size)
        for i in range(size):
            click, stays = happens[2 * i : 2 * i + 2]
            continues = after_click[i] if click else after_skip
            probability *= clicks[i] if click else 1.0 - clicks[i]
            probability *= continues if stays else 1.0 - continues
            clicked[i] = click and reached
            reached = reached and stays
        result += probability * clicked
    return result


MODELS = {
    "position": (
        choice_model.PositionBasedChoiceModel({"examination_probs": [1.0, 0.5, 0.25]}),
        np.array([0.5, 0.1, 0.2]),
    ),
    "dependent": (
        choice_model.DependentClickChoiceModel({"continue_after_click": [0.4, 0.7, 0.9]}),
        enumerated(SCORES, [0.4, 0.7, 0.9], 1.0),
    ),
    "cascade": (
        choice_model.MultiClickCascadeChoiceModel(
            {"attention_prob": 0.9, "continue_after_click": 0.3, "continue_after_skip": 0.8}
        ),
        enumerated([0.45, 0.18, 0.72], [0.3] * 3, 0.8),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_click_probabilities(name):
    model, expected = MODELS[name]
    np.testing.assert_allclose(model.click_probabilities(SCORES), expected)
    np.testing.assert_allclose(model.click_probabilities([[SCORES] * 2]), [[expected] * 2])


@pytest.mark.parametrize("name", MODELS)
def test_models_click_as_often(name):
    model, expected = MODELS[name]
    rng = np.random.default_rng(0)
    number = 40_000
    uniform = rng.random((number, 3 * model.numbers_per_position))
    clicks = model.sampled_clicks(np.tile(SCORES, (number, 1)), uniform)
    np.testing.assert_allclose(clicks.mean(axis=0), expected, atol=4 * 0.5 / number**0.5)
    model = copy.deepcopy(model)
    model.use_generator(np.random.RandomState(1))
    model.score_documents(User(), SCORES)
    counts = np.zeros(3)
    for _ in range(4000):
        counts[model.choose_items()] += 1
    np.testing.assert_allclose(counts / 4000, expected, atol=4 * 0.5 / 4000**0.5)


def test_with_one_click_it_is_recsims_cascade():
    features = {"attention_prob": 0.7, "score_scaling": 0.5}
    cascade = choice_model.MultiClickCascadeChoiceModel({**features, "continue_after_click": 0.0})
    expected = choice_model.proportional_cascade_probabilities(SCORES, 0.7, 0.5)
    np.testing.assert_allclose(cascade.click_probabilities(SCORES), expected[:-1])
    uniform = np.random.default_rng(2).random((1000, 6))
    assert cascade.sampled_clicks(np.tile(SCORES, (1000, 1)), uniform).sum(axis=1).max() == 1


def test_scores_become_probabilities():
    model = choice_model.PositionBasedChoiceModel({"score_scaling": 0.5, "min_normalizer": -1.0})
    np.testing.assert_allclose(model.click_probabilities([-1.0, 0.0, 1.0]), [0.0, 0.5, 1.0])
    with pytest.raises(ValueError, match=r"scores must give probabilities of a click.*1\.5"):
        model.click_probabilities([2.0])
    with pytest.raises(ValueError, match="scores must give probabilities"):
        model.score_documents(User(), [np.nan])


def test_functions_on_arrays():
    uniform = np.array([0.4, 0.6, 0.1])
    assert choice_model.sample_clicks(SCORES, uniform).tolist() == [True, False, True]
    stopped = choice_model.sample_clicks(SCORES, [*uniform, 0.5, 0.5, 0.5], 0.3)
    assert stopped.tolist() == [True, False, False]
    np.testing.assert_allclose(choice_model.multi_click_probabilities(SCORES), SCORES)
    both = choice_model.examination_probabilities(4, 0.5, both_ends=True)
    np.testing.assert_allclose(both, [0.5625, 0.375, 0.375, 0.5625])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: choice_model.multi_click_probabilities([1.5]), r"click_if_seen must be .*1\.5"),
        (lambda: choice_model.multi_click_probabilities(0.5), "click_if_seen must be an array"),
        (lambda: choice_model.multi_click_probabilities([0.5], -1), "continue_after_click must"),
        (lambda: choice_model.multi_click_probabilities([0.5], 1, [1, 1]), "continue_after_skip"),
        (lambda: choice_model.sample_clicks([0.5, 0.5], [0.1]), "uniform must have 2 numbers"),
        (lambda: choice_model.sample_clicks([0.5], [0.1], 0.5), "uniform must have 2 numbers"),
        (lambda: choice_model.sample_clicks([0.5], [1.0]), r"uniform must be in \[0, 1\)"),
        (lambda: choice_model.examination_probabilities(0, 0.5), "slate_size"),
        (lambda: choice_model.examination_probabilities(2, 1.5), "decay"),
        (
            lambda: choice_model.PositionBasedChoiceModel({"examination_probs": [[1.0]]}),
            "examination_probs must be a list",
        ),
        (
            lambda: choice_model.PositionBasedChoiceModel(
                {"examination_probs": [1.0]}
            ).click_probabilities([0.1, 0.1]),
            "each of the 2 positions",
        ),
        (
            lambda: choice_model.DependentClickChoiceModel(
                {"continue_after_click": [0.5]}
            ).click_probabilities([0.1, 0.1]),
            "each of the 2 positions",
        ),
        (
            lambda: choice_model.MultiClickCascadeChoiceModel({"continue_after_skip": 2.0}),
            "continue_after_skip must be a probability",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_choice_is_refused_and_many_are_one_for_models_of_one_click():
    model = choice_model.PositionBasedChoiceModel({})
    with pytest.raises(RuntimeError, match="choose_items needs scores"):
        model.choose_items()
    model.score_documents(User(), SCORES)
    with pytest.raises(TypeError, match="call choose_items"):
        model.choose_item()
    with pytest.raises(NotImplementedError, match="click_probabilities"):
        model.choice_weights(SCORES)
    one = choice_model.MultinomialLogitChoiceModel({})
    one.score_documents(User(), [0.0, 100.0])
    assert one.choose_items() == [1]
    never = choice_model.MultinomialProportionalChoiceModel(
        {"min_normalizer": 0.0, "no_click_mass": 1.0}
    )
    never.score_documents(User(), [0.0])
    assert never.choose_items() == []
    assert pickle.loads(pickle.dumps(model)).score_no_click is None
