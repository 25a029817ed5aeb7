"""Vectorized environments: Gymnasium's interface to thousands of users in parallel."""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import DTypeLike

from recsim import spaces as spaces_lib
from recsim import types
from recsim._internal import action_masks, arrays, trees, validation
from recsim._internal.final_observations import FinalObservations
from recsim.simulator import fingerprint
from recsim.vector import _deferred as deferred
from recsim.vector import chunk as chunk_lib
from recsim.vector import scenario as scenario_lib
from recsim.vector import streams
from recsim.vector._slate_env import SlateVectorEnv

__all__ = ["FinalObservations", "RecSimVectorEnv", "SlateVectorEnv"]

T = TypeVar("T")

# With more, what they need is estimated.
_MANY_CANDIDATES = 100_000


class RecSimVectorEnv(SlateVectorEnv):
    """A scenario with users in parallel, each in an episode of their own.

    An observation is a dictionary of arrays with the users on axis 0: ``user``; ``doc``, the
    candidates, of shape (num_envs, num_candidates, …); and ``response``, the responses to the
    last slate, of shape (num_envs, slate_size, …), which are zeros after a reset. Observations
    are never changed after they were returned. The arrays of ``doc`` may be the documents
    themselves: in autoreset mode SAME_STEP they are read-only.

    Episodes end as :class:`SlateVectorEnv` says. Where candidates do not belong to an episode, a
    new user begins with those of the old user's last observation.

    User ``k``'s trajectory under given slates depends on the seed and on ``k``, not on the number
    of users (see :mod:`recsim.vector.streams`).

    Args:
        user_model: the users.
        document_sampler: the sampler of documents.
        num_candidates: number of candidates that a user can be recommended.
        slate_size: number of documents in a slate.
        num_envs: number of users, at least 1.
        reward_aggregator: function of the responses of a step that returns the rewards, shape
            (n_users,).
        metrics_aggregator: function of the responses of a step that returns what it adds to the
            metrics, numbers by name; the names are those of the single-user environment.
        metrics_writer: function ``(metrics, add_summary_fn)`` that reports the metrics by calling
            ``add_summary_fn(tag, value)``.
        candidates: 'step' for new candidates at each step; 'episode' for new ones at each
            episode; 'shared' for candidates that all users share and that stay.
        max_steps_per_episode: episodes are truncated after so many steps; None for no limit.
        seed: the seed where ``reset`` is called without one, an integer >= 0; None for one from
            the operating system.
        first_user: number of the first user: with 7123, the users are those that are number 7123
            and following in an environment that begins with user 0.
        dtype: float32, or float64, of all numbers that are not integers.
        observation: the form of observations, see :class:`recsim.spaces.ObservationForm`.
        action: the form of actions, see :class:`recsim.spaces.ActionForm`.
        autoreset_mode: when next episodes begin, see :class:`SlateVectorEnv`.

    Raises:
        TypeError: if a size is not an integer.
        ValueError: if a size is below 1, the slate is larger than the candidate set or of another
            size than the user model's, ``candidates`` is not known, ``dtype`` is not one of the
            two, or the spaces of documents and responses do not count them on axis 0.
        NotImplementedError: for a space of other than arrays of a fixed shape.
        MemoryError: if there is no memory for so many users and candidates.
    """

    def __init__(
        self,
        user_model: scenario_lib.VectorUserModel[Any, Any, Any],
        document_sampler: scenario_lib.VectorDocumentSampler[Any],
        num_candidates: int,
        slate_size: int,
        num_envs: int,
        reward_aggregator: Callable[[Any], np.ndarray],
        metrics_aggregator: Callable[[Any], Mapping[str, float]] | None = None,
        metrics_writer: Callable[..., None] | None = None,
        *,
        candidates: str = "step",
        max_steps_per_episode: int | None = None,
        seed: int | None = 0,
        first_user: int = 0,
        dtype: DTypeLike = np.float32,
        observation: str = "nested",
        action: str = "slate",
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        super().__init__(
            num_envs,
            num_candidates,
            slate_size,
            max_steps_per_episode,
            first_user,
            observation=observation,
            action=action,
            autoreset_mode=autoreset_mode,
        )
        model_size = getattr(user_model, "slate_size", None)
        if model_size != slate_size:
            raise ValueError(
                f"user_model must have the slate_size of the environment, got {model_size} and "
                f"{slate_size}: give VectorUserModel.__init__ the same."
            )
        known = scenario_lib.CANDIDATES
        if not isinstance(candidates, str) or candidates not in known:
            raise ValueError(
                f"candidates must be one of {', '.join(map(repr, known))}, got {candidates!r}."
                f"{validation.nearest_name(candidates, known)}"
            )
        self._scenario = scenario_lib.VectorScenario(
            user_model,
            document_sampler,
            self._num_candidates,
            candidates,
            reward_aggregator,
            metrics_aggregator,
            streams.float_dtype(dtype),
        )
        self._metrics_writer = metrics_writer
        self._has_seed = seed is not None
        if seed is None:
            # As many bits as a seed may have.
            seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0]) >> 1
        self._default_seed = validation.positive_int("seed", seed, 0)
        if self.num_envs * self._num_candidates > _MANY_CANDIDATES:
            self._check_memory(self._least_memory())
        self._rows_of_chunks = streams.chunk_rows(self._first_user, self.num_envs)
        self._begin_with(self._scenario)

    def _begin_with(self, scenario: scenario_lib.VectorScenario) -> None:
        self._scenario = scenario
        self._chunks: list[chunk_lib.Chunk] = []
        self._lent = False
        parts = scenario.spaces
        for part, number in (("doc", self._num_candidates), ("response", self._slate_size)):
            spaces_lib.check_items(f"single_observation_space[{part!r}]", parts[part], number)
        spaces_lib.nearest_to_zero(parts["user"])  # Which refuses what has no form as arrays.
        self._set_spaces(spaces.Dict(parts), self.dtype)
        self._has_masks = action_masks.space_of(parts["doc"]) is not None
        self._to_check = 0
        self.reset_metrics()

    def _least_memory(self) -> int:
        """Returns the least number of bytes for the observations before and after a step.

        The space of one user's observations counts too, which has bounds for every number.
        """
        model, itemsize = self.user_model, self.dtype.itemsize
        of_user = _num_entries(model.user_space()) + _num_entries(model.response_space())
        of_document = _num_entries(self.document_sampler.observation_space(1))
        owners = 1 if self.candidates == "shared" else self.num_envs
        entries = self.num_envs * of_user + owners * self._num_candidates * of_document
        bounds = self._num_candidates * of_document * (2 * itemsize + 2)
        return 2 * itemsize * entries + bounds

    @property
    def scenario(self) -> scenario_lib.VectorScenario:
        """What the users are simulated with."""
        return self._scenario

    @property
    def user_model(self) -> scenario_lib.VectorUserModel[Any, Any, Any]:
        """The users' model."""
        return self._scenario.user_model

    @property
    def document_sampler(self) -> scenario_lib.VectorDocumentSampler[Any]:
        """The sampler of documents."""
        return self._scenario.document_sampler

    def replace_document_sampler(self, sampler: scenario_lib.VectorDocumentSampler[Any]) -> None:
        """Begins anew with another sampler of documents, without users until the next reset.

        Args:
            sampler: the sampler.

        Raises:
            ValueError: if its space does not count documents on axis 0.
        """
        for name in ("observation_space", "_fingerprint"):
            vars(self).pop(name, None)
        self._begin_with(dataclasses.replace(self._scenario, document_sampler=sampler))

    @property
    def reward_aggregator(self) -> Callable[[Any], np.ndarray]:
        """The function of the responses of a step that returns the rewards."""
        return self._scenario.reward_aggregator

    @property
    def metrics_aggregator(self) -> Callable[[Any], Mapping[str, float]] | None:
        """The function of the responses of a step that returns what it adds to the metrics."""
        return self._scenario.metrics_aggregator

    @property
    def candidates(self) -> str:
        """When users get new candidates: one of :data:`recsim.vector.scenario.CANDIDATES`."""
        return self._scenario.candidates

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the numbers that are not integers."""
        return self._scenario.dtype

    @property
    def default_seed(self) -> int:
        """The seed where ``reset`` is called without one; sampled if the environment has None.

        Under ``reset(seed=...)`` with this number another environment gives the same trajectories.
        """
        return self._default_seed

    @property
    def has_random_seed(self) -> bool:
        """Whether the environment was given no seed, so that :attr:`default_seed` was sampled."""
        return not self._has_seed

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begins a new episode for every user.

        Args:
            seed: an integer >= 0 that all that follows depends on; None to continue the random
                streams (at the first reset: to use the environment's own seed).
            options: ``reset_mask``, bools of shape (num_envs,), for an episode of some users
                alone, see :class:`SlateVectorEnv`.

        Returns:
            The first observation, and an empty dictionary.

        Raises:
            TypeError: if the seed is not an integer: users have no seeds of their own.
            ValueError: if it is negative, for an option, or if an observation is not in its space
                (that of the first users is looked at here and at the first step).
        """
        some_rows = self._rows_to_reset(options, seed, bool(self._chunks))
        if some_rows is not None:
            return self._in_form(self._with_documents(self._reset_rows(some_rows))), {}
        if seed is not None or not self._chunks:
            seed = self._default_seed if seed is None else seed
            self._make_chunks(validation.positive_int("seed", seed, 0))
        self._check_users_are_here("reset")
        observation: Any = None
        for chunk, rows in zip(self._chunks, self._rows_of_chunks, strict=True):
            observation = self._joined(observation, chunk.reset(), rows)
        self._to_check = 2  # This observation and that of the first step.
        return self._in_form(self._with_documents(observation)), {}

    def _reset_rows(self, rows: np.ndarray) -> dict[str, Any]:
        """Begins a new episode of some users, indices; returns the observation of all."""
        observation: Any = None
        for chunk, of_chunk in zip(self._chunks, self._rows_of_chunks, strict=True):
            assert isinstance(chunk, deferred.DeferredChunk)
            here = rows[(rows >= of_chunk.start) & (rows < of_chunk.stop)] - of_chunk.start
            observation = self._joined(observation, chunk.reset_rows(here), of_chunk)
        whole: dict[str, Any] = observation
        return whole

    def _make_chunks(self, seed: int) -> None:
        self._seed = seed
        self._lent = False
        self._shared_observation: Any = None
        documents = None
        if self.candidates == "shared":
            documents = chunk_lib.shared_documents(self._scenario, seed)
            self._shared_observation = trees.map_leaves(
                lambda array: np.broadcast_to(array, (self.num_envs, *array.shape)),
                self.document_sampler.observe(documents),
            )
        make_chunk: Callable[..., chunk_lib.Chunk] = chunk_lib.Chunk
        if self.autoreset_mode != AutoresetMode.SAME_STEP:
            restarts = self.autoreset_mode == AutoresetMode.NEXT_STEP
            make_chunk = functools.partial(deferred.DeferredChunk, restarts=restarts)
        self._chunks = [
            make_chunk(self._scenario, seed, users, documents=documents)
            for _, users in streams.chunks(self._first_user, self.num_envs)
        ]

    def step(
        self, actions: np.ndarray
    ) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Shows every user a slate.

        Args:
            actions: indices of candidates, integers of shape (num_envs, slate_size); repeated
                ones are shown repeatedly, or refused where ``distinct_slates`` is True. Where
                the environment has another ``action``, as :class:`recsim.spaces.ActionForm` says.

        Returns:
            The observations, and of shape (num_envs,) the rewards, which episodes ended by
            themselves and which reached ``max_steps_per_episode``; and the infos, with
            ``final_obs`` and ``_final_obs`` where an episode ended.

        Raises:
            RuntimeError: if there was no reset before.
            TypeError: if the slates are not integers.
            ValueError: if they have another shape, or a reward is not finite.
            IndexError: if an index points at no candidate.
        """
        slates = self._checked_slates(actions, bool(self._chunks))
        self._check_users_are_here("step")
        if self.autoreset_mode == AutoresetMode.DISABLED:
            waiting = [c.ended for c in self._chunks if isinstance(c, deferred.DeferredChunk)]
            self._check_all_are_reset(np.concatenate(waiting))
        if self._has_masks and len(self._chunks) > 1:
            for chunk, rows in zip(self._chunks, self._rows_of_chunks, strict=True):
                chunk.check_slates(slates[rows])  # Before any user is shown one.
        return self.outcome_of(
            chunk.step(
                slates[rows],
                self._max_steps,
                None if self._counted is None else self._counted[rows],
            )
            for chunk, rows in zip(self._chunks, self._rows_of_chunks, strict=True)
        )

    def lend_chunks(self) -> Sequence[chunk_lib.Chunk]:
        """Returns the chunks of users, to be simulated elsewhere until :meth:`take_chunks_back`.

        What the outcome of their steps is, :meth:`outcome_of` says. In the meantime the environment
        neither steps nor knows states of users.
        """
        self._check_users_are_here("lend_chunks")
        self._lent = True
        return tuple(self._chunks)

    def take_chunks_back(self, states: Sequence[types.State]) -> None:
        """Takes the states of the chunks that were lent."""
        self._lent = False
        for chunk, state in zip(self._chunks, states, strict=True):
            chunk.load_state_dict(state)

    def _check_users_are_here(self, method: str) -> None:
        if self._lent:
            raise RuntimeError(
                f"{method} was called while the users are simulated elsewhere, see "
                "recsim.vector.rollouts: listeners get the steps, and no states of users."
            )

    @property
    def shared_documents(self) -> types.Observation | None:
        """What is observed of candidates that all users share, shape (1, num_candidates, …)."""
        shared: Any = getattr(self, "_shared_observation", None)
        return None if shared is None else trees.map_leaves(lambda array: array[:1], shared)

    def outcome_of(
        self, steps: Iterable[chunk_lib.ChunkStep]
    ) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Returns what :meth:`step` does, of steps of the chunks that were made elsewhere.

        Args:
            steps: a step of each chunk, in the order of :meth:`lend_chunks`.
        """
        outcome: Any = None
        ended_rows, last = [], []
        for step, rows in zip(steps, self._rows_of_chunks, strict=True):
            for name, value in step.metrics.items():
                self._metrics[name] += value
            of_chunk = step.observation, step.rewards, step.terminated, step.truncated
            outcome = self._joined(outcome, of_chunk, rows)
            if step.last is not None:
                ended_rows.append(step.ended_rows + rows.start)
                last.append(step.last)
        observation, rewards, terminated, truncated = outcome
        observation = self._with_documents(observation)
        infos: dict[str, Any] = {}
        if last:
            ended = terminated | truncated
            # Not the dictionary that is returned: entries may be replaced in that.
            own = trees.map_leaves(lambda array: array, observation)
            batch = functools.partial(_with_last, own, ended_rows, last)
            if self._converts:
                batch = functools.partial(_converted, self._form, batch)
            infos = {"final_obs": FinalObservations(batch, ended), "_final_obs": ended}
        return self._in_form(observation), rewards, terminated, truncated, infos

    def _joined(self, joined: T | None, of_chunk: T, rows: slice) -> T:
        """Returns nested arrays of all users, with those of a chunk put in.

        A chunk's are put in before the next one's are made: observations take the most memory.

        Args:
            joined: what this returned for the chunk before; None for the first one.
            of_chunk: the arrays of a chunk.
            rows: the rows of the chunk.
        """
        if len(self._chunks) == 1:
            return of_chunk
        if joined is None:
            joined = trees.map_leaves(self._array_of_all_users, of_chunk)
        trees.set_rows(joined, rows, of_chunk)
        return joined

    def _with_documents(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Returns an observation with documents, which cannot be written to.

        In other modes than SAME_STEP they are copies, for Gymnasium's wrappers write to them.
        """
        documents = self._shared_observation
        if self.autoreset_mode != AutoresetMode.SAME_STEP:
            given = observation["doc"] if documents is None else documents
            documents = trees.map_leaves(np.array, given)
        elif documents is None:
            documents = trees.map_leaves(_read_only, observation["doc"])
        if self._to_check:
            self._to_check -= 1
            self._check_observation({**observation, "doc": documents})
        return {"user": observation["user"], "doc": documents, "response": observation["response"]}

    def _check_observation(self, observation: dict[str, Any]) -> None:
        """Raises ValueError if the observation of some users is not in its space."""
        space = self._nested_space
        some = trees.rows_of(observation, slice(0, streams.CHUNK_SIZE))
        for part in ("user", "doc", "response"):
            spaces_lib.check_arrays(space[part], some[part], f"observation[{part!r}]")

    def _array_of_all_users(self, array: np.ndarray) -> np.ndarray:
        return np.empty_like(array, shape=(self.num_envs, *array.shape[1:]))

    def user_states(self) -> dict[str, np.ndarray]:
        """Returns the users' hidden states between two steps.

        Returns:
            Copies of the fields of the users by name, of shape (num_envs, …).

        Raises:
            RuntimeError: if there was no reset before.
        """
        if not self._chunks:
            raise RuntimeError("user_states was called before reset: there are no users yet.")
        self._check_users_are_here("user_states")
        of_chunks = [chunk.user_states() for chunk in self._chunks]
        return {
            name: arrays.joined([states[name] for states in of_chunks]) for name in of_chunks[0]
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of users, documents and random numbers between two steps, as data."""
        self._check_users_are_here("state_dict")
        state: dict[str, Any] = {
            "scenario": self._fingerprint,
            "seed": self._seed if self._chunks else None,
            "chunks": [chunk.state_dict() for chunk in self._chunks],
        }
        if self.autoreset_mode != AutoresetMode.SAME_STEP:
            state["autoreset_mode"] = self.autoreset_mode.name
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from a state that :meth:`state_dict` returned, with the next step.

        Raises:
            ValueError: if the state is of other users, of another scenario, or does not fit. The
                environment stays as it was then.
        """
        fingerprint.check_state(self, state)
        try:
            sizes = [len(chunk_state["episodes"]) for chunk_state in state["chunks"]]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"state must be what state_dict returned, got one without {error}."
            ) from None
        if any("draws" in chunk_state for chunk_state in state["chunks"]):
            raise ValueError(
                "state is of an earlier version of recsim, whose episodes this one cannot "
                "continue: resume with the version that wrote it, or begin anew."
            )
        own_sizes = [len(users) for _, users in streams.chunks(self._first_user, self.num_envs)]
        if sizes and sizes != own_sizes:
            raise ValueError(
                f"state must be of the {self.num_envs} users from number {self._first_user} on, "
                f"got that of {sum(sizes)} others."
            )
        if not sizes:
            self._chunks, self._lent = [], False
            return
        mode = state.get("autoreset_mode", AutoresetMode.SAME_STEP.name)
        if mode != self.autoreset_mode.name:
            raise ValueError(
                f"state must be of an environment in autoreset_mode {self.autoreset_mode.name}, "
                f"got one in {mode}: make the environment with autoreset_mode={mode!r}."
            )
        before = dict(vars(self))
        try:
            self._make_chunks(state["seed"])
            for chunk, chunk_state in zip(self._chunks, state["chunks"], strict=True):
                chunk.load_state_dict(chunk_state)
        except Exception as error:
            vars(self).update(before)
            raise ValueError(
                f"state does not fit this environment ({error!r}): it must be what "
                "state_dict returned, of an environment made alike."
            ) from error

    @functools.cached_property
    def _fingerprint(self) -> dict[str, Any]:
        """What shapes the state, as data."""
        return fingerprint.of_scenario(self).shape()

    @property
    def metrics(self) -> Mapping[str, float]:
        """The metrics since they were last set to zero."""
        return dict(self._metrics)

    def reset_metrics(self) -> None:
        """Sets every metric to zero."""
        self._metrics: dict[str, float] = collections.defaultdict(float)

    @property
    def metrics_writer(self) -> Callable[..., None] | None:
        """The function that reports metrics."""
        return self._metrics_writer


def _read_only(array: np.ndarray) -> np.ndarray:
    """Returns a view that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


def _with_last(
    observation: dict[str, Any], ended_rows: Sequence[np.ndarray], last: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Returns an observation with what was observed last where episodes ended.

    Args:
        observation: the observation of all users, new ones where episodes ended.
        ended_rows: the rows where they did, of some chunks.
        last: what was observed there of the old users, where it is not as in the observation.
    """
    with_last = dict(observation)
    for key in last[0]:
        with_last[key] = trees.map_leaves(np.array, observation[key])
        for rows, parts in zip(ended_rows, last, strict=True):
            trees.set_rows(with_last[key], rows, parts[key])
    with_last["doc"] = trees.map_leaves(_read_only, with_last["doc"])
    return with_last


def _converted(
    form: spaces_lib.ObservationForm, make_batch: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Returns observations of all users, which a function makes, in a form."""
    converted: Any = form(make_batch(), 1)
    of_form: dict[str, Any] = converted
    return of_form


def _num_entries(space: types.Space) -> int:
    """Returns how many numbers an element of a space has; 0 for spaces without a shape."""
    shapes = [getattr(leaf, "shape", None) for _, leaf in spaces_lib.leaves(space)]
    return sum(math.prod(shape) for shape in shapes if shape is not None)
