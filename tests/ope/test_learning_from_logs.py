"""Deep agents that learn from logged slates."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from recsim import registry
from recsim.agents import full_slate_q_agent, slate_decomp_q_agent
from recsim.environments import interest_evolution, interest_exploration
from recsim.ope import simulated
from recsim.ope.log import SlateLog

CONFIG = {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0}
MAKE = functools.partial(interest_evolution.create_vector_environment, CONFIG)


def logged(num_users=60, num_steps=6, make=MAKE):
    random = functools.partial(registry.create_vector_agent, "random")
    return simulated.collect(make, random, {}, num_users, num_steps=num_steps).log


def agent_of(agent_class=slate_decomp_q_agent.SlateDecompQAgent, **settings):
    env = interest_evolution.create_environment(CONFIG)
    defaults = {
        "min_replay_history": 50,
        "replay_capacity": 2000,
        "update_period": 2,
        "target_update_period": 20,
        "learning_rate": 1e-3,
    }
    return agent_class(None, env.observation_space, env.action_space, **{**defaults, **settings})


def test_transitions_are_those_of_the_log():
    log = logged(num_users=3, num_steps=4)
    # The second of three users leaves in the end.
    log = dataclasses.replace(log, terminated=np.arange(12) == 7)
    agent = agent_of(min_replay_history=0)
    agent.learn_from(log, 1)
    state = agent.learner.replay.state_dict()
    # Of two users the last state is only what the slate before led to.
    assert state["add_count"] == 3 + 4 + 3
    assert len(state["users"]) == 12
    np.testing.assert_array_equal(state["users"], log.user_features.astype(np.float32))
    np.testing.assert_array_equal(state["slates"], log.items)
    added = np.delete(np.arange(12), [3, 11])
    clicked = log.clicks.any(axis=1)
    expected = np.where(clicked, log.clicks.argmax(axis=1), state["clicks"])
    np.testing.assert_array_equal(state["clicks"][added], expected[added])
    assert (state["clicks"][added] < 0).tolist() == (~clicked[added]).tolist()
    np.testing.assert_allclose(state["rewards"][added], log.rewards[added], rtol=1e-6)


@pytest.mark.parametrize(
    "agent_class",
    [slate_decomp_q_agent.SlateDecompQAgent, full_slate_q_agent.FullSlateQAgent],
)
def test_updates_are_made(agent_class):
    agent = agent_of(agent_class)
    before = [layer.copy() for layer in agent.learner.online_network.weights]
    agent.learn_from(logged(), 30)
    after = agent.learner.online_network.weights
    assert agent.training_steps == 60
    assert 25 <= agent.num_updates <= 30
    assert any((old != new).any() for old, new in zip(before, after, strict=True))
    # The same log and seed teach the same.
    again = agent_of(agent_class)
    again.learn_from(logged(), 30)
    for old, new in zip(after, again.learner.online_network.weights, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.slow
def test_slate_q_learns_to_be_better_than_what_it_saw():
    agent = agent_of(min_replay_history=500, replay_capacity=20_000, update_period=1, batch_size=64)
    agent.learn_from(logged(1000, 8), 800)

    def learned(env):
        served = slate_decomp_q_agent.VectorSlateDecompQAgent(env, eval_mode=True, epsilon_eval=0.0)
        served.load_state_dict(agent.serving_bundle())
        return served

    random = functools.partial(registry.create_vector_agent, "random")
    values = [
        simulated.true_value(MAKE, each, 2000, num_steps=20, first_user=4096)
        for each in (random, learned)
    ]
    assert values[1].low > values[0].high + 2.0


def without(name):
    return dataclasses.replace(logged(), **{name: None})


@pytest.mark.parametrize(
    ("make_agent", "make_log", "num_updates", "message"),
    [
        (functools.partial(agent_of, eval_mode=True), logged, 5, "eval_mode=False"),
        (agent_of, logged, 0, "num_updates"),
        (functools.partial(agent_of, min_replay_history=10_000), logged, 5, "min_replay_history"),
        (functools.partial(agent_of, replay_capacity=100), logged, 5, "replay_capacity of 100"),
        (agent_of, lambda: without("candidate_features"), 5, "no candidate_features"),
        (agent_of, lambda: without("clicks"), 5, "The log has no clicks"),
        (agent_of, lambda: without("position_rewards"), 5, "reward_field=None"),
        (
            agent_of,
            lambda: logged(
                make=functools.partial(interest_exploration.create_vector_environment, CONFIG)
            ),
            5,
            r"of the scenario that the agent was made for",
        ),
        (
            agent_of,
            lambda: SlateLog(
                items=[[0]], rewards=[1.0], candidate_features=np.zeros((1, 4, 20)), clicks=[[1]]
            ),
            5,
            "slate_size",
        ),
    ],
    ids=["eval", "updates", "short", "long", "features", "clicks", "rewards", "scenario", "size"],
)
def test_what_does_not_fit_is_refused(make_agent, make_log, num_updates, message):
    agent = make_agent()
    with pytest.raises(ValueError, match=message):
        agent.learn_from(make_log(), num_updates)
