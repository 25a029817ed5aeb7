"""Checkpoints: files of data only, written whole or not at all and verified when read.

What a checkpoint may hold, its *tree*, is: None, bool, int, float, str, bytes; list, tuple, dict,
OrderedDict, Counter, set, frozenset; defaultdict, if its factory is a builtin type such as ``int``
or ``list``; NumPy arrays and scalars; and NumPy's random generators, which come back as generators
in the same state. Anything else is refused at saving, because reading it back would need code.
Reading a checkpoint never runs code from it.

The file is a zip archive of ``tree.json`` and, for each array, a member in NumPy's ``.npy`` format,
so that other tools can read it too. Its archive comment is the SHA-256 of all that precedes the
digest.
"""

from __future__ import annotations

import collections
import hashlib
import json
import logging
import os
import re
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

import numpy as np

from recsim import _validation, seeding
from recsim._internal import paths
from recsim.simulator import _files

__all__ = ["CheckpointError", "Checkpointer", "is_checkpoint", "load", "save"]

_FORMAT = 1
_MARK = b"recsim-sha256:"
_DIGEST_LENGTH = 64
_PLAIN_TYPES = frozenset({type(None), bool, float, str})
_COLLECTIONS = {kind.__name__: kind for kind in (tuple, set, frozenset)}
_MAPPINGS = {kind.__name__: kind for kind in (dict, collections.OrderedDict, collections.Counter)}
_FACTORIES = {kind.__name__: kind for kind in (bool, int, float, str, list, tuple, dict, set)}
_GENERATORS = {kind.__name__: kind for kind in (np.random.RandomState, np.random.Generator)}
_BIT_GENERATORS = {
    kind.__name__: kind
    for kind in (
        np.random.MT19937,
        np.random.PCG64,
        np.random.PCG64DXSM,
        np.random.Philox,
        np.random.SFC64,
    )
}
_MAX_DEPTH = 200

_logger = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """A file is no good checkpoint: truncated, altered, or not a checkpoint at all."""


