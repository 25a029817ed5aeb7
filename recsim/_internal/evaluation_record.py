"""What the returns of an evaluation are of: a file beside them, that tells them from others."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from recsim._internal import json_text, run_settings
from recsim.simulator import _files

__all__ = ["reason_to_evaluate", "write"]


def write(path: str, returns_path: str, evaluated: dict[str, Any]) -> None:
    """Writes what returns are of, once they are there.

    Args:
        path: the file.
        returns_path: the file of the returns. A runner of a user's own may write none: then there
            is nothing to tell.
        evaluated: what they are of, as :func:`reason_to_evaluate` takes it.
    """
    try:
        record = {**evaluated, "returns": _sha256(returns_path)}
    except FileNotFoundError:
        return
    with _files.atomic_file(path) as file:
        file.write(f"{json_text.dumps(record)}\n".encode())


def reason_to_evaluate(path: str, returns_path: str, evaluated: dict[str, Any]) -> str | None:
    """Returns in words why returns from before do not stand for an evaluation, None if they do.

    Args:
        path: the file that says what they are of.
        returns_path: the file of the returns, which is there.
        evaluated: what the evaluation is of: ``fingerprint``, the SHA-256 of scenario and agent;
            ``settings``, those of the run; and ``checkpoint``, its iteration, steps and SHA-256.
    """
    try:
        with open(path, "rb") as file:
            there = json.loads(file.read())
        is_whole = there["returns"] == _sha256(returns_path)
        run_settings.check(there["settings"])
    except FileNotFoundError:
        return f"{path!r} is not there to say what they are of (earlier versions wrote none)"
    except (ValueError, TypeError, KeyError) as error:
        return f"{path!r} does not say what they are of ({error!r:.100})"
    if not is_whole:
        return "they were altered"
    reasons = run_settings.differences(there["settings"], evaluated["settings"])
    if there.get("checkpoint") != evaluated["checkpoint"]:
        reasons.insert(0, "they are of another checkpoint")
    if there.get("fingerprint") != evaluated["fingerprint"]:
        reasons.insert(0, "they are of another scenario or agent, or of other settings of these")
    return "; ".join(reasons) or None


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
