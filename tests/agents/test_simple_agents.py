"""The random, the greedy and the one-topic agent."""

from __future__ import annotations

import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from support.topic_scenario import QualityFan

from recsim import choice_model
from recsim._internal.gym_import import spaces
from recsim.agents.cluster_bandit_agent import GreedyClusterAgent
from recsim.agents.greedy_pctr_agent import GreedyPCTRAgent
from recsim.agents.random_agent import RandomAgent, VectorRandomAgent
from recsim.environments import interest_exploration
from recsim.vector import streams


def test_random_slates_are_recsims(topic_scenario):
    scenario = topic_scenario(num_docs=10, slate_size=3)
    agent = RandomAgent(scenario.action_space, random_seed=3)
    observation = scenario.observation([0] * 10, [1.0] * 10)
    rng = np.random.RandomState(3)
    for _ in range(20):
        expected = list(range(10))
        rng.shuffle(expected)
        slate = agent.step(0.0, observation)
        assert slate == expected[:3]
        assert all(type(index) is int for index in slate)


def test_random_slates_are_uniform(topic_scenario):
    scenario = topic_scenario(num_docs=4, slate_size=2)
    agent = RandomAgent(scenario.action_space)
    counts = dict.fromkeys(itertools.permutations(range(4), 2), 0)
    for _ in range(12_000):
        counts[tuple(agent.step(0.0, scenario.observation()))] += 1
    # Each of 12 ordered pairs 1000 times; 5 standard deviations are 151.
    assert all(abs(count - 1000) < 151 for count in counts.values())


def test_random_agent_restores_its_generator(topic_scenario):
    scenario = topic_scenario()
    agent = RandomAgent(scenario.action_space, random_seed=1)
    agent.begin_episode(scenario.observation())
    bundle = agent.bundle_and_checkpoint("", 0)
    expected = [agent.step(0.0, scenario.observation()) for _ in range(10)]
    restored = RandomAgent(scenario.action_space, random_seed=2)
    assert restored.unbundle("", 0, bundle)
    assert [restored.step(0.0, scenario.observation()) for _ in range(10)] == expected


def make_vector_env(num_envs):
    config = {"num_candidates": 8, "slate_size": 3, "resample_documents": True, "seed": 0}
    return interest_exploration.create_vector_environment(config, num_envs)


def test_vector_random_agent_restores_its_generators_and_takes_the_bundle_of_other_users():
    env, smaller = (make_vector_env(number) for number in (streams.CHUNK_SIZE + 2, 5))
    observation, _ = env.reset()
    agent, restored = (VectorRandomAgent(env, random_seed=seed) for seed in (1, 2))
    agent.begin(observation)
    bundle = agent.bundle_and_checkpoint("", 0)
    assert restored.unbundle("", 0, bundle)
    np.testing.assert_array_equal(restored.begin(observation), agent.begin(observation))
    few = VectorRandomAgent(smaller)
    assert few.unbundle("", 0, bundle)
    assert few.begin(smaller.reset()[0]).shape == (5, 3)
    assert not few.unbundle("", 0, {})


def test_vector_random_agent_checks_its_seed():
    with pytest.raises(ValueError, match="random_seed must be an integer >= 0, got -1"):
        VectorRandomAgent(make_vector_env(2), random_seed=-1)


def test_random_slate_is_short_where_candidates_are_few(topic_scenario):
    scenario = topic_scenario(slate_size=3)
    slate = RandomAgent(scenario.action_space).step(0.0, scenario.observation([0, 1], [1.0, 2.0]))
    assert sorted(slate) == [0, 1]


def test_greedy_recommends_the_best_first(topic_scenario):
    scenario = topic_scenario(slate_size=2)
    agent = GreedyPCTRAgent(scenario.action_space, QualityFan())
    observation = scenario.observation(qualities=[1.0, 4.0, 2.0, 3.0])
    assert list(agent.begin_episode(observation)) == [1, 3]


def test_greedy_agent_uses_the_choice_model_given(topic_scenario):
    scenario = topic_scenario()
    model = choice_model.MultinomialProportionalChoiceModel({"min_normalizer": 0.0})
    agent = GreedyPCTRAgent(scenario.action_space, QualityFan(), model)
    agent.step(0.0, scenario.observation())
    np.testing.assert_array_equal(model.scores, [1, 2, 3, 4])


@hypothesis.given(
    scores=st.lists(st.floats(-5, 5, width=16), min_size=1, max_size=30), data=st.data()
)
def test_greedy_slates_are_sorted_and_hold_the_highest_scores(scores, data):
    slate_size = data.draw(st.integers(1, len(scores)))
    agent = GreedyPCTRAgent(spaces.MultiDiscrete([len(scores)] * slate_size), QualityFan())
    slate = agent.findBestDocuments(scores).tolist()
    # Python's sort is stable: equal scores keep their order.
    assert slate == sorted(range(len(scores)), key=lambda i: -scores[i])[:slate_size]


def test_greedy_agent_with_too_few_documents(topic_scenario):
    agent = GreedyPCTRAgent(topic_scenario(slate_size=3).action_space, QualityFan())
    with pytest.raises(ValueError, match="a slate of 3 and 2 documents"):
        agent.findBestDocuments([1.0, 2.0])


def test_one_topic_by_falling_quality(topic_scenario):
    scenario = topic_scenario(num_docs=6)
    agent = GreedyClusterAgent(scenario.observation_space, scenario.action_space, cluster_id=1)
    observation = scenario.observation([1, 0, 1, 1, 0, 1], [2.0, 9.0, 5.0, 3.0, 8.0, 5.0])
    # Of documents 2 and 5, of the same quality, the later one comes first.
    assert agent.step(0.0, observation) == [5, 2, 3, 0]
    assert agent.step(0.0, scenario.observation([0, 0, 0, 0])) == []


@hypothesis.given(qualities=st.lists(st.sampled_from([0.5, 1.0, 2.0, 7.5]), max_size=40))
def test_one_topic_breaks_ties_as_a_stable_sort_reversed(qualities, topic_scenario):
    scenario = topic_scenario()
    agent = GreedyClusterAgent(scenario.observation_space, scenario.action_space, cluster_id=0)
    slate = agent.step(0.0, scenario.observation([0] * len(qualities), qualities))
    assert slate == np.argsort(qualities, kind="stable")[::-1].tolist()
