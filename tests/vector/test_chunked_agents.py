"""Agents whose users belong to chunks: their state, for the same users and for others."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from recsim import registry
from recsim.agents import contextual_bandit_agent, full_slate_q_agent
from recsim.vector import streams

CONFIG = {"num_candidates": 6, "slate_size": 2, "resample_documents": True, "seed": 1}
AGENTS = ["random", "greedy_pctr", "cluster_bandit_ts", "lin_ts", "full_slate_q"]
WITH_STREAMS = [name for name in AGENTS if name != "greedy_pctr"]


def make_env(num_envs=12, first_user=3):
    return registry.create_vector_environment(
        "interest_exploration", CONFIG, num_envs, first_user=first_user
    )


def make_agent(name, env, seed=1, **kwargs):
    if name == "full_slate_q":
        kwargs = {"eval_mode": True, "epsilon_eval": 0.5, **kwargs}
        return full_slate_q_agent.VectorFullSlateQAgent(env, seed=seed, **kwargs)
    if name == "lin_ts":
        settings = {"eval_mode": True, "exploration_eval": 1.0}
        return contextual_bandit_agent.VectorContextualBanditAgent(
            env, "thompson", seed=seed, **settings
        )
    return registry.create_vector_agent(name, env, seed=seed)


def slates_of(agent, env, num_steps=5):
    """Returns slates from the first on."""
    observation, _ = env.reset(seed=7)
    slates = [agent.begin(observation)]
    for _ in range(num_steps):
        slates.append(agent.step(*env.step(slates[-1])))
    return slates


@pytest.mark.parametrize("first_user", [0, 3])
@pytest.mark.parametrize("name", AGENTS)
def test_a_state_resumes_for_the_same_users_without_a_word(name, first_user, caplog):
    env = make_env(first_user=first_user)
    agent, restored = make_agent(name, env), make_agent(name, env, seed=2)
    slates_of(agent, env)
    slates_of(restored, env, num_steps=2)
    restored.load_state_dict(copy.deepcopy(agent.state_dict()))
    np.testing.assert_array_equal(slates_of(restored, env), slates_of(agent, env))
    assert not caplog.records


@pytest.mark.parametrize(
    ("num_envs", "first_user", "of_users"),
    [
        (5, 3, "users 3 to 7"),
        (12, 0, "users 0 to 11"),
        (12, streams.CHUNK_SIZE, f"users {streams.CHUNK_SIZE} to {streams.CHUNK_SIZE + 11}"),
        (streams.CHUNK_SIZE, 3, f"users 3 to {streams.CHUNK_SIZE + 2}"),
    ],
)
@pytest.mark.parametrize("name", WITH_STREAMS)
def test_with_a_state_of_other_users_an_agent_begins_anew_and_says_so(
    name, num_envs, first_user, of_users, caplog
):
    env, others = make_env(), make_env(num_envs, first_user)
    of_others = make_agent(name, others)
    slates_of(of_others, others, num_steps=1)
    agent = make_agent(name, env)
    slates_of(agent, env)
    state = copy.deepcopy(of_others.state_dict())
    assert agent.unbundle("", 0, state)
    np.testing.assert_array_equal(slates_of(agent, env), slates_of(make_agent(name, env), env))
    wanted = f"begins anew with users 3 to 14: its state is restored from that of {of_users}."
    # Evaluations meet other users always.
    is_told = not getattr(agent, "eval_mode", False)
    assert (wanted in caplog.text) == is_told
    assert (type(agent).__name__ in caplog.text) == is_told


def test_an_agent_without_a_memory_of_users_has_nothing_to_begin_anew(caplog):
    agent = make_agent("greedy_pctr", make_env())
    agent.load_state_dict(make_agent("greedy_pctr", make_env(5)).state_dict())
    assert not caplog.records
    assert not agent.unbundle("", 0, {})


def test_clicks_of_other_users_are_not_taken_over():
    env = make_env()
    agent = make_agent("cluster_bandit_ucb1", env)
    slates_of(agent, env)
    assert agent.state_dict()["users"]["impression_count"].any()
    others = make_env(5)
    of_others = make_agent("cluster_bandit_ucb1", others)
    slates_of(of_others, others)
    agent.load_state_dict(of_others.state_dict())
    for name in ("impression_count", "click_count"):
        assert not agent.state_dict()["users"][name].any()


def test_training_refuses_a_state_of_other_users(caplog):
    env, others = make_env(), make_env(5)
    agent, of_others = (
        make_agent("full_slate_q", users, eval_mode=False, replay_capacity=1000)
        for users in (env, others)
    )
    slates_of(of_others, others)
    assert not agent.unbundle("", 0, of_others.state_dict())
    assert "it has no replay buffer, which training resumes with" in caplog.text
    assert "anew" not in caplog.text


@pytest.mark.parametrize("name", WITH_STREAMS)
def test_states_of_another_number_of_streams_are_refused(name):
    env = make_env(4, first_user=streams.CHUNK_SIZE - 2)
    agent = make_agent(name, env)
    slates_of(agent, env)
    before = agent.state_dict()
    for keep in (0, 1, 3):
        state = copy.deepcopy(before)
        users = state["users"] if "base_agent_bundle" not in state else None
        users = users or state["base_agent_bundle"]["users"]
        users["streams"] = (users["streams"] * 2)[:keep]
        with pytest.raises(ValueError, match="states of random streams must be a list of 2, got"):
            agent.load_state_dict(state)
    np.testing.assert_equal(agent.state_dict()["users"], before["users"])
