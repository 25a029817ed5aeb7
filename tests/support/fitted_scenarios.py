"""Fitted scenarios for tests, made up."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsim.environments import fitted

__all__ = ["CLICK_MODELS", "made_up"]

#: A click model of each name, for slates of up to four items.
CLICK_MODELS = {
    "multinomial_logit": fitted.ClickModel(
        "multinomial_logit", np.array([0.0, -0.3, -0.6, -1.0]), np.zeros(4)
    ),
    "position_based": fitted.ClickModel(
        "position_based", np.array([1.0, 0.8, 0.6, 0.4]), np.zeros(4)
    ),
    "cascade": fitted.ClickModel("cascade", np.zeros(4), np.ones(4)),
    "dependent_click": fitted.ClickModel(
        "dependent_click", np.zeros(4), np.array([0.2, 0.4, 0.6, 0.8])
    ),
}


def made_up(
    *models: str, num_items: int = 30, num_users: int = 12, seed: int = 0, **changes: Any
) -> fitted.FittedParameters:
    """Returns a scenario with everything in it, of users of one kind for each click model."""
    rng = np.random.default_rng(seed)
    named = models or ("position_based",)
    popularity = rng.dirichlet(np.full(num_items, 2.0))
    factors = rng.normal(size=(num_items, 3))
    fields: dict[str, Any] = {
        "item_ids": tuple(f"sku-{index}" for index in range(num_items)),
        "item_names": tuple(f"Shirt no. {index}" for index in range(num_items)),
        "item_utilities": rng.normal(-1.0, 1.0, num_items),
        "item_popularity": popularity,
        "item_factors": factors / np.sqrt(np.mean(np.sum(factors**2, axis=1))),
        "item_features": rng.normal(size=(num_items, 2)),
        "item_feature_names": ("price", "age"),
        "item_topics": rng.integers(0, 4, num_items),
        "topic_names": ("linen", "wool", "silk", "cotton"),
        "click_models": tuple(CLICK_MODELS[name] for name in named),
        "user_ids": tuple(f"user-{index}" for index in range(num_users)),
        "user_utilities": rng.normal(0.0, 0.5, num_users),
        "user_factors": rng.normal(size=(num_users, 3)),
        "user_kinds": np.arange(num_users) % len(named),
        "user_weights": rng.dirichlet(np.full(num_users, 2.0)),
        "user_features": rng.normal(size=(num_users, 1)),
        "user_feature_names": ("age",),
        "drift": 0.2,
        "fatigue": 0.4,
        "fatigue_memory": 0.7,
        "session": fitted.SessionModel(-2.0, 0.5, 0.1, 40),
        "values": fitted.ValueModel(
            "rating",
            rng.uniform(2.0, 4.0, num_items),
            rng.normal(0.0, 0.3, num_users),
            0.5,
            1.0,
            5.0,
            by_interest=0.3,
        ),
        "source": {"rows": 100},
    }
    return fitted.FittedParameters(**{**fields, **changes})
