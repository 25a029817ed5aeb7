"""Files that appear whole or not at all, whenever the process is killed."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Iterator
from typing import BinaryIO

__all__ = [
    "atomic_file",
    "check_empty",
    "locked",
    "move",
    "remove_empty_folders",
    "remove_unfinished",
    "sync_folder",
    "written_path",
]

_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{32}\.tmp", re.DOTALL)


@contextlib.contextmanager
def atomic_file(path: str) -> Iterator[BinaryIO]:
    """Opens a binary file for writing and reading that gets its name once it is complete.

    What stood at ``path`` before is there until then, and stays if the block raises. A process
    killed in the middle leaves a hidden file, which :func:`remove_unfinished` removes. Processes
    that write the same file at the same time do not meet: the last to finish has its way.
    """
    with _unfinished(path) as unfinished, open(unfinished, "x+b") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def written_path(path: str) -> Iterator[str]:
    """Yields the path of another file to write, which gets this name at the end of the block.

    It is as with :func:`atomic_file`, for what opens files itself.
    """
    with _unfinished(path) as unfinished:
        yield unfinished
        with open(unfinished, "rb") as file:
            os.fsync(file.fileno())


@contextlib.contextmanager
def _unfinished(path: str) -> Iterator[str]:
    """Yields the path of a hidden file, which is moved at the end, and removed after an error."""
    folder, name = os.path.split(path)
    unfinished = os.path.join(folder, f".{name}.{uuid.uuid4().hex}.tmp")
    try:
        yield unfinished
        move(unfinished, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(unfinished)
        raise


def remove_unfinished(folder: str) -> None:
    """Removes what killed processes left half-written, in a folder that nobody else writes to."""
    for name in os.listdir(folder):
        if _UNFINISHED.fullmatch(name):
            os.remove(os.path.join(folder, name))


def move(source: str, target: str) -> None:
    """Renames a file within its folder, in place of another, lastingly."""
    os.replace(source, target)
    sync_folder(os.path.dirname(target) or ".")


def sync_folder(folder: str) -> None:
    """Brings the names of a folder's files onto the disk."""
    if os.name == "posix":  # Elsewhere folders cannot be opened.
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_empty(name: str, folder: str) -> None:
    """Raises ValueError if there is something in a folder.

    Args:
        name: what the folder is, for the error.
        folder: its path.
    """
    if os.listdir(folder):
        raise ValueError(
            f"{name} {folder!r} is not empty: choose another, so that nothing in it is overwritten."
        )


def remove_empty_folders(folder: str) -> None:
    """Removes a folder and those in it, but for the ones that hold a file."""
    for path, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(path)


# The locks of this process, as open files.
_locks: set[int] = set()


def _give_up_locks() -> None:
    """Closes the locks in a process that was just forked: they are those of its parent."""
    for descriptor in _locks:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_give_up_locks)


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Keeps other blocks of this function, of any process, out of a folder (or a file).

    The system ends the lock with the process, however that ends. A process that is forked in the
    block does not have it, so that one that outlives its parent keeps nobody out. Where there are
    no such locks, as on Windows and some network file systems, nobody is locked out.

    Raises:
        BlockingIOError: if another block has the folder.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    _locks.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                f"Another run is writing to {folder!r} now: wait for it to end, stop it, or choose "
                "another folder."
            ) from None
        except OSError:  # This file system has no locks.
            pass
        yield
    finally:
        if descriptor in _locks:  # A forked process has closed it.
            _locks.remove(descriptor)
            os.close(descriptor)
