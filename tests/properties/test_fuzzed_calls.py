"""The public interface, called with absurd arguments: refused by clear errors, or right."""

from __future__ import annotations

import os

import numpy as np
import pytest
from support import public_calls

from recsim.benchmarks.endurance import fuzzing

NUM_CALLS = round(1500 * float(os.environ.get("RECSIM_CASES", "1")))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_absurd_arguments_are_refused_by_clear_errors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # Where "x" is taken for the path of a file.
    rows = list(public_calls.TABLE)
    seed = 0 if "RECSIM_CASES" not in os.environ else None
    rng = np.random.default_rng(seed)
    faults = []
    for _ in range(NUM_CALLS):
        row = rows[rng.integers(len(rows))]
        function, good = public_calls.TABLE[row]
        faults.append(fuzzing.fault_of_call(row, function, good, fuzzing.random_call(rng, good)))
    found = {(fault.name, fault.reason[:60]): fault for fault in faults if fault}
    assert not found, "\n".join(map(str, found.values()))
