"""What a checkpoint of a run holds, checked before anything is restored from it."""

from __future__ import annotations

from typing import Any

__all__ = ["check"]

_AGENT_FIELDS: dict[str, type] = {
    "type": str,
    "bases": list,
    "sizes": dict,
    "algorithms": list,
    "modes": dict,
    "agents": list,
    "settings": dict,
}


def check(data: Any, *, interrupted: bool = False) -> None:
    """Checks that a checkpoint's tree is that of a run.

    Args:
        data: the tree.
        interrupted: whether it is that of an iteration that was interrupted.

    Raises:
        ValueError: if it is something else; the error says what.
    """
    if not isinstance(data, dict):
        raise ValueError(f"it holds {type(data).__name__}, not a run")
    for name in ("current_iteration", "total_steps"):
        if type(data.get(name)) is not int or data[name] < 0:
            raise ValueError(
                f"its {name} is {data.get(name, 'missing')!r:.80}, not an integer >= 0"
            )
    if type(data.get("finished")) is not bool:
        raise ValueError(f"its 'finished' is {data.get('finished', 'missing')!r:.80}")
    if type(data.get("episode_logs")) is not dict:
        raise ValueError("it has no episode_logs")
    if missing := {"agent", "environment"} - data.keys():
        raise ValueError(f"it has no {' and no '.join(sorted(missing))}")
    if interrupted:
        _check_interrupted(data.get("interrupted"))
    if "fingerprint" in data:
        there = data["fingerprint"]
        if not isinstance(there, dict) or not isinstance(there.get("scenario"), dict):
            raise ValueError("its fingerprint has no scenario")
        if "engine" not in there["scenario"]:
            raise ValueError("its fingerprint's scenario has no engine")
        _check_agent(there.get("agent"))


def _check_agent(agent: Any) -> None:
    if not isinstance(agent, dict):
        raise ValueError("its fingerprint has no agent")
    for name, kind in _AGENT_FIELDS.items():
        if not isinstance(agent.get(name), kind):
            raise ValueError(f"its fingerprint's agent has no {name}")
    for inner in agent["agents"]:
        _check_agent(inner)


def _check_interrupted(interrupted: Any) -> None:
    if not isinstance(interrupted, dict) or type(interrupted.get("steps")) is not int:
        raise ValueError("it does not say where the iteration was interrupted")
    stats = interrupted.get("stats")
    if not isinstance(stats, dict) or not all(isinstance(each, list) for each in stats.values()):
        raise ValueError("it has no statistics of the iteration")
    if not isinstance(interrupted.get("metrics"), (dict, list)):
        raise ValueError("it has no metrics of the iteration")
