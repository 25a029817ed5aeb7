"""The report on a fit: its numbers by hand, its words, and the page."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pytest
from support import chromium
from support.fitted_scenarios import CLICK_MODELS, made_up

from recsim import fitting
from recsim.environments import fitted
from recsim.fitting import fidelity, generated, ranking, ratings, report, results, tables


def result_of(
    log: tables.SlateLog, parameters: fitted.FittedParameters, **changes: Any
) -> results.FitResult:
    """Returns a fit of which the truth is known."""
    held_out = np.arange(log.num_slates) % 5 == 0
    candidates = tuple(
        results.Candidate(
            name, ("position_based",), 3, True, True, made, 100, -0.4, value, 0.01, 0.0, 0.001, 1.0
        )
        for name, made, value in (
            ("position_based", parameters, -0.45),
            ("without factors", dataclasses.replace(parameters, fatigue=0.0), -0.46),
        )
    )
    fields: dict[str, Any] = {
        "parameters": parameters,
        "chosen": "position_based",
        "candidates": candidates,
        "baselines": {"constant": -0.5, "popularity × position": -0.47},
        "intervals": (results.Interval("fatigue", 0.4, 0.3, 0.5, 0.05),),
        "refits": (dataclasses.replace(parameters, fatigue_memory=0.6),),
        "strengths": (results.Strength("drift", 0.2, 20.0, 0.001, True, "It is there."),),
        "log": log,
        "held_out": held_out,
        "treatments": ("A treatment <b>.",),
        "settings": {"seed": 0},
        "seconds": 1.0,
    }
    return results.FitResult(**{**fields, **changes})


@pytest.fixture(scope="module")
def of_slates() -> results.FitResult:
    parameters = made_up(num_users=150, num_items=40)
    frame = generated.generate_log(parameters, sessions=2, num_candidates=12, seed=3)
    log = fitting.read(frame, tell=None)
    assert isinstance(log, tables.SlateLog)
    return result_of(log, parameters)


def test_a_scenario_agrees_with_its_own_log(of_slates: results.FitResult) -> None:
    """Of about 50 intervals of 95% at most six miss."""
    made = fidelity.fidelity_of(
        of_slates.log, of_slates.parameters, of_slates.held_out, of_slates.parameters
    )
    groups = [group for of in made.groups().values() for group in of]
    assert set(made.groups()) == {"calibration", "positions", "deciles", "steps", "sessions"}
    assert sum(not group.agrees for group in groups) <= 6
    assert sum(group.impressions for group in made.positions) == of_slates.log.num_impressions
    for measure in made.concentration:
        assert 0.9 * measure.low <= measure.observed <= 1.1 * measure.high
    gain, error = fidelity.gain_over_constant(
        of_slates.log, of_slates.held_out, of_slates.parameters
    )
    assert gain > 3 * error > 0


def test_another_scenario_does_not(of_slates: results.FitResult) -> None:
    other = dataclasses.replace(
        of_slates.parameters, item_utilities=of_slates.parameters.item_utilities + 0.7
    )
    made = fidelity.fidelity_of(of_slates.log, other, of_slates.held_out, other)
    assert not any(group.agrees for group in made.positions)
    changed = dataclasses.replace(of_slates, parameters=other)
    cautions = report.report_of(changed, num_users=20).cautions
    assert any(caution.startswith("Click rates by position differ") for caution in cautions)


def test_rates_and_intervals_by_hand() -> None:
    log = tables.SlateLog(
        items=[[0, 1], [1, 0], [0, -1], [1, -1]],
        clicks=[[True, False], [False, False], [True, False], [False, False]],
    )
    expected = np.array([[0.5, 0.1], [0.3, 0.2], [0.4, 0.0], [0.2, 0.0]])
    (first, second) = fidelity.rates_by_group(log, expected, log.positions, ["1", "2", "3"])
    assert (first.impressions, first.observed) == (4, 0.5)
    assert first.expected == pytest.approx(0.35)
    # Wilson's interval of 2 of 4.
    assert (first.low, first.high) == pytest.approx((0.150036, 0.849964), abs=1e-5)
    assert (second.impressions, second.observed, second.low) == (2, 0.0, 0.0)
    assert second.expected == pytest.approx(0.15)


def test_many_groups_may_differ_by_chance_and_one_by_much_may_not() -> None:
    def groups(*expected: float) -> list[fidelity.Group]:
        return [fidelity.Group("", 9, 0.5, 0.4, 0.6, each) for each in expected]

    assert not groups(0.61)[0].agrees
    # Of ten groups 3.29 standard errors, of one 2.58, where 0.1 is 1.96.
    assert fidelity.agree(groups(*[0.5] * 9, 0.667))
    assert not fidelity.agree(groups(*[0.5] * 9, 0.669))
    assert fidelity.agree(groups(0.63))
    assert not fidelity.agree(groups(0.633))
    assert fidelity.agree([])


def test_intervals_are_over_users_whose_clicks_go_together() -> None:
    users = np.repeat(np.arange(100), 20)
    clicks = np.repeat(np.arange(100) < 30, 20)  # All of a user's, or none.
    log = tables.SlateLog(items=np.zeros((2000, 1), int), clicks=clicks[:, None], users=users)
    (group,) = fidelity.rates_by_group(
        log, np.full((2000, 1), 0.3), np.zeros((2000, 1), int), ["all"]
    )
    half = 1.959964 * np.sqrt(0.3 * 0.7 / 99)
    assert (group.low, group.high) == pytest.approx((0.3 - half, 0.3 + half), abs=1e-5)


def test_agreement_by_hand() -> None:
    made = ranking.Ranking(
        ("a", "b", "c"),
        ("all of the log", "refit 1"),
        np.array([[1.0, 2.0, 3.0], [2.5, 2.0, 3.0]]),
        np.zeros((2, 3)),
    )
    assert made.pairs() == {("b", "a"): 0.5, ("c", "a"): 1.0, ("c", "b"): 1.0}
    assert made.agreement == pytest.approx(2 / 3)
    assert made.disagreements() == [("b", "a")]


def test_who_knows_the_user_is_best_and_random_slates_are_not() -> None:
    parameters = made_up(num_items=60, num_users=100)
    made = ranking.ranking_of({"it": parameters}, num_users=1500)
    returns = dict(zip(made.agents, made.returns[0], strict=True))
    assert set(returns) == {"random", "most shown", "average user", "softmax", "this user"}
    assert returns["this user"] > returns["average user"] > returns["softmax"] > returns["random"]
    again = ranking.ranking_of({"it": parameters}, num_users=1500)
    np.testing.assert_array_equal(again.returns, made.returns)
    plain = made_up(item_factors=None, user_factors=None, drift=0.0)
    assert "least shown" in ranking.ranking_of({"it": plain}, num_users=20).agents
    with pytest.raises(ValueError, match="one scenario or more"):
        ranking.ranking_of({})


def test_a_log_of_few_clicks_without_users_gets_its_words() -> None:
    rng = np.random.default_rng(0)
    items = rng.integers(0, 30, (400, 1))
    log = tables.SlateLog(items=items, clicks=np.arange(400)[:, None] < 40)
    parameters = made_up(
        item_ids=tuple(map(str, range(30))),
        user_ids=("all",),
        user_utilities=None,
        user_factors=None,
        item_factors=None,
        user_kinds=None,
        user_weights=None,
        user_features=None,
        user_feature_names=(),
        values=None,
        drift=0.0,
        session=None,
        click_models=(CLICK_MODELS["cascade"],),
    )
    made = report.report_of(result_of(log, parameters, intervals=(), refits=()), num_users=20)
    words = " ".join(made.cautions)
    assert "There are 40 clicks: they support a click rate, and no more." in words
    assert "position and quality cannot be told apart" in words
    assert "drift, fatigue, kinds of users and sessions are off" in words
    page = made.to_html()
    assert "There are no intervals" in page
    assert "of unknown users" in page


def test_what_is_printed_is_a_line(of_slates: results.FitResult) -> None:
    for value in (of_slates, of_slates.log, of_slates.parameters, of_slates.candidate):
        text = repr(value)
        assert text.startswith(f"<{type(value).__name__}: ") and "\n" not in text
        assert len(text) < 200
    assert "position_based of 2 models, log-likelihood of -0.45" in repr(of_slates)
    rated = tables.RatingsLog(users=[0, 0, 1], items=[0, 1, 1], ratings=[1.0, 2.0, 3.0])
    assert repr(rated) == "<RatingsLog: 3 ratings, 2 items, 2 users>"


def _check_in_browser(path: pathlib.Path) -> None:
    for width, dark in ((1280, False), (390, True)) if chromium.EXECUTABLE else ():
        with chromium.opened(path, width, dark=dark) as page:
            assert page.requests == [path.as_uri()]
            assert not page.errors
            inner = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert int(str(inner)) <= 0
            assert page.evaluate("document.querySelectorAll('figure svg').length") == 6


def test_the_files_of_a_report(of_slates: results.FitResult, tmp_path: pathlib.Path) -> None:
    done: list[int] = []
    made = report.write(of_slates, tmp_path / "report.html", num_users=50, advance=done.append)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        f"report.{suffix}" for suffix in ("html", "json", "png", "svg")
    ]
    assert sum(done) == len(made.ranking.scenarios) == 3
    data = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert data["scenario_sha256"] == of_slates.parameters.sha256
    assert data["cautions"] == list(made.cautions)
    assert len(data["agent_ranking"]["pairs"]) == 10
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for text in ("popularity × position (no model)", "A treatment &lt;b&gt;.", "It is there."):
        assert text in page
    _check_in_browser(tmp_path / "report.html")
    for bad in ("report", "report.json"):
        with pytest.raises(ValueError, match=r"path must end in '\.html'"):
            report.write(of_slates, tmp_path / bad)
    with pytest.raises(TypeError, match="result must be what a fit returned"):
        report.write({}, tmp_path / "report.html")  # type: ignore[arg-type]


def test_a_report_on_ratings(tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 60, 3000), rng.integers(0, 40, 3000)
    _, first = np.unique(users * 40 + items, return_index=True)
    users, items = users[first], items[first]
    scores = rng.normal(size=60)[users] + rng.normal(size=40)[items]
    log = tables.RatingsLog(users=users, items=items, ratings=np.clip(np.round(3 + scores), 1, 5))
    made = ratings.fit_ratings(log, refits=2, workers=1, progress=False)
    report.write(made, tmp_path / "report.html", num_users=50)
    data = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert data["cautions"][0].startswith("Ratings say nothing of clicks")
    predicted = data["predicted_ratings"]
    assert len(predicted) == 10
    assert predicted[-1]["observed"] > predicted[0]["observed"] + 1
    assert "fidelity" not in data
