"""Tasks on the workers of a Dask cluster."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from recsim._internal import process_state, threads
from recsim.clusters import remote_calls
from recsim.clusters.backend import Backend, Buffer

__all__ = ["DaskBackend", "connected"]

_logger = logging.getLogger(__name__)

# Dask lets workers return all free memory to the system at once, which takes as long as what arrays
# are made for, and look 100 times a second at what they are doing.
_OF_WORKERS = {
    **threads.ONE_THREAD,
    "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20),
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
}

# So long may workers take to start, as they do anew when they have ended.
_SECONDS_TO_START = 10.0


class _Called(Protocol):
    """A future of Dask's."""

    def result(self) -> bytes: ...

    def cancel(self) -> None: ...

    def add_done_callback(self, callback: Callable[[_Called], None]) -> None: ...


class _Client(Protocol):
    def submit(
        self,
        function: Callable[..., object],
        /,
        *arguments: object,
        key: str,
        pure: bool,
        retries: int,
        actor: bool = False,
        workers: list[str] | None = None,
        allow_other_workers: bool = False,
    ) -> _Called: ...

    def scatter(self, data: list[bytes], *, hash: bool) -> list[object]: ...

    def nthreads(self) -> Mapping[str, int]: ...

    def as_current(self) -> contextlib.AbstractContextManager[None]: ...


@contextlib.contextmanager
def connected(address: str | None, workers: int | None) -> Iterator[DaskBackend]:
    """Connects to a Dask cluster for a block, with a client that is not Dask's default one."""
    try:
        import distributed
    except ImportError as error:
        raise ImportError(
            "backend='dask' needs Dask's distributed, which is not installed: "
            "pip install '.[dask]'."
        ) from error
    with contextlib.ExitStack() as stack:
        if address is None:
            cluster = stack.enter_context(_local_cluster(workers))
        else:
            cluster = address
        try:
            if address is not None and not address.startswith("inproc:"):
                # Dask's client does not end at once when it has no port.
                distributed.comm.get_address_host_port(address)
            client = distributed.Client(cluster, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"There is no Dask scheduler at address={address!r} ({error}): start one with "
                "'dask scheduler', or leave the address out."
            ) from error
        stack.callback(client.close)
        if not client.nthreads():
            _logger.warning("The Dask cluster has no workers yet: tasks wait for them.")
        yield DaskBackend(client)


@contextlib.contextmanager
def _local_cluster(workers: int | None) -> Iterator[Any]:
    """Starts a cluster of this machine, with a process and one thread for each worker."""
    import distributed

    settings: dict[str, Any] = {
        "n_workers": workers or threads.usable_cores(),
        "threads_per_worker": 1,
        "dashboard_address": None,
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        if os.name == "posix":  # Its workers do not import the main module, which may start one.
            from distributed.deploy import subprocess

            make: Callable[..., Any] = subprocess.SubprocessCluster
            stack.enter_context(process_state.environment_kept(*_OF_WORKERS))
            os.environ.update(_OF_WORKERS)
        else:
            make = distributed.LocalCluster
            settings["env"] = _OF_WORKERS
        cluster = stack.enter_context(make(**settings))
        cluster.wait_for_workers(settings["n_workers"])
        yield cluster


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leaves out what Dask logs of workers that end, which is told of here."""
    loggers = [logging.getLogger(f"distributed.{name}") for name in ("nanny", "scheduler", "core")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


class DaskBackend(Backend):
    """The workers of a cluster.

    Args:
        client: a client of the cluster, as :mod:`distributed` has it.
    """

    def __init__(self, client: _Client) -> None:
        self._client = client
        self._num_actors = 0

    def __str__(self) -> str:
        return "the Dask cluster"

    def make_executor(self) -> concurrent.futures.Executor:
        """Returns an executor whose calls are tasks of Dask."""
        return _DaskExecutor(self._client)

    def make_lasting_executor(self) -> concurrent.futures.Executor:
        """Returns an executor whose calls are those of an actor of Dask, on one of the workers."""
        addresses = sorted(self._client.nthreads())
        self._num_actors += 1
        place = [addresses[self._num_actors % len(addresses)]] if addresses else None
        return _ActorExecutor(self._client, place)

    def cores(self) -> int:
        """Returns the number of threads of all workers."""
        return sum(self._client.nthreads().values()) or 1

    def check_workers(self, workers: int) -> None:
        """See :meth:`Backend.check_workers`; workers that start get some seconds for it."""
        end = time.monotonic() + _SECONDS_TO_START
        while self.cores() < workers and time.monotonic() < end:
            time.sleep(0.1)
        super().check_workers(workers)

    def share(self, data: Buffer) -> object:
        """Sends bytes to a worker, from which the others get them when they need them."""
        return self._client.scatter([bytes(data)], hash=False)[0]


class _DaskExecutor(concurrent.futures.Executor):
    def __init__(self, client: _Client) -> None:
        self._client = client
        self._called: _Called | None = None

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[Any]:
        """Calls a function on a worker; futures of shared bytes arrive as the bytes."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        self._called = called = self._client.submit(
            remote_calls.call,
            fn,
            kwargs,
            *args,
            key=f"recsim-{uuid.uuid4()}",
            pure=False,
            retries=0,
        )
        called.add_done_callback(lambda done: _settle(future, done))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancels the last call if asked to; one that has begun runs to its end."""
        if cancel_futures and self._called is not None:
            self._called.cancel()
        self._called = None


class _ActorExecutor(concurrent.futures.Executor):
    """Calls an actor, from a thread that waits for the answers: Dask tells nobody of them."""

    def __init__(self, client: _Client, workers: list[str] | None) -> None:
        self._client = client
        self._waits = concurrent.futures.ThreadPoolExecutor(1, "recsim-dask")
        self._future: Any = client.submit(
            remote_calls.Caller,
            key=f"recsim-{uuid.uuid4()}",
            pure=False,
            retries=0,
            actor=True,
            workers=workers,
            allow_other_workers=True,
        )
        self._actor: Any = None

    def submit(
        self, fn: Callable[..., Any], /, *args: object, **kwargs: object
    ) -> concurrent.futures.Future[Any]:
        """Calls a function in the actor's process."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        self._waits.submit(self._call, future, fn, kwargs, args)
        return future

    def _call(
        self,
        future: concurrent.futures.Future[Any],
        function: Callable[..., Any],
        keywords: dict[str, object],
        arguments: tuple[object, ...],
    ) -> None:
        def answer() -> bytes:
            with self._client.as_current():
                if self._actor is None:
                    self._actor = self._future.result()
                data: bytes = self._actor.call(function, keywords, *arguments).result()
            return data

        # What the function raises comes as an answer: all else is of a worker that has ended.
        remote_calls.settle(future, answer, (Exception,))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Lets go of the actor; a call that has begun runs to its end."""
        self._actor = None
        self._future.release()
        self._waits.shutdown(wait=False, cancel_futures=True)


def _settle(future: concurrent.futures.Future[Any], done: _Called) -> None:
    """Gives a future what Dask's future has."""
    import distributed

    ended = (distributed.KilledWorker, concurrent.futures.CancelledError)
    remote_calls.settle(future, done.result, ended)
