"""Runners: training and evaluation of an agent in an environment.

A run keeps everything under ``base_dir``:

* ``train/checkpoints/<prefix>.<iteration>``: checkpoints, see :mod:`recsim.simulator.checkpoint`;
* ``train/metrics.jsonl`` and ``eval_<n>/metrics.jsonl``: the metrics, a line of JSON an iteration;
* ``eval_<n>/returns_<total_steps>``: the return of each episode, a list of numbers;
* ``eval_<n>/evaluated_<total_steps>.json``: what they are of: checkpoint, fingerprint and settings;
* ``…/events.out.tfevents.…``: the metrics for TensorBoard;
* ``train/<episode_log_file>`` and ``eval_<n>/<episode_log_file>``: the episodes, where asked for,
  see :mod:`recsim.simulator.episode_log`. Until ``run_experiment`` has ended, the name ends in
  ``.part``.

Metrics and TensorBoard's files are appended to; a line of metrics that a killed process left torn
is dropped when the run resumes. All other files get their names when they are complete. While it
runs, a runner locks the folder that it writes to, and the episode log.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import gin
import numpy as np

from recsim import _validation, _version
from recsim import agent as agent_lib
from recsim._gym import spaces  # noqa: F401  # A name of RecSim's module.
from recsim._internal import (
    absl_flags,
    bindings,
    evaluation_record,
    global_generator,
    interrupts,
    json_text,
    keys,
    learning,
    numbers,
    paths,
    resources,
    run_data,
    run_metrics,
    run_settings,
    tf_session,
    trial,
)
from recsim.simulator import (
    _files,
    _play,
    checkpoint,
    environment,  # noqa: F401  # A name of RecSim's module.
    fingerprint,
    summary,
)
from recsim.simulator import progress as progress_lib

__all__ = ["EvalRunner", "Runner", "TrainRunner", "load_gin_configs"]

#: RecSim's name of :mod:`recsim.simulator.checkpoint`.
checkpointer = checkpoint

_logger = logging.getLogger(__name__)

# The least that an evaluation keeps of an episode: lists of return, length and time, and the file.
_BYTES_OF_EPISODE = 100

absl_flags.define_with_absl()


def __getattr__(name: str) -> Any:
    """Imports what takes time and is a name of RecSim's module, when it is asked for."""
    if name == "tf":
        return importlib.import_module("tensorflow.compat.v1")
    if name in ("flags", "FLAGS"):
        flags = importlib.import_module("absl.flags")
        return flags if name == "flags" else flags.FLAGS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_gin_configs(gin_files: Sequence[paths.Path], gin_bindings: Sequence[str]) -> None:
    """Loads configuration files and bindings of gin; later ones override earlier ones.

    If one is wrong, none is applied.

    Args:
        gin_files: paths of configuration files; a leading ``~`` is expanded.
        gin_bindings: bindings such as ``'runner_lib.Runner.max_steps_per_episode=100'``.

    Raises:
        ValueError: if a binding names something unknown; the error suggests the nearest name.
        OSError: if a file cannot be read.
    """
    if isinstance(gin_files, (str, os.PathLike)):
        gin_files = [gin_files]
    gin_files = [os.path.expanduser(os.fspath(file)) for file in gin_files or ()]
    # The configuration is locked if others were loaded before.
    with bindings.restored_on_error(), gin.unlock_config():
        try:
            gin.parse_config_files_and_bindings(gin_files, bindings=gin_bindings)
        except ValueError as error:
            raise ValueError(f"{error}\n{_gin_suggestion(str(error))}".rstrip()) from error


def _not_configurable(name: str) -> str:
    """Returns why gin cannot configure a class of this library, an empty string for other names."""
    classes = {
        name: value
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith("recsim.")
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__.startswith("recsim.")
    }
    if name not in classes:
        return ""
    configurable = {configured.wrapped for _, configured in gin.config._REGISTRY.items()}
    single_user = classes.get(name.removeprefix("Vector"))
    if name.startswith("Vector") and single_user in configurable:
        return (
            f"{name} takes the bindings of its single-user form: bind those of "
            f"{name.removeprefix('Vector')}."
        )
    return f"{name} is not configurable in gin: give its arguments in code."


