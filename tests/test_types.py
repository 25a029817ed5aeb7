"""Which engine an environment or an agent is of, and what an agent knows of its choices."""

from __future__ import annotations

import pytest
from support.scenarios import make_env, make_vector_env

from recsim import types
from recsim.agents import random_agent
from recsim.simulator import gymnasium_env
from recsim.vector import wrappers


class Anything:
    """An object without a base class of the library."""

    environment = None

    def begin_episode(self, observation):
        """Is what agents of the single-user engine have."""


@pytest.mark.parametrize(
    ("make", "is_vector", "is_recommender"),
    [
        (make_env, False, True),
        (make_vector_env, True, False),
        (lambda: wrappers.SingleUserEnvs([make_env()]), True, False),
        (lambda: gymnasium_env.RecSimGymnasiumEnv(make_env()), False, False),
        (Anything, False, True),
        (object, False, False),
    ],
)
def test_environments_of_either_engine(make, is_vector, is_recommender):
    env = make()
    assert types.is_vector_env(env) == is_vector
    assert types.is_recommender_env(env) == is_recommender


@pytest.mark.parametrize(
    ("make", "is_vector", "is_slate"),
    [
        (lambda: random_agent.RandomAgent(make_env().action_space), False, True),
        (lambda: random_agent.VectorRandomAgent(make_vector_env()), True, False),
        (Anything, False, True),
        (object, False, False),
    ],
)
def test_agents_of_either_engine(make, is_vector, is_slate):
    agent = make()
    assert types.is_vector_agent(agent) == is_vector
    assert types.is_slate_agent(agent) == is_slate
