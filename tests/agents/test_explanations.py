"""What agents say they go by, and that saying it changes nothing."""

from __future__ import annotations

import copy
import functools
import math

import numpy as np
import pytest
from support.topic_scenario import QualityFan, TopicScenario

from recsim import choice_model, registry, types
from recsim.agents import (
    cluster_bandit_agent,
    full_slate_q_agent,
    greedy_pctr_agent,
    random_agent,
    slate_decomp_q_agent,
    softmax_agent,
    tabular_q_agent,
)
from recsim.agents.bandits import algorithms
from recsim.agents.layers import (
    cluster_click_statistics,
    fixed_length_history,
    temporal_aggregation,
)
from recsim.environments import interest_evolution, interest_exploration
from recsim.simulator import rollout

CONFIG = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 3}

REGISTERED = {
    name: (
        entry.environment or "interest_exploration",
        functools.partial(registry.create_agent, name),
    )
    for name, entry in registry.AGENTS.items()
}


def history(env, **_):
    return fixed_length_history.FixedLengthHistoryLayer(
        random_agent.RandomAgent, env.observation_space, env.action_space, history_length=2
    )


def aggregated(env, **kwargs):
    del kwargs
    return temporal_aggregation.TemporalAggregationLayer(
        tabular_q_agent.TabularQAgent,
        env.observation_space,
        env.action_space,
        gamma=0.9,
        aggregation_period=2,
        # New candidates count as equal, so that slates can be held.
        document_comparison_fcn=lambda a, b: True,
    )


MADE = {
    **REGISTERED,
    "history": ("interest_exploration", history),
    "temporal_aggregation": ("long_term_satisfaction", aggregated),
}


def episode(name, *, explain, eval_mode):
    scenario, create = MADE[name]
    env = registry.create_environment(scenario, CONFIG)
    env.seed(1)
    agent = create(env, seed=2, eval_mode=eval_mode)
    slates, explained = [], []

    def on_step(step):
        slates.append(np.array(step.slate).tolist())
        if explain:
            explained.extend(agent.explain(step.observation) for _ in range(2))

    for _ in range(2):
        rollout.run_episode(env, agent, max_steps=12, listeners=[rollout.OnStep(on_step)])
    return slates, agent.state_dict(), explained


