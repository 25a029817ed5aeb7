"""The Parquet data set of a simulation: files of users, which the workers write.

The folder holds

* ``simulation.json``: what the users are of, with which a later call must agree;
* ``returns/part-000000.parquet`` and following: a row for each user (and episode), and in the
  file's metadata the environment's counts, a dictionary for each chunk;
* ``impressions/part-000000.parquet`` and following, if they are asked for, of the same users.

The users of a file depend on the number of all users alone. A file is written after the impressions
of its users: where it is, they are. What is there is not simulated again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from recsim import types
from recsim._internal import files, json_text, paths, storage
from recsim.logs import dataset, impressions
from recsim.simulator import rollout

__all__ = ["ListenersOf", "Output", "StoredReturns"]

_FORMAT = 1
_RECORD = "simulation.json"
_RETURNS = "returns"
_IMPRESSIONS = "impressions"
_METRICS = b"recsim.metrics"

# As many chunks at most are in a file, and as many files at least are made of more chunks.
_MOST_CHUNKS = 16
_FEWEST_FILES = 64

#: Gives an environment what listens to it.
ListenersOf = Callable[[types.VectorEnv], Sequence[rollout.VectorListener]]


@functools.cache
def _reached() -> set[tuple[str, str]]:
    """The outputs of which this process knows that it reaches them."""
    return set()


@dataclasses.dataclass(frozen=True)
class StoredReturns:
    """Returns and lengths in files.

    Attributes:
        place: the folder.
        shape: their shape.
        dtype: that of the returns.
    """

    place: storage.Storage
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns them, by user.

        Raises:
            OSError: if a file is not there any more.
        """
        import pyarrow.parquet as pq

        returns = np.empty(self.shape, self.dtype)
        lengths = np.empty(self.shape, np.int64 if self.dtype == np.float64 else np.int32)
        start = 0
        for name in _parts(self.place.names(_RETURNS)).values():
            with self.place.open(f"{_RETURNS}/{name}") as file:
                table = pq.read_table(file, columns=["return", "length"])
            stop = start + table.num_rows
            returns.reshape(-1)[start:stop] = table["return"].to_numpy()
            lengths.reshape(-1)[start:stop] = table["length"].to_numpy()
            start = stop
        if start != returns.size:
            raise FileNotFoundError(
                f"{self.place.place!r} has the returns of {start:,} episodes, of {returns.size:,}: "
                "files were removed."
            )
        return returns, lengths


def _parts(names: Sequence[str]) -> dict[int, str]:
    """Returns the names of complete files by their numbers, in their order."""
    found = {}
    for name in names:
        number = name.removeprefix("part-").removesuffix(".parquet")
        if name == f"part-{number}.parquet" and number.isdecimal():
            found[int(number)] = name
    return dict(sorted(found.items()))


