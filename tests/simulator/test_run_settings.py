"""A training that resumes with other settings says so."""

from __future__ import annotations

import pytest
from support.runners import records, train_runner
from support.scenarios import CONFIG, make_interest_exploration_users

from recsim import agent as agent_lib
from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.simulator import checkpoint, environment, recsim_gym
from recsim.vector import env as vector_env
from recsim.vector import scenario, wrappers


def single_user(seed=4, reward=interest_exploration.total_clicks_reward):
    env = interest_exploration.create_environment({**CONFIG, "seed": seed})
    return recsim_gym.RecSimGymEnv(env.environment, reward)


def vector(seed=4):
    return interest_exploration.create_vector_environment({**CONFIG, "seed": seed}, 3)


def vector_with_double_clicks():
    parts = vector().scenario
    return vector_env.RecSimVectorEnv(
        parts.user_model,
        parts.document_sampler,
        parts.num_candidates,
        parts.slate_size,
        3,
        double_clicks_in_parallel,
        candidates=parts.candidates,
        seed=4,
    )


def double_clicks_in_parallel(responses):
    return 2.0 * scenario.total_clicks(responses)


def wrapped(seed=4):
    return wrappers.SingleUserEnvs([single_user(seed + number) for number in range(2)])


def several_users(seed=4):
    return make_interest_exploration_users((seed, seed + 1), sampler_seed=seed)


class FirstDocuments(agent_lib.AbstractMultiUserEpisodicRecommenderAgent):
    def step(self, reward, observation):
        return [[0, 1]] * 2


def double_clicks(responses):
    return 2.0 * interest_exploration.total_clicks_reward(responses)


def create_agent(sess, env, eval_mode, summary_writer=None):
    if hasattr(env, "single_action_space"):
        return random_agent.VectorRandomAgent(env)
    if isinstance(env.environment, environment.MultiUserEnvironment):
        return FirstDocuments(env.action_space)
    return random_agent.RandomAgent(env.action_space, random_seed=1)


def train(folder, env, **kwargs):
    train_runner(folder, env, create_agent, **kwargs).run_experiment()


@pytest.mark.parametrize(
    ("before", "after", "kwargs", "told"),
    [
        (single_user, lambda: single_user(9), {}, ["seed was 4 and is 9"]),
        (vector, lambda: vector(9), {}, ["seed was 4 and is 9"]),
        (several_users, lambda: several_users(9), {}, ["seed was [4, 5] and is [9, 10]"]),
        (
            single_user,
            single_user,
            {"max_steps_per_episode": 3, "max_training_steps": 6},
            [
                "max_steps_per_episode was 10 and is 3",
                "max_training_steps was 20 and is 6",
            ],
        ),
        (vector, vector, {"max_steps_per_episode": 3}, ["max_steps_per_episode was 10 and is 3"]),
        (
            single_user,
            lambda: single_user(reward=double_clicks),
            {},
            ["reward_aggregator was 'total_clicks_reward' and is 'double_clicks'"],
        ),
        (
            vector,
            vector_with_double_clicks,
            {},
            ["reward_aggregator was 'total_clicks' and is 'double_clicks_in_parallel'"],
        ),
        (wrapped, lambda: wrapped(9), {}, ["seed was [4, 5] and is [9, 10]"]),
        (single_user, single_user, {}, []),
        (wrapped, wrapped, {}, []),
        (vector, vector, {}, []),
        (several_users, several_users, {}, []),
    ],
)
def test_other_settings_are_told_once_with_old_and_new(
    before, after, kwargs, told, tmp_path, caplog
):
    train(tmp_path, before())
    caplog.clear()
    train(tmp_path, after(), num_iterations=3, **kwargs)
    warnings = [message for message in caplog.messages if "other settings" in message]
    assert len(warnings) == bool(told)
    for each in told:
        assert each in warnings[0]
    caplog.clear()
    train(tmp_path, after(), num_iterations=4, **kwargs)
    assert "other settings" not in caplog.text
    assert len(records(tmp_path / "train")) == 4


@pytest.mark.parametrize(
    "settings", [3, {"seed": 1.5}, {"seed": {}}, {"seed": 1 << 20_000}, {"seed": [None, (1,)]}]
)
def test_what_cannot_be_settings_is_a_bad_checkpoint(settings, tmp_path, caplog):
    train(tmp_path, single_user(), num_iterations=1)
    path = tmp_path / "train/checkpoints/ckpt.0"
    checkpoint.save(path, {**checkpoint.load(path), "settings": settings})
    with pytest.raises(checkpoint.CheckpointError, match="its settings are"):
        train(tmp_path, single_user())


def test_a_checkpoint_without_settings_resumes(tmp_path, caplog):
    train(tmp_path, single_user(), num_iterations=1)
    path = tmp_path / "train/checkpoints/ckpt.0"
    data = checkpoint.load(path)
    del data["settings"]
    checkpoint.save(path, data)
    caplog.clear()
    train(tmp_path, single_user(9))
    assert not caplog.messages
    assert len(records(tmp_path / "train")) == 2
