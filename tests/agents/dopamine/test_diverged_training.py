"""A training whose numbers are no longer finite stops with an error that says where."""

import numpy as np
import pytest
from support.scenarios import CONFIG

from recsim.agents import full_slate_q_agent, slate_decomp_q_agent
from recsim.environments import interest_evolution

SETTINGS = {
    "min_replay_history": 8,
    "update_period": 1,
    "batch_size": 8,
    "replay_capacity": 64,
    "optimizer_name": "sgd",
}


def train(agent, env, num_steps=40):
    observation = env.reset()
    slate = agent.begin_episode(observation)
    for _ in range(num_steps):
        observation, reward, done, _ = env.step(slate)
        if done:
            agent.end_episode(reward, observation)
            observation = env.reset()
            slate = agent.begin_episode(observation)
        else:
            slate = agent.step(reward, observation)


@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_a_learning_rate_that_is_too_large(loss):
    env = interest_evolution.create_environment(CONFIG)
    agent = full_slate_q_agent.FullSlateQAgent(
        None, env.observation_space, env.action_space, learning_rate=1e30, loss=loss, **SETTINGS
    )
    message = (
        r"diverged: at training step \d+ the (loss|sum of a layer's weights) is .*learning_rate"
    )
    with pytest.raises(FloatingPointError, match=message):
        train(agent, env)
    assert agent.training_steps < 20
    # Nothing that is not a number reaches a checkpoint.
    with pytest.raises(FloatingPointError, match="diverged"):
        agent.bundle_and_checkpoint("", 0)


def test_many_users():
    env = interest_evolution.create_vector_environment(CONFIG, 4)
    agent = slate_decomp_q_agent.VectorSlateDecompQAgent(
        env, learning_rate=1e30, **{**SETTINGS, "min_replay_history": 4, "update_period": 2}
    )
    observation, _ = env.reset()
    slates = agent.begin(observation)

    def run():
        nonlocal slates
        for _ in range(40):
            slates = agent.step(*env.step(slates))

    with pytest.raises(FloatingPointError, match="diverged: at training step"):
        run()


def test_numbers_stay_finite_where_nothing_is_wrong():
    env = interest_evolution.create_environment(CONFIG)
    agent = full_slate_q_agent.FullSlateQAgent(
        None, env.observation_space, env.action_space, learning_rate=1e-3, **SETTINGS
    )
    train(agent, env)
    weights = agent.serving_bundle()["online_network"]
    assert all(np.isfinite(layer).all() for layer in weights)
