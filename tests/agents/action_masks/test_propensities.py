"""Propensities under action masks: known where positions share all documents or none."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from support.slate_learners import vector

import recsim
from recsim import action_masks
from recsim.agents import contextual_bandit_agent, full_slate_q_agent, random_agent, softmax_agent
from recsim.environments import interest_exploration
from recsim.logs import parquet
from recsim.ope import estimators, policy
from recsim.ope.log import SlateLog
from recsim.simulator import rollout

CONFIG = {"num_candidates": 6, "slate_size": 3, "resample_documents": True, "seed": 3}

CREATE = {
    "random": random_agent.VectorRandomAgent,
    "softmax": softmax_agent.create_vector_agent,
    "epsilon-greedy": functools.partial(
        contextual_bandit_agent.VectorContextualBanditAgent,
        explore="epsilon_greedy",
        exploration=0.5,
    ),
    "full slates": functools.partial(
        full_slate_q_agent.VectorFullSlateQAgent, hidden_units=(4,), replay_capacity=100
    ),
    "ppo": functools.partial(vector, "ppo"),
}


def by_first_topic(documents):
    """Returns a mask whose second position shares documents, where the first one's topic is 1."""
    shares = documents["cluster_id"][..., :1] == 1
    odd = np.broadcast_to(np.arange(6) % 2 == 1, documents["cluster_id"].shape)
    return np.stack([~odd, odd | shares, ~odd], axis=-1)


def vector_env(num_envs):
    env = interest_exploration.create_vector_environment(CONFIG, num_envs, max_steps_per_episode=5)
    return action_masks.with_action_masks(env, by_first_topic)


@pytest.mark.parametrize("name", CREATE)
def test_they_are_missing_of_those_users_alone_of_whom_they_are_not_known(name):
    observation, _ = vector_env(8).reset(seed=0)
    shares = observation["doc"]["cluster_id"][:, 0] == 1
    assert 0 < shares.sum() < 8
    slates = random_agent.VectorRandomAgent(vector_env(8)).begin(observation)
    known = CREATE[name](vector_env(8)).propensities(observation, slates)
    for array in (known.slate, known.items, known.prefixes):
        np.testing.assert_array_equal(np.isnan(array).any(axis=tuple(range(1, array.ndim))), shares)
    alone = CREATE[name](vector_env(1))
    single = alone.single_user_agent()
    for user in range(8):
        of_user = {
            "user": observation["user"][user : user + 1],
            "doc": {key: array[user : user + 1] for key, array in observation["doc"].items()},
        }
        found = alone.propensities(of_user, slates[user : user + 1])
        documents = {
            str(row): {key: array[user, row] for key, array in observation["doc"].items()}
            for row in range(6)
        }
        observed = {"user": observation["user"][user], "doc": documents, "response": None}
        of_one = single.propensities(observed, slates[user])
        if shares[user]:
            assert found is None
        else:
            np.testing.assert_allclose(found.slate, known.slate[user])
            np.testing.assert_allclose(found.items, known.items[user : user + 1])
        if name in ("random", "softmax", "ppo"):  # They choose in evaluation as in training.
            assert (of_one is None) == shares[user]
            if of_one is not None:
                np.testing.assert_allclose(of_one.prefixes, known.prefixes[user])


def several_slates(number):
    slates = np.array([[0, 1, 2], [2, 1, 0], [0, 0, 2]])
    return np.broadcast_to(slates, (number, 3, 3))


def test_they_are_missing_of_several_slates_of_a_user_too():
    observation, _ = vector_env(8).reset(seed=0)
    shares = observation["doc"]["cluster_id"][:, 0] == 1
    known = CREATE["random"](vector_env(8)).propensities(observation, several_slates(8))
    assert np.isnan(known.slate[shares]).all()
    # Three even documents for two positions, three odd ones for one.
    expected = [1 / 18, 1 / 18, 0.0]
    np.testing.assert_allclose(known.slate[~shares], np.tile(expected, ((~shares).sum(), 1)))


def test_logs_have_none_of_them_and_estimates_refuse_such_logs(tmp_path):
    env = vector_env(20)
    log = parquet.VectorParquetLog(tmp_path / "log", env)
    agent = random_agent.VectorRandomAgent(env)
    rollout.VectorRollout(env, agent, [log]).run_episodes(np.full(20, 1))
    log.finish()
    frame = recsim.read_episodes(tmp_path / "log")
    unknown = frame["slate_probability"].isna()
    assert 0 < unknown.sum() < len(frame)
    for column in ("item_probability", "prefix_probability"):
        np.testing.assert_array_equal(frame[column].isna(), unknown)
    is_known = frame[~unknown]
    np.testing.assert_allclose(is_known["slate_probability"], 1 / 18)
    with pytest.raises(ValueError, match=r"'slate_probability'.* none of \d+, such as that"):
        SlateLog.from_episodes(frame)
    logged = SlateLog.from_episodes(frame[(frame["step"] == 0) & ~unknown])
    np.testing.assert_allclose(logged.slate_propensities, 1 / 18)


@pytest.mark.parametrize("num_envs", [None, 2])
def test_masks_in_logs_are_no_features_of_documents(tmp_path, num_envs):
    if num_envs is None:
        env = action_masks.with_action_masks(
            interest_exploration.create_environment(CONFIG), by_first_topic
        )
        log = parquet.ParquetLog(tmp_path / "log", env)
        agent = random_agent.RandomAgent(env.action_space)
        rollout.run_episode(env, agent, max_steps=2, listeners=[log])
    else:
        env = vector_env(num_envs)
        log = parquet.VectorParquetLog(tmp_path / "log", env)
        agent = random_agent.VectorRandomAgent(env)
        rollout.VectorRollout(env, agent, [log]).run_episodes(np.full(num_envs, 1))
    log.finish()
    frame = recsim.read_episodes(tmp_path / "log")
    features = [name for name in frame if name.startswith("item_feature")]
    assert sorted(features) == ["item_feature_cluster_id", "item_feature_quality"]
    masks = frame[["action_mask_0", "action_mask_1", "action_mask_2"]].to_numpy()
    assert masks[np.arange(len(frame)), frame["position"]].all()  # Each stood where it may.
    assert not masks.all()


def test_a_log_that_knows_none_of_them_has_none(tmp_path):
    def sharing(documents):
        return by_first_topic({"cluster_id": np.ones_like(documents["cluster_id"])})

    env = action_masks.with_action_masks(interest_exploration.create_environment(CONFIG), sharing)
    log = parquet.ParquetLog(tmp_path / "log", env)
    agent = random_agent.RandomAgent(env.action_space)
    rollout.run_episode(env, agent, max_steps=3, listeners=[log])
    log.finish()
    logged = SlateLog.from_episodes(tmp_path / "log")
    assert logged.slate_propensities is None
    with pytest.raises(ValueError, match="slate_propensities"):
        estimators.InversePropensity().estimate(logged, policy.Policy(slates=[0.1] * 3))
