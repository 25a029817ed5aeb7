"""The commands that measure trainings: beside RecSim 0.2.4, and with users in parallel."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from recsim.benchmarks import training, vector_training


def test_training_times_are_compared_by_round(monkeypatch, capsys, tmp_path):
    python = tmp_path / "python"
    python.write_text("")
    seconds = {sys.executable: iter([2.0, 4.0, 3.0]), str(python): iter([20.0, 20.0, 60.0])}
    monkeypatch.setattr(training, "seconds_to_train", lambda p, case: next(seconds[p]))
    monkeypatch.setattr(training, "CASES", training.CASES[:1])
    assert training.main(["--recsim-python", str(python)]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["agent", "steps", "seconds"]
    # Ratios 10, 5 and 20.
    assert " ".join(row.split()) == "slate_optimal_optimal_q 20,000 3.0 20.0 10.0x 5.0 to 20.0"
    assert len(header) <= len(row) <= 80


def test_without_recsim_there_is_a_time_alone(monkeypatch, capsys):
    monkeypatch.setattr(training, "seconds_to_train", lambda python, case: 1.5)
    assert training.main(["--rounds", "1"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[2:] for row in rows] == [["1.5"]] * len(training.CASES)


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["slate_topk_sarsa", "full_slate_q"])
def test_a_training_is_timed(agent):
    case = training.Case(agent, 100, 20)
    assert training.seconds_to_train(sys.executable, case) > 0


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo no recsim here >&2\nexit 1\n", "could not train:\n.*no recsim here"),
        # One that ignores that it is to be isolated from this library.
        (f'shift\nexec {sys.executable} "$@"\n', "imports this library, not RecSim 0.2.4"),
    ],
)
@pytest.mark.slow
def test_an_interpreter_without_recsim(script, message, tmp_path):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}")
    python.chmod(0o755)
    with pytest.raises(RuntimeError, match=f"(?s){message}"):
        training.seconds_to_train(str(python), training.Case("slate_topk_sarsa", 10, 100))


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        (training, ["--rounds", "0"], "--rounds: must be an integer >= 1, got '0'"),
        (training, ["--recsim-python", "no"], "must be a file that can be read"),
        (training, ["--round", "3"], "Did you mean '--rounds'"),
        (vector_training, ["--seeds", "1"], "--seeds: must be an integer >= 2, got '1'"),
        (vector_training, ["--steps", "10"], "--steps: must be an integer >= 300, got '10'"),
        (vector_training, ["--user", "3"], "Did you mean '--users'"),
        (vector_training, ["--train-users", "0"], "--train-users: must be an integer >= 1"),
        (vector_training, ["--baseline-python", "no"], "must be a file that can be read"),
    ],
)
def test_mistakes_end_in_one_line(module, arguments, message, refused):
    err = refused(module.main, arguments)
    assert err.startswith(f"python -m {module.__name__}: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_both_ways_of_training_are_compared(monkeypatch, capsys):
    monkeypatch.setattr(vector_training, "train_one_user", lambda steps, seed: {"users": 1})
    monkeypatch.setattr(vector_training, "train_many_users", lambda steps, seed: {"users": 2})
    evaluations = []

    def evaluated(bundle, num_users, seed):
        evaluations.append((bundle["users"], num_users, seed))
        return np.full(num_users, 100.0 * bundle["users"] + len(evaluations))

    monkeypatch.setattr(vector_training, "evaluated", evaluated)
    assert vector_training.main(["--seeds", "2", "--users", "7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines[:4]] == ["seed 0", "seed 0", "seed 1", "seed 1"]
    # Returns 101 and 103: standard error 1, and Student's quantile with one degree is 12.706.
    assert re.fullmatch(r"  one user: +\d+\.\d s, return 102.00 \(89.29 to 114.71\)", lines[4])
    assert lines[5].endswith("return 203.00 (190.29 to 215.71)")
    # Both trainings of a seed meet the same users in the evaluation.
    (first, same, second, again) = [seed for _, _, seed in evaluations]
    assert first == same != second == again


def test_versions_are_compared_by_seed(monkeypatch, capsys, tmp_path):
    python = tmp_path / "python"
    python.write_text("")
    requests = []

    def measured(interpreter, request):
        requests.append((interpreter == str(python), request))
        seconds = 10.0 if interpreter == str(python) else 2.0 + len(requests) % 2
        returns = 100.0 + request["seed"] % 2
        return {
            "seconds": seconds,
            "seconds_of_steps": 1.5,
            "processor_seconds": 3.0 * seconds,
            "return": returns,
            "library": "",
        }

    monkeypatch.setattr(vector_training, "measured", measured)
    arguments = ["--baseline-python", str(python), "--seeds", "2", "--steps", "3000"]
    assert vector_training.main([*arguments, "--train-users", "9"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("9 users in parallel, 3,000 steps")
    baseline, this, *_ = lines[4:]
    assert baseline.split()[:6] == ["one", "step", "baseline", "10.0", "1.5", "30.0"]
    # They take turns in being first: 2 seconds in the first round, 3 in the second.
    assert [is_baseline for is_baseline, _ in requests[:4]] == [True, False, False, True]
    expected = "one step this 2.5 4.2 (3.3 to 5.0) 1.5 7.5 4.2 (3.3 to 5.0) "
    assert " ".join(this.split()).startswith(expected)
    assert len(lines) == 8
    settings = [request["settings"] for _, request in requests]
    assert settings[0]["target_update_period"] == 80
    assert settings[-1]["target_update_period"] == 10 and settings[-1]["learn_no_click_value"]


@pytest.mark.slow
def test_a_training_of_users_in_parallel_is_timed():
    request = {
        "strategy": vector_training.STRATEGY,
        "config": {"num_candidates": 4, "slate_size": 2, "resample_documents": True},
        "settings": {"min_replay_history": 10},
        "steps": 300,
        "users": 5,
        "train_users": 10,
        "seed": 1,
    }
    measurement = vector_training.measured(sys.executable, request)
    assert measurement["seconds"] > measurement["seconds_of_steps"] > 0
    assert 50 < measurement["return"] < 400
