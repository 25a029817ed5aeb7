"""Tables of all kinds, read some rows at a time: CSV and Parquet files, data frames."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from recsim._internal import numbers, paths

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["Source", "open_source"]

#: Rows of a data frame or a Parquet file that are read together, and bytes of a CSV file.
_ROWS = 2**19
_BYTES = 2**24

_PARQUET = b"PAR1"
_SEPARATORS = ",;\t|"
#: So much of a file is looked at for its separator.
_LOOKED_AT = 2**16


class Source:
    """A table that is read some rows at a time.

    Attributes:
        name: what it is called in messages.
        columns: names of its columns, in their order.
        num_rows: how many rows it has, None if that is known at its end only.
        first_line: what the first row is counted as: 2 in a CSV file, whose header is line 1.
    """

    def __init__(
        self,
        name: str,
        columns: Sequence[str],
        batches: Callable[[list[str]], Iterator[pa.RecordBatch]],
        num_rows: int | None = None,
        first_line: int | None = None,
    ) -> None:
        self.name = name
        self.columns = list(columns)
        self.num_rows = num_rows
        self.first_line = first_line
        self._batches = batches

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yields the rows, some together, with these columns alone.

        Raises:
            ValueError: if a row is not as the others, or the file is damaged.
        """
        import pyarrow as pa

        try:
            for batch in self._batches(list(columns)):
                if batch.num_rows:
                    yield batch
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ValueError(
                f"{self.name} cannot be read as a table ({_one_line(error)}): check that each row "
                "has as many entries as the header, and that the text is UTF-8."
            ) from error
        except OSError as error:
            raise type(error)(f"{self.name} cannot be read: {_one_line(error)}") from error

    def row(self, index: int) -> str:
        """Returns how a message calls the row of an index from 0."""
        return f"row {index}" if self.first_line is None else f"line {index + self.first_line}"


def open_source(
    table: object,
    separator: str | None = None,
    column_names: Sequence[str] | None = None,
    name: str = "table",
) -> Source:
    """Opens a table.

    Args:
        table: path of a CSV file (also compressed), of a Parquet file or of a folder of such, which
            an episode log of this library is; a data frame of pandas or Polars, or a table of
            pyarrow.
        separator: what stands between the entries of a CSV file; None for the one of , ; | and the
            tabulator that is in its first line most often.
        column_names: names of the columns of a CSV file without a header.
        name: what the table is called in errors.

    Raises:
        FileNotFoundError: if there is no such file.
        TypeError: for something else.
        ValueError: for a file that is empty or damaged, and options that do not fit a table.
    """
    if isinstance(table, (str, bytes, os.PathLike)):
        path = paths.absolute(name, os.fsdecode(table))
        if not os.path.exists(path):
            raise FileNotFoundError(
                f"{name} must be a file or folder, got {path!r}: there is none."
            )
        shown = f"{name} {path!r}"
        if not _is_parquet(path, shown):
            return _of_csv(path, shown, separator, column_names)
        source = _of_parquet(path, shown)
    else:
        source = _of_frame(table, name)
    if separator is not None or column_names is not None:
        raise ValueError("separator and column_names are of CSV files: leave them out.")
    return source


def _is_parquet(path: str, name: str) -> bool:
    if os.path.isdir(path):
        return True
    if not os.path.getsize(path):
        raise ValueError(f"{name} is an empty file.")
    with open(path, "rb") as file:
        return file.read(len(_PARQUET)) == _PARQUET


