"""The settings of a run that a fingerprint leaves out: seeds, steps and the reward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from recsim import types
from recsim._internal import numbers
from recsim.simulator import fingerprint

__all__ = ["Settings", "check", "differences", "settings"]

#: Strings, integers, None, and lists of these, by name.
Settings = dict[str, Any]


def settings(env: object, max_steps_per_episode: int, **more: int) -> Settings:
    """Returns the settings of a run.

    Args:
        env: its environment, of one user or several.
        max_steps_per_episode: the runner's limit; the environment's own holds where it is smaller.
        **more: further ones.
    """
    of_one = (getattr(env, "environments", None) or [env])[0]
    env_itself = getattr(of_one, "unwrapped", of_one)
    own_limit = getattr(env_itself, "max_steps_per_episode", None)
    if own_limit is not None:
        max_steps_per_episode = min(max_steps_per_episode, int(own_limit))
    name = "reward_aggregator" if types.is_vector_env(env_itself) else "_reward_aggregator"
    reward = getattr(env_itself, name, None)
    seeds: list[Any] = []
    for seed in map(_plain, _seeds(env)):
        if seed not in seeds:
            seeds.append(seed)
    return {
        "seed": seeds[0] if len(seeds) == 1 else seeds,
        "max_steps_per_episode": max_steps_per_episode,
        "reward_aggregator": None if reward is None else fingerprint.name_of(reward),
        **more,
    }


def _seeds(env: object) -> Iterator[Any]:
    """Yields the seeds of an environment's samplers, or of a vector environment."""
    if environments := getattr(env, "environments", None):
        for inner in environments:
            yield from _seeds(inner)
    elif types.is_vector_env(env):
        yield getattr(getattr(env, "unwrapped", env), "default_seed", None)
    else:
        inner = getattr(env, "environment", env)
        for model in getattr(inner, "_user_models", ()):
            yield getattr(getattr(model, "_user_sampler", None), "_seed", None)
        yield getattr(getattr(inner, "_document_sampler", None), "_seed", None)


def _plain(seed: object) -> object:
    """Returns a seed as an integer, None, a list of integers, or else the name of its type."""
    if isinstance(seed, (int, np.integer)):
        return int(seed)
    if isinstance(seed, (list, tuple, np.ndarray)):
        return [_plain(item) for item in seed]
    return None if seed is None else type(seed).__name__


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Returns in words how two runs' settings differ, of those that both tell."""
    return [
        f"{name} was {numbers.described(old[name])} and is {numbers.described(new[name])}"
        for name in new
        if name in old and old[name] != new[name]
    ]


def check(found: object) -> None:
    """Raises ValueError for what cannot be the settings of a run."""
    if type(found) is not dict or not all(map(_is_plain, found.values())):
        raise ValueError(f"its settings are {numbers.described(found)}")


def _is_plain(value: object) -> bool:
    if type(value) is list:
        return all(map(_is_plain, value))
    # Longer integers cannot be written in decimal, as a record of an evaluation does.
    return value is None or type(value) is str or type(value) is int and abs(value) < 1 << 8192
