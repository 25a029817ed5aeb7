"""The scenarios' ids in Gymnasium's registry, which is not imported for them.

Gymnasium looks for no plugins: an id is known once a module has registered it. That happens when
both recsim and Gymnasium are imported, in whichever order.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["IDS", "MAX_EPISODE_STEPS", "register", "register_when_imported"]

#: The scenarios by the ids of their environments.
IDS = {
    "recsim/InterestEvolution-v0": "interest_evolution",
    "recsim/InterestExploration-v0": "interest_exploration",
    "recsim/LongTermSatisfaction-v0": "long_term_satisfaction",
}

#: After how many steps episodes are truncated. In interest exploration nothing else ends them; in
#: the other scenarios the time budgets do, before the limit unless a config raises them.
MAX_EPISODE_STEPS = {
    "interest_evolution": 1000,
    "interest_exploration": 200,
    "long_term_satisfaction": 1000,
}


def register() -> None:
    """Adds the ids to Gymnasium's registry, for ``gymnasium.make`` and ``make_vec``."""
    import gymnasium

    for env_id, name in IDS.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(
                env_id,
                entry_point="recsim.simulator.gymnasium_env:make",
                vector_entry_point="recsim.simulator.gymnasium_env:make_vec",
                max_episode_steps=MAX_EPISODE_STEPS[name],
                kwargs={"environment_name": name},
            )


def register_when_imported() -> None:
    """Registers the ids now if Gymnasium is imported, or else as soon as it is."""
    if "gymnasium" in sys.modules:
        register()
    else:
        sys.meta_path.insert(0, _AfterGymnasium())


class _AfterGymnasium(MetaPathFinder):
    """Finds Gymnasium where others find it, and has the ids registered once it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "gymnasium":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                load(module)
                register()

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec
