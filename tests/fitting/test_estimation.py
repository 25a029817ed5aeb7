"""Likelihoods by hand and by enumeration, gradients by differences, and what estimation finds."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from recsim.benchmarks import fitting_recovery
from recsim.environments import fitted
from recsim.fitting import (
    _click_models,
    _estimation,
    _layout,
    _problem,
    _tasks,
    predictions,
    tables,
)

MODELS = _click_models.MODELS


def made_up(*names: str, seed: int = 0, users: int = 30, drift: float = 0.0, fatigue: float = 0.0):
    """Returns the truth, and a log with slates of two lengths."""
    setting = fitting_recovery.Setting(names, drift, fatigue, 0.5)
    truth = fitting_recovery.truth(setting, users, seed)
    log = fitting_recovery.simulated(truth, 2, 4, seed)
    short = np.random.default_rng(seed).random(log.num_slates) < 0.3
    items, clicks = log.items.copy(), log.clicks.copy()
    items[short, -1], clicks[short, -1] = -1, False
    return truth, dataclasses.replace(log, items=items, clicks=clicks)


def with_features(log: tables.SlateLog, rng: np.random.Generator) -> tables.SlateLog:
    """Returns a log whose items and users have two features each."""
    items, users = (
        rng.standard_normal((number, 2)).astype(np.float32)
        for number in (log.num_items, log.num_users)
    )
    return dataclasses.replace(
        log,
        catalogue=dataclasses.replace(log.catalogue, features=items),
        user_table=dataclasses.replace(log.user_table, features=users),
    )


def chance_of_clicks(model: fitted.ClickModel, utilities: np.ndarray, clicks: tuple) -> float:
    """Returns the probability of clicks on one slate, worked out path by path."""
    likes = 1.0 / (1.0 + np.exp(-utilities))
    if model.name == "multinomial_logit":
        if sum(clicks) > 1:
            return 0.0
        weights = np.exp(utilities + model.position_effects[: len(utilities)])
        shares = weights / (1.0 + weights.sum())
        return float(shares[clicks.index(True)]) if any(clicks) else float(1.0 - shares.sum())
    if model.name == "position_based":
        seen = likes * model.position_effects[: len(utilities)]
        return float(np.prod(np.where(clicks, seen, 1.0 - seen)))
    # Down the slate: what is left to explain, if the user is still there.
    if not clicks:
        return 1.0
    rest, below = utilities[1:], clicks[1:]
    later = dataclasses.replace(
        model,
        position_effects=model.position_effects[1:] if len(model.stops) > 1 else np.zeros(1),
        stops=model.stops[1:] if len(model.stops) > 1 else model.stops,
    )
    stays = chance_of_clicks(later, rest, below)
    if not clicks[0]:
        return float(1.0 - likes[0]) * stays
    return float(likes[0]) * ((1.0 - model.stops[0]) * stays + model.stops[0] * (not any(below)))


@pytest.mark.parametrize("name", MODELS)
def test_likelihoods_are_those_of_enumeration(name):
    setting = fitting_recovery.Setting((name,))
    truth = fitting_recovery.truth(setting, 3, 1)
    model = truth.click_models[0]
    all_clicks = list(itertools.product([False, True], repeat=4))
    number = len(all_clicks)
    log = tables.SlateLog(
        items=np.tile([7, 3, 0, 5], (number, 1)),
        clicks=all_clicks,
        users=np.ones(number, int),
        sessions=np.arange(number),
        catalogue=tables.Catalogue.of_size(truth.num_items),
        user_table=tables.Users.of_size(3),
    )
    items = np.array([7, 3, 0, 5])
    utilities = (
        truth.item_utilities[items]
        + truth.user_utilities[1]
        + truth.item_factors[items] @ truth.user_factors[1]
    )
    expected = [chance_of_clicks(model, utilities, clicks) for clicks in all_clicks]
    assert sum(expected) == pytest.approx(1.0)
    found = np.exp(predictions.log_likelihoods(truth, log))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    rates = predictions.click_probabilities(truth, log)[0]
    np.testing.assert_allclose(rates, np.array(expected) @ np.array(all_clicks), atol=1e-12)


def test_interests_and_fatigue_follow_the_recursion():
    truth, log = made_up("dependent_click", users=4, drift=0.3, fatigue=0.5)
    cascade = fitted.ClickModel("position_based", np.ones(4), np.zeros(4))
    truth = dataclasses.replace(truth, click_models=(cascade,))
    expected = np.zeros(log.items.shape)
    for slate in range(log.num_slates):
        if log.steps[slate] == 0:
            interest = truth.user_factors[log.users[slate]].copy()
            levels = np.zeros(len(truth.topic_names))
        clicked = []
        for place, item in enumerate(log.items[slate]):
            if item < 0:
                continue
            utility = truth.item_utilities[item] + truth.user_utilities[log.users[slate]]
            utility += interest @ truth.item_factors[item]
            utility -= truth.fatigue * levels[truth.item_topics[item]]
            expected[slate, place] = 1.0 / (1.0 + np.exp(-utility))
            if log.clicks[slate, place]:
                clicked.append(item)
        levels *= truth.fatigue_memory
        if clicked:
            interest += truth.drift * (truth.item_factors[clicked].mean(axis=0) - interest)
            np.add.at(levels, truth.item_topics[clicked], 1.0)
    found = predictions.click_probabilities(truth, log)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    "models",
    [
        ("dependent_click",),
        ("position_based",),
        ("cascade", "multinomial_logit"),
        ("dependent_click", "position_based"),
    ],
)
def test_gradients_are_those_of_differences(models):
    _, log = made_up("dependent_click", drift=0.2, fatigue=0.2)
    rng = np.random.default_rng(3)
    log = log.select_slates(rng.random(log.num_slates) < 0.9)
    log = with_features(log, rng)
    held_out = rng.random(log.num_slates) < 0.2
    data = _tasks.data_of(log, held_out, rng.integers(0, 3, log.num_users))
    model = _problem.Model(models, 2, drift=True, fatigue=True)
    problem = _problem.Problem(model, data)
    state, deviations = problem.start(np.random.SeedSequence(0))
    state = {name: x + 0.2 * rng.standard_normal(x.shape) for name, x in state.items()}
    if "effects" in state:
        state["effects"] = -np.abs(state["effects"])
    state.update(drift=np.array(0.3), fatigue=np.array(0.3), memory=np.array(0.6))
    problem.corrections = {"fatigue": 1.5}
    shape = (log.num_items, 2)
    problem.factor_correction = _problem.FactorCorrection(
        rng.standard_normal(shape), rng.standard_normal(shape), np.tile(np.eye(2), (60, 1, 1))
    )
    problem.drift_correction = _problem.DriftCorrection(0.1, np.ones(4), np.arange(4.0), 0.7)
    gradient = problem.evaluate(state, deviations).gradient
    for name, value in state.items():
        for place in rng.choice(value.size, min(3, value.size), replace=False):
            ends = []
            for change in (1e-5, -1e-5):
                moved = value.ravel().copy()
                moved[place] += change
                changed = {**state, name: moved.reshape(value.shape)}
                ends.append(problem.evaluate(changed, deviations).objective)
            slope = (ends[0] - ends[1]) / 2e-5
            assert gradient[name].ravel()[place] == pytest.approx(slope, rel=1e-4, abs=1e-4), name


@pytest.mark.parametrize("name", ["dependent_click", "multinomial_logit"])
def test_clicks_that_interests_move_to_say_what_items_are(name):
    """Curvatures by items' factors, beside differences of the utilities with them."""
    drift, topics = 0.4, 2
    rng = np.random.default_rng(2)
    # No session has an item twice: what an item's factors change is its own, or what comes later.
    items = np.stack([rng.permutation(60)[:12].reshape(4, 3) for _ in range(5)]).reshape(20, 3)
    several = name == "dependent_click"
    clicks = rng.random(items.shape) < 0.5
    clicks &= True if several else clicks.cumsum(axis=1) == 1
    log = tables.SlateLog(
        items=items,
        clicks=clicks,
        users=np.repeat(np.arange(5), 4),
        sessions=np.repeat(np.arange(5), 4),
        catalogue=tables.Catalogue.of_size(60),
        user_table=tables.Users.of_size(5),
    )
    problem = _problem.Problem(
        _problem.Model((name,), topics, drift=True),
        _tasks.data_of(log, rng.random(20) < 0.2),
    )
    state, deviations = problem.start(np.random.SeedSequence(0))
    state["drift"] = np.array(drift)
    state["p"] = rng.standard_normal(state["p"].shape)
    values = problem.values(state, deviations)
    ((_, effects, stops),) = problem.click_parameters(state, deviations)
    made = problem.forward(values)
    weights, vectors = _click_models.curvature(name, made.utilities, effects, stops, problem.layout)
    expected = np.zeros((60, topics))
    for item, factor in itertools.product(range(60), range(topics)):
        ends = []
        for change in (0.5, -0.5):  # Each is linear in it.
            moved = values.item_factors.copy()
            moved[item, factor] += change
            ends.append(problem.forward(dataclasses.replace(values, item_factors=moved)).utilities)
        slopes = ends[0] - ends[1]
        curved = (weights * slopes**2).sum(axis=0)
        if vectors is not None:
            curved -= (vectors * slopes).sum(axis=0) ** 2
        expected[item, factor] = problem.data.fitted @ curved
    norm = problem.factor_norm(problem.raw_factors(state, deviations), deviations)
    found = _estimation.Widths(problem, state, deviations).information()["q"]
    np.testing.assert_allclose(found, expected * (deviations["q"] / norm) ** 2, rtol=1e-9)


