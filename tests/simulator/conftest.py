"""What tests of runners share."""

from __future__ import annotations

import gin
import pytest
from support.scenarios import CONFIG

from recsim.environments import interest_exploration


@pytest.fixture(autouse=True)
def no_configuration():
    """Forgets gin's bindings."""
    yield
    with gin.unlock_config():
        gin.clear_config()


@pytest.fixture
def env():
    """A small world, whose sessions do not end by themselves."""
    return interest_exploration.create_environment(CONFIG)
