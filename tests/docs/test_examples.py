"""The scripts in examples/ run, and show what they say."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"

# Short runs: script, arguments, a regular expression of what it prints.
RUNS = [
    ("compare_agents", "--episodes 5", r"bandit: \d\d\.\d clicks .*\nrandom: \d\d\.\d clicks"),
    ("vectorized_users", "--users 3000 --workers 1", r"3,000 users, .*\nmean .*: 7[89]\d\.\d"),
    ("own_agent", "--episodes 2", r"user 0: \d+ clicks, by topic \[.*\]\nuser 1: "),
    ("own_scenario", "--episodes 100", r"favourite: 3\.\d films .*\nalternating: [89]\.\d films"),
    ("serve_agent", "", r"the last slate: .*, of topics \[1, 1\]\n[\d.]+ ms per request\n1 user"),
    ("train_and_resume", "--steps 200", r"the same when resumed: True"),
]


def run(script: str, arguments: str, folder: pathlib.Path) -> str:
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{script}.py"), *arguments.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize(("script", "arguments", "shown"), RUNS, ids=[run[0] for run in RUNS])
def test_example_runs(script, arguments, shown, tmp_path):
    assert re.search(shown, run(script, arguments, tmp_path))


@pytest.mark.slow
def test_slateq_example_runs(tmp_path):
    out = run("train_slateq", "--steps 400 --episodes 5", tmp_path)
    assert re.search(r"slateq: [\d.]+ minutes, .*\nrandom: [\d.]+ minutes", out)


def test_every_example_is_run_and_listed():
    scripts = {path.stem for path in EXAMPLES.glob("*.py")}
    assert scripts == {script for script, *_ in RUNS} | {"train_slateq"}
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\((\w+)\.py\)", page)) == scripts
