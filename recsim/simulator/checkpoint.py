"""Checkpoints: files of data only, written whole or not at all and verified when read.

What a checkpoint may hold, its *tree*, is: None, bool, int, float, str, bytes; list, tuple, dict,
OrderedDict, Counter, set, frozenset; defaultdict, if its factory is a builtin type such as ``int``
or ``list``; NumPy arrays and scalars; and NumPy's random generators, which come back as generators
in the same state. Anything else is refused at saving, because reading it back would need code.

Reading a checkpoint never runs code from it and never ends the process, whoever wrote the file, and
takes memory and time bounded by its size. What cannot have come from :func:`save` is a
:class:`CheckpointError`. A checkpoint from somebody else may still hold any numbers: an agent made
of it recommends what its author wants.

The file is a zip archive of ``tree.json`` and, for each array, a member in NumPy's ``.npy`` format,
so that other tools can read it too. Nothing in it is compressed. Its archive comment is the SHA-256
of all that precedes the digest.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import itertools
import json
import logging
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

import numpy as np

from recsim import seeding
from recsim._internal import bundles, checkpoint_reader, files, paths, validation
from recsim.simulator import fingerprint, run_data

__all__ = [
    "CheckpointError",
    "Checkpointer",
    "check",
    "is_checkpoint",
    "load",
    "restore_agent",
    "save",
]

_FORMAT = 1
_MARK = b"recsim-sha256:"
_DIGEST_LENGTH = 64
_PLAIN_TYPES = frozenset({type(None), bool, float, str})
_GENERATORS = (np.random.RandomState, np.random.Generator)
_FACTORIES = tuple(checkpoint_reader.FACTORIES.values())

_logger = logging.getLogger(__name__)


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


def save(path: paths.Path, tree: object) -> None:
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
    _save(paths.absolute("path", path), tree)


def _save(path: str, tree: object, **entries: int) -> None:
    """Writes a tree, with further entries of the document."""
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


def load(path: paths.Path) -> Any:  # noqa: ANN401  # A tree of any kind, as of JSON.
    """Reads the tree that :func:`save` wrote, after verifying the file.

    Raises:
        CheckpointError: if the file is truncated, altered or no checkpoint.
        FileNotFoundError: if there is no such file.
    """
    return _load(paths.absolute("path", path))[1]


def _load(path: str, *, with_tree: bool = True) -> tuple[int | None, Any]:
    """Returns the iteration that a checkpoint says it is of, if it does, and the tree.

    Args:
        path: the file.
        with_tree: whether to read the tree; None is returned for it otherwise.

    Raises:
        CheckpointError, FileNotFoundError: as :func:`load`.
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


def restore_agent(agent: object, path: paths.Path) -> None:
    """Gives an agent the state that a file holds, or raises an error.

    What ``agent.unbundle`` returns is easily missed; an agent that was not restored recommends by
    its initial values.

    Args:
        agent: the agent, made as the one that was trained.
        path: a checkpoint of a training; a folder of checkpoints, the newest good one of which is
            taken; or a file that :func:`save` wrote of what the agent's ``bundle_and_checkpoint``
            or ``serving_bundle`` returned.

    Raises:
        ValueError: if the state is not of this agent.
        CheckpointError: if the file is truncated, altered or no checkpoint.
        FileNotFoundError: if there is no such file, or no checkpoint in the folder.
    """
    path = folder = paths.absolute("path", path)
    iteration = 0
    if os.path.isdir(path):
        newest = Checkpointer(path).load_newest()
        if newest is None:
            raise FileNotFoundError(f"There is no checkpoint in {path!r}.")
        bundle = newest[1]
    else:
        folder, bundle = os.path.dirname(path), load(path)
    if isinstance(bundle, dict) and {"agent", "current_iteration"} <= bundle.keys():
        try:
            run_data.check(bundle)
        except ValueError as error:
            raise CheckpointError(f"{path!r} is not a checkpoint of a run: {error}.") from None
        if "fingerprint" in bundle:
            made = dataclasses.asdict(fingerprint.of_agent(agent))
            there = bundle["fingerprint"]["agent"]
            if different := fingerprint.agent_differences(there, made):
                raise ValueError(
                    f"{path!r} does not hold the state of this agent: {'; '.join(different)}. "
                    "Create the agent that was trained."
                )
        bundle, iteration = bundle["agent"], bundle["current_iteration"]
    answer = bundles.restore_checkpoint(agent, folder, iteration, bundle) if bundle else False
    if not answer:
        raise ValueError(
            f"{path!r} does not hold the state of this agent: {type(agent).__name__}.unbundle "
            f"returned {answer!r}, not True. Create the agent that was trained."
            if bundle
            else f"{path!r} holds no state of an agent: it saved none."
        )


