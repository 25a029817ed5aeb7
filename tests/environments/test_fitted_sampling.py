"""Different items sampled by popularity: exact probabilities, odd popularities, one user alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from recsim.environments.fitted import _sampling


def chances(popularity: np.ndarray, number: int) -> dict[tuple[int, ...], float]:
    """Returns the probability of each order of different items, drawn sequentially."""
    found = {}
    for order in itertools.permutations(np.flatnonzero(popularity), number):
        left, chance = popularity.sum(), 1.0
        for item in order:
            chance *= popularity[item] / left
            left -= popularity[item]
        found[tuple(int(item) for item in order)] = chance
    return found


@pytest.mark.parametrize(
    "popularity", [[0.4, 0.3, 0.2, 0.1], [0.9, 0.05, 0.0, 0.03, 0.02], [0.2] * 5]
)
def test_each_order_is_as_likely_as_by_drawing_one_after_the_other(popularity: list[float]) -> None:
    """By uniform numbers on a grid: shares are exact to within the cells at the borders."""
    cells = 60
    grid = (np.arange(cells) + 0.5) / cells
    uniform = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)
    items = _sampling.PopularitySampler(np.array(popularity)).sample(uniform)
    found, counts = np.unique(items, axis=0, return_counts=True)
    expected = chances(np.array(popularity), 3)
    shares = {tuple(map(int, row)): count / cells**3 for row, count in zip(found, counts)}
    assert set(shares) <= set(expected)
    for order, chance in expected.items():
        assert shares.get(order, 0.0) == pytest.approx(chance, abs=2.0 / cells)


def test_inclusion_of_random_numbers_is_that_of_drawing_one_after_the_other() -> None:
    popularity = np.arange(1.0, 9.0) ** -1.5
    popularity /= popularity.sum()
    uniform = np.random.default_rng(0).random((200_000, 4), dtype=np.float32)
    items = _sampling.PopularitySampler(popularity).sample(uniform)
    expected = np.zeros((4, 8))
    for order, chance in chances(popularity, 4).items():
        expected[np.arange(4), order] += chance
    for position in range(4):
        shares = np.bincount(items[:, position], minlength=8) / len(items)
        errors = np.sqrt(expected[position] * (1.0 - expected[position]) / len(items))
        assert (np.abs(shares - expected[position]) < 4.5 * errors).all()


@pytest.mark.parametrize(
    "popularity",
    [
        np.ones(1000),
        np.arange(1.0, 3001.0) ** -2.5,
        np.r_[1.0, np.full(50, 1e-15)],
        np.tile([0.0, 0.0, 1.0], 40),
    ],
)
def test_items_are_different_and_have_some_popularity(popularity: np.ndarray) -> None:
    """The greatest and the least numbers, too, which lead to the ends of what is left."""
    dtype: type[np.floating]
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(0)
        uniform = rng.random((500, 30)).astype(np.float32).astype(dtype)
        uniform[0], uniform[1] = 0.0, np.nextafter(dtype(1), dtype(0))
        uniform[2:40] = rng.choice(uniform[:2, 0], (38, 30))
        uniform = np.minimum(uniform, np.nextafter(dtype(1), dtype(0)))
        sampler = _sampling.PopularitySampler(popularity / popularity.sum())
        items = sampler.sample(uniform)
        assert (np.diff(np.sort(items, axis=1), axis=1) > 0).all()
        assert (popularity[items] > 0.0).all()
        for row in (0, 1, 2, 499):
            np.testing.assert_array_equal(sampler.sample(uniform[row : row + 1])[0], items[row])
