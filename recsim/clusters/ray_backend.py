"""Tasks on the workers of a Ray cluster."""

from __future__ import annotations

import builtins
import concurrent.futures
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from recsim._internal import threads
from recsim.clusters import remote_calls
from recsim.clusters.backend import Backend, Buffer

__all__ = ["RayBackend", "connected"]

_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def connected(address: str | None, workers: int | None) -> Iterator[RayBackend]:
    """Connects to a Ray cluster for a block, or uses the connection that there is."""
    try:
        import ray
    except ImportError as error:
        raise ImportError(
            "backend='ray' needs Ray, which is not installed: pip install '.[ray]'."
        ) from error
    if ray.is_initialized():
        if address is not None:
            raise ValueError(
                f"address must be None where this process is connected to Ray, got {address!r}: "
                "leave it out to use that connection, or call ray.shutdown() before."
            )
        yield RayBackend()
        return
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:  # "local" keeps it from a cluster that happens to run on this machine.
        settings.update(address="local", num_cpus=workers, include_dashboard=False)
    else:
        settings["address"] = address
    printer = builtins.print  # Ray puts a function of its own in its place.
    try:
        ray.init(**settings)
    except Exception as error:
        if address is None:
            raise
        raise ConnectionError(
            f"There is no Ray cluster at address={address!r} ({error}): start one with "
            "'ray start --head', or leave the address out."
        ) from error
    try:
        if not ray.cluster_resources().get("CPU"):
            _logger.warning("The Ray cluster has no CPUs yet: tasks wait for them.")
        yield RayBackend()
    finally:
        ray.shutdown()
        builtins.print = printer


class RayBackend(Backend):
    """The cluster that this process is connected to; every task is one of Ray's, on one core."""

    def __str__(self) -> str:
        return "the Ray cluster"

    def make_executor(self) -> concurrent.futures.Executor:
        """Returns an executor whose calls are tasks of Ray, each started once."""
        return _RayExecutor()

    def make_lasting_executor(self) -> concurrent.futures.Executor:
        """Returns an executor whose calls are those of an actor of Ray, which is not restarted."""
        return _ActorExecutor()

    def cores(self) -> int:
        """Returns the number of CPUs that the nodes offer."""
        import ray

        return int(ray.cluster_resources().get("CPU", 0)) or 1

    def share(self, data: Buffer) -> object:
        """Puts bytes into Ray's object store, which sends them once to a node that needs them."""
        import ray

        return ray.put(bytes(data))


# Ray itself runs nothing again: whoever gave the task counts how often it was started.
_OPTIONS: dict[str, Any] = {"num_cpus": 1, "runtime_env": {"env_vars": {**threads.ONE_THREAD}}}


class _RayExecutor(concurrent.futures.Executor):
    def __init__(self) -> None:
        import ray

        self._remote = ray.remote(remote_calls.call).options(max_retries=0, **_OPTIONS)
        self._reference: Any = None

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[Any]:
        """Calls a function on a worker; references to shared bytes arrive as the bytes."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        self._reference = self._remote.remote(fn, kwargs, *args)
        self._reference.future().add_done_callback(lambda done: _settle(future, done))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancels the last call, whatever it does, if asked to."""
        import ray

        if cancel_futures and self._reference is not None:
            ray.cancel(self._reference, force=True)
        self._reference = None


class _ActorExecutor(concurrent.futures.Executor):
    def __init__(self) -> None:
        import ray

        actor = ray.remote(remote_calls.Caller)
        self._actor: Any = actor.options(max_restarts=0, max_task_retries=0, **_OPTIONS).remote()

    def submit(
        self, fn: Callable[..., Any], /, *args: object, **kwargs: object
    ) -> concurrent.futures.Future[Any]:
        """Calls a function in the actor's process."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        reference = self._actor.call.remote(fn, kwargs, *args)
        reference.future().add_done_callback(lambda done: _settle(future, done))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the actor, whatever it does."""
        import ray

        ray.kill(self._actor)


def _settle(future: concurrent.futures.Future[Any], done: concurrent.futures.Future[bytes]) -> None:
    """Gives a future what Ray's future has."""
    import ray

    ended = (ray.exceptions.RayError, concurrent.futures.CancelledError)
    remote_calls.settle(future, done.result, ended)
