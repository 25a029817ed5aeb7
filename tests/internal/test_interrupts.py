"""Signals in the commands: a training waits for its episode's end, but not for long."""

import os
import signal
import subprocess
import sys
import time

import pytest

from recsim._internal import interrupts


def interrupted(action):
    with interrupts.terminable(), interrupts.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        action()


def waiting(seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert interrupts.requested()
        time.sleep(0.01)


def test_a_signal_ends_an_episode_without_end_after_the_grace_time(monkeypatch):
    monkeypatch.setattr(interrupts, "GRACE_SECONDS", 0.2)
    begin = time.monotonic()
    with pytest.raises(interrupts.Terminated) as caught:
        interrupted(lambda: waiting(20.0))
    assert time.monotonic() - begin < 15.0
    assert caught.value.signal == signal.SIGTERM


def test_what_is_saved_at_the_end_of_the_episode_may_take_longer(monkeypatch):
    monkeypatch.setattr(interrupts, "GRACE_SECONDS", 0.1)
    saved = []

    def save():
        interrupts.end_grace()
        waiting(0.5)
        saved.append(True)
        interrupts.raise_if_requested()

    with pytest.raises(interrupts.Terminated):
        interrupted(save)
    assert saved


WITHIN_A_STRING = """
import os, signal
from recsim._internal import command_line

with command_line.orderly_exit("program"):
    exec("os.kill(os.getpid(), signal.SIGINT)\\nfor _ in range(10**6): pass")
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_the_exit_code_is_right_where_a_string_is_executed(tmp_path):
    """As when Ctrl-C comes while a module with dataclasses is imported."""
    (tmp_path / "program.py").write_text(WITHIN_A_STRING)
    process = subprocess.run(
        [sys.executable, "-m", "program"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (process.returncode, process.stderr) == (130, "\nprogram: interrupted\n")
