"""Reproductions: tasks, workers, resuming after an interruption, files, and the command."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib import metadata

import gin
import numpy as np
import psutil
import pytest

from recsim import cli, parallel, registry
from recsim._internal import files
from recsim.reproductions import bandit_regret, base
from recsim.simulator import (
    checkpoint,
    runner_lib,  # noqa: F401  # Its parameters are bound here.
)

pytestmark = pytest.mark.usefixtures("empty_folder")

FILES = ["regret.png", "regret.svg", "results.json", "settings.json", "table.md"]


@pytest.fixture(autouse=True)
def small(monkeypatch, request):
    """Leaves two short problems, of one case each."""
    problems = {name: bandit_regret.Problem("2 arms", (0.6, 0.4), 100) for name in ("one", "other")}
    cases = [
        bandit_regret.Case("one", "kl_ucb", (10.0, 1.0)),
        bandit_regret.Case("other", "thompson"),
    ]
    monkeypatch.setattr(bandit_regret, "PROBLEMS", problems)
    monkeypatch.setattr(bandit_regret, "CASES", cases)
    if "figures" not in request.fixturenames:
        monkeypatch.setattr(bandit_regret.BanditRegret, "figures", lambda *_: {})


@pytest.fixture
def figures():
    """Lets a test draw the figures, which takes most of the time of a small run."""


def run(folder, runs=300, seed=0, workers=1):
    experiment = bandit_regret.BanditRegret(runs, seed)
    return base.run(experiment, folder, workers=workers, show_progress=False)


def file_names(folder):
    return sorted(path.name for path in pathlib.Path(folder).iterdir() if path.is_file())


def tasks(folder):
    return {path.name: path.stat().st_mtime_ns for path in pathlib.Path(folder, "tasks").iterdir()}


def test_files_of_a_run(figures):
    record = run("out")
    assert file_names("out") == FILES
    assert json.loads(pathlib.Path("out/results.json").read_text()) == json.loads(
        json.dumps(record)
    )
    assert record["experiment"] == "bandits"
    assert record["command"] == "recsim reproduce bandits --runs 300 --seed 0 --workers 1"
    assert record["settings"] == {"runs": 300, "seed": 0}
    assert record["versions"]["numpy"] == np.__version__
    assert record["time"]["tasks"] == 4
    assert record["time"]["tasks_of_earlier_commands"] == 0
    assert pathlib.Path("out/regret.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in pathlib.Path("out/regret.svg").read_text()[:1000]
    experiment = bandit_regret.BanditRegret(300)
    table = pathlib.Path("out/table.md").read_text(encoding="utf-8")
    assert table.count("| algorithm ") == 2
    assert table.endswith(f"\n\n{experiment.notes}\n")
    text = base.text(experiment, record)
    assert text.endswith(f"\n\n{experiment.notes}")
    assert text.startswith("2 arms; T = 100; C = ")


@pytest.mark.parametrize("workers", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_workers_change_nothing_but_the_time(workers):
    assert run("one")["results"] == run("several", workers=workers)["results"]


def test_the_same_results_give_the_same_files(figures):
    run("one")
    run("two")
    for name in ("regret.png", "regret.svg", "table.md"):
        assert pathlib.Path("one", name).read_bytes() == pathlib.Path("two", name).read_bytes()


@pytest.mark.parametrize("number", [0, 1, 3])
def test_an_interrupted_run_resumes_to_the_same_numbers(number, monkeypatch):
    expected = run("through")["results"]
    run_tasks, finished = parallel.run_tasks, 0

    def interrupted(*arguments, **settings):
        nonlocal finished
        for result in run_tasks(*arguments, **settings):
            if finished == number:
                raise KeyboardInterrupt
            finished += 1
            yield result

    with monkeypatch.context() as patch:
        patch.setattr(parallel, "run_tasks", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run("stopped")
    before = tasks("stopped")
    assert len(before) == number
    assert file_names("stopped") == ["settings.json"]
    record = run("stopped")
    assert record["results"] == expected
    assert record["time"]["tasks_of_earlier_commands"] == number
    assert before.items() <= tasks("stopped").items()


def test_a_finished_run_is_shown_again_without_computing():
    run("out")
    before, results = tasks("out"), pathlib.Path("out/results.json").read_text()
    os.remove("out/table.md")
    run("out", workers=2)
    assert tasks("out") == before
    assert file_names("out") == ["results.json", "settings.json", "table.md"]
    assert pathlib.Path("out/results.json").read_text() == results


def test_a_disk_that_fails_leaves_whole_files(monkeypatch):
    write_array = np.lib.format.write_array

    def fail(file, array, **kwargs):
        write_array(file, array, **kwargs)
        if any(name.endswith(".result") for name in tasks("out")):  # The first one is there.
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(OSError, match="No space left"):
        run("out")
    assert list(tasks("out")) == ["one_kl_ucb_000.result"]


def test_results_with_other_gin_bindings_are_not_mixed():
    run("out")
    gin.bind_parameter("EvalRunner.max_eval_episodes", 7)
    try:
        message = "binding of EvalRunner.max_eval_episodes nothing there and 7 here"
        with pytest.raises(ValueError, match=message):
            run("out")
        run("bound")
        settings = json.loads(pathlib.Path("bound/results.json").read_text())
        assert settings["gin_bindings"] == {"EvalRunner.max_eval_episodes": "7"}
    finally:
        gin.clear_config()
    assert "gin_bindings" not in json.loads(pathlib.Path("out/results.json").read_text())


def test_results_of_other_settings_are_not_mixed(monkeypatch):
    run("out")
    with pytest.raises(ValueError, match=r"out' holds results of other.*runs 300 there and 301 h"):
        run("out", runs=301)
    with pytest.raises(ValueError, match="seed 0 there and 5 here"):
        run("out", seed=5)
    monkeypatch.setattr(metadata, "version", lambda distribution: "1.0")
    with pytest.raises(ValueError, match=r"version of numpy \S+ there and 1.0 here"):
        run("out")


SPOILED = {
    "empty": lambda content: b"",
    "torn": lambda content: content[: len(content) // 2],
    "one byte": lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:],
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"not a file of recsim",
    "longer": lambda content: content + b"more",
    "a folder": None,
}


def spoil(path, how):
    content = path.read_bytes()
    if SPOILED[how] is None:
        path.unlink()
        path.mkdir()
        (path / "inside").write_text("")
    else:
        path.write_bytes(SPOILED[how](content))


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_task_is_computed_anew(how, caplog):
    expected = run("out")["results"]
    before = tasks("out")
    path = pathlib.Path("out/tasks/other_thompson_000.result")
    spoil(path, how)
    record = run("out")
    assert record["results"] == expected
    assert record["time"]["tasks_of_earlier_commands"] == 3
    (warning,) = caplog.messages
    assert f"{str(path.absolute())!r} is spoiled and computed anew: " in warning
    assert "base_dir" not in warning  # A checkpoint's advice.
    changed = [name for name, changed_at in tasks("out").items() if before[name] != changed_at]
    assert changed == [path.name]
    caplog.clear()
    assert run("out")["results"] == expected
    assert caplog.messages == []


def test_a_copy_of_another_task_is_computed_anew(caplog):
    expected = run("out")["results"]
    folder = pathlib.Path("out/tasks")
    content = (folder / "one_kl_ucb_001.result").read_bytes()
    (folder / "one_kl_ucb_000.result").write_bytes(content)
    assert run("out")["results"] == expected
    assert "is not of the task one_kl_ucb_000" in caplog.text


@pytest.mark.parametrize("how", [*SPOILED, "a list", "another dictionary", "other settings"])
def test_spoiled_results_are_put_together_anew(how, caplog):
    expected = run("out")
    before = tasks("out")
    path = pathlib.Path("out/results.json")
    if how in SPOILED:
        spoil(path, how)
    else:
        other = {**expected, "settings": {"runs": 7, "seed": 0}}
        data = {"a list": [1], "another dictionary": {}, "other settings": other}[how]
        path.write_text(json.dumps(data))
    if how == "one byte":  # As JSON has no checksum: only what is not JSON shows.
        path.write_bytes(b"\xff" + path.read_bytes())
    record = run("out")
    assert record["results"] == expected["results"]
    assert json.loads(path.read_text()) == json.loads(json.dumps(record))
    assert f"{str(path.absolute())!r} is spoiled and put together anew: " in caplog.text
    assert tasks("out") == before


@pytest.mark.parametrize("how", ["empty", "torn", "zeros", "text"])
def test_spoiled_settings_are_refused_by_name(how, refused):
    assert cli.main(["reproduce", "bandits", "--runs=9", "--output", "o", "--quiet"]) == 0
    path = pathlib.Path("o/settings.json")
    spoil(path, how)
    err = refused(cli.main, ["reproduce", "bandits", "--runs=9", "--output", "o", "--quiet"])
    assert f"{str(path.absolute())!r}, which says what the results in its folder are of" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", registry.REPRODUCTIONS)
def test_every_reproduction_can_be_made(name, capsys):
    kind = registry.reproduction_entry(name).load()
    assert kind.name == name
    assert issubclass(kind, base.Reproduction)
    with pytest.raises(SystemExit):
        cli.main(["reproduce", name, "--help"])
    assert f"options of {name}:" in capsys.readouterr().out
    defaults = inspect.signature(kind).parameters
    assert {size.name: size.default for size in kind.sizes} == {
        size.name: defaults[size.name].default for size in kind.sizes
    }


@pytest.mark.parametrize("name", registry.REPRODUCTIONS)
def test_sizes_are_those_of_the_options_then_the_defaults(name):
    kind = registry.reproduction_entry(name).load()

    def settings(quick, **given):
        options = {**dict.fromkeys(size.name for size in kind.sizes), "seed": 4, **given}
        return kind.from_options(argparse.Namespace(quick=quick, **options)).settings

    full = {size.name: size.default for size in kind.sizes}
    quick = {size.name: size.quick for size in kind.sizes}
    assert settings(False) == {**full, "seed": 4}
    assert settings(True) == {**quick, "seed": 4}
    first = kind.sizes[0]
    assert settings(True, **{first.name: 77}) == {**quick, first.name: 77, "seed": 4}
    assert all(size.least <= size.quick <= size.default for size in kind.sizes)


@pytest.mark.parametrize("name", registry.REPRODUCTIONS)
def test_numbers_that_are_too_small(name):
    kind = registry.reproduction_entry(name).load()
    for size, least in [*((size.name, size.least) for size in kind.sizes), ("seed", 0)]:
        message = f"{size} must be an integer >= {least}, got {least - 1}"
        with pytest.raises(ValueError, match=message):
            kind(**{size: least - 1})
        with pytest.raises(TypeError, match=f"{size} must be an integer"):
            kind(**{size: 1e6})


def test_the_command(capsys):
    assert cli.main(["reproduce", "bandits", "--quick", "--workers", "1"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("2 arms; T = 100; C = 2.4")
    assert out.endswith("\nFiles: recsim_runs/bandits_quick (results.json, table.md, figures)\n")
    assert "bandits: 40,000 of 40,000 pulls (100%)" in err
    assert max(map(len, out.splitlines())) <= 80
    record = json.loads(pathlib.Path("recsim_runs/bandits_quick/results.json").read_text())
    assert record["settings"]["runs"] == bandit_regret.QUICK_RUNS

    os.remove("recsim_runs/bandits_quick/tasks/one_kl_ucb_000.result")
    assert cli.main(["reproduce", "bandits", "--quick", "--workers=1"]) == 0
    again, err = capsys.readouterr()
    assert again == out
    assert err.startswith("Resuming: 1 of 2 tasks are done.\nbandits: 20,000 of 20,000 pulls")

    assert cli.main(["reproduce", "bandits", "--runs=9", "--output", "o", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert json.loads(pathlib.Path("o/results.json").read_text())["settings"]["runs"] == 9


BAD_INPUT = {
    "reproduce": "the following arguments are required: EXPERIMENT",
    "reproduce bandit": "no experiment 'bandit'. Did you mean 'bandits'",
    "reproduce zzz --runs 3": r"no experiment 'zzz'\. Known are: bandits",
    "reproduce bandits --runs 1": "--runs: must be an integer >= 2, got '1'",
    "reproduce bandits --runs many": "--runs: must be an integer >= 2, got 'many'",
    "reproduce bandits --rnus 10": "no option '--rnus'. Did you mean '--runs'",
    "reproduce bandits --workers 0": "--workers: must be an integer >= 1, got '0'",
    "reproduce bandits --seed -1": r"--seed: must be in \[0, 4294967295\], got '-1'",
    "reproduce bandits --runs 10000000000000": "runs=10,000,000,000,000 need at least .* of memory",
    "reproduce slateq --seeds 10000000000000": "choose fewer seeds",
    "reproduce slateq --users 1000000000000000": "choose fewer users",
    "reproduce bandits --workers 10000000000000000": "--workers: must be at most",
    "reproduce bandits again": "unexpected argument 'again'",
    "reproduce --output slateq bandits --runs 0": "--runs: must be an integer >= 2, got '0'",
    "reproduce bandits --output a_file": "output folder must be a folder that can be written to",
    "reproduce bandits --output full": "full' is not empty: choose another",
    "reproduce bandits --output before --runs 9": "other settings .runs 8 there and 9 here",
    "reproduce slateq --output before": "other settings .experiment bandits there and slateq here",
    "reproduce bandits --output foreign": "other settings .experiment nothing there and bandits",
}


@pytest.mark.parametrize("arguments", BAD_INPUT)
def test_mistakes_are_told_in_one_line(arguments, refused):
    pathlib.Path("a_file").write_text("")
    for folder, file in (("full", "kept"), ("foreign", "settings.json")):
        pathlib.Path(folder).mkdir()
        pathlib.Path(folder, file).write_text("{}")
    base.prepare(bandit_regret.BanditRegret(8), "before")
    err = refused(cli.main, shlex.split(arguments))
    name = "( bandits| slateq)?"
    assert re.fullmatch(rf"recsim reproduce{name}: error: .*{BAD_INPUT[arguments]}.*\n", err)
    assert not pathlib.Path("before", "tasks").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission(refused):
    pathlib.Path("closed").mkdir(mode=0o500)
    arguments = ["reproduce", "bandits", "--output", "closed/run"]
    assert "Permission denied" in refused(cli.main, arguments)


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(bandit_regret.BanditRegret, "packages", ("numpy", "no_such_package"))
    with pytest.raises(ImportError, match="bandits needs no_such_package, which is not installed"):
        run("out")
    assert not pathlib.Path("out").exists()


def test_one_command_at_a_time_writes_to_a_folder():
    pytest.importorskip("fcntl")
    pathlib.Path("out").mkdir()
    with (
        files.locked("out"),
        pytest.raises(BlockingIOError, match="out' now: wait .* or choose another folder"),
    ):
        run("out")
    assert run("out")["results"]


def test_what_a_killed_command_left_unfinished_is_removed():
    def leave_unfinished(folder, name):
        pathlib.Path(folder).mkdir(exist_ok=True)
        pathlib.Path(folder, f".{name}.{'0a' * 16}.tmp").write_bytes(b"PK")

    leave_unfinished("out", "settings.json")
    base.prepare(bandit_regret.BanditRegret(300), "out")
    leave_unfinished("out/tasks", "one_kl_ucb_000.result")
    assert run("out")["results"] == run("whole")["results"]
    assert file_names("out") == file_names("whole")
    assert tasks("out").keys() == tasks("whole").keys()


KILLED = """
import sys
from recsim.reproductions import bandit_regret, base

