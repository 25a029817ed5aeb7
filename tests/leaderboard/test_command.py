"""The command recsim leaderboard: a run, its page, checks of files, a cell again."""

import dataclasses
import json

import pytest

from recsim import cli
from recsim.experiments.leaderboard import tasks

TINY = tasks.version_of("recsim-slates-v1-quick")
TINY = dataclasses.replace(
    TINY, tasks={name: dataclasses.replace(TINY.task(name), users=10) for name in ("easy",)}
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    monkeypatch.setattr(tasks, "version_of", lambda name: TINY)
    monkeypatch.setattr(tasks.Version, "quick", lambda version: version)
    monkeypatch.chdir(tmp_path)


def command(*arguments):
    return cli.main(["leaderboard", *arguments])


def test_from_a_run_to_a_cell_again(tmp_path, capsys):
    agents = ("random", "cluster_bandit_ts")
    assert command("--quick", "--agents", *agents, "--workers", "1", "--quiet") == 0
    folder = tmp_path / "recsim_runs" / TINY.name
    shown = " ".join(capsys.readouterr().out.split())
    assert "2 agents in 1 of 1 tasks, 2 pairs with 2 seeds each" in shown
    assert "cluster_bandit_ts" in (folder / "tables.md").read_text(encoding="utf-8")

    file = folder / "entries" / "cluster_bandit_ts.json"
    assert command("--check", str(file)) == 0
    assert f"an entry of cluster_bandit_ts in {TINY.name}, whole." in capsys.readouterr().out

    cell = ("--rerun", str(file), "--tasks", "easy", "--seed", "1", "--quiet")
    assert command(*cell) == 0
    assert "now: the same." in capsys.readouterr().out
    data = json.loads(file.read_text(encoding="utf-8"))
    data["tasks"]["easy"]["returns"]["1"] += 1.0
    file.write_text(json.dumps(data), encoding="utf-8")
    assert command(*cell) == 1
    assert "now: not the same." in capsys.readouterr().out

    assert command("--page", str(folder / "entries"), "--output", "page") == 0
    assert (tmp_path / "page" / "scores.png").is_file()


def test_files_that_lack_something_are_told_of(tmp_path, capsys):
    run = ("--quick", "--agents", "random", "--seeds", "1", "--output", "one", "--quiet")
    assert command(*run) == 0
    assert command("--check", "one/entries/random.json") == 0
    assert "with 1 of 2 seeds." in capsys.readouterr().out


def test_bad_files_do_not_keep_others_from_being_checked(tmp_path, capsys):
    assert command("--quick", "--agents", "random", "--output", "one", "--quiet") == 0
    (tmp_path / "bad.json").write_text("{}", encoding="utf-8")
    assert command("--check", "bad.json", "none.json", "one/entries/random.json") == 1
    out, err = capsys.readouterr()
    assert "an entry of random" in out
    assert "bad.json' is not an entry of the leaderboard: format must be 1, got None." in err
    assert "none.json" in err


FAILING = """
from recsim.agents import random_agent

class Fails(random_agent.VectorRandomAgent):
    def step(self, *arguments):
        raise IndexError("midway")

class Mine(random_agent.VectorRandomAgent):
    pass
"""


def test_agents_that_fail_leave_the_page_of_the_others(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(FAILING, encoding="utf-8")
    run = ("--quick", "--seeds", "1", "--output", "two", "--quiet", "--workers", "1")
    assert command(*run, "--agents", "mine.py:Fails", "mine.py:Mine") == 1
    out, err = capsys.readouterr()
    assert "error: Fails has failed in easy: All tasks have failed, the first" in err
    assert "with IndexError: midway" in err
    # Without random there are no scores yet.
    assert "Mine   easy" in out
    assert "run --agents random here, too" in out
    assert command(*run, "--agents", "random") == 0
    assert "2 agents in 1 of 1 tasks" in " ".join(capsys.readouterr().out.split())
    assert command("--page", "two", "--output", "page") == 0
    assert "`Mine` earns the most" in (tmp_path / "page" / "findings.md").read_text("utf-8")
