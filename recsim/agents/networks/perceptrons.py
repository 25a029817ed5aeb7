"""Fully connected networks with rectified hidden layers: their weights, outputs and gradients.

Weights are the kernel and the bias of each layer in turn, float32 arrays of shapes
(num_inputs, num_units) and (num_units,).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsim._internal import resources, validation
from recsim.agents.networks import products

__all__ = ["backward", "checked_units", "forward", "initial_weights"]


def checked_units(name: str, sizes: object) -> tuple[int, ...]:
    """Returns the sizes of layers, each >= 1.

    Raises:
        TypeError, ValueError: if they are something else.
    """
    if not isinstance(sizes, (list, tuple)):
        raise TypeError(f"{name} must be a list of the layers' sizes, got {sizes!r:.80}.")
    return tuple(validation.positive_int(name, size) for size in sizes)


def initial_weights(sizes: Sequence[int], rng: np.random.RandomState) -> list[np.ndarray]:
    """Returns the initial weights that Keras gives ``Dense`` layers.

    Kernels are uniform in ±sqrt(6 / (inputs + outputs)) (Glorot and Bengio, 2010), biases 0.

    Args:
        sizes: numbers of inputs, of units of each hidden layer, and of outputs.
        rng: what kernels are sampled from.

    Raises:
        MemoryError: if there is no memory for training them.
    """
    # The weights, their target's copy, and the two moments of the optimizer.
    resources.check_memory(
        16 * sum(int(inputs) * int(outputs) for inputs, outputs in zip(sizes, sizes[1:])),
        f"Networks with layers of {', '.join(map(resources.shown, sizes[1:-1]))} units",
        "choose smaller hidden_units",
    )
    weights = []
    for inputs, outputs in zip(sizes, sizes[1:]):
        limit = np.sqrt(6.0 / (inputs + outputs))
        weights.append(rng.uniform(-limit, limit, (inputs, outputs)).astype(np.float32))
        weights.append(np.zeros(outputs, np.float32))
    return weights


def forward(
    weights: Sequence[np.ndarray], inputs: np.ndarray, name: str = "network"
) -> list[np.ndarray]:
    """Returns the inputs, what each hidden layer makes of them, and the outputs.

    Args:
        weights: those of the network.
        inputs: float32 array of shape (n, num_inputs).
        name: what the network is: its layers stand in arrays that are used again at the next call
            with the name, see :func:`recsim.agents.networks.products.scratch`.

    Returns:
        Arrays of shapes (n, num_units); the last one is new.
    """
    layers = [inputs]
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2]):
        hidden = products.scratch(f"{name}, layer {len(layers)}", (len(inputs), len(bias)))
        products.product(layers[-1], kernel, out=hidden)
        hidden += bias
        layers.append(np.maximum(hidden, 0.0, out=hidden))
    kernel, bias = weights[-2:]
    outputs = np.empty((len(inputs), len(bias)), np.float32)
    products.product(layers[-1], kernel, out=outputs)
    outputs += bias
    layers.append(outputs)
    return layers


def backward(
    weights: Sequence[np.ndarray],
    layers: Sequence[np.ndarray],
    change: np.ndarray,
    gradients: Sequence[np.ndarray],
    name: str = "network",
    *,
    of_inputs: bool = False,
) -> np.ndarray | None:
    """Computes the gradient of a function of the outputs, by the weights and by the inputs.

    Args:
        weights: those of the network.
        layers: what :func:`forward` returned.
        change: the gradient by the outputs, float32 array of shape (n, num_outputs).
        gradients: arrays of the shapes of the weights, which are overwritten by the gradient by
            them; empty if it is not wanted.
        name: as in :func:`forward`.
        of_inputs: whether the gradient by the inputs is wanted.

    Returns:
        The gradient by the inputs, of their shape, which the next call overwrites; or None.
    """
    for layer in reversed(range(len(layers) - 1)):
        if gradients:
            products.summed_products(layers[layer], change, gradients[2 * layer])
            change.sum(axis=0, out=gradients[2 * layer + 1])
        if layer or of_inputs:
            before = products.scratch(f"{name}, change {layer}", layers[layer].shape)
            change = products.product(change, weights[2 * layer].T, out=before)
        if layer:
            change *= layers[layer] > 0.0
    return change if of_inputs else None
