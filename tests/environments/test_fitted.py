"""Fitted scenarios: by hand, both engines beside each other, and the places that take a folder."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import json
import pathlib
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from scipy import special
from support.fitted_scenarios import CLICK_MODELS, made_up

import recsim
from recsim import registry, testing
from recsim._internal.gym_import import spaces
from recsim.environments import fitted
from recsim.experiments import experiment
from recsim.vector import scenario, streams

SIZES = {"num_candidates": 8, "slate_size": 3, "resample_documents": True, "seed": 2}


def config(parameters: fitted.FittedParameters, **settings: Any) -> dict[str, Any]:
    return {**SIZES, "fitted": parameters, **settings}


def stream_of(num_users: int, step: int = 0) -> streams.UserStream:
    rows = np.arange(num_users)
    return streams.UserStream(streams.hash_key(step, "draws"), rows, rows, np.float64)


# ---- By hand


def probabilities_by_hand(name: str, utilities: np.ndarray) -> dict[tuple[int, ...], float]:
    """Returns the probability of each set of clicks on a slate, from the definitions."""
    model, size = CLICK_MODELS[name], len(utilities)
    effects, stops = model.position_effects[:size], model.stops[:size]
    odds, clicks = np.exp(utilities + effects), special.expit(utilities)
    found = {}
    for outcome in itertools.product((0, 1), repeat=size):
        if name == "multinomial_logit":
            chance = 0.0 if sum(outcome) > 1 else float(np.dot(odds, outcome) or 1.0)
            chance /= 1.0 + odds.sum()
        elif name == "position_based":
            looked = clicks * effects
            chance = float(np.prod(np.where(outcome, looked, 1.0 - looked)))
        else:
            # Going down: the probability of being there, and of all that was done before.
            there, chance = 1.0, 1.0
            gone = 0.0
            for clicked, click, stop in zip(outcome, clicks, stops, strict=True):
                if clicked:
                    gone = 0.0
                    there, left = there * click * (1.0 - stop), there * click * stop
                    gone = left
                else:
                    there *= 1.0 - click
            chance = there + gone
            if sum(outcome):
                chance = _chance_of_going_down(outcome, clicks, stops)
        found[outcome] = chance
    return found


def _chance_of_going_down(outcome: tuple[int, ...], clicks: Any, stops: Any) -> float:
    last = max(index for index, clicked in enumerate(outcome) if clicked)
    before = 1.0
    for index in range(last):
        before *= clicks[index] * (1.0 - stops[index]) if outcome[index] else 1.0 - clicks[index]
    stays = (1.0 - stops[last]) * np.prod(1.0 - clicks[last + 1 :])
    return float(before * clicks[last] * (stops[last] + stays))


@pytest.mark.parametrize("name", CLICK_MODELS)
def test_clicks_have_the_probabilities_of_the_model(name: str) -> None:
    utilities = np.array([0.3, -0.8, 1.1])
    expected = probabilities_by_hand(name, utilities)
    assert sum(expected.values()) == pytest.approx(1.0)
    parameters = made_up(
        name,
        num_items=3,
        num_users=1,
        item_utilities=utilities,
        item_factors=None,
        user_factors=None,
        user_utilities=np.zeros(1),
        drift=0.0,
    )
    env: Any = fitted.create_vector_environment(
        config(parameters, num_candidates=3), 40_000, dtype=np.float64
    )
    env.reset(seed=1)
    slates = np.tile(np.arange(3), (env.num_envs, 1))
    _, _, _, _, infos = env.step(slates)
    del infos
    model = env.user_model
    users = model.sample_users(stream_of(40_000))
    documents = fitted.VectorFittedDocuments(slates.astype(np.int32))
    clicked = model.choose(users, documents, stream_of(40_000, step=1))
    for outcome, chance in expected.items():
        share = (clicked == np.array(outcome, bool)).all(axis=1).mean()
        assert abs(share - chance) < 4.5 * np.sqrt(chance * (1 - chance) / 40_000) + 1e-12
    single = fitted.create_environment(config(parameters, num_candidates=3))
    single.reset()
    shown = single.environment.candidate_set.get_all_documents()
    by_position = sum(chance * np.array(outcome, float) for outcome, chance in expected.items())
    user_model: Any = single.environment.user_model
    np.testing.assert_allclose(user_model.click_probabilities(shown), by_position, rtol=1e-6)
    known = user_model.choice_probabilities(shown)
    if name in ("multinomial_logit", "cascade"):
        np.testing.assert_allclose(known, [*by_position, expected[0, 0, 0]], rtol=1e-6)
    else:
        assert known is None


def test_clicks_move_a_user() -> None:
    parameters = made_up(
        num_items=2,
        num_users=1,
        item_utilities=np.array([1.0, 2.0]),
        item_factors=np.array([[1.0, 0.0], [0.0, 1.0]]),
        user_factors=np.array([[0.5, -0.5]]),
        user_utilities=np.array([0.25]),
        item_topics=np.array([0, 1]),
        drift=0.5,
        fatigue=2.0,
        fatigue_memory=0.5,
    )
    user = fitted.FittedUserState(fitted.scenario_of(config(parameters, num_candidates=2)), 0)
    both = np.array([0, 1])
    np.testing.assert_allclose(user.utilities(both), [1.75, 1.75])
    user.see(both, np.array([True, True]))
    np.testing.assert_allclose(user.factors, [0.5, 0.0])  # Half way to (0.5, 0.5).
    np.testing.assert_allclose(user.utilities(both), [1.0 + 0.25 + 0.5 - 2.0, 2.0 + 0.25 - 2.0])
    user.see(both, np.array([True, False]))
    np.testing.assert_allclose(user.factors, [0.75, 0.0])
    np.testing.assert_allclose(user.fatigue[:2], [1.5, 0.5])
    user.see(both, np.array([False, False]))
    np.testing.assert_allclose(user.factors, [0.75, 0.0])
    np.testing.assert_allclose(user.fatigue[:2], [0.75, 0.25])
    np.testing.assert_allclose(user.create_observation()["clicks"], [2 / 3, 1 / 3, 0.0, 0.0])


def test_sessions_end_by_the_hazard() -> None:
    """Of constant hazard the lengths are geometric, up to the limit."""
    session = fitted.SessionModel(special.logit(0.25), max_steps=6)
    parameters = made_up(session=session)
    for settings, limit in (({}, 6), ({"time_budget": 3}, 3)):
        env: Any = fitted.create_vector_environment(config(parameters, **settings), 20_000)
        env.reset(seed=3)
        lengths, under_way = np.zeros(20_000), np.ones(20_000, bool)
        for _ in range(limit):
            _, _, terminated, _, _ = env.step(np.tile(np.arange(3), (20_000, 1)))
            lengths += under_way
            under_way &= ~terminated
        assert not under_way.any()
        expected = [0.25 * 0.75**step for step in range(limit - 1)] + [0.75 ** (limit - 1)]
        shares = np.bincount(lengths.astype(int), minlength=limit + 1)[1:] / 20_000
        np.testing.assert_allclose(shares, expected, atol=0.014)


def test_what_was_clicked_and_how_long_it_lasted_move_the_hazard() -> None:
    from recsim.environments.fitted import _dynamics

    session = fitted.SessionModel(-1.0, 0.7, -0.5, 100)
    hazards = _dynamics.hazards(session, [False, True, True], [0, 0, 3])
    np.testing.assert_allclose(hazards, special.expit([-1.0, -0.3, -0.3 - 0.5 * np.log(4.0)]))


def test_values_of_clicks_are_those_of_the_item_the_user_and_their_factors() -> None:
    base = made_up()
    values = fitted.ValueModel(
        "rating", np.arange(30.0), np.arange(12.0), 0.0, -99.0, 99.0, by_interest=2.0
    )
    parameters = made_up(values=values)
    env: Any = fitted.create_vector_environment(config(parameters), 12, dtype=np.float64)
    users = env.user_model.sample_users(stream_of(12))
    documents = fitted.VectorFittedDocuments(np.tile(np.array([4, 9, 2], np.int32), (12, 1)))
    clicked = np.tile([True, False, True], (12, 1))
    found = env.user_model.respond(users, documents, clicked, stream_of(12)).value
    products = base.user_factors[users.user] @ base.item_factors[[4, 9, 2]].T
    expected = (np.array([4.0, 9.0, 2.0]) + users.user[:, np.newaxis] + 2.0 * products) * clicked
    np.testing.assert_allclose(found, expected)


# ---- Both engines


@pytest.mark.parametrize("models", [("position_based",), ("multinomial_logit", "dependent_click")])
def test_engines_agree_under_the_same_clicks(models: tuple[str, ...]) -> None:
    made = fitted.scenario_of(config(made_up(*models), observe_user_state=True))
    env: Any = fitted.create_vector_environment(
        config(made.fitted, observe_user_state=True), 12, dtype=np.float64
    )
    model, rng = env.user_model, np.random.default_rng(0)
    users = model.sample_users(stream_of(12))
    singles = [fitted.FittedUserState(made, index) for index in users.user]
    for _ in range(6):
        items = np.array([rng.permutation(30)[:3] for _ in range(12)], np.int32)
        documents = fitted.VectorFittedDocuments(items)
        utilities = model.utilities(users, documents)
        clicked = rng.random((12, 3)) < 0.4
        responses = model.respond(users, documents, clicked, stream_of(12))
        users = model.update(users, documents, clicked, responses, stream_of(12))
        observed = model.observe_users(users)
        for row, single in enumerate(singles):
            np.testing.assert_allclose(single.utilities(items[row]), utilities[row])
            single.see(items[row], clicked[row])
            for name, value in single.create_observation().items():
                np.testing.assert_allclose(value, observed[name][row], atol=1e-12)


@pytest.mark.parametrize("models", [("cascade",), ("multinomial_logit", "dependent_click")])
def test_engines_agree_in_distribution(models: tuple[str, ...]) -> None:
    """Clicks by position, values and lengths of sessions are within four standard errors."""
    settings = config(made_up(*models), reward="values", candidate_sampling="popularity")
    single = fitted.create_environment({**settings, "seed": 11})
    rows = []
    for _ in range(400):
        single.reset()
        totals, done = np.zeros(5), False
        while not done:
            observation, reward, done, _ = single.step([0, 1, 2])
            clicks = [response["click"] for response in observation["response"]]
            totals += [*clicks, reward, 1.0]
        rows.append(totals)
    env: Any = fitted.create_vector_environment(settings, 20_000)
    env.reset(seed=12)
    many, under_way = np.zeros((20_000, 5)), np.ones(20_000, bool)
    while under_way.any():
        observation, rewards, terminated, _, infos = env.step(np.tile(np.arange(3), (20_000, 1)))
        last = infos["final_obs"].batch if infos else observation
        here = np.column_stack([last["response"]["click"], rewards, np.ones(20_000)])
        many[under_way] += here[under_way]
        under_way &= ~terminated
    difference = np.mean(rows, axis=0) - many.mean(axis=0)
    error = np.sqrt(np.var(rows, axis=0) / 400 + many.var(axis=0) / 20_000)
    assert (np.abs(difference) < 4.0 * error).all()


SETTINGS: list[dict[str, Any]] = [
    {},
    {"observe": "factors", "observe_user_state": True, "reward": "values"},
    {"users": "each", "candidate_sampling": "popularity", "observe": "items", "time_budget": 5},
    {"num_candidates": 30, "resample_documents": False},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_contract(settings: dict[str, Any]) -> None:
    made = config(made_up("position_based", "cascade"), **settings)
    testing.check_environment(lambda: fitted.create_environment(made), num_steps=60)
    for candidates in scenario.CANDIDATES:
        testing.check_vector_environment(
            functools.partial(fitted.create_vector_environment, made, candidates=candidates)
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"item_factors": None, "user_factors": None, "drift": 0.0, "item_features": None}
        | {"item_feature_names": (), "item_topics": None, "topic_names": (), "fatigue": 0.0}
        | {"user_features": None, "user_feature_names": (), "session": None, "values": None},
        {"fatigue_memory": 1.0},
    ],
)
def test_the_contract_with_little_in_the_log(changes: dict[str, Any]) -> None:
    made = config(made_up(**changes), observe_user_state=True, time_budget=7)
    testing.check_environment(lambda: fitted.create_environment(made), num_steps=60)
    testing.check_vector_environment(functools.partial(fitted.create_vector_environment, made))


def test_each_user_is_there_once() -> None:
    made = config(made_up(), users="each", time_budget=1)
    single = fitted.create_environment(made)
    seen = []
    for _ in range(13):
        single.reset()
        seen.append(single.environment.user_model._user_state.index)  # RecSim's name.
    assert seen == [*range(12), 0]
    env: Any = fitted.create_vector_environment(made, 5, first_user=10)
    env.reset()
    assert env.user_states()["user"].tolist() == [10, 11, 0, 1, 2]


def test_users_come_by_their_weights() -> None:
    parameters = made_up()
    env: Any = fitted.create_vector_environment(config(parameters), 30_000)
    env.reset(seed=0)
    shares = np.bincount(env.user_states()["user"], minlength=12) / 30_000
    np.testing.assert_allclose(shares, parameters.user_weights, atol=0.01)


@pytest.mark.parametrize("num_items", [30, 400])
def test_candidates_by_popularity_are_those_of_sampling_one_after_the_other(num_items: int) -> None:
    """The shares of the most popular items, beside draws without replacement of NumPy's."""
    popularity = np.arange(1, num_items + 1.0) ** -1.5
    popularity /= popularity.sum()
    parameters = made_up(num_items=num_items, item_popularity=popularity)
    settings = config(parameters, candidate_sampling="popularity", observe="items")
    env: Any = fitted.create_vector_environment(settings, 20_000)
    observation, _ = env.reset(seed=0)
    items = observation["doc"]["item"]
    assert (np.diff(np.sort(items, axis=1), axis=1) > 0).all()
    sampler: Any = fitted.FittedDocumentSampler(fitted.scenario_of(settings), seed=1)
    single = np.array(
        [
            [document.item for document in sampler.sample_candidates(8).get_all_documents()]
            for _ in range(4_000)
        ]
    )
    rng = np.random.default_rng(0)
    keys = rng.exponential(size=(20_000, num_items)) / popularity
    expected = np.argsort(keys, axis=1)[:, :8]
    for position in (0, 7):
        for item in (0, 1, 5):
            here, there, one = (
                np.mean(sample[:, position] == item) for sample in (items, expected, single)
            )
            error = np.sqrt(there * (1 - there))
            assert abs(here - there) < 4.5 * error * np.sqrt(2 / 20_000)
            assert abs(one - there) < 4.5 * error * np.sqrt(1 / 4_000 + 1 / 20_000)


