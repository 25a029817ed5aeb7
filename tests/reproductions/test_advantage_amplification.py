"""Advantage amplification: returns, optima, what agents see, and the results in the docs."""

from __future__ import annotations

import functools
import itertools
import json
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import RESULTS, recsim_names

from recsim.agents.layers import temporal_aggregation
from recsim.environments import long_term_satisfaction as lts
from recsim.reproductions import advantage_amplification as amplification


@functools.cache
def optimum(sensitivity, period=1):
    return amplification.optimal_return(sensitivity, [0.0, 1.0], period)


# Computed with an independent dynamic programme, random by simulation.
@pytest.mark.parametrize(
    ("sensitivity", "choc", "kale", "random", "best"),
    [
        (0.01, 1158.7, 754, 949, 1158.7),
        (0.05, 991, 856, 949, 1000),
        (0.10, 818, 1000, 952, 1044),
        (0.20, 571, 1350, 964, 1377),
    ],
)
def test_optima_are_the_references(sensitivity, choc, kale, random, best):
    optima = amplification._optima(sensitivity, lambda done: None)
    assert optima["choc"] == pytest.approx(choc, abs=0.6)
    assert optima["kale"] == pytest.approx(kale, abs=0.6)
    assert optima["random"] == pytest.approx(random, abs=2.5)
    assert optima["optimum"] == pytest.approx(best, abs=0.6)
    assert optima["optimum_of_any_score"] == pytest.approx(best, abs=0.6)
    assert optima["kale_then_choc"] <= optima["optimum"] + 0.01
    assert (np.diff(optima["optimum_of_period"]) <= 0.01).sum() >= 3  # Of freedom, less.


def test_one_document_leaves_nothing_to_optimise():
    for score in (0.0, 0.4, 1.0):
        fixed = amplification.expected_return(0.10, [score] * 60)
        assert amplification.optimal_return(0.10, [score], 7) == pytest.approx(fixed, rel=1e-5)


@pytest.mark.parametrize("period", [1, 2])
def test_optimum_equals_enumeration_where_nothing_is_random(period, monkeypatch):
    monkeypatch.setattr(amplification, "_SESSION", 5)
    monkeypatch.setitem(amplification._USER, "innovation_stddev", 0.0)
    exposures = (np.arange(2000) + 0.5) / 2000 * (10 / 3) - 5 / 3
    returns = []
    for choices in itertools.product([0.0, 1.0], repeat=-(-5 // period)):
        exposure, total = exposures, 0.0
        for score in np.repeat(choices, period)[:5]:
            # Means 4 and 5 of the logarithm, its variance 1, half of which counts.
            total = total + np.exp((4 + score) / (1 + np.exp(-0.3 * exposure)) + 0.5)
            exposure = 0.7 * exposure - 2 * (score - 0.5)
        returns.append(total)
    best = np.max(returns, axis=0).mean()
    assert amplification.optimal_return(0.3, [0.0, 1.0], period) == pytest.approx(best, rel=1e-4)


def test_expected_return_is_that_of_the_environment():
    # One session's documents, to users whose engagement is taken without its own noise.
    scores = [0, 0, 0, 1, 1, 0] * 10
    env = amplification.create_environment(0.10, seed=3)
    returns = np.zeros(300)
    for user in range(len(returns)):
        env.reset()
        for score in scores:
            satisfaction = recsim_names.user_state(env.environment.user_model).satisfaction
            returns[user] += np.exp((4 + score) * satisfaction + 0.5)
            _, _, done, _ = env.step([score])
        assert done
    error = returns.std(ddof=1) / np.sqrt(len(returns))
    assert amplification.expected_return(0.10, scores) == pytest.approx(
        returns.mean(), abs=4 * error
    )
    assert error < 3


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=60, max_size=60))
def test_no_session_is_worth_more_than_the_optimum(scores):
    assert amplification.expected_return(0.10, scores) <= optimum(0.10) + 0.01


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=10, max_size=10))
def test_no_session_of_held_documents_is_worth_more_than_theirs(scores):
    value = amplification.expected_return(0.10, np.repeat(scores, 6))
    assert value <= optimum(0.10, 6) + 0.01


