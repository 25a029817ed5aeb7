"""The metrics of a run: scalars for TensorBoard, and the same in a plain text file."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from recsim.simulator import _files, _tfrecord

__all__ = ["MetricsFile", "SummaryWriter"]

# Small enough that one call of the system writes it: a killed process leaves whole events.
_BATCH_BYTES = 4096

_SESSION_START = 1


class SummaryWriter:
    """Writes scalars that TensorBoard shows. TensorFlow is not needed for it.

    Runners hand it to agents, which may add scalars of their own.

    Args:
        folder: where the event file will be. The file is made at the first writing, and never
            changed by a later process, which makes one of its own.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = os.fspath(folder)
        self._file: _tfrecord.RecordFile | None = None

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Adds one point of the curve ``tag``.

        Args:
            tag: the curve's name; slashes group curves.
            value: any real number; it is stored as a 32-bit float.
            step: its place on the horizontal axis, >= 0.
        """
        point = _tfrecord.bytes_field(1, tag.encode()) + _tfrecord.float_field(2, value)
        self.add_summary(_tfrecord.bytes_field(1, point), step)

    def add_summary(self, summary: Any, global_step: int | None = None) -> None:
        """Adds a ``Summary`` message of TensorFlow's, or its serialized bytes, at a step."""
        serialized = summary if isinstance(summary, bytes) else summary.SerializeToString()
        self._add_event(_tfrecord.bytes_field(5, serialized), global_step)

    def restart_at(self, step: int) -> None:
        """Makes TensorBoard forget what earlier processes wrote at this step and later."""
        status = _tfrecord.integer_field(1, _SESSION_START)
        self._add_event(_tfrecord.bytes_field(7, status), step)

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
            # TensorBoard reads the files of a folder in the order of their names.
            name = f"events.out.tfevents.{seconds:010d}.{nanoseconds:09d}.{socket.gethostname()}"
            self._file = _tfrecord.RecordFile(os.path.join(self._folder, name), _BATCH_BYTES)
            self._add_event(_tfrecord.bytes_field(3, b"brain.Event:2"), None)
        head = _tfrecord.double_field(1, time.time())
        if step is not None:
            head += _tfrecord.integer_field(2, int(step))
        self._file.add(head + content)


class MetricsFile:
    """The metrics as JSON lines, one a step at which they were taken, in the order of steps.

    The file is rewritten, whole or not at all, at each record.

    Args:
        path: the file, which may be there from an earlier process.

    Raises:
        ValueError: if the file is there but holds something else.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self.read()

    def read(self) -> None:
        """Reads the file, which another process may have changed since.

        Raises:
            ValueError: if it holds something else than metrics.
        """
        self._records: list[dict[str, Any]] = []
        if os.path.exists(self._path):
            with open(self._path, encoding="utf-8") as file:
                try:
                    self._records = [json.loads(line) for line in file]
                    self._records.sort(key=lambda record: record["total_steps"])
                except (ValueError, TypeError, KeyError) as error:
                    raise ValueError(
                        f"{self._path!r} does not hold metrics of recsim ({error!r}); move it away "
                        "or choose another base_dir."
                    ) from error

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records in the order of steps: ``total_steps``, and the metrics by name."""
        return list(self._records)

    def add(self, total_steps: int, metrics: Mapping[str, Any]) -> None:
        """Records the metrics at a step, in place of those recorded there before."""
        others = [record for record in self._records if record["total_steps"] != total_steps]
        self._write([*others, {"total_steps": total_steps, **metrics}])

    def drop_after(self, total_steps: int) -> None:
        """Drops what was recorded after a step, from which a run goes on."""
        kept = [record for record in self._records if record["total_steps"] <= total_steps]
        if len(kept) < len(self._records):
            self._write(kept)

    def _write(self, records: list[dict[str, Any]]) -> None:
        self._records = sorted(records, key=lambda record: record["total_steps"])
        lines = "".join(json.dumps(record) + "\n" for record in self._records)
        with _files.atomic_file(self._path) as file:
            file.write(lines.encode())
