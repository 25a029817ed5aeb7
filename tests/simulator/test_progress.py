"""Progress in a log file and in a terminal."""

from __future__ import annotations

import io
import sys
import types

import pytest

from recsim.simulator import progress


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_file_gets_a_line_every_30_seconds_and_one_at_the_end(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress.progress_bar("Training", 2000, "steps") as advance:
        for _ in range(11):
            clock.now += 7.0
            advance(200, 200 if clock.now > 70 else 0)
    assert sys.stderr.getvalue().splitlines() == [
        "Training: 1,000 of 2,000 steps (50%) in 35 s, 29 steps/s",
        "Training: 2,000 of 2,000 steps (100%) in 70 s, 29 steps/s",
        "Training: 2,200 of 2,200 steps (100%) in 77 s, 29 steps/s",
    ]


def test_no_line_is_written_twice(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress.progress_bar("Training", 5, "steps") as advance:
        clock.now = 40.0
        advance(5, 0)
    assert len(sys.stderr.getvalue().splitlines()) == 1


def test_more_work_than_thought_stays_within_the_total(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress.progress_bar("Training", 10, "steps") as advance:
        clock.now = 2.0
        advance(7, 0)
        advance(5, 2)
    assert "12 of 12 steps (100%) in 2 s, 6 steps/s" in sys.stderr.getvalue()


def test_an_interrupted_work_says_how_far_it_came(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    def work():
        with progress.progress_bar("Training", 10, "steps") as advance:
            clock.now = 1.0
            advance(4, 0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert sys.stderr.getvalue() == "Training: 4 of 10 steps (40%) in 1 s, 4 steps/s\n"


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.progress_bar("Training", 2000, "steps") as advance:
        advance(1500, 0)
        advance(1000, 500)
    shown = sys.stderr.getvalue()
    assert "Training: 100%|" in shown
    assert "2.50k/2.50k" in shown
    assert "steps/s" in shown
    assert "\r" in shown
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal(), None])
def test_progress_can_be_off(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.progress_bar("Training", 1, "steps", enabled=False) as advance:
        advance(1, 0)
    assert stream is None or stream.getvalue() == ""


def test_a_process_without_standard_error_runs(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with progress.progress_bar("Training", 1, "steps") as advance:
        advance(1, 0)


def test_a_notebook_has_a_bar_without_a_warning(monkeypatch):
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    ipython = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress.progress_bar("Training", 10, "steps") as advance:
        advance(10, 0)
    assert "Training: 100%" in sys.stderr.getvalue() and "Warning" not in sys.stderr.getvalue()
