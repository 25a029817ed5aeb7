"""What the registry has of each environment, agent and reproduction."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from recsim._internal import validation

if TYPE_CHECKING:
    from recsim import types
    from recsim.reproductions import base
    from recsim.simulator import recsim_gym
    from recsim.vector import env as vector_env

__all__ = ["AgentEntry", "EnvironmentEntry", "FittedEntry", "ReproductionEntry", "look_up"]


@dataclasses.dataclass(frozen=True)
class EnvironmentEntry:
    """A scenario.

    Attributes:
        module: path of the module that has its ``create_environment``.
        description: a line on it.
        reward: what its rewards count, in the plural.
        gymnasium_id: its id in Gymnasium's registry, see :func:`register_in_gymnasium`; None for
            none.
        max_episode_steps: after how many steps Gymnasium truncates its episodes; None for no limit.
        create: what makes it in place of the module's ``create_environment``; None for that.
        create_vector: likewise in place of its ``create_vector_environment``.
        variants: the names of the configs in ``VARIANTS`` of its module. Gymnasium knows each by an
            id of its own, such as ``recsim/TopicBoredom-SlateBored-v0`` for ``slate_bored``.
        variant: the one of them that it makes; None for the scenario without one.
    """

    module: str
    description: str
    reward: str
    gymnasium_id: str | None = None
    max_episode_steps: int | None = None
    create: Callable[[Mapping[str, object]], recsim_gym.RecSimGymEnv] | None = None
    create_vector: Callable[..., vector_env.RecSimVectorEnv] | None = None
    variants: tuple[str, ...] = ()
    variant: str | None = None

    def config(self) -> dict[str, Any]:
        """Returns what its config has where nothing else is said: the sizes, and its variant's."""
        sizes = {"num_candidates": 10, "slate_size": 2, "resample_documents": True}
        if self.variant is None:
            return sizes
        return {**sizes, **importlib.import_module(self.module).VARIANTS[self.variant]}

    def gymnasium_ids(self) -> dict[str, str | None]:
        """Returns its ids in Gymnasium's registry, with the variant that each is of, or None."""
        if self.gymnasium_id is None:
            return {}
        name, dash, version = self.gymnasium_id.rpartition("-v")
        if not dash:
            name, version = version, ""
        of_variants: dict[str, str | None] = {
            f"{name}-{variant.title().replace('_', '')}{dash}{version}": variant
            for variant in self.variants
        }
        return {self.gymnasium_id: None, **of_variants}


@dataclasses.dataclass(frozen=True)
class FittedEntry(EnvironmentEntry):
    """A scenario that was fitted to a log.

    Attributes:
        folder: path of its folder, absolute.
        content: SHA-256 of what is in there. Another content is refused when an environment is
            made: it would be another scenario under the same name.
    """

    folder: str = ""
    content: str = ""

    @property
    def source_digest(self) -> str:
        """What tells the scenario from others, for records of results."""
        return self.content


@dataclasses.dataclass(frozen=True)
class AgentEntry:
    """An agent.

    Attributes:
        create: function ``(environment, *, seed, eval_mode, summary_writer)`` that makes it, and
            raises ValueError if it cannot recommend in that environment.
        description: a line on it.
        learns: whether it learns from one episode for the next, so that it has to be trained.
        environment: name of the scenario that it is meant for, None if it suits any. By default
            ``recsim run`` trains an agent that learns until it is better than chance there.
        plans_training: whether ``create`` and ``create_vector`` take ``training_steps`` too: the
            number of steps that the agent will be trained for, or None.
        modules: paths of the modules that have what gin can configure of it.
        create_vector: the like of ``create`` for vector environments; None if it has no vector
            form.
        recurrent: whether they take ``recurrent_units`` too: the size of a recurrent state.
        averages_slates: whether ``+recent5`` shows it the average of the slates, not each of them.
    """

    create: Callable[..., types.SlateAgent]
    description: str
    learns: bool = False
    modules: tuple[str, ...] = ()
    create_vector: Callable[..., types.VectorAgent] | None = None
    environment: str | None = None
    plans_training: bool = False
    recurrent: bool = False
    averages_slates: bool = False


@dataclasses.dataclass(frozen=True)
class ReproductionEntry:
    """A reproduction of published results.

    Attributes:
        module: path of its module.
        class_name: its :class:`recsim.reproductions.base.Reproduction` there.
        description: a line on it.
    """

    module: str
    class_name: str
    description: str

    def load(self) -> type[base.Reproduction]:
        """Imports the class."""
        loaded: type[base.Reproduction] = getattr(
            importlib.import_module(self.module), self.class_name
        )
        return loaded


_Entry = TypeVar("_Entry", EnvironmentEntry, AgentEntry, ReproductionEntry)


def look_up(
    kind: str,
    entries: Mapping[str, _Entry],
    name: str,
    other_names: Mapping[str, str] | None = None,
) -> _Entry:
    """Returns the entry of a name, or raises ValueError naming the nearest one.

    Args:
        kind: what has the names.
        entries: the entries by name.
        name: the name.
        other_names: names that are known too, by what is like them.
    """
    if isinstance(name, str) and name in entries:
        return entries[name]
    others = other_names or {}
    nearest = validation.nearest_name(name, {**dict.fromkeys(entries), **others})
    for like, other in others.items():
        nearest = nearest.replace(repr(like), repr(other))
    raise ValueError(
        f"There is no {kind} {name!r}.{nearest} Known are: {', '.join(entries)}"
        f"{' and the ids of Gymnasium, see recsim list' if others else ''}."
    )
