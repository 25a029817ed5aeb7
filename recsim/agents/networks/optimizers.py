"""Optimizers of networks' weights, with the numbers of Keras's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["LEARNING_RATES", "Optimizer", "check_state"]

#: Of the optimizers by name.
LEARNING_RATES = {"rmsprop": 2.5e-4, "adam": 1e-3, "sgd": 1e-3}

# The settings of RMSProp are Dopamine's, those of Adam (Kingma and Ba, 2015) Keras's.
_DECAY, _RMSPROP_EPSILON = np.float32(0.95), np.float32(1e-5)
_BETAS, _ADAM_EPSILON = (0.9, 0.999), np.float32(1e-7)

# The moments that an optimizer keeps of each weight, in the order of Keras's variables: those of
# all weights in turn, or (Adam's) all of a weight together.
_NUM_MOMENTS = {"rmsprop": 2, "adam": 2, "sgd": 0}


class Optimizer:
    """Owns weights and changes them by their gradient.

    Args:
        weights: float32 arrays, which are copied.
        name: 'rmsprop' (centred, decay 0.95, epsilon 1e-5), 'adam' or 'sgd'.
        learning_rate: above 0; by default that of :data:`LEARNING_RATES`.
    """

    def __init__(
        self, weights: Sequence[np.ndarray], name: str, learning_rate: float | None = None
    ) -> None:
        self._name = name
        self._learning_rate = np.float32(learning_rate or LEARNING_RATES[name])
        self._iterations = 0
        # All weights in one array: an optimizer's step is a few calls then.
        size = sum(array.size for array in weights)
        self._flat, self._gradient = np.empty((2, size), np.float32)
        self._moments = np.zeros((_NUM_MOMENTS[name], size), np.float32)
        self._shapes = [array.shape for array in weights]
        self._make_views()
        for view, array in zip(self.weights, weights):
            view[...] = array

    def _make_views(self) -> None:
        #: The weights, which :meth:`descend` changes.
        self.weights = self._views(self._flat)
        #: Where their gradient is to be written.
        self.gradients = self._views(self._gradient)

    def __getstate__(self) -> dict[str, Any]:
        # Copies of views would be arrays of their own.
        views = ("weights", "gradients")
        return {name: value for name, value in vars(self).items() if name not in views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_views()

    def _views(self, flat: np.ndarray) -> list[np.ndarray]:
        """Returns the parts of a vector that belong to each array of weights."""
        views, start = [], 0
        for shape in self._shapes:
            end = start + int(np.prod(shape))
            views.append(flat[start:end].reshape(shape))
            start = end
        return views

    @property
    def iterations(self) -> int:
        """Number of steps made."""
        return self._iterations

    def clip(self, norm: float) -> None:
        """Makes the gradient no longer than a norm."""
        length = float(np.sqrt(np.dot(self._gradient, self._gradient)))
        if length > norm:
            self._gradient *= np.float32(norm / length)

    def descend(self) -> None:
        """Changes the weights by the gradient."""
        self._iterations += 1
        gradient, rate = self._gradient, self._learning_rate
        if self._name == "rmsprop":
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
        elif self._name == "adam":
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

    def copied_weights(self) -> list[np.ndarray]:
        """Returns a copy of the weights."""
        return self._views(self._flat.copy())

    def state(self) -> list[np.ndarray]:
        """Returns the step count, the learning rate and the moments, as Keras's variables are."""
        return [
            np.array(self._iterations, np.int64),
            np.array(self._learning_rate),
            *[view.copy() for view in self._moment_views()],
        ]

    def _moment_views(self) -> list[np.ndarray]:
        of_moments = [self._views(moments) for moments in self._moments]
        if self._name == "adam":  # Keras has all moments of a weight together there.
            return [view for of_weight in zip(*of_moments) for view in of_weight]
        return [view for views in of_moments for view in views]

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        """Sets the step count, the learning rate and the moments.

        Raises:
            ValueError: if they are of another optimizer.
        """
        views = self._moment_views()
        check_state([(), (), *[view.shape for view in views]], state)
        self._iterations = int(state[0])
        self._learning_rate = np.float32(state[1])
        for view, values in zip(views, state[2:]):
            view[...] = values


def check_state(shapes: Sequence[tuple[int, ...]], state: Sequence[np.ndarray]) -> None:
    """Raises ValueError for an optimizer's state of other shapes than these."""
    if list(shapes) != [np.shape(values) for values in state]:
        raise ValueError(
            f"The optimizer's state must have the shapes {list(shapes)}, got "
            f"{[np.shape(values) for values in state]}: it is of another optimizer. Make the "
            "agent with the optimizer that it was trained with."
        )
