"""SIGTERM and Ctrl-C in the commands: a training ends at once where it can be resumed exactly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
from support import vector_training_child as child
from support.resumable import PAIRS, SignallingEnv, make_env, outcome, signal_in_step, train

from recsim._internal import interrupts
from recsim.simulator import checkpoint

posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")


@posix
@pytest.mark.parametrize("frequency", [1, 3])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("name", "agent"), PAIRS)
def test_a_terminated_run_resumes_where_it_was(name, agent, number, frequency, tmp_path):
    train(tmp_path / "whole", make_env(name), agent, checkpoint_frequency=frequency)
    steps = 0
    for stop in (3, 95, 40, 10**6):
        env = SignallingEnv(make_env(name), stop, number)
        try:
            with interrupts.terminable():
                train(tmp_path / "resumed", env, agent, checkpoint_frequency=frequency)
            break
        except interrupts.Terminated:
            steps += stop
            folder = tmp_path / "resumed/train/checkpoints"
            data = checkpoint.load(folder / "ckpt.interrupted")
            # The episode under way was run to its end, and what was run is saved.
            assert data["interrupted"]["steps"] > 0
            assert data["total_steps"] + data["interrupted"]["steps"] >= steps
    assert steps == 3 + 95 + 40
    assert outcome(tmp_path / "resumed") == outcome(tmp_path / "whole")
    assert not (tmp_path / "resumed/train/checkpoints/ckpt.interrupted").exists()


@posix
def test_a_terminated_training_of_users_in_parallel_resumes_where_it_was(tmp_path):
    child.train(tmp_path / "whole")
    stopped = 0
    for stop in (2, 9, 3, 10**6):
        env = child.create_environment()
        signal_in_step(env, stop)
        try:
            with interrupts.terminable():
                child.train(tmp_path / "resumed", env)
        except interrupts.Terminated:
            stopped += 1
    assert stopped == 3
    assert outcome(tmp_path / "resumed") == outcome(tmp_path / "whole")


@posix
def test_the_second_signal_ends_at_once(tmp_path):
    class Twice(SignallingEnv):
        def step(self, action):
            result = super().step(action)
            if self.steps_left == -1:
                signal.raise_signal(signal.SIGTERM)
            return result

    env = Twice(make_env("exploration"), 2)
    with pytest.raises(interrupts.Terminated), interrupts.terminable():
        train(tmp_path, env, "random")
    assert not (tmp_path / "train/checkpoints/ckpt.interrupted").exists()


@posix
def test_handlers_are_restored_and_set_in_the_main_thread_only():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def handlers():
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    for number in (signal.SIGTERM, signal.SIGINT):
        with pytest.raises(interrupts.Terminated) as caught, interrupts.terminable():
            signal.raise_signal(number)
        assert caught.value.signal == number
        assert handlers() == before
    with interrupts.terminable():
        assert handlers() != before
    seen = []

    def in_a_thread():
        with interrupts.terminable():
            seen.append(handlers())

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()
    assert seen == [before]


@posix
def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with interrupts.terminable():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_interrupted_iteration_that_is_older_than_a_checkpoint_is_left_alone(tmp_path):
    env = SignallingEnv(make_env("exploration"), 60)
    with pytest.raises(interrupts.Terminated), interrupts.terminable():
        train(tmp_path / "a", env, "thompson")
    interrupted = tmp_path / "a/train/checkpoints/ckpt.interrupted"
    content = interrupted.read_bytes()
    train(tmp_path / "a", make_env("exploration"), "thompson", num_iterations=4)
    interrupted.write_bytes(content)
    train(tmp_path / "a", make_env("exploration"), "thompson")
    train(tmp_path / "whole", make_env("exploration"), "thompson")
    assert outcome(tmp_path / "a") == outcome(tmp_path / "whole")


def test_a_spoiled_checkpoint_of_an_interrupted_iteration_is_passed_over(tmp_path, caplog):
    env = SignallingEnv(make_env("exploration"), 60)
    with pytest.raises(interrupts.Terminated), interrupts.terminable():
        train(tmp_path / "a", env, "thompson")
    (tmp_path / "a/train/checkpoints/ckpt.interrupted").write_bytes(b"PK")
    train(tmp_path / "a", make_env("exploration"), "thompson")
    assert "Passing over a bad checkpoint" in caplog.text
    train(tmp_path / "whole", make_env("exploration"), "thompson")
    assert outcome(tmp_path / "a") == outcome(tmp_path / "whole")


@posix
def test_the_command_ends_cleanly_on_sigterm(tmp_path):
    command = [
        *(sys.executable, "-m", "recsim.main", "--agent_name=cluster_bandit_ts"),
        *("--environment_name=interest_exploration", f"--base_dir={tmp_path}"),
        *("--gin_bindings", "Runner.max_steps_per_episode = 10"),
        *("--gin_bindings", "TrainRunner.max_training_steps = 3000"),
        *("--gin_bindings", "TrainRunner.num_iterations = 1000000"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    checkpointer = checkpoint.Checkpointer(tmp_path / "train/checkpoints")
    while not checkpointer.iterations():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert errors.endswith("\nrecsim.main: terminated\n")
    assert "Traceback" not in errors
    iteration, data = checkpointer.load_newest()
    interrupted = tmp_path / "train/checkpoints/ckpt.interrupted"
    if interrupted.exists():  # Unless the signal came while the checkpoint was saved.
        assert checkpoint.load(interrupted)["current_iteration"] == iteration + 1
        assert checkpoint.load(interrupted)["total_steps"] == data["total_steps"]
