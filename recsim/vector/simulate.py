"""Simulates any number of users, in chunks, on all cores of the machine and in bounded memory."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recsim import clusters, parallel, types
from recsim._internal import paths, resources, validation
from recsim.logs import dataset, impressions
from recsim.simulator import rollout
from recsim.vector import scenario, streams

__all__ = ["Simulation", "check_memory", "simulate"]

# More tasks than workers: they end together, and one that is killed costs a part of its work.
_TASKS_OF_A_WORKER = 8

MakeEnvironment = Callable[..., types.VectorEnv]
MakeAgent = Callable[[Any], types.VectorAgent]


@dataclasses.dataclass(frozen=True)
class Simulation:
    """The outcome of a simulation of users.

    Attributes:
        returns: undiscounted sums of rewards, float64 or float32: of shape (n_users,) over
            ``num_steps`` steps, of shape (n_users, num_episodes) if episodes were simulated.
        lengths: numbers of steps, int64 or int32, of the same shape.
        metrics: the environment's counts, by name, of these steps and no others.
        written_metrics: what the environment reports of them, such as ``CTR``, by tag.
        seed: the seed that the environments were reset with, which repeats the simulation: the
            argument, or one that was sampled because neither it nor the config has a seed. None
            where the environments took that of their config.
    """

    returns: np.ndarray
    lengths: np.ndarray
    metrics: Mapping[str, float]
    written_metrics: Mapping[str, float]
    seed: int | None = None

    @property
    def num_users(self) -> int:
        """Number of users."""
        return len(self.returns)

    @property
    def num_steps(self) -> int:
        """Number of steps of all users together."""
        return int(self.lengths.sum())


def simulate(
    make_environment: MakeEnvironment,
    make_agent: MakeAgent,
    num_users: int,
    *,
    num_steps: int | None = None,
    num_episodes: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    backend: clusters.BackendLike = "loky",
    address: str | None = None,
    dtype: npt.DTypeLike = np.float64,
    advance: Callable[[int], None] | None = None,
    parquet_log: paths.Path | None = None,
    log_user_state: bool = False,
) -> Simulation:
    """Lets an agent recommend to users and returns their episodes' returns, lengths and metrics.

    The users are simulated a chunk at a time (:data:`recsim.vector.streams.CHUNK_SIZE`), each
    chunk with an environment and an agent of its own, made by fresh copies of the functions: what
    these keep does not go from one chunk to the next. The result does not depend on the number of
    workers, to the last bit; and a user's does not depend on the number of users, if the agent
    treats users independently and samples as :mod:`recsim.vector.streams` has it. An agent that
    learns from some users for others learns from those of its chunk.

    Args:
        make_environment: function called as ``make_environment(num_envs=…, first_user=…)``, such
            as ``functools.partial(interest_exploration.create_vector_environment, env_config)``.
        make_agent: function of an environment that returns a
            :class:`recsim.vector.agent.AbstractVectorAgent`, such as
            :class:`recsim.agents.random_agent.VectorRandomAgent`.
        num_users: number of users, at least 1.
        num_steps: steps to simulate for each; a user whose episode ends is followed by another.
        num_episodes: episodes to simulate for each, in place of ``num_steps``.
        seed: seed of the environment, an integer >= 0; None for the one of its config. Where that
            is None too, one is sampled for all users together.
        workers: the most processes to use; None for one a core of the backend. The functions may
            come from a notebook or a script, whose main module needs no guard, and may be lambdas.
            What they hold must be picklable if they go to other processes, or if the agent uses
            TensorFlow; what is not is called as it is.
            With one worker, the users are simulated in this process, unless the agent uses
            TensorFlow, whose number of threads cannot be changed back there.
        backend: where the processes are: those of this machine (loky), or of a cluster, see
            :func:`recsim.clusters.connect`. The result is the same.
        address: of the cluster, None for one of this machine.
        dtype: data type of the returns and of the lengths: ``float64`` (and ``int64``), or
            ``float32`` (and ``int32``), in half the memory.
        advance: called with the number of users done since the last call.
        parquet_log: a folder for an episode log, of a name that is free, see
            :mod:`recsim.logs.parquet`: a file for each chunk of users, so that it does not depend
            on the number of workers either. It has its name once it is complete. The workers of a
            cluster must have the folder, too. None for no log.
        log_user_state: whether the log has the users' hidden states too.

    Returns:
        Returns and lengths by user, and the environment's metrics.

    Raises:
        TypeError, ValueError: if a number is below 1, not exactly one of ``num_steps`` and
            ``num_episodes`` is given, episodes never end that should, or a function that goes to
            another process cannot be pickled.
        MemoryError: if there is no memory for the results of so many users.
        ImportError: if the backend's package is not installed.
        ConnectionError: if there is no cluster at the address.
        OSError: if the log cannot be written, or (FileExistsError) there is one of its name.
        recsim.parallel.TaskError: if a process has ended three times before its users were done,
            such as one that is killed.

    Example:
        >>> import functools
        >>> from recsim.agents import random_agent
        >>> from recsim.environments import long_term_satisfaction
        >>> config = {"num_candidates": 5, "slate_size": 1, "resample_documents": True, "seed": 0}
        >>> result = simulate(
        ...     functools.partial(long_term_satisfaction.create_vector_environment, config),
        ...     random_agent.VectorRandomAgent, 1000, num_episodes=1, workers=1)
        >>> result.returns.shape, result.num_steps
        ((1000, 1), 60000)
    """
    validation.positive_int("num_users", num_users)
    if (num_steps is None) == (num_episodes is None):
        raise ValueError(
            "simulate needs either num_steps or num_episodes, got "
            f"num_steps={num_steps!r} and num_episodes={num_episodes!r}."
        )
    if num_steps is not None:
        validation.positive_int("num_steps", num_steps)
    else:
        validation.positive_int("num_episodes", num_episodes)
    if seed is not None:
        validation.positive_int("seed", seed, 0)
    check_memory(num_users, num_episodes or 1)
    log_user_state = validation.flag("log_user_state", log_user_state)
    if log_user_state and parquet_log is None:
        raise ValueError("log_user_state has no effect without parquet_log.")
    log = None
    if parquet_log is not None:
        log = _Log(dataset.Dataset("parquet_log", parquet_log), log_user_state)
        log.folder.check_free()
    element = _data_type(dtype)
    if workers is not None:
        workers = validation.positive_int("workers", workers)
    _check_function("make_environment", make_environment)
    _check_function("make_agent", make_agent)
    chunks = [users for _, users in streams.chunks(0, num_users)]
    functions = _Functions(make_environment, make_agent)
    of_one_user: Any = functions.fresh()[0](num_envs=1, first_user=0)
    if num_episodes is not None:
        _check_that_episodes_end(of_one_user)
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(clusters.connect(backend, address, workers))
        if workers is None:
            workers = parallel.usable_cores() if cluster is None else cluster.cores()
        num_tasks = min(workers * _TASKS_OF_A_WORKER if workers > 1 else 1, len(chunks))
        if cluster is None:
            resources.check_processes(min(workers, num_tasks))
        if seed is None and getattr(of_one_user.unwrapped, "has_random_seed", False):
            seed = of_one_user.unwrapped.default_seed
        # What a single task, which may run here, begins with tells whether it may.
        first = _made(functions, chunks[0]) if num_tasks == 1 and cluster is None else None
        uses_tensorflow = first is not None and bool(getattr(first[1], "uses_tensorflow", False))
        if first is None or uses_tensorflow:
            functions.check_pickling()
        bounds = [task * len(chunks) // num_tasks for task in range(num_tasks + 1)]
        tasks = [
            parallel.Task(
                name=f"chunks_{start}_to_{stop - 1}",
                function=_simulate_chunks,
                arguments={
                    "functions": functions,
                    "chunks": chunks[start:stop],
                    "num_steps": num_steps,
                    "num_episodes": num_episodes,
                    "seed": seed,
                    "element": element,
                    "first": None if uses_tensorflow else first,
                    "log": log,
                },
                size=sum(map(len, chunks[start:stop])),
                uses_tensorflow=uses_tensorflow,
            )
            for start, stop in itertools.pairwise(bounds)
        ]
        if log is not None:
            stack.enter_context(log.folder.locked())
            log.folder.start()
        finished = parallel.run_tasks(
            tasks, workers, advance or (lambda number: None), backend=cluster
        )
        stack.enter_context(contextlib.closing(finished))
        shape = (num_users,) if num_episodes is None else (num_users, num_episodes)
        outcome = _collected(finished, shape, element)
        if log is not None:
            log.folder.finish()
    functions.fresh()  # What the last chunk left in classes of the main module.
    returns, lengths, counts = outcome
    metrics: dict[str, float] = collections.defaultdict(float)
    # Chunk by chunk, in order: sums of numbers depend on the order in the last bits.
    for task in tasks:
        for of_chunk in counts[task.name]:
            for key, count in of_chunk.items():
                metrics[key] += count
    return Simulation(
        returns, lengths, dict(metrics), _written(of_one_user.metrics_writer, metrics), seed
    )


def _data_type(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Returns the data type of returns."""
    with contextlib.suppress(TypeError):
        element = np.dtype(dtype)
        if element in (np.float32, np.float64):
            return element
    raise ValueError(f"dtype must be 'float64' or 'float32', got {dtype!r}.")


