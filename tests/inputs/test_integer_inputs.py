"""Array functions give for integers, unsigned ones, bools and half floats what float64 gives.

Each argument of each function is passed in each dtype in turn, the others as they are. The result
has to be that of the float64 values, or the argument refused by an error that names it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from recsim import choice_model, spaces, utils
from recsim._internal.gym_import import spaces as gym_spaces
from recsim.agents import greedy_pctr_agent, slate_decomp_q_agent
from recsim.agents.bandits import algorithms, glm_algorithms
from recsim.agents.dopamine import slate_selection
from recsim.environments import interest_evolution, interest_exploration, long_term_satisfaction
from recsim.experiments import statistics
from recsim.vector import scenario, streams

DTYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
DTYPES += ("float16", "float32", "longdouble")
LTS, IEV, IE = long_term_satisfaction, interest_evolution, interest_exploration

ONES = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
SCORES = np.array([[3.0, 0.0, 2.0], [1.0, 5.0, 120.0]])
SMALL = np.array([[1.0, 0.0, 1.0]])
PULLS, REWARD = np.array([[100.0, 120.0], [3.0, 250.0]]), np.array([[90.0, 1.0], [2.0, 200.0]])
SELECT = {
    "s_no_click": np.array([1.0, 100.0]),
    "s": np.array([[20.0, 3.0, 200.0], [0.0, 1.0, 2.0]]),
    "q": np.array([[10.0, 90.0, 3.0], [1.0, 2.0, 0.0]]),
}
TARGETS = {
    "reward": np.array([1.0, 200.0]),
    "gamma": np.array([1.0, 0.0]),
    "next_actions": np.array([[0, 1], [1, 2]]),
    "next_q_values": np.array([[10.0, 90.0, 3.0], [1.0, 200.0, 0.0]]),
    "next_states": np.ones((2, 4, 3, 1)),
    "terminals": np.array([0.0, 1.0]),
}


def state_of(bandit: Any, method: str, **arguments: Any) -> Any:
    getattr(bandit, method)(**arguments)
    if isinstance(bandit, algorithms.MABAlgorithm):
        return bandit.pulls, bandit.reward, bandit.get_score(9)
    return bandit.get_arm([[1.0, 0.0], [0.0, 1.0]])[2]


@dataclasses.dataclass
class Responses:
    clicked: np.ndarray
    quality: np.ndarray
    cluster_id: np.ndarray


def flat(space: Any, observation: Any) -> np.ndarray:
    out = np.empty(spaces.flat_size(space))
    spaces.flatten(space, observation, out)
    return out


def chosen(values: np.ndarray, choice: np.ndarray) -> Any:
    documents = Responses(values, values, values)
    return dataclasses.astuple(scenario.chosen_documents(documents, choice))


def metrics(click: Any, quality: Any, cluster_id: Any) -> dict[str, float]:
    counts: dict[str, float] = {}
    response = {"click": click, "quality": quality, "cluster_id": cluster_id}

    class Counts(dict[str, float]):
        def __missing__(self, key: str) -> float:
            return 0.0

    counts = Counts()
    utils.aggregate_video_cluster_metrics((response,), counts)
    return counts


BOX = gym_spaces.Box(-1000.0, 1000.0, (3,), np.float32)
TOPICS = gym_spaces.MultiDiscrete([3, 3])

# What is called, and float64 arguments of which each is cast in turn.
TABLE: dict[str, tuple[Any, dict[str, Any]]] = {
    "softmax": (choice_model.softmax, {"vector": SCORES}),
    "logit": (
        choice_model.multinomial_logit_probabilities,
        {"scores": SCORES, "no_click_mass": np.array([2.0, 1.0])},
    ),
    "proportional": (
        lambda **arguments: choice_model.multinomial_proportional_probabilities(
            **arguments, min_normalizer=-200.0
        ),
        {"scores": SCORES, "no_click_mass": np.array([2.0, 1.0])},
    ),
    "exponential cascade": (
        lambda **arguments: choice_model.exponential_cascade_probabilities(
            **arguments, score_scaling=0.01
        ),
        {"scores": SMALL, "attention_prob": np.array([1.0])},
    ),
    "proportional cascade": (
        lambda **arguments: choice_model.proportional_cascade_probabilities(
            **arguments, score_scaling=0.002, min_normalizer=-200.0
        ),
        {"scores": SCORES, "attention_prob": np.array([1.0, 0.0])},
    ),
    "cascade": (
        lambda **arguments: choice_model.cascade_probabilities(**arguments, score_scaling=0.005),
        {"weights": SCORES, "attention_prob": np.array([1.0, 0.0])},
    ),
    "sample_choice": (
        lambda weights: choice_model.sample_choice(weights, np.array([0.9, 0.5])),
        {"weights": np.array([[200.0, 100.0, 90.0], [0.0, 100.0, 250.0]])},
    ),
    "sample_choice's numbers": (
        lambda uniform: choice_model.sample_choice(SCORES + 1.0, uniform),
        {"uniform": np.zeros(2)},
    ),
    "choice model's weights": (
        choice_model.MultinomialProportionalChoiceModel({"min_normalizer": -3}).choice_weights,
        {"scores": SCORES},
    ),
    **{
        function.__name__: (
            function,
            {"pulls": PULLS, "reward": REWARD, "t": np.array([200.0, 250.0])},
        )
        for function in (algorithms.ucb1_index, algorithms.kl_ucb_index)
    },
    "thompson_index": (
        lambda **counts: algorithms.thompson_index(**counts, rng=np.random.RandomState(0)),
        {"pulls": PULLS, "reward": REWARD},
    ),
    "UCB1.set_state": (
        lambda **counts: state_of(algorithms.UCB1(2, {}), "set_state", **counts),
        {"pulls": PULLS[0], "reward": REWARD[0]},
    ),
    "KLUCB.update": (
        lambda reward: state_of(algorithms.KLUCB(2, {}), "update", arm=1, reward=reward),
        {"reward": np.array([1.0])},
    ),
    "UCB1.update's arm": (
        lambda arm: state_of(algorithms.UCB1(2, {}), "update", arm=arm, reward=1.0),
        {"arm": np.array(1)},
    ),
    "GLM_TS.update": (
        lambda **pull: state_of(glm_algorithms.GLM_TS(2), "update", **pull),
        {"reward": np.array(1.0), "arm": np.array([100.0, 1.0])},
    ),
    "UCB_GLM.get_arm": (
        lambda arms: glm_algorithms.UCB_GLM(2, 9).get_arm(arms)[2],
        {"arms": np.array([[100.0, 1.0], [3.0, 0.0]])},
    ),
    "compute_probs_tf": (
        slate_decomp_q_agent.compute_probs_tf,
        {
            "slate": np.array([0, 2]),
            "scores_tf": np.array([200.0, 1.0, 100.0]),
            "score_no_click_tf": np.array(50.0),
        },
    ),
    "score_documents": (
        slate_decomp_q_agent.score_documents,
        {
            "user_obs": np.array([20.0, 1.0]),
            "doc_obs": np.array([[20.0, 1.0], [0.0, 3.0]]),
            "no_click_mass": np.array(1.0),
            "min_normalizer": np.array(0.0),
        },
    ),
    **{
        function.__name__: (lambda function=function, **arguments: function(2, **arguments), SELECT)
        for function in (
            slate_decomp_q_agent.select_slate_topk,
            slate_decomp_q_agent.select_slate_greedy,
            slate_decomp_q_agent.select_slate_optimal,
            slate_selection.greedy_slates,
            slate_selection.optimal_slates,
        )
    },
    "top_k_slates": (
        lambda s, q: slate_selection.top_k_slates(2, s, q),
        {name: SELECT[name] for name in ("s", "q")},
    ),
    "slate_values": (
        slate_selection.slate_values,
        {"slates": np.array([[0.0, 1.0], [1.0, 2.0]]), **SELECT},
    ),
    **{
        function.__name__: (function, TARGETS)
        for function in (
            slate_decomp_q_agent.compute_target_sarsa,
            slate_decomp_q_agent.compute_target_topk_q,
            slate_decomp_q_agent.compute_target_greedy_q,
            slate_decomp_q_agent.compute_target_optimal_q,
        )
    },
    "findBestDocuments": (
        greedy_pctr_agent.GreedyPCTRAgent(gym_spaces.MultiDiscrete([3, 3]), None).findBestDocuments,
        {"scores": np.array([1.0, 0.0, 200.0])},
    ),
    "satisfaction": (
        LTS.satisfaction,
        {"net_positive_exposure": np.array([2.0, 100.0]), "sensitivity": np.array([1.0, 3.0])},
    ),
    "next_net_positive_exposure": (
        LTS.next_net_positive_exposure,
        {
            "net_positive_exposure": np.array([2.0, 100.0]),
            "clickbait_score": np.array([0.0, 1.0]),
            "memory_discount": np.array([0.0, 1.0]),
            "innovation": np.array([1.0, 200.0]),
        },
    ),
    "initial_net_positive_exposure": (
        LTS.initial_net_positive_exposure,
        {"memory_discount": np.zeros(2), "uniform": np.zeros(2)},
    ),
    "log_engagement": (
        LTS.log_engagement,
        {
            "location": np.array([5.0, 100.0]),
            "scale": np.array([1.0, 100.0]),
            "satisfaction": np.array([0.0, 1.0]),
            "normal": np.array([3.0, 2.0]),
        },
    ),
    "interpolated": (
        LTS.interpolated,
        {
            "clickbait_score": np.array([0.0, 3.0]),
            "choc": np.array([100.0, 1.0]),
            "kale": np.array([1.0, 200.0]),
        },
    ),
    "document_scores": (
        IE.document_scores,
        {
            "topic_affinity": np.array([200.0, 1.0]),
            "cluster_id": np.array([0.0, 1.0, 0.0]),
            "quality": np.array([100.0, 1.0, 250.0]),
        },
    ),
    "document_scores of several users": (
        IE.document_scores,
        {
            "topic_affinity": np.array([[200.0, 1.0], [0.0, 3.0]]),
            "cluster_id": np.array([[0.0, 1.0], [1.0, 1.0]]),
            "quality": np.array([[100.0, 1.0], [250.0, 2.0]]),
        },
    ),
    "sampled_log_normal": (
        IE.sampled_log_normal,
        {
            "mean": np.array([2.0, 100.0]),
            "stddev": np.array([20.0, 0.0]),
            "normal": np.array([20.0, 1.0]),
        },
    ),
    "updated_interests": (
        IEV.updated_interests,
        {
            "interests": np.array([[1.0, 0.0], [0.0, 0.0]]),
            "features": np.array([[0.0, 1.0], [1.0, 1.0]]),
            "uniform": np.zeros(2),
        },
    ),
    "updated_budget": (
        IEV.updated_budget,
        {
            "budget": np.array([3.0, 100.0]),
            "watch_time": np.array([20.0, 200.0]),
            "utility": np.array([20.0, 1.0]),
            "alpha": np.array([1.0, 0.0]),
        },
    ),
    "flatten": (lambda value: flat(BOX, value), {"value": np.array([1.0, 0.0, 200.0])}),
    "flatten topics": (
        lambda observation: flat(TOPICS, observation),
        {"observation": np.array([0.0, 2.0])},
    ),
    "flattened": (lambda value: spaces.flattened(BOX, value), {"value": SCORES}),
    "flattened topics": (
        lambda Observations: spaces.flattened(TOPICS, Observations),
        {"Observations": np.array([[0, 2], [1, 1]])},
    ),
    "metrics": (
        metrics,
        {"click": np.array([1.0]), "quality": np.array(3.0), "cluster_id": np.array([2.0])},
    ),
    "metrics of users in parallel": (
        lambda **fields: utils.video_cluster_metrics(Responses(**fields)),
        {
            "clicked": np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]),
            "quality": np.array([[200.0, 1.0], [1.0, 2.0], [3.0, 100.0]]),
            "cluster_id": np.array([[2.0, 1.0], [1.0, 0.0], [0.0, 1.0]]),
        },
    ),
    "total_clicks": (
        lambda clicked: scenario.total_clicks(Responses(clicked, clicked, clicked)),
        {"clicked": np.array([[1.0, 0.0], [1.0, 1.0]])},
    ),
    "clicked": (lambda choice: scenario.clicked(choice, 2), {"choice": np.array([0.0, 2.0, 1.0])}),
    "chosen_documents": (
        chosen,
        {"values": SCORES, "choice": np.array([0.0, 2.0])},
    ),
    "slates": (lambda uniform: streams.slates(uniform, 3), {"uniform": np.zeros((2, 2))}),
    "categories": (
        lambda cumulative: streams.chunk_streams(0, "x", 0, 5)[0].categories(cumulative),
        {"cumulative": np.array([0.0, 1.0])},
    ),
    "estimate": (statistics.estimate, {"values": np.array([1.0, 200.0, 100.0])}),
    "median_interval": (statistics.median_interval, {"values": np.arange(200.0)}),
}


def leaves(result: Any) -> list[Any]:
    if isinstance(result, dict):
        return [entry for key in sorted(result) for entry in (key, *leaves(result[key]))]
    if isinstance(result, (list, tuple)):
        return [leaf for entry in result for leaf in leaves(entry)]
    return [np.asarray(result, np.float64)]


def same(result: Any, expected: Any, dtype: str) -> bool:
    # Single precision remains where it is given.
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    pairs = list(zip(leaves(result), leaves(expected), strict=True))
    return all(
        a == b if isinstance(a, str) else np.allclose(a, b, rtol=tolerance, atol=tolerance)
        for a, b in pairs
    )


def outcome(function: Any, arguments: dict[str, Any]) -> Any:
    try:
        return function(**arguments)
    except (TypeError, ValueError, IndexError) as error:
        return error


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", TABLE)
def test_other_dtypes_give_what_float64_gives(row: str, dtype: str) -> None:
    function, arguments = TABLE[row]
    for name, value in arguments.items():
        # As far as the dtype can hold the values: others would be other numbers.
        held = np.minimum(value, 127).astype(dtype) if dtype == "int8" else value.astype(dtype)
        expected = outcome(function, {**arguments, name: held.astype(value.dtype)})
        result = outcome(function, {**arguments, name: held})
        if isinstance(expected, Exception):  # Such as for pulls that are bools.
            assert isinstance(result, Exception), f"{name}: {result!r} without {expected!r}"
        elif isinstance(result, Exception):
            assert name in str(result), f"{name}: {result!r}"
            # Floats are not indices; otherwise what has the values is not refused.
            assert value.dtype.kind == "i" or dtype == "bool", result
        else:
            assert same(result, expected, dtype), f"{name}: {result!r} is not {expected!r}"
