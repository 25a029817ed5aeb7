"""Runners: training and evaluation of an agent in an environment.

A run keeps everything under ``base_dir``:

* ``train/checkpoints/<prefix>.<iteration>``: checkpoints, see :mod:`recsim.simulator.checkpoint`;
* ``train/metrics.jsonl`` and ``eval_<n>/metrics.jsonl``: the metrics, a line of JSON an iteration;
* ``eval_<n>/returns_<total_steps>``: the return of each episode, a list of numbers;
* ``eval_<n>/evaluated_<total_steps>.json``: their checkpoint, fingerprint and settings;
* ``…/events.out.tfevents.…``: the metrics for TensorBoard;
* ``train/<episode_log_file>`` and ``eval_<n>/<episode_log_file>``: the episodes, if asked for, see
  :mod:`recsim.simulator.episode_log`; the folders ``<parquet_log>`` likewise, see
  :mod:`recsim.logs.parquet`. Until ``run_experiment`` ends, their names end in ``.part``.

Metrics and TensorBoard's files are appended to; a line of metrics that is torn is dropped when the
run resumes. Other files get their names when they are complete. While it runs, a runner locks the
folder that it writes to, and the episode log.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time  # noqa: F401  # A name of RecSim's module.
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import gin  # noqa: F401  # A name of RecSim's module.
import numpy as np

from recsim import types
from recsim._internal import (
    absl_flags,
    bundles,
    files,
    interrupts,
    json_text,
    keys,
    learning,
    overrides,
    paths,
    tf_session,
    validation,
    version,
)
from recsim._internal.configurable import configurable
from recsim._internal.gym_import import spaces  # noqa: F401  # A name of RecSim's module.
from recsim.simulator import (
    _environment_state,
    _evaluation_record,
    _new_checkpoints,
    _phases,
    _resuming,
    _run_logs,
    _run_metrics,
    _run_settings,
    _trial,
    checkpoint,
    environment,  # noqa: F401  # A name of RecSim's module.
    fingerprint,
    rollout,
    run_data,
    summary,
)
from recsim.simulator import progress as progress_lib
from recsim.simulator._gin_files import load_gin_configs

__all__ = ["EvalRunner", "Runner", "TrainRunner", "load_gin_configs"]

#: RecSim's name of :mod:`recsim.simulator.checkpoint`.
checkpointer = checkpoint

_logger = logging.getLogger(__name__)

absl_flags.define_with_absl()


def __getattr__(name: str) -> object:
    return absl_flags.late_import(__name__, name)


@configurable()
class Runner:
    """What training and evaluation share: an agent, an environment, episodes and their metrics.

    Args:
        base_dir: the folder for everything that the run writes. A relative path is that of now: a
            later change of the current directory does not move it.
        create_agent_fn: function ``(sess, environment, eval_mode=…, summary_writer=…)`` that
            returns the agent. ``sess`` is a ``tf.compat.v1.Session`` that opens at its first use,
            for agents with a graph of TensorFlow 1, whose variables are initialized when the agent
            is made; ``environment`` is ``env``, and ``summary_writer`` is a
            :class:`recsim.simulator.summary.SummaryWriter`.
        env: a :class:`recsim.simulator.recsim_gym.RecSimGymEnv`, for one user or several, or a
            :class:`recsim.vector.env.RecSimVectorEnv`, for a vector agent.
        episode_log_file: name of the file in the output folder that episodes are logged to, or an
            absolute path, which stays where it is; '' for no log. It must not be a file that the
            run writes itself.
        parquet_log: name, likewise, of a folder for Parquet files, see :mod:`recsim.logs.parquet`.
        log_user_state: whether these have the users' hidden states too.
        checkpoint_file_prefix: beginning of the names of checkpoints.
        max_steps_per_episode: number of steps, >= 1, after which an episode is truncated. A vector
            environment's own limit holds where it is smaller.
        progress: whether to show progress on the standard error stream. None shows it in the form
            that suits a terminal, a notebook or a log file.
        keep_checkpoints: how many of the newest checkpoints to keep, >= 1.
        listeners: what is told of each step and each episode that ends: a
            :class:`recsim.simulator.rollout.Listener` each; a
            :class:`recsim.simulator.rollout.VectorListener` in a vector environment. A subclass
            whose ``_run_one_episode`` does not call this class's does not tell them.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if ``base_dir`` is None, a number is out of range, the agent is for another
            kind of environment or number of users, or a log of too many users or in place of a
            file of the run is asked for.
        OSError: (PermissionError, NotADirectoryError…) if the output folder, the checkpoints' or
            the episode log cannot be written to;
            FileExistsError if there is an episode log that this run does not resume.
    """

    # RecSim's names, for runners that override its methods whole: what _log_one_step is told goes
    # to the episode log.
    _sess: Any = None
    _episode_writer = None
    _output_dir: Any = None
    _checkpoint_dir: Any = None
    _agent: Any = None
    _checkpointer: Any = None
    _num_iterations: int | None = None
    _told_of_env_state = False
    # Of an interrupted iteration: what its checkpoint holds, and its number of steps.
    _interrupted: dict[str, Any] | None = None
    _steps_before = 0
    _watched_agent: Any = None
    _rollout_workers: _phases.RolloutWorkers | None = None
    _stats: dict[str, list[Any]]  # From _initialize_metrics on, as in RecSim.

    def __init__(
        self,
        base_dir: paths.Path,
        create_agent_fn: types.CreateAgent,
        env: types.RecommenderEnv | types.VectorEnv,
        episode_log_file: paths.Path = "",
        checkpoint_file_prefix: str = "ckpt",
        max_steps_per_episode: int = 27000,
        *,
        progress: bool | None = None,
        keep_checkpoints: int = 3,
        listeners: Sequence[rollout.Listener | rollout.VectorListener] = (),
        parquet_log: paths.Path = "",
        log_user_state: bool = False,
    ) -> None:
        _trial.check_arguments(base_dir, create_agent_fn)
        self._base_dir = self._train_base_dir = paths.absolute("base_dir", base_dir)
        self._create_agent_fn = create_agent_fn
        self._env: Any = env
        self._episode_log_file = _phases.checked_log_path("episode_log_file", episode_log_file)
        self._parquet_log = _phases.checked_log_path("parquet_log", parquet_log)
        self._log_user_state = validation.flag("log_user_state", log_user_state)
        if self._log_user_state and not self._parquet_log:
            raise ValueError("log_user_state has no effect without parquet_log.")
        self._checkpoint_file_prefix = checkpoint_file_prefix
        self._max_steps_per_episode = validation.positive_int(
            "max_steps_per_episode", max_steps_per_episode
        )
        self._progress = progress
        self._keep_checkpoints = validation.positive_int("keep_checkpoints", keep_checkpoints)
        self._listeners: Sequence[Any] = listeners

    def _set_up(self, eval_mode: bool) -> None:
        """Prepares the output folder and creates the agent."""
        self._eval_mode = eval_mode
        paths.writable_folder("The output folder", self._output_dir)
        if os.path.lexists(self._checkpoint_dir) and not eval_mode:
            paths.writable_folder("The checkpoints' folder", self._checkpoint_dir)
        checkpoint.Checkpointer(self._checkpoint_dir, self._checkpoint_file_prefix)  # Checks both.
        # The checkpoint of an iteration that was interrupted in its middle.
        name = f"{self._checkpoint_file_prefix}.interrupted"
        self._interrupted_path = os.path.join(self._checkpoint_dir, name)
        self._summary_writer = summary.SummaryWriter(self._output_dir)
        self._metrics_file = summary.MetricsFile(os.path.join(self._output_dir, "metrics.jsonl"))
        self._phases = _phases.phases_of(self._env, self._max_steps_per_episode)
        self._listeners = rollout.checked_listeners(self._listeners, self._phases.listener_type)
        self._logs = _run_logs.RunLogs()
        folders = (self._output_dir, self._base_dir, self._train_base_dir)
        self._episode_log: Any = None
        if self._episode_log_file:
            path = paths.run_file("episode_log_file", self._episode_log_file, *folders)
            self._episode_log = self._phases.episode_log(path)
            self._logs.add(paths.name_in(self._output_dir, path), self._episode_log)
        if self._parquet_log:
            path = paths.run_path("parquet_log", self._parquet_log, *folders)
            log = self._phases.parquet_log(path, self._log_user_state)
            self._logs.add(paths.name_in(self._output_dir, path), log)
            self._listeners = (*self._listeners, log)
        self._logs.check_free(self._own_logs)
        self._initial_env_state = self._env_state()
        self._agent = self._create_agent()
        self._fingerprint = fingerprint.fingerprint(self._env, self._agent).data()
        self._settings = _run_settings.settings(self._env, self._max_steps_per_episode)
        self._has_run = False

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What tells scenario and agent from others: :mod:`recsim.simulator.fingerprint`."""
        return self._fingerprint

    def _own_logs(self) -> Collection[str]:
        """Returns the names of the logs, complete ones too, of the run that this one resumes."""
        return ()

    @contextlib.contextmanager
    def _locked_output(self) -> Iterator[None]:
        """Has the output folder to itself, without what killed processes left, and any workers."""
        with files.locked(self._output_dir), self._logs.locked():
            files.remove_unfinished(self._output_dir)
            self._metrics_file.read()  # It may have changed before the folder was locked.
            with _phases.connected(self._rollout_workers):
                yield

    def _create_agent(self) -> types.SlateAgent | types.VectorAgent:
        if type(self._sess) is tf_session.Session:
            self._sess.recsim_close()
        self._sess = tf_session.Session()
        agent = self._create_agent_fn(
            self._sess, self._env, summary_writer=self._summary_writer, eval_mode=self._eval_mode
        )
        self._phases.check_agent(agent)
        self._sess.recsim_agent_is_made()
        return agent

    def _start_over(self) -> None:
        """Makes the agent and the environment's generators what they were at construction."""
        if self._has_run:
            self._agent = self._create_agent()
        if self._initial_env_state is not None:
            _environment_state.restore(self._env, self._initial_env_state)
        self._phases.load_state_dict(None)

    def _env_state(self) -> types.State | None:
        """Returns the state of the environment, None if it has no working ``state_dict``."""
        state, error = _environment_state.state_of(self._env)
        if error is not None and not self._told_of_env_state:
            _logger.warning("The environment's state_dict failed: %r", error)
            self._told_of_env_state = True
        return state

    def _calls(self) -> _phases.Calls:
        """Returns what training and evaluation need of this runner."""
        stats = getattr(self, "_stats", {})  # A subclass may keep others.
        return _phases.Calls(
            self._run_one_episode, self._agent, self._listeners, stats, self._rollout_workers
        )

    def _run_one_episode(self) -> tuple[int, float]:
        """Runs one episode to its end, or until ``max_steps_per_episode`` truncates it.

        Returns:
            The number of steps and the sum of the rewards (of all users).
        """
        is_overridden = getattr(self._log_one_step, "__func__", None) is not Runner._log_one_step
        logs = is_overridden or self._episode_log is not None
        watched = self._agent is not self._watched_agent
        self._watched_agent = self._agent
        episode = rollout.run_episode(
            self._env,
            self._agent,
            max_steps=self._max_steps_per_episode,
            listeners=[
                rollout.Metrics(self._env.update_metrics),
                *([_phases.StepHook(self._log_one_step)] if logs else ()),
                _phases.EpisodeHook(self._update_episode_metrics),
                *self._listeners,
            ],
            watched=watched,
        )
        return episode.num_steps, episode.total_reward

    def _log_one_step(
        self,
        user_obs: object,
        doc_obs: Mapping[str, Any],
        slate: types.Action,
        responses: Sequence[Any],
        reward: types.Reward,
        is_terminal: bool,
        sequence_example: object = None,
    ) -> None:
        """Adds one step to the episode log, if there is one; ``sequence_example`` is not used."""
        del sequence_example  # RecSim's signature.
        if self._episode_log is not None:
            self._episode_log.add_step(user_obs, doc_obs, slate, responses, reward, is_terminal)

    def _initialize_metrics(self) -> None:
        """Sets the metrics of the runner and of the environment to zero."""
        self._stats = {"episode_length": [], "episode_time": [], "episode_reward": []}
        self._env.reset_metrics()

    def _update_episode_metrics(
        self, episode_length: int, episode_time: float, episode_reward: float
    ) -> None:
        """Adds one episode, which has ended, to metrics and log; the time is in seconds."""
        if self._episode_log is not None:
            self._episode_log.end_episode()
        self._stats["episode_length"].append(episode_length)
        self._stats["episode_time"].append(episode_time)
        self._stats["episode_reward"].append(episode_reward)

    def _write_metrics(self, step: int, suffix: str) -> None:
        """Writes the metrics since :meth:`_initialize_metrics` to both kinds of files.

        Every metric is in both at each step, with 0 for what did not happen. One that is not
        defined (NaN) is ``null`` in ``metrics.jsonl`` and left out for TensorBoard. An infinite one
        is ``null`` in ``metrics.jsonl`` too, and infinite for TensorBoard.

        Args:
            step: number of training steps that they belong to.
            suffix: ``train`` or ``eval``, the end of TensorBoard's tags.

        Raises:
            TypeError: if the environment's ``write_metrics`` gives a tag that is not a string.
            ValueError: if it gives the name of a metric that the runner records itself.
        """
        metrics = _run_metrics.collected(self._stats, self._env)
        for tag, value in metrics.items():
            if not np.isnan(value):  # What is not defined is not a point of a curve.
                self._summary_writer.add_scalar(f"{tag}/{suffix}", value, step)
        self._summary_writer.flush()
        self._metrics_file.add(step, {"episodes": len(self._stats["episode_length"]), **metrics})

    def _checkpoint_experiment(self, iteration: int, total_steps: int) -> None:
        """Saves a checkpoint of everything that the run needs to resume after an iteration."""
        self._checkpointer.save(iteration, self._experiment_data(iteration, total_steps))
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._interrupted_path)

    def _experiment_data(self, iteration: int, total_steps: int) -> dict[str, Any]:
        """Returns everything that the run needs to resume."""
        return {
            "recsim_version": version.__version__,
            "numpy_version": np.__version__,
            "current_iteration": iteration,
            "total_steps": total_steps,
            "finished": iteration + 1 == self._num_iterations,
            "episode_logs": self._logs.sync(),
            "agent": bundles.state_for_checkpoint(self._agent, self._checkpoint_dir, iteration),
            "environment": self._env_state(),
            "rollout": self._phases.state_dict(),
            "fingerprint": self._fingerprint,
            "settings": self._settings,
        }

    def _initialize_checkpointer_and_maybe_resume(
        self, checkpoint_file_prefix: str
    ) -> tuple[int, int]:
        """Restores the newest checkpoint, if there is one.

        Returns:
            The iteration to resume with, and the number of steps until there.
        """
        self._checkpointer = checkpoint.Checkpointer(
            self._checkpoint_dir,
            checkpoint_file_prefix,
            keep=self._keep_checkpoints,
            check=run_data.check,
        )
        os.makedirs(self._checkpoint_dir, exist_ok=True)  # Tells evaluators of a training run.
        self._checkpointer.remove_unfinished()
        newest = self._checkpointer.load_newest()
        interrupted = _resuming.load_interrupted(
            self._interrupted_path, -1 if newest is None else newest[0], self._env
        )
        if newest is None and interrupted is None:
            _resuming.refuse_other_prefixes(self._checkpoint_dir, self._checkpoint_file_prefix)
            self._check_state()
            self._logs.start()
            return 0, 0
        iteration, experiment_data = interrupted or newest
        path = self._checkpointer.path(iteration)
        _resuming.check_fingerprint(path, experiment_data, self._fingerprint, self._settings)
        if experiment_data["environment"] is not None:
            _environment_state.restore(self._env, experiment_data["environment"])
        _resuming.restore_agent(self._agent, path, iteration, experiment_data["agent"])
        self._logs.resume(experiment_data["episode_logs"], iteration)
        if experiment_data["environment"] is not None:
            self._phases.load_state_dict(experiment_data.get("rollout"))
        if interrupted is not None:
            self._interrupted = experiment_data["interrupted"]
            _logger.info("Resuming in iteration %d.", iteration)
            return iteration, experiment_data["total_steps"]
        _logger.info("Resuming after iteration %d.", iteration)
        return iteration + 1, experiment_data["total_steps"]

    def _check_state(self) -> None:
        """Refuses, before it takes time, a training whose state no checkpoint can hold."""
        if not overrides.is_overridden(self, Runner, "_checkpoint_experiment"):
            # Users who are elsewhere have come from an environment that was looked at before.
            elsewhere = self._rollout_workers is not None
            _trial.check_state(self._agent, None if elsewhere else self._env_state())


