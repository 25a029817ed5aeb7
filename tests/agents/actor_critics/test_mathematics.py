"""Mathematics of actor-critics: exact search, units of features, vectors and their gradients."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.agents.actor_critics import ball, critics, search, squashed, units


def by_sorting(scores, number):
    return np.argsort(-scores, axis=1, kind="stable")[:, :number]


@pytest.mark.parametrize("num_items", [1, 7, 100, 20_000])
def test_the_largest_products_are_those_of_a_sort(num_items):
    rng = np.random.RandomState(num_items)
    vectors, items = rng.standard_normal((9, 4)), rng.standard_normal((num_items, 4))
    number = min(5, num_items)
    expected = by_sorting(vectors @ items.T, number)
    np.testing.assert_array_equal(search.largest_products(vectors, items, number), expected)
    own = np.repeat(items[np.newaxis], 9, axis=0)
    np.testing.assert_array_equal(search.largest_products(vectors, own, number), expected)


@pytest.mark.parametrize("num_items", [1, 50, 20_000])
def test_the_nearest_are_those_of_all_distances(num_items):
    rng = np.random.RandomState(num_items)
    vectors, items = rng.standard_normal((6, 3)), rng.standard_normal((num_items, 3))
    number = min(4, num_items)
    distances = ((vectors[:, np.newaxis] - items) ** 2).sum(axis=2)
    found = search.nearest(vectors, items, number)
    np.testing.assert_array_equal(found, by_sorting(-distances, number))
    own = np.repeat(items[np.newaxis], 6, axis=0)
    np.testing.assert_array_equal(search.nearest(vectors, own, number), found)


def test_of_equal_products_the_first_item_comes_first():
    items = np.tile([[1.0], [2.0], [2.0], [0.0]], (5000, 1))
    found = search.largest_products(np.array([[1.0]]), items, 4)
    assert found.tolist() == [[1, 2, 5, 6]]


def test_a_catalogue_of_100_000_items_is_searched_in_bounded_memory():
    rng = np.random.RandomState(0)
    vectors = rng.standard_normal((300, 8)).astype(np.float32)
    items = rng.standard_normal((100_000, 8)).astype(np.float32)
    tracemalloc.start()
    found = search.largest_products(vectors, items, 10)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # All products are 120 MB.
    assert peak < 60e6
    np.testing.assert_array_equal(found[:3], by_sorting(vectors[:3] @ items.T, 10))


def test_densities_are_those_of_the_change_of_variables():
    outputs = np.array([0.3, -0.2, -0.5, 0.1])
    normals = np.array([0.7, -1.1])
    deviations = np.exp(outputs[2:])
    before = outputs[:2] + deviations * normals
    normal = np.exp(-0.5 * normals**2) / (np.sqrt(2 * np.pi) * deviations)
    expected = np.log(normal / (1.0 - np.tanh(before) ** 2)).sum()
    np.testing.assert_allclose(squashed.log_density(outputs, normals), expected)
    np.testing.assert_allclose(squashed.sample(outputs, normals), np.tanh(before))
    far = squashed.log_density(np.array([200.0, -200.0, 0.0, 0.0]), np.zeros(2))
    assert np.isfinite(far)


def test_the_gradient_through_samples():
    rng = np.random.RandomState(1)
    outputs, normals, weights = rng.standard_normal((3, 4)), rng.standard_normal((3, 2)), 1.7
    by_samples = rng.standard_normal((3, 2))

    def loss(outputs):
        density = squashed.log_density(outputs, normals)
        return (weights * density - (by_samples * squashed.sample(outputs, normals)).sum(1)).sum()

    expected = np.empty(outputs.shape)
    for index in np.ndindex(outputs.shape):
        moved = outputs.copy()
        moved[index] += 1e-6
        up = loss(moved)
        moved[index] -= 2e-6
        expected[index] = (up - loss(moved)) / 2e-6
    found = squashed.policy_gradient(outputs, normals, by_samples, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_deviations_out_of_bounds_have_no_gradient():
    outputs = np.array([0.1, 0.1, 5.0, -9.0])
    found = squashed.policy_gradient(outputs, np.ones(2), np.ones(2), 1.0)
    assert found[2:].tolist() == [0.0, 0.0]


def gradient_by_differences(function, inputs):
    """Returns the gradient of the sum of a function's values by its inputs."""
    gradient = np.empty(inputs.shape)
    for index in np.ndindex(inputs.shape):
        up, down = inputs.copy(), inputs.copy()
        up[index] += 1e-6
        down[index] -= 1e-6
        gradient[index] = (function(up) - function(down)).sum() / 2e-6
    return gradient


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("same_positions", [False, True])
def test_the_best_slates_under_masks_are_among_those_listed(monkeypatch, shared, same_positions):
    monkeypatch.setattr(search, "_ITEMS", 13)
    monkeypatch.setattr(search, "_BLOCK", 40)
    rng = np.random.RandomState(8)
    items = rng.standard_normal((60, 4) if shared else (20, 60, 4))
    masks = rng.random_sample((20, 60, 1 if same_positions else 3)) < 0.3
    masks[:, :4] = True
    masks = np.broadcast_to(masks, (20, 60, 3))
    if shared:
        masks = masks[0]
    vectors = rng.standard_normal((20, 4))
    products = np.einsum("ni,...mi->nm" if shared else "ni,nmi->nm", vectors, items)
    listed = search.shortlist(vectors, items, 3, masks)
    assert listed.indices.shape == (20, 3 if same_positions else 9)
    of_listed = np.take_along_axis(products, listed.indices, axis=1)
    allowed = AllowedSlates(np.broadcast_to(masks, (20, 60, 3)))
    best = allowed.best(products)
    np.testing.assert_array_equal(listed.best(of_listed), best)
    squares = np.square(items).sum(axis=-1)
    near = search.shortlist(vectors, items, 3, masks, search.half_squares(items))
    distances = np.take_along_axis(2.0 * products - squares, near.indices, axis=1)
    expected = allowed.best(2.0 * products - squares)
    np.testing.assert_array_equal(near.best(distances), expected)


