"""Checks of numbers that are not reached through an interface with tests of its own."""

from __future__ import annotations

import numpy as np
import pytest

from recsim._internal import numbers


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_seen(dtype, bad):
    good = np.array([0.0, 1.5, -np.finfo(dtype).max, np.finfo(dtype).max], dtype)
    assert numbers.all_finite(good)
    assert numbers.all_finite(good[:0])
    assert not numbers.all_finite(np.append(good, np.array(bad, dtype)))


def test_integers_and_bools_are_finite():
    assert numbers.all_finite(np.array([2**62, -3]))
    assert numbers.all_finite(np.array([True, False]))


def test_numbers_too_large_for_single_precision_are_refused_where_they_must_fit_it():
    large = np.array([0.0, 1e39])
    assert numbers.finite_per_user("rewards", large, 2) is large
    with pytest.raises(ValueError, match="finite numbers in single precision, got 1e\\+39"):
        numbers.finite_per_user("rewards", large, 2, single_precision=True)
