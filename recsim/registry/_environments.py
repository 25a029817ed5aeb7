"""The environments by name, and what makes them."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from recsim.registry import _agents, _entries

if TYPE_CHECKING:
    from recsim.simulator import recsim_gym
    from recsim.vector import env as vector_env

__all__ = [
    "ENVIRONMENTS",
    "FITTED",
    "create_environment",
    "create_vector_environment",
    "environment_entry",
    "is_folder",
    "with_fitted",
]

_BOREDOM_VARIANTS = (
    *("single_static", "single_bored_drifting", "single_uncertain"),
    *("slate_bored", "slate_bored_drifting", "slate_uncertain", "rerank_static", "rerank_bored"),
    *("top_down_focused", "top_down_diffuse", "mixed_focused", "mixed_diffuse"),
    *("divpen_focused", "divpen_diffuse"),
)

ENVIRONMENTS: dict[str, _entries.EnvironmentEntry] = {
    "interest_exploration": _entries.EnvironmentEntry(
        "recsim.environments.interest_exploration",
        "users of hidden types, whose niche interests exploration must find",
        "clicks",
        gymnasium_id="recsim/InterestExploration-v0",
        max_episode_steps=200,
    ),
    "interest_evolution": _entries.EnvironmentEntry(
        "recsim.environments.interest_evolution",
        "videos change what users like and how long they stay",
        "minutes watched",
        gymnasium_id="recsim/InterestEvolution-v0",
        max_episode_steps=1000,
    ),
    "long_term_satisfaction": _entries.EnvironmentEntry(
        "recsim.environments.long_term_satisfaction",
        "clickbait engages users now and wears them out later",
        "engagement",
        gymnasium_id="recsim/LongTermSatisfaction-v0",
        max_episode_steps=1000,
    ),
    "topic_boredom": _entries.EnvironmentEntry(
        "recsim.environments.topic_boredom",
        "users click several items of a slate, and some topics too often",
        "clicks",
        gymnasium_id="recsim/TopicBoredom-v0",
        max_episode_steps=1000,
        variants=_BOREDOM_VARIANTS,
    ),
}

FITTED = _entries.EnvironmentEntry(
    "recsim.environments.fitted",
    "users of your own log; its name is the folder of recsim fit",
    "clicks",
    gymnasium_id="recsim/Fitted-v0",
    max_episode_steps=1000,
)
_FITTED_NAME = "fitted"


def with_fitted() -> dict[str, _entries.EnvironmentEntry]:
    """Returns the environments by name, the fitted one among them."""
    return {**ENVIRONMENTS, _FITTED_NAME: FITTED}


def environment_entry(name: str | os.PathLike[str]) -> _entries.EnvironmentEntry:
    """Returns the entry of an environment.

    Args:
        name: a key of :data:`ENVIRONMENTS`; 'fitted' for :data:`FITTED`; an id in Gymnasium's
            registry, which a variant of a scenario has too, such as
            'recsim/TopicBoredom-SlateBored-v0'; or the path of the folder of a fitted scenario.

    Raises:
        FileNotFoundError: for a folder that is not there, or that has no scenario.
        ValueError: for a name that is not known, naming the nearest one, or a damaged folder.
    """
    if is_folder(name):
        return _fitted_entry(name)
    named, ids = with_fitted(), _gymnasium_ids()
    if isinstance(name, str) and name not in named and name in ids:
        of, variant = ids[name]
        return named[of] if variant is None else _variant_entry(named[of], variant)
    likes = {gymnasium_id: gymnasium_id for gymnasium_id in ids}
    for gymnasium_id, (of, variant) in ids.items():
        if variant is not None:  # Its own name is like its id.
            likes |= {variant: gymnasium_id, f"{of}/{variant}": gymnasium_id}
    return _entries.look_up("environment", named, cast("str", name), likes)


def _gymnasium_ids() -> dict[str, tuple[str, str | None]]:
    """Returns the ids in Gymnasium's registry: each with the scenario's name and the variant."""
    ids: dict[str, tuple[str, str | None]] = {}
    for name, entry in with_fitted().items():
        for gymnasium_id, variant in entry.gymnasium_ids().items():
            ids.setdefault(gymnasium_id, (name, variant))
    return ids


def _variant_entry(entry: _entries.EnvironmentEntry, variant: str) -> _entries.EnvironmentEntry:
    created: Any = functools.partial(_create_variant, entry, variant)
    return dataclasses.replace(
        entry,
        description=f"{entry.description} ({variant})",
        gymnasium_id=None,
        create=created,
        create_vector=created,
        variants=(),
        variant=variant,
    )


def _create_variant(
    entry: _entries.EnvironmentEntry,
    variant: str,
    env_config: Mapping[str, object],
    *num_envs: int,
    **options: object,
) -> object:
    """Makes an environment of a variant, of as many users as are given, or of one."""
    module = importlib.import_module(entry.module)
    config = {**module.VARIANTS[variant], **env_config}
    if num_envs:
        return (entry.create_vector or module.create_vector_environment)(
            config, *num_envs, **options
        )
    return (entry.create or module.create_environment)(config)


def is_folder(name: object) -> bool:
    """Says whether a name of an environment is the path of a folder, there or not."""
    if isinstance(name, os.PathLike):
        return True
    if not isinstance(name, str) or name in {*with_fitted(), *_agents.AGENTS}:
        return False
    ids = _gymnasium_ids()
    if name in ids:
        return False
    if os.path.exists(name):
        return os.path.isdir(name)
    namespace, _, version = name.partition("/")
    like_an_id = version and namespace in {each.partition("/")[0] for each in ids}
    if like_an_id or namespace in with_fitted():
        return False
    return ("/" in name or os.sep in name) and ":" not in name and not name.endswith(".py")


def _fitted_entry(path: str | os.PathLike[str]) -> _entries.FittedEntry:
    from recsim._internal import paths
    from recsim.environments import fitted

    folder = paths.absolute("environment", path)
    content = fitted.load(folder).sha256
    created: Any = functools.partial(_create_fitted, folder, content)
    return _entries.FittedEntry(
        FITTED.module,
        f"fitted to a log: {os.path.basename(folder)}",
        FITTED.reward,
        max_episode_steps=FITTED.max_episode_steps,
        create=created,
        create_vector=created,
        folder=folder,
        content=content,
    )


def _create_fitted(
    folder: str, content: str, env_config: Mapping[str, object], *num_envs: int, **options: Any
) -> object:
    """Makes an environment of a fitted scenario, of as many users as are given, or of one."""
    from recsim.environments import fitted

    scenario = fitted.scenario_of({**env_config, "path": folder})
    found = scenario.options.content
    if found != content:
        raise ValueError(
            f"The fitted scenario in {folder!r} has changed since it was first read (its SHA-256 "
            f"was {content[:12]}… and is {found[:12]}…): keep each scenario in a folder of its own."
        )
    config = {**env_config, "fitted": scenario.fitted}
    if num_envs:
        return fitted.create_vector_environment(config, *num_envs, **options)
    return fitted.create_environment(config)


def create_environment(name: str, env_config: Mapping[str, Any]) -> recsim_gym.RecSimGymEnv:
    """Makes an environment.

    Args:
        name: a name or a folder, see :func:`environment_entry`.
        env_config: the config of its ``create_environment``, with ``num_candidates``,
            ``slate_size``, ``resample_documents`` and ``seed``. It goes before that of a variant,
            which may lack none but the seed.

    Raises:
        KeyError, TypeError, ValueError: if the name is unknown, or the config is not valid.
    """
    entry = environment_entry(name)
    create = entry.create or importlib.import_module(entry.module).create_environment
    return create(env_config)


def create_vector_environment(
    name: str, env_config: Mapping[str, Any], num_envs: int, **options: Any
) -> vector_env.RecSimVectorEnv:
    """Makes an environment of users in parallel.

    Args:
        name: a name or a folder, see :func:`environment_entry`.
        env_config: as :func:`create_environment` takes it.
        num_envs: number of users.
        **options: of the scenario's ``create_vector_environment``.

    Raises:
        KeyError, TypeError, ValueError: if the name is unknown, or the config is not valid.
    """
    entry = environment_entry(name)
    create = entry.create_vector or importlib.import_module(entry.module).create_vector_environment
    return create(env_config, num_envs, **options)
