"""Training with the users elsewhere: one learner, and workers that simulate and choose slates.

A training of a vector agent spends its time on users, on choosing their slates and on learning.
With :class:`RolloutWorkers` the first two happen in other processes, of this machine or of a
cluster; this process learns:

    >>> import functools, tempfile
    >>> from recsim.agents import slate_decomp_q_agent
    >>> from recsim.environments import interest_evolution
    >>> from recsim.simulator import runner_lib
    >>> config = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}
    >>> env = interest_evolution.create_vector_environment(config, num_envs=4096)
    >>> def create_agent(sess, environment, eval_mode, summary_writer):
    ...     return slate_decomp_q_agent.VectorSlateDecompQAgent(environment, eval_mode=eval_mode)
    >>> runner_lib.TrainRunner(
    ...     base_dir=tempfile.mkdtemp(), create_agent_fn=create_agent, env=env, progress=False,
    ...     max_training_steps=4 * 4096, num_iterations=1,
    ...     rollout_workers=RolloutWorkers(2)).run_experiment()

Each worker has some of the chunks of users (:data:`recsim.vector.streams.CHUNK_SIZE`), with their
random streams. For each step it gets the network's weights and the random numbers of exploration,
chooses the slates, shows them, and returns the outcome.

With ``staleness=0`` the workers wait for the weights that one process would choose by: everything
that the training leaves is the same, to the last bit, and it may resume with workers or without
them from any checkpoint. With a ``staleness`` of s workers continue while the learner learns, and
choose by weights that lack the updates of at most s steps. The results then depend on s, and on
nothing else: not on the number of workers, nor on how fast they are.

A worker that dies is replaced: the new one simulates the chunks from their last known state on,
with the slates that were shown, and continues.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
import logging
import os
import pickle
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from recsim import clusters, parallel, types
from recsim._internal import arrays, bindings, numbers, trees, validation, worker_state
from recsim.simulator import rollout
from recsim.vector import agent as vector_agent
from recsim.vector import chunk as chunk_lib
from recsim.vector import env as vector_env
from recsim.vector import streams

__all__ = ["RolloutElsewhere", "RolloutWorkers"]

_logger = logging.getLogger(__name__)

# What tells this process from those of workers, also on other machines.
_PROCESS = os.urandom(16)

# After so many steps the state of the chunks is asked for: a new worker repeats those since.
_STEPS_BETWEEN_STATES = 64


class RolloutWorkers:
    """Workers that simulate the users of trainings.

    Args:
        workers: their number, at least 1; at most that of the environment's chunks of users.
        backend: where they are, see :func:`recsim.clusters.connect`. An executor of your own must
            run all calls in one process, as a ``ThreadPoolExecutor`` does.
        address: of the cluster, None for one of this machine.
        staleness: of how many steps, at most, updates may be missing in what slates are chosen by;
            0 for a training that is the same as in one process.

    Raises:
        TypeError, ValueError: if a number is not an integer or out of range.
    """

    def __init__(
        self,
        workers: int,
        backend: clusters.BackendLike = "loky",
        address: str | None = None,
        *,
        staleness: int = 0,
    ) -> None:
        self.workers = validation.positive_int("workers", workers)
        self._staleness = validation.positive_int("staleness", staleness, 0)
        self._backend = backend
        self._address = address
        self._make_executor: Callable[[], concurrent.futures.Executor] | None = None

    @property
    def staleness(self) -> int:
        """Of how many steps, at most, updates may be missing in what slates are chosen by."""
        return self._staleness

    def check(self, env: object, agent: object) -> None:
        """Raises TypeError or ValueError if they cannot simulate users with an agent.

        Args:
            env: the environment, a :class:`recsim.vector.env.RecSimVectorEnv`.
            agent: the agent, a :class:`recsim.vector.agent.LearnsElsewhere`.
        """
        if not isinstance(env, vector_env.RecSimVectorEnv):
            raise TypeError(
                "rollout_workers need a RecSimVectorEnv without wrappers, as the scenarios' "
                f"create_vector_environment makes, got {numbers.described(env)}."
            )
        if env.autoreset_mode.name != "SAME_STEP":
            raise ValueError(
                "rollout_workers need an environment in autoreset_mode SAME_STEP, got one in "
                f"{env.autoreset_mode.name}."
            )
        if not isinstance(agent, vector_agent.LearnsElsewhere):
            raise TypeError(
                "rollout_workers need an agent that learns from slates which were chosen "
                "elsewhere, such as deep Q-learners and policy gradients "
                "(recsim.vector.agent.LearnsElsewhere), "
                f"got {type(agent).__name__}. Train it in one process."
            )
        if self._staleness and not agent.takes_stale_slates:
            raise ValueError(
                f"staleness must be 0 for {type(agent).__name__}, which learns from slates that "
                f"it has chosen as it is, got {self._staleness}."
            )
        chunks = len(streams.chunks(env.first_user, env.num_envs))
        if self.workers > chunks:
            raise ValueError(
                f"rollout_workers must be at most {chunks} for {env.num_envs:,} users, got "
                f"{self.workers}: each worker has a chunk of {streams.CHUNK_SIZE:,} users at "
                "least. Ask for fewer workers, or train with more users in parallel."
            )

    @contextlib.contextmanager
    def connected(self) -> Iterator[None]:
        """Connects to the workers for a block.

        Raises:
            ImportError, ConnectionError, TypeError, ValueError: see
                :func:`recsim.clusters.connect`.
        """
        with clusters.connect(self._backend, self._address, self.workers) as cluster:
            if cluster is not None:
                cluster.check_workers(self.workers)
            self._make_executor = (
                parallel.WorkerProcess if cluster is None else cluster.make_lasting_executor
            )
            self._executors: list[concurrent.futures.Executor | None] = [None] * self.workers
            try:
                yield
            finally:
                self._make_executor = None
                for executor in filter(None, self._executors):
                    executor.shutdown(cancel_futures=True)

    def rollout(
        self,
        env: types.VectorEnv,
        agent: types.VectorAgent,
        listeners: Sequence[rollout.VectorListener] = (),
    ) -> RolloutElsewhere:
        """Returns a rollout by the workers; call it in a block of :meth:`connected`.

        Args:
            env: see :meth:`check`.
            agent: likewise.
            listeners: see :class:`recsim.simulator.rollout.VectorRollout`.
        """
        self.check(env, agent)
        if self._make_executor is None:
            raise RuntimeError("Rollout workers are there in a block of connected() alone.")
        workers = [
            _Worker(number, self._make_executor, self._executors) for number in range(self.workers)
        ]
        return RolloutElsewhere(env, agent, listeners, workers, self._staleness)


class RolloutElsewhere(rollout.VectorRollout):
    """A rollout of which workers make the steps, see :class:`RolloutWorkers`.

    Resets happen in this process.
    """

    def __init__(
        self,
        env: types.VectorEnv,
        agent: types.VectorAgent,
        listeners: Sequence[rollout.VectorListener],
        workers: Sequence[_Worker],
        staleness: int,
    ) -> None:
        super().__init__(env, agent, listeners)
        assert isinstance(env, vector_env.RecSimVectorEnv)
        assert isinstance(agent, vector_agent.LearnsElsewhere)
        self._lender, self._learner = env, agent
        self._workers = workers
        self._is_ahead = staleness > 0
        # Two blocks are behind what is learned at most, the last step of the second by all of both
        # but one.
        self._steps_of_block = max(1, (staleness + 1) // 2)
        self._to_order = 0
        self._is_lent = False
        self._has_orders = False
        self._made: collections.deque[_MadeByAll] = collections.deque()
        self._observation: types.Observation = {}

    def plan(self, num_steps: int) -> None:
        """See :meth:`recsim.simulator.rollout.VectorRollout.plan`."""
        self._to_order = num_steps

    def step(self) -> None:
        """Shows every user a slate, and lets the agent learn from the outcome.

        Raises:
            RuntimeError: if there was no reset before, or more steps are made than were planned.
            recsim.parallel.TaskError: if a worker has ended, and so have those in its place.
            Exception: what the scenario or the agent raises.
        """
        if not self._made:
            if not self._has_orders:
                self._order()
            self._made.extend(self._collected())
            # Not after slates of this process, which begin an iteration: what is chosen next by is
            # then the same for an agent that was restored.
            if self._is_ahead and self._to_order and self._made[0].is_chosen_there:
                self._order()
        made = self._made.popleft()
        if made.is_chosen_there:
            self._learner.recommended(self._observation, made.slates)
        outcome = self._lender.outcome_of(made.steps)
        step = rollout.VectorStep(made.slates, *outcome, agent=self._agent, counting=None)
        for tell in self._on_step:
            tell(step)
        self._follow(step)
        self._learner.learn(
            step.observation, step.rewards, step.terminated, step.truncated, step.infos
        )
        self._observation = step.observation

    def settle(self) -> None:
        """See :meth:`recsim.simulator.rollout.VectorRollout.settle`.

        Raises:
            RuntimeError: if workers have made steps that were not asked for yet.
        """
        if not self._is_lent:
            return
        if self._made or self._has_orders:
            raise RuntimeError("Workers are ahead: make the steps that were planned before.")
        if self._slates is None:
            self._slates = self._learner.recommend(self._observation)
        for worker in self._workers:
            worker.submit(_states)
        states = [state for worker in self._workers for state in worker.result()]
        self._lender.take_chunks_back(states)
        self._is_lent = False

    def _lend(self) -> None:
        """Gives the chunks of users to the workers."""
        chunks = self._lender.lend_chunks()
        self._is_lent = True
        if not chunks:
            raise RuntimeError("Call reset() before the first step.")
        documents = self._lender.shared_documents
        number, rollout_id = len(self._workers), uuid.uuid4().hex
        bounds = [len(chunks) * worker // number for worker in range(number + 1)]
        for worker, (start, stop) in zip(self._workers, itertools.pairwise(bounds), strict=True):
            worker.begin(
                _Lent(
                    list(chunks[start:stop]),
                    self._learner.rollout_policy(),
                    documents,
                    self._lender.max_steps_per_episode,
                ),
                rollout_id,
            )

    def _order(self) -> None:
        """Lets the workers make a block of steps."""
        if not self._to_order:
            raise RuntimeError("Say by plan() how many steps there are to be.")
        if not self._is_lent:
            self._lend()
        given, self._slates = self._slates, None
        number = min(self._steps_of_block, self._to_order) if given is None else 1
        self._to_order -= number
        chosen = number if given is None else 0
        instructions = self._learner.instructions(chosen, len(self._made))
        rows = streams.chunk_rows(self._lender.first_user, self._env.num_envs)
        orders = iter(
            [
                _Order(None if given is None else given[users], of_chunk)
                for users, of_chunk in zip(rows, instructions, strict=True)
            ]
        )
        for worker in self._workers:
            worker.order(list(itertools.islice(orders, worker.num_chunks)), number)
        self._has_orders = True

    def _collected(self) -> Iterator[_MadeByAll]:
        """Yields the steps of the block that was ordered last."""
        of_chunks = [made for worker in self._workers for made in worker.collected()]
        self._has_orders = False
        for step in range(len(of_chunks[0].steps)):
            yield _MadeByAll(
                arrays.joined([made.slates[step] for made in of_chunks]),
                [made.steps[step] for made in of_chunks],
                not of_chunks[0].were_given,
            )


@dataclasses.dataclass
class _MadeByAll:
    """A step of all chunks.

    Attributes:
        slates: what was shown.
        steps: the steps of the chunks.
        is_chosen_there: whether workers chose the slates.
    """

    slates: np.ndarray
    steps: Sequence[chunk_lib.ChunkStep]
    is_chosen_there: bool


@dataclasses.dataclass
class _Lent:
    """What a worker begins with.

    Attributes:
        chunks: its chunks of users.
        policy: what chooses slates.
        documents: what is observed of documents that all users share; None if they do not.
        max_steps: number of steps after which episodes are truncated, None for no limit.
    """

    chunks: list[chunk_lib.Chunk]
    policy: vector_agent.RolloutPolicy
    documents: types.Observation | None
    max_steps: int | None


@dataclasses.dataclass
class _Order:
    """What a worker is to do with a chunk.

    Attributes:
        slates: the slates of a single step; None where the policy chooses them.
        instructions: what the slates of each step are chosen by otherwise.
    """

    slates: np.ndarray | None
    instructions: list[object]


@dataclasses.dataclass
class _Made:
    """What a worker did with a chunk.

    Attributes:
        slates: the slates of each step.
        steps: their outcome.
        were_given: whether the slates were those of the order.
        state: the chunk's state at the end, if it was asked for.
    """

    slates: list[np.ndarray]
    steps: list[chunk_lib.ChunkStep]
    were_given: bool
    state: types.State | None = None


@dataclasses.dataclass
class _Position:
    """Where chunks were after some steps, for a worker that is to continue from there.

    Attributes:
        made: number of steps before.
        states: the chunks' states; None for those that were lent.
        observations: what was observed last of the users; None where nothing is to be chosen by it.
        shown: the slates of the steps since, of each chunk.
    """

    made: int = 0
    states: list[types.State] | None = None
    observations: list[types.Observation | None] | None = None
    shown: list[list[np.ndarray]] = dataclasses.field(default_factory=list)


class _LostError(Exception):
    """A process does not have what a call continues."""


class _Worker:
    """A worker, as the learner sees it.

    Args:
        number: its number.
        make_executor: makes what its calls run on, all in one process.
        executors: where the executors are between rollouts, by the workers' numbers.
    """

    def __init__(
        self,
        number: int,
        make_executor: Callable[[], concurrent.futures.Executor],
        executors: list[concurrent.futures.Executor | None],
    ) -> None:
        self._number = number
        self._make_executor = make_executor
        self._executors = executors
        #: Number of chunks of users that it has.
        self.num_chunks = 0

    def begin(self, lent: _Lent, rollout_id: str) -> None:
        """Gives it chunks of users, in a rollout of a new ID."""
        from recsim._internal import pickling

        self.num_chunks = len(lent.chunks)
        self._key = rollout_id, self._number
        carried = (_PROCESS, bindings.state(), worker_state.collected(), lent)
        try:
            self._payload = pickling.dumps(carried)
        except Exception as error:
            raise TypeError(
                "The scenario and the agent's policy cannot be pickled, to go to rollout workers "
                f"({error}): leave files, locks and connections out of them."
            ) from error
        self._position = _Position()
        self._made = 0
        self._continue()

    def _continue(self) -> None:
        """Lets a process have what there was after the last known step."""
        executor = self._executors[self._number]
        if executor is None:
            executor = self._executors[self._number] = self._make_executor()
        self._beginning = executor.submit(_begin, self._key, self._payload, self._position)

    def order(self, orders: list[_Order], num_steps: int) -> None:
        """Lets it make steps."""
        wants_states = len(self._position.shown) + num_steps >= _STEPS_BETWEEN_STATES
        self.submit(_make_steps, self._made, orders, wants_states)

    def collected(self) -> list[_Made]:
        """Returns what it made of the last order."""
        found: list[_Made] = self.result()
        number = len(found[0].steps)
        self._made += number
        states = [made.state for made in found if made.state is not None]
        if states:
            observations = [made.steps[-1].observation for made in found]
            self._position = _Position(self._made, states, list(observations))
        else:
            self._position.shown += [
                [made.slates[step] for made in found] for step in range(number)
            ]
        return found

    def submit(self, function: Callable[..., Any], *arguments: object) -> None:
        """Calls a function of this module in its process."""
        self._call = function, arguments
        concurrent.futures.wait([self._beginning])  # Threads would not wait for it.
        executor = self._executors[self._number]
        assert executor is not None
        try:
            self._future = executor.submit(function, self._key, *arguments)
        except concurrent.futures.BrokenExecutor as error:
            self._future = concurrent.futures.Future()
            self._future.set_exception(error)

    def result(self) -> list[Any]:
        """Returns what the last call returned; where the process has ended, of a new one."""
        for attempt in range(1, parallel.MOST_ATTEMPTS + 1):
            try:
                self._beginning.result()
                found: list[Any] = self._future.result()
                return found
            except (concurrent.futures.BrokenExecutor, _LostError) as error:
                reason = error
            executor = self._executors[self._number]
            if executor is not None and isinstance(reason, concurrent.futures.BrokenExecutor):
                self._executors[self._number] = None
                executor.shutdown(cancel_futures=True)
            if attempt < parallel.MOST_ATTEMPTS:
                _logger.warning(
                    "The rollout worker %d is replaced (attempt %d of %d): %s",
                    self._number,
                    attempt,
                    parallel.MOST_ATTEMPTS,
                    " ".join(str(reason).split()),
                )
                self._try_again()
        raise parallel.TaskError(
            f"The rollout worker {self._number} has ended {parallel.MOST_ATTEMPTS} times, the last "
            f"time with: {reason!r}."
        )

    def _try_again(self) -> None:
        function, arguments = self._call
        try:
            self._continue()
        except concurrent.futures.BrokenExecutor as error:
            self._beginning = concurrent.futures.Future()
            self._beginning.set_exception(error)
        self.submit(function, *arguments)


# What a worker does.


@dataclasses.dataclass
class _Kept:
    """What a process keeps of a rollout between calls.

    Attributes:
        lent: its chunks, and what they are simulated with.
        observations: what was observed last of the users of each chunk.
        made: number of steps so far.
    """

    lent: _Lent
    observations: list[types.Observation | None]
    made: int = 0


_lock = threading.Lock()
# By the rollout's ID and the worker's number: a process may be that of several workers.
_Key: TypeAlias = tuple[str, int]
_kept: dict[_Key, _Kept] = {}
_configuration = contextlib.ExitStack()


def _begin(key: _Key, payload: bytes, position: _Position) -> None:
    """Takes chunks of users, and makes the steps again that were made since their states."""
    process, configuration, carried, lent = pickle.loads(payload)  # noqa: S301 (of the learner)
    if process != _PROCESS:
        worker_state.restore(carried)
        _configuration.close()
        _configuration.enter_context(bindings.applied(configuration))
    if position.states is not None:
        for chunk, state in zip(lent.chunks, position.states, strict=True):
            chunk.load_state_dict(state)
    observations = position.observations or [None] * len(lent.chunks)
    kept = _Kept(lent, list(observations), position.made)
    for slates_of_chunks in position.shown:
        for number, slates in enumerate(slates_of_chunks):
            step = lent.chunks[number].step(slates, lent.max_steps)
            kept.observations[number] = step.observation
        kept.made += 1
    with _lock:
        if process != _PROCESS:  # What a rollout that failed has left.
            for other in [other for other in _kept if other[0] != key[0]]:
                del _kept[other]
        _kept[key] = kept


def _found(key: _Key, made: int | None = None) -> _Kept:
    kept = _kept.get(key)
    if kept is None or (made is not None and kept.made != made):
        raise _LostError(
            "its process does not have the users: all calls of an executor must run in one process"
        )
    return kept


def _make_steps(key: _Key, made: int, orders: list[_Order], wants_states: bool) -> list[_Made]:
    """Makes steps with the chunks of users."""
    kept = _found(key, made)
    found = []
    with parallel.one_thread():
        for number, order in enumerate(orders):
            found.append(_made_with(kept, number, order))
            if wants_states:
                found[-1].state = kept.lent.chunks[number].state_dict()
    kept.made += len(found[0].steps)
    return found


def _made_with(kept: _Kept, number: int, order: _Order) -> _Made:
    """Makes steps with one chunk."""
    chunk = kept.lent.chunks[number]
    made = _Made([], [], order.slates is not None)

    def show(slates: np.ndarray) -> None:
        outcome = chunk.step(slates, kept.lent.max_steps)
        kept.observations[number] = outcome.observation
        made.slates.append(slates)
        made.steps.append(outcome)

    if order.slates is not None:
        show(order.slates)
    for instruction in order.instructions:
        observation = _with_documents(kept.observations[number], kept.lent)
        show(kept.lent.policy.slates(observation, instruction))
    return made


def _with_documents(observation: types.Observation | None, lent: _Lent) -> types.Observation:
    """Returns an observation with the documents that all users share, if they do."""
    assert observation is not None
    if lent.documents is None:
        return observation
    first: Any = trees.first_leaf(observation["response"])
    num_users = len(first)
    documents = trees.map_leaves(
        lambda array: np.broadcast_to(array, (num_users, *array.shape[1:])), lent.documents
    )
    return {**observation, "doc": documents}


def _states(key: _Key) -> list[types.State]:
    """Gives the chunks of users back: returns their states, and forgets them."""
    states = [chunk.state_dict() for chunk in _found(key).lent.chunks]
    with _lock:
        _kept.pop(key, None)
    return states
