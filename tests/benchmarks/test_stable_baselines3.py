"""The command that compares trainings on the vector engine with those in DummyVecEnv."""

from __future__ import annotations

import re

import pytest

from recsim.benchmarks import stable_baselines3


def test_times_are_compared_by_round(monkeypatch, capsys):
    pytest.importorskip("stable_baselines3")
    # A warm-up; then rounds with ratios of rollouts 20, 10, 40 and of trainings 5, 4, 8.
    seconds = {
        "recsim.sb3": iter([(9, 9), (1.0, 4.0), (2.0, 5.0), (1.0, 2.5)]),
        "DummyVecEnv": iter([(20.0, 20.0), (20.0, 20.0), (40.0, 20.0)]),
    }
    monkeypatch.setattr(
        stable_baselines3,
        "measured",
        lambda kind, *_: stable_baselines3.Times(*next(seconds[kind])),
    )
    assert stable_baselines3.main(["--rounds", "3", "--users", "8", "--rollout", "50"]) == 0
    versions, _, rollouts, training = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"recsim \S+, stable-baselines3 \S+, torch \S+, gymnasium \S+, numpy \S+; 8 users, "
        "50 steps of each, 1 thread",
        versions,
    )
    assert rollouts.split() == ["rollouts", "400/s", "20/s", "20.0x", "10.0", "to", "40.0"]
    assert training.split() == ["training", "100/s", "20/s", "5.0x", "4.0", "to", "8.0"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["recsim.sb3", "DummyVecEnv"])
def test_a_training_is_timed(kind):
    pytest.importorskip("stable_baselines3")
    times = stable_baselines3.measured(kind, 3, 4, 0)
    assert 0 < times.rollouts < times.training


def test_the_extra_is_named_where_it_is_missing(monkeypatch, capsys):
    def without_the_extra(*_):
        raise ImportError("recsim.sb3 needs Stable-Baselines3, which is not installed")

    monkeypatch.setattr(stable_baselines3, "measured", without_the_extra)
    with pytest.raises(SystemExit):
        stable_baselines3.main([])
    assert "error: recsim.sb3 needs Stable-Baselines3" in capsys.readouterr().err
