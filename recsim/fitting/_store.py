"""Finished fits as files, which the same call takes up where it was interrupted."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from recsim import clusters, parallel
from recsim._internal import files, json_text, version
from recsim.environments import fitted
from recsim.fitting import tables

__all__ = ["Store", "fingerprint", "refuse_another", "run_tasks"]


def fingerprint(log: tables.SlateLog | tables.RatingsLog, settings: Mapping[str, object]) -> str:
    """Returns what tells a log and the settings of a fit from others, as text."""
    described = {"log": log.fingerprint, "settings": dict(settings), "version": version.__version__}
    return hashlib.sha256(json_text.dumps(described).encode()).hexdigest()


def refuse_another(folder: str, fingerprint: str) -> None:
    """Raises FileExistsError if there is a scenario of another log or of other settings.

    Args:
        folder: where a fit is to be written, with the entry ``fingerprint`` in its source.
        fingerprint: that of the log and the settings.
    """
    with contextlib.suppress(FileNotFoundError):
        if fitted.load(folder).source.get("fingerprint") != fingerprint:
            raise FileExistsError(
                f"output must be a folder without another fitted scenario, got {folder!r}, which "
                "has one of another log or of other settings: choose another folder, or remove it."
            )


class Store:
    """Results of tasks, each a file that is written whole.

    Args:
        folder: where they are; None to have none.
        fingerprint: of what all of them depend on.
    """

    def __init__(self, folder: str | None, fingerprint: str) -> None:
        self._folder, self._fingerprint = folder, fingerprint

    def _path(self, name: str) -> str | None:
        if self._folder is None:
            return None
        return os.path.join(self._folder, f"{name}-{self._fingerprint[:16]}.npz")

    def read(self, name: str) -> parallel.Result | None:
        """Returns a result, None if there is none that can be read."""
        path = self._path(name)
        if path is None:
            return None
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError):
            return None  # It is not there, or damaged: it is made again.

    def write(self, name: str, result: parallel.Result) -> None:
        """Writes a result."""
        path = self._path(name)
        if path is not None:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with files.atomic_file(path) as file:
                np.savez(file, **result)


def run_tasks(
    tasks: Sequence[parallel.Task],
    store: Store,
    workers: int,
    backend: clusters.Backend | None,
    show: Callable[[int, int], None],
) -> dict[str, parallel.Result]:
    """Returns the results of tasks by name: those that are not stored are made.

    Args:
        tasks: what to do.
        store: where results are.
        workers: the most tasks to run at a time.
        backend: where they run.
        show: called with the units of work done, and with how many more there are in all.
    """
    stored = {task.name: store.read(task.name) for task in tasks}
    found = {name: result for name, result in stored.items() if result is not None}
    left = [task for task in tasks if task.name not in found]
    show(0, sum(task.size for task in left))
    if left:
        running = parallel.run_tasks(
            left, min(workers, len(left)), lambda done: show(done, 0), backend=backend
        )
        for task, result in running:
            store.write(task.name, result)
            found[task.name] = result
    return found
