"""Interest evolution and exploration with users who click several documents, in both engines."""

from __future__ import annotations

import numpy as np
import pytest
from support import recsim_names

from recsim import choice_model
from recsim.environments import interest_evolution, interest_exploration
from recsim.environments.interest_evolution import _dynamics

MODELS = ("position_based", "dependent_click", "multi_click_cascade")
CONFIG = {"num_candidates": 6, "slate_size": 4, "resample_documents": True, "seed": 3}
#: So that users click often.
OFTEN = {
    interest_evolution: {"score_scaling": 0.5, "attention_prob": 0.9, "user_quality_factor": 0.5},
    interest_exploration: {"no_click_mass": 3.0, "attention_prob": 0.9},
}
SCENARIOS = tuple(OFTEN)


def clicked(observation):
    return [position for position, each in enumerate(observation["response"]) if each["click"]]


class Given:
    """A generator that hands out the numbers that it was given."""

    def __init__(self, numbers):
        self._numbers = list(numbers)

    def random_sample(self):
        return self._numbers.pop(0)


def evolution(**parameters):
    env = interest_evolution.create_environment(
        {**CONFIG, **OFTEN[interest_evolution], **parameters}
    )
    env.reset()
    return env


def test_each_click_changes_the_user_in_the_order_of_the_slate():
    env = evolution(choice_model="position_based", examination_decay=1.0)
    model = env.environment.user_model
    state = recsim_names.user_state(model)
    documents = env.environment.candidate_set.get_all_documents()[:4]
    documents[2] = documents[0]  # The same video again: of the same topic.
    scores = state.score_documents([video.create_observation() for video in documents])
    chances = 0.5 * (scores + 1.0)
    # Clicks on all but the second.
    model.use_generator(Given([0.0, 0.999999, 0.0, 0.0, 0.1, 0.2, 0.3]))
    responses = model.simulate_response(documents)
    assert [response.clicked for response in responses] == [True, False, True, True]
    assert [response.watch_time for response in responses] == [4.0, 0.0, 4.0, 4.0]
    interests, budget = state.user_interests.copy(), state.time_budget
    model.update_state(documents, responses)
    for position, uniform in ((0, 0.1), (2, 0.2), (3, 0.3)):
        video = documents[position]
        utility = video.quality + 0.5 * chances[position]
        interests = _dynamics.updated_interests(interests, video.features, uniform)
        budget += -4.0 + state.user_update_alpha * 4.0 * utility
    assert state.user_interests == pytest.approx(interests)
    assert state.time_budget == pytest.approx(budget)


def test_who_has_no_time_left_clicks_no_more():
    env = evolution(
        choice_model="position_based",
        examination_decay=1.0,
        time_budget=5.0,
        user_update_alpha=0.0,
    )
    model = env.environment.user_model
    documents = env.environment.candidate_set.get_all_documents()[:4]
    model.use_generator(Given([0.0] * 20))
    responses = model.simulate_response(documents)
    assert [response.watch_time for response in responses] == [4.0, 1.0, 0.0, 0.0]
    assert [response.clicked for response in responses] == [True, True, False, False]
    model.update_state(documents, responses)
    assert model.is_terminal()


def test_slate_without_a_click_costs_the_penalty():
    env = evolution(choice_model="dependent_click", score_scaling=0.0)
    assert not clicked(env.step([0, 1, 2, 3])[0])
    state = recsim_names.user_state(env.environment.user_model)
    assert state.time_budget == 200.0 - 0.5


def test_documents_of_exploration_attract_as_they_do_alone():
    config = {**CONFIG, **OFTEN[interest_exploration], "examination_decay": 0.5}
    env = interest_exploration.create_environment({**config, "choice_model": "position_based"})
    env.reset()
    model = env.environment.user_model
    documents = env.environment.candidate_set.get_all_documents()[:4]
    state = recsim_names.user_state(model)
    scores = state.score_documents([each.create_observation() for each in documents])
    alone = [choice_model.multinomial_logit_probabilities([score], 3.0)[0] for score in scores]
    rates = np.zeros(4)
    for _ in range(4000):
        rates += [response.clicked for response in model.simulate_response(documents)]
    expected = np.array(alone) * 0.5 ** np.arange(4)
    spread = 4 * np.sqrt(expected * (1 - expected) / 4000)
    assert (np.abs(rates / 4000 - expected) < spread).all()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda module: module.__name__)
