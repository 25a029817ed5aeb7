"""Records of results: they hold what the same results can be had again with."""

from __future__ import annotations

import argparse
import json
import pathlib
import platform
import re

import gin
import numpy as np
import pytest

import recsim
from recsim import cli, registry, seeding
from recsim.benchmarks import throughput
from recsim.reproductions import bandit_regret, base
from recsim.simulator import checkpoint, fingerprint

BASE = ["--environment", "long_term_satisfaction", "--agent", "tabular_q", "random"]
BASE += ["--slate-size", "1", "--episodes", "2", "--steps", "4", "--train-steps", "30"]
BASE += ["--seeds", "1"]
TASK = "long_term_satisfaction/seed_{}/{}"

# For each option of recsim run a value that the base does not have.
OTHER_VALUES = {
    "--environment": ["interest_exploration"],
    "--agent": ["random"],
    "--num-candidates": ["7"],
    "--slate-size": ["2"],
    "--no-resample": [],
    "--steps": ["5"],
    "--episodes": ["3"],
    "--train-steps": ["40"],
    "--seed": ["1"],
    "--seeds": ["2"],
    "--agent-seed": ["1"],
    "--sweep": ["LTSStaticUserSampler.sensitivity=0.1,0.2"],
    "--gin-bindings": ["LTSStaticUserSampler.sensitivity = 0.1"],
    "--gin-files": ["a_file.gin"],
    # This one needs agents that have a vector form.
    "--num-envs": ["2", "--agent", "random"],
}
# They change no number.
WITHOUT_EFFECT = {
    "--workers": ["2"],
    "--backend": ["loky"],
    "--shard": ["1/1"],
    "--output": ["elsewhere"],
    "--quiet": [],
    "--topics": [],
    "--gin-allow-unused": [],
    "--log-episodes": [],
    "--log-user-state": ["--log-episodes"],
}
# Of trainings of users in parallel, see test_rollout_workers.py and test_learning_curves.py.
OF_PARALLEL_USERS = {"--train-envs", "--rollout-workers", "--staleness", "--curve-users"}
# On record are those that say what was run.
NOT_ON_RECORD = {"--workers", "--backend", "--shard", "--output", "--quiet"}


@pytest.fixture(autouse=True)
def a_file_of_bindings(empty_folder):
    (empty_folder / "a_file.gin").write_text("LTSStaticUserSampler.kale_mean = 3.0\n")


@pytest.fixture
def nothing_drawn(monkeypatch):
    """Leaves out figures and reports, for they take long."""
    monkeypatch.setattr(cli.run, "_show", lambda *_: 0)


def run(name, *arguments):
    """Runs a command and returns its record."""
    # Without the agents, and the training of one of them, where others are named.
    base = BASE if "--agent" not in arguments else [*BASE[:2], *BASE[5:11], *BASE[13:]]
    assert cli.main(["run", *base, "--output", name, "--quiet", *arguments]) == 0
    gin.clear_config()
    return json.loads(pathlib.Path(name, "results.json").read_text())


def settings_of(record):
    """What was run, as text."""
    tasks = record["provenance"]["tasks"]
    return json.dumps([record["spec"], {name: task["settings"] for name, task in tasks.items()}])


def digest_of_values(record):
    return record["sha256"]["results.parquet"]


def test_the_options_of_the_tests_are_those_of_the_command():
    parser = argparse.ArgumentParser("run", add_help=False)
    cli.run.add_options(parser)
    options = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", parser.format_usage()))
    assert options == {*OTHER_VALUES, *WITHOUT_EFFECT, *OF_PARALLEL_USERS, "--rerun", "--address"}


def test_runs_that_differ_in_an_option_differ_in_their_records(nothing_drawn):
    found = {"base": run("base")}
    for number, (option, value) in enumerate(OTHER_VALUES.items()):
        found[option] = run(f"other_{number}", option, *value)
    assert len(set(map(settings_of, found.values()))) == len(OTHER_VALUES) + 1
    for number, (option, value) in enumerate(WITHOUT_EFFECT.items()):
        name = value[0] if option == "--output" else f"same_{number}"
        record = run(name, option, *value)
        assert digest_of_values(record) == digest_of_values(found["base"])
        assert (option in record["provenance"]["argv"]) == (option not in NOT_ON_RECORD)


@pytest.mark.parametrize(
    ("arguments", "bindings"),
    [
        (
            ["--agent", "random"],
            [
                "LTSStaticUserSampler.sensitivity = 0.1",
                "LTSStaticUserSampler.sensitivity = 0.2",
                "LTSStaticUserSampler.time_budget = 3",
                "EvalRunner.checkpoint_file_prefix = 'other'",
            ],
        ),
        (
            ["--environment", "interest_exploration", "--agent", "cluster_bandit_ucb1"],
            [
                "ClusterBanditAgent.ci_scaling = 0.1",
                "ClusterBanditAgent.ci_scaling = 5",
                "IETopicDocumentSampler.topic_quality_mean = (1.0, 2.0)",
            ],
        ),
    ],
)
def test_runs_that_differ_in_a_binding_differ_in_their_records(arguments, bindings, nothing_drawn):
    found = []
    for number, binding in enumerate([None, *bindings]):
        base = [*arguments, "--episodes", "2", "--steps", "4", "--slate-size", "1", "--quiet"]
        environment = [] if "--environment" in base else BASE[:2]
        bound = [] if binding is None else ["--gin-bindings", binding]
        name = f"run_{number}"
        assert cli.main(["run", *environment, *base, *bound, "--output", name]) == 0
        gin.clear_config()
        record = json.loads(pathlib.Path(name, "results.json").read_text())
        if binding is not None:
            parameter, _, value = binding.partition(" = ")
            for task in record["provenance"]["tasks"].values():
                assert task["settings"]["gin_bindings"][parameter] == value
            assert binding in record["spec"]["gin_bindings"][0].replace("\\\n    ", "")
            assert f"{parameter} = " in record["provenance"]["operative"][0]
        found.append(settings_of(record))
    assert len(set(found)) == len(bindings) + 1


