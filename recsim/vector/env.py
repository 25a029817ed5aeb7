"""A vector world as a Gymnasium environment: thousands of users, one step."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import DTypeLike

from recsim import _validation
from recsim.vector import streams, world

__all__ = ["CANDIDATES", "FinalObservations", "RecSimVectorEnv"]

#: When users get new candidates: at each step, at each episode, or never, and then all the same.
CANDIDATES = ("step", "episode", "shared")

#: The only chunk of the documents that all users share.
_EVERYONE = np.zeros(1, np.int64)


class FinalObservations(Sequence[Any]):
    """The last observations of episodes that ended, as a sequence with an entry a user.

    An entry is a user's observation, or None where no episode ended; it is made when it is asked
    for. :attr:`batch` has all of them as arrays, for agents that learn from many users at once.

    Args:
        batch: the observations of all users, whose rows count where an episode ended.
        ended: where an episode ended, bools of shape (n_users,).
    """

    def __init__(self, batch: Any, ended: np.ndarray) -> None:
        #: The observations as arrays with the users on axis 0.
        self.batch = batch
        self._ended = ended
        self._replaced: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._ended)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        if index in self._replaced:
            return self._replaced[index]
        return _row(self.batch, index) if self._ended[index] else None

    def __setitem__(self, index: int, observation: Any) -> None:
        """Replaces an entry, as Gymnasium's wrappers of observations do."""
        self._replaced[range(len(self))[index]] = observation


