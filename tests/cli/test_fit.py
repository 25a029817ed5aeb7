"""The command recsim fit: what it prints and writes, how it resumes, what it refuses."""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from recsim import cli, fitting
from recsim.environments import fitted
from recsim.fitting import _factorization, results

pytestmark = pytest.mark.usefixtures("empty_folder")

QUIET = "--output films --no-report --quiet"


def write_ratings(number: int = 600) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"userId": rng.integers(40, size=number), "movieId": rng.integers(15, size=number)}
    )
    exact = 3 + frame["movieId"] % 3 - frame["userId"] % 2
    frame["rating"] = np.round(exact + rng.normal(0, 0.5, number), 1)
    frame.to_csv("ratings.csv", index=False)
    pd.DataFrame({"movieId": range(16), "title": [f"Film {i}" for i in range(16)]}).to_csv(
        "films.csv", index=False
    )


def write_slates(number: int = 400) -> None:
    rng = np.random.default_rng(0)
    items = rng.integers(6, size=number)
    frame = pd.DataFrame({"time": range(number), "item": items, "position": 1 + rng.integers(3)})
    frame["click"] = (rng.random(number) < 0.05 + 0.1 * items).astype(int)
    frame.to_parquet("clicks.parquet")


def test_ratings(capsys):
    write_ratings()
    command = "fit ratings.csv --output films --item-table films.csv --num-factors 2 --refits 1"
    command += " --no-report"
    assert cli.main(command.split()) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "Columns: user = userId, item = movieId, rating (guessed by name)."
    assert "- 1 items of the table of items are never in the log: they are left out." in lines
    assert re.search(r"^\* 2_factors-\S+ +0\.\d{4} +\d+$", out, re.M)
    assert re.search(r"^  item means +\d\.\d{4}$", out, re.M)
    assert lines[-1] == "Run agents in it: recsim run --environment films"
    assert "rounds" in err
    parameters = fitted.load("films")
    assert parameters.item_names[3] == "Film 3"
    assert json.loads(pathlib.Path("films/fit.json").read_text())["refits"] == 1


def test_slates(capsys):
    write_slates()
    command = "fit clicks.parquet --output shop --models position_based --refits 0 --quiet"
    assert cli.main(command.split()) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^\* position_based-0_factors +-0\.\d{5} ", out, re.M)
    assert re.search(r"^  constant +-0\.\d{5}$", out, re.M)
    assert "Positions are counted from 1" in out
    assert "Of the pairs of 5 agents" in out
    assert "- The log does not say who saw what: " in out
    assert "report.html, report.json)" in out
    assert err == ""
    report = json.loads(pathlib.Path("shop/report.json").read_text())
    assert report["scenario_sha256"] == fitted.load("shop").sha256
    assert fitted.load("shop").num_items == 6


def test_the_same_command_fits_nothing_again(capsys, monkeypatch):
    write_ratings()
    command = shlex.split(f"fit ratings.csv --num-factors 2 --refits 1 {QUIET}")
    assert cli.main(command) == 0
    first = capsys.readouterr().out

    def never(*_: object, **__: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(_factorization, "factorize", never)
    assert cli.main(command) == 0
    assert capsys.readouterr().out == first


@pytest.mark.slow
def test_interrupted_and_resumed():
    write_ratings(60_000)
    command = [sys.executable, "-m", "recsim", *["fit", "ratings.csv", "--output", "films"]]
    command += ["--refits", "300", "--workers", "1", "--no-report"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(pathlib.Path().glob("films/fits/refit-0-*")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "The same command resumes with what is in films." in err
    assert not pathlib.Path("films/scenario.json").exists()
    finished = len(list(pathlib.Path("films/fits").iterdir()))
    assert 0 < finished < 300
    resumed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Files: films" in resumed.stdout
    assert fitted.load("films").num_users == 40


BAD_INPUT = {
    "fit absent.csv --output never": r"table must be a file or folder, got '.*absent.csv'",
    "fit ratings.csv": "the following arguments are required: --output",
    "fit --output never": "the following arguments are required: LOG",
    "fit ratings.csv --output never --item film": "must have the column 'film', got userId",
    "fit ratings.csv --output never --itm film": "no option '--itm'. Did you mean '--item'",
    "fit ratings.csv --output never --kind slates": "got all of 600 clicked",
    "fit ratings.csv --output never --kind clicks": "--kind: invalid choice: 'clicks'",
    "fit ratings.csv --output never --user none": "must have a column of users",
    "fit ratings.csv --output never --models cascade": "models goes with a table of slates",
    "fit clicks.parquet --output never --temperature 2": "temperature goes with a table of ratin",
    "fit clicks.parquet --output never --models cascade": "models must not have 'cascade'",
    "fit clicks.parquet --output never --models logit": "--models: invalid choice: 'logit'",
    "fit clicks.parquet --output never --drift maybe": "--drift: invalid choice: 'maybe'",
    "fit clicks.parquet --output never --num-factors 2": "num_factors must be 0 where the log does",
    "fit clicks.parquet --output never --separator ;": "separator and column_names are of CSV",
    "fit clicks.parquet --output never --session-gap 60": "session_gap must be left out",
    "fit clicks.parquet --output never --user-table films.csv": "no effect: the log has no column",
    "fit ratings.csv --output never --num-factors -1": "--num-factors: must be an integer >= 0",
    "fit ratings.csv --output never --num-factors few": "--num-factors: must be an integer >= 0",
    "fit ratings.csv --output never --held-out 1.5": r"held_out must be a probability in \[0, 1\]",
    "fit ratings.csv --output never --held-out some": "--held-out: must be a number, got 'some'",
    "fit ratings.csv --output never --refits -1": "--refits: must be an integer >= 0, got '-1'",
    "fit ratings.csv --output never --temperature 0": "temperature must be above 0",
    "fit ratings.csv --output never --item-table clicks.parquet": "a row for each, got '5'",
    "fit films.csv --output never": "must have a column of responses",
    "fit ratings.csv --output films.csv": "output must be a folder that can be written to",
    "fit empty.csv --output never": "is an empty file",
}


@pytest.mark.parametrize("command", BAD_INPUT)
def test_bad_input_is_one_line_and_writes_nothing(command, capsys):
    write_ratings()
    write_slates()
    pathlib.Path("empty.csv").write_text("")
    with pytest.raises(SystemExit) as caught:
        cli.main(shlex.split(command))
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert re.search(BAD_INPUT[command], err), err
    assert not pathlib.Path("never").exists()


def test_a_folder_of_another_scenario_is_refused(capsys):
    write_ratings()
    command = shlex.split(f"fit ratings.csv --num-factors 0 --refits 0 {QUIET}")
    assert cli.main(command) == 0
    before = pathlib.Path("films/scenario.json").read_bytes()
    with pytest.raises(SystemExit):
        cli.main([*command, "--seed", "1"])
    assert "has one of another log or of other settings" in capsys.readouterr().err
    assert pathlib.Path("films/scenario.json").read_bytes() == before


def test_fit_in_python():
    write_slates()
    told: list[str] = []
    settings = {"models": "position_based", "refits": 0, "workers": 1, "progress": False}
    result = fitting.fit("clicks.parquet", {"time": None}, **settings, tell=told.append)
    assert isinstance(result, results.FitResult)
    assert told[0].endswith("Not used: time.")
    again = fitting.fit(result.log, **settings)
    np.testing.assert_array_equal(again.parameters.item_utilities, result.parameters.item_utilities)
