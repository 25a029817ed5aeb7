"""Processor cores, and how many threads the libraries use that NumPy is built with."""

from __future__ import annotations

__all__ = ["ONE_THREAD", "usable_cores"]

#: The environment variables of a process that is to use one thread.
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
    ),
    "1",
)


def usable_cores() -> int:
    """Returns how many processor cores this process may use."""
    import loky

    return int(loky.cpu_count())
