"""A training run that is stopped anywhere continues to the numbers of one that was not."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import struct
import subprocess
import sys
import time

import pytest
from support import TESTS
from support.resumable import AGENTS, PAIRS, StoppingEnv, make_env, metrics, outcome, train

from recsim._internal import tfrecord
from recsim.simulator import checkpoint, runner_lib


@pytest.mark.parametrize("frequency", [1, 3])
@pytest.mark.parametrize(("name", "agent"), PAIRS)
def test_an_interrupted_run_ends_as_an_uninterrupted_one(name, agent, frequency, tmp_path):
    train(tmp_path / "whole", make_env(name), agent, checkpoint_frequency=frequency)
    stopped = 0
    steps = random.Random(f"{name} {agent} {frequency}")
    while True:
        env = StoppingEnv(make_env(name), steps.randrange(60, 160))
        try:
            train(tmp_path / "resumed", env, agent, checkpoint_frequency=frequency)
            break
        except KeyboardInterrupt:
            stopped += 1
    assert stopped >= 1
    assert outcome(tmp_path / "resumed") == outcome(tmp_path / "whole")


def test_a_run_interrupted_in_a_notebook_continues_with_the_same_runner(tmp_path):
    train(tmp_path / "whole", make_env("exploration"), "thompson", num_iterations=3)
    for stop_after, name in ((20, "before_a_checkpoint"), (70, "after_a_checkpoint")):
        env = StoppingEnv(make_env("exploration"), stop_after)
        runner = runner_lib.TrainRunner(
            base_dir=tmp_path / name,
            create_agent_fn=lambda sess, env, eval_mode, summary_writer: AGENTS["thompson"](env),
            env=env,
            max_training_steps=40,
            num_iterations=3,
            max_steps_per_episode=15,
            episode_log_file="episodes.tfrecord",
            progress=False,
        )
        with pytest.raises(KeyboardInterrupt):
            runner.run_experiment()
        env.steps_left = 10**6
        runner.run_experiment()
        assert outcome(tmp_path / name) == outcome(tmp_path / "whole")
        runner.run_experiment()  # Nothing is left to do, and nothing changes.
        assert outcome(tmp_path / name) == outcome(tmp_path / "whole")


def test_a_longer_run_continues_a_finished_one(tmp_path):
    train(tmp_path / "whole", make_env("exploration"), "ucb1", episode_log_file="")
    for iterations in (2, 7):
        train(
            tmp_path / "longer",
            make_env("exploration"),
            "ucb1",
            num_iterations=iterations,
            episode_log_file="",
        )
    newest = [
        checkpoint.Checkpointer(tmp_path / name / "train/checkpoints").path(6)
        for name in ("longer", "whole")
    ]
    assert pathlib.Path(newest[0]).read_bytes() == pathlib.Path(newest[1]).read_bytes()
    assert metrics(tmp_path / "longer/train") == metrics(tmp_path / "whole/train")


def test_a_bad_newest_checkpoint_is_passed_over(tmp_path, caplog):
    train(tmp_path / "whole", make_env("exploration"), "thompson")
    env = StoppingEnv(make_env("exploration"), 200)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "resumed", env, "thompson")
    checkpointer = checkpoint.Checkpointer(tmp_path / "resumed/train/checkpoints")
    newest = pathlib.Path(checkpointer.path(checkpointer.iterations()[-1]))
    newest.write_bytes(newest.read_bytes()[:1000])
    train(tmp_path / "resumed", make_env("exploration"), "thompson")
    assert "Passing over a bad checkpoint" in caplog.text
    assert outcome(tmp_path / "resumed") == outcome(tmp_path / "whole")


def test_without_a_good_checkpoint_nothing_starts_afresh(tmp_path):
    train(tmp_path, make_env("exploration"), "random", num_iterations=2, episode_log_file="")
    for path in (tmp_path / "train/checkpoints").iterdir():
        path.write_bytes(b"")
    with pytest.raises(checkpoint.CheckpointError, match="No checkpoint in .* is good"):
        train(tmp_path, make_env("exploration"), "random", episode_log_file="")


def whole_records(path):
    """Returns the records of a TFRecord file, checked, and the bytes of a cut one at its end."""
    content, records = path.read_bytes(), []
    while len(content) >= 12:
        (length,) = struct.unpack("<Q", content[:8])
        if len(content) < length + 16:
            break
        framed, content = content[: length + 16], content[length + 16 :]
        assert framed == tfrecord.record(framed[12:-4])
        records.append(framed[12:-4])
    return records, content


def check_files_of_a_killed_run(base_dir):
    """Every file is whole, but for the unfinished log after what the newest checkpoint counts."""
    train_dir = base_dir / "train"
    checkpointer = checkpoint.Checkpointer(train_dir / "checkpoints")
    trees = [checkpoint.load(checkpointer.path(i)) for i in checkpointer.iterations()]
    assert len(trees) <= 4  # A new one may be there before the oldest is gone.
    if (train_dir / "metrics.jsonl").exists():
        assert metrics(train_dir)
    for path in train_dir.glob("events*"):
        assert whole_records(path)[1] == b""
    part = train_dir / "episodes.tfrecord.part"
    if trees:
        length = trees[-1]["episode_logs"]["episodes.tfrecord"]["length"]
        os.truncate(part, length)
        assert whole_records(part)[1] == b""
        assert whole_records(part)[0]


def start_training(base_dir, name, iterations=200):
    command = [sys.executable, "-m", "support.training_child", base_dir, name, iterations]
    process = subprocess.Popen(map(str, command), cwd=TESTS, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "training\n"
    return process


def finish(process):
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert output == "done\n"


def train_and_evaluate(base_dir, evaluation_env, eval_log=""):
    """A script: a training with a log, then an evaluation."""
    train(base_dir, make_env("exploration"), "thompson", num_iterations=2)
    runner_lib.EvalRunner(
        base_dir=base_dir,
        create_agent_fn=lambda sess, env, eval_mode, summary_writer: AGENTS["thompson"](env),
        env=evaluation_env,
        max_eval_episodes=3,
        max_steps_per_episode=15,
        episode_log_file=eval_log,
        test_mode=True,
        progress=False,
    ).run_experiment()


@pytest.mark.parametrize("eval_log", ["", "evaluated.tfrecord"])
def test_a_script_interrupted_in_its_evaluation_can_be_run_again(eval_log, tmp_path, caplog):
    train_and_evaluate(tmp_path / "whole", make_env("exploration"), eval_log)
    env = StoppingEnv(make_env("exploration"), 20)
    with pytest.raises(KeyboardInterrupt):
        train_and_evaluate(tmp_path / "resumed", env, eval_log)
    log = tmp_path / "resumed/train/episodes.tfrecord"
    before = log.read_bytes()
    train_and_evaluate(tmp_path / "resumed", make_env("exploration"), eval_log)
    assert "Nothing to train" in caplog.text
    assert log.read_bytes() == before
    assert outcome(tmp_path / "resumed") == outcome(tmp_path / "whole")
    if eval_log:
        paths = [tmp_path / name / "eval_3" / eval_log for name in ("resumed", "whole")]
        assert paths[0].read_bytes() == paths[1].read_bytes()
        with pytest.raises(FileExistsError, match="would be overwritten"):
            train_and_evaluate(tmp_path / "resumed", make_env("exploration"), eval_log)


def test_a_longer_run_continues_the_log_of_a_finished_one(tmp_path):
    train(tmp_path / "whole", make_env("exploration"), "random")
    for iterations in (2, 7):
        train(tmp_path / "longer", make_env("exploration"), "random", num_iterations=iterations)
    logs = [tmp_path / name / "train/episodes.tfrecord" for name in ("longer", "whole")]
    assert logs[0].read_bytes() == logs[1].read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
@pytest.mark.parametrize("name", ["exploration", "satisfaction"])
def test_kill_9_at_random_moments(name, tmp_path):
    kills_wanted = 5  # For each of the two scenarios.
    finish(start_training(tmp_path / "warm_up", name))
    begin = time.monotonic()
    finish(start_training(tmp_path / "whole", name))
    duration = time.monotonic() - begin
    expected = outcome(tmp_path / "whole")
    assert len(expected["returns"]) == 1
    assert len(expected["metrics"]) == 2

    moments = random.Random(f"kill {name}")
    kills, runs = 0, 0
    while kills < kills_wanted:
        base_dir = tmp_path / f"killed_{runs}"
        runs += 1
        while kills < kills_wanted:
            process = start_training(base_dir, name)
            time.sleep(moments.uniform(0.0, 0.3 * duration))
            process.kill()
            process.communicate()
            if (base_dir / "train" / "episodes.tfrecord").exists():
                break  # The training had ended: on to another run.
            assert process.returncode == -signal.SIGKILL
            check_files_of_a_killed_run(base_dir)
            kills += 1
        else:
            finish(start_training(base_dir, name))
            assert outcome(base_dir) == expected
