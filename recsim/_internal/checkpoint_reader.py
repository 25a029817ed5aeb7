"""Reads the content of a checkpoint file that anybody may have written.

Nothing of the file is run, and memory and time are bounded by its size: members of the archive are
stored and not compressed, together they are no larger than the file, an array is read once and only
if its shape and dtype need as many bytes as its member has, keys that collide are refused, and the
fields of generators are checked before NumPy gets them.
"""

from __future__ import annotations

import collections
import io
import json
import re
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO, cast

import numpy as np

from recsim._internal import generator_states

__all__ = [
    "COLLECTIONS",
    "FACTORIES",
    "MAPPINGS",
    "MAX_DEPTH",
    "array_name",
    "read",
    "read_document",
]

COLLECTIONS: dict[str, Callable[..., Any]] = {
    kind.__name__: kind for kind in (tuple, set, frozenset)
}
MAPPINGS: dict[str, Callable[..., Any]] = {
    kind.__name__: kind for kind in (dict, collections.OrderedDict, collections.Counter)
}
FACTORIES = {kind.__name__: kind for kind in (bool, int, float, str, list, tuple, dict, set)}
MAX_DEPTH = 200

_TREE = "tree.json"
_CHUNK = 1 << 20
# The text of an array's header and how deeply its brackets are nested.
_MAX_HEADER = 10_000
_MAX_BRACKETS = 20
_SCALAR = re.compile(r"[<>|=][biufcmMVSU]\d{1,9}(\[\d{0,9}[a-zA-Zμ]{1,2}\])?")
# Most keys of one mapping or set that may have the same hash: each is compared with the others.
_MAX_COLLISIONS = 16


def array_name(index: int) -> str:
    """Returns the name of the member that holds an array."""
    return f"array_{index}.npy"


def read_document(archive: zipfile.ZipFile, size: int) -> dict[str, Any]:
    """Returns the JSON document of a checkpoint, after checking the archive's members.

    Args:
        archive: the file, opened.
        size: its number of bytes.

    Raises:
        ValueError: if the archive or the document is none of a checkpoint.
    """
    members = archive.infolist()
    if len({member.filename for member in members}) < len(members):
        raise ValueError("two members of the archive have the same name")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise ValueError(f"the member {member.filename!r} is compressed")
        if member.flag_bits & 1:
            raise ValueError(f"the member {member.filename!r} is encrypted")
    if sum(member.file_size for member in members) > size:
        raise ValueError("the members overlap")
    document = json.loads(archive.read(_TREE))
    if not isinstance(document, dict) or type(document.get("format")) is not int:
        raise ValueError(f"{_TREE} has no format")
    if document["format"] < 1:
        raise ValueError(f"there is no format {document['format']}")
    return document


def read(archive: zipfile.ZipFile, document: dict[str, Any], size: int) -> object:
    """Returns the tree of a checkpoint.

    Args:
        archive: the file, opened.
        document: what :func:`read_document` returned.
        size: the file's number of bytes.

    Raises:
        ValueError, TypeError, KeyError, RecursionError: if it is not a tree.
    """
    return _Decoder(archive, document["generators"], size).decode(document["tree"])


class _Decoder:
    """Turns the JSON values of a checkpoint back into its tree."""

    def __init__(self, archive: zipfile.ZipFile, generators: list[Any], size: int) -> None:
        self._archive = archive
        self._size = size
        self._depth = 0
        self._arrays_read: set[int] = set()
        self._generators: list[generator_states.AnyGenerator] = []
        if type(generators) is not list:
            raise TypeError("generators must be a list")
        for record in generators:
            self._generators.append(_generator(cast(dict[str, Any], self.decode(record))))

    def decode(self, value: object) -> object:
        if not isinstance(value, (list, dict)):  # JSON has no other containers.
            return value
        self._depth += 1
        # Each level of a tree may be an object of its kind and the lists in it.
        if self._depth > 2 * MAX_DEPTH:
            raise ValueError("the tree is nested too deeply")
        decoded: object
        if isinstance(value, list):
            decoded = [self.decode(item) for item in value]
        else:
            decoded = self._tagged(value)
        self._depth -= 1
        return decoded

    def _tagged(self, value: dict[str, Any]) -> object:
        ((kind, content),) = value.items()
        if kind in MAPPINGS:
            return MAPPINGS[kind](self._mapping(content))
        if kind == "defaultdict":
            factory, pairs = content
            return collections.defaultdict(FACTORIES[factory], self._mapping(pairs))
        if kind == "tuple":
            return tuple(self._list(content))
        if kind in COLLECTIONS:
            return COLLECTIONS[kind](_checked_keys(self._list(content)))
        if kind == "int":
            return int(_text(content), 16)
        if kind == "bytes":
            return bytes.fromhex(_text(content))
        if kind == "bytes_":
            return np.bytes_(bytes.fromhex(_text(content)))
        if kind == "str_":
            return np.str_(_text(content))
        if kind == "array":
            return self._array(_index(content))
        if kind == "scalar":
            return _scalar(*content)
        if kind == "generator":
            return self._generators[_index(content)]
        raise KeyError(kind)

    def _list(self, items: object) -> list[object]:
        return cast(list[object], self.decode(_list(items)))

    def _mapping(self, pairs: list[Any]) -> dict[Any, Any]:
        decoded = [(self.decode(key), self.decode(item)) for key, item in _list(pairs)]
        _checked_keys([key for key, _ in decoded])
        return dict(decoded)

    def _array(self, index: int) -> np.ndarray:
        if index in self._arrays_read:
            raise ValueError(f"the array {index} is named twice")
        self._arrays_read.add(index)
        name = array_name(index)
        with self._archive.open(name) as member:
            return _read_array(member, self._archive.getinfo(name).file_size, self._size)  # type: ignore[arg-type]


