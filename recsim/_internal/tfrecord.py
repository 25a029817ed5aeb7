"""TFRecord files and their protocol-buffer messages, written without TensorFlow.

TensorBoard's event files and the episode logs need only a corner of both formats:
https://www.tensorflow.org/tutorials/load_data/tfrecord (records) and
https://protobuf.dev/programming-guides/encoding (messages).
"""

from __future__ import annotations

import functools
import hashlib
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO, SupportsInt

import numpy as np

__all__ = [
    "RecordFile",
    "bytes_field",
    "context",
    "crc32c",
    "double_field",
    "float_field",
    "floats",
    "integer_field",
    "integers",
    "masked_crc",
    "record",
    "sequence_example",
    "varint",
]

# The CRC handles this many bytes by one lookup in a table of them.
_BLOCK = 1024


class RecordFile:
    """A TFRecord file that grows by some records at a time.

    It is open only while it is written to, so that there is nothing to close. What is written
    begins where the last whole writing ended: what a failed one left is overwritten.

    Args:
        path: the file. It is made at the first writing.
        batch_bytes: how many bytes of records to gather before they are written.
        complete: whether the file must not lack what was written to it before. If so, its SHA-256
            stays too.
    """

    def __init__(self, path: str, batch_bytes: int, *, complete: bool = False) -> None:
        self.path = path
        self._batch_bytes = batch_bytes
        self._complete = complete
        self.begin_after(0, hashlib.sha256())

    def begin_after(self, size: int, sha256: hashlib._Hash) -> None:
        """Continues after the first bytes of the file, and drops what was gathered.

        Args:
            size: how many bytes.
            sha256: their SHA-256, which is taken over.
        """
        #: Number of bytes written so far.
        self.size = size
        self._sha256 = sha256
        self._pending: list[bytes] = []
        self._pending_bytes = 0

    def __getstate__(self) -> dict[str, object]:
        if self.size:
            raise TypeError(
                f"What writes {self.path!r} cannot be copied or pickled any more: two copies would "
                "overwrite each other's records."
            )
        return {**self.__dict__, "_sha256": None}

    def __setstate__(self, attributes: dict[str, object]) -> None:
        self.__dict__.update(attributes, _sha256=hashlib.sha256())

    @property
    def sha256(self) -> str:
        """The SHA-256 of what has been written to a ``complete`` file so far, in hexadecimal."""
        return self._sha256.hexdigest()

    def add(self, data: bytes) -> None:
        """Appends one record, now or with a later one."""
        framed = record(data)
        self._pending.append(framed)
        self._pending_bytes += len(framed)
        if self._pending_bytes >= self._batch_bytes:
            self.flush()

    def flush(self) -> None:
        """Writes the records gathered so far.

        Raises:
            OSError: if they cannot be written, or a ``complete`` file lacks what it had.
        """
        if not self._pending:
            return
        data = b"".join(self._pending)
        with self._opened() as file:
            file.seek(self.size)
            file.write(data)
            file.truncate()
        if self._complete:
            self._sha256.update(data)
        self.size += len(data)
        self._pending = []
        self._pending_bytes = 0

    def sync(self) -> None:
        """Brings what has been written onto the disk.

        Raises:
            OSError: as :meth:`flush`.
        """
        self.flush()
        if self.size:
            with self._opened() as file:
                os.fsync(file.fileno())

    def _opened(self) -> BinaryIO:
        """Opens the file, which is as long as what was written to it, or longer."""
        exists = os.path.exists(self.path)
        size = os.path.getsize(self.path) if exists else 0
        if size < self.size and self._complete:
            raise OSError(
                f"{self.path!r} had {self.size} bytes and has {size}: it was removed or changed "
                "while it was written to. Leave it alone until the run has ended."
            )
        self.size = min(self.size, size)
        return open(self.path, "r+b" if exists else "w+b")


