"""The layers that add statistics: click counts and histories."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from support import recsim_names

from recsim import agent
from recsim._internal.gym_import import spaces
from recsim.agents.layers.cluster_click_statistics import ClusterClickStatsLayer
from recsim.agents.layers.fixed_length_history import FixedLengthHistoryLayer
from recsim.agents.layers.sufficient_statistics import SufficientStatisticsLayer
from recsim.agents.random_agent import RandomAgent
from recsim.agents.tabular_q_agent import TabularQAgent
from recsim.environments import interest_exploration


class Listener(agent.AbstractEpisodicRecommenderAgent):
    """Plays the first documents and keeps all that it is told."""

    def __init__(self, observation_space, action_space, **kwargs):
        super().__init__(action_space)
        self.observation_space = observation_space
        self.kwargs = kwargs
        self.heard = []

    def step(self, reward, observation):
        self.heard.append(observation)
        return list(range(self._slate_size))

    def end_episode(self, reward, observation=None):
        self.heard.append(observation)

    def statistics(self):
        """What was shown of the statistics, one a call."""
        return [observation["user"]["sufficient_statistics"] for observation in self.heard]


def counted(scenario, **kwargs):
    return ClusterClickStatsLayer(
        Listener, scenario.observation_space, scenario.action_space, **kwargs
    )


def remembering(scenario, length=3, **kwargs):
    return FixedLengthHistoryLayer(
        Listener, scenario.observation_space, scenario.action_space, length, **kwargs
    )


def counts(layer):
    shown = recsim_names.base_agent(layer).statistics()
    return [(s["impression_count"].tolist(), s["click_count"].tolist()) for s in shown]


def test_counts_of_an_episode(topic_scenario):
    scenario = topic_scenario(num_topics=3, slate_size=2)
    layer = counted(scenario)
    assert layer.begin_episode(scenario.observation()) == [0, 1]
    layer.step(0.0, scenario.observation(responses=[(1, 2), (0, 2)]))
    layer.step(0.0, scenario.observation(responses=[(0, 0), (1, 2)]))
    layer.end_episode(0.0, scenario.observation(responses=[(1, 1)]))
    assert counts(layer) == [
        ([0, 0, 0], [0, 0, 0]),
        ([0, 0, 2], [0, 0, 1]),
        ([1, 0, 3], [0, 0, 2]),
        # The base agent sees the counts of the last responses too.
        ([1, 1, 3], [0, 1, 2]),
    ]
    assert layer._sufficient_statistics is None


def test_counts_print_as_integers(topic_scenario):
    layer = counted(topic_scenario(slate_size=2))
    layer.step(0.0, topic_scenario.observation(responses=[(0, 1), (0, 1)]))
    shown = recsim_names.base_agent(layer).statistics()[0]
    assert repr(shown) == "{'impression_count': array([0, 2]), 'click_count': array([0, 0])}"


def test_the_callers_observation_and_what_was_shown_never_change(topic_scenario):
    scenario = topic_scenario()
    layer = counted(scenario)
    observation = scenario.observation(responses=[(1, 0), (0, 1)])
    user = observation["user"]
    layer.step(0.0, observation)
    assert set(observation) == {"user", "doc", "response"}
    assert observation["user"] is user
    shown = recsim_names.base_agent(layer).heard[0]
    assert shown["user"]["raw_observation"] is user
    layer.step(0.0, observation)
    assert counts(layer) == [([1, 1], [1, 0]), ([2, 2], [2, 0])]
    # Nor does a base agent change the layer's counts.
    shown["user"]["sufficient_statistics"]["click_count"][:] = 99
    layer.step(0.0, observation)
    assert counts(layer)[-1] == ([3, 3], [3, 0])


def test_base_agent_gets_the_augmented_space_and_the_further_arguments(topic_scenario):
    scenario = topic_scenario(num_topics=3)
    layer = counted(scenario, further=-1)
    listener = recsim_names.base_agent(layer)
    assert listener.kwargs == {"further": -1}
    space = listener.observation_space
    assert space["doc"] == scenario.observation_space["doc"]
    assert space["response"] == scenario.observation_space["response"]
    assert space["user"]["raw_observation"] == scenario.observation_space["user"]
    for key in ("impression_count", "click_count"):
        assert space["user"]["sufficient_statistics"][key].shape == (3,)
    assert layer.observation_space is scenario.observation_space


def test_base_agents_without_an_observation_space_work(topic_scenario):
    scenario = topic_scenario()
    layer = ClusterClickStatsLayer(
        RandomAgent, scenario.observation_space, scenario.action_space, random_seed=4
    )
    expected = RandomAgent(scenario.action_space, random_seed=4).begin_episode(
        scenario.observation()
    )
    assert layer.begin_episode(scenario.observation()) == expected
    with pytest.raises(TypeError, match="unknown_argument"):
        ClusterClickStatsLayer(
            RandomAgent, scenario.observation_space, scenario.action_space, unknown_argument=1
        )


@pytest.mark.parametrize("make", [counted, remembering])
def test_an_aborted_episode_leaves_nothing(topic_scenario, make):
    scenario = topic_scenario()
    layer, fresh = make(scenario), make(scenario)
    layer.begin_episode(scenario.observation())
    layer.step(0.0, scenario.observation(responses=[(1, 0), (0, 1)]))
    layer.begin_episode(scenario.observation())
    fresh.begin_episode(scenario.observation())
    assert repr(recsim_names.base_agent(layer).statistics()[-1]) == repr(
        recsim_names.base_agent(fresh).statistics()[-1]
    )


@pytest.mark.parametrize("make", [counted, remembering])
def test_bundle_restores_the_running_episode(topic_scenario, make):
    scenario = topic_scenario()
    layer, restored = make(scenario), make(scenario)
    layer.begin_episode(scenario.observation())
    layer.step(0.0, scenario.observation(responses=[(1, 0), (0, 1)]))
    bundle = layer.bundle_and_checkpoint("", 0)
    assert restored.unbundle("", 0, bundle)
    # What either does now leaves the bundle and the other as they are.
    for each in (layer, restored):
        each.step(0.0, scenario.observation(responses=[(1, 1)]))
    last = [repr(recsim_names.base_agent(each).statistics()[-1]) for each in (layer, restored)]
    assert last[0] == last[1]
    again = make(scenario)
    assert again.unbundle("", 0, bundle)
    again.step(0.0, scenario.observation(responses=[(1, 1)]))
    assert repr(recsim_names.base_agent(again).statistics()[-1]) == last[0]
    assert not again.unbundle("", 0, {})


def test_bundle_of_recsims_layer_has_no_statistics(topic_scenario):
    layer = counted(topic_scenario())
    assert layer.unbundle("", 0, {"base_agent_bundle_0": {"episode_num": 3}})
    assert recsim_names.base_agent(layer)._episode_num == 3


def with_response_space(scenario, response):
    parts = {**scenario.observation_space.spaces, "response": spaces.Tuple((response,))}
    return spaces.Dict(parts)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"cluster_id": spaces.Discrete(2)}, "the key 'click', got responses with .'cluster_id'"),
        ({"click": spaces.Discrete(2)}, "the key 'cluster_id', got responses with .'click'"),
        (
            {"click": spaces.Discrete(2), "cluster_id": spaces.MultiDiscrete([2, 2])},
            "must have a Discrete 'cluster_id'",
        ),
        (
            {"click": spaces.Discrete(2), "cluster_id": spaces.Box(0, 3, shape=(2,))},
            "must have a Discrete 'cluster_id', or one in a Box of one entry",
        ),
        (
            {"click": spaces.Discrete(2), "cluster_id": spaces.Box(0, np.inf, shape=())},
            "a finite upper bound",
        ),
    ],
)
def test_responses_without_clicks_or_topics(topic_scenario, keys, message):
    scenario = topic_scenario()
    with pytest.raises(ValueError, match=message):
        ClusterClickStatsLayer(
            Listener, with_response_space(scenario, spaces.Dict(keys)), scenario.action_space
        )


@pytest.mark.parametrize("shape", [(), (1,)])
def test_topics_of_a_box_include_its_upper_bound(topic_scenario, shape):
    scenario = topic_scenario()
    response = spaces.Dict(
        {"click": spaces.Discrete(2), "cluster_id": spaces.Box(0.0, 3.0, shape=shape)}
    )
    layer = ClusterClickStatsLayer(
        Listener, with_response_space(scenario, response), scenario.action_space
    )
    layer.step(1.0, scenario.observation(responses=[(1, np.float32(3.0))]))
    assert counts(layer) == [([0, 0, 0, 1], [0, 0, 0, 1])]


def test_history_newest_first(topic_scenario):
    scenario = topic_scenario()
    layer = remembering(scenario, length=2)
    observations = [
        scenario.observation(user=np.array([i / 4]), responses=None if i == 0 else [(i % 2, 0)])
        for i in range(3)
    ]
    layer.begin_episode(observations[0])
    layer.step(0.0, observations[1])
    layer.end_episode(0.0, observations[2])
    first, second, third = recsim_names.base_agent(layer).statistics()
    remembered = [{key: o[key] for key in ("user", "response")} for o in observations]
    assert first == (remembered[0], None)
    assert second == (remembered[1], remembered[0])
    assert third == (remembered[2], remembered[1])
    layer.begin_episode(observations[0])
    assert recsim_names.base_agent(layer).statistics()[-1] == first


def test_history_keeps_its_own_copies(topic_scenario):
    layer = remembering(topic_scenario())
    observation = topic_scenario.observation()
    layer.begin_episode(observation)
    observation["user"][:] = -1.0  # An environment that writes into what it handed out.
    layer.step(0.0, topic_scenario.observation())
    assert recsim_names.base_agent(layer).statistics()[-1][1]["user"].tolist() == [0.5]


def test_a_table_takes_a_history_of_documents_that_are_resampled():
    config = {"num_candidates": 3, "slate_size": 1, "resample_documents": True, "seed": 3}
    env = interest_exploration.create_environment(config)
    layer = FixedLengthHistoryLayer(
        TabularQAgent, env.observation_space, env.action_space, 2, remember_doc=True
    )
    slate = layer.begin_episode(env.reset())
    for _ in range(4):
        observation, reward, *_ = env.step(slate)
        slate = layer.step(reward, observation)
    table = layer.state_dict()["base_agent_bundle_0"]["q_value_table"]
    # Every observation has other documents, so that no state comes twice.
    assert len(table) == 4


@pytest.mark.parametrize("remember_user", [False, True])
@pytest.mark.parametrize("remember_response", [False, True])
@pytest.mark.parametrize("remember_doc", [False, True])
def test_history_of_what_is_wanted(topic_scenario, remember_user, remember_response, remember_doc):
    scenario = topic_scenario()
    wanted = {"user": remember_user, "response": remember_response, "doc": remember_doc}
    layer = remembering(scenario, 2, **{f"remember_{key}": value for key, value in wanted.items()})
    keys = {key for key, value in wanted.items() if value}
    layer.step(0.0, scenario.observation())
    listener = recsim_names.base_agent(layer)
    assert set(listener.statistics()[0][0]) == keys
    space = listener.observation_space["user"]["sufficient_statistics"]
    assert [set(entry.spaces) for entry in space.spaces] == [keys, keys]


@pytest.mark.parametrize(
    ("length", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_history_length(topic_scenario, length, error):
    with pytest.raises(error, match="history_length must be an integer >= 1"):
        remembering(topic_scenario(), length)


class StepsSoFar(SufficientStatisticsLayer):
    """Shows the number of observations of the episode, in a space of Gymnasium."""

    def __init__(self, base_agent_ctor, observation_space, action_space):
        count = gymnasium.spaces.Box(0, 100, (), np.int64)
        super().__init__(base_agent_ctor, observation_space, action_space, count)

    def _update(self, observation):
        self._sufficient_statistics = (self._sufficient_statistics or 0) + 1

    def _create_observation(self):
        return np.int64(self._sufficient_statistics)


def test_statistics_may_have_a_space_of_gymnasium(topic_scenario):
    scenario = topic_scenario(num_topics=3, slate_size=2)
    layer = StepsSoFar(Listener, scenario.observation_space, scenario.action_space)
    layer.begin_episode(scenario.observation())
    layer.step(0.0, scenario.observation(responses=[(1, 2), (0, 2)]))
    base_agent = recsim_names.base_agent(layer)
    assert base_agent.statistics() == [1, 2]
    shown = base_agent.observation_space["user"]["sufficient_statistics"]
    assert shown == spaces.Box(0, 100, (), np.int64)
