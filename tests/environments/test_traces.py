"""Environments under RecSim's seeds give exactly the transitions recorded from RecSim 0.2.4."""

import functools
import importlib

import pytest
from support import recorded

from recsim.agents import cluster_bandit_agent, greedy_pctr_agent, random_agent
from recsim.agents.layers import cluster_click_statistics


def cases(*names):
    for name in names:
        for index, trace in enumerate(recorded(name)["traces"]):
            label = f"{trace['environment']}-{trace['agent']}-{index}"
            yield pytest.param(trace, id=label)


def assert_observation(assert_recorded, ours, recorded, where):
    assert list(ours["doc"]) == list(recorded["doc"]), f"{where}: order of the documents"
    assert_recorded(ours["doc"], recorded["doc"], f"{where} doc")
    assert_recorded(ours["user"], recorded["user"], f"{where} user")


def make(trace):
    module = importlib.import_module(f"recsim.environments.{trace['environment']}")
    env = module.create_environment(trace["env_config"])
    env.seed(trace["env_seed"])
    return env


def replay(assert_recorded, env, trace, choose_slate, first_observation):
    assert_observation(assert_recorded, first_observation, trace["first_observation"], "reset")
    assert first_observation["response"] is None
    observation, reward = first_observation, 0
    for number, step in enumerate(trace["steps"]):
        where = f"step {number}"
        slate = choose_slate(number, reward, observation)
        assert list(slate) == step["slate"], where
        observation, reward, done, _ = env.step(slate)
        assert_recorded(reward, step["reward"], f"{where} reward")
        assert done == step["done"], where
        assert_recorded(observation["response"], step["response"], f"{where} response")
        assert_observation(assert_recorded, observation, step, where)
        if "reset" in step:
            assert done
            observation = env.reset()
            assert_observation(assert_recorded, observation, step["reset"], f"{where} reset")


@pytest.mark.parametrize(
    "trace",
    cases("interest_exploration", "interest_evolution", "long_term_satisfaction"),
)
def test_scripted_trace(assert_recorded, trace):
    env = make(trace)
    slates = [step["slate"] for step in trace["steps"]]
    replay(assert_recorded, env, trace, lambda number, *_: slates[number], env.reset())


def make_agent(name, env):
    if name == "cluster_bandit_ucb1":
        return cluster_click_statistics.ClusterClickStatsLayer(
            cluster_bandit_agent.ClusterBanditAgent, env.observation_space, env.action_space
        )
    if name == "greedy_pctr":
        user_model = env.environment.user_model
        return greedy_pctr_agent.GreedyPCTRAgent(env.action_space, user_model.avg_user_state)
    return random_agent.RandomAgent(env.action_space, random_seed=3)


@pytest.mark.parametrize("trace", cases("agents_interest_exploration"))
def test_agent_trace(assert_recorded, trace):
    env = make(trace)
    agent = make_agent(trace["agent"], env)

    def choose_slate(number, reward, observation):
        if number == 0:
            return agent.begin_episode(observation)
        return agent.step(reward, observation)

    replay(assert_recorded, env, trace, choose_slate, env.reset())


@functools.cache
def all_traces():
    names = ("interest_exploration", "interest_evolution", "long_term_satisfaction")
    return [trace for name in names for trace in recorded(name)["traces"]]


def test_traces_cover_clicks_no_clicks_and_ends_of_episodes():
    """The recorded slates would not notice a fault in what they never show."""
    steps = [step for trace in all_traces() for step in trace["steps"]]
    clicked = [any(response["click"] for response in step["response"]) for step in steps]
    assert any(clicked) and not all(clicked)
    assert any("reset" in step for step in steps)
    assert {trace["env_config"]["resample_documents"] for trace in all_traces()} == {True, False}