def test_strengths_have_what_the_integral_over_users_adds():
    """Both of fatigue: how well users are known depends on what it remembers, too."""
    _, log = made_up("dependent_click", users=60, fatigue=0.5)
    data = _tasks.data_of(log, np.zeros(log.num_slates, np.bool_))
    problem = _problem.Problem(_problem.Model(("dependent_click",), fatigue=True), data)
    state, deviations = problem.start(np.random.SeedSequence(0))
    _estimation.Widths(problem, state, deviations).correct()
    for name in ("fatigue", "memory"):
        ends = [
            _estimation.Widths(
                problem, {**state, name: state[name] + change}, deviations
            ).half_log_determinant()
            for change in (1e-4, -1e-4)
        ]
        slope = -(ends[0] - ends[1]) / 2e-4
        assert abs(slope) > 0.1
        assert problem.corrections[name] == pytest.approx(slope, rel=0.01)


def test_factors_that_are_balanced_for_drift_make_the_same_utilities():
    _, log = made_up("dependent_click")
    log = with_features(log, np.random.default_rng(0))
    data = _tasks.data_of(log, np.zeros(log.num_slates, np.bool_))
    without = _problem.Model(("dependent_click",), 2)
    fit = _estimation.fit(without, data, np.random.SeedSequence(0), rounds=1)
    fit.deviations["p"][:] = 0.7, 0.1
    moved = _problem.Problem(dataclasses.replace(without, drift=True), data)
    state, deviations = _estimation.begun(moved, np.random.SeedSequence(0), fit)
    state["drift"] = np.zeros(())
    assert deviations["p"][0] == deviations["p"][1]
    np.testing.assert_allclose(
        moved.evaluate(state, deviations).made.utilities,
        _problem.Problem(without, data).evaluate(fit.state, fit.deviations).made.utilities,
        atol=1e-12,
    )


