"""A gated recurrent unit that reads what the last slates of users brought, and its gradient.

The state of a user begins as zeros, and each row x changes it in turn (Cho et al., "Learning Phrase
Representations using RNN Encoder-Decoder for Statistical Machine Translation", EMNLP 2014). The
gate of resets multiplies a product of the state, as in Keras, cuDNN and PyTorch:

    z = sigmoid(x W_z + b_z + h U_z + c_z)
    r = sigmoid(x W_r + b_r + h U_r + c_r)
    n = tanh(x W_n + b_n + r (h U_n + c_n))
    h ← z h + (1 - z) n

Weights are those of ``keras.layers.GRU``: W of shape (row_size, 3 units), U of shape
(units, 3 units), and b and c, of shape (2, 3 units), each for z, r and n in turn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from recsim._internal import resources
from recsim.agents.networks import products

__all__ = ["Reading", "Recurrence"]

# Number of users whose rows are read together where no gradient is wanted, for memory.
_BLOCK = 512


@dataclasses.dataclass(frozen=True)
class Recurrence:
    """Which inputs of a network are rows of recent slates, and how large a state they give.

    A row that begins with 0 is of a slate that has not been, and leaves the state as it is.

    Attributes:
        start: the first column of the rows among the inputs; they follow one another there, the
            newest first.
        num_slates: number of rows.
        row_size: number of numbers in a row.
        units: number of numbers in the state, which stands in the rows' place.
    """

    start: int
    num_slates: int
    row_size: int
    units: int

    #: How many arrays its weights are.
    num_arrays: ClassVar[int] = 3

    @property
    def stop(self) -> int:
        """The column behind the rows."""
        return self.start + self.num_slates * self.row_size

    def num_outputs(self, num_inputs: int) -> int:
        """Returns how many numbers it makes of so many inputs."""
        return num_inputs - self.num_slates * self.row_size + self.units

    def initial_weights(self, rng: np.random.RandomState) -> list[np.ndarray]:
        """Returns the initial weights that Keras gives a ``GRU`` layer.

        W is uniform in ±sqrt(6 / (inputs + outputs)) (Glorot and Bengio, 2010), the rows of U are
        orthonormal (Saxe et al., 2014), and the biases 0.

        Raises:
            MemoryError: if there is no memory for training them.
        """
        outputs = 3 * self.units
        # The weights, their target's copy, and the two moments of the optimizer.
        resources.check_memory(
            16 * outputs * (self.row_size + self.units),
            f"A recurrent state of {resources.shown(self.units)} units",
            "choose fewer recurrent_units",
        )
        limit = np.sqrt(6.0 / (self.row_size + outputs))
        kernel = rng.uniform(-limit, limit, (self.row_size, outputs))
        columns, triangle = np.linalg.qr(rng.standard_normal((outputs, self.units)))
        columns *= np.sign(np.diag(triangle))  # All orthonormal columns are equally likely then.
        biases = np.zeros((2, outputs), np.float32)
        return [kernel.astype(np.float32), columns.T.astype(np.float32), biases]

    def outputs(self, weights: Sequence[np.ndarray], inputs: np.ndarray) -> np.ndarray:
        """Returns inputs with states in the place of the rows.

        Args:
            weights: its weights.
            inputs: float32 array of shape (..., num_inputs).

        Returns:
            A new float32 array of shape (..., num_outputs).
        """
        flat = inputs.reshape(-1, inputs.shape[-1])
        outputs = np.empty((len(flat), self.num_outputs(flat.shape[-1])), np.float32)
        for first in range(0, len(flat), _BLOCK):
            rows = slice(first, first + _BLOCK)
            outputs[rows] = Reading(self, weights, flat[rows], "without gradient").outputs
        return outputs.reshape(*inputs.shape[:-1], outputs.shape[-1])


class Reading:
    """The states that rows give, and what their gradient needs.

    Args:
        recurrence: where the rows are.
        weights: the weights that they are read by.
        inputs: float32 array of shape (n, num_inputs).
        name: what it is for: what is computed stands in arrays that are used again at the next
            reading with the name, see :func:`recsim.agents.networks.products.scratch`.
    """

    def __init__(
        self, recurrence: Recurrence, weights: Sequence[np.ndarray], inputs: np.ndarray, name: str
    ) -> None:
        self._recurrence, self._weights, self._name = recurrence, weights, name
        number, units, length = len(inputs), recurrence.units, recurrence.num_slates
        kernel, of_states, biases = weights
        self._rows = self._scratch("rows", length, number, recurrence.row_size)
        rows = inputs[:, recurrence.start : recurrence.stop]
        # The oldest first.
        self._rows[::-1] = rows.reshape(number, length, recurrence.row_size).transpose(1, 0, 2)
        was_none = self._rows[:, :, 0] == 0.0
        # z, r and n of each row, and the products of the states.
        self._gates = self._scratch("gates", length, number, 3 * units)
        products.product(_flat(self._rows), kernel, out=_flat(self._gates))
        self._gates += biases[0]
        self._products = self._scratch("products of states", length, number, 3 * units)
        self._states = self._scratch("states", length + 1, number, units)
        self._states[0] = 0.0
        for step in range(length):
            gates, of_state = self._gates[step], self._products[step]
            products.product(self._states[step], of_states, out=of_state)
            of_state += biases[1]
            both, candidates = gates[:, : 2 * units], gates[:, 2 * units :]
            both += of_state[:, : 2 * units]
            _apply_sigmoid(both)
            # Where there was no slate the state stays, and its gradient.
            both[was_none[step], :units] = 1.0
            candidates += both[:, units:] * of_state[:, 2 * units :]
            np.tanh(candidates, out=candidates)
            stays = both[:, :units]
            following = np.multiply(stays, self._states[step], out=self._states[step + 1])
            following += (1.0 - stays) * candidates
        #: The inputs with states in the place of the rows, float32 of shape (n, num_outputs).
        self.outputs = np.concatenate(
            [inputs[:, : recurrence.start], self._states[-1], inputs[:, recurrence.stop :]], axis=1
        )

    def _scratch(self, what: str, *shape: int) -> np.ndarray:
        return products.scratch(f"{self._name}, {what}", shape)

    def backward(self, change: np.ndarray, gradients: Sequence[np.ndarray]) -> None:
        """Writes the gradient of a function of the outputs by the weights.

        Args:
            change: the gradient by the outputs, float32 of their shape.
            gradients: arrays of the shapes of the weights, which are overwritten.
        """
        units, start = self._recurrence.units, self._recurrence.start
        of_states = self._weights[1]
        by_gates = self._scratch("change of gates", *self._gates.shape)
        by_products = self._scratch("change of products", *self._gates.shape)
        by_state = change[:, start : start + units].copy()
        before = self._scratch("change before", *by_state.shape)
        thirds = [slice(units), slice(units, 2 * units), slice(2 * units, None)]
        for step in reversed(range(self._recurrence.num_slates)):
            stays, reset, candidates = (self._gates[step][:, third] for third in thirds)
            by_stays, by_reset, by_candidates = (by_gates[step][:, third] for third in thirds)
            changes = 1.0 - stays
            changes *= by_state
            # Derivatives of the hyperbolic tangent and of the sigmoids.
            np.multiply(changes, 1.0 - candidates * candidates, out=by_candidates)
            np.multiply(changes, stays, out=by_stays)
            by_stays *= self._states[step] - candidates
            np.multiply(by_candidates, self._products[step][:, thirds[2]], out=by_reset)
            by_reset *= reset * (1.0 - reset)
            by_products[step] = by_gates[step]
            by_products[step][:, thirds[2]] *= reset
            by_state *= stays
            by_state += products.product(by_products[step], of_states.T, out=before)
        products.summed_products(_flat(self._rows), _flat(by_gates), gradients[0])
        products.summed_products(_flat(self._states[:-1]), _flat(by_products), gradients[1])
        for of_changes, gradient in zip((by_gates, by_products), gradients[2], strict=True):
            _flat(of_changes).sum(axis=0, out=gradient)


def _flat(array: np.ndarray) -> np.ndarray:
    """Returns an array of shape (steps, users, numbers) as one of rows."""
    return array.reshape(-1, array.shape[-1])


def _apply_sigmoid(array: np.ndarray) -> None:
    np.negative(array, out=array)
    with np.errstate(over="ignore"):  # Of what is beyond all floats the inverse is 0.
        np.exp(array, out=array)
    array += 1.0
    np.reciprocal(array, out=array)
