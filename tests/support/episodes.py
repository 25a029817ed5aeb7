"""Episodes to watch: of the scenarios, and one of a step that is made up."""

from __future__ import annotations

import numpy as np

import recsim
from recsim import registry, types, watching

CONFIG = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 3}


def watched(name="interest_exploration", agent="cluster_bandit_ucb1", *, steps=6, **changes):
    env = registry.create_environment(name, {**CONFIG, **changes})
    made = registry.create_agent(agent, env, eval_mode=True)
    return recsim.watch(env, made, max_steps=steps, show=False, title=f"{agent} in {name}")


def made_up(**changes):
    """Returns an episode of a step, all of whose values are in the test."""
    step = {
        "item_ids": ("a", "b", "c"),
        "candidates": {"quality": np.array([1.5, 2.0, 0.25])},
        "user": {},
        "slate": (2, 0),
        "probabilities": np.array([0.25, 0.5, 0.25]),
        "responses": {"click": np.array([0, 1]), "watch_time": np.array([0.0, 4.0])},
        "clicked": (1,),
        "reward": 4.0,
        "state": {"budget": 10.0, "interests": np.array([0.1, 0.2, 0.3, 0.4]), "kind": "calm"},
        "next_state": {"budget": 6.0, "interests": np.array([0.1, 0.2, 0.9, 0.4]), "kind": "calm"},
        "explanation": types.Explanation(
            "Made up.",
            [
                types.ExplanationTable("slate", [(2, 0), (0, 1)], {"value": [1.25, 1.0]}),
                types.ExplanationTable("candidate", [0], {"worth": [7.0]}),
            ],
            {"doubt": 0.125},
        ),
        **changes,
    }
    return watching.Episode("An agent", (watching.Step(**step),), False)
