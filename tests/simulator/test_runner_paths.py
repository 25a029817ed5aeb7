"""Where the files of a run are: a path means what it meant when it was given."""

from __future__ import annotations

import os
import pathlib
import shutil

import pytest
from support.runners import create_random, eval_runner, records, returns, snapshot, train_runner

from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.simulator import checkpoint, episode_log, runner_lib, summary


class Wanderer(random_agent.RandomAgent):
    """Changes the current directory at every step."""

    def step(self, reward, observation):
        os.chdir(os.sep)
        return super().step(reward, observation)


def create_wanderer(sess, environment, eval_mode, summary_writer=None):
    return Wanderer(environment.action_space, random_seed=1)


@pytest.mark.parametrize("kind", [str, pathlib.Path])
@pytest.mark.parametrize("folder", ["run", "~/run", "new/folders/run"])
def test_a_change_of_the_directory_does_not_move_a_run(tmp_path, monkeypatch, env, kind, folder):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    runner = train_runner(kind(folder), env, create_wanderer, episode_log_file=kind("logs/log"))
    runner.run_experiment()
    monkeypatch.chdir(tmp_path)
    evaluation = eval_runner(
        kind("evaluation"),
        env,
        create_wanderer,
        train_base_dir=kind(folder),
        test_mode=True,
        episode_log_file=kind("log"),
    )
    evaluation.run_experiment()
    base_dir = tmp_path / folder.replace("~", "home")
    assert [record["total_steps"] for record in records(base_dir / "train")] == [20, 40]
    assert (base_dir / "train/logs/log").stat().st_size > 0
    assert checkpoint.Checkpointer(base_dir / "train/checkpoints").iterations() == [0, 1]
    assert len(returns(tmp_path / "evaluation/eval_3/returns_40")) == 3
    assert (tmp_path / "evaluation/eval_3/log").stat().st_size > 0
    above = {path.name for path in tmp_path.iterdir()}
    assert above == {base_dir.relative_to(tmp_path).parts[0], "evaluation"}


def test_an_absolute_log_stays_where_the_user_says(tmp_path, env):
    log = tmp_path / "elsewhere" / "log"
    train_runner(tmp_path / "run", env, num_iterations=1, episode_log_file=log).run_experiment()
    begin = log.read_bytes()
    train_runner(tmp_path / "run", env, num_iterations=2, episode_log_file=log).run_experiment()
    assert log.read_bytes().startswith(begin)
    assert log.stat().st_size > len(begin)
    assert not list((tmp_path / "run").glob("**/log*"))


def interrupted_training(folder, env, **kwargs):
    """Trains for an iteration as if it was killed before the end; returns the unfinished log."""
    runner = train_runner(folder, env, num_iterations=1, episode_log_file="log", **kwargs)
    runner.run_experiment()
    log = folder / "train/log"
    return log.rename(log.with_name("log.part"))


@pytest.mark.parametrize("change", ["flip", "remove", "shorten", "empty"])
def test_a_resumed_training_refuses_a_log_that_changed(tmp_path, env, change):
    part = interrupted_training(tmp_path, env)
    content = part.read_bytes()
    if change == "remove":
        part.unlink()
    elif change == "flip":
        part.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    else:
        part.write_bytes(content[:-1] if change == "shorten" else b"")
    runner = train_runner(tmp_path, env, num_iterations=2, episode_log_file="log")
    with pytest.raises(ValueError, match="episode log .* was (removed or )?changed"):
        runner.run_experiment()
    assert not (tmp_path / "train/log").exists()
    part.write_bytes(content)  # As the message says.
    runner.run_experiment()
    assert (tmp_path / "train/log").read_bytes().startswith(content)


def test_a_resumed_training_says_that_its_metrics_are_gone(tmp_path, env, caplog):
    train_runner(tmp_path, env, num_iterations=2).run_experiment()
    train_runner(tmp_path, env, num_iterations=3).run_experiment()
    assert "are gone" not in caplog.text
    (tmp_path / "train/metrics.jsonl").unlink()
    train_runner(tmp_path, env, num_iterations=4).run_experiment()
    assert "The metrics of the first 3 iterations are gone" in caplog.text


def test_a_run_that_was_moved_continues_with_its_log(tmp_path, env):
    part = interrupted_training(tmp_path / "old", env)
    content = part.read_bytes()
    (tmp_path / "old").rename(tmp_path / "new")
    train_runner(
        tmp_path / "new", env, num_iterations=2, episode_log_file=tmp_path / "new/train/log"
    ).run_experiment()
    log = tmp_path / "new/train/log"
    assert log.read_bytes().startswith(content)
    assert log.stat().st_size > len(content)


def test_the_log_of_a_checkpoint_of_before_is_compared_by_its_length(tmp_path, env):
    part = interrupted_training(tmp_path, env)
    content = part.read_bytes()
    (path,) = (tmp_path / "train/checkpoints").iterdir()
    tree = checkpoint.load(path)
    tree["episode_logs"] = {"log": len(content)}
    checkpoint.save(path, tree)
    train_runner(tmp_path, env, num_iterations=2, episode_log_file="log").run_experiment()
    assert (tmp_path / "train/log").read_bytes().startswith(content)


