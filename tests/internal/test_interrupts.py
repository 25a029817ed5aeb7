"""Signals in the commands: a training waits for its episode's end, but not for long."""

import os
import signal
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
