"""Regret of the bandits: the simulation, the numbers made of it, and the results in the docs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support import RESULTS

from recsim.agents.bandits import algorithms
from recsim.reproductions import bandit_regret


class Numbers:
    """A generator whose uniform numbers are given in advance."""

    def __init__(self, numbers):
        self._numbers = iter(numbers)

    def random(self, size):
        return np.array([next(self._numbers) for _ in range(size)])


def regret_alone(bandit, means, numbers):
    """Runs RecSim's class for one bandit; returns its pseudo-regret after each round."""
    regret = []
    for t, number in enumerate(numbers):
        arm = bandit.get_arm(t)
        bandit.update(arm, float(number < means[arm]))
        regret.append(bandit.pulls @ (max(means) - np.array(means)))
    return regret


@pytest.mark.parametrize(
    ("algorithm", "alone"),
    [
        ("ucb1", lambda: algorithms.UCB1(3, {})),
        ("ucb1_half_width", lambda: algorithms.UCB1(3, {"optimism_scaling": 0.5})),
        ("kl_ucb", lambda: algorithms.KLUCB(3, {"c": 3.0})),
    ],
)
def test_runs_side_by_side_equal_single_bandits(algorithm, alone):
    means, num_runs, horizon = [0.2, 0.7, 0.6], 4, 200
    numbers = np.random.RandomState(5).random_sample((horizon, num_runs))
    index = bandit_regret.ALGORITHMS[algorithm].index
    regret = bandit_regret.pseudo_regret(
        index, means, range(1, horizon + 1), num_runs, Numbers(numbers.ravel())
    )
    for run in range(num_runs):
        np.testing.assert_allclose(regret[run], regret_alone(alone(), means, numbers[:, run]))


def test_thompson_draws_anew_for_every_run_and_round():
    drawn = []

    class Spy:
        def beta(self, a, b):
            drawn.append(np.stack([a, b]))
            return np.tile([0.0, 1.0], (3, 1))

        def random(self, size):
            return np.array([0.0, 0.5, 0.9])

    index = bandit_regret.ALGORITHMS["thompson"].index
    regret = bandit_regret.pseudo_regret(index, [0.9, 0.6], [2], 3, Spy())
    np.testing.assert_allclose(regret, 3 * [[0.6]])
    # The second arm was pulled once in each run, with rewards 1, 1 and 0, from a uniform prior.
    np.testing.assert_array_equal(drawn[0], np.ones((2, 3, 2)))
    np.testing.assert_array_equal(drawn[1], [[[1, 2], [1, 2], [1, 1]], [[1, 1], [1, 1], [1, 2]]])


def test_progress_counts_pulls():
    index, done = bandit_regret.ALGORITHMS["ucb1"].index, []
    rng = np.random.default_rng(0)
    bandit_regret.pseudo_regret(index, [0.5, 0.4], [10, 30, 100], 7, rng, done.append)
    assert done == [70, 140, 490]


@pytest.mark.parametrize(
    ("problem", "slope"), [("nine_arms", 7.52), ("two_arms", 2.25), ("ten_arms", 17.4)]
)
def test_lai_robbins_slopes_are_the_published_ones(problem, slope):
    means = bandit_regret.PROBLEMS[problem].means
    assert bandit_regret.lai_robbins_slope(means) == pytest.approx(slope, rel=5e-3)


def test_lai_robbins_slope_by_hand():
    # 0.25 / (0.5 log(2 / 3) + 0.5 log 2), twice for two such arms; the best arms cost nothing.
    expected = 0.25 / (0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25))
    assert bandit_regret.lai_robbins_slope([0.75, 0.5]) == pytest.approx(expected)
    assert bandit_regret.lai_robbins_slope([0.5, 0.75, 0.5, 0.75]) == pytest.approx(2 * expected)
    assert bandit_regret.lai_robbins_slope([0.3, 0.3]) == 0.0


@pytest.mark.parametrize("horizon", [100, 5_000, 10_000, 20_000])
def test_recorded_rounds(horizon):
    rounds = bandit_regret.recorded_rounds(horizon)
    assert rounds[0] in (10, 11) and rounds[-1] == horizon
    assert (np.diff(rounds) > 0).all()
    assert rounds[-1 - bandit_regret._POINTS_A_DECADE] == horizon // 10


@pytest.fixture
def small(monkeypatch):
    """Makes the problems small."""
    problems = {
        name: bandit_regret.Problem(problem.title, problem.means, 100)
        for name, problem in bandit_regret.PROBLEMS.items()
    }
    monkeypatch.setattr(bandit_regret, "PROBLEMS", problems)
    return problems


