"""The format of checkpoint files: data only, written whole or not at all, verified when read.

See :mod:`recsim.simulator.checkpoint` for what it is to users.
"""

from __future__ import annotations

import collections
import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

import numpy as np

from recsim._internal import checkpoint_reader, files, generator_states

__all__ = ["CheckpointError", "check", "read", "stored_digest", "write"]

_FORMAT = 1
_MARK = b"recsim-sha256:"
_DIGEST_LENGTH = 64
_PLAIN_TYPES = frozenset({type(None), bool, float, str})
_GENERATORS = (np.random.RandomState, np.random.Generator)
_FACTORIES = tuple(checkpoint_reader.FACTORIES.values())


class CheckpointError(ValueError):
    """A file is not a good checkpoint: truncated, altered, or not a checkpoint at all.

    Args:
        fault: what is wrong with which file.
        advice: what to do where a run is to resume from it.

    Attributes:
        fault: what is wrong with which file.
    """

    def __init__(self, fault: str, advice: str = "") -> None:
        super().__init__(fault, advice)
        self.fault = fault
        self._advice = advice

    def __str__(self) -> str:
        return f"{self.fault} {self._advice}".rstrip()


def write(path: str, tree: object, **entries: int) -> None:
    """Writes a tree of data to a file, whole or not at all.

    Args:
        path: the file, an absolute path.
        tree: the data.
        **entries: further entries of the document, such as ``iteration``.

    Raises:
        TypeError, ValueError, OSError: see :func:`recsim.simulator.checkpoint.save`.
    """
    encoder = _Encoder()
    document = {
        "format": _FORMAT,
        **entries,
        "tree": encoder.encode(tree),
        "generators": encoder.generators,
    }
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with files.atomic_file(path) as file:
        with zipfile.ZipFile(file, "w") as archive:
            # A ZipInfo without a date: equal trees give equal files.
            archive.writestr(zipfile.ZipInfo("tree.json"), json.dumps(document))
            for i, array in enumerate(encoder.arrays):
                member_info = zipfile.ZipInfo(checkpoint_reader.array_name(i))
                with archive.open(member_info, "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
            archive.comment = _MARK + bytes(_DIGEST_LENGTH)
        digest = _digest(file)
        file.seek(-_DIGEST_LENGTH, os.SEEK_END)
        file.write(digest)


def read(path: str, *, with_tree: bool = True) -> tuple[int | None, Any]:
    """Returns the iteration that a checkpoint says it is of, if it does, and the tree.

    Args:
        path: the file.
        with_tree: whether to read the tree; None is returned for it otherwise.

    Raises:
        CheckpointError: if the file is truncated, altered or no checkpoint.
        FileNotFoundError: if there is no such file.
    """
    if os.path.lexists(path) and not os.path.isfile(path):
        what = "not a file" if os.path.exists(path) else "a link that leads nowhere"
        raise CheckpointError(f"{path!r} is {what}, so it is not a checkpoint: move it away.")
    with open(path, "rb") as file:
        size = _verify(file, path)
        try:
            with zipfile.ZipFile(file) as archive:
                document = checkpoint_reader.read_document(archive, size)
                if document["format"] > _FORMAT:
                    raise CheckpointError(
                        f"{path!r} was written by a newer version of recsim (its format "
                        f"is {document['format']}, this version reads up to {_FORMAT}); upgrade "
                        "recsim to read it."
                    )
                iteration = document.get("iteration")
                if not (iteration is None or (type(iteration) is int and iteration >= 0)):
                    raise ValueError(f"its iteration is {iteration!r:.80}")
                tree = checkpoint_reader.read(archive, document, size) if with_tree else None
                return iteration, tree
        except (CheckpointError, OSError, MemoryError):
            raise
        except Exception as error:  # The file is whole: only another program can have written it.
            raise CheckpointError(
                f"{path!r} has a checkpoint's checksum but not its content ({error!r:.500}); "
                "delete it, or choose another base_dir."
            ) from error


def check(tree: object) -> None:
    """Raises the errors of :func:`write` for what cannot go into a file; writes nothing."""
    _Encoder().encode(tree)


def _digest(file: BinaryIO) -> bytes:
    """Returns the SHA-256 of an open file without its last bytes, where the digest stands."""
    remaining = file.seek(0, os.SEEK_END) - _DIGEST_LENGTH
    file.seek(0)
    sha256 = hashlib.sha256()
    while remaining > 0 and (chunk := file.read(min(remaining, 1 << 20))):
        sha256.update(chunk)
        remaining -= len(chunk)
    return sha256.hexdigest().encode()


def stored_digest(path: str) -> str:
    """Returns the digest at the end of a checkpoint, which tells it from others."""
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _DIGEST_LENGTH))
        return file.read().decode("ascii", "replace")


