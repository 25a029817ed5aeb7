"""What gin can configure of that which is listed."""

from __future__ import annotations

import importlib

from recsim.registry import _agents, _environments

__all__ = ["import_all", "makers_of"]


def makers_of(selector: str) -> str:
    """Returns a sentence that says which agents or environments make what gin can configure.

    It is empty if nothing that is listed makes it.

    Args:
        selector: gin's full name of it.
    """
    module, _, class_name = selector.rpartition(".")
    agents = [
        name
        for name, entry in _agents.AGENTS.items()
        if module in entry.modules
        or (class_name == "TrainRunner" and entry.learns)
        or (module.rpartition(".")[0] == "recsim.agents.dopamine" and entry.plans_training)
    ]
    environments = [
        name for name, entry in _environments.ENVIRONMENTS.items() if entry.module == module
    ]
    if agents:
        return f"It is for {'such agents as ' * (len(agents) > 3)}{', '.join(agents[:3])}."
    return f"It is for the environment {environments[0]}." if environments else ""


def import_all() -> None:
    """Imports all that is listed here and the runners, so that gin knows what it can configure."""
    importlib.import_module("recsim.simulator.runner_lib")
    modules = [entry.module for entry in _environments.with_fitted().values()]
    modules += [module for agent in _agents.AGENTS.values() for module in agent.modules]
    for module in modules:
        importlib.import_module(module)
