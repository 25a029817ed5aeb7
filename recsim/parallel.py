"""Runs independent tasks over the cores of the machine, or on executors of another kind.

A :class:`Task` is a function with its arguments; :func:`run_tasks` runs tasks and yields their
results as they finish. Nothing else in the library knows about processes.

The workers are processes of loky. Functions and classes travel by cloudpickle, so they may come
from a notebook or from the main module of a script, which needs no ``if __name__ == "__main__":``.
Every task uses one thread of NumPy's linear algebra and one of TensorFlow: there is a worker for
each core, and sums are then added in one order. Workers ignore Ctrl-C, which the process that
started them passes on: a training saves what it has done, all else ends at once, and so does
everything with a second Ctrl-C. Workers end when that process has ended, be it killed.

A :class:`recsim.clusters.Backend` takes the tasks elsewhere: to Ray, to Dask, or to executors of
the caller's.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from recsim import clusters
from recsim._internal import interrupts, process_state, threads, validation, worker_state
from recsim._internal.threads import usable_cores

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = [
    "Advance",
    "Result",
    "Task",
    "TaskError",
    "WorkerProcess",
    "one_thread",
    "run_tasks",
    "start_script",
    "usable_cores",
]

_logger = logging.getLogger(__name__)

# Loky restarts a worker between two tasks when its memory has grown by so many bytes. Its own
# 300 MB are soon reached by tasks that differ, and starting TensorFlow again takes long.
_MEMORY_GROWTH = "LOKY_MAX_MEMORY_LEAK_SIZE", "1e9"

# What tells this process from those of workers, also on other machines.
_PROCESS = os.urandom(16)

#: How often a task is started, at most, whose worker ends before the task is done.
MOST_ATTEMPTS = 3
_SECONDS_BETWEEN_LOOKS = 0.1
# Arrays of fewer bytes go with the tasks: sharing them would take longer.
_SHARED_FROM = 100_000

#: Called with the number of units of work done since the last call.
Advance = Callable[[int], None]
#: What a task returns: arrays and numbers by name.
Result = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Task:
    """A function to call, with its arguments.

    Attributes:
        name: its name, fit for a file's, different from those of the other tasks.
        function: a function that takes the arguments, by name, and ``advance``, to tell of its
            progress; it returns arrays and numbers by name. What it returns depends on the
            arguments alone.
        arguments: the function's arguments, which cloudpickle can pickle.
        size: units of work in it.
        uses_tensorflow: whether it computes with TensorFlow. Such a task runs in a worker process
            even if there is one worker: the number of TensorFlow's threads cannot be changed in a
            process that has used it, nor changed back.
    """

    name: str
    function: Callable[..., Result]
    arguments: dict[str, Any]
    size: int
    uses_tensorflow: bool = False

    def run(self, advance: Advance) -> Result:
        """Returns the function's result, with ``seconds``, the time that it took.

        Raises:
            TypeError: if the function does not return a mapping.
        """
        start = time.perf_counter()
        result = self.function(**self.arguments, advance=advance)
        if not isinstance(result, Mapping):
            raise TypeError(
                f"The function of the task {self.name!r} must return a dictionary, of arrays and "
                f"numbers by name, got {result!r:.80}."
            )
        return {**result, "seconds": np.float64(time.perf_counter() - start)}


class TaskError(RuntimeError):
    """A task could not be done: its worker ended each time, or what it raised cannot be sent."""


def run_tasks(
    tasks: Sequence[Task],
    workers: int,
    advance: Advance,
    *,
    keep_going: bool = False,
    backend: clusters.Backend | None = None,
) -> Generator[tuple[Task, Result], None, None]:
    """Runs tasks and yields each with its result when it is done.

    With one worker, or one task, the tasks run in this process, unless they use TensorFlow. If the
    worker of a task ends before the task is done, the task runs again after the others, at most
    twice; the other workers continue. If the caller stops before the end, the workers are ended; on
    Ctrl-C (KeyboardInterrupt) when their trainings have saved a checkpoint.

    Args:
        tasks: what to run, started in this order.
        workers: the most tasks to run at a time, at least 1.
        advance: called in this process with the progress of all tasks. What a task that runs again
            has told before is not told twice.
        keep_going: whether to run the other tasks to their end, and to yield their results, before
            the error is raised that tells of tasks whose workers ended.
        backend: where the tasks run, see :func:`recsim.clusters.connect`. None for processes of
            this machine, each a :class:`WorkerProcess`.

    Raises:
        TaskError: if the worker of a task has ended three times, with the task's name and the
            reason.
        TypeError: if ``workers`` is not an integer, or a task cannot be pickled.
        ValueError: if ``workers`` is below 1 or more than the backend has, or two tasks have the
            same name.
        Exception: what a task raises.
    """
    workers = validation.positive_int("workers", workers)
    keep_going = validation.flag("keep_going", keep_going)
    counts = collections.Counter(task.name for task in tasks)
    if twice := [name for name, number in counts.items() if number > 1]:
        raise ValueError(
            f"Tasks must have names that differ, got {twice[0]!r} {counts[twice[0]]} times: their "
            "results are told apart by them."
        )
    if backend is not None:
        backend.check_workers(workers)
    return _run(tasks, workers, advance, keep_going, backend)


def _run(
    tasks: Sequence[Task],
    workers: int,
    advance: Advance,
    keep_going: bool,
    backend: clusters.Backend | None,
) -> Generator[tuple[Task, Result], None, None]:
    """Runs tasks here or elsewhere and yields each with its result when it is done."""
    if backend is None and _can_run_here(tasks, workers):
        for task in tasks:
            progress = _Progress(task, advance)
            with _named(task), one_thread():
                result = task.run(progress.add)
            progress.finish()
            yield task, result
        return
    make_executor = WorkerProcess if backend is None else backend.make_executor
    pool = _Pool(make_executor, min(workers, len(tasks)))
    sender = _Sender(None if backend is None else backend.share)
    with contextlib.ExitStack() as stack:
        stack.callback(pool.kill)
        yield from _run_elsewhere(tasks, pool, sender, advance, keep_going)
        stack.pop_all()
    pool.close()


def _can_run_here(tasks: Sequence[Task], workers: int) -> bool:
    """Says whether tasks can run in this process, each with one thread and nothing left changed."""
    if min(workers, len(tasks)) > 1:
        return False
    return _tensorflow_has_one_thread() or not any(task.uses_tensorflow for task in tasks)


def _tensorflow_has_one_thread() -> bool:
    """Says whether TensorFlow is known to use one thread in this process, as in a worker."""
    names = [name for name in threads.ONE_THREAD if name.startswith("TF_")]
    if all(os.environ.get(name) == "1" for name in names):
        return True
    if "tensorflow" not in sys.modules:
        return False
    threading_config = sys.modules["tensorflow"].config.threading
    intra_op: int = threading_config.get_intra_op_parallelism_threads()
    inter_op: int = threading_config.get_inter_op_parallelism_threads()
    return intra_op == inter_op == 1


@contextlib.contextmanager
def _named(task: Task) -> Iterator[None]:
    """Adds the name of a task to an error that it raises, where Python can."""
    try:
        yield
    except Exception as error:
        if sys.version_info >= (3, 11):
            error.add_note(f"This happened in the task {task.name!r}.")
        raise


class _Progress:
    """Passes the progress of a task on; what is done again is not told again."""

    def __init__(self, task: Task, advance: Advance) -> None:
        self._size = task.size
        self._advance = advance
        self._told = 0
        self._done = 0

    def start_over(self) -> None:
        self._done = 0

    def add(self, amount: int) -> None:
        self._done += amount
        self._tell(self._done)

    def finish(self) -> None:
        """Counts what an executor that tells of no progress has left untold."""
        self._tell(self._size)

    def _tell(self, done: int) -> None:
        if done > self._told:
            more, self._told = done - self._told, done
            self._advance(more)


@dataclasses.dataclass
class _Attempts:
    """A task that is to be run, is run, or is to be run again."""

    task: Task
    progress: _Progress
    reasons: list[str] = dataclasses.field(default_factory=list)

    def error(self) -> str:
        """Returns the sentence that tells why it was given up."""
        reasons = list(dict.fromkeys(self.reasons))
        if len(reasons) == 1:
            told = f"each time {reasons[0]}"
        else:
            told = "; ".join(f"{reason} (attempt {i})" for i, reason in enumerate(self.reasons, 1))
        return (
            f"The task {self.task.name!r} was started {len(self.reasons)} times and never done: "
            f"{told}."
        )


class _Pool:
    """The executors of some tasks, each with one task at a time.

    Args:
        make_executor: makes one.
        size: how many there are at most.
    """

    def __init__(self, make_executor: Callable[[], concurrent.futures.Executor], size: int) -> None:
        self._make_executor = make_executor
        self._all: list[concurrent.futures.Executor] = []
        self._idle: list[concurrent.futures.Executor] = []
        self._size = size

    @property
    def has_room(self) -> bool:
        """Whether another task can be submitted."""
        return bool(self._idle) or len(self._all) < self._size

    def take(self) -> concurrent.futures.Executor:
        """Returns an executor without a task."""
        if not self._idle:
            executor = self._make_executor()
            self._all.append(executor)
            return executor
        return self._idle.pop()

    def give_back(self, executor: concurrent.futures.Executor) -> None:
        """Takes an executor back that has done its task."""
        self._idle.append(executor)

    def discard(self, executor: concurrent.futures.Executor) -> None:
        """Drops an executor that is broken."""
        self._all.remove(executor)
        executor.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Ends executors that have nothing to do, all at the same time."""
        if self._all:
            with concurrent.futures.ThreadPoolExecutor(len(self._all)) as threads:
                list(threads.map(lambda executor: executor.shutdown(), self._all))

    def kill(self) -> None:
        """Ends the executors, whatever they do."""
        while self._all:
            self._all.pop().shutdown(cancel_futures=True)


