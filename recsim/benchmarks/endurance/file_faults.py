"""A layer between Python and the system in which calls that change files may fail.

It counts the calls in a folder and lets one of them fail: the process is killed there, the power
fails, the disk is full or bad. It needs Linux: ``/proc`` is read.
"""

from __future__ import annotations

import builtins
import collections
import errno
import functools
import io
import os
import pathlib
import random
import signal
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["FAULTS", "GROUPS", "Faults", "points"]

_Path: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_Function: TypeAlias = Callable[..., object]
_Kept = TypeVar("_Kept")

#: The faults of each kind of call.
FAULTS = {
    "rename": ("before", "all lost", "names kept", "no space", "bad disk"),
    "fsync": ("before", "all lost", "names kept", "bad disk"),
    "remove": ("before", "all lost", "names kept", "bad disk"),
    "write": ("before", "within", "all lost", "names kept", "no space", "bad disk", "short"),
    "truncate": ("before", "names kept", "bad disk"),
    "mkdir": ("before", "no space"),
    "open": ("before", "no space"),
}
#: What a fault is an example of.
GROUPS = {
    "before": "killed",
    "within": "killed",
    "all lost": "power failure",
    "names kept": "power failure",
    "no space": "I/O error",
    "bad disk": "I/O error",
    "short": "I/O error",
}


def points(
    counts: Mapping[str, int], most: int | None, *, groups: tuple[str, ...] = (), seed: object = 0
) -> Iterator[tuple[str, int, str]]:
    """Yields the kind, the number and the fault of each point.

    Args:
        counts: how many calls there are of each kind.
        most: how many calls of a kind to let fail with each fault, at random; None for all.
        groups: of what the faults are examples, by the values of :data:`GROUPS`; all if empty.
        seed: of the choice.
    """
    chosen = random.Random(f"faults {seed}")
    for kind, faults in FAULTS.items():
        for fault in faults:
            if groups and GROUPS[fault] not in groups:
                continue
            numbers: Sequence[int] = range(counts.get(kind, 0))
            if most is not None and most < len(numbers):
                numbers = sorted(chosen.sample(numbers, most))
            for number in numbers:
                yield kind, number, fault


