"""The click bandit layer and the cluster bandit: order of arms, slates, episodes, bundles."""

from __future__ import annotations

import functools

import gin
import numpy as np
import pytest
from support import recsim_names

from recsim import agent
from recsim.agents.bandits import algorithms
from recsim.agents.cluster_bandit_agent import ClusterBanditAgent
from recsim.agents.layers.abstract_click_bandit import AbstractClickBanditLayer
from recsim.agents.layers.cluster_click_statistics import ClusterClickStatsLayer


class FixedArm(agent.AbstractEpisodicRecommenderAgent):
    """Recommends the same documents at each step, and writes down what it is told."""

    def __init__(self, action_space, documents, log=None):
        super().__init__(action_space)
        self.documents = documents
        self.log = [] if log is None else log

    def step(self, reward, observation):
        self.log.append(("step", reward))
        return self.documents

    def begin_episode(self, observation=None):
        self.log.append("begin")
        return self.documents

    def end_episode(self, reward, observation=None, *, truncated=False):
        self.log.append(("end", reward, truncated))


def layer(scenario, arms, **kwargs):
    """A bandit over arms that recommend fixed documents."""
    return AbstractClickBanditLayer(
        scenario.with_counts(len(arms)),
        scenario.action_space,
        [functools.partial(FixedArm, documents=documents) for documents in arms],
        **kwargs,
    )


def test_best_arm_first_then_the_next_to_fill_the_slate(topic_scenario):
    scenario = topic_scenario(num_docs=6, slate_size=3)
    bandit = layer(scenario, [[0, 1], [2], [3, 4, 5]])
    clicks = [1, 9, 5]  # Of 10 impressions each: the order is 1, 2, 0.
    observation = scenario.observation_with_counts([10, 10, 10], clicks)
    assert bandit.step(0.0, observation) == [2, 3, 4]
    assert bandit.begin_episode(observation) == [2, 3, 4]


def test_only_arms_whose_documents_are_needed_are_asked(topic_scenario):
    scenario = topic_scenario(num_docs=6, slate_size=2)
    bandit = layer(scenario, [[0], [1], [2]])
    bandit.step(7.0, scenario.observation_with_counts([10, 10, 10], [1, 9, 5]))
    assert [arm.log for arm in recsim_names.base_agents(bandit)] == [
        [],
        [("step", 7.0)],
        [("step", 7.0)],
    ]


def test_every_arm_hears_of_the_episode(topic_scenario):
    scenario = topic_scenario()
    bandit = layer(scenario, [[0, 1], [2, 3]])
    observation = scenario.observation_with_counts([0, 0], [0, 0])
    bandit.begin_episode(observation)
    bandit.end_episode(2.0, observation, truncated=True)
    assert all(arm.log == ["begin", ("end", 2.0, True)] for arm in recsim_names.base_agents(bandit))


def test_ties_keep_the_order_given_at_first_and_go_to_the_last_later(topic_scenario):
    scenario = topic_scenario(num_docs=3, slate_size=3)
    bandit = layer(scenario, [[0], [1], [2]])
    for counts in ([0, 0, 0], [0, 0, 0]), ([4, 4, 4], [2, 2, 2]):
        observation = scenario.observation_with_counts(*counts)
        assert bandit.begin_episode(observation) == [0, 1, 2]
        assert bandit.step(0.0, observation) == [2, 1, 0]


def test_with_an_arm_never_shown_the_least_shown_come_first(topic_scenario):
    scenario = topic_scenario(num_docs=3, slate_size=3)
    bandit = layer(scenario, [[0], [1], [2]])
    observation = scenario.observation_with_counts([5, 0, 2], [5, 0, 0])
    assert bandit.step(0.0, observation) == [1, 2, 0]
    assert bandit.begin_episode(observation) == [1, 2, 0]


def test_round_is_the_number_of_impressions(topic_scenario):
    scenario = topic_scenario()
    bandit = layer(scenario, [[0], [1]], ci_scaling=0.5)
    scores = bandit._scores(scenario.observation_with_counts([7, 5], [3, 2]))
    np.testing.assert_array_equal(scores, algorithms.ucb1_index([7, 5], [3, 2], 12, 0.5))


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_actions_of_any_sequence_type(topic_scenario, kind):
    scenario = topic_scenario(slate_size=2)
    # An array of the one index 0 is false as a condition, but it is a document.
    bandit = layer(scenario, [kind([0]), kind([3, 2])])
    slate = bandit.step(0.0, scenario.observation_with_counts([9, 9], [5, 1]))
    assert slate == [0, 3]
    assert all(type(index) is int for index in slate)