# ---- Parameters and their folder


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"item_utilities": np.zeros(3)}, ValueError, r"item_utilities must have shape \(30,\)"),
    ({"item_utilities": np.full(30, np.nan)}, ValueError, "item_utilities must hold numbers in"),
    ({"item_popularity": np.ones(30)}, ValueError, "item_popularity must .*"),
    ({"item_ids": ("a",) * 30}, ValueError, "item_ids must be different, got 'a' twice"),
    ({"item_ids": tuple(range(30))}, TypeError, r"item_ids\[0\] must be a string, got 0"),
    ({"item_topics": np.full(30, 4)}, ValueError, r"item_topics must be in \[0, 3\], got 4"),
    ({"item_names": ("a",)}, ValueError, "item_names must be as many as the 30 items, got 1"),
    ({"user_factors": np.zeros((12, 2))}, ValueError, r"user_factors must have shape \(12, 3\)"),
    ({"user_kinds": np.ones(12, int)}, ValueError, r"user_kinds must be in \[0, 0\], got 1"),
    ({"user_weights": np.ones(12)}, ValueError, "user_weights must sum to 1"),
    ({"drift": 1.5}, ValueError, r"drift must be a probability in \[0, 1\], got 1.5"),
    ({"fatigue": -1.0}, ValueError, "fatigue must be"),
    ({"click_models": ()}, TypeError, "click_models must be a tuple of one ClickModel or more"),
    ({"session": -1.0}, TypeError, "session must be a SessionModel or None"),
    ({"source": {"rows": {1, 2}}}, TypeError, "source must hold JSON values"),
    ({"item_factors": None, "user_factors": None}, ValueError, "drift must be 0 where there are"),
    ({"item_topics": None, "topic_names": ()}, ValueError, "fatigue must be 0 where there are no"),
]