def test_levels_of_many_sessions_are_computed_in_turns(monkeypatch):
    _, log = made_up("dependent_click")
    data = _layout.layout_of(log)
    expected = data.fatigue_levels(0.5)
    monkeypatch.setattr(_layout, "_LEVELS_AT_A_TIME", 7 * data.num_topics)
    np.testing.assert_array_equal(data.fatigue_levels(0.5), expected)


def test_items_with_few_clicks_shrink():
    rng = np.random.default_rng(0)
    items = np.concatenate([np.repeat(np.arange(20), 2000), np.repeat(np.arange(20, 40), 20)])
    rates = rng.uniform(0.02, 0.3, 40)
    log = tables.SlateLog(
        items=items[:, None], clicks=rng.random((len(items), 1)) < rates[items, None]
    )
    data = _tasks.data_of(log, np.zeros(log.num_slates, np.bool_))
    fit = _estimation.fit(_problem.Model(("multinomial_logit",)), data, np.random.SeedSequence(0))
    problem = _problem.Problem(fit.model, data)
    found = 1.0 / (1.0 + np.exp(-problem.values(fit.state, fit.deviations).items))
    counted = np.bincount(items, log.clicks[:, 0]) / np.bincount(items)
    # Well-known items have their click rate; those of which little is known are nearer the mean.
    np.testing.assert_allclose(found[:20], counted[:20], atol=0.01)
    assert (
        np.abs(found[20:] - found.mean()).mean() < 0.8 * np.abs(counted[20:] - found.mean()).mean()
    )
    # The prior's deviation is that of the logits of the rates.
    logits = np.log(rates / (1.0 - rates))
    assert float(fit.deviations["item"]) == pytest.approx(logits.std(), rel=0.25)


def test_items_that_do_not_differ_have_one_rate():
    rng = np.random.default_rng(1)
    items = np.repeat(np.arange(50), 100)
    log = tables.SlateLog(items=items[:, None], clicks=rng.random((len(items), 1)) < 0.1)
    data = _tasks.data_of(log, np.zeros(log.num_slates, np.bool_))
    fit = _estimation.fit(_problem.Model(("multinomial_logit",)), data, np.random.SeedSequence(0))
    values = _problem.Problem(fit.model, data).values(fit.state, fit.deviations)
    chances = 1.0 / (1.0 + np.exp(-values.items))
    assert np.ptp(chances) < 0.03
    assert chances.mean() == pytest.approx(log.clicks.mean(), abs=0.005)
