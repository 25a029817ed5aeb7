"""Fits beside the scenarios that made their logs: the record, the page on it, the comparison."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support import CHECKOUT

from recsim import choice_model
from recsim.benchmarks import fitting_recovery, scenario_fits
from recsim.environments import fitted
from recsim.fitting import predictions, tables

RESULTS = CHECKOUT / "docs" / "results"


def test_the_page_has_what_the_record_says():
    record = json.loads((RESULTS / "scenario_fits.json").read_text(encoding="utf-8"))
    page = (RESULTS / "scenario_fits.md").read_text(encoding="utf-8")
    outcomes = [scenario_fits.Outcome(**each) for each in record["outcomes"]]
    assert scenario_fits.table(outcomes) in page
    assert scenario_fits.table_of_agents(outcomes) in page
    found = {each.name: each for each in outcomes}
    assert set(found) == {*scenario_fits.SCENARIOS, *fitting_recovery.SETTINGS}
    assert all(each.right_click_model for each in outcomes)
    for name, each in found.items():
        drifts = name in fitting_recovery.SETTINGS and fitting_recovery.SETTINGS[name].drift > 0.0
        assert each.drift == 0.0 or drifts
        if name not in ("topic_boredom", "interest_evolution"):  # Their dynamics no fit has.
            pairs = list(each.pairs().values())
            assert sum(pairs) >= len(pairs) - 1


@pytest.mark.parametrize(
    "name",
    [
        "interest_exploration",
        "interest_exploration, position_based",
        "interest_exploration, dependent_click",
    ],
)
def test_true_log_likelihoods_are_those_of_the_same_users_as_parameters(name):
    scenario = scenario_fits.SCENARIOS[name]
    frame = scenario_fits.logged(scenario, 20, 3)
    catalogue = scenario_fits.catalogue_of(scenario.environment(1, 0, 3))
    first = frame[(frame.session == 0) & (frame.step == 0) & (frame.position == 0)]
    effects = {
        "multinomial_logit": (np.zeros(4), np.zeros(4)),
        "position_based": (0.7 ** np.arange(4), np.zeros(4)),
        "dependent_click": (np.zeros(4), np.full(4, 0.5)),
    }
    same = fitted.FittedParameters(
        item_ids=tuple(map(str, range(scenario_fits.ITEMS))),
        item_utilities=catalogue["quality"] - 5.0,
        item_popularity=np.full(scenario_fits.ITEMS, 1.0 / scenario_fits.ITEMS),
        item_factors=np.eye(2)[catalogue["cluster_id"]],
        user_ids=tuple(map(str, range(20))),
        user_factors=first[["state_topic_affinity_0", "state_topic_affinity_1"]].to_numpy(),
        click_models=(fitted.ClickModel(scenario.click_model, *effects[scenario.click_model]),),
    )
    slates = frame.item_id.to_numpy().reshape(-1, 4)
    log = tables.SlateLog(
        items=slates,
        clicks=frame.response_click.to_numpy().reshape(-1, 4),
        users=np.repeat(np.arange(20), 30),
        catalogue=tables.Catalogue(np.array(same.item_ids), np.zeros((scenario_fits.ITEMS, 0))),
        user_table=tables.Users(np.array(same.user_ids), np.zeros((20, 0))),
    )
    found = scenario_fits.true_log_likelihoods(scenario, frame, catalogue)
    np.testing.assert_allclose(found, predictions.log_likelihoods(same, log), rtol=1e-4)
    assert frame.response_click.sum() > 100


def test_utilities_of_interest_evolution_are_those_of_its_choice_model():
    scores = np.random.default_rng(0).uniform(-1.0, 1.0, (5, 20))
    scenario = scenario_fits.SCENARIOS["interest_evolution"]
    every_topic = np.broadcast_to(np.eye(20), (5, 20, 20))
    utilities = scenario.utilities({"interests": scores}, {"features": every_topic})
    model = choice_model.MultinomialProportionalChoiceModel(
        {"no_click_mass": 1.0, "min_normalizer": -1.0}
    )
    np.testing.assert_allclose(np.exp(utilities), model.choice_weights(scores)[:, :-1])


def test_who_is_bored_wants_nothing():
    scenario = scenario_fits.SCENARIOS["topic_boredom"]
    states = {"interests": np.eye(2), "bored": np.array([[False, False], [False, True]])}
    embedding = {"embedding": np.broadcast_to(np.eye(2), (2, 2, 2))}
    utilities = scenario.utilities(states, embedding)
    np.testing.assert_allclose(utilities, [[3.5, -1.5], [-1.5, -1.5]])


@pytest.mark.slow
def test_command(tmp_path, capsys):
    output = str(tmp_path / "fits.json")
    arguments = ["--users", "100", "--output", output, "--scenarios", "cascade"]
    assert scenario_fits.main(arguments) == 0
    first = capsys.readouterr()
    assert "cascade, log 0:" in first.err
    assert scenario_fits.main(arguments) == 0
    again = capsys.readouterr()
    assert (again.out, again.err) == (first.out, "")
    assert "| cascade | true | " in again.out


def test_pairs_are_those_whose_intervals_are_apart():
    outcome = scenario_fits.Outcome(
        "cascade",
        0,
        100,
        "cascade-0_factors",
        True,
        0.0,
        0.1,
        True,
        0.0,
        0.0,
        ("a", "b", "c"),
        (1.0, 2.0, 2.1),
        (0.1, 0.1, 0.1),
        (1.0, 0.9, 1.1),
        (0.1, 0.1, 0.1),
        1.0,
    )
    assert outcome.pairs() == {("b", "a"): False, ("c", "a"): True}
