"""Vector forms of the bandit and of greedy pCTR, against the single-user agents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from recsim import choice_model
from recsim.agents import cluster_bandit_agent, greedy_pctr_agent
from recsim.agents.bandits import algorithms
from recsim.agents.layers import cluster_click_statistics
from recsim.environments import interest_exploration
from recsim.simulator import checkpoint
from recsim.vector import streams, wrappers

CONFIG = {"num_candidates": 10, "slate_size": 2, "resample_documents": True, "seed": 3}
# Three topics, so that arms tie in more than one way.
THREE_TOPICS = {
    **CONFIG,
    "slate_size": 4,
    "topic_distribution": [0.2, 0.5, 0.3],
    "topic_quality_mean": [0.8, 0.2, 0.5],
    "topic_quality_stddev": [0.1, 0.1, 0.3],
    "user_type_distribution": [0.4, 0.6],
    "user_document_mean_affinity_matrix": [[0.1, 0.7, 0.3], [0.7, 0.1, 0.4]],
    "user_document_stddev_affinity_matrix": [[0.1, 0.1, 0.2], [0.1, 0.1, 0.2]],
}


def make_env(config: Any = CONFIG, num_envs: int = 20, **options: Any) -> Any:
    options = {"max_steps_per_episode": 13, **options}
    return interest_exploration.create_vector_environment(config, num_envs, **options)


def make_bandit(env: Any, alg_ctor: Any = algorithms.UCB1, **kwargs: Any) -> Any:
    return cluster_click_statistics.VectorClusterClickStatsLayer(
        cluster_bandit_agent.VectorClusterBanditAgent,
        env,
        alg_ctor=alg_ctor,
        **kwargs,
    )


def single_user_bandits(env: Any, alg_ctor: Any = algorithms.UCB1, **kwargs: Any) -> Any:
    def create_agent(observation_space: Any, action_space: Any, user: int) -> Any:
        return cluster_click_statistics.ClusterClickStatsLayer(
            cluster_bandit_agent.ClusterBanditAgent,
            observation_space,
            action_space,
            alg_ctor=alg_ctor,
            random_seed=user,
            **kwargs,
        )

    return wrappers.SingleUserAgents(create_agent, env)


def slates_of(env: Any, agents: list[Any], steps: int) -> list[list[np.ndarray]]:
    """Returns the slates of agents that all see what the first one leads to."""
    observation, _ = env.reset(seed=1)
    slates = [[agent.begin(observation) for agent in agents]]
    for _ in range(steps):
        happened = env.step(slates[-1][0])
        slates.append([agent.step(*happened) for agent in agents])
    return slates


@pytest.mark.parametrize("config", [CONFIG, THREE_TOPICS])
@pytest.mark.parametrize("alg_ctor", [algorithms.UCB1, algorithms.KLUCB])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bandit_recommends_as_single_user_bandits_do(config, alg_ctor, dtype):
    env = make_env(config, dtype=dtype)
    agents = [make(env, alg_ctor, ci_scaling=0.3) for make in (make_bandit, single_user_bandits)]
    for vector, single in slates_of(env, agents, steps=30):
        np.testing.assert_array_equal(vector, single)


def test_bandit_shows_the_last_of_equal_documents_first():
    priorities = np.array([[0, 1], [1, 0]])
    topics = np.array([[1, 1, 0, 1], [1, 1, 0, 1]])
    quality = np.array([[0.5, -0.0, 3.0, 0.0], [-2.0, -1.0, 0.5, -1.0]])
    slates = cluster_bandit_agent._best_documents(4, priorities, topics, quality)
    assert slates.tolist() == [[0, 3, 1, 2], [2, 3, 1, 0]]


def test_thompson_sampling_draws_from_the_posterior():
    size = streams.CHUNK_SIZE
    (stream,) = streams.chunk_streams(0, "test", 0, size, np.float64)
    beta = cluster_bandit_agent._BetaStream(stream)
    a, b = np.tile([1.0, 40.0, 3.5], (size, 1)), np.tile([1.0, 2.0, 300.0], (size, 1))
    samples = beta.beta(a, b)
    for arm in range(3):
        fit = stats.kstest(samples[:, arm], stats.beta(a[0, arm], b[0, arm]).cdf)
        assert fit.pvalue > 1e-3


def test_thompson_sampling_of_both_engines_gets_as_many_clicks():
    env = make_env(num_envs=120, max_steps_per_episode=30)
    clicks = []
    for make in (make_bandit, single_user_bandits):
        agent = make(env, algorithms.ThompsonSampling)
        observation, _ = env.reset(seed=2)
        slates, total = agent.begin(observation), 0.0
        for _ in range(30):
            happened = env.step(slates)
            total += happened[1]
            slates = agent.step(*happened)
        clicks.append(total)
    assert stats.ttest_ind(*clicks).pvalue > 1e-3


def test_user_gets_the_same_slates_among_any_number_of_users():
    many = make_env(num_envs=streams.CHUNK_SIZE + 20)
    few = make_env(num_envs=10, first_user=streams.CHUNK_SIZE + 5)
    of_many, of_few = (
        slates_of(env, [make_bandit(env, algorithms.ThompsonSampling)], steps=15)
        for env in (many, few)
    )
    for (slates,), (slates_of_few,) in zip(of_many, of_few, strict=True):
        np.testing.assert_array_equal(slates[streams.CHUNK_SIZE + 5 :][:10], slates_of_few)


@pytest.mark.parametrize("alg_ctor", [algorithms.UCB1, algorithms.ThompsonSampling])
def test_bandit_continues_from_a_checkpoint(alg_ctor, tmp_path):
    env = make_env()
    agent, restored = make_bandit(env, alg_ctor), make_bandit(env, alg_ctor)
    observation, _ = env.reset(seed=4)
    slates = agent.begin(observation)
    for _ in range(5):
        happened = env.step(slates)
        slates = agent.step(*happened)
    path = str(tmp_path / "bundle")
    checkpoint.save(path, agent.bundle_and_checkpoint("", 0))
    assert restored.unbundle("", 0, dict(checkpoint.load(path)))
    for _ in range(20):
        happened = env.step(slates)
        slates = agent.step(*happened)
        np.testing.assert_array_equal(slates, restored.step(*happened))


def test_seeds_are_checked():
    with pytest.raises(ValueError, match="random_seed must be an integer >= 0, got -1"):
        make_bandit(make_env(), random_seed=-1)


def test_bundle_fits_agents_of_other_numbers_of_users_and_no_other_agents(caplog):
    agent = make_bandit(make_env(num_envs=5))
    env = make_env(num_envs=7)
    other = make_bandit(env)
    assert other.unbundle("", 0, agent.bundle_and_checkpoint("", 0))
    observation, _ = env.reset()
    assert other.begin(observation).shape == (7, 2)
    assert not other.unbundle("", 0, {})
    bundle = agent.bundle_and_checkpoint("", 0)
    assert not other.unbundle("", 0, {**bundle, "base_agent_bundle": {}})
    for name in ("VectorClusterClickStatsLayer", "VectorClusterBanditAgent"):
        assert f"no 'users', so it is not of {name}" in caplog.text


def test_statistics_layer_shows_the_counts_of_the_session_and_of_the_last_one():
    seen = []

    class Recorder(cluster_bandit_agent.VectorClusterBanditAgent):
        def step(self, observation, rewards, terminated, truncated, infos):
            final = infos["final_obs"].batch["user"] if "final_obs" in infos else None
            seen.append((observation["user"]["sufficient_statistics"], final))
            return super().step(observation, rewards, terminated, truncated, infos)

    env = make_env(num_envs=3, max_steps_per_episode=2)
    layer = cluster_click_statistics.VectorClusterClickStatsLayer(Recorder, env)
    observation, _ = env.reset()
    slates = layer.begin(observation)
    clicks = 0
    for _ in range(2):
        observation, rewards, *rest = env.step(slates)
        clicks = clicks + rewards
        slates = layer.step(observation, rewards, *rest)
    counts = [statistics["impression_count"].sum(axis=1).tolist() for statistics, _ in seen]
    assert counts == [[0, 0, 0], [2, 2, 2], [0, 0, 0]]
    final = seen[-1][1]["sufficient_statistics"]
    assert final["impression_count"].sum(axis=1).tolist() == [4, 4, 4]
    np.testing.assert_array_equal(final["click_count"].sum(axis=1), clicks)
    layer.begin(env.reset()[0])
    assert seen[-1][0]["impression_count"].sum() == 0


@pytest.mark.parametrize("ctor", [None, choice_model.MultinomialProportionalChoiceModel])
def test_greedy_agent_recommends_as_single_user_agents_do(ctor):
    env = make_env(THREE_TOPICS)
    single_env = interest_exploration.create_environment(THREE_TOPICS)
    average = single_env.environment.user_model.avg_user_state
    features = {"no_click_mass": 1.0, "min_normalizer": -1.0}
    model = None if ctor is None else ctor(features)
    vector = greedy_pctr_agent.VectorGreedyPCTRAgent(env, env.user_model.average_user_scores, model)
    single = wrappers.SingleUserAgents(
        lambda observation_space, action_space, user: greedy_pctr_agent.GreedyPCTRAgent(
            action_space, average, None if ctor is None else ctor(features)
        ),
        env,
    )
    for slates in slates_of(env, [vector, single], steps=5):
        np.testing.assert_array_equal(*slates)


def test_agents_refuse_observations_of_other_environments():
    env = make_env(num_envs=5)
    agent = make_bandit(make_env(num_envs=6))
    with pytest.raises(ValueError, match=r"num_envs, num_candidates = \(6, 10\).*\(5, 10\)"):
        agent.begin(env.reset()[0])
    greedy = greedy_pctr_agent.VectorGreedyPCTRAgent(
        make_env({**CONFIG, "num_candidates": 9}, num_envs=5),
        env.user_model.average_user_scores,
    )
    with pytest.raises(ValueError, match=r"num_envs, num_candidates = \(5, 9\)"):
        greedy.begin(env.reset()[0])


def test_bandit_needs_counts_and_topics():
    env = make_env()
    with pytest.raises(ValueError, match="wrap the agent in ClusterClickStatsLayer"):
        cluster_bandit_agent.VectorClusterBanditAgent(env)
    single = interest_exploration.create_environment(CONFIG)
    with pytest.raises(TypeError, match="environment must be a vector environment"):
        cluster_bandit_agent.VectorClusterBanditAgent(single)
