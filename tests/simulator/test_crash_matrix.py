"""Crashes, power failures and I/O errors at some points of each kind, as in the full matrix."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import TESTS

from recsim.benchmarks.endurance import file_faults, outcomes
from recsim.simulator import summary


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
@pytest.mark.parametrize("fault", ["short", "no space", "bad disk"])
def test_a_write_that_failed_and_is_tried_again_spoils_no_event(fault, tmp_path):
    writer = summary.SummaryWriter(tmp_path)
    writer.add_scalar("a", 1.0, 1)
    writer.flush()
    writer.add_scalar("b", 2.0, 2)
    faults = file_faults.Faults(str(tmp_path), "write", 0, fault)
    faults.install()
    try:
        with pytest.raises(OSError, match=r"No space|Input/output"):
            writer.flush()
    finally:
        faults.uninstall()
    writer.add_scalar("c", 3.0, 3)
    writer.flush()
    whole = summary.SummaryWriter(tmp_path / "whole")
    (tmp_path / "whole").mkdir()
    for number, tag in enumerate("abc", start=1):
        whole.add_scalar(tag, float(number), number)
    whole.flush()
    spoiled, expected = (next(folder.glob("events*")) for folder in (tmp_path, tmp_path / "whole"))
    contents = [records(path.read_bytes()) for path in (spoiled, expected)]
    assert len(contents[0]) == 4
    # All but the time of each event.
    assert [record[9:] for record in contents[0]] == [record[9:] for record in contents[1]]


def records(content):
    found = []
    while content:
        length = int.from_bytes(content[:8], "little") + 16
        outcomes.check_records(content[:length], "events")
        found.append(content[12 : length - 4])
        content = content[length:]
    return found


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
def test_a_fault_at_any_point_leads_to_the_same_numbers():
    # In a process of its own: it forks, which processes with threads had better not do.
    command = [sys.executable, "-m", "support.crash_matrix", "--short"]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert " points, 0 of them wrong." in done.stdout
