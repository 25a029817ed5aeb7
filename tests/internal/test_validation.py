"""Checks of arguments that no other test reaches through an argument."""

import numpy as np
import pytest

from recsim._internal import validation


@pytest.mark.parametrize("value", [True, 1, np.bool_(True), np.int64(1), np.uint8(1)])
def test_switches_become_bools_of_python(value):
    assert validation.flag("average", value) is True


@pytest.mark.parametrize("value", ["True", 2, -1, 1.0, None, np.array([]), np.nan, [True]])
def test_what_is_no_switch_is_refused(value):
    with pytest.raises(TypeError, match="average must be True or False, got"):
        validation.flag("average", value)


def test_the_slate_that_has_a_candidate_twice_is_named():
    validation.distinct(np.array([[0, 1, 2], [2, 1, 0]]))
    with pytest.raises(ValueError, match=r"the slate of user 8 is \[2, 0, 2\]"):
        validation.distinct(np.array([[0, 1, 2], [2, 0, 2]]), range(7, 9))