def _run_elsewhere(
    tasks: Sequence[Task], pool: _Pool, sender: _Sender, advance: Advance, keep_going: bool
) -> Generator[tuple[Task, Result], None, None]:
    """Runs tasks on executors and yields each with its result when it is done."""
    waiting = collections.deque(_Attempts(task, _Progress(task, advance)) for task in tasks)
    running: dict[
        concurrent.futures.Future[Result], tuple[_Attempts, concurrent.futures.Executor]
    ] = {}
    given_up: list[_Attempts] = []

    def ended(
        run: _Attempts,
        executor: concurrent.futures.Executor,
        error: concurrent.futures.BrokenExecutor,
    ) -> None:
        pool.discard(executor)
        sender.forget()
        run.reasons.append(_reason(error))
        if len(run.reasons) == MOST_ATTEMPTS:
            given_up.append(run)
            return
        _logger.warning(
            "The task %r runs again: at attempt %d of %d, %s.",
            run.task.name,
            len(run.reasons),
            MOST_ATTEMPTS,
            run.reasons[-1],
        )
        waiting.append(run)

    try:
        while waiting or running:
            while waiting and pool.has_room:
                run = waiting.popleft()
                run.progress.start_over()
                payload = sender.pickled(run.task)
                executor = pool.take()
                try:
                    running[executor.submit(_run_pickled, *payload)] = run, executor
                except concurrent.futures.BrokenExecutor as error:
                    ended(run, executor, error)
                if given_up and not keep_going:
                    break
            done, _ = concurrent.futures.wait(
                running, _SECONDS_BETWEEN_LOOKS, concurrent.futures.FIRST_COMPLETED
            )
            for run, executor in running.values():
                _tell_progress(run, executor)
            # Results before errors, which may end the loop; no future, with its result, is held.
            finished = sorted(done, key=lambda future: future.exception() is None)
            done.clear()
            while finished:
                run, executor = running.pop(finished[-1])
                try:
                    with _named(run.task):
                        result = finished.pop().result()
                except concurrent.futures.BrokenExecutor as error:
                    ended(run, executor, error)
                    continue
                run.progress.finish()
                pool.give_back(executor)
                yield run.task, result
                del result
            if given_up and not keep_going:
                break
    except KeyboardInterrupt as error:
        _interrupt(running, getattr(error, "signal", signal.SIGINT))
        raise
    if given_up:
        raise TaskError(" ".join(run.error() for run in given_up))


