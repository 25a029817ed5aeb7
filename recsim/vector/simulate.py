"""Simulates any number of users, in chunks, on all cores of the machine and in bounded memory."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import hashlib
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recsim import clusters, parallel, types
from recsim._internal import json_text, paths, resources, validation
from recsim.logs import dataset
from recsim.logs import impressions as impressions_lib
from recsim.simulator import fingerprint, rollout
from recsim.vector import _outputs, scenario, streams

__all__ = ["Simulation", "check_memory", "simulate"]

# More tasks than workers: they end together, and one that is killed costs a part of its work. A
# task's results, which are on the driver twice for a moment, are of so many chunks at most.
_TASKS_OF_A_WORKER = 8
_MOST_CHUNKS = 64

MakeEnvironment = Callable[..., types.VectorEnv]
MakeAgent = Callable[[Any], types.VectorAgent]


@dataclasses.dataclass(frozen=True)
class Simulation:
    """The outcome of a simulation of users.

    Attributes:
        metrics: the environment's counts, by name, of these steps and no others.
        written_metrics: what the environment reports of them, such as ``CTR``, by tag.
        num_users: number of users.
        num_steps: number of steps of all users together.
        seed: the seed that the environments were reset with, which repeats the simulation: the
            argument, or one that was sampled because neither it nor the config has a seed. None
            where the environments took that of their config.
        output: the folder of the Parquet data set, or its address; None where there is none.
        source: what :attr:`returns` and :attr:`lengths` are, or the files that they are in.
    """

    metrics: Mapping[str, float]
    written_metrics: Mapping[str, float]
    num_users: int
    num_steps: int
    seed: int | None
    output: str | None
    source: tuple[np.ndarray, np.ndarray] | _outputs.StoredReturns = dataclasses.field(repr=False)

    @property
    def returns(self) -> np.ndarray:
        """Undiscounted sums of rewards, float64 or float32.

        Of shape (n_users,) over ``num_steps`` steps, of shape (n_users, num_episodes) if episodes
        were simulated. Where the workers have written them, they are read at the first use, which
        takes the memory that ``output`` saves.
        """
        return self._arrays[0]

    @property
    def lengths(self) -> np.ndarray:
        """Numbers of steps, int64 or int32, of the shape of :attr:`returns`."""
        return self._arrays[1]

    @functools.cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return self.source if isinstance(self.source, tuple) else self.source.read()


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
    output: paths.Path | None = None,
    impressions: bool = False,
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
        log_user_state: whether the log, or the impressions, have the users' hidden states too.
        output: a folder, or an address of fsspec's such as ``s3://bucket/folder`` (with the extra
            ``fsspec``), for a Parquet data set: ``returns/*.parquet``, a row for each user (and
            episode). The workers write it, and this process holds nothing of it. All workers must
            reach it. Its files do not depend on the number of workers, and appear whole. Where
            the folder has some of them, the same call simulates the others.
        impressions: whether the data set has ``impressions/*.parquet`` too, with the columns of
            :mod:`recsim.logs.columns`.

    Returns:
        Returns and lengths by user, and the environment's metrics.

    Raises:
        TypeError, ValueError: if a number is below 1, not exactly one of ``num_steps`` and
            ``num_episodes`` is given, episodes never end that should, or a function that goes to
            another process cannot be pickled.
        MemoryError: if there is no memory for the results of so many users.
        ImportError: if the backend's package is not installed.
        ConnectionError: if there is no cluster at the address.
        OSError: if log or data set cannot be written, a worker does not reach the data set, or
            (FileExistsError) there is a log of its name.
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
    log_user_state = validation.flag("log_user_state", log_user_state)
    if log_user_state and parquet_log is None and not impressions:
        raise ValueError("log_user_state has no effect without parquet_log or impressions.")
    element = _data_type(dtype)
    log, files = _log_and_files(parquet_log, output, impressions, log_user_state)
    if files is None:
        check_memory(num_users, num_episodes or 1)
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
        unwrapped = getattr(of_one_user, "unwrapped", of_one_user)
        random_seed = seed is None and getattr(unwrapped, "has_random_seed", False)
        if random_seed:
            seed = unwrapped.default_seed
        groups = _groups(chunks, workers) if files is None else files.chunks_of_files(chunks)
        done: Mapping[int, tuple[int, list[dict[str, float]]]] = {}
        if files is not None:
            stack.enter_context(files.locked())
            seed = files.start(
                {
                    "num_users": num_users,
                    "num_steps": num_steps,
                    "num_episodes": num_episodes,
                    "seed": seed,
                    "random_seed": random_seed,
                    "dtype": element.name,
                    **_described(functions, chunks[0]),
                }
            )
            done = files.done()
        left = [number for number in range(len(groups)) if number not in done]
        advance = advance or (lambda number: None)
        if done:
            advance(sum(sum(map(len, groups[number])) for number in done))
        if cluster is None:
            resources.check_processes(min(workers, max(1, len(left))))
        # What a single task, which may run here, begins with tells whether it may.
        runs_here = cluster is None and min(workers, len(left)) == 1
        first = _made(functions, groups[left[0]][0]) if runs_here else None
        uses_tensorflow = first is not None and bool(getattr(first[1], "uses_tensorflow", False))
        if left and (first is None or uses_tensorflow):
            functions.check_pickling()
        tasks = [
            parallel.Task(
                name=f"users_{groups[number][0].start}_to_{groups[number][-1].stop - 1}",
                function=_simulate_chunks if files is None else _simulate_to_file,
                arguments={
                    "functions": functions,
                    "chunks": groups[number],
                    "num_steps": num_steps,
                    "num_episodes": num_episodes,
                    "seed": seed,
                    "element": element,
                    "first": None if uses_tensorflow or number != left[0] else first,
                    **({"log": log} if files is None else {"files": files, "number": number}),
                },
                size=sum(map(len, groups[number])),
                uses_tensorflow=uses_tensorflow,
            )
            for number in left
        ]
        if log is not None:
            stack.enter_context(log.folder.locked())
            log.folder.start()
        finished = parallel.run_tasks(tasks, workers, advance, backend=cluster)
        stack.enter_context(contextlib.closing(finished))
        shape = (num_users,) if num_episodes is None else (num_users, num_episodes)
        sums = _Sums({number: counts for number, (_, counts) in done.items()})
        source: tuple[np.ndarray, np.ndarray] | _outputs.StoredReturns
        if files is None:
            source = np.empty(shape, element), np.empty(shape, _counts_of(element))
        else:
            source = _outputs.StoredReturns(files.storage, shape, element)
        steps = sum(number for number, _ in done.values())
        numbers = {task.name: number for task, number in zip(tasks, left, strict=True)}
        for task, result in finished:
            steps += result["steps"]
            sums.add(numbers[task.name], result["metrics"])
            if isinstance(source, tuple):
                users = slice(task.arguments["chunks"][0].start, task.arguments["chunks"][-1].stop)
                source[0][users], source[1][users] = result["returns"], result["lengths"]
        if log is not None:
            log.folder.finish()
    functions.fresh()  # What the last chunk left in classes of the main module.
    metrics = sums.total()
    return Simulation(
        metrics,
        _written(of_one_user.metrics_writer, metrics),
        num_users,
        steps,
        seed,
        None if files is None else files.place,
        source,
    )


def _log_and_files(
    parquet_log: paths.Path | None,
    output: paths.Path | None,
    with_impressions: bool,
    user_state: bool,
) -> tuple[_Log | None, _outputs.Output | None]:
    """Returns the log and the data set that a simulation writes."""
    with_impressions = validation.flag("impressions", with_impressions)
    if output is None:
        if with_impressions:
            raise ValueError(
                "impressions has no effect without output; parquet_log writes them to a folder "
                "that appears at the end."
            )
        if parquet_log is None:
            return None, None
        log = _Log(dataset.Dataset("parquet_log", parquet_log), user_state)
        log.folder.check_free()
        return log, None
    if parquet_log is not None:
        raise ValueError(
            "parquet_log must be None with output, which has the impressions by impressions=True."
        )
    return None, _outputs.Output(output, with_impressions=with_impressions, user_state=user_state)


def _groups(chunks: list[range], workers: int) -> list[list[range]]:
    """Returns the chunks of each task."""
    number = workers * _TASKS_OF_A_WORKER if workers > 1 else 1
    number = min(max(number, -(-len(chunks) // _MOST_CHUNKS)), len(chunks))
    bounds = [task * len(chunks) // number for task in range(number + 1)]
    return [chunks[start:stop] for start, stop in zip(bounds, bounds[1:])]


def _described(functions: _Functions, users: range) -> dict[str, Any]:
    """Returns what tells environment and agent from others, the seeds that they have too."""
    env: Any
    agent: Any
    env, agent = _made(functions, users)
    state = hashlib.sha256()
    with contextlib.suppress(Exception):  # A stranger's agent may have none, or one of any kind.
        state.update(json_text.dumps(agent.state_dict()).encode())
    return {
        "fingerprint": fingerprint.fingerprint(env, agent).data()["sha256"],
        "seed_of_environment": getattr(env.unwrapped, "default_seed", None),
        "state_of_agent": state.hexdigest(),
    }


class _Sums:
    """Sums the counts of chunks in the order of the chunks, which sums depend on in the last bits.

    Args:
        known: the counts of chunks, a list for each group of them, by the group's number.
    """

    def __init__(self, known: Mapping[int, list[dict[str, float]]]) -> None:
        self._waiting = dict(known)
        self._next = 0
        self._total: dict[str, float] = collections.defaultdict(float)
        self._sum()

    def add(self, number: int, counts: list[dict[str, float]]) -> None:
        """Adds the counts of a group."""
        self._waiting[number] = counts
        self._sum()

    def _sum(self) -> None:
        while (counts := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            for of_chunk in counts:
                for key, count in of_chunk.items():
                    self._total[key] += count

    def total(self) -> dict[str, float]:
        """Returns the sums of all groups."""
        assert not self._waiting
        return dict(self._total)


def _data_type(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Returns the data type of returns."""
    with contextlib.suppress(TypeError):
        element = np.dtype(dtype)
        if element in (np.float32, np.float64):
            return element
    raise ValueError(f"dtype must be 'float64' or 'float32', got {dtype!r}.")


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
    listeners_of: _outputs.ListenersOf | None = None,
) -> dict[str, Any]:
    """Simulates chunks of users sequentially, the first with an environment and agent if given."""
    returns, lengths, metrics = [], [], []
    for users in chunks:
        env, agent = first or _made(functions, users)
        first = None
        with contextlib.ExitStack() as stack:
            listeners: list[rollout.VectorListener] = []
            if log is not None:
                number = users.start // streams.CHUNK_SIZE
                writer = stack.enter_context(dataset.FileWriter(log.folder.file(number)))
                listeners.append(
                    impressions_lib.VectorImpressions(env, writer.add, user_state=log.user_state)
                )
            if listeners_of is not None:
                listeners += listeners_of(env)
            if num_steps is not None:
                of_chunk = _run_steps(env, agent, seed, num_steps, listeners)
            else:
                assert num_episodes is not None
                of_chunk = _run_episodes(env, agent, seed, num_episodes, listeners)
        returns.append(of_chunk[0].astype(element))
        lengths.append(of_chunk[1].astype(_counts_of(element)))
        metrics.append(env.metrics)
        advance(len(users))
    all_lengths = np.concatenate(lengths)
    return {
        "returns": np.concatenate(returns),
        "lengths": all_lengths,
        "metrics": metrics,
        "steps": int(all_lengths.sum(dtype=np.int64)),
    }


def _simulate_to_file(
    files: _outputs.Output, number: int, chunks: list[range], **arguments: Any
) -> dict[str, Any]:
    """Simulates chunks of users and writes the file of a data set; returns the counts alone."""
    files.check_reached()
    with files.listeners(number) as listeners_of:
        found = _simulate_chunks(chunks=chunks, log=None, listeners_of=listeners_of, **arguments)
    users = range(chunks[0].start, chunks[-1].stop)
    steps = files.write(number, users, found["returns"], found["lengths"], found["metrics"])
    return {"metrics": found["metrics"], "steps": steps}


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
