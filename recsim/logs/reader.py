"""Reading of episode logs, of either format, as data frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from recsim._internal import numbers, paths
from recsim.logs import columns as columns_lib
from recsim.logs import sequence_examples

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["read_episodes"]

_PARQUET = b"PAR1"
_NEEDED = (*columns_lib.FIRST_COLUMNS, *columns_lib.LAST_COLUMNS)
#: Columns of a log that say nothing of an agent that knows no probabilities.
_OF_PROPENSITIES = columns_lib.LAST_COLUMNS[3:]


def read_episodes(path: paths.Path, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Reads an episode log: a row for each impression, in the order of the log.

    Args:
        path: a Parquet log, which is a folder, one of its files, or a TFRecord log.
        columns: names of the columns to read; None for all.

    Returns:
        The columns of :mod:`recsim.logs.columns`. A TFRecord log does not say IDs of items and
        probabilities, which are null, and has integers of Discrete spaces as indicators of their
        values: ``response_click_0`` and ``response_click_1``.

    Raises:
        FileNotFoundError: if there is no such log.
        TypeError: if ``path`` or ``columns`` is of the wrong type.
        ValueError: if it is empty, not complete, damaged or not an episode log, or lacks a column.

    Example:
        >>> import tempfile
        >>> from recsim.agents import random_agent
        >>> from recsim.environments import interest_exploration
        >>> from recsim.vector import simulate
        >>> import functools
        >>> config = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}
        >>> log = tempfile.mkdtemp() + "/episodes.parquet"
        >>> _ = simulate.simulate(
        ...     functools.partial(interest_exploration.create_vector_environment, config),
        ...     random_agent.VectorRandomAgent, 100, num_steps=3, workers=1, parquet_log=log)
        >>> frame = read_episodes(log)
        >>> len(frame), float(frame.item_probability[0])
        (600, 0.2)
    """
    if isinstance(columns, (str, bytes)) or not isinstance(columns, (Sequence, type(None))):
        raise TypeError(
            f"columns must be a list of names, or None for all, got {numbers.described(columns)}."
        )
    log = paths.absolute("path", path)
    if not os.path.exists(log):
        unfinished = os.path.exists(f"{log}.part")
        raise FileNotFoundError(
            f"path must be that of an episode log, got {log!r}, where there is none"
            + (": the run that writes it has not ended." if unfinished else ".")
        )
    if log.endswith(".part"):
        raise ValueError(f"The episode log {log!r} is not complete: wait for its run to end.")
    files = _files(log)
    if not any(os.path.getsize(file) for file in files):
        raise ValueError(f"The episode log {log!r} is empty.")
    if not os.path.isdir(log) and sequence_examples.is_tfrecord(log):
        return _of_tfrecord(log, columns)
    return _of_parquet(files, columns)


def _files(log: str) -> list[str]:
    """Returns the files of a log in their order."""
    if not os.path.isdir(log):
        return [log]
    return [
        os.path.join(log, name) for name in sorted(os.listdir(log)) if name.endswith(".parquet")
    ]


def _of_parquet(files: Sequence[str], columns: Sequence[str] | None) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema: pa.Schema | None = None
    for file in files:
        with open(file, "rb") as opened:
            is_parquet = opened.read(len(_PARQUET)) == _PARQUET
        if not is_parquet:
            raise ValueError(f"{file!r} is neither a Parquet nor a TFRecord file.")
        try:
            found = pq.read_schema(file)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{file!r} is damaged or not complete: {error}") from error
        _check_schema(file, found, schema)
        schema = schema or found
    if columns is not None:
        _check_names(columns, schema.names if schema else [])
    tables = [pq.ParquetFile(file).read(columns) for file in files]
    return pa.concat_tables(tables).to_pandas()


def _check_schema(file: str, found: pa.Schema, expected: pa.Schema | None) -> None:
    """Raises ValueError if a file is not of an episode log, or not of the same one as others."""
    missing = [name for name in _NEEDED if name not in found.names]
    if missing:
        raise ValueError(
            f"{file!r} is not an episode log of recsim: it has no {', '.join(missing)}."
        )
    if expected is not None and not found.equals(expected):
        different = sorted({str(field) for field in found} ^ {str(field) for field in expected})
        raise ValueError(
            f"{file!r} is of another log than the files before it: {', '.join(different)} are not "
            "in both. Keep each log in a folder of its own."
        )


def _check_names(columns: Sequence[str], there: Sequence[str]) -> None:
    if unknown := [name for name in columns if name not in there]:
        raise ValueError(
            f"columns must be of those of the log, got {', '.join(map(repr, unknown))}; there are "
            f"{', '.join(there)}."
        )


def _of_tfrecord(path: str, columns: Sequence[str] | None) -> pd.DataFrame:
    import pandas as pd

    frames = []
    ended: dict[int, int] = {}  # How many episodes of each user there were.
    for episode in sequence_examples.episodes(path):
        user = 0 if episode.user is None else episode.user
        number = ended.get(user, 0)
        ended[user] = number + 1
        num_rows = len(episode.columns["step"])
        first = {
            "episode": np.full(num_rows, number),
            "user": np.full(num_rows, user),
        }
        frames.append(pd.DataFrame({**first, **episode.columns}))
    frame = pd.concat(frames, ignore_index=True)
    frame.insert(_NEEDED.index("item_id"), "item_id", pd.Series(None, frame.index, "string"))
    for name in _OF_PROPENSITIES:
        frame[name] = np.nan
    if columns is not None:
        _check_names(columns, list(frame.columns))
        frame = frame[list(columns)]
    return frame
