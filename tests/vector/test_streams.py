"""What a user draws follows from the seed and the user's number."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from recsim.vector import streams

SIZE = streams.CHUNK_SIZE


def drawn(seed: int, first_user: int, num_users: int, dtype: type = np.float32) -> list[np.ndarray]:
    """Returns what users draw in some calls, each with the users of all chunks on axis 0."""
    stream = streams.chunk_streams(seed, "test", first_user, num_users, dtype)
    return [
        np.concatenate([call(of_chunk) for of_chunk in stream])
        for call in (
            lambda d: d.uniform(),
            lambda d: d.normal(3),
            lambda d: d.uniform(2, 5),
            # An odd number of them: the generator makes two float32 in a step.
            *[lambda d: d.uniform(5)] * 2,
            lambda d: d.integers(7, 4),
            # As many calls as need numbers to be drawn ahead more than once.
            *[lambda d: d.normal()] * 11,
            *[lambda d: d.slates(9, 3)] * 3,
            lambda d: d.slates(10, 3),
            lambda d: d.normal(2, 2),
        )
    ]


@pytest.mark.parametrize(
    ("first_user", "num_users"),
    [
        (0, 1),
        (0, 17),
        (5, 1),
        (SIZE - 1, 1),
        (SIZE - 1, 2),
        (SIZE, 3),
        (2 * SIZE - 969, 1),
        (100, SIZE + 904),
    ],
)
def test_users_draw_the_same_in_any_company(first_user: int, num_users: int) -> None:
    everyone = drawn(3, 0, 2 * SIZE)
    some = drawn(3, first_user, num_users)
    for of_all, of_some in zip(everyone, some, strict=True):
        np.testing.assert_array_equal(of_all[first_user : first_user + num_users], of_some)


def test_draws_differ_by_seed_name_and_chunk() -> None:
    first = streams.chunk_streams(0, "a", 0, 2 * SIZE)
    others = [
        first[1],
        streams.chunk_streams(1, "a", 0, SIZE)[0],
        streams.chunk_streams(0, "b", 0, SIZE)[0],
    ]
    numbers = first[0].uniform(4)
    for other in others:
        assert abs(np.corrcoef(numbers.ravel(), other.uniform(4).ravel())[0, 1]) < 0.03


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["chunk", "user"])
def test_laws(kind: str, dtype: type) -> None:
    stream: streams.RandomStream
    if kind == "chunk":
        stream = streams.chunk_streams(0, "distribution", 0, SIZE, dtype)[0]
    else:
        stream = streams.UserStream(
            streams.hash_key(0, "distribution"), np.arange(SIZE), np.arange(SIZE) % 3, dtype
        )
    # The probability of a failure was 0.001 for each before the seed was fixed.
    uniform = stream.uniform(10)
    assert uniform.dtype == dtype and uniform.min() >= 0 and uniform.max() < 1
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > 0.001
    for size in (1, 4, 5):
        normal = stream.normal(size)
        assert normal.dtype == dtype and normal.shape == (SIZE, size)
        assert stats.kstest(normal.ravel(), "norm").pvalue > 0.001
        # Neither with the numbers of the same user nor with those of the next one.
        correlations = np.corrcoef(np.hstack([normal[:-1], normal[1:]]).T)
        assert abs(correlations - np.eye(2 * size)).max() < 5 / np.sqrt(SIZE)
    counts = np.bincount(stream.integers(20, 10).ravel(), minlength=20)
    assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("num_categories", [2, 5, 40])
def test_categories(num_categories: int) -> None:
    weights = np.arange(1, num_categories + 1.0)
    probabilities = weights / weights.sum()
    stream = streams.chunk_streams(0, "categories", 0, SIZE)[0]
    categories = stream.categories(probabilities.cumsum(), 10)
    assert categories.dtype == np.int32
    counts = np.bincount(categories.ravel(), minlength=num_categories)
    assert stats.chisquare(counts, probabilities * counts.sum()).pvalue > 0.001


def test_episodes_of_a_user_are_drawn_in_any_order_and_company() -> None:
    key = streams.hash_key(5, "users")
    together = streams.UserStream(key, np.array([3, 9, 3, 7]), np.array([0, 2, 1, 4]))
    expected = [together.uniform(3), together.normal(2)]
    for row, (user, episode) in enumerate([(3, 0), (9, 2), (3, 1), (7, 4)]):
        alone = streams.UserStream(key, np.array([user]), np.array([episode]))
        np.testing.assert_array_equal(alone.uniform(3)[0], expected[0][row])
        np.testing.assert_array_equal(alone.normal(2)[0], expected[1][row])


@pytest.mark.parametrize("num_users", [5, 3, 8])
def test_state_continues(num_users: int) -> None:
    """Also with other users, as evaluations do, who are not the first of their chunk."""

    def calls(stream: streams.ChunkStream) -> list[np.ndarray]:
        return [
            stream.slates(6, 2),
            stream.normal(),
            stream.normal(4),
            stream.normal(),
            stream.uniform(),
        ]

    stream, others = (streams.chunk_streams(0, "state", 7, number)[0] for number in (5, num_users))
    for _ in range(2):
        calls(stream)
    others.uniform(3)
    state = stream.state_dict()
    assert {entry["kind"] for entry in state["ahead"]} == {"slates", "normal", "uniform"}
    expected = [calls(stream) for _ in range(9)]
    stream.load_state_dict(state)
    others.load_state_dict(state)
    num_same = min(5, num_users)
    for of_round in expected:
        for numbers, again, of_others in zip(of_round, calls(stream), calls(others), strict=True):
            np.testing.assert_array_equal(again, numbers)
            np.testing.assert_array_equal(of_others[:num_same], numbers[:num_same])


@pytest.mark.parametrize("slate_size", [1, 2, 3, 4])
def test_slates_are_the_permutations_in_order(slate_size: int) -> None:
    """Evenly spaced numbers give every slate of four candidates once, sorted."""
    expected = list(itertools.permutations(range(4), slate_size))
    digits = np.unravel_index(np.arange(len(expected)), (4, 3, 2, 1)[:slate_size])
    uniform = [(digit + 0.5) / length for digit, length in zip(digits, (4, 3, 2, 1))]
    slates = streams.slates(np.stack(uniform, axis=-1), 4)
    assert slates.dtype == np.int32 and [tuple(slate) for slate in slates.tolist()] == expected
    in_parts = streams.slates(np.stack(uniform, axis=-1).reshape(2, -1, slate_size), 4)
    np.testing.assert_array_equal(in_parts.reshape(-1, slate_size), slates)


def test_numbers_drawn_ahead_are_of_the_right_law() -> None:
    """Over users and over calls: neither those of a call nor those of a user go together."""
    stream = streams.chunk_streams(0, "ahead", 0, 500)[0]
    normal = np.stack([stream.normal() for _ in range(40)], axis=1)
    assert stats.kstest(normal.ravel(), "norm").pvalue > 0.001
    correlations = np.corrcoef(normal.T) - np.eye(40)
    assert abs(correlations).max() < 5 / np.sqrt(500)
    slates = np.stack([stream.slates(4, 2) for _ in range(40)])
    counts = np.bincount(slates[..., 0].ravel() * 4 + slates[..., 1].ravel(), minlength=16)
    assert (counts.reshape(4, 4).diagonal() == 0).all()
    assert stats.chisquare(counts[counts > 0]).pvalue > 0.001 and (counts > 0).sum() == 12


def test_chunks_of_users() -> None:
    assert streams.chunks(0, 1) == [(0, range(1))]
    assert streams.chunks(SIZE - 1, 2) == [
        (0, range(SIZE - 1, SIZE)),
        (1, range(SIZE, SIZE + 1)),
    ]
    assert streams.chunks(SIZE, SIZE) == [(1, range(SIZE, 2 * SIZE))]


def test_a_single_category() -> None:
    stream = streams.chunk_streams(0, "categories", 0, 3)[0]
    np.testing.assert_array_equal(stream.categories(np.ones(1), 2), np.zeros((3, 2)))
