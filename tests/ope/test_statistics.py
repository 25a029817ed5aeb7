"""Bias and coverage over many logs: as recorded in the documentation, and of fewer logs anew."""

from __future__ import annotations

import json

import pytest
from support import CHECKOUT

from recsim.benchmarks import off_policy
from recsim.ope import estimates

RECORDED = json.loads((CHECKOUT / "docs" / "results" / "off_policy.json").read_text())
RESULTS = {
    (each["setting"], each["estimator"]): off_policy.Result(**each) for each in RECORDED["results"]
}


def test_all_was_measured_over_a_thousand_logs():
    assert RECORDED["num_logs"] == 1000
    assert {setting for setting, _ in RESULTS} == set(off_policy.SETTINGS)
    assert sum(each.unbiased for each in RESULTS.values()) == 6 + 4 + 2 + 1 + 2


@pytest.mark.parametrize(
    "key", [key for key, result in RESULTS.items() if result.unbiased], ids=" ".join
)
def test_unbiased_estimators_are_right(key):
    result = RESULTS[key]
    assert abs(result.standard_errors) < 3.0
    assert 0.92 <= result.coverage <= 0.98


def test_biased_estimators_are_seen_to_be():
    biased = {
        ("independent", "IPS clipped at 2"),
        ("episodes", "PDIS clipped at 2"),
        ("slate", "IIPS"),
        ("interest_evolution", "IIPS"),
        ("interest_evolution", "RIPS"),
        ("interest_evolution", "PI"),
    }
    assert all(abs(RESULTS[key].standard_errors) > 5.0 for key in biased)


def test_the_page_has_what_was_recorded():
    page = (CHECKOUT / "docs" / "off_policy_evaluation.md").read_text()
    assert off_policy.table(list(RESULTS.values())) in page


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["independent", "cascade", "slate", "episodes"])
def test_fewer_logs_tell_the_same(setting):
    """Of 60 intervals that hold the value 95 times in 100, 51 do but once in 2,000 times."""
    for result in off_policy.measured(setting, 60, 400, seed=1):
        if result.unbiased:
            assert abs(result.standard_errors) < 4.0, result.estimator
            assert result.coverage >= 51 / 60, result.estimator
            assert result.claimed_deviation == pytest.approx(result.deviation, rel=0.35)
        if "clipped" in result.estimator:
            assert result.standard_errors < -4.0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["normal", "bootstrap"])
def test_other_intervals_cover_as_well(method):
    interval = estimates.Interval(method, num_samples=200)
    for result in off_policy.measured("episodes", 60, 400, seed=2, interval=interval):
        if result.unbiased:
            assert result.coverage >= 51 / 60, result.estimator
