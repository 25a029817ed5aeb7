"""What a place where tasks run has to offer, and how one is named."""

from __future__ import annotations

import abc
import concurrent.futures
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from recsim._internal import threads, validation

__all__ = ["BACKENDS", "Backend", "BackendLike", "Buffer", "connect"]

#: The names of the backends.
BACKENDS = ("loky", "ray", "dask")

#: Bytes as they come from an array, without a copy.
Buffer: TypeAlias = "bytes | bytearray | memoryview"


class Backend(abc.ABC):
    """A place where :func:`recsim.parallel.run_tasks` runs tasks.

    A subclass for another engine has :meth:`make_executor` and :meth:`cores`; the workers of the
    engine must be able to import this version of recsim.
    """

    @abc.abstractmethod
    def make_executor(self) -> concurrent.futures.Executor:
        """Returns an executor, which is given one task at a time, also after one has failed.

        Its futures raise :class:`concurrent.futures.BrokenExecutor` where the worker of a task has
        ended before the task was done: the task then runs again, on another executor. Executors
        with a method ``progress`` are asked for the units of work done since the last call; those
        with a method ``interrupt`` are told of Ctrl-C, with the signal's number.
        """

    def make_lasting_executor(self) -> concurrent.futures.Executor:
        """Returns an executor whose calls all run in one process, which keeps what they leave.

        Rollouts elsewhere need one for each worker. By default it is :meth:`make_executor`'s.
        """
        return self.make_executor()

    @abc.abstractmethod
    def cores(self) -> int:
        """Returns how many tasks can run at a time."""

    def share(self, data: Buffer) -> object:
        """Returns what stands for bytes that several tasks need.

        Among the positional arguments of a call, it reaches the worker as bytes. By default, it is
        the bytes themselves, which are then sent with each task.
        """
        return bytes(data)

    def check_workers(self, workers: int) -> None:
        """Raises ValueError if so many tasks cannot run at a time."""
        cores = self.cores()
        if workers > cores:
            raise ValueError(
                f"workers must be at most {cores}, the number of cores of {self}, got {workers}: "
                "the others would wait. Ask for fewer workers, or add nodes."
            )


BackendLike: TypeAlias = "str | Backend | concurrent.futures.Executor"


@contextlib.contextmanager
def connect(
    backend: BackendLike = "loky", address: str | None = None, workers: int | None = None
) -> Iterator[Backend | None]:
    """Connects to where tasks run, in a ``with`` statement.

    Args:
        backend: ``"loky"`` for processes of this machine; ``"ray"`` or ``"dask"`` for the workers
            of such a cluster, with the extra of that name; a :class:`Backend`; or an
            executor with the interface of :mod:`concurrent.futures`, which stays open.
        address: of a cluster that runs: for Ray, what ``ray.init`` takes, such as ``"auto"``; for
            Dask, that of the scheduler, such as ``"tcp://10.0.0.1:8786"``. None for a cluster of
            this machine, which starts here and ends with the block, or (Ray) the one that this
            process is connected to.
        workers: how many workers a cluster that starts here has, None for one a core.

    Yields:
        The backend for :func:`recsim.parallel.run_tasks`, None for loky.

    Raises:
        ImportError: if Ray or Dask is not installed.
        TypeError, ValueError: if there is no such backend, or it has no address.
        ConnectionError: if there is no cluster at the address.

    Example:
        >>> from recsim import clusters, parallel
        >>> def square(number, advance):
        ...     return {"square": number**2}
        >>> tasks = [parallel.Task(str(n), square, {"number": n}, 1) for n in range(3)]
        >>> with concurrent.futures.ThreadPoolExecutor(2) as executor:
        ...     with clusters.connect(executor) as backend:
        ...         results = parallel.run_tasks(tasks, 2, lambda done: None, backend=backend)
        ...         print(sorted(result["square"] for _, result in results))
        [0, 1, 4]
    """
    if workers is not None:
        workers = validation.positive_int("workers", workers)
    if address is not None and not isinstance(address, str):
        raise TypeError(f"address must be a string, or None, got {address!r}.")
    if address is not None and backend not in ("ray", "dask"):
        raise ValueError(
            f"address goes with the backends 'ray' and 'dask', got {address!r} with {backend!r}: "
            "leave it out."
        )
    if isinstance(backend, Backend):
        yield backend
    elif isinstance(backend, concurrent.futures.Executor):
        yield _Given(backend)
    elif backend == "loky":
        yield None
    elif backend == "ray":
        from recsim.clusters import ray_backend

        with ray_backend.connected(address, workers) as cluster:
            yield cluster
    elif backend == "dask":
        from recsim.clusters import dask_backend

        with dask_backend.connected(address, workers) as cluster:
            yield cluster
    else:
        nearest = validation.nearest_name(str(backend), BACKENDS)
        raise ValueError(
            f"backend must be one of {', '.join(map(repr, BACKENDS))}, a Backend or an executor, "
            f"got {backend!r}.{nearest}"
        )


class _Given(Backend):
    """An executor of the caller's, which it closes itself."""

    def __init__(self, executor: concurrent.futures.Executor) -> None:
        self._executor = executor

    def __str__(self) -> str:
        return f"the executor {self._executor!r}"

    def make_executor(self) -> concurrent.futures.Executor:
        return _LeftOpen(self._executor)

    def cores(self) -> int:
        return threads.usable_cores()

    def check_workers(self, workers: int) -> None:
        """Leaves the number to the caller, who knows the executor."""


class _LeftOpen(concurrent.futures.Executor):
    """Passes calls on to an executor, but the one that closes it."""

    def __init__(self, executor: concurrent.futures.Executor) -> None:
        self._executor = executor
        self._future: concurrent.futures.Future[Any] | None = None

    def submit(
        self, fn: Callable[..., Any], /, *args: object, **kwargs: object
    ) -> concurrent.futures.Future[Any]:
        self._future = self._executor.submit(fn, *args, **kwargs)
        return self._future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancels the last call, if asked to and if it has not begun."""
        if cancel_futures and self._future is not None:
            self._future.cancel()
