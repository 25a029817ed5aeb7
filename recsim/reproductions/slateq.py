"""The strategies of the SlateQ paper, trained and evaluated: ``recsim reproduce slateq``.

See "SlateQ: A Tractable Decomposition for Reinforcement Learning with Recommendation Sets", Ie et
al. (IJCAI 2019); the strategies are named as in its long version, arXiv 1905.12767, section 7.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim import registry, seeding, types
from recsim.experiments import plots, statistics, tables
from recsim.reproductions import _training, base
from recsim.simulator import rollout
from recsim.vector import simulate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from recsim.simulator import recsim_gym
    from recsim.vector import env as vector_env

__all__ = [
    "METHODS",
    "STRATEGIES",
    "Method",
    "SlateQ",
    "Strategy",
    "simulate_users",
    "simulate_users_in_parallel",
]

STEPS, QUICK_STEPS = 300_000, 6_000
USERS, QUICK_USERS = 5_000, 300
SEEDS, QUICK_SEEDS = 3, 2
TRAIN_USERS, QUICK_TRAIN_USERS = 512, 64

_ENV_CONFIG = {"num_candidates": 10, "slate_size": 3, "resample_documents": True}
_POINTS_OF_CURVE = 10
# One of so many users of the evaluation is one of each point of the learning curve.
_SHARE_OF_CURVE = 50
# About how many steps a user stays, to count evaluation in progress.
_STEPS_OF_USER = 60


@dataclasses.dataclass(frozen=True)
class Method:
    """How values are learned.

    Attributes:
        title: its name in tables.
        settings: arguments of the agent.
        target_update_period: steps between copies of the network to the target network, in a
            training of 300,000 steps; it changes in proportion to the steps.
        colour: its colour in figures.
    """

    title: str
    settings: Mapping[str, Any]
    target_update_period: int
    colour: str


#: Ways of learning.
METHODS = {
    "one_step": Method("one step", {}, 8_000, plots.LIGHT_BLUE),
    "n_step": Method("100 steps", {"update_horizon": 100}, 1_000, plots.BLUE),
    "no_click": Method("no-click value", {"learn_no_click_value": True}, 1_000, plots.RED),
}


@dataclasses.dataclass(frozen=True)
class Strategy:
    """A row of the paper's table.

    Attributes:
        title: the paper's name, training before serving.
        agent: a key of :data:`recsim.registry.AGENTS`.
        published: mean return in the paper.
        published_percent: how much that is above random, in percent, None for random. (Full slates
            were compared with another run of random, of the return 160.6.)
        published_quality: mean quality of clicks in the paper, or None if there is none.
        methods: keys of :data:`METHODS`; empty where there is nothing to train.
    """

    title: str
    agent: str
    published: float
    published_percent: float | None
    published_quality: float | None
    methods: tuple[str, ...] = tuple(METHODS)


#: The paper's strategies. MYOP has a discount of 0, with which all methods are the same, and full
#: slates have no model of choice that no click could be left out of.
STRATEGIES = {
    "random": Strategy("random", "dp_random", 159.2, None, -0.593, ()),
    "full_slate": Strategy("full slate", "full_slate_q", 164.2, 2.2, None, ("one_step",)),
    "myop_ts": Strategy("MYOP-TS", "myopic_slate_topk_sarsa", 166.3, 4.5, -0.543, ("one_step",)),
    "myop_gs": Strategy("MYOP-GS", "myopic_slate_greedy_sarsa", 166.3, 4.5, -0.548, ("one_step",)),
    "sarsa_ts": Strategy("SARSA-TS", "slate_topk_sarsa", 168.4, 5.8, -0.491),
    "sarsa_gs": Strategy("SARSA-GS", "slate_greedy_sarsa", 172.1, 8.1, -0.388),
    "ql_tt_ts": Strategy("QL-TT-TS", "slate_topk_topk_q", 168.4, 5.8, -0.493),
    "ql_gt_gs": Strategy("QL-GT-GS", "slate_greedy_greedy_q", 172.9, 8.6, -0.377),
    "ql_ot_ts": Strategy("QL-OT-TS", "slate_topk_optimal_q", 169.0, 6.2, -0.491),
    "ql_ot_gs": Strategy("QL-OT-GS", "slate_greedy_optimal_q", 173.8, 9.2, -0.341),
    "ql_ot_os": Strategy("QL-OT-OS", "slate_optimal_optimal_q", 174.6, 9.7, -0.306),
}


def _create_agent(
    strategy: Strategy,
    method: str | None,
    steps: int,
    seed: int,
    sess: object,
    environment: recsim_gym.RecSimGymEnv,
    eval_mode: bool,
    summary_writer: types.SummaryWriter | None = None,
) -> base.TrainedAgent:
    """Creates the agent of a training of a number of steps; the last four are the runners' own."""
    from recsim.agents import full_slate_q_agent, slate_decomp_q_agent

    create: Callable[..., base.TrainedAgent] = functools.partial(
        slate_decomp_q_agent.create_agent, strategy.agent
    )
    if strategy.agent == "full_slate_q":
        create = full_slate_q_agent.FullSlateQAgent
    return create(
        sess,
        observation_space=environment.observation_space,
        action_space=environment.action_space,
        eval_mode=eval_mode,
        summary_writer=summary_writer,
        seed=seed,
        **(_settings(METHODS[method], steps) if method else {}),
    )


