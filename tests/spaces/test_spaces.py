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


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("number", [3, 30])  # Few numbers are looked at in another way than many.
@pytest.mark.parametrize(
    ("space", "good", "dtype", "bad"),
    [
        (
            spaces.Discrete(5, start=-2),
            [-2, np.int64(0), True, 2.0, 2],
            np.int32,
            [-3, 3, 0.5, "1"],
        ),
        (
            spaces.Box(0.1, 0.7, (), np.float32),
            [0.1, 0.7, np.array(0.5)],
            np.float32,
            [0.05, np.nan],
        ),
        (
            spaces.Box(-np.inf, 9, (), np.float64),
            [-1e300, 9, 2.5],
            np.float64,
            [9.1, 10**400, None],
        ),
        (spaces.Box(0, 255, (), np.uint8), [0, 255], np.uint8, [-1, 256, 1.5, [1]]),
    ],
)
def test_numbers_are_stacked_where_they_are_in_their_space(space, good, dtype, bad, number, axes):
    stack = checks.stacker(spaces.Dict({"a": space}), axes, "items")

    def stacked(values):
        items = [{"a": values[i % len(values)]} for i in range(number)]
        return stack(items if axes == 1 else [items])["a"]

    array = stacked(good)
    assert array.dtype == dtype
    expected = [float(good[i % len(good)]) for i in range(number)]
    np.testing.assert_array_equal(np.ravel(array), np.array(expected, dtype))
    for value in bad:
        with pytest.raises(ValueError, match=r"items\['a'\] must "):
            stacked([good[0], value])


def test_what_was_stacked_is_a_copy():
    space = spaces.Box(0.0, 1.0, (2,), np.float64)
    given = np.array([0.25, 0.5])
    array = checks.stacker(space, 0, "the user")(given)
    given[:] = 0.0
    assert array.tolist() == [0.25, 0.5]