def _gin_suggestion(message: str) -> str:
    """Returns what an error of gin's about an unknown name should add."""
    registry = gin.config._REGISTRY
    if match := re.search(r"No configurable matching '(.+?)'", message):
        if reason := _not_configurable(match[1].rpartition(".")[2]):
            return reason
        parts = match[1].count(".") + 1
        known = {".".join(selector.split(".")[-parts:]) for selector, _ in registry.items()}
        suggestion = _validation.nearest_name(match[1], sorted(known), 0.7)
        return f"{suggestion} What is configured has to be imported before.".lstrip()
    if match := re.search(r"Configurable '(.+?)' doesn't have a parameter named '(.+?)'", message):
        parameters = inspect.signature(registry.get_match(match[1]).wrapped).parameters
        return _validation.nearest_name(match[2], parameters).lstrip()
    return ""


@gin.configurable
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
        checkpoint_file_prefix: beginning of the names of checkpoints.
        max_steps_per_episode: number of steps, >= 1, after which an episode is cut off. A vector
            environment's own limit holds where it is smaller.
        progress: whether to show progress on the standard error stream. None shows it in the form
            that suits a terminal, a notebook or a log file.
        keep_checkpoints: how many of the newest checkpoints to keep, >= 1.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if ``base_dir`` is None, a number is out of range, the agent is for another
            kind of environment or number of users, or a log of too many users or in place of a
            file of the run is asked for.
        OSError: (PermissionError, NotADirectoryError…) if the output folder, the checkpoints' or
            the episode log cannot be written to;
            FileExistsError if there is an episode log that is not this run's own to go on with.
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
    # Where an iteration was interrupted: what its checkpoint holds, and its number of steps.
    _interrupted: dict[str, Any] | None = None
    _steps_before = 0
    _watched_agent: Any = None

    def __init__(
        self,
        base_dir: paths.Path,
        create_agent_fn: Callable[..., Any],
        env: Any,
        episode_log_file: paths.Path = "",
        checkpoint_file_prefix: str = "ckpt",
        max_steps_per_episode: int = 27000,
        *,
        progress: bool | None = None,
        keep_checkpoints: int = 3,
    ) -> None:
        if base_dir is None:
            raise ValueError("base_dir must be the folder for the run's files, got None.")
        if not callable(create_agent_fn):
            raise TypeError(
                "create_agent_fn must be a function (sess, environment, eval_mode, "
                f"summary_writer) that returns an agent, got {create_agent_fn!r}."
            )
        self._base_dir = self._train_base_dir = paths.absolute("base_dir", base_dir)
        self._create_agent_fn = create_agent_fn
        self._env = env
        if not isinstance(episode_log_file, (str, bytes, os.PathLike, type(None))):
            raise TypeError(
                "episode_log_file must be a path (str or os.PathLike), or '' for no log, got "
                f"{numbers.described(episode_log_file)}."
            )
        self._episode_log_file = episode_log_file
        self._checkpoint_file_prefix = checkpoint_file_prefix
        self._max_steps_per_episode = _validation.positive_int(
            "max_steps_per_episode", max_steps_per_episode
        )
        self._progress = progress
        self._keep_checkpoints = _validation.positive_int("keep_checkpoints", keep_checkpoints)

    def _set_up(self, eval_mode: bool) -> None:
        """Prepares the output folder and creates the agent."""
        self._eval_mode = eval_mode
        paths.writable_folder("The output folder", self._output_dir)
        if os.path.lexists(self._checkpoint_dir) and not eval_mode:
            paths.writable_folder("The checkpoints' folder", self._checkpoint_dir)
        checkpoint.Checkpointer(self._checkpoint_dir, self._checkpoint_file_prefix)  # Checks both.
        self._summary_writer = summary.SummaryWriter(self._output_dir)
        self._metrics_file = summary.MetricsFile(os.path.join(self._output_dir, "metrics.jsonl"))
        self._play = _play.way_to_play(self)
        self._several_users = self._play.several_users
        self._episode_log: Any = None
        if self._episode_log_file:
            path = paths.run_file(
                "episode_log_file",
                self._episode_log_file,
                self._output_dir,
                self._base_dir,
                self._train_base_dir,
            )
            self._log_name = paths.name_in(self._output_dir, path)
            self._episode_log = self._play.episode_log(path)
            if self._episode_log.is_complete and not self._goes_on_with_log():
                self._episode_log.check_free()
        self._initial_env_state = self._env_state()
        self._agent = self._create_agent()
        self._fingerprint = fingerprint.fingerprint(self._env, self._agent).data()
        self._settings = run_settings.settings(self._env, self._max_steps_per_episode)
        self._has_run = False

    def _goes_on_with_log(self) -> bool:
        """Says whether a complete episode log is of the run that this runner goes on with."""
        return False

    @contextlib.contextmanager
    def _locked_output(self) -> Iterator[None]:
        """Has the output folder to itself, without what killed processes left unfinished."""
        log = contextlib.nullcontext() if self._episode_log is None else self._episode_log.locked()
        with _files.locked(self._output_dir), log:
            _files.remove_unfinished(self._output_dir)
            self._metrics_file.read()  # It may have changed before the folder was locked.
            yield

    def _create_agent(self) -> Any:
        if type(self._sess) is tf_session.Session:
            self._sess.recsim_close()
        self._sess = tf_session.Session()
        agent = self._create_agent_fn(
            self._sess, self._env, summary_writer=self._summary_writer, eval_mode=self._eval_mode
        )
        self._play.check_agent(agent)
        self._sess.recsim_agent_is_made()
        return agent

    def _start_over(self) -> None:
        """Makes the agent and the environment's generators what they were at construction."""
        if self._has_run:
            self._agent = self._create_agent()
        if self._initial_env_state is not None:
            _play.restore_env(self._env, self._initial_env_state)
        self._play.restore(None)

    def _env_state(self) -> Any:
        """Returns the state of the environment, None if it has no working ``checkpoint_state``."""
        if not hasattr(self._env, "checkpoint_state"):
            return None
        try:
            return _play.env_state(self._env)
        except Exception as error:  # Whatever it is, the environment can be run without.
            if not self._told_of_env_state:
                _logger.warning("The environment's checkpoint_state failed: %r", error)
            self._told_of_env_state = True
            return None

    def _check_fingerprint(self, iteration: int, experiment_data: dict[str, Any]) -> None:
        """Compares what a checkpoint is of with the environment and the agent of this run.

        Other settings, and a checkpoint from before there were fingerprints, get a warning.

        Raises:
            ValueError: if something differs that shapes the state.
        """
        path = self._checkpointer.path(iteration)
        there = experiment_data.get("fingerprint")
        if there is None:
            _logger.warning(
                "The checkpoint %r is from an earlier version of recsim and does not say what "
                "scenario and agent it is of: make sure that they are those of its training.",
                path,
            )
            return
        different = fingerprint.differences(there, self._fingerprint, evaluation=self._eval_mode)
        if different.state:
            of_agent = there["agent"]["type"] != self._fingerprint["agent"]["type"]
            raise ValueError(
                f"The checkpoint {path!r} is of another {'agent' if of_agent else 'training'}: "
                f"{'; '.join(different.state)}. Make the environment and the agent as the "
                "training had them, or choose another base_dir (of the training: train_base_dir)."
            )
        settings = different.settings + run_settings.differences(
            experiment_data.get("settings", {}), self._settings
        )
        if settings and not self._eval_mode:
            _logger.warning(
                "The training resumes from %r with other settings than it had: %s.",
                path,
                "; ".join(settings),
            )

    def _restore_agent(self, iteration: int, experiment_data: dict[str, Any]) -> None:
        """Gives the agent the state it had at a checkpoint.

        Raises:
            ValueError: if the agent refuses it.
        """
        bundle = experiment_data["agent"]
        if not bundle:  # The agent said that it has no state.
            return
        answer = self._agent.unbundle(self._checkpoint_dir, iteration, bundle)
        if not answer:
            raise ValueError(
                f"The checkpoint {self._checkpointer.path(iteration)!r} is not of this agent: "
                f"{type(self._agent).__name__}.unbundle returned {answer!r}, not True. Create the "
                "agent that was trained, or choose another base_dir to start afresh."
            )

    def _run_one_episode(self) -> tuple[int, float]:
        """Runs one episode to its end, or until it is cut off at ``max_steps_per_episode``.

        Returns:
            The number of steps and the sum of the rewards (of all users).
        """
        env, agent = self._env, self._agent
        begin_episode, next_slate = agent.begin_episode, agent.step
        if agent is not self._watched_agent:
            self._watched_agent = agent
            begin_episode, next_slate = (
                global_generator.watched(method, agent, global_generator.IN_AGENT)
                for method in (begin_episode, next_slate)
            )
        start_time = time.perf_counter()
        num_steps, total_reward = 0, 0.0
        observation = env.reset()
        action = begin_episode(observation)
        while True:
            seen = observation
            observation, reward, done, info = env.step(action)
            responses = observation["response"]
            env.update_metrics(responses, info)
            if self._several_users:
                total_reward += numbers.finite("the sum of the users' rewards", np.sum(reward))
            else:
                reward = numbers.finite("the reward", reward)
                total_reward += reward
            num_steps += 1
            self._log_one_step(seen["user"], seen["doc"], action, responses, reward, done)
            truncated = not done and num_steps == self._max_steps_per_episode
            if done or truncated:
                break
            action = next_slate(reward, observation)
        agent_lib.end_episode(agent, reward, observation, truncated=truncated)
        self._update_episode_metrics(
            episode_length=num_steps,
            episode_time=time.perf_counter() - start_time,
            episode_reward=total_reward,
        )
        return num_steps, total_reward

    def _log_one_step(
        self,
        user_obs: Any,
        doc_obs: Any,
        slate: Any,
        responses: Any,
        reward: Any,
        is_terminal: bool,
        sequence_example: Any = None,
    ) -> None:
        """Adds one step to the episode log, if there is one; ``sequence_example`` is not used."""
        del sequence_example  # RecSim's signature.
        if self._episode_log is not None:
            self._episode_log.add_step(user_obs, doc_obs, slate, responses, reward, is_terminal)

    def _log_users_step(self, step: _play.UsersStep) -> None:
        """Adds a step of all users of a vector environment to the episode log, if there is one."""
        if self._episode_log is not None:
            self._episode_log.add_users_step(step)

    def _initialize_metrics(self) -> None:
        """Sets the metrics of the runner and of the environment to zero."""
        self._stats: dict[str, list[Any]] = {
            "episode_length": [],
            "episode_time": [],
            "episode_reward": [],
        }
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
        lengths, rewards = self._stats["episode_length"], self._stats["episode_reward"]
        metrics: dict[str, float] = {"episodes": len(lengths)}

        def add_summary(tag: str, value: float) -> None:
            metrics[tag] = float(value)
            if not np.isnan(value):  # What is not defined is no point of a curve.
                self._summary_writer.add_scalar(f"{tag}/{suffix}", value, step)

        # Users in parallel may have played without an end of an episode.
        times = self._stats["episode_time"]
        add_summary("TimePerStep", np.sum(times) / np.sum(lengths) if lengths else np.nan)
        add_summary("AverageEpisodeLength", np.mean(lengths) if lengths else np.nan)
        add_summary("AverageEpisodeRewards", np.mean(rewards) if lengths else np.nan)
        add_summary("StdEpisodeRewards", np.std(rewards) if lengths else np.nan)
        self._env.write_metrics(run_metrics.tags_checked(add_summary, {"total_steps", *metrics}))
        self._summary_writer.flush()
        self._metrics_file.add(step, metrics)

    def _checkpoint_experiment(self, iteration: int, total_steps: int) -> None:
        """Saves a checkpoint of everything that the run needs to go on after an iteration."""
        self._checkpointer.save(iteration, self._experiment_data(iteration, total_steps))
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._interrupted_path)

    @property
    def _interrupted_path(self) -> str:
        """The checkpoint of an iteration that was interrupted in its middle."""
        name = f"{self._checkpoint_file_prefix}.interrupted"
        return os.path.join(self._checkpoint_dir, name)

    def _experiment_data(self, iteration: int, total_steps: int) -> dict[str, Any]:
        """Returns everything that the run needs to go on."""
        logs = {}
        if self._episode_log is not None:
            logs[self._log_name] = self._episode_log.sync()
        return {
            "recsim_version": _version.__version__,
            "numpy_version": np.__version__,
            "current_iteration": iteration,
            "total_steps": total_steps,
            "finished": iteration + 1 == self._num_iterations,
            "episode_logs": logs,
            "agent": self._agent.bundle_and_checkpoint(self._checkpoint_dir, iteration),
            "environment": self._env_state(),
            "play": self._play.state(),
            "fingerprint": self._fingerprint,
            "settings": self._settings,
        }

    def _initialize_checkpointer_and_maybe_resume(
        self, checkpoint_file_prefix: str
    ) -> tuple[int, int]:
        """Restores the newest checkpoint, if there is one.

        Returns:
            The iteration to go on with, and the number of steps until there.
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
        interrupted = self._load_interrupted(-1 if newest is None else newest[0])
        if newest is None and interrupted is None:
            self._refuse_other_prefixes()
            self._check_state()
            if self._episode_log is not None:
                self._episode_log.start()
            return 0, 0
        iteration, experiment_data = interrupted or newest
        self._check_fingerprint(iteration, experiment_data)
        if experiment_data["environment"] is not None:
            _play.restore_env(self._env, experiment_data["environment"])
        self._restore_agent(iteration, experiment_data)
        self._resume_episode_log(iteration, experiment_data["episode_logs"])
        if experiment_data["environment"] is not None:
            self._play.restore(experiment_data.get("play"))
        if interrupted is not None:
            self._interrupted = experiment_data["interrupted"]
            _logger.info("Resuming in iteration %d.", iteration)
            return iteration, experiment_data["total_steps"]
        _logger.info("Resuming after iteration %d.", iteration)
        return iteration + 1, experiment_data["total_steps"]

    def _check_state(self) -> None:
        """Refuses, before it takes time, a training whose state no checkpoint can hold."""
        if type(self)._checkpoint_experiment is Runner._checkpoint_experiment:
            trial.check_state(self._agent, self._env_state())

    def _load_interrupted(self, newest: int) -> tuple[int, dict[str, Any]] | None:
        """Returns the iteration and the checkpoint that an interrupted iteration left, if any.

        Args:
            newest: the iteration of the newest other checkpoint, which counts if it is as new.
        """
        try:
            data = checkpoint.load(self._interrupted_path)
            run_data.check(data, interrupted=True)
        except FileNotFoundError:
            return None
        except ValueError as error:
            _logger.warning("Passing over a bad checkpoint: %s", error)
            return None
        iteration = data["current_iteration"]
        if iteration <= newest:
            return None
        if elsewhere := run_metrics.kept_elsewhere(self._env):
            _logger.warning(
                "Passing over %r: the metrics may be kept where they were not saved, for %s.",
                self._interrupted_path,
                elsewhere,
            )
            return None
        return iteration, data

    def _refuse_other_prefixes(self) -> None:
        """Raises ValueError if another prefix has checkpoints here: two runs would mix."""
        for name in sorted(os.listdir(self._checkpoint_dir)):
            path = os.path.join(self._checkpoint_dir, name)
            if re.fullmatch(r".+\.\d+", name) and checkpoint.is_checkpoint(path):
                raise ValueError(
                    f"There is no checkpoint {self._checkpoint_file_prefix}.<iteration> in "
                    f"{self._checkpoint_dir!r}, but there is {name!r}, of another run: choose its "
                    "checkpoint_file_prefix to go on with it, or another base_dir to start afresh."
                )

    def _resume_episode_log(self, iteration: int, logs: dict[str, Any]) -> None:
        """Takes the episode log back to what it was at the checkpoint."""
        if self._episode_log is None:
            return
        if self._log_name not in logs:
            _logger.warning(
                "The episode log %s will hold no episodes before iteration %d: the run was not "
                "logged there so far.",
                self._log_name,
                iteration + 1,
            )
        self._episode_log.start(logs.get(self._log_name))


def _check_keywords(runner_class: type[Runner], keywords: Iterable[str]) -> None:
    """Raises TypeError for a keyword that neither a class nor Runner has, naming the nearest."""
    known = keys.parameters_of(Runner)
    keys.refuse_unknown(runner_class.__name__, keywords, known, keys.parameters_of(runner_class))


@gin.configurable
class TrainRunner(Runner):
    """Trains an agent, in iterations after each of which a checkpoint may be saved.

    A run that was interrupted, however it was, goes on from its newest good checkpoint and ends
    with the numbers of one that was not. This holds if the agent's bundle has all of its state and
    the environment's ``checkpoint_state`` has all of its own, as those of this library have. A
    warning in the log names the parts of an environment that have no generator to checkpoint.

    Args:
        max_training_steps: number of steps of an iteration, >= 1; its last episode is played to
            the end. In a vector environment steps are those of all users together, and sessions
            go on from one iteration to the next.
        num_iterations: number of iterations, >= 1.
        checkpoint_frequency: a checkpoint is saved after iterations 0, ``checkpoint_frequency``,
            2 ``checkpoint_frequency``, … and after the last.
        **kwargs: arguments of :class:`Runner`.
    """

    def __init__(
        self,
        max_training_steps: int = 250000,
        num_iterations: int = 100,
        checkpoint_frequency: int = 1,
        **kwargs: Any,
    ) -> None:
        _check_keywords(TrainRunner, kwargs)
        self._max_training_steps = _validation.positive_int(
            "max_training_steps", max_training_steps
        )
        self._num_iterations: int = _validation.positive_int("num_iterations", num_iterations)
        self._checkpoint_frequency = _validation.positive_int(
            "checkpoint_frequency", checkpoint_frequency
        )
        super().__init__(**kwargs)
        self._output_dir = os.path.join(self._base_dir, "train")
        self._checkpoint_dir = os.path.join(self._output_dir, "checkpoints")
        self._advance_progress: progress_lib.Advance = progress_lib.no_progress
        self._set_up(eval_mode=False)
        self._settings["max_training_steps"] = self._max_training_steps
        self._warn_of_parts_without_generator()

    def _goes_on_with_log(self) -> bool:
        checkpoints = checkpoint.Checkpointer(
            self._checkpoint_dir, self._checkpoint_file_prefix, check=run_data.check
        )
        newest = checkpoints.load_newest()
        return newest is not None and self._log_name in newest[1]["episode_logs"]

    def _warn_of_parts_without_generator(self) -> None:
        if self._initial_env_state is None:
            parts = ["the environment"]
        else:
            parts = list(_play.parts_without_generator(self._initial_env_state))
        if parts:
            _logger.warning(
                "Checkpoints hold no random generator of %s: if it draws numbers, a resumed "
                "training will go on with other ones. Keep one of NumPy's generators in self._rng "
                "there, or extend checkpoint_state and restore_state.",
                ", ".join(parts),
            )

    def run_experiment(self) -> None:
        """Trains the agent, from the newest checkpoint if there is one.

        Raises:
            BlockingIOError: if another training runs in this ``base_dir``.
            checkpoint.CheckpointError: if there are checkpoints, but no good one.
            ValueError: if they are not of this agent or world, of another prefix, or the episode
                log that belongs to them is gone.
            TypeError: if something in the state of the agent or the environment is no data; where
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
            self._warn_if_nothing_was_learned(total_steps)
        else:
            _logger.warning(
                "Nothing to train: %d iterations are done and num_iterations is %d. Raise it to "
                "train on, or choose another base_dir to start afresh.",
                start_iteration,
                self._num_iterations,
            )
        if self._episode_log is not None:
            self._episode_log.finish()

    def _warn_if_nothing_was_learned(self, total_steps: int) -> None:
        if learning.num_updates(self._agent) != 0:  # None where the agent does not say.
            return
        needed = learning.steps_without_update(self._agent)
        reason = (
            f"it makes none in its first {needed:,} steps. Train it for longer (max_training_steps"
            " times num_iterations), or let it learn earlier (DQNAgent.min_replay_history)."
            if needed >= total_steps
            else "no step brought it anything to learn from, or it was made for evaluation "
            "(eval_mode)."
        )
        _logger.warning(
            "%s has learned nothing: it made no update in a training of %s steps, for %s",
            type(self._agent).__name__,
            f"{total_steps:,}",
            reason,
        )

    def _train(self, iterations: range, total_steps: int) -> int:
        """Runs iterations and returns the number of steps of all iterations until their end."""
        self._metrics_file.drop_after(total_steps)
        records_metrics = type(self)._write_metrics is Runner._write_metrics
        if iterations[0] and records_metrics and not self._metrics_file.records:
            _logger.warning(
                "The metrics of the first %d iterations are gone: metrics.jsonl in %r was removed. "
                "Stop the run and put it back, or the file will lack them.",
                iterations[0],
                self._output_dir,
            )
        self._summary_writer.restart_at(total_steps + 1)
        num_steps = (iterations.stop - iterations.start) * self._max_training_steps
        try:
            with (
                interrupts.deferred(),
                progress_lib.progress_bar("Training", num_steps, "steps", self._progress) as show,
            ):
                self._advance_progress = show if iterations[0] else self._first_checked(show)
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

    def _first_checked(self, show: progress_lib.Advance) -> progress_lib.Advance:
        """Returns a function that shows progress, and that checks the state at its first call.

        By then the agent has what it only makes as it recommends.
        """
        unchecked = [True]

        def advance(steps: int, overshoot: int) -> None:
            if unchecked:
                unchecked.clear()
                self._check_state()
            show(steps, overshoot)

        return advance

    def _run_train_phase(self, total_steps: int) -> int:
        """Runs one iteration and returns the number of steps of all iterations until its end."""
        self._initialize_metrics()
        if self._interrupted is not None:
            self._stats = self._interrupted["stats"]
            _play.restore_metrics(self._env, self._interrupted["metrics"])
            self._steps_before = self._interrupted["steps"]
            self._interrupted = None
        total_steps += self._play.train(self._max_training_steps, self._advance_progress)
        self._steps_before = 0
        self._write_metrics(total_steps, suffix="train")
        return total_steps

    def _stop_if_requested(self, steps: int) -> None:
        """Ends the training, with a checkpoint of the iteration so far, if a signal is waiting.

        Args:
            steps: number of steps of the iteration so far.
        """
        if not interrupts.requested():
            return
        interrupts.end_grace()  # Saving may take longer.
        interrupted = {
            "steps": steps,
            "stats": self._stats,
            "metrics": _play.metrics_state(self._env),
        }
        if unknown := self._not_resumable(interrupted):
            _logger.warning(
                "The training ends without a checkpoint of what it has played of iteration %d, and "
                "resumes after the last one: %s.",
                self._iteration,
                unknown,
            )
        else:
            data = self._experiment_data(self._iteration, self._total_steps)
            checkpoint.save(self._interrupted_path, {**data, "interrupted": interrupted})
        interrupts.raise_if_requested()

    def _not_resumable(self, interrupted: dict[str, Any]) -> str | None:
        """Returns why a training cannot resume in the middle of an iteration, None if it can."""
        if elsewhere := run_metrics.kept_elsewhere(self._env):
            return f"the metrics may be kept where they cannot be saved, for {elsewhere}"
        if interrupted["metrics"] is None:
            return "the environment does not keep its metrics by their names, in _metrics"
        if self._env_state() is None:
            return "the environment has no checkpoint_state that works"
        try:
            checkpoint.check(interrupted)
        except (TypeError, ValueError) as error:
            return f"of its metrics, {error}"
        return None


