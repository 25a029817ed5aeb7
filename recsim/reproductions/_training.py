"""What experiments that train agents share: training that resumes, with a learning curve."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

from recsim import types
from recsim.parallel import Advance
from recsim.simulator import checkpoint, recsim_gym, rollout, runner_lib, summary

_logger = logging.getLogger(__name__)

__all__ = ["Training", "VectorTraining", "trained", "trained_in_parallel"]


# The end of the name of the file with the learning curve.
_CURVE = ".curve.jsonl"


@dataclasses.dataclass(frozen=True)
class Training:
    """How an agent is trained.

    Attributes:
        create_agent: as the runners' ``create_agent_fn``.
        env: the environment to train in.
        num_iterations: number of points of the learning curve.
        steps_in_iteration: number of steps from one to the next.
        evaluate: returns the value of the curve for an agent's bundle.
    """

    create_agent: Callable[..., Any]
    env: recsim_gym.RecSimGymEnv
    num_iterations: int
    steps_in_iteration: int
    evaluate: Callable[[dict[str, Any]], float]


def trained(setup: Training, path: str, advance: Advance) -> dict[str, Any]:
    """Trains an agent, or resumes its training, or returns what a finished training left.

    What is left spoiled is trained anew, with a warning that names the file. Beside the result a
    folder has the statistics for TensorBoard.

    Args:
        setup: how.
        path: where to keep the result: a file of the name ``<path>.agent``, and a folder.
        advance: called with the number of training steps since the last call, at first with those
            of earlier commands.

    Returns:
        ``agent``, a bundle for serving; ``steps`` and ``curve``, float64 arrays of shape
        (num_iterations,).
    """
    result_path = f"{path}.agent"
    if _is_good(result_path):
        advance(setup.num_iterations * setup.steps_in_iteration)
    else:
        state = setup.env.state_dict()
        try:
            runner = _Runner(setup, path, advance)
            runner.run_experiment()
        except _SpoiledError as error:
            _logger.warning("What %r has of a training is spoiled, trained anew: %s", path, error)
            shutil.rmtree(path, ignore_errors=True)
            _remove(f"{path}{_CURVE}")
            setup.env.load_state_dict(state)
            runner = _Runner(setup, path, advance)
            runner.run_experiment()
        checkpoint.save(result_path, runner.result())
    # With its replay buffer, a checkpoint is some thousand times as large as the result.
    shutil.rmtree(os.path.join(path, "train", "checkpoints"), ignore_errors=True)
    return dict(checkpoint.load(result_path))


@dataclasses.dataclass(frozen=True)
class VectorTraining:
    """How an agent of users in parallel is trained.

    Attributes:
        create_agent: function of the environment that returns the agent.
        env: the environment to train in.
        num_iterations: see :class:`Training`, as what follows.
        steps_in_iteration: steps of single users, which is rounded up to one of all users.
        evaluate: returns the value of the curve.
    """

    create_agent: Callable[[Any], Any]
    env: types.VectorEnv
    num_iterations: int
    steps_in_iteration: int
    evaluate: Callable[[dict[str, Any]], float]


def trained_in_parallel(setup: VectorTraining, path: str, advance: Advance) -> dict[str, Any]:
    """Does what :func:`trained` does, with users in parallel.

    A training that was interrupted begins anew: it takes seconds, as a checkpoint would.
    """
    result_path = f"{path}.agent"
    if _is_good(result_path):
        advance(setup.num_iterations * setup.steps_in_iteration)
        return dict(checkpoint.load(result_path))
    agent = setup.create_agent(setup.env)
    training = rollout.VectorRollout(setup.env, agent, follows_episodes=False)
    training.reset()
    steps, curve = [], []
    for iteration in range(setup.num_iterations):
        while agent.training_steps < (iteration + 1) * setup.steps_in_iteration:
            training.step()
        steps.append(agent.training_steps)
        curve.append(setup.evaluate(agent.serving_bundle()))
        advance(setup.steps_in_iteration)
    result = {
        "agent": agent.serving_bundle(),
        "steps": np.array(steps),
        "curve": np.array(curve, np.float64),
    }
    checkpoint.save(result_path, result)
    return result


class _SpoiledError(Exception):
    """What an earlier command left of a training cannot be resumed."""


def _is_good(result_path: str) -> bool:
    """Says whether a finished training left its result; removes it, with a warning, if spoiled."""
    if not os.path.lexists(result_path):
        return False
    try:
        if set(checkpoint.load(result_path)) == {"agent", "steps", "curve"}:
            return True
        reason = "it is not the result of a training"
    except (checkpoint.CheckpointError, OSError, TypeError) as error:
        reason = getattr(error, "fault", str(error))
    _logger.warning("%r is spoiled and trained anew: %s", result_path, reason)
    _remove(result_path)
    return False


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)


class _Runner(runner_lib.TrainRunner):
    """A TrainRunner that evaluates the agent after each iteration."""

    def __init__(self, setup: Training, base_dir: str, advance: Advance) -> None:
        self._setup = setup
        self._advance = advance
        try:
            self._curve = summary.MetricsFile(f"{base_dir}{_CURVE}")
            summary.MetricsFile(os.path.join(base_dir, "train", "metrics.jsonl"))
        except (ValueError, OSError) as error:
            raise _SpoiledError(str(error)) from error
        super().__init__(
            base_dir=base_dir,
            create_agent_fn=setup.create_agent,
            env=setup.env,
            max_training_steps=setup.steps_in_iteration,
            num_iterations=setup.num_iterations,
            keep_checkpoints=1,
            progress=False,
        )

    def _initialize_checkpointer_and_maybe_resume(
        self, checkpoint_file_prefix: str
    ) -> tuple[int, int]:
        try:
            resumed = super()._initialize_checkpointer_and_maybe_resume(checkpoint_file_prefix)
        except ValueError as error:
            raise _SpoiledError(str(error)) from error
        iteration, steps_of_earlier_commands = resumed
        self._curve.drop_after(steps_of_earlier_commands)
        points = len(self._curve.records)
        if points != iteration:
            raise _SpoiledError(f"its curve has {points} points after {iteration} iterations")
        self._advance(steps_of_earlier_commands)
        return iteration, steps_of_earlier_commands

    def _run_one_episode(self) -> tuple[int, float]:
        episode = super()._run_one_episode()
        self._advance(episode[0])
        return episode

    def _run_train_phase(self, total_steps: int) -> int:
        self._curve.drop_after(total_steps)
        total_steps = super()._run_train_phase(total_steps)
        value = self._setup.evaluate(self._agent.serving_bundle())
        self._curve.add(total_steps, {"value": value})
        return total_steps

    def result(self) -> dict[str, Any]:
        """Returns what is stored of the training."""
        return {
            "agent": self._agent.serving_bundle(),
            "steps": np.array([record["total_steps"] for record in self._curve.records]),
            "curve": np.array([record["value"] for record in self._curve.records], np.float64),
        }
