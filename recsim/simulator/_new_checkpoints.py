"""Waiting for the checkpoints of a training that may still run."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

from recsim.simulator import checkpoint

__all__ = ["new_checkpoints"]

_logger = logging.getLogger(__name__)


def new_checkpoints(
    checkpoints: checkpoint.Checkpointer, wanted: str, interval: float, timeout: float
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the newest checkpoint whenever there is a newer one, until none comes in time.

    Args:
        checkpoints: those of the training.
        wanted: what is waited for, for messages.
        interval: seconds between two looks.
        timeout: seconds to wait for a checkpoint.

    Yields:
        Iterations and checkpoints.

    Raises:
        TimeoutError: if there is none at all in time.
    """
    last = -1
    while (newest := _newer_than(last, checkpoints, wanted, interval, timeout)) is not None:
        last = newest[0]
        yield newest


def _newer_than(
    iteration: int,
    checkpoints: checkpoint.Checkpointer,
    wanted: str,
    interval: float,
    timeout: float,
) -> tuple[int, dict[str, Any]] | None:
    """Returns the newest checkpoint and its iteration, None if none comes in time."""
    if iteration >= 0:
        wanted += f" after that of iteration {iteration}"
    deadline = time.monotonic() + timeout
    waiting = False
    while True:
        if checkpoints.iterations()[-1:] > [iteration]:
            newest = checkpoints.load_newest()
            if newest is not None and newest[0] > iteration:
                return newest
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            break
        if not waiting:
            waiting = True
            _logger.warning("Waiting up to %g s for %s.", timeout, wanted)
        time.sleep(min(max(interval, 0.01), remaining))
    if iteration < 0:
        raise TimeoutError(
            f"No training run saved {wanted} within {timeout:g} s (timeout_secs). "
            "Start the training, correct train_base_dir, or set test_mode=True where there is "
            "no training run to evaluate the agent as it is created."
        )
    _logger.warning(
        "No training run saved %s within %g s (timeout_secs): the evaluation ends here.",
        wanted,
        timeout,
    )
    return None
