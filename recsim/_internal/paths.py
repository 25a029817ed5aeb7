"""Paths as users give them: made absolute once, and refused where nothing can be written."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile

__all__ = ["Path", "absolute", "name_in", "output_file", "run_file", "run_path", "writable_folder"]

#: What users may give as a path.
Path = str | os.PathLike[str]

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

# The files of a run, by their names and the folder that only checkpoints are in.
_FILE_OF_A_RUN = re.compile(
    r"metrics\.jsonl|returns_\d+|evaluated_\d+\.json|events\.out\.tfevents.*"
)
_CHECKPOINTS = "checkpoints"

# As long as what is added to a file's name while it is not complete.
_ENDING_WHILE_WRITTEN = "." + 32 * "0" + ".tmp"


def absolute(name: str, path: Path, folder: str = "") -> str:
    """Returns a path as an absolute one, so that a later change of the directory does not move it.

    A leading ``~`` is expanded.

    Args:
        name: the argument's name, for the error.
        path: the path, a string or ``os.PathLike``.
        folder: what a relative path starts from; the current directory by default.

    Raises:
        TypeError: if it is not a path.
        ValueError: if it is empty, holds a null character, or is the address of something that is
            not in the file system.
    """
    try:
        text = os.fsdecode(path)
    except TypeError:
        raise TypeError(f"{name} must be a path (str or os.PathLike), got {path!r}.") from None
    if not text or "\0" in text:
        raise ValueError(f"{name} must be a path, got {text!r}.")
    if match := _ADDRESS.match(text):
        raise ValueError(
            f"{name} must be a path of the file system, got {text!r}: {match[0]} addresses are not "
            "supported. Write to a folder and copy it there, or mount the storage."
        )
    return os.path.abspath(os.path.join(folder, os.path.expanduser(text)))


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


def output_file(name: str, path: Path, folder: str = "") -> str:
    """Returns the absolute path of a file to write, whose folder is made.

    Args:
        name: the argument's name, for the error.
        path: the file, which may be there.
        folder: what a relative path starts from; the current directory by default.

    Raises:
        TypeError, ValueError: as :func:`absolute`.
        OSError: of the fitting kind, if the path is that of a folder or a device, or the file
            cannot be written.
    """
    file = absolute(name, path, folder)
    if os.path.isdir(file) or os.fsdecode(path).endswith((os.sep, os.altsep or os.sep)):
        raise IsADirectoryError(f"{name} must be a file, got {os.fspath(path)!r}, a folder.")
    if os.path.exists(file) and not os.path.isfile(file):
        raise OSError(f"{name} must be a file, got {os.fspath(path)!r}, which is something else.")
    writable_folder(f"The folder of {name}", os.path.dirname(file))
    try:
        with contextlib.suppress(FileNotFoundError):
            os.lstat(file + _ENDING_WHILE_WRITTEN)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{name} must be the name of a file that can be made ({error.strerror}); choose a "
            "shorter one",
            file,
        ) from None
    if os.path.exists(file) and not os.access(file, os.W_OK):
        raise PermissionError(f"{name} {file!r} cannot be written to: change its permissions.")
    return file


def run_path(name: str, path: Path, output_dir: str, *base_dirs: str) -> str:
    """Returns the absolute path of what a user names beside the files of a run.

    Args:
        name: the argument's name, for the error.
        path: the path; a relative one starts from ``output_dir``.
        output_dir: the folder that the run writes to.
        *base_dirs: the folders of the run and of the training that it evaluates.

    Raises:
        TypeError, ValueError: as :func:`absolute`, or if it is one of the run's own files.
    """
    file = absolute(name, path, output_dir)
    for base_dir in (output_dir, *base_dirs):
        parts = _parts_inside(base_dir, file)
        if parts and (_CHECKPOINTS in parts or _FILE_OF_A_RUN.fullmatch(parts[-1])):
            raise ValueError(
                f"{name} must not be one of the run's own files, got {os.fspath(path)!r}, which is "
                f"{file!r}: choose another name."
            )
    return file


def run_file(name: str, path: Path, output_dir: str, *base_dirs: str) -> str:
    """Returns the absolute path of a file that a user names beside the files of a run.

    Raises:
        TypeError, ValueError: as :func:`run_path`, whose arguments these are.
        OSError: as :func:`output_file`.
    """
    run_path(name, path, output_dir, *base_dirs)
    return output_file(name, path, output_dir)


def name_in(folder: str, file: str) -> str:
    """Returns what a file is called by those who may move a folder with the file in it.

    Args:
        folder: an absolute path.
        file: likewise.

    Returns:
        Its path from the folder on; the path as it is where the file is not in the folder.
    """
    return os.path.relpath(file, folder) if file.startswith(os.path.join(folder, "")) else file


def _parts_inside(folder: str, file: str) -> list[str]:
    """Returns the names on the way from a folder to a file in it, in lower case; else nothing."""
    try:
        relative = os.path.relpath(os.path.realpath(file), os.path.realpath(folder))
    except ValueError:  # They are on different drives.
        return []
    parts = relative.lower().split(os.sep)
    return [] if parts[0] == os.pardir else parts
