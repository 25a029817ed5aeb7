"""Dictionaries of parameters: each is refused by a clear error, or gives finite numbers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import random_cases, scenarios
from support.scenarios import CONFIG

from recsim import choice_model, registry, spaces
from recsim.agents import random_agent
from recsim.agents.bandits import algorithms
from recsim.benchmarks.endurance import absurd, clear_errors


class State:
    """A user who scores documents by what is observed of them."""

    def score_document(self, doc_obs: float) -> float:
        return doc_obs


def use_choice_model(name: str, features: Any) -> None:
    model = getattr(choice_model, name)(features)
    for scores in ([0.1, 0.5], [0.0, 0.0], [0.3]):
        model.score_documents(State(), scores)
        assert model.choose_item() in (None, *range(len(scores)))
        assert np.isfinite(model.scores).all()


def use_bandit(name: str, params: Any) -> None:
    bandit = getattr(algorithms, name)(3, params)
    for _ in range(10):
        arm = bandit.get_arm(bandit.pulls.sum() + 1)
        assert arm in range(3)
        bandit.update(arm, 1.0)


def use_environment(name: str, env_config: Any) -> None:
    env = registry.create_environment(name, env_config)
    agent = random_agent.RandomAgent(env.action_space, random_seed=0)
    slate = agent.begin_episode(env.reset())
    for _ in range(3):
        observation, reward, done, _ = env.step(slate)
        spaces.check_observation(env.observation_space, observation)
        assert np.isfinite(reward)
        if done:
            break
        slate = agent.step(reward, observation)


def use_vector_environment(name: str, env_config: Any) -> None:
    env = registry.create_vector_environment(name, env_config, 3)
    agent = random_agent.VectorRandomAgent(env, 0)
    slates = agent.begin(env.reset()[0])
    for _ in range(3):
        outcome = env.step(slates)
        assert outcome[0] in env.observation_space
        assert np.isfinite(outcome[1]).all()
        slates = agent.step(*outcome)


PROPORTIONAL = {"min_normalizer": -1.0, "no_click_mass": 0.5}
CASCADE = {"attention_prob": 0.5, "score_scaling": 0.1}

#: What takes a dictionary: what uses it, its name there, and a good dictionary.
TAKERS = [
    (use_choice_model, "MultinomialLogitChoiceModel", {"no_click_mass": 1.0}),
    (use_choice_model, "MultinomialProportionalChoiceModel", PROPORTIONAL),
    (use_choice_model, "ExponentialCascadeChoiceModel", CASCADE),
    (use_choice_model, "ProportionalCascadeChoiceModel", {**CASCADE, "min_normalizer": -1.0}),
    *((use_bandit, name, {"optimism_scaling": 1.0}) for name in ("UCB1", "KLUCB")),
    (use_bandit, "ThompsonSampling", {"optimism_scaling": 1.0}),
    *(
        (use, name, {**CONFIG, **more})
        for use in (use_environment, use_vector_environment)
        for name, more in scenarios.OTHER_PARAMETERS.items()
    ),
]


@pytest.mark.parametrize(("use", "name", "good"), TAKERS)
def test_good_dictionaries_are_taken(use, name, good):
    use(name, good)


@random_cases.random_cases(300)
@given(st.sampled_from(TAKERS), st.data())
def test_a_value_is_refused_or_gives_finite_numbers(taker, data):
    use, name, good = taker
    key = data.draw(st.sampled_from(sorted(good)))
    value = data.draw(st.sampled_from(absurd.VALUES))
    try:
        use(name, {**good, key: value})
    except AssertionError:
        raise
    except Exception as error:
        # It may be another parameter that does not go with this one.
        clear_errors.assert_clear(error, naming_one_of=sorted(good))


@random_cases.random_cases(100)
@given(st.sampled_from(TAKERS), st.data())
def test_an_unknown_key_is_refused_or_warned_of(taker, data):
    use, name, good = taker
    key = data.draw(st.sampled_from(sorted(good)))
    index = data.draw(st.integers(0, len(key) - 1))
    typo = key[:index] + data.draw(st.sampled_from(["", "zz"])) + key[index + 1 :]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            use(name, {**good, typo: good[key]})
        except Exception as error:
            clear_errors.assert_clear(error, naming=[repr(typo), key])
            return
    told = [str(warning.message) for warning in caught]
    assert any(repr(typo) in text and key in text for text in told), told


@pytest.mark.filterwarnings("ignore:.*which nothing reads")
@random_cases.random_cases(60)
@given(st.sampled_from(TAKERS), st.sampled_from(absurd.VALUES))
def test_what_is_no_dictionary_is_refused(taker, value):
    use, name, _ = taker
    try:
        use(name, value)
    except AssertionError:
        raise
    except Exception as error:
        clear_errors.assert_clear(error)
    else:
        assert isinstance(value, dict)
