"""Where agents are right in place of the same as RecSim 0.2.4: a test for each deviation."""

from __future__ import annotations

import copy
import functools
import math

import numpy as np
import pytest
from support import recsim_names
from support.scenarios import make_vector_env
from support.topic_scenario import QualityFan

from recsim import agent
from recsim._internal.gym_import import spaces
from recsim.agents.bandits import algorithms, glm_algorithms
from recsim.agents.cluster_bandit_agent import (
    ClusterBanditAgent,
    GreedyClusterAgent,
    VectorClusterBanditAgent,
)
from recsim.agents.greedy_pctr_agent import GreedyPCTRAgent
from recsim.agents.layers.abstract_click_bandit import AbstractClickBanditLayer
from recsim.agents.layers.cluster_click_statistics import (
    ClusterClickStatsLayer,
    VectorClusterClickStatsLayer,
)
from recsim.agents.layers.temporal_aggregation import TemporalAggregationLayer
from recsim.agents.random_agent import RandomAgent
from recsim.agents.tabular_q_agent import TabularQAgent


class Told(agent.AbstractEpisodicRecommenderAgent):
    """Plays the slates of a script and keeps the rewards that it gets."""

    def __init__(self, action_space, script=(), documents=None):
        super().__init__(action_space)
        self.script = iter(script)
        self.documents = documents
        self.rewards = []

    def step(self, reward, observation):
        self.rewards.append(reward)
        return next(self.script) if self.documents is None else self.documents


def fixed_arms(*documents):
    return [functools.partial(Told, documents=each) for each in documents]


def test_klucb_index_is_that_of_the_formula():
    """RecSim's bisection overwrites the means: it gives 0.49998 where the index is 0.4667."""
    bandit = algorithms.KLUCB(2, {})
    bandit.set_state(np.array([10, 10]), np.array([10, 0]))
    # Of the mean 0: the q with -log(1 - q) = (log(20) + 3 log(log(20))) / 10.
    q = 1 - math.exp(-(math.log(20) + 3 * math.log(math.log(20))) / 10)
    assert round(q, 4) == 0.4667
    np.testing.assert_allclose(bandit.get_score(20), [1.0, q], atol=1e-9)


def test_thompson_draws_of_the_layer_move_on(topic_scenario):
    """RecSim's layer makes a new bandit with the same seed each step, which repeats its samples."""
    scenario = topic_scenario(num_topics=2, num_docs=2, slate_size=1)
    layer = AbstractClickBanditLayer(
        scenario.with_counts(2),
        scenario.action_space,
        fixed_arms([0], [1]),
        alg_ctor=algorithms.ThompsonSampling,
    )
    # Posteriors Beta(11, 11) and Beta(14, 8) overlap: both arms must come first at times.
    observation = scenario.observation_with_counts(
        [20, 20], [10, 13], topics=[0, 1], qualities=[1, 1]
    )
    first = [layer.step(0.0, observation)[0] for _ in range(100)]
    assert 5 <= first.count(0) <= 45


def test_first_slate_is_ordered_by_the_bandit(topic_scenario):
    """RecSim's layer takes the arms of an episode's first slate in the order given."""
    scenario = topic_scenario()
    layer = AbstractClickBanditLayer(
        scenario.with_counts(2), scenario.action_space, fixed_arms([0], [1])
    )
    observation = scenario.observation_with_counts([10, 10], [1, 9])
    assert layer.begin_episode(observation) == [1, 0]


COUNTS = ("impression_count", "click_count")


