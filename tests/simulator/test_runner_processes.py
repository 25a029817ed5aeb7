"""Runners and the processes around: interrupts, streams, and several processes at a time."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys

import pytest
from support.runners import RecordingAgent, eval_runner, records, returns, train_runner
from support.scenarios import CONFIG

from recsim._internal import files
from recsim.agents import random_agent
from recsim.environments import interest_exploration


def test_an_interrupt_leaves_whole_files_and_written_events(tmp_path, env):
    class Interrupted(RecordingAgent):
        steps = 0

        def step(self, reward, observation):
            self.steps += 1
            if self.steps == 35:
                raise KeyboardInterrupt
            return [0]

    def create_agent(sess, environment, eval_mode, summary_writer=None):
        summary_writer.add_scalar("mine", 1.0, 1)
        return Interrupted(environment.action_space)

    with pytest.raises(KeyboardInterrupt):
        train_runner(tmp_path, env, create_agent).run_experiment()
    (events,) = (tmp_path / "train").glob("events*")
    assert b"mine" in events.read_bytes()
    assert [path.name for path in (tmp_path / "train/checkpoints").iterdir()] == ["ckpt.0"]
    assert len(records(tmp_path / "train")) == 1


def test_runners_need_no_tensorflow_and_write_nothing_to_stdout(tmp_path):
    program = """
import sys
sys.modules["tensorflow"] = None  # Importing it fails.
from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.simulator import runner_lib
env = interest_exploration.create_environment(
    {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 4})
settings = dict(base_dir=sys.argv[1], env=env, max_steps_per_episode=5, episode_log_file="log",
    create_agent_fn=lambda sess, env, eval_mode, summary_writer:
        random_agent.RandomAgent(env.action_space))
runner_lib.TrainRunner(max_training_steps=5, num_iterations=1, **settings).run_experiment()
runner_lib.EvalRunner(max_eval_episodes=2, **settings).run_experiment()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert done.stderr.splitlines()[0].startswith("Training: 5 of 5 steps (100%) in ")
    assert done.stderr.splitlines()[1].startswith("Evaluation: 2 of 2 episodes (100%) in ")
    assert len(done.stderr.splitlines()) == 2
    assert (tmp_path / "eval_2/log").stat().st_size > 0


def test_runners_log_through_logging(tmp_path, env, caplog):
    caplog.set_level(logging.INFO, logger="recsim")
    eval_runner(tmp_path, env, test_mode=True).run_experiment()
    assert "evaluating the agent as it was created" in caplog.text


# Several processes


def test_a_second_training_in_a_folder_is_refused_while_the_first_runs(tmp_path, env):
    pytest.importorskip("fcntl")
    attempts = []

    class Meanwhile(RecordingAgent):
        def step(self, reward, observation):
            if not attempts:
                attempts.append(1)
                eval_runner(tmp_path / "other", second, test_mode=True).run_experiment()
                with pytest.raises(BlockingIOError, match=r"train' now: wait .* another folder"):
                    train_runner(tmp_path, second).run_experiment()
            return [0]

    second = interest_exploration.create_environment(CONFIG)
    train_runner(tmp_path, env, lambda *args, **kw: Meanwhile(env.action_space)).run_experiment()
    assert attempts
    assert len(records(tmp_path / "train")) == 2
    # It is free again.
    train_runner(
        tmp_path, second, lambda *args, **kw: Meanwhile(env.action_space), num_iterations=3
    ).run_experiment()
    assert len(records(tmp_path / "train")) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_that_outlives_a_killed_training_keeps_nobody_out(tmp_path, env):
    program = """
import os, sys, time
from recsim._internal import files
with files.locked(sys.argv[1]):
    child = os.fork()
    if not child:
        os.close(1)
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    time.sleep(60)
"""
    (tmp_path / "train").mkdir()
    trainer = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "train")], stdout=subprocess.PIPE, text=True
    )
    child = int(trainer.stdout.readline())
    try:
        with pytest.raises(BlockingIOError):
            train_runner(tmp_path, env).run_experiment()
        trainer.kill()
        trainer.communicate()
        train_runner(tmp_path, env).run_experiment()
        os.kill(child, 0)  # It is there still.
    finally:
        trainer.kill()
        os.kill(child, signal.SIGKILL)
    assert len(records(tmp_path / "train")) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_that_leaves_the_block_closes_no_other_file(tmp_path):
    with files.locked(str(tmp_path)):
        child = os.fork()
        if not child:
            code = 1
            try:
                with files.locked(str(tmp_path)):
                    pass
            except BlockingIOError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(BlockingIOError), files.locked(str(tmp_path)):
            pass
    with files.locked(str(tmp_path)):
        pass


def test_a_training_made_while_another_ran_keeps_its_metrics(tmp_path, env):
    early = train_runner(tmp_path, env, num_iterations=3)
    second = interest_exploration.create_environment(CONFIG)
    train_runner(tmp_path, second, num_iterations=2).run_experiment()
    early.run_experiment()
    assert [record["total_steps"] for record in records(tmp_path / "train")] == [20, 40, 60]


def test_an_evaluation_beside_its_training(tmp_path, env):
    evaluated = []

    class Meanwhile(random_agent.RandomAgent):
        def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
            if iteration_number == 1:
                other = interest_exploration.create_environment(CONFIG)
                eval_runner(tmp_path, other, test_mode=True).run_experiment()
                evaluated.append(returns(tmp_path / "eval_3/returns_20"))
            return super().bundle_and_checkpoint(checkpoint_dir, iteration_number)

    train_runner(tmp_path, env, lambda *args, **kw: Meanwhile(env.action_space)).run_experiment()
    assert len(evaluated) == 1


def test_files_written_at_the_same_time_do_not_meet(tmp_path):
    path = str(tmp_path / "file")
    with files.atomic_file(path) as one, files.atomic_file(path) as other:
        one.write(b"one")
        other.write(b"other")
    assert (tmp_path / "file").read_bytes() == b"one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
