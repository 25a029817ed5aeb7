"""Functions of numbers and arrays, bandits and choice models, with arguments that they take."""

from __future__ import annotations

import collections

import numpy as np

from recsim import choice_model, seeding, user, utils
from recsim import spaces as spaces_lib
from recsim.agents import agent_utils, slate_decomp_q_agent
from recsim.agents.bandits import algorithms, glm_algorithms
from recsim.agents.dopamine import dqn_agent, transitions
from recsim.environments import interest_evolution, interest_exploration, long_term_satisfaction
from recsim.experiments import statistics
from recsim.vector import streams
from support.scenarios import make_env

LTS, IEV, IE = long_term_satisfaction, interest_evolution, interest_exploration


def method(make, name):
    """Returns a method of a new object at each call."""
    return lambda **arguments: getattr(make(), name)(**arguments)


def bandit_of(kind):
    return lambda num_arms, seed, **params: kind(num_arms, params, seed)


def scores_of(kind):
    def scores(t, **params):
        bandit = kind(2, params)
        bandit.set_state([3, 1], [1, 1])
        return bandit.get_score(t)

    return scores


def pulled(kind):
    """Returns a bandit of three arms, each of which was pulled once."""
    bandit = kind(3, {})
    for arm in range(3):
        bandit.update(arm, 1.0)
    return bandit


class _Scores(user.AbstractUserState):
    def score_document(self, doc_obs):
        return doc_obs

    create_observation = observation_space = None


class _Scored(_Scores):
    """A user who gives all documents of a slate their scores at once."""

    def __init__(self, scores):
        self.scores = scores

    def score_documents(self, doc_obs):
        return self.scores


def features(model):
    def scored(**choice_features):
        made = model(choice_features)
        made.score_documents(_Scores(), [0.5, 0.25])
        return [*made.scores, made.score_no_click]

    return scored


def chosen_by(kind):
    def choose(scores):
        model = kind({"min_normalizer": -1.0, **CASCADE})
        model.score_documents(_Scored(scores), [0, 1])
        return model.choose_item()

    return choose


def stream():
    return streams.chunk_streams(0, "test", 0, 3)[0]


SCORES = {"scores": [0.5, 0.25]}
CASCADE = {"attention_prob": 0.5, "score_scaling": 0.1}
COUNTS = {"pulls": [3, 1], "reward": [1, 1], "t": 4, "optimism_scaling": 1.0}
TARGETS = {
    "reward": np.ones(2, np.float32),
    "gamma": 0.9,
    "next_actions": np.array([[0, 1], [1, 2]]),
    "next_q_values": np.ones((2, 3), np.float32),
    "next_states": np.full((2, 4, 5, 1), 0.1, np.float32),
    "terminals": np.zeros(2, np.float32),
}
SELECT = {"slate_size": 1, "s_no_click": 1.0, "s": [0.5, 0.25], "q": [1.0, 2.0]}
DOCUMENT_SPACE = make_env().observation_space["doc"]["0"]

