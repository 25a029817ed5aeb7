"""The command recsim watch: what it shows and writes, and what it refuses."""

from __future__ import annotations

import json
import os
import pathlib

import gin
import pytest
from support import CHECKOUT

from recsim import cli, registry
from recsim.simulator import checkpoint

pytestmark = pytest.mark.usefixtures("empty_folder")

OWN = """
import numpy as np
from recsim.environments import long_term_satisfaction
from recsim.types import Explanation


class Last:
    def __init__(self, action_space, seed):
        self.slate = [int(action_space.nvec[0]) - 1]

    def begin_episode(self, observation):
        return self.slate

    def step(self, reward, observation):
        return self.slate

    def end_episode(self, reward, observation):
        pass

    def explain(self, observation):
        return Explanation("The last one.")


def create_environment(env_config):
    return long_term_satisfaction.create_environment({**env_config, "time_budget": 4})


def broken(env_config):
    raise KeyError("no such thing")


def several(env_config):
    from recsim.simulator import environment, recsim_gym
    env = create_environment(env_config)
    inner = env.environment
    several = environment.MultiUserEnvironment(
        [inner.user_model] * 2, long_term_satisfaction.LTSDocumentSampler(), 5, 1)
    return recsim_gym.RecSimGymEnv(several, lambda responses: 0.0)
"""


