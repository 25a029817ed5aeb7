"""Experiments: their tasks, how they resume, what is refused, and where agents come from."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import re
import sys
import textwrap

import gin
import numpy as np
import pytest
from support import CHECKOUT

import recsim
from recsim import registry
from recsim.agents import random_agent
from recsim.experiments import _tasks, agent_run, experiment, experiment_file, factories
from recsim.experiments.results import Results

SHORT = {"episodes": 3, "steps": 10, "progress": False, "figures": False}
SCENARIO = "interest_exploration"


@pytest.fixture(autouse=True)
def _no_bindings():
    yield
    gin.clear_config()


def files_of(folder):
    """The result files but timing.json, by name."""
    return {
        path.name: path.read_bytes()
        for path in pathlib.Path(folder).iterdir()
        if path.is_file() and path.name != "timing.json"
    }


def values(results, **where):
    """The values of a measure, by default the return, of what is asked for."""
    frame = results.to_dataframe()
    for column, value in {"measure": "return", **where}.items():
        frame = frame[frame[column] == value]
    return frame.value.tolist()


class Failing(random_agent.RandomAgent):
    """Fails in the middle of its first episode, in workers too, unless the environment says no."""

    def __init__(self, action_space):
        super().__init__(action_space)
        self._left = 5

    def step(self, reward, observation):
        self._left -= 1
        if not self._left and "RECSIM_TEST_MENDED" not in os.environ:
            raise RuntimeError("it broke")
        return super().step(reward, observation)


class Sometimes(random_agent.RandomAgent):
    """Fails with some of the agents' seeds."""

    def __init__(self, action_space, seed):
        super().__init__(action_space, random_seed=seed)
        self._is_odd = bool(seed % 2)

    def step(self, reward, observation):
        if self._is_odd:
            raise RuntimeError("an odd seed")
        return super().step(reward, observation)


class Seeded(random_agent.RandomAgent):
    def __init__(self, env, random_seed):
        super().__init__(env.action_space, random_seed=random_seed)


def test_shards_one_after_the_other_combine(tmp_path):
    settings = {**SHORT, "seeds": 2, "output": tmp_path / "shards"}
    agents = ["cluster_bandit_ts", "random", "greedy_pctr"]
    first = recsim.experiment(agents, shard=(1, 2), **settings)
    assert not (tmp_path / "shards" / "results.json").exists()
    assert len(values(first)) == 9  # Three tasks of six.
    both = recsim.experiment(agents, shard=(2, 2), **settings)
    whole = recsim.experiment(agents, **{**settings, "output": tmp_path / "whole"})
    assert values(both) == values(whole)
    assert files_of(tmp_path / "shards") == files_of(tmp_path / "whole")


def test_figure_and_report_are_drawn_when_all_tasks_have_come_to_an_end(tmp_path):
    drawn = {"results.png", "results.svg", "report.html"}
    settings = {**SHORT, "seeds": 2, "output": tmp_path, "figures": True}
    recsim.experiment("random", shard=(1, 2), **settings)
    assert not drawn & set(os.listdir(tmp_path))
    recsim.experiment("random", shard=(2, 2), **settings | {"figures": False})
    assert not drawn & set(os.listdir(tmp_path))
    recsim.experiment("random", **settings)
    assert drawn < set(os.listdir(tmp_path))


def test_more_parts_than_tasks_are_refused(tmp_path):
    with pytest.raises(ValueError, match="as there are tasks at most, 2, got 3 parts"):
        recsim.experiment(["random", "greedy_pctr"], shard=(3, 3), output=tmp_path, **SHORT)


def test_what_is_finished_is_not_repeated(monkeypatch, tmp_path):
    agents = ["random", "greedy_pctr"]
    first = recsim.experiment(agents, output=tmp_path / "out", **SHORT)
    before = files_of(tmp_path / "out")

    def measure(self):
        raise AssertionError("It is run again.")

    monkeypatch.setattr(agent_run.AgentRun, "measure", measure)
    again = recsim.experiment(agents, output=tmp_path / "out", **SHORT)
    assert values(again) == values(first)
    assert files_of(tmp_path / "out") == before
    assert values(Results.load(tmp_path / "out")) == values(first)


