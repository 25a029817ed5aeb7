"""A chunk of users whose next episodes begin later than in the step in which the last ones end.

A user who waits a step for the next episode is behind the others in the numbers of the chunk's
random stream: step 7 of a user has the numbers that all users get in step 7 where nobody waits.
The numbers of a step are remembered until everyone has been through it.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

import numpy as np

from recsim import types
from recsim._internal import trees
from recsim.vector import _checks, chunk, streams
from recsim.vector import scenario as scenario_lib

__all__ = ["DeferredChunk"]


@dataclasses.dataclass
class _Call:
    """A call of a random stream: the name of its method, the arguments, and what it returned."""

    method: str
    arguments: tuple[int, ...]
    numbers: np.ndarray


@dataclasses.dataclass
class _Step:
    """The numbers of a step of all users: the stream's state before it, and its calls."""

    state: dict[str, Any]
    calls: list[_Call] = dataclasses.field(default_factory=list)


class _Tape:
    """The numbers of steps that not all users have been through.

    Args:
        stream: the random stream of the chunk.
    """

    def __init__(self, stream: streams.RandomStream) -> None:
        self._stream: Any = stream
        self._steps: collections.deque[_Step] = collections.deque()
        self._first = 0  # The number of the first step that is remembered.

    def numbers(self, step: int, call: int, method: str, arguments: tuple[int, ...]) -> np.ndarray:
        """Returns the numbers of all users in a call of a step, as the stream's method would.

        Args:
            step: number of the step, at most one more than were taken before.
            call: number of the call in it.
            method: name of the stream's method.
            arguments: its arguments.
        """
        if step == self._first + len(self._steps):
            self._steps.append(_Step(self._stream.state_dict()))
        calls = self._steps[step - self._first].calls
        if call == len(calls):
            calls.append(_Call(method, arguments, getattr(self._stream, method)(*arguments)))
        of_call = calls[call]
        if (of_call.method, of_call.arguments) != (method, arguments):
            raise RuntimeError(
                f"The scenario sampled {of_call.method}{of_call.arguments} in call {call} of one "
                f"step and {method}{arguments} in another: in autoreset_mode NEXT_STEP it must "
                "sample the same in each step, whatever happens."
            )
        return of_call.numbers

    def forget_until(self, step: int) -> None:
        """Forgets the numbers of the steps before one."""
        while self._first < step and self._steps:
            self._steps.popleft()
            self._first += 1

    def restart(self) -> None:
        """Forgets all numbers: the next step is number 0 again."""
        self._steps.clear()
        self._first = 0

    def state_dict(self) -> types.State:
        """Returns what the numbers are restored from, as data."""
        return {
            "first": self._first,
            "state": self._steps[0].state if self._steps else None,
            "calls": [
                [[call.method, list(call.arguments)] for call in step.calls] for step in self._steps
            ],
        }

    def load_state_dict(self, state: types.State) -> None:
        """Restores the numbers, by sampling them again."""
        after = self._stream.state_dict()
        self._steps.clear()
        self._first = int(state["first"])
        if state["calls"]:
            self._stream.load_state_dict(state["state"])
        for step, calls in enumerate(state["calls"], start=self._first):
            for call, (method, arguments) in enumerate(calls):
                self.numbers(step, call, str(method), tuple(map(int, arguments)))
        self._stream.load_state_dict(after)