@pytest.mark.parametrize(("changes", "error", "message"), BAD)
def test_bad_parameters(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        made_up(**changes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cascade", [0.0, 0.1], [1.0, 1.0]), "position_effects must be 0"),
        (("cascade", [0.0, 0.0], [1.0, 0.5]), "stops must be 1"),
        (("position_based", [0.9, 0.5], [0.0, 0.0]), "begin with 1"),
        (("position_based", [1.0, -0.5], [0.0, 0.0]), r"be in \[0, 1\]"),
        (("multinomial_logit", [0.1, 0.0], [0.0, 0.0]), "begin with 0"),
        (("multinomial_logit", [0.0, 0.0], [0.0, 0.1]), "stops must be 0"),
        (("dependent_click", [0.0, 0.0], [0.0, 1.1]), r"stops must hold numbers in \[0, 1\]"),
        (("dependent_click", [0.0, 0.0], [0.0]), r"stops must have shape \(2,\)"),
        (("dependent_clik", [0.0], [0.0]), "Did you mean 'dependent_click'"),
        (("cascade", [], []), "an entry for each position"),
    ],
)
def test_bad_click_models(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted.ClickModel(*arguments)


def test_bad_values() -> None:
    with pytest.raises(ValueError, match="by_interest must be"):
        fitted.ValueModel("rating", np.zeros(2), np.zeros(2), 1.0, 0.0, 5.0, by_interest=-1.0)
    with pytest.raises(ValueError, match="low must be below high"):
        fitted.ValueModel("rating", np.zeros(2), np.zeros(2), 1.0, 5.0, 5.0)


BAD_CONFIGS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"fitted": None}, KeyError, "misses 'path'"),
    ({"fitted": 3}, TypeError, "must be FittedParameters"),
    ({"path": "here"}, ValueError, "'path' or 'fitted', got both"),
    ({"slate_size": 5}, ValueError, "slate_size'] must be at most 4, the longest slates"),
    ({"num_candidates": 31}, ValueError, "num_candidates'] must be at most 30"),
    ({"observe": "feature"}, ValueError, "Did you mean 'features'"),
    ({"users": "all"}, ValueError, "users'] must be one of 'sampled', 'each'"),
    ({"time_budget": 0}, ValueError, "time_budget'] must be an integer >= 1"),
    ({"observe_user_state": 1}, TypeError, "must be True or False"),
]


