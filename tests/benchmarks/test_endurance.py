"""The endurance test: a quick run of it, and that it would see what goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support import RESULTS

from recsim.benchmarks.endurance import __main__ as command
from recsim.benchmarks.endurance import fuzzing, programs, results, soak

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it needs Linux")


def soak_of(resident, files=None, processes=None):
    number = len(resident)
    files, processes = files or [9] * number, processes or [1] * number
    return soak.Soak(
        [
            soak.Sample(float(i), 100 * i, resident[i], files[i], processes[i], 3, 2**19, 1500)
            for i in range(number)
        ]
    )


def test_growth_is_measured_after_the_warm_up():
    resident = [1000] * 34 + [2000] * 58 + [2030] * 9
    # 101 samples: the warm-up ends after the 33rd second, a tenth of the 67 left are 7.
    soaked = soak_of(resident)
    assert len(soaked.after(soak.WARM_UP)) == 67
    assert soaked.growth() == pytest.approx(0.015)
    assert soaked.growth(0.95) == 0.0
    assert list(soaked.problems(3600)) == [
        "resident memory has grown by 1.50% after the warm-up",
    ]
    assert list(soaked.problems(30)) == []
    assert list(soak_of([1000] * 34 + [2000] * 58 + [2019] * 9).problems(3600)) == []


def test_files_and_processes_that_are_left_are_seen():
    soaked = soak_of([5] * 50, [9] * 49 + [12], [0, 3, *[1] * 47, 2])
    assert list(soaked.problems(30)) == [
        "3 more files are open than after the warm-up",
        "there are 1 more processes than after the warm-up",
    ]
    assert (soaked.files_left, soaked.processes_left) == (3, 1)


def test_rows_of_a_soak_are_its_first_its_last_and_some_between():
    rows = soak_of([2**20] * 601).rows()
    assert len(rows) == 13
    assert [row[0] for row in rows[:3]] == ["0.0", "0.8", "1.7"]
    assert rows[-1] == ["10.0", "60,000", "1.0 MiB", "0.5 MiB", "1,500", "9", "1", "3"]


@linux
def test_how_a_program_ends_is_told(tmp_path):
    def write(folder):
        os.write(1, b"wrote\n")
        (tmp_path / "file").write_text(folder)

    def fail(folder):
        raise ValueError(folder)

    def full(folder):
        raise OSError(28, "No space left on device", folder)

    def hang(folder):
        subprocess.run(["sleep", "60"], check=True)

    log = str(tmp_path / "log")
    ended = programs.in_a_process(write, "a", log)
    assert (ended.code, ended.error, (tmp_path / "file").read_text()) == (0, "wrote\n", "a")
    assert programs.processes_left(log, 0) == 0
    assert programs.in_a_process(fail, "b", log).error.endswith("ValueError: b\n")
    assert programs.in_a_process(fail, "b", log).code == 4
    assert programs.in_a_process(full, "c", log).code == 3
    ended = programs.in_a_process(hang, "d", log, kill_after=0.3)
    assert ended.code == -9
    assert 0.3 <= ended.seconds < 30
    # The process that it had started lives on.
    assert programs.processes_left(log, 0) == 1
    for process in programs.processes_of(log):
        process.kill()
    assert programs.processes_left(log, 10) == 0


def test_a_fault_of_a_call_is_seen():
    def careless(number):
        return [1.0, 2.0][number]

    fault = fuzzing.fault_of_call("careless", careless, {"number": 1}, {"number": 7})
    assert fault is not None
    assert "by no raise of ours" in fault.reason
    fault = fuzzing.fault_of_call("nan", lambda number: number * float("nan"), {}, {"number": 2})
    assert fault is not None
    assert fault.reason == "returns nan for finite arguments"
    assert fuzzing.fault_of_call("good", careless, {"number": 1}, {"number": 0}) is None


def phase(**kwargs):
    return {
        "header": ["minutes", "memory"],
        "rows": [["1.0", "5 MiB"]],
        "notes": "What it means.",
        "problems": [],
        "command": "python -m recsim.benchmarks.endurance",
        "seed": 0,
        "seconds": 60.0,
        "versions": {"recsim": "1"},
        "system": "Linux",
        **kwargs,
    }


def test_page_has_the_phases_and_what_went_wrong():
    record = {"phases": {"kills": phase(problems=["it broke"]), "soak": phase()}}
    text = results.page(record)
    assert text.index("## Memory, files and processes") < text.index("## Killed at random")
    assert "| minutes | memory |\n| :------ | -----: |\n| 1.0     |  5 MiB |" in text
    assert "- it broke" in text
    assert not results.is_passed(record)
    assert results.is_passed({"phases": {"soak": phase()}})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hours", "0"], "must be a number in [0.001, 1000], got '0'"),
        (["--hours", "nan"], "must be a number in [0.001, 1000], got 'nan'"),
        (["--cases", "0"], "must be in [1, 100000], got '0'"),
        (["--phases", "sleep"], "invalid choice: 'sleep'"),
        (["--output", "page.md"], "must end with .json, got 'page.md'"),
        (["--output", "other.json"], "which is something else: choose another."),
        (["--output", "missing/\0.json"], "output must be a path"),
    ],
)
@linux
def test_wrong_options_are_refused(arguments, message, refused, empty_folder):
    (empty_folder / "other.json").write_text('{"cases": []}')
    assert message in refused(command.main, arguments)
    assert (empty_folder / "other.json").read_text() == '{"cases": []}'


@linux
@pytest.mark.slow
def test_quick_run(tmp_path):
    record = tmp_path / "folder" / "endurance.json"
    run = [sys.executable, "-m", "recsim.benchmarks.endurance", "--quick", "--output", str(record)]
    run += ["--hours", "0.003"]  # As few cases as --quick has, and a soak of a third of its time.
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=580)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("Nothing went wrong.\n")
    phases = json.loads(record.read_text())["phases"]
    assert list(phases) == list(results.TITLES)
    assert all(found["rows"] and found["seed"] == 0 for found in phases.values())
    assert phases["soak"]["samples"][-1][0] > 7
    page = record.with_suffix(".md").read_text()
    assert page == results.page(json.loads(record.read_text()))
    # Another run of one phase keeps the others.
    run += ["--phases", "calls", "--cases", "1", "--seed", "3"]
    assert subprocess.run(run, capture_output=True, check=False).returncode == 0
    again = json.loads(record.read_text())["phases"]
    assert again["kills"] == phases["kills"]
    assert again["calls"]["seed"] == 3


def test_page_of_the_documentation_shows_the_committed_record():
    record = json.loads((RESULTS / "endurance" / "endurance.json").read_text(encoding="utf-8"))
    assert (RESULTS / "endurance.md").read_text(encoding="utf-8") == results.page(record)
    assert results.is_passed(record)
