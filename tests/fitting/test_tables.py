"""Logs as arrays: what is taken of them, how they are split, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from recsim.fitting import RatingsLog, SlateLog


def slate_log(**changes: object) -> SlateLog:
    arrays: dict[str, object] = {
        "items": [[0, 1], [1, -1], [2, 0], [0, 2], [1, 2]],
        "clicks": [[1, 0], [0, 0], [0, 1], [1, 1], [0, 0]],
        "users": [0, 0, 0, 1, 1],
        "sessions": [0, 0, 1, 2, 2],
    }
    return SlateLog(**{**arrays, **changes})


def test_counts():
    log = slate_log()
    assert (log.num_slates, log.num_impressions, log.num_users, log.num_items) == (5, 9, 2, 3)
    assert (log.num_sessions, log.slate_size, log.num_positions) == (3, 2, 2)
    assert log.steps.tolist() == [0, 1, 0, 0, 1]
    np.testing.assert_allclose(log.popularity, [3 / 9, 3 / 9, 3 / 9])


def test_without_users_each_slate_is_a_session():
    log = SlateLog(items=[[0], [1]], clicks=[[0], [1]], positions=[[2], [0]])
    assert not log.has_users
    assert not log.has_sessions
    assert (log.num_users, log.num_sessions, log.num_positions) == (0, 2, 3)


def test_users_may_be_selected_twice():
    log = slate_log().select_users([1, 0, 1])
    assert log.users.tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert log.sessions.tolist() == [0, 0, 1, 1, 2, 3, 3]
    assert log.steps.tolist() == [0, 1, 0, 1, 0, 0, 1]
    assert log.items[:2].tolist() == [[0, 2], [1, 2]]
    assert log.user_table.ids.tolist() == ["1", "0", "1"]


def test_select_slates_counts_sessions_anew():
    log = slate_log().select_slates(np.array([False, True, False, True, False]))
    assert log.sessions.tolist() == [0, 1]
    assert log.users.tolist() == [0, 1]
    assert log.steps.tolist() == [1, 0]


@pytest.mark.parametrize("by", ["session", "user", "slate"])
def test_split_keeps_groups_whole(by):
    log = slate_log()
    fitted, held_out = log.split(0.4, seed=3, by=by)
    assert fitted.num_slates + held_out.num_slates == 5
    again = log.split(0.4, seed=3, by=by)[1]
    np.testing.assert_array_equal(held_out.items, again.items)
    if by == "user":
        assert not set(fitted.users) & set(held_out.users)


def test_ratings():
    log = RatingsLog(users=[0, 0, 2], items=[1, 0, 1], ratings=[1.0, 2.0, 5.0], times=[3, 2, 1])
    assert (log.num_ratings, log.num_users, log.num_items) == (3, 3, 2)
    chosen = log.select_users([2, 2, 1])
    assert chosen.users.tolist() == [0, 1]
    assert chosen.ratings.tolist() == [5.0, 5.0]
    assert chosen.times.tolist() == [1.0, 1.0]
    fitted, held_out = log.split(0.3, seed=0)
    assert sorted([*fitted.ratings, *held_out.ratings]) == [1.0, 2.0, 5.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"items": np.zeros((0, 2), int)}, "at least one slate"),
        ({"items": [[0, 1], [-1, 1], [2, 0], [0, 2], [1, 2]]}, "none after a -1"),
        ({"clicks": [[1, 0], [0, 1], [0, 1], [1, 1], [0, 0]]}, "False where no item is shown"),
        ({"clicks": [[1, 0]]}, r"clicks must have the shape \(5, 2\)"),
        ({"propensities": np.full((5, 2), 1.5)}, "above 0 and at most 1"),
        ({"propensities": np.zeros((5, 2))}, "above 0 and at most 1"),
        ({"positions": np.full((5, 2), -1)}, "positions must be >= 0"),
        ({"users": [0, 1, 0, 1, 1]}, "sorted by users"),
        ({"steps": [0, 0, 0, 0, 1]}, "sorted by users"),
    ],
)
def test_slate_log_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        slate_log(**changes)


def test_what_cannot_be_taken():
    log = slate_log()
    with pytest.raises(ValueError, match="indices must be of users"):
        log.select_users([2])
    with pytest.raises(ValueError, match="at least one slate"):
        log.select_slates(np.zeros(5, bool))
    with pytest.raises(ValueError, match="by must be"):
        log.split(by="page")
    with pytest.raises(ValueError, match="held_out"):
        log.split(0.0)
    with pytest.raises(ValueError, match="has none to select"):
        SlateLog(items=[[0]], clicks=[[0]]).select_users([0])
    with pytest.raises(ValueError, match="at least two"):
        SlateLog(items=[[0]], clicks=[[0]]).split()