def test_an_episode_is_printed(capsys):
    assert cli.main(["watch", "--steps", "3"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "Step 1 of 3 · cluster_bandit_ucb1 in interest_exploration, seed 0"
    assert out.count("Step ") == 3 and "Agent: UCB1: the topic of the highest index" in out
    assert "Candidates (10)" in lines and max(map(len, lines)) <= 80
    assert lines[-1].startswith("3 steps, return ") and err == ""


def test_the_documentation_shows_what_is_printed(capsys):
    page = (CHECKOUT / "docs" / "watching.md").read_text(encoding="utf-8")
    shown = page.partition("--seed 3\n…\n")[2].partition("\n```")[0]
    cli.main(["watch", "--num-candidates", "5", "--seed", "3"])
    assert shown.startswith("Step 7 of 50") and f"\n{shown}\n\n" in capsys.readouterr().out


def test_files_are_written_and_no_steps_printed(capsys):
    arguments = ["--environment", "interest_evolution", "--agent", "softmax", "--seed", "4"]
    arguments += ["--num-candidates", "6", "--slate-size", "3", "--no-resample", "--steps", "5"]
    assert cli.main(["watch", *arguments, "--html", "a/b.html", "--json", "episode.json"]) == 0
    out, _ = capsys.readouterr()
    episode = json.loads(pathlib.Path("episode.json").read_text())
    assert episode["title"] == "softmax in interest_evolution, seed 4" and episode["truncated"]
    assert len(episode["steps"]) == 5
    assert [len(step["slate"]) for step in episode["steps"]] == [3] * 5
    assert episode["steps"][0]["item_ids"] == episode["steps"][4]["item_ids"]
    assert len(episode["steps"][0]["item_ids"]) == 6
    assert out == (
        f"5 steps, return {episode['total_reward']:g}, truncated.\n"
        f"Files: {os.path.join('a', 'b.html')}, episode.json\n"
    )
    assert "softmax in interest_evolution, seed 4" in pathlib.Path("a/b.html").read_text()
    cli.main(["watch", *arguments, "--json", "again.json"])
    assert json.loads(pathlib.Path("again.json").read_text()) == episode


def test_environments_and_agents_of_ones_own(capsys):
    pathlib.Path("mine.py").write_text(OWN)
    cli.main(["watch", "--environment", "mine.py", "--agent", "mine.py:Last"])
    out, _ = capsys.readouterr()
    assert out.startswith("Step 1 of 4 · Last in mine, seed 0") and "Agent: The last one." in out
    assert out.endswith("the environment ended it.\n")


def test_bindings_count(capsys):
    def shown(*options):
        cli.main(["watch", "--steps", "12", *options])
        return capsys.readouterr().out

    binding = "ClusterBanditAgent.ci_scaling = 0.0"
    pathlib.Path("given.gin").write_text(binding)
    plain = shown()
    assert shown("--gin-bindings", binding) == shown("--gin-files", "given.gin") != plain
    assert gin.config_str() == "" and shown() == plain


def trained(agent, environment):
    cli.main(
        ["run", "--agent", agent, "--environment", environment, "--seeds", "1", "--episodes", "1"]
        + ["--train-steps", "300", "--steps", "20", "--output", "out", "--quiet", "--workers", "1"]
        + ["--num-candidates", "4", "--slate-size", "1"]
    )


@pytest.mark.slow
def test_a_trained_agent_shows_what_it_has_learned(capsys):
    trained("tabular_q", "long_term_satisfaction")
    arguments = ["--agent", "tabular_q", "--environment", "long_term_satisfaction", "--steps", "4"]
    arguments += ["--num-candidates", "4", "--slate-size", "1"]
    capsys.readouterr()
    cli.main(["watch", *arguments, "--json", "new.json"])
    out, err = capsys.readouterr()
    assert "tabular_q has learned nothing yet: --checkpoint names what it has." in err
    values = []
    folder = next(pathlib.Path("out").rglob("checkpoints"))
    newest = max(folder.iterdir(), key=lambda path: path.stat().st_mtime)
    for place in ("out", folder, newest):
        cli.main(["watch", *arguments, "--checkpoint", str(place), "--json", "trained.json"])
        assert capsys.readouterr().err == ""
        step = json.loads(pathlib.Path("trained.json").read_text())["steps"][0]
        values.append(step["explanation"]["tables"][0]["columns"]["Q-value"])
        assert step["explanation"]["tables"][0]["rows"][0] == step["slate"]
    assert values[0] == values[1] == values[2] and values[0][0] > 1.0


def test_a_deep_agents_serving_bundle_is_watched(capsys):
    config = {"num_candidates": 4, "slate_size": 1, "resample_documents": True, "seed": 0}
    env = registry.create_environment("interest_evolution", config)
    agent = registry.create_agent("slate_topk_sarsa", env, seed=9, eval_mode=True)
    checkpoint.save("agent.ckpt", agent.serving_bundle())
    arguments = ["--environment", "interest_evolution", "--agent", "slate_topk_sarsa"]
    arguments += ["--num-candidates", "4", "--slate-size", "1", "--steps", "1"]
    cli.main(["watch", *arguments, "--checkpoint", "agent.ckpt", "--json", "episode.json"])
    step = json.loads(pathlib.Path("episode.json").read_text())["steps"][0]
    expected = agent.explain(env.reset()).tables[0].columns["Q-value"]
    assert step["explanation"]["tables"][0]["columns"]["Q-value"] == expected.tolist()
    assert capsys.readouterr().err == ""


def saved(name, environment, *, num_candidates=6, slate_size=3):
    config = {"num_candidates": num_candidates, "slate_size": slate_size, "seed": 0}
    env = registry.create_environment(environment, {**config, "resample_documents": True})
    agent = registry.create_agent(name, env, seed=9, eval_mode=True)
    agent.save("saved.agent", observation_space=env.observation_space)
    return agent, env


def test_a_saved_agent_is_watched_with_the_sizes_that_it_was_made_for(capsys):
    agent, env = saved("slate_topk_sarsa", "interest_evolution")
    arguments = ["--environment", "interest_evolution", "--agent", "saved.agent", "--steps", "1"]
    cli.main(["watch", *arguments, "--json", "episode.json"])
    assert capsys.readouterr().err == ""
    episode = json.loads(pathlib.Path("episode.json").read_text())
    step = episode["steps"][0]
    assert episode["title"] == "saved.agent in interest_evolution, seed 0"
    assert (len(step["item_ids"]), len(step["slate"])) == (6, 3)
    expected = agent.explain(env.reset()).tables[0].columns["Q-value"]
    assert step["explanation"]["tables"][0]["columns"]["Q-value"] == expected.tolist()
    # SlateQ serves any number of items, in slates of any size.
    more = ["--num-candidates", "8", "--slate-size", "2", "--json", "more.json"]
    cli.main(["watch", *arguments, *more])
    step = json.loads(pathlib.Path("more.json").read_text())["steps"][0]
    assert (len(step["item_ids"]), len(step["slate"])) == (8, 2)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--num-candidates", "9"], "--num-candidates must be 6, which the saved agent was made"),
        (["--slate-size", "2"], "--slate-size must be 3, which the saved agent was made for"),
        (["--checkpoint", "saved.agent"], "--checkpoint has no effect with a saved agent"),
    ],
)
def test_what_does_not_fit_a_saved_agent_is_refused(arguments, expected, refused):
    saved("full_slate_q", "interest_evolution")
    environment = ["--environment", "interest_evolution"]
    err = refused(cli.main, ["watch", "--agent", "saved.agent", *environment, *arguments])
    assert expected in err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--environment", "interest_exploratoin"], "Did you mean 'interest_exploration'?"),
        (["--agent", "randm"], "There is no agent 'randm'."),
        (["--agent", "full_slate_q", "--num-candidates", "1000"], "max_num_slates"),
        (["--agent", "greedy_pctr", "--environment", "long_term_satisfaction"], "greedy_pctr"),
        (["--agent", "nothing.py:Agent"], "there is no file"),
        (["--agent", "some.txt"], "cannot be loaded as a saved agent"),
        (["--environment", "mine.py:broken"], "no such thing"),
        (["--environment", "mine.py:several", "--agent", "mine.py:Last"], "one user"),
        (["--steps", "0"], "--steps: must be an integer >= 1, got '0'"),
        (["--seed", "-1"], "--seed"),
        (["--slate-size", "11"], "slate_size"),
        (["--checkpoint", "nowhere"], "--checkpoint must be a file or a folder"),
        (["--checkpoint", "empty"], "there are no checkpoints"),
        (["--checkpoint", "two"], "must name one training, got 'two', in which there are 2"),
        (["--checkpoint", "mine.py"], "mine.py"),
        (["--html", "empty"], "--html must be a file, got 'empty', a folder"),
        (["--html", "x", "--json", "x"], "--html and --json must be different files"),
        (["--html", ""], "--html must be a path"),
        (["--gin-bindings", "Nothing.at_all = 1"], "Nothing"),
        (["--gin-bindings", "LTSStaticUserSampler.sensitivity = 0.1"], "has no effect"),
        (["--html-file", "x"], "there is no option '--html-file'"),
        (["random"], "unexpected argument 'random'"),
    ],
)
def test_what_cannot_be_watched_is_refused(arguments, expected, refused):
    pathlib.Path("mine.py").write_text(OWN)
    pathlib.Path("some.txt").write_text("no agent")
    pathlib.Path("empty").mkdir()
    for name in ("two/a/checkpoints", "two/b/checkpoints"):
        pathlib.Path(name).mkdir(parents=True)
        pathlib.Path(name, "ckpt.0").write_text("x")
    err = refused(cli.main, ["watch", *arguments])
    assert expected in err and err.count("\n") == 1
