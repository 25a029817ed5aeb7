"""The network that estimates values, evaluated by NumPy.

Acting and targets need many forward passes of a small network, for which a call of TensorFlow
costs many times what the arithmetic does. Gradients are TensorFlow's: see
:mod:`recsim.agents.dopamine.training`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsim._internal import resources

__all__ = ["BLOCK", "QNetwork"]

#: Number of users whose values are best computed together, for what the network computes for them
#: stays in a processor's cache.
BLOCK = 64


class QNetwork:
    """A fully connected network with rectified hidden layers and one output.

    Args:
        weights: kernel and bias of each layer in turn, float32 arrays of shapes
            (num_inputs, num_units) and (num_units,).
    """

    def __init__(self, weights: Sequence[np.ndarray]) -> None:
        self.weights = list(weights)

    @classmethod
    def initial(
        cls, num_inputs: int, hidden_units: Sequence[int], rng: np.random.RandomState
    ) -> QNetwork:
        """Returns a network with the initial weights that Keras gives a ``Dense`` layer.

        Kernels are uniform in ±sqrt(6 / (inputs + outputs)) (Glorot and Bengio, 2010), biases 0.
        """
        sizes = [num_inputs, *hidden_units, 1]
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
        return cls(weights)

    @property
    def first_layer(self) -> tuple[np.ndarray, np.ndarray]:
        """The first layer's kernel, shape (num_inputs, num_units), and bias, (num_units,)."""
        return self.weights[0], self.weights[1]

    def finish(self, hidden: np.ndarray) -> np.ndarray:
        """Returns the outputs for what the first layer made of the inputs, before rectification.

        The first layer is linear: inputs that share a part (a user's features beside those of
        each document) share what the layer makes of that part.

        Args:
            hidden: inputs times the first kernel, and the bias, of shape (..., rows, num_units).
                It is overwritten. NumPy multiplies each matrix (rows, num_units) by itself;
                small ones run in one thread, so that results do not depend on the number of
                threads, nor the speed on what else the machine does.

        Returns:
            Array of shape (..., rows).
        """
        for kernel, bias in zip(self.weights[2::2], self.weights[3::2]):
            np.maximum(hidden, 0.0, out=hidden)
            hidden = hidden @ kernel
            hidden += bias
        return hidden[..., 0]