@pytest.mark.parametrize("name", MODELS)
def test_both_engines_click_as_often_at_each_position(scenario, name):
    config = {**CONFIG, **OFTEN[scenario], "choice_model": name}
    steps, users = 8, 1500
    env = scenario.create_vector_environment(config, users)
    env.reset(seed=1)
    rates, squares, returns = np.zeros(4), np.zeros((4, 4)), np.zeros(users)
    for _ in range(steps):
        observation, rewards, *_ = env.step(np.tile(np.arange(4), (users, 1)))
        clicks = observation["response"]["click"].astype(float)
        rates += clicks.sum(axis=0)
        squares += clicks.T @ clicks
        returns += rewards
    single_rates, single_squares, single_returns = np.zeros(4), np.zeros((4, 4)), []
    env = scenario.create_environment(config)
    for _ in range(300):
        env.reset()
        total = 0.0
        for _ in range(steps):
            observation, reward, _, _ = env.step([0, 1, 2, 3])
            clicks = np.array([float(each["click"]) for each in observation["response"]])
            single_rates += clicks
            single_squares += np.outer(clicks, clicks)
            total += reward
        single_returns.append(total)
    number, single = steps * users, steps * 300
    # Users differ, so that the steps of one are alike: a factor of 2 in the standard error.
    spread = 8 * np.sqrt(0.25 / single)
    assert np.abs(rates / number - single_rates / single).max() < spread
    assert np.abs(squares / number - single_squares / single).max() < spread
    error = np.hypot(np.std(single_returns) / 300**0.5, returns.std() / users**0.5)
    assert abs(np.mean(single_returns) - returns.mean()) < 4 * error
    assert (single_rates > 0).all()
    # Pairs of clicks on one slate.
    assert single_squares[0, 1] > 10


@pytest.mark.parametrize("name", MODELS)
def test_vector_engine_adds_up_the_costs(name):
    config = {**CONFIG, **OFTEN[interest_evolution], "choice_model": name, "time_budget": 30.0}
    env = interest_evolution.create_vector_environment(config, 400)
    env.reset(seed=2)
    for _ in range(6):
        observation, rewards, terminated, _, _ = env.step(np.tile(np.arange(4), (400, 1)))
        response = observation["response"]
        times, clicks = response["watch_time"], response["click"]
        assert (times[clicks == 0] == 0).all()
        assert ((times[clicks == 1] > 0) & (times[clicks == 1] <= 4)).all()
        # Of whoever has begun anew there is no response yet.
        stay = ~terminated
        assert rewards[stay] == pytest.approx(times.sum(axis=1)[stay])
    assert observation in env.observation_space


def test_vectorized_user_is_the_single_user_by_hand():
    config = {**CONFIG, **OFTEN[interest_evolution], "choice_model": "position_based"}
    parameters = interest_evolution.parameters_of(config)
    env = interest_evolution.create_vector_environment(config, 1)
    model = interest_evolution.VectorIEvMultiClickUserModel(
        parameters,
        4,
        env.single_observation_space["user"],
        env.single_observation_space["response"],
    )
    users = interest_evolution.VectorIEvUsers(np.full((1, 20), 0.5), np.array([9.0]))
    documents = interest_evolution.VectorIEvDocuments(
        np.array([[3, 5, 3, 7]], np.int32), np.array([[0.0, 1.0, 2.0, 0.0]])
    )

    class Stream:
        def uniform(self, number):
            return np.array([[0.1, 0.2, 0.9, 0.1]])

    choice = np.array([[True, False, True, True]])
    responses = model.respond(users, documents, choice, Stream())
    alpha, weight = parameters.user_update_alpha, 0.5 * 0.5 * 1.5
    first = 9.0 - 4.0 + alpha * 4.0 * weight
    second = first - 4.0 + alpha * 4.0 * (2.0 + weight)
    third = min(second, 4.0)
    assert responses.watch_time[0] == pytest.approx([4.0, 0.0, 4.0, third])
    after = model.update(users, documents, choice, responses, Stream())
    expected = np.full(20, 0.5)
    for topic, uniform in ((3, 0.1), (3, 0.9), (7, 0.1)):
        features = np.eye(20)[topic]
        expected = _dynamics.updated_interests(expected, features, uniform)
    assert after.interests[0] == pytest.approx(expected)
    assert after.time_budget[0] == pytest.approx(second - third + alpha * third * weight)


def test_recsim_style_user_models_take_the_choice_models():
    def decaying(features):
        return choice_model.PositionBasedChoiceModel(
            {**features, "examination_probs": [1.0, 0.5, 0.2, 0.1], "score_scaling": 0.5}
        )

    model = interest_evolution.IEvUserModel(4, choice_model_ctor=decaying, seed=0)
    sampler = interest_evolution.UtilityModelVideoSampler(seed=0)
    documents = [sampler.sample_document() for _ in range(4)]
    numbers = [sum(r.clicked for r in model.simulate_response(documents)) for _ in range(200)]
    assert max(numbers) > 1


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda module: module.__name__)
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"choice_model": "position-based"}, "must be one of .*Did you mean 'position_based'"),
        ({"choice_model": "position_based", "examination_decay": 1.5}, "examination_decay"),
        ({"choice_model": "dependent_click", "continue_after_click": -0.1}, "continue_after_click"),
        ({"choice_model": "multi_click_cascade", "continue_after_skip": 2}, "continue_after_skip"),
    ],
)
def test_wrong_parameters_are_refused(scenario, parameters, message):
    with pytest.raises(ValueError, match=message):
        scenario.create_environment({**CONFIG, **parameters})


def test_scores_that_are_no_probabilities_are_refused():
    with pytest.raises(ValueError, match="score_scaling must be at most 0.5"):
        evolution(choice_model="position_based", score_scaling=0.6)
    with pytest.raises(ValueError, match="min_normalizer must be at most -1"):
        evolution(choice_model="dependent_click", min_normalizer=0.0)