def _collected(
    finished: Iterable[tuple[parallel.Task, parallel.Result]],
    shape: tuple[int, ...],
    element: np.dtype[Any],
) -> tuple[np.ndarray, np.ndarray, dict[str, list[dict[str, float]]]]:
    """Returns the returns, the lengths and, by task, the metrics; results are held only once."""
    returns = np.empty(shape, element)
    lengths = np.empty(shape, _counts_of(element))
    metrics = {}
    for task, result in finished:
        users = slice(task.arguments["chunks"][0].start, task.arguments["chunks"][-1].stop)
        returns[users] = result["returns"]
        lengths[users] = result["lengths"]
        metrics[task.name] = result["metrics"]
    return returns, lengths, metrics


def _counts_of(element: np.dtype[Any]) -> type[np.signedinteger[Any]]:
    """Returns the data type of counts that goes with one of returns."""
    return np.int64 if element == np.float64 else np.int32


def check_memory(num_users: int, num_episodes: int = 1) -> None:
    """Raises MemoryError if there is no memory for the returns and lengths of so many users."""
    resources.check_memory(
        # Those of all together, and as much at most of tasks.
        2 * 16 * num_users * num_episodes,
        f"The results of {resources.shown(num_users)} users",
        "choose fewer users or episodes",
    )