@pytest.mark.parametrize(
    ("observation_space", "message"),
    [
        (lambda scenario: scenario.observation_space, "the key 'sufficient_statistics'"),
        (lambda scenario: scenario.with_counts(2, COUNTS[1:]), "the key 'impression_count'"),
        (lambda scenario: scenario.with_counts(2, COUNTS[:1]), "the key 'click_count'"),
        (
            lambda scenario: scenario.with_counts(3),
            "impression_count must have .* each of the 2 arms",
        ),
        (
            lambda scenario: with_click_counts(scenario.with_counts(2), 3),
            "click_count must have .* each of the 2 arms",
        ),
    ],
    ids=["statistics", "impressions", "clicks", "number of impressions", "number of clicks"],
)
def test_the_five_checks_of_the_bandit_layer_raise(topic_scenario, observation_space, message):
    """RecSim builds these ValueErrors and does not raise them."""
    scenario = topic_scenario()
    with pytest.raises(ValueError, match=message):
        AbstractClickBanditLayer(
            observation_space(scenario), scenario.action_space, fixed_arms([0], [1])
        )


def with_click_counts(observation_space, num_arms):
    space = copy.deepcopy(observation_space)
    space["user"]["sufficient_statistics"].spaces["click_count"] = spaces.Box(
        0.0, np.inf, shape=(num_arms,), dtype=np.float32
    )
    return space


def test_candidates_fewer_than_the_slate(topic_scenario):
    """RecSim's layer asks for more arms than there are: an IndexError."""
    scenario = topic_scenario(num_docs=4, slate_size=4)
    layer = ClusterClickStatsLayer(
        ClusterBanditAgent, scenario.observation_space, scenario.action_space
    )
    few = functools.partial(scenario.observation, [1, 0, 1], [1.0, 2.0, 3.0])
    assert layer.begin_episode(few()) == [1, 2, 0]
    assert layer.step(0.0, few(responses=[(0, 0)])) == [2, 0, 1]


def test_arms_whose_actions_are_arrays(topic_scenario):
    """RecSim asks an action for its truth value: an array of two raises, one of [0] is dropped."""
    scenario = topic_scenario(slate_size=3)
    layer = AbstractClickBanditLayer(
        scenario.with_counts(2), scenario.action_space, fixed_arms(np.array([0]), np.array([2, 1]))
    )
    observation = scenario.observation_with_counts([9, 9], [9, 1])
    assert layer.step(0.0, observation) == [0, 2, 1]


def aggregation(scenario, script, **kwargs):
    return TemporalAggregationLayer(
        functools.partial(Told, script=script),
        scenario.observation_space,
        scenario.action_space,
        **kwargs,
    )


def test_temporal_aggregation_counts_its_steps(topic_scenario):
    """RecSim never counts the steps, so that every step is a decision."""
    layer = aggregation(topic_scenario(), [[0, 1], [2, 3]], aggregation_period=3)
    observation = topic_scenario.observation()
    slates = [layer.begin_episode(observation)]
    slates += [layer.step(0.0, observation) for _ in range(3)]
    assert slates == [[0, 1], [0, 1], [0, 1], [2, 3]]


def test_temporal_aggregation_holds_equal_documents(topic_scenario):
    """RecSim looks for documents that differ from those of the slate to be held."""
    layer = aggregation(topic_scenario(), [[0, 1]], aggregation_period=2)
    layer.begin_episode(topic_scenario.observation([0, 1, 0, 1], [1.0, 2.0, 3.0, 4.0]))
    moved = topic_scenario.observation([1, 1, 0, 0], [4.0, 2.0, 3.0, 1.0])
    assert layer.step(0.0, moved) == [3, 1]


def test_temporal_aggregation_charges_a_switch_once(topic_scenario):
    """RecSim charges a switch at every step until the next decision."""
    layer = aggregation(
        topic_scenario(),
        [[0, 1], [2, 3], [2, 3]],
        aggregation_period=2,
        gamma=1.0,
        switching_cost=3.0,
    )
    observation = topic_scenario.observation()
    layer.begin_episode(observation)
    for _ in range(4):
        layer.step(0.0, observation)
    assert recsim_names.base_agent(layer).rewards == [0.0, 0.0, -3.0]


def test_temporal_aggregation_leaves_the_callers_observation(topic_scenario):
    """RecSim replaces the user's part of the observation that it is handed."""
    layer = aggregation(topic_scenario(), [[0, 1]], switching_cost=1.0)
    observation = topic_scenario.observation()
    user = observation["user"]
    layer.step(0.0, observation)
    assert observation["user"] is user


