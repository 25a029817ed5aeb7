"""Agents compared in one world, on the same users: the experiment of ``recsim run``.

Every agent meets the same users in the same order, and, as long as its sessions are as long as
those of the others, the same documents at the same step. So agents can be compared user by user,
which takes the differences between users out of the error.

An experiment leaves in its folder

* ``results.json``: settings, means and standard deviations, and differences of the returns;
* ``episodes.csv``: a row an agent and episode;
* ``<agent>/…``: the files of the agent's runners, see :mod:`recsim.simulator.runner_lib`.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recsim import _validation, _version, registry, seeding, utils
from recsim.experiments import estimates
from recsim.simulator import _files, _settings, runner_lib

__all__ = ["Comparison", "Results", "difference", "mean_and_deviation"]

#: Arguments of the runners that neither the caller nor gin gives.
TRAIN_DEFAULTS = {"max_training_steps": 1000, "num_iterations": 10, "max_steps_per_episode": 200}
EVAL_DEFAULTS = {"max_eval_episodes": 50, "max_steps_per_episode": 200}

_SHARE_OF_TOPIC = "click_share_of_topic_"


@dataclasses.dataclass(frozen=True)
class Results:
    """What a comparison measured.

    Attributes:
        settings: how it was run, as plain data.
        episodes: for each agent an array of shape (num_episodes,) a measure: ``steps``,
            ``return`` and ``steps_per_second``; in worlds that count clicks
            ``click_through_rate`` (clicks a slate), and in those with topics ``click_quality``
            (mean quality of what was clicked) and ``click_share_of_topic_<i>`` (share of the
            episode's clicks, unlike the runners' metrics, which are by slate). NaN stands where
            an episode has no such value, such as the quality of no clicks.
    """

    settings: dict[str, Any]
    episodes: dict[str, dict[str, np.ndarray]]

    @property
    def topics(self) -> list[int]:
        """The topics that some agent got clicks on, ascending."""
        measures = next(iter(self.episodes.values()))
        return [_topic(name) for name in measures if name.startswith(_SHARE_OF_TOPIC)]

    def click_shares(self, agent: str, topics: Sequence[int]) -> np.ndarray:
        """Returns the share of an agent's clicks that went to some topics, by episode."""
        measures = self.episodes[agent]
        return np.sum([measures[f"{_SHARE_OF_TOPIC}{topic}"] for topic in topics], axis=0)

    def summary(self) -> dict[str, Any]:
        """Returns settings, means and standard deviations over episodes, and differences."""
        return {
            "settings": self.settings,
            "agents": {
                agent: {name: mean_and_deviation(values) for name, values in measures.items()}
                for agent, measures in self.episodes.items()
            },
            "return_differences": self.return_differences(),
        }

    def return_differences(self) -> list[dict[str, Any]]:
        """Returns how much each agent's return is above the last one's, see :func:`difference`."""
        *others, baseline = self.episodes
        returns = {agent: measures["return"] for agent, measures in self.episodes.items()}
        return [
            {
                "agent": agent,
                "baseline": baseline,
                **difference(returns[agent], returns[baseline]),
            }
            for agent in others
        ]


def mean_and_deviation(values: np.ndarray) -> dict[str, Any]:
    """Returns mean and standard deviation of the values that are not NaN, None of too few.

    Args:
        values: a measure by episode, shape (num_episodes,).

    Returns:
        ``mean``, ``standard_deviation`` (with n - 1) and ``episodes``, the number of values.
    """
    values = values[~np.isnan(values)]
    return {
        "mean": float(values.mean()) if len(values) else None,
        "standard_deviation": float(values.std(ddof=1)) if len(values) > 1 else None,
        "episodes": len(values),
    }


def difference(values: np.ndarray, baseline: np.ndarray) -> dict[str, Any]:
    """Returns the mean difference of paired values, with its 95% confidence interval.

    The interval is Student's for the mean of the differences, which takes the pairs for a sample.

    Args:
        values: an agent's values by episode, shape (num_episodes,).
        baseline: another agent's values in the same episodes, of the same shape.

    Returns:
        ``mean``, and ``low`` and ``high``, which are None if there is a single pair.

    Example:
        >>> result = difference(np.array([2.0, 4.0, 3.0]), np.array([1.0, 1.0, 1.0]))
        >>> {name: round(value, 2) for name, value in result.items()}
        {'mean': 2.0, 'low': -0.48, 'high': 4.48}
    """
    differences = values - baseline
    if len(differences) < 2:
        return {"mean": float(differences.mean()), "low": None, "high": None}
    estimate = estimates.estimate(differences)
    return {name: estimate[name] for name in ("mean", "low", "high")}