def _check_keywords(runner_class: type[Runner], keywords: Iterable[str]) -> None:
    """Raises TypeError for a keyword that neither a class nor Runner has, naming the nearest."""
    known = keys.parameters_of(Runner)
    keys.refuse_unknown(runner_class.__name__, keywords, known, keys.parameters_of(runner_class))


@configurable()
class TrainRunner(Runner):
    """Trains an agent, in iterations after each of which a checkpoint may be saved.

    A run that was interrupted, however it was, resumes from its newest good checkpoint and ends
    with the numbers of one that was not. This holds if the agent's bundle has all of its state and
    the environment's ``state_dict`` has all of its own, as those of this library have. A
    warning in the log names the parts of an environment that have no generator to checkpoint.

    Args:
        max_training_steps: number of steps of an iteration, >= 1; its last episode is run to
            its end. In a vector environment steps are those of all users together, and episodes
            continue from one iteration to the next.
        num_iterations: number of iterations, >= 1.
        checkpoint_frequency: a checkpoint is saved after iterations 0, ``checkpoint_frequency``,
            2 ``checkpoint_frequency``, … and after the last.
        rollout_workers: what simulates the users of a vector environment, a
            :class:`recsim.vector.rollouts.RolloutWorkers`; None for this process.
        **kwargs: arguments of :class:`Runner`.
    """

    def __init__(
        self,
        max_training_steps: int = 250000,
        num_iterations: int = 100,
        checkpoint_frequency: int = 1,
        *,
        rollout_workers: _phases.RolloutWorkers | None = None,
        **kwargs: Any,
    ) -> None:
        _check_keywords(TrainRunner, kwargs)
        self._max_training_steps = validation.positive_int("max_training_steps", max_training_steps)
        self._num_iterations: int = validation.positive_int("num_iterations", num_iterations)
        self._checkpoint_frequency = validation.positive_int(
            "checkpoint_frequency", checkpoint_frequency
        )
        super().__init__(**kwargs)
        self._output_dir = os.path.join(self._base_dir, "train")
        self._checkpoint_dir = os.path.join(self._output_dir, "checkpoints")
        self._advance_progress: progress_lib.Advance = progress_lib.no_progress
        self._set_up(eval_mode=False)
        self._settings["max_training_steps"] = self._max_training_steps
        self._rollout_workers = rollout_workers
        self._settings |= _phases.checked_rollout_workers(
            rollout_workers, self._env, self._agent, self._log_user_state
        )
        _environment_state.warn_of_parts_without_generator(self._initial_env_state)

    def _own_logs(self) -> Collection[str]:
        checkpoints = checkpoint.Checkpointer(
            self._checkpoint_dir, self._checkpoint_file_prefix, check=run_data.check
        )
        newest = checkpoints.load_newest()
        return () if newest is None else newest[1]["episode_logs"]

    def run_experiment(self) -> None:
        """Trains the agent, from the newest checkpoint if there is one.

        Raises:
            BlockingIOError: if another training runs in this ``base_dir``.
            checkpoint.CheckpointError: if there are checkpoints, but no good one.
            ValueError: if they are not of this agent or scenario, of another prefix, or the episode
                log that belongs to them is gone.
            TypeError: if something in the state of the agent or the environment is not data; where
                it is so from the beginning, before the training starts.
        """
        with self._locked_output():
            self._resume_and_train()

    def _resume_and_train(self) -> None:
        if self._has_run:
            self._start_over()
        self._has_run = True
        start_iteration, total_steps = self._initialize_checkpointer_and_maybe_resume(
            self._checkpoint_file_prefix
        )
        remaining = range(start_iteration, self._num_iterations)
        if remaining:
            total_steps = self._train(remaining, total_steps)
            if complaint := learning.complaint(self._agent, total_steps):
                _logger.warning(complaint)
        else:
            _resuming.warn_of_nothing_to_train(start_iteration, self._num_iterations)
        self._logs.finish()

    def _train(self, iterations: range, total_steps: int) -> int:
        """Runs iterations and returns the number of steps of all iterations until their end."""
        self._metrics_file.drop_after(total_steps)
        if iterations[0] and not overrides.is_overridden(self, Runner, "_write_metrics"):
            _resuming.warn_of_lost_metrics(self._metrics_file, iterations[0])
        self._summary_writer.restart_at(total_steps + 1)
        num_steps = (iterations.stop - iterations.start) * self._max_training_steps
        try:
            with (
                interrupts.deferred(),
                progress_lib.progress_bar("Training", num_steps, "steps", self._progress) as show,
            ):
                # After its first step the agent has what it only makes as it recommends.
                self._advance_progress = (
                    show if iterations[0] else progress_lib.beginning_with(self._check_state, show)
                )
                for iteration in iterations:
                    self._iteration, self._total_steps = iteration, total_steps
                    total_steps = self._run_train_phase(total_steps)
                    interrupts.end_grace()
                    if iteration % self._checkpoint_frequency == 0 or iteration == iterations[-1]:
                        self._checkpoint_experiment(iteration, total_steps)
                        interrupts.raise_if_requested()
        finally:
            self._summary_writer.flush()
        return total_steps

    def _run_train_phase(self, total_steps: int) -> int:
        """Runs one iteration and returns the number of steps of all iterations until its end."""
        self._initialize_metrics()
        if self._interrupted is not None:
            self._stats = self._interrupted["stats"]
            _environment_state.restore_metrics(self._env, self._interrupted["metrics"])
            self._steps_before = self._interrupted["steps"]
            self._interrupted = None
        total_steps += self._phases.train(
            self._calls(),
            self._max_training_steps,
            self._steps_before,
            self._stop_if_requested,
            self._advance_progress,
        )
        self._steps_before = 0
        self._write_metrics(total_steps, suffix="train")
        return total_steps

    def _stop_if_requested(self, steps: int) -> None:
        """Ends the training, with a checkpoint after steps of an iteration, if a signal waits."""
        if not interrupts.requested():
            return
        interrupts.end_grace()  # Saving may take longer.
        if self._rollout_workers is not None and self._rollout_workers.staleness:
            _resuming.warn_of_steps_ahead(self._iteration)
            interrupts.raise_if_requested()
        self._phases.settle()
        metrics, env_state = _environment_state.metrics_state(self._env), self._env_state()
        interrupted = {"steps": steps, "stats": self._stats, "metrics": metrics}
        if _resuming.is_resumable(self._env, env_state, interrupted, self._iteration):
            data = self._experiment_data(self._iteration, self._total_steps)
            checkpoint.save(self._interrupted_path, {**data, "interrupted": interrupted})
        interrupts.raise_if_requested()


