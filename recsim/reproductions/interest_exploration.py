"""Agents that explore more and more a user's interests: ``recsim reproduce interest-exploration``.

The white paper of RecSim compares five agents on users of low and of high affinity to topics. It
does not print its scenario's config, so this one is designed to show the same order. See "RecSim: A
Configurable Simulation Platform for Recommender Systems", Ie et al. (arXiv 1909.04847, section
5.1).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from recsim import agent as agent_lib
from recsim import registry, seeding, types
from recsim.agents import greedy_pctr_agent, tabular_q_agent
from recsim.agents.layers import cluster_click_statistics
from recsim.environments import interest_exploration
from recsim.experiments import plots, statistics, tables
from recsim.reproductions import base
from recsim.simulator import rollout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recsim.simulator import recsim_gym

__all__ = [
    "AFFINITIES",
    "AGENTS",
    "SESSION_LENGTH",
    "Affinity",
    "Agent",
    "InterestExploration",
    "click_through_rates",
    "env_config",
]

STEPS, QUICK_STEPS = 100_000, 10_000
USERS, QUICK_USERS = 200, 10
SEEDS, QUICK_SEEDS = 5, 2

#: Number of steps of a session, after which it is truncated.
SESSION_LENGTH = 1000

_NUM_TOPICS = 5
_POINTS_OF_CURVE = 10


@dataclasses.dataclass(frozen=True)
class Affinity:
    """How much users like their favourite topic.

    Attributes:
        title: what it is, in a few words.
        favourite: mean of the logarithm of the affinity to the favourite topic.
    """

    title: str
    favourite: float


#: The affinities compared. To the other topics the mean of the logarithm is 0.1.
AFFINITIES = {
    "high": Affinity("High topic affinity", 1.4),
    "low": Affinity("Low topic affinity", 0.7),
}


def env_config(affinity: str, seed: int) -> dict[str, Any]:
    """Returns the config of the environment, for ``interest_exploration.create_environment``.

    Five topics are equally likely, and five types of users have a favourite topic each. As each
    step has five new documents, of different quality, not every topic is there at every step.

    Args:
        affinity: a key of :data:`AFFINITIES`.
        seed: seed of users and documents.
    """
    log_affinity = np.full((_NUM_TOPICS, _NUM_TOPICS), 0.1)
    np.fill_diagonal(log_affinity, AFFINITIES[affinity].favourite)
    return {
        "num_candidates": 5,
        "slate_size": 1,
        "resample_documents": True,
        "seed": seed,
        "topic_distribution": [1 / _NUM_TOPICS] * _NUM_TOPICS,
        "topic_quality_mean": [0.0] * _NUM_TOPICS,
        "topic_quality_stddev": [0.2] * _NUM_TOPICS,
        # The average user likes the first topic best, but the most users like another better.
        "user_type_distribution": [0.4, 0.15, 0.15, 0.15, 0.15],
        "user_document_mean_affinity_matrix": log_affinity.tolist(),
        "user_document_stddev_affinity_matrix": np.full_like(log_affinity, 0.1).tolist(),
        "no_click_mass": 5.0,
    }


class _InformedAgent(greedy_pctr_agent.GreedyPCTRAgent):
    """Knows each user's affinities, and shows what the user most likely clicks."""

    def __init__(self, environment: recsim_gym.RecSimGymEnv) -> None:
        super().__init__(cast(types.SlateSpace, environment.action_space), None)
        self._user_model = environment.environment.user_model

    def step(self, reward: float, observation: agent_lib.Observation) -> np.ndarray:
        self._belief_state = self._user_model._user_state  # noqa: SLF001  # RecSim's name.
        return super().step(reward, observation)


def _from_registry(
    name: str, environment: recsim_gym.RecSimGymEnv, seed: int, steps: int, eval_mode: bool
) -> types.SlateAgent:
    return registry.create_agent(name, environment, seed=seed)


def _informed(
    environment: recsim_gym.RecSimGymEnv, seed: int, steps: int, eval_mode: bool
) -> base.TrainedAgent:
    return _InformedAgent(environment)


