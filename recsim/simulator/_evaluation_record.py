"""What the returns of an evaluation are of: a file beside them, that tells them from others."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from typing import Any

from recsim._internal import files, json_text, resources
from recsim.simulator import _run_settings

__all__ = ["check_memory", "has_returns", "returns_path", "write"]

_logger = logging.getLogger(__name__)

# The least that an evaluation keeps of an episode: lists of return, length and time, and the file.
_BYTES_OF_EPISODE = 100


def check_memory(num_episodes: int) -> None:
    """Raises MemoryError if an evaluation of so many episodes cannot be in memory."""
    resources.check_memory(
        _BYTES_OF_EPISODE * num_episodes,
        f"{resources.shown(num_episodes)} episodes",
        "choose a smaller max_eval_episodes",
    )


def returns_path(folder: str, total_steps: int) -> str:
    """Returns the name of the file of the returns after some training steps."""
    return os.path.join(folder, f"returns_{total_steps}")


def _record_path(folder: str, total_steps: int) -> str:
    return os.path.join(folder, f"evaluated_{total_steps}.json")


def write(folder: str, total_steps: int, evaluated: dict[str, Any]) -> None:
    """Writes what returns are of, once they are there.

    A runner of a user's own may write none: then there is nothing to tell.

    Args:
        folder: the folder of the evaluation.
        total_steps: number of training steps of the agent.
        evaluated: what they are of, as :func:`has_returns` takes it.
    """
    try:
        record = {**evaluated, "returns": _sha256(returns_path(folder, total_steps))}
    except FileNotFoundError:
        return
    with files.atomic_file(_record_path(folder, total_steps)) as file:
        file.write(f"{json_text.dumps(record)}\n".encode())


def has_returns(folder: str, total_steps: int, evaluated: dict[str, Any]) -> bool:
    """Says whether returns are there from before; warns of those that are of something else.

    Args:
        folder: the folder of the evaluation.
        total_steps: number of training steps of the agent.
        evaluated: what the evaluation is of: ``fingerprint``, the SHA-256 of scenario and agent;
            ``settings``, those of the run; and ``checkpoint``, its iteration, steps and SHA-256.
    """
    returns = returns_path(folder, total_steps)
    if not os.path.exists(returns):
        return False
    reason = _reason_to_evaluate(_record_path(folder, total_steps), returns, evaluated)
    if reason is None:
        _logger.info("The returns after %d steps are there already.", total_steps)
        return True
    _logger.warning(
        "Evaluating anew after %d steps, in place of the returns in %r: %s.",
        total_steps,
        returns,
        reason,
    )
    return False


def _reason_to_evaluate(path: str, returns: str, evaluated: dict[str, Any]) -> str | None:
    """Returns in words why returns do not stand for an evaluation, None if they do."""
    try:
        with open(path, "rb") as file:
            there = json.loads(file.read())
        is_whole = there["returns"] == _sha256(returns)
        _run_settings.check(there["settings"])
    except FileNotFoundError:
        return f"{path!r} is not there to say what they are of (earlier versions wrote none)"
    except (ValueError, TypeError, KeyError) as error:
        return f"{path!r} does not say what they are of ({error!r:.100})"
    if not is_whole:
        return "they were altered"
    reasons = _run_settings.differences(there["settings"], evaluated["settings"])
    if there.get("checkpoint") != evaluated["checkpoint"]:
        reasons.insert(0, "they are of another checkpoint")
    if there.get("fingerprint") != evaluated["fingerprint"]:
        reasons.insert(0, "they are of another scenario or agent, or of other settings of these")
    return "; ".join(reasons) or None


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