@pytest.mark.skipif(os.name != "posix", reason="locks are of POSIX")
def test_two_runs_do_not_write_one_log(tmp_path, env):
    log = tmp_path / "log"

    class Rival(random_agent.RandomAgent):
        def step(self, reward, observation):
            if not seen:
                seen.append(True)
                with pytest.raises(BlockingIOError, match="log"):
                    rival.run_experiment()
            return super().step(reward, observation)

    seen = []
    rival = eval_runner(tmp_path / "other", env, test_mode=True, episode_log_file=log)
    train_runner(
        tmp_path / "run", env, lambda *args, **kwargs: Rival(env.action_space), episode_log_file=log
    ).run_experiment()
    assert seen
    content = log.read_bytes()
    with pytest.raises(FileExistsError, match="would be overwritten"):
        rival.run_experiment()
    assert log.read_bytes() == content


@pytest.mark.parametrize("make_runner", [train_runner, eval_runner])
@pytest.mark.parametrize(
    "name",
    ["metrics.jsonl", "returns_40", "../train/checkpoints/ckpt.0", "{base_dir}/eval_3/returns_40"],
)
def test_a_log_in_place_of_a_file_of_the_run_is_refused(tmp_path, env, make_runner, name):
    train_runner(tmp_path, env).run_experiment()
    eval_runner(tmp_path, env, test_mode=True).run_experiment()
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match="episode_log_file must not be one of the run's own"):
        make_runner(tmp_path, env, episode_log_file=name.format(base_dir=tmp_path))
    assert snapshot(tmp_path) == before


def test_a_log_in_place_of_a_file_of_the_training_is_refused(tmp_path, env):
    train_runner(tmp_path / "training", env).run_experiment()
    with pytest.raises(ValueError, match="episode_log_file must not be one of the run's own"):
        eval_runner(
            tmp_path / "evaluation",
            env,
            train_base_dir=tmp_path / "training",
            episode_log_file=tmp_path / "training/train/metrics.jsonl",
        )


@pytest.mark.parametrize("name", ["", "file/log", "sub"])
def test_a_log_that_cannot_be_written_is_refused_at_once(tmp_path, env, name):
    (tmp_path / "train/sub").mkdir(parents=True)
    (tmp_path / "train/file").touch()
    if not name:
        train_runner(tmp_path, env, episode_log_file=name)  # No log is asked for.
        return
    with pytest.raises(OSError, match="episode_log_file"):
        train_runner(tmp_path, env, episode_log_file=name)


@pytest.mark.parametrize("what", ["train/checkpoints", "train/metrics.jsonl/"])
def test_what_stands_in_the_way_of_the_runs_files_is_named_at_construction(tmp_path, env, what):
    (tmp_path / "train").mkdir()
    if what.endswith("/"):
        (tmp_path / what).mkdir()
    else:
        (tmp_path / what).touch()
    with pytest.raises(OSError, match=os.path.basename(what.rstrip("/"))):
        train_runner(tmp_path, env)


@pytest.mark.parametrize("make_runner", [train_runner, eval_runner])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"base_dir": 3}, TypeError, "base_dir must be a path .* got 3"),
        ({"base_dir": ""}, ValueError, "base_dir must be a path, got ''"),
        ({"base_dir": "gs://bucket/run"}, ValueError, "gs:// addresses are not supported"),
        ({"episode_log_file": 3}, TypeError, "episode_log_file must be a path .* got 3"),
        ({"checkpoint_file_prefix": "a/b"}, ValueError, "prefix must be the beginning of a file"),
        ({"checkpoint_file_prefix": 3}, TypeError, "prefix must be a string, got 3"),
    ],
)
def test_what_is_no_path_is_refused_by_name(
    tmp_path, monkeypatch, env, make_runner, arguments, error, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        make_runner(**{"base_dir": tmp_path, "env": env, **arguments})


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_what_writes_and_reads_files_takes_any_path(tmp_path, monkeypatch, env, kind):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    checkpoint.save(kind("~/new/tree"), [1])
    assert checkpoint.load(kind("~/new/tree")) == [1]
    assert checkpoint.is_checkpoint(kind("~/new/tree"))
    checkpointer = checkpoint.Checkpointer(kind("kept"))
    writer = summary.SummaryWriter(kind("events"))
    metrics = summary.MetricsFile(kind("~/metrics/file"))
    log = episode_log.EpisodeLog(kind("logs/log"), env)
    os.chdir(os.sep)
    checkpointer.save(0, [2])
    writer.add_scalar("a", 1.0, 0)
    writer.flush()
    metrics.add(1, {})
    observation = env.reset()
    after, reward, done, _ = env.step([0, 1])
    log.add_step(observation["user"], observation["doc"], [0, 1], after["response"], reward, done)
    log.end_episode()
    log.finish()
    files = {str(path.relative_to(tmp_path)).split(".")[0] for path in snapshot(tmp_path)}
    assert files == {"new/tree", "kept/ckpt", "events/events", "metrics/file", "logs/log"}


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_gin_files_take_any_path(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.gin").write_text("EvalRunner.max_eval_episodes = 9\n")
    for files in ([kind("~/a.gin")], kind("~/a.gin")):
        runner_lib.load_gin_configs(files, ["Runner.max_steps_per_episode = 3"])
        env = interest_exploration.create_environment(
            {"num_candidates": 3, "slate_size": 1, "resample_documents": True, "seed": 0}
        )
        runner = runner_lib.EvalRunner(
            base_dir=tmp_path / "run", create_agent_fn=create_random, env=env, test_mode=True
        )
        runner.run_experiment()
        assert (tmp_path / "run/eval_9").is_dir()
        shutil.rmtree(tmp_path / "run")
        runner_lib.load_gin_configs([], ["EvalRunner.max_eval_episodes = 3"])
