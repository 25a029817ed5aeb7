"""Where agents are right in place of the same as RecSim 0.2.4: a test for each deviation."""

from __future__ import annotations

import copy
import functools
import itertools
import math

import numpy as np
import pytest

from recsim import agent
from recsim._internal.gym_import import spaces
from recsim.agents.bandits import algorithms, glm_algorithms
from recsim.agents.cluster_bandit_agent import ClusterBanditAgent, GreedyClusterAgent
from recsim.agents.greedy_pctr_agent import GreedyPCTRAgent
from recsim.agents.layers.abstract_click_bandit import AbstractClickBanditLayer
from recsim.agents.layers.cluster_click_statistics import ClusterClickStatsLayer
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


def test_thompson_draws_of_the_layer_move_on(topic_world):
    """RecSim's layer makes a new bandit with the same seed each step, which repeats its draws."""
    world = topic_world(num_topics=2, num_docs=2, slate_size=1)
    layer = AbstractClickBanditLayer(
        world.with_counts(2),
        world.action_space,
        fixed_arms([0], [1]),
        alg_ctor=algorithms.ThompsonSampling,
    )
    # Posteriors Beta(11, 11) and Beta(14, 8) overlap: both arms must come first at times.
    observation = world.observation_with_counts([20, 20], [10, 13], topics=[0, 1], qualities=[1, 1])
    first = [layer.step(0.0, observation)[0] for _ in range(100)]
    assert 5 <= first.count(0) <= 45


def test_first_slate_is_ordered_by_the_bandit(topic_world):
    """RecSim's layer takes the arms of an episode's first slate in the order given."""
    world = topic_world()
    layer = AbstractClickBanditLayer(world.with_counts(2), world.action_space, fixed_arms([0], [1]))
    observation = world.observation_with_counts([10, 10], [1, 9])
    assert layer.begin_episode(observation) == [1, 0]


COUNTS = ("impression_count", "click_count")


@pytest.mark.parametrize(
    ("observation_space", "message"),
    [
        (lambda world: world.observation_space, "the key 'sufficient_statistics'"),
        (lambda world: world.with_counts(2, COUNTS[1:]), "the key 'impression_count'"),
        (lambda world: world.with_counts(2, COUNTS[:1]), "the key 'click_count'"),
        (lambda world: world.with_counts(3), "impression_count must have .* each of the 2 arms"),
        (
            lambda world: with_click_counts(world.with_counts(2), 3),
            "click_count must have .* each of the 2 arms",
        ),
    ],
    ids=["statistics", "impressions", "clicks", "number of impressions", "number of clicks"],
)
def test_the_five_checks_of_the_bandit_layer_raise(topic_world, observation_space, message):
    """RecSim builds these ValueErrors and does not raise them."""
    world = topic_world()
    with pytest.raises(ValueError, match=message):
        AbstractClickBanditLayer(observation_space(world), world.action_space, fixed_arms([0], [1]))


def with_click_counts(observation_space, num_arms):
    space = copy.deepcopy(observation_space)
    space["user"]["sufficient_statistics"].spaces["click_count"] = spaces.Box(
        0.0, np.inf, shape=(num_arms,), dtype=np.float32
    )
    return space


def test_candidates_fewer_than_the_slate(topic_world):
    """RecSim's layer asks for more arms than there are: an IndexError."""
    world = topic_world(num_docs=4, slate_size=4)
    layer = ClusterClickStatsLayer(ClusterBanditAgent, world.observation_space, world.action_space)
    few = functools.partial(world.observation, [1, 0, 1], [1.0, 2.0, 3.0])
    assert layer.begin_episode(few()) == [1, 2, 0]
    assert layer.step(0.0, few(responses=[(0, 0)])) == [2, 0, 1]


