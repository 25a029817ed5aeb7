"""The tidy data frames of what tasks gave."""

from __future__ import annotations

import numpy as np
import pytest

from recsim.experiments import _frames, _tasks


def finished(speed):
    spec = _tasks.Spec("s", "a", {"Agent.x": 0.5}, seed=3, agent_seed=3)
    return [(spec, {"measures": {"return": np.array([1.0, 2.0])}, "steps_per_second": speed})]


@pytest.mark.parametrize(
    ("speed", "rows"),
    [
        (np.array([7.0, 7.0]), [(0, "steps_per_second", 7.0)]),  # Of users in parallel.
        (np.array([7.0, 9.0]), [(0, "steps_per_second", 7.0), (1, "steps_per_second", 9.0)]),
        (np.array([]), []),
    ],
)
def test_users_in_parallel_have_one_row_of_speed(speed, rows):
    frame = _frames.values(finished(speed))
    assert set(frame["seed"]) == {3} and set(frame["settings"]) == {"x=0.5"}
    found = [*frame[["user", "measure", "value"]].itertuples(index=False, name=None)]
    assert found == [(0, "return", 1.0), (1, "return", 2.0), *rows]
