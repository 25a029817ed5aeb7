"""One table of bad command lines: each ends with status 2, says what to do, and leaves no file."""

import re

import pytest

from recsim import cli

# Command lines, and what they say on the standard error stream.
COMMAND_TABLE = {
    "unknown agent": (["run", "--agent", "randm"], "randm.*Did you mean 'random'"),
    "unknown environment": (
        ["run", "--environment", "interest_explorations"],
        "Did you mean 'interest_exploration'",
    ),
    "unknown flag": (["run", "--sede", "3"], "'--sede'.*Did you mean '--seed'"),
    "unknown command": (["rnu"], "rnu.*run"),
    "slate of the command too long": (["run", "--slate-size", "11"], "slate_size=11"),
    "negative number of episodes": (["run", "--episodes", "-3"], "--episodes.*-3"),
    "users without memory": (["run", "--num-envs", "10000000000000"], "need at least .* of memory"),
    "candidates without memory": (["run", "--num-candidates", "10000000000000"], "need at least"),
    "states of users in no log": (["run", "--log-user-state"], "no effect without --log-episodes"),
    "unknown version of the leaderboard": (
        ["leaderboard", "recsim-slate-v1"],
        "no version 'recsim-slate-v1'.*Did you mean 'recsim-slates-v1'",
    ),
    "unknown task of the leaderboard": (
        ["leaderboard", "--tasks", "cataloge"],
        "no task 'cataloge' in recsim-slates-v1. Did you mean 'catalogue'",
    ),
    "unknown agent of the leaderboard": (["leaderboard", "--agents", "randm"], "'random'"),
    "more seeds than the leaderboard has": (["leaderboard", "--seeds", "11"], "seeds must be .*11"),
    "cell without a seed": (["leaderboard", "--rerun", "random.json"], "give --tasks with one"),
    "agents of a check": (
        ["leaderboard", "--check", "random.json", "--agents", "random"],
        "--agents has no effect on --check",
    ),
    "entry that is not there": (
        ["leaderboard", "--rerun", "random.json", "--tasks", "easy", "--seed", "0"],
        "No such file",
    ),
    "import that fails": (["run", "--gin-bindings", "import nosuch"], "No module named 'nosuch'"),
}


@pytest.mark.parametrize("row", COMMAND_TABLE)
def test_bad_commands(row, tmp_path, monkeypatch, capsys):
    arguments, message = COMMAND_TABLE[row]
    monkeypatch.chdir(tmp_path)
    try:
        status = cli.main(arguments)
    except SystemExit as error:
        status = error.code
    assert status == 2
    assert re.search(f"(?s){message}", capsys.readouterr().err)
    assert list(tmp_path.glob("*")) == []
