"""Estimates of Open Bandit Pipeline 0.4.1 from the same logs, recorded by make_obp_values.py."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from recsim.ope import estimators, models
from recsim.ope.log import SlateLog
from recsim.ope.policy import Policy, SlateDistribution

VALUES = json.loads((pathlib.Path(__file__).parent / "data" / "obp_values.json").read_text())


def recorded(kind):
    return {
        name: value if name == "estimates" else np.array(value)
        for name, value in VALUES[kind].items()
    }


SINGLE = recorded("single_items")
SLATES = recorded("slates")
ROWS = np.arange(len(SINGLE["actions"]))
PREDICTIONS = models.Predictions(
    SINGLE["predicted"][ROWS, SINGLE["actions"]],
    (SINGLE["evaluated"] * SINGLE["predicted"]).sum(axis=1),
)


@pytest.mark.parametrize(
    "estimator",
    [
        estimators.DirectMethod(PREDICTIONS),
        estimators.InversePropensity(),
        estimators.InversePropensity(self_normalized=True),
        estimators.DoublyRobust(PREDICTIONS),
        estimators.DoublyRobust(PREDICTIONS, self_normalized=True),
        estimators.DoublyRobust(PREDICTIONS, switch=1.5),
        estimators.DoublyRobust(PREDICTIONS, shrinkage=2.0),
    ],
    ids=lambda estimator: estimator.name,
)
def test_single_items(estimator):
    actions = SINGLE["actions"]
    log = SlateLog(
        items=actions,
        rewards=SINGLE["rewards"],
        slate_propensities=SINGLE["logging"][ROWS, actions],
    )
    policy = Policy(slates=SINGLE["evaluated"][ROWS, actions])
    estimate = estimator.estimate(log, policy)
    assert estimate.value == pytest.approx(SINGLE["estimates"][estimator.name], abs=1e-8)


@pytest.mark.parametrize("weights", ["slates", "items", "prefixes"])
def test_slates(weights):
    items = SLATES["items"]
    of_logging = Policy.of(SlateDistribution(SLATES["slates"], SLATES["logging"]), items)
    log = SlateLog(
        items=items,
        rewards=SLATES["position_rewards"].sum(axis=1),
        position_rewards=SLATES["position_rewards"],
        slate_propensities=of_logging.slates,
        item_propensities=of_logging.items,
        prefix_propensities=of_logging.prefixes,
    )
    policy = Policy.of(SlateDistribution(SLATES["slates"], SLATES["evaluated"]), items)
    estimator = estimators.InversePropensity(weights)
    estimate = estimator.estimate(log, policy)
    assert estimate.value == pytest.approx(SLATES["estimates"][estimator.name], abs=1e-8)
