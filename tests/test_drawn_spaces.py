"""Observations lie in their spaces, whatever these are, or the space is refused at once."""

from __future__ import annotations

import dataclasses
from typing import Any

import drawn_scenarios
import drawn_spaces
import gymnasium
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from recsim import spaces as spaces_lib
from recsim._gym import gym
from recsim._gym import spaces as gym_spaces
from recsim.agents import random_agent, tabular_q_agent
from recsim.agents.dopamine import adapters
from recsim.agents.layers import fixed_length_history, temporal_aggregation
from recsim.simulator import episode_log, gymnasium_env
from recsim.vector import _conversion, world, wrappers
from recsim.vector import env as vector_env

SIZES = {"num_candidates": 3, "slate_size": 2, "session_length": 2}


@st.composite
def triples(draw: Any) -> tuple[Any, Any, Any]:
    """Draws the spaces of a user, a document and a response, all of one library."""
    library = draw(st.sampled_from(drawn_spaces.LIBRARIES))
    return tuple(draw(drawn_spaces.arrays(library)) for _ in range(3))  # type: ignore[return-value]


def examples(number: int) -> Any:
    return hypothesis.settings(
        max_examples=number, suppress_health_check=list(hypothesis.HealthCheck)
    )


def seeded(spaces: Any) -> Any:
    """Returns spaces that sample the same in each run."""
    spaces = list(spaces)
    for number, space in enumerate(spaces):
        space.seed(number)
    return spaces


@hypothesis.given(triples())
@examples(60)
def test_the_environment_in_recsims_form(spaces: Any) -> None:
    for num_users in (None, 2):
        env = drawn_scenarios.make(*seeded(spaces), num_users=num_users, **SIZES)
        slates: Any = [2, 0] if num_users is None else [[2, 0], [1, 1]]
        observation = env.reset()
        space = env.observation_space
        assert isinstance(space, gym_spaces.Dict)
        for part in ("user", "doc"):
            spaces_lib.check_observation(space[part], observation[part], part)
        observation = env.step(slates)[0]
        spaces_lib.check_observation(env.observation_space, observation)


@hypothesis.given(triples())
@examples(60)
def test_the_adapter_of_gymnasium(spaces: Any) -> None:
    env = gymnasium_env.RecSimGymnasiumEnv(drawn_scenarios.make(*seeded(spaces), **SIZES))
    assert env.reset()[0] in env.observation_space
    for slate in ([2, 0], [1]):  # A short slate has no response to its second position.
        assert env.step(slate)[0] in env.observation_space
    nothing = env.reset()[0]["response"]
    zeros = _conversion.map_arrays(np.zeros_like, nothing)
    response_space: Any = env.observation_space["response"]
    if zeros in response_space:
        assert np.array_equal(leaves(nothing), leaves(zeros))


def leaves(tree: Any) -> np.ndarray:
    found: list[Any] = []
    _conversion.map_arrays(lambda array: found.extend(np.ravel(array).tolist()), tree)
    return np.array(found)


@hypothesis.given(triples())
@examples(50)
def test_many_single_user_environments_and_their_agents(spaces: Any) -> None:
    env = wrappers.SingleUserEnvs(
        [drawn_scenarios.make(*seeded(spaces), **SIZES) for _ in range(2)]
    )
    agents = wrappers.SingleUserAgents(
        lambda observation_space, action_space, _: Checking(observation_space, action_space), env
    )
    observation, _ = env.reset()
    assert observation in env.observation_space
    slates = agents.begin(observation)
    for _ in range(3):
        outcome = env.step(slates)
        assert outcome[0] in env.observation_space
        for final in outcome[-1].get("final_obs", ()):
            assert final in env.single_observation_space
        slates = agents.step(*outcome)


