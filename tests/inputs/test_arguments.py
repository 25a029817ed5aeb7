"""Every parameter of every public function and class against values that are none of its own.

For each entry of the table, each argument is replaced in turn by each of the odd values. The call
has to succeed, with finite numbers where what went in was finite, or to end in an error that recsim
raises itself and whose message names the parameter: none from somewhere deep, no hang, no crash.
"""

from __future__ import annotations

import numpy as np
import pytest
from support import public_calls

from recsim.benchmarks.endurance import clear_errors

ODD = {
    "None": None,
    "a string": "x",
    "an empty list": [],
    "a dictionary": {},
    "an object": object(),
    "NaN": float("nan"),
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "-1": -1,
    "2.5": 2.5,
    "True": True,
    "a huge integer": 10**400,
    "a large integer": 10**25,
    "1e308": 1e308,
    "1e-308": 1e-308,
    "1e200": 1e200,
    "a matrix": np.ones((3, 7)),
    "an empty array": np.zeros(0),
    "an array with NaN": np.array([1.0, np.nan]),
    "strings": ["x", "y"],
    "ragged lists": [[1.0], [2.0, 3.0]],
    "a complex number": 1j,
}
FINITE = ("-1", "2.5", "True", "1e308", "1e-308", "1e200", "a matrix", "an empty array")


def numbers_in(result):
    """Yields the floating-point arrays in a result."""
    if isinstance(result, (list, tuple)):
        for entry in result:
            yield from numbers_in(entry)
    elif isinstance(result, dict):
        yield from numbers_in(list(result.values()))
    elif isinstance(result, (float, np.floating, np.ndarray)):
        array = np.asarray(result)
        if array.dtype.kind == "f":
            yield array


def faults_of(function, arguments):
    """Yields what is wrong with how a function takes odd values, in words."""
    for name in arguments:
        for label, value in ODD.items():
            try:
                result = function(**{**arguments, name: value})
            except Warning as warning:
                if name not in str(warning):
                    yield f"{name}={label}: {type(warning).__name__}: {warning}"
            except MemoryError as error:
                if name not in str(error):
                    yield f"{name}={label}: MemoryError: {error}"
            except Exception as error:
                if reason := clear_errors.unclear(error, naming=[name]):
                    yield f"{name}={label}: {reason}"
            else:
                if label in FINITE and not all(np.isfinite(x).all() for x in numbers_in(result)):
                    yield f"{name}={label}: not finite: {result!r}"


@pytest.mark.parametrize("row", public_calls.TABLE)
def test_every_parameter_is_taken_or_refused_by_name(row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function, arguments = public_calls.TABLE[row]
    function(**arguments)
    faults = list(faults_of(function, arguments))
    assert not faults, "\n".join(faults)
