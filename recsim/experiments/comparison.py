"""Agents compared in one scenario, on the same users: the experiment of ``recsim run``.

Every agent meets the same users in the same order, and, as long as its episodes are as long as
those of the others, the same documents at the same step. So agents can be compared user by user,
which takes the differences between users out of the error. With ``num_envs`` so many users in
parallel are simulated, by the vector forms of environment and agents.

An experiment leaves in its folder

* ``results.json``: settings, and what else the same numbers depend on (command, seeds, versions,
  gin's configuration, fingerprints); means and standard deviations, and differences of the returns;
* ``episodes.csv``: a row an agent and episode;
* ``<agent>/…``: the files of the agent's runners, see :mod:`recsim.simulator.runner_lib`.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import gin
import numpy as np

from recsim import metrics, registry, seeding, types
from recsim._internal import (
    bindings,
    files,
    json_text,
    keys,
    learning,
    paths,
    provenance,
    resources,
    validation,
    version,
)
from recsim.experiments import _course, _first_steps, _recorders, statistics
from recsim.simulator import rollout, runner_lib
from recsim.vector import streams

if TYPE_CHECKING:
    from recsim.simulator import recsim_gym
    from recsim.vector import env as vector_env

__all__ = ["Comparison", "Results", "overridden"]

#: Arguments of the runners that neither the caller nor gin gives.
TRAIN_DEFAULTS = {"max_training_steps": 3000, "num_iterations": 10, "max_steps_per_episode": 200}
EVAL_DEFAULTS = {"max_eval_episodes": 50, "max_steps_per_episode": 200}

_SHARE_OF_TOPIC = "click_share_of_topic_"
# Iterations of a training of a given length. Each runs its last episode to the end.
_MOST_ITERATIONS = 10
_LEAST_OF_ITERATION = 1000
_MOST_TRAINING_USERS = 100
#: Runs of fewer steps are let pass without an estimate of their time.
FEW_STEPS = 10_000_000
_MOST_USERS_TIMED = 1000
# Trainings so long that agents which are only tried out, or timed, have not begun to learn.
_SHORT_TRAINING = 1000
_LONG_TRAINING = 1_000_000
# Candidates of all users together; with more, what they take of memory is measured first.
_MANY_CANDIDATES = 10_000_000
_FEW_CANDIDATES = 1000


@dataclasses.dataclass(frozen=True)
class Results:
    """What a comparison measured.

    Attributes:
        settings: how it was run, as plain data.
        episodes: for each agent an array of shape (num_episodes,) a measure: ``steps``,
            ``return`` and ``steps_per_second``; in environments that count clicks
            ``click_through_rate`` (clicks a slate), and in those with topics ``click_quality``
            (mean quality of what was clicked) and ``click_share_of_topic_<i>`` for every topic
            (share of the episode's clicks, unlike the runners' metrics, which are by slate). NaN
            stands where an episode has no such value, such as the quality of no clicks.
        provenance: what else the same numbers depend on: the command, the seeds, the versions,
            gin's operative configuration, and the fingerprints of scenario and agents.
        courses: for each agent what happened over the episode: ``step`` and, by measure, means
            over the episodes; nothing where an environment has several users.
    """

    settings: dict[str, Any]
    episodes: dict[str, dict[str, np.ndarray]]
    provenance: provenance.Record = dataclasses.field(default_factory=dict)
    courses: dict[str, dict[str, np.ndarray]] = dataclasses.field(default_factory=dict)

    @property
    def topics(self) -> list[int]:
        """The topics, ascending."""
        measures = next(iter(self.episodes.values()))
        return [_topic(name) for name in measures if name.startswith(_SHARE_OF_TOPIC)]

    def click_shares(self, agent: str, topics: Sequence[int]) -> np.ndarray:
        """Returns the share of an agent's clicks that went to some topics, by episode."""
        measures = self.episodes[agent]
        shares = [measures[f"{_SHARE_OF_TOPIC}{topic}"] for topic in topics]
        summed: np.ndarray = np.sum(shares, axis=0)
        return summed

    def summary(self) -> dict[str, Any]:
        """Returns settings, provenance, means and deviations over episodes, and differences."""
        return {
            "settings": self.settings,
            "provenance": self.provenance,
            "agents": {
                agent: {
                    name: statistics.mean_and_deviation(values) for name, values in measures.items()
                }
                for agent, measures in self.episodes.items()
            },
            "return_differences": self.return_differences(),
            "intervals": "over users, with one seed of training",
        }

    def return_differences(self) -> list[dict[str, Any]]:
        """Returns how much each agent's return is above the last one's.

        See :func:`recsim.experiments.statistics.paired_difference`.
        """
        *others, baseline = self.episodes
        returns = {agent: measures["return"] for agent, measures in self.episodes.items()}
        return [
            {
                "agent": agent,
                "baseline": baseline,
                **statistics.paired_difference(returns[agent], returns[baseline]),
            }
            for agent in others
        ]