def test_a_spoiled_result_is_computed_anew(tmp_path):
    first = recsim.experiment("random", output=tmp_path / "out", **SHORT)
    before = files_of(tmp_path / "out")
    (result,) = (tmp_path / "out").rglob("task.result")
    result.write_bytes(result.read_bytes()[:-100])
    assert values(recsim.experiment("random", output=tmp_path / "out", **SHORT)) == values(first)
    assert files_of(tmp_path / "out") == before


@pytest.mark.parametrize("num_envs", [None, 4])
def test_the_numbers_are_those_of_runs(num_envs, tmp_path):
    agents = ["cluster_bandit_ts", "random"]
    settings = {**SHORT, "num_envs": num_envs}
    results = recsim.experiment(agents, seeds=2, seed=5, **settings)
    for seed in (5, 6):
        for agent in agents:
            run = agent_run.AgentRun(
                SCENARIO,
                agent,
                tmp_path / str(seed) / agent,
                seed=seed,
                num_envs=num_envs,
                episodes=SHORT["episodes"],
                steps=SHORT["steps"],
            )
            expected = run.measure().measures["return"].tolist()
            assert values(results, agent=agent, seed=seed) == expected


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_numbers_do_not_depend_on_the_workers(workers, tmp_path):
    settings = {**SHORT, "seeds": 2, "train_steps": 50}
    agents = ["tabular_q", Seeded, "random"]
    few = recsim.experiment(agents, output=tmp_path / "one", workers=1, **settings)
    many = recsim.experiment(agents, output=tmp_path / "many", workers=workers, **settings)
    assert values(few) == values(many)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "many")


def test_all_agents_meet_the_same_users(monkeypatch):
    agents = {"first": "random", "second": Seeded, "third": "random"}
    results = recsim.experiment(agents, seeds=2, **SHORT)
    assert values(results, agent="first") == values(results, agent="third")
    assert values(results, agent="first") == values(results, agent="second")
    assert values(results, seed=0) != values(results, seed=1)


def test_agents_have_seeds_apart():
    def returns(**seeds):
        return values(recsim.experiment("random", **seeds, **SHORT))

    assert returns(seed=1) == returns(seed=1, agent_seed=1)
    assert len({tuple(returns(**seeds)) for seeds in ({}, {"agent_seed": 1}, {"seed": 1})}) == 3


def test_learning_agents_have_three_seeds_by_default():
    settings = {**SHORT, "train_steps": 20}
    assert set(recsim.experiment("random", **SHORT).to_dataframe().seed) == {0}
    results = recsim.experiment(["tabular_q", "random"], **settings)
    assert set(results.to_dataframe().seed) == {0, 1, 2}
    assert set(results.curves.agent) == {"tabular_q"}
    assert set(results.curves.seed) == {0, 1, 2}


def test_a_sweep_runs_every_combination_that_concerns_an_agent(tmp_path):
    sweep = {
        "ClusterBanditAgent.ci_scaling": [0.1, 1.0],
        "IETopicDocumentSampler.doc_quality_mean_bound": [1.0],
    }
    del sweep["IETopicDocumentSampler.doc_quality_mean_bound"]
    results = recsim.experiment(
        ["cluster_bandit_ucb1", "random"], sweep=sweep, output=tmp_path / "out", **SHORT
    )
    frame = results.to_dataframe()
    found = set(zip(frame.agent, frame.settings))
    assert found == {
        ("cluster_bandit_ucb1", "ci_scaling=0.1"),
        ("cluster_bandit_ucb1", "ci_scaling=1.0"),
        ("random", ""),
    }
    bound = recsim.experiment(
        "cluster_bandit_ucb1", gin_bindings=["ClusterBanditAgent.ci_scaling = 0.1"], **SHORT
    )
    assert values(bound) == values(results, settings="ci_scaling=0.1")
    assert values(bound) != values(results, settings="ci_scaling=1.0")
    assert not gin.config_str().strip()


