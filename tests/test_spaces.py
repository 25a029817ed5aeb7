"""Observations against their spaces: structure, shapes and bounds, of gym's spaces."""

import numpy as np
import pytest

from recsim import spaces as checks
from recsim._internal.gym_import import spaces

BOX = spaces.Box(low=0.0, high=1.0, shape=(2,), dtype=np.float32)
SPACE = spaces.Dict(
    {
        "user": BOX,
        "response": spaces.Tuple((spaces.Discrete(2), spaces.MultiDiscrete([3, 4]))),
    }
)
GOOD = {"response": (np.int64(1), [2, 3]), "user": np.array([0.0, 1.0])}


def changed(**changes):
    return {**GOOD, **changes}


def test_dtypes_and_the_order_of_keys_are_free():
    checks.check_observation(SPACE, GOOD)
    checks.check_observation(SPACE, changed(user=[0, 1], response=[True, np.array([0, 0])]))


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ({"user": GOOD["user"]}, r"observation must be a dictionary with the keys \['response'"),
        ([1, 2], "observation must be a dictionary"),
        (
            changed(user=np.zeros(3)),
            r"observation\['user'\] must have the shape \(2,\), got \(3,\)",
        ),
        (changed(user=np.array([0.0, 1.5])), r"observation\['user'\] must lie within Box"),
        (changed(user=np.array([0.0, np.nan])), r"observation\['user'\] must lie within Box"),
        (changed(user=np.array(["a", "b"])), r"observation\['user'\] must hold numbers"),
        (changed(response=(1,)), r"observation\['response'\] must be a sequence of 2 entries"),
        (changed(response=(2, [0, 0])), r"observation\['response'\]\[0\] must be in 0 to 1, got 2"),
        (changed(response=(1.0, [0, 0])), r"observation\['response'\]\[0\] must be integer"),
        (changed(response=(1, [0, 4])), r"observation\['response'\]\[1\] must be in 0 to \[2 3\]"),
    ],
)
def test_what_does_not_fit_is_named(observation, message):
    with pytest.raises(ValueError, match=message):
        checks.check_observation(SPACE, observation)


def test_discrete_spaces_may_start_elsewhere():
    space = spaces.Discrete(2, start=5)
    checks.check_observation(space, 6)
    with pytest.raises(ValueError, match="x must be in 5 to 6, got 4"):
        checks.check_observation(space, 4, "x")