class Comparison:
    """Runs agents in an environment, each with the runners: an evaluation, and a training before.

    Agents that learn from one episode for the next are trained first, on other users. What is None
    here has gin's value, where there is a binding of the runners' argument, and else the default.

    Args:
        environment: name of the environment, see :mod:`recsim.registry`.
        agents: different names of agents. The last one is the baseline of differences.
        output_dir: the folder for the files, new or empty.
        num_candidates: number of documents to choose from at each step.
        slate_size: number of documents in a slate.
        resample_documents: whether each step has new documents.
        seed: seed of everything, in [0, 2**32 - 1]. The same seed gives the same results but for
            the speed.
        steps: greatest number of steps of an episode, ``Runner.max_steps_per_episode``; 200 by
            default.
        episodes: number of episodes, ``EvalRunner.max_eval_episodes``; 50 by default.
        train_steps: number of training steps of agents that learn, in 10 iterations; 10,000 by
            default. Each iteration's last episode is played to the end.
        progress: see :class:`recsim.simulator.runner_lib.Runner`.

    Raises:
        ValueError: for an unknown or repeated name, an agent that does not fit the environment, a
            setting that gives no world or run, or a folder that is not empty.
        TypeError: for an argument of the wrong type.
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
        output_dir: str | os.PathLike[str],
        *,
        num_candidates: int = 10,
        slate_size: int = 2,
        resample_documents: bool = True,
        seed: int = 0,
        steps: int | None = None,
        episodes: int | None = None,
        train_steps: int | None = None,
        progress: bool | None = None,
    ) -> None:
        self._environment = environment
        self._env_config = {
            "num_candidates": num_candidates,
            "slate_size": slate_size,
            "resample_documents": resample_documents,
            "seed": seed,
        }
        self._output_dir = os.fspath(output_dir)
        self._progress = progress
        self._train_settings = _settings.unbound("TrainRunner", TRAIN_DEFAULTS)
        self._eval_settings = _settings.unbound("EvalRunner", EVAL_DEFAULTS)
        if steps is not None:
            self._train_settings["max_steps_per_episode"] = steps
            self._eval_settings["max_steps_per_episode"] = steps
        if episodes is not None:
            self._eval_settings["max_eval_episodes"] = episodes
        if train_steps is not None:
            _validation.positive_int("train_steps", train_steps)
            self._train_settings["num_iterations"] = min(10, train_steps)
            self._train_settings["max_training_steps"] = -(-train_steps // 10)
        self._check_names(agents)
        self._prepare_folder()
        try:
            self._runners = {agent: self._create_runners(agent) for agent in agents}
        except BaseException:
            # The runners' own folders, so that the folder can be taken for the next attempt.
            for agent in agents:
                _files.remove_empty_folders(os.path.join(self._output_dir, agent))
            raise

    def _check_names(self, agents: Sequence[str]) -> None:
        """Raises ValueError before anything is written if an agent cannot be run."""
        if isinstance(agents, str) or not agents:
            raise ValueError(f"agents must be a list of at least one name, got {agents!r}.")
        if len(set(agents)) < len(agents):
            raise ValueError(f"agents must be different names, got {', '.join(agents)}.")
        for agent in agents:
            registry.agent_entry(agent)
        env = registry.create_environment(self._environment, self._env_config)
        for agent in agents:
            registry.create_agent(agent, env)

    def _prepare_folder(self) -> None:
        _files.writable_folder("The output folder", self._output_dir)
        if os.listdir(self._output_dir):
            raise ValueError(
                f"The output folder {self._output_dir!r} is not empty: choose another, so that "
                "nothing in it is overwritten."
            )

    def _create_runners(self, agent: str) -> list[Any]:
        """Returns the runners of an agent in the order to run them, the evaluation last."""
        seed = self._env_config["seed"]
        agent_seed = seeding.derived_seed(seed, "agent")

        def create_agent(_: Any, env: Any, eval_mode: bool, summary_writer: Any = None) -> Any:
            return registry.create_agent(
                agent, env, seed=agent_seed, eval_mode=eval_mode, summary_writer=summary_writer
            )

        shared: dict[str, Any] = {
            "base_dir": os.path.join(self._output_dir, agent),
            "create_agent_fn": create_agent,
            "progress": self._progress,
        }
        runners: list[Any] = []
        if registry.agent_entry(agent).learns:
            other_users = {**self._env_config, "seed": seeding.derived_seed(seed, "training")}
            env = registry.create_environment(self._environment, other_users)
            runners.append(runner_lib.TrainRunner(env=env, **shared, **self._train_settings))
        env = registry.create_environment(self._environment, self._env_config)
        runners.append(_EpisodeRecorder(env=env, test_mode=True, **shared, **self._eval_settings))
        return runners

    def run(self) -> Results:
        """Runs the agents one after the other and writes the files of the results."""
        rows: dict[str, list[dict[str, float]]] = {}
        for number, (agent, runners) in enumerate(self._runners.items(), start=1):
            if self._progress is not False:
                print(f"{agent} ({number} of {len(self._runners)})", file=sys.stderr, flush=True)
            for runner in runners:
                runner.run_experiment()
            rows[agent] = runners[-1].episodes
        results = Results(self._used_settings(), _measures(rows))
        _write_files(results, self._output_dir)
        return results

    def _used_settings(self) -> dict[str, Any]:
        """Returns the settings, those that gin gave included."""
        evaluation = next(iter(self._runners.values()))[-1]
        return {
            "recsim_version": _version.__version__,
            "environment": self._environment,
            **self._env_config,
            "episodes": evaluation._max_eval_episodes,
            "max_steps_per_episode": evaluation._max_steps_per_episode,
            "training_steps": {
                agent: runners[0]._max_training_steps * runners[0]._num_iterations
                for agent, runners in self._runners.items()
                if len(runners) > 1
            },
        }


class _EpisodeRecorder(runner_lib.EvalRunner):
    """An evaluation that keeps what each episode was like."""

    def _run_eval_phase(self, total_steps: int) -> None:
        self.episodes: list[dict[str, float]] = []
        self._counts: dict[str, float] = {}
        super()._run_eval_phase(total_steps)

    def _update_episode_metrics(
        self, episode_length: int, episode_time: float, episode_reward: float
    ) -> None:
        super()._update_episode_metrics(episode_length, episode_time, episode_reward)
        counts = dict(self._env._metrics)  # Of all episodes so far.
        in_episode = {name: counts[name] - self._counts.get(name, 0) for name in counts}
        self._counts = counts
        self.episodes.append(
            {
                "steps": episode_length,
                "return": float(episode_reward),
                "steps_per_second": episode_length / episode_time,
                **_click_measures(in_episode),
            }
        )


def _click_measures(counts: Mapping[str, float]) -> dict[str, float]:
    """Returns the measures of an episode that its clicks have, from the counts of recsim.utils."""
    slates, clicks = counts.get("impression", 0), counts.get("click", 0)
    if not slates:
        return {}
    measures = {"click_through_rate": clicks / slates}
    if clicks:
        measures["click_quality"] = counts["quality"] / clicks
        for name, clicks_on_topic in counts.items():
            if name.startswith(utils.CLUSTER_PREFIX):
                topic = name.removeprefix(utils.CLUSTER_PREFIX)
                measures[f"{_SHARE_OF_TOPIC}{topic}"] = clicks_on_topic / clicks
    return measures


def _measures(rows: Mapping[str, list[dict[str, float]]]) -> dict[str, dict[str, np.ndarray]]:
    """Turns the rows of agents' episodes into columns, the same ones for every agent."""
    episodes = [row for of_agent in rows.values() for row in of_agent]
    found = dict.fromkeys(name for row in episodes for name in row)
    shares = sorted((name for name in found if name.startswith(_SHARE_OF_TOPIC)), key=_topic)
    names = [name for name in found if name not in shares] + shares

    def value(row: Mapping[str, float], name: str) -> float:
        no_click = "click_quality" not in row
        return row.get(name, np.nan if name not in shares or no_click else 0.0)

    return {
        agent: {name: np.array([value(row, name) for row in of_agent]) for name in names}
        for agent, of_agent in rows.items()
    }


def _topic(name: str) -> int:
    return int(name.removeprefix(_SHARE_OF_TOPIC))


def _write_files(results: Results, folder: str) -> None:
    summary = json.dumps(results.summary(), indent=2)
    with _files.atomic_file(os.path.join(folder, "results.json")) as file:
        file.write(f"{summary}\n".encode())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measures = list(next(iter(results.episodes.values())))
    writer.writerow(["agent", "episode", *measures])
    for agent, columns in results.episodes.items():
        for episode, values in enumerate(zip(*columns.values())):
            cells = ["" if np.isnan(value) else repr(float(value)) for value in values]
            writer.writerow([agent, episode, *cells])
    with _files.atomic_file(os.path.join(folder, "episodes.csv")) as file:
        file.write(text.getvalue().encode())
