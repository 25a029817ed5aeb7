"""What a run left: the files that were made whole, and what two runs must have in common."""

from __future__ import annotations

import json
import pathlib
import struct
from typing import Any

from recsim._internal import tfrecord
from recsim.simulator import checkpoint

__all__ = ["check_files", "check_records", "difference", "outcome"]


def outcome(folder: str) -> dict[str, Any]:
    """Returns everything that two runs must have in common, by file: all but the clock's traces."""
    found: dict[str, Any] = {}
    base = pathlib.Path(folder)
    for path in sorted(base.rglob("*")):
        name = str(path.relative_to(base))
        if path.is_dir() or path.name.startswith("events.") or path.name == "timing.json":
            continue
        if path.name == "metrics.jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [{**line, "TimePerStep": None} for line in lines]
        elif "checkpoints" in path.parts:
            prefix, _, number = path.name.rpartition(".")
            if number == "bad":  # One that was set aside.
                continue
            if not number.isdigit():
                found[name] = "left over"
            elif int(number) == max(_iterations(path.parent)):
                found[str(path.parent.relative_to(base) / prefix)] = path.read_bytes()
        elif path.suffix == ".result":
            found[name] = repr(_without_clock(checkpoint.load(path)))
        elif path.name in ("results.json", "settings.json"):
            found[name] = _without_clock(json.loads(path.read_text()))
        elif path.name == "episodes.csv":
            rows = [line.split(",") for line in path.read_text().splitlines()]
            kept = [i for i, head in enumerate(rows[0]) if "second" not in head]
            found[name] = [[row[i] for i in kept] for row in rows]
        else:
            found[name] = path.read_bytes()
    return found


def difference(folder: str, expected: dict[str, Any]) -> str | None:
    """Says how what a run left differs from the outcome of another; None if it does not."""
    try:
        found = outcome(folder)
    except (ValueError, KeyError) as error:
        return f"ended with a file that is not whole: {error!r}"
    if found == expected:
        return None
    different = [key for key in {**found, **expected} if found.get(key) != expected.get(key)]
    return f"ended with other numbers, in {different}"


def _iterations(folder: pathlib.Path) -> list[int]:
    return checkpoint.Checkpointer(folder).iterations()


def _without_clock(data: object) -> object:
    if isinstance(data, dict):
        return {
            key: _without_clock(value)
            for key, value in data.items()
            if not any(word in key for word in ("second", "time", "command", "started", "speed"))
        }
    return [_without_clock(each) for each in data] if isinstance(data, list) else data


def check_files(folder: str, expected: dict[str, Any]) -> None:
    """Raises AssertionError if a file that has its final name is not whole.

    Args:
        folder: what a run left that was stopped.
        expected: the outcome of one that was not.
    """
    base = pathlib.Path(folder)
    for path in base.rglob("*"):
        if path.is_dir() or path.name.startswith("."):
            continue
        name = str(path.relative_to(base))
        if path.name.startswith("events."):
            content = path.read_bytes()
            check_records(content, name)
        elif path.parent.name == "checkpoints" or path.suffix == ".result":
            checkpoint.load(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.name.startswith("part-"):
            from pyarrow import parquet  # Which takes long to import.

            parquet.read_table(path, use_threads=False)
        elif path.name == "metrics.jsonl":
            whole, _, torn = path.read_bytes().rpartition(b"\n")
            for line in whole.splitlines():
                assert "total_steps" in json.loads(line), name
            assert torn.strip(b"\0") in b'{"total_steps": ' or torn.startswith(b'{"'), (name, torn)
        elif path.name.startswith("returns_") and "several" not in name and name in expected:
            assert path.read_bytes() == expected[name], name


def check_records(content: bytes, name: str) -> None:
    """Raises AssertionError unless a file is of whole records, but for its torn end."""
    while len(content) >= 12:
        (length,) = struct.unpack("<Q", content[:8])
        if len(content) < length + 16:
            return
        framed, content = content[: length + 16], content[length + 16 :]
        if framed != tfrecord.record(framed[12:-4]):
            assert not content.strip(b"\0"), f"{name} is spoiled in its middle"
            return
