"""Networks by NumPy: products in blocks, gradients beside finite differences, optimizers."""

from __future__ import annotations

import numpy as np
import pytest

from recsim.agents.networks import optimizers, perceptrons, products


@pytest.mark.parametrize(("inputs", "outputs"), [(40, 256), (256, 32), (32, 1), (300, 300)])
@pytest.mark.parametrize("number", [0, 1, 31, 64, 257])
def test_products_in_blocks_are_those_of_whole_matrices(number, inputs, outputs):
    rng = np.random.RandomState(0)
    rows = rng.standard_normal((number, inputs)).astype(np.float32)
    kernel = rng.standard_normal((inputs, outputs)).astype(np.float32)
    product = products.product(rows, kernel, np.full((number, outputs), np.nan, np.float32))
    np.testing.assert_allclose(product, rows @ kernel, rtol=1e-4, atol=1e-4)
    summed = np.full((inputs, outputs), np.nan, np.float32)
    products.summed_products(rows, product, summed)
    np.testing.assert_allclose(summed, rows.T @ product, rtol=1e-3, atol=1e-3)


def random_network(rng, sizes):
    weights = perceptrons.initial_weights(sizes, rng)
    for bias in weights[1::2]:
        bias += rng.standard_normal(bias.shape).astype(np.float32)
    return weights


def in_float64(weights, inputs):
    """Returns the outputs in double precision."""
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2]):
        inputs = np.maximum(inputs @ kernel.astype(np.float64) + bias, 0.0)
    return inputs @ weights[-2].astype(np.float64) + weights[-1]


def test_outputs_by_hand():
    weights = [
        np.array([[1.0, -1.0], [2.0, 0.0]], np.float32),
        np.array([0.5, 0.0], np.float32),
        np.array([[1.0], [3.0]], np.float32),
        np.array([-1.0], np.float32),
    ]
    layers = perceptrons.forward(weights, np.array([[1.0, 1.0], [-2.0, 0.0]], np.float32))
    # 1 + 2 + 0.5 and a unit that is off; a unit that is off, and 2.
    np.testing.assert_array_equal(layers[1], [[3.5, 0.0], [0.0, 2.0]])
    np.testing.assert_array_equal(layers[2], [[2.5], [5.0]])


@pytest.mark.parametrize("sizes", [(4, 3), (4, 6, 3), (4, 8, 5, 2)])
def test_gradients_are_those_of_finite_differences(sizes):
    rng = np.random.RandomState(1)
    weights = random_network(rng, sizes)
    inputs = rng.standard_normal((7, 4)).astype(np.float32)
    change = rng.standard_normal((7, sizes[-1])).astype(np.float32)
    layers = perceptrons.forward(weights, inputs)
    np.testing.assert_allclose(layers[-1], in_float64(weights, inputs), rtol=1e-5, atol=1e-5)
    gradients = [np.full_like(array, np.nan) for array in weights]
    by_inputs = perceptrons.backward(weights, layers, change, gradients, of_inputs=True)

    def loss(weights, inputs):
        return (in_float64(weights, inputs) * change).sum()

    step = 1e-6
    for number, array in enumerate(weights):
        for index in np.ndindex(array.shape):
            moved = [each.astype(np.float64) for each in weights]
            moved[number][index] += step
            up = loss(moved, inputs)
            moved[number][index] -= 2 * step
            slope = (up - loss(moved, inputs)) / (2 * step)
            np.testing.assert_allclose(gradients[number][index], slope, rtol=1e-3, atol=1e-3)
    for index in np.ndindex(inputs.shape):
        moved = inputs.astype(np.float64)
        moved[index] += step
        up = loss(weights, moved)
        moved[index] -= 2 * step
        slope = (up - loss(weights, moved)) / (2 * step)
        np.testing.assert_allclose(by_inputs[index], slope, rtol=1e-3, atol=1e-3)


def test_two_networks_do_not_overwrite_one_another():
    rng = np.random.RandomState(2)
    first, second = (random_network(rng, (3, 4, 2)) for _ in range(2))
    inputs = rng.standard_normal((5, 3)).astype(np.float32)
    alone = [layer.copy() for layer in perceptrons.forward(first, inputs, "first")]
    layers = perceptrons.forward(first, inputs, "first")
    perceptrons.forward(second, inputs, "second")
    for layer, expected in zip(layers, alone, strict=True):
        np.testing.assert_array_equal(layer, expected)


def test_a_gradient_is_clipped_to_a_norm():
    optimizer = optimizers.Optimizer([np.zeros(2, np.float32)], "sgd", 1.0)
    optimizer.gradients[0][:] = [3.0, 4.0]
    optimizer.clip(10.0)
    np.testing.assert_array_equal(optimizer.gradients[0], [3.0, 4.0])
    optimizer.clip(1.0)
    optimizer.descend()
    np.testing.assert_allclose(optimizer.weights[0], [-0.6, -0.8], rtol=1e-6)


def test_an_optimizer_continues_from_its_state():
    rng = np.random.RandomState(3)
    gradients = rng.standard_normal((6, 3)).astype(np.float32)

    def descend(optimizer, rows):
        for row in rows:
            optimizer.gradients[0][:] = row
            optimizer.descend()

    whole = optimizers.Optimizer([np.ones(3, np.float32)], "adam")
    descend(whole, gradients)
    first = optimizers.Optimizer([np.ones(3, np.float32)], "adam")
    descend(first, gradients[:3])
    second = optimizers.Optimizer(first.copied_weights(), "adam")
    second.set_state(first.state())
    descend(second, gradients[3:])
    np.testing.assert_array_equal(second.weights[0], whole.weights[0])
    assert second.iterations == 6
    with pytest.raises(ValueError, match="it is of another optimizer"):
        optimizers.Optimizer([np.ones(3, np.float32)], "sgd").set_state(first.state())
