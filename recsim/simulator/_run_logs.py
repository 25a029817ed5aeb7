"""The episode logs of a run, which are begun, saved in checkpoints and finished together."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol

__all__ = ["Log", "RunLogs"]

_logger = logging.getLogger(__name__)


class Log(Protocol):
    """An episode log that a run can resume."""

    @property
    def is_complete(self) -> bool:
        """Whether something has the log's name."""

    def check_free(self) -> None:
        """Raises FileExistsError if something has the log's name."""

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keeps other runs from writing the log."""

    def start(self, kept: Mapping[str, Any] | None = None) -> None:
        """Continues after what was in the log when :meth:`sync` returned ``kept``; None: begins."""

    def sync(self) -> dict[str, Any]:
        """Brings the log onto the disk; returns what a checkpoint keeps."""

    def finish(self) -> None:
        """Gives the log, now complete, its name."""


class RunLogs:
    """The episode logs of a run by their names in its checkpoints."""

    def __init__(self) -> None:
        self._logs: dict[str, Log] = {}

    def add(self, name: str, log: Log) -> None:
        """Adds a log.

        Args:
            name: the log's name in checkpoints.
            log: the log.

        Raises:
            ValueError: if another log has the name.
        """
        if name in self._logs:
            raise ValueError(
                f"parquet_log and episode_log_file must be different paths, got {name!r} for both."
            )
        self._logs[name] = log

    def check_free(self, own: Callable[[], Collection[str]]) -> None:
        """Raises FileExistsError if there is a complete log that is not the run's own.

        Args:
            own: function that returns the names of the logs that the run resumes.
        """
        complete = {name: log for name, log in self._logs.items() if log.is_complete}
        if complete:
            names = own()
            for name, log in complete.items():
                if name not in names:
                    log.check_free()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other runs from writing these logs, wherever their own folders are.

        Raises:
            BlockingIOError: if another one writes one of them now.
        """
        with contextlib.ExitStack() as stack:
            for log in self._logs.values():
                stack.enter_context(log.locked())
            yield

    def start(self) -> None:
        """Begins the logs."""
        for log in self._logs.values():
            log.start()

    def resume(self, kept: Mapping[str, Any], iteration: int) -> None:
        """Takes the logs back to what they were at a checkpoint.

        Args:
            kept: what :meth:`sync` returned for the checkpoint.
            iteration: the iteration that the checkpoint is of.
        """
        for name, log in self._logs.items():
            if name not in kept:
                _logger.warning(
                    "The episode log %s will hold no episodes before iteration %d: the run was "
                    "not logged there so far.",
                    name,
                    iteration + 1,
                )
            log.start(kept.get(name))

    def sync(self) -> dict[str, dict[str, Any]]:
        """Brings the logs onto the disk; returns what a checkpoint keeps of each, by name."""
        return {name: log.sync() for name, log in self._logs.items()}

    def finish(self) -> None:
        """Gives the logs, now complete, their names."""
        for log in self._logs.values():
            log.finish()