def tabular(scenario, **kwargs):
    return TabularQAgent(
        scenario.observation_space, scenario.action_space, learning_rate=0.5, gamma=0.5, **kwargs
    )


def test_tabular_q_learns_from_the_last_reward(topic_scenario):
    """RecSim drops the last reward of an episode."""
    learner = tabular(topic_scenario())
    learner.begin_episode(topic_scenario.observation())
    learner.end_episode(6.0, topic_scenario.observation())
    learned = learner.bundle_and_checkpoint("", 0)
    assert list(learned["q_value_table"].values()) == [3.0]
    assert list(learned["sa_count"].values()) == [1]


def test_a_truncation_is_not_an_end_for_tabular_q(topic_scenario):
    """RecSim does not tell an agent that an episode was only truncated at a length limit."""
    observation = topic_scenario.observation()
    values = {}
    for truncated in (False, True):
        learner = tabular(topic_scenario(), exploration_temperature=0.0)
        shown, other, *_ = topic_scenario.indices(learner, observation).values()
        learner.unbundle("", 0, {"q_value_table": {shown: 8.0, other: 4.0}})
        learner.begin_episode(observation)
        learner.end_episode(2.0, observation, truncated=truncated)
        values[truncated] = learner.bundle_and_checkpoint("", 0)["q_value_table"][shown]
    assert values == {False: 0.5 * 2.0 + 0.5 * 8.0, True: 0.5 * (2.0 + 0.5 * 8.0) + 0.5 * 8.0}


def test_features_of_several_observations(topic_scenario):
    """RecSim puts the first observation in the place of all."""
    learner = tabular(topic_scenario())
    assert learner._discretize_gym_leaf(spaces.Discrete(9), [4, 7]) == [4, 7]


def test_tabular_q_takes_responses_from_the_first_step_on(topic_scenario):
    """RecSim fails at the first step where responses are part of the state, for there are none."""
    learner = tabular(topic_scenario(), ignore_response=False)
    assert len(learner.begin_episode(topic_scenario.observation())) == 2


def test_a_resumed_tabular_q_agent_explores_on_as_before(topic_scenario):
    """RecSim's bundle lacks the exploration temperature."""
    learner = tabular(topic_scenario(), exploration_temperature=0.5)
    learner.begin_episode(topic_scenario.observation())
    learner.end_episode(0.0, topic_scenario.observation())
    resumed = tabular(topic_scenario(), exploration_temperature=0.5)
    assert resumed.unbundle("", 0, learner.bundle_and_checkpoint("", 0))
    assert resumed.bundle_and_checkpoint("", 0)["exploration_temperature"] == 0.25


def exploring_agents(scenario):
    """Agents and bandits that RecSim lets draw from NumPy's global generator."""
    arms = [np.array([1.0, 0.0]), np.array([1.0, 0.0]), np.array([1.0, 0.0])]
    learner = tabular(scenario, exploration_temperature=1.0)
    return {
        "UCB_GLM": functools.partial(glm_algorithms.UCB_GLM(2, 9).get_arm, arms),
        "GLM_TS": functools.partial(glm_algorithms.GLM_TS(2).get_arm, arms),
        "TabularQAgent": functools.partial(learner.step, 0.0, scenario.observation()),
    }


@pytest.mark.parametrize("name", ["UCB_GLM", "GLM_TS", "TabularQAgent"])
def test_exploration_owns_its_generator(topic_scenario, name):
    """RecSim choices from NumPy's global generator: here each has its own, and repeats with it.

    (That the global one stays untouched is checked around every test.)
    """
    first, second = (exploring_agents(topic_scenario())[name] for _ in range(2))
    choices = [repr(first()) for _ in range(20)]
    assert len(set(choices)) > 1
    assert choices == [repr(second()) for _ in range(20)]


@pytest.mark.parametrize("algorithm", [glm_algorithms.GLM_TS(2), glm_algorithms.UCB_GLM(2, 9)])
def test_logistic_bandits_check_without_assert(algorithm):
    """RecSim's check of an arm's dimension is an assert statement."""
    with pytest.raises(ValueError, match="dim=2 features"):
        algorithm.update(1.0, [1.0, 2.0, 3.0])


