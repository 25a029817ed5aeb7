"""The metrics of a run: scalars for TensorBoard, and the same in a plain text file."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from recsim._internal import files, json_text, numbers, paths, tfrecord

__all__ = ["MetricsFile", "SummaryWriter", "of_episodes"]

# Small enough that one call of the system writes it: a killed process leaves whole events.
_BATCH_BYTES = 4096

_SESSION_START = 1

_OF_EPISODES = (
    "TimePerStep",
    "AverageEpisodeLength",
    "AverageEpisodeRewards",
    "StdEpisodeRewards",
)


class _Message(Protocol):
    """A message of protocol buffers."""

    def SerializeToString(self) -> bytes:
        """Returns its bytes."""


class SummaryWriter:
    """Writes scalars that TensorBoard shows. TensorFlow is not needed for it.

    Runners hand it to agents, which may add scalars of their own.

    Args:
        folder: where the event file will be. Folder and file are made at the first writing; a
            later process makes a file of its own.
    """

    def __init__(self, folder: paths.Path) -> None:
        self._folder = paths.absolute("folder", folder)
        self._file: tfrecord.RecordFile | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy writes a file of its own; what is not yet written stays with the original."""
        return type(self), (self._folder,)

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Adds one point of the curve ``tag``.

        Args:
            tag: the curve's name; slashes group curves.
            value: any real number; it is stored as a 32-bit float.
            step: its place on the horizontal axis, >= 0.
        """
        number = numbers.as_float(f"the value of {tag!r}", value)
        point = tfrecord.bytes_field(1, tag.encode()) + tfrecord.float_field(2, number)
        self.add_summary(tfrecord.bytes_field(1, point), step)

    def add_summary(self, summary: bytes | _Message, global_step: int | None = None) -> None:
        """Adds a ``Summary`` message of TensorFlow's, or its serialized bytes, at a step."""
        serialized = summary if isinstance(summary, bytes) else summary.SerializeToString()
        self._add_event(tfrecord.bytes_field(5, serialized), global_step)

    def restart_at(self, step: int) -> None:
        """Makes TensorBoard forget what earlier processes wrote at this step and later."""
        status = tfrecord.integer_field(1, _SESSION_START)
        self._add_event(tfrecord.bytes_field(7, status), step)

    def flush(self) -> None:
        """Writes what has been added to the event file."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Does what :meth:`flush` does; there is nothing else to release."""
        self.flush()

    def _add_event(self, content: bytes, step: int | None) -> None:
        if self._file is None:
            seconds, nanoseconds = divmod(time.time_ns(), 10**9)
            os.makedirs(self._folder, exist_ok=True)
            # TensorBoard reads the files of a folder in the order of their names.
            name = f"events.out.tfevents.{seconds:010d}.{nanoseconds:09d}.{socket.gethostname()}"
            self._file = tfrecord.RecordFile(os.path.join(self._folder, name), _BATCH_BYTES)
            self._add_event(tfrecord.bytes_field(3, b"brain.Event:2"), None)
        head = tfrecord.double_field(1, time.time())
        if step is not None:
            head += tfrecord.integer_field(2, int(step))
        self._file.add(head + content)


class MetricsFile:
    """The metrics as JSON lines, one a step at which they were taken, in the order of steps.

    A record is appended, at a cost that does not grow with the file. Where a process was killed
    while it wrote one, the torn last line counts as not written.
    A metric that is not defined, such as the quality of no clicks, is ``null`` there. So is an
    infinite one, which JSON has no word for.

    Args:
        path: the file, which may be there from an earlier process.

    Raises:
        ValueError: if the file is there but holds something else.
        OSError: if it cannot be written.
    """

    def __init__(self, path: paths.Path) -> None:
        self._path = paths.output_file("path", path)
        self.read()

    def read(self) -> None:
        """Reads the file, which another process may have changed since.

        Raises:
            ValueError: if it holds something else than metrics.
        """
        # The lines with their steps, in the order of these: as text they take the least memory.
        self._lines: list[tuple[int, bytes]] = []
        # Length of the file; None if it is not there or has to be written anew.
        self._size: int | None = None
        try:
            with open(self._path, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return
        *lines, rest = content.split(b"\n")
        try:
            if rest and not _is_torn(rest):
                lines.append(rest)
            steps = [json.loads(line)["total_steps"] for line in lines]
            self._lines = _ordered(zip(steps, (line + b"\n" for line in lines), strict=True))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{self._path!r} does not hold metrics of recsim ({error!r}); move it away "
                "or choose another base_dir."
            ) from error
        if not rest and steps == sorted(steps):
            self._size = len(content)

    @property
    def folder(self) -> str:
        """The folder of the file."""
        return os.path.dirname(self._path)

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records in the order of steps, with ``total_steps`` and the metrics by name."""
        return [json.loads(line) for _, line in self._lines]

    def add(self, total_steps: int, metrics: Mapping[str, Any]) -> None:
        """Records the metrics at a step, in place of those recorded there before."""
        line = f"{json_text.dumps({'total_steps': total_steps, **metrics})}\n".encode()
        is_last = not self._lines or self._lines[-1][0] < total_steps
        if is_last and self._append(total_steps, line):
            return
        others = [other for other in self._lines if other[0] != total_steps]
        self._write([*others, (total_steps, line)])

    def drop_after(self, total_steps: int) -> None:
        """Drops what was recorded after a step, from which a run resumes."""
        kept = [line for line in self._lines if line[0] <= total_steps]
        if len(kept) < len(self._lines) or (self._size is None and kept):
            self._write(kept)

    def _append(self, total_steps: int, line: bytes) -> bool:
        """Writes a line after the others; False if the file has to be written anew for it."""
        if self._size is None or not os.path.exists(self._path):
            return False
        with open(self._path, "r+b") as file:
            if file.seek(0, os.SEEK_END) < self._size:  # Somebody shortened it.
                return False
            file.seek(self._size)  # Overwrites what a failed writing left.
            file.write(line)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        self._size += len(line)
        self._lines.append((total_steps, line))
        return True

    def _write(self, lines: list[tuple[int, bytes]]) -> None:
        lines = _ordered(lines)
        content = b"".join(line for _, line in lines)
        with files.atomic_file(self._path) as file:
            file.write(content)
        self._lines, self._size = lines, len(content)


def of_episodes(stats: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Returns the metrics of episodes by tag, NaN where there are none.

    Args:
        stats: ``episode_length``, ``episode_time`` and ``episode_reward`` of each episode.
    """
    lengths, rewards = stats["episode_length"], stats["episode_reward"]
    if not lengths:  # Users in parallel may have made steps without an end of an episode.
        return dict.fromkeys(_OF_EPISODES, np.nan)
    seconds_per_step = np.sum(stats["episode_time"]) / np.sum(lengths)
    values = (seconds_per_step, np.mean(lengths), np.mean(rewards), np.std(rewards))
    return dict(zip(_OF_EPISODES, map(float, values), strict=True))


def _ordered(lines: Iterable[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    return sorted(lines, key=lambda line: line[0])


def _is_torn(line: bytes) -> bool:
    """Says whether a last line without an end is a record that was not written whole."""
    try:
        json.loads(line)
    except ValueError:
        line = line.rstrip(b"\0")  # What a power failure may leave in place of the rest.
        beginning = b'{"total_steps": '
        return line[: len(beginning)] == beginning[: len(line)]
    return False
