"""What tests of runners share."""

from __future__ import annotations

import pytest
from support.scenarios import CONFIG

from recsim.environments import interest_exploration


@pytest.fixture
def env():
    """A small environment, whose episodes do not end by themselves."""
    return interest_exploration.create_environment(CONFIG)
