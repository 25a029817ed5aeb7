"""What a checkpoint says of its world, so that it is not taken into another one unnoticed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from recsim.vector import _conversion

__all__ = [
    "SEEN_BY_AGENTS",
    "differences",
    "identity",
    "parts_without_generator",
    "vector_identity",
]

#: What an evaluation must have in common with the training.
SEEN_BY_AGENTS = ("slate_size", "user space", "response space", "document space")

_MAX_LENGTH = 100


def identity(env: Any) -> dict[str, str]:
    """Returns what tells an environment from those of other worlds, as far as it can be asked.

    Seeds are no part of it: the same world has other users under another seed.

    Args:
        env: a RecSimGymEnv, or what behaves like one.
    """
    questions: dict[str, Callable[[], Any]] = {
        "slate_size": lambda: env.environment.slate_size,
        "num_candidates": lambda: env.environment.num_candidates,
        "user space": lambda: env.observation_space["user"],
        "response space": lambda: env.observation_space["response"],
        # The keys of documents are their IDs, which are different at every step.
        "document space": lambda: next(iter(env.observation_space["doc"].spaces.values())),
        "action space": lambda: env.action_space,
        "environment": lambda: type(env.environment).__name__,
        "user models": lambda: [type(m).__name__ for m in env.environment._user_models],
        "document sampler": lambda: type(env.environment._document_sampler).__name__,
    }
    return _answers(questions)


def vector_identity(env: Any) -> dict[str, str]:
    """Returns the like of a vector environment.

    Args:
        env: a RecSimVectorEnv, or what behaves like one.
    """
    world = env.unwrapped
    questions: dict[str, Callable[[], Any]] = {
        "num_envs": lambda: env.num_envs,
        "slate_size": lambda: world.slate_size,
        "num_candidates": lambda: world.num_candidates,
        "action space": lambda: env.single_action_space,
        "candidates": lambda: world.candidates,
        "environment": lambda: type(world).__name__,
        "user model": lambda: type(world.user_model).__name__,
        "document sampler": lambda: type(world.document_sampler).__name__,
    }
    return {**_answers(questions), **_answers(_seen_by_agents(env))}


def _seen_by_agents(env: Any) -> dict[str, Callable[[], Any]]:
    """Returns what a single-user environment of the same scenario answers alike.

    So the agent of one can be evaluated in the other.
    """

    def space() -> Any:
        return _conversion.single_user_space(env.single_observation_space)

    return {
        "user space": lambda: space()["user"],
        "response space": lambda: space()["response"],
        "document space": lambda: next(iter(space()["doc"].spaces.values())),
    }


def _answers(questions: Mapping[str, Callable[[], Any]]) -> dict[str, str]:
    answers = {}
    for name, ask in questions.items():
        with contextlib.suppress(Exception):  # A custom environment need not know all of it.
            answers[name] = str(ask())
    return answers


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Returns in words what two identities have both, but not in common."""
    return [
        f"{name} was {_shortened(old[name])} and is {_shortened(new[name])}"
        for name in old
        if new.get(name, old[name]) != old[name]
    ]


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}…"


def parts_without_generator(state: Any, part: str = "the environment") -> Iterator[str]:
    """Yields the parts of a world whose ``checkpoint_state`` has None for a generator."""
    if isinstance(state, Mapping):
        if state.get("rng", state) is None:
            yield part
        for name, value in state.items():
            yield from parts_without_generator(value, str(name))
    elif isinstance(state, list):
        for i, value in enumerate(state):
            yield from parts_without_generator(value, f"{part}[{i}]")
