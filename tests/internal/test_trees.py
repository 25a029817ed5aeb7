"""Trees of arrays: nested in dictionaries, tuples and dataclasses."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from recsim._internal import trees


@dataclasses.dataclass
class Users:
    """Users with a dictionary among their fields."""

    age: np.ndarray
    tastes: dict[str, np.ndarray]


@dataclasses.dataclass
class Nothing:
    """Users of whom nothing is stored."""


def tree() -> Any:
    return {
        "users": Users(np.arange(3.0), {"wide": np.arange(6).reshape(3, 2)}),
        "pair": (np.array([True, False, True]), np.arange(3)),
    }


def listed(nested: Any) -> list[Any]:
    return [np.asarray(leaf).tolist() for leaf in trees.leaves(nested)]


def test_leaves_come_in_the_order_of_the_tree():
    assert listed(tree()) == [
        [0.0, 1.0, 2.0],
        [[0, 1], [2, 3], [4, 5]],
        [True, False, True],
        [0, 1, 2],
    ]
    assert listed(np.arange(2)) == [[0, 1]]
    assert listed(({}, (), Nothing())) == []


def test_the_first_leaf_is_the_first_of_all():
    for nested in (tree(), tree()["users"], tree()["pair"], np.arange(2)):
        assert trees.first_leaf(nested) is not None
        assert np.array_equal(trees.first_leaf(nested), trees.leaves(nested)[0])
    assert trees.first_leaf({"a": [1, 2]}) == [1, 2]


def test_a_function_of_each_leaf_keeps_the_form():
    doubled = trees.map_leaves(lambda array: array * 2, tree())
    assert isinstance(doubled["users"], Users)
    assert isinstance(doubled["pair"], tuple)
    assert listed(doubled["users"]) == [[0.0, 2.0, 4.0], [[0, 2], [4, 6], [8, 10]]]


def test_trees_share_memory_where_an_array_is_another_or_a_view_of_it():
    users = tree()["users"]
    tastes = users.tastes["wide"]
    assert trees.share_memory(users.age, users)
    assert trees.share_memory({"seen": tastes[:, 1]}, users)
    assert trees.share_memory(users, (np.zeros(2), np.broadcast_to(tastes, (2, 3, 2))))
    assert not trees.share_memory(users, tree())
    assert not trees.share_memory({"seen": tastes + 1}, users)
    assert not trees.share_memory([1, 2], users)


@pytest.mark.parametrize("rows", [slice(1, 3), np.array([1, 2]), np.array([False, True, True])])
def test_rows(rows):
    assert listed(trees.rows_of(tree(), rows)) == [
        [1.0, 2.0],
        [[2, 3], [4, 5]],
        [False, True],
        [1, 2],
    ]


def test_items():
    first, second = trees.split(tree()["users"], 2)
    assert listed(first) == [0.0, [0, 1]]
    assert listed(second) == [1.0, [2, 3]]


def test_setting_rows_in_place_and_in_copies():
    rows = np.array([2, 0])
    # The order of keys does not matter.
    new = {
        "pair": (np.array([False, False]), np.array([8, 9])),
        "users": Users(np.array([-1.0, -2.0]), {"wide": np.array([[6, 6], [7, 7]])}),
    }
    expected = [[-2.0, 1.0, -1.0], [[7, 7], [2, 3], [6, 6]], [False, False, False], [9, 1, 8]]
    old = tree()
    assert listed(trees.with_rows(old, rows, new)) == expected
    assert listed(old) == listed(tree())
    trees.set_rows(old, rows, new)
    assert listed(old) == expected


def test_copies_keep_the_order_in_memory():
    columns = np.zeros((4, 3), order="F")
    assert trees.with_rows(columns, slice(0, 1), 1.0).flags.f_contiguous


def test_trees_without_arrays():
    for empty in ({}, (), Nothing()):
        assert trees.rows_of(empty, slice(0, 1)) == empty
        trees.set_rows(empty, slice(0, 1), empty)