class _TapedStream(streams.RandomStream):
    """The random stream of a step of some users, each at a step of their own.

    Args:
        tape: the numbers of steps.
        num_users: number of users of the chunk.
        rows: the rows of those who take the step, in their order.
        steps: the numbers of their steps, of the same shape.
        dtype: float32 or float64.
    """

    def __init__(
        self, tape: _Tape, num_users: int, rows: np.ndarray, steps: np.ndarray, dtype: np.dtype
    ) -> None:
        self.num_users = len(rows)
        self.dtype = dtype
        self._tape = tape
        # The earliest step first: there is at most one that is new, the last.
        self._groups = [
            (int(step), here, rows[here])
            for step in np.unique(steps)
            for here in (np.flatnonzero(steps == step),)
        ]
        # Nobody else will need the numbers, which may then be changed.
        self._are_all_at_once = len(rows) == num_users and len(self._groups) == 1
        self._call = 0

    def uniform(self, *shape: int) -> np.ndarray:
        """See :meth:`RandomStream.uniform`."""
        return self._numbers("uniform", shape)

    def normal(self, *shape: int) -> np.ndarray:
        """See :meth:`RandomStream.normal`."""
        return self._numbers("normal", shape)

    def slates(self, num_candidates: int, slate_size: int) -> np.ndarray:
        """See :meth:`RandomStream.slates`."""
        return self._numbers("slates", (num_candidates, slate_size))

    def _numbers(self, method: str, arguments: tuple[int, ...]) -> np.ndarray:
        call = self._call
        self._call += 1
        if self._are_all_at_once:
            return self._tape.numbers(self._groups[0][0], call, method, arguments)
        result: np.ndarray | None = None
        for step, here, rows in self._groups:
            of_all = self._tape.numbers(step, call, method, arguments)
            if result is None:
                result = np.empty((self.num_users, *of_all.shape[1:]), of_all.dtype)
            result[here] = of_all[rows]
        assert result is not None
        return result


