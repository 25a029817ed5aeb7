"""A run of one agent in one scenario with one seed: a task of an experiment.

With the same seed all agents meet the same users in the same order, and, as long as their episodes
are equally long, the same documents at the same step. So agents can be compared user by user, which
takes the differences between users out of the error. With ``num_envs`` so many users in parallel
are simulated, by the vector forms of environment and agent.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import gin
import numpy as np

from recsim import metrics, registry, seeding, types
from recsim._internal import (
    bindings,
    files,
    learning,
    paths,
    resources,
    validation,
    version,
)
from recsim.experiments import (
    _course,
    _first_steps,
    _learning_curve,
    _recorders,
    _trained_agents,
)
from recsim.simulator import rollout, runner_lib
from recsim.vector import rollouts, streams

if TYPE_CHECKING:
    from recsim.simulator import recsim_gym
    from recsim.vector import env as vector_env

__all__ = [
    "EVAL_DEFAULTS",
    "FEW_STEPS",
    "MOST_TRAINING_USERS",
    "TRAIN_DEFAULTS",
    "AgentRun",
    "Measured",
    "overridden",
]

#: Arguments of the runners that neither the caller nor gin gives.
TRAIN_DEFAULTS = {"max_training_steps": 3000, "num_iterations": 10, "max_steps_per_episode": 200}
EVAL_DEFAULTS = {"max_eval_episodes": 50, "max_steps_per_episode": 200}

# Iterations of a training of a given length. Each runs its last episode to the end.
_MOST_ITERATIONS = 10
_LEAST_OF_ITERATION = 1000
#: Number of users in parallel of a training, at most, where nothing is said.
MOST_TRAINING_USERS = 100
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
class Measured:
    """What a run measured.

    Attributes:
        settings: how it was run, as plain data.
        measures: an array of shape (num_episodes,) a measure: ``steps``, ``return`` and
            ``steps_per_second``; in environments that count clicks ``click_through_rate`` (clicks
            a slate), and in those with topics ``click_quality`` (mean quality of what was
            clicked) and ``click_share_of_topic_<i>`` for every topic (share of the episode's
            clicks, unlike the runners' metrics, which are by slate). NaN stands where an episode
            has no such value, such as the quality of no clicks.
        course: what happened over the episode: ``step`` and, by measure, means over the episodes;
            nothing where an environment has several users.
        seeds: every seed, by what it is the seed of.
        fingerprints: of scenario and agent, in training and evaluation.
    """

    settings: dict[str, Any]
    measures: dict[str, np.ndarray]
    course: dict[str, np.ndarray]
    seeds: dict[str, int]
    fingerprints: dict[str, Any]


class AgentRun:
    """Runs an agent in an environment with the runners: an evaluation, and a training before.

    An agent that learns from one episode for the next is trained first, on other users. What is
    None here has gin's value, where there is a binding of the runners' argument, and else the
    default.

    Args:
        environment: name of the environment, see :mod:`recsim.registry`.
        agent: name of the agent.
        folder: the folder for the runners' files. It may have what an earlier run with the same
            arguments has left, however it ended: a training resumes from its checkpoints, and an
            evaluation is made anew.
        num_candidates: number of documents to choose from at each step; None for the environment's
            own, 10 but for variants.
        slate_size: number of documents in a slate; None for the environment's own, 2 but for
            variants.
        resample_documents: whether each step has new documents; None for the environment's own,
            True but for variants.
        seed: seed of everything, in [0, 2**32 - 1]. The same seed gives the same results but for
            the speed.
        agent_seed: what the seed of the agent is derived from, by default ``seed``.
        steps: greatest number of steps of an episode, ``Runner.max_steps_per_episode``; 200 by
            default.
        episodes: number of episodes, ``EvalRunner.max_eval_episodes``; 50 by default.
        train_steps: number of training steps of an agent that learns, in one iteration for each
            1,000 of them and in 10 at most; 30,000 by default. Each iteration's last episode runs
            to its end, so that there may be more steps. Deep agents gather transitions for a tenth
            of the steps, and for 20,000 at most, before they learn, unless gin binds their
            ``min_replay_history``.
        num_envs: number of users in parallel, each for the same number of episodes, by default one;
            None for the single-user engine. An agent that learns is trained with 100 users in
            parallel at most, so that their episodes end, unless ``train_envs`` says otherwise.
        log_episodes: whether each runner logs its episodes, those of the training too, in
            ``episodes.parquet`` in its folder, see :mod:`recsim.logs.parquet`.
        log_user_state: whether these logs have the users' hidden states too.
        advance: is told of steps, training and evaluation alike; None to tell nobody.
        train_envs: number of users in parallel of a training; None for that of ``num_envs``, 100
            at most.
        rollout_workers: what simulates them, see :mod:`recsim.vector.rollouts`; None for this
            process.
        curve_users: number of users in parallel whom the agent is evaluated on after each
            iteration of its training, an episode each; None for no evaluation then.

    Raises:
        ValueError: for an unknown name, an agent that does not fit the environment or has no vector
            form, a setting that is not valid, a training too short for an agent to learn anything
            in it, or a run of more than a month.
        TypeError: for an argument of the wrong type.
        MemoryError: if the environment, an agent or the measures cannot be in memory.
        OSError: if the folder cannot be written to.

    Example:
        >>> import tempfile
        >>> run = AgentRun(
        ...     "interest_exploration", "random", tempfile.mkdtemp(), episodes=3, steps=20)
        >>> run.measure().measures["steps"]
        array([20, 20, 20])
    """

    def __init__(
        self,
        environment: str,
        agent: str,
        folder: paths.Path,
        *,
        num_candidates: int | None = None,
        slate_size: int | None = None,
        resample_documents: bool | None = None,
        seed: int = 0,
        steps: int | None = None,
        episodes: int | None = None,
        train_steps: int | None = None,
        num_envs: int | None = None,
        log_episodes: bool = False,
        log_user_state: bool = False,
        agent_seed: int | None = None,
        advance: Callable[[int], None] | None = None,
        train_envs: int | None = None,
        rollout_workers: rollouts.RolloutWorkers | None = None,
        curve_users: int | None = None,
    ) -> None:
        self._advance = advance
        self._rollout_workers = rollout_workers
        of_users = (train_envs, rollout_workers, curve_users)
        if num_envs is None and any(given is not None for given in of_users):
            raise ValueError(
                "train_envs, rollout_workers and curve_users are for users in parallel: give "
                "num_envs too."
            )
        if train_envs is not None:
            train_envs = validation.positive_int("train_envs", train_envs)
        if curve_users is not None:
            curve_users = validation.positive_int("curve_users", curve_users)
        self._train_envs, self._curve_users = train_envs, curve_users
        self._environment = environment
        self._agent = agent
        self._num_envs = num_envs
        if resample_documents is not None:
            resample_documents = validation.flag("resample_documents", resample_documents)
        given = {
            "num_candidates": num_candidates,
            "slate_size": slate_size,
            "resample_documents": resample_documents,
        }
        own = registry.environment_entry(environment).config()
        self._env_config = {
            **{name: own[name] if value is None else value for name, value in given.items()},
            "seed": seed,
        }
        self._agent_seed = seeding.derived_seed(seed if agent_seed is None else agent_seed, "agent")
        self._folder = paths.absolute("folder", folder)
        self._logs: dict[str, Any] = {}
        log_user_state = validation.flag("log_user_state", log_user_state)
        if validation.flag("log_episodes", log_episodes):
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
        self._check_agent()
        if episodes is not None:
            _check_memory(validation.positive_int("episodes", episodes))
        paths.writable_folder("The output folder", self._folder)
        try:
            self._make_runners()
            self._check_time()
        except BaseException:
            # The runners' own folders, so that the folder can be taken for the next attempt.
            files.remove_empty_folders(self._folder)
            raise

    def _check_agent(self) -> None:
        """Raises ValueError or MemoryError before anything is written if it cannot be run."""
        registry.agent_entry(self._agent)
        self._check_memory_of_users()
        self._create_environment(self._env_config, None)  # Refuses what is too large.
        env = self._create_environment(self._env_config, 1)
        created = self._create_agent(env, training_steps=_SHORT_TRAINING)
        if gin.config_str().strip():
            self._try_out(created, env)

    def _check_memory_of_users(self) -> None:
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
            return self._create_agent(env, eval_mode=True), env

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
            f"and {self._agent}",
            "choose fewer users or candidates, or recsim.vector.simulate for more users",
        )

    def _try_out(self, agent: types.AnyAgent, env: types.AnyEnv) -> None:
        """Raises ValueError if an agent or the environment fails in the first steps.

        What gin binds is often not looked at before.
        """
        try:
            _first_steps.run(agent, env)
        except Exception as error:
            raise ValueError(
                f"{self._agent} in {self._environment} fails in its first steps with what gin "
                f"binds: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _create_environment(
        self, env_config: Mapping[str, Any], most_users: int | None, users: int | None = None
    ) -> recsim_gym.RecSimGymEnv | vector_env.RecSimVectorEnv:
        """Returns an environment, a vector environment of some users at most where one is asked."""
        if self._num_envs is None:
            return registry.create_environment(self._environment, env_config)
        num_envs = users or min(self._num_envs, most_users or self._num_envs)
        return registry.create_vector_environment(self._environment, env_config, num_envs)

    def _create_agent(self, env: types.AnyEnv, **kwargs: Any) -> types.AnyAgent:
        if self._num_envs is None:
            return registry.create_agent(
                self._agent, cast("recsim_gym.RecSimGymEnv", env), **kwargs
            )
        of_users = cast("vector_env.RecSimVectorEnv", env)
        return registry.create_vector_agent(self._agent, of_users, **kwargs)

    def _make_runners(self) -> None:
        """Makes the runners, and what listens to them."""
        seed = self._env_config["seed"]

        def create_agent(_: object, env: types.AnyEnv, **arguments: Any) -> types.AnyAgent:
            return self._create_agent(env, seed=self._agent_seed, **arguments)

        shared: dict[str, Any] = {
            "base_dir": self._folder,
            "create_agent_fn": create_agent,
            "progress": False,
            **self._logs,
        }
        self._training: _Training | None = None
        if registry.agent_entry(self._agent).learns:
            other_users = {**self._env_config, "seed": seeding.derived_seed(seed, "training")}
            env = self._create_environment(other_users, MOST_TRAINING_USERS, self._train_envs)
            self._training = training = _Training(
                env=env,
                listeners=self._listeners(env),
                rollout_workers=self._rollout_workers,
                **shared,
                **self._train_settings,
            )
            training.check_length(self._agent)
            if self._curve_users is not None:
                training.curve = self._curve(self._curve_users, training)
            # The agent that is evaluated has the settings of the one that was trained.
            shared["create_agent_fn"] = functools.partial(
                create_agent, training_steps=training.planned_steps
            )
        env = self._create_environment(self._env_config, None)
        self._recorder = recorder = _recorders.for_environment(env)
        self._course = course = _course.for_environment(env, self._environment)
        for name in _evaluation_folders(self._folder):
            shutil.rmtree(name)
        self._evaluation = _Evaluation(
            env=env,
            test_mode=True,
            listeners=[recorder, *([] if course is None else [course]), *self._listeners(env)],
            **shared,
            **self._eval_settings,
        )
        _check_memory(self._evaluation.settings()["episodes"])

    def _curve(self, num_users: int, training: _Training) -> _learning_curve.LearningCurve:
        """Returns what evaluates the agent after each iteration of its training."""
        seed = seeding.derived_seed(self._env_config["seed"], "learning curve")
        env: Any = self._create_environment({**self._env_config, "seed": seed}, None, num_users)
        env.max_steps_per_episode = training.settings()["max_steps_per_episode"]
        create_agent: Any = functools.partial(
            self._create_agent,
            env,
            seed=self._agent_seed,
            eval_mode=True,
            training_steps=training.planned_steps,
        )
        folder = os.path.join(self._folder, "train")
        return _learning_curve.LearningCurve(folder, env, create_agent, seed)

    def _listeners(self, env: types.AnyEnv) -> list[rollout.Listener | rollout.VectorListener]:
        """Returns what listens to the runs to tell of their progress."""
        return [] if self._advance is None else [_recorders.ticker(env, self._advance)]

    def _check_time(self) -> None:
        """Raises ValueError if the runs would take more than a month."""
        settings = self._evaluation.settings()
        episodes, most = settings["episodes"], settings["max_steps_per_episode"]
        steps = 0 if self._training is None else self._training.planned_steps
        if steps + episodes * most < FEW_STEPS:
            return
        users = min(self._num_envs or 1, _MOST_USERS_TIMED)
        env = self._create_environment(self._env_config, users)
        length = _first_steps.length_of_episodes(env, most)
        seconds = _first_steps.seconds_a_step(
            self._create_agent(env, training_steps=_LONG_TRAINING), env
        )
        each = f"{self._agent} takes at least {1e6 * seconds:,.3g} microseconds for a step"
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
                number * seconds / 86400, f"{each}: {name} of {what}", f"choose fewer {remedy}"
            )

    def measure(self) -> Measured:
        """Trains and evaluates the agent, and returns what was measured."""
        if self._training is not None:
            self._training.run_experiment()
            self._training.save_agent()
        self._recorder.clear()
        if self._course is not None:
            self._course.clear()
        self._evaluation.run_experiment()
        seed = self._env_config["seed"]
        runners = {"training": self._training, "evaluation": self._evaluation}
        return Measured(
            settings=self.settings(),
            measures=_measures(self._recorder.episode_counts()),
            course={} if self._course is None else self._course.measures(),
            seeds={
                "environment": seed,
                "agent": self._agent_seed,
                "training environment": seeding.derived_seed(seed, "training"),
            },
            fingerprints={
                phase: runner.fingerprint for phase, runner in runners.items() if runner is not None
            },
        )

    def settings(self) -> dict[str, Any]:
        """Returns the settings, those that gin gave included, and how long a training has been."""
        training = {} if self._training is None else {self._agent: self._training}
        return {
            "recsim_version": version.__version__,
            "environment": self._environment,
            "agents": [self._agent],
            **self._env_config,
            **({} if self._num_envs is None else {"num_envs": self._num_envs}),
            **self._evaluation.settings(),
            "training_steps": {agent: runner.total_steps for agent, runner in training.items()},
            "training_updates": {agent: runner.num_updates for agent, runner in training.items()},
            "min_replay_history": {
                agent: runner.min_replay_history
                for agent, runner in training.items()
                if runner.min_replay_history is not None
            },
            "training": {agent: runner.settings() for agent, runner in training.items()},
            "gin_bindings": bindings.described(),
        }


def _check_memory(episodes: int) -> None:
    """Raises MemoryError if the measures of so many episodes cannot be kept."""
    resources.check_memory(
        8 * episodes * len(("steps", "return", "steps_per_second")),
        f"The measures of {resources.shown(episodes)} episodes",
        "choose fewer episodes",
    )


def _evaluation_folders(base_dir: str) -> Iterator[str]:
    """Yields the folders that evaluations have left in that of an agent."""
    if os.path.isdir(base_dir):
        for name in os.listdir(base_dir):
            if name.startswith("eval_"):
                yield os.path.join(base_dir, name)


def overridden(given: Mapping[str, Any]) -> dict[str, str]:
    """Returns what of the arguments given to a run takes precedence over bindings."""
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
    #: What evaluates the agent after each iteration; None for nothing.
    curve: _learning_curve.LearningCurve | None = None

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

    def save_agent(self) -> None:
        """Writes the trained agent to a file that :func:`recsim.load_agent` serves it from."""
        _trained_agents.save(self._agent, self._base_dir)

    def check_length(self, agent: str) -> None:
        """Raises ValueError if the agent learns nothing in so many steps."""
        without_update = learning.steps_without_update(self._agent)
        if self.planned_steps <= without_update:
            users = getattr(self._env, "num_envs", 1)
            raise ValueError(
                f"A training of {self.planned_steps:,} steps"
                + f" ({self.planned_steps // users:,} for each of {users:,} users)" * (users > 1)
                + f" is too short for {agent}, which makes no update in its first "
                f"{without_update:,}: ask for more than these training steps, or "
                f"{learning.remedy(self._agent)}."
            )

    def _run_train_phase(self, total_steps: int) -> int:
        self.total_steps = super()._run_train_phase(total_steps)
        if self.curve is not None and self._agent is not None:
            self.curve.add(self._agent, self.total_steps)
        return self.total_steps

    @property
    def num_updates(self) -> int | None:
        """How many updates the agent has made, None if it does not say."""
        return learning.num_updates(self._agent)

    @property
    def min_replay_history(self) -> int | None:
        """How many transitions the agent gathered before it learned, None if it gathers none."""
        return getattr(self._agent, "min_replay_history", None)


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
    by_topic = {
        int(name.removeprefix(metrics.CLICKS_ON_TOPIC)): clicks_on_topic
        for name, clicks_on_topic in counts.items()
        if name.startswith(metrics.CLICKS_ON_TOPIC)
    }
    for topic, clicks_on_topic in sorted(by_topic.items()):
        measures[f"click_share_of_topic_{topic}"] = metrics.ratio(clicks_on_topic, clicks)
    return measures
