"""Experiments that are killed or told to end: what is saved, and that nothing changes by it."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from support import experiment_child

import recsim

CHILD = pathlib.Path(experiment_child.__file__)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


def files_of(folder):
    """The result files but timing.json, by name."""
    return {
        path.name: path.read_bytes()
        for path in pathlib.Path(folder).iterdir()
        if path.is_file() and path.name != "timing.json"
    }


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # A shell starts what it runs in the background with this signal ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for(process, *paths):
    deadline = time.monotonic() + 120
    while not all(path.exists() for path in paths):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


def run(*arguments):
    result = subprocess.run(
        [sys.executable, "-m", "recsim", "run", *map(str, arguments)],
        capture_output=True,
        check=True,
        text=True,
    )
    return result.stderr


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted") / "out"
    begin = time.monotonic()
    subprocess.run([sys.executable, CHILD, folder], check=True)
    return folder, time.monotonic() - begin


def test_killed_at_random_moments_and_run_again_it_gives_the_same_files(uninterrupted, tmp_path):
    expected, seconds = uninterrupted
    moments = random.Random(12)
    for _ in range(3):
        with start(CHILD, tmp_path / "out") as child:
            time.sleep(moments.uniform(0.3, 0.9) * seconds)
            os.killpg(child.pid, signal.SIGKILL)
    subprocess.run([sys.executable, CHILD, tmp_path / "out"], check=True)
    assert files_of(tmp_path / "out") == files_of(expected)


def test_shards_at_the_same_time_combine(uninterrupted, tmp_path):
    expected, _ = uninterrupted
    children = [start(CHILD, tmp_path / "out", f"{number}/2") for number in (1, 2)]
    assert [(child.communicate(), child.returncode)[1] for child in children] == [0, 0]
    assert files_of(tmp_path / "out") == files_of(expected)


def test_two_commands_in_one_folder_share_the_tasks(uninterrupted, tmp_path):
    expected, _ = uninterrupted
    children = [start(CHILD, tmp_path / "out") for _ in range(2)]
    assert [(child.communicate(), child.returncode)[1] for child in children] == [0, 0]
    assert files_of(tmp_path / "out") == files_of(expected)


@pytest.mark.slow
@pytest.mark.parametrize("engine", [[], ["--num-envs", 20]], ids=["single-user", "vectorized"])
def test_killed_deep_trainings_with_logs_resume_and_are_repeated_to_the_digit(engine, tmp_path):
    """What was killed is compared with what --rerun does without an interruption."""
    arguments = ["--environment", "interest_evolution", "--agent", "slate_topk_sarsa", "random"]
    arguments += ["--seeds", 1, "--train-steps", 2000, "--steps", 50, "--episodes", 20, *engine]
    arguments += ["--log-episodes", "--log-user-state", "--workers", 2]
    deep = tmp_path / "out" / "interest_evolution" / "seed_0" / "slate_topk_sarsa"
    other = deep.parent / "random" / "task.result"
    for moments in ([deep / "train/checkpoints/ckpt.0"], [deep / "eval_20", other]):
        with start("-m", "recsim", "run", *arguments, "--output", tmp_path / "out") as child:
            wait_for(child, *moments)
            os.killpg(child.pid, signal.SIGKILL)
    assert "Resuming: 1 of 2 tasks are done." in run(*arguments, "--output", tmp_path / "out")
    run("--rerun", tmp_path / "out" / "results.json", "--output", tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(tmp_path / "out")
    logs = sorted(tmp_path.glob("out/**/episodes.parquet"))
    assert len(logs) == 3  # Of the training and of both evaluations.
    for log in logs:
        again = tmp_path / "again" / log.relative_to(tmp_path / "out")
        pd.testing.assert_frame_equal(recsim.read_episodes(again), recsim.read_episodes(log))


LEARNING = ["--agent", "tabular_q", "random", "--seeds", "2", "--train-steps", "8000"]
LEARNING += ["--episodes", "2", "--steps", "50", "--workers", "2"]


@pytest.fixture(scope="module")
def uninterrupted_learning(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learning") / "out"
    run(*LEARNING, "--output", folder)
    return folder


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_trainings_in_workers_save_what_they_have_done(name, uninterrupted_learning, tmp_path):
    trainings = [
        tmp_path / "out" / "interest_exploration" / f"seed_{seed}" / "tabular_q" / "train"
        for seed in (0, 1)
    ]
    with start("-m", "recsim", "run", *LEARNING, "--output", tmp_path / "out") as command:
        wait_for(command, *(training / "checkpoints" / "ckpt.0" for training in trainings))
        # Ctrl-C reaches all processes of a terminal.
        send = os.killpg if name == "SIGINT" else os.kill
        sent = time.time()
        send(command.pid, getattr(signal, name))
        # The output ends with the last process that could write to it.
        output, _ = command.communicate(timeout=120)
    assert command.returncode == 128 + getattr(signal, name)
    what = "interrupted" if name == "SIGINT" else "terminated"
    assert output.decode().endswith(f"\nrecsim: {what}\n")
    assert b"Traceback" not in output
    for training in trainings:  # In the middle of an iteration, or at its end.
        saved = max(path.stat().st_mtime for path in training.glob("checkpoints/ckpt.*"))
        assert saved > sent - 0.1
    run(*LEARNING, "--output", tmp_path / "out")
    assert files_of(tmp_path / "out") == files_of(uninterrupted_learning)
