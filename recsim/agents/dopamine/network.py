"""The network that estimates values, evaluated by NumPy.

Acting and targets need many forward passes of a small network, for which a call of TensorFlow
costs many times what the arithmetic does. For gradients see
:mod:`recsim.agents.dopamine.gradients`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsim.agents.networks import products, recurrent, user_networks

__all__ = ["QNetwork"]


class QNetwork:
    """A fully connected network with rectified hidden layers and one output.

    Args:
        weights: kernel and bias of each layer in turn, float32 arrays of shapes
            (num_inputs, num_units) and (num_units,); before them those of the recurrent state,
            where there is one.
        recurrence: what of the inputs is read by a recurrent state; None for none.
    """

    def __init__(
        self, weights: Sequence[np.ndarray], recurrence: recurrent.Recurrence | None = None
    ) -> None:
        self.weights = list(weights)
        #: How the weights are evaluated.
        self.evaluation = user_networks.UserNetwork(recurrence)
        self._layers = self.weights[self.evaluation.num_recurrent :]

    @classmethod
    def initial(
        cls,
        num_inputs: int,
        hidden_units: Sequence[int],
        rng: np.random.RandomState,
        recurrence: recurrent.Recurrence | None = None,
    ) -> QNetwork:
        """Returns a network with the initial weights that Keras gives such layers.

        Kernels are uniform in ±sqrt(6 / (inputs + outputs)) (Glorot and Bengio, 2010), biases 0.
        """
        evaluation = user_networks.UserNetwork(recurrence)
        return cls(evaluation.initial_weights([num_inputs, *hidden_units, 1], rng), recurrence)

    def with_weights(self, weights: Sequence[np.ndarray]) -> QNetwork:
        """Returns a network of the same layers with other weights."""
        return QNetwork(weights, self.evaluation.recurrence)

    def encoded(self, users: np.ndarray) -> np.ndarray:
        """Returns users' features as the first layer takes them: with their recurrent state.

        Args:
            users: features, shape (..., user_size). They come first among the network's inputs.

        Returns:
            Array of shape (..., number of features); the same one where there is no such state.
        """
        return self.evaluation.encoded(self.weights, users)

    @property
    def first_layer(self) -> tuple[np.ndarray, np.ndarray]:
        """The first layer's kernel, shape (num_inputs, num_units), and bias, (num_units,)."""
        return self._layers[0], self._layers[1]

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
        for number, (kernel, bias) in enumerate(zip(self._layers[2::2], self._layers[3::2])):
            np.maximum(hidden, 0.0, out=hidden)
            outputs = products.scratch(f"outputs {number}", (*hidden.shape[:-1], len(bias)))
            hidden = products.stacked_product(hidden, kernel, outputs)
            hidden += bias
        return hidden[..., 0].copy()