TABLE = {
    # Bandits.
    "ucb1_index": (algorithms.ucb1_index, COUNTS),
    "kl_ucb_index": (algorithms.kl_ucb_index, {**COUNTS, "c": 3.0}),
    "thompson_index": (
        algorithms.thompson_index,
        {**{k: v for k, v in COUNTS.items() if k != "t"}, "rng": np.random.RandomState(0)},
    ),
    **{
        kind.__name__: (bandit_of(kind), {"num_arms": 3, "seed": 0, "optimism_scaling": 0.5})
        for kind in (algorithms.UCB1, algorithms.KLUCB, algorithms.ThompsonSampling)
    },
    **{
        f"scores of {kind.__name__}": (scores_of(kind), {"t": 3, "optimism_scaling": 0.5})
        for kind in (algorithms.UCB1, algorithms.KLUCB, algorithms.ThompsonSampling)
    },
    "KLUCB's c": (scores_of(algorithms.KLUCB), {"t": 3, "c": 3.0}),
    "params of UCB1": (algorithms.UCB1, {"num_arms": 2, "params": {}}),
    **{
        f"{kind.__name__}.{name}": (method(lambda kind=kind: pulled(kind), name), arguments)
        for kind in (algorithms.UCB1, algorithms.KLUCB, algorithms.ThompsonSampling)
        for name, arguments in (
            ("update", {"arm": 0, "reward": 0.5}),
            ("set_state", {"pulls": [3, 1, 1], "reward": [1, 1, 0]}),
            ("get_arm", {"t": 4}),
            ("get_score", {"t": 4}),
        )
    },
    "GLM_TS": (
        glm_algorithms.GLM_TS,
        {"dim": 2, "sigma0": 1.0, "optimism_scaling": 1.0, "seed": 0},
    ),
    "UCB_GLM": (
        glm_algorithms.UCB_GLM,
        {"dim": 2, "horizon": 9, "sigma0": 1.0, "optimism_scaling": 1.0, "seed": 0},
    ),
    **{
        f"{kind.__name__}.{name}": (
            method(lambda kind=kind, more=more: kind(dim=2, **more), name),
            arguments,
        )
        for kind, more in ((glm_algorithms.GLM_TS, {}), (glm_algorithms.UCB_GLM, {"horizon": 9}))
        for name, arguments in (
            ("update", {"reward": 0.5, "arm": [1.0, 0.0]}),
            ("get_arm", {"arms": [[1.0, 0.0], [0.0, 1.0]]}),
            ("solve_logistic_bandit", {"init_iters": 1, "num_iters": 2, "tol": 0.1}),
        )
    },
    # Choice.
    "softmax": (choice_model.softmax, {"vector": [1.0, 2.0]}),
    "multinomial_logit_probabilities": (
        choice_model.multinomial_logit_probabilities,
        {**SCORES, "no_click_mass": 0.5},
    ),
    "multinomial_proportional_probabilities": (
        choice_model.multinomial_proportional_probabilities,
        {**SCORES, "no_click_mass": 0.5, "min_normalizer": -1.0},
    ),
    "exponential_cascade_probabilities": (
        choice_model.exponential_cascade_probabilities,
        {**SCORES, **CASCADE},
    ),
    "proportional_cascade_probabilities": (
        choice_model.proportional_cascade_probabilities,
        {**SCORES, **CASCADE, "min_normalizer": -1.0},
    ),
    "cascade_probabilities": (
        choice_model.cascade_probabilities,
        {"weights": [0.5, 0.25], **CASCADE},
    ),
    "sample_choice of a list": (
        choice_model.sample_choice,
        {"weights": [0.5, 0.25], "uniform": 0.5},
    ),
    "sample_choice of an array": (
        choice_model.sample_choice,
        {"weights": np.ones((2, 3)), "uniform": np.array([0.5, 0.25])},
    ),
    "MultinomialLogitChoiceModel": (
        features(choice_model.MultinomialLogitChoiceModel),
        {"no_click_mass": 1.0},
    ),
    "MultinomialProportionalChoiceModel": (
        features(choice_model.MultinomialProportionalChoiceModel),
        {"no_click_mass": 1.0, "min_normalizer": -1.0},
    ),
    "ExponentialCascadeChoiceModel": (
        features(choice_model.ExponentialCascadeChoiceModel),
        CASCADE,
    ),
    "ProportionalCascadeChoiceModel": (
        features(choice_model.ProportionalCascadeChoiceModel),
        {**CASCADE, "min_normalizer": -1.0},
    ),
    "choice_features": (choice_model.MultinomialLogitChoiceModel, {"choice_features": {}}),
    **{
        f"{kind.__name__}.choose_item": (
            chosen_by(kind),
            {"scores": [0.5, 0.25]},
        )
        for kind in (
            choice_model.MultinomialLogitChoiceModel,
            choice_model.MultinomialProportionalChoiceModel,
            choice_model.ExponentialCascadeChoiceModel,
            choice_model.ProportionalCascadeChoiceModel,
        )
    },
    # SlateQ's functions.
    "compute_probs_tf": (
        slate_decomp_q_agent.compute_probs_tf,
        {"slate": [0, 1], "scores_tf": [0.5, 0.25, 1.0], "score_no_click_tf": 1.0},
    ),
    "score_documents": (
        slate_decomp_q_agent.score_documents,
        {
            "user_obs": [0.5, 0.25],
            "doc_obs": [[0.5, 0.25], [1.0, 0.0]],
            "no_click_mass": 1.0,
            "min_normalizer": -1.0,
        },
    ),
    **{
        select.__name__: (select, SELECT)
        for select in (
            slate_decomp_q_agent.select_slate_topk,
            slate_decomp_q_agent.select_slate_greedy,
            slate_decomp_q_agent.select_slate_optimal,
        )
    },
    **{
        target.__name__: (target, TARGETS)
        for target in (
            slate_decomp_q_agent.compute_target_sarsa,
            slate_decomp_q_agent.compute_target_topk_q,
            slate_decomp_q_agent.compute_target_greedy_q,
            slate_decomp_q_agent.compute_target_optimal_q,
        )
    },
    # Scenarios.
    "satisfaction": (LTS.satisfaction, {"net_positive_exposure": 0.5, "sensitivity": 0.1}),
    "next_net_positive_exposure": (
        LTS.next_net_positive_exposure,
        {
            "net_positive_exposure": 0.5,
            "clickbait_score": 0.5,
            "memory_discount": 0.5,
            "innovation": 0.1,
        },
    ),
    "initial_net_positive_exposure": (
        LTS.initial_net_positive_exposure,
        {"memory_discount": 0.5, "uniform": 0.5},
    ),
    "log_engagement": (
        LTS.log_engagement,
        {"location": 1.0, "scale": 1.0, "satisfaction": 0.5, "normal": 0.5},
    ),
    "interpolated": (LTS.interpolated, {"clickbait_score": 0.5, "choc": 1.0, "kale": 2.0}),
    "document_scores": (
        IE.document_scores,
        {"topic_affinity": [0.5, 0.25], "cluster_id": [0, 1, 1], "quality": [0.5, 1.0, 2.0]},
    ),
    "sampled_log_normal": (IE.sampled_log_normal, {"mean": 0.5, "stddev": 1.0, "normal": 0.5}),
    "updated_interests": (
        IEV.updated_interests,
        {
            "interests": [0.5, 0.25],
            "features": [1.0, 0.0],
            "uniform": 0.5,
            "x_intercept": 1.0,
            "y_intercept": 0.3,
        },
    ),
    "updated_budget": (
        IEV.updated_budget,
        {"budget": 5.0, "watch_time": 1.0, "utility": 0.5, "alpha": 0.9},
    ),
    # Agents' functions.
    "linearly_decaying_epsilon": (
        dqn_agent.linearly_decaying_epsilon,
        {"decay_period": 10, "step": 3, "warmup_steps": 2, "epsilon": 0.1},
    ),
    "discounts_of_steps": (transitions.discounts_of_steps, {"gamma": 0.5, "update_horizon": 2}),
    "epsilon_greedy_exploration": (
        agent_utils.epsilon_greedy_exploration,
        {
            "state_action_iterator": [([0], (0,)), ([1], (1,))],
            "q_function": {(0,): 1.0},
            "epsilon": 0.5,
            "rng": np.random.RandomState(0),
        },
    ),
    "min_count_exploration": (
        agent_utils.min_count_exploration,
        {"state_action_iterator": [([0], (0,)), ([1], (1,))], "counts_function": {(0,): 1}},
    ),
    # Random numbers.
    "chunk_streams": (
        streams.chunk_streams,
        {"seed": 0, "name": "x", "first_user": 0, "num_users": 3, "dtype": "float32"},
    ),
    "chunks": (streams.chunks, {"first_user": 0, "num_users": 3}),
    "chunk_rows": (streams.chunk_rows, {"first_user": 0, "num_users": 3}),
    "slates": (streams.slates, {"uniform": np.array([[0.5, 0.25]]), "num_candidates": 3}),
    "RandomStream.slates": (
        method(stream, "slates"),
        {"num_candidates": 3, "slate_size": 2},
    ),
    "RandomStream.integers": (lambda high: stream().integers(high, 2), {"high": 3}),
    "RandomStream.categories": (
        lambda cumulative: stream().categories(cumulative, 2),
        {"cumulative": np.array([0.5, 1.0])},
    ),
    "hash_key": (streams.hash_key, {"seed": 0, "name": "x"}),
    "named_random_state": (seeding.named_random_state, {"seed": 0, "name": "x"}),
    "derived_seed": (seeding.derived_seed, {"seed": 0, "name": "x"}),
    "named_sequence": (seeding.named_sequence, {"seed": 0, "name": "x"}),
    # Estimates and metrics.
    "estimate": (statistics.estimate, {"values": [1.0, 2.0, 4.0]}),
    # Of fewer values the interval is the whole line.
    "median_interval": (
        lambda values: [x for x in statistics.median_interval(values) if np.isfinite(x)],
        {"values": [1.0, 2.0, 4.0, 5.0, 6.0, 7.0]},
    ),
    "in_standard_errors": (
        statistics.in_standard_errors,
        {"mean": 1.0, "standard_error": 0.5, "other_mean": 2.0, "other_error": 0.5},
    ),
    **{
        f"{name} of a response": (
            lambda **entry: utils.aggregate_video_cluster_metrics(
                ({"click": 1, "quality": 1.0, "cluster_id": 0, **entry},),
                collections.defaultdict(float),
            ),
            {name: 1},
        )
        for name in ("click", "quality", "cluster_id")
    },
    "paired_difference": (
        statistics.paired_difference,
        {"values": [1.0, 2.0, 4.0], "baseline": [3.0, 1.0, 1.0]},
    ),
    "write_video_cluster_metrics": (
        utils.write_video_cluster_metrics,
        {
            "metrics": {"impression": 2, "click": 1, "quality": 1.0},
            "add_summary_fn": lambda tag, value: None,
        },
    ),
    # Spaces.
    "flat_size": (spaces_lib.flat_size, {"space": DOCUMENT_SPACE}),
    "check_observation": (
        spaces_lib.check_observation,
        {"space": DOCUMENT_SPACE, "observation": {"quality": np.array(1.0), "cluster_id": 1}},
    ),
}
