"""Exports, and what the packages that they are for read from them."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import sys

import numpy as np
import pytest

from recsim.ope import estimators, exports
from recsim.ope.log import SlateLog
from recsim.ope.policy import SlateDistribution

DATA = pathlib.Path(__file__).parent / "data"
READ = json.loads((DATA / "exports_read.json").read_text())


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("read_exports", DATA / "read_exports.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def logs(script):
    return script.logs()


def test_exports_are_those_that_were_read(script):
    with np.load(DATA / "exports.npz") as recorded:
        found = script.exported()
        assert set(found) == set(recorded.files)
        for name, array in found.items():
            assert array.dtype == recorded[name].dtype
            np.testing.assert_allclose(array, recorded[name], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("name", "theirs", "estimator"),
    [
        ("items", "ipw", estimators.InversePropensity()),
        ("items", "snipw", estimators.InversePropensity(self_normalized=True)),
        ("slates", "sips", estimators.InversePropensity()),
        ("slates", "iips", estimators.InversePropensity("items")),
        ("slates", "rips", estimators.InversePropensity("prefixes")),
    ],
)
def test_open_bandit_pipeline_estimates_the_same(logs, name, theirs, estimator):
    collected = logs[name]
    estimate = estimator.estimate(collected.log, collected.policies["random"])
    assert estimate.value == pytest.approx(READ["obp"][name][theirs], rel=1e-5)


@pytest.mark.parametrize("name", ["items", "slates", "episodes"])
@pytest.mark.parametrize("form", ["discrete", "scores"])
def test_d3rlpy_reads_the_same(logs, name, form):
    log = logs[name].log
    read = READ["d3rlpy"][f"{name}/{form}"]
    export = exports.to_d3rlpy(log, form)
    ends = np.flatnonzero(export["terminals"] + export["timeouts"]) + 1
    lengths = np.diff(np.concatenate([[0], ends]))
    assert read["lengths"] == lengths.tolist()
    returns = np.add.reduceat(log.rewards, ends - lengths)
    np.testing.assert_allclose(read["returns"], returns, rtol=1e-5)
    assert read["terminated"] == (export["terminals"][ends - 1] == 1).tolist()
    assert read["observation_shape"] == list(export["observations"].shape[1:])
    assert read["action_space"] == ("DISCRETE" if form == "discrete" else "CONTINUOUS")
    assert read["action_size"] == export["action_size"]


@pytest.mark.parametrize("form", ["discrete", "scores"])
def test_actions_are_slates_and_back(form):
    slates = SlateDistribution.uniform(1, 5, 3).slates
    log = SlateLog(items=slates, rewards=np.zeros(len(slates)), num_candidates=5)
    actions = exports.actions_of(log, form)
    np.testing.assert_array_equal(exports.slates_of(actions, 5, 3), slates)
    # Scores of an agent may be any numbers.
    if form == "scores":
        moved = np.tanh(actions * 3 - 1)
        np.testing.assert_array_equal(exports.slates_of(moved, 5, 3), slates)


def test_scores_by_hand():
    log = SlateLog(items=[[2, 0]], rewards=[1.0], num_candidates=4)
    np.testing.assert_allclose(exports.actions_of(log, "scores"), [[1 / 3, 0, 2 / 3, 0]])
    assert exports.actions_of(log).tolist() == [6]  # 01, 02, 03, 10, 12, 13, 20.


@pytest.mark.parametrize("form", ["discrete", "scores"])
def test_minari(logs, tmp_path, monkeypatch, form):
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    log = logs["episodes"].log
    exports.to_minari(log, "recsim/test-v0", actions=form, algorithm_name="softmax")
    made = minari.load_dataset("recsim/test-v0")
    assert made.total_episodes == 12
    export = exports.to_d3rlpy(log, form)
    for number, episode in enumerate(made.iterate_episodes()):
        rows = slice(5 * number, 5 * number + 5)
        # The episode continues after its last slate, and what follows is not in the log.
        np.testing.assert_array_equal(episode.observations, export["observations"][rows])
        np.testing.assert_allclose(episode.rewards, log.rewards[rows][:-1])
        np.testing.assert_array_equal(episode.actions, export["actions"].squeeze()[rows][:-1])
        assert episode.truncations.tolist() == [False, False, False, True]
        assert not episode.terminations.any()
    with pytest.raises(ValueError, match="recsim/test-v0"):
        exports.to_minari(log, "recsim/test-v0")


def test_minari_of_single_slates_ends_with_them(logs, tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    log = logs["slates"].log
    exports.to_minari(log, "recsim/slates-v0")
    made = minari.load_dataset("recsim/slates-v0")
    assert made.total_episodes == made.total_steps == 40
    assert all(episode.terminations.all() for episode in made.iterate_episodes())


def test_the_error_names_the_extra(logs, monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'recsim\[minari\]'"):
        exports.to_minari(logs["slates"].log, "recsim/none-v0")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda log: exports.to_obp(log), "no propensities|what each document earned"),
        (lambda log: exports.actions_of(log, "score"), "'discrete' or 'scores', got 'score'"),
        (lambda log: exports.slates_of(np.array([12]), 4, 2), "from 0 to 11"),
        (lambda log: exports.slates_of(np.zeros((3, 5)), 4, 2), r"shape \(n, 4\)"),
    ],
)
def test_what_cannot_be_exported(call, message):
    log = SlateLog(items=[[0, 1]], rewards=[1.0])
    with pytest.raises(ValueError, match=message):
        call(log)
