"""Deep agents of users in parallel find the optimum that dynamic programming knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.mood_scenario import GAMMA, INTERESTS, STAYS, make_env, solve

from recsim.agents import full_slate_q_agent, slate_decomp_q_agent


def train(agent: Any, env: Any, num_steps: int) -> None:
    observation, _ = env.reset(seed=0)
    slates = agent.begin(observation)
    while agent.training_steps < num_steps:
        slates = agent.step(*env.step(slates))


def settings(**kwargs: Any) -> dict[str, Any]:
    return {
        "gamma": GAMMA,
        "min_replay_history": 400,
        "update_period": 20,
        "batch_size": 128,
        "target_update_period": 400,
        "epsilon_train": 0.2,
        "epsilon_decay_period": 2000,
        "replay_capacity": 20000,
        "hidden_units": (32,),
        "optimizer_name": "adam",
        "learning_rate": 5e-3,
        **kwargs,
    }


@pytest.mark.parametrize("max_steps", [None, 2])
@pytest.mark.parametrize(
    ("strategy", "horizon"), [("slate_optimal_optimal_q", 1), ("slate_greedy_greedy_q", 3)]
)
def test_slate_q_finds_the_optimum_also_where_episodes_are_truncated(strategy, horizon, max_steps):
    env = make_env(20, max_steps_per_episode=max_steps)
    agent = slate_decomp_q_agent.create_vector_agent(
        strategy, env, **settings(update_horizon=horizon)
    )
    train(agent, env, 10000)
    best, values = solve(STAYS)
    assert best == [{1, 2}, {0, 3}]
    documents = np.broadcast_to(np.eye(4, dtype=np.float32), (2, 4, 4))
    assert [
        set(slate)
        for slate in agent.learner.values.best_slates(
            agent.learner.online_network, INTERESTS, documents
        ).tolist()
    ] == best
    s, s_no_click = agent.learner.values.score(INTERESTS, documents)
    q, _ = agent.learner.values.of_documents(agent.learner.online_network, INTERESTS, documents)
    for mood, pair in enumerate(map(list, best)):
        value = s[mood, pair] @ q[mood, pair] / (s[mood, pair].sum() + s_no_click[mood])
        # Over six seeds the values learned were 0.95 to 1.11 times the optimum with one step, and
        # 0.76 to 1.01 times with several, which are those of a policy that explores.
        least = 0.85 if horizon == 1 else 0.7
        assert least * values[mood] < value < 1.15 * values[mood]


@pytest.mark.slow
def test_full_slate_q_finds_the_optimum():
    env = make_env(20)
    agent = full_slate_q_agent.VectorFullSlateQAgent(
        env, **settings(epsilon_fn=lambda *_: 0.7, update_period=40)
    )
    train(agent, env, 60000)
    best, values = solve(STAYS)
    documents = np.broadcast_to(np.eye(4, dtype=np.float32), (2, 4, 4))
    assert [
        set(slate)
        for slate in agent.learner.values.best_slates(
            agent.learner.online_network, INTERESTS, documents
        ).tolist()
    ] == best
    learned = agent.learner.values.of_slates(agent.learner.online_network, INTERESTS, documents)
    np.testing.assert_allclose(learned.max(axis=1), values, rtol=0.2)