def assert_equal(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_equal(*pair)
    else:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", MADE)
def test_explaining_changes_nothing(name):
    """The same slates and the same state, random streams included, with and without it."""
    # What learns by TensorFlow only recommends here; tests of deep agents train it.
    eval_mode = name in REGISTERED and registry.AGENTS[name].plans_training
    without = episode(name, explain=False, eval_mode=eval_mode)
    explained = episode(name, explain=True, eval_mode=eval_mode)
    assert_equal(without[:2], explained[:2])
    assert len(explained[2]) == 2 * len(without[0])
    for first, second in zip(explained[2][::2], explained[2][1::2], strict=True):
        assert isinstance(first, types.Explanation)
        assert first.title == second.title
        for one, other in zip(first.tables, second.tables, strict=True):
            assert_equal(dict(one.columns), dict(other.columns))
            if one.of == "candidate":
                assert set(one.rows) <= set(range(CONFIG["num_candidates"]))


@pytest.mark.parametrize("name", [n for n in MADE if n.startswith(("cluster", "slate", "tab"))])
def test_what_comes_first_is_what_was_shown(name):
    """The best row of what an agent goes by is its slate, wherever it does not explore."""
    scenario, create = MADE[name]
    env = registry.create_environment(scenario, CONFIG)
    agent = create(env, seed=2, eval_mode=True)
    checked = 0

    def on_step(step):
        nonlocal checked
        tables = {table.of: table for table in agent.explain(step.observation).tables}
        if "topic" in tables and "index" in tables["topic"].columns:
            documents = list(step.observation["doc"].values())
            topics = [documents[index]["cluster_id"] for index in step.slate]
            index = tables["topic"].columns["index"]
            there = [document["cluster_id"] for document in documents]
            best = max(index[topic] for topic in there)
            assert index[topics[0]] == best
            checked += 1
        elif "slate" in tables:
            assert tuple(np.ravel(step.slate).tolist()) == tables["slate"].rows[0]
            checked += 1

    rollout.run_episode(env, agent, max_steps=20, listeners=[rollout.OnStep(on_step)])
    assert checked >= 10


def test_random_candidates_are_equally_likely():
    scenario = TopicScenario()
    explanation = random_agent.RandomAgent(scenario.action_space).explain(scenario.observation())
    (table,) = explanation.tables
    assert (table.of, list(table.rows)) == ("candidate", [0, 1, 2, 3])
    assert table.columns["probability of being shown"].tolist() == [0.5] * 4


def test_predicted_clicks_are_those_of_a_document_alone():
    """exp(quality) / (exp(quality) + exp(5)), by hand."""
    scenario = TopicScenario()
    agent = greedy_pctr_agent.GreedyPCTRAgent(scenario.action_space, QualityFan())
    (table,) = agent.explain(scenario.observation()).tables
    expected = [math.exp(q) / (math.exp(q) + math.exp(5.0)) for q in (1.0, 2.0, 3.0, 4.0)]
    assert table.columns["predicted click"] == pytest.approx(expected)
    weights = [*map(math.exp, (1.0, 2.0, 3.0, 4.0)), math.exp(5.0)]
    assert table.columns["score"] == pytest.approx(np.array(weights[:4]) / sum(weights))


def test_explaining_leaves_the_scores_of_a_choice_model():
    scenario = TopicScenario()
    model = choice_model.MultinomialLogitChoiceModel({"no_click_mass": 0.0})
    model.score_documents(QualityFan(), [{"quality": 1.0}])
    before = np.array(model.scores)
    agent = greedy_pctr_agent.GreedyPCTRAgent(scenario.action_space, QualityFan(), model)
    agent.explain(scenario.observation())
    assert model.scores.tolist() == before.tolist()


def test_softmax_agents_explain_scores_and_the_first_position():
    scenario = TopicScenario()
    agent = softmax_agent.SoftmaxAgent(
        scenario.action_space, lambda observation: [0.0, 0.0, 0.0, 2 * math.log(3.0)], 2.0
    )
    explanation = agent.explain(scenario.observation())
    columns = explanation.tables[0].columns
    assert columns["score"] == pytest.approx([0.0, 0.0, 0.0, 2 * math.log(3.0)])
    assert columns["probability of the first position"] == pytest.approx([1 / 6] * 3 + [1 / 2])
    assert explanation.numbers == {"temperature": 2.0}


def bandit(alg_ctor):
    scenario = TopicScenario()
    agent = cluster_bandit_agent.ClusterBanditAgent(
        scenario.with_counts(2), scenario.action_space, alg_ctor=alg_ctor
    )
    return scenario, agent


def test_topics_have_the_indices_of_ucb1():
    """Clicks by impressions plus sqrt(2 log(rounds) / impressions), by hand."""
    scenario, agent = bandit(algorithms.UCB1)
    observation = scenario.observation_with_counts([4, 16], [1, 8])
    explanation = agent.explain(observation)
    (table,) = explanation.tables
    assert explanation.title == "UCB1: the topic of the highest index comes first."
    assert table.of == "topic"
    log = math.log(20.0)
    assert table.columns["index"] == pytest.approx(
        [0.25 + math.sqrt(2 * log / 4), 0.5 + math.sqrt(2 * log / 16)]
    )
    assert table.columns["click rate"].tolist() == [0.25, 0.5]


def test_topics_never_shown_have_no_index():
    scenario, agent = bandit(algorithms.UCB1)
    explanation = agent.explain(scenario.observation_with_counts([2, 0], [1, 0]))
    (table,) = explanation.tables
    assert "shown least" in explanation.title and "index" not in table.columns
    assert table.columns["click rate"][0] == 0.5 and math.isnan(table.columns["click rate"][1])


def test_samples_of_a_posterior_are_those_that_counted():
    scenario, agent = bandit(algorithms.ThompsonSampling)
    observation = scenario.observation_with_counts([40, 40], [20, 20])
    before = agent.explain(observation).tables[0].columns["index"]
    rng = copy.deepcopy(agent.bandit)
    rng.set_state(np.array([40, 40]), np.array([20, 20]))
    assert before.tolist() == rng.get_score(80).tolist()
    agent.step(0.0, observation)
    assert agent.explain(observation).tables[0].columns["index"].tolist() == before.tolist()


def test_a_table_explains_the_slates_of_the_highest_values():
    env = interest_exploration.create_environment({**CONFIG, "resample_documents": False})
    agent = tabular_q_agent.TabularQAgent(
        env.observation_space, env.action_space, learning_rate=0.5, gamma=0.0, seed=0
    )
    observation = env.reset()
    slate = agent.begin_episode(observation)
    after, *_ = env.step(slate)
    agent.end_episode(3.0, after)
    explanation = agent.explain(observation)
    (table,) = explanation.tables
    assert table.rows[0] == tuple(slate)
    assert table.columns["Q-value"].tolist() == [1.5] + [0.0] * 9  # 0.5 * 3
    assert table.columns["times shown"].tolist() == [1.0] + [0.0] * 9
    assert explanation.numbers["slates"] == math.comb(5, 2)
    assert explanation.numbers["slates shown before"] == 1


def deep(agent_class, **kwargs):
    env = interest_evolution.create_environment(CONFIG)
    agent = agent_class(None, env.observation_space, env.action_space, eval_mode=True, **kwargs)
    return agent, env.reset()


def test_full_slates_are_explained_by_the_highest_values():
    agent, observation = deep(full_slate_q_agent.FullSlateQAgent, epsilon_eval=0.0)
    slate = agent.begin_episode(observation)
    (table,) = agent.explain(observation).tables
    assert table.rows[0] == tuple(slate) and len(table.rows) == 10
    values = table.columns["Q-value"]
    assert (np.diff(values) <= 0).all() and values[0] > values[-1]


def test_slateq_explains_values_weights_and_the_slate_that_they_give():
    """The value of the slate by the paper's formula, of the columns."""
    agent, observation = deep(slate_decomp_q_agent.SlateDecompQAgent, epsilon_eval=0.0)
    slate = np.ravel(agent.begin_episode(observation)).tolist()
    explanation = agent.explain(observation)
    candidates, slates = explanation.tables
    q, s = candidates.columns["Q-value"], candidates.columns["choice weight"]
    features = np.array(list(observation["doc"].values()))
    assert s == pytest.approx(features @ observation["user"] + 1.0, rel=1e-5)
    assert explanation.numbers["choice weight of no click"] == 2.0
    assert candidates.columns["click probability"] == pytest.approx(s / (s + 2.0))
    assert slates.rows == [tuple(slate)]
    total = s[slate].sum() + 2.0
    assert slates.columns["value"][0] == pytest.approx((s * q)[slate].sum() / total, rel=1e-4)
    assert slates.columns["click probability"][0] == pytest.approx(s[slate].sum() / total)


def test_a_held_slate_is_said_to_be_held():
    env = registry.create_environment("long_term_satisfaction", CONFIG)
    agent = aggregated(env)
    titles = []
    rollout.run_episode(
        env,
        agent,
        max_steps=4,
        listeners=[rollout.OnStep(lambda step: titles.append(agent.explain(step.observation)))],
    )
    assert [title.title.partition(":")[0] for title in titles] == [
        "Tabular Q-learning",
        "The last slate is held.",
    ] * 2
    assert titles[1].numbers == {"steps to the next decision": 1}


@pytest.mark.parametrize(
    "made", [history, aggregated, REGISTERED["cluster_bandit_ucb1"][1]], ids=lambda m: str(m)[:20]
)
def test_layers_tell_when_there_was_no_slate(made):
    env = registry.create_environment("interest_exploration", CONFIG)
    with pytest.raises(RuntimeError, match="call begin_episode before it"):
        made(env, seed=0, eval_mode=False).explain(env.reset())


def test_layers_have_nothing_to_say_of_agents_that_do_not():
    class Silent:
        def __init__(self, action_space):
            self.slate = [0] * len(action_space.nvec)

        def begin_episode(self, observation):
            return self.slate

    env = registry.create_environment("interest_exploration", CONFIG)
    layer = cluster_click_statistics.ClusterClickStatsLayer(
        Silent, env.observation_space, env.action_space
    )
    observation = env.reset()
    layer.begin_episode(observation)
    assert layer.explain(observation) is None


def test_a_subclass_that_chooses_by_itself_does_not_explain_another_agents_choice():
    class Own(random_agent.RandomAgent):
        def step(self, reward, observation):
            return [0, 1]

    class Renamed(random_agent.RandomAgent):
        pass

    space = TopicScenario().action_space
    assert not types.explains(Own(space))
    assert types.explains(Renamed(space)) and types.explains(random_agent.RandomAgent(space))
    assert not types.explains(object())


@pytest.mark.parametrize(
    ("column", "error", "match"),
    [
        ([1.0, 2.0], ValueError, "columns.'Q'. must have a number for each of the 3 rows.*shape"),
        (1.0, ValueError, "for each of the 3 rows"),
        (["a", "b", "c"], TypeError, "columns.'Q'. must hold numbers"),
        (None, ValueError, "for each of the 3 rows"),
    ],
)
def test_columns_that_do_not_fit_are_refused(column, error, match):
    with pytest.raises(error, match=match):
        types.ExplanationTable("candidate", range(3), {"Q": column})


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"title": 3}, "title must be a string, got 3"),
        ({"tables": types.ExplanationTable("slate", [], {})}, "tables must be a list of"),
        ({"tables": [{"Q": [1.0]}]}, "each of tables must be an ExplanationTable"),
        ({"numbers": [1.0]}, "numbers must be a dictionary"),
        ({"numbers": {"epsilon": "0.1"}}, "numbers\\['epsilon'\\] must be a number, got '0.1'"),
    ],
)
def test_explanations_that_do_not_fit_are_refused(changed, match):
    with pytest.raises(TypeError, match=match):
        types.Explanation(**{"title": "A title.", **changed})


@pytest.mark.slow
def test_explaining_changes_nothing_of_a_training():
    def trained(explain):
        env = interest_evolution.create_environment(CONFIG)
        env.seed(0)
        agent = slate_decomp_q_agent.SlateDecompQAgent(
            None,
            env.observation_space,
            env.action_space,
            min_replay_history=10,
            update_period=2,
            replay_capacity=100,
            epsilon_decay_period=20,
        )
        rewards = []

        def on_step(step):
            rewards.append(step.reward)
            if explain:
                agent.explain(step.observation)

        rollout.run_episode(env, agent, max_steps=40, listeners=[rollout.OnStep(on_step)])
        assert agent.num_updates > 10
        return rewards, agent.serving_bundle()

    assert_equal(trained(False), trained(True))
