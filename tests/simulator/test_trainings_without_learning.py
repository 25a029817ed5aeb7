"""Trainings in which an agent makes no update: the runner says so, and why."""

from __future__ import annotations

import logging

import pytest
from support.runners import create_random, train_runner
from support.scenarios import CONFIG

from recsim import registry
from recsim._internal import learning
from recsim.agents import full_slate_q_agent, tabular_q_agent
from recsim.environments import interest_evolution, interest_exploration

LOGGER = "recsim.simulator.runner_lib"


def create_deep(**settings):
    settings = {"hidden_units": (4,), "batch_size": 4, "replay_capacity": 500, **settings}

    def create(sess, env, eval_mode, summary_writer=None):
        if hasattr(env, "num_envs"):
            return full_slate_q_agent.VectorFullSlateQAgent(env, eval_mode=eval_mode, **settings)
        return full_slate_q_agent.FullSlateQAgent(
            sess, env.observation_space, env.action_space, eval_mode=eval_mode, **settings
        )

    return create


@pytest.mark.parametrize("num_envs", [None, 4])
@pytest.mark.parametrize(("settings", "learns"), [({}, False), ({"min_replay_history": 5}, True)])
def test_a_training_without_an_update_is_told_of(num_envs, settings, learns, tmp_path, caplog):
    if num_envs is None:
        env = interest_evolution.create_environment(CONFIG)
    else:
        env = interest_evolution.create_vector_environment(CONFIG, num_envs)
        settings = {**settings, "update_period": 4}
    with caplog.at_level(logging.WARNING, LOGGER):
        train_runner(tmp_path, env, create_deep(**settings)).run_experiment()
    if learns:
        assert caplog.messages == []
        return
    (message,) = caplog.messages
    assert "FullSlateQAgent has learned nothing" in message
    assert "no update in a training of 40 steps" in message
    assert "none in its first 20,00" in message
    for remedy in ("max_training_steps", "num_iterations", "min_replay_history"):
        assert remedy in message


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("ppo", "SlatePolicyAgent.update_period"),
        ("ppo+recent2", "SlatePolicyAgent.update_period"),
        ("sac_topk", "ItemVectorAgent.min_replay_history"),
        ("slate_topk_topk_q", "DQNAgent.min_replay_history"),
    ],
)
@pytest.mark.parametrize("num_envs", [None, 4])
def test_what_lets_an_agent_learn_earlier_is_its_own_setting(num_envs, name, setting):
    env = interest_evolution.create_environment(CONFIG)
    create = registry.create_agent
    if num_envs is not None:
        env = interest_evolution.create_vector_environment(CONFIG, num_envs)
        create = registry.create_vector_agent
    agent = create(name, env)
    assert f"let it learn earlier (gin's {setting})." in learning.complaint(agent, 8)


def create_tabular(sess, env, eval_mode, summary_writer=None):
    return tabular_q_agent.TabularQAgent(env.observation_space, env.action_space, eval_mode)


@pytest.mark.parametrize("create", [create_random, create_tabular])
def test_agents_that_learn_or_do_not_say_are_not_told_of(create, tmp_path, caplog):
    env = interest_exploration.create_environment(CONFIG)
    with caplog.at_level(logging.WARNING, LOGGER):
        train_runner(tmp_path, env, create).run_experiment()
    assert caplog.messages == []


def test_what_was_learned_before_an_interruption_counts(tmp_path, caplog):
    def runner(num_iterations):
        env = interest_evolution.create_environment(CONFIG)
        create = create_deep(min_replay_history=5)
        return train_runner(tmp_path, env, create, num_iterations=num_iterations)

    runner(1).run_experiment()
    with caplog.at_level(logging.WARNING, LOGGER):
        runner(2).run_experiment()
    assert "learned nothing" not in caplog.text