@pytest.mark.parametrize("values", [np.array([0.5, 1.0]), list(np.array([0.5, 1.0]))])
def test_a_sweep_takes_what_numpy_makes(values):
    sweep = {"ClusterBanditAgent.ci_scaling": values}
    frame = recsim.experiment("cluster_bandit_ucb1", sweep=sweep, **SHORT).to_dataframe()
    assert set(frame.settings) == {"ci_scaling=0.5", "ci_scaling=1.0"}


def test_values_of_a_sweep_have_folders_of_their_own(tmp_path):
    values_of_it = ["@a/RandomAgent", "@a_RandomAgent", "x" * 300, "x" * 301]
    specs = [_tasks.Spec("s", "a", {"A.b": value}, 0, 0) for value in values_of_it]
    folders = {spec.folder("").casefold() for spec in specs}
    assert len(folders) == 4
    assert all(len(part) < 150 for folder in folders for part in pathlib.Path(folder).parts)
    plain = _tasks.Spec("s", "a", {"A.b": 0.5, "A.c": True}, 0, 0)
    assert plain.name == "s/b=0.5,_c=True/seed_0/a"


def test_a_failed_task_does_not_stop_the_others(caplog, tmp_path):
    agents = [Failing, "random"]
    results = recsim.experiment(agents, output=tmp_path / "out", seeds=2, workers=2, **SHORT)
    assert len(values(results, agent="random")) == 6
    assert not values(results, agent="Failing")
    assert [failure["task"] for failure in results.metadata.failures] == [
        f"{SCENARIO}/seed_{seed}/Failing" for seed in (0, 1)
    ]
    assert all(
        failure["error"] == "RuntimeError: it broke" for failure in results.metadata.failures
    )
    assert "in step" in results.metadata.failures[0]["traceback"]
    assert "RuntimeError: it broke" in caplog.text
    assert (
        "RuntimeError: it broke"
        in json.loads((tmp_path / "out" / "results.json").read_text())["failures"][0]["traceback"]
    )


def test_the_last_agent_is_the_baseline_where_the_first_task_of_another_failed():
    results = recsim.experiment({"first": Sometimes, "last": "random"}, seeds=3, **SHORT)
    assert f"{SCENARIO}/seed_0/first" in [each["task"] for each in results.metadata.failures]
    assert values(results, agent="first")
    assert list(results.to_dataframe().agent.unique()) == ["first", "last"]
    assert set(results.summary().baseline) == {"last"}


def test_a_baseline_without_results_stays_the_baseline(tmp_path):
    agents = {"first": "random", "second": "greedy_pctr", "last": Failing}
    results = recsim.experiment(agents, seeds=2, output=tmp_path / "out", **SHORT)
    for each in (results, Results.load(tmp_path / "out")):
        table = each.summary()
        assert set(table.baseline) == {"last"}
        assert table.difference.isna().all()
        assert "last, the baseline, has no results" in each.table().replace("\n", " ")
        assert each.summary("first").difference.notna().any()


def test_more_seeds_in_the_folder_of_fewer_run_only_what_is_new(monkeypatch, tmp_path):
    agents = ["random", "greedy_pctr"]
    few = {**SHORT, "seeds": 2, "output": tmp_path / "out"}
    recsim.experiment(agents, **few)
    measured = []
    measure = agent_run.AgentRun.measure
    monkeypatch.setattr(
        agent_run.AgentRun, "measure", lambda self: measured.append(self) or measure(self)
    )
    more = recsim.experiment(agents, **few | {"seeds": 4})
    assert len(measured) == 4
    whole = recsim.experiment(agents, **few | {"seeds": 4, "output": tmp_path / "whole"})
    assert values(more) == values(whole)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    with pytest.raises(ValueError, match="seeds 4 there and 2 here"):
        recsim.experiment(agents, **few)
    with pytest.raises(ValueError, match="steps 10 there and 11 here"):
        recsim.experiment(agents, **few | {"seeds": 5, "steps": 11})
    assert len(json.loads((tmp_path / "out" / "experiment.json").read_text())["tasks"]) == 8


