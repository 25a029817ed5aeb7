"""A small scenario of users in parallel, whose best slates dynamic programming knows.

Users are fresh (mood 0) or tired (mood 1) and get four documents, in slates of two. Fresh users
watch document 0 with pleasure and are tired then; documents 1 and 2 keep them fresh. What tired
users watch gives little, but document 3 makes them fresh. Who clicks nothing leaves.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
from gymnasium import spaces

from recsim import choice_model
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