def _verify(file: BinaryIO, path: str) -> int:
    """Returns a file's size; raises CheckpointError unless it ends with the digest of the rest."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - len(_MARK) - _DIGEST_LENGTH))
    mark, digest = file.read(len(_MARK)), file.read()
    if mark == _MARK and digest == _digest(file):
        return size
    file.seek(0)
    if file.read(4) != b"PK\x03\x04":
        fault = "is not a checkpoint of recsim" if size else "is empty"
    elif mark != _MARK:
        fault = "is truncated, or an archive that recsim did not write"
    else:
        fault = "was altered after it was written (its checksum does not match)"
    raise CheckpointError(
        f"{path!r} {fault}.",
        "Delete it to resume from an older checkpoint, restore it from a copy, or choose "
        "another base_dir to start afresh.",
    )


class _Encoder:
    """Turns a tree into JSON values, setting its arrays and generators aside.

    What JSON cannot say becomes an object with one entry: its kind and its content.
    """

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.generators: list[Any] = []
        self._generator_indices: dict[int, int] = {}
        self._path: list[Any] = []

    def encode(self, tree: object) -> object:
        value: Any = tree
        kind = type(value)
        if kind in _PLAIN_TYPES:
            return value
        if kind is int:
            # Python limits the decimal digits of an integer, not its hexadecimal ones.
            return value if abs(value) < 1 << 63 else {"int": hex(value)}
        if kind is list:
            return self._items(value)
        if kind in checkpoint_reader.MAPPINGS.values():
            return {kind.__name__: self._pairs(value)}
        if kind is collections.defaultdict and value.default_factory in _FACTORIES:
            return {"defaultdict": [value.default_factory.__name__, self._pairs(value)]}
        if kind in checkpoint_reader.COLLECTIONS.values():
            return {kind.__name__: self._items(value)}
        if kind in (bytes, np.bytes_):
            return {kind.__name__: value.hex()}
        if kind is np.str_:
            return {"str_": str(value)}
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.itemsize == 0:
            raise self._refusal(value)
        if kind is np.ndarray and not value.dtype.hasobject:
            self.arrays.append(value)
            return {"array": len(self.arrays) - 1}
        if isinstance(value, np.generic) and value.dtype.names is None:
            return {"scalar": [value.dtype.str, value.tobytes().hex()]}
        if kind in _GENERATORS:
            return {"generator": self._generator_index(value)}
        raise self._refusal(value)

    def _items(self, values: Iterable[Any]) -> list[Any]:
        return [self._item(i, value) for i, value in enumerate(values)]

    def _pairs(self, mapping: Mapping[Any, Any]) -> list[Any]:
        return [[self._item(key, key), self._item(key, item)] for key, item in mapping.items()]

    def _item(self, key: object, value: object) -> object:
        self._path.append(key)
        if len(self._path) > checkpoint_reader.MAX_DEPTH:
            raise ValueError(
                f"A checkpoint may be nested {checkpoint_reader.MAX_DEPTH} levels deep at most, "
                f"and {self._place()[:80]}… is deeper. Does a container hold itself?"
            )
        encoded = self.encode(value)
        self._path.pop()
        return encoded

    def _generator_index(self, rng: generator_states.AnyGenerator) -> int:
        """Returns the place of a generator's record: what shares a generator keeps sharing it."""
        if id(rng) not in self._generator_indices:
            state = generator_states.generator_state(rng)
            record = {"kind": type(rng).__name__, "state": state}
            try:
                legacy = isinstance(rng, np.random.RandomState)
                generator_states.check_state(state, with_normal=legacy)
                if isinstance(rng, np.random.Generator):
                    sequence = rng.bit_generator.seed_seq  # What Generator.spawn continues from.
                    if type(sequence) is np.random.SeedSequence:
                        record["seed_sequence"] = sequence.state
                        generator_states.checked_sequence(sequence.state)
            except (TypeError, ValueError) as error:
                raise self._refusal(rng) from error
            self._generator_indices[id(rng)] = len(self.generators)
            self.generators.append(self.encode(record))
        return self._generator_indices[id(rng)]

    def _place(self) -> str:
        names = (
            f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"
            for key in self._path
        )
        return "".join(names).lstrip(".") or "The tree"

    def _refusal(self, refused: object) -> TypeError:
        value: Any = refused
        kind = type(value)
        what = f"an object of type {kind.__module__}.{kind.__qualname__}"
        if isinstance(value, np.ndarray) and value.dtype.hasobject:
            what = f"an array of Python objects (dtype {value.dtype})"
        elif isinstance(value, (np.ndarray, np.generic)) and value.dtype.itemsize == 0:
            what += f" whose items have no bytes (dtype {value.dtype.str})"
        elif kind is collections.defaultdict:
            what = f"a defaultdict with the factory {value.default_factory!r}"
        elif kind in _GENERATORS:
            state = generator_states.generator_state(value)
            what = f"a generator of another package ({state!r:.80})"
        return TypeError(
            f"{self._place()} cannot go into a checkpoint: it is {what}. A checkpoint holds data "
            "only: None, bool, int, float, str, bytes, list, tuple, dict (and OrderedDict, "
            "Counter, and defaultdict of builtin types), set, frozenset, NumPy arrays and scalars "
            "(of numbers or strings) and NumPy's random generators. Turn it into these in "
            "bundle_and_checkpoint or state_dict, and back in unbundle or load_state_dict."
        )