def _interrupt(
    running: Mapping[concurrent.futures.Future[Result], tuple[_Attempts, Any]], number: int
) -> None:
    """Tells the executors of tasks of a signal, and waits for those that can be told."""
    told = [future for future, (_, executor) in running.items() if hasattr(executor, "interrupt")]
    for future in told:
        running[future][1].interrupt(number)
    concurrent.futures.wait(told)


def _tell_progress(run: _Attempts, executor: concurrent.futures.Executor) -> None:
    """Passes on what a task's executor has to tell, if it can tell anything."""
    progress = getattr(executor, "progress", None)
    if progress is not None and (amount := progress()):
        run.progress.add(amount)


class _Sender:
    """Makes bytes of tasks; arrays that several of them have are sent once.

    Args:
        share: returns what stands for the bytes of an array, None to send them with each task.
    """

    def __init__(self, share: Callable[[clusters.Buffer], object] | None) -> None:
        self._share = share
        self._shared: dict[bytes, object] = {}

    def pickled(self, task: Task) -> list[Any]:
        """Returns the arguments of :func:`_run_pickled` for a task.

        Gin's bindings and the registry's entries of this process go along.
        """
        from recsim._internal import bindings, pickling

        arrays: list[memoryview] = []

        def stays_in(buffer: pickle.PickleBuffer) -> bool:
            try:
                data = buffer.raw()
            except BufferError:  # It is not in one piece.
                return True
            if data.nbytes >= _SHARED_FROM:
                arrays.append(data)
            return data.nbytes < _SHARED_FROM

        carried = (_PROCESS, bindings.state(), worker_state.collected(), task)
        try:
            payload = pickling.dumps(carried, stays_in if self._share else None)
        except Exception as error:
            raise TypeError(
                f"The task {task.name!r} cannot be pickled to run in another process ({error}): "
                "leave files, locks and connections out of its function and arguments (and out of "
                "gin's bindings and of recsim.registry), or use one worker."
            ) from error
        return [payload, *map(self._stand_in, arrays)]

    def _stand_in(self, data: memoryview) -> object:
        assert self._share is not None
        digest = hashlib.blake2b(data).digest()
        if digest not in self._shared:
            self._shared[digest] = self._share(data)
        return self._shared[digest]

    def forget(self) -> None:
        """Sends arrays again: those sent may have been lost with a worker."""
        self._shared.clear()