@pytest.mark.parametrize(("settings", "error", "message"), BAD_CONFIGS)
def test_bad_configs(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    made = config(made_up(), **settings)
    for create in (
        fitted.create_environment,
        functools.partial(fitted.create_vector_environment, num_envs=2),
    ):
        with pytest.raises(error, match=message):
            create(made)


def test_what_the_log_lacks_cannot_be_asked_for() -> None:
    plain = made_up(values=None, item_factors=None, user_factors=None, drift=0.0)
    for settings in ({"reward": "values"}, {"observe": "factors"}):
        with pytest.raises(ValueError, match="for the scenario was fitted"):
            fitted.create_environment(config(plain, **settings))
    never = np.zeros(30)
    never[:5] = 0.2
    with pytest.raises(ValueError, match="must be at most 5 with candidate_sampling"):
        fitted.create_environment(
            config(made_up(item_popularity=never), candidate_sampling="popularity")
        )


def test_a_folder_has_all_of_it(tmp_path: pathlib.Path) -> None:
    parameters = made_up("cascade", "dependent_click")
    folder = tmp_path / "new" / "shop"
    fitted.save(parameters, folder)
    fitted.save(dataclasses.replace(parameters, source={"rows": 101}), folder)
    loaded = fitted.load(folder)
    assert loaded.sha256 == parameters.sha256
    assert loaded.source == {"rows": 101}
    data, arrays = parameters.contents()
    again, arrays_again = loaded.contents()
    assert {**again, "source": None} == {**data, "source": None}
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, arrays_again[name])
        assert not array.flags.writeable
    assert sorted(file.name for file in folder.iterdir()) == ["arrays.npz", "scenario.json"]
    for other in (copy.deepcopy(parameters), pickle.loads(pickle.dumps(parameters))):
        assert other.sha256 == parameters.sha256
    changed = dataclasses.replace(parameters, drift=0.3)
    assert changed.sha256 != parameters.sha256
    with pytest.raises(FileExistsError, match="without another fitted scenario"):
        fitted.save(changed, folder)
    assert fitted.load(folder).sha256 == parameters.sha256


