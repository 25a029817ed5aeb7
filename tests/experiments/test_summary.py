"""Summaries over seeds: what is a sample of what, which differences count, and what is marked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recsim.experiments import results, statistics, summary


def frame_of(returns, *, scenario="s", measure="return"):
    """Returns a frame of an array of shape (n_seeds, n_users) by agent, or agent and settings."""
    rows = []
    for name, values in returns.items():
        agent, settings = name if isinstance(name, tuple) else (name, "")
        for (seed, user), value in np.ndenumerate(np.asarray(values, dtype=float)):
            rows.append((scenario, agent, settings, seed, user, measure, value))
    return pd.DataFrame(rows, columns=list(results.COLUMNS))


def row_of(table, agent, **where):
    rows = table[table["agent"] == agent]
    for column, value in where.items():
        rows = rows[rows[column] == value]
    (row,) = rows.to_dict("records")
    return row


RNG = np.random.default_rng(0)
RETURNS = {"good": RNG.normal(5.0, 1.0, (6, 3)), "base": RNG.normal(0.0, 1.0, (6, 3))}


def test_users_are_nested_in_seeds():
    row = row_of(summary.summarized(frame_of(RETURNS)), "good")
    by_seed = RETURNS["good"].mean(axis=1)
    expected = statistics.estimate(by_seed)
    assert {name: row[name] for name in ("mean", "low", "high")} == pytest.approx(
        {name: expected[name] for name in ("mean", "low", "high")}
    )
    assert (row["seeds"], row["users"], row["over"]) == (6, 3, "seeds")
    robust = statistics.interquartile_mean([by_seed])
    assert [row["iqm"], row["iqm_low"], row["iqm_high"]] == pytest.approx(list(robust.values()))


def test_robust_statistics_of_users_in_seeds_by_hand():
    """A seed is one run, whatever the number of its users."""
    ours = [[0.0, 20.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0], [-90.0, -110.0]]
    theirs = [[3.0, 3.0], [1.0, 3.0], [0.0, 1.0], [-5.0, 5.0], [9.0, 9.0]]
    table = summary.summarized(frame_of({"ours": ours, "theirs": theirs}))
    row = row_of(table, "ours")
    # Means of seeds: 10, 2, 3, 4, -100, and of the others 3, 2, 0.5, 0, 9.
    assert row["mean"] == pytest.approx((10 + 2 + 3 + 4 - 100) / 5)
    assert row["iqm"] == pytest.approx((2 + 3 + 4) / 3)  # One of five is left out at each end.
    # Wins: 10 beats 5; 2 beats 2 and ties with one, 3 beats 3 and ties with one, 4 beats 4.
    assert row["improvement"] == pytest.approx((5 + 2.5 + 3.5 + 4 + 0) / 25)
    assert row["difference"] == pytest.approx((7 + 0 + 2.5 + 4 - 109) / 5)


def test_what_is_compared_are_the_seeds_that_both_have():
    """The seed that the baseline lacks would have been a win over all of its others."""
    both = frame_of({"ours": [[0.0], [1.0], [9.0]], "theirs": [[1.0], [2.0], [0.0]]})
    row = row_of(summary.summarized(both[(both.agent == "ours") | (both.seed < 2)]), "ours")
    assert row["difference"] == -1.0
    assert row["improvement"] == pytest.approx((0 + 0.5) / 4)


def test_difference_is_paired_by_seed():
    row = row_of(summary.summarized(frame_of(RETURNS)), "good")
    by_seed = {name: values.mean(axis=1) for name, values in RETURNS.items()}
    expected = statistics.paired_difference(by_seed["good"], by_seed["base"])
    assert row["baseline"] == "base"
    assert [row["difference"], row["difference_low"], row["difference_high"]] == pytest.approx(
        list(expected.values())
    )
    assert row["improvement"] == 1.0
    base = row_of(summary.summarized(frame_of(RETURNS)), "base")
    assert np.isnan([base["difference"], base["improvement"]]).all()


def test_a_single_seed_is_summarized_over_users():
    one = {name: values.reshape(1, -1) for name, values in RETURNS.items()}
    row = row_of(summary.summarized(frame_of(one)), "good")
    assert (row["seeds"], row["users"], row["over"]) == (1, 18, "users")
    assert row["high"] == pytest.approx(statistics.estimate(one["good"][0])["high"])
    assert row["difference"] == pytest.approx(RETURNS["good"].mean() - RETURNS["base"].mean())
    assert np.isnan([row["iqm"], row["improvement"]]).all()
    row = row_of(summary.summarized(frame_of({"a": [[1.0]], "b": [[2.0]]})), "a")
    assert np.isnan([row["low"], row["high"], row["difference_low"]]).all()
    assert row["difference"] == -1.0 and row["alike"]  # Nothing tells them apart.


def test_few_seeds_have_no_bootstrap():
    few = {name: values[:4] for name, values in RETURNS.items()}
    row = row_of(summary.summarized(frame_of(few)), "good")
    assert np.isnan([row["iqm_low"], row["improvement_low"]]).all()
    assert row["improvement"] == 1.0 and np.isfinite(row["difference_low"])


def test_what_has_no_value_is_left_out():
    frame = frame_of({"a": [[1.0, np.nan], [np.nan, np.nan], [3.0, 5.0]], "b": np.ones((3, 2))})
    row = row_of(summary.summarized(frame), "a")
    assert (row["mean"], row["seeds"]) == (2.5, 2)
    assert row["difference"] == 1.5  # In the two seeds that both have.


def test_missing_seeds_are_not_paired():
    frame = frame_of(RETURNS)
    frame = frame[~((frame["agent"] == "good") & (frame["seed"] < 2))]
    row = row_of(summary.summarized(frame), "good")
    by_seed = {name: values.mean(axis=1)[2:] for name, values in RETURNS.items()}
    assert row["seeds"] == 4
    assert row["difference"] == pytest.approx((by_seed["good"] - by_seed["base"]).mean())


def test_best_and_what_cannot_be_told_apart():
    base = np.arange(6.0)[:, None]
    noise = np.array([0.5, -0.5, 0.4, -0.4, 0.1, -0.1])[:, None]
    table = summary.summarized(
        frame_of({"best": base + 10.0, "close": base + 9.9 + noise, "far": base + 5.0 + noise})
    )
    assert list(table["best"]) == [True, False, False]
    assert list(table["alike"]) == [False, True, False]
    # More steps, or another speed, are not better.
    for measure in ("steps", "steps_per_second", "click_share_of_topic_0"):
        table = summary.summarized(frame_of(RETURNS, measure=measure))
        assert not table["best"].any() and not table["alike"].any()


def test_equal_agents_are_seldom_told_apart_from_the_best_of_them():
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(200):
        values = rng.normal(size=(5, 6)) + rng.normal(size=6)
        table = summary.summarized(frame_of({f"a{i}": v[:, None] for i, v in enumerate(values)}))
        wrong += table["alike"].sum() < 4
    assert wrong / 200 <= 0.08


def test_names_of_baselines():
    frame = frame_of(
        {("a", "x=1"): np.ones((2, 1)), ("a", "x=2"): np.ones((2, 1)), "b": [[1], [2]]}
    )
    assert summary.baseline_of(frame, None) == summary.Variant("b")
    assert summary.baseline_of(frame, "a (x=2)") == summary.Variant("a", "x=2")
    assert summary.baseline_of(frame[:4], "a (x=1)") == summary.Variant("a", "x=1")
    with pytest.raises(ValueError, match="one of 'a .x=1.', 'a .x=2.', 'b', got 'a', of which"):
        summary.baseline_of(frame, "a")
    with pytest.raises(ValueError, match="got 'c'"):
        summary.summarized(frame, "c")


def test_over_scenarios():
    other = frame_of({"good": [[5.0]] * 6, "base": [[1.0]] * 6}, scenario="t")
    below_zero = frame_of({**RETURNS, "base": RETURNS["base"] - 5.0})
    (row,) = summary.overall(pd.concat([below_zero, other])).to_dict("records")
    assert (row["agent"], row["scenarios"], row["improvement"]) == ("good", 2, 1.0)
    assert np.isnan(row["ratio"])  # Of a baseline below zero there are no ratios.
    positive = frame_of({"good": RETURNS["good"], "base": np.ones((6, 3))})
    (row,) = summary.overall(pd.concat([positive, other])).to_dict("records")
    expected = statistics.interquartile_mean([RETURNS["good"].mean(axis=1), [5.0] * 6])
    assert row["ratio"] == pytest.approx(expected["mean"])
    assert row["ratio_low"] == pytest.approx(expected["low"])
    assert summary.overall(frame_of(RETURNS)).empty