def test_environment_has_kale_and_choc_for_ever():
    env = amplification.create_environment(0.10, seed=0)
    documents = env.reset()["doc"]
    assert [document.tolist() for document in documents.values()] == [[0.0], [1.0]]
    state = recsim_names.user_state(env.environment.user_model)
    assert (state.sensitivity, state.time_budget) == (0.10, 60)
    defaults = lts.LTSStaticUserSampler()._state_parameters
    assert amplification._USER.items() <= defaults.items()
    observation, *_ = env.step([1])
    assert list(observation["doc"]) == list(documents)


class Script:
    """A base agent that plays given documents and keeps what it sees."""

    def __init__(self, documents, observation_space, action_space):
        self.space, self.seen = observation_space, []
        self._documents = iter(documents)

    def begin_episode(self, observation):
        return self.step(0.0, observation)

    def step(self, reward, observation):
        statistics = observation["user"]["sufficient_statistics"]
        assert self.space["user"]["sufficient_statistics"].contains(statistics)
        self.seen.append(statistics)
        return [next(self._documents)]

    def end_episode(self, reward, observation):
        self.seen.append(observation["user"]["sufficient_statistics"])

    def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
        return {}

    def unbundle(self, checkpoint_dir, iteration_number, bundle_dict):
        return True


def layer_over(documents, **arguments):
    env = amplification.create_environment(0.10, seed=0)
    base = functools.partial(Script, documents)
    layer = amplification.OwnDocumentsLayer(
        base, env.observation_space, env.action_space, **arguments
    )
    return layer, recsim_names.base_agent(layer), env.reset()


def test_agents_see_the_time_and_their_own_documents():
    layer, base, observation = layer_over([1, 0, 0, 1, 1], memory=2, session=4, clock=3)
    slates = [layer.begin_episode(observation)]
    slates += [layer.step(1.0, observation) for _ in range(3)]
    layer.end_episode(1.0, observation)
    assert slates == [[1], [0], [0], [1]]
    assert base.seen == [(3, 2, 2), (3, 1, 2), (2, 0, 1), (1, 0, 0), (0, 1, 0)]
    layer.begin_episode(observation)  # Nothing is left of the last session.
    assert base.seen[-1] == (3, 2, 2)


def test_what_agents_see_is_restored_in_the_middle_of_a_session():
    layer, _, observation = layer_over([1, 0, 0], memory=2)
    layer.begin_episode(observation)
    layer.step(1.0, observation)
    other, base, _ = layer_over([0], memory=2)
    assert other.unbundle("", 0, layer.bundle_and_checkpoint("", 0))
    other.step(1.0, observation)
    assert base.seen == [(12, 0, 1)]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"memory": 0}, ValueError, "memory must be an integer >= 1, got 0"),
        ({"clock": 0}, ValueError, "clock must be an integer >= 1, got 0"),
        ({"session": 1.5}, TypeError, "session must be an integer >= 1, got 1.5"),
    ],
)
def test_bad_arguments_of_the_layer(arguments, error, message):
    with pytest.raises(error, match=message):
        layer_over([], **arguments)


def test_the_layer_takes_slates_of_one_document():
    env = amplification.create_environment(0.10, seed=0)
    two = types.SimpleNamespace(nvec=[2, 2])
    with pytest.raises(ValueError, match="slates must hold one document, got 2"):
        amplification.OwnDocumentsLayer(Script, env.observation_space, two)


def test_agents_are_the_library_s_layers():
    env = amplification.create_environment(0.10, seed=0)
    agents = {
        key: amplification.create_agent(learner, env, 0.1)
        for key, learner in amplification.LEARNERS.items()
    }
    held = recsim_names.base_agent(agents["held_5_cost"])
    assert isinstance(held, temporal_aggregation.TemporalAggregationLayer)
    assert (held._aggregation_period, held._switching_cost) == (5, 10.0)
    assert recsim_names.base_agent(held)._gamma == pytest.approx(amplification._GAMMA**5)
    assert recsim_names.base_agent(agents["event"])._gamma == amplification._GAMMA
    assert agents["memory_4"]._memory == 4
    assert type(agents["blind"]).__name__ == "TabularQAgent"


