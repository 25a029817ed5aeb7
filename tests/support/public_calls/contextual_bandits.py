"""Contextual bandits: their functions, models and agents, with arguments that they take."""

from __future__ import annotations

from recsim.agents import contextual_bandit_agent
from recsim.agents.bandits import linear_algorithms, logistic_algorithms
from support import scenarios

ENV = scenarios.make_env("interest_evolution", num_candidates=4, slate_size=2)
VECTOR_ENV = scenarios.make_vector_env("interest_evolution", 3)
INVERSE = [[1.0, 0.25], [0.25, 0.5]]
CONTEXTS = [[1.0, 0.0], [0.5, 2.0]]
OUTCOMES = {"contexts": CONTEXTS, "rewards": [1.0, 0.0]}
BY_ARM = {**OUTCOMES, "arms": [1, 0]}

SETTINGS = {
    "explore": "ucb",
    "model": "linear",
    "weights": "disjoint",
    "exploration": 0.5,
    "exploration_eval": 0.0,
    "ridge": 1.0,
    "diagonal": False,
    "interaction": "outer",
    "arm_field": None,
    "learn_from": "first_click",
    "reward_field": "click",
    "propensity_samples": None,
    "seed": 0,
}


def estimates_of(make, name):
    """Returns a function that calls a method of a new model, and returns its estimates."""

    def call(**arguments):
        model = make()
        getattr(model, name)(**arguments)
        return [array for array in model.state_dict().values() if array.dtype.kind == "f"]

    return call


TABLE = {
    "rank_one_update": (
        linear_algorithms.rank_one_update,
        {"inverse": INVERSE, "contexts": CONTEXTS[0]},
    ),
    "block_update": (
        linear_algorithms.block_update,
        {"inverse": INVERSE, "contexts": CONTEXTS},
    ),
    "standard_deviations": (
        linear_algorithms.standard_deviations,
        {"inverse": INVERSE, "contexts": CONTEXTS},
    ),
    "linear_ucb_index": (
        linear_algorithms.linear_ucb_index,
        {"weights": [1.0, 2.0], "inverse": INVERSE, "contexts": CONTEXTS, "alpha": 1.0},
    ),
    "linear_thompson_index": (
        linear_algorithms.linear_thompson_index,
        {
            "weights": [1.0, 2.0],
            "inverse": INVERSE,
            "contexts": CONTEXTS,
            "normals": [0.5, -1.0],
            "scale": 1.0,
        },
    ),
    "laplace_update": (
        logistic_algorithms.laplace_update,
        {"mean": [0.0, 1.0], "precision": [[2.0, 0.5], [0.5, 1.0]], **OUTCOMES},
    ),
    "LinearModels": (linear_algorithms.LinearModels, {"dim": 2, "num_arms": 2, "ridge": 1.0}),
    "HybridModel": (
        linear_algorithms.HybridModel,
        {"dim": 2, "arm_dim": 1, "num_arms": 2, "ridge": 1.0},
    ),
    "LogisticModels": (
        logistic_algorithms.LogisticModels,
        {"dim": 2, "num_arms": 2, "ridge": 1.0, "diagonal": True},
    ),
    "LinearModels.update": (
        estimates_of(lambda: linear_algorithms.LinearModels(2, 2), "update"),
        BY_ARM,
    ),
    "HybridModel.update": (
        estimates_of(lambda: linear_algorithms.HybridModel(2, 1, 2), "update"),
        BY_ARM,
    ),
    "LogisticModels.update": (
        estimates_of(lambda: logistic_algorithms.LogisticModels(2, 2), "update"),
        BY_ARM,
    ),
    "ContextualBanditAgent": (
        lambda **arguments: contextual_bandit_agent.ContextualBanditAgent(
            **{
                "observation_space": ENV.observation_space,
                "action_space": ENV.action_space,
                **arguments,
            }
        ),
        {
            "observation_space": ENV.observation_space,
            "action_space": ENV.action_space,
            **SETTINGS,
        },
    ),
    "VectorContextualBanditAgent": (
        lambda **arguments: contextual_bandit_agent.VectorContextualBanditAgent(
            VECTOR_ENV, **arguments
        ),
        SETTINGS,
    ),
}
