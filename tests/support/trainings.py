"""Trainings on users in parallel, small enough to be repeated, and what they leave."""

from __future__ import annotations

import json
import os
import pathlib
import signal
from typing import Any

import numpy as np

from recsim.agents import ppo_agent, reinforce_agent, slate_decomp_q_agent
from recsim.environments import interest_evolution
from recsim.simulator import checkpoint, runner_lib
from recsim.vector import env as vector_env
from recsim.vector import rollouts, streams

__all__ = ["NUM_ITERATIONS", "NUM_USERS", "assert_equal", "left_by", "runner"]

CONFIG = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 4}
#: Users of three chunks.
NUM_USERS = 2 * streams.CHUNK_SIZE + 60
NUM_ITERATIONS = 3
_STEPS = 4


_Q_LEARNING = {
    "min_replay_history": NUM_USERS,
    "epsilon_decay_period": 6 * NUM_USERS,
    "replay_capacity": 6 * NUM_USERS,
    "update_period": 1024,
}
_LEARNERS: dict[str, tuple[Any, dict[str, int]]] = {
    "slate_q": (slate_decomp_q_agent.VectorSlateDecompQAgent, _Q_LEARNING),
    "ppo": (ppo_agent.VectorPPOAgent, {}),
    "reinforce": (reinforce_agent.VectorReinforceAgent, {}),
}


def _kill_once(env: vector_env.RecSimVectorEnv, marker: pathlib.Path) -> None:
    """Lets the first process that is not this one kill itself, in the middle of its work."""
    model, parent, path = env.user_model, os.getpid(), str(marker)

    class Killing(type(model)):  # type: ignore[misc]
        calls = 0

        def respond(self, *arguments: Any) -> Any:
            type(self).calls += 1
            if os.getpid() != parent and type(self).calls == 6 and not os.path.exists(path):
                pathlib.Path(path).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().respond(*arguments)

    # The name is in the fingerprint.
    Killing.__name__, Killing.__qualname__ = type(model).__name__, type(model).__qualname__
    model.__class__ = Killing


def runner(
    folder: pathlib.Path,
    rollout_workers: rollouts.RolloutWorkers | None = None,
    *,
    learner: str = "slate_q",
    iterations: int = NUM_ITERATIONS,
    kill: pathlib.Path | None = None,
    **settings: Any,
) -> runner_lib.TrainRunner:
    """Returns the runner of a training.

    Args:
        folder: its folder.
        rollout_workers: what simulates the users, if not this process.
        learner: what learns, by its name.
        iterations: their number.
        kill: a file that is made when a worker has been killed; None to kill none.
        **settings: further ones of the runner.
    """
    env = interest_evolution.create_vector_environment(
        CONFIG, num_envs=NUM_USERS, max_steps_per_episode=5
    )
    if kill is not None:
        _kill_once(env, kill)

    def create_agent(_: object, environment: Any, **arguments: Any) -> Any:
        agent_class, settings = _LEARNERS[learner]
        return agent_class(environment, hidden_units=(16, 8), **settings, **arguments)

    return runner_lib.TrainRunner(
        base_dir=folder,
        create_agent_fn=create_agent,
        env=env,
        progress=False,
        max_training_steps=settings.pop("steps", _STEPS) * NUM_USERS,
        num_iterations=iterations,
        rollout_workers=rollout_workers,
        **settings,
    )


def left_by(folder: pathlib.Path) -> dict[str, Any]:
    """Returns what a training has left: metrics but for times, and the last checkpoint."""
    train = folder / "train"
    lines = [json.loads(line) for line in (train / "metrics.jsonl").read_text().splitlines()]
    last = checkpoint.load(train / "checkpoints" / f"ckpt.{NUM_ITERATIONS - 1}")
    last["settings"].pop("staleness", None)
    metrics = [{name: each[name] for name in each if name != "TimePerStep"} for each in lines]
    return {"metrics": metrics, "checkpoint": last}


def assert_equal(one: Any, other: Any, place: str = "") -> None:
    """Compares nested data to the last bit."""
    assert type(one) is type(other), place
    if isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            assert_equal(one[key], other[key], f"{place}[{key!r}]")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), place
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_equal(left, right, f"{place}[{number}]")
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, place
        np.testing.assert_array_equal(one, other, err_msg=place)
    else:
        assert one == other, place