class Checking(random_agent.RandomAgent):
    """Checks each observation that it gets."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__(action_space)
        self.space = observation_space

    def step(self, reward: float, observation: Any) -> list[int]:
        for part in ("user", "doc", "response"):
            if observation[part] is not None:
                spaces_lib.check_observation(self.space[part], observation[part], part)
        return list(super().step(reward, observation))


@hypothesis.given(triples())
@examples(60)
def test_features_and_episode_logs(spaces: Any) -> None:
    env = drawn_scenarios.make(*seeded(spaces), **SIZES)
    many = wrappers.SingleUserEnvs([env])
    adapter = adapters.ObservationAdapter(env.observation_space)
    of_many = adapters.ObservationAdapter(
        _conversion.single_user_space(many.single_observation_space)
    )
    space = env.observation_space
    observation = env.reset()
    observation = env.step([1, 0])[0]
    user, documents = adapter.features(observation)
    expected = gym_flatten(space["user"], observation["user"])
    np.testing.assert_array_equal(user, expected.astype(np.float32))
    for row, one, of_one in zip(documents, observation["doc"].values(), space["doc"].values()):
        np.testing.assert_array_equal(row, gym_flatten(of_one, one).astype(np.float32))
    stacked = many._stacked([observation])
    users, all_documents = of_many.features_of_many(stacked)
    np.testing.assert_array_equal(users, user[np.newaxis])
    np.testing.assert_array_equal(all_documents, documents[np.newaxis])

    encoder = episode_log._StepEncoder(env)
    encoded = dict(
        encoder.encode(observation["user"], observation["doc"], [1], observation["response"], 0.0)
    )
    assert encoded["user"].endswith(user.tobytes())
    assert encoded["doc_0"].endswith(documents[0].tobytes())


def gym_flatten(space: Any, value: Any) -> np.ndarray:
    """Returns what gym's ``flatten`` does, which knows no MultiDiscrete space with a start."""
    if isinstance(space, (gym_spaces.Dict, gym_spaces.Tuple)):
        parts = [gym_flatten(entry, value[key]) for key, entry in spaces_lib.children(space)]
        return np.concatenate([np.ravel(part) for part in parts])
    if isinstance(space, gym_spaces.MultiDiscrete):
        value = np.asarray(value) - getattr(space, "start", 0)
        space = gym_spaces.MultiDiscrete(space.nvec)
    return np.ravel(gym_spaces.flatten(space, value))


@hypothesis.given(triples())
@examples(30)
def test_layers_and_tables(spaces: Any) -> None:
    env = drawn_scenarios.make(*seeded(spaces), resample_documents=False, **SIZES)
    arguments = (env.observation_space, env.action_space)
    agents = [
        fixed_length_history.FixedLengthHistoryLayer(
            tabular_q_agent.TabularQAgent, *arguments, history_length=2, remember_doc=True
        ),
        temporal_aggregation.TemporalAggregationLayer(
            tabular_q_agent.TabularQAgent, *arguments, aggregation_period=2, ignore_response=False
        ),
    ]
    for agent in agents:
        observation = env.reset()
        slate = agent.begin_episode(observation)
        for _ in range(2):
            observation, reward, _, _ = env.step(slate)
            slate = agent.step(reward, observation)
        agent.end_episode(reward, observation)


@pytest.mark.skipif(gym.__version__ < "0.26", reason="Gym flattened no text before")
@hypothesis.given(st.sampled_from(drawn_spaces.LIBRARIES).flatmap(drawn_spaces.texts))
@examples(15)
def test_texts_are_for_recsims_form_alone(space: Any) -> None:
    space.seed(0)
    for position in range(3):
        spaces = [drawn_scenarios.UNIT, drawn_scenarios.UNIT, drawn_scenarios.CLICK]
        spaces[position] = space
        env = drawn_scenarios.make(*spaces, **SIZES)
        observation = env.reset()
        observation = env.step([1, 0])[0]
        spaces_lib.check_observation(env.observation_space, observation)
        dict(
            episode_log._StepEncoder(env).encode(
                observation["user"], observation["doc"], [1], observation["response"], 0.0
            )
        )
        refusing = [
            lambda env=env: gymnasium_env.RecSimGymnasiumEnv(env),
            lambda env=env: wrappers.SingleUserEnvs([env]),
        ]
        if position < 2:
            refusing.append(lambda env=env: adapters.ObservationAdapter(env.observation_space))
            refusing.append(
                lambda env=env: tabular_q_agent.TabularQAgent(
                    env.observation_space, env.action_space
                )
            )
        for make in refusing:
            with pytest.raises(NotImplementedError, match="Use a MultiDiscrete space of the char"):
                make()


# Vector environments of a user's own.


@dataclasses.dataclass
class Users:
    """Users, by their steps."""

    steps: np.ndarray  # (n_users,)


@dataclasses.dataclass
class Documents:
    """Documents, by their numbers."""

    number: np.ndarray  # (n_users, n_docs)


class Sampler(world.VectorDocumentSampler):
    def __init__(self, space: Any) -> None:
        self.space = space

    def sample(self, draws: Any, num_documents: int) -> Documents:
        return Documents(draws.uniform(num_documents))

    def observe(self, documents: Documents) -> Any:
        return sampled(self.space, len(documents.number))

    def observation_space(self, num_documents: int) -> Any:
        return self.space