def test_arms_without_documents_and_too_few_documents(topic_scenario):
    scenario = topic_scenario(num_docs=4, slate_size=4)
    observation = scenario.observation_with_counts([9, 9, 9], [9, 5, 1])
    assert layer(scenario, [[], [1], [0, 2]]).step(0.0, observation) == [1, 0, 2]
    assert layer(scenario, [[], np.array([], dtype=int), []]).step(0.0, observation) == []


def test_a_document_of_two_arms_is_recommended_once(topic_scenario):
    scenario = topic_scenario(num_docs=4, slate_size=3)
    observation = scenario.observation_with_counts([9, 9], [9, 5])
    assert layer(scenario, [[1, 2], [2, 1, 3]]).step(0.0, observation) == [1, 2, 3]


def test_bundle_restores_the_bandits_generator(topic_scenario):
    scenario = topic_scenario(num_docs=5, slate_size=5)
    make = functools.partial(
        layer, scenario, [[i] for i in range(5)], alg_ctor=algorithms.ThompsonSampling
    )
    observation = scenario.observation_with_counts([2] * 5, [1] * 5)
    bandit = make()
    bandit.step(0.0, observation)
    bundle = bandit.bundle_and_checkpoint("", 0)
    expected = [bandit.step(0.0, observation) for _ in range(10)]
    restored = make(random_seed=9)
    assert restored.unbundle("", 0, bundle)
    assert [restored.step(0.0, observation) for _ in range(10)] == expected
    assert not restored.unbundle("", 0, {})


def test_gin_sets_the_algorithm(topic_scenario):
    scenario = topic_scenario()
    gin.parse_config(
        "AbstractClickBanditLayer.ci_scaling = 0.25\nClusterBanditAgent.ci_scaling = 2.0"
    )
    try:
        assert layer(scenario, [[0], [1]])._bandit.optimism_scaling == 0.25
        cluster_bandit = ClusterBanditAgent(scenario.with_counts(2), scenario.action_space)
        assert cluster_bandit._bandit.optimism_scaling == 2.0
    finally:
        gin.clear_config()


def test_the_tutorials_bandit(topic_scenario):
    scenario = topic_scenario(num_topics=2, slate_size=2)
    cluster_bandit = ClusterClickStatsLayer(
        ClusterBanditAgent, scenario.observation_space, scenario.action_space
    )
    # Nothing is known: topic 0 first, by quality (documents 2 and 0).
    assert cluster_bandit.begin_episode(scenario.observation()) == [2, 0]
    # Topic 1 was never shown.
    assert cluster_bandit.step(0.0, scenario.observation(responses=[(0, 0), (0, 0)])) == [3, 1]
    # 2 impressions each, a click of topic 0.
    assert cluster_bandit.step(0.0, scenario.observation(responses=[(0, 1), (0, 1)])) == [3, 1]
    observation = scenario.observation(responses=[(1, 0)])
    assert cluster_bandit.step(1.0, observation) == [2, 0]
    # A topic with fewer documents than the slate: the next one fills it.
    observation = scenario.observation([1, 1, 0, 1], responses=[(1, 0)])
    assert cluster_bandit.step(1.0, observation) == [2, 3]
    cluster_bandit.end_episode(1.0, observation)
    assert cluster_bandit.begin_episode(scenario.observation()) == [2, 0]


def test_cluster_bandit_needs_discrete_topics(topic_scenario):
    scenario = topic_scenario()
    spaces = dict(scenario.with_counts(2).spaces)
    spaces["doc"] = type(spaces["doc"])({"0": type(spaces["doc"])({})})
    with pytest.raises(ValueError, match="Discrete 'cluster_id'"):
        ClusterBanditAgent(type(scenario.observation_space)(spaces), scenario.action_space)


@pytest.mark.parametrize("num_arms", [0, 1])
def test_fewer_than_two_arms(topic_scenario, num_arms):
    scenario = topic_scenario()
    with pytest.raises(
        ValueError, match=rf"arm_base_agent_ctors\) must be .* >= 2, got {num_arms}"
    ):
        layer(scenario, [[0]] * num_arms)


def test_cluster_bandit_of_one_topic(topic_scenario):
    scenario = topic_scenario(num_topics=1)
    with pytest.raises(ValueError, match=">= 2, got 1"):
        ClusterBanditAgent(scenario.with_counts(1), scenario.action_space)
