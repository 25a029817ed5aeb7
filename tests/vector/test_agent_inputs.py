"""Vectorized agents refuse rewards and ends of episodes that are not those of their users."""

import functools

import numpy as np
import pytest
from support.scenarios import CONFIG

from recsim import registry
from recsim.agents import (
    cluster_bandit_agent,
    contextual_bandit_agent,
    full_slate_q_agent,
    greedy_pctr_agent,
    random_agent,
    slate_decomp_q_agent,
)
from recsim.agents.layers import cluster_click_statistics, recent_slates
from recsim.vector import wrappers

NUM_USERS = 3


def greedy(environment):
    return greedy_pctr_agent.VectorGreedyPCTRAgent(
        environment, lambda documents: np.asarray(documents["quality"], float)
    )


def single_user_agents(environment):
    return wrappers.SingleUserAgents(
        lambda observation_space, action_space, user: random_agent.RandomAgent(action_space, user),
        environment,
    )


def with_statistics(create):
    return functools.partial(cluster_click_statistics.VectorClusterClickStatsLayer, create)


EXPLORATION, EVOLUTION = "interest_exploration", "interest_evolution"
#: Scenario, constructor, and whether the agent needs the observations in which episodes ended.
AGENTS = {
    "random": (EXPLORATION, random_agent.VectorRandomAgent, False),
    "greedy": (EXPLORATION, greedy, False),
    "bandit": (EXPLORATION, with_statistics(cluster_bandit_agent.VectorClusterBanditAgent), True),
    "layer": (EXPLORATION, with_statistics(random_agent.VectorRandomAgent), True),
    "recent slates": (
        EXPLORATION,
        functools.partial(
            recent_slates.VectorRecentSlatesLayer, random_agent.VectorRandomAgent, num_slates=2
        ),
        True,
    ),
    "single-user": (EXPLORATION, single_user_agents, True),
    "contextual": (EVOLUTION, contextual_bandit_agent.VectorContextualBanditAgent, True),
    "full slate": (EVOLUTION, full_slate_q_agent.VectorFullSlateQAgent, True),
    "decomposed": (EVOLUTION, slate_decomp_q_agent.VectorSlateDecompQAgent, True),
    "served": (
        EVOLUTION,
        functools.partial(slate_decomp_q_agent.VectorSlateDecompQAgent, eval_mode=True),
        False,
    ),
}
every_agent = pytest.mark.parametrize("name", AGENTS)


def begun(name):
    """Returns an agent and what the first step brings it."""
    scenario, create, _ = AGENTS[name]
    env = registry.create_vector_environment(scenario, CONFIG, NUM_USERS)
    agent = create(env)
    slates = agent.begin(env.reset(seed=0)[0])
    return agent, dict(
        zip(("observation", "rewards", "terminated", "truncated", "infos"), env.step(slates))
    )


BAD = {
    "two rewards": ({"rewards": np.ones(2)}, ValueError, "rewards .* each of the 3 users, got 2"),
    "two rewards for each": ({"rewards": np.ones((3, 2))}, ValueError, "rewards .* one number"),
    "one reward": ({"rewards": 1.0}, ValueError, "rewards must have one number"),
    "complex rewards": ({"rewards": np.full(3, 1j)}, TypeError, "rewards must be numbers"),
    "a string": ({"rewards": "x"}, TypeError, "rewards must be numbers, got 'x'"),
    "strings": ({"rewards": np.array(["1"] * 3)}, TypeError, "rewards must be numbers"),
    "no rewards": ({"rewards": None}, TypeError, "rewards must be numbers, got None"),
    "objects": ({"rewards": np.array([1, 2, None])}, TypeError, "rewards must be numbers"),
    "ragged": ({"rewards": [1, [2], 3]}, ValueError, "rewards .* different lengths"),
    "NaN": ({"rewards": np.array([0, np.nan, 1])}, ValueError, "rewards must be finite.*nan"),
    "infinity": ({"rewards": [0, 1, -np.inf]}, ValueError, "rewards must be finite.*-inf"),
    "two ends": ({"terminated": np.zeros(2, bool)}, ValueError, r"terminated .*shape \(2,\)"),
    "one end": ({"truncated": True}, ValueError, r"truncated .*shape \(\)"),
    "a column": ({"truncated": np.zeros((3, 1), bool)}, ValueError, r"truncated .*shape \(3, 1\)"),
    "integers": ({"terminated": np.zeros(3, int)}, TypeError, "terminated must be a bool"),
    "no ends": ({"truncated": None}, TypeError, "truncated must be"),
    "a word": ({"terminated": "yes"}, TypeError, "terminated must be"),
    "no observation": ({"observation": None}, TypeError, "observation must be a dictionary"),
}


@every_agent
@pytest.mark.parametrize("row", BAD)
def test_what_is_not_an_outcome_for_each_user_is_refused(name, row):
    changes, error, message = BAD[row]
    if name == "random" and "observation" in changes:
        return  # It looks at no observation.
    agent, outcome = begun(name)
    with pytest.raises(error, match=message):
        agent.step(**{**outcome, **changes})


@every_agent
def test_the_last_observations_are_needed_where_they_are_looked_at(name):
    agent, outcome = begun(name)
    ended = {**outcome, "truncated": np.array([False, True, False]), "infos": {}}
    if not AGENTS[name][2]:
        assert agent.step(**ended).shape == (NUM_USERS, 2)
        return
    with pytest.raises(ValueError, match="infos must have the last observations, 'final_obs'"):
        agent.step(**ended)
    with pytest.raises(TypeError, match="infos must be the dictionary .* got None"):
        agent.step(**{**outcome, "infos": None})
    with pytest.raises(TypeError, match="must be the FinalObservations"):
        agent.step(**{**ended, "infos": {"final_obs": [None, {}, None]}})


@every_agent
@pytest.mark.parametrize(
    "write",
    [list, lambda rewards: rewards[:, np.newaxis], lambda rewards: rewards.astype(np.float64)],
    ids=["list", "column", "float64"],
)
def test_rewards_of_other_forms_count_as_the_numbers(name, write):
    def slates(write):
        agent, outcome = begun(name)
        return agent.step(**{**outcome, "rewards": write(outcome["rewards"])}).tolist()

    assert slates(write) == slates(lambda rewards: rewards)


@pytest.mark.parametrize("name", ["full slate", "decomposed"])
def test_what_deep_agents_learn_from_fits_single_precision(name):
    agent, outcome = begun(name)
    with pytest.raises(ValueError, match="rewards must be finite numbers in single precision"):
        agent.step(**{**outcome, "rewards": np.array([0.0, 1e300, 0.0])})


@pytest.mark.parametrize("field", ["click", "watch_time"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_responses_to_learn_from_are_finite(field, bad):
    agent, outcome = begun("decomposed")
    response = outcome["observation"]["response"]
    values = np.array(response[field], float)
    values[1, 0] = bad
    observation = {**outcome["observation"], "response": {**response, field: values}}
    with pytest.raises(ValueError, match=f"responses' {field} must be finite"):
        agent.step(**{**outcome, "observation": observation})
