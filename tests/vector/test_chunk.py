"""A chunk of users, without an environment."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from recsim import testing
from recsim.vector import chunk, scenario, streams
from recsim.vector import env as vector_env

NUM_USERS = 5
SIZES = {"num_candidates": 4, "slate_size": 2}


@dataclasses.dataclass
class Books:
    """Documents, and responses to them."""

    topic: np.ndarray  # (n_users, n_docs)


@dataclasses.dataclass
class Readers:
    """Users, whose preferences change with every step."""

    preferences: np.ndarray  # (n_users, 3)
    patience: np.ndarray  # (n_users,)


class BookSampler(scenario.VectorDocumentSampler[Books]):
    def sample(self, stream: streams.RandomStream, num_documents: int) -> Books:
        return Books(stream.integers(3, num_documents))

    def observe(self, documents: Books) -> np.ndarray:
        return documents.topic

    def observation_space(self, num_documents: int) -> Any:
        return spaces.MultiDiscrete(np.full(num_documents, 3), dtype=np.int32)


class ReaderModel(scenario.VectorUserModel[Readers, Books, Books]):
    """Returns its users' own arrays wherever it can, and changes users in place."""

    def __init__(self) -> None:
        super().__init__(SIZES["slate_size"])
        self.num_sampled = 0
        self.new = Readers(np.zeros((0, 3), np.float32), np.zeros(0, np.int32))

    def sample_users(self, stream: streams.RandomStream) -> Readers:
        self.num_sampled += stream.num_users
        return Readers(stream.uniform(3), np.full(stream.num_users, 3, np.int32))

    def choose(self, users: Readers, documents: Books, stream: streams.RandomStream) -> np.ndarray:
        return stream.integers(self.slate_size + 1)

    def respond(self, users: Readers, documents: Books, choice: np.ndarray, stream: Any) -> Books:
        return Books(users.preferences[:, :2])

    def update(
        self, users: Readers, documents: Books, choice: np.ndarray, responses: Books, stream: Any
    ) -> Readers:
        users.preferences *= np.float32(0.5)
        users.patience -= choice < self.slate_size
        return users

    def is_done(self, users: Readers) -> np.ndarray:
        return users.patience == 0

    def observe_users(self, users: Readers) -> np.ndarray:
        return users.preferences

    def user_space(self) -> Any:
        return spaces.Box(0, 1, (3,))

    def observe_responses(self, responses: Books) -> np.ndarray:
        return responses.topic

    def response_space(self) -> Any:
        return spaces.Box(0, 1, (2,))


def environment(num_envs: int = NUM_USERS, first_user: int = 0, **options: Any) -> Any:
    options = {"candidates": "episode", "max_steps_per_episode": 4, "seed": 3, **options}
    return vector_env.RecSimVectorEnv(
        ReaderModel(),
        BookSampler(),
        SIZES["num_candidates"],
        SIZES["slate_size"],
        num_envs,
        lambda responses: responses.topic.sum(axis=1),
        lambda responses: {"topics": float(responses.topic.sum())},
        first_user=first_user,
        **options,
    )


def scenario_of(candidates: str) -> scenario.VectorScenario:
    return environment(candidates=candidates).scenario


def slates_of(step: int) -> np.ndarray:
    return np.random.RandomState(step).randint(SIZES["num_candidates"], size=(NUM_USERS, 2))


@pytest.mark.parametrize("candidates", scenario.CANDIDATES)
def test_users_own_arrays_may_be_observed(candidates: str) -> None:
    testing.check_vector_environment(
        lambda num_envs, first_user: environment(num_envs, first_user, candidates=candidates)
    )


def test_what_was_observed_does_not_change_with_the_users() -> None:
    env = environment(max_steps_per_episode=None)
    observation, _ = env.reset()
    seen = [(observation, copy.deepcopy(observation))]
    for step in range(20):
        observation, rewards, *_ = env.step(slates_of(step))
        # The responses are the preferences before the step.
        before = seen[-1][1]["user"]
        np.testing.assert_array_equal(rewards, before[:, :2].sum(axis=1))
        seen.append((observation, copy.deepcopy(observation)))
    for returned, as_it_was in seen:
        for part, array in returned.items():
            np.testing.assert_array_equal(array, as_it_was[part])


def test_users_may_be_a_constant_of_the_model() -> None:
    """New users are written into arrays of the chunk's own."""

    class Constant(ReaderModel):
        preferences = np.full((NUM_USERS, 3), 0.5, np.float32)

        def sample_users(self, stream: streams.RandomStream) -> Readers:
            users = super().sample_users(stream)
            return Readers(self.preferences[: stream.num_users], users.patience)

    parts = dataclasses.replace(scenario_of("step"), user_model=Constant())
    users = chunk.Chunk(parts, 0, range(NUM_USERS))
    users.reset()
    users.step(slates_of(0))
    assert (Constant.preferences == 0.5).all()