def run_here(experiment, folder="tasks"):
    return {task.name: task.run(lambda done: None) for task in experiment.tasks(folder)}


def test_tasks_have_all_runs_and_streams_of_their_own(small):
    tasks = bandit_regret.BanditRegret(runs=510).tasks("unused")
    assert len({task.name for task in tasks}) == len(tasks) == 3 * len(bandit_regret.CASES)
    sizes = [task.arguments["num_runs"] for task in tasks]
    assert sizes == [250, 250, 10] * len(bandit_regret.CASES)
    assert [task.size for task in tasks] == [size * 100 for size in sizes]
    words = {tuple(task.arguments["seed"].generate_state(4)) for task in tasks}
    assert len(words) == len(tasks)


def test_more_runs_keep_the_streams_of_the_first(small):
    few, many = (bandit_regret.BanditRegret(runs, seed=3).tasks("unused") for runs in (250, 500))
    states = [
        {task.name: task.arguments["seed"].generate_state(4).tolist() for task in tasks}
        for tasks in (few, many)
    ]
    assert states[0].items() <= states[1].items()


def test_results_are_made_of_the_runs(small):
    experiment = bandit_regret.BanditRegret(runs=260, seed=1)
    tasks = run_here(experiment)
    results = experiment.results(tasks)
    regret = np.concatenate(
        [tasks[f"nine_arms_kl_ucb_{number:03}"]["regret"] for number in range(2)]
    )
    assert regret.shape == (260, 21)
    measures = results["nine_arms"]["algorithms"]["kl_ucb"]
    error = regret[:, -1].std(ddof=1) / np.sqrt(260)
    assert measures["regret"]["mean"] == pytest.approx(regret[:, -1].mean())
    assert measures["regret"]["standard_error"] == pytest.approx(error)
    # Student's 97.5% quantile for 259 degrees of freedom.
    assert measures["regret"]["high"] - regret[:, -1].mean() == pytest.approx(
        1.9692 * error, rel=1e-4
    )
    assert measures["slope_of_tail"]["mean"] == pytest.approx(
        (regret[:, 20] - regret[:, 0]).mean() / np.log(100 / 10)
    )
    assert measures["standard_errors_above_reference"] == pytest.approx(
        (regret[:, -1].mean() - 98.0) / np.sqrt(error**2 + 0.7**2)
    )
    np.testing.assert_allclose(measures["curve"]["mean"], regret.mean(axis=0), atol=5e-4)
    assert "reference" not in results["ten_arms"]["algorithms"]["kl_ucb"]
    assert json.dumps(results)


def test_same_seed_same_results_other_seed_others(small):
    def regrets(seed):
        return run_here(bandit_regret.BanditRegret(runs=3, seed=seed))["two_arms_thompson_000"]

    assert (regrets(1)["regret"] == regrets(1)["regret"]).all()
    assert (regrets(1)["regret"] != regrets(2)["regret"]).any()


def test_table_and_figure(small):
    experiment = bandit_regret.BanditRegret(runs=5)
    results = experiment.results(run_here(experiment))
    nine, _, ten = experiment.tables(results)
    assert nine.title == "9 arms: 0.1, 0.2, ..., 0.9; T = 100; C = 7.52"
    assert [row[0] for row in nine.rows] == ["UCB1", "UCB1, width 0.5", "KL-UCB, c = 3", "Thompson"]
    assert nine.rows[0][3] == "329.7 ± 0.8"
    assert ten.rows[1][3:5] == ("–", "–")
    figure = experiment.figures(results)["regret"]
    assert len(figure.axes) == 6
    (*curves, bound) = figure.axes[0].lines
    assert [line.get_label() for line in curves] == [row[0] for row in nine.rows]
    np.testing.assert_allclose(
        bound.get_ydata()[[0, -1]], [7.5165 * np.log(10), 7.5165 * np.log(100)], rtol=1e-4
    )
    assert all(axes.get_xscale() == "log" for axes in figure.axes)


def committed():
    return json.loads((RESULTS / "bandits" / "results.json").read_text(encoding="utf-8"))


def test_committed_results_reproduce_the_references():
    compared = [
        measures["standard_errors_above_reference"]
        for problem in committed()["results"].values()
        for measures in problem["algorithms"].values()
        if "reference" in measures
    ]
    assert len(compared) == 9
    assert max(map(abs, compared)) < 3