def test_greedy_ties_do_not_depend_on_numpy(topic_scenario):
    """RecSim's argpartition orders ties differently from one version of NumPy to the next."""
    greedy = GreedyPCTRAgent(topic_scenario(num_docs=40, slate_size=5).action_space, None)
    scores = np.zeros(40)
    scores[[7, 30]] = 1.0
    assert greedy.findBestDocuments(scores).tolist() == [7, 30, 0, 1, 2]


def test_greedy_agents_share_no_choice_model(topic_scenario):
    """RecSim's default choice model is one object for all agents."""
    scenario = topic_scenario()
    first, second = (GreedyPCTRAgent(scenario.action_space, QualityFan()) for _ in range(2))
    first.step(0.0, scenario.observation())
    scores = first._choice_model.scores
    second.step(0.0, scenario.observation(qualities=[9.0, 0.0, 0.0, 0.0]))
    expected = np.exp([1, 2, 3, 4]) / (np.exp([1, 2, 3, 4]).sum() + np.exp(5))
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_statistics_of_an_episode_that_nobody_ended_are_gone(topic_scenario):
    """RecSim's layers carry the statistics of an aborted episode into the next."""
    scenario = topic_scenario()
    layer = ClusterClickStatsLayer(GreedyTopic0, scenario.observation_space, scenario.action_space)
    layer.begin_episode(scenario.observation())
    layer.step(0.0, scenario.observation(responses=[(1, 0)]))
    layer.begin_episode(scenario.observation())
    assert layer._sufficient_statistics["impression_count"].tolist() == [0, 0]


GreedyTopic0 = functools.partial(GreedyClusterAgent, cluster_id=0)


@pytest.mark.parametrize("click", [True, np.True_, 1, np.int64(1), 1.0, np.array([1])])
def test_clicks_are_0_or_1(topic_scenario, click):
    """RecSim takes whatever is true as a click, such as a count of 3, or -1."""
    scenario, no_click = topic_scenario(), np.asarray(click).dtype.type(0)
    layer = ClusterClickStatsLayer(GreedyTopic0, scenario.observation_space, scenario.action_space)
    layer.begin_episode(scenario.observation())
    env = make_vector_env(num_envs=2)
    of_users = VectorClusterClickStatsLayer(VectorClusterBanditAgent, env)
    observation, *rest = env.step(of_users.begin(env.reset(seed=0)[0]))
    response = {**observation["response"], "cluster_id": np.array([[1, 0]] * 2)}

    def step(click, no_click):
        layer.step(0.0, scenario.observation(responses=[(no_click, 0), (click, 1)]))

    def step_of_users(click, no_click):
        clicks = np.array([[np.squeeze(click), no_click]] * 2)
        of_users.step({**observation, "response": {**response, "click": clicks}}, *rest)

    step(click, no_click)
    step_of_users(click, no_click)
    for wrong in (3, 0.5, -1):
        for refused in (step, step_of_users):
            with pytest.raises(ValueError, match="click must be 0 or 1, got"):
                refused(wrong, 0)
    # And what is refused is not counted, not even the responses before it.
    assert layer._sufficient_statistics["impression_count"].tolist() == [1, 1]
    assert layer._sufficient_statistics["click_count"].tolist() == [0, 1]
    counts = of_users.state_dict()["users"]["click_count"]
    np.testing.assert_array_equal(counts[:, :2], [[0, 1]] * 2)


def test_layers_over_agents_that_take_no_observation_space(topic_scenario):
    """RecSim passes observation_space (and gamma) to agents that do not take it: a TypeError."""
    scenario = topic_scenario()
    for layer_class in (ClusterClickStatsLayer, TemporalAggregationLayer):
        layer = layer_class(RandomAgent, scenario.observation_space, scenario.action_space)
        assert len(layer.begin_episode(scenario.observation())) == 2
