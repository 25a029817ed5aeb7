"""Folders that several machines may share: of the file system, or under an address of fsspec's.

Files in them appear whole or not at all, and are named by the path from the folder on.
"""

from __future__ import annotations

import abc
import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from recsim._internal import files, paths

__all__ = ["Storage", "storage"]

# Object stores have no folders, but buckets, which are not ours to make.
_OBJECT_STORES = frozenset({"abfs", "abfss", "az", "gcs", "gs", "oss", "s3", "s3a"})
# Where a file that is sent appears when all of it is there. Elsewhere it is renamed then.
_WHOLE = _OBJECT_STORES | {"memory"}


class Storage(abc.ABC):
    """A folder for files; it can be pickled.

    Args:
        place: its path or address, as it is shown.
    """

    def __init__(self, place: str) -> None:
        self.place = place

    @abc.abstractmethod
    def make(self, name: str) -> None:
        """Makes the folder, and raises OSError, with the argument's name, if it cannot be."""

    @abc.abstractmethod
    def names(self, folder: str = "") -> list[str]:
        """Returns the names of what is in the folder, or in one in it; none where there is none."""

    @abc.abstractmethod
    def open(self, file: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """Opens a file for reading; FileNotFoundError where there is none."""

    @abc.abstractmethod
    def written(self, file: str) -> contextlib.AbstractContextManager[str]:
        """Yields the path of a file of this machine to write, which is in the folder afterwards."""

    @abc.abstractmethod
    def remove(self, file: str) -> None:
        """Removes a file."""

    def read(self, file: str) -> bytes:
        """Returns the content of a file; FileNotFoundError where there is none."""
        with self.open(file) as opened:
            return opened.read()

    def write(self, file: str, data: bytes) -> None:
        """Writes a file."""
        with self.written(file) as path, open(path, "wb") as opened:
            opened.write(data)

    def try_to_write(self) -> None:
        """Writes a file, and removes it again; raises the error of either."""
        probe = f".{uuid.uuid4().hex}.tmp"
        self.write(probe, b"")
        self.remove(probe)


def storage(name: str, place: paths.Path) -> Storage:
    """Returns the folder that a user names.

    Args:
        name: the argument's name, for errors.
        place: a path, or an address such as ``s3://bucket/folder``.

    Raises:
        TypeError: if it is neither.
        ValueError: if it is not a path, or nothing knows addresses of its kind.
        ImportError: if fsspec, or the package that it needs for such addresses, is not installed.
    """
    text = place if isinstance(place, str) else ""
    scheme, marked, rest = text.partition("://")
    if marked and scheme == "file":
        return _Local(paths.absolute(name, rest))
    if marked and scheme.replace("+", "").isalnum():
        return _Addressed(name, text.rstrip("/"))
    return _Local(paths.absolute(name, place))


class _Local(Storage):
    """A folder of the file system."""

    def make(self, name: str) -> None:
        paths.writable_folder(name, self.place)

    def names(self, folder: str = "") -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(os.listdir(os.path.join(self.place, folder)))
        return []

    def open(self, file: str) -> contextlib.AbstractContextManager[BinaryIO]:
        return open(os.path.join(self.place, file), "rb")

    @contextlib.contextmanager
    def written(self, file: str) -> Iterator[str]:
        path = os.path.join(self.place, file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with files.written_path(path) as unfinished:
            yield unfinished

    def remove(self, file: str) -> None:
        os.remove(os.path.join(self.place, file))


class _FileSystem(Protocol):
    """What is used of one of fsspec's."""

    def makedirs(self, path: str, exist_ok: bool) -> None: ...

    def ls(self, path: str, detail: bool) -> list[str]: ...

    def invalidate_cache(self) -> None: ...

    def open(self, path: str) -> BinaryIO: ...

    def put_file(self, source: str, target: str) -> None: ...

    def mv(self, source: str, target: str) -> None: ...

    def rm_file(self, path: str) -> None: ...


class _Addressed(Storage):
    """A folder under an address that fsspec knows."""

    def __init__(self, name: str, place: str) -> None:
        super().__init__(place)
        try:
            import fsspec
        except ImportError as error:
            raise ImportError(
                f"{name}={place!r} needs fsspec, which is not installed: pip install '.[fsspec]'."
            ) from error
        try:
            self._folder: str = fsspec.core.url_to_fs(place)[1]
        except ValueError as error:
            raise ValueError(
                f"{name} must be a path, or an address that fsspec knows, got {place!r} ({error})."
            ) from None
        except ImportError as error:
            raise ImportError(f"{name}={place!r} needs another package: {error}") from error

    @property
    def _system(self) -> _FileSystem:
        import fsspec

        system: _FileSystem = fsspec.core.url_to_fs(self.place)[0]  # It keeps them.
        return system

    @property
    def _scheme(self) -> str:
        return self.place.partition("://")[0]

    def _path(self, file: str) -> str:
        return f"{self._folder}/{file}" if file else self._folder

    def make(self, name: str) -> None:
        try:
            if self._scheme in _OBJECT_STORES:
                self.try_to_write()
            else:
                self._system.makedirs(self._folder, exist_ok=True)
        except Exception as error:  # Each kind of address has its own.
            raise OSError(f"{name} {self.place!r} cannot be made or written to: {error}") from error

    def names(self, folder: str = "") -> list[str]:
        system = self._system
        system.invalidate_cache()  # Others write to it.
        try:
            found = system.ls(self._path(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    def open(self, file: str) -> contextlib.AbstractContextManager[BinaryIO]:
        system = self._system
        system.invalidate_cache()
        return system.open(self._path(file))

    @contextlib.contextmanager
    def written(self, file: str) -> Iterator[str]:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, os.path.basename(file))
            yield path
            self._send(path, file)

    def _send(self, path: str, file: str) -> None:
        system, target = self._system, self._path(file)
        if self._scheme in _WHOLE:
            system.put_file(path, target)
            return
        folder, _, name = target.rpartition("/")
        system.makedirs(folder, exist_ok=True)
        unfinished = f"{folder}/.{name}.{uuid.uuid4().hex}.tmp"
        try:
            system.put_file(path, unfinished)
            system.mv(unfinished, target)
        except BaseException:
            with contextlib.suppress(Exception):
                system.rm_file(unfinished)
            raise

    def remove(self, file: str) -> None:
        self._system.rm_file(self._path(file))