def check(tree: object) -> None:
    """Raises the errors of :func:`save` for what cannot go into a checkpoint; writes nothing."""
    _Encoder().encode(tree)


def is_checkpoint(path: paths.Path) -> bool:
    """Says whether a file is a whole checkpoint."""
    try:
        _load(paths.absolute("path", path), with_tree=False)
    except CheckpointError:
        return False
    return True


def _digest(file: BinaryIO) -> bytes:
    """Returns the SHA-256 of an open file without its last bytes, where the digest stands."""
    remaining = file.seek(0, os.SEEK_END) - _DIGEST_LENGTH
    file.seek(0)
    sha256 = hashlib.sha256()
    while remaining > 0 and (chunk := file.read(min(remaining, 1 << 20))):
        sha256.update(chunk)
        remaining -= len(chunk)
    return sha256.hexdigest().encode()


def _stored_digest(path: str) -> str:
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

    def _generator_index(self, rng: seeding.AnyGenerator) -> int:
        """Returns the place of a generator's record: what shares a generator keeps sharing it."""
        if id(rng) not in self._generator_indices:
            state = seeding.generator_state(rng)
            record = {"kind": type(rng).__name__, "state": state}
            try:
                seeding.check_state(state, with_normal=isinstance(rng, np.random.RandomState))
                if isinstance(rng, np.random.Generator):
                    sequence = rng.bit_generator.seed_seq  # What Generator.spawn continues from.
                    if type(sequence) is np.random.SeedSequence:
                        record["seed_sequence"] = sequence.state
                        seeding.checked_sequence(sequence.state)
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
            what = f"a generator of another package ({seeding.generator_state(value)!r:.80})"
        return TypeError(
            f"{self._place()} cannot go into a checkpoint: it is {what}. A checkpoint holds data "
            "only: None, bool, int, float, str, bytes, list, tuple, dict (and OrderedDict, "
            "Counter, and defaultdict of builtin types), set, frozenset, NumPy arrays and scalars "
            "(of numbers or strings) and NumPy's random generators. Turn it into these in "
            "bundle_and_checkpoint or state_dict, and back in unbundle or load_state_dict."
        )