# What a worker does.

# The end of a pipe that tells of progress; set in the processes of WorkerProcess.
_progress_end: Connection | None = None


def _run_pickled(payload: bytes, *arrays: clusters.Buffer) -> Result:
    """Runs a task in a worker; what it raises is fit to be sent."""
    from recsim._internal import bindings

    report = _Report(_progress_end)
    try:
        # The parent process made it. Arrays are copied: the task may write to its own.
        buffers = map(bytearray, arrays)
        process, configuration, carried, task = pickle.loads(payload, buffers=buffers)  # noqa: S301
        with contextlib.ExitStack() as stack:
            if process != _PROCESS:  # An executor's threads have them already.
                worker_state.restore(carried)
                stack.enter_context(bindings.applied(configuration))
            result: Result = task.run(report.add)
    except interrupts.Terminated as ended:
        if _progress_end is not None:  # It is a worker's process, which was to end.
            os._exit(128 + ended.signal)
        raise _that_can_be_sent(ended) from ended
    except BaseException as error:  # sys.exit too, which would end the one that hears of it.
        if (sendable := _that_can_be_sent(error)) is error:
            raise
        raise sendable from error
    report.send()
    return result


def _that_can_be_sent(error: BaseException) -> Exception:
    """Returns an error, or a TaskError that tells of it, if it cannot be sent or ends programs."""
    import cloudpickle

    if isinstance(error, Exception) and not isinstance(error, concurrent.futures.BrokenExecutor):
        with contextlib.suppress(Exception):
            pickle.loads(cloudpickle.dumps(error))  # noqa: S301
            return error
    return TaskError("".join(traceback.format_exception(error)).rstrip())


class _Report:
    """Sends the progress of a task, not more often than it is looked at."""

    def __init__(self, end: Connection | None) -> None:
        self._end = end
        self._amount = 0
        self._sent = -_SECONDS_BETWEEN_LOOKS

    def add(self, amount: int) -> None:
        self._amount += amount
        if time.monotonic() - self._sent >= _SECONDS_BETWEEN_LOOKS:
            self.send()

    def send(self) -> None:
        if self._end is not None and self._amount:
            with contextlib.suppress(OSError):  # The other process has ended.
                self._end.send(self._amount)
        self._amount = 0
        self._sent = time.monotonic()


def _start_worker(progress_end: Connection, lifeline: Connection) -> None:
    """Prepares a process of :class:`WorkerProcess` for its tasks."""
    global _progress_end
    _progress_end = progress_end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: interrupts.end_process(number))
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """Ends this process by signals that a pipe tells of, and when the pipe's other end is closed.

    It is closed at the latest by the end of the process that has it.
    """
    with contextlib.suppress(EOFError, OSError):
        while True:
            interrupts.end_process(lifeline.recv())
    os._exit(1)


