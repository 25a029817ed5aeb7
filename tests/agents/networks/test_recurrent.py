"""The recurrent state of networks: beside finite differences, and beside PyTorch's layer."""

from __future__ import annotations

import numpy as np
import pytest

from recsim.agents.networks import recurrent, user_networks

# Two features, three rows of four numbers, and three features, of which five units are made.
RECURRENCE = recurrent.Recurrence(start=2, num_slates=3, row_size=4, units=5)
NUM_INPUTS = 17


def a_network(rng, outputs=2):
    network = user_networks.UserNetwork(RECURRENCE)
    weights = network.initial_weights([NUM_INPUTS, 6, outputs], rng)
    for array in weights:
        array += 0.1 * rng.standard_normal(array.shape).astype(np.float32)
    return network, weights


def some_inputs(rng, number=7):
    """Returns inputs of users with three, one, no and two slates so far, and more."""
    inputs = rng.standard_normal((number, NUM_INPUTS)).astype(np.float32)
    rows = rows_of(inputs)
    rows[..., 0] = 1.0
    rows[1, 1:] = rows[2] = rows[3, 2:] = 0.0
    return inputs


def rows_of(inputs):
    return inputs[:, 2:14].reshape(len(inputs), 3, 4)


def in_float64(weights, inputs):
    """Returns the outputs in double precision."""

    def sigmoid(x):
        return 1.0 / (1.0 + np.exp(-x))

    kernel, of_states, biases, *layers = (array.astype(np.float64) for array in weights)
    state, units = np.zeros((len(inputs), 5)), slice(10, None)
    for row in rows_of(inputs).transpose(1, 0, 2)[::-1]:
        of_row, of_state = row @ kernel + biases[0], state @ of_states + biases[1]
        stays, reset = sigmoid(of_row[:, :10] + of_state[:, :10]).reshape(-1, 2, 5).swapaxes(0, 1)
        candidates = np.tanh(of_row[:, units] + reset * of_state[:, units])
        following = stays * state + (1.0 - stays) * candidates
        state = np.where(row[:, :1] == 1.0, following, state)
    hidden = np.concatenate([inputs[:, :2], state, inputs[:, 14:]], axis=1)
    hidden = np.maximum(hidden @ layers[0] + layers[1], 0.0)
    return hidden @ layers[2] + layers[3]


def test_gradients_are_those_of_finite_differences():
    rng = np.random.RandomState(0)
    network, weights = a_network(rng)
    inputs, change = some_inputs(rng), rng.standard_normal((7, 2)).astype(np.float32)
    layers = network.forward(weights, inputs)
    np.testing.assert_allclose(layers.outputs, in_float64(weights, inputs), atol=1e-6)
    np.testing.assert_array_equal(network.outputs(weights, inputs), layers.outputs)
    gradients = [np.full_like(array, np.nan) for array in weights]
    network.backward(weights, layers, change, gradients)
    step = 1e-6
    for number, array in enumerate(weights):
        for index in np.ndindex(array.shape):
            moved = [each.astype(np.float64) for each in weights]
            moved[number][index] += step
            up = (in_float64(moved, inputs) * change).sum()
            moved[number][index] -= 2 * step
            slope = (up - (in_float64(moved, inputs) * change).sum()) / (2 * step)
            np.testing.assert_allclose(gradients[number][index], slope, rtol=1e-4, atol=1e-5)


@pytest.mark.needs("torch")
def test_states_and_gradients_are_those_of_pytorch():
    import torch

    rng = np.random.RandomState(1)
    recurrence = recurrent.Recurrence(start=0, num_slates=6, row_size=4, units=5)
    weights = recurrence.initial_weights(rng)
    weights[2] += rng.standard_normal(weights[2].shape).astype(np.float32)
    rows = rng.standard_normal((9, 6, 4)).astype(np.float32)
    rows[..., 0] = 1.0
    layer = torch.nn.GRU(4, 5, batch_first=True)
    # There the gate of resets comes first.
    order = np.concatenate([np.arange(5, 10), np.arange(5), np.arange(10, 15)])
    with torch.no_grad():
        ours = (weights[0].T, weights[1].T, *weights[2])
        for parameter, values in zip(layer.parameters(), ours, strict=True):
            parameter.copy_(torch.tensor(values[order]))
    _, states = layer(torch.tensor(rows[:, ::-1].copy()))
    reading = recurrent.Reading(recurrence, weights, rows.reshape(9, -1), "test")
    np.testing.assert_allclose(reading.outputs, states[0].detach().numpy(), atol=1e-6)
    change = rng.standard_normal((9, 5)).astype(np.float32)
    gradients = [np.empty_like(array) for array in weights]
    reading.backward(change, gradients)
    (states[0] * torch.tensor(change)).sum().backward()
    theirs = [parameter.grad.numpy() for parameter in layer.parameters()]
    expected = gradients[0].T[order], gradients[1].T[order], *gradients[2][:, order]
    for gradient, values in zip(theirs, expected, strict=True):
        np.testing.assert_allclose(gradient, values, atol=1e-5)


def test_slates_that_have_not_been_change_nothing():
    rng = np.random.RandomState(2)
    network, weights = a_network(rng)
    inputs = some_inputs(rng)
    states = network.encoded(weights, inputs)
    np.testing.assert_array_equal(states[2, 2:7], np.zeros(5))
    np.testing.assert_array_equal(states[:, [0, 1, 7, 8, 9]], inputs[:, [0, 1, 14, 15, 16]])
    # A user with one slate has the state of one whose window is of one slate.
    short = recurrent.Recurrence(start=0, num_slates=1, row_size=4, units=5)
    alone = short.outputs(weights[:3], np.ascontiguousarray(inputs[1:2, 2:6]))
    np.testing.assert_allclose(states[1:2, 2:7], alone, rtol=1e-6)
    # Large arrays are read in blocks, with any axes in front.
    many = np.tile(inputs, (200, 1))
    np.testing.assert_array_equal(
        network.encoded(weights, many.reshape(200, 7, -1))[-1], network.encoded(weights, many)[-7:]
    )


def test_the_initial_weights_are_those_of_keras():
    kernel, of_states, biases = recurrent.Recurrence(0, 2, 40, 24).initial_weights(
        np.random.RandomState(3)
    )
    limit = np.sqrt(6.0 / (40 + 72))
    assert 0.98 * limit < np.abs(kernel).max() <= limit and abs(kernel.mean()) < 0.02
    np.testing.assert_allclose(of_states @ of_states.T, np.eye(24), atol=1e-6)
    assert not biases.any()


def test_without_a_recurrent_state_there_is_none():
    network = user_networks.UserNetwork()
    inputs = np.ones((3, 4), np.float32)
    assert network.encoded([], inputs) is inputs
    assert len(network.initial_weights([4, 2, 1], np.random.RandomState(0))) == 4