def record(data: bytes) -> bytes:
    """Returns the bytes of one record of a TFRecord file: length, data, and a checksum of each."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, masked_crc(length), data, masked_crc(data)))


def masked_crc(data: bytes) -> bytes:
    crc = crc32c(data)
    rotated = crc >> 15 | crc << 17 & 0xFFFFFFFF
    return struct.pack("<I", rotated + 0xA282EAD8 & 0xFFFFFFFF)


@functools.cache
def _crc_tables() -> np.ndarray:
    """Returns the CRCs of each byte followed by zeros, shape (_BLOCK, 256).

    Row -1 is of the byte alone, row -2 of the byte and one zero, and so on.
    """
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = np.where(crc & 1, crc >> 1 ^ np.uint32(0x82F63B78), crc >> 1)
    tables = np.empty((_BLOCK, 256), dtype=np.uint32)
    tables[-1] = crc
    for row in range(_BLOCK - 2, -1, -1):
        following = tables[row + 1]
        tables[row] = tables[-1][following & 0xFF] ^ following >> 8
    return tables


def crc32c(data: bytes) -> int:
    """Returns the CRC-32C (Castagnoli) of some bytes.

    A CRC is linear: that of a block is the exclusive or of those of its bytes, each followed by
    zeros. What the blocks before leave goes into the first four bytes of the next.
    """
    tables = _crc_tables()
    values = np.frombuffer(data, dtype=np.uint8)
    crc = 0xFFFFFFFF
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK].copy()
        size = len(block)
        block[:4] ^= np.frombuffer(struct.pack("<I", crc), dtype=np.uint8)[:size]
        of_bytes = tables[np.arange(_BLOCK - size, _BLOCK), block]
        crc = int(np.bitwise_xor.reduce(of_bytes)) ^ crc >> 8 * min(size, 4)
    return crc ^ 0xFFFFFFFF


def varint(value: int) -> bytes:
    """Returns a 64-bit integer in groups of seven bits, the lowest first."""
    value &= 0xFFFFFFFFFFFFFFFF
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def integer_field(number: int, value: int) -> bytes:
    """Returns an integer or enumeration field of a message."""
    return varint(number << 3) + varint(value)


def double_field(number: int, value: float) -> bytes:
    """Returns a 64-bit float field of a message."""
    return varint(number << 3 | 1) + struct.pack("<d", value)


def bytes_field(number: int, value: bytes) -> bytes:
    """Returns a field that holds bytes, a string's UTF-8, packed numbers or a message."""
    return b"".join((varint(number << 3 | 2), varint(len(value)), value))


def float_field(number: int, value: float) -> bytes:
    """Returns a 32-bit float field of a message."""
    with np.errstate(over="ignore"):  # What is too large becomes infinite.
        return varint(number << 3 | 5) + struct.pack("<f", np.float32(value))


def floats(packed: bytes) -> bytes:
    """Returns the entry of a FeatureList that is a Feature of floats."""
    return _floats_head(len(packed)) + packed


@functools.cache
def _floats_head(size: int) -> bytes:
    """Returns what comes before ``size`` bytes of floats in a FeatureList."""
    values = bytes_field(1, bytes(size)) if size else b""
    feature = bytes_field(1, bytes_field(2, values))
    return feature[: len(feature) - size]


def integers(values: Iterable[SupportsInt]) -> bytes:
    """Returns the entry of a FeatureList that is a Feature of int64."""
    return bytes_field(1, _integer_feature(values))


def _integer_feature(values: Iterable[SupportsInt]) -> bytes:
    packed = b"".join([varint(int(value)) for value in values])
    return bytes_field(3, bytes_field(1, packed))


def context(name: str, value: int) -> bytes:
    """Returns the context of a SequenceExample, which has one feature, an int64."""
    feature = bytes_field(1, name.encode()) + bytes_field(2, _integer_feature([value]))
    return bytes_field(1, bytes_field(1, feature))


def sequence_example(lists: Mapping[str, Sequence[bytes]]) -> bytes:
    """Returns the bytes of the SequenceExample with these feature lists."""
    entries = [
        bytes_field(1, name.encode()) + bytes_field(2, b"".join(features))
        for name, features in lists.items()
    ]
    return bytes_field(2, b"".join([bytes_field(1, e) for e in entries]))