class Model(world.VectorUserModel):
    def __init__(self, slate_size: int, user_space: Any, response_space: Any) -> None:
        super().__init__(slate_size)
        self.spaces = user_space, response_space

    def user_space(self) -> Any:
        return self.spaces[0]

    def response_space(self) -> Any:
        return self.spaces[1]

    def sample_users(self, draws: Any) -> Users:
        return Users(np.zeros(draws.num_users, np.int32))

    def observe_users(self, users: Users) -> Any:
        return sampled(self.spaces[0], len(users.steps))

    def choose(self, users: Users, documents: Documents, draws: Any) -> Any:
        return None

    def respond(self, users: Users, documents: Documents, choice: Any, draws: Any) -> Any:
        return Documents(documents.number)

    def observe_responses(self, responses: Documents) -> Any:
        return sampled(self.spaces[1], len(responses.number))

    def update(self, users: Users, documents: Any, choice: Any, responses: Any, draws: Any) -> Any:
        return Users(users.steps + 1)

    def is_done(self, users: Users) -> np.ndarray:
        return users.steps >= 2


def sampled(space: Any, number: int) -> Any:
    return stacked(space, [space.sample() for _ in range(number)])


def stacked(space: Any, items: list[Any]) -> Any:
    if isinstance(space, (gymnasium.spaces.Dict, gymnasium.spaces.Tuple)):
        parts = {
            key: stacked(entry, [item[key] for item in items])
            for key, entry in spaces_lib.children(space)
        }
        return parts if isinstance(space, gymnasium.spaces.Dict) else tuple(parts.values())
    return np.array(items, space.dtype)


def vector_environment(user: Any, documents: Any, responses: Any) -> Any:
    return vector_env.RecSimVectorEnv(
        Model(2, user, responses),
        Sampler(documents),
        num_candidates=3,
        slate_size=2,
        num_envs=2,
        reward_aggregator=lambda responses: np.zeros(len(responses.number)),
        dtype=np.float64,
    )


@hypothesis.given(triples())
@examples(50)
def test_vector_environments_of_a_users_own(spaces: Any) -> None:
    user, document, response = map(spaces_lib.to_gym, spaces)
    env = vector_environment(
        _conversion.stacked_space(user, None),
        _conversion.stacked_space(document, 3),
        _conversion.stacked_space(response, 2),
    )
    # Numbers of floating point are all of the dtype of the environment.
    observed = seeded(env.single_observation_space[part] for part in ("user", "doc", "response"))
    env = vector_environment(*observed)
    assert env.reset()[0] in env.observation_space
    for _ in range(3):
        *outcome, infos = env.step([[0, 1], [2, 2]])
        assert outcome[0] in env.observation_space
        for final in infos.get("final_obs", ()):
            assert final is None or final in env.single_observation_space


BOX = gymnasium.spaces.Box
REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "too few documents": (
        (BOX(0, 1, (2,)), BOX(0, 1, (2, 2)), BOX(0, 1, (2,))),
        ValueError,
        r"single_observation_space\['doc'\] must have 3 items on axis 0",
    ),
    "too many responses, in an entry": (
        (BOX(0, 1), BOX(0, 1, (3,)), gymnasium.spaces.Dict({"click": BOX(0, 1, (3,))})),
        ValueError,
        r"\['response'\]\['click'\] must have 2 items",
    ),
    "a user's text": (
        (gymnasium.spaces.Text(3), BOX(0, 1, (3,)), BOX(0, 1, (2,))),
        NotImplementedError,
        "got Text.*Use a MultiDiscrete space",
    ),
    "a graph": (
        (BOX(0, 1), gymnasium.spaces.Graph(BOX(0, 1), None), BOX(0, 1, (2,))),
        NotImplementedError,
        "got Graph",
    ),
}


