"""Logs from fitted scenarios: what users were shown and clicked, where the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim import types
from recsim._internal import numbers, validation
from recsim.agents import random_agent
from recsim.environments import fitted
from recsim.vector import agent as vector_agent

if TYPE_CHECKING:
    import pandas as pd

    from recsim.vector import env as vector_env

__all__ = ["generate_log"]

_MOST_STEPS = 10**6


def generate_log(
    parameters: fitted.FittedParameters,
    num_users: int | None = None,
    *,
    sessions: int = 1,
    slate_size: int | None = None,
    num_candidates: int | None = None,
    create_agent: Callable[[vector_env.RecSimVectorEnv], types.VectorAgent] | None = None,
    max_steps: int | None = None,
    seed: int = 0,
    features: bool = True,
) -> pd.DataFrame:
    """Returns a log of a scenario, a row an impression, as :func:`recsim.fitting.read` reads it.

    Args:
        parameters: the scenario.
        num_users: number of users, the first of the scenario's; None for all of them. Where it has
            one user for all, so many alike.
        sessions: number of sessions of each.
        slate_size: number of items in a slate; None for the longest that the scenario is for.
        num_candidates: number of items that a slate is chosen from, sampled anew at each step; None
            for all items.
        create_agent: function of an environment of users in parallel that returns the agent who
            chooses slates; None for slates at random.
        max_steps: the most slates of a session; None for those of the scenario.
        seed: seed of users, candidates and clicks, and of the slates at random.
        features: whether there are columns of the items' features, topics and names.

    Returns:
        A data frame with ``user``, ``session``, ``step``, ``position``, ``item`` and ``click``;
        ``propensity``, the probability that the agent shows the item there, given the candidates,
        if the agent knows it; ``value`` where the scenario has values, NaN without a click; and the
        items' ``topic``, ``name`` and features, as far as there are such.

    Raises:
        TypeError, ValueError: for arguments that are not as said above.

    Example:
        >>> parameters = fitted.FittedParameters(
        ...     item_ids=("tea", "coffee"),
        ...     item_utilities=[-1.0, 0.5],
        ...     item_popularity=[0.5, 0.5],
        ...     click_models=(fitted.ClickModel("cascade", [0.0, 0.0], [1.0, 1.0]),),
        ... )
        >>> log = generate_log(parameters, 3, max_steps=2)
        >>> list(log), len(log)
        (['user', 'session', 'step', 'position', 'item', 'click', 'propensity'], 12)
    """
    if not isinstance(parameters, fitted.FittedParameters):
        raise TypeError(
            f"parameters must be FittedParameters, got {numbers.described(parameters)}."
        )
    number = parameters.num_users if num_users is None else num_users
    validation.positive_int("num_users", number)
    if number > parameters.num_users > 1:
        raise ValueError(
            f"num_users must be at most {parameters.num_users}, the number of the scenario's "
            f"users, got {number}."
        )
    validation.positive_int("sessions", sessions)
    features = validation.flag("features", features)
    if max_steps is not None:
        validation.positive_int("max_steps", max_steps, 1, _MOST_STEPS)
    config = {
        "fitted": parameters,
        "slate_size": parameters.max_slate_size if slate_size is None else slate_size,
        "num_candidates": parameters.num_items if num_candidates is None else num_candidates,
        "resample_documents": True,
        "seed": validation.seed("seed", seed),
        "users": "each",
        "observe": "items",
        **({} if max_steps is None else {"time_budget": max_steps}),
    }
    env = fitted.create_vector_environment(config, number)
    if create_agent is None:
        agent: types.VectorAgent = random_agent.VectorRandomAgent(env, seed)
    else:
        agent = create_agent(env)
    return _frame(parameters, _columns(env, agent, sessions, parameters), features)


def _columns(
    env: vector_env.RecSimVectorEnv,
    agent: types.VectorAgent,
    sessions: int,
    parameters: fitted.FittedParameters,
) -> dict[str, np.ndarray]:
    """Returns what was logged by name, of shape (n_slates, slate_size), sorted by user and step."""
    observation, _ = env.reset()
    slates = agent.begin(observation)
    rows: list[dict[str, np.ndarray]] = []
    ended, steps = np.zeros(env.num_envs, np.int64), np.zeros(env.num_envs, np.int64)
    while (ended < sessions).any():
        counted = np.flatnonzero(ended < sessions)
        shown: dict[str, np.ndarray] = {
            "user": counted,
            "session": ended[counted],
            "step": steps[counted],
            "item": np.take_along_axis(observation["doc"]["item"], slates, axis=1)[counted],
        }
        if types.knows_propensities(agent):
            known = agent.propensities(observation, slates)
            if known is not None:
                shown["propensity"] = np.asarray(known.items, np.float64)[counted]
        outcome = env.step(slates)
        observation, _, terminated, truncated, infos = outcome
        responses: Any = vector_agent.last_responses(observation, infos)
        shown["click"] = np.asarray(responses["click"])[counted] > 0
        if parameters.values is not None:
            values = np.asarray(responses["value"], np.float64)[counted]
            shown["value"] = np.where(shown["click"], values, np.nan)
        rows.append(shown)
        over = terminated | truncated
        ended += over
        steps = np.where(over, 0, steps + 1)
        slates = agent.step(*outcome)
    joined = {name: np.concatenate([shown[name] for shown in rows]) for name in rows[0]}
    order = np.lexsort((joined["step"], joined["session"], joined["user"]))
    return {name: column[order] for name, column in joined.items()}


def _frame(
    parameters: fitted.FittedParameters, columns: dict[str, np.ndarray], features: bool
) -> pd.DataFrame:
    """Returns the log as a data frame with a row an impression."""
    import pandas as pd

    num_slates, size = columns["item"].shape
    users, items = columns["user"], columns["item"].ravel()
    if parameters.num_users > 1:
        labels = np.array(parameters.user_ids, object)[users]
    else:
        labels = np.array([f"user {user}" for user in range(users.max() + 1)], object)[users]
    frame: dict[str, object] = {
        "user": np.repeat(labels, size),
        "session": np.repeat(columns["session"], size),
        "step": np.repeat(columns["step"], size),
        "position": np.tile(np.arange(size), num_slates),
        "item": np.array(parameters.item_ids, object)[items],
        "click": columns["click"].ravel().astype(np.int8),
    }
    for name in ("propensity", "value"):
        if name in columns:
            frame[name] = columns[name].ravel()
    if features:
        if parameters.item_topics is not None:
            topics = np.array(parameters.topic_names, object)
            frame["topic"] = topics[parameters.item_topics[items]]
        if parameters.item_names is not None:
            frame["name"] = np.array(parameters.item_names, object)[items]
        for index, feature in enumerate(parameters.item_feature_names):
            frame[feature] = parameters.item_features[items, index]
    return pd.DataFrame(frame)