def _checked_keys(keys: list[Any]) -> list[Any]:
    """Returns keys; raises ValueError if two are equal or so many collide that it takes long."""
    hashes = collections.Counter(map(hash, keys))
    if hashes and max(hashes.values()) > _MAX_COLLISIONS:
        raise ValueError("many keys have the same hash")
    if len(hashes) < len(keys) and len(set(keys)) < len(keys):
        raise ValueError("a key is there twice")
    return keys


def _list(value: object) -> list[Any]:
    if type(value) is not list:
        raise TypeError(f"expected a list, got {type(value).__name__}")
    return value


def _text(value: object) -> str:
    if type(value) is not str:
        raise TypeError(f"expected a string, got {type(value).__name__}")
    return value


def _index(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"expected the number of a member, got {value!r:.40}")
    return value


def _scalar(name: object, text: object) -> np.generic:
    content = bytes.fromhex(_text(text))
    dtype = _text(name)
    if not _SCALAR.fullmatch(dtype) or np.dtype(dtype).itemsize != len(content):
        raise ValueError(f"no scalar of {len(content)} bytes is of dtype {dtype!r:.40}")
    array = np.frombuffer(content, dtype=dtype)
    _check_values(array)
    scalar: np.generic = array[0]
    return scalar


def _read_array(member: BinaryIO, size: int, most_items: int) -> np.ndarray:
    """Returns the array of a member in NumPy's format.

    Args:
        member: the member, opened.
        size: its number of bytes.
        most_items: the most items that an array of items of no bytes may have.
    """
    head = member.read(8)
    major = head[6] if head[:6] == b"\x93NUMPY" and len(head) == 8 else 0
    if major not in (1, 2, 3):
        raise ValueError("a member is not an array of NumPy's format")
    length_bytes = member.read(2 if major == 1 else 4)
    length = int.from_bytes(length_bytes, "little")
    if length > _MAX_HEADER:
        raise ValueError("the header of an array is too long")
    header = member.read(length)
    _check_header(header)
    parse = (
        np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = parse(io.BytesIO(length_bytes + header))
    if dtype.hasobject:
        raise ValueError("an array holds Python objects")
    if any(type(axis) is not int or axis < 0 for axis in shape):
        raise ValueError(f"an array cannot have the shape {shape!r:.80}")
    items = 1
    for axis in shape:
        items *= axis
    if items * dtype.itemsize != size - len(head) - len(length_bytes) - length:
        raise ValueError(f"an array of shape {shape!r:.80} does not have the bytes that it needs")
    if dtype.itemsize == 0 and items > most_items:
        raise ValueError("an array has more items than the file has bytes")
    array = np.empty(shape[::-1] if fortran else shape, dtype)
    # NumPy makes strings of no characters longer: nothing of the file would fill them.
    if array.dtype != dtype:
        raise ValueError(f"there are no arrays of dtype {dtype!s:.80}")
    view = array.reshape(-1).view(np.uint8).data if array.nbytes else memoryview(b"")
    position = 0
    while chunk := member.read(_CHUNK):
        view[position : position + len(chunk)] = chunk
        position += len(chunk)
    if position != array.nbytes:
        raise ValueError("an array ends before it has the bytes that it needs")
    _check_values(array)
    return array.T if fortran else array


def _check_header(header: bytes) -> None:
    """Raises ValueError for a header that takes Python's parser unreasonable time or depth."""
    depth = 0
    for character in header:
        if character in b"([{":
            depth += 1
            if depth > _MAX_BRACKETS:
                raise ValueError("the header of an array is nested too deeply")
        elif character in b")]}":
            depth -= 1
    if sum(header.count(sign) for sign in (b"-", b"+", b"~")) > _MAX_BRACKETS:
        raise ValueError("the header of an array is none of NumPy's")


def _check_values(array: np.ndarray) -> None:
    """Raises ValueError for bytes that are neither bools nor characters."""
    if array.dtype.names is not None:
        for name in array.dtype.names:
            _check_values(array[name])
    elif array.size == 0 or array.dtype.itemsize == 0:
        return
    elif array.dtype.kind == "b":
        if np.ascontiguousarray(array).view(np.uint8).max() > 1:
            raise ValueError("an array of bools holds something else")
    elif array.dtype.kind == "U":
        codes = np.ascontiguousarray(array).reshape(-1).view(array.dtype.byteorder + "u4")
        if codes.max() > 0x10FFFF:
            raise ValueError("an array of strings holds what is not a character")


def _generator(record: dict[str, Any]) -> generator_states.AnyGenerator:
    kind, state = record["kind"], record["state"]
    sequence = generator_states.checked_sequence(record.get("seed_sequence", {"entropy": 0}))
    return generator_states.make_generator(kind, state, sequence)