class Comparison:
    """Runs agents in an environment, each with the runners: an evaluation, and a training before.

    Agents that learn from one episode for the next are trained first, on other users. What is None
    here has gin's value, where there is a binding of the runners' argument, and else the default.

    Args:
        environment: name of the environment, see :mod:`recsim.registry`.
        agents: different names of agents. The last one is the baseline of differences.
        output_dir: the folder for the files, new or empty, unless it resumes.
        num_candidates: number of documents to choose from at each step.
        slate_size: number of documents in a slate.
        resample_documents: whether each step has new documents.
        seed: seed of everything, in [0, 2**32 - 1]. The same seed gives the same results but for
            the speed.
        agent_seed: what the seeds of the agents are derived from, by default ``seed``.
        steps: greatest number of steps of an episode, ``Runner.max_steps_per_episode``; 200 by
            default.
        episodes: number of episodes, ``EvalRunner.max_eval_episodes``; 50 by default.
        train_steps: number of training steps of agents that learn, in one iteration for each 1,000
            of them and in 10 at most; 30,000 by default. Each iteration's last episode runs to
            its end, so that there may be more steps. Deep agents gather
            transitions for a tenth of the steps, and for 20,000 at most, before they learn, unless
            gin binds their ``min_replay_history``.
        num_envs: number of users in parallel, each for the same number of episodes, by default one;
            None for the single-user engine. An agent that learns is trained with 100 users in
            parallel at most, so that their episodes end.
        progress: see :class:`recsim.simulator.runner_lib.Runner`.
        log_episodes: whether each runner logs its episodes, those of training too, in
            ``episodes.parquet`` in its folder, see :mod:`recsim.logs.parquet`.
        log_user_state: whether these logs have the users' hidden states too.
        refuse_unused_bindings: whether a gin binding that has no effect on what is run is an
            error, such as one of ``EvalRunner.max_eval_episodes`` beside ``episodes``.
        command_arguments: those of the command that asked for it, for the record; None for a
            program.
        resume: whether the folder may have what an earlier comparison with the same arguments has
            left, however it ended: trainings resume from their checkpoints, and evaluations are
            made anew.
        advance: is told of steps, training and evaluation alike; None to tell nobody.

    Raises:
        ValueError: for an unknown or repeated name, an agent that does not fit the environment or
            has no vector form, a setting that is not valid, a training too short for an agent
            to learn anything in it, a run of more than a month, a folder that is not empty,
            or a binding without effect.
        TypeError: for an argument of the wrong type.
        MemoryError: if the environment, an agent or the measures cannot be in memory.
        OSError: if the folder cannot be written to.

    Example:
        >>> import tempfile
        >>> comparison = Comparison(
        ...     "interest_exploration", ["cluster_bandit_ucb1", "random"], tempfile.mkdtemp(),
        ...     episodes=3, steps=20, progress=False)
        >>> list(comparison.run().episodes)
        ['cluster_bandit_ucb1', 'random']
    """

    def __init__(
        self,
        environment: str,
        agents: Sequence[str],
        output_dir: paths.Path,
        *,
        num_candidates: int = 10,
        slate_size: int = 2,
        resample_documents: bool = True,
        seed: int = 0,
        steps: int | None = None,
        episodes: int | None = None,
        train_steps: int | None = None,
        num_envs: int | None = None,
        progress: bool | None = None,
        log_episodes: bool = False,
        log_user_state: bool = False,
        refuse_unused_bindings: bool = False,
        command_arguments: Sequence[str] | None = None,
        agent_seed: int | None = None,
        resume: bool = False,
        advance: Callable[[int], None] | None = None,
    ) -> None:
        self._resume = resume
        self._advance = advance
        self._command_arguments = command_arguments
        self._environment = environment
        self._num_envs = num_envs
        self._env_config = {
            "num_candidates": num_candidates,
            "slate_size": slate_size,
            "resample_documents": resample_documents,
            "seed": seed,
        }
        self._agent_seed = seeding.derived_seed(seed if agent_seed is None else agent_seed, "agent")
        self._output_dir = paths.absolute("output_dir", output_dir)
        self._progress = progress
        self._logs: dict[str, Any] = {}
        if log_episodes:
            self._logs = {"parquet_log": "episodes.parquet", "log_user_state": log_user_state}
        self._train_settings = bindings.unbound(runner_lib.TrainRunner, TRAIN_DEFAULTS)
        eval_defaults = EVAL_DEFAULTS
        if num_envs is not None:
            num_envs = self._num_envs = validation.positive_int("num_envs", num_envs)
            eval_defaults = {**EVAL_DEFAULTS, "max_eval_episodes": num_envs}
        self._eval_settings = bindings.unbound(runner_lib.EvalRunner, eval_defaults)
        if steps is not None:
            self._train_settings["max_steps_per_episode"] = steps
            self._eval_settings["max_steps_per_episode"] = steps
        if episodes is not None:
            self._eval_settings["max_eval_episodes"] = episodes
        if train_steps is not None:
            train_steps = validation.positive_int("train_steps", train_steps)
            iterations = max(1, min(_MOST_ITERATIONS, train_steps // _LEAST_OF_ITERATION))
            self._train_settings["num_iterations"] = iterations
            self._train_settings["max_training_steps"] = -(-train_steps // iterations)
        given = {"steps": steps, "episodes": episodes, "train_steps": train_steps}
        # Some agents take any argument: what nothing reads of them is told of as they are made.
        with contextlib.ExitStack() as stack:
            if refuse_unused_bindings:
                stack.enter_context(keys.refusing_bound(bindings.by_parameter()))
            self._check_names(agents)
            self._num_agents = len(agents)
            if episodes is not None:
                self._check_memory(validation.positive_int("episodes", episodes))
            self._prepare_folder()
            self._make_runners(agents, overridden(given) if refuse_unused_bindings else None)

    def _make_runners(self, agents: Sequence[str], overridden: Mapping[str, str] | None) -> None:
        """Makes the runners of all agents, and leaves no folder of theirs where that fails.

        Args:
            agents: names of agents.
            overridden: what takes precedence over bindings, by these; None where bindings may have
                no effect.
        """
        try:
            with bindings.recorded() as made:
                self._runs = {agent: self._create_runs(agent) for agent in agents}
            if overridden is not None:
                made.refuse_unused(overridden, registry.makers_of)
            self._check_time()
        except BaseException:
            # The runners' own folders, so that the folder can be taken for the next attempt.
            for agent in agents:
                files.remove_empty_folders(os.path.join(self._output_dir, agent))
            raise

    def _check_names(self, agents: Sequence[str]) -> None:
        """Raises ValueError before anything is written if an agent cannot be run."""
        if not isinstance(agents, (list, tuple)):
            raise TypeError(f"agents must be a list of names, got {agents!r}.")
        if not agents:
            raise ValueError("agents must be a list of at least one name, got an empty one.")
        for agent in agents:
            registry.agent_entry(agent)
        if len(set(agents)) < len(agents):
            raise ValueError(f"agents must be different names, got {', '.join(agents)}.")
        for agent in agents:
            self._check_memory_of_users(agent)
        self._create_environment(self._env_config, None)  # Refuses what is too large.
        env = self._create_environment(self._env_config, 1)
        for agent in agents:
            created = self._create_agent(agent, env, training_steps=_SHORT_TRAINING)
            if gin.config_str().strip():
                self._try_out(agent, created, env)

    def _check_memory_of_users(self, agent: str) -> None:
        """Raises MemoryError if so many users with an agent cannot be in memory.

        What they take is measured with few of them, and few candidates.
        """
        wanted, slate_size = validation.candidates_and_slate(
            self._env_config["num_candidates"], self._env_config["slate_size"]
        )
        if self._num_envs is None or self._num_envs * wanted < _MANY_CANDIDATES:
            return
        num_candidates = min(wanted, max(_FEW_CANDIDATES, slate_size))
        few = max(1, min(streams.CHUNK_SIZE, _MANY_CANDIDATES // 10 // num_candidates))
        env_config = {**self._env_config, "num_candidates": num_candidates}

        def create(num_users: int) -> tuple[Any, Any]:
            env = registry.create_vector_environment(self._environment, env_config, num_users)
            return self._create_agent(agent, env, eval_mode=True), env

        # What the first time alone takes, as imports do, is in none of the others.
        peaks = [
            _first_steps.peak_memory(functools.partial(create, number))
            for number in (few, few, 2 * few)
        ]
        of_few = max(0, peaks[2] - peaks[1])
        # Candidates that all users share are no more for more users.
        ratio = wanted / num_candidates if self._env_config["resample_documents"] else 1
        resources.check_memory(
            int(of_few / few * self._num_envs * ratio),
            f"{resources.shown(self._num_envs)} users with {resources.shown(wanted)} candidates "
            f"and {agent}",
            "choose fewer users or candidates, or recsim.vector.simulate for more users",
        )

    def _try_out(self, name: str, agent: types.AnyAgent, env: types.AnyEnv) -> None:
        """Raises ValueError if an agent or the environment fails in the first steps.

        What gin binds is often not looked at before.
        """
        try:
            _first_steps.run(agent, env)
        except Exception as error:
            raise ValueError(
                f"{name} in {self._environment} fails in its first steps with what gin binds: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _create_environment(
        self, env_config: Mapping[str, Any], most_users: int | None
    ) -> recsim_gym.RecSimGymEnv | vector_env.RecSimVectorEnv:
        """Returns an environment, a vector environment of some users at most where one is asked."""
        if self._num_envs is None:
            return registry.create_environment(self._environment, env_config)
        num_envs = min(self._num_envs, most_users or self._num_envs)
        return registry.create_vector_environment(self._environment, env_config, num_envs)

    def _create_agent(self, agent: str, env: types.AnyEnv, **kwargs: Any) -> types.AnyAgent:
        if self._num_envs is None:
            return registry.create_agent(agent, cast("recsim_gym.RecSimGymEnv", env), **kwargs)
        of_users = cast("vector_env.RecSimVectorEnv", env)
        return registry.create_vector_agent(agent, of_users, **kwargs)

    def _prepare_folder(self) -> None:
        paths.writable_folder("The output folder", self._output_dir)
        if not self._resume:
            files.check_empty("The output folder", self._output_dir)

    def _create_runs(self, agent: str) -> _Runs:
        """Returns the runs of an agent."""
        seed = self._env_config["seed"]

        def create_agent(_: object, env: types.AnyEnv, **arguments: Any) -> types.AnyAgent:
            return self._create_agent(agent, env, seed=self._agent_seed, **arguments)

        shared: dict[str, Any] = {
            "base_dir": os.path.join(self._output_dir, agent),
            "create_agent_fn": create_agent,
            "progress": self._progress,
            **self._logs,
        }
        training = None
        if registry.agent_entry(agent).learns:
            other_users = {**self._env_config, "seed": seeding.derived_seed(seed, "training")}
            env = self._create_environment(other_users, _MOST_TRAINING_USERS)
            training = _Training(
                env=env, listeners=self._listeners(env), **shared, **self._train_settings
            )
            training.check_length(agent)
            # The agent that is evaluated has the settings of the one that was trained.
            shared["create_agent_fn"] = functools.partial(
                create_agent, training_steps=training.planned_steps
            )
        env = self._create_environment(self._env_config, None)
        recorder = _recorders.for_environment(env)
        course = _course.for_environment(env, self._environment)
        if self._resume:
            for name in _evaluation_folders(shared["base_dir"]):
                shutil.rmtree(name)
        evaluation = _Evaluation(
            env=env,
            test_mode=True,
            listeners=[recorder, *([] if course is None else [course]), *self._listeners(env)],
            **shared,
            **self._eval_settings,
        )
        self._check_memory(evaluation.settings()["episodes"])
        return _Runs(training, evaluation, recorder, course)

    def _listeners(self, env: types.AnyEnv) -> list[rollout.Listener | rollout.VectorListener]:
        """Returns what listens to the runs to tell of their progress."""
        return [] if self._advance is None else [_recorders.ticker(env, self._advance)]

    def _check_time(self) -> None:
        """Raises ValueError if the runs of an agent would take more than a month."""
        for agent, runs in self._runs.items():
            settings = runs.evaluation.settings()
            episodes, most = settings["episodes"], settings["max_steps_per_episode"]
            steps = 0 if runs.training is None else runs.training.planned_steps
            if steps + episodes * most < FEW_STEPS:
                continue
            users = min(self._num_envs or 1, _MOST_USERS_TIMED)
            env = self._create_environment(self._env_config, users)
            length = _first_steps.length_of_episodes(env, most)
            seconds = _first_steps.seconds_a_step(
                self._create_agent(agent, env, training_steps=_LONG_TRAINING), env
            )
            each = f"{agent} takes at least {1e6 * seconds:,.3g} microseconds for a step"
            for name, number, what, remedy in (
                ("the training", steps, f"{resources.shown(steps)} steps", "training steps"),
                (
                    "the evaluation",
                    episodes * length,
                    f"{resources.shown(episodes)} episodes of {resources.shown(length)} steps",
                    "episodes or steps",
                ),
            ):
                resources.check_days(
                    number * seconds / 86400,
                    f"{each}: {name} of {what}",
                    f"choose fewer {remedy}",
                )

    def _check_memory(self, episodes: int) -> None:
        """Raises MemoryError if the measures of all agents' episodes cannot be kept."""
        resources.check_memory(
            8 * episodes * self._num_agents * len(("steps", "return", "steps_per_second")),
            f"The measures of {resources.shown(episodes)} episodes of {self._num_agents} agents",
            "choose fewer episodes",
        )

    def run(self) -> Results:
        """Runs the agents sequentially and writes the files of the results."""
        results = self.measure()
        _write_files(results, self._output_dir)
        return results

    def measure(self) -> Results:
        """Runs the agents sequentially and returns the results, without files of their own."""
        episodes: dict[str, dict[str, np.ndarray]] = {}
        courses: dict[str, dict[str, np.ndarray]] = {}
        for number, (agent, runs) in enumerate(self._runs.items(), start=1):
            if self._progress is not False:
                print(f"{agent} ({number} of {len(self._runs)})", file=sys.stderr, flush=True)
            if runs.training is not None:
                runs.training.run_experiment()
            runs.recorder.clear()
            if runs.course is not None:
                runs.course.clear()
            runs.evaluation.run_experiment()
            episodes[agent] = _measures(runs.recorder.episode_counts())
            courses[agent] = {} if runs.course is None else runs.course.measures()
        return Results(self.settings(), _same_measures(episodes), self._provenance(), courses)

    def settings(self) -> dict[str, Any]:
        """Returns the settings, those that gin gave included, and how long trainings have been."""
        evaluation = next(iter(self._runs.values())).evaluation
        trainings = {
            agent: runs.training for agent, runs in self._runs.items() if runs.training is not None
        }
        return {
            "recsim_version": version.__version__,
            "environment": self._environment,
            "agents": list(self._runs),
            **self._env_config,
            **({} if self._num_envs is None else {"num_envs": self._num_envs}),
            **evaluation.settings(),
            "training_steps": {agent: runner.total_steps for agent, runner in trainings.items()},
            "training_updates": {agent: runner.num_updates for agent, runner in trainings.items()},
            "min_replay_history": {
                agent: runner.min_replay_history
                for agent, runner in trainings.items()
                if runner.min_replay_history is not None
            },
            "training": {agent: runner.settings() for agent, runner in trainings.items()},
            "gin_bindings": bindings.described(),
        }

    def _provenance(self) -> provenance.Record:
        """Returns what else the results depend on."""
        seed = self._env_config["seed"]
        return provenance.record(
            self._command_arguments,
            {
                "environment": seed,
                "agent": self._agent_seed,
                "training environment": seeding.derived_seed(seed, "training"),
            },
            fingerprints={
                agent: {
                    **({} if runs.training is None else {"training": runs.training.fingerprint}),
                    "evaluation": runs.evaluation.fingerprint,
                }
                for agent, runs in self._runs.items()
            },
        )


def _evaluation_folders(base_dir: str) -> Iterator[str]:
    """Yields the folders that evaluations have left in that of an agent."""
    if os.path.isdir(base_dir):
        for name in os.listdir(base_dir):
            if name.startswith("eval_"):
                yield os.path.join(base_dir, name)


def overridden(given: Mapping[str, Any]) -> dict[str, str]:
    """Returns what of the arguments given to a comparison takes precedence over bindings."""
    parameters = {
        "steps": ("max_steps_per_episode",),
        "episodes": ("max_eval_episodes",),
        "train_steps": ("max_training_steps", "num_iterations"),
    }
    return {
        f"{runner}.{parameter}": f"{name}={value}"
        for name, value in given.items()
        if value is not None
        for parameter in parameters[name]
        for runner in ("Runner", "TrainRunner", "EvalRunner")
    }


class _Training(runner_lib.TrainRunner):
    """A training that tells the agent how long it will be, and knows how much came of it."""

    #: Number of steps so far.
    total_steps = 0

    def _set_up(self, eval_mode: bool) -> None:
        self._create_agent_fn = functools.partial(
            self._create_agent_fn, training_steps=self.planned_steps
        )
        super()._set_up(eval_mode)

    def settings(self) -> dict[str, int]:
        """Returns how long iterations and episodes are, and with how many users at a time."""
        return {
            "num_iterations": self._num_iterations,
            "max_training_steps": self._max_training_steps,
            "max_steps_per_episode": self._max_steps_per_episode,
            "num_envs": getattr(self._env, "num_envs", 1),
        }

    @property
    def planned_steps(self) -> int:
        """The least number of steps of the whole training."""
        together = getattr(self._env, "num_envs", 1)
        in_iteration = -(-self._max_training_steps // together) * together
        return in_iteration * self._num_iterations

    def _initialize_checkpointer_and_maybe_resume(
        self, checkpoint_file_prefix: str
    ) -> tuple[int, int]:
        iteration, self.total_steps = super()._initialize_checkpointer_and_maybe_resume(
            checkpoint_file_prefix
        )
        return iteration, self.total_steps

    def check_length(self, agent: str) -> None:
        """Raises ValueError if the agent learns nothing in so many steps."""
        without_update = learning.steps_without_update(self._agent)
        if self.planned_steps <= without_update:
            users = getattr(self._env, "num_envs", 1)
            raise ValueError(
                f"A training of {self.planned_steps:,} steps"
                + f" ({self.planned_steps // users:,} for each of {users:,} users)" * (users > 1)
                + f" is too short for {agent}, which makes no update in its first "
                f"{without_update:,}: ask for more than these training steps, or let it learn "
                "earlier (gin's DQNAgent.min_replay_history)."
            )

    def _run_train_phase(self, total_steps: int) -> int:
        self.total_steps = super()._run_train_phase(total_steps)
        return self.total_steps

    @property
    def num_updates(self) -> int | None:
        """How many updates the agent has made, None if it does not say."""
        return learning.num_updates(self._agent)

    @property
    def min_replay_history(self) -> int | None:
        """How many transitions the agent gathered before it learned, None if it gathers none."""
        return getattr(self._agent, "min_replay_history", None)


@dataclasses.dataclass(frozen=True)
class _Runs:
    """The runs of an agent: a training where it learns, and then an evaluation.

    Attributes:
        training: the training, None where there is none.
        evaluation: the evaluation.
        recorder: what listens to it.
        course: what keeps the course of its episodes, None where nothing does.
    """

    training: _Training | None
    evaluation: _Evaluation
    recorder: _recorders.Recorder
    course: _course.Course | None


class _Evaluation(runner_lib.EvalRunner):
    """An evaluation that tells its settings."""

    def settings(self) -> dict[str, int]:
        """Returns how many episodes there are, and of how many steps at most."""
        return {
            "episodes": self._max_eval_episodes,
            "max_steps_per_episode": self._max_steps_per_episode,
        }


def _measures(counts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the measures of episodes, of what was counted in each of them."""
    measures = {name: counts[name] for name in ("steps", "return", "steps_per_second")}
    if metrics.IMPRESSIONS not in counts:
        return measures
    slates = counts[metrics.IMPRESSIONS]
    clicks = counts.get(metrics.CLICKS, 0 * slates)
    measures["click_through_rate"] = metrics.ratio(clicks, slates)
    measures["click_quality"] = metrics.ratio(counts.get(metrics.QUALITY, 0 * clicks), clicks)
    for name, clicks_on_topic in counts.items():
        if name.startswith(metrics.CLICKS_ON_TOPIC):
            topic = name.removeprefix(metrics.CLICKS_ON_TOPIC)
            measures[f"{_SHARE_OF_TOPIC}{topic}"] = metrics.ratio(clicks_on_topic, clicks)
    return measures


def _same_measures(
    episodes: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, dict[str, np.ndarray]]:
    """Returns every agent's measures in one order, with those that only other agents have."""
    found = dict.fromkeys(name for measures in episodes.values() for name in measures)
    shares = sorted((name for name in found if name.startswith(_SHARE_OF_TOPIC)), key=_topic)
    names = [name for name in found if name not in shares] + shares
    return {
        agent: {
            # Nobody clicked on a topic that is not there: a share of zero where there are clicks.
            name: measures[name] if name in measures else 0.0 * measures["click_quality"]
            for name in names
        }
        for agent, measures in episodes.items()
    }


def _topic(name: str) -> int:
    return int(name.removeprefix(_SHARE_OF_TOPIC))


def _write_files(results: Results, folder: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measures = list(next(iter(results.episodes.values())))
    writer.writerow(["agent", "episode", *measures])
    for agent, columns in results.episodes.items():
        for episode, values in enumerate(zip(*columns.values())):
            cells = [repr(float(value)) if np.isfinite(value) else "" for value in values]
            writer.writerow([agent, episode, *cells])
    with files.atomic_file(os.path.join(folder, "episodes.csv")) as file:
        file.write(text.getvalue().encode())
    # Last, for it says that the run is complete.
    summary = json_text.dumps(results.summary(), indent=2)
    with files.atomic_file(os.path.join(folder, "results.json")) as file:
        file.write(f"{summary}\n".encode())
