"""Full-slate Q-learning: values of all slates, what a batch teaches, limits, layers."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from support import recsim_names

from recsim._internal.gym_import import spaces
from recsim.agents.dopamine import network, transitions
from recsim.agents.full_slate_q_agent import FullSlateQAgent
from recsim.agents.layers.cluster_click_statistics import ClusterClickStatsLayer
from recsim.agents.layers.temporal_aggregation import TemporalAggregationLayer
from recsim.environments import interest_evolution, interest_exploration, long_term_satisfaction


def make(num_candidates=4, slate_size=2, **kwargs):
    env = interest_evolution.create_environment(
        {
            "num_candidates": num_candidates,
            "slate_size": slate_size,
            "resample_documents": True,
            "seed": 0,
        }
    )
    settings = {"replay_capacity": 1000, "hidden_units": (8, 4), **kwargs}
    return env, FullSlateQAgent(None, env.observation_space, env.action_space, **settings)


def value(weights, user, documents):
    """The network's value of a slate, layer by layer."""
    hidden = np.concatenate([user, *documents])
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        hidden = np.maximum(hidden @ kernel + bias, 0)
    return (hidden @ weights[-2] + weights[-1])[0]


@pytest.mark.parametrize(("num_candidates", "slate_size"), [(4, 2), (5, 3), (3, 3), (4, 1)])
def test_values_of_all_slates(num_candidates, slate_size):
    env, agent = make(num_candidates, slate_size)
    learner = agent.learner
    user, documents = learner.values.adapter.features(env.reset())
    values = learner.values.of_slates(learner.online_network, user, documents)
    slates = list(itertools.permutations(range(num_candidates), slate_size))
    weights = learner.online_network.weights
    expected = [value(weights, user, documents[list(slate)]) for slate in slates]
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-6)
    best = learner.values.best_slate(learner.online_network, user, documents)
    assert best == slates[int(np.argmax(expected))]


def test_what_a_batch_teaches():
    _, agent = make(gamma=0.9)
    target_network = network.QNetwork.initial(60, (8, 4), np.random.RandomState(1))
    rng = np.random.default_rng(0)
    size = 30
    features = {
        name: rng.uniform(-1, 1, (size, *shape)).astype(np.float32)
        for name, shape in [
            ("users", (20,)),
            ("next_users", (20,)),
            ("documents", (4, 20)),
            ("next_documents", (4, 20)),
        ]
    }
    batch = transitions.Batch(
        **features,
        slates=np.argsort(rng.random((size, 4)))[:, :2],
        clicks=np.full(size, -1),
        rewards=rng.uniform(0, 4, size).astype(np.float32),
        discounts=np.where(np.arange(size) % 2, 0.9, 0.81).astype(np.float32),
        terminals=rng.random(size) < 0.3,
        next_slates=np.zeros((size, 2), int),
    )
    learned = agent.learner.values.training_batch(batch, target_network)
    assert learned.used.all()
    for i in range(size):
        slate = batch.slates[i]
        inputs = np.concatenate([batch.users[i], *batch.documents[i, slate]])
        assert learned.inputs[i].tolist() == inputs.tolist()
        target = batch.rewards[i]
        if not batch.terminals[i]:
            target += batch.discounts[i] * max(
                value(
                    target_network.weights,
                    batch.next_users[i],
                    batch.next_documents[i, list(next_slate)],
                )
                for next_slate in itertools.permutations(range(4), 2)
            )
        assert learned.targets[i] == pytest.approx(target, rel=1e-4)


def test_the_reward_is_the_environments():
    env, agent = make()
    slate = agent.begin_episode(env.reset())
    observation, _, _, _ = env.step(slate)
    agent.end_episode(12.5, observation)
    stored = agent.learner.replay.state_dict()
    assert stored["rewards"].tolist() == [12.5]
    assert tuple(stored["slates"][0]) == slate


