"""What tests of agents share."""

from __future__ import annotations

import pytest
from support.topic_scenario import TopicScenario


@pytest.fixture(scope="session")
def topic_scenario() -> type[TopicScenario]:
    """The class of hand-made scenarios."""
    return TopicScenario
