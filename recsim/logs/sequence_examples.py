"""TFRecord episode logs, read without TensorFlow.

A record is a ``tf.train.SequenceExample``, see :mod:`recsim.simulator.episode_log`, whose format is
that of RecSim's own logs.
"""

from __future__ import annotations

import dataclasses
import os
import re
import struct
from collections.abc import Iterator, Mapping

import numpy as np

from recsim._internal import tfrecord

__all__ = ["Episode", "episodes", "is_tfrecord"]

_HEADER = struct.calcsize("<QI")
_RESPONSE = re.compile(r"response_(\d+)(?:_(.*))?", re.DOTALL)

#: Lists of the steps of an episode, by their names.
_Lists = dict[str, list[np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Episode:
    """An episode of one user, or of several, as columns with a row for each impression.

    Attributes:
        user: the user's number; None where the log does not say.
        columns: the columns by name, all of the same length.
    """

    user: int | None
    columns: dict[str, np.ndarray]


def is_tfrecord(path: str) -> bool:
    """Says whether a file begins as a TFRecord file does: with a length and its checksum."""
    with open(path, "rb") as file:
        header = file.read(_HEADER)
    return len(header) == _HEADER and tfrecord.masked_crc(header[:8]) == header[8:]


def episodes(path: str) -> Iterator[Episode]:
    """Yields the episodes of a TFRecord log, those of several users one after another.

    Raises:
        ValueError: if the file is not a TFRecord file of episodes, or is damaged.
    """
    for number, record in enumerate(_records(path)):
        try:
            user, lists = _sequence_example(record)
            users: list[int | None] = [*sorted(_users(lists))] or [None]
            for index in users:
                yield Episode(user if index is None else index, _columns(lists, index))
        except (IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path!r} is not an episode log: record {number} is not a SequenceExample of an "
                f"episode ({error!r})."
            ) from error


def _records(path: str) -> Iterator[memoryview]:
    """Yields the records of a TFRecord file."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        while header := file.read(_HEADER):
            length = int.from_bytes(header[:8], "little")
            whole = len(header) == _HEADER and length <= size - file.tell() - 4
            if whole and tfrecord.masked_crc(header[:8]) == header[8:]:
                data = file.read(length)
                if tfrecord.masked_crc(data) == file.read(4):
                    yield memoryview(data)
                    continue
            raise ValueError(
                f"{path!r} is damaged or not complete at byte {file.tell()}: it is not a TFRecord "
                "file from its beginning to its end."
            )


def _sequence_example(record: memoryview) -> tuple[int | None, _Lists]:
    """Returns the user's number, if there is one, and the feature lists of a SequenceExample."""
    user, lists = None, {}
    for number, value in _fields(record):
        for _, entry in _fields(value):
            name, content = _map_entry(entry)
            if number == 1:
                if name == "user_number":
                    user = int(_numbers(content)[0])
            else:
                lists[name] = [_numbers(feature) for _, feature in _fields(content)]
    return user, lists


def _map_entry(entry: memoryview) -> tuple[str, memoryview]:
    fields = dict(_fields(entry))
    return bytes(fields[1]).decode(), fields.get(2, memoryview(b""))


def _numbers(feature: memoryview) -> np.ndarray:
    """Returns the numbers of a Feature: float64 of a FloatList, int64 of an Int64List."""
    for number, values in _fields(feature):
        if number == 2:
            packed = b"".join([bytes(value) for _, value in _fields(values)])
            return np.frombuffer(packed, "<f4").astype(np.float64)
        if number == 3:
            return np.array(
                [integer for _, value in _fields(values) for integer in _integers(value)], np.int64
            )
    return np.empty(0)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yields the numbers and the contents of a message's fields.

    The content of a field that is a single integer is its varint.
    """
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == 2:
            length, position = _varint(message, position)
            end = position + length
        elif kind == 0:
            _, end = _varint(message, position)
        else:
            end = position + {1: 8, 5: 4}[kind]
        if end > len(message):
            raise IndexError("a field is longer than the message")
        yield tag >> 3, message[position:end]
        position = end


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Returns the integer at a position, and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7


def _integers(packed: memoryview) -> Iterator[int]:
    position = 0
    while position < len(packed):
        value, position = _varint(packed, position)
        yield value - (1 << 64) if value >= 1 << 63 else value


def _users(lists: Mapping[str, object]) -> set[int]:
    """Returns the numbers of the users, where an episode has several."""
    return {int(match[1]) for name in lists if (match := re.fullmatch(r"slate_(\d+)", name))}


def _columns(lists: _Lists, user: int | None) -> dict[str, np.ndarray]:
    """Returns the columns of a user's impressions.

    Args:
        lists: the lists of an episode.
        user: number of the user where there are several.
    """
    suffix = "" if user is None else f"_{user}"
    slates = lists[f"slate{suffix}"]
    responses = _responses(lists, suffix)
    reward = lists.get(f"reward{suffix}") or lists["reward"]
    num_steps = len(slates)
    no = [np.zeros(1, np.int64)] * num_steps
    # An impression of a user whose episode is over has no response.
    lengths = [
        min(len(slate), *[int(np.sum(present[step])) for _, present in responses.values()])
        if responses
        else len(slate)
        for step, slate in enumerate(slates)
    ]
    step = np.repeat(np.arange(num_steps, dtype=np.int32), lengths)
    position = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
    candidate = np.concatenate([slate[:length] for slate, length in zip(slates, lengths)])
    documents = np.stack([np.stack(lists[name]) for name in _numbered(lists, "doc_")], axis=1)
    return {
        "step": step,
        "position": position,
        "candidate": candidate.astype(np.int64),
        **_named("item_feature", documents[step, candidate.astype(np.int64)]),
        **_named("user_feature", np.stack(lists[f"user{suffix}"])[step]),
        **{
            column: values
            for name, (dense, _) in responses.items()
            for column, values in _named(name, dense[step, position]).items()
        },
        "reward": np.concatenate(reward)[step],
        "terminated": np.concatenate(lists["is_terminal"])[step].astype(bool),
        "truncated": np.concatenate(lists.get("is_truncated", no))[step].astype(bool),
    }


def _numbered(lists: _Lists, prefix: str) -> list[str]:
    names = [name for name in lists if re.fullmatch(rf"{prefix}\d+", name)]
    return sorted(names, key=lambda name: int(name.removeprefix(prefix)))


def _responses(lists: _Lists, suffix: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns the entries of responses, by column name, and where there are any.

    Both are by step and position; a response's numbers are on the last axis.
    """
    by_entry: dict[str, dict[int, list[np.ndarray]]] = {}
    for name, values in lists.items():
        if name.startswith(f"response{suffix}_"):
            match = _RESPONSE.fullmatch("response" + name.removeprefix(f"response{suffix}"))
            if match:
                entry = "response" if match[2] is None else f"response_{match[2]}"
                by_entry.setdefault(entry, {})[int(match[1])] = values
    result = {}
    for entry, by_position in by_entry.items():
        rows = [by_position[position] for position in range(len(by_position))]
        size = max(len(values) for row in rows for values in row)
        if not size:
            continue
        num_steps = len(rows[0])
        dense = np.full((num_steps, len(rows), size), np.nan)
        present = np.zeros((num_steps, len(rows)), bool)
        for position, row in enumerate(rows):
            for step, numbers in enumerate(row):
                if len(numbers):
                    dense[step, position], present[step, position] = numbers, True
        result[entry] = dense, present
    return result


def _named(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the columns of an array of shape (n_rows, size), numbered where there are several."""
    size = values.shape[1]
    return {name if size == 1 else f"{name}_{i}": values[:, i] for i in range(size)}
