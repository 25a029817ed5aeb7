"""Logged slates, policies and estimators, with arguments that they take."""

from __future__ import annotations

import numpy as np

from recsim.agents import softmax_agent
from recsim.ope import estimates, estimators, exports, log, models, policy, sequences, slates
from support.scenarios import make_env

__all__ = ["TABLE"]

LOG = {
    "items": [[0, 1], [2, 0]],
    "rewards": [1.0, 0.0],
    "slate_propensities": [0.25, 0.5],
    "item_propensities": [[0.5, 0.5], [1.0, 0.5]],
    "position_rewards": [[1.0, 0.0], [0.0, 0.0]],
    "clicks": [[1, 0], [0, 0]],
    "users": [3, 4],
    "episodes": [0, 0],
    "steps": [0, 0],
    "terminated": [True, False],
    "user_features": [[0.5], [1.5]],
    "num_candidates": 3,
}


def softmax(temperature, random_seed):
    agent = softmax_agent.SoftmaxAgent(
        make_env().action_space,
        lambda observation: np.arange(4.0),
        temperature=temperature,
        random_seed=random_seed,
    )
    return agent.begin_episode(make_env().reset())


TABLE = {
    "SlateLog": (log.SlateLog, LOG),
    "Policy": (
        policy.Policy,
        {"slates": [0.5, 0.0], "items": [[0.5, 1.0], [0.0, 0.5]], "prefixes": [[0.5, 0.5]] * 2},
    ),
    "SlateDistribution": (
        policy.SlateDistribution,
        {"slates": [[0, 1], [1, 0]], "probabilities": [[0.5, 0.5]]},
    ),
    "SlateDistribution.softmax": (
        policy.SlateDistribution.softmax,
        {"scores": [[1.0, 2.0, 3.0]], "slate_size": 2, "temperature": 1.0},
    ),
    "SlateDistribution.certain": (
        policy.SlateDistribution.certain,
        {"chosen": [[0, 1]], "num_candidates": 3},
    ),
    "all_slates": (policy.all_slates, {"num_candidates": 3, "slate_size": 2}),
    "Interval": (
        estimates.Interval,
        {"method": "normal", "confidence": 0.9, "num_samples": 10, "seed": 1},
    ),
    "InversePropensity": (
        estimators.InversePropensity,
        {"weights": "items", "self_normalized": True, "clip": 2.0},
    ),
    "DoublyRobust": (
        estimators.DoublyRobust,
        {"self_normalized": True, "clip": 2.0, "switch": 1.0, "shrinkage": 1.0},
    ),
    "CascadeDoublyRobust": (slates.CascadeDoublyRobust, {"clip": 2.0}),
    "PseudoInverse": (slates.PseudoInverse, {"self_normalized": False}),
    "PerDecision": (
        sequences.PerDecision,
        {"self_normalized": False, "discount": 0.9, "clip": 2.0},
    ),
    "FittedQ": (sequences.FittedQ, {"discount": 0.9, "ridge": 1.0, "num_batches": 5}),
    "LinearModel": (models.LinearModel, {"ridge": 1.0, "num_folds": 2, "seed": 0}),
    "CascadeModel": (models.CascadeModel, {"ridge": 1.0, "num_folds": 2, "seed": 0}),
    "Predictions": (models.Predictions, {"logged": [1.0], "expected": [2.0]}),
    "slates_of": (
        exports.slates_of,
        {"actions": [0, 1], "num_candidates": 3, "slate_size": 2},
    ),
    "SoftmaxAgent": (softmax, {"temperature": 1.0, "random_seed": 0}),
}
