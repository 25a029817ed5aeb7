"""Progress of a long run: a bar in a terminal or a notebook, now and then a line in a log file."""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TextIO

__all__ = ["Advance", "beginning_with", "no_progress", "progress_bar"]

_SECONDS_BETWEEN_LINES = 30.0

# Called with the number of units done, and by how many the total has grown.
Advance = Callable[[int, int], None]


def no_progress(amount: int, more: int) -> None:
    """Shows nothing."""


def beginning_with(function: Callable[[], None], show: Advance) -> Advance:
    """Returns a function that shows progress, and that calls another one at its first call.

    Args:
        function: what is called once, before anything is shown.
        show: shows progress.
    """
    waiting = [function]

    def advance(amount: int, more: int) -> None:
        if waiting:
            waiting.pop()()
        show(amount, more)

    return advance


@contextlib.contextmanager
def progress_bar(
    description: str, total: int, unit: str, enabled: bool | None = None
) -> Iterator[Advance]:
    """Shows the progress of a block of work on the standard error stream.

    Where that is a terminal, or in a notebook, it is a bar of tqdm's. Elsewhere, such as in a log
    file, it is a line at most every 30 seconds, and one at the end.

    Args:
        description: what is done, to stand before the figures.
        total: how many units of work there are.
        unit: their name in the plural.
        enabled: False to show nothing; None shows progress wherever there is a stream to show it
            on.

    Yields:
        A function to call with the number of units done since the last call, and with how many
        more there are in all than was thought.
    """
    stream = sys.stderr
    if enabled is False or stream is None:
        yield no_progress
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Without ipywidgets a notebook has a bar of text.
        from tqdm.auto import tqdm

    if _in_notebook() or stream.isatty():
        scale = total >= 1000  # Shorter counts are shown in full.
        with tqdm(total=total, desc=description, unit=f" {unit}", unit_scale=scale) as bar:

            def advance(amount: int, more: int) -> None:
                bar.total += more
                bar.update(amount)

            yield advance
        return
    lines = _Lines(stream, description, total, unit)
    try:
        yield lines.advance
    finally:
        lines.finish()


def _in_notebook() -> bool:
    """Returns whether output goes to a notebook, in which a bar of text is drawn over."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", ())


class _Lines:
    """Progress as lines of text."""

    def __init__(self, stream: TextIO, description: str, total: int, unit: str) -> None:
        self._stream = stream
        self._description = description
        self._total = total
        self._unit = unit
        self._done = 0
        self._written: int | None = None
        self._start = self._last_line = time.monotonic()

    def advance(self, amount: int, more: int) -> None:
        self._total += more
        self._done += amount
        if time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._write()

    def finish(self) -> None:
        if self._total and self._done != self._written:  # None where all was done before.
            self._write()

    def _write(self) -> None:
        self._written = self._done
        self._last_line = time.monotonic()
        seconds = self._last_line - self._start
        rate = self._done / seconds if seconds else 0.0
        rate_text = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        self._stream.write(
            f"{self._description}: {self._done:,} of {self._total:,} {self._unit} "
            f"({self._done / self._total:.0%}) in {seconds:.0f} s, {rate_text} {self._unit}/s\n"
        )
        self._stream.flush()