class Output:
    """A data set that workers write; it can be pickled.

    Args:
        place: the folder, or the address of one, see :func:`recsim._internal.storage.storage`.
        with_impressions: whether there are impressions.
        user_state: whether these have the users' hidden states.
    """

    def __init__(self, place: paths.Path, *, with_impressions: bool, user_state: bool) -> None:
        self.storage = storage.storage("output", place)
        self._with_impressions = with_impressions
        self._user_state = user_state
        self._id = ""

    @property
    def place(self) -> str:
        """The folder."""
        return self.storage.place

    # What the process that calls does.

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other simulations out of the folder, where its file system can.

        Raises:
            OSError: if the folder cannot be made or written to, or another one writes to it.
        """
        self.storage.make("output")
        if "://" in self.place:
            yield
            return
        with files.locked(self.place):
            yield

    def start(self, wanted: Mapping[str, Any]) -> int | None:
        """Begins the data set, or continues it.

        Args:
            wanted: what it is of: data for JSON, with ``seed``.

        Returns:
            The seed, that of the data set where the wanted one is None.

        Raises:
            ValueError: if the folder holds something else.
        """
        own = {
            "format": _FORMAT,
            **wanted,
            "impressions": self._with_impressions,
            "user_state": self._user_state,
        }
        own = json.loads(json_text.dumps(own))
        try:
            found = json.loads(self.storage.read(_RECORD))
            self._id = found.pop("id")
        except FileNotFoundError:
            self._begin(own)
            seed: int | None = own["seed"]
            return seed
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(
                f"{_RECORD} in {self.place!r}, which says what the files there are of, is spoiled "
                f"({error!r}): choose another output."
            ) from error
        if own["random_seed"] and found.get("random_seed"):
            for name in ("seed", "seed_of_environment"):  # A new one was sampled now.
                own[name] = found.get(name)
        different = [
            f"{name} is {found.get(name, 'nothing')} there and {own.get(name, 'nothing')} here"
            for name in {**found, **own}
            if found.get(name) != own.get(name)
        ]
        if different:
            raise ValueError(
                f"output {self.place!r} holds another simulation ({'; '.join(different)}): choose "
                "another folder, or the same arguments to resume."
            )
        for folder in ("", _RETURNS, _IMPRESSIONS):
            for name in self.storage.names(folder):
                if name.startswith(".") and name.endswith(".tmp"):  # Of a worker that was killed.
                    self.storage.remove(f"{folder}/{name}" if folder else name)
        seed = own["seed"]
        return seed

    def _begin(self, record: Mapping[str, Any]) -> None:
        if there := self.storage.names():
            raise ValueError(
                f"output {self.place!r} is not empty, and no simulation's: there is {there[0]!r}. "
                "Choose another folder."
            )
        self._id = uuid.uuid4().hex
        text = json_text.dumps({**record, "id": self._id}, indent=1)
        self.storage.write(_RECORD, f"{text}\n".encode())

    def chunks_of_files(self, chunks: Sequence[range]) -> list[list[range]]:
        """Returns the chunks of users whose results are in each file."""
        size = min(_MOST_CHUNKS, -(-len(chunks) // _FEWEST_FILES))
        return [list(chunks[start : start + size]) for start in range(0, len(chunks), size)]

    def done(self) -> dict[int, tuple[int, list[dict[str, float]]]]:
        """Returns what files there are, with the steps of all users and the counts of chunks."""
        import pyarrow.parquet as pq

        found = {}
        for number, name in _parts(self.storage.names(_RETURNS)).items():
            with self.storage.open(f"{_RETURNS}/{name}") as file:
                metadata = json.loads(pq.read_schema(file).metadata[_METRICS])
            found[number] = metadata["steps"], metadata["chunks"]
        return found

    # What workers do.

    def check_reached(self) -> None:
        """Raises OSError if this process does not reach the folder of the one that called.

        That is looked at once in a process.
        """
        key = (self.place, self._id)
        if key in _reached():
            return
        try:
            found = json.loads(self.storage.read(_RECORD))["id"]
        except (OSError, ValueError, KeyError):
            found = None
        if found != self._id:
            raise OSError(
                f"output {self.place!r} must be reached by all workers, but the one on "
                f"{socket.gethostname()} does not find there what the process that called has "
                "written: choose a folder that machines share, or an address of fsspec's, such as "
                "s3://bucket/folder."
            )
        try:
            self.storage.try_to_write()
        except Exception as error:
            raise OSError(
                f"output {self.place!r} must be a place that all workers can write to, but the one "
                f"on {socket.gethostname()} cannot: {error}"
            ) from error
        _reached().add(key)

    @contextlib.contextmanager
    def listeners(self, number: int) -> Iterator[ListenersOf]:
        """Lets the impressions of some users be written to a file, in a block.

        Args:
            number: the file's.

        Yields:
            What gives environments their listeners.
        """
        if not self._with_impressions:
            yield lambda env: ()
            return
        with (
            self.storage.written(f"{_IMPRESSIONS}/part-{number:06d}.parquet") as path,
            dataset.FileWriter(path) as writer,
        ):
            yield lambda env: (
                impressions.VectorImpressions(env, writer.add, user_state=self._user_state),
            )

    def write(
        self,
        number: int,
        users: range,
        returns: np.ndarray,
        lengths: np.ndarray,
        metrics: Sequence[Mapping[str, float]],
    ) -> int:
        """Writes the results of some users; returns their number of steps.

        Args:
            number: the file's.
            users: their numbers.
            returns: of shape (n_users,) or (n_users, num_episodes).
            lengths: likewise.
            metrics: the environment's counts of each chunk.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        numbers = np.arange(users.start, users.stop)
        columns = {"user": numbers}
        if returns.ndim == 2:
            episodes = returns.shape[1]
            columns["user"] = np.repeat(numbers, episodes)
            columns["episode"] = np.tile(np.arange(episodes, dtype=np.int32), len(numbers))
        table = pa.table({**columns, "return": returns.reshape(-1), "length": lengths.reshape(-1)})
        num_steps = int(lengths.sum(dtype=np.int64))
        counts = [{name: float(count) for name, count in each.items()} for each in metrics]
        text = json_text.dumps({"steps": num_steps, "chunks": counts})
        table = table.replace_schema_metadata({_METRICS: text.encode()})
        with self.storage.written(f"{_RETURNS}/part-{number:06d}.parquet") as path:
            pq.write_table(table, path, compression="zstd")
        return num_steps
