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


@pytest.mark.slow
def test_stable_baselines3_example_runs(tmp_path):
    pytest.importorskip("stable_baselines3")
    arguments = f"--steps 1024 --num-envs 16 --users 20 --save {tmp_path}"
    out = run("train_ppo_and_dqn", arguments, tmp_path)
    rows = re.findall(r"^(\w+) +[\d.]+ ± ", out, re.M)
    assert rows == ["ppo", "dqn", "slateq", "greedy", "random"]
    assert {path.name for path in tmp_path.glob("*.zip")} == {"ppo.zip", "dqn.zip"}


def test_pytorch_example_runs(tmp_path):
    pytest.importorskip("torch")
    # Limits, and in interest evolution time budgets, end episodes.
    for arguments in ("", "--id recsim/LongTermSatisfaction-v0 --candidates 4 --slate-size 2"):
        small = f"--iterations 20 --num-envs 8 --steps 10 --epochs 1 {arguments}"
        out = run("pytorch_ppo", small, tmp_path)
        assert re.search(r"iteration 20: return \d+\.\d of the last \d+ episodes, [\d,]+ s", out)


def test_every_example_is_run_and_listed():
    scripts = {path.stem for path in EXAMPLES.glob("*.py")}
    others = {"train_slateq", "train_ppo_and_dqn", "pytorch_ppo"}
    assert scripts == {script for script, *_ in RUNS} | others
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\((\w+)\.py\)", page)) == scripts
