"""Gradient steps on the network's weights, by NumPy alone.

For so small a network a call of TensorFlow takes longer than its arithmetic, and importing it
longer than some trainings. :class:`recsim.agents.dopamine.training.Trainer` is for Keras's
optimizers and for other devices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsim.agents.dopamine import network, training

__all__ = ["LEARNING_RATES", "NumpyTrainer"]

#: Of the optimizers by name.
LEARNING_RATES = {"rmsprop": 2.5e-4, "adam": 1e-3, "sgd": 1e-3}

# The settings of RMSProp are Dopamine's, those of Adam (Kingma and Ba, 2015) Keras's.
_DECAY, _RMSPROP_EPSILON = np.float32(0.95), np.float32(1e-5)
_BETAS, _ADAM_EPSILON = (0.9, 0.999), np.float32(1e-7)

# The moments that an optimizer keeps of each weight, in the order of Keras's variables: those of
# all weights in turn, or (Adam's) all of a weight together.
_NUM_MOMENTS = {"rmsprop": 2, "adam": 2, "sgd": 0}


class NumpyTrainer:
    """Makes gradient steps on weights, as :class:`recsim.agents.dopamine.training.Trainer` does.

    Its state is that of the trainer by Keras, so that each continues where the other stopped, but
    for the last bits. Products of matrices are computed as :func:`.network.product` says.

    Args:
        weights: kernel and bias of each layer in turn, see
            :class:`recsim.agents.dopamine.network.QNetwork`.
        optimizer_name: 'rmsprop' or '' (centred, learning rate 2.5e-4, decay 0.95, epsilon 1e-5),
            'adam' or 'sgd' (both with the learning rate 1e-3).
        loss: 'squared', or 'huber' (quadratic up to an error of 1, linear beyond).
        learning_rate: if not the one above.
    """

    def __init__(
        self,
        weights: Sequence[np.ndarray],
        optimizer_name: str,
        loss: str,
        learning_rate: float | None = None,
    ) -> None:
        self._optimizer = optimizer_name or "rmsprop"
        self._loss_name = loss
        self._learning_rate = np.float32(learning_rate or LEARNING_RATES[self._optimizer])
        self._iterations = 0
        # All weights in one array: an optimizer's step is a few calls then.
        size = sum(array.size for array in weights)
        self._flat, self._gradient = np.empty((2, size), np.float32)
        self._moments = np.zeros((_NUM_MOMENTS[self._optimizer], size), np.float32)
        self._shapes = [array.shape for array in weights]
        self._weights = self._views(self._flat)
        self._gradients = self._views(self._gradient)
        for view, array in zip(self._weights, weights):
            view[...] = array
        #: The mean loss of the last batch, before its step.
        self.loss = 0.0
        #: The mean output for the last batch, before its step.
        self.mean_q = 0.0

    def _views(self, flat: np.ndarray) -> list[np.ndarray]:
        """Returns the parts of a vector that belong to each array of weights."""
        views, start = [], 0
        for shape in self._shapes:
            end = start + int(np.prod(shape))
            views.append(flat[start:end].reshape(shape))
            start = end
        return views

    def step(self, batch: training.TrainingBatch) -> None:
        """Makes one gradient step."""
        inputs, targets = batch.inputs, batch.targets
        if not batch.used.all():
            inputs, targets = inputs[batch.used], targets[batch.used]
        with np.errstate(over="ignore", invalid="ignore"):  # The loss tells of them.
            self._set_gradient(inputs, targets)
            self._descend()

    def _set_gradient(self, inputs: np.ndarray, targets: np.ndarray) -> None:
        """Computes the gradient of the mean loss."""
        number = max(1, len(inputs))
        layers = [inputs]
        for kernel, bias in zip(self._weights[:-2:2], self._weights[1:-2:2]):
            hidden = network.scratch(f"layer {len(layers)}", (len(inputs), len(bias)))
            network.product(layers[-1], kernel, out=hidden)
            hidden += bias
            layers.append(np.maximum(hidden, 0.0, out=hidden))
        q = (layers[-1] @ self._weights[-2])[:, 0] + self._weights[-1]
        errors = q - targets
        self.mean_q = float(q.sum()) / number
        if self._loss_name == "huber":
            slopes = np.clip(errors, -1.0, 1.0)
            self.loss = float((slopes * (errors - 0.5 * slopes)).sum()) / number
        else:
            slopes = 2.0 * errors
            self.loss = float((errors * errors).sum()) / number
        change = (slopes / np.float32(number))[:, np.newaxis]
        for layer in reversed(range(len(layers))):
            network.summed_products(layers[layer], change, self._gradients[2 * layer])
            change.sum(axis=0, out=self._gradients[2 * layer + 1])
            if layer:
                before = network.scratch(f"change {layer}", layers[layer].shape)
                change = network.product(change, self._weights[2 * layer].T, out=before)
                change *= layers[layer] > 0.0

    def _descend(self) -> None:
        """Changes the weights by the gradient."""
        self._iterations += 1
        gradient, rate = self._gradient, self._learning_rate
        if self._optimizer == "rmsprop":
            squares, means = self._moments
            squares *= _DECAY
            squares += (np.float32(1.0) - _DECAY) * (gradient * gradient)
            means *= _DECAY
            means += (np.float32(1.0) - _DECAY) * gradient
            scale = squares - means * means
            scale += _RMSPROP_EPSILON
            np.sqrt(scale, out=scale)
            change = gradient * rate
            change /= scale
        elif self._optimizer == "adam":
            means, squares = self._moments
            first, second = _BETAS
            means += np.float32(1.0 - first) * (gradient - means)
            squares += np.float32(1.0 - second) * (gradient * gradient - squares)
            corrected = np.sqrt(1.0 - second**self._iterations) / (1.0 - first**self._iterations)
            change = means * np.float32(rate * corrected)
            change /= np.sqrt(squares) + _ADAM_EPSILON
        else:
            change = gradient * rate
        self._flat -= change

    def weights(self) -> list[np.ndarray]:
        """Returns the weights after the last step."""
        return self._views(self._flat.copy())

    def optimizer_state(self) -> list[np.ndarray]:
        """Returns the step count, the learning rate and the moments, as Keras's variables are."""
        return [
            np.array(self._iterations, np.int64),
            np.array(self._learning_rate),
            *[view.copy() for view in self._moment_views()],
        ]

    def _moment_views(self) -> list[np.ndarray]:
        of_moments = [self._views(moments) for moments in self._moments]
        if self._optimizer == "adam":  # Keras has all moments of a weight together there.
            return [view for of_weight in zip(*of_moments) for view in of_weight]
        return [view for views in of_moments for view in views]

    def set_optimizer_state(self, state: Sequence[np.ndarray]) -> None:
        """Sets the step count, the learning rate and the moments.

        Raises:
            ValueError: if they are of another optimizer.
        """
        views = self._moment_views()
        training.check_optimizer_state([(), (), *[view.shape for view in views]], state)
        self._iterations = int(state[0])
        self._learning_rate = np.float32(state[1])
        for view, values in zip(views, state[2:]):
            view[...] = values
