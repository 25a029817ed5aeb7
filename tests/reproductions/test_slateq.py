"""The SlateQ paper's strategies: training, what is made of it, and the results in the docs."""

from __future__ import annotations

import functools
import json
import os

import numpy as np
import pytest
from support import RESULTS

from recsim import registry
from recsim.agents import random_agent
from recsim.reproductions import _training, base, slateq
from recsim.simulator import checkpoint


class Scripted:
    """An agent that always shows the first documents."""

    def begin_episode(self, observation):
        return [0, 1, 2]

    def step(self, reward, observation):
        return [0, 1, 2]

    def end_episode(self, reward, observation):
        self.last = observation


class Session:
    """An environment with sessions given as lists of (reward, clicked quality or None)."""

    def __init__(self, *sessions):
        self._sessions = iter(sessions)

    def reset(self):
        self._steps = list(next(self._sessions))
        return {"response": None}

    def step(self, slate):
        reward, quality = self._steps.pop(0)
        response = {"click": int(quality is not None), "quality": quality or 0.0}
        none = {"click": 0, "quality": 7.0}
        return {"response": (none, response)}, reward, not self._steps, {}


def test_returns_and_clicks_are_summed_by_user():
    env = Session([(4.0, -1.5), (0.0, None), (2.0, 0.5)], [(1.0, 3.0)])
    measures = slateq.simulate_users(Scripted(), env, 2)
    assert measures["returns"].tolist() == [6.0, 1.0]
    assert measures["clicks"].tolist() == [2.0, 1.0]
    assert measures["quality"].tolist() == [-1.0, 3.0]


def test_settings_are_the_papers_and_shrink_with_the_steps():
    paper = slateq._settings(slateq.METHODS["one_step"], 300_000)
    assert paper == {
        "gamma": 1.0,
        "min_replay_history": 20_000,
        "epsilon_decay_period": 250_000,
        "target_update_period": 8_000,
    }
    short = slateq._settings(slateq.METHODS["no_click"], 3_000)
    assert short == {
        "gamma": 1.0,
        "min_replay_history": 200,
        "epsilon_decay_period": 2_500,
        "target_update_period": 10,
        "learn_no_click_value": True,
    }


def test_every_training_has_a_seed_of_its_own_and_strategies_share_users():
    tasks = slateq.SlateQ(seeds=2, steps=300, users=2).tasks("folder")
    assert len(tasks) == len({task.name for task in tasks}) == 2 * (1 + 1 + 2 + 3 * 7)
    seeds = {}
    for task in tasks:
        seeds.setdefault(task.name[-1], set()).add(task.arguments["seed"])
    (first,), (second,) = seeds["0"], seeds["1"]
    assert first != second
    assert tasks[0].name == "full_slate_one_step_0"


@pytest.fixture
def small(monkeypatch):
    """Leaves two strategies and one method."""
    strategies = {
        key: slateq.Strategy(
            each.title, each.agent, each.published, each.published_percent, None, methods
        )
        for key, methods in (("random", ()), ("ql_ot_os", ("no_click",)))
        for each in (slateq.STRATEGIES[key],)
    }
    monkeypatch.setattr(slateq, "STRATEGIES", strategies)
    return slateq.SlateQ(seeds=2, steps=300, users=3, train_users=1)


def run(experiment, folder):
    return base.run(experiment, str(folder), show_progress=False)


