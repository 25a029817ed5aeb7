"""Intervals of experiments contain the true return as often as they say."""

from __future__ import annotations

import json

import check_intervals
import pytest
from support import CHECKOUT, RESULTS


def assert_honest(shares, *, least, most, wrong):
    for name, share in shares.items():
        if name.startswith("interval"):
            assert least <= share <= most, name
        else:
            assert share <= wrong, name


@pytest.mark.slow
def test_intervals_over_five_seeds_by_the_engine():
    """Of forty experiments: three standard errors of the share are a tenth."""
    frame = check_intervals.returns(40, seed=7, workers=1)
    assert_honest(check_intervals.shares(frame), least=0.85, most=1.0, wrong=0.15)
    means = frame.groupby("agent")["value"].mean()
    # 4,000 users and 200 skills: a standard error of 0.02.
    assert means["skilled"] == pytest.approx(check_intervals.TRUE_RETURNS["skilled"], abs=0.1)
    assert means["other"] == pytest.approx(check_intervals.TRUE_RETURNS["skilled"], abs=0.1)
    assert means["random"] == pytest.approx(check_intervals.TRUE_RETURNS["random"], abs=0.1)


def test_intervals_of_the_committed_experiments():
    record = json.loads((RESULTS / "intervals.json").read_text(encoding="utf-8"))
    assert record["repetitions"] == 400 and record["seeds"] == 5
    assert_honest(record["shares"], least=0.92, most=0.98, wrong=0.08)
    page = (CHECKOUT / "docs" / "experiment_results.md").read_text(encoding="utf-8")
    assert all(f"| {name} | {share:.2%} |" in page for name, share in record["shares"].items())
    assert record["command"] in page
