"""Independent parts of a long computation, in this process or side by side in processes.

Each part has a process of its own, so that it finds nothing of the others' in memory and what it
took is given back; with a single worker the parts run one after the other in this process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

__all__ = ["Advance", "Part", "PartError", "Result", "run_parts", "usable_cores"]

# What the libraries that NumPy may be built with take the number of their threads from.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

#: Called with the number of units of work done since the last call.
Advance = Callable[[int], None]
#: What a part returns: arrays and numbers by name.
Result = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a computation.

    Attributes:
        name: its name, fit for a file's, different from those of the other parts.
        function: a function at the top level of a module that takes the arguments, by name, and
            ``advance``, to tell of its progress; it returns arrays and numbers by name. What it
            returns depends on the arguments alone.
        arguments: the function's arguments, which can be pickled.
        size: units of work in it.
    """

    name: str
    function: Callable[..., Result]
    arguments: dict[str, Any]
    size: int

    def run(self, advance: Advance) -> Result:
        """Returns the function's result, with ``seconds``, the time that it took."""
        start = time.perf_counter()
        result = self.function(**self.arguments, advance=advance)
        return {**result, "seconds": np.float64(time.perf_counter() - start)}


class PartError(RuntimeError):
    """The process of a part ended before the part was done."""


def usable_cores() -> int:
    """Returns on how many processor cores this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_parts(
    parts: Sequence[Part], workers: int, advance: Advance
) -> Generator[tuple[Part, Result], None, None]:
    """Runs parts and yields each with its result as it is done.

    If the caller stops before the end, the processes are ended.

    Args:
        parts: what to run, in this order.
        workers: the most parts to run at a time. With more than one, a script that calls this has
            to do so under ``if __name__ == "__main__":``, as with all of Python's multiprocessing.
        advance: called in this process with the progress of all parts.

    Raises:
        PartError: if a process ends before its part is done, by an error, which it prints, or
            because it was killed.
    """
    if min(workers, len(parts)) <= 1:
        for part in parts:
            yield part, part.run(advance)
        return
    waiting = list(reversed(parts))
    running: dict[Any, tuple[Part, Any]] = {}  # By the connection.
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                part = waiting.pop()
                connection, process = _start(part)
                running[connection] = part, process
            for ready in multiprocessing.connection.wait(list(running)):
                part, process = running[ready]
                message = _receive(ready, part, process)
                if isinstance(message, int):
                    advance(message)
                    continue
                del running[ready]
                process.join()
                yield part, message
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()


def _start(part: Part) -> tuple[Connection, Any]:
    """Starts the process of a part; returns the end of its pipe to read from, and the process."""
    # A fork of a process with threads, such as TensorFlow's, may hang: start from nothing.
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(part, writer), daemon=True)
    with _without_interrupts(), _one_thread():
        process.start()
    writer.close()  # Now the pipe ends with the process.
    return reader, process


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Holds Ctrl-C back, also from the processes started in the block while they start."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # The first process starts this one too, which would let Ctrl-C through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Lets NumPy use one thread in processes started in the block: there is one for each core."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(part: Part, connection: Connection) -> None:
    """Runs a part in a process of its own, which the one that started it ends on Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(BrokenPipeError):  # That process was killed.
        connection.send(part.run(connection.send))


def _end_with_parent() -> None:
    """Ends this process when the one that started it has ended, be it killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _receive(connection: Any, part: Part, process: Any) -> Any:
    """Returns the next message of a part: units of work done, or at last its result."""
    try:
        return connection.recv()
    except (EOFError, OSError):  # The latter in the middle of a message.
        process.join()
        if process.exitcode < 0:
            reason = "it was killed, as processes are when memory runs out"
        else:
            reason = "the error that it printed says why"
        raise PartError(
            f"The process of {part.name} ended with exit code {process.exitcode} before it was "
            f"done: {reason}."
        ) from None