class Checkpointer:
    """The checkpoints of one run: files ``<prefix>.<iteration>`` in a folder.

    A file says in itself which iteration it is of: one that was renamed is still of that.

    Args:
        folder: where they are. It is made when the first is saved.
        prefix: the beginning of their names.
        keep: how many of the newest to keep, >= 1.
        check: function of a tree that raises ValueError if it is none of these checkpoints, which
            is then a bad one; None to take any.

    Raises:
        TypeError: if ``folder`` is not a path, ``prefix`` not a string or ``keep`` not an integer.
        ValueError: if ``keep`` is below 1, or ``prefix`` is not a file name.
    """

    def __init__(
        self,
        folder: paths.Path,
        prefix: str = "ckpt",
        *,
        keep: int = 3,
        check: Callable[[Any], None] | None = None,
    ) -> None:
        if not isinstance(prefix, str):
            raise TypeError(f"prefix must be a string, got {prefix!r}.")
        if not prefix or os.path.basename(prefix) != prefix or "\0" in prefix:
            raise ValueError(f"prefix must be the beginning of a file name, got {prefix!r}.")
        self._folder = paths.absolute("folder", folder)
        self._prefix = prefix
        self._keep = validation.positive_int("keep", keep)
        self._check = check
        # What the files were like that were looked at, and the iterations that they are of or what
        # is wrong with them: they are large, and looked at after each iteration.
        self._known: dict[tuple[Any, ...], int | CheckpointError] = {}
        #: The SHA-256 that ends the file that :meth:`load_newest` read; None before.
        self.newest_digest: str | None = None

    def path(self, iteration: int) -> str:
        """Returns the name of the checkpoint of an iteration."""
        return os.path.join(self._folder, f"{self._prefix}.{iteration}")

    def iterations(self) -> list[int]:
        """Returns the iterations in the names of what may be checkpoints, oldest first."""
        return sorted({number for number, _ in self._entries()})

    def files(self) -> list[str]:
        """Returns the paths of what may be checkpoints, by the iterations in their names."""
        return [path for _, path in self._entries()]

    def _entries(self) -> list[tuple[int, str]]:
        pattern = re.compile(re.escape(self._prefix) + r"\.([0-9]{1,18})")
        names = os.listdir(self._folder) if os.path.isdir(self._folder) else []
        return sorted(
            (int(match[1]), os.path.join(self._folder, name))
            for name in names
            if (match := pattern.fullmatch(name))
        )

    def save(self, iteration: int, tree: object) -> None:
        """Saves the checkpoint of an iteration, then removes the oldest good ones of too many.

        What has a checkpoint's name and is none, or a bad one, gets the further ending ``.bad``.

        Raises:
            TypeError, ValueError, OSError: as :func:`save`.
        """
        os.makedirs(self._folder, exist_ok=True)
        path = self.path(iteration)
        if os.path.lexists(path) and self._iteration_of(path, iteration) != iteration:
            self._set_aside(path)
        _save(path, tree, iteration=iteration)
        self._known[_signature(path)] = iteration
        older = []
        for number, other in self._entries():
            with contextlib.suppress(FileNotFoundError):  # Another process removed it just now.
                found = self._iteration_of(other, number)
                if not isinstance(found, int):
                    self._set_aside(other)
                elif found < iteration:
                    older.append((found, other))
        for _, other in sorted(older)[: max(0, len(older) - self._keep + 1)]:
            with contextlib.suppress(FileNotFoundError):
                os.remove(other)

    def _iteration_of(self, path: str, number: int) -> int | CheckpointError:
        """Returns the iteration that a file is of, or what is wrong with it.

        Raises:
            FileNotFoundError: if it is not there.
        """
        signature = _signature(path)
        if signature not in self._known:
            try:
                iteration, tree = _load(path, with_tree=False)
                if iteration is None:  # It was saved before files said it.
                    iteration, tree = self._checked(path)
                self._known[signature] = _content_iteration(iteration, tree, number)
            except CheckpointError as error:
                self._known[signature] = error
            except PermissionError as error:
                self._known[signature] = CheckpointError(f"{path!r} cannot be read: {error}.")
        return self._known[signature]

    def _set_aside(self, path: str) -> None:
        """Gives a bad checkpoint another name."""
        for ending in itertools.chain([".bad"], (f".bad_{n}" for n in itertools.count(2))):
            aside = path + ending
            if not os.path.lexists(aside):
                break
        files.move(path, aside)
        _logger.warning(
            "%r is not the good checkpoint that its name says: it is now %r.", path, aside
        )

    def load_newest(self) -> tuple[int, Any] | None:
        """Returns the iteration and the tree of the newest good checkpoint.

        A bad one gets a warning in the log, and the one before it is taken. So does a file whose
        name says another iteration than its content, which counts.

        Returns:
            None if there is no checkpoint.

        Raises:
            CheckpointError: if there are checkpoints and every one is bad.
        """
        errors = []
        found: list[tuple[int, str]] = []
        for number, path in self._entries():
            with contextlib.suppress(FileNotFoundError):  # A running training removed it just now.
                iteration = self._iteration_of(path, number)
                if isinstance(iteration, int):
                    found.append((iteration, path))
                else:
                    errors.append(iteration)
        newest = None
        for iteration, path in sorted(found, reverse=True):
            try:
                digest = _stored_digest(path)
                newest = iteration, self._checked(path)[1]
            except CheckpointError as error:
                self._known[_signature(path)] = error
                errors.append(error)
            except FileNotFoundError:
                continue
            else:
                self.newest_digest = digest
                if path != self.path(iteration):
                    _logger.warning("%r holds the checkpoint of iteration %d.", path, iteration)
                break
        for bad in errors:
            _logger.warning("Passing over a bad checkpoint: %s", bad)
        if newest is None and errors:
            raise CheckpointError(
                f"No checkpoint in {self._folder!r} is good. The newest: {errors[-1]}"
            )
        return newest

    def _checked(self, path: str) -> tuple[int | None, Any]:
        """Returns what a file says that it is of, and its tree, as :func:`_load`."""
        found, tree = _load(path)
        if self._check is not None:
            try:
                self._check(tree)
            except ValueError as error:
                raise CheckpointError(
                    f"{path!r} holds something else than was looked for: {error}. Move it away."
                ) from None
        return found, tree

    def remove_unfinished(self) -> None:
        """Removes what a killed process left half-written. Only for the process that saves."""
        if os.path.isdir(self._folder):
            files.remove_unfinished(self._folder)


def _signature(path: str) -> tuple[Any, ...]:
    """Returns what is different if a file is another one or was changed."""
    try:
        status = os.stat(path)  # Of what a link leads to.
    except OSError:
        status = os.lstat(path)
    return path, status.st_ino, status.st_size, status.st_mtime_ns


def _content_iteration(iteration: int | None, tree: object, number: int) -> int:
    """Returns the iteration that a checkpoint is of.

    Args:
        iteration: what the file says.
        tree: its tree, which says it in checkpoints of runs from before the file did.
        number: what its name says, if nothing else does.
    """
    if iteration is None and isinstance(tree, dict):
        iteration = tree.get("current_iteration")
    return iteration if type(iteration) is int and iteration >= 0 else number
