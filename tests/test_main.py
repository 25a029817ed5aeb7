"""RecSim's own entry point, run as its README has it."""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
from support import CHECKOUT

from recsim import main, registry
from recsim.simulator import recsim_gym, runner_lib

pytestmark = pytest.mark.usefixtures("empty_folder")

SHORT = "--gin_bindings=runner_lib.Runner.max_steps_per_episode=10"


@pytest.fixture
def runs(monkeypatch):
    """Returns the environments' and agents' names, and what the agents were given, of runs."""
    seen = []
    create_environment, create_agent = registry.create_environment, registry.create_agent

    def environment(name, env_config):
        seen.append(("environment", name, env_config))
        return create_environment(name, env_config)

    def agent(name, environment, **kwargs):
        seen.append(("agent", name, kwargs))
        return create_agent(name, environment, **kwargs)

    monkeypatch.setattr(registry, "create_environment", environment)
    monkeypatch.setattr(registry, "create_agent", agent)
    return seen


def run(*flags):
    main.main(["main.py", *flags])


def metrics(folder):
    lines = pathlib.Path(folder, "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_the_command_of_recsims_readme(tmp_path):
    command = """
        main.py --logtostderr
          --base_dir="run/interest_exploration"
          --agent_name=cluster_bandit_ucb1
          --environment_name=interest_exploration
          --episode_log_file='episode_logs.tfrecord'
          --gin_bindings=simulator.runner_lib.Runner.max_steps_per_episode=100
          --gin_bindings=simulator.runner_lib.TrainRunner.num_iterations=3
          --gin_bindings=simulator.runner_lib.TrainRunner.max_training_steps=100
          --gin_bindings=simulator.runner_lib.EvalRunner.max_eval_episodes=5
    """
    result = subprocess.run(
        [sys.executable, "-m", "recsim.main", *shlex.split(command)[1:]],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == ""
    assert "Training cluster_bandit_ucb1 in interest_exploration" in result.stderr
    folder = tmp_path / "run" / "interest_exploration"
    assert (folder / "train" / "checkpoints" / "ckpt.2").is_file()
    returns = json.loads((folder / "eval_5" / "returns_300").read_text())
    assert len(returns) == 5
    assert all(0 < value < 100 for value in returns)

    tf = pytest.importorskip("tensorflow")
    records = tf.data.TFRecordDataset(str(folder / "train" / "episode_logs.tfrecord"))
    episodes = [tf.train.SequenceExample.FromString(record.numpy()) for record in records]
    assert len(episodes) == 3
    logged = 0.0
    for episode in episodes:
        lists = episode.feature_lists.feature_list
        assert len(lists["slate"].feature) == 100
        assert len(lists["slate"].feature[0].int64_list.value) == 2
        assert {f"doc_{i}" for i in range(5)} <= set(lists)
        assert {"response_0_click", "response_1_cluster_id"} <= set(lists)
        logged += sum(step.float_list.value[0] for step in lists["reward"].feature)
    trained = metrics(folder / "train")
    assert sum(line["AverageEpisodeRewards"] for line in trained) == pytest.approx(logged)


def test_main_heeds_agent_and_environment(runs):
    flags = ["--agent_name=tabular_q", "--environment_name=long_term_satisfaction", SHORT]
    run("--base_dir=out", *flags)
    assert {seen[1] for seen in runs if seen[0] == "environment"} == {"long_term_satisfaction"}
    agents = [seen for seen in runs if seen[0] == "agent"]
    assert {name for _, name, _ in agents} == {"tabular_q"}
    assert [kwargs["eval_mode"] for _, _, kwargs in agents][0] is False
    assert [kwargs["eval_mode"] for _, _, kwargs in agents][-1] is True


def test_defaults_are_recsims(runs):
    run("--base_dir=out")
    for _, name, env_config in runs[::2]:
        assert name == "interest_evolution"
        assert env_config == {
            "num_candidates": 5,
            "slate_size": 2,
            "resample_documents": True,
            "seed": 0,
        }
    training = metrics("out/train")
    assert len(training) == 10
    steps = [0, *(line["total_steps"] for line in training)]
    assert all(later - earlier >= 50 for earlier, later in zip(steps, steps[1:], strict=False))
    (evaluation,) = metrics("out/eval_5")
    assert evaluation["episodes"] == 5


def test_main_heeds_gin():
    pathlib.Path("settings.gin").write_text(
        "simulator.runner_lib.TrainRunner.num_iterations = 9\n"
        "simulator.runner_lib.EvalRunner.max_eval_episodes = 4\n"
    )
    run(
        *["--base_dir=out", "--environment_name=interest_exploration"],
        *["--gin_files=settings.gin", SHORT],
        *["--gin_bindings=simulator.runner_lib.TrainRunner.num_iterations=2"],
        *["--gin_bindings", "runner_lib.TrainRunner.max_training_steps = 15"],
    )
    training = metrics("out/train")
    assert [line["total_steps"] for line in training] == [20, 40]
    (evaluation,) = metrics("out/eval_4")
    assert evaluation["AverageEpisodeLength"] == 10


@pytest.mark.parametrize(
    ("flags", "given"),
    [
        ([], False),
        (["--debug_mode"], True),
        (["--debug_mode=true"], True),
        (["--debug_mode=false"], False),
        (["--debug_mode", "--nodebug_mode"], False),
        (["-debug_mode"], True),
    ],
)
def test_debug_mode_gives_agents_the_summary_writer(flags, given, runs):
    run("--base_dir=out", "--agent_name=random", *flags)
    writers = [kwargs["summary_writer"] for kind, _, kwargs in runs if kind == "agent"]
    assert writers
    assert all((writer is not None) is given for writer in writers)


def test_flags_in_every_form_of_recsims(runs):
    run("-base_dir", "out", "-agent_name=random", "--environment_name", "interest_evolution")
    assert pathlib.Path("out/eval_5").is_dir()


def test_a_second_run_resumes_the_first():
    flags = ["--base_dir=out", "--environment_name=interest_exploration", SHORT]
    run(*flags, "--gin_bindings=TrainRunner.num_iterations=2")
    run(*flags, "--gin_bindings=TrainRunner.num_iterations=4")
    run("--base_dir=whole", *flags[1:], "--gin_bindings=TrainRunner.num_iterations=4")
    assert len(metrics("out/train")) == 4
    returns = [
        json.loads(pathlib.Path(f, "eval_5/returns_200").read_text()) for f in ("out", "whole")
    ]
    assert returns[0] == returns[1]


def test_create_agent_makes_the_default_agent():
    env = registry.create_environment(
        "interest_evolution",
        {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0},
    )
    assert isinstance(env, recsim_gym.RecSimGymEnv)
    agent = main.create_agent(None, env, eval_mode=True, summary_writer=None)
    assert type(agent) is type(registry.create_agent(main.DEFAULT_AGENT, env))
    assert len(agent.begin_episode(env.reset())) == 2


def test_no_agent_named_is_said(caplog):
    run("--base_dir=out")
    assert f"running {main.DEFAULT_AGENT}" in caplog.text


BAD_INPUT = {
    "": "--base_dir is missing",
    "--base_dri=out": "no option '--base_dri'. Did you mean '--base_dir'",
    "--base_dir=out --agent_nam=random": "Did you mean '--agent_name'",
    "--base_dir=out -agentname random": "Did you mean '--agent_name'",
    "--base_dir=out --agent_name=randm": "Did you mean 'random'",
    "--base_dir=out --environment_name=long_term": "Did you mean 'long_term_satisfaction'",
    "--base_dir=out extra": "unexpected argument 'extra'",
    "--base_dir=out --debug_mode=maybe": "must be true or false, got 'maybe'",
    "--base_dir=out --gin_files=missing": "must be a file that can be read",
    "--base_dir=out --gin_bindings=Runner.max_step=3": "Did you mean 'max_steps_per_episode'",
    "--base_dir=out --agent_name=greedy_pctr": "'greedy_pctr' cannot recommend",
    "--base_dir=a_file/below": "can be written to",
    "--base_dir=used --agent_name=tabular_q": "is of another agent",
    "--base_dir=logged --episode_log_file=log": "log' exists and would be overwritten",
    "--base_dir x --gin_bindings Runner.max_steps_per_episode=((": "TokenError: ",
    "--base_dir x --gin_bindings EvalRunner.max_eval_episodes=10000000000000": (
        "10,000,000,000,000 episodes need at least .* of memory"
    ),
}


def test_an_import_that_fails_is_told_in_one_line(refused):
    *_, last = refused(run, "--base_dir", "x", "--gin_bindings", "import nosuch").splitlines()
    assert (
        last
        == "recsim.main: error: No module named 'nosuch' In bindings string line 1 import nosuch"
    )


@pytest.mark.parametrize("flags", BAD_INPUT)
def test_mistakes_are_told_in_one_line(flags, refused):
    pathlib.Path("a_file").write_text("")
    if "used" in flags:
        run("--base_dir=used", "--agent_name=random", SHORT)
    if "logged" in flags:
        pathlib.Path("logged/train").mkdir(parents=True)
        pathlib.Path("logged/train/log").write_text("")
    *_, last = refused(run, *flags.split()).splitlines()  # A warning may come before.
    assert not list(pathlib.Path("x").rglob("metrics.jsonl"))  # Nothing was trained before.
    assert re.match(rf"recsim\.main: error: .*{BAD_INPUT[flags]}", last)


def test_help(capsys):
    with pytest.raises(SystemExit) as caught:
        run("--help")
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for flag in ("base_dir", "agent_name", "environment_name", "episode_log_file", "debug_mode"):
        assert f"--{flag}" in out
    assert max(map(len, out.splitlines())) <= 80


def test_command_of_the_documentation():
    page = (CHECKOUT / "docs" / "command_line.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```bash\npython -m recsim\.main (.*?)^```$", page, re.M | re.S)
    words = shlex.split(block.replace("\\\n", " "))
    flags = [flag for flag in words if not flag.startswith(("--base_dir", "--log"))]
    run("--base_dir=out", *flags)
    assert pathlib.Path("out/train/episode_logs.tfrecord").is_file()
    assert len(metrics("out/train")) == 10


def test_the_same_command_resumes_after_its_evaluation_was_interrupted(monkeypatch):
    flags = ["--base_dir=run", "--agent_name=random", "--episode_log_file=log", SHORT]

    def interrupted(runner, total_steps):
        raise KeyboardInterrupt

    with monkeypatch.context() as patches:
        patches.setattr(runner_lib.EvalRunner, "_run_eval_phase", interrupted)
        with pytest.raises(SystemExit) as caught:
            run(*flags)
    assert caught.value.code == 130
    log = pathlib.Path("run/train/log").read_bytes()
    run(*flags)
    assert len(metrics("run/eval_5")) == 1
    assert pathlib.Path("run/train/log").read_bytes() == log