bandit_regret.PROBLEMS = {"one": bandit_regret.Problem("2 arms", (0.6, 0.4), 1000)}
bandit_regret.CASES = [bandit_regret.Case("one", "kl_ucb"), bandit_regret.Case("one", "thompson")]
bandit_regret.BanditRegret.figures = lambda *_: {}
workers = int(sys.argv[2])
base.run(bandit_regret.BanditRegret(1000), sys.argv[1], workers=workers, show_progress=False)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
def test_kill_9_at_random_moments():
    def start(folder, workers):
        return subprocess.Popen([sys.executable, "-c", KILLED, folder, str(workers)])

    def results(folder):
        found = json.loads(pathlib.Path(folder, "results.json").read_text())
        assert found["time"]["tasks"] == 8
        return found["results"]

    moments = np.random.RandomState(0).uniform(0.5, 3.0, size=3)
    for seconds in moments:
        process = start("killed", 2)
        time.sleep(seconds)
        process.kill()
        process.wait()
    assert start("killed", 2).wait() == 0
    assert start("whole", 1).wait() == 0
    assert results("killed") == results("whole")
    assert file_names("killed") == file_names("whole")
    assert tasks("killed").keys() == tasks("whole").keys()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
def test_workers_that_are_killed_change_nothing():
    process = subprocess.Popen([sys.executable, "-c", KILLED, "killed", "2"])
    parent = psutil.Process(process.pid)
    killed = 0
    while process.poll() is None and killed < 2:
        workers = [each for each in parent.children() if "popen_loky" in " ".join(each.cmdline())]
        if len(list(pathlib.Path("killed").glob("tasks/*"))) >= killed and workers:
            workers[killed % len(workers)].kill()
            killed += 1
        time.sleep(0.1)
    assert process.wait() == 0
    assert killed == 2
    assert subprocess.run([sys.executable, "-c", KILLED, "whole", "1"], check=False).returncode == 0
    found, expected = (
        json.loads(pathlib.Path(folder, "results.json").read_text())["results"]
        for folder in ("killed", "whole")
    )
    assert found == expected


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_interrupted_from_the_keyboard(workers, seconds):
    process = subprocess.Popen(
        [sys.executable, "-m", "recsim", "reproduce", "bandits", "--runs", "10000"]
        + ["--workers", str(workers), "--output", "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # As from a terminal, where Ctrl-C reaches the worker processes too.
        start_new_session=True,
        # A shell starts what it runs in the background with this signal ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not pathlib.Path("out/tasks").exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err.decode()
    assert out == b""
    assert b"Traceback" not in err
    assert err.decode().endswith(
        "The same command resumes with what is in out.\nrecsim: interrupted\n"
    )
    assert file_names("out") == ["settings.json"]
    for name in tasks("out"):
        assert checkpoint.load(f"out/tasks/{name}")["result"]["regret"].ndim == 2