def _check_function(name: str, function: object) -> None:
    """Raises TypeError for what is not a function."""
    if not callable(function):
        raise TypeError(f"{name} must be a function, got {function!r}.")


class _Functions:
    """The functions that make environments and agents, of which each chunk gets a fresh copy.

    In one process as in several, a chunk then begins with what the functions held at the start.
    """

    def __init__(self, make_environment: MakeEnvironment, make_agent: MakeAgent) -> None:
        from recsim._internal import pickling

        self._functions = make_environment, make_agent
        self._pickled: clusters.Buffer | None = None
        try:
            self._pickled = pickling.dumps(self._functions)
        except Exception as error:  # Whatever is in a stranger's function.
            self._error = error

    def __getstate__(self) -> dict[str, Any]:
        # As a buffer, which is sent once for all tasks.
        return {"_pickled": None if self._pickled is None else pickle.PickleBuffer(self._pickled)}

    def fresh(self) -> tuple[MakeEnvironment, MakeAgent]:
        """Returns copies of the functions; the functions themselves if they cannot be pickled.

        Classes of the main module get back the attributes that they had at the start.
        """
        if self._pickled is None:
            return self._functions
        fresh: tuple[MakeEnvironment, MakeAgent]
        fresh = pickle.loads(self._pickled)  # noqa: S301 (written in __init__)
        return fresh

    def check_pickling(self) -> None:
        """Raises TypeError if the functions cannot be sent to another process."""
        from recsim._internal import pickling

        if self._pickled is not None:
            return
        for name, function in zip(("make_environment", "make_agent"), self._functions):
            try:
                pickling.dumps(function)
            except Exception as error:
                raise TypeError(
                    f"{name} must be a function that can be pickled, to be called in another "
                    f"process, got {function!r} ({error}): leave files, locks, connections and "
                    "generators out of what it refers to, or pass workers=1 with an agent that "
                    "does not use TensorFlow."
                ) from error
        raise TypeError(f"The functions cannot be pickled together: {self._error}.")