@configurable()
class EvalRunner(Runner):
    """Evaluates an agent: one that needs no training, or the checkpoints of a training run.

    Every evaluation starts from the same state of the environment, so its numbers do not depend on
    what was evaluated before. Nothing of the training run is changed. Seed and number of candidates
    may be other than the training's.

    Args:
        max_eval_episodes: number of episodes of an evaluation, >= 1. In a vector environment they
            are shared out to the users equally: those of ``n`` users are their first ones, then
            their second ones, and so on.
        test_mode: if True, one evaluation is made: of the newest checkpoint, which is waited for
            where a training run has begun and has saved none, or of the agent as it was created
            where there is no training run. If False, a training run is followed: its newest
            checkpoint is evaluated again and again until the run's last one has been, except
            those whose returns are there from an earlier process. Returns of another checkpoint,
            agent or scenario, or with other settings, and returns that do not say what they are of
            (from before 1.0.0), are replaced, with a warning.
        min_interval_secs: seconds between two looks for a new checkpoint, >= 0.
        train_base_dir: ``base_dir`` of the training run, if not this one's.
        timeout_secs: seconds to wait for a new checkpoint, >= 0.
        **kwargs: arguments of :class:`Runner`.
    """

    def __init__(
        self,
        max_eval_episodes: int = 125000,
        test_mode: bool = False,
        min_interval_secs: float = 30,
        train_base_dir: paths.Path | None = None,
        *,
        timeout_secs: float = 3600,
        **kwargs: Any,
    ) -> None:
        _check_keywords(EvalRunner, kwargs)
        self._max_eval_episodes = validation.positive_int("max_eval_episodes", max_eval_episodes)
        _evaluation_record.check_memory(self._max_eval_episodes)
        self._test_mode = validation.flag("test_mode", test_mode)
        self._min_interval_secs = validation.non_negative_float(
            "min_interval_secs", min_interval_secs
        )
        self._timeout_secs = validation.non_negative_float("timeout_secs", timeout_secs)
        super().__init__(**kwargs)
        self._output_dir = os.path.join(self._base_dir, f"eval_{max_eval_episodes}")
        if train_base_dir is not None:
            self._train_base_dir = paths.absolute("train_base_dir", train_base_dir)
        self._checkpoint_dir = os.path.join(self._train_base_dir, "train", "checkpoints")
        self._set_up(eval_mode=True)

    # The checkpoint that is evaluated; None for the agent as it was created.
    _evaluated: dict[str, Any] | None = None

    def run_experiment(self) -> None:
        """Evaluates as ``test_mode`` says.

        Raises:
            BlockingIOError: if another evaluation of as many episodes runs in this ``base_dir``.
            FileExistsError: if there is an episode log already.
            TimeoutError: if no checkpoint has come within ``timeout_secs``.
            checkpoint.CheckpointError: if there are checkpoints, but no good one.
            ValueError: if they are not of this agent, or of a scenario that it would observe
                otherwise.
        """
        with self._locked_output():
            self._evaluate_what_there_is()

    def _evaluate_what_there_is(self) -> None:
        self._logs.start()
        try:
            if self._test_mode and not os.path.isdir(self._checkpoint_dir):
                _logger.info(
                    "There is no training run in %s: evaluating the agent as it was created.",
                    self._checkpoint_dir,
                )
                self._evaluated = None
                self._evaluate(0)
            else:
                self._follow_training()
        finally:
            self._summary_writer.flush()
        self._logs.finish()

    def _follow_training(self) -> None:
        self._checkpointer = checkpoint.Checkpointer(
            self._checkpoint_dir, self._checkpoint_file_prefix, check=run_data.check
        )
        wanted = f"a checkpoint {self._checkpoint_file_prefix!r} in {self._checkpoint_dir!r}"
        for iteration, experiment_data in _new_checkpoints.new_checkpoints(
            self._checkpointer, wanted, self._min_interval_secs, self._timeout_secs
        ):
            total_steps = experiment_data["total_steps"]
            self._evaluated = {
                "iteration": iteration,
                "total_steps": total_steps,
                "sha256": self._checkpointer.newest_digest,
            }
            if self._test_mode or not _evaluation_record.has_returns(
                self._output_dir, total_steps, self._evaluation_record()
            ):
                self._evaluate(total_steps, iteration, experiment_data)
            if self._test_mode or experiment_data["finished"]:
                return

    def _evaluation_record(self) -> dict[str, Any]:
        """Returns what tells this evaluation's returns from those of others."""
        return {
            "fingerprint": self._fingerprint["sha256"],
            "settings": self._settings,
            "checkpoint": self._evaluated,
        }

    def _evaluate(
        self, total_steps: int, iteration: int = -1, experiment_data: dict[str, Any] | None = None
    ) -> None:
        """Evaluates the agent of a checkpoint, or the agent as it was created."""
        self._start_over()
        self._has_run = True
        if experiment_data is not None:
            path = self._checkpointer.path(iteration)
            _resuming.check_fingerprint(path, experiment_data, self._fingerprint, evaluation=True)
            _resuming.restore_agent(self._agent, path, iteration, experiment_data["agent"])
        self._summary_writer.restart_at(total_steps)
        self._run_eval_phase(total_steps)
        _evaluation_record.write(self._output_dir, total_steps, self._evaluation_record())

    def _run_eval_phase(self, total_steps: int) -> None:
        """Runs the episodes of one evaluation and writes its metrics and returns.

        Args:
            total_steps: number of steps that the agent was trained for.
        """
        self._initialize_metrics()
        with progress_lib.progress_bar(
            "Evaluation", self._max_eval_episodes, "episodes", self._progress
        ) as advance:
            episode_rewards = self._phases.evaluate(self._calls(), self._max_eval_episodes, advance)
        self._write_metrics(total_steps, suffix="eval")
        with files.atomic_file(self._returns_path(total_steps)) as file:
            file.write(json_text.dumps(episode_rewards).encode())

    def _returns_path(self, total_steps: int) -> str:
        return _evaluation_record.returns_path(self._output_dir, total_steps)
