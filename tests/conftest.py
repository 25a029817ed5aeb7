"""What every test gets: repeatable examples, a clean gin, a guard on NumPy's generator."""

from __future__ import annotations

import os

import gin
import hypothesis
import numpy as np
import pytest
from support import extras

import recsim

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable")


def pytest_report_header() -> str:
    return f"recsim {recsim.__version__} from {os.path.dirname(recsim.__file__)}"


def pytest_collection_modifyitems(config, items):
    """Measures no coverage during slow tests: it slows them most, and faster ones run the lines."""
    if config.pluginmanager.hasplugin("_cov"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker("no_cover")


def pytest_runtest_setup(item):
    """Skips a test that needs what is not installed, or fails it: see :mod:`support.extras`."""
    for marker in item.iter_markers("needs"):
        for name in filter(extras.missing, marker.args):
            (pytest.fail if extras.REQUIRED else pytest.skip)(f"{name} is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return failed_where_required((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return failed_where_required((yield))


def failed_where_required(report):
    """Makes a failure of what was skipped for want of an extra, where all must be installed."""
    if extras.REQUIRED and report.skipped and extras.is_missing_import(str(report.longrepr)):
        report.outcome, report.longrepr = "failed", str(report.longrepr)
    return report


@pytest.fixture(autouse=True)
def global_generator_stays_untouched():
    """Fails a test during which anything drew from NumPy's global generator or seeded it."""

    def state() -> tuple[bytes, int]:
        words = np.random.get_state(legacy=False)["state"]
        return words["key"].tobytes(), words["pos"]

    before = state()
    yield
    assert state() == before, "NumPy's global generator was drawn from or seeded"


@pytest.fixture(autouse=True)
def gin_configures_nothing_afterwards():
    """Forgets gin's bindings after a test, and whether they are locked."""
    yield
    gin.clear_config()


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """Has a test run in an empty folder, 80 columns wide, and forgets gin's bindings after it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    yield tmp_path
    with gin.unlock_config():
        gin.clear_config()


@pytest.fixture
def assert_recorded():
    """Returns a function that compares a value with a recorded one, at any depth.

    Integers, booleans, strings, keys and lengths must be equal, floats within 1e-9 relative.
    """

    def check(ours, recorded, where):
        if isinstance(recorded, dict):
            assert set(ours) == set(recorded), where
            for key in recorded:
                check(ours[key], recorded[key], f"{where}[{key!r}]")
        elif isinstance(recorded, list):
            assert len(ours) == len(recorded), where
            for index, (our_item, item) in enumerate(zip(ours, recorded, strict=True)):
                check(our_item, item, f"{where}[{index}]")
        elif isinstance(recorded, float):
            assert float(ours) == pytest.approx(recorded, rel=1e-9, abs=1e-300), where
        else:
            assert ours == recorded, where

    return check


@pytest.fixture
def refused(capsys):
    """Returns a function that makes a call of a command that is refused, and returns the error.

    It checks that the exit code is 2, that nothing is on the standard output, and that the error
    ends the standard error stream and is not a traceback.
    """

    def call(command, *arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            command(*arguments)
        assert caught.value.code == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert "Traceback" not in err
        assert err.endswith("\n")
        return err

    return call
