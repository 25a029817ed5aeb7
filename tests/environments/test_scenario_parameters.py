"""The parameters of scenarios: each has an effect in both engines, is checked and documented."""

from __future__ import annotations

import ast
import copy
import dataclasses
import functools
import importlib
import itertools
import math
import pickle
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from support import scenarios

from recsim import registry
from recsim.agents import random_agent
from recsim.environments import (
    interest_evolution,
    interest_exploration,
    long_term_satisfaction,
    topic_boredom,
)
from recsim.simulator import fingerprint

CONFIG = scenarios.config(num_candidates=6, slate_size=3)
KINDS = {
    "interest_evolution": interest_evolution.IEvParameters,
    "interest_exploration": interest_exploration.IEParameters,
    "long_term_satisfaction": long_term_satisfaction.LTSParameters,
    "topic_boredom": topic_boredom.TopicBoredomParameters,
}
#: What some parameters need to have an effect.
NEEDED = {
    "score_scaling": {"choice_model": "exponential_cascade"},
    "attention_prob": {"choice_model": "exponential_cascade"},
    "examination_decay": {"choice_model": "position_based"},
}
#: Users who click enough to get bored.
_BORED = {"relevance_slope": 8.0, "relevance_offset": 0.3, "boredom_threshold": 2}
NEEDED_IN: dict[tuple[str, str], dict[str, Any]] = {
    ("interest_exploration", "attention_prob"): {"choice_model": "multi_click_cascade"},
    # With users who click often.
    **{
        (scenario, name): {"choice_model": model, **often}
        for scenario, often in (
            ("interest_evolution", {"score_scaling": 0.5}),
            ("interest_exploration", {"no_click_mass": 3.0}),
        )
        for name, model in (
            ("continue_after_click", "dependent_click"),
            ("continue_after_skip", "multi_click_cascade"),
        )
    },
    **{
        ("topic_boredom", name): {**_BORED, **further}
        for name, further in (
            ("boredom_threshold", {"boredom_threshold": 5}),
            ("boredom_window", {}),
            ("clicks_remembered", {}),
            ("boredom_effect", {}),
            ("bored_relevance_factor", {"boredom_effect": "bored_topics"}),
            ("interest_memory", {}),
            ("drift", {"interest_memory": 0.9}),
            ("same_topic_limit", {"same_topic_penalty": 1.5}),
            ("same_topic_penalty", {"same_topic_limit": 2}),
            ("attention_prob", {"choice_model": "multi_click_cascade"}),
            ("continue_after_click", {"choice_model": "dependent_click"}),
            ("continue_after_skip", {"choice_model": "multi_click_cascade"}),
        )
    },
}
CASES = [
    (scenario, name)
    for scenario, parameters in scenarios.OTHER_PARAMETERS.items()
    for name in parameters
]
cases = pytest.mark.parametrize(("scenario", "name"), CASES)
engines = pytest.mark.parametrize("vectorized", [False, True])


def needed_for(scenario: str, name: str) -> dict[str, Any]:
    return NEEDED_IN.get(
        (scenario, name), {} if scenario == "topic_boredom" else NEEDED.get(name, {})
    )


def module_of(scenario: str) -> Any:
    return importlib.import_module(registry.ENVIRONMENTS[scenario].module)


def make(scenario: str, vectorized: bool, **changes: Any) -> Any:
    if vectorized:
        return registry.create_vector_environment(scenario, {**CONFIG, **changes}, 20)
    return registry.create_environment(scenario, {**CONFIG, **changes})


