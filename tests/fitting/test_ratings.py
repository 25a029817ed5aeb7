"""Scenarios fitted to ratings: the factorization, its choice, utilities, and what is stored."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recsim.environments import fitted
from recsim.fitting import RatingsLog, SlateLog, _factorization, ratings


def made_up(
    number: int = 40_000, num_users: int = 400, num_items: int = 150, num_factors: int = 3
) -> RatingsLog:
    """Returns ratings of half stars from effects, three factors and noise."""
    rng = np.random.default_rng(1)
    users = np.sort(rng.integers(num_users, size=number))
    items = (num_items * rng.random(number) ** 2).astype(int)
    of_users = rng.normal(0, 0.7, (num_users, num_factors))
    of_items = rng.normal(0, 0.7, (num_items, num_factors))
    exact = (
        3.2
        + rng.normal(0, 0.3, num_users)[users]
        + rng.normal(0, 0.4, num_items)[items]
        + np.sum(of_users[users] * of_items[items], axis=1)
    )
    given = np.clip(np.round(2 * (exact + rng.normal(0, 0.6, number))) / 2, 0.5, 5.0)
    return RatingsLog(users=users, items=items, ratings=given)


@pytest.fixture(scope="module")
def log() -> RatingsLog:
    return made_up()


@pytest.fixture(scope="module")
def result(log) -> ratings.RatingsResult:
    return ratings.fit_ratings(log, refits=3, workers=1, progress=False)


def test_a_round_solves_the_ridge_regressions():
    # One user's by hand: the rows of a regression with a penalty.
    rng = np.random.default_rng(0)
    log = RatingsLog(
        users=[0, 0, 0, 1, 1], items=[0, 1, 2, 1, 2], ratings=[1.0, 2.0, 4.0, 3.0, 5.0]
    )
    held = _factorization.Ratings(log)
    factors, effects = rng.normal(size=(3, 2)), rng.normal(size=3)
    ridge = np.array([0.5, 0.5, 2.0])
    found = held.users.solve(factors, effects, held.mean, ridge)
    for user, items in ((0, [0, 1, 2]), (1, [1, 2])):
        x = np.column_stack([factors[items], np.ones(len(items))])
        y = log.ratings[log.users == user] - held.mean - effects[items]
        expected = np.linalg.solve(x.T @ x + np.diag(ridge), x.T @ y)
        np.testing.assert_allclose(found[user], expected, rtol=1e-5)


def test_weights_count_as_repetitions():
    log = made_up(3000, 40, 30)
    counts = np.random.default_rng(2).integers(0, 3, 40)
    chosen = np.repeat(np.arange(40), counts)
    rng = np.random.default_rng(3)
    factors, effects = rng.normal(size=(40, 2)), rng.normal(size=40)
    weighted = _factorization.Ratings(log, counts)
    repeated = _factorization.Ratings(log.select_users(chosen))
    assert weighted.mean == pytest.approx(repeated.mean)
    ridge = np.array([1.0, 1.0, 3.0])
    np.testing.assert_allclose(
        weighted.items.solve(factors, effects, 3.0, ridge),
        repeated.items.solve(factors[chosen], effects[chosen], 3.0, ridge),
        rtol=1e-4,
        atol=1e-5,
    )


def test_pieces_do_not_change_the_solution(monkeypatch):
    held = _factorization.Ratings(made_up(3000, 40, 30))
    whole = _factorization.factorize(held, 2, 4.0, seed=0, most_rounds=2)
    monkeypatch.setattr(_factorization, "_ROWS_TOGETHER", 64)
    parts = _factorization.factorize(held, 2, 4.0, seed=0, most_rounds=2)
    np.testing.assert_allclose(parts.item_factors, whole.item_factors, rtol=1e-3, atol=1e-4)


def test_held_out_error_is_that_of_the_noise(result):
    # Noise of 0.6, and rounding to half stars, whose deviation is 0.5 / sqrt(12).
    noise = np.hypot(0.6, 0.5 / np.sqrt(12))
    assert result.candidate.error < 1.05 * noise
    baselines = result.baselines
    assert result.candidate.error < 0.8 * baselines["user and item effects"]
    assert baselines["user and item effects"] < baselines["item means"] < baselines["mean"]
    assert baselines["user means"] < baselines["mean"]
    assert result.candidates[0].error == min(each.error for each in result.candidates)
    assert result.candidate.num_factors in (4, 8)


def test_utilities_are_ratings_over_temperature(result, log):
    parameters = result.parameters
    assert np.mean(np.sum(parameters.item_factors**2, axis=1)) == pytest.approx(1.0)
    utilities = (
        parameters.item_utilities[log.items]
        + parameters.user_utilities[log.users]
        + np.sum(parameters.user_factors[log.users] * parameters.item_factors[log.items], axis=1)
    )
    predicted = result.threshold + result.temperature * utilities
    assert _factorization.root_mean_square(log.ratings - predicted) < result.candidate.error
    # The logistic noise of the utilities is as large as the error.
    assert result.temperature * np.pi / np.sqrt(3) == pytest.approx(result.candidate.error)
    assert result.threshold == pytest.approx(log.ratings.mean(), rel=1e-5)
    # What a click brings is the same prediction, as far off as held-out ones.
    values = parameters.values
    products = np.sum(
        parameters.user_factors[log.users] * parameters.item_factors[log.items], axis=1
    )
    means = values.item_means[log.items] + values.user_effects[log.users]
    np.testing.assert_allclose(means + values.by_interest * products, predicted, atol=1e-5)
    assert values.residual_sd == pytest.approx(result.candidate.error)
    assert parameters.values.name == "rating"
    assert (parameters.values.low, parameters.values.high) == (0.5, 5.0)
    np.testing.assert_allclose(parameters.item_popularity, log.popularity)


def test_temperature_and_threshold_may_be_given(log):
    def fit(**settings: float) -> fitted.FittedParameters:
        return ratings.fit_ratings(
            log, num_factors=0, refits=0, workers=1, progress=False, **settings
        ).parameters

    one, other = fit(temperature=0.5, threshold=3.0), fit(temperature=0.25, threshold=3.0)
    np.testing.assert_allclose(other.item_utilities, 2 * one.item_utilities)
    higher = fit(temperature=0.5, threshold=4.0)
    np.testing.assert_allclose(higher.item_utilities, one.item_utilities - 2.0)


def test_refits_weigh_users(result, log):
    assert len(result.refits) == 3
    weights = np.array([refit.user_weights for refit in result.refits])
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert (weights * log.num_users).round(6).max() >= 3
    spread = np.std([refit.item_utilities for refit in result.refits], axis=0)
    assert 0.0 < np.median(spread) < 0.5


def test_noise_gets_no_factors():
    rng = np.random.default_rng(5)
    log = RatingsLog(
        users=np.repeat(np.arange(200), 20),
        items=rng.integers(50, size=4000),
        ratings=rng.normal(3, 1, 4000),
    )
    result = ratings.fit_ratings(log, refits=0, workers=1, progress=False)
    assert result.chosen == "effects"
    assert result.parameters.num_factors == 0
    assert result.candidate.error == pytest.approx(1.0, rel=0.05)


def test_the_same_call_gives_the_same_and_resumes(tmp_path, monkeypatch):
    log = made_up(5000, 100, 60)
    settings = {"num_factors": 2, "refits": 1, "workers": 1, "progress": False}
    first = ratings.fit_ratings(log, **settings, output=tmp_path / "one")
    second = ratings.fit_ratings(log, **settings, output=tmp_path / "two")
    for name in ("scenario.json", "arrays.npz"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    loaded = fitted.load(tmp_path / "one")
    np.testing.assert_array_equal(loaded.item_utilities, first.parameters.item_utilities)
    np.testing.assert_array_equal(second.refits[0].user_factors, first.refits[0].user_factors)
    record = json.loads((tmp_path / "one" / "fit.json").read_text())
    assert record["chosen"] == first.chosen
    assert record["temperature"] == first.temperature
    # What is finished is not fitted again; what is damaged, is.
    made: list[int] = []
    original = _factorization.factorize
    monkeypatch.setattr(
        _factorization, "factorize", lambda *args, **more: made.append(1) or original(*args, **more)
    )
    (damaged,) = (tmp_path / "one" / "fits").glob("whole-*")
    damaged.write_bytes(damaged.read_bytes()[:100])
    again = ratings.fit_ratings(log, **settings, output=tmp_path / "one")
    assert len(made) == 1
    np.testing.assert_array_equal(again.parameters.user_factors, first.parameters.user_factors)
    with pytest.raises(FileExistsError, match="another log or of other settings"):
        ratings.fit_ratings(log, **{**settings, "seed": 1}, output=tmp_path / "one")


@pytest.mark.slow
def test_workers_do_not_change_the_result():
    log = made_up(5000, 100, 60)
    alone, together = (
        ratings.fit_ratings(log, num_factors=2, refits=2, workers=workers, progress=False)
        for workers in (1, 2)
    )
    np.testing.assert_array_equal(alone.parameters.user_factors, together.parameters.user_factors)
    np.testing.assert_array_equal(alone.refits[1].item_factors, together.refits[1].item_factors)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_factors": -1}, "num_factors must be an integer >= 0"),
        ({"num_factors": 60}, "num_factors must be an integer <= 29"),
        ({"num_factors": "many"}, "num_factors must be an integer >= 0 or 'auto'"),
        ({"regularization": 0.0}, "regularization must be above 0"),
        ({"regularization": "none"}, "regularization must be a number or 'auto'"),
        ({"num_factors": 0, "regularization": 1.0}, "regularization has no effect"),
        ({"temperature": -1.0}, "temperature must be above 0"),
        ({"threshold": float("nan")}, "threshold must be a finite number"),
        ({"slate_size": 0}, "slate_size must be an integer >= 1"),
        ({"held_out": 1.0}, "held_out must be above 0 and below 1"),
        ({"refits": -1}, "refits must be an integer >= 0"),
        ({"seed": -1}, "seed must be an integer >= 0"),
        ({"workers": 0}, "workers must be an integer >= 1"),
        ({"backend": "spark"}, "backend"),
    ],
)
def test_bad_settings(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        ratings.fit_ratings(made_up(300, 40, 30), **settings, output=tmp_path / "never")
    assert not list(tmp_path.rglob("*.*"))


def test_bad_logs():
    with pytest.raises(TypeError, match="log must be a RatingsLog"):
        ratings.fit_ratings(SlateLog(items=[[0]], clicks=[[1]]))
    with pytest.raises(ValueError, match="must not all be the same"):
        ratings.fit_ratings(RatingsLog(users=[0, 1], items=[0, 1], ratings=[3.0, 3.0]))