class DeferredChunk(chunk.Chunk):
    """A chunk of users of whom those whose episode has ended wait for the next one.

    :meth:`step` does not show them a slate: where ``restarts``, it begins their next episode
    instead. Until then an observation has what was observed of them last. Under the same slates
    their episodes are those of :class:`recsim.vector.chunk.Chunk`.

    Args:
        scenario: see :class:`recsim.vector.chunk.Chunk`.
        seed: likewise.
        users: likewise.
        restarts: whether a step begins the next episode of those whose last one has ended; else
            :meth:`reset_rows` has to.
        documents: see :class:`recsim.vector.chunk.Chunk`.
    """

    def __init__(
        self,
        scenario: scenario_lib.VectorScenario,
        seed: int,
        users: range,
        *,
        restarts: bool,
        documents: object = None,
    ) -> None:
        super().__init__(scenario, seed, users, documents=documents)
        self._restarts = restarts
        self._tape = _Tape(self._stream)
        #: Whose episode has ended, bools of shape (n_users,).
        self.ended = np.zeros(self.num_users, np.bool_)
        self._own_steps = np.zeros(self.num_users, np.int64)
        self._responses: Any = None  # As they were observed last.

    def reset(self) -> types.Observation:
        """See :meth:`recsim.vector.chunk.Chunk.reset`."""
        self._tape.restart()
        self._own_steps[:] = 0
        self.ended[:] = False
        observation = super().reset()
        self._responses = trees.map_leaves(np.array, observation["response"])
        return observation

    def reset_rows(self, rows: np.ndarray) -> types.Observation:
        """Begins a new episode of some users and returns the observation of all.

        Args:
            rows: their rows, indices of shape (n_rows,).
        """
        if len(rows):
            self._begin_episodes(rows)
            trees.set_rows(self._responses, rows, self._no_response)
            self.ended[rows] = False
        return self._observation(trees.map_leaves(np.array, self._responses))

    def step(
        self, slates: np.ndarray, max_steps: int | None = None, counted: np.ndarray | None = None
    ) -> chunk.ChunkStep:
        """Shows a slate to every user whose episode has not ended.

        Args:
            slates: see :meth:`recsim.vector.chunk.Chunk.step`.
            max_steps: likewise.
            counted: likewise.
        """
        self.check_slates(slates)
        waiting = np.flatnonzero(self.ended)
        shown = np.flatnonzero(~self.ended)
        rewards = np.zeros(self.num_users, self._scenario.dtype)
        terminated = np.zeros(self.num_users, np.bool_)
        truncated = np.zeros(self.num_users, np.bool_)
        metrics: Any = {}
        if self._restarts and len(waiting):
            self._begin_episodes(waiting)
            trees.set_rows(self._responses, waiting, self._no_response)
            self.ended[waiting] = False
        if len(shown):
            responses, terminated[shown] = self._step_of(shown, slates)
            if max_steps is not None:
                truncated[shown] = self._steps[shown] >= max_steps
            of_shown = _checks.checked_rewards(
                self._scenario.reward_aggregator(responses), len(shown)
            )
            rewards = rewards.astype(of_shown.dtype, copy=False)
            rewards[shown] = of_shown
            self._keep_responses(shown, waiting, self._model.observe_responses(responses))
            metrics = self._metrics(responses, None if counted is None else counted[shown])
        self.ended |= terminated | truncated
        observation = self._observation(trees.map_leaves(np.array, self._responses))
        self._steps_to_watch -= self._steps_to_watch > 0
        return chunk.ChunkStep(
            observation,
            rewards,
            terminated,
            truncated,
            np.flatnonzero(terminated | truncated),
            None,
            metrics,
        )

    def check_slates(self, slates: np.ndarray) -> None:
        """See :meth:`recsim.vector.chunk.Chunk.check_slates`; of users whose episode has not ended.

        Args:
            slates: see :meth:`recsim.vector.chunk.Chunk.step`.
        """
        self._check_slates_of(np.flatnonzero(~self.ended), slates)

    def _keep_responses(
        self, shown: np.ndarray, waiting: np.ndarray, observed: trees.ArrayTree
    ) -> None:
        """Keeps what was observed of responses, beside what it is of those who were shown nothing.

        Args:
            shown: the rows that it is of.
            waiting: the other rows.
            observed: the responses.
        """
        if not len(waiting):
            self._responses = trees.map_leaves(np.array, observed)
            return
        of_all = trees.map_leaves(
            lambda array: np.empty_like(array, shape=(self.num_users, *array.shape[1:])), observed
        )
        trees.set_rows(of_all, shown, observed)
        trees.set_rows(of_all, waiting, trees.rows_of(self._responses, waiting))
        self._responses = of_all

    def _step_of(self, rows: np.ndarray, slates: np.ndarray) -> tuple[object, np.ndarray]:
        """Shows slates to some users; returns the responses, and whose episodes are over."""
        everyone = len(rows) == self.num_users
        own_steps = self._own_steps[rows]
        stream = _TapedStream(self._tape, self.num_users, rows, own_steps, self._scenario.dtype)
        are_shared = self._candidates == "shared"
        users, documents = self._users, self._documents
        if not everyone:
            users, slates = trees.rows_of(users, rows), slates[rows]
            documents = documents if are_shared else trees.rows_of(documents, rows)
        users, documents, responses, terminated = self._shown(users, documents, slates, stream)
        if everyone:
            self._users, self._documents = users, documents
        else:
            trees.set_rows(self._users, rows, users)
            if self._candidates == "step":
                # Documents are in observations: they are never changed.
                self._documents = trees.with_rows(self._documents, rows, documents)
        self._steps[rows] += 1
        self._own_steps[rows] += 1
        self._tape.forget_until(int(self._own_steps.min()))
        return responses, terminated

    def state_dict(self) -> types.State:
        """Returns the state between two steps, as data."""
        waits = {
            "ended": self.ended.copy(),
            "own_steps": self._own_steps.copy(),
            "responses": trees.map_leaves(np.array, self._responses),
            "tape": self._tape.state_dict(),
        }
        return {**super().state_dict(), "deferred": waits}

    def load_state_dict(self, state: types.State) -> None:
        """Continues from a state that :meth:`state_dict` returned.

        Raises:
            ValueError: if users or documents are of other fields, shapes or dtypes.
        """
        super().load_state_dict(state)
        waits = state["deferred"]
        self.ended = np.array(waits["ended"], np.bool_)
        self._own_steps = np.array(waits["own_steps"], np.int64)
        self._responses = trees.map_leaves(np.array, waits["responses"])
        self._tape.load_state_dict(waits["tape"])
