"""Agents in the library's scenarios: equal seeds, equal slates; restored, they continue exactly."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from recsim.agents.bandits import algorithms
from recsim.agents.cluster_bandit_agent import ClusterBanditAgent
from recsim.agents.greedy_pctr_agent import GreedyPCTRAgent
from recsim.agents.layers.cluster_click_statistics import ClusterClickStatsLayer
from recsim.agents.layers.fixed_length_history import FixedLengthHistoryLayer
from recsim.agents.layers.temporal_aggregation import TemporalAggregationLayer
from recsim.agents.random_agent import RandomAgent
from recsim.agents.tabular_q_agent import TabularQAgent
from recsim.environments import (
    interest_evolution,
    interest_exploration,
    long_term_satisfaction,
)

SCENARIOS = {
    "interest_exploration": interest_exploration,
    "interest_evolution": interest_evolution,
    "long_term_satisfaction": long_term_satisfaction,
}


def random_agent(env, seed):
    return RandomAgent(env.action_space, random_seed=seed)


def greedy(env, seed):
    state = env.environment.user_model.avg_user_state
    return GreedyPCTRAgent(env.action_space, state)


def cluster_bandit(env, seed, alg_ctor=algorithms.UCB1):
    return ClusterClickStatsLayer(
        ClusterBanditAgent,
        env.observation_space,
        env.action_space,
        alg_ctor=alg_ctor,
        random_seed=seed,
    )


def remembering_random_agent(env, seed):
    return FixedLengthHistoryLayer(
        RandomAgent, env.observation_space, env.action_space, history_length=3, random_seed=seed
    )


def tabular(env, seed, policy="epsilon_greedy"):
    return TabularQAgent(
        env.observation_space,
        env.action_space,
        number_bins=4,
        exploration_policy=policy,
        exploration_temperature=0.7,
        seed=seed,
    )


def aggregated_tabular(env, seed):
    return TemporalAggregationLayer(
        TabularQAgent,
        env.observation_space,
        env.action_space,
        gamma=0.9,
        aggregation_period=3,
        switching_cost=0.5,
        document_comparison_fcn=lambda document1, document2: True,
        number_bins=3,
        exploration_temperature=0.7,
        seed=seed,
    )


def layers_on_layers(env, seed):
    """Counts of topics, then the bandit, whose slates are held for two steps."""
    inner = functools.partial(
        TemporalAggregationLayer,
        ClusterBanditAgent,
        aggregation_period=2,
        switching_cost=0.0,
        document_comparison_fcn=lambda document1, document2: True,
        alg_ctor=algorithms.ThompsonSampling,
        random_seed=seed,
    )
    return ClusterClickStatsLayer(inner, env.observation_space, env.action_space)


CASES = [
    *(
        (scenario, agent)
        for scenario in SCENARIOS
        for agent in (random_agent, remembering_random_agent)
    ),
    *((scenario, agent) for scenario in SCENARIOS for agent in (tabular, aggregated_tabular)),
    ("interest_exploration", functools.partial(tabular, policy="min_count")),
    ("interest_exploration", greedy),
    ("interest_exploration", cluster_bandit),
    ("interest_exploration", functools.partial(cluster_bandit, alg_ctor=algorithms.KLUCB)),
    (
        "interest_exploration",
        functools.partial(cluster_bandit, alg_ctor=algorithms.ThompsonSampling),
    ),
    ("interest_exploration", layers_on_layers),
]


def make_env(scenario):
    slate_size = 1 if scenario == "long_term_satisfaction" else 2
    config = {"num_candidates": 6, "slate_size": slate_size, "resample_documents": True, "seed": 4}
    env = SCENARIOS[scenario].create_environment(config)
    env.seed(7)
    return env


def rollout(env, agent, num_steps, bundle_at=None):
    """Runs episodes of 8 steps or less; returns slates, what the agent was told, a bundle."""
    slates, told, bundle = [], [], None

    def tell(method, *arguments, **kwargs):
        told.append((method, arguments, kwargs))
        slates.append(getattr(agent, method)(*arguments, **kwargs))
        return slates[-1]

    slate = tell("begin_episode", env.reset())
    length = 0
    for step in range(num_steps):
        if step == bundle_at:
            bundle = agent.bundle_and_checkpoint("", 0)
            told.clear()
            slates.clear()
        observation, reward, done, _ = env.step(slate)
        length += 1
        if done or length == 8:
            tell("end_episode", reward, observation, truncated=not done)
            slate = tell("begin_episode", env.reset())
            length = 0
        else:
            slate = tell("step", reward, observation)
    return slates, told, bundle


def as_lists(slates):
    return [None if slate is None else [int(i) for i in slate] for slate in slates]


@pytest.mark.parametrize(("scenario", "make_agent"), CASES)
def test_equal_seeds_give_equal_slates(scenario, make_agent):
    runs = []
    for _ in range(2):
        env = make_env(scenario)
        slates, _, _ = rollout(env, make_agent(env, seed=1), num_steps=40)
        runs.append(as_lists(slates))
    assert runs[0] == runs[1]
    sizes = {len(slate) for slate in runs[0] if slate is not None}
    assert sizes == {len(env.action_space.nvec)}
    assert np.max([slate for slate in runs[0] if slate is not None]) < 6


@pytest.mark.parametrize("bundle_at", [0, 13, 16])
@pytest.mark.parametrize(("scenario", "make_agent"), CASES)
def test_restored_agent_continues_exactly(scenario, make_agent, bundle_at):
    env = make_env(scenario)
    slates, told, bundle = rollout(env, make_agent(env, seed=1), num_steps=40, bundle_at=bundle_at)
    restored = make_agent(make_env(scenario), seed=2)
    assert restored.unbundle("", 0, bundle)
    again = [getattr(restored, method)(*args, **kwargs) for method, args, kwargs in told]
    assert as_lists(again) == as_lists(slates)


@pytest.mark.parametrize("make_agent", [random_agent, cluster_bandit, tabular])
def test_other_seeds_give_other_slates(make_agent):
    if make_agent is cluster_bandit:
        make_agent = functools.partial(cluster_bandit, alg_ctor=algorithms.ThompsonSampling)
    env = make_env("interest_exploration")
    first, _, _ = rollout(env, make_agent(env, seed=1), num_steps=40)
    env = make_env("interest_exploration")
    second, _, _ = rollout(env, make_agent(env, seed=2), num_steps=40)
    assert as_lists(first) != as_lists(second)
