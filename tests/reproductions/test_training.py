"""Trainings of experiments: their curve, their progress, and what is left when they resume."""

from __future__ import annotations

import numpy as np
import pytest
from support.scenarios import CONFIG

from recsim.agents import random_agent
from recsim.environments import long_term_satisfaction
from recsim.reproductions import _training

SESSION = 60


class Counting(random_agent.RandomAgent):
    """An agent whose value is the number of steps that it has made."""

    steps = 0

    def step(self, reward, observation):
        self.steps += 1
        return super().step(reward, observation)

    def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
        bundle = super().bundle_and_checkpoint(checkpoint_dir, iteration_number)
        return {**bundle, "steps": self.steps}

    def unbundle(self, checkpoint_dir, iteration_number, bundle_dict):
        self.steps = bundle_dict["steps"]
        return super().unbundle(checkpoint_dir, iteration_number, bundle_dict)

    def serving_bundle(self):
        return {"steps": self.steps}


def train(path, progress, last=None):
    """Trains for four sessions, a point of the curve each, and stops after the last one."""

    def evaluate(bundle):
        if last is not None and bundle["steps"] > last * SESSION:
            raise KeyboardInterrupt
        return float(bundle["steps"])

    setup = _training.Training(
        lambda sess, env, eval_mode, summary_writer: Counting(env.action_space),
        long_term_satisfaction.create_environment(CONFIG),
        4,
        SESSION,
        evaluate,
    )
    return _training.trained(setup, str(path), progress.append)


@pytest.mark.parametrize("last", [0, 2])
def test_a_training_that_resumes_shows_all_its_progress(last, tmp_path):
    whole, stopped, resumed, again = [], [], [], []
    expected = train(tmp_path / "whole", whole)
    assert expected["agent"] == {"steps": 4 * SESSION}
    assert expected["steps"].tolist() == expected["curve"].tolist() == [60, 120, 180, 240]
    path = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        train(path, stopped, last)
    assert list((path / "train/checkpoints").iterdir()) or last == 0
    results = [train(path, resumed), train(path, again)]
    for result in results:
        np.testing.assert_equal(result, expected)
    assert sum(whole) == sum(resumed) == sum(again) == 4 * SESSION
    assert sum(stopped) == (last + 1) * SESSION
    # Checkpoints are not kept once there is the result.
    assert not (path / "train/checkpoints").exists()


SPOILED = {
    "empty": lambda content: b"",
    "torn": lambda content: content[: len(content) // 2],
    "one byte": lambda content: content[:100] + bytes([content[100] ^ 1]) + content[101:],
    "text": lambda content: b"not a file of recsim",
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_result_is_trained_anew(how, tmp_path, caplog):
    expected = train(tmp_path / "run", [])
    path = tmp_path / "run.agent"
    path.write_bytes(SPOILED[how](path.read_bytes()))
    progress = []
    np.testing.assert_equal(train(tmp_path / "run", progress), expected)
    assert sum(progress) == 4 * SESSION
    assert f"{str(path)!r} is spoiled and trained anew: " in caplog.text
    caplog.clear()
    np.testing.assert_equal(train(tmp_path / "run", []), expected)
    assert caplog.messages == []


@pytest.mark.parametrize("how", ["text", "gone", "a point is gone", "another's"])
@pytest.mark.parametrize("name", ["run.curve.jsonl", "run/train/metrics.jsonl", "checkpoints"])
def test_a_training_that_cannot_be_resumed_is_trained_anew(name, how, tmp_path, caplog):
    expected = train(tmp_path / "whole", [])
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", [], 2)
    if name == "checkpoints":
        (path,) = (tmp_path / "run/train/checkpoints").iterdir()
    else:
        path = tmp_path / name
    if how == "text":
        path.write_text("not a file of recsim\n")
    elif how == "gone":
        path.unlink()
    elif how == "a point is gone":
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    else:
        path.write_bytes((tmp_path / "whole.agent").read_bytes())
    np.testing.assert_equal(train(tmp_path / "run", []), expected)
    # Without its checkpoint a training begins anew, and metrics are none of the result.
    if name == "run.curve.jsonl" or how in ("text", "another's"):
        assert str(tmp_path / "run") in caplog.text