class WorkerProcess(concurrent.futures.Executor):
    """An executor with a process of this machine, which starts at the first call.

    The process uses one thread of NumPy's linear algebra and of TensorFlow, ignores Ctrl-C, and
    ends when the process that made it has ended, or with SIGTERM. When it is killed, the executor
    is broken, and its futures raise :class:`concurrent.futures.BrokenExecutor`.
    """

    def __init__(self) -> None:
        import multiprocessing

        import loky

        name, default = _MEMORY_GROWTH
        # A worker's ends stay open here: loky may have to start it anew.
        self._progress, progress_end = multiprocessing.Pipe(duplex=False)
        lifeline, self._lifeline = multiprocessing.Pipe(duplex=False)
        self._pipes = (self._progress, progress_end, lifeline, self._lifeline)
        self._executor = loky.ProcessPoolExecutor(
            max_workers=1,
            initializer=_start_worker,
            initargs=(progress_end, lifeline),
            env={name: os.environ.get(name, default), **threads.ONE_THREAD},
        )

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[Any]:
        """Calls a function in the process and returns the future of its result."""
        with _without_interrupts():
            future: concurrent.futures.Future[Any] = self._executor.submit(fn, *args, **kwargs)
        return future

    def progress(self) -> int:
        """Returns how many units of work the tasks have told of since the last call."""
        amount = 0
        with contextlib.suppress(EOFError, OSError):
            while self._progress.poll():
                amount += self._progress.recv()
        return amount

    def interrupt(self, number: int) -> None:
        """Ends the process for a signal: now, or when the training in it has saved a checkpoint."""
        with contextlib.suppress(OSError):  # It has ended.
            self._lifeline.send(number)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the process: when its calls are done, or now if they are cancelled.

        Args:
            wait: whether to wait for that. The process ends with this object at the latest.
            cancel_futures: whether to end it now.
        """
        self._executor.shutdown(wait=wait, kill_workers=cancel_futures)
        if wait or cancel_futures:
            for end in self._pipes:
                end.close()


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Holds Ctrl-C back, also from the processes started in the block while they start."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker as tracker_of_python

    from loky.backend import resource_tracker as tracker_of_loky

    # The first process starts these too, which would let Ctrl-C through again.
    tracker_of_python.ensure_running()
    tracker_of_loky.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_SIGNALS = {
    "SIGKILL": "its worker was killed (SIGKILL), as processes are when memory runs out",
    "SIGTERM": "its worker was told to end (SIGTERM)",
}


def _reason(error: concurrent.futures.BrokenExecutor) -> str:
    """Returns why the worker of a task ended."""
    message = str(error)
    if codes := re.search(r"exit codes of the workers are \{(\w+)\((-?\d+)\)", message):
        name, code = codes[1], int(codes[2])
        if code == 128 + signal.SIGTERM:
            return _SIGNALS["SIGTERM"]
        if code >= 0:
            return f"its worker exited with code {code}"
        if name == "UNKNOWN":
            name = f"signal {-code}"
        return _SIGNALS.get(name, f"its worker crashed ({name}), which is an error of native code")
    return f"its worker ended ({type(error).__name__}: {' '.join(message.split())})"


# One thread in this process.

_limit_lock = threading.Lock()
_limit_users = 0
_limit: Any = None


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Lets the libraries of linear algebra that are loaded use one thread, in all of this process.

    The number of threads from before is restored when the last such block has ended, of those that
    overlap in several threads.
    """
    global _limit_users, _limit
    with process_state.environment_kept("KMP_DUPLICATE_LIB_OK"):
        import threadpoolctl

    with _limit_lock:
        if not _limit_users:
            _limit = threadpoolctl.threadpool_limits(1, user_api="blas")
        _limit_users += 1
    try:
        yield
    finally:
        with _limit_lock:
            _limit_users -= 1
            if not _limit_users:
                _limit.restore_original_limits()
                _limit = None


# Scripts that measure, also under the interpreter of another library.


def start_script(python: str, script: str, errors: IO[str] | int) -> subprocess.Popen[str]:
    """Starts a script that reads its standard input and answers on its standard output.

    Args:
        python: the interpreter: this one, or one that has another library.
        script: path of the script.
        errors: where its standard error stream goes, as subprocess has it.
    """
    # Another library's interpreter is isolated from what this one finds by PYTHONPATH.
    isolated = [] if python == sys.executable else ["-I"]
    return subprocess.Popen(
        [python, *isolated, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
