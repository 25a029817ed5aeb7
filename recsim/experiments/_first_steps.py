"""The first steps of an agent, run before all else to see whether they work and what they take."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from recsim import types
from recsim.simulator import recsim_gym, rollout

__all__ = ["length_of_episodes", "peak_memory", "run", "seconds_a_step"]

_STEPS = 3
# How long a speed or a length is measured.
_SECONDS = 0.3


def run(agent: types.AnyAgent, env: types.AnyEnv) -> None:
    """Lets an agent recommend for some steps in an environment, a vector agent in a vector one."""
    if types.is_vector_env(env):
        first_steps = rollout.VectorRollout(env, cast(types.VectorAgent, agent))
        first_steps.reset()
        for _ in range(_STEPS):
            first_steps.step()
    else:
        single_user = cast(types.RecommenderEnv, env), cast(types.SlateAgent, agent)
        rollout.run_episode(*single_user, max_steps=_STEPS)


def peak_memory(create: Callable[[], tuple[types.AnyAgent, types.AnyEnv]]) -> int:
    """Returns the most bytes that an agent and its environment take until their first steps end.

    Args:
        create: makes them.
    """
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        run(*create())
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not was_tracing:
            tracemalloc.stop()


def length_of_episodes(env: types.AnyEnv, most: int) -> int:
    """Returns how many steps episodes have on average whose slates are the first documents.

    Args:
        env: an environment, or a vector environment.
        most: the greatest number of steps of an episode, which is returned where no episode ends
            in the time of the measurement.
    """
    agent: _FirstDocuments | _VectorFirstDocuments
    with contextlib.suppress(_TimeIsUpError):
        if types.is_vector_env(env):
            slates = np.tile(_first_documents(env.single_action_space), (env.num_envs, 1))
            agent = _VectorFirstDocuments(slates)
            endless = rollout.VectorRollout(env, agent, follows_episodes=False)
            endless.reset()
            while True:
                endless.step()
        single_user = cast(recsim_gym.RecSimGymEnv, env)
        agent = _FirstDocuments(_first_documents(single_user.action_space))
        while True:
            rollout.run_episode(single_user, agent)
    return min(most, -(-agent.num_steps // agent.ended)) if agent.ended else most


def _first_documents(action_space: types.Space) -> np.ndarray:
    return np.arange(len(cast(types.SlateSpace, action_space).nvec))


class _TimeIsUpError(Exception):
    """The time of a measurement is up."""


class _Counter:
    """Counts steps and ends of episodes until the time is up."""

    def __init__(self) -> None:
        self._deadline = time.perf_counter() + _SECONDS
        self.num_steps = self.ended = 0

    def _count(self, num_steps: int, ended: int) -> None:
        self.num_steps += num_steps
        self.ended += ended
        if time.perf_counter() >= self._deadline:
            raise _TimeIsUpError


class _FirstDocuments(_Counter):
    """An agent that shows the first documents."""

    def __init__(self, slate: np.ndarray) -> None:
        super().__init__()
        self._slate: types.Slate = slate.tolist()

    def begin_episode(self, observation: types.Observation) -> types.Slate:
        return self._slate

    def step(self, reward: float, observation: types.Observation) -> types.Slate:
        self._count(1, 0)
        return self._slate

    def end_episode(self, reward: float, observation: types.Observation) -> None:
        self._count(1, 1)


class _VectorFirstDocuments(_Counter):
    """A vector agent that shows the first documents."""

    def __init__(self, slates: np.ndarray) -> None:
        super().__init__()
        self.num_envs = len(slates)
        self._slates = slates

    def begin(self, observation: types.Observation) -> np.ndarray:
        return self._slates

    def step(
        self,
        observation: types.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: Mapping[str, Any],
    ) -> np.ndarray:
        self._count(self.num_envs, int((terminated | truncated).sum()))
        return self._slates


def seconds_a_step(agent: types.AnyAgent, env: types.AnyEnv) -> float:
    """Returns how long an agent and its environment take for a step of a user, at least.

    Args:
        agent: a new agent; a vector agent in a vector environment.
        env: the environment.
    """
    run(agent, env)  # What the first time alone takes, as imports do, does not count.
    fastest = np.inf
    deadline = time.perf_counter() + _SECONDS
    while time.perf_counter() < deadline:
        begin = time.perf_counter()
        run(agent, env)
        fastest = min(fastest, (time.perf_counter() - begin) / _STEPS)
    return fastest / (env.num_envs if types.is_vector_env(env) else 1)
