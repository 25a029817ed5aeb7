"""Logs from fitted scenarios."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from support.fitted_scenarios import made_up

from recsim import fitting
from recsim.agents import softmax_agent
from recsim.fitting import generated


def test_a_log_is_what_users_of_the_scenario_do() -> None:
    """Clicks at each position are as often as the position-based model has it."""
    parameters = made_up(drift=0.0, fatigue=0.0, fatigue_memory=0.0, num_users=400)
    log = generated.generate_log(parameters, sessions=3, num_candidates=10, seed=4)
    assert log.groupby("user")["session"].nunique().eq(3).all()
    assert log.groupby(["user", "session", "step"])["item"].nunique().eq(4).all()
    first = log.groupby(["user", "session"])["step"].agg(["min", "max", "nunique"])
    assert (first["min"] == 0).all()
    assert (first["max"] + 1 == first["nunique"]).all()
    np.testing.assert_allclose(log["propensity"], 0.1, rtol=1e-6)
    users = log["user"].str.removeprefix("user-").astype(int).to_numpy()
    items = log["item"].str.removeprefix("sku-").astype(int).to_numpy()
    utility = parameters.item_utilities[items] + parameters.user_utilities[users]
    utility += (parameters.user_factors[users] * parameters.item_factors[items]).sum(axis=1)
    chance = special.expit(utility) * np.array([1.0, 0.8, 0.6, 0.4])[log["position"]]
    for position in range(4):
        here = (log["position"] == position).to_numpy()
        error = np.sqrt((chance * (1 - chance))[here].sum()) / here.sum()
        assert abs(log["click"][here].mean() - chance[here].mean()) < 4 * error
    assert log["value"].notna().equals(log["click"] > 0)
    assert log["value"].dropna().between(1.0, 5.0).all()


def test_a_log_can_be_read() -> None:
    parameters = made_up()
    log = generated.generate_log(
        parameters, 8, create_agent=softmax_agent.create_vector_agent, slate_size=3, max_steps=5
    )
    assert log["propensity"].between(0.0, 1.0).all()
    assert log.equals(
        generated.generate_log(
            parameters, 8, create_agent=softmax_agent.create_vector_agent, slate_size=3, max_steps=5
        )
    )
    read = fitting.read(log, tell=None)
    assert isinstance(read, fitting.SlateLog)
    assert read.num_slates * 3 == len(log)
    assert int(read.clicks.sum()) == int(log["click"].sum())
    assert read.has_users
    assert read.has_sessions


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="num_users must be at most 12"):
        generated.generate_log(made_up(), 13)
    with pytest.raises(TypeError, match="parameters must be FittedParameters"):
        generated.generate_log({})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the longest slates"):
        generated.generate_log(made_up(), slate_size=5)
