"""What leaves the environment and the error stream as it found them; TensorFlow's import."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from recsim._internal import process_state


def test_variables_are_restored_and_the_users_kept(monkeypatch):
    monkeypatch.setenv("SET_BEFORE", "user's")
    monkeypatch.delenv("SET_INSIDE", raising=False)
    monkeypatch.delenv("DEFAULT", raising=False)
    before = dict(os.environ)
    with process_state.environment_kept("SET_INSIDE", SET_BEFORE="ours", DEFAULT="1"):
        assert os.environ["SET_BEFORE"] == "user's"
        assert os.environ["DEFAULT"] == "1"
        os.environ["SET_INSIDE"] = "2"
    assert dict(os.environ) == before

    def fail():
        with process_state.environment_kept(DEFAULT="1"):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert dict(os.environ) == before


def test_noise_is_left_out_and_errors_are_shown(capfd):
    def fail():
        with process_state.stderr_without(re.compile(b"noise")):
            os.write(2, b"some noise\nan error\n")
            os.write(2, b"more noise\nanother error")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    os.write(2, b"\nafterwards noise\n")
    assert capfd.readouterr().err == "an error\nanother error\nafterwards noise\n"


TRAINING = """
import os, sys
{first}
from recsim import registry
from recsim.agents import slate_decomp_q_agent

before = dict(os.environ)
config = {{"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}}
env = registry.create_environment("interest_evolution", config)
agent = slate_decomp_q_agent.create_agent(
    "slate_topk_topk_q", None, observation_space=env.observation_space,
    action_space=env.action_space, min_replay_history=8, tf_device="/gpu:0",
)
slate = agent.begin_episode(env.reset())
for _ in range(20):
    observation, reward, _, _ = env.step(slate)
    slate = agent.step(reward, observation)
# Importing TensorFlow sets others, whoever imports it.
for name in ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS"):
    assert os.environ.get(name) == before.get(name)
threads = sys.modules["tensorflow"].config.threading
print(threads.get_intra_op_parallelism_threads(), threads.get_inter_op_parallelism_threads())
"""


def train(first="", **environment):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    return subprocess.run(
        [sys.executable, "-c", TRAINING.format(first=first)],
        capture_output=True,
        text=True,
        check=True,
        env={**inherited, **environment},
    )


def test_training_prints_nothing_of_tensorflow_and_leaves_its_settings():
    result = train()
    assert (result.stdout, result.stderr) == ("0 0\n", "")


def test_what_a_user_of_tensorflow_has_set_stays():
    first = """
import tensorflow
tensorflow.config.threading.set_intra_op_parallelism_threads(3)
os.write(2, b"the user's\\\\n")
"""
    result = train(first)
    assert result.stdout == "3 0\n"
    # All that TensorFlow says at its import, which is the user's, is shown.
    imported = subprocess.run(
        [sys.executable, "-c", "import tensorflow"], capture_output=True, text=True, check=True
    )
    assert result.stderr.count("InitializeLog") == imported.stderr.count("InitializeLog")
    assert "the user's" in result.stderr