def test_a_failed_task_is_run_again_by_the_next_call(monkeypatch, tmp_path):
    recsim.experiment([Failing, "random"], output=tmp_path / "out", **SHORT)
    monkeypatch.setenv("RECSIM_TEST_MENDED", "")
    results = recsim.experiment([Failing, "random"], output=tmp_path / "out", **SHORT)
    assert not results.metadata.failures
    assert len(values(results, agent="Failing")) == 3


def test_where_all_tasks_fail_there_are_no_results(tmp_path):
    with pytest.raises(experiment.ExperimentFailedError, match="RuntimeError: it broke"):
        recsim.experiment(Failing, output=tmp_path / "out", **SHORT)
    assert not (tmp_path / "out" / "results.json").exists()


def own_file(folder, body="return super().step(reward, observation)"):
    (folder / "own_agents.py").write_text(
        textwrap.dedent(
            f"""
            from recsim.agents import random_agent
            from recsim.environments import interest_exploration

            class Own(random_agent.RandomAgent):
                def __init__(self, action_space, seed):
                    super().__init__(action_space, random_seed=seed)

                def step(self, reward, observation):
                    {body}

            def create_environment(env_config):
                return interest_exploration.create_environment(env_config)

            def without_click(env_config):
                return interest_exploration.create_environment({{**env_config, "seed": 77}})
            """
        )
    )
    return folder / "own_agents.py"