@gin.configurable
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
        self._max_eval_episodes = _validation.positive_int("max_eval_episodes", max_eval_episodes)
        resources.check_memory(
            _BYTES_OF_EPISODE * self._max_eval_episodes,
            f"{resources.shown(self._max_eval_episodes)} episodes",
            "choose a smaller max_eval_episodes",
        )
        self._test_mode = test_mode
        self._min_interval_secs = _validation.non_negative_float(
            "min_interval_secs", min_interval_secs
        )
        self._timeout_secs = _validation.non_negative_float("timeout_secs", timeout_secs)
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
            ValueError: if they are not of this agent, or of a world that it would see otherwise.
        """
        with self._locked_output():
            self._evaluate_what_there_is()

    def _evaluate_what_there_is(self) -> None:
        if self._episode_log is not None:
            self._episode_log.start()
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
        if self._episode_log is not None:
            self._episode_log.finish()

    def _follow_training(self) -> None:
        for iteration, experiment_data in self._new_checkpoints():
            total_steps = experiment_data["total_steps"]
            self._evaluated = {
                "iteration": iteration,
                "total_steps": total_steps,
                "sha256": self._checkpointer.newest_digest,
            }
            if self._test_mode or not self._has_returns(total_steps):
                self._evaluate(total_steps, iteration, experiment_data)
            if self._test_mode or experiment_data["finished"]:
                return

    def _has_returns(self, total_steps: int) -> bool:
        """Says whether the returns of this evaluation are there from an earlier process."""
        path = self._returns_path(total_steps)
        if not os.path.exists(path):
            return False
        reason = evaluation_record.reason_to_evaluate(
            self._record_path(total_steps), path, self._evaluation_record()
        )
        if reason is None:
            _logger.info("The returns after %d steps are there already.", total_steps)
            return True
        _logger.warning(
            "Evaluating anew after %d steps, in place of the returns in %r: %s.",
            total_steps,
            path,
            reason,
        )
        return False

    def _evaluation_record(self) -> dict[str, Any]:
        """Returns what tells this evaluation's returns from those of others."""
        return {
            "fingerprint": self._fingerprint["sha256"],
            "settings": self._settings,
            "checkpoint": self._evaluated,
        }

    def _new_checkpoints(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the newest checkpoint whenever there is a newer one, until none comes in time."""
        self._checkpointer = checkpoint.Checkpointer(
            self._checkpoint_dir, self._checkpoint_file_prefix, check=run_data.check
        )
        last_iteration = -1
        while (newest := self._wait_for_newer_than(last_iteration)) is not None:
            last_iteration = newest[0]
            yield newest

    def _wait_for_newer_than(self, iteration: int) -> tuple[int, dict[str, Any]] | None:
        """Returns the newest checkpoint and its iteration, None if none comes in time."""
        wanted = f"a checkpoint {self._checkpoint_file_prefix!r} in {self._checkpoint_dir!r}"
        if iteration >= 0:
            wanted += f" after that of iteration {iteration}"
        deadline = time.monotonic() + self._timeout_secs
        waiting = False
        while True:
            if self._checkpointer.iterations()[-1:] > [iteration]:
                newest = self._checkpointer.load_newest()
                if newest is not None and newest[0] > iteration:
                    return newest
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            if not waiting:
                waiting = True
                _logger.warning("Waiting up to %g s for %s.", self._timeout_secs, wanted)
            time.sleep(min(max(self._min_interval_secs, 0.01), remaining))
        if iteration < 0:
            raise TimeoutError(
                f"No training run saved {wanted} within {self._timeout_secs:g} s (timeout_secs). "
                "Start the training, correct train_base_dir, or set test_mode=True where there is "
                "no training run to evaluate the agent as it is created."
            )
        _logger.warning(
            "No training run saved %s within %g s (timeout_secs): the evaluation ends here.",
            wanted,
            self._timeout_secs,
        )
        return None

    def _evaluate(
        self, total_steps: int, iteration: int = -1, experiment_data: dict[str, Any] | None = None
    ) -> None:
        """Evaluates the agent of a checkpoint, or the agent as it was created."""
        self._start_over()
        self._has_run = True
        if experiment_data is not None:
            self._check_fingerprint(iteration, experiment_data)
            self._restore_agent(iteration, experiment_data)
        self._summary_writer.restart_at(total_steps)
        self._run_eval_phase(total_steps)
        evaluation_record.write(
            self._record_path(total_steps),
            self._returns_path(total_steps),
            self._evaluation_record(),
        )

    def _run_eval_phase(self, total_steps: int) -> None:
        """Runs the episodes of one evaluation and writes its metrics and returns.

        Args:
            total_steps: number of steps that the agent was trained for.
        """
        self._initialize_metrics()
        with progress_lib.progress_bar(
            "Evaluation", self._max_eval_episodes, "episodes", self._progress
        ) as advance:
            episode_rewards = self._play.evaluate(self._max_eval_episodes, advance)
        self._write_metrics(total_steps, suffix="eval")
        with _files.atomic_file(self._returns_path(total_steps)) as file:
            file.write(json_text.dumps(episode_rewards).encode())

    def _returns_path(self, total_steps: int) -> str:
        return os.path.join(self._output_dir, f"returns_{total_steps}")

    def _record_path(self, total_steps: int) -> str:
        return os.path.join(self._output_dir, f"evaluated_{total_steps}.json")