def _of_parquet(path: str, name: str) -> Source:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = [path]
    if os.path.isdir(path):
        if path.endswith(".part"):
            raise ValueError(f"The log {path!r} is not complete: wait for its run to end.")
        found = os.walk(path)
        files = sorted(os.path.join(at, file) for at, _, names in found for file in names)
        files = [file for file in files if file.endswith(".parquet")]
        if not files:
            raise ValueError(f"{name} is a folder without .parquet files.")
    columns: list[str] | None = None
    num_rows = 0
    for file in files:
        try:
            metadata = pq.read_metadata(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(
                f"{file!r} is damaged or not a Parquet file: {_one_line(error)}"
            ) from error
        names = metadata.schema.to_arrow_schema().names
        if columns is not None and sorted(names) != sorted(columns):
            different = ", ".join(sorted(set(names) ^ set(columns)))
            raise ValueError(
                f"{file!r} has other columns than the files before it ({different}): keep each "
                "table in a folder of its own."
            )
        columns = columns or names
        num_rows += metadata.num_rows

    def batches(wanted: list[str]) -> Iterator[pa.RecordBatch]:
        for file in files:
            with pq.ParquetFile(file) as opened:
                yield from opened.iter_batches(batch_size=_ROWS, columns=wanted)

    assert columns is not None
    return Source(name, columns, batches, num_rows)


def _of_csv(
    path: str, name: str, separator: str | None, column_names: Sequence[str] | None
) -> Source:
    import pyarrow as pa
    from pyarrow import csv

    try:
        with contextlib.closing(pa.input_stream(path, compression="detect")) as stream:
            start = stream.read(_LOOKED_AT)
    except OSError as error:
        raise type(error)(f"{name} cannot be read: {_one_line(error)}") from error
    line = _first_line(name, start)
    separator = _separator(line) if separator is None else _checked_separator(separator)
    header = _header(line, separator) if column_names is None else _checked_names(column_names)

    def batches(wanted: list[str]) -> Iterator[pa.RecordBatch]:
        # Names are given, so that spaces around those in the file do not count.
        reader = csv.open_csv(
            pa.input_stream(path, compression="detect"),
            read_options=csv.ReadOptions(
                block_size=_BYTES,
                column_names=header,
                skip_rows=0 if column_names is not None else 1,
            ),
            parse_options=csv.ParseOptions(delimiter=separator),
            convert_options=csv.ConvertOptions(
                # Everything as text: what a column holds shows after its first rows, too.
                column_types={column: pa.string() for column in header},
                include_columns=wanted,
                strings_can_be_null=True,
            ),
        )
        with reader:
            yield from reader

    return Source(name, header, batches, first_line=2 if column_names is None else 1)


def _first_line(name: str, start: bytes) -> str:
    """Returns the first line of a text that is not empty."""
    try:
        text = start.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:  # Else a character at the end was not read whole.
            raise ValueError(
                f"{name} is neither Parquet nor text in UTF-8: save it as one of them."
            ) from None
        text = start[: error.start].decode("utf-8")
    line = text.split("\n", 1)[0].rstrip("\r")
    if "\0" in line:
        raise ValueError(f"{name} is neither Parquet nor text in UTF-8: save it as one of them.")
    if not line.strip():
        raise ValueError(f"{name} must begin with a line of names of columns, got an empty line.")
    return line


def _separator(line: str) -> str:
    return max(_SEPARATORS, key=line.count)


def _checked_separator(separator: str) -> str:
    separator = "\t" if separator == "\\t" else separator
    if not isinstance(separator, str) or len(separator) != 1 or not separator.isascii():
        raise ValueError(
            f"separator must be one character, such as ';' or '\\t', got {separator!r}."
        )
    return separator


def _header(line: str, separator: str) -> list[str]:
    import csv

    names = [name.strip() for name in next(csv.reader([line], delimiter=separator))]
    if all(_is_number(name) for name in names):
        raise ValueError(
            f"The first line must be names of columns, got {line[:80]!r}, which looks like data: "
            "give their names with the option column_names."
        )
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _checked_names(names: Sequence[str]) -> list[str]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"column_names must be a list of names, got {numbers.described(names)}.")
    return list(names)


def _of_frame(table: object, name: str) -> Source:
    import pandas as pd
    import pyarrow as pa

    if isinstance(table, pd.DataFrame):
        frame = table
        names = [str(name) for name in frame.columns]

        def of_pandas(wanted: list[str]) -> Iterator[pa.RecordBatch]:
            indices = [names.index(name) for name in wanted]
            for start in range(0, len(frame), _ROWS):
                part = frame.iloc[start : start + _ROWS, indices]
                yield pa.RecordBatch.from_arrays(
                    [_of_series(part.iloc[:, i]) for i in range(len(wanted))], wanted
                )

        return Source(name, names, of_pandas, len(frame))
    if not isinstance(table, pa.Table) and hasattr(table, "__arrow_c_stream__"):
        table = pa.table(table)
    if not isinstance(table, pa.Table):
        raise TypeError(
            f"{name} must be the path of a CSV or Parquet file, a data frame of pandas or Polars, "
            f"or a table of pyarrow, got {numbers.described(table)} of type {type(table).__name__}."
        )
    arrow: pa.Table = table

    def of_arrow(wanted: list[str]) -> Iterator[pa.RecordBatch]:
        yield from arrow.select(wanted).to_batches(max_chunksize=_ROWS)

    return Source(name, arrow.column_names, of_arrow, arrow.num_rows)


def _of_series(series: pd.Series) -> pa.Array:
    """Returns a column of pandas, one of mixed types as text."""
    import pyarrow as pa

    try:
        column = pa.Array.from_pandas(series)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        text = series.astype("string")
        column = pa.Array.from_pandas(text)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
