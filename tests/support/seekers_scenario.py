"""Users in parallel who want one document each: a slate's value is a sum over its documents."""

from __future__ import annotations

import itertools

import numpy as np

from recsim.vector import env as vector_env
from recsim.vector import scenario
from support import mood_scenario

# What users look for, and click if it is there: then a slate's value is a sum over its documents.
WANTED = np.array([[0.4, 0.3, 0.2, 0.1], [0.3, 0.1, 0.1, 0.5]])
REWARDS = np.array([[0.5, 0.8, 1.0, 0.0], [0.4, 0.1, 0.0, 0.0]])
# Clicking nothing changes nothing.
NEXT_MOODS = np.array([[1, 0, 0, 0, 0], [1, 1, 1, 0, 1]])


class Seekers(mood_scenario.UserModel):
    """Users want one document, and click nothing else."""

    def choose(self, users, documents, stream):
        bounds = WANTED.cumsum(axis=1)[users.mood]
        wanted = (stream.uniform()[:, np.newaxis] >= bounds[:, :-1]).sum(axis=1)
        found = documents.number == wanted[:, np.newaxis]
        return np.where(found.any(axis=1), found.argmax(axis=1), self.slate_size)

    def respond(self, users, documents, choice, stream):
        clicked = scenario.clicked(choice, self.slate_size)
        gained = REWARDS[users.mood[:, np.newaxis], documents.number]
        return mood_scenario.Responses(clicked, gained * clicked)

    def update(self, users, documents, choice, responses, stream):
        users.leaves = stream.uniform() >= mood_scenario.STAYS
        shown = scenario.chosen_documents(documents, choice).number
        chosen = np.where(choice < self.slate_size, shown, 4)
        users.mood = NEXT_MOODS[users.mood, chosen]
        return users


def seekers(num_envs, slate_size=2):
    def rewards(responses):
        return responses.watch_time.sum(axis=1)

    return vector_env.RecSimVectorEnv(
        Seekers(slate_size), mood_scenario.Sampler(), 4, slate_size, num_envs, rewards
    )


def solve_seekers(slate_size=2, pairs=()):
    """Returns the best set in each mood and its value, by value iteration over all, or pairs."""
    sets = list(pairs or itertools.combinations(range(4), slate_size))
    values = np.zeros(2)
    for _ in range(300):
        future = mood_scenario.GAMMA * mood_scenario.STAYS * values[NEXT_MOODS]
        gained = WANTED * (REWARDS + future[:, :4] - future[:, 4:])
        of_sets = np.stack([gained[:, list(each)].sum(axis=1) for each in sets])
        values = of_sets.max(axis=0) + future[:, 4]
    return [set(sets[best]) for best in of_sets.argmax(axis=0)], values