@pytest.mark.parametrize("row", REFUSED)
def test_spaces_that_vector_environments_refuse(row: str) -> None:
    spaces, error, message = REFUSED[row]
    with pytest.raises(error, match=message):
        vector_environment(*spaces)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_arrays_that_are_not_in_their_space_are_refused(part: int) -> None:
    spaces = [BOX(0, 1, (2,)), BOX(0, 1, (3,)), BOX(0, 1, (2,))]
    env = vector_environment(*spaces)
    outside = BOX(2.0, 3.0, spaces[part].shape, np.float64)
    if part == 1:
        env.document_sampler.space = outside
    else:
        pair = list(env.user_model.spaces)
        pair[part // 2] = outside
        env.user_model.spaces = tuple(pair)
    name = ("user", "doc", "response")[part]

    def play() -> None:
        env.reset()
        env.step([[0, 1], [2, 2]])

    with pytest.raises(ValueError, match=rf"observation\['{name}'\] must lie within Box"):
        play()


# What scenarios say wrong of themselves.

OUTSIDE = {
    "a number out of bounds": (BOX(0.0, 1.0, (2,)), [0.5, 1.5], "must lie within Box"),
    "NaN": (BOX(-np.inf, np.inf, (2,)), [0.5, np.nan], "must lie within Box"),
    "another shape": (BOX(0.0, 1.0, (2,)), [0.5], r"must have the shape \(2,\)"),
    "lists of different lengths": (BOX(0, 1, (2, 2)), [[1, 0], [1]], "different lengths"),
    "half an integer": (BOX(0, 9, (2,), np.int64), [0.5, 2.0], "must hold integers"),
    "an integer too large for its dtype": (BOX(0, 255, (1,), np.uint8), [300], "must lie within"),
    "text": (BOX(0.0, 1.0, (1,)), ["0.5"], "must hold numbers"),
    "a number that a discrete space lacks": (gym_spaces.Discrete(2, start=3), 2, "must lie within"),
    "a part of a discrete number": (gym_spaces.Discrete(2, start=3), 3.5, "must hold integers"),
    "a number that is not binary": (gym_spaces.MultiBinary(2), [0, 2], "within MultiBinary"),
    "no such entry": (gym_spaces.Dict({"a": gym_spaces.Discrete(2)}), {"b": 1}, "an element of"),
}


@pytest.mark.parametrize("row", OUTSIDE)
@pytest.mark.parametrize("position", ["the user", "documents", "responses"])
def test_the_adapters_hand_out_nothing_outside_the_space(row: str, position: str) -> None:
    space, value, message = OUTSIDE[row]
    index = ("the user", "documents", "responses").index(position)
    spaces: list[Any] = [drawn_scenarios.UNIT, drawn_scenarios.UNIT, drawn_scenarios.CLICK]
    spaces[index] = space

    def sample(asked: Any) -> Any:
        return value if asked is space else asked.sample()

    def play_one() -> None:
        env = gymnasium_env.RecSimGymnasiumEnv(
            drawn_scenarios.make(*spaces, sample=sample, **SIZES)
        )
        env.reset()
        env.step([0, 1])

    def play_many() -> None:
        env = wrappers.SingleUserEnvs([drawn_scenarios.make(*spaces, sample=sample, **SIZES)])
        env.reset()
        env.step([[0, 1]])

    for play in (play_one, play_many):
        with pytest.raises(ValueError, match=message):
            play()


def test_documents_of_different_spaces_are_no_rows_of_arrays() -> None:
    env = drawn_scenarios.make()
    documents = env.environment.candidate_set.get_all_documents()
    documents[1].observation_space = lambda: gym_spaces.Discrete(2)
    with pytest.raises(ValueError, match="All documents must have the same observation space"):
        gymnasium_env.RecSimGymnasiumEnv(env)


def test_environments_of_different_spaces_are_refused() -> None:
    envs = [drawn_scenarios.make(), drawn_scenarios.make(gym_spaces.Discrete(3))]
    with pytest.raises(ValueError, match="the same spaces of users, documents and responses"):
        wrappers.SingleUserEnvs(envs)


def test_a_box_of_float32_takes_the_float64_numbers_of_its_bounds() -> None:
    # The float32 nearest to 0.1 is above it.
    space = gym_spaces.Box(0.1, 0.7, (1,), np.float32)
    spaces_lib.check_observation(space, np.array([0.1]))
    spaces_lib.check_observation(space, np.array([0.7]))
    with pytest.raises(ValueError, match="must lie within"):
        spaces_lib.check_observation(space, np.array([0.0999]))
    with pytest.raises(ValueError, match="whole numbers"):
        spaces_lib.check_observation(gym_spaces.Box(0, 3, (1,), np.int64), [0.5])


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (gym_spaces.Box(-1, 1, (2,)), [0, 0]),
        (gym_spaces.Box(np.array([1, -3]), np.array([2, -2]), dtype=np.int64), [1, -2]),
        (gym_spaces.Discrete(4, start=3), 3),
        (gym_spaces.Discrete(4, start=-9), -6),
        (gymnasium.spaces.MultiDiscrete([2, 3, 3], start=[5, -1, -9]), [5, 0, -7]),
        (gym_spaces.MultiBinary(2), [0, 0]),
    ],
)
def test_the_element_nearest_to_zero(space: Any, expected: Any) -> None:
    nearest = spaces_lib.nearest_to_zero(space)
    assert nearest.tolist() == expected
    spaces_lib.check_observation(space, nearest)


def test_a_space_of_a_users_own_class_is_what_it_derives_from() -> None:
    class Interests(gym_spaces.Box):
        """Interests."""

    env = drawn_scenarios.make(Interests(0.0, 1.0, (2,)))
    assert gymnasium_env.RecSimGymnasiumEnv(env).reset()[0]["user"].shape == (2,)
    assert adapters.ObservationAdapter(env.observation_space).user_size == 2