@pytest.mark.parametrize("key", ["blind_10", "held_6", "cost"])
def test_training(key):
    learner, done = amplification.LEARNERS[key], []
    result = amplification.train(learner, 2500, 5, done.append)
    assert sum(done) == result["steps"][-1] == 2400
    assert result["curve"].shape == result["steps"].shape == (20,)
    documents = result["documents"]
    assert result["curve"][-1] == amplification.expected_return(0.10, documents)
    blocks = documents.reshape(-1, learner.period)
    assert (blocks == blocks[:, :1]).all()
    again = amplification.train(learner, 2500, 5)
    assert (again["curve"] == result["curve"]).all()
    other = amplification.train(learner, 2500, 6)
    assert (other["curve"] != result["curve"]).any()


@pytest.fixture
def small(monkeypatch):
    """Leaves two agents and two sensitivities."""
    learners = {key: amplification.LEARNERS[key] for key in ("blind_10", "held_5_cost", "event")}
    monkeypatch.setattr(amplification, "LEARNERS", learners)
    monkeypatch.setattr(amplification, "SENSITIVITIES", (0.05, 0.10))


def test_results_of_a_tiny_run(small):
    experiment = amplification.AdvantageAmplification(seeds=2, steps=1200, seed=1)
    tasks, progress = {}, []
    for task in experiment.tasks("unused"):
        tasks[task.name] = task.run(progress.append)
        assert sum(progress) == task.size
        progress.clear()
    assert len(tasks) == 2 + 3 * 2
    results = experiment.results(tasks)
    held = results["learners"]["held_5_cost"]
    last = [tasks[f"held_5_cost_{number}"]["curve"][-1] for number in range(2)]
    assert held["return"]["mean"] == pytest.approx(np.mean(last))
    assert held["lowest"] == min(last)
    assert held["possible"] == pytest.approx(optimum(0.10, 5))
    assert [len(documents) for documents in held["documents"]] == [60, 60]
    assert set(held["documents"][0]) <= set("kC")
    assert json.dumps(results)

    optima, blind, seeing = experiment.tables(results)
    assert [row[0] for row in optima.rows] == ["0.05", "0.10"]
    assert optima.rows[1][5] == "1043.6"
    assert [row[0] for row in blind.rows] == ["10 steps"]
    assert [row[0] for row in seeing.rows] == ["5 steps, cost 10", "each step"]
    assert seeing.title == "Agents that see the time and the last document; sensitivity 0.10"

    curves, returns = experiment.figures(results)["returns"].axes
    labels = [line.get_label() for line in curves.lines]
    assert labels == ["sees 1: 5 steps, cost 10", "sees 1: each step", "optimum", "always kale"]
    np.testing.assert_allclose(curves.lines[2].get_ydata(), optimum(0.10), rtol=1e-4)
    points = [line.get_xdata() for line in returns.lines[:3]]
    of_learners = results["learners"].values()
    np.testing.assert_allclose(points, [[each["return"]["mean"]] for each in of_learners])


def test_trainings_of_a_seed_have_the_same_users_whatever_the_number_of_seeds():
    few, many = (
        {
            task.name: task.arguments["seed"]
            for task in amplification.AdvantageAmplification(seeds=seeds).tasks("unused")
            if "seed" in task.arguments
        }
        for seeds in (2, 3)
    )
    assert few.items() <= many.items()
    assert few["event_0"] == few["held_6_0"] != few["event_1"]


def committed():
    path = RESULTS / "advantage_amplification" / "results.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_committed_results_show_the_amplification():
    learners = committed()["results"]["learners"]
    returns = {key: measures["return"] for key, measures in learners.items()}
    for key in ("held_3_cost", "held_5_cost"):
        assert learners[key]["lowest"] >= 1020
        assert returns[key]["low"] > returns["event"]["high"]
        assert returns[key]["mean"] > returns["event_higher"]["mean"]


def test_committed_returns_are_those_of_the_documents():
    for measures in committed()["results"]["learners"].values():
        for documents, value in zip(measures["documents"], measures["return_by_seed"]):
            scores = ["kC".index(letter) for letter in documents]
            assert amplification.expected_return(0.10, scores) == pytest.approx(value, abs=0.01)
