"""Fits of slate logs as wholes: what is chosen, that runs resume, and what is refused."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib

import numpy as np
import pytest
from support import fitted_scenarios

from recsim import fitting
from recsim.benchmarks import fitting_recovery
from recsim.environments import fitted
from recsim.fitting import _parameters, _store, predictions, tables

QUICK = {"refits": 0, "workers": 1, "progress": False}


@functools.cache
def made_up(*names: str, users: int = 300, sessions: int = 3, **changes: float):
    setting = fitting_recovery.Setting(names, **changes)
    truth = fitting_recovery.truth(setting, users, 0)
    return truth, fitting_recovery.simulated(truth, sessions, 5, 0)


def impressions(num_items: int = 8, number: int = 2000, seed: int = 0) -> tables.SlateLog:
    """Returns a log that does not say who saw what."""
    rng = np.random.default_rng(seed)
    items = rng.integers(num_items, size=(number, 1))
    chances = 0.05 + 0.3 * items / num_items
    return tables.SlateLog(
        items=items,
        clicks=rng.random(items.shape) < chances,
        positions=rng.integers(3, size=items.shape),
    )


@pytest.mark.parametrize(
    "name", ["multinomial_logit", "position_based", "cascade", "dependent_click"]
)
def test_right_click_model_is_chosen(name):
    truth, log = made_up(name)
    result = fitting.fit_slates(log, **QUICK, num_factors=0, kinds=1, drift=False, fatigue=False)
    assert result.candidate.click_models == (name,)
    held_out = log.select_slates(result.held_out)
    best = predictions.log_likelihoods(truth, held_out).sum() / held_out.num_impressions
    assert result.candidate.held_out_log_likelihood > 1.05 * best
    assert result.candidate.held_out_log_likelihood > result.baselines["position"]
    # Effects of positions within 0.15 of the true ones: some 4,000 slates.
    for attribute in ("position_effects", "stops"):
        found = getattr(result.parameters.click_models[0], attribute)
        expected = getattr(truth.click_models[0], attribute)
        last = -1 if attribute == "stops" else None  # After the last position nothing is left.
        np.testing.assert_allclose(found[:last], expected[:last], atol=0.15)


@pytest.mark.parametrize("name", fitted_scenarios.CLICK_MODELS)
def test_click_rates_by_position_are_those_of_the_log(name):
    # Users differ much, and have some 11 slates each: modes of their effects are far from true.
    still = {"drift": 0.0, "fatigue": 0.0, "fatigue_memory": 0.0}
    truth = fitted_scenarios.made_up(name, num_users=300, num_items=40, **still)
    log = fitting.read(fitting.generate_log(truth, sessions=2, num_candidates=20, seed=1))
    options = {"models": name, "num_factors": 4, "kinds": 1, "drift": False, "fatigue": False}
    parameters = fitting.fit_slates(log, **QUICK, **options).parameters
    rates = log.clicks.mean(axis=0)
    sums = np.zeros((log.num_users, 4))
    np.add.at(sums, log.users, log.clicks - rates)
    # Simultaneous 95% intervals, Bonferroni's, with users as independent units.
    widths = 2.498 * np.sqrt((sums**2).sum(axis=0)) / log.num_slates
    expected = predictions.click_probabilities(parameters, log).mean(axis=0)
    np.testing.assert_array_less(np.abs(expected - rates), widths)
    if name == "position_based":
        # Ratios of rates are the looks, as slates are random: their errors are 0.01 to 0.03.
        found = parameters.click_models[0].position_effects
        np.testing.assert_allclose(found, [1.0, 0.8, 0.6, 0.4], atol=0.04)


def test_candidates_have_the_likelihood_of_their_scenarios():
    _, log = made_up("dependent_click")
    result = fitting.fit_slates(log, **QUICK, num_factors=2, drift=True, fatigue=True)
    held_out = log.select_slates(result.held_out)
    assert result.candidate.drift
    assert result.candidate.fatigue
    for each in result.candidates:
        expected = predictions.log_likelihoods(each.parameters, held_out).sum()
        assert each.held_out_log_likelihood == pytest.approx(
            expected / held_out.num_impressions, rel=1e-9
        )
    scores = [each.held_out_log_likelihood for each in result.candidates]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.slow
def test_drift_and_fatigue_are_found_where_they_are():
    setting = dataclasses.replace(
        fitting_recovery.SETTINGS["drift_and_fatigue"], drift=0.25, fatigue=0.6
    )
    truth = fitting_recovery.truth(setting, 1000, 1)
    log = fitting_recovery.simulated(truth, 4, 8, 1)
    result = fitting.fit_slates(
        log, workers=1, progress=False, models="multinomial_logit", num_factors=2, kinds=1, refits=5
    )
    assert [each.kept for each in result.strengths] == [True, True]
    intervals = {each.name: each for each in result.intervals}
    for name, value in (("drift", 0.25), ("fatigue", 0.6), ("fatigue memory", 0.7)):
        assert intervals[name].low < value < intervals[name].high
        assert intervals[name].standard_error < 0.15


@pytest.mark.slow
def test_neither_is_found_where_there_is_none():
    _, log = made_up("dependent_click", users=1000)
    result = fitting.fit_slates(log, **QUICK, num_factors=2, kinds=1)
    assert [each.kept for each in result.strengths] == [False, False]
    assert all(each.likelihood_ratio is not None for each in result.strengths)
    assert result.parameters.drift == result.parameters.fatigue == 0.0


@pytest.mark.slow
def test_kinds_of_users_are_found():
    truth, log = made_up("dependent_click", "position_based", users=600, sessions=8)
    result = fitting.fit_slates(log, **QUICK, num_factors=0, kinds=2, drift=False, fatigue=False)
    assert sorted(result.candidate.click_models) == ["dependent_click", "position_based"]
    names = np.array([model.name for model in result.parameters.click_models])
    expected = np.array([model.name for model in truth.click_models])
    same = names[result.parameters.user_kinds] == expected[truth.user_kinds]
    assert same.mean() > 0.7


def test_fits_are_the_same_with_any_number_of_workers():
    _, log = made_up("cascade")
    options = {"refits": 2, "progress": False, "models": ["cascade", "multinomial_logit"]}
    options.update(num_factors=2, kinds=1, drift=False, fatigue=False, seed=3)
    one = fitting.fit_slates(log, workers=1, **options)
    two = fitting.fit_slates(log, workers=2, **options)
    assert one.parameters.sha256 == two.parameters.sha256
    assert [each.sha256 for each in one.refits] == [each.sha256 for each in two.refits]
    assert len({each.sha256 for each in one.refits}) == 2
    assert one.intervals == two.intervals


def test_what_was_interrupted_resumes(tmp_path, monkeypatch):
    log = impressions()
    options = {"refits": 3, "workers": 1, "progress": False}
    whole = fitting.fit_slates(log, **options)
    made = []
    original = _store.Store.write

    def interrupted(store, name, result):
        original(store, name, result)
        made.append(name)
        if name == "refit_0001":
            raise KeyboardInterrupt

    monkeypatch.setattr(_store.Store, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fitting.fit_slates(log, **options, output=tmp_path / "fit")
    assert not (tmp_path / "fit" / "scenario.json").exists()
    monkeypatch.setattr(
        _store.Store,
        "write",
        lambda store, *given: [original(store, *given), made.append(given[0])],
    )
    done = len(made)
    result = fitting.fit_slates(log, **options, output=tmp_path / "fit")
    assert made[done:] == ["refit_0002"]
    assert result.parameters.sha256 == whole.parameters.sha256
    assert result.intervals == whole.intervals
    assert fitted.load(tmp_path / "fit").sha256 == whole.parameters.sha256
    record = json.loads((tmp_path / "fit" / "fit.json").read_text())
    assert record["chosen"] == whole.chosen
    # Done again, nothing is fitted; of another log, nothing is overwritten.
    fitting.fit_slates(log, **options, output=tmp_path / "fit")
    assert len(made) == done + 1
    with pytest.raises(FileExistsError, match="another folder"):
        fitting.fit_slates(impressions(seed=1), **options, output=tmp_path / "fit")


def test_damaged_files_of_fits_are_made_again(tmp_path):
    log = impressions()
    fitting.fit_slates(log, **QUICK, output=tmp_path)
    for file in (tmp_path / "fits").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    (tmp_path / "scenario.json").unlink()
    fitting.fit_slates(log, **QUICK, output=tmp_path)
    assert fitted.load(tmp_path).num_items == 8


def test_log_without_users_has_neither_factors_nor_kinds():
    result = fitting.fit_slates(impressions(), workers=1, progress=False, refits=4)
    assert result.parameters.num_users == 1
    assert result.parameters.num_factors == 0
    assert result.parameters.session is None
    assert result.parameters.drift == 0.0
    assert any("who saw what" in each for each in result.treatments)
    assert result.log.num_slates == 2000
    assert len(result.refits) == 4
    assert {each.name for each in result.intervals} >= {"mean item utility"}
    rates = 1.0 / (1.0 + np.exp(-result.parameters.item_utilities))
    np.testing.assert_allclose(rates, 0.05 + 0.3 * np.arange(8) / 8, atol=0.06)


def test_sessions_hazard_is_that_of_the_users():
    rng = np.random.default_rng(0)
    lengths, clicks = [], []
    for _ in range(3000):
        session = []
        while True:
            session.append(rng.random() < 0.3)
            logit = -2.0 + 1.0 * session[-1] + 0.5 * np.log(len(session))
            if rng.random() < 1.0 / (1.0 + np.exp(-logit)):
                break
        lengths.append(len(session))
        clicks += session
    number = len(clicks)
    log = tables.SlateLog(
        items=np.zeros((number, 1), int),
        clicks=np.array(clicks)[:, None],
        users=np.zeros(number, int),
        sessions=np.repeat(np.arange(3000), lengths),
    )
    found = _parameters.session_model(log, np.ones(number))
    assert found.intercept == pytest.approx(-2.0, abs=0.15)
    assert found.after_click == pytest.approx(1.0, abs=0.15)
    assert found.log_step == pytest.approx(0.5, abs=0.15)
    assert found.max_steps == max(lengths)


def test_sessions_of_one_length_end_there_only():
    _, log = made_up("cascade")
    found = _parameters.session_model(log, np.ones(log.num_slates))
    assert found.max_steps == 5
    assert 1.0 / (1.0 + np.exp(-found.intercept)) < 1e-9


def test_values_of_clicks_are_shrunk_means():
    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(200), 30), rng.integers(20, size=6000)
    of_items, of_users = rng.normal(3.0, 0.7, 20), rng.normal(0.0, 0.5, 200)
    values = of_items[items] + of_users[users] + rng.normal(0.0, 1.0, 6000)
    clicks = rng.random(6000) < 0.5
    log = tables.SlateLog(
        items=items[:, None],
        clicks=clicks[:, None],
        values=np.where(clicks, values, np.nan)[:, None],
        users=users,
    )
    found = _parameters.value_model(log, np.ones(6000))
    # Of 150 clicks each, of which users' effects have 15 each.
    np.testing.assert_allclose(
        found.item_means - found.item_means.mean(), of_items - of_items.mean(), atol=0.3
    )
    assert np.corrcoef(found.user_effects, of_users)[0, 1] > 0.8
    assert found.user_effects.std() < of_users.std()
    assert found.residual_sd == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": "logit"}, "models must be 'auto' or names of"),
        ({"models": []}, "got none"),
        ({"models": ["cascade"]}, "models must not have 'cascade'"),
        ({"num_factors": -1}, "num_factors"),
        ({"num_factors": "many"}, "num_factors"),
        ({"num_factors": 3}, "who saw what"),
        ({"kinds": 0}, "kinds"),
        ({"drift": "yes"}, "drift must be True, False or 'auto'"),
        ({"drift": True}, "drift must be False or 'auto' here"),
        ({"fatigue": True}, "fatigue must be False or 'auto' here"),
        ({"held_out": 0.0}, "held_out"),
        ({"held_out": float("nan")}, "held_out"),
        ({"refits": -1}, "refits"),
        ({"seed": -1}, "seed"),
        ({"workers": 0}, "workers"),
        ({"backend": "slurm"}, "backend"),
        ({"output": ""}, "output"),
    ],
)
def test_bad_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        fitting.fit_slates(impressions(), **{**QUICK, **changes})


def test_logs_of_which_nothing_can_be_learned_are_refused(tmp_path):
    log = impressions()
    nothing = dataclasses.replace(log, clicks=np.zeros_like(log.clicks))
    with pytest.raises(ValueError, match="at least one click"):
        fitting.fit_slates(nothing, **QUICK, output=tmp_path / "fit")
    assert not (tmp_path / "fit").exists()
    with pytest.raises(TypeError, match="SlateLog"):
        fitting.fit_slates("log.csv", **QUICK)


def test_scenario_of_another_log_is_no_mean_user():
    truth, log = made_up("cascade")
    other = dataclasses.replace(
        log,
        catalogue=dataclasses.replace(log.catalogue, ids=np.array([f"x{i}" for i in range(60)])),
    )
    with pytest.raises(ValueError, match="items of the scenario only, got 'x0'"):
        predictions.log_likelihoods(truth, other)
    strangers = dataclasses.replace(
        log,
        user_table=dataclasses.replace(log.user_table, ids=np.array([f"u{i}" for i in range(300)])),
    )
    mean = dataclasses.replace(
        truth,
        user_utilities=np.full(300, truth.user_utilities.mean()),
        user_factors=np.tile(truth.user_factors.mean(axis=0), (300, 1)),
    )
    np.testing.assert_allclose(
        predictions.log_likelihoods(truth, strangers), predictions.log_likelihoods(mean, log)
    )


def test_recovery_command_resumes(tmp_path, capsys, refused):
    path = str(pathlib.Path(tmp_path) / "recovery.json")
    arguments = ["--settings", "cascade", "--users", "60", "--output", path, "--repetitions"]
    assert fitting_recovery.main([*arguments, "1"]) == 0
    assert fitting_recovery.main([*arguments, "2"]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("cascade, log 0") == 1
    assert "| cascade | 2 |" in captured.out
    record = json.loads(pathlib.Path(path).read_text())
    assert [each["repetition"] for each in record["recoveries"]] == [0, 1]
    assert "60 users" in refused(fitting_recovery.main, ["--users", "50", "--output", path])
