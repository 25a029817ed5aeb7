"""Folders and names of files, however they are written: used where they say, or refused at once."""

from __future__ import annotations

import contextlib
import os
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import random_cases
from support.scenarios import CONFIG

from recsim.agents import random_agent
from recsim.benchmarks.endurance import clear_errors
from recsim.environments import interest_exploration
from recsim.simulator import runner_lib

#: Folders, below a new one that is also the home and the working directory.
FOLDERS = (
    "run",
    "a/b/c",
    ".",
    "..",
    "~/run",
    "~",
    "run/",
    "a b",
    "ünï",
    "x" * 300,
    "",
    "file",
    "file/x",
)
#: Names of episode logs.
LOGS = (
    "episodes",
    "a/b.tfrecord",
    "metrics.jsonl",
    "returns_0",
    "checkpoints",
    "checkpoints/ckpt.0",
    "..",
    ".",
    "a\0b",
    "x" * 300,
    "~/log",
    "ABSOLUTE",
    "../../elsewhere",
)
TYPES = (str, pathlib.Path, os.fsencode, lambda path: 7, lambda path: None)


def files(folder: pathlib.Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@contextlib.contextmanager
def home_at(folder: pathlib.Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.chdir(folder)
        yield patch


@pytest.mark.slow
@random_cases.random_cases(120)
@given(
    st.sampled_from(FOLDERS),
    st.sampled_from(LOGS),
    st.sampled_from(TYPES),
    st.sampled_from(TYPES[:3]),
    st.booleans(),
)
def test_runs_write_where_they_are_told_or_refuse(
    tmp_path_factory, folder, log, folder_type, log_type, training
):
    home = tmp_path_factory.mktemp("outer") / "home"
    home.mkdir()
    (home / "file").write_text("precious")
    log = str(home / "absolute") if log == "ABSOLUTE" else log
    with home_at(home) as patch:
        before = files(home.parent)
        shared = {
            "env": interest_exploration.create_environment(CONFIG),
            "create_agent_fn": lambda _, env, **kwargs: random_agent.RandomAgent(
                env.action_space, 0
            ),
            "max_steps_per_episode": 3,
            "progress": False,
        }
        try:
            shared |= {"base_dir": folder_type(folder), "episode_log_file": log_type(log)}
            if training:
                runner = runner_lib.TrainRunner(max_training_steps=3, num_iterations=1, **shared)
            else:
                runner = runner_lib.EvalRunner(max_eval_episodes=1, test_mode=True, **shared)
        except Exception as error:
            clear_errors.assert_clear(error)
            assert files(home.parent) == before
            return
        (home / "moved").mkdir()
        patch.chdir(home / "moved")
        runner.run_experiment()
        written = files(home.parent) - before
    output = "train" if training else "eval_1"
    base = pathlib.Path(
        os.path.normpath(home / os.path.join(str(home), folder.replace("~", str(home))))
    )
    names = {
        str((home.parent / name).relative_to(base / output))
        for name in written
        if (home.parent / name).is_relative_to(base / output)
    }
    assert "metrics.jsonl" in names
    assert (base / output / "metrics.jsonl").read_text().startswith("{")
    assert (home / "file").read_text() == "precious"
    assert not any(name.startswith("home/moved") for name in written)