def test_a_slate_that_cannot_be_filled_is_refused_naming_items():
    masks = np.zeros((50, 2), bool)
    masks[41] = True
    listed = search.shortlist(np.ones((1, 1)), np.ones((50, 1)), 2, masks)
    with pytest.raises(ValueError, match=r"\[41\] may stand there, but other positions need it"):
        listed.best(np.ones(listed.indices.shape))


def test_vectors_are_drawn_into_the_ball_in_their_directions():
    outputs = np.array([[0.3, 0.4], [30.0, -40.0], [0.0, 0.0]])
    vectors = ball.drawn_in(outputs, 2.0)
    lengths = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(lengths, [2.0 * np.tanh(0.5), 2.0, 0.0])
    np.testing.assert_allclose(vectors[1], [1.2, -1.6])


def test_the_gradient_through_the_ball():
    rng = np.random.RandomState(3)
    outputs, by_vectors = rng.standard_normal((2, 5, 3))
    expected = gradient_by_differences(
        lambda moved: (by_vectors * ball.drawn_in(moved, 1.5)).sum(axis=1), outputs
    )
    np.testing.assert_allclose(ball.gradient(outputs, by_vectors, 1.5), expected, atol=1e-8)


def test_units_are_those_of_all_items_seen():
    rng = np.random.RandomState(5)
    items = rng.standard_normal((40, 3)) * [1.0, 1e4, 1e-3] + [0.0, 5e4, 7.0]
    items[:, 2] = 7.0
    found = units.ItemUnits(3)
    for part in (items[:7], items[7:8], items[8:].reshape(4, 8, 3)):
        found.see(part.astype(np.float64))
    expected = (items - items.mean(axis=0)) / np.array([*items[:, :2].std(axis=0), 1.0])
    scaled = found.scaled(items.astype(np.float32))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, expected / np.sqrt(3.0), atol=1e-4)
    again = units.ItemUnits(3)
    again.load_state_dict(found.state_dict())
    np.testing.assert_array_equal(again.scaled(items), found.scaled(items))


def test_units_of_nothing_are_those_of_the_features():
    found = units.ItemUnits(4)
    np.testing.assert_allclose(found.scaled(np.full((2, 4), 3.0, np.float32)), 1.5)


@pytest.mark.parametrize("item_units", [(), (6,)])
def test_the_gradient_of_values_by_points(item_units):
    rng = np.random.RandomState(6)
    critic = critics.Critic(3, 2, (5,), item_units, 0.1, rng)
    for weights in critic.averages:
        weights[...] = rng.standard_normal(weights.shape)
    users = rng.standard_normal((4, 3)).astype(np.float32)
    points = rng.standard_normal((4, 2, 2)).astype(np.float32)
    values, gradient = critic.values_and_gradient(users, points)
    np.testing.assert_allclose(values, critic.values(users, points), rtol=1e-5)
    step = 1e-3
    for axis in range(2):
        moved = np.zeros((1, 1, 2), np.float32)
        moved[..., axis] = step
        up, down = (critic.values(users, points + sign * moved) for sign in (1.0, -1.0))
        np.testing.assert_allclose(gradient[..., axis], (up - down) / (2 * step), atol=2e-2)


def test_a_critic_learns_means_over_points():
    rng = np.random.RandomState(7)
    critic = critics.Critic(2, 2, (16,), (), 0.01, rng)
    for _ in range(600):
        users = rng.standard_normal((64, 2)).astype(np.float32)
        points = rng.standard_normal((64, 3, 2)).astype(np.float32)
        targets = 0.5 + (points * [1.0, -2.0]).sum(axis=2).mean(axis=1)
        critic.learn(users, points, targets.astype(np.float32))
        critic.average(0.02)
    corners = np.broadcast_to(np.array([[0, 0], [1, 0], [0, 1]], np.float32), (64, 3, 2))
    np.testing.assert_allclose(
        critic.values(users, corners).mean(axis=0), [0.5, 1.5, -1.5], atol=0.1
    )