def _check_that_episodes_end(env: types.VectorEnv) -> None:
    """Raises ValueError if an environment says that no episode in it ever ends."""
    unwrapped: Any = env.unwrapped
    model = getattr(unwrapped, "user_model", None)
    if not isinstance(model, scenario.VectorUserModel) or unwrapped.max_steps_per_episode:
        return
    zero = np.zeros(1, np.int64)
    users = model.sample_users(streams.UserStream(0, zero, zero, unwrapped.dtype))
    if model.is_done(users) is None:
        raise ValueError(
            f"num_episodes needs episodes that end, which those of {type(model).__name__} do not: "
            "make the environment with max_steps_per_episode, or simulate num_steps."
        )


def _written(writer: Callable[..., None] | None, metrics: Mapping[str, float]) -> dict[str, float]:
    """Returns what an environment's writer of metrics reports of metrics."""
    written: dict[str, float] = {}
    if writer is not None:
        writer(metrics, written.__setitem__)
    return written


def _made(functions: _Functions, users: range) -> tuple[Any, types.VectorAgent]:
    """Returns an environment of users and the agent for it."""
    make_environment, make_agent = functions.fresh()
    env = make_environment(num_envs=len(users), first_user=users.start)
    return env, make_agent(env)


def _simulate_chunks(
    functions: _Functions,
    chunks: list[range],
    num_steps: int | None,
    num_episodes: int | None,
    seed: int | None,
    element: np.dtype[Any],
    first: tuple[Any, Any] | None,
    log: _Log | None,
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """Simulates chunks of users sequentially, the first with an environment and agent if given."""
    returns, lengths, metrics = [], [], []
    for users in chunks:
        env, agent = first or _made(functions, users)
        first = None
        with contextlib.ExitStack() as stack:
            listeners = []
            if log is not None:
                number = users.start // streams.CHUNK_SIZE
                writer = stack.enter_context(dataset.FileWriter(log.folder.file(number)))
                listeners.append(
                    impressions.VectorImpressions(env, writer.add, user_state=log.user_state)
                )
            if num_steps is not None:
                of_chunk = _run_steps(env, agent, seed, num_steps, listeners)
            else:
                assert num_episodes is not None
                of_chunk = _run_episodes(env, agent, seed, num_episodes, listeners)
        returns.append(of_chunk[0].astype(element))
        lengths.append(of_chunk[1].astype(_counts_of(element)))
        metrics.append(env.metrics)
        advance(len(users))
    return {
        "returns": np.concatenate(returns),
        "lengths": np.concatenate(lengths),
        "metrics": metrics,
    }


@dataclasses.dataclass(frozen=True)
class _Log:
    """What chunks of users are logged to.

    Attributes:
        folder: the dataset, with a file for each chunk.
        user_state: whether to log hidden states.
    """

    folder: dataset.Dataset
    user_state: bool


class _Returns(rollout.VectorListener):
    """Sums the rewards of each user."""

    def __init__(self, num_users: int) -> None:
        self.returns = np.zeros(num_users)

    def on_step(self, step: rollout.VectorStep) -> None:
        self.returns += step.rewards


def _run_steps(
    env: types.VectorEnv,
    agent: types.VectorAgent,
    seed: int | None,
    num_steps: int,
    listeners: Sequence[rollout.VectorListener],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the returns and the lengths of each user, shape (n_users,)."""
    returns = _Returns(env.num_envs)
    vector_rollout = rollout.VectorRollout(
        env, agent, [returns, *listeners], follows_episodes=False, watched=True
    )
    vector_rollout.run_steps(num_steps, seed=seed)
    return returns.returns, np.full(env.num_envs, num_steps, np.int64)


def _run_episodes(
    env: types.VectorEnv,
    agent: types.VectorAgent,
    seed: int | None,
    num_episodes: int,
    listeners: Sequence[rollout.VectorListener],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the returns and the lengths of each episode, shape (n_users, num_episodes)."""
    totals = rollout.EpisodeTotals(env.num_envs * num_episodes)
    rollout.VectorRollout(env, agent, [totals, *listeners], watched=True).run_episodes(
        np.full(env.num_envs, num_episodes), seed=seed
    )
    by_user = (num_episodes, env.num_envs)
    return totals.returns.reshape(by_user).T, totals.lengths.reshape(by_user).T
