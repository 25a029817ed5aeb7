"""Files that appear whole or not at all, whenever the process is killed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["atomic_file", "move", "writable_folder"]


@contextlib.contextmanager
def atomic_file(path: str) -> Iterator[BinaryIO]:
    """Opens a binary file for writing and reading that gets its name once it is complete.

    What stood at ``path`` before is there until then, and stays if the block raises. A process
    killed in the middle leaves a hidden file, which the next writing of ``path`` replaces.
    """
    folder, name = os.path.split(path)
    unfinished = os.path.join(folder, f".{name}.tmp")
    try:
        with open(unfinished, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        move(unfinished, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(unfinished)
        raise


def move(source: str, target: str) -> None:
    """Renames a file within its folder, in place of another, lastingly."""
    os.replace(source, target)
    if os.name == "posix":  # Elsewhere folders cannot be opened.
        descriptor = os.open(os.path.dirname(target) or ".", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def writable_folder(name: str, folder: str) -> None:
    """Makes a folder, with its parents, and checks that files can be written there.

    Args:
        name: what the folder is, for the error.
        folder: its path.

    Raises:
        OSError: of the fitting kind (PermissionError, NotADirectoryError, FileExistsError…), if
            it cannot be made or written to.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        kind = NotADirectoryError if isinstance(error, FileExistsError) else type(error)
        raise kind(
            error.errno,
            f"{name} must be a folder that can be written to ({error.strerror}); choose another "
            "folder or change its permissions",
            folder,
        ) from None
