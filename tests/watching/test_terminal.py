"""The text of an episode: what it says, how wide it is, which keys move through it."""

from __future__ import annotations

import io
import re
import sys

import numpy as np
import pytest
from support.episodes import made_up, watched

from recsim import registry


def test_a_step_is_told_in_full():
    assert made_up().text(0).splitlines() == [
        "Step 1 of 1 · An agent",
        "     slate  candidate  chance                  quality  click  watch_time",
        "         1          2   25.0%  ████              0.250      0           0",
        "  ✓      2          0   50.0%  ███████           1.500      1           4",
        "             no click   25.0%  ████",
        "Reward 4, return so far 4",
        "Hidden state of the user",
        "  budget  10 → 6",
        "  interests[2]  0.300 → 0.900",
        "  unchanged: kind calm",
        "Agent: Made up.",
        "  slate  value",
        "    2 0  1.250",
        "    0 1      1",
        "  doubt 0.125",
        "Candidates (3)",
        "  slate  candidate  quality  worth",
        "      2          0    1.500      7",
        "                 1        2      -",
        "      1          2    0.250      -",
    ]


def test_what_is_not_known_is_left_out():
    text = made_up(probabilities=None, clicked=None, explanation=None, state={}).text(0)
    for word in ("chance", "no click", "✓", "Hidden", "Agent:"):
        assert word not in text


def test_small_changes_are_shown_in_as_many_digits_as_it_takes():
    text = made_up(state={"mood": 0.50001}, next_state={"mood": 0.50002}).text(0)
    assert "mood  0.50001 → 0.50002" in text


def test_many_changes_are_shown_as_bars():
    before, after = np.linspace(0.0, 1.0, 30), np.linspace(1.0, 0.0, 30)
    text = made_up(state={"interests": before}, next_state={"interests": after}).text(0)
    assert "  interests  ▁▁▁▂▂" in text and "\n          →  █" in text and "10 more" in text


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("name", registry.ENVIRONMENTS)
@pytest.mark.parametrize("agent", ["random", "tabular_q", "softmax"])
def test_lines_fit_the_width(name, agent, width):
    if (name, agent) == ("topic_boredom", "softmax"):
        pytest.skip("there is nothing to score documents by")
    episode = watched(name, agent, steps=3, num_candidates=30)
    for index in range(3):
        lines = episode.text(index, width).splitlines()
        assert max(map(len, lines)) <= width
    assert "… and 18 more" in lines[-1]


def test_wide_tables_continue_below():
    lines = watched("interest_evolution", "random", steps=1).text(0, 80).splitlines()
    heads = [line for line in lines if line.split()[:2] == ["slate", "candidate"]]
    assert "click" in heads[0] and "watch_time" in heads[1] and "chance" not in heads[1]


def shown(episode, keys, monkeypatch, capsys):
    """Returns the numbers of the steps that are printed."""
    monkeypatch.setenv("COLUMNS", "80")
    episode.show(keys=io.StringIO(keys))
    return [int(number) for number in re.findall(r"Step (\d+) of", capsys.readouterr().out)]


@pytest.mark.parametrize(
    ("keys", "steps"),
    [
        ("\n\n\n\n\n", [1, 2, 3, 4, 5, 6]),
        ("q\n", [1]),
        ("\nQ\n", [1, 2]),
        ("", [1]),  # Ctrl-D.
        ("\n", [1, 2]),
        ("a\n", [1, 2, 3, 4, 5, 6]),
        ("\n\nb\nq\n", [1, 2, 3, 2]),
        ("b\nq\n", [1, 1]),
        ("5\n\n", [1, 5, 6]),
        ("0\n7\nx\n\nq\n", [1, 2]),
        ("quit\n", [1]),
    ],
)
def test_keys_move_through_the_steps(keys, steps, monkeypatch, capsys):
    assert shown(watched(), keys, monkeypatch, capsys) == steps


def test_unknown_keys_are_told(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    watched().show(keys=io.StringIO("\x1bz\nq\n"))
    assert "There is no key '\\x1bz', and no such step." in capsys.readouterr().out


def test_all_is_printed_where_nobody_presses_keys(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    episode = watched()
    episode.show()
    out = capsys.readouterr().out
    assert out.count("Step ") == 6 and "Enter next" not in out
    assert out.endswith(
        f"6 steps, return {episode.total_reward:g}; the limit on its steps ended it.\n"
    )


def test_streams_of_few_signs_get_plain_ones(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    made_up(state={"é": "ü"}, next_state={"é": "ö"}).show(keys=io.StringIO("q\n"))
    stream.flush()
    text = stream.buffer.getvalue().decode("ascii")
    assert "Step 1 of 1 - An agent" in text and "####" in text and "?  ? > ?" in text


def test_what_is_not_a_number_does_not_change():
    state = {"missing": float("nan"), "some": np.array([1.0, np.nan])}
    assert "unchanged: missing -, some [1 -]" in made_up(state=state, next_state=state).text(0)


def test_an_empty_slate_is_told():
    text = made_up(slate=(), responses={}, clicked=(), probabilities=np.ones(1)).text(0)
    assert "✓          no click  100.0%" in text
