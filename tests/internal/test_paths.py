"""Paths as users give them: absolute at once, and refused where nothing can be written."""

from __future__ import annotations

import os
import pathlib

import pytest

from recsim._internal import paths


class Fake(os.PathLike):
    def __fspath__(self):
        return "fake"


def test_a_path_becomes_absolute_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    here = str(tmp_path)
    for path, expected in {
        "a": f"{here}/a",
        pathlib.Path("a/b"): f"{here}/a/b",
        b"a": f"{here}/a",
        Fake(): f"{here}/fake",
        "../a": f"{tmp_path.parent}/a",
        "~": f"{here}/home",
        "~/a": f"{here}/home/a",
        "/a/~": "/a/~",
    }.items():
        assert paths.absolute("path", path) == expected
    assert paths.absolute("path", "a", "/folder") == "/folder/a"
    assert paths.absolute("path", "/a", "/folder") == "/a"
    assert paths.absolute("path", "~/a", "/folder") == f"{here}/home/a"


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        (None, TypeError, "base_dir must be a path .* got None"),
        (3, TypeError, "base_dir must be a path .* got 3"),
        (["a"], TypeError, "base_dir must be a path"),
        ("", ValueError, "base_dir must be a path, got ''"),
        ("a\0b", ValueError, "base_dir must be a path, got"),
        ("gs://bucket/run", ValueError, "base_dir must be a path of the file system, got 'gs://"),
        ("s3://bucket", ValueError, "s3:// addresses are not supported"),
    ],
)
def test_what_is_no_path_is_refused_by_name(path, error, message):
    with pytest.raises(error, match=message):
        paths.absolute("base_dir", path)


def test_the_folder_of_a_file_is_made(tmp_path):
    assert paths.output_file("path", tmp_path / "a/b/c") == str(tmp_path / "a/b/c")
    assert (tmp_path / "a/b").is_dir()
    assert list((tmp_path / "a/b").iterdir()) == []
    assert paths.run_file("path", "d/e", str(tmp_path)) == str(tmp_path / "d/e")
    assert (tmp_path / "d").is_dir()


def test_a_file_is_called_by_its_place_in_a_folder(tmp_path):
    assert paths.name_in("/a/b", "/a/b/c/d") == os.path.join("c", "d")
    for elsewhere in ("/a/bc/d", "/a/b", "/e"):
        assert paths.name_in("/a/b", elsewhere) == elsewhere


@pytest.mark.parametrize("path", ["folder", "folder/", "new/", "file/new"])
def test_a_file_that_cannot_be_is_refused(tmp_path, path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="log") as caught:
        paths.output_file("log", f"{tmp_path}/{path}")
    expected = NotADirectoryError if path == "file/new" else IsADirectoryError
    assert type(caught.value) is expected


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="a device of POSIX")
def test_a_device_is_not_replaced_by_a_file():
    with pytest.raises(OSError, match="which is something else"):
        paths.output_file("log", os.devnull)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(0o400)
    with pytest.raises(PermissionError, match="log .* change its permissions"):
        paths.output_file("log", tmp_path / "file")


@pytest.mark.parametrize(
    "name",
    [
        "metrics.jsonl",
        "METRICS.jsonl",
        "../train/metrics.jsonl",
        "../eval_3/metrics.jsonl",
        "returns_40",
        "../eval_3/returns_40",
        "events.out.tfevents.1.host",
        "checkpoints",
        "checkpoints/ckpt.0",
        "checkpoints/log",
        "{absolute}/train/metrics.jsonl",
        "{link}/metrics.jsonl",
    ],
)
def test_a_file_of_the_run_is_refused(tmp_path, name):
    base_dir = tmp_path / "run"
    (base_dir / "train").mkdir(parents=True)
    (tmp_path / "link").symlink_to(base_dir / "train")
    path = name.format(absolute=base_dir, link=tmp_path / "link")
    with pytest.raises(ValueError, match="log must not be one of the run's own files"):
        paths.run_file("log", path, str(base_dir / "train"), str(base_dir))


@pytest.mark.parametrize("name", ["log", "returns_log", "sub/log", "../log", "{absolute}"])
def test_other_files_are_taken(tmp_path, name):
    base_dir = tmp_path / "checkpoints" / "run"  # The folders above a run may have any names.
    path = name.format(absolute=tmp_path / "metrics.jsonl")
    file = paths.run_file("log", path, str(base_dir / "train"), str(base_dir))
    assert file == os.path.normpath(base_dir / "train" / path)
