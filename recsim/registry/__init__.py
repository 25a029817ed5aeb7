"""Names of environments, agents and reproductions: what the command line lists, makes and runs.

An entry imports what it makes when it makes it. To run an agent of your own by its name, add it to
:data:`AGENTS`::

    def create_my_agent(environment, *, seed, eval_mode, summary_writer):
        return MyAgent(environment.action_space, seed)

    registry.AGENTS["my_agent"] = registry.AgentEntry(create_my_agent, "a line on the agent")
"""

from __future__ import annotations

from recsim.registry import _agents, _environments, _reproductions
from recsim.registry._agents import agent_entry, create_agent, create_vector_agent
from recsim.registry._configurables import import_all, makers_of
from recsim.registry._entries import (
    AgentEntry,
    EnvironmentEntry,
    FittedEntry,
    ReproductionEntry,
)
from recsim.registry._environments import (
    create_environment,
    create_vector_environment,
    environment_entry,
    is_folder,
)
from recsim.registry._gymnasium import register_in_gymnasium
from recsim.registry._own import own_entries, set_own_entries
from recsim.registry._reproductions import reproduction_entry

__all__ = [
    "AGENTS",
    "ENVIRONMENTS",
    "FITTED",
    "REPRODUCTIONS",
    "AgentEntry",
    "Entry",
    "EnvironmentEntry",
    "FittedEntry",
    "ReproductionEntry",
    "agent_entry",
    "create_agent",
    "create_environment",
    "create_vector_agent",
    "create_vector_environment",
    "environment_entry",
    "import_all",
    "is_folder",
    "makers_of",
    "own_entries",
    "register_in_gymnasium",
    "reproduction_entry",
    "set_own_entries",
]

#: What is listed here.
Entry = EnvironmentEntry | AgentEntry | ReproductionEntry

#: The environments by name. Time budgets end the episodes of all but interest exploration before
#: the limits here, unless a config raises them; in that scenario nothing else ends an episode.
ENVIRONMENTS = _environments.ENVIRONMENTS

#: The scenarios that are fitted to logs: its environments need ``path`` in their config, the folder
#: that ``recsim fit`` wrote. The path of such a folder is as good as a name.
FITTED = _environments.FITTED

#: The agents by name.
AGENTS = _agents.AGENTS

#: The reproductions of published results by name.
REPRODUCTIONS = _reproductions.REPRODUCTIONS

# Where pickles look for them, and what their names are in messages.
for _class in (AgentEntry, EnvironmentEntry, FittedEntry, ReproductionEntry):
    _class.__module__ = __name__
