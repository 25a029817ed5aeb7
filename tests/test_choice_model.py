"""Choice models: recorded scores, hand-computed probabilities, properties and sampling."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support import recorded

from recsim import choice_model, user

MATHEMATICS = recorded("choice_bandit_slateq_math")


class UserWithInterests(user.AbstractUserState):
    def __init__(self, interests):
        self.interests = np.asarray(interests)

    def score_document(self, doc_obs):
        return float(np.dot(self.interests, doc_obs))

    def create_observation(self):
        return self.interests

    @staticmethod
    def observation_space():
        raise NotImplementedError


class UserWithScores(UserWithInterests):
    """A user whose documents are their own scores."""

    def __init__(self):
        super().__init__([1.0])

    def score_document(self, doc_obs):
        return doc_obs


def scored(model, scores):
    model.score_documents(UserWithScores(), scores)
    return model


@pytest.mark.parametrize("case", MATHEMATICS["choice_models"], ids=lambda case: case["model"])
def test_recorded_scores(case):
    # RecSim's "no no_click_mass" is minus infinity, which JSON cannot hold.
    model = getattr(choice_model, case["model"])(case["choice_features"])
    model.score_documents(UserWithInterests(case["user_interests"]), case["documents"])
    assert model.scores == pytest.approx(case["scores"], rel=1e-9)
    assert model.score_no_click == pytest.approx(case["score_no_click"], rel=1e-9)


def test_multinomial_logit_by_hand():
    probabilities = choice_model.multinomial_logit_probabilities(np.log([1.0, 2.0]), np.log(5.0))
    assert probabilities == pytest.approx([1 / 8, 2 / 8, 5 / 8])
    assert choice_model.multinomial_logit_probabilities([0.0, 0.0]) == pytest.approx([0.5, 0.5, 0])


def test_multinomial_logit_does_not_overflow():
    assert choice_model.multinomial_logit_probabilities([1e4, 0.0], 1e4) == pytest.approx(
        [0.5, 0.0, 0.5]
    )


def test_multinomial_proportional_by_hand():
    probabilities = choice_model.multinomial_proportional_probabilities([1.0, 0.0], 2.0, -1.0)
    assert probabilities == pytest.approx([2 / 6, 1 / 6, 3 / 6])


def test_cascade_by_hand():
    # Seen with 1/2, then clicked with 0.4, 0.2, 0.8: click if reached 0.2, 0.1, 0.4.
    probabilities = choice_model.cascade_probabilities([2.0, 1.0, 4.0], 0.5, 0.2)
    assert probabilities == pytest.approx([0.2, 0.8 * 0.1, 0.72 * 0.4, 0.72 * 0.6])


def test_cascades_by_hand():
    exponential = choice_model.exponential_cascade_probabilities([0.0, math.log(2.0)], 1.0, 0.25)
    assert exponential == pytest.approx([0.25, 0.75 * 0.5, 0.75 * 0.5])
    proportional = choice_model.proportional_cascade_probabilities([-1.0, 1.0], 0.5, 0.5, -1.0)
    assert proportional == pytest.approx([0.0, 0.5, 0.5])


FUNCTIONS = {
    "logit": lambda scores: choice_model.multinomial_logit_probabilities(scores, 0.5),
    "proportional": lambda s: choice_model.multinomial_proportional_probabilities(s, 1.0, -3.5),
    "exponential": lambda s: choice_model.exponential_cascade_probabilities(s, 0.7, 0.04),
    "cascade": lambda s: choice_model.proportional_cascade_probabilities(s, 0.65, 0.1, -3.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=1, max_dims=3, max_side=6),
        elements=st.floats(-3.0, 3.0),
    )
)
def test_probabilities_sum_to_one_and_broadcast(name, scores):
    probabilities = FUNCTIONS[name](scores)
    assert probabilities.shape == (*scores.shape[:-1], scores.shape[-1] + 1)
    assert np.all(probabilities >= 0)
    assert probabilities.sum(axis=-1) == pytest.approx(1.0)
    for index in np.ndindex(scores.shape[:-1]):
        np.testing.assert_allclose(probabilities[index], FUNCTIONS[name](scores[index]))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_scores_keep_their_dtype(name):
    assert FUNCTIONS[name](np.zeros((2, 3), np.float32)).dtype == np.float32


@given(
    hnp.arrays(np.float64, st.integers(2, 6), elements=st.floats(0.01, 10.0)),
    st.floats(0.0, 1.0, exclude_max=True),
)
def test_sample_choice_inverts_the_distribution(weights, uniform):
    choice = choice_model.sample_choice(weights, uniform)
    share = np.concatenate(([0.0], np.cumsum(weights))) / weights.sum()
    assert share[choice] - 1e-12 <= uniform <= share[choice + 1] + 1e-12
    assert choice_model.sample_choice(weights.tolist(), uniform) == choice


def test_sample_choice_samples_what_numpys_choice_samples():
    weights = np.array([0.2, 0.0, 1.3, 0.5])
    ours, numpys = np.random.RandomState(5), np.random.RandomState(5)
    for _ in range(200):
        expected = numpys.choice(4, p=weights / weights.sum())
        assert choice_model.sample_choice(weights.tolist(), ours.random_sample()) == expected


def test_sample_choice_of_many_users_matches_their_probabilities():
    probabilities = np.tile([0.1, 0.6, 0.3], (60_000, 1))
    uniform = np.random.RandomState(0).random_sample(60_000)
    share = np.bincount(choice_model.sample_choice(probabilities, uniform), minlength=3) / 60_000
    # Five standard errors of a share of 60,000.
    assert share == pytest.approx([0.1, 0.6, 0.3], abs=5 * math.sqrt(0.25 / 60_000))


def test_sample_choice_stays_in_range_just_below_one():
    assert choice_model.sample_choice(np.array([0.5, 1.0, 0.0]), np.nextafter(1.0, 0.0)) <= 2
    assert choice_model.sample_choice([0.5, 1.0, 0.0], np.nextafter(1.0, 0.0)) <= 2


@pytest.mark.parametrize(
    "choose",
    [
        lambda scores: choice_model.multinomial_logit_probabilities(scores, 0.0),
        lambda scores: choice_model.multinomial_proportional_probabilities(scores),
        lambda scores: choice_model.cascade_probabilities(scores),
        lambda scores: choice_model.sample_choice(scores, np.zeros(4000)),
    ],
)
def test_of_thousands_of_slates_the_first_bad_one_is_told(choose):
    scores = np.full((4000, 3), 0.25)
    scores[1234] = [0.5, np.nan, 0.125]
    scores[2345] = [0.75, np.nan, 0.125]
    with pytest.raises(ValueError, match=r"got \[0\.5, nan, 0\.125(, 0\.0)?\]") as error:
        choose(scores)
    assert len(str(error.value)) < 300


def test_no_click_is_none():
    model = scored(choice_model.MultinomialLogitChoiceModel({"no_click_mass": 100.0}), [0.0, 0.0])
    assert model.choose_item() is None


def test_a_model_alone_owns_a_generator():
    before = np.random.get_state()[1].tolist()
    models = [
        scored(choice_model.MultinomialLogitChoiceModel({"no_click_mass": 0.0}), [0.0, 0.5, 0.2])
        for _ in range(2)
    ]
    first, second = ([model.choose_item() for _ in range(40)] for model in models)
    assert first == second
    assert len(set(first)) == 4
    assert np.random.get_state()[1].tolist() == before


def test_a_user_state_may_score_all_documents_at_once():
    class Batched(UserWithScores):
        def score_documents(self, doc_obs):
            return 10.0 * np.array(doc_obs)

    class OverridesTheSingleScore(Batched):
        def score_document(self, doc_obs):
            return 2.0 * doc_obs

    helper = choice_model.NormalizableChoiceModel._score_documents_helper
    assert helper(UserWithScores(), [1.0, 2.0]).tolist() == [1.0, 2.0]
    assert helper(Batched(), [1.0, 2.0]).tolist() == [10.0, 20.0]
    assert helper(OverridesTheSingleScore(), [1.0, 2.0]).tolist() == [2.0, 4.0]


def test_a_models_own_scores_can_be_chosen_from():
    class Fixed(choice_model.NormalizableChoiceModel):
        def score_documents(self, user_state, doc_obs):
            self._scores, self._score_no_click = np.array([0.0, 3.0]), 0.0

    model = Fixed()
    model.score_documents(None, [])
    assert {model.choose_item() for _ in range(20)} == {1}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_at_both_ends_of_the_numbers_have_a_distribution(dtype):
    largest = np.finfo(dtype).max
    ends = np.array([largest, -largest, -np.inf], dtype)
    assert choice_model.softmax(ends).tolist() == [1.0, 0.0, 0.0]
    assert choice_model.multinomial_logit_probabilities(ends).tolist() == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("score", [1000.0, 1e308])
@pytest.mark.parametrize(
    "create",
    [
        lambda: choice_model.ExponentialCascadeChoiceModel({"score_scaling": 0.1}),
        lambda: choice_model.ProportionalCascadeChoiceModel(
            {"score_scaling": 9.0, "min_normalizer": 0.0}
        ),
    ],
)
def test_scores_that_are_no_probabilities_are_refused_without_a_warning(create, score):
    class User:
        def score_document(self, document):
            return score

    with pytest.raises(ValueError, match="score_scaling"):
        create().score_documents(User(), [None, None])
    with pytest.raises(ValueError, match="score_scaling"):
        create().choice_weights([score, 0.0])
    with pytest.raises(ValueError, match="sum"):
        choice_model.multinomial_proportional_probabilities([1e308, 1e308], 0.0)
