"""Agents that know with which probabilities they show slates, and show them so often."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from support import scenarios

import recsim
from recsim import registry, spaces, types
from recsim.agents import (
    cluster_bandit_agent,
    contextual_bandit_agent,
    slate_decomp_q_agent,
    softmax_agent,
    tabular_q_agent,
)
from recsim.agents.bandits import algorithms
from recsim.agents.layers import cluster_click_statistics
from recsim.logs import parquet
from recsim.simulator import rollout

NUM_CANDIDATES, SLATE_SIZE = 4, 3
NUM_USERS = 20_000
SLATES = np.array(list(itertools.permutations(range(NUM_CANDIDATES), SLATE_SIZE)))


def vector_env(scenario, num_users=NUM_USERS, **changes):
    changes = {"num_candidates": NUM_CANDIDATES, "slate_size": SLATE_SIZE, **changes}
    return scenarios.make_vector_env(scenario, num_users, env_config=scenarios.config(**changes))


def same_for_all(observation):
    """Returns an observation in which every user sees what the first one does."""
    if isinstance(observation, dict):
        return {key: same_for_all(value) for key, value in observation.items()}
    return np.broadcast_to(observation[:1], observation.shape)


def softmax(env, temperature=0.5):
    space = spaces.single_user_space(env.single_observation_space)
    scores = softmax_agent.scores_of_documents(env.unwrapped.user_model, space)
    return softmax_agent.VectorSoftmaxAgent(env, scores, temperature)


def slate_q(env):
    return slate_decomp_q_agent.VectorSlateDecompQAgent(env, eval_mode=True, epsilon_eval=0.4)


def linear_epsilon_greedy(env):
    return contextual_bandit_agent.VectorContextualBanditAgent(
        env, "epsilon_greedy", exploration=0.4
    )


def named(name):
    return lambda env: registry.create_vector_agent(name, env)


AGENTS = {
    "random": (named("random"), "interest_evolution"),
    "softmax": (softmax, "interest_evolution"),
    "softmax by the average user": (softmax, "interest_exploration"),
    "softmax by the only feature": (softmax, "long_term_satisfaction"),
    "epsilon-greedy": (slate_q, "interest_evolution"),
    "linear epsilon-greedy": (linear_epsilon_greedy, "interest_evolution"),
    "LinUCB": (named("lin_ucb"), "interest_evolution"),
    "greedy_pctr": (named("greedy_pctr"), "interest_exploration"),
    "UCB1": (named("cluster_bandit_ucb1"), "interest_exploration"),
}


@pytest.mark.parametrize("name", AGENTS)
def test_slates_are_shown_as_often_as_the_agent_says(name):
    create, scenario = AGENTS[name]
    env = vector_env(scenario)
    agent = create(env)
    observation = same_for_all(env.reset(seed=3)[0])
    shown = agent.begin(observation)
    several = np.broadcast_to(SLATES, (NUM_USERS, *SLATES.shape))
    known = agent.propensities(observation, several)
    of_slates = known.slate[0]
    assert known.num_samples is None
    assert (known.slate == of_slates).all()
    assert of_slates.sum() == pytest.approx(1.0, abs=1e-12)
    for row, slate in enumerate(SLATES):
        frequency = (shown == slate).all(axis=1).mean()
        error = math.sqrt(of_slates[row] * (1 - of_slates[row]) / NUM_USERS)
        assert abs(frequency - of_slates[row]) <= 4.5 * error + 1e-12
    # What is said of documents and of beginnings are sums over slates.
    for row, place in itertools.product(range(len(SLATES)), range(SLATE_SIZE)):
        same = SLATES[row] == SLATES
        of_item = of_slates[same[:, place]].sum()
        of_prefix = of_slates[same[:, : place + 1].all(axis=1)].sum()
        assert known.items[0, row, place] == pytest.approx(of_item, abs=1e-12)
        assert known.prefixes[0, row, place] == pytest.approx(of_prefix, abs=1e-12)
    # Those of the slates that were shown are the same, asked for alone.
    of_shown = agent.propensities(observation, shown)
    index = (shown[:, np.newaxis] == SLATES).all(axis=2).argmax(axis=1)
    np.testing.assert_allclose(of_shown.slate, of_slates[index], atol=1e-15)
    np.testing.assert_allclose(of_shown.items, known.items[0, index], atol=1e-15)


@pytest.mark.parametrize("scenario", ["interest_evolution", "interest_exploration"])
def test_both_engines_know_the_same_softmax(scenario):
    env = scenarios.make_env(scenario, num_candidates=4, slate_size=3)
    observation = env.reset()
    agent = registry.create_agent("softmax", env, seed=1)
    known = agent.propensities(observation, SLATES)
    assert known.slate.sum() == pytest.approx(1.0)
    times = np.zeros(len(SLATES))
    for _ in range(4000):
        times[(agent.step(0.0, observation) == SLATES).all(axis=1).argmax()] += 1
    expected = known.slate * 4000
    # 23 degrees of freedom: beyond 60 once in 50,000 times.
    assert ((times - expected) ** 2 / expected).sum() < 60


def test_softmax_by_hand():
    env = scenarios.make_env(num_candidates=3, slate_size=2)
    agent = softmax_agent.SoftmaxAgent(
        env.action_space, lambda observation: [math.log(6.0), math.log(3.0), 0.0]
    )
    known = agent.propensities(env.reset(), [1, 0])
    # 3 of 10, then 6 of 7; the first document is second after the second one or the third.
    assert known.slate == pytest.approx(0.3 * 6 / 7)
    assert known.items == pytest.approx([0.3, 0.3 * 6 / 7 + 0.1 * 6 / 9])
    assert known.prefixes == pytest.approx([0.3, 0.3 * 6 / 7])
    assert agent.propensities(env.reset(), [1, 1]).slate == 0.0


@pytest.mark.parametrize("spread", [0.1, 3.0, 40.0])
def test_long_slates_are_integrated(spread):
    """9 of 12 documents have too many beginnings to sum over; what is summed up is the same."""
    env = vector_env("interest_evolution", 3, num_candidates=12, slate_size=9)
    scores = np.random.default_rng(0).normal(size=(3, 12)) * spread
    agent = softmax_agent.VectorSoftmaxAgent(env, lambda observation: scores)
    observation, _ = env.reset(seed=0)
    items = np.zeros((3, 12, 9))
    for document in range(12):
        others = [other for other in range(12) if other != document]
        for place in range(9):
            slate = [*others[:place], document, *others[place:8]]
            known = agent.propensities(observation, np.tile(slate, (3, 1)))
            items[:, document, place] = known.items[:, place]
    np.testing.assert_allclose(items.sum(axis=1), 1.0, atol=1e-10)
    assert (items.sum(axis=2) < 1.0 + 1e-10).all()
    # The first and the second positions have short formulas.
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    first = weights / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(items[:, :, 0], first, atol=1e-10)


def tabular(env, **settings):
    return tabular_q_agent.TabularQAgent(
        env.observation_space, env.action_space, number_bins=3, **settings
    )


@pytest.mark.parametrize("ordinal", [False, True])
def test_tabular_epsilon_greedy(ordinal):
    env = scenarios.make_env("interest_exploration", num_candidates=4, slate_size=3)
    agent = tabular(env, exploration_temperature=0.6, ordinal_slates=ordinal, learning_rate=0.0)
    observation = env.reset()
    known = agent.propensities(observation, SLATES)
    slates = [tuple(agent.step(0.0, observation)) for _ in range(3000)]
    times = np.array([slates.count(tuple(slate)) for slate in SLATES.tolist()])
    assert known.slate.sum() == pytest.approx(1.0)
    assert (known.slate > 0).sum() == (24 if ordinal else 4)
    error = np.sqrt(known.slate * (1 - known.slate) / 3000)
    assert (abs(times / 3000 - known.slate) <= 4.5 * error).all()
    for place in range(SLATE_SIZE):
        for row, slate in enumerate(SLATES):
            of_item = known.slate[SLATES[:, place] == slate[place]].sum()
            assert known.items[row, place] == pytest.approx(of_item)


def test_what_is_not_known_is_null_in_the_log(tmp_path):
    env = scenarios.make_env("interest_exploration")
    agent = tabular(env, exploration_policy="min_count")
    assert agent.propensities(env.reset(), [0, 1]) is None
    log = parquet.ParquetLog(tmp_path / "log", env)
    rollout.run_episode(env, agent, max_steps=3, listeners=[log])
    log.finish()
    frame = recsim.read_episodes(log.path)
    unknown = ["slate_probability", "item_probability", "prefix_probability", "propensity_samples"]
    assert frame[unknown].isna().all(axis=None)


def thompson(env, samples):
    return cluster_click_statistics.VectorClusterClickStatsLayer(
        cluster_bandit_agent.VectorClusterBanditAgent,
        env,
        alg_ctor=algorithms.ThompsonSampling,
        propensity_samples=samples,
    )


def test_thompson_sampling_estimates_those_of_items_and_says_so(tmp_path):
    env = vector_env("interest_exploration", 2000, slate_size=2)
    agent = thompson(env, 400)
    assert types.knows_propensities(agent)
    log = parquet.VectorParquetLog(tmp_path / "log", env)
    rollout.VectorRollout(env, agent, [log]).run_steps(6)
    log.finish()
    frame = recsim.read_episodes(log.path)
    assert frame.slate_probability.isna().all() and frame.prefix_probability.isna().all()
    assert (frame.propensity_samples == 400).all()
    assert frame.item_probability.between(0.5 / 401, 400.5 / 401).all()
    # The inverse of the probability of what is shown has the number of what can be shown as mean.
    late = frame[(frame.step == 5) & (frame.position == 0)]
    assert late.item_probability.nunique() > 50
    shown = agent.propensities(*asked(env, agent))
    assert shown.items[:, :, 0].sum(axis=1) == pytest.approx(1.0, abs=0.01)


def asked(env, agent):
    """Returns an observation, and slates that begin with each of the documents."""
    observation, _ = env.reset(seed=1)
    agent.begin(observation)
    slates = [[first, (first + 1) % NUM_CANDIDATES] for first in range(NUM_CANDIDATES)]
    return observation, np.broadcast_to(slates, (env.num_envs, NUM_CANDIDATES, 2))


def test_estimates_of_thompson_sampling_are_reproducible_and_right():
    env = vector_env("interest_exploration", 4000, slate_size=2)
    agent = thompson(env, 300)
    observation, _ = env.reset(seed=1)
    slates = agent.begin(observation)
    for _ in range(4):
        observation, rewards, *ended, infos = env.step(slates)
        slates = agent.step(observation, rewards, *ended, infos)
    known = agent.propensities(observation, slates)
    again = agent.propensities(observation, slates)
    np.testing.assert_array_equal(known.items, again.items)
    # A document that has the probability p of being shown is shown with it, whatever p is.
    every = [[first, (first + 1) % NUM_CANDIDATES] for first in range(NUM_CANDIDATES)]
    of_all = agent.propensities(observation, np.broadcast_to(every, (4000, NUM_CANDIDATES, 2)))
    first = of_all.items[:, :, 0]
    chosen = slates[:, :1] == np.arange(NUM_CANDIDATES)
    for low, high in itertools.pairwise([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]):
        among = (first > low) & (first <= high)
        if among.sum() > 200:
            error = 4.5 * math.sqrt(0.25 / among.sum())
            assert abs(chosen[among].mean() - first[among].mean()) < error


def test_single_user_bandits():
    env = scenarios.make_env("interest_exploration")
    for alg, samples in [(algorithms.UCB1, None), (algorithms.ThompsonSampling, 500)]:
        agent = cluster_click_statistics.ClusterClickStatsLayer(
            cluster_bandit_agent.ClusterBanditAgent,
            env.observation_space,
            env.action_space,
            alg_ctor=alg,
            propensity_samples=samples,
        )
        observation = env.reset()
        slate = agent.begin_episode(observation)
        for _ in range(20):
            known = agent.propensities(observation, slate)
            assert known.num_samples == samples
            if samples is None:
                assert known.slate == 1.0
                assert agent.propensities(observation, slate[::-1]).slate == 0.0
            else:
                assert 0.0 < known.items[0] <= 1.0
                assert known.slate is None
            observation, reward, _, _ = env.step(slate)
            slate = agent.step(reward, observation)


class Reversed(softmax_agent.VectorSoftmaxAgent):
    def _slates_of_chunks(self, observation):
        for slates in super()._slates_of_chunks(observation):
            yield slates[:, ::-1]


def test_a_subclass_that_chooses_otherwise_knows_nothing():
    env = vector_env("interest_evolution", 2)
    agent = Reversed(env, softmax_agent.inner_products)
    assert not types.knows_propensities(agent)


def test_nothing_to_score_by():
    space = scenarios.make_env("interest_exploration").observation_space
    with pytest.raises(ValueError, match="nothing to score documents by.*score_documents_fn"):
        softmax_agent.scores_of_documents(object(), space)