class RecSimVectorEnv(VectorEnv):
    """A world of many users, each with a session of their own.

    An observation is a dictionary of arrays with the users on axis 0: ``user``, ``doc``, the
    candidates, of shape (num_envs, num_candidates, …), and ``response``, the responses to the
    last slate, of shape (num_envs, slate_size, …), which are zeros after a reset. Observations
    are never changed after they were handed out.

    When a user's session ends, a new user takes the place in the same step
    (``AutoresetMode.SAME_STEP``). The observation is then of the new user, and
    ``infos['final_obs']`` (:class:`FinalObservations`) has the last one of the old user, with the
    responses to the last slate, where ``infos['_final_obs']`` is True.

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
        max_steps_per_episode: sessions are truncated after so many steps; None for no limit.
        seed: the seed where ``reset`` is called without one, an integer >= 0; None for one from
            the operating system.
        first_user: number of the first user: with 7123, the users are those that are number 7123
            and following in an environment that begins with user 0.
        dtype: float32, or float64, of all numbers that are not integers.

    Raises:
        TypeError: if a size is no integer.
        ValueError: if a size is below 1, the slate is larger than the candidate set,
            ``candidates`` is not known or ``dtype`` is not one of the two.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self,
        user_model: world.VectorUserModel,
        document_sampler: world.VectorDocumentSampler,
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
    ) -> None:
        self.num_envs = _validation.positive_int("num_envs", num_envs)
        self._num_candidates = _validation.positive_int("num_candidates", num_candidates)
        self._slate_size = _validation.positive_int("slate_size", slate_size)
        if slate_size > num_candidates:
            raise ValueError(
                "slate_size must be at most num_candidates, got "
                f"slate_size={slate_size} and num_candidates={num_candidates}."
            )
        if candidates not in CANDIDATES:
            raise ValueError(
                f"candidates must be one of {', '.join(map(repr, CANDIDATES))}, got "
                f"{candidates!r}.{_validation.nearest_name(candidates, CANDIDATES)}"
            )
        self.max_steps_per_episode = max_steps_per_episode
        self._dtype = np.dtype(dtype)
        if self._dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ValueError(f"dtype must be float32 or float64, got {dtype!r}.")
        self._user_model = user_model
        self._document_sampler = document_sampler
        self._reward_aggregator = reward_aggregator
        self._metrics_aggregator = metrics_aggregator
        self._metrics_writer = metrics_writer
        self._candidates = candidates
        if seed is None:
            seed = np.random.SeedSequence().entropy  # type: ignore[assignment]
        self._default_seed = _validation.positive_int("seed", seed, 0)
        self._first_user = _validation.positive_int("first_user", first_user, 0)
        self._chunks: list[_Chunk] = []
        self._counted: np.ndarray | None = None
        self.single_observation_space = spaces.Dict(
            {
                "user": _with_dtype(user_model.user_space(), self._dtype),
                "doc": _with_dtype(document_sampler.observation_space(num_candidates), self._dtype),
                "response": _with_dtype(user_model.response_space(), self._dtype),
            }
        )
        self.single_action_space = spaces.MultiDiscrete(np.full(slate_size, num_candidates))
        self.reset_metrics()

    # The spaces of all users have arrays of bounds as large as an observation: only on demand.
    @functools.cached_property
    def observation_space(self) -> spaces.Dict:  # type: ignore[override]
        """The space of the observations of all users."""
        return batch_space(self.single_observation_space, self.num_envs)  # type: ignore[return-value]

    @functools.cached_property
    def action_space(self) -> spaces.Space:  # type: ignore[override]
        """The space of the slates of all users, integers of shape (num_envs, slate_size)."""
        return batch_space(self.single_action_space, self.num_envs)

    @property
    def user_model(self) -> world.VectorUserModel:
        """The users' model."""
        return self._user_model

    @property
    def document_sampler(self) -> world.VectorDocumentSampler:
        """The sampler of documents."""
        return self._document_sampler

    @property
    def num_candidates(self) -> int:
        """Number of candidates that a user can be recommended."""
        return self._num_candidates

    @property
    def slate_size(self) -> int:
        """Number of documents in a slate."""
        return self._slate_size

    @property
    def candidates(self) -> str:
        """When users get new candidates: one of :data:`CANDIDATES`."""
        return self._candidates

    @property
    def first_user(self) -> int:
        """Number of the first user."""
        return self._first_user

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the numbers that are not integers."""
        return self._dtype

    @property
    def max_steps_per_episode(self) -> int | None:
        """Number of steps after which a session is truncated; None for no limit."""
        return self._max_steps

    @max_steps_per_episode.setter
    def max_steps_per_episode(self, limit: int | None) -> None:
        if limit is not None:
            _validation.positive_int("max_steps_per_episode", limit)
        self._max_steps = limit

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begins a new episode for every user.

        Args:
            seed: an integer >= 0 that all that follows depends on; None to go on with the random
                numbers (at the first reset: to use the environment's own seed).
            options: none are known.

        Returns:
            The first observation, and an empty dictionary.

        Raises:
            ValueError: for an option.
        """
        if options:
            raise ValueError(f"options must be empty: none are known, got {dict(options)!r}.")
        if seed is not None or not self._chunks:
            seed = self._default_seed if seed is None else seed
            self._make_chunks(_validation.positive_int("seed", seed, 0))
        for chunk in self._chunks:
            chunk.begin_all()
        return self._joined([chunk.observe() for chunk in self._chunks]), {}

    def _make_chunks(self, seed: int) -> None:
        self._seed = seed
        self._shared_observation: Any = None
        shared_documents = None
        if self._candidates == "shared":
            key = streams.hash_key(seed, "shared documents")
            draws = streams.UserDraws(key, _EVERYONE, _EVERYONE, self._dtype)
            documents = self._document_sampler.sample(draws, self._num_candidates)
            shared_documents = world.map_fields(lambda field: field[0], documents)
            self._shared_observation = _map_arrays(
                lambda array: np.broadcast_to(array, (self.num_envs, *array.shape)),
                self._document_sampler.observe(shared_documents),
            )
        chunks = streams.chunks(self._first_user, self.num_envs)
        draws_of_chunks = streams.chunk_draws(
            seed, "environment", self._first_user, self.num_envs, self._dtype
        )
        self._chunks = [
            _Chunk(self, seed, users, draws, shared_documents)
            for (_, users), draws in zip(chunks, draws_of_chunks, strict=True)
        ]

    def step(
        self, actions: np.ndarray
    ) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Shows every user a slate.

        Args:
            actions: indices of candidates, integers of shape (num_envs, slate_size); repeated
                ones are shown repeatedly.

        Returns:
            The observations, and of shape (num_envs,) the rewards, which sessions ended by
            themselves and which reached ``max_steps_per_episode``; and the infos, with
            ``final_obs`` and ``_final_obs`` where a session ended.

        Raises:
            RuntimeError: if there was no reset before.
            TypeError: if the slates are no integers.
            ValueError: if they have another shape.
            IndexError: if an index points at no candidate.
        """
        slates = self._checked(actions)
        steps = []
        start = 0
        for chunk in self._chunks:
            stop = start + chunk.num_users
            counted = None if self._counted is None else self._counted[start:stop]
            steps.append(chunk.step(slates[start:stop], counted))
            start = stop
        for chunk_step in steps:
            for name, value in chunk_step.metrics.items():
                self._metrics[name] += value
        observation = self._joined([chunk_step.observation for chunk_step in steps])
        rewards = _concatenated([chunk_step.rewards for chunk_step in steps])
        terminated = _concatenated([chunk_step.terminated for chunk_step in steps])
        truncated = _concatenated([chunk_step.truncated for chunk_step in steps])
        infos: dict[str, Any] = {}
        if any(chunk_step.final_observation is not None for chunk_step in steps):
            ended = terminated | truncated
            final = self._joined(
                [chunk_step.final_observation or chunk_step.observation for chunk_step in steps]
            )
            infos = {"final_obs": FinalObservations(final, ended), "_final_obs": ended}
        return observation, rewards, terminated, truncated, infos

    def _checked(self, slates: Any) -> np.ndarray:
        if not self._chunks:
            raise RuntimeError("step was called before reset: call reset() to start the episodes.")
        array = np.asarray(slates)
        if array.dtype.kind not in "iu":
            raise TypeError(
                "actions must be integers (indices of candidates), got an array of dtype "
                f"{array.dtype}."
            )
        if array.shape != (self.num_envs, self._slate_size):
            raise ValueError(
                "actions must have the shape (num_envs, slate_size) = "
                f"({self.num_envs}, {self._slate_size}), got {array.shape}."
            )
        if array.min() < 0 or array.max() >= self._num_candidates:
            raise IndexError(
                f"actions must hold indices of candidates, 0 to {self._num_candidates - 1}, got "
                f"{array.min()} to {array.max()}."
            )
        return array

    def _joined(self, observations: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Returns the observation of all users, of those of the chunks."""
        joined = _joined_arrays(observations)
        if self._shared_observation is not None:
            joined["doc"] = self._shared_observation
        return {key: joined[key] for key in ("user", "doc", "response")}

    def checkpoint_state(self) -> dict[str, Any]:
        """Returns the state of users, documents and random numbers between two steps, as data."""
        return {
            "seed": self._seed if self._chunks else None,
            "chunks": [chunk.state() for chunk in self._chunks],
        }

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a state that :meth:`checkpoint_state` returned, with the next step."""
        self._chunks = []
        if state["chunks"]:
            self._make_chunks(state["seed"])
            for chunk, chunk_state in zip(self._chunks, state["chunks"], strict=True):
                chunk.restore(chunk_state)

    @property
    def metrics(self) -> Mapping[str, float]:
        """The metrics since they were last set to zero."""
        return dict(self._metrics)

    def count_metrics_of(self, users: np.ndarray | None) -> None:
        """Says whose slates count in the metrics from now on.

        Args:
            users: bools of shape (num_envs,); None for all, as in the beginning.
        """
        self._counted = users

    def reset_metrics(self) -> None:
        """Sets every metric to zero."""
        self._metrics: dict[str, float] = collections.defaultdict(float)

    @property
    def metrics_writer(self) -> Callable[..., None] | None:
        """The function that reports metrics."""
        return self._metrics_writer

    def write_metrics(self, add_summary_fn: Callable[[str, float], None]) -> None:
        """Reports the metrics by calling ``add_summary_fn(tag, value)``."""
        if self._metrics_writer is not None:
            self._metrics_writer(self._metrics, add_summary_fn)


@dataclasses.dataclass
class _ChunkStep:
    """What came of a step of a chunk of users."""

    observation: dict[str, Any]
    rewards: np.ndarray  # (n_users,)
    terminated: np.ndarray  # (n_users,), bool
    truncated: np.ndarray  # (n_users,), bool
    final_observation: dict[str, Any] | None  # None where no session ended.
    metrics: Mapping[str, float]


class _Chunk:
    """The users of one chunk that an environment has.

    Args:
        env: the environment.
        seed: the seed of the environment.
        users: numbers of the users.
        draws: the random numbers of the chunk.
        shared_documents: the candidates that all users share, if they do.
    """

    def __init__(
        self,
        env: RecSimVectorEnv,
        seed: int,
        users: range,
        draws: streams.ChunkDraws,
        shared_documents: Any,
    ) -> None:
        self.num_users = len(users)
        self._env = env
        self._model = env._user_model
        self._sampler = env._document_sampler
        self._candidates = env._candidates
        self._user_numbers = np.arange(users.start, users.stop)
        self._episodes = np.full(self.num_users, -1, np.int64)
        self._steps = np.zeros(self.num_users, np.int64)
        self._user_key = streams.hash_key(seed, "users")
        self._document_key = streams.hash_key(seed, "documents")
        self._draws = draws
        self._users: Any = None
        self._documents: Any = shared_documents
        self._no_response = _zeros(env._user_model.response_space(), self.num_users, env._dtype)

    def begin_all(self) -> None:
        """Begins an episode for all users."""
        everyone = np.arange(self.num_users)
        self._users = self._new_users(everyone)
        if self._candidates == "episode":
            self._documents = self._new_documents(everyone)
        elif self._candidates == "step":
            self._documents = self._sampler.sample(self._draws, self._env._num_candidates)

    def _new_users(self, rows: np.ndarray) -> Any:
        """Returns new users for some rows, whose next episodes begin."""
        self._episodes[rows] += 1
        self._steps[rows] = 0
        return self._model.sample_users(self._draws_of(self._user_key, rows))

    def _new_documents(self, rows: np.ndarray) -> Any:
        draws = self._draws_of(self._document_key, rows)
        return self._sampler.sample(draws, self._env._num_candidates)

    def _draws_of(self, key: int, rows: np.ndarray) -> streams.UserDraws:
        users, episodes = self._user_numbers[rows], self._episodes[rows]
        return streams.UserDraws(key, users, episodes, self._env._dtype)

    def observe(self) -> dict[str, Any]:
        """Returns the observation after a reset of all users."""
        return self._observation(self._observe_documents(), self._no_response)

    def _observe_documents(self) -> Any:
        # What all users share is the environment's to show.
        return {} if self._candidates == "shared" else self._sampler.observe(self._documents)

    def _observation(self, documents: Any, responses: Any) -> dict[str, Any]:
        users = self._model.observe_users(self._users)
        return {"user": users, "doc": documents, "response": responses}

    def step(self, slates: np.ndarray, counted: np.ndarray | None) -> _ChunkStep:
        """Shows a slate to every user, and replaces those whose sessions end.

        Args:
            slates: the slates.
            counted: whose slates count in the metrics, None for all.
        """
        env, model, draws = self._env, self._model, self._draws
        documents = world.slate_documents(self._documents, slates, self._candidates == "shared")
        choice = model.choose(self._users, documents, draws)
        responses = model.respond(self._users, documents, choice, draws)
        self._users = model.update(self._users, documents, choice, responses, draws)
        if self._candidates == "step":
            self._documents = self._sampler.sample(draws, env._num_candidates)
        self._steps += 1
        terminated = model.is_done(self._users)
        if terminated is None:
            terminated = np.zeros(self.num_users, np.bool_)
        else:
            terminated = terminated.copy()  # It may be the users' own, which changes below.
        if env._max_steps is None:
            truncated = np.zeros(self.num_users, np.bool_)
        else:
            truncated = self._steps >= env._max_steps
        observation = self._observation(
            self._observe_documents(), model.observe_responses(responses)
        )
        final_observation = None
        rows = np.flatnonzero(terminated | truncated)
        if len(rows):
            final_observation, observation = observation, self._replace(rows, observation)
        return _ChunkStep(
            observation,
            env._reward_aggregator(responses),
            terminated,
            truncated,
            final_observation,
            self._metrics(responses, counted),
        )

    def _metrics(self, responses: Any, counted: np.ndarray | None) -> Mapping[str, float]:
        aggregate = self._env._metrics_aggregator
        if aggregate is None:
            return {}
        if counted is not None:
            responses = world.map_fields(lambda field: field[counted], responses)
        return aggregate(responses)

    def state(self) -> dict[str, Any]:
        """Returns the state between two steps, as data."""
        documents = None if self._candidates == "shared" else _fields(self._documents)
        return {
            "episodes": self._episodes.copy(),
            "steps": self._steps.copy(),
            "draws": self._draws.state(),
            "users": _fields(self._users),
            "documents": documents,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continues from a state that :meth:`state` returned."""
        self.begin_all()  # For users and documents to put the arrays into.
        self._episodes = state["episodes"].copy()
        self._steps = state["steps"].copy()
        self._draws.restore(state["draws"])
        self._users = _with_fields(self._users, state["users"])
        if state["documents"] is not None:
            self._documents = _with_fields(self._documents, state["documents"])

    def _replace(self, rows: np.ndarray, observation: dict[str, Any]) -> dict[str, Any]:
        """Replaces the users of some rows by new ones and returns the observation after it."""
        _set_rows(self._users, self._new_users(rows), rows)
        documents = observation["doc"]
        if self._candidates == "episode":
            # Documents were handed out: they are never changed.
            self._documents = world.map_fields(np.copy, self._documents)
            _set_rows(self._documents, self._new_documents(rows), rows)
            documents = self._observe_documents()
        responses = _map_arrays(lambda array: _with_zeros(array, rows), observation["response"])
        return self._observation(documents, responses)


