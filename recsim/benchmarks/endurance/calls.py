"""Calls of the public interface with absurd arguments: refused by clear errors, or right."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recsim import registry, types
from recsim.benchmarks.endurance import fuzzing, results
from recsim.experiments import experiment
from recsim.simulator import recsim_gym, runner_lib
from recsim.vector import simulate

__all__ = ["run"]

_CONFIG = {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0}
_AGENTS = ("random", "softmax", "cluster_bandit_ts", "tabular_q", "slate_topk_sarsa")


@dataclasses.dataclass(frozen=True)
class _Call:
    """What is called.

    Attributes:
        group: what it is an example of.
        function: the function.
        good: arguments that it takes.
    """

    group: str
    function: Callable[..., object]
    good: Mapping[str, Any]


def run(folder: str, cases: int, seed: int) -> results.Phase:
    """Makes calls.

    Args:
        folder: an empty folder, where files of absurd names go.
        cases: number of calls of each group.
        seed: of the arguments.
    """
    rng = np.random.default_rng(seed)
    calls: dict[str, list[_Call]] = collections.defaultdict(list)
    for call in _calls():
        calls[call.group].append(call)
    rows, problems = [], []
    with contextlib.chdir(folder):
        for group, of_group in calls.items():
            faults = []
            for _ in range(cases):
                call = of_group[rng.integers(len(of_group))]
                arguments = fuzzing.random_call(rng, call.good)
                faults.append(fuzzing.fault_of_call(group, call.function, call.good, arguments))
            found = [fault for fault in faults if fault is not None]
            rows.append([group, str(cases), str(cases - len(found)), str(len(found))])
            problems += [f"{group}, {fault.arguments}: {fault.reason}" for fault in found]
    return results.Phase(
        ["calls", "cases", "right or refused", "wrong"],
        rows,
        problems,
        "One to three good arguments are replaced by values of wrong types, out of range, or at "
        "the edges of floating-point numbers. A call must give finite numbers, or be refused by an "
        "error of a fitting type that a raise of the library's own raises, within "
        f"{fuzzing.SECONDS} seconds.",
    )


def _calls() -> list[_Call]:
    found = []
    for name, entry in registry.ENVIRONMENTS.items():
        module = importlib.import_module(entry.module)
        parameters = module.parameters_of(_CONFIG)
        config = {**_CONFIG, **{key: getattr(parameters, key) for key in module.CONFIG_KEYS}}
        one, several = (functools.partial(function, name) for function in (_one, _several))
        users = {"num_envs": 3, "max_steps_per_episode": 2}
        found += [
            _Call("environments, one user", one, config),
            _Call("environments, users in parallel", several, {**config, **users}),
            _Call("slates, one user", functools.partial(_step, name), {"slate": [0, 1]}),
            _Call(
                "slates, users in parallel",
                functools.partial(_step_several, name),
                {"slates": np.array([[0, 1], [1, 2], [3, 0]])},
            ),
        ]
    good = {"seed": 0, "training_steps": 100}
    for name in _AGENTS:
        agent = functools.partial(_agent, name)
        found.append(_Call("agents, one user", agent, {"eval_mode": False, **good}))
        if registry.AGENTS[name].create_vector is not None:
            agents = functools.partial(_agent_of_several, name)
            found.append(_Call("agents, users in parallel", agents, good))
    numbers = {"num_users": 5, "num_steps": 2, "seed": 0, "workers": 1, "dtype": "float32"}
    found.append(_Call("simulate", _simulate, numbers))
    numbers = {"seeds": 2, "episodes": 2, "steps": 3, "train_steps": 4}
    found.append(_Call("experiments", experiment.Experiment, {"agents": ["random"], **numbers}))
    numbers = {"max_training_steps": 5, "num_iterations": 2, "max_steps_per_episode": 3}
    logs = {"episode_log_file": "log", "keep_checkpoints": 2, "checkpoint_file_prefix": "ckpt"}
    training = functools.partial(
        runner_lib.TrainRunner,
        create_agent_fn=_create_agent,
        env=registry.create_environment("interest_exploration", _CONFIG),
    )
    found.append(_Call("trainings", training, {"base_dir": "training", **numbers, **logs}))
    return found


def _one(name: str, **config: object) -> list[float]:
    env = registry.create_environment(name, config)
    env.reset()
    slate = list(range(env.environment.slate_size))
    return [float(env.step(slate)[1]) for _ in range(3)]


def _several(name: str, num_envs: int, max_steps_per_episode: int, **config: object) -> list[Any]:
    env = registry.create_vector_environment(
        name, config, num_envs, max_steps_per_episode=max_steps_per_episode
    )
    env.reset()
    slates = np.tile(np.arange(env.single_action_space.shape[0]), (env.num_envs, 1))
    return [env.step(slates)[1] for _ in range(3)]


def _step(name: str, slate: Sequence[int]) -> float:
    env = registry.create_environment(name, _CONFIG)
    env.reset()
    return float(env.step(slate)[1])


def _step_several(name: str, slates: np.ndarray) -> np.ndarray:
    env = registry.create_vector_environment(name, _CONFIG, 3)
    env.reset()
    rewards: np.ndarray = env.step(slates)[1]
    return rewards


def _agent(name: str, seed: int, training_steps: int, eval_mode: bool) -> object:
    env = registry.create_environment("interest_exploration", _CONFIG)
    agent = registry.create_agent(
        name, env, seed=seed, training_steps=training_steps, eval_mode=eval_mode
    )
    return agent.begin_episode(env.reset())


def _agent_of_several(name: str, seed: int, training_steps: int) -> object:
    env = registry.create_vector_environment("interest_exploration", _CONFIG, 3)
    observation, _ = env.reset()
    agent = registry.create_vector_agent(name, env, seed=seed, training_steps=training_steps)
    return agent.begin(observation)


def _simulate(num_users: int, num_steps: int, seed: int, workers: int, dtype: str) -> np.ndarray:
    return simulate.simulate(
        functools.partial(registry.create_vector_environment, "interest_exploration", _CONFIG),
        functools.partial(registry.create_vector_agent, "random"),
        num_users,
        num_steps=num_steps,
        seed=seed,
        workers=workers,
        dtype=dtype,
    ).returns


def _create_agent(
    sess: object, environment: recsim_gym.RecSimGymEnv, eval_mode: bool, summary_writer: object
) -> types.AnyAgent:
    del sess, eval_mode, summary_writer
    return registry.create_agent("random", environment)