def _edited(change: Callable[[dict[str, Any]], object]) -> Callable[[pathlib.Path], object]:
    def edit(folder: pathlib.Path) -> None:
        file = folder / "scenario.json"
        data = json.loads(file.read_text(encoding="utf-8"))
        change(data)
        file.write_text(json.dumps(data), encoding="utf-8")

    return edit


def _without_half(folder: pathlib.Path) -> None:
    file = folder / "arrays.npz"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _pickled(folder: pathlib.Path) -> None:
    np.savez(folder / "arrays.npz", item_utilities=np.array([{}, []], object))


DAMAGES: list[tuple[Callable[[pathlib.Path], object], type[Exception], str]] = [
    (lambda folder: (folder / "scenario.json").unlink(), FileNotFoundError, "has no scenario.json"),
    (lambda folder: (folder / "arrays.npz").unlink(), ValueError, "arrays.npz is missing"),
    (lambda folder: (folder / "scenario.json").write_text("{"), ValueError, "is not JSON"),
    (lambda folder: (folder / "scenario.json").write_text("{}"), ValueError, "something else"),
    (_edited(lambda data: data.update(version=2)), ValueError, "newer version of recsim"),
    (_edited(lambda data: data.update(version="1")), ValueError, "its version is '1'"),
    (_edited(lambda data: data.update(drift=0.9)), ValueError, "do not belong together"),
    (_edited(lambda data: data.update(drift=9)), ValueError, "drift must be"),
    (_edited(lambda data: data.pop("session")), ValueError, "are not good"),
    (_edited(lambda data: data.update(surprise=1)), ValueError, "are not good"),
    (_without_half, ValueError, "arrays.npz cannot be read"),
    (_pickled, ValueError, "arrays.npz cannot be read"),
]