def _set_rows(values: Any, new: Any, rows: np.ndarray) -> None:
    """Sets rows of the fields of a dataclass."""
    for field in dataclasses.fields(values):
        getattr(values, field.name)[rows] = getattr(new, field.name)


def _fields(values: Any) -> dict[str, np.ndarray]:
    """Returns copies of the fields of a dataclass."""
    return {
        field.name: np.array(getattr(values, field.name)) for field in dataclasses.fields(values)
    }


def _with_fields(values: Any, fields: Mapping[str, np.ndarray]) -> Any:
    """Returns a dataclass with copies of other fields."""
    return dataclasses.replace(values, **{name: np.array(field) for name, field in fields.items()})


def _with_zeros(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[rows] = 0
    return array


def _map_arrays(function: Callable[[np.ndarray], Any], tree: Any) -> Any:
    """Returns what a function makes of the arrays of a nested dictionary."""
    if isinstance(tree, Mapping):
        return {key: _map_arrays(function, value) for key, value in tree.items()}
    return function(tree)


def _row(tree: Any, index: int) -> Any:
    return _map_arrays(lambda array: array[index], tree)


def _joined_arrays(trees: Sequence[Any]) -> Any:
    """Returns nested dictionaries of arrays as one, joined along axis 0."""
    if isinstance(trees[0], Mapping):
        return {key: _joined_arrays([tree[key] for tree in trees]) for key in trees[0]}
    return _concatenated(trees)


def _concatenated(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _zeros(space: Any, num_users: int, dtype: np.dtype) -> Any:
    """Returns zeros of the shapes of a space."""
    if isinstance(space, spaces.Dict):
        return {key: _zeros(entry, num_users, dtype) for key, entry in space.spaces.items()}
    entry_dtype = dtype if space.dtype.kind == "f" else space.dtype
    return np.zeros((num_users, *space.shape), entry_dtype)


def _with_dtype(space: Any, dtype: np.dtype) -> Any:
    """Returns a space with the Box spaces of floating-point numbers in it being of a dtype."""
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: _with_dtype(entry, dtype) for key, entry in space.spaces.items()})
    if isinstance(space, spaces.Box) and space.dtype.kind == "f" and space.dtype != dtype:
        return spaces.Box(space.low.astype(dtype), space.high.astype(dtype), dtype=dtype.type)
    return space
