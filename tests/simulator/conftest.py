"""What tests of runners share; other files of this folder can be imported."""

from __future__ import annotations

import os
import sys

import gin
import pytest

from recsim.environments import interest_exploration

# The tests' folders are not on the path of modules.
sys.path.insert(0, os.path.dirname(__file__))
from runner_helpers import CONFIG


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
