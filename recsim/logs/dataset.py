"""A folder of Parquet files that has its name when it is complete, and not before.

While rows are added the folder's name ends in ``.part``, and the files in it have no ending, so
that nothing that looks for Parquet files takes them for a log. Each file is whole: the one that is
being written is hidden, and gets its name when it is complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import types
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from recsim._internal import files, numbers, paths
from recsim.logs import columns

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["ROWS_OF_FILE", "Dataset", "FileWriter"]

#: Number of rows after which another file of the dataset begins.
ROWS_OF_FILE = 64 * columns.ROWS_OF_GROUP

_FILE = re.compile(r"part-(\d{6,})(\.parquet)?")


class FileWriter:
    """Writes a Parquet file in row groups; it gets its name when it is complete.

    As a context manager it is closed at the end of the block, and abandoned if the block raises.

    Args:
        path: the file, which is made when there are rows.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        #: Number of rows so far.
        self.num_rows = 0
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._file = contextlib.ExitStack()
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abandon(error)

    def add(self, rows: pa.RecordBatch) -> None:
        """Adds rows; a row group is written when there are enough of them.

        Raises:
            OSError: if it cannot be written. The file is then removed.
        """
        self._pending.append(rows)
        self._pending_rows += rows.num_rows
        self.num_rows += rows.num_rows
        if self._pending_rows >= columns.ROWS_OF_GROUP:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        table = pa.Table.from_batches(self._pending)
        self._pending, self._pending_rows = [], 0
        with self._removed_on_error():
            if self._writer is None:
                self._writer = self._opened(table.schema)
            self._writer.write_table(table, row_group_size=columns.ROWS_OF_GROUP)

    def _opened(self, schema: pa.Schema) -> pq.ParquetWriter:
        """Returns what writes the file.

        Columns of floating-point numbers are stored as they are, others by a dictionary where that
        is shorter.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        return pq.ParquetWriter(
            self._file.enter_context(files.atomic_file(self._path)),
            schema,
            compression="zstd",
            use_dictionary=[field.name for field in schema if not pa.types.is_floating(field.type)],
        )

    def close(self) -> None:
        """Writes the last rows and gives the file its name; without a row there is none.

        Raises:
            OSError: if that cannot be done. The file is then removed.
        """
        if self._pending:
            self._write()
        with self._removed_on_error():
            if self._writer is not None:
                self._writer.close()
            self._file.close()

    @contextlib.contextmanager
    def _removed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.abandon(error)
            raise

    def abandon(self, error: BaseException | None = None) -> None:
        """Removes the file, which is not complete."""
        if self._writer is not None:
            with contextlib.suppress(Exception):  # It would write more.
                self._writer.close()
            self._writer.is_open = False
        error = error or RuntimeError("the file is not wanted")
        with contextlib.suppress(type(error)):
            self._file.__exit__(type(error), error, error.__traceback__)

    def __del__(self) -> None:
        if self._writer is not None and self._writer.is_open:
            self.abandon()


class Dataset:
    """A folder of Parquet files that grows at its end, and appears whole or not at all.

    Args:
        name: what the path is called in errors.
        path: the folder, of a name that is free.

    Raises:
        TypeError, ValueError: if the path is not one.
        OSError: if the folder beside it, whose name ends in ``.part``, cannot be made or written
            to.
    """

    def __init__(self, name: str, path: paths.Path) -> None:
        self._name = name
        #: The folder's name once it is complete.
        self.path = paths.absolute(name, path)
        #: The folder until then.
        self.part = f"{self.path}.part"
        paths.writable_folder(f"The folder of {name}", os.path.dirname(self.path))
        self._started = False
        self._writer: FileWriter | None = None
        self._num_files = 0
        # Of how many files, which are the first ones, the next two are.
        self._num_hashed = 0
        self._length = 0
        self._sha256 = hashlib.sha256()

    def __getstate__(self) -> dict[str, object]:
        if self._num_files or self._writer is not None:
            raise TypeError(
                f"What writes {self.path!r} cannot be copied or pickled any more: two copies would "
                "overwrite each other's rows."
            )
        return {**self.__dict__, "_sha256": None}

    def __setstate__(self, attributes: dict[str, object]) -> None:
        self.__dict__.update(attributes, _sha256=hashlib.sha256())

    @property
    def is_complete(self) -> bool:
        """Whether something has the folder's name."""
        return os.path.lexists(self.path)

    def check_free(self) -> None:
        """Raises FileExistsError if something has the folder's name already."""
        if self.is_complete:
            raise FileExistsError(
                f"{self._name} {self.path!r} exists and would be overwritten: choose another name "
                "or folder, or move it away."
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from writing this dataset.

        Raises:
            BlockingIOError: if another one writes it now.
        """
        if not self.is_complete:
            self._make_part()
        with files.locked(self.path if self.is_complete else self.part):
            yield

    def start(self, kept: Mapping[str, object] | None = None) -> None:
        """Continues after the first files of the dataset, and removes the others.

        A dataset that was complete is not complete any more from here on.

        Args:
            kept: what :meth:`sync` returned when the files to keep were written; None for none.

        Raises:
            FileExistsError: if there is a complete dataset, and nothing of it is to be kept.
            ValueError: if the dataset does not begin with what is to be kept.
        """
        length, sha256 = _checked_position(kept)
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None
        folder = self.part
        if length and self.is_complete and not os.path.exists(self.part):
            folder = self.path
        else:
            self.check_free()
            self._make_part()
        names = _files_of(folder)
        self._num_files, self._sha256 = self._beginning(folder, names, length, sha256)
        self._num_hashed, self._length = self._num_files, length
        if folder == self.path:
            files.move(self.path, self.part)
        files.remove_unfinished(self.part)
        for number, name in enumerate(names):
            file = os.path.join(self.part, name)
            if number >= self._num_files:
                os.remove(file)
            else:
                os.replace(file, self.file(number))
        self._started = True

    def _beginning(
        self, folder: str, names: list[str], length: int, sha256: str | None
    ) -> tuple[int, hashlib._Hash]:
        """Returns how many files have the first bytes of a dataset, and their SHA-256."""
        digest, size, number = hashlib.sha256(), 0, 0
        while size < length and number < len(names):
            size += _hash(digest, os.path.join(folder, names[number]))
            number += 1
        if length and (size, digest.hexdigest()) != (length, sha256):
            raise ValueError(
                f"The files in {folder!r} are not what the run to resume had written: they were "
                f"removed or changed. Put them back, or choose another {self._name}, which will "
                "then hold the episodes from here on."
            )
        return number, digest

    def _make_part(self) -> None:
        """Makes the folder for the files while the dataset is not complete."""
        if not os.path.isdir(self.part):
            paths.writable_folder(f"The folder of {self._name}", self.part)
            files.sync_folder(os.path.dirname(self.part))

    def add(self, rows: pa.RecordBatch) -> None:
        """Adds rows; where :meth:`start` was not called, the dataset begins anew with them.

        Raises:
            FileExistsError: if there is a complete dataset.
            OSError: if they cannot be written, such as on a full disk. The files that are complete
                stay.
        """
        if not self._started:
            Dataset.start(self)  # Not that of a subclass, which may have begun.
        if self._writer is None:
            self._make_part()
            self._writer = FileWriter(self.file(self._num_files))
        try:
            self._writer.add(rows)
        except BaseException:
            self._writer = None
            raise
        if self._writer.num_rows >= ROWS_OF_FILE:
            self._close_file()

    def sync(self) -> dict[str, object]:
        """Brings the rows so far onto the disk.

        Returns:
            Length in bytes and SHA-256 of all files together, as ``length`` and ``sha256``.

        Raises:
            OSError: if they cannot be written.
        """
        self._close_file()
        for number in range(self._num_hashed, self._num_files):
            self._length += _hash(self._sha256, self.file(number))
        self._num_hashed = self._num_files
        return {"length": self._length, "sha256": self._sha256.hexdigest()}

    def _close_file(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()
            self._num_files += 1

    def finish(self) -> None:
        """Gives the folder, now complete, its name. Without a row there is no folder.

        Raises:
            OSError: if that cannot be done, or files were removed.
        """
        self._close_file()
        if not self._started:  # Other files there are of another process.
            return
        names = _files_of(self.part) if os.path.isdir(self.part) else []
        if self._num_files > len(names):
            raise OSError(
                f"Files in {self.part!r} were removed while it was written to. Leave it alone "
                "until it is complete."
            )
        for name in names:
            if not name.endswith(".parquet"):
                file = os.path.join(self.part, name)
                os.replace(file, f"{file}.parquet")
        if names:
            files.sync_folder(self.part)
            self.check_free()
            files.move(self.part, self.path)
        elif os.path.isdir(self.part):
            os.rmdir(self.part)
        self._started, self._num_files = False, 0

    def file(self, number: int) -> str:
        """Returns the path of a file of the dataset while that is not complete."""
        return os.path.join(self.part, f"part-{number:06d}")


def _hash(digest: hashlib._Hash, path: str) -> int:
    """Adds a file to a digest, and returns its length."""
    length = 0
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            length += len(chunk)
    return length


def _files_of(folder: str) -> list[str]:
    """Returns the names of a dataset's files in their order."""
    matches = [match for name in os.listdir(folder) if (match := _FILE.fullmatch(name))]
    return [match[0] for match in sorted(matches, key=lambda match: int(match[1]))]


def _checked_position(kept: Mapping[str, object] | None) -> tuple[int, str | None]:
    """Returns length and SHA-256 of what :meth:`Dataset.sync` returned."""
    if kept is None:
        return 0, None
    length, sha256 = (
        (kept.get("length"), kept.get("sha256")) if isinstance(kept, Mapping) else (None, None)
    )
    if type(length) is not int or length < 0 or not isinstance(sha256, str):
        raise ValueError(f"kept must be what sync() returned, got {numbers.described(kept)}.")
    return length, sha256