@pytest.mark.parametrize("workers", [1, 2])
def test_agents_and_scenarios_from_files_and_modules(workers, monkeypatch, tmp_path):
    file = own_file(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    results = recsim.experiment(
        {"file": f"{file}:Own", "module": "own_agents:Own", "random": "random"},
        [SCENARIO, str(file), f"{file}:without_click"],
        seeds=2,
        workers=workers,
        **SHORT,
    )
    expected = values(results, agent="random")
    assert values(results, agent="file") == values(results, agent="module") == expected
    of_library = values(results, scenario=SCENARIO)
    assert values(results, scenario="own_agents") == of_library
    assert values(results, scenario="without_click") != of_library
    assert registry.own_entries() == ({}, {}, {})


def test_what_trains_networks_is_made_in_other_processes_alone(tmp_path):
    """Where bindings are tried out it would import TensorFlow, which is large and slow."""

    class Learner(Seeded):
        learns = True

        def __init__(self, env, random_seed, training_steps):
            super().__init__(env, random_seed)
            (tmp_path / str(os.getpid())).touch()

    results = recsim.experiment(
        {"mine": Learner, "bandit": "cluster_bandit_ts"},
        sweep={"ClusterBanditAgent.ci_scaling": [0.5, 1.0]},
        seeds=1,
        train_steps=20,
        workers=1,
        **SHORT,
    )
    assert len(results.summary().query("measure == 'return'")) == 3
    pids = {path.name for path in tmp_path.iterdir()}
    assert len(pids) == 2  # The checks', and the tasks'.
    assert str(os.getpid()) not in pids


@pytest.mark.parametrize("kind", ["learns", "environment", "slate"])
def test_what_a_factory_is_given(kind):
    given = {}

    def learns(environment, *, seed, eval_mode, summary_writer, training_steps):
        given.update(seed=seed, training_steps=training_steps)
        return random_agent.RandomAgent(environment.action_space, random_seed=seed)

    def with_any(environment, **arguments):
        given.update(arguments)
        return random_agent.RandomAgent(environment.action_space, random_seed=arguments["seed"])

    def one_argument(simulation):
        return random_agent.RandomAgent(simulation.action_space)

    factory = {"learns": learns, "environment": with_any, "slate": one_argument}[kind]
    results = recsim.experiment({"own": factory}, **SHORT)
    assert len(values(results)) == 3
    if kind == "environment":
        assert {"seed", "eval_mode", "summary_writer", "training_steps"} == set(given)


def test_rerun_repeats_to_the_digit(monkeypatch, tmp_path):
    file = own_file(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    recsim.experiment(
        {
            "file": f"{file}:Own",
            "module": "own_agents:Own",
            "tabular_q": "tabular_q",
            "bandit": "cluster_bandit_ts",
        },
        seeds=2,
        agent_seed=9,
        train_steps=100,
        sweep={"ClusterBanditAgent.ci_scaling": [0.5, 2.0]},
        gin_bindings=["Runner.max_steps_per_episode = 12"],
        output=tmp_path / "out",
        episodes=3,
        progress=False,
    )
    for recorded in ("out", "out/results.json"):
        again = tmp_path / recorded.replace("/", "_again_")
        again = again.with_name(f"{again.name}_2")
        experiment.rerun(tmp_path / recorded, output=again, progress=False, workers=2)
        assert files_of(again) == files_of(tmp_path / "out")


def test_rerun_warns_of_what_has_changed_and_refuses_what_is_gone(caplog, tmp_path):
    file = own_file(tmp_path)
    recsim.experiment([f"{file}:Own", "random"], output=tmp_path / "out", **SHORT)
    caplog.set_level(logging.WARNING)
    path = tmp_path / "out" / "results.json"
    experiment.rerun(path, progress=False)
    assert not caplog.records
    record = json.loads(path.read_text())
    record["provenance"]["versions"]["numpy"] = "1.0"
    path.write_text(json.dumps(record))
    own_file(tmp_path, "return super().step(reward, observation)  # Changed.")
    experiment.rerun(path, progress=False)
    assert "results of numpy 1.0, and" in caplog.text
    assert "The source of Own has changed" in caplog.text
    file.unlink()
    sys.modules.pop(next(name for name in sys.modules if name.endswith("_own_agents")))
    with pytest.raises(ValueError, match="cannot be run again, since 'Own' .*there is no file"):
        experiment.rerun(path)


def test_a_class_of_a_notebook_is_given_again(tmp_path):
    namespace = {"__name__": "__main__", "random_agent": random_agent}
    exec(
        "class InCell(random_agent.RandomAgent):\n"
        "    def __init__(self, action_space, seed):\n"
        "        super().__init__(action_space, random_seed=seed)\n",
        namespace,
    )
    of_cell = namespace["InCell"]
    results = recsim.experiment(
        [of_cell, "random"], output=tmp_path / "out", seeds=2, workers=2, **SHORT
    )
    assert values(results, agent="InCell") == values(results, agent="random")
    with pytest.raises(ValueError, match="was defined in a script or a notebook"):
        experiment.rerun(tmp_path / "out")
    again = experiment.rerun(tmp_path / "out", agents={"InCell": of_cell}, progress=False)
    assert values(again) == values(results)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"agents": []}, ValueError, "agents must be at least one"),
        ({"agents": ["random", "random"]}, ValueError, "'random' twice"),
        ({"agents": ["rndom"]}, ValueError, "Did you mean 'random'"),
        ({"agents": [3]}, TypeError, "agents must be names, classes or functions, got 3"),
        (
            {"agents": {"a": None}},
            TypeError,
            "agents must be names, classes or functions, got None",
        ),
        ({"agents": [lambda env: None]}, ValueError, "'<lambda>': give a dictionary, with a name"),
        ({"agents": {"a b": "random"}}, ValueError, "names of letters"),
        ({"agents": ["no_such_module:Agent"]}, ValueError, "cannot be imported: ModuleNotFound"),
        ({"agents": ["json:Agent"]}, ValueError, "json has no 'Agent'"),
        ({"agents": ["nowhere.py:Agent"]}, ValueError, "there is no file"),
        ({"scenarios": ["interest_exploratoin"]}, ValueError, "Did you mean"),
        ({"seeds": 0}, ValueError, "seeds"),
        ({"seeds": 2.5}, TypeError, "seeds"),
        ({"seed": 2**32 - 1, "seeds": 2}, ValueError, "seed must be so small"),
        ({"sweep": {"ci_scaling": [1]}}, ValueError, "as gin does"),
        ({"sweep": {"ClusterBanditAgent.ci_scaling": []}}, TypeError, "list of values"),
        ({"sweep": {"ClusterBanditAgent.ci_scaling": [1, 1]}}, ValueError, "differ as texts"),
        ({"sweep": {"ClusterBanditAgent.ci_scaling": [1, "1"]}}, ValueError, "differ as texts"),
        ({"sweep": {"ClusterBanditAgent.ci_scaling": [np.nan]}}, ValueError, "finite numbers for"),
        ({"sweep": {"A.b": [1.0, [2, np.inf]]}}, ValueError, "finite numbers for A.b"),
        ({"sweep": {"A.b": [np.ones(2)]}}, TypeError, "numbers, strings, booleans and lists"),
        ({"train_steps": 100}, ValueError, "train_steps has no effect: of random none is trained"),
        ({"gin_files": ["nowhere.gin"]}, ValueError, "gin_files must be files .* 'nowhere.gin'"),
        (
            {
                "agents": ["cluster_bandit_ts"],
                "sweep": {
                    "ClusterBanditAgent.ci_scaling": [1],
                    "cluster_bandit_agent.ClusterBanditAgent.ci_scaling": [2],
                },
            },
            ValueError,
            "sweep must name different parameters, got 'ClusterBanditAgent.ci_scaling' and ",
        ),
        (
            {
                "agents": ["cluster_bandit_ts"],
                "sweep": {"ClusterBanditAgent.ci_scaling": [1, 2]},
                "gin_bindings": ["ClusterBanditAgent.ci_scaling = 3"],
            },
            ValueError,
            "'ClusterBanditAgent.ci_scaling', which gin binds to one already",
        ),
        (
            {"sweep": {"Runner.max_steps_per_episode": [1, 2]}, "steps": 3},
            ValueError,
            "steps=3 takes precedence",
        ),
        (
            {
                "agents": ["cluster_bandit_ts"],
                "sweep": {"ClusterBanditAgent.ci_scaling": list(range(1, 50_002))},
                "seeds": 2,
            },
            ValueError,
            "seeds and sweep must make at most 100,000 tasks, got 100,002 or more",
        ),
        ({"agents": {"..": "random"}}, ValueError, "names of letters"),
        ({"sweep": {"ClusterBanditAgnt.ci_scaling": [1]}}, ValueError, "'ClusterBanditAgent'"),
        (
            {"agents": ["cluster_bandit_ts"], "sweep": {"ClusterBanditAgent.ci_scalin": [1]}},
            ValueError,
            "ci_scaling",
        ),
        ({"sweep": {"ClusterBanditAgent.ci_scaling": [1]}}, ValueError, "has no effect"),
        ({"gin_bindings": ["ClusterBanditAgent.ci_scaling = 1"]}, ValueError, "has no effect"),
        ({"sedes": 3}, TypeError, "'seeds'"),
        ({"shard": (3, 2), "output": "x"}, ValueError, "shard must be"),
        ({"shard": (1, 2)}, ValueError, "output must be given"),
        ({"workers": 0}, ValueError, "workers must be"),
        ({"workers": 1.5}, TypeError, "workers must be"),
        ({"log_user_state": True}, ValueError, "log_user_state has no effect"),
        ({"slate_size": 11}, ValueError, "slate_size must be at most num_candidates"),
    ],
)
def test_mistakes_are_found_before_anything_runs(settings, error, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = {"agents": ["random"], **settings}
    with pytest.raises(error, match=message):
        recsim.experiment(settings.pop("agents"), settings.pop("scenarios", SCENARIO), **settings)
    assert not list(tmp_path.rglob("*.json"))


def test_an_import_that_fails_tells_its_own_reason(tmp_path):
    (tmp_path / "broken.py").write_text("import a_module_that_is_not_there\n")
    with pytest.raises(ValueError, match="No module named 'a_module_that_is_not_there'"):
        recsim.experiment(f"{tmp_path / 'broken.py'}:Agent")


def test_a_folder_of_another_experiment_is_refused(tmp_path):
    recsim.experiment("random", output=tmp_path, **SHORT)
    with pytest.raises(ValueError, match="another experiment .steps 10 there and 11 here"):
        recsim.experiment("random", output=tmp_path, **{**SHORT, "steps": 11})
    (tmp_path / "experiment.json").write_text("{")
    with pytest.raises(ValueError, match="is spoiled"):
        recsim.experiment("random", output=tmp_path, **SHORT)
    (tmp_path / "experiment.json").unlink()
    with pytest.raises(ValueError, match="is not empty"):
        recsim.experiment("random", output=tmp_path, **SHORT)


def test_a_source_that_has_changed_is_refused(tmp_path):
    file = own_file(tmp_path)
    recsim.experiment(f"{file}:Own", output=tmp_path / "out", **SHORT)
    own_file(tmp_path, "return self._no_such_thing")
    with pytest.raises(ValueError, match="source of Own"):
        recsim.experiment(f"{file}:Own", output=tmp_path / "out", **SHORT)


FILE = """\
agents:
  bandit: cluster_bandit_ucb1
  own: own_agents.py:Own
  random: random
scenarios: interest_exploration
seeds: 2
sweep:
  ClusterBanditAgent.ci_scaling: [0.5, 1.0]
episodes: 3
steps: 10
"""


def test_an_experiment_in_a_file(monkeypatch, tmp_path):
    own_file(tmp_path)
    (tmp_path / "experiment.yaml").write_text(FILE)
    found = experiment_file.load(tmp_path / "experiment.yaml")
    results = recsim.experiment(experiment.Experiment(**found.settings), progress=False)
    expected = recsim.experiment(
        {
            "bandit": "cluster_bandit_ucb1",
            "own": f"{tmp_path}/own_agents.py:Own",
            "random": "random",
        },
        seeds=2,
        sweep={"ClusterBanditAgent.ci_scaling": [0.5, 1.0]},
        **SHORT,
    )
    assert values(results) == values(expected)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: 2", "seds: 2", "line 6: there is no key 'seds'. Did you mean 'seeds'"),
        ("seeds: 2", "seeds: two", "line 6: seeds must be"),
        ("seeds: 2", "seeds:", "line 6: seeds must be an integer >= 1, got nothing"),
        ("seeds: 2", "seeds: [2", "line 7: not YAML"),
        ("steps: 10", "steps: 10\nsteps: 11", "line 11: 'steps' is there twice"),
        ("  random: random", "  random: rndom", "line 4: agents: There is no agent 'rndom'"),
        ("own_agents.py:Own", "own_agents.py:Ow", "line 3: .* has no 'Ow'. Did you mean 'Own'"),
        ("interest_exploration", "interest", "line 5: scenarios: There is no environment"),
        ("[0.5, 1.0]", "0.5", "line 7: sweep must have a list of values"),
        (FILE, "- random\n", "line 1: an experiment is a mapping"),
        (FILE, "seeds: 2\n", "line 1: agents is missing"),
        ("seeds: 2", "train_steps: 9", "line 6: train_steps has no effect"),
        ("seeds: 2", "gin_files: [no.gin]", "line 6: gin_files must be files .*no.gin'"),
    ],
)
def test_mistakes_in_a_file_have_a_place(old, new, message, tmp_path):
    own_file(tmp_path)
    path = tmp_path / "experiment.yaml"
    assert old in FILE
    path.write_text(FILE.replace(old, new))
    with pytest.raises(ValueError, match=message) as raised:
        experiment_file.load(path)
    assert str(raised.value).startswith(repr(str(path)))


def test_the_schema_has_every_setting_and_is_documented():
    assert set(experiment_file.SCHEMA) == set(experiment.Experiment.__dataclass_fields__)
    page = (CHECKOUT / "docs" / "experiments.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.M)) == experiment_file.SCHEMA


def test_a_digest_of_a_class_of_this_file_is_there():
    digest = factories.source_digest(Failing, "agent")
    assert digest is not None
    assert factories.source_digest(Seeded, "agent") == digest
    assert np.char.isalnum(digest)
