"""The network that estimates values, evaluated by NumPy.

Acting and targets need many forward passes of a small network, for which a call of TensorFlow
costs many times what the arithmetic does. For gradients see
:mod:`recsim.agents.dopamine.gradients`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import numpy as np

from recsim._internal import resources

__all__ = ["QNetwork", "product", "scratch", "summed_products", "users_of_block"]

# Number of users whose values are best computed together, for what the network computes for them
# stays in a processor's cache; fewer where they have more documents together, for memory.
_BLOCK = 64
_MOST_DOCUMENTS = 2**16

# OpenBLAS computes products of at most so many multiplications in one thread.
_IN_ONE_THREAD = 2**18
# Of fewer rows, blocks cost more than several threads gain.
_FEWEST_ROWS = 8


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}


_scratch = _Scratch()


def scratch(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns a float32 array that holds anything, until the thread asks for the name again.

    The system hands out memory for arrays of a hundred kilobytes page by page, and takes it back
    when they are no longer used, which takes longer than what is computed in them.

    Args:
        name: what it is for.
        shape: its shape.
    """
    size = math.prod(shape)
    kept = _scratch.arrays.get(name)
    if kept is None or len(kept) < size:
        kept = _scratch.arrays[name] = np.empty(size, np.float32)
    return kept[:size].reshape(shape)


def users_of_block(num_documents: int) -> int:
    """Returns for how many users to compute values together, who have so many documents each."""
    return max(1, min(_BLOCK, _MOST_DOCUMENTS // max(1, num_documents)))


def _rows_of_block(inputs: int, outputs: int) -> int | None:
    """Returns how many rows to multiply at once, None for all."""
    rows = _IN_ONE_THREAD // max(1, inputs * outputs)
    return rows if rows >= _FEWEST_ROWS else None


def product(rows: np.ndarray, kernel: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Writes ``rows @ kernel`` to an array, in blocks that BLAS computes in one thread each.

    Results then do not depend on the number of threads, nor the speed on what else the machine
    does. Kernels of more than 32,768 numbers take rows all together, in as many threads as BLAS
    uses.

    Args:
        rows: float32 array of shape (n, inputs).
        kernel: float32 array of shape (inputs, outputs).
        out: float32 array of shape (n, outputs), which is returned.
    """
    inputs, outputs = kernel.shape
    size = _rows_of_block(inputs, outputs)
    number = len(rows)
    if size is None or number <= size:
        return np.matmul(rows, kernel, out=out)
    whole = number - number % size
    blocks = rows[:whole].reshape(-1, size, inputs)
    np.matmul(blocks, kernel, out=out[:whole].reshape(-1, size, outputs))
    if whole < number:
        np.matmul(rows[whole:], kernel, out=out[whole:])
    return out


def _stacked_product(stack: np.ndarray, kernel: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Writes ``stack @ kernel``; matrices that are not small are computed as in :func:`product`."""
    if stack.ndim > 2 and stack.shape[-2] * kernel.size <= _IN_ONE_THREAD:
        return np.matmul(stack, kernel, out=out)
    inputs, outputs = kernel.shape
    product(stack.reshape(-1, inputs), kernel, out.reshape(-1, outputs))
    return out


def summed_products(rows: np.ndarray, others: np.ndarray, out: np.ndarray) -> None:
    """Writes ``rows.T @ others`` to an array, block by block as in :func:`product`.

    Args:
        rows: float32 array of shape (n, inputs).
        others: float32 array of shape (n, outputs).
        out: float32 array of shape (inputs, outputs).
    """
    inputs, outputs = out.shape
    size = _rows_of_block(inputs, outputs)
    number = len(rows)
    if size is None or number <= size:
        np.matmul(rows.T, others, out=out)
        return
    whole = number - number % size
    blocks = rows[:whole].reshape(-1, size, inputs).transpose(0, 2, 1)
    products = scratch("products", (len(blocks), inputs, outputs))
    np.matmul(blocks, others[:whole].reshape(-1, size, outputs), out=products)
    np.add.reduce(products, axis=0, out=out)
    if whole < number:
        out += rows[whole:].T @ others[whole:]


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
                It is overwritten, and contiguous. NumPy multiplies each matrix (rows, num_units)
                by itself, so that a user's values do not depend on the others'; large ones are
                multiplied as in :func:`product`.

        Returns:
            Array of shape (..., rows).
        """
        for number, (kernel, bias) in enumerate(zip(self.weights[2::2], self.weights[3::2])):
            np.maximum(hidden, 0.0, out=hidden)
            outputs = scratch(f"outputs {number}", (*hidden.shape[:-1], len(bias)))
            hidden = _stacked_product(hidden, kernel, outputs)
            hidden += bias
        return hidden[..., 0].copy()
