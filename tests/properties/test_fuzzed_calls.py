"""The public interface, called with absurd arguments: refused by clear errors, or right."""

from __future__ import annotations

import os

import numpy as np
import pytest
from support import fuzzing

NUM_CALLS = round(1500 * float(os.environ.get("RECSIM_CASES", "1")))


def test_good_arguments_are_taken(tmp_path):
    targets = fuzzing.targets(str(tmp_path))
    for target in targets:
        function, good = target.prepare()
        function(**good)
    assert len(targets) > 100


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_absurd_arguments_are_refused_by_clear_errors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # Where "x" is taken for the path of a file.
    targets = fuzzing.targets(str(tmp_path))
    seed = 0 if "RECSIM_CASES" not in os.environ else None
    rng = np.random.default_rng(seed)
    faults = []
    for _ in range(NUM_CALLS):
        target = targets[rng.integers(len(targets))]
        _, good = target.prepare()
        faults.append(fuzzing.fault_of_call(target, fuzzing.random_call(rng, good)))
    found = {(fault.target, fault.reason[:60]): fault for fault in faults if fault}
    assert not found, "\n".join(map(str, found.values()))
