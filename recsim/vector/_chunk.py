"""The users of one chunk: what happens to them in a step, and who takes whose place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim import spaces as spaces_lib
from recsim._internal import global_generator, numbers, trees
from recsim.vector import scenario, streams

if TYPE_CHECKING:
    from recsim.vector import env as vector_env

__all__ = ["Chunk", "ChunkStep"]


@dataclasses.dataclass
class ChunkStep:
    """What came of a step of a chunk of users."""

    responses: Any
    observation: dict[str, Any]
    terminated: np.ndarray  # (n_users,), bool
    truncated: np.ndarray  # (n_users,), bool
    ended_rows: np.ndarray  # (n_ended,): where sessions ended.
    #: What was observed there last, by key, where it is not as in the observation; None if no
    #: session ended.
    last: dict[str, Any] | None


class Chunk:
    """The users of one chunk that an environment has.

    Documents that all users share are not in the observations.

    Args:
        env: the environment.
        seed: the seed of the environment.
        users: numbers of the users.
        stream: the random numbers of the chunk.
        shared_documents: the candidates that all users share, if they do.
    """

    def __init__(
        self,
        env: vector_env.RecSimVectorEnv,
        seed: int,
        users: range,
        stream: streams.ChunkStream,
        shared_documents: Any,
    ) -> None:
        self.num_users = len(users)
        self._env = env
        self._model = env.user_model
        self._sampler = env.document_sampler
        self._candidates = env.candidates
        self._first_user = users.start
        self._episodes = np.full(self.num_users, -1, np.int32)
        self._steps = np.zeros(self.num_users, np.int32)
        self._user_key = streams.hash_key(seed, "users")
        self._document_key = streams.hash_key(seed, "documents")
        self._stream = stream
        self._users: Any = None
        self._documents: Any = shared_documents
        space: Any = env.single_observation_space
        self._no_response = spaces_lib.nearest_to_zero(space["response"])
        # How many steps are still watched for draws from NumPy's global generator, and what the
        # model returns in them looked at field by field.
        self._steps_to_watch = global_generator.WATCHED_STEPS

    def begin_all(self) -> dict[str, Any]:
        """Begins an episode for all users and returns the first observation."""
        everyone = np.arange(self.num_users)
        self._users = self._new_users(everyone)
        if self._candidates == "episode":
            self._documents = self._new_documents(everyone)
        elif self._candidates == "step":
            self._documents = self._sampled(self._stream)
        no_responses = trees.map_leaves(
            lambda array: np.array(np.broadcast_to(array, (self.num_users, *array.shape))),
            self._no_response,
        )
        return self._observation(no_responses)

    def _new_users(self, rows: np.ndarray) -> Any:
        """Returns new users for some rows, whose next episodes begin."""
        self._episodes[rows] += 1
        self._steps[rows] = 0
        users = self._watched(self._model).sample_users(self._stream_of(self._user_key, rows))
        if self._steps_to_watch:
            self._check_fields(self._model, "sample_users", users, len(rows))
        return users

    def _watched(self, part: Any) -> Any:
        """Returns the model or the sampler, in the first steps with its calls being watched."""
        if not self._steps_to_watch:
            return part
        return global_generator.Watched(part, global_generator.IN_VECTOR_SCENARIO)

    @staticmethod
    def _check_fields(part: Any, method: str, values: Any, *lengths: int) -> None:
        """Raises TypeError or ValueError unless a method returned a dataclass of fitting arrays."""
        name = f"{method} of {type(part).__name__}"
        if not dataclasses.is_dataclass(values):
            raise TypeError(
                f"{name} must return a dataclass of arrays, got {numbers.described(values)}."
            )
        for field in dataclasses.fields(values):
            value = getattr(values, field.name)
            if not isinstance(value, np.ndarray):
                raise TypeError(
                    f"{name} must return arrays in its fields, got {numbers.described(value)} for "
                    f"{field.name}."
                )
            if value.shape[: len(lengths)] != lengths:
                raise ValueError(
                    f"{name} must return fields of shape {_shape(lengths)}, got {value.shape} for "
                    f"{field.name}."
                )

    def _checked_choice(self, choice: Any) -> np.ndarray:
        """Returns what ``choose`` returned, positions in slates, if it is that."""
        size = self._model.slate_size
        name = f"choose of {type(self._model).__name__}"
        if type(choice) is not np.ndarray or choice.dtype.kind not in "iu":
            choice = numbers.whole_array(f"What {name} returns", choice)
        if choice.shape != (self.num_users,):
            raise ValueError(
                f"{name} must return a position for each user, an array of shape "
                f"({self.num_users},), got one of shape {choice.shape}."
            )
        if choice.min() < 0 or choice.max() > size:
            bad = choice[(choice < 0) | (choice > size)]
            raise ValueError(
                f"{name} must return positions in slates, 0 to {size - 1}, or {size} (slate_size) "
                f"where nothing is chosen, got {bad[0]} for {len(bad)} of {self.num_users} users."
            )
        return choice

    def _check_done(self, done: Any) -> None:
        """Raises TypeError or ValueError unless ``is_done`` returned a bool for each user."""
        name = f"is_done of {type(self._model).__name__}"
        bools = numbers.array(f"What {name} returns", done)
        if np.isnan(bools).any():
            raise ValueError(f"{name} must return bools, got {numbers.described(done)}.")
        if bools.shape != (self.num_users,):
            raise ValueError(
                f"{name} must return a bool for each user, an array of shape "
                f"({self.num_users},), or None if sessions never end, got one of shape "
                f"{bools.shape}."
            )

    def _new_documents(self, rows: np.ndarray) -> Any:
        stream = self._stream_of(self._document_key, rows)
        return self._sampled(stream)

    def _sampled(self, stream: streams.RandomStream) -> Any:
        """Returns new candidates for the users of some random numbers."""
        number = self._env.num_candidates
        if not self._steps_to_watch:
            return self._sampler.sample(stream, number)
        documents = self._watched(self._sampler).sample(stream, number)
        self._check_fields(self._sampler, "sample", documents, stream.num_users, number)
        return documents

    def _stream_of(self, key: int, rows: np.ndarray) -> streams.UserStream:
        users = self._first_user + rows
        return streams.UserStream(key, users, self._episodes[rows], self._env.dtype)

    def _observation(self, responses: Any) -> dict[str, Any]:
        observation = {"user": self._model.observe_users(self._users), "response": responses}
        if self._candidates != "shared":
            observation["doc"] = self._sampler.observe(self._documents)
        return observation

    def step(self, slates: np.ndarray) -> ChunkStep:
        """Shows a slate to every user, and replaces those whose sessions end."""
        env, model, stream = self._env, self._model, self._stream
        looks = self._steps_to_watch
        if looks:
            model = self._watched(model)
        documents = scenario.slate_documents(self._documents, slates, self._candidates == "shared")
        choice = model.choose(self._users, documents, stream)
        if looks:
            choice = self._checked_choice(choice)
        responses = model.respond(self._users, documents, choice, stream)
        if looks:
            self._check_fields(self._model, "respond", responses, self.num_users, env.slate_size)
        self._users = model.update(self._users, documents, choice, responses, stream)
        if looks:
            self._check_fields(self._model, "update", self._users, self.num_users)
        if self._candidates == "step":
            self._documents = self._sampled(stream)
        self._steps += 1
        done = model.is_done(self._users)
        if looks and done is not None:
            self._check_done(done)
        # A copy, for it may be the users' own, which changes when some are replaced.
        terminated = np.array(done, np.bool_) if done is not None else self._nobody()
        limit = env.max_steps_per_episode
        truncated = self._steps >= limit if limit is not None else self._nobody()
        observed = model.observe_responses(responses)
        rows = np.flatnonzero(terminated | truncated)
        last = None
        if len(rows):
            last = self._replace(rows)
            last["response"] = trees.rows_of(observed, rows)
            observed = trees.with_rows(observed, rows, self._no_response)
        if looks:
            self._steps_to_watch -= 1
        return ChunkStep(responses, self._observation(observed), terminated, truncated, rows, last)

    def _nobody(self) -> np.ndarray:
        return np.zeros(self.num_users, np.bool_)

    def _replace(self, rows: np.ndarray) -> dict[str, Any]:
        """Replaces the users of some rows by new ones and returns what was observed of the old."""
        last = {"user": self._model.observe_users(trees.rows_of(self._users, rows))}
        trees.set_rows(self._users, rows, self._new_users(rows))
        if self._candidates == "episode":
            last["doc"] = self._sampler.observe(trees.rows_of(self._documents, rows))
            # Documents were handed out: they are never changed.
            self._documents = trees.map_leaves(np.copy, self._documents)
            trees.set_rows(self._documents, rows, self._new_documents(rows))
        return last

    def state(self) -> dict[str, Any]:
        """Returns the state between two steps, as data."""
        documents = None if self._candidates == "shared" else _fields(self._documents)
        return {
            "episodes": self._episodes.copy(),
            "steps": self._steps.copy(),
            "stream": self._stream.state(),
            "users": _fields(self._users),
            "documents": documents,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continues from a state that :meth:`state` returned."""
        self.begin_all()  # For users and documents to put the arrays into.
        self._episodes = state["episodes"].copy()
        self._steps = state["steps"].copy()
        self._stream.restore(state["stream"])
        self._users = _with_fields(self._users, state["users"])
        if state["documents"] is not None:
            self._documents = _with_fields(self._documents, state["documents"])


def _shape(lengths: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, lengths))}, …)"


def _fields(values: Any) -> dict[str, np.ndarray]:
    """Returns copies of the fields of a dataclass."""
    return {
        field.name: np.array(getattr(values, field.name)) for field in dataclasses.fields(values)
    }


def _with_fields(values: Any, fields: Mapping[str, np.ndarray]) -> Any:
    """Returns a dataclass with copies of other fields.

    Raises:
        ValueError: if they are of other names, shapes or dtypes.
    """
    new = {name: np.array(field) for name, field in fields.items()}
    for name, own in _fields(values).items():
        field = new.get(name)
        if field is None or (field.shape, field.dtype) != (own.shape, own.dtype):
            there = "nothing" if field is None else f"{field.dtype} of shape {field.shape}"
            raise ValueError(f"{name} must be {own.dtype} of shape {own.shape}, got {there}.")
    return dataclasses.replace(values, **new)
