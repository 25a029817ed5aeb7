"""What a checkpoint of a run holds, checked before anything is restored from it."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from recsim._internal import numbers
from recsim.simulator import _run_settings

__all__ = ["check"]

# Types of what an agent's fingerprint has, and of the entries. None is for any JSON value.
_AGENT_FIELDS: dict[str, tuple[type, type | None]] = {
    "bases": (list, str),
    "sizes": (dict, int),
    "algorithms": (list, str),
    "modes": (dict, None),
    "agents": (list, dict),
    "settings": (dict, None),
}
# A custom environment need not tell all of these.
_SCENARIO_FIELDS: dict[str, type | types.UnionType] = {
    "engine": str,
    "environment": str,
    "num_users": int,
    "users": dict | list,
    "document_sampler": str,
    "num_candidates": int,
    "slate_size": int,
    "candidates": str,
    "spaces": dict,
    "settings": dict,
}
_STATISTICS = ("episode_length", "episode_time", "episode_reward")
_MOST = 2**63 - 1
# Longer ones cannot be written in decimal, as an error or a record of results does.
_MOST_BITS = 8192


def check(data: object, *, interrupted: bool = False) -> None:
    """Checks that a checkpoint's tree is that of a run.

    The states of the agent and of the environment are checked where they are restored.

    Args:
        data: the tree.
        interrupted: whether it is that of an iteration that was interrupted.

    Raises:
        ValueError: if it is something else; the error says what.
    """
    if not isinstance(data, dict):
        raise ValueError(f"it holds {type(data).__name__}, not a run")
    for name in ("current_iteration", "total_steps"):
        _check_count(f"its {name}", data.get(name, "missing"))
    if type(data.get("finished")) is not bool:
        raise ValueError(
            f"its 'finished' is {numbers.described(data.get('finished', 'missing'))}, not a bool"
        )
    _check_episode_logs(data.get("episode_logs"))
    if missing := {"agent", "environment"} - data.keys():
        raise ValueError(f"it has no {' and no '.join(sorted(missing))}")
    if "settings" in data:
        _run_settings.check(data["settings"])
    if interrupted:
        _check_interrupted(data.get("interrupted"))
    if "fingerprint" in data:
        there = data["fingerprint"]
        if not isinstance(there, dict):
            raise ValueError("its fingerprint is not a dictionary")
        _check_scenario(there.get("scenario"))
        _check_agent(there.get("agent"))


def _check_count(what: str, value: object) -> None:
    if type(value) is not int or not 0 <= value <= _MOST:
        got = numbers.described(value)
        raise ValueError(f"{what} is {got}, not an integer in [0, 2**63)")


def _check_episode_logs(logs: object) -> None:
    if type(logs) is not dict:
        raise ValueError("it has no episode_logs")
    for name, log in logs.items():
        what = f"its episode log {numbers.described(name)}"
        if not isinstance(name, str):
            raise ValueError(f"{what} has no name")
        # Earlier versions wrote the length alone.
        _check_count(f"the length of {what}", log.get("length") if isinstance(log, dict) else log)
        if isinstance(log, dict) and not isinstance(log.get("sha256"), str):
            raise ValueError(f"{what} has no sha256")


def _check_scenario(scenario: object) -> None:
    if not isinstance(scenario, dict):
        raise ValueError("its fingerprint has no scenario")
    if "engine" not in scenario:
        raise ValueError("its fingerprint's scenario has no engine")
    for name, kind in _SCENARIO_FIELDS.items():
        value = scenario.get(name)
        what = f"its fingerprint's {name}"
        if value is None:
            continue
        if kind is int:
            _check_count(what, value)
        elif not isinstance(value, kind):
            raise ValueError(f"{what} is {numbers.described(value)}")
    users = scenario.get("users")
    for parts in users if isinstance(users, list) else [users or {}]:
        named = isinstance(parts, dict) and all(
            part is None or isinstance(part, str) for part in parts.values()
        )
        if not named:
            raise ValueError(f"its fingerprint's users are {numbers.described(users)}")
    _check_json("scenario", scenario)


def _check_agent(agent: object) -> None:
    if not isinstance(agent, dict):
        raise ValueError("its fingerprint has no agent")
    if not isinstance(agent.get("type"), str):
        raise ValueError("its fingerprint's agent has no type")
    for name, (kind, entry) in _AGENT_FIELDS.items():
        if not isinstance(agent.get(name), kind):
            raise ValueError(f"its fingerprint's agent has no {name}")
        value: Any = agent[name]
        for each in value.values() if isinstance(value, dict) else value:
            if entry is int:
                _check_count(f"a number of its fingerprint's {name}", each)
            elif entry is not None and not isinstance(each, entry):
                raise ValueError(f"its fingerprint's {name} have {numbers.described(each)}")
    _check_json("agent", {name: value for name, value in agent.items() if name != "agents"})
    for inner in agent["agents"]:
        _check_agent(inner)


def _check_json(what: str, value: object) -> None:
    """Raises ValueError for what is not JSON, as all of a fingerprint is."""
    if isinstance(value, dict):
        for name, entry in value.items():
            if not isinstance(name, str):
                raise ValueError(
                    f"its fingerprint's {what} has the name {numbers.described(name)}, not a string"
                )
            _check_json(what, entry)
    elif isinstance(value, list):
        for entry in value:
            _check_json(what, entry)
    elif type(value) is int:
        if value.bit_length() > _MOST_BITS:
            raise ValueError(
                f"its fingerprint's {what} has a number of {value.bit_length():,} bits"
            )
    elif not (value is None or isinstance(value, (bool, float, str))):
        raise ValueError(
            f"its fingerprint's {what} has {numbers.described(value)}, which is not JSON"
        )


def _check_interrupted(interrupted: object) -> None:
    if not isinstance(interrupted, dict) or "steps" not in interrupted:
        raise ValueError("it does not say where the iteration was interrupted")
    _check_count("its number of steps of the interrupted iteration", interrupted["steps"])
    stats = interrupted.get("stats")
    if not isinstance(stats, dict):
        raise ValueError("it has no statistics of the iteration")
    for name in _STATISTICS:
        values = stats.get(name)
        if not isinstance(values, list) or not all(map(_is_number, values)):
            raise ValueError(f"its statistics of the iteration have no numbers as {name}")
    metrics = interrupted.get("metrics")
    of_each = metrics if isinstance(metrics, list) else [metrics]
    if not all(isinstance(each, (Mapping, list)) for each in of_each):
        raise ValueError("it has no metrics of the iteration")


def _is_number(value: object) -> bool:
    return type(value) in (int, float) or isinstance(value, (np.integer, np.floating))
