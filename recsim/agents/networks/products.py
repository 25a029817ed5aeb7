"""Products of matrices for small networks, in blocks and in arrays that are used again."""

from __future__ import annotations

import math
import threading

import numpy as np

__all__ = ["product", "scratch", "stacked_product", "summed_products", "users_of_block"]

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
    if size is None or number <= size or not inputs:
        return np.matmul(rows, kernel, out=out)
    whole = number - number % size
    blocks = rows[:whole].reshape(-1, size, inputs)
    np.matmul(blocks, kernel, out=out[:whole].reshape(-1, size, outputs))
    if whole < number:
        np.matmul(rows[whole:], kernel, out=out[whole:])
    return out


def stacked_product(stack: np.ndarray, kernel: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Writes ``stack @ kernel``; matrices that are not small are computed as in :func:`product`.

    Args:
        stack: contiguous float32 array of shape (..., n, inputs).
        kernel: float32 array of shape (inputs, outputs).
        out: contiguous float32 array of shape (..., n, outputs), which is returned.
    """
    if stack.ndim > 2 and stack.shape[-2] * kernel.size <= _IN_ONE_THREAD:
        return np.matmul(stack, kernel, out=out)
    inputs, outputs = kernel.shape
    flat = out.reshape(-1, outputs)
    product(stack.reshape(len(flat), inputs), kernel, flat)
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
    if size is None or number <= size or not inputs:
        np.matmul(rows.T, others, out=out)
        return
    whole = number - number % size
    blocks = rows[:whole].reshape(-1, size, inputs).transpose(0, 2, 1)
    products = scratch("products", (len(blocks), inputs, outputs))
    np.matmul(blocks, others[:whole].reshape(-1, size, outputs), out=products)
    np.add.reduce(products, axis=0, out=out)
    if whole < number:
        out += rows[whole:].T @ others[whole:]