def content(tree: Any) -> Any:
    """Returns a tree of arrays as one that can be compared: to the last bit."""
    if isinstance(tree, Mapping):
        return {key: content(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return list(map(content, tree))
    return None if tree is None else np.asarray(tree).tobytes()


def rollout(env: Any, vectorized: bool) -> list[Any]:
    """Returns the spaces, and what random slates bring."""
    found: list[Any] = [str(env.observation_space)]
    if vectorized:
        agent: Any = random_agent.VectorRandomAgent(env)
        slates = agent.begin(env.reset()[0])
        for _ in range(60):
            outcome = env.step(slates)
            assert outcome[0] in env.observation_space
            found += [outcome[1].tolist(), outcome[2].tolist(), content(outcome[0])]
            slates = agent.step(*outcome)
        return found
    agent = random_agent.RandomAgent(env.action_space, random_seed=0)
    env.seed(1)
    slate = agent.begin_episode(env.reset())
    for _ in range(150):
        observation, reward, done, _ = env.step(slate)
        found += [reward, done, content(observation)]
        slate = agent.step(reward, observation)
        if done:
            env.reset()
    return found


@functools.cache
def rollout_of_defaults(scenario: str, vectorized: bool) -> list[Any]:
    return rollout(make(scenario, vectorized), vectorized)


def test_every_parameter_is_tried():
    for scenario, kind in KINDS.items():
        names = {field.name for field in dataclasses.fields(kind)}
        assert names == set(scenarios.OTHER_PARAMETERS[scenario])
        assert set(module_of(scenario).CONFIG_KEYS) == names
    assert set(KINDS) == set(scenarios.OTHER_PARAMETERS)


@engines
@cases
def test_a_parameter_has_an_effect(scenario, name, vectorized):
    needed = needed_for(scenario, name)
    changed = {**needed, name: scenarios.OTHER_PARAMETERS[scenario][name]}
    env, default = make(scenario, vectorized, **changed), make(scenario, vectorized, **needed)
    told, of_default = fingerprint.of_scenario(env), fingerprint.of_scenario(default)
    assert told != of_default
    assert rollout(env, vectorized) != (
        rollout(default, vectorized) if needed else rollout_of_defaults(scenario, vectorized)
    )


@cases
def test_defaults_are_those_of_the_dataclass(scenario, name):
    default = getattr(KINDS[scenario](), name)
    assert default != scenarios.OTHER_PARAMETERS[scenario][name]
    for vectorized in (False, True):
        given = rollout(make(scenario, vectorized, **{name: default}), vectorized)
        assert given == rollout_of_defaults(scenario, vectorized)


@cases
def test_a_parameter_is_documented(scenario, name):
    description = " ".join((module_of(scenario).__doc__ or "").split("Parameters", 1)[1].split())
    default = getattr(KINDS[scenario](), name)
    found = re.search(rf"``{name}`` \((.+?)\): ", description)
    assert found is not None
    documented = ast.literal_eval(found[1])
    if isinstance(default, str):
        assert documented == default
    else:
        np.testing.assert_allclose(documented, default, rtol=1e-4)


@pytest.mark.parametrize("scenario", KINDS)
def test_parameters_are_data(scenario):
    parameters = module_of(scenario).parameters_of(
        {**CONFIG, **scenarios.OTHER_PARAMETERS[scenario]}
    )
    assert dataclasses.asdict(parameters) == scenarios.OTHER_PARAMETERS[scenario]
    assert pickle.loads(pickle.dumps(parameters)) == copy.deepcopy(parameters) == parameters
    assert len({parameters, copy.copy(parameters), KINDS[scenario]()}) == 2
    name = dataclasses.fields(parameters)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(parameters, name, 1.0)


@engines
@pytest.mark.parametrize("scenario", KINDS)
def test_environments_of_other_parameters_are_copied_and_live_side_by_side(scenario, vectorized):
    default = make(scenario, vectorized)
    env = make(scenario, vectorized, **scenarios.OTHER_PARAMETERS[scenario])
    second = pickle.loads(pickle.dumps(env))
    assert rollout(env, vectorized) == rollout(second, vectorized)
    assert rollout(default, vectorized) == rollout(make(scenario, vectorized), vectorized)


def test_importing_one_scenario_makes_all_configurable():
    """As in RecSim, whose package imports them all."""
    program = (
        "import gin\n"
        "from recsim.environments import interest_evolution\n"
        "gin.parse_config('LTSStaticUserSampler.sensitivity = 0.5')\n"
        "gin.parse_config('recsim.environments.interest_exploration.IEClusterUserSampler"
        ".user_type_distribution = (0.5, 0.5)')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# Values that are refused.

NOT_NUMBERS = ("x", None, [1.0, 2.0], math.nan)
NOT_COUNTS = (0, -1, 2.5, "x", None, True)
BAD: dict[str, dict[str, tuple[Any, ...]]] = {
    "interest_evolution": {
        "num_topics": (0, -1, 2.5, "x", None, True, 10**9),
        "min_utility": (*NOT_NUMBERS, math.inf, -1e6),
        "max_utility": (*NOT_NUMBERS, math.inf, 99.9),
        "low_quality_share": (*NOT_NUMBERS, -0.1, 1.1),
        "quality_stddev": (*NOT_NUMBERS, -0.1, 50.0),
        "video_length": (*NOT_NUMBERS, 0.0, -1.0, 101.0),
        "max_video_length": (*NOT_NUMBERS, 0.0, math.inf, 3.0),
        "min_interest": (*NOT_NUMBERS, -1.1, 1.1),
        "max_interest": (*NOT_NUMBERS, -1.1, 1.1),
        "time_budget": (*NOT_NUMBERS, 0.0, -1.0, math.inf),
        "step_penalty": (*NOT_NUMBERS, -0.1, math.inf),
        "document_quality_factor": (*NOT_NUMBERS, math.inf),
        "user_quality_factor": (*NOT_NUMBERS, math.inf),
        "user_update_alpha": (*NOT_NUMBERS, math.inf),
        "alpha_x_intercept": (*NOT_NUMBERS, 0.0, math.inf),
        "alpha_y_intercept": (*NOT_NUMBERS, math.inf),
        "choice_model": ("multinomial", 3, None, ["multinomial_logit"]),
        "no_click_mass": (*NOT_NUMBERS, -2.0, math.inf),
        "min_normalizer": (*NOT_NUMBERS, -0.5, -math.inf),
        "score_scaling": (*NOT_NUMBERS, -0.1, 0.5),
        "attention_prob": (*NOT_NUMBERS, -0.1, 1.1),
        "examination_decay": (*NOT_NUMBERS, -0.1, 1.1),
        "continue_after_click": (*NOT_NUMBERS, -0.1, 1.1),
        "continue_after_skip": (*NOT_NUMBERS, -0.1, 1.1),
    },
    "interest_exploration": {
        "topic_distribution": ("x", None, (0.5, 0.6), (1.5, -0.5), (1.0,), (0.2, 0.3, 0.5)),
        "topic_quality_mean": ("x", None, (0.5,), (math.nan, 1.0), (1e3, 1.0), (-1e50, 1.0)),
        "topic_quality_stddev": ("x", None, (0.5,), (-0.1, 1.0), (1e3, 1.0)),
        "user_type_distribution": ("x", None, (0.5, 0.6), (0.2, 0.3, 0.5)),
        "user_document_mean_affinity_matrix": ("x", None, (0.5, 0.5), ((1.0,), (1.0,))),
        "user_document_stddev_affinity_matrix": ("x", None, ((1.0, -1.0), (1.0, 1.0))),
        "no_click_mass": (*NOT_NUMBERS, math.inf),
        "choice_model": ("multinomial", 3, None, ["multinomial_logit"]),
        "attention_prob": (*NOT_NUMBERS, -0.1, 1.1),
        "examination_decay": (*NOT_NUMBERS, -0.1, 1.1),
        "continue_after_click": (*NOT_NUMBERS, -0.1, 1.1),
        "continue_after_skip": (*NOT_NUMBERS, -0.1, 1.1),
    },
    "long_term_satisfaction": {
        "memory_discount": (*NOT_NUMBERS, -0.1, 1.0),
        "sensitivity": (*NOT_NUMBERS, math.inf),
        "innovation_stddev": (*NOT_NUMBERS, -0.1),
        "choc_mean": (*NOT_NUMBERS, 1000.0),
        "choc_stddev": (*NOT_NUMBERS, -0.1, 100.0),
        "kale_mean": (*NOT_NUMBERS, 1000.0),
        "kale_stddev": (*NOT_NUMBERS, -0.1, 100.0),
        "time_budget": (*NOT_NUMBERS, 0, -1),
        "initial_exposure_scale": (*NOT_NUMBERS, -0.1, math.inf),
        "min_clickbait_score": (*NOT_NUMBERS, -0.1, 1.1),
        "max_clickbait_score": (*NOT_NUMBERS, -0.1, 1.1),
        "max_engagement_magnitude": (*NOT_NUMBERS, 0.0, -1.0, math.inf),
    },
    "topic_boredom": {
        "num_items": (*NOT_COUNTS, 5, 10**9),
        "num_topics": (*NOT_COUNTS, 1, 10**9),
        "subtopics": (*NOT_COUNTS, 10**9),
        "embeddings": ("few", 3, None),
        "topics_per_item": (*NOT_COUNTS, 11),
        "catalogue_seed": (-1, 2.5, "x", None, 2**32),
        "topics_per_user": (*NOT_COUNTS, 11),
        "time_budget": (*NOT_NUMBERS, 0, -1),
        "relevance": ("logit", 3, None),
        "relevance_offset": (*NOT_NUMBERS, math.inf),
        "relevance_slope": (*NOT_NUMBERS, -1.0, math.inf),
        "attraction_factor": (*NOT_NUMBERS, -0.1, 1.1),
        "same_topic_limit": NOT_COUNTS,
        "same_topic_penalty": (*NOT_NUMBERS, 0.9, math.inf),
        "choice_model": ("multinomial_logit", 3, None),
        "examination_decay": (*NOT_NUMBERS, -0.1, 1.1),
        "examination_order": ("up", 3, None),
        "attention_prob": (*NOT_NUMBERS, -0.1, 1.1),
        "continue_after_click": (*NOT_NUMBERS, -0.1, 1.1),
        "continue_after_skip": (*NOT_NUMBERS, -0.1, 1.1),
        "interest_memory": (*NOT_NUMBERS, -0.1, 1.1),
        "drift": ("topic", "each", 3, None),
        "boredom_threshold": NOT_COUNTS,
        "boredom_window": NOT_COUNTS,
        "clicks_remembered": (*NOT_COUNTS, 10**9),
        "boredom_effect": ("topics", 3, None),
        "bored_relevance_factor": (*NOT_NUMBERS, -0.1, 1.1),
        "observe_user_state": (1, "yes", None),
    },
}


@engines
@cases
def test_bad_values_are_refused_by_name(scenario, name, vectorized):
    for value in BAD[scenario][name]:
        needed = {**needed_for(scenario, name)}
        needed.pop(name, None)
        with pytest.raises((TypeError, ValueError), match=name):
            make(scenario, vectorized, **needed, **{name: value})


def test_bounds_in_the_wrong_order_are_refused():
    for scenario, low, high in (
        ("interest_evolution", "min_interest", "max_interest"),
        ("long_term_satisfaction", "min_clickbait_score", "max_clickbait_score"),
    ):
        with pytest.raises(ValueError, match=f"{low} must be at most {high}, got 0.6 and 0.4"):
            make(scenario, False, **{low: 0.6, high: 0.4})


def test_integers_and_numpy_numbers_are_taken():
    given = {"time_budget": np.int64(60), "choc_mean": 5, "kale_mean": np.float32(4.0)}
    parameters = long_term_satisfaction.parameters_of({**CONFIG, **given})
    assert parameters == long_term_satisfaction.LTSParameters()
    assert type(parameters.choc_mean) is type(parameters.kale_mean) is float
    arrays = {"topic_distribution": np.array([0.2, 0.8]), "topic_quality_mean": [0.8, 0.2]}
    assert interest_exploration.parameters_of({**CONFIG, **arrays}) == (
        interest_exploration.IEParameters()
    )


# Constants of classes.

CONSTANTS = [
    ("interest_evolution", interest_evolution.IEvVideo, "MAX_VIDEO_LENGTH", 60.0),
    (
        "long_term_satisfaction",
        long_term_satisfaction.LTSResponse,
        "MAX_ENGAGEMENT_MAGNITUDE",
        30.0,
    ),
]


@engines
@pytest.mark.parametrize(("scenario", "of_class", "constant", "value"), CONSTANTS)
def test_a_constant_of_a_class_beats_the_default(
    scenario, of_class, constant, value, vectorized, monkeypatch
):
    name = constant.lower()
    expected = rollout(make(scenario, vectorized, **{name: value}), vectorized)
    monkeypatch.setattr(of_class, constant, value)
    assert getattr(module_of(scenario).parameters_of(CONFIG), name) == value
    assert rollout(make(scenario, vectorized), vectorized) == expected
    assert rollout(make(scenario, vectorized, **{name: value}), vectorized) == expected
    message = rf"env_config\['{name}'\] must be {value}, as .*\.{constant} is, got {value + 1}"
    with pytest.raises(ValueError, match=message):
        make(scenario, vectorized, **{name: value + 1})


@engines
def test_numbers_of_topics_of_videos_and_users_go_together(vectorized, monkeypatch):
    monkeypatch.setattr(interest_evolution.IEvVideo, "NUM_FEATURES", 7)
    monkeypatch.setattr(interest_evolution.IEvUserState, "NUM_FEATURES", 8)
    with pytest.raises(ValueError, match=r"IEvUserState\.NUM_FEATURES"):
        make("interest_evolution", vectorized)
    monkeypatch.setattr(interest_evolution.IEvUserState, "NUM_FEATURES", 7)
    assert make("interest_evolution", vectorized).observation_space["user"].shape[-1] == 7
    with pytest.raises(ValueError, match=r"env_config\['num_topics'\] must be 7"):
        make("interest_evolution", vectorized, num_topics=9)


class FiveTopics(interest_exploration.IEDocument):
    NUM_CLUSTERS = 5


class FiveTopicsResponse(interest_exploration.IEResponse):
    NUM_CLUSTERS = 5


def test_a_subclass_for_another_number_of_topics_is_refused():
    three = {
        "topic_distribution": (0.5, 0.2, 0.3),
        "topic_quality_mean": (0.1, -0.2, 0.5),
        "topic_quality_stddev": (0.2, 0.3, 0.1),
    }
    with pytest.raises(ValueError, match="topic_distribution must be for the 5 topics of FiveTo"):
        interest_exploration.IETopicDocumentSampler(**three, doc_ctor=FiveTopics)
    # With the default topics the space has more of them than there are.
    sampler = interest_exploration.IETopicDocumentSampler(doc_ctor=FiveTopics)
    assert sampler.sample_document().observation_space()["cluster_id"].n == 5
    users = interest_exploration.IEClusterUserSampler(
        (0.5, 0.5), ((0.1, 0.2, 0.3), (0.3, 0.2, 0.1)), ((0.1,) * 3,) * 2
    )
    with pytest.raises(ValueError, match="affinity_matrix must be for the 5 topics of FiveTopics"):
        interest_exploration.IEUserModel(
            2, response_model_ctor=FiveTopicsResponse, user_sampler=users
        )


def test_a_subclass_says_how_many_topics_videos_have():
    class Video(interest_evolution.IEvVideo):
        NUM_FEATURES = 3

    sampler = interest_evolution.UtilityModelVideoSampler(doc_ctor=Video)
    assert len(sampler.cluster_means) == 3
    assert {video.cluster_id for video in itertools.islice(sampled(sampler), 60)} == {0, 1, 2}


def sampled(sampler: Any) -> Any:
    while True:
        yield sampler.sample_document()