def many_documents(num_candidates, slate_size):
    features = spaces.Box(low=-1.0, high=1.0, shape=(2,), dtype=np.float32)
    response = spaces.Dict({"click": spaces.Discrete(2)})
    observation_space = spaces.Dict(
        {
            "user": features,
            "doc": spaces.Dict({str(i): features for i in range(num_candidates)}),
            "response": spaces.Tuple((response,) * slate_size),
        }
    )
    return observation_space, spaces.MultiDiscrete([num_candidates] * slate_size)


def test_too_many_slates_are_refused_at_once():
    observation_space, action_space = many_documents(300, 10)
    begin = time.process_time()
    with pytest.raises(
        ValueError, match="300 candidates make 5\\.\\d+e\\+24 slates of 10, .*SlateDecompQ"
    ):
        FullSlateQAgent(None, observation_space, action_space)
    assert time.process_time() - begin < 1.0


def test_the_limit_of_slates():
    observation_space, action_space = many_documents(6, 2)
    with pytest.raises(ValueError, match="6 candidates make 30 slates of 2, .* max_num_slates=29"):
        FullSlateQAgent(None, observation_space, action_space, max_num_slates=29)
    FullSlateQAgent(None, observation_space, action_space, max_num_slates=30, replay_capacity=100)
    with pytest.raises(TypeError, match="max_num_slates must be an integer"):
        FullSlateQAgent(None, observation_space, action_space, max_num_slates=1e5)


def train(env, agent, num_steps=60):
    observation, reward = None, 0.0
    slates = []
    for step in range(num_steps):
        if observation is None:
            observation = env.reset()
            slate = agent.begin_episode(observation)
        else:
            slate = agent.step(reward, observation)
        slates.append([int(i) for i in slate])
        observation, reward, done, _ = env.step(slate)
        if done or step % 20 == 19:
            agent.end_episode(reward, observation, truncated=not done)
            observation, reward = None, 0.0
    return slates


SETTINGS = {
    "sess": None,
    "min_replay_history": 10,
    "replay_capacity": 100,
    "hidden_units": (4,),
    "epsilon_decay_period": 10,
}


def test_over_click_statistics():
    env = interest_exploration.create_environment(
        {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}
    )
    agent = ClusterClickStatsLayer(
        FullSlateQAgent, env.observation_space, env.action_space, **SETTINGS
    )
    slates = train(env, agent)
    assert all(len(set(slate)) == 2 for slate in slates)
    base = recsim_names.base_agent(agent)
    # Clicks and impressions of each of two topics.
    assert base.learner.values.adapter.user_size == 4
    users = base.learner.replay.state_dict()["users"][:60]
    assert users.sum(axis=1).max() >= 2 * 19
    assert base.num_updates > 0


def test_a_layer_serves_without_the_replay_buffer():
    env = interest_exploration.create_environment(
        {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}
    )
    trained, server = (
        ClusterClickStatsLayer(
            FullSlateQAgent,
            env.observation_space,
            env.action_space,
            eval_mode=eval_mode,
            epsilon_eval=0.0,
            **SETTINGS,
        )
        for eval_mode in (False, True)
    )
    train(env, trained)
    assert server.unbundle("", 0, trained.bundle_and_checkpoint("", 0))
    assert recsim_names.base_agent(server).bundle_and_checkpoint("", 0)["replay"] is None
    recsim_names.base_agent(trained).eval_mode = True
    for _ in range(5):
        observation = env.reset()
        assert server.begin_episode(observation) == trained.begin_episode(observation)


def test_under_temporal_aggregation():
    env = long_term_satisfaction.create_environment(
        {"num_candidates": 4, "slate_size": 1, "resample_documents": False, "seed": 0}
    )
    agent = TemporalAggregationLayer(
        FullSlateQAgent,
        env.observation_space,
        env.action_space,
        gamma=0.9,
        aggregation_period=3,
        switching_cost=0.5,
        **SETTINGS,
    )
    slates = train(env, agent)
    base = recsim_names.base_agent(agent)
    assert base.gamma == pytest.approx(0.9**3)
    assert base.learner.replay.add_count == 3 * 7  # 20 steps are 7 decisions.
    for episode in (slates[:20], slates[20:40]):
        for start in range(0, 18, 3):
            assert episode[start] == episode[start + 1] == episode[start + 2]
