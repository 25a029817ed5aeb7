"""Settings of runners: gin's bindings, bad arguments, and folders that cannot be written to."""

from __future__ import annotations

import os

import gin
import pytest
from support.runners import create_random, eval_runner, records, train_runner

from recsim.simulator import runner_lib


@pytest.mark.parametrize("module", ["runner_lib", "simulator.runner_lib", ""])
def test_gin_bindings(tmp_path, env, module):
    prefix = f"{module}." if module else ""
    bindings = [
        f"{prefix}Runner.max_steps_per_episode=7",
        f"{prefix}TrainRunner.max_training_steps=14",
        f"{prefix}TrainRunner.num_iterations=4",
    ]
    runner_lib.load_gin_configs([], bindings)
    runner = runner_lib.TrainRunner(base_dir=tmp_path, create_agent_fn=create_random, env=env)
    runner.run_experiment()
    assert [record["total_steps"] for record in records(tmp_path / "train")] == [14, 28, 42, 56]
    assert {record["episodes"] for record in records(tmp_path / "train")} == {2}


def test_gin_configurations_can_be_loaded_again(tmp_path, env):
    (tmp_path / "a.gin").write_text("runner_lib.EvalRunner.max_eval_episodes = 9\n")
    runner_lib.load_gin_configs([], ["runner_lib.EvalRunner.max_eval_episodes=5"])
    runner_lib.load_gin_configs(
        [str(tmp_path / "a.gin")], ["simulator.runner_lib.EvalRunner.timeout_secs=1.5"]
    )
    runner = runner_lib.EvalRunner(
        base_dir=tmp_path, create_agent_fn=create_random, env=env, max_steps_per_episode=2
    )
    with pytest.raises(TimeoutError, match=r"within 1\.5 s"):  # There is no training.
        runner.run_experiment()
    assert (tmp_path / "eval_9").is_dir()
    runner_lib.load_gin_configs([], [])
    runner_lib.load_gin_configs(None, None)


@pytest.mark.parametrize(
    ("binding", "suggestion"),
    [
        ("runner_lib.Runer.max_steps_per_episode=1", "Did you mean 'runner_lib.Runner'?"),
        ("EvalRuner.test_mode=True", "Did you mean 'EvalRunner'?"),
        ("Runner.max_step_per_episode=1", "Did you mean 'max_steps_per_episode'?"),
        ("Zebra.stripes=1", "has to be imported"),
    ],
)
def test_unknown_bindings_name_the_nearest(binding, suggestion):
    with pytest.raises(ValueError) as caught:
        runner_lib.load_gin_configs([], [binding])
    assert suggestion in str(caught.value)
    assert binding in str(caught.value)


@pytest.mark.parametrize(
    "last",
    [
        "Zebra.stripes=1",
        "EvalRunner.timeout_secs = ",
        "EvalRunner.timeout_secs = @Zebra()",
        "import no_such_module",
        "include 'no_such_file.gin'",
    ],
)
def test_bindings_are_applied_all_or_none(last, tmp_path):
    (tmp_path / "first.gin").write_text("EvalRunner.max_eval_episodes = 9\nseven = 7\n")
    (tmp_path / "last.gin").write_text(f"import math\nTrainRunner.num_iterations = 9\n{last}\n")
    with gin.unlock_config():
        gin.clear_config()
        gin.parse_config("EvalRunner.max_eval_episodes = 4")
    if not gin.config_is_locked():
        gin.finalize()
    before = gin.config_str()
    files = [tmp_path / "first.gin", tmp_path / "last.gin"]
    for arguments in (files, []), (files[:1], ["Runner.max_steps_per_episode = 3", last]):
        with pytest.raises((ValueError, SyntaxError, OSError, ImportError)):
            runner_lib.load_gin_configs(*arguments)
        assert gin.config_str() == before
        assert gin.config_is_locked()
    runner_lib.load_gin_configs(files[:1], ["Runner.max_steps_per_episode = 3"])
    assert gin.query_parameter("EvalRunner.max_eval_episodes") == 9
    assert gin.query_parameter("Runner.max_steps_per_episode") == 3


def test_an_unknown_binding_of_a_runner_with_keywords_is_found_at_construction(tmp_path, env):
    runner_lib.load_gin_configs([], ["TrainRunner.num_iteration=3"])
    with pytest.raises(TypeError, match="no parameter 'num_iteration'. Did you mean 'num_iterati"):
        runner_lib.TrainRunner(base_dir=tmp_path, create_agent_fn=create_random, env=env)


# Bad input


@pytest.mark.parametrize(
    ("runner", "arguments", "error", "message"),
    [
        (train_runner, {"base_dir": None}, ValueError, "base_dir must be .* got None"),
        (train_runner, {"create_agent": 3}, TypeError, "create_agent_fn must be a function"),
        (train_runner, {"max_steps_per_episode": 0}, ValueError, "max_steps_per_episode .* got 0"),
        (train_runner, {"max_steps_per_episode": 1.5}, TypeError, "max_steps_per_episode .* 1.5"),
        (train_runner, {"num_iterations": -1}, ValueError, "num_iterations .* got -1"),
        (train_runner, {"max_training_steps": "9"}, TypeError, "max_training_steps .* '9'"),
        (train_runner, {"checkpoint_frequency": 0}, ValueError, "checkpoint_frequency .* got 0"),
        (train_runner, {"keep_checkpoints": 0}, ValueError, "keep_checkpoints .* got 0"),
        (train_runner, {"num_iteration": 3}, TypeError, "Did you mean 'num_iterations'"),
        (eval_runner, {"max_eval_episodes": True}, TypeError, "max_eval_episodes .* bool True"),
        (eval_runner, {"min_interval_secs": -1}, ValueError, "min_interval_secs .* got -1"),
        (eval_runner, {"timeout_secs": -1}, ValueError, "timeout_secs .* got -1"),
        (eval_runner, {"test_mod": True}, TypeError, "Did you mean 'test_mode'"),
    ],
)
def test_bad_arguments(tmp_path, env, runner, arguments, error, message):
    with pytest.raises(error, match=message):
        runner(**{"base_dir": tmp_path, "env": env, **arguments})


@pytest.mark.parametrize("runner", [train_runner, eval_runner])
def test_an_unwritable_output_folder_is_named_at_construction(tmp_path, env, runner):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"can be written to .*choose another") as caught:
        runner(tmp_path / "file", env)
    assert str(tmp_path / "file") in str(caught.value)
    name = "train" if runner is train_runner else "eval_3"
    (tmp_path / name).touch()
    with pytest.raises(NotADirectoryError, match=name):
        runner(tmp_path, env)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named_at_construction(tmp_path, env):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="can be written to"):
        train_runner(tmp_path, env)


@pytest.mark.parametrize(("runner", "folder"), [(train_runner, "train"), (eval_runner, "eval_3")])
def test_an_episode_log_is_never_overwritten(tmp_path, env, runner, folder):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "log").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="would be overwritten; choose another"):
        runner(tmp_path, env, episode_log_file="log")
    assert (tmp_path / folder / "log").read_bytes() == b"precious"