def _settings(method: Method, steps: int) -> dict[str, Any]:
    """Returns the paper's settings, with periods that are in proportion to the steps."""

    def share(of_300_000: int) -> int:
        return max(1, of_300_000 * steps // 300_000)

    return {
        "gamma": 1.0,
        "min_replay_history": share(20_000),
        "epsilon_decay_period": share(250_000),
        "target_update_period": share(method.target_update_period),
        **method.settings,
    }


def _create_environment(seed: int, use: str) -> recsim_gym.RecSimGymEnv:
    seed = seeding.derived_seed(seed, f"slateq {use}")
    return registry.create_environment("interest_evolution", {**_ENV_CONFIG, "seed": seed})


def simulate_users(
    agent: types.SlateAgent,
    env: recsim_gym.RecSimGymEnv,
    num_users: int,
    advance: base.Advance = lambda done: None,
) -> dict[str, np.ndarray]:
    """Lets an agent recommend to users, each from the first step to the last.

    Args:
        agent: an agent that does not learn.
        env: an environment of one user at a time, whose responses have a ``quality``.
        num_users: number of users.
        advance: called after each user, with about the number of steps.

    Returns:
        ``returns``, ``clicks`` and ``quality``, the sum of the qualities of what was clicked, as
        float64 arrays of shape (num_users,).
    """
    measures = np.zeros((3, num_users))
    for measure in measures.T:
        clicks = _Clicks()
        episode = rollout.run_episode(env, agent, listeners=[clicks])
        measure[:] = episode.total_reward, clicks.number, clicks.quality
        advance(_STEPS_OF_USER)
    return dict(zip(("returns", "clicks", "quality"), measures))


class _Clicks(rollout.Listener):
    """Counts the clicks of a user, and sums the qualities of what was clicked."""

    def __init__(self) -> None:
        self.number, self.quality = 0, 0.0

    def on_step(self, step: rollout.Step) -> None:
        for response in step.next_observation["response"]:
            if response["click"]:
                self.number += 1
                self.quality += response["quality"]


def simulate_users_in_parallel(
    make_environment: Callable[..., vector_env.RecSimVectorEnv],
    make_agent: Callable[[vector_env.RecSimVectorEnv], types.VectorAgent],
    num_users: int,
    advance: base.Advance = lambda done: None,
) -> dict[str, np.ndarray]:
    """Does what :func:`simulate_users` does, with users in parallel.

    Args:
        make_environment: see :func:`recsim.vector.simulate.simulate`.
        make_agent: likewise.
        num_users: number of users.
        advance: called with about the number of steps.

    Returns:
        ``returns``, float64 of shape (num_users,), and ``clicks`` and ``quality`` of all of them
        together, of shape (1,).
    """
    result = simulate.simulate(
        make_environment,
        make_agent,
        num_users,
        num_episodes=1,
        workers=1,
        advance=lambda users: advance(users * _STEPS_OF_USER),
    )
    return {
        "returns": result.returns[:, 0],
        "clicks": np.array([result.metrics["click"]]),
        "quality": np.array([result.metrics["quality"]]),
    }


def _create_vector_agent(
    strategy: Strategy,
    method: str | None,
    steps: int,
    seed: int,
    environment: vector_env.RecSimVectorEnv,
    *,
    eval_mode: bool = False,
    bundle: Mapping[str, Any] | None = None,
) -> types.VectorAgent:
    """Creates the agent of a training of a number of steps, or one that serves what it learned."""
    from recsim.agents import full_slate_q_agent, slate_decomp_q_agent

    create: Callable[..., types.VectorAgent] = functools.partial(
        slate_decomp_q_agent.create_vector_agent, strategy.agent
    )
    if strategy.agent == "full_slate_q":
        create = full_slate_q_agent.VectorFullSlateQAgent
    agent: Any = create(
        environment,
        eval_mode=eval_mode,
        seed=seed,
        **(_settings(METHODS[method], steps) if method else {}),
    )
    if bundle is not None:
        agent.unbundle("", 0, dict(bundle))
    served: types.VectorAgent = agent
    return served


def _train_in_parallel_and_evaluate(
    strategy: Strategy,
    method: str | None,
    steps: int,
    users: int,
    seed: int,
    train_users: int,
    path: str,
    advance: base.Advance,
) -> base.Result:
    """Does what :func:`_train_and_evaluate` does, with users in parallel."""

    def environment_of(use: str) -> Callable[..., vector_env.RecSimVectorEnv]:
        config = {**_ENV_CONFIG, "seed": seeding.derived_seed(seed, f"slateq {use}")}
        return functools.partial(registry.create_vector_environment, "interest_evolution", config)

    create_agent = functools.partial(_create_vector_agent, strategy, method, steps, seed)
    serve = functools.partial(create_agent, eval_mode=True)
    if not method:
        env = environment_of("evaluation")(num_envs=1)
        fingerprint = base.fingerprint_of(env, serve(env))
        curve = {}
    else:
        env = environment_of("training")(num_envs=train_users)
        fingerprint = base.fingerprint_of(env, create_agent(env))

        def evaluate(bundle: dict[str, Any]) -> float:
            measures = simulate_users_in_parallel(
                environment_of("curve"),
                functools.partial(serve, bundle=bundle),
                max(2, users // _SHARE_OF_CURVE),
            )
            return float(measures["returns"].mean())

        training = _training.VectorTraining(
            create_agent,
            env,
            _POINTS_OF_CURVE,
            max(1, steps // _POINTS_OF_CURVE),
            evaluate,
        )
        result = _training.trained_in_parallel(training, path, advance)
        serve = functools.partial(serve, bundle=result["agent"])
        curve = {"steps": result["steps"], "curve": result["curve"]}
    measures = simulate_users_in_parallel(environment_of("evaluation"), serve, users, advance)
    return {**measures, **curve, "fingerprint": fingerprint}


def _train_and_evaluate(
    strategy: Strategy,
    method: str | None,
    steps: int,
    users: int,
    seed: int,
    path: str,
    advance: base.Advance,
) -> base.Result:
    """Runs a task: what :func:`simulate_users` returns, and a curve if there is a method."""
    create_agent = functools.partial(_create_agent, strategy, method, steps, seed)
    env = _create_environment(seed, "evaluation")
    agent = create_agent(None, env, eval_mode=True)
    fingerprint = base.fingerprint_of(env, agent)
    curve = {}
    if method:

        def evaluate(bundle: dict[str, Any]) -> float:
            agent.unbundle("", 0, bundle)
            of_curve = _create_environment(seed, "curve")
            return float(
                simulate_users(agent, of_curve, max(2, users // _SHARE_OF_CURVE))["returns"].mean()
            )

        training = _training.Training(
            create_agent,
            _create_environment(seed, "training"),
            _POINTS_OF_CURVE,
            max(1, steps // _POINTS_OF_CURVE),
            evaluate,
        )
        result = _training.trained(training, path, advance)
        agent = create_agent(None, env, eval_mode=True)
        agent.unbundle("", 0, result["agent"])
        curve = {"steps": result["steps"], "curve": result["curve"]}
    return {**simulate_users(agent, env, users, advance), **curve, "fingerprint": fingerprint}


class SlateQ(base.Reproduction):
    """The paper's table, beside it n-step returns and the value of no click.

    The trainings of a seed have the same users, and so have its evaluations.

    Args:
        seeds: number of trainings of each strategy and method, at least 2.
        steps: number of training steps, at least 300.
        users: number of users of an evaluation, at least 2.
        train_users: number of users that an agent learns from in parallel, a step of each at a
            time; with 1 it learns from one user at a time, with the paper's batches of 32
            transitions every 4 steps, and resumes in the middle of a training.
        seed: seed of everything, at least 0.

    Raises:
        TypeError: if an argument is not an integer.
        ValueError: if one is too small.
    """

    sizes = (
        base.Size("seeds", 2, SEEDS, QUICK_SEEDS, "trainings of each strategy", 10_000),
        base.Size("steps", 300, STEPS, QUICK_STEPS, "training steps"),
        base.Size("users", 2, USERS, QUICK_USERS, "users of an evaluation", 100),
        base.Size(
            "train_users",
            1,
            TRAIN_USERS,
            QUICK_TRAIN_USERS,
            "users to learn from in parallel; 1 for one at a time, as in the paper",
            10_000,
        ),
    )
    name = "slateq"
    unit = "steps"
    notes = """\
Returns: mean over users of the sum of a session's rewards, then over seeds,
with the 95% interval of Student. Paper: printed by Ie et al., with 300,000
steps and 5,000 users. One step: their method. 100 steps: returns of up to 100
steps, more than most sessions have. No-click value: one step, where no click
has a value that is learned. Training, then serving: TS, TT top-k; GS, GT
greedy; OS, OT optimal slates; MYOP is SARSA with a discount of 0."""

    def __init__(
        self,
        seeds: int = SEEDS,
        steps: int = STEPS,
        users: int = USERS,
        train_users: int = TRAIN_USERS,
        seed: int = 0,
    ) -> None:
        super().__init__(seed, seeds=seeds, steps=steps, users=users, train_users=train_users)

    def tasks(self, folder: str) -> list[base.Task]:
        """Returns the tasks: a training and its evaluation each, the longest first."""
        cases = [
            (key, method)
            for method in METHODS
            for key, strategy in STRATEGIES.items()
            if method in strategy.methods
        ]
        # The longest first; then what the paper's own method is compared with.
        cases.sort(key=lambda case: (case[0] != "full_slate", case[1] == "one_step"))
        return [
            self._task(key, method, number, folder)
            for key, method in [*cases, ("random", None)]
            for number in range(self.settings["seeds"])
        ]

    def _task(self, key: str, method: str | None, number: int, folder: str) -> base.Task:
        name = _task_name(key, method, number)
        arguments = {
            "strategy": STRATEGIES[key],
            "method": method,
            "steps": self.settings["steps"],
            "users": self.settings["users"],
            "seed": seeding.derived_seed(self.settings["seed"], f"slateq {number}"),
            "path": os.path.join(folder, name),
        }
        size = self.settings["users"] * _STEPS_OF_USER + (self.settings["steps"] if method else 0)
        train_users = self.settings["train_users"]
        if train_users == 1:
            return base.Task(name, _train_and_evaluate, arguments, size)
        arguments["train_users"] = train_users
        return base.Task(name, _train_in_parallel_and_evaluate, arguments, size)

    def results(self, tasks: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
        """Returns by strategy the published numbers, and by method return, quality and curve."""

        def measures(key: str, method: str | None) -> dict[str, Any]:
            return _measures(
                [tasks[_task_name(key, method, k)] for k in range(self.settings["seeds"])]
            )

        random = measures("random", None)
        results: dict[str, Any] = {}
        for key, strategy in STRATEGIES.items():
            methods = {method: measures(key, method) for method in strategy.methods}
            results[key] = {
                "title": strategy.title,
                "agent": strategy.agent,
                "published": strategy.published,
                "published_percent": strategy.published_percent,
                "published_quality": strategy.published_quality,
                "methods": methods or {"one_step": random},
            }
            for of_method in results[key]["methods"].values():
                above = of_method["return"]["mean"] / random["return"]["mean"] - 1
                of_method["percent_above_random"] = 100 * above
        return results

    def tables(self, results: Mapping[str, Any]) -> list[tables.Table]:
        """Returns a table of returns, one relative to random, and one of the quality of clicks."""
        return list(_tables(results))

    def figures(self, results: Mapping[str, Any]) -> dict[str, Figure]:
        """Returns bars of the returns, and the learning curves."""
        return {"returns": _returns(results), "curves": _curves(results)}


def _task_name(key: str, method: str | None, number: int) -> str:
    return "_".join([key, *([method] if method else []), str(number)])


def _measures(tasks: list[Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """Returns the results of the seeds of a strategy and method."""
    measures = {
        "return": statistics.estimate([task["returns"].mean() for task in tasks]),
        "quality": statistics.estimate(
            [task["quality"].sum() / max(1.0, task["clicks"].sum()) for task in tasks]
        ),
        "return_by_seed": [float(task["returns"].mean()) for task in tasks],
        "standard_error_by_seed": [
            statistics.estimate(task["returns"])["standard_error"] for task in tasks
        ],
        "seconds": [round(float(task["seconds"])) for task in tasks],
    }
    if "curve" in tasks[0]:
        curve = statistics.estimate([task["curve"] for task in tasks])
        measures["curve"] = {
            "steps": np.mean([task["steps"] for task in tasks], axis=0).tolist(),
            **{name: np.round(curve[name], 2).tolist() for name in ("mean", "low", "high")},
        }
    return measures


def _tables(results: Mapping[str, Any]) -> Iterator[tables.Table]:
    header = ["strategy", "paper", *[method.title for method in METHODS.values()]]
    for title, published, form, cell in (
        ("Return", "published", "{:.1f}", _return),
        ("Return above random", "published_percent", "{:+.1f}%", _percent),
        ("Quality of clicks", "published_quality", "{:.3f}", _quality),
    ):
        rows = []
        for strategy in results.values():
            paper = strategy[published]
            methods = strategy["methods"]
            cells = [cell(methods[name]) if name in methods else "–" for name in METHODS]
            rows.append([strategy["title"], "–" if paper is None else form.format(paper), *cells])
        yield tables.Table(title, header, rows)


def _return(measures: Mapping[str, Any]) -> str:
    return _with_interval(measures["return"], 1)


def _percent(measures: Mapping[str, Any]) -> str:
    return f"{measures['percent_above_random']:+.1f}%"


def _quality(measures: Mapping[str, Any]) -> str:
    return _with_interval(measures["quality"], 3)


def _with_interval(estimate: Mapping[str, float], digits: int) -> str:
    half_width = estimate["high"] - estimate["mean"]
    return f"{estimate['mean']:.{digits}f} ± {half_width:.{digits}f}"


def _returns(results: Mapping[str, Any]) -> Figure:
    """Draws the returns as points with their intervals, and the paper's as marks."""
    figure = plots.new_figure(11, 5)
    axes = figure.subplots()
    labelled = set()
    for row, strategy in enumerate(results.values()):
        for number, (name, method) in enumerate(METHODS.items()):
            if name in strategy["methods"]:
                plots.add_interval(
                    axes,
                    row + 0.25 * (number - 1),
                    strategy["methods"][name]["return"],
                    colour=method.colour,
                    marker=plots.MARKERS[number],
                    label="" if name in labelled else method.title,
                    horizontal=False,
                )
                labelled.add(name)
        plots.add_mark(axes, strategy["published"], row, 0.45, "" if row else "paper")
    titles = [each["title"] for each in results.values()]
    axes.set_xticks(range(len(titles)), titles, rotation=30, ha="right")
    axes.set_ylabel("return")
    axes.grid(axis="y", alpha=0.25)
    figure.legend(loc="outside upper center", ncols=len(METHODS) + 1)
    return figure


def _curves(results: Mapping[str, Any]) -> Figure:
    """Draws the learning curves with their intervals: a column a method, six lines a panel."""
    figure = plots.new_figure(11, 8)
    # The first, random, does not learn.
    strategies = list(results.items())[1:]
    half = -(-len(strategies) // 2)
    rows = figure.subplots(2, len(METHODS), sharex=True, sharey="col")
    for of_row, shown in zip(rows, (strategies[:half], strategies[half:])):
        for axes, (name, method) in zip(of_row, METHODS.items()):
            for place, (_, strategy) in enumerate(shown):
                if curve := strategy["methods"].get(name, {}).get("curve"):
                    plots.add_curve(
                        axes,
                        np.array(curve["steps"]) / 1000,
                        curve,
                        colour=plots.COLOURS[place],
                        label=strategy["title"],
                        opacity=0.15,
                    )
            axes.set_title(method.title, fontsize=10)
            axes.grid(alpha=0.25)
            if axes.lines:
                axes.legend(fontsize=8)
        of_row[0].set_ylabel("return")
    for axes in rows[-1]:
        axes.set_xlabel("training steps (thousands)")
    return figure