def _tabular_q(
    environment: recsim_gym.RecSimGymEnv, seed: int, steps: int, eval_mode: bool
) -> base.TrainedAgent:
    return cluster_click_statistics.ClusterClickStatsLayer(
        tabular_q_agent.TabularQAgent,
        environment.observation_space,
        cast(types.SlateSpace, environment.action_space),
        eval_mode=eval_mode,
        # Bins are the same for counts and qualities: these tell counts apart, but no qualities.
        discretization_bounds=(0.0, float(SESSION_LENGTH)),
        number_bins=11,
        # About 0.01 at the end of the training.
        exploration_temperature=0.01 ** (SESSION_LENGTH / max(steps, SESSION_LENGTH)),
        seed=seed,
    )


def _full_slate_q(
    environment: recsim_gym.RecSimGymEnv, seed: int, steps: int, eval_mode: bool
) -> base.TrainedAgent:
    from recsim.agents import full_slate_q_agent

    return cluster_click_statistics.ClusterClickStatsLayer(
        functools.partial(full_slate_q_agent.FullSlateQAgent, None),
        environment.observation_space,
        cast(types.SlateSpace, environment.action_space),
        eval_mode=eval_mode,
        min_replay_history=max(1, steps // 50),
        epsilon_decay_period=max(1, steps // 5),
        target_update_period=max(1, steps // 100),
        epsilon_eval=0.0,
        seed=seed,
    )


@dataclasses.dataclass(frozen=True)
class Agent:
    """An agent of the comparison.

    Attributes:
        title: its name for tables and figures.
        create: function ``(environment, seed, steps, eval_mode)`` that makes it, where ``steps``
            is the number of training steps.
        published: click-through rates in the white paper, by the keys of :data:`AFFINITIES`; empty
            where there is none.
        colour: its colour in figures.
        learns: whether it is trained on other users before.
    """

    title: str
    create: Callable[..., Any]
    published: Mapping[str, float]
    colour: str
    learns: bool = False


#: The agents, the white paper's in its order.
AGENTS = {
    "random": Agent(
        "random",
        functools.partial(_from_registry, "random"),
        {"low": 0.0786, "high": 0.1497},
        plots.GREY,
    ),
    "greedy": Agent(
        "greedy, average user",
        functools.partial(_from_registry, "greedy_pctr"),
        {"low": 0.0959, "high": 0.1756},
        plots.ORANGE,
    ),
    "tabular_q": Agent(
        "tabular Q", _tabular_q, {"low": 0.0824, "high": 0.2016}, plots.LIGHT_BLUE, learns=True
    ),
    "full_slate_q": Agent(
        "full-slate Q", _full_slate_q, {"low": 0.0964, "high": 0.2328}, plots.BLUE, learns=True
    ),
    "ucb1": Agent(
        "UCB1",
        functools.partial(_from_registry, "cluster_bandit_ucb1"),
        {"low": 0.0976, "high": 0.2517},
        plots.GREEN,
    ),
    "informed": Agent("knows the user", _informed, {}, plots.PURPLE),
}


def click_through_rates(
    agent: types.SlateAgent,
    env: recsim_gym.RecSimGymEnv,
    num_users: int,
    advance: base.Advance = lambda done: None,
) -> np.ndarray:
    """Lets an agent recommend to users, a session of :data:`SESSION_LENGTH` steps each.

    Args:
        agent: the agent, which learns if it can.
        env: an environment of one user at a time, whose rewards are clicks.
        num_users: number of users.
        advance: called after each user with the number of steps.

    Returns:
        Clicks a step, float64 array of shape (num_users,).
    """
    clicks = np.zeros(num_users)
    for user in range(num_users):
        clicks[user] = rollout.run_episode(env, agent, max_steps=SESSION_LENGTH).total_reward
        advance(SESSION_LENGTH)
    return clicks / SESSION_LENGTH


def _run(
    agent: str, affinity: str, steps: int, users: int, seed: int, advance: base.Advance
) -> base.Result:
    """Runs a task: ``rates`` of the users of the evaluation, and of those of the training."""
    create = functools.partial(AGENTS[agent].create, seed=seed, steps=steps)

    def create_env(use: str) -> recsim_gym.RecSimGymEnv:
        seed_of_use = seeding.derived_seed(seed, f"interest exploration {use}")
        return interest_exploration.create_environment(env_config(affinity, seed_of_use))

    env = create_env("evaluation")
    evaluated = create(env, eval_mode=True)
    result: base.Result = {"fingerprint": base.fingerprint_of(env, evaluated)}
    if AGENTS[agent].learns:
        env_of_training = create_env("training")
        learner = create(env_of_training, eval_mode=False)
        sessions = -(-steps // SESSION_LENGTH)
        result["training"] = click_through_rates(learner, env_of_training, sessions, advance)
        evaluated.unbundle("", 0, learner.bundle_and_checkpoint("", 0))
    return {**result, "rates": click_through_rates(evaluated, env, users, advance)}


class InterestExploration(base.Reproduction):
    """The click-through rates of :data:`AGENTS` at low and high affinity, beside the published.

    Agents with the same seed and affinity have the same users, in training and in evaluation.

    Args:
        seeds: number of trainings and evaluations of each agent, at least 2.
        steps: number of training steps of agents that learn, rounded up to whole sessions.
        users: number of users of an evaluation, at least 1.
        seed: seed of everything, at least 0.

    Raises:
        TypeError: if an argument is not an integer.
        ValueError: if one is too small.
    """

    sizes = (
        base.Size(
            "seeds", 2, SEEDS, QUICK_SEEDS, "trainings and evaluations of each agent", 10_000
        ),
        base.Size("steps", 1, STEPS, QUICK_STEPS, "training steps"),
        base.Size("users", 1, USERS, QUICK_USERS, "users of an evaluation", 100),
    )
    name = "interest-exploration"
    unit = "steps"
    packages = ("numpy", "tensorflow", "keras")
    notes = """\
Click-through rate: share of the steps with a click, mean over the users of a
seed and then over seeds; interval: Student's, 95%, over seeds. Over random: the
rate divided by that of random. Paper: white paper of RecSim, section 5.1, whose
scenario is not printed: only the order and the ratios compare. Knows the user:
shows what the user most likely clicks, which is the best that can be done."""

    def __init__(
        self, seeds: int = SEEDS, steps: int = STEPS, users: int = USERS, seed: int = 0
    ) -> None:
        super().__init__(seed, seeds=seeds, steps=steps, users=users)

    def tasks(self, folder: str) -> list[base.Task]:
        """Returns the tasks: an agent, affinity and seed each, too short to keep anything of."""
        del folder
        sessions = -(-self.settings["steps"] // SESSION_LENGTH)
        return [
            base.Task(
                _task_name(key, affinity, number),
                _run,
                {
                    "agent": key,
                    "affinity": affinity,
                    "steps": self.settings["steps"],
                    "users": self.settings["users"],
                    "seed": seeding.derived_seed(
                        self.settings["seed"], f"interest exploration {number}"
                    ),
                },
                SESSION_LENGTH * (self.settings["users"] + (sessions if agent.learns else 0)),
                uses_tensorflow=key == "full_slate_q",
            )
            for number in range(self.settings["seeds"])
            for affinity in AFFINITIES
            # Those that take long first.
            for key, agent in sorted(AGENTS.items(), key=lambda entry: not entry[1].learns)
        ]

    def results(self, tasks: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
        """Returns by affinity the config, and by agent its rate, the published one and a curve."""
        return {
            affinity: {
                "title": AFFINITIES[affinity].title,
                "session_length": SESSION_LENGTH,
                "env_config": env_config(affinity, self.settings["seed"]),
                "agents": {
                    key: _measures(
                        key,
                        affinity,
                        [
                            tasks[_task_name(key, affinity, k)]
                            for k in range(self.settings["seeds"])
                        ],
                    )
                    for key in AGENTS
                },
            }
            for affinity in AFFINITIES
        }

    def tables(self, results: Mapping[str, Any]) -> list[tables.Table]:
        """Returns a table an affinity."""
        return list(map(_table, results.values()))

    def figures(self, results: Mapping[str, Any]) -> dict[str, Figure]:
        """Returns bars of the rates, and the rates while training."""
        return {"rates": _bars(results), "training": _curves(results)}


def _task_name(key: str, affinity: str, number: int) -> str:
    return f"{key}_{affinity}_{number}"


def _measures(key: str, affinity: str, tasks: list[Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """Returns the results of the seeds of an agent."""
    agent = AGENTS[key]
    by_seed = [float(task["rates"].mean()) for task in tasks]
    measures: dict[str, Any] = {
        "title": agent.title,
        "click_through_rate": statistics.estimate(by_seed),
        "click_through_rate_by_seed": by_seed,
        "published": agent.published.get(affinity),
        "seconds": [round(float(task["seconds"]), 1) for task in tasks],
    }
    if agent.learns:
        sessions = np.array([task["training"] for task in tasks])
        pieces = np.array_split(sessions, min(_POINTS_OF_CURVE, sessions.shape[1]), axis=1)
        curve = statistics.estimate(np.stack([piece.mean(axis=1) for piece in pieces], axis=1))
        measures["training"] = {
            "steps": (SESSION_LENGTH * np.cumsum([piece.shape[1] for piece in pieces])).tolist(),
            **{name: np.round(curve[name], 5).tolist() for name in ("mean", "low", "high")},
        }
    return measures


def _table(of_affinity: Mapping[str, Any]) -> tables.Table:
    agents = of_affinity["agents"]
    random = agents["random"]
    return tables.Table(
        of_affinity["title"],
        ("agent", "click-through", "95% interval", "over random", "paper", "over random"),
        [
            (
                measures["title"],
                f"{measures['click_through_rate']['mean']:.2%}",
                _interval(measures["click_through_rate"]),
                _ratio(*(each["click_through_rate"]["mean"] for each in (measures, random))),
                "–" if measures["published"] is None else f"{measures['published']:.2%}",
                _ratio(measures["published"], random["published"]),
            )
            for measures in agents.values()
        ],
    )


def _interval(estimate: Mapping[str, float]) -> str:
    return f"{100 * estimate['low']:.2f}–{100 * estimate['high']:.2f}%"


def _ratio(rate: float | None, of_random: float) -> str:
    return "–" if rate is None else f"{rate / of_random:.2f}"


def _panels(results: Mapping[str, Any]) -> tuple[Figure, Iterator[tuple[Axes, Any]]]:
    """Returns a figure, and its panels with what is to be seen there, one an affinity."""
    figure = plots.new_figure(11, 4.5)
    panels = figure.subplots(1, len(results))
    for axes, of_affinity in zip(panels, results.values()):
        axes.set_title(of_affinity["title"], fontsize=10)
        axes.grid(axis="y", alpha=0.25)
        axes.yaxis.set_major_formatter(lambda rate, _: f"{rate:.0%}")
    panels[0].set_ylabel("click-through rate")
    return figure, zip(panels, (each["agents"] for each in results.values()))


def _bars(results: Mapping[str, Any]) -> Figure:
    """Draws the rates as bars with their intervals, and the paper's as marks."""
    figure, panels = _panels(results)
    for axes, agents in panels:
        for row, (key, measures) in enumerate(agents.items()):
            rate = measures["click_through_rate"]
            half_width = rate["high"] - rate["mean"]
            axes.bar(row, rate["mean"], yerr=half_width, color=AGENTS[key].colour, capsize=3)
            if measures["published"] is not None:
                label = "" if row else "paper, with another config"
                plots.add_mark(axes, measures["published"], row, 0.4, label)
        titles = [measures["title"] for measures in agents.values()]
        axes.set_xticks(range(len(titles)), titles, rotation=20, ha="right")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center")
    return figure


def _curves(results: Mapping[str, Any]) -> Figure:
    """Draws the rates while training with their intervals; lines are agents that do not train."""
    figure, panels = _panels(results)
    for axes, agents in panels:
        for key, measures in agents.items():
            colour, label = AGENTS[key].colour, measures["title"]
            curve = measures.get("training")
            if curve is None:
                rate = measures["click_through_rate"]["mean"]
                axes.axhline(rate, color=colour, label=label, linestyle="--")
                continue
            plots.add_curve(axes, curve["steps"], curve, colour=colour, label=label, opacity=0.2)
        axes.set_xlabel("training steps")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=6)
    return figure
