"""Gradient steps on the network's weights, by NumPy alone.

For so small a network a call of TensorFlow takes longer than its arithmetic, and importing it
longer than some trainings. :class:`recsim.agents.dopamine.training.Trainer` is for Keras's
optimizers and for other devices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsim.agents.dopamine import training
from recsim.agents.networks import optimizers, user_networks

__all__ = ["NumpyTrainer"]


class NumpyTrainer:
    """Makes gradient steps on weights, as :class:`recsim.agents.dopamine.training.Trainer` does.

    Its state is that of the trainer by Keras, so that each continues where the other stopped, but
    for the last bits. Products of matrices are computed as
    :func:`recsim.agents.networks.products.product` says.

    Args:
        weights: kernel and bias of each layer in turn, see
            :class:`recsim.agents.dopamine.network.QNetwork`.
        optimizer_name: 'rmsprop' or '' (centred, learning rate 2.5e-4, decay 0.95, epsilon 1e-5),
            'adam' or 'sgd' (both with the learning rate 1e-3).
        loss: 'squared', or 'huber' (quadratic up to an error of 1, linear beyond).
        learning_rate: if not the one above.
        evaluation: how the weights are evaluated; as fully connected layers by default.
    """

    def __init__(
        self,
        weights: Sequence[np.ndarray],
        optimizer_name: str,
        loss: str,
        learning_rate: float | None = None,
        evaluation: user_networks.UserNetwork | None = None,
    ) -> None:
        self._network = evaluation or user_networks.UserNetwork()
        self._optimizer = optimizers.Optimizer(weights, optimizer_name or "rmsprop", learning_rate)
        self._loss_name = loss
        #: The mean loss of the last batch, before its step.
        self.loss = 0.0
        #: The mean output for the last batch, before its step.
        self.mean_q = 0.0

    def step(self, batch: training.TrainingBatch) -> None:
        """Makes one gradient step."""
        inputs, targets = batch.inputs, batch.targets
        if not batch.used.all():
            inputs, targets = inputs[batch.used], targets[batch.used]
        with np.errstate(over="ignore", invalid="ignore"):  # The loss tells of them.
            self._set_gradient(inputs, targets)
            self._optimizer.descend()

    def _set_gradient(self, inputs: np.ndarray, targets: np.ndarray) -> None:
        """Computes the gradient of the mean loss."""
        number = max(1, len(inputs))
        weights = self._optimizer.weights
        layers = self._network.forward(weights, inputs)
        q = layers.outputs[:, 0]
        errors = q - targets
        self.mean_q = float(q.sum()) / number
        if self._loss_name == "huber":
            slopes = np.clip(errors, -1.0, 1.0)
            self.loss = float((slopes * (errors - 0.5 * slopes)).sum()) / number
        else:
            slopes = 2.0 * errors
            self.loss = float((errors * errors).sum()) / number
        change = (slopes / np.float32(number))[:, np.newaxis]
        self._network.backward(weights, layers, change, self._optimizer.gradients)

    def weights(self) -> list[np.ndarray]:
        """Returns the weights after the last step."""
        return self._optimizer.copied_weights()

    def optimizer_state(self) -> list[np.ndarray]:
        """Returns the step count, the learning rate and the moments, as Keras's variables are."""
        return self._optimizer.state()

    def set_optimizer_state(self, state: Sequence[np.ndarray]) -> None:
        """Sets the step count, the learning rate and the moments.

        Raises:
            ValueError: if they are of another optimizer.
        """
        self._optimizer.set_state(state)