def test_arms_whose_actions_are_arrays(topic_world):
    """RecSim asks an action for its truth value: an array of two raises, one of [0] is dropped."""
    world = topic_world(slate_size=3)
    layer = AbstractClickBanditLayer(
        world.with_counts(2), world.action_space, fixed_arms(np.array([0]), np.array([2, 1]))
    )
    observation = world.observation_with_counts([9, 9], [9, 1])
    assert layer.step(0.0, observation) == [0, 2, 1]


def aggregation(world, script, **kwargs):
    return TemporalAggregationLayer(
        functools.partial(Told, script=script),
        world.observation_space,
        world.action_space,
        **kwargs,
    )


def test_temporal_aggregation_counts_its_steps(topic_world):
    """RecSim never counts the steps, so that every step is a decision."""
    layer = aggregation(topic_world(), [[0, 1], [2, 3]], aggregation_period=3)
    observation = topic_world.observation()
    slates = [layer.begin_episode(observation)]
    slates += [layer.step(0.0, observation) for _ in range(3)]
    assert slates == [[0, 1], [0, 1], [0, 1], [2, 3]]


def test_temporal_aggregation_holds_equal_documents(topic_world):
    """RecSim looks for documents that differ from those of the slate to be held."""
    layer = aggregation(topic_world(), [[0, 1]], aggregation_period=2)
    layer.begin_episode(topic_world.observation([0, 1, 0, 1], [1.0, 2.0, 3.0, 4.0]))
    moved = topic_world.observation([1, 1, 0, 0], [4.0, 2.0, 3.0, 1.0])
    assert layer.step(0.0, moved) == [3, 1]


def test_temporal_aggregation_charges_a_switch_once(topic_world):
    """RecSim charges a switch at every step until the next decision."""
    layer = aggregation(
        topic_world(), [[0, 1], [2, 3], [2, 3]], aggregation_period=2, gamma=1.0, switching_cost=3.0
    )
    observation = topic_world.observation()
    layer.begin_episode(observation)
    for _ in range(4):
        layer.step(0.0, observation)
    assert layer._base_agents[0].rewards == [0.0, 0.0, -3.0]


def test_temporal_aggregation_leaves_the_callers_observation(topic_world):
    """RecSim replaces the user's part of the observation that it is handed."""
    layer = aggregation(topic_world(), [[0, 1]], switching_cost=1.0)
    observation = topic_world.observation()
    user = observation["user"]
    layer.step(0.0, observation)
    assert observation["user"] is user


def tabular(world, **kwargs):
    return TabularQAgent(
        world.observation_space, world.action_space, learning_rate=0.5, gamma=0.5, **kwargs
    )


def test_tabular_q_learns_from_the_last_reward(topic_world):
    """RecSim drops the last reward of an episode."""
    learner = tabular(topic_world())
    learner.begin_episode(topic_world.observation())
    learner.end_episode(6.0, topic_world.observation())
    assert list(learner._q_value_table.values()) == [3.0]
    assert list(learner._state_action_counts.values()) == [1]


def test_a_cut_off_is_no_end_for_tabular_q(topic_world):
    """RecSim does not tell an agent that an episode was only cut off at a length limit."""
    observation = topic_world.observation()
    values = {}
    for truncated in (False, True):
        learner = tabular(topic_world(), exploration_temperature=0.0)
        played, other = (index for _, index in first_two(learner, observation))
        learner._q_value_table = {played: 8.0, other: 4.0}
        learner.begin_episode(observation)
        learner.end_episode(2.0, observation, truncated=truncated)
        values[truncated] = learner._q_value_table[played]
    assert values == {False: 0.5 * 2.0 + 0.5 * 8.0, True: 0.5 * (2.0 + 0.5 * 8.0) + 0.5 * 8.0}


def first_two(learner, observation):
    return itertools.islice(learner._enumerate_state_action_indices(observation), 2)


def test_features_of_several_observations(topic_world):
    """RecSim puts the first observation in the place of all."""
    learner = tabular(topic_world())
    assert learner._discretize_gym_leaf(spaces.Discrete(9), [4, 7]) == [4, 7]


