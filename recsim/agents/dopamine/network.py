"""The network that estimates values, evaluated by NumPy.

Acting and targets need many forward passes of a small network, for which a call of TensorFlow
costs many times what the arithmetic does. For gradients see
:mod:`recsim.agents.dopamine.gradients`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsim.agents.networks import perceptrons, products

__all__ = ["QNetwork"]


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
        return cls(perceptrons.initial_weights([num_inputs, *hidden_units, 1], rng))

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
                It is overwritten, and contiguous. NumPy multiplies each matrix (rows, num_units)
                by itself, so that a user's values do not depend on the others'; large ones are
                multiplied as in :func:`recsim.agents.networks.products.product`.

        Returns:
            Array of shape (..., rows).
        """
        for number, (kernel, bias) in enumerate(zip(self.weights[2::2], self.weights[3::2])):
            np.maximum(hidden, 0.0, out=hidden)
            outputs = products.scratch(f"outputs {number}", (*hidden.shape[:-1], len(bias)))
            hidden = products.stacked_product(hidden, kernel, outputs)
            hidden += bias
        return hidden[..., 0].copy()