@pytest.mark.parametrize(("damage", "error", "message"), DAMAGES)
def test_a_damaged_folder_is_refused(
    damage: Callable[[pathlib.Path], object],
    error: type[Exception],
    message: str,
    tmp_path: pathlib.Path,
) -> None:
    fitted.save(made_up(), tmp_path)
    damage(tmp_path)
    with pytest.raises(error, match=message):
        fitted.load(tmp_path)
    with pytest.raises(error, match=message):
        registry.environment_entry(str(tmp_path))


# ---- The places that take a folder


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The folder of a scenario, by a path from the current folder."""
    monkeypatch.chdir(tmp_path)
    fitted.save(made_up("position_based", "cascade"), "shop")
    return "shop"


def test_gymnasium_makes_it(folder: str) -> None:
    env = gymnasium.make("recsim/Fitted-v0", path=folder, slate_size=3)
    env.reset(seed=0)
    observation, *_ = env.step(env.action_space.sample())
    assert set(observation["doc"]) == {"cluster_id", "features", "popularity", "quality"}
    many = gymnasium.make_vec("recsim/Fitted-v0", num_envs=3, path=folder, users="each")
    many.reset(seed=0)
    assert many.unwrapped.user_states()["user"].tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match="Did you mean 'observe'"):
        gymnasium.make("recsim/Fitted-v0", path=folder, observed="items")
    with pytest.raises(KeyError, match="misses 'path'"):
        gymnasium.make("recsim/Fitted-v0")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        gymnasium.make("recsim/Fitted-v0", path="shops")


def test_stable_baselines3_makes_it(folder: str) -> None:
    pytest.importorskip("stable_baselines3")
    from recsim import sb3

    env = sb3.make_vec_env("recsim/Fitted-v0", 3, path=folder)
    observation: Any = env.reset()
    assert env.observation_space.contains(observation[0])


def test_an_experiment_is_of_this_scenario_and_no_other(folder: str) -> None:
    agents = ["softmax", "random"]
    results = recsim.experiment(
        agents, folder, episodes=12, num_envs=6, output="out", progress=False, figures=False
    )
    assert set(results.to_dataframe()["scenario"]) == {"shop"}
    record = json.loads(pathlib.Path("out", "results.json").read_text(encoding="utf-8"))
    content = fitted.load(folder).sha256
    assert record["provenance"]["sources"] == {"shop": content}
    assert content in json.dumps(record["provenance"]["fingerprints"])
    again = experiment.rerun("out", output="again", progress=False, figures=False)
    of_both = [each.to_dataframe().query("measure == 'return'") for each in (again, results)]
    assert of_both[0].equals(of_both[1])
    pathlib.Path(folder).rename("kept")
    with pytest.raises(ValueError, match=r"'shop' of its scenarios is not found: .*does not exist"):
        experiment.rerun("out", output="third", progress=False)
    entry = registry.environment_entry("kept")
    for name in ("scenario.json", "arrays.npz"):
        pathlib.Path("kept", name).unlink()
    fitted.save(made_up("cascade"), folder)
    fitted.save(made_up("cascade"), "kept")
    with pytest.raises(ValueError, match=r"'shop' in .* is not the recorded one"):
        experiment.rerun("out", output="third", progress=False)
    with pytest.raises(ValueError, match="has changed since it was first read"):
        entry.create(SIZES)  # type: ignore[misc]
    with pytest.raises(ValueError, match="of another experiment"):
        recsim.experiment(
            agents, folder, episodes=12, num_envs=6, output="out", progress=False, figures=False
        )


def test_names_of_scenarios_come_before_folders(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("interest_evolution", "random"):
        pathlib.Path(name).mkdir()
    assert not registry.is_folder("interest_evolution")
    recsim.experiment("random", "interest_evolution", episodes=1, progress=False, figures=False)
    with pytest.raises(ValueError, match="There is no environment 'shop'"):
        registry.environment_entry("shop")


@pytest.mark.parametrize(
    "agent",
    ["random", "softmax", "greedy_pctr", "cluster_bandit_ucb1", "cluster_bandit_ts", "tabular_q"],
)
def test_agents_keep_the_contract(agent: str) -> None:
    made = config(made_up("position_based", "cascade"))
    testing.check_agent(
        lambda: fitted.create_environment(made),
        lambda env: registry.create_agent(agent, env, seed=5),
        num_steps=60,
    )


def test_the_page_of_an_episode_names_items(folder: str, tmp_path: pathlib.Path) -> None:
    env = registry.create_environment(folder, SIZES)
    episode = recsim.watch(env, registry.create_agent("greedy_pctr", env), seed=1, show=False)
    step = episode[0]
    assert step.item_names is not None
    expected = [f"Shirt no. {name.removeprefix('sku-')} ({name})" for name in step.item_ids]
    assert list(step.item_names) == expected
    episode.to_html(tmp_path / "episode.html")
    assert expected[0] in (tmp_path / "episode.html").read_text(encoding="utf-8")


def test_slate_q_scores_documents_by_the_average_user() -> None:
    """Its choice weights are the odds of a click, by the quality that is observed."""
    made = config(made_up(), observe="factors")
    env = fitted.create_environment(made)
    observation = env.reset()
    agent: Any = registry.create_agent("slate_topk_topk_q", env, training_steps=100)
    documents = list(observation["doc"].values())
    space = env.observation_space["doc"][next(iter(observation["doc"]))]
    flat = np.array([spaces.utils.flatten(space, document) for document in documents])
    weights, no_click = env.environment.user_model.slate_q_settings["score_documents_fn"](
        np.zeros(4), flat
    )
    quality = np.array([document["quality"] for document in documents])
    np.testing.assert_allclose(weights, quality / (1.0 - quality), rtol=1e-6)
    assert no_click == 1.0
    slate = agent.begin_episode(observation)
    assert len(set(slate)) == 3


@pytest.mark.parametrize("agent", ["softmax", "greedy_pctr", "cluster_bandit_ts"])
def test_agents_of_the_scenario_can_be_saved(agent: str, tmp_path: pathlib.Path) -> None:
    env = fitted.create_environment(config(made_up()))
    observation = env.reset()
    made = registry.create_agent(agent, env, seed=1)
    made.save(tmp_path / "agent.recsim")  # type: ignore[attr-defined]
    loaded = recsim.load_agent(tmp_path / "agent.recsim").make_agent()
    assert list(made.begin_episode(observation)) == list(loaded.begin_episode(observation))