def test_the_command_on_record_gives_the_same_results():
    record = run("first", "--seed", "9", "--gin-bindings", "LTSStaticUserSampler.sensitivity = 0.1")
    program, *arguments = record["provenance"]["argv"]
    assert program == "recsim"
    assert cli.main([*arguments, "--output", "again"]) == 0
    assert json.loads(pathlib.Path("again/results.json").read_text()) == record


def test_a_program_that_is_repeated_by_the_command_has_the_same_record():
    recsim.experiment("random", output="first", episodes=2, steps=5, progress=False)
    assert cli.main(["run", "--rerun", "first", "--output", "again", "--quiet"]) == 0
    records = [pathlib.Path(name, "results.json").read_text() for name in ("first", "again")]
    assert records[0] == records[1]


def test_seeds_versions_and_fingerprints_are_on_record():
    found = run("out", "--seed", "3")["provenance"]
    task = found["tasks"][TASK.format(3, "tabular_q")]
    assert task["seeds"] == {
        "environment": 3,
        "agent": seeding.derived_seed(3, "agent"),
        "training environment": seeding.derived_seed(3, "training"),
    }
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["recsim"] == recsim.__version__
    assert found["versions"]["numpy"] == np.__version__
    # What a checkpoint holds is the same.
    of_training = found["fingerprints"][task["fingerprints"]["training"]]
    place = pathlib.Path("out", TASK.format(3, "tabular_q"), "train/checkpoints")
    (path, *_) = place.glob("ckpt.*")
    assert checkpoint.load(path)["fingerprint"] == of_training
    assert len(of_training["sha256"]) == 64
    of_random = found["tasks"][TASK.format(3, "random")]["fingerprints"]
    assert set(of_random) == {"evaluation"}
    assert len(found["fingerprints"]) == 2  # Of the agents: it is one for both of its phases.


def test_what_is_long_is_on_record_once():
    one = pathlib.Path("out_1/results.json")
    many = pathlib.Path("out_10/results.json")
    for seeds in (1, 10):
        run(f"out_{seeds}", "--agent", "random", "--seeds", str(seeds))
    assert many.stat().st_size < 2.5 * one.stat().st_size


def test_reproductions_have_the_command_on_record(monkeypatch):
    problems = {"one": bandit_regret.Problem("2 arms", (0.6, 0.4), 100)}
    monkeypatch.setattr(bandit_regret, "PROBLEMS", problems)
    monkeypatch.setattr(bandit_regret, "CASES", [bandit_regret.Case("one", "thompson")])
    monkeypatch.setattr(bandit_regret.BanditRegret, "figures", lambda *_: {})
    arguments = ["reproduce", "bandits", "--runs", "9", "--output", "out", "--quiet"]
    assert cli.main(arguments) == 0
    found = json.loads(pathlib.Path("out/results.json").read_text())["provenance"]
    assert found["argv"] == ["recsim", *arguments]
    assert found["command"] == "recsim reproduce bandits --runs 9 --output out --quiet"
    assert found["seeds"] == {"everything": 0}
    assert found["versions"]["numpy"] == np.__version__
    assert found["python"] == platform.python_version()
    assert found["fingerprints"] == []  # There is no scenario.


def test_tasks_bring_the_fingerprints_of_what_they_run():
    env = registry.create_environment(
        "interest_exploration",
        {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0},
    )
    agent = registry.create_agent("random", env)
    entry = base.fingerprint_of(env, agent)
    expected = fingerprint.fingerprint(env, agent).data()
    finished = {"a": {"fingerprint": entry}, "b": {"x": np.zeros(1)}, "c": {"fingerprint": entry}}
    assert base.fingerprints_of(finished) == [{"tasks": ["a", "c"], **expected}]


@pytest.mark.slow
def test_benchmarks_have_the_command_and_fingerprints_on_record():
    cases = [
        throughput.Case("long_term_satisfaction", agent, 3, 1, num_users)
        for agent in ("random", "tabular_q")
        for num_users in (1, 5)
        if (agent, num_users) != ("tabular_q", 5)
    ]
    record = throughput.measure(cases, rounds=1, seconds=0.01, show_progress=False, arguments=["x"])
    assert record["provenance"]["argv"] == ["recsim", "x"]
    assert record["provenance"]["versions"]["recsim"] == recsim.__version__
    assert len({case["fingerprint"] for case in record["cases"]}) == len(cases)
