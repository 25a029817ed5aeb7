"""Files of saved agents, and the agents of them."""

from __future__ import annotations

import pytest
from support.saved_agents import SCENARIOS, create_agent
from support.scenarios import make_env

from recsim import serving


@pytest.fixture
def saved(tmp_path):
    """A function that saves an agent of a name, and returns the path of its file."""

    def save(name, **config):
        env = make_env(SCENARIOS[name], **config)
        path = tmp_path / f"{name}.recsim"
        create_agent(name, env).save(path)
        return path

    return save


@pytest.fixture
def served(saved):
    """A function that returns a served agent of a name."""

    def load(name, max_users=100, **config):
        return serving.load_agent(saved(name, **config), max_users=max_users)

    return load
