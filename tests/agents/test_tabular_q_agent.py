"""Tabular Q-learning: features, updates, exploration, bundles, and a known answer."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
from support.topic_scenario import TopicScenario

from recsim._internal.gym_import import spaces
from recsim.agents import agent_utils
from recsim.agents.tabular_q_agent import TabularQAgent


def make(scenario, **kwargs):
    kwargs = {"learning_rate": 0.5, "gamma": 0.5, "exploration_temperature": 0.0, **kwargs}
    return TabularQAgent(scenario.observation_space, scenario.action_space, **kwargs)


def table(agent):
    """Returns the values of states with slates, by their indices."""
    return agent.bundle_and_checkpoint("", 0)["q_value_table"]


def visits(agent):
    """Returns how often states were seen with slates, by their indices."""
    return agent.bundle_and_checkpoint("", 0)["sa_count"]


def temperature(agent):
    return agent.bundle_and_checkpoint("", 0)["exploration_temperature"]


def discretized(agent, space, values):
    return agent._discretize_gym_leaf(space, values)


def enumerated_slates(agent, documents):
    return list(agent._enumerate_slates(documents))


def test_discretisation_as_recsims_test_has_it(topic_scenario):
    agent = make(topic_scenario())
    bins = agent._discretization_bins
    assert (bins[0], bins[-1], len(bins)) == (0.0, 10.0, 100)
    assert discretized(agent, spaces.Discrete(5), [4]) == [4]
    box = spaces.Box(low=0.0, high=10.0, shape=(1, 1), dtype=np.float32)
    for value, expected in [
        (bins[0] - 1e-4, 0), (bins[0], 1), (bins[-1] - 1e-4, 99), (bins[-1] + 1.0, 100),
    ]:  # fmt: skip
        assert discretized(agent, box, [value]) == [expected]
    square = np.array([[bins[0] - 1e-5, bins[-1] - 1e-5], [bins[-1] + 1.0, bins[0]]])
    assert discretized(agent, spaces.Box(0, 10, shape=(2, 2)), [square]) == [0, 99, 100, 1]


def test_discretisation_of_several_observations(topic_scenario):
    agent = make(topic_scenario(), discretization_bounds=(0.0, 4.0), number_bins=5)
    assert discretized(agent, spaces.Discrete(5), [4, np.int64(2)]) == [4, 2]
    box = spaces.Box(0, 10, shape=(2,))
    assert discretized(agent, box, [[0.5, 1.5], [2.5, 9.0]]) == [1, 2, 3, 5]


def test_index_of_slates(topic_scenario):
    scenario = topic_scenario(num_docs=3, slate_size=2)
    # Edges 0, 1, 2, 3, 4: a quality of 1.5 is in bin 2. The user's feature 0.5 is in bin 1.
    agent = make(scenario, discretization_bounds=(0.0, 4.0), number_bins=5)
    observation = scenario.observation([0, 1, 1], [1.5, 0.5, 99.0], responses=[(1, 0), (0, 1)])
    assert TopicScenario.indices(agent, observation) == {
        (0, 1): (0, 2, 1, 1, 1),
        (0, 2): (0, 2, 1, 5, 1),
        (1, 2): (1, 1, 1, 5, 1),
    }
    index = next(iter(TopicScenario.indices(agent, observation).values()))
    assert all(type(entry) is int for entry in index)


def test_index_with_responses(topic_scenario):
    scenario = topic_scenario(num_docs=2, slate_size=2)
    agent = make(scenario, number_bins=2, ignore_response=False)
    observation = scenario.observation([0, 1], [1.0, 1.0], responses=[(1, 0), (0, 1)])
    assert TopicScenario.indices(agent, observation) == {(0, 1): (0, 1, 1, 1, 1, 0, 0, 1, 1)}
    # At the first step there is no response.
    first = scenario.observation([0, 1], [1.0, 1.0])
    assert TopicScenario.indices(agent, first) == {(0, 1): (0, 1, 1, 1, 1)}
    assert agent.begin_episode(first) == (0, 1)


def test_slates_in_order_or_not(topic_scenario):
    scenario = topic_scenario(num_docs=4, slate_size=2)
    documents = scenario.observation()["doc"]
    enumerated = enumerated_slates(make(scenario), documents)
    assert [slate for slate, _ in enumerated] == list(itertools.combinations(range(4), 2))
    assert enumerated[1][1] == (documents["0"], documents["2"])
    ordinal = enumerated_slates(make(scenario, ordinal_slates=True), documents)
    assert [slate for slate, _ in ordinal] == list(itertools.permutations(range(4), 2))


def one_document(scenario, state, num_docs=2):
    """An observation of documents of topics 0, 1, … whose user is in a state of its own."""
    return scenario.observation(list(range(num_docs)), [0.5] * num_docs, user=np.array([state]))


def test_updates_by_hand(topic_scenario):
    scenario = topic_scenario(num_topics=2, num_docs=2, slate_size=1)
    agent = make(scenario, number_bins=11, learning_rate=0.5, gamma=0.5)
    state0, state1 = one_document(scenario, 0.5), one_document(scenario, 1.5)
    index0 = TopicScenario.indices(agent, state0)[(0,)]
    index1 = TopicScenario.indices(agent, state1)[(0,)]
    assert agent.begin_episode(state0) == (0,)  # All values are 0: the first slate.
    assert agent.step(4.0, state1) == (0,)
    assert table(agent) == {index0: 2.0}  # 0.5 * (4 + 0.5 * 0)
    assert agent.step(8.0, state0) == (0,)
    # 0.5 * (8 + 0.5 * Q(state0, 0)) with the value 2 of before.
    assert table(agent) == {index0: 2.0, index1: 4.5}
    agent.end_episode(-6.0, state1)
    # A terminal state has no value: 0.5 * -6 + 0.5 * 2.
    assert table(agent) == {index0: -2.0, index1: 4.5}
    assert visits(agent) == {index0: 2, index1: 1}


def test_a_truncated_episode_still_has_a_value(topic_scenario):
    scenario = topic_scenario(num_topics=2, num_docs=2, slate_size=1)
    agent = make(scenario, number_bins=11)
    state0, state1 = one_document(scenario, 0.5), one_document(scenario, 1.5)
    index0, index1 = (
        TopicScenario.indices(agent, state0)[(0,)],
        TopicScenario.indices(agent, state1)[(1,)],
    )
    agent.unbundle("", 0, {"q_value_table": {index1: 10.0}})
    agent.begin_episode(state0)
    agent.end_episode(2.0, state1, truncated=True)
    assert table(agent) == {index0: 0.5 * (2.0 + 0.5 * 10.0), index1: 10.0}


def test_an_aborted_episode_is_not_learned_from(topic_scenario):
    scenario = topic_scenario()
    agent = make(scenario)
    agent.begin_episode(scenario.observation())
    agent.begin_episode(scenario.observation())
    assert table(agent) == {}


def test_evaluation_learns_nothing(topic_scenario):
    scenario = topic_scenario(num_topics=2, num_docs=2, slate_size=1)
    agent = make(scenario, eval_mode=True, exploration_temperature=1.0)
    observation = one_document(scenario, 0.5)
    values = {TopicScenario.indices(agent, observation)[(1,)]: 1.0}
    agent.unbundle("", 0, {"q_value_table": values})
    slates = {agent.begin_episode(observation)} | {agent.step(5.0, observation) for _ in range(20)}
    agent.end_episode(5.0, observation)
    assert slates == {(1,)}
    assert table(agent) == values
    assert visits(agent) == {}


def run_in_known_scenario(agent, scenario, steps):
    """Two states; document 0 pays its state and stays, document 1 pays nothing and moves on."""
    state, reward, begin = 0, 0.0, True
    for _ in range(steps):
        observation = one_document(scenario, state + 0.5)
        slate = agent.begin_episode(observation) if begin else agent.step(reward, observation)
        begin = False
        reward = float(state) if slate == (0,) else 0.0
        state = state if slate == (0,) else 1 - state


@pytest.mark.parametrize("policy", ["epsilon_greedy", "min_count"])
def test_converges_to_the_known_values(topic_scenario, policy):
    # With discount 1/2: V(1) = 1 / (1 - 1/2) = 2, V(0) = 0 + V(1) / 2 = 1, so that
    # Q(0, stay) = 1/2, Q(0, move) = 1, Q(1, stay) = 2, Q(1, move) = 1/2.
    scenario = topic_scenario(num_topics=2, num_docs=2, slate_size=1)
    agent = make(scenario, number_bins=11, exploration_policy=policy, exploration_temperature=1.0)
    run_in_known_scenario(agent, scenario, 2000)
    values = {}
    for state in (0, 1):
        slates = TopicScenario.indices(agent, one_document(scenario, state + 0.5))
        for action in (0, 1):
            values[state, action] = table(agent)[slates[(action,)]]
    expected = {(0, 0): 0.5, (0, 1): 1.0, (1, 0): 2.0, (1, 1): 0.5}
    assert values == pytest.approx(expected, abs=1e-6)


def test_temperature_falls_from_episode_to_episode(topic_scenario):
    scenario = topic_scenario()
    agent = make(scenario, exploration_temperature=0.9)
    for episode in range(3):
        assert temperature(agent) == pytest.approx(0.9 ** (episode + 1))
        agent.begin_episode(scenario.observation())
        agent.end_episode(0.0, scenario.observation())


def test_custom_exploration(topic_scenario):
    scenario = topic_scenario()
    calls = []

    def last_slate(state_actions, q_function, temperature):
        calls.append((dict(q_function), temperature))
        return list(state_actions)[-1]

    agent = make(scenario, exploration_policy=last_slate, exploration_temperature=0.25)
    assert agent.begin_episode(scenario.observation()) == (2, 3)
    assert agent.step(1.0, scenario.observation()) == (2, 3)
    learned = TopicScenario.indices(agent, scenario.observation())[(2, 3)]
    assert calls == [({}, 0.25), ({learned: 0.5}, 0.25)]


def test_a_policy_of_agent_utils_is_a_custom_exploration(topic_scenario):
    scenario = topic_scenario()
    agent = make(scenario, exploration_policy=agent_utils.epsilon_greedy_exploration)
    assert agent.begin_episode(scenario.observation()) == (0, 1)


def run(agent, scenario, episodes, slates):
    for episode in range(episodes):
        observation = one_document(scenario, 0.5, num_docs=4)
        slates.append(agent.begin_episode(observation))
        for step in range(5):
            slates.append(agent.step(float((episode + step) % 3), observation))
        agent.end_episode(1.0, observation, truncated=bool(episode % 2))


@pytest.mark.parametrize("policy", ["epsilon_greedy", "min_count"])
def test_resumed_agent_is_the_interrupted_one(topic_scenario, policy):
    scenario = topic_scenario(num_topics=4, num_docs=4, slate_size=2)
    settings = {"exploration_policy": policy, "exploration_temperature": 0.9}
    agent = make(scenario, **settings)
    run(agent, scenario, 3, [])
    agent.begin_episode(one_document(scenario, 0.5, num_docs=4))
    bundle = agent.bundle_and_checkpoint("", 0)
    assert {"q_value_table", "sa_count"} <= set(bundle)
    kept = copy.deepcopy(bundle)
    resumed = make(scenario, seed=99, **settings)
    assert resumed.unbundle("", 0, bundle)
    played = {}
    for each in (agent, resumed):
        slates = [each.step(2.0, one_document(scenario, 0.5, num_docs=4))]
        run(each, scenario, 3, slates)
        played[each] = slates
    assert played[agent] == played[resumed]
    end = agent.bundle_and_checkpoint("", 0), resumed.bundle_and_checkpoint("", 0)
    assert repr(end[0]) == repr(end[1])
    assert repr(bundle) == repr(kept)  # What follows does not touch the bundle.


def test_bundle_of_recsims_agent(topic_scenario):
    agent = make(topic_scenario(), exploration_temperature=0.9)
    assert agent.unbundle("", 0, {"q_value_table": {(1, 2): 3.0}, "sa_count": {(1, 2): 4}})
    assert table(agent) == {(1, 2): 3.0}
    assert visits(agent) == {(1, 2): 4}
    assert temperature(agent) == 0.9
    assert not agent.unbundle("", 0, {"sa_count": {}})


def test_too_few_documents(topic_scenario):
    scenario = topic_scenario(slate_size=3)
    with pytest.raises(ValueError, match="a slate of 3 and 2 documents"):
        make(scenario).begin_episode(scenario.observation([0, 1], [1.0, 2.0]))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"exploration_policy": "epsilon_gredy"}, ValueError, "Did you mean 'epsilon_greedy'"),
        ({"exploration_policy": 3}, TypeError, "exploration_policy must be a name or a function"),
        ({"exploration_temperature": 1.5}, ValueError, "exploration_temperature"),
        ({"gamma": 2.0}, ValueError, "gamma"),
        ({"learning_rate": -0.1}, ValueError, "learning_rate"),
        ({"number_bins": 1}, ValueError, "number_bins must be an integer >= 2"),
        ({"number_bins": 10.0}, TypeError, "number_bins"),
        ({"discretization_bounds": (1.0, 1.0)}, ValueError, "discretization_bounds"),
    ],
)
def test_bad_input(topic_scenario, arguments, error, message):
    with pytest.raises(error, match=message):
        make(topic_scenario(), **arguments)
