"""Ctrl-C and SIGTERM, in commands and workers: a training ends where it can be resumed exactly."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import threading
import time
import types
from collections.abc import Iterator

__all__ = [
    "GRACE_SECONDS",
    "Terminated",
    "deferred",
    "end_grace",
    "end_process",
    "raise_if_requested",
    "requested",
    "terminable",
]

#: How long a signal waits for the place where a training can be resumed exactly.
GRACE_SECONDS = 10.0


class Terminated(KeyboardInterrupt):
    """SIGTERM or Ctrl-C came to a command.

    Attributes:
        signal: the signal's number.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__()
        self.signal = signal_number


class _State:
    """What the handler and the runners tell each other."""

    deferring = False
    requested: int | None = None
    # The signal that ends the block when its grace is over; another object for each signal.
    in_grace: object | None = None


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Lets SIGTERM end the block as Ctrl-C does, and both wait for a block of :func:`deferred`.

    The second signal ends it at once, and so does the end of :data:`GRACE_SECONDS` after the first,
    unless :func:`end_grace` has been called by then. Outside of the main thread nothing changes.
    The handlers are restored afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    _State.requested = _State.in_grace = None
    try:
        for number, handler in before.items():
            # What is ignored, as in the background of a shell, stays ignored.
            if handler not in (signal.SIG_IGN, None):
                signal.signal(number, _handle)
        yield
    finally:
        _State.requested = _State.in_grace = None
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def _handle(number: int, frame: types.FrameType | None) -> None:
    del frame
    if _State.deferring and _State.requested is None:
        _State.requested = number
        _State.in_grace = grace = object()
        # Not threading's, which must not be entered anew from a handler.
        _thread.start_new_thread(_end_after_grace, (number, grace, GRACE_SECONDS))
    else:
        # Not KeyboardInterrupt itself: where that goes through the execution of a string, as
        # dataclasses and named tuples do it, Python remembers it as one that nobody handled, and
        # ends with SIGINT in the place of the exit code.
        raise Terminated(number)


def _end_after_grace(number: int, grace: object, seconds: float) -> None:
    time.sleep(seconds)
    if _State.in_grace is grace:
        _thread.interrupt_main(signal.Signals(number))


def end_process(number: int) -> None:
    """Ends this process, a worker's, with the exit code that shells give for a signal.

    It ends at once, except in a block of :func:`deferred`, which has :data:`GRACE_SECONDS` to raise
    :class:`Terminated`, unless :func:`end_grace` has been called by then.

    Args:
        number: the signal that it ends for; this may be another thread than that of the block.
    """
    if not _State.deferring:
        os._exit(128 + number)
    if _State.requested is None:
        _State.requested = number
        _State.in_grace = grace = object()
        _thread.start_new_thread(_exit_after_grace, (number, grace, GRACE_SECONDS))


def _exit_after_grace(number: int, grace: object, seconds: float) -> None:
    time.sleep(seconds)
    if _State.in_grace is grace:
        os._exit(128 + number)


def end_grace() -> None:
    """Lets a waiting signal wait on: a place has come where the training can be resumed."""
    _State.in_grace = None


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Lets the first signal in the block wait until somebody asks for it."""
    before = _State.deferring
    _State.deferring = True
    try:
        yield
    finally:
        _State.deferring = before


def requested() -> bool:
    """Says whether a signal is waiting."""
    return _State.requested is not None


def raise_if_requested() -> None:
    """Raises Terminated, a KeyboardInterrupt, if a signal is waiting."""
    if _State.requested is not None:
        raise Terminated(_State.requested)