class _Power:
    """What is on the disk: contents and names as they were when they were brought there.

    Args:
        folder: the folder, all of which is on the disk.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        # Files by numbers of their own: those of the system are used again.
        self._files: dict[str, int] = {}
        self._last = 0
        self._contents: dict[int, bytes] = {}
        self._names: dict[str, dict[str, int]] = {}
        for path, _, names in os.walk(folder):
            for name in names:
                self.sync(os.path.join(path, name))
            self.sync(path)

    def _file(self, path: str) -> int:
        if path not in self._files:
            self._last += 1
            self._files[path] = self._last
        return self._files[path]

    def moved(self, source: str, target: str) -> None:
        """Follows a file, or the files of a folder, to the new name."""
        if os.path.isdir(target):
            _rename_in(self._files, source, target)
            _rename_in(self._names, source, target)
            return
        self._files[target] = self._file(source)
        del self._files[source]

    def removed(self, path: str) -> None:
        """Forgets the name of a file."""
        self._files.pop(path, None)

    def sync(self, path: str) -> None:
        """Takes a file, or the names in a folder, for what is on the disk."""
        if os.path.isdir(path):
            self._names[path] = self._present(path)
        else:
            self._contents[self._file(path)] = pathlib.Path(path).read_bytes()

    def _present(self, path: str) -> dict[str, int]:
        return {e.name: self._file(e.path) for e in os.scandir(path) if not e.is_dir()}

    def fail(self, names_kept: bool) -> None:
        """Makes the folder what it is after a power failure. Folders themselves remain."""
        for path, _, _ in list(os.walk(self._folder)):
            names = self._present(path) if names_kept else self._names.get(path, {})
            for entry in list(os.scandir(path)):
                if not entry.is_dir():
                    os.unlink(entry.path)
            for name, file in names.items():
                pathlib.Path(path, name).write_bytes(self._contents.get(file, b""))


def _rename_in(kept: dict[str, _Kept], source: str, target: str) -> None:
    """Replaces the folder in the paths that are keys."""
    for path in [path for path in kept if f"{path}/".startswith(f"{source}/")]:
        kept[target + path.removeprefix(source)] = kept.pop(path)


class Faults:
    """Counts the calls of the system that change files in a folder, and lets one of them fail.

    Args:
        folder: the folder.
        kind: of the call that fails: 'rename', 'fsync', 'remove', 'write', 'truncate', 'mkdir' or
            'open'.
        number: which of them, from 0 on; -1 for none.
        fault: 'before', 'within', 'all lost', 'names kept', 'no space', 'bad disk' or 'short'.
    """

    def __init__(self, folder: str, kind: str = "", number: int = -1, fault: str = "") -> None:
        self.folder = os.path.realpath(folder)
        self.counts: collections.Counter[str] = collections.Counter()
        self._wanted = kind, number
        self._fault = fault
        self._power = _Power(self.folder) if fault in ("all lost", "names kept") else None

    @staticmethod
    def _real(path: _Path) -> str:
        return os.path.realpath(os.fsdecode(path))

    def _inside(self, path: _Path) -> bool:
        real = self._real(path)
        return real == self.folder or real.startswith(self.folder + os.sep)

    def happens(self, kind: str, path: _Path) -> str:
        """Counts a call; returns 'within' or 'short' if it is to be done by half."""
        if not self._inside(path):
            return ""
        number = self.counts[kind]
        self.counts[kind] += 1
        if (kind, number) != self._wanted:
            return ""
        fault = self._fault
        if fault == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault in ("no space", "bad disk"):
            code = errno.ENOSPC if fault == "no space" else errno.EIO
            raise OSError(code, os.strerror(code), os.fsdecode(path))
        if self._power is not None:
            self.uninstall()
            self._power.fail(fault == "names kept")
            os.kill(os.getpid(), signal.SIGKILL)
        return fault

    def install(self) -> None:
        """Puts this between Python and the system."""
        self._originals: list[tuple[types.ModuleType, str, _Function]] = [
            (os, name, getattr(os, name))
            for name in ("replace", "rename", "fsync", "remove", "unlink", "mkdir", "truncate")
        ]
        self._originals.append((builtins, "open", builtins.open))
        for owner, name, function in self._originals:
            setattr(owner, name, functools.partial(getattr(self, f"_{name}"), function))

    def uninstall(self) -> None:
        """Takes this away again."""
        for owner, name, function in self._originals:
            setattr(owner, name, function)

    def _replace(self, function: _Function, source: _Path, target: _Path, **kwargs: object) -> None:
        self.happens("rename", target)
        function(source, target, **kwargs)
        if self._power is not None and self._inside(target):
            self._power.moved(self._real(source), self._real(target))

    _rename = _replace

    def _fsync(self, function: _Function, descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        self.happens("fsync", path)
        function(descriptor)
        if self._power is not None and self._inside(path):
            self._power.sync(path)

    def _remove(self, function: _Function, path: _Path, *, dir_fd: int | None = None) -> None:
        whole = os.fsdecode(path)
        if dir_fd is not None:
            whole = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), whole)
        self.happens("remove", whole)
        function(path) if dir_fd is None else function(path, dir_fd=dir_fd)
        if self._power is not None and self._inside(whole):
            self._power.removed(self._real(whole))

    _unlink = _remove

    def _mkdir(self, function: _Function, path: _Path, *args: object, **kwargs: object) -> None:
        self.happens("mkdir", path)
        function(path, *args, **kwargs)

    def _truncate(self, function: _Function, path: _Path, length: int) -> None:
        self.happens("truncate", path)
        function(path, length)

    def _open(
        self,
        function: _Function,
        file: int | _Path,
        mode: str = "r",
        *args: object,
        **kwargs: object,
    ) -> object:
        writes = any(letter in mode for letter in "wax+")
        if isinstance(file, int) or not writes or "b" not in mode or not self._inside(file):
            return function(file, mode, *args, **kwargs)
        self.happens("open", file)
        raw = _File(self, file, mode.replace("b", ""))
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)


class _File(io.FileIO):
    """A file whose writes may fail."""

    def __init__(self, faults: Faults, path: _Path, mode: str) -> None:
        self._faults = faults
        super().__init__(path, mode)

    _full = False

    def write(self, data: ReadableBuffer) -> int:
        if self._full:
            self._full = False
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.name)
        fault = self._faults.happens("write", self.name)
        if fault not in ("within", "short"):
            return super().write(data)
        content = bytes(data)
        written = super().write(content[: (len(content) + 1) // 2])
        if fault == "within":
            os.kill(os.getpid(), signal.SIGKILL)
        self._full = True
        return written

    def truncate(self, size: int | None = None) -> int:
        self._faults.happens("truncate", self.name)
        return super().truncate(size)
