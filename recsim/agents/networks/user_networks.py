"""Networks whose inputs are, or begin with, the features of users: with a recurrent state, or not.

A network has fully connected layers (:mod:`recsim.agents.networks.perceptrons`). Where it has a
recurrent state, rows of recent slates among its inputs are read first by a gated recurrent unit
(:mod:`recsim.agents.networks.recurrent`), whose weights come before those of the layers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from recsim.agents.networks import perceptrons, recurrent

__all__ = ["Layers", "UserNetwork"]


@dataclasses.dataclass
class Layers:
    """What each layer of a network made of inputs.

    Attributes:
        layers: what :func:`recsim.agents.networks.perceptrons.forward` returned.
        reading: how the recurrent state came to be, None where there is none.
    """

    layers: list[np.ndarray]
    reading: recurrent.Reading | None

    @property
    def outputs(self) -> np.ndarray:
        """The outputs, of shape (n, num_outputs)."""
        return self.layers[-1]


@dataclasses.dataclass(frozen=True)
class UserNetwork:
    """How a network's weights, in a list, are evaluated.

    Attributes:
        recurrence: what of the inputs is read by a recurrent state; None for none.
    """

    recurrence: recurrent.Recurrence | None = None

    @property
    def num_recurrent(self) -> int:
        """How many arrays at the beginning are weights of the recurrent state."""
        return 0 if self.recurrence is None else self.recurrence.num_arrays

    def initial_weights(self, sizes: Sequence[int], rng: np.random.RandomState) -> list[np.ndarray]:
        """Returns the initial weights that Keras gives such layers.

        Args:
            sizes: numbers of inputs, of units of each hidden layer, and of outputs.
            rng: what they are sampled from.

        Raises:
            MemoryError: if there is no memory for training them.
        """
        if self.recurrence is None:
            return perceptrons.initial_weights(sizes, rng)
        of_state = self.recurrence.initial_weights(rng)
        sizes = [self.recurrence.num_outputs(sizes[0]), *sizes[1:]]
        return [*of_state, *perceptrons.initial_weights(sizes, rng)]

    def encoded(self, weights: Sequence[np.ndarray], inputs: np.ndarray) -> np.ndarray:
        """Returns what the fully connected layers take for inputs, of shape (..., number).

        Args:
            weights: those of the network.
            inputs: float32 array of shape (..., num_inputs); where there is no recurrent state, it
                is returned itself.
        """
        if self.recurrence is None:
            return inputs
        return self.recurrence.outputs(weights[: self.num_recurrent], inputs)

    def outputs(
        self, weights: Sequence[np.ndarray], inputs: np.ndarray, name: str = "network"
    ) -> np.ndarray:
        """Returns the outputs, where no gradient is wanted; see :meth:`forward`."""
        layers = weights[self.num_recurrent :]
        return perceptrons.forward(layers, self.encoded(weights, inputs), name)[-1]

    def forward(
        self, weights: Sequence[np.ndarray], inputs: np.ndarray, name: str = "network"
    ) -> Layers:
        """Returns the outputs, and what their gradient needs.

        Args:
            weights: those of the network.
            inputs: float32 array of shape (n, num_inputs).
            name: see :func:`recsim.agents.networks.perceptrons.forward`.
        """
        reading = None
        number = self.num_recurrent
        if self.recurrence is not None:
            reading = recurrent.Reading(self.recurrence, weights[:number], inputs, name)
            inputs = reading.outputs
        return Layers(perceptrons.forward(weights[number:], inputs, name), reading)

    def backward(
        self,
        weights: Sequence[np.ndarray],
        layers: Layers,
        change: np.ndarray,
        gradients: Sequence[np.ndarray],
        name: str = "network",
    ) -> None:
        """Writes the gradient of a function of the outputs by the weights.

        Args:
            weights: those of the network.
            layers: what :meth:`forward` returned.
            change: the gradient by the outputs, float32 array of their shape.
            gradients: arrays of the shapes of the weights, which are overwritten.
            name: as in :meth:`forward`.
        """
        number = self.num_recurrent
        by_inputs = perceptrons.backward(
            weights[number:],
            layers.layers,
            change,
            gradients[number:],
            name,
            of_inputs=layers.reading is not None,
        )
        if layers.reading is not None:
            assert by_inputs is not None
            layers.reading.backward(by_inputs, gradients[:number])
