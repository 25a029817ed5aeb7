"""Scenarios fitted to real logs, of 38 clicks: what they support, and no more."""

from __future__ import annotations

import json

import fit_open_bandit  # In tools/.
import numpy as np
import pytest
from support import CHECKOUT

from recsim import fitting
from recsim.fitting import report

RECORDED = json.loads((CHECKOUT / "docs" / "results" / "open_bandit_fits.json").read_text())
HALVES = RECORDED["halves"]


@pytest.fixture(scope="module")
def log() -> fitting.SlateLog:
    return fit_open_bandit.read_log()


def test_log(log):
    assert (log.num_slates, log.num_items, log.num_positions) == (10_000, 80, 3)
    assert log.clicks.sum() == 38
    assert not log.has_users
    np.testing.assert_allclose(log.propensities, 1 / 80)
    assert log.fingerprint == RECORDED["data"]


def test_a_half_is_as_recorded(log):
    again = fit_open_bandit.half(log, 0)
    recorded = HALVES[0]
    assert again["clicks"] == recorded["clicks"]
    assert again["log_likelihood"] == pytest.approx(recorded["log_likelihood"], rel=1e-3)
    assert check_words(again["treatments"])


def check_words(treatments: list[str]) -> bool:
    return any(text.startswith("The log does not say who saw what") for text in treatments)


def test_twenty_halves():
    assert [half["seed"] for half in HALVES] == list(range(20))
    for half in HALVES:
        constant, unshrunk = (half["baselines"][name] for name in ("constant", UNSHRUNK))
        assert half["log_likelihood"] > constant - half["standard_error"]
        assert half["log_likelihood"] > unshrunk
        assert half["chosen"].endswith("-0_factors")
        assert check_words(half["treatments"])


UNSHRUNK = "popularity × position"


def test_differences_from_a_constant_are_those_of_chance():
    # In standard errors of the differences, which are much smaller than those of the likelihoods.
    scores = np.array(
        [half["above_constant"] / half["above_constant_standard_error"] for half in HALVES]
    )
    assert scores.min() > -2.0
    assert np.mean(scores > -1.0) >= 0.8
    assert np.mean([half["above_constant"] for half in HALVES]) > 0.0


@pytest.mark.parametrize("groups", ["positions", "deciles"])
def test_click_rates_are_within_the_intervals_of_the_other_half(groups):
    every = [group for half in HALVES for group in half[groups]]
    inside = [group["low"] <= group["expected"] <= group["high"] for group in every]
    # The intervals are of 95% each, the observed rates what varies.
    assert np.mean(inside) >= 0.95
    for half in HALVES:
        assert all(
            group["simultaneous_low"] <= group["expected"] <= group["simultaneous_high"]
            for group in half[groups]
        )


def test_the_report_says_what_so_few_clicks_support(log):
    result = fitting.fit(log, refits=0, progress=False, models="multinomial_logit")
    cautions = " ".join(report.report_of(result, num_users=20).cautions)
    assert "There are 38 clicks: they support a click rate, and no more." in cautions
    assert "The log does not say who saw what: drift, fatigue, kinds of users and sess" in cautions
