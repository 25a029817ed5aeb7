"""What a run does with the checkpoints that it finds: which of them it takes, and how."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from typing import Any

from recsim._internal import bundles
from recsim.simulator import (
    _run_metrics,
    _run_settings,
    checkpoint,
    fingerprint,
    run_data,
    summary,
)

__all__ = [
    "check_fingerprint",
    "load_interrupted",
    "is_resumable",
    "refuse_other_prefixes",
    "restore_agent",
    "warn_of_lost_metrics",
    "warn_of_nothing_to_train",
    "warn_of_steps_ahead",
]

_logger = logging.getLogger(__name__)


def check_fingerprint(
    path: str,
    experiment_data: Mapping[str, Any],
    made: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    *,
    evaluation: bool = False,
) -> None:
    """Compares what a checkpoint is of with the environment and the agent of a run.

    Other settings of a training, and a checkpoint from before there were fingerprints, get a
    warning.

    Args:
        path: the checkpoint.
        experiment_data: what it holds.
        made: the fingerprint of the run's environment and agent.
        settings: the run's settings, of a training.
        evaluation: whether the run is an evaluation.

    Raises:
        ValueError: if something differs that shapes the state.
    """
    there = experiment_data.get("fingerprint")
    if there is None:
        _logger.warning(
            "The checkpoint %r is from an earlier version of recsim and does not say what "
            "scenario and agent it is of: make sure that they are those of its training.",
            path,
        )
        return
    different = fingerprint.differences(there, made, evaluation=evaluation)
    if different.state:
        of_agent = there["agent"]["type"] != made["agent"]["type"]
        raise ValueError(
            f"The checkpoint {path!r} is of another {'agent' if of_agent else 'training'}: "
            f"{'; '.join(different.state)}. Make the environment and the agent as the "
            "training had them, or choose another base_dir (of the training: train_base_dir)."
        )
    others = different.settings
    if settings is not None:
        others = others + _run_settings.differences(experiment_data.get("settings", {}), settings)
    if others and not evaluation:
        _logger.warning(
            "The training resumes from %r with other settings than it had: %s.",
            path,
            "; ".join(others),
        )


def restore_agent(agent: object, path: str, iteration: int, bundle: dict[str, Any]) -> None:
    """Gives an agent the state that it had at a checkpoint.

    Args:
        agent: the agent.
        path: the checkpoint.
        iteration: the iteration that it is of.
        bundle: the agent's bundle in it.

    Raises:
        ValueError: if the agent refuses it.
    """
    if not bundle:  # The agent said that it has no state.
        return
    answer = bundles.restore_checkpoint(agent, os.path.dirname(path), iteration, bundle)
    if not answer:
        raise ValueError(
            f"The checkpoint {path!r} is not of this agent: "
            f"{type(agent).__name__}.unbundle returned {answer!r}, not True. Create the "
            "agent that was trained, or choose another base_dir to start afresh."
        )


def load_interrupted(path: str, newest: int, env: object) -> tuple[int, dict[str, Any]] | None:
    """Returns the iteration and the checkpoint that an interrupted iteration left, if any.

    Args:
        path: where it would be.
        newest: the iteration of the newest other checkpoint, which counts if it is as new.
        env: the environment, whose metrics must be where they were saved.
    """
    try:
        data = checkpoint.load(path)
        run_data.check(data, interrupted=True)
    except FileNotFoundError:
        return None
    except ValueError as error:
        _logger.warning("Passing over a bad checkpoint: %s", error)
        return None
    iteration = data["current_iteration"]
    if iteration <= newest:
        return None
    if elsewhere := _run_metrics.kept_elsewhere(env):
        _logger.warning(
            "Passing over %r: the metrics may be kept where they were not saved, for %s.",
            path,
            elsewhere,
        )
        return None
    return iteration, data


def is_resumable(
    env: object, env_state: object, interrupted: dict[str, Any], iteration: int
) -> bool:
    """Says whether a training can resume in the middle of an iteration, and warns if it cannot.

    Args:
        env: the environment.
        env_state: its state, None if it has none.
        interrupted: what its checkpoint would hold of the iteration.
        iteration: the number of the iteration.
    """
    reason = _not_resumable(env, env_state, interrupted)
    if reason is not None:
        _warn_of_lost_steps(iteration, reason)
    return reason is None


def warn_of_nothing_to_train(iterations: int, wanted: int) -> None:
    """Warns that all iterations of a training are done."""
    _logger.warning(
        "Nothing to train: %d iterations are done and num_iterations is %d. Raise it to "
        "train on, or choose another base_dir to start afresh.",
        iterations,
        wanted,
    )


def warn_of_steps_ahead(iteration: int) -> None:
    """Warns that a training with rollouts ahead of it resumes after the last iteration."""
    _warn_of_lost_steps(iteration, "workers are ahead of what it has learned (staleness)")


def _warn_of_lost_steps(iteration: int, reason: str) -> None:
    _logger.warning(
        "The training ends without a checkpoint of what it has done of iteration %d, and "
        "resumes after the last one: %s.",
        iteration,
        reason,
    )


def _not_resumable(env: object, env_state: object, interrupted: dict[str, Any]) -> str | None:
    if elsewhere := _run_metrics.kept_elsewhere(env):
        return f"the metrics may be kept where they cannot be saved, for {elsewhere}"
    if interrupted["metrics"] is None:
        return "the environment does not keep its metrics by their names, in _metrics"
    if env_state is None:
        return "the environment has no state_dict that works"
    try:
        checkpoint.check(interrupted)
    except (TypeError, ValueError) as error:
        return f"of its metrics, {error}"
    return None


def refuse_other_prefixes(folder: str, prefix: str) -> None:
    """Raises ValueError if another prefix has checkpoints in a folder: two runs would mix."""
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if re.fullmatch(r".+\.\d+", name) and checkpoint.is_checkpoint(path):
            raise ValueError(
                f"There is no checkpoint {prefix}.<iteration> in "
                f"{folder!r}, but there is {name!r}, of another run: choose its "
                "checkpoint_file_prefix to resume it, or another base_dir to start afresh."
            )


def warn_of_lost_metrics(file: summary.MetricsFile, num_iterations: int) -> None:
    """Warns if the metrics of the iterations before are gone."""
    if not file.records:
        _logger.warning(
            "The metrics of the first %d iterations are gone: metrics.jsonl in %r was removed. "
            "Stop the run and put it back, or the file will lack them.",
            num_iterations,
            file.folder,
        )