def save(path: paths.Path, tree: Any) -> None:
    """Writes a tree of data to a checkpoint file, whole or not at all.

    Args:
        path: the file, whose folder is made; one that exists is replaced.
        tree: the data, of the types that the module's description lists.

    Raises:
        TypeError: if something in the tree does not fit in a checkpoint; the error names its
            place, such as ``q_table[3]``.
        ValueError: if the tree is nested too deeply or contains itself.
        OSError: if the file cannot be written.
    """
    encoder = _Encoder()
    document = {
        "format": _FORMAT,
        "tree": encoder.encode(tree),
        "generators": encoder.generators,
    }
    path = paths.absolute("path", path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with _files.atomic_file(path) as file:
        with zipfile.ZipFile(file, "w") as archive:
            # A ZipInfo without a date: equal trees give equal files.
            archive.writestr(zipfile.ZipInfo("tree.json"), json.dumps(document))
            for i, array in enumerate(encoder.arrays):
                member_info = zipfile.ZipInfo(_array_name(i))
                with archive.open(member_info, "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
            archive.comment = _MARK + bytes(_DIGEST_LENGTH)
        digest = _digest(file)
        file.seek(-_DIGEST_LENGTH, os.SEEK_END)
        file.write(digest)


def load(path: paths.Path) -> Any:
    """Reads the tree that :func:`save` wrote, after verifying the file.

    Raises:
        CheckpointError: if the file is truncated, altered or no checkpoint.
        FileNotFoundError: if there is no such file.
    """
    path = paths.absolute("path", path)
    with open(path, "rb") as file:
        _verify(file, path)
        try:
            with zipfile.ZipFile(file) as archive:
                document = json.loads(archive.read("tree.json"))
                if document["format"] > _FORMAT:
                    raise CheckpointError(
                        f"{path!r} was written by a newer version of recsim (its format "
                        f"is {document['format']}, this version reads up to {_FORMAT}); upgrade "
                        "recsim to read it."
                    )
                return _Decoder(archive, document["generators"]).decode(document["tree"])
        except (CheckpointError, OSError, MemoryError):
            raise
        except Exception as error:  # The file is whole: only another program can have written it.
            raise CheckpointError(
                f"{path!r} has a checkpoint's checksum but not its content ({error!r}); "
                "delete it, or choose another base_dir."
            ) from error


def is_checkpoint(path: paths.Path) -> bool:
    """Says whether a file is a whole checkpoint."""
    path = paths.absolute("path", path)
    try:
        with open(path, "rb") as file:
            _verify(file, path)
    except (CheckpointError, IsADirectoryError):
        return False
    return True


def _array_name(index: int) -> str:
    return f"array_{index}.npy"


def _digest(file: BinaryIO) -> bytes:
    """Returns the SHA-256 of an open file without its last bytes, where the digest stands."""
    remaining = file.seek(0, os.SEEK_END) - _DIGEST_LENGTH
    file.seek(0)
    sha256 = hashlib.sha256()
    while remaining > 0 and (chunk := file.read(min(remaining, 1 << 20))):
        sha256.update(chunk)
        remaining -= len(chunk)
    return sha256.hexdigest().encode()


def _verify(file: BinaryIO, path: str) -> None:
    """Raises CheckpointError unless the file ends with the digest of what precedes it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - len(_MARK) - _DIGEST_LENGTH))
    mark, digest = file.read(len(_MARK)), file.read()
    if mark == _MARK and digest == _digest(file):
        return
    file.seek(0)
    if file.read(4) != b"PK\x03\x04":
        fault = "is not a checkpoint of recsim" if size else "is empty"
    elif mark != _MARK:
        fault = "is truncated, or an archive that recsim did not write"
    else:
        fault = "was altered after it was written (its checksum does not match)"
    raise CheckpointError(
        f"{path!r} {fault}. Delete it to go on from an older checkpoint, restore it from a copy, "
        "or choose another base_dir to start afresh."
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

    def encode(self, value: Any) -> Any:
        kind = type(value)
        if kind in _PLAIN_TYPES:
            return value
        if kind is int:
            # Python limits the decimal digits of an integer, not its hexadecimal ones.
            return value if abs(value) < 1 << 63 else {"int": hex(value)}
        if kind is list:
            return self._items(value)
        if kind in _MAPPINGS.values():
            return {kind.__name__: self._pairs(value)}
        if kind is collections.defaultdict and value.default_factory in _FACTORIES.values():
            return {"defaultdict": [value.default_factory.__name__, self._pairs(value)]}
        if kind.__name__ in _COLLECTIONS and kind is _COLLECTIONS[kind.__name__]:
            return {kind.__name__: self._items(value)}
        if kind in (bytes, np.bytes_):
            return {kind.__name__: value.hex()}
        if kind is np.str_:
            return {"str_": str(value)}
        if kind is np.ndarray and not value.dtype.hasobject:
            self.arrays.append(value)
            return {"array": len(self.arrays) - 1}
        if isinstance(value, np.generic) and value.dtype.names is None:
            return {"scalar": [value.dtype.str, value.tobytes().hex()]}
        if kind in _GENERATORS.values():
            return {"generator": self._generator_index(value)}
        raise self._refusal(value)

    def _items(self, values: Iterable[Any]) -> list[Any]:
        return [self._item(i, value) for i, value in enumerate(values)]

    def _pairs(self, mapping: Mapping[Any, Any]) -> list[Any]:
        return [[self._item(key, key), self._item(key, item)] for key, item in mapping.items()]

    def _item(self, key: Any, value: Any) -> Any:
        self._path.append(key)
        if len(self._path) > _MAX_DEPTH:
            raise ValueError(
                f"A checkpoint may be nested {_MAX_DEPTH} levels deep at most, and "
                f"{self._place()[:80]}… is deeper. Does a container hold itself?"
            )
        encoded = self.encode(value)
        self._path.pop()
        return encoded

    def _generator_index(self, rng: seeding.AnyGenerator) -> int:
        """Returns the place of a generator's record: what shares a generator goes on sharing it."""
        if id(rng) not in self._generator_indices:
            state = seeding.generator_state(rng)
            if state["bit_generator"] not in _BIT_GENERATORS:
                raise self._refusal(rng)
            record = {"kind": type(rng).__name__, "state": state}
            if isinstance(rng, np.random.Generator):
                sequence = rng.bit_generator.seed_seq  # What Generator.spawn goes on from.
                if type(sequence) is np.random.SeedSequence:
                    record["seed_sequence"] = sequence.state
            self._generator_indices[id(rng)] = len(self.generators)
            self.generators.append(self.encode(record))
        return self._generator_indices[id(rng)]

    def _place(self) -> str:
        names = (
            f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"
            for key in self._path
        )
        return "".join(names).lstrip(".") or "The tree"

    def _refusal(self, value: Any) -> TypeError:
        kind = type(value)
        what = f"an object of type {kind.__module__}.{kind.__qualname__}"
        if isinstance(value, np.ndarray) and value.dtype.hasobject:
            what = f"an array of Python objects (dtype {value.dtype})"
        elif kind is collections.defaultdict:
            what = f"a defaultdict with the factory {value.default_factory!r}"
        elif kind in _GENERATORS.values():
            what = f"a generator of another package ({seeding.generator_state(value)!r:.80})"
        return TypeError(
            f"{self._place()} cannot go into a checkpoint: it is {what}. A checkpoint holds data "
            "only: None, bool, int, float, str, bytes, list, tuple, dict (and OrderedDict, "
            "Counter, and defaultdict of builtin types), set, frozenset, NumPy arrays and scalars "
            "(of numbers or strings) and NumPy's random generators. Turn it into these in "
            "bundle_and_checkpoint or checkpoint_state, and back in unbundle or restore_state."
        )


class _Decoder:
    """Turns the JSON values of a checkpoint back into its tree."""

    def __init__(self, archive: zipfile.ZipFile, generators: list[Any]) -> None:
        self._archive = archive
        self._generators = [self._generator(self.decode(record)) for record in generators]

    def decode(self, value: Any) -> Any:
        if type(value) is list:
            return [self.decode(item) for item in value]
        if type(value) is not dict:
            return value
        ((kind, content),) = value.items()
        if kind in _MAPPINGS:
            return _MAPPINGS[kind](self._mapping(content))
        if kind == "defaultdict":
            return collections.defaultdict(_FACTORIES[content[0]], self._mapping(content[1]))
        if kind in _COLLECTIONS:
            return _COLLECTIONS[kind](self.decode(content))
        if kind == "int":
            return int(content, 16)
        if kind == "bytes":
            return bytes.fromhex(content)
        if kind == "bytes_":
            return np.bytes_(bytes.fromhex(content))
        if kind == "str_":
            return np.str_(content)
        if kind == "array":
            with self._archive.open(_array_name(content)) as member:
                return np.lib.format.read_array(member, allow_pickle=False)
        if kind == "scalar":
            return np.frombuffer(bytes.fromhex(content[1]), dtype=content[0])[0]
        if kind == "generator":
            return self._generators[content]
        raise KeyError(kind)

    def _mapping(self, pairs: list[Any]) -> dict[Any, Any]:
        return {self.decode(key): self.decode(item) for key, item in pairs}

    def _generator(self, record: dict[str, Any]) -> seeding.AnyGenerator:
        seed_sequence = np.random.SeedSequence(**record.get("seed_sequence", {"entropy": 0}))
        bit_generator = _BIT_GENERATORS[record["state"]["bit_generator"]](seed_sequence)
        rng = _GENERATORS[record["kind"]](bit_generator)
        seeding.restore_generator(rng, record["state"])
        return rng


class Checkpointer:
    """The checkpoints of one run: files ``<prefix>.<iteration>`` in a folder.

    Args:
        folder: where they are. It is made when the first is saved.
        prefix: the beginning of their names.
        keep: how many of the newest to keep, >= 1.

    Raises:
        TypeError: if ``folder`` is no path, ``prefix`` no string or ``keep`` not an integer.
        ValueError: if ``keep`` is below 1, or ``prefix`` is no file name.
    """

    def __init__(self, folder: paths.Path, prefix: str = "ckpt", *, keep: int = 3) -> None:
        if not isinstance(prefix, str):
            raise TypeError(f"prefix must be a string, got {prefix!r}.")
        if not prefix or os.path.basename(prefix) != prefix or "\0" in prefix:
            raise ValueError(f"prefix must be the beginning of a file name, got {prefix!r}.")
        self._folder = paths.absolute("folder", folder)
        self._prefix = prefix
        self._keep = _validation.positive_int("keep", keep)

    def path(self, iteration: int) -> str:
        """Returns the name of the checkpoint of an iteration."""
        return os.path.join(self._folder, f"{self._prefix}.{iteration}")

    def iterations(self) -> list[int]:
        """Returns the iterations of which there are checkpoints, oldest first."""
        pattern = re.compile(re.escape(self._prefix) + r"\.(\d+)")
        names = os.listdir(self._folder) if os.path.isdir(self._folder) else []
        return sorted(int(match[1]) for name in names if (match := pattern.fullmatch(name)))

    def save(self, iteration: int, tree: Any) -> None:
        """Saves the checkpoint of an iteration, then removes the oldest that are too many.

        Raises:
            TypeError, ValueError, OSError: as :func:`save`.
        """
        os.makedirs(self._folder, exist_ok=True)
        save(self.path(iteration), tree)
        for old in self.iterations()[: -self._keep]:
            os.remove(self.path(old))

    def load_newest(self) -> tuple[int, Any] | None:
        """Returns the iteration and the tree of the newest good checkpoint.

        A bad one gets a warning in the log, and the one before it is taken.

        Returns:
            None if there is no checkpoint.

        Raises:
            CheckpointError: if there are checkpoints and every one is bad.
        """
        errors = []
        for iteration in reversed(self.iterations()):
            try:
                return iteration, load(self.path(iteration))
            except CheckpointError as error:
                _logger.warning("Passing over a bad checkpoint: %s", error)
                errors.append(error)
            except FileNotFoundError:  # A running training removed it just now.
                continue
        if errors:
            raise CheckpointError(
                f"No checkpoint in {self._folder!r} is good. The newest: {errors[0]}"
            )
        return None

    def remove_unfinished(self) -> None:
        """Removes what a killed process left half-written. Only for the process that saves."""
        if os.path.isdir(self._folder):
            _files.remove_unfinished(self._folder)