@pytest.mark.slow
def test_an_interrupted_training_resumes_to_the_same_numbers(small, tmp_path, monkeypatch):
    # With one thread, TensorFlow is used in this process, where the test interrupts it.
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.setenv(name, "1")
    whole = run(small, tmp_path / "whole")
    (agent,) = (tmp_path / "whole/tasks").glob("*_1.agent")
    assert set(checkpoint.load(agent)) == {"agent", "steps", "curve"}
    assert os.path.getsize(agent) < 200_000
    assert list((tmp_path / "whole/tasks/ql_ot_os_no_click_0/train").glob("events.*"))

    iterations = iter(range(100))
    train = _training._Runner._run_train_phase

    def interrupted(self, total_steps):
        if next(iterations) == 4:
            raise KeyboardInterrupt
        return train(self, total_steps)

    monkeypatch.setattr(_training._Runner, "_run_train_phase", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(small, tmp_path / "resumed")
    resumed = run(small, tmp_path / "resumed")
    for record in (whole, resumed):
        for strategy in record["results"].values():
            for measures in strategy["methods"].values():
                del measures["seconds"]
    assert resumed["results"] == whole["results"]
    curve = whole["results"]["ql_ot_os"]["methods"]["no_click"]["curve"]
    assert len(curve["mean"]) == 10
    assert curve["steps"][-1] >= 300


def test_users_in_parallel_take_the_place_of_one_after_the_other(small, tmp_path):
    many = slateq.SlateQ(seeds=2, steps=300, users=40, train_users=5)
    record = run(many, tmp_path / "many")
    (results,) = record["results"]["ql_ot_os"]["methods"].values()
    assert results["curve"]["steps"] == list(range(30, 301, 30))
    agent = checkpoint.load(tmp_path / "many/tasks/ql_ot_os_no_click_1.agent")
    assert agent["agent"]["training_steps"] == 300 and agent["agent"]["num_updates"] > 0


def test_users_in_parallel_return_what_one_after_the_other_do():
    config = {**slateq._ENV_CONFIG, "seed": 3}
    env = registry.create_environment("interest_evolution", config)
    one = slateq.simulate_users(random_agent.RandomAgent(env.action_space), env, 300)
    make = functools.partial(registry.create_vector_environment, "interest_evolution", config)
    many = slateq.simulate_users_in_parallel(make, random_agent.VectorRandomAgent, 3_000)
    assert many["returns"].shape == (3_000,)
    error = np.hypot(one["returns"].std() / 300**0.5, many["returns"].std() / 3_000**0.5)
    assert abs(one["returns"].mean() - many["returns"].mean()) < 4 * error
    clicks = one["clicks"].sum() / 300, many["clicks"].sum() / 3_000
    assert clicks[1] == pytest.approx(clicks[0], rel=0.05)
    quality = [each["quality"].sum() / each["clicks"].sum() for each in (one, many)]
    assert quality[1] == pytest.approx(quality[0], abs=0.06)


def task(returns, clicks=1.0, quality=0.5):
    count = len(returns)
    return {
        "returns": np.array(returns),
        "clicks": np.full(count, clicks),
        "quality": np.full(count, quality),
        "seconds": np.float64(1.0),
    }


def test_tables_by_hand(small):
    trained = {"steps": np.arange(2.0), "curve": np.array([1.0, 2.0])}
    tasks = {
        "random_0": task([9.0, 11.0]),
        "random_1": task([10.0, 10.0]),
        "ql_ot_os_no_click_0": {**task([14.0, 16.0], 2.0, -1.0), **trained},
        "ql_ot_os_no_click_1": {**task([16.0, 16.0], 2.0, -1.0), **trained},
    }
    returns, above, quality = small.tables(small.results(tasks))
    # Student's 97.5% point with one degree of freedom is 12.706; the standard error here is 0.5.
    assert returns.rows == [
        ["random", "159.2", "10.0 ± 0.0", "–", "–"],
        ["QL-OT-OS", "174.6", "–", "–", "15.5 ± 6.4"],
    ]
    assert above.rows[1] == ["QL-OT-OS", "+9.7%", "–", "–", "+55.0%"]
    assert quality.rows[1] == ["QL-OT-OS", "–", "–", "–", "-0.500 ± 0.000"]


def committed():
    return json.loads((RESULTS / "slateq" / "results.json").read_text(encoding="utf-8"))


def test_committed_results_are_up_to_the_paper():
    record = committed()
    settings = {"seeds": 3, "steps": 300_000, "users": 5_000, "train_users": 512, "seed": 0}
    assert record["settings"] == settings
    for of_tasks in record["provenance"]["fingerprints"]:
        assert of_tasks["scenario"]["num_users"] == (1 if "random_0" in of_tasks["tasks"] else 512)
    returns = {
        key: {name: measures["return"]["mean"] for name, measures in strategy["methods"].items()}
        for key, strategy in record["results"].items()
    }
    assert abs(returns["random"]["one_step"] - 160.3) < 1
    assert min(returns["myop_ts"]["one_step"], returns["myop_gs"]["one_step"]) >= 166
    n_step = {key: methods["n_step"] for key, methods in returns.items() if "n_step" in methods}
    assert len(n_step) == 7
    for key, mean in n_step.items():
        assert mean > slateq.STRATEGIES[key].published
    assert n_step["ql_tt_ts"] < n_step["ql_gt_gs"] <= n_step["ql_ot_os"]
    assert n_step["ql_ot_ts"] < n_step["ql_ot_gs"] <= n_step["ql_ot_os"]
    assert record["results"]["full_slate"]["methods"]["one_step"]["percent_above_random"] > 2.2
    assert returns["ql_ot_os"]["no_click"] >= 250
