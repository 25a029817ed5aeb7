"""Signals in the commands: a training that goes on waits for its episode's end, but not for long."""

import os
import signal
import time

import pytest

from recsim._internal import interrupts


def test_a_signal_ends_an_episode_without_end_after_the_grace_time(monkeypatch):
    monkeypatch.setattr(interrupts, "GRACE_SECONDS", 0.2)
    with pytest.raises(interrupts.Terminated) as caught:
        with interrupts.terminable(), interrupts.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            deadline = time.monotonic() + 20.0
            while time.monotonic() < deadline:
                assert interrupts.requested()
                time.sleep(0.01)
    assert caught.value.signal == signal.SIGTERM


def test_what_is_saved_at_the_end_of_the_episode_may_take_longer(monkeypatch):
    monkeypatch.setattr(interrupts, "GRACE_SECONDS", 0.1)
    saved = False
    with pytest.raises(interrupts.Terminated):
        with interrupts.terminable(), interrupts.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupts.requested()
            interrupts.end_grace()
            for _ in range(50):
                time.sleep(0.01)
            saved = True
            interrupts.raise_if_requested()
    assert saved