def test_tabular_q_takes_responses_from_the_first_step_on(topic_world):
    """RecSim fails at the first step where responses are part of the state, for there are none."""
    learner = tabular(topic_world(), ignore_response=False)
    assert len(learner.begin_episode(topic_world.observation())) == 2


def test_a_resumed_tabular_q_agent_goes_on_exploring_as_before(topic_world):
    """RecSim's bundle lacks the exploration temperature."""
    learner = tabular(topic_world(), exploration_temperature=0.5)
    learner.begin_episode(topic_world.observation())
    learner.end_episode(0.0, topic_world.observation())
    resumed = tabular(topic_world(), exploration_temperature=0.5)
    assert resumed.unbundle("", 0, learner.bundle_and_checkpoint("", 0))
    assert resumed._exploration_temperature == 0.25


def exploring_agents(world):
    """Agents and bandits that RecSim lets draw from NumPy's global generator."""
    arms = [np.array([1.0, 0.0]), np.array([1.0, 0.0]), np.array([1.0, 0.0])]
    learner = tabular(world, exploration_temperature=1.0)
    return {
        "UCB_GLM": functools.partial(glm_algorithms.UCB_GLM(2, 9).get_arm, arms),
        "GLM_TS": functools.partial(glm_algorithms.GLM_TS(2).get_arm, arms),
        "TabularQAgent": functools.partial(learner.step, 0.0, world.observation()),
    }


@pytest.mark.parametrize("name", ["UCB_GLM", "GLM_TS", "TabularQAgent"])
def test_exploration_owns_its_generator(topic_world, name):
    """RecSim draws from NumPy's global generator: here each has its own, and repeats with it.

    (That the global one stays untouched is checked around every test.)
    """
    first, second = (exploring_agents(topic_world())[name] for _ in range(2))
    draws = [repr(first()) for _ in range(20)]
    assert len(set(draws)) > 1
    assert draws == [repr(second()) for _ in range(20)]


@pytest.mark.parametrize("algorithm", [glm_algorithms.GLM_TS(2), glm_algorithms.UCB_GLM(2, 9)])
def test_logistic_bandits_check_without_assert(algorithm):
    """RecSim's check of an arm's dimension is an assert statement."""
    with pytest.raises(ValueError, match="dim=2 features"):
        algorithm.update(1.0, [1.0, 2.0, 3.0])


def test_greedy_ties_do_not_depend_on_numpy(topic_world):
    """RecSim's argpartition orders ties differently from one version of NumPy to the next."""
    greedy = GreedyPCTRAgent(topic_world(num_docs=40, slate_size=5).action_space, None)
    scores = np.zeros(40)
    scores[[7, 30]] = 1.0
    assert greedy.findBestDocuments(scores).tolist() == [7, 30, 0, 1, 2]


def test_greedy_agents_share_no_choice_model(topic_world):
    """RecSim's default choice model is one object for all agents."""
    first, second = (GreedyPCTRAgent(topic_world().action_space, None) for _ in range(2))
    assert first._choice_model is not second._choice_model


def test_statistics_of_an_episode_that_nobody_ended_are_gone(topic_world):
    """RecSim's layers carry the statistics of an aborted episode into the next."""
    world = topic_world()
    layer = ClusterClickStatsLayer(GreedyTopic0, world.observation_space, world.action_space)
    layer.begin_episode(world.observation())
    layer.step(0.0, world.observation(responses=[(1, 0)]))
    layer.begin_episode(world.observation())
    assert layer._sufficient_statistics["impression_count"].tolist() == [0, 0]


GreedyTopic0 = functools.partial(GreedyClusterAgent, cluster_id=0)


def test_layers_over_agents_that_take_no_observation_space(topic_world):
    """RecSim passes observation_space (and gamma) to agents that do not take it: a TypeError."""
    world = topic_world()
    for layer_class in (ClusterClickStatsLayer, TemporalAggregationLayer):
        layer = layer_class(RandomAgent, world.observation_space, world.action_space)
        assert len(layer.begin_episode(world.observation())) == 2
