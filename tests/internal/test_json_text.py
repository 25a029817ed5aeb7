"""JSON without NaN and infinities."""

import json
import math

import numpy as np
import pytest

from recsim._internal import json_text


def strict(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("hole", [math.nan, math.inf, -math.inf, np.float32("nan"), np.inf])
def test_what_is_not_finite_is_null_at_any_depth(hole):
    data = {"a": hole, "b": [1, (hole, {"c": hole})], "d": np.array([[1.0, hole]])}
    expected = {"a": None, "b": [1, [None, {"c": None}]], "d": [[1.0, None]]}
    assert strict(json_text.dumps(data)) == expected
    assert strict(json_text.dumps(hole)) is None


def test_other_data_is_as_python_writes_it():
    data = {"x": [1, 2.5, True, None, "é"], "y": {"z": -0.0}}
    assert json_text.dumps(data) == json.dumps(data)
    assert json_text.dumps(data, indent=2) == json.dumps(data, indent=2)


@pytest.mark.parametrize("bad", [object(), {1, 2}, [math.nan, object()]])
def test_other_objects_are_refused(bad):
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        json_text.dumps(bad)
