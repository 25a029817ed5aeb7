"""Tests of extras are skipped where these are missing, and fail where all must be there."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
from support import extras

TESTS = """
import pytest

@pytest.mark.needs("not_there")
def test_marked():
    raise AssertionError

def test_importing():
    pytest.importorskip("not_there_either")

@pytest.mark.skip(reason="for another reason")
def test_skipped():
    raise AssertionError

@pytest.mark.needs("numpy")
def test_with_what_is_there():
    pass
"""


def test_a_package_and_a_program_are_found():
    assert not extras.missing("numpy") and extras.missing("not_there")
    assert extras.missing("chromium") == (extras.chromium.EXECUTABLE is None)


@pytest.mark.parametrize(
    ("required", "outcome"),
    [("0", "1 passed, 3 skipped in"), ("1", "1 failed, 1 passed, 1 skipped, 1 error in")],
)
def test_what_is_missing_is_skipped_or_fails(tmp_path, required, outcome):
    tests = pathlib.Path(__file__).parent
    (tmp_path / "conftest.py").write_text((tests / "conftest.py").read_text())
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nmarkers = needs\npythonpath = {tests}\n")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "RECSIM_REQUIRE_EXTRAS": required, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.splitlines()[-1].startswith(outcome), ended.stdout
