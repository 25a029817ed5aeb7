"""Deep agents of users in parallel find the optimum that dynamic programming knows.

Users are fresh (mood 0) or tired (mood 1) and get four documents, in slates of two. Fresh users
watch document 0 with pleasure and are tired then; documents 1 and 2 keep them fresh. What tired
users watch gives little, but document 3 makes them fresh. Who clicks nothing leaves.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from recsim import choice_model
from recsim.agents import full_slate_q_agent, slate_decomp_q_agent
from recsim.vector import env as vector_env
from recsim.vector import scenario

INTERESTS = np.array([[1.0, 0.5, 0.5, -0.5], [1.0, 0.5, -0.9, 0.0]], np.float32)
REWARDS = np.array([[4.0, 5.0, 4.0, 0.0], [1.0, 0.0, 0.0, 0.0]], np.float32)
NEXT_MOODS = np.array([[1, 0, 0, 0], [1, 1, 1, 0]])
STAYS = 0.8
GAMMA = 0.9
PAIRS = list(itertools.combinations(range(4), 2))


@dataclasses.dataclass
class Users:
    mood: np.ndarray  # (n_users,)
    leaves: np.ndarray  # (n_users,), bool


@dataclasses.dataclass
class Documents:
    number: np.ndarray  # (n_users, n_docs)


@dataclasses.dataclass
class Responses:
    clicked: np.ndarray  # (n_users, slate_size), bool
    watch_time: np.ndarray  # (n_users, slate_size)


class Sampler(scenario.VectorDocumentSampler):
    def sample(self, stream, num_documents):
        return Documents(np.tile(np.arange(num_documents), (stream.num_users, 1)))

    def observe(self, documents):
        return np.eye(4, dtype=np.float32)[documents.number]

    def observation_space(self, num_documents):
        return spaces.Box(-1.0, 1.0, (num_documents, 4), np.float32)


class UserModel(scenario.VectorUserModel):
    def sample_users(self, stream):
        return Users(stream.integers(2), np.zeros(stream.num_users, bool))

    def choose(self, users, documents, stream):
        weights = np.full((stream.num_users, self.slate_size + 1), 2.0)
        weights[:, :-1] = INTERESTS[users.mood[:, None], documents.number] + 1.0
        return choice_model.sample_choice(weights, stream.uniform())

    def respond(self, users, documents, choice, stream):
        clicked = scenario.clicked(choice, self.slate_size)
        return Responses(clicked, REWARDS[users.mood[:, None], documents.number] * clicked)

    def update(self, users, documents, choice, responses, stream):
        users.leaves = (stream.uniform() >= STAYS) | (choice == self.slate_size)
        shown = scenario.chosen_documents(documents, choice).number
        users.mood = np.where(choice < self.slate_size, NEXT_MOODS[users.mood, shown], 0)
        return users

    def is_done(self, users):
        return users.leaves

    def observe_users(self, users):
        return INTERESTS[users.mood]

    def user_space(self):
        return spaces.Box(-1.0, 1.0, (4,), np.float32)

    def observe_responses(self, responses):
        return {
            "click": responses.clicked.astype(np.int8),
            "watch_time": responses.watch_time.astype(np.float32),
        }

    def response_space(self):
        size = self.slate_size
        watch_time = spaces.Box(0.0, 5.0, (size,), np.float32)
        return spaces.Dict({"click": spaces.MultiBinary(size), "watch_time": watch_time})


def make_env(num_envs: int, **kwargs: Any) -> vector_env.RecSimVectorEnv:
    def rewards(responses: Responses) -> np.ndarray:
        return responses.watch_time.sum(axis=1)

    return vector_env.RecSimVectorEnv(UserModel(2), Sampler(), 4, 2, num_envs, rewards, **kwargs)


def solve(stays: float) -> tuple[list[set[int]], np.ndarray]:
    """Returns the best pair and its value in each mood, by value iteration."""
    values = np.zeros(2)
    weights = INTERESTS + 1.0
    for _ in range(300):
        q = REWARDS + GAMMA * stays * values[NEXT_MOODS]
        of_pairs = np.stack(
            [
                (weights[:, pair] * q[:, pair]).sum(axis=1) / (weights[:, pair].sum(axis=1) + 2.0)
                for pair in map(list, PAIRS)
            ]
        )
        values = of_pairs.max(axis=0)
    return [set(PAIRS[best]) for best in of_pairs.argmax(axis=0)], values


def train(agent: Any, env: Any, num_steps: int) -> None:
    observation, _ = env.reset(seed=0)
    slates = agent.begin(observation)
    while agent.training_steps < num_steps:
        slates = agent.step(*env.step(slates))


def settings(**kwargs: Any) -> dict[str, Any]:
    return {
        "gamma": GAMMA,
        "min_replay_history": 400,
        "update_period": 20,
        "batch_size": 128,
        "target_update_period": 400,
        "epsilon_train": 0.2,
        "epsilon_decay_period": 2000,
        "replay_capacity": 20000,
        "hidden_units": (32,),
        "optimizer_name": "adam",
        "learning_rate": 5e-3,
        **kwargs,
    }


@pytest.mark.parametrize("max_steps", [None, 2])
@pytest.mark.parametrize(
    ("strategy", "horizon"), [("slate_optimal_optimal_q", 1), ("slate_greedy_greedy_q", 3)]
)
def test_slate_q_finds_the_optimum_also_where_episodes_are_truncated(strategy, horizon, max_steps):
    env = make_env(20, max_steps_per_episode=max_steps)
    agent = slate_decomp_q_agent.create_vector_agent(
        strategy, env, **settings(update_horizon=horizon)
    )
    train(agent, env, 10000)
    best, values = solve(STAYS)
    assert best == [{1, 2}, {0, 3}]
    documents = np.broadcast_to(np.eye(4, dtype=np.float32), (2, 4, 4))
    assert [
        set(slate)
        for slate in agent.learner.values.best_slates(
            agent.learner.online_network, INTERESTS, documents
        ).tolist()
    ] == best
    s, s_no_click = agent.learner.values.score(INTERESTS, documents)
    q, _ = agent.learner.values.of_documents(agent.learner.online_network, INTERESTS, documents)
    for mood, pair in enumerate(map(list, best)):
        value = s[mood, pair] @ q[mood, pair] / (s[mood, pair].sum() + s_no_click[mood])
        # Over six seeds the values learned were 0.95 to 1.11 times the optimum with one step, and
        # 0.76 to 1.01 times with several, which are those of a policy that explores.
        least = 0.85 if horizon == 1 else 0.7
        assert least * values[mood] < value < 1.15 * values[mood]


@pytest.mark.slow
def test_full_slate_q_finds_the_optimum():
    env = make_env(20)
    agent = full_slate_q_agent.VectorFullSlateQAgent(
        env, **settings(epsilon_fn=lambda *_: 0.7, update_period=40)
    )
    train(agent, env, 60000)
    best, values = solve(STAYS)
    documents = np.broadcast_to(np.eye(4, dtype=np.float32), (2, 4, 4))
    assert [
        set(slate)
        for slate in agent.learner.values.best_slates(
            agent.learner.online_network, INTERESTS, documents
        ).tolist()
    ] == best
    learned = agent.learner.values.of_slates(agent.learner.online_network, INTERESTS, documents)
    np.testing.assert_allclose(learned.max(axis=1), values, rtol=0.2)
