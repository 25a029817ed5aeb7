"""The benchmark of backends: small runs of it."""

from __future__ import annotations

import pytest

from recsim.benchmarks import scaling


@pytest.mark.slow
def test_the_table_has_a_row_for_each_backend_and_number_of_workers(capsys):
    arguments = ["--backends", "loky", "--users", "3000", "--steps", "2", "--rounds", "1"]
    assert scaling.main(arguments) == 0
    out = capsys.readouterr().out
    assert [line.split()[:2] for line in out.splitlines() if line.startswith("loky")] == [
        ["loky", "1"],
        ["loky", "2"],
    ]
    assert "All clicks are equal." in out


@pytest.mark.slow
def test_what_a_run_took():
    run = scaling.measured_in_a_process("loky", 2, 5000, 3)
    assert 0 < run.task_seconds < run.seconds + run.start_seconds
    assert 20 < run.peak_mib < 2000
    assert run.total == scaling.measured_in_a_process("loky", 1, 5000, 3).total > 0


@pytest.mark.slow
def test_workers_write_to_a_folder_that_is_made(tmp_path, capsys):
    folder = tmp_path / "new" / "folder"
    arguments = ["--backends", "loky", "--users", "3000", "--steps", "2", "--rounds", "1"]
    assert scaling.main([*arguments, "--workers", "1", "--output", str(folder)]) == 0
    assert "All clicks are equal." in capsys.readouterr().out
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, refused):
    (tmp_path / "file").touch()
    for path in ("file", "file/folder", "s3://bucket"):
        output = path if "://" in path else str(tmp_path / path)
        assert "output must be a" in refused(scaling.main, ["--output", output])