@pytest.mark.parametrize("constant", [np.full((100, 3), 0.5, np.float32), np.float32(0.5)])
def test_users_may_become_a_constant_of_the_model(constant: Any) -> None:
    class Forgetful(ReaderModel):
        preferences = constant

        def update(self, users: Readers, *others: Any) -> Readers:
            patience = super().update(users, *others).patience
            if np.ndim(self.preferences):
                return Readers(self.preferences[: len(patience)], patience)
            return Readers(np.broadcast_to(self.preferences, users.preferences.shape), patience)

    parts = dataclasses.replace(scenario_of("step"), user_model=Forgetful())
    users = chunk.Chunk(parts, 0, range(NUM_USERS))
    users.reset()
    ended = [len(users.step(slates_of(step), max_steps=3).ended_rows) for step in range(6)]
    assert sum(ended) >= NUM_USERS
    assert (constant == 0.5).all()


@pytest.mark.parametrize("candidates", scenario.CANDIDATES)
def test_a_chunk_steps_as_its_environment_does(candidates: str) -> None:
    env = environment(candidates=candidates, first_user=7)
    documents = chunk.shared_documents(env.scenario, 3) if candidates == "shared" else None
    users = chunk.Chunk(env.scenario, 3, range(7, 7 + NUM_USERS), documents=documents)
    first = users.reset()
    assert ("doc" in first) == (candidates != "shared")
    observation, _ = env.reset()
    np.testing.assert_array_equal(observation["user"], first["user"])
    counted = np.array([True, False, True, True, False])
    env.count_metrics_of(counted)
    topics, num_ended = 0.0, 0
    for step in range(8):
        outcome = users.step(slates_of(step), max_steps=4, counted=counted)
        observation, rewards, terminated, truncated, infos = env.step(slates_of(step))
        for part, array in outcome.observation.items():
            np.testing.assert_array_equal(observation[part], array)
        np.testing.assert_array_equal(rewards, outcome.rewards)
        np.testing.assert_array_equal(terminated, outcome.terminated)
        np.testing.assert_array_equal(truncated, outcome.truncated)
        np.testing.assert_array_equal(np.flatnonzero(terminated | truncated), outcome.ended_rows)
        assert (outcome.last is not None) == bool(infos) == bool(len(outcome.ended_rows))
        if outcome.last is not None:
            last = infos["final_obs"].batch["user"][outcome.ended_rows]
            np.testing.assert_array_equal(last, outcome.last["user"])
        topics += outcome.metrics["topics"]
        num_ended += len(outcome.ended_rows)
    assert env.metrics == {"topics": topics} and num_ended > NUM_USERS


def test_episodes_have_no_limit_unless_a_step_is_told_of_one() -> None:
    users = chunk.Chunk(scenario_of("step"), 3, range(NUM_USERS))
    users.reset()
    assert not users.step(slates_of(0)).truncated.any()
    assert users.step(slates_of(1), max_steps=2).truncated.any()


def test_another_random_stream_can_be_given() -> None:
    class Counting(streams.ChunkStream):
        calls = 0

        def uniform(self, *shape: int) -> np.ndarray:
            Counting.calls += 1
            return super().uniform(*shape)

    stream = Counting(np.random.SeedSequence(0), NUM_USERS)
    users = chunk.Chunk(scenario_of("step"), 3, range(NUM_USERS), stream=stream)
    users.reset()
    users.step(slates_of(0))
    assert Counting.calls == 3  # Candidates, choices and candidates again.


@pytest.mark.parametrize("num_envs", [NUM_USERS, streams.CHUNK_SIZE + 2])
@pytest.mark.parametrize("candidates", ["step", "episode"])
def test_restoring_samples_no_users_in_place_of_those_restored(
    num_envs: int, candidates: str
) -> None:
    env, resumed = (environment(num_envs, candidates=candidates) for _ in range(2))
    env.reset()
    slates = np.zeros((num_envs, 2), np.int64)
    for _ in range(3):
        env.step(slates)
    resumed.load_state_dict(env.state_dict())
    # One for each chunk, who tells of which class users are.
    assert resumed.user_model.num_sampled == -(-num_envs // streams.CHUNK_SIZE)
    for _ in range(5):
        for one, other in zip(env.step(slates)[:4], resumed.step(slates)[:4], strict=True):
            for part in one if isinstance(one, dict) else [...]:
                np.testing.assert_array_equal(one[part], other[part])


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("users", "patience", np.zeros(NUM_USERS)),
        ("users", "preferences", np.zeros((NUM_USERS, 2), np.float32)),
        ("documents", "topic", np.zeros((NUM_USERS - 1, 4), np.int32)),
    ],
)
def test_a_state_with_other_arrays_is_refused(part: str, field: str, value: np.ndarray) -> None:
    parts = scenario_of("episode")
    users = chunk.Chunk(parts, 3, range(NUM_USERS))
    users.reset()
    state = users.state_dict()
    state[part][field] = value
    other = chunk.Chunk(parts, 3, range(NUM_USERS))
    other.reset()
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(ValueError, match=f"{field} must be .* of shape .*, got "):
        other.load_state_dict(state)
    for name, array in before["users"].items():
        np.testing.assert_array_equal(other.state_dict()["users"][name], array)
