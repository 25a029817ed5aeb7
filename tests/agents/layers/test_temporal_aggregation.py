"""Temporal aggregation: when it decides, what it holds, what the base agent is paid."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from support import recsim_names

from recsim import agent
from recsim._internal.gym_import import spaces
from recsim.agents.layers.temporal_aggregation import TemporalAggregationLayer
from recsim.agents.random_agent import RandomAgent


class Scripted(agent.AbstractEpisodicRecommenderAgent):
    """Plays the slates of a script and keeps the rewards and observations that it gets."""

    def __init__(self, observation_space, action_space, gamma, script):
        super().__init__(action_space)
        self.observation_space = observation_space
        self.gamma = gamma
        self.script = iter(script)
        self.rewards, self.observations, self.ends = [], [], []

    def step(self, reward, observation):
        self.rewards.append(reward)
        self.observations.append(observation)
        return next(self.script)

    def end_episode(self, reward, observation=None, *, truncated=False):
        self.ends.append((reward, observation, truncated))


def layer(scenario, script, **kwargs):
    return TemporalAggregationLayer(
        Scripted, scenario.observation_space, scenario.action_space, script=script, **kwargs
    )


def same_topic(document1, document2):
    return document1["cluster_id"] == document2["cluster_id"]


def test_decides_once_a_period_and_holds_in_between(topic_scenario):
    scenario = topic_scenario()
    aggregation = layer(
        scenario, [[0, 1], [2, 3], [3, 0]], aggregation_period=3, switching_cost=0.0, gamma=0.5
    )
    observation = scenario.observation()
    slates = [aggregation.begin_episode(observation)]
    slates += [aggregation.step(reward, observation) for reward in (1, 2, 4, 8, 16, 32)]
    assert slates == [[0, 1]] * 3 + [[2, 3]] * 3 + [[3, 0]]
    # 1 + 2/2 + 4/4, and 8 + 16/2 + 32/4: each period's rewards, discounted within it.
    base = recsim_names.base_agent(aggregation)
    assert base.rewards == [0.0, 3.0, 24.0]
    assert base.gamma == 0.5**3
    aggregation.end_episode(5.0, observation, truncated=True)
    assert base.ends == [(5.0, observation, True)]


def test_episode_may_end_within_a_period(topic_scenario):
    scenario = topic_scenario()
    aggregation = layer(
        scenario, [[0, 1], [1, 2]], aggregation_period=3, switching_cost=0.0, gamma=0.5
    )
    observation = scenario.observation()
    aggregation.begin_episode(observation)
    aggregation.step(1.0, observation)
    aggregation.end_episode(10.0, observation)
    base = recsim_names.base_agent(aggregation)
    assert [end[0] for end in base.ends] == [1.0 + 0.5 * 10.0]
    # The next episode begins with a decision and owes nothing.
    assert aggregation.begin_episode(observation) == [1, 2]
    assert base.rewards == [0.0, 0.0]


def test_an_aborted_episode_leaves_nothing(topic_scenario):
    scenario = topic_scenario()
    aggregation = layer(scenario, [[0, 1], [2, 3]], aggregation_period=3, gamma=1.0)
    aggregation.begin_episode(scenario.observation())
    aggregation.step(5.0, scenario.observation())
    assert aggregation.begin_episode(scenario.observation()) == [2, 3]
    assert recsim_names.base_agent(aggregation).rewards == [0.0, 0.0]


def test_a_switch_is_charged_once_at_the_next_decision(topic_scenario):
    scenario = topic_scenario()
    script = [[0, 1], [0, 1], [2, 1], [2, 1], [1, 2]]
    aggregation = layer(scenario, script, aggregation_period=2, switching_cost=10.0, gamma=1.0)
    observation = scenario.observation()
    aggregation.begin_episode(observation)
    for _ in range(8):
        aggregation.step(1.0, observation)
    base = recsim_names.base_agent(aggregation)
    # The third decision switches: its two steps are worth 2 - 10. The fifth switches too (the
    # order of a slate counts), and its cost falls due at the end.
    assert base.rewards == [0.0, 2.0, 2.0, -8.0, 2.0]
    aggregation.end_episode(1.0, observation)
    assert base.ends[0][0] == 1.0 - 10.0


def test_switching_cost_alone(topic_scenario):
    scenario = topic_scenario()
    aggregation = layer(scenario, [[0, 1], [2, 3], [2, 3], [2, 3]], switching_cost=0.5, gamma=0.9)
    observation = scenario.observation()
    aggregation.begin_episode(observation)
    for _ in range(3):
        aggregation.step(1.0, observation)
    assert recsim_names.base_agent(aggregation).rewards == [0.0, 1.0, 0.5, 1.0]
    assert recsim_names.base_agent(aggregation).gamma == 0.9


def test_switches_of_slates_of_other_lengths(topic_scenario):
    scenario = topic_scenario()
    aggregation = layer(scenario, [[0, 1], [0], [0]], switching_cost=1.0)
    aggregation.begin_episode(scenario.observation())
    aggregation.step(0.0, scenario.observation())
    aggregation.step(0.0, scenario.observation())
    assert recsim_names.base_agent(aggregation).rewards == [0.0, 0.0, -1.0]


def test_base_agent_sees_the_last_slate_and_the_caller_keeps_its_observation(topic_scenario):
    scenario = topic_scenario()
    aggregation = layer(scenario, [[3, 2], [1, 0]], switching_cost=1.0)
    observation = scenario.observation()
    before = copy.deepcopy(observation)
    aggregation.begin_episode(observation)
    aggregation.step(0.0, observation)
    assert observation == before
    documents = list(observation["doc"].values())
    first, second = recsim_names.base_agent(aggregation).observations
    assert first["user"]["original_observation"] is observation["user"]
    assert first["user"]["last_slate"] == (documents[0], documents[1])  # Made up.
    assert second["user"]["last_slate"] == (documents[3], documents[2])
    user_space = recsim_names.base_agent(aggregation).observation_space["user"]
    assert user_space["original_observation"] == scenario.observation_space["user"]
    assert user_space["last_slate"] == spaces.Tuple((scenario.observation_space["doc"]["0"],) * 2)


def test_without_a_switching_cost_the_observation_is_the_environments(topic_scenario):
    scenario = topic_scenario()
    aggregation = layer(scenario, [[0, 1]], switching_cost=0.0)
    observation = scenario.observation()
    aggregation.begin_episode(observation)
    assert recsim_names.base_agent(aggregation).observations[0] is observation
    assert recsim_names.base_agent(aggregation).observation_space is scenario.observation_space


def test_holds_documents_that_moved(topic_scenario):
    scenario = topic_scenario()
    aggregation = layer(scenario, [[1, 3]], aggregation_period=4)
    aggregation.begin_episode(scenario.observation([0, 1, 0, 1], [1.0, 2.0, 3.0, 4.0]))
    moved = scenario.observation([1, 0, 1, 0], [4.0, 3.0, 2.0, 1.0])
    assert aggregation.step(0.0, moved) == [2, 0]
    fewer = scenario.observation([1, 1], [2.0, 4.0 + 5e-5])  # Within the tolerance of 1e-4.
    assert aggregation.step(0.0, fewer) == [0, 1]
    with pytest.raises(RuntimeError, match="no document that equals .* resample_documents=False"):
        aggregation.step(0.0, scenario.observation([0, 1], [2.0, 4.0]))


def test_holds_topics(topic_scenario):
    scenario = topic_scenario(num_topics=3)
    aggregation = layer(
        scenario, [[2, 3]], aggregation_period=9, document_comparison_fcn=same_topic
    )
    aggregation.begin_episode(scenario.observation([0, 0, 1, 1]))
    # Wherever a document at the old place will do, it stays.
    assert aggregation.step(0.0, scenario.observation([1, 1, 1, 0], [9.0, 9.0, 9.0, 9.0])) == [2, 0]
    with pytest.raises(RuntimeError, match="cannot be held for 9 steps"):
        aggregation.step(0.0, scenario.observation([1, 0, 2, 0]))


def test_switch_between_documents_that_count_as_equal_is_free(topic_scenario):
    scenario = topic_scenario()
    aggregation = layer(scenario, [[0, 1], [2, 3], [1, 0]], document_comparison_fcn=same_topic)
    for _ in range(2):
        aggregation.step(0.0, scenario.observation([0, 1, 0, 1]))
    aggregation.end_episode(0.0, scenario.observation())
    assert recsim_names.base_agent(aggregation).ends[0][0] == 0.0


def test_a_slate_with_the_same_document_twice_is_held(topic_scenario):
    scenario = topic_scenario()
    aggregation = layer(scenario, [[2, 2]], aggregation_period=2)
    aggregation.begin_episode(scenario.observation())
    assert aggregation.step(0.0, scenario.observation()) == [2, 2]


def test_held_slate_survives_an_environment_that_changes_its_observations(topic_scenario):
    scenario = topic_scenario()
    aggregation = layer(scenario, [[0, 1]], aggregation_period=2)
    observation = scenario.observation()
    aggregation.begin_episode(observation)
    observation["doc"]["0"]["quality"][...] = 77.0
    moved = scenario.observation([1, 0, 0, 1], [2.0, 1.0, 3.0, 4.0])
    assert aggregation.step(0.0, moved) == [1, 0]


def test_bundle_restores_the_running_episode(topic_scenario):
    scenario = topic_scenario()
    script = [[0, 1], [2, 3], [0, 1], [1, 0]]
    make = lambda script: layer(scenario, script, aggregation_period=2, gamma=0.5)  # noqa: E731
    whole = make(script)
    whole.begin_episode(scenario.observation())
    for _ in range(3):
        whole.step(1.0, scenario.observation())
    bundle = whole.bundle_and_checkpoint("", 0)
    resumed = make(script[2:])
    assert resumed.unbundle("", 0, bundle)
    for aggregation in (whole, resumed):
        aggregation.step(1.0, scenario.observation())
        aggregation.step(1.0, scenario.observation())
        aggregation.end_episode(1.0, scenario.observation())
    # The second decision was a switch and its period was running: 1 + 0.5 - 1.
    assert (
        recsim_names.base_agent(resumed).rewards
        == [0.5]
        == recsim_names.base_agent(whole).rewards[2:]
    )
    assert recsim_names.base_agent(resumed).ends == recsim_names.base_agent(whole).ends
    assert not resumed.unbundle("", 0, {})


def test_base_agents_that_know_no_discount_work(topic_scenario):
    scenario = topic_scenario()
    aggregation = TemporalAggregationLayer(
        RandomAgent, scenario.observation_space, scenario.action_space, aggregation_period=2
    )
    slate = aggregation.begin_episode(scenario.observation())
    assert aggregation.step(0.0, scenario.observation()) == slate


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"gamma": 1.1}, ValueError, r"gamma must be .* \[0, 1\], got 1.1"),
        ({"gamma": -0.1}, ValueError, "gamma"),
        ({"aggregation_period": 0}, ValueError, "aggregation_period must be an integer >= 1"),
        ({"aggregation_period": 2.0}, TypeError, "aggregation_period"),
        ({"switching_cost": -1.0}, ValueError, "switching_cost must be .* >= 0, got -1.0"),
        ({"switching_cost": np.nan}, ValueError, "switching_cost"),
    ],
)
def test_bad_input(topic_scenario, arguments, error, message):
    with pytest.raises(error, match=message):
        layer(topic_scenario(), [], **arguments)
