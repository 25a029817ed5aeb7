"""Every name makes what it says, and unknown names get the nearest one suggested."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from support import recsim_names
from support.scenarios import make_env

from recsim import registry, testing
from recsim.agents import slate_decomp_q_agent
from recsim.agents.bandits import algorithms

# What an agent needs that an environment does not have, by the pairs that do not go together.
IMPOSSIBLE = {
    ("greedy_pctr", "interest_evolution"): "avg_user_state",
    ("greedy_pctr", "long_term_satisfaction"): "avg_user_state",
    **{
        (f"cluster_bandit_{name}", environment): "cluster_id"
        for name in ("ucb1", "kl_ucb", "ts")
        for environment in ("interest_evolution", "long_term_satisfaction")
    },
}
SLATE_Q = [
    name
    for name, entry in registry.AGENTS.items()
    if entry.modules == ("recsim.agents.slate_decomp_q_agent",)
]
CONTEXTUAL_BANDITS = [
    name
    for name, entry in registry.AGENTS.items()
    if entry.modules == ("recsim.agents.contextual_bandit_agent",)
]
ACTOR_CRITICS = ["wolpertinger", "sac_topk"]
for _name in CONTEXTUAL_BANDITS:
    if _name.endswith(("_disjoint", "_hybrid")):
        IMPOSSIBLE[_name, "long_term_satisfaction"] = "Discrete entry"
for _name in SLATE_Q:
    IMPOSSIBLE[_name, "interest_exploration"] = "watch_time"
    IMPOSSIBLE[_name, "long_term_satisfaction"] = "watch_time"
PAIRS = [(agent, name) for agent in registry.AGENTS for name in registry.ENVIRONMENTS]


def make(environment):
    return make_env(environment, num_candidates=5, seed=3)


@pytest.mark.parametrize(("agent", "environment"), [pair for pair in PAIRS if pair in IMPOSSIBLE])
def test_agents_that_do_not_fit_say_what_they_miss(agent, environment):
    message = f"'{agent}' cannot recommend in this environment: .*{IMPOSSIBLE[agent, environment]}"
    with pytest.raises(ValueError, match=message):
        registry.create_agent(agent, make(environment))


@pytest.mark.parametrize(
    ("agent", "environment"), [pair for pair in PAIRS if pair not in IMPOSSIBLE]
)
def test_agents_keep_the_contract(agent, environment):
    try:
        registry.create_agent(agent, make(environment), seed=5)
    except ValueError as error:  # A scenario that is not listed above may lack something, too.
        assert environment not in {scenario for _, scenario in IMPOSSIBLE}
        pytest.skip(str(error))
    testing.check_agent(
        lambda: make(environment),
        lambda env: registry.create_agent(agent, env, seed=5),
        num_steps=60,
    )


@pytest.mark.parametrize("agent", ["random", "cluster_bandit_ts", "tabular_q"])
def test_the_seed_is_that_of_the_agents_generator(agent):
    def slates(seed):
        env = make("interest_exploration")
        made = registry.create_agent(agent, env, seed=seed)
        slate, shown = made.begin_episode(env.reset()), []
        for _ in range(20):
            shown.append(list(slate))
            observation, reward, _, _ = env.step(slate)
            slate = made.step(reward, observation)
        return shown

    assert slates(1) == slates(1)
    assert slates(1) != slates(2)


@pytest.mark.parametrize(
    ("agent", "algorithm"),
    [
        ("cluster_bandit_ucb1", algorithms.UCB1),
        ("cluster_bandit_kl_ucb", algorithms.KLUCB),
        ("cluster_bandit_ts", algorithms.ThompsonSampling),
    ],
)
def test_bandits_are_of_the_algorithm_in_the_name(agent, algorithm):
    layer = registry.create_agent(agent, make("interest_exploration"))
    assert type(recsim_names.base_agent(layer)._bandit) is algorithm


def test_greedy_ranks_for_the_average_user():
    env = make("interest_exploration")
    observation = env.reset()
    slate = registry.create_agent("greedy_pctr", env).begin_episode(observation)
    # Mean log-affinities of the default users: 0.3 (0.1, 0.7) + 0.7 (0.7, 0.1).
    affinity = np.array([0.3 * 0.1 + 0.7 * 0.7, 0.3 * 0.7 + 0.7 * 0.1])
    scores = [affinity[doc["cluster_id"]] + doc["quality"] for doc in observation["doc"].values()]
    assert list(slate) == np.argsort(scores)[::-1][:2].tolist()


@pytest.mark.parametrize(
    ("environment", "edges"),
    [
        ("interest_exploration", np.arange(11.0)),  # Qualities have no upper bound.
        ("interest_evolution", np.linspace(-1.0, 1.0, 11)),
        ("long_term_satisfaction", np.linspace(0.0, 1.0, 11)),
    ],
)
def test_tables_have_bins_where_the_features_are(environment, edges):
    agent = registry.create_agent("tabular_q", make(environment), eval_mode=True)
    np.testing.assert_allclose(agent._discretization_bins, edges)
    assert agent._eval_mode


def test_learning_agents_are_those_that_keep_something_between_episodes():
    learning = [name for name, entry in registry.AGENTS.items() if entry.learns]
    of_slates = ["full_slate_q", *SLATE_Q[:-1], "ppo", "reinforce", *ACTOR_CRITICS]
    assert learning == ["tabular_q", *CONTEXTUAL_BANDITS, *of_slates]


@pytest.mark.parametrize("strategy", SLATE_Q)
def test_strategies_of_slate_q_are_those_in_the_name(strategy):
    env = make("interest_evolution")
    agent = registry.create_agent(strategy, env, seed=3, eval_mode=True, summary_writer="writer")
    expected = slate_decomp_q_agent.create_agent(
        strategy,
        None,
        observation_space=env.observation_space,
        action_space=env.action_space,
        eval_mode=True,
    )
    assert agent.learner.values.learn_no_click_value == ("no_click" in strategy)
    for setting in ("select_slate_fn", "compute_target_fn"):
        assert getattr(agent.learner.values, setting) == getattr(expected.learner.values, setting)
    for setting in ("gamma", "epsilon_eval"):
        assert getattr(agent.learner.settings, setting) == getattr(
            expected.learner.settings, setting
        )
    assert (agent.learner.settings.seed, agent.eval_mode) == (3, True)
    assert agent._summary_writer == "writer"


@pytest.mark.parametrize(
    ("look_up", "name", "message"),
    [
        (
            registry.agent_entry,
            "cluster_bandit_ucb",
            "no agent.*Did you mean 'cluster_bandit_ucb1'",
        ),
        (registry.agent_entry, "zzz", r"no agent 'zzz'\. Known are: random, .*tabular_q"),
        (registry.environment_entry, "interest_evolve", "Did you mean 'interest_evolution'"),
    ],
)
def test_unknown_names(look_up, name, message):
    with pytest.raises(ValueError, match=message):
        look_up(name)


def test_an_agent_of_ones_own(monkeypatch):
    def create(environment, *, seed, eval_mode, summary_writer):
        return environment, seed, eval_mode, summary_writer

    monkeypatch.setitem(registry.AGENTS, "mine", registry.AgentEntry(create, "mine"))
    env = make("interest_exploration")
    made = registry.create_agent("mine", env, seed=4, eval_mode=True, summary_writer="writer")
    assert made == (env, 4, True, "writer")


def test_importing_the_registry_is_light(tmp_path):
    code = "import recsim.registry, json, sys; print(json.dumps(list(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    heavy = {"gin", "gym", "scipy", "tensorflow", "tqdm"}
    assert heavy.isdisjoint(json.loads(result.stdout))
