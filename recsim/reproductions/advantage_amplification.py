"""Temporal aggregation and switching cost: ``recsim reproduce advantage-amplification``.

Users of long-term satisfaction are shown kale or choc. What they are, the agents do not see, and
what a single document changes of their future is small beside the noise of their engagement.
Holding a document for several steps, or charging for a change, makes differences between actions
larger. The optimum, with the user's state observed, comes from dynamic programming.

See "Advantage Amplification in Slowly Evolving Latent-State Environments", Mladenov et al. (2019),
arXiv 1905.13559.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from recsim import agent, seeding, types
from recsim._internal import validation
from recsim._internal.gym_import import spaces
from recsim.agents import tabular_q_agent
from recsim.agents.layers import sufficient_statistics, temporal_aggregation
from recsim.environments import long_term_satisfaction as lts
from recsim.experiments import plots, statistics, tables
from recsim.reproductions import base
from recsim.simulator import environment, recsim_gym, rollout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "LEARNERS",
    "SENSITIVITIES",
    "AdvantageAmplification",
    "KaleAndChocSampler",
    "Learner",
    "OwnDocumentsLayer",
    "create_agent",
    "create_environment",
    "expected_return",
    "optimal_return",
    "train",
]

SENSITIVITIES = (0.01, 0.05, 0.10, 0.20)
#: The sensitivity at which agents are trained.
SENSITIVITY = 0.10

STEPS, QUICK_STEPS = 600_000, 144_000
SEEDS, QUICK_SEEDS = 5, 2

_GAMMA = 0.99
# Epsilon falls from 1 to this, by the same factor at each episode.
_LAST_EPSILON = 0.01
# Steps left in the session are told up to this number.
_CLOCK = 12
_POINTS_OF_CURVE = 20

# The default users of the scenario.
_USER: dict[str, Any] = {
    "memory_discount": 0.7,
    "innovation_stddev": 0.05,
    "choc_mean": 5.0,
    "choc_stddev": 1.0,
    "kale_mean": 4.0,
    "kale_stddev": 1.0,
}
_SESSION = 60
_KALE_AND_CHOC = (0.0, 1.0)
_ANY_SCORE = tuple(np.linspace(0.0, 1.0, 21).tolist())
# Evenly over [0, 1], for the mean over a score that is drawn there.
_DRAWN_SCORE = tuple((np.arange(0.5, 20.0) / 20.0).tolist())
# A user's initial exposure is uniform between plus and minus this.
_INITIAL_SPREAD = 0.5 / (1.0 - _USER["memory_discount"])


@dataclasses.dataclass(frozen=True)
class Learner:
    """An agent that learns: tabular Q-learning under layers.

    Attributes:
        title: its name in tables and figures.
        memory: how many of its own last documents it sees, beside the time; None to see neither.
        period: number of steps for which a document is held.
        cost: what a change of the document costs, in the eyes of the agent.
        rates: the learning rates, each of an equal part of the training.
        colour: its colour in learning curves, None if it has none there.
    """

    title: str
    memory: int | None
    period: int = 1
    cost: float = 0.0
    rates: tuple[float, ...] = (0.1, 0.03, 0.01, 0.003)
    colour: str | None = None


_HIGHER_RATES = (0.2, 0.1, 0.05, 0.02)

#: The agents.
LEARNERS = {
    "blind": Learner("each step", None),
    "blind_10": Learner("10 steps", None, 10),
    "event": Learner("each step", 1, colour=plots.ORANGE),
    "event_higher": Learner("each step, higher rates", 1, rates=_HIGHER_RATES),
    "held_3": Learner("3 steps", 1, 3),
    "held_6": Learner("6 steps", 1, 6, colour=plots.BLUE),
    "cost": Learner("each step, cost 10", 1, 1, 10.0, colour=plots.PURPLE),
    "held_3_cost": Learner("3 steps, cost 10", 1, 3, 10.0),
    "held_5_cost": Learner("5 steps, cost 10", 1, 5, 10.0, colour=plots.GREEN),
    "memory_2": Learner("each step", 2, colour=plots.LIGHT_BLUE),
    "memory_4": Learner("each step, higher rates", 4, rates=_HIGHER_RATES),
    "memory_4_held_2": Learner("2 steps", 4, 2, colour=plots.RED),
}


def _sees(memory: int | None) -> str:
    if memory is None:
        return "nothing"
    return "the time and the last " + ("document" if memory == 1 else f"{memory} documents")


class KaleAndChocSampler(lts.LTSDocumentSampler):
    """Samples documents whose clickbait scores are spread evenly from 0, kale, to 1, choc."""

    def _sample_features(self, num_documents: int) -> dict[str, Any]:
        return {"clickbait_score": np.linspace(0.0, 1.0, num_documents)}


def create_environment(sensitivity: float, seed: int) -> recsim_gym.RecSimGymEnv:
    """Returns the environment: one document of kale and one of choc, slates of one.

    Args:
        sensitivity: how strongly exposure moves the users' satisfaction.
        seed: seed of the users.
    """
    sampler = lts.LTSStaticUserSampler(
        lts.LTSUserState,
        sensitivity=sensitivity,
        time_budget=_SESSION,
        seed=seed,
        **_USER,
    )
    users = lts.LTSUserModel(1, lts.LTSUserState, lts.LTSResponse, user_sampler=sampler)
    single_user = environment.SingleUserEnvironment(
        users, KaleAndChocSampler(seed=seed), len(_KALE_AND_CHOC), 1, resample_documents=False
    )
    return recsim_gym.RecSimGymEnv(single_user, lts.clicked_engagement_reward)


class OwnDocumentsLayer(sufficient_statistics.SufficientStatisticsLayer):
    """Shows a base agent the time left in a session and which documents it has shown last.

    The statistics are a tuple of integers: the steps left, ``clock`` where there are more, and the
    indices of the last documents, the newest first, the number of candidates where there was none
    yet. Slates hold one document, and candidates must stay the same.

    Args:
        base_agent_ctor: constructor of the base agent.
        observation_space: space of the observations.
        action_space: the ``MultiDiscrete`` space of slates.
        memory: how many documents are shown, at least 1.
        session: number of steps of a session.
        clock: the greatest number of steps left that is told apart from greater ones.
        **kwargs: further arguments for the base agent.

    Raises:
        TypeError: if one of the three numbers is not an integer.
        ValueError: if one of them is below 1, or the slates are longer than one document.
    """

    def __init__(
        self,
        base_agent_ctor: Callable[..., Any],
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        memory: int = 1,
        session: int = _SESSION,
        clock: int = _CLOCK,
        **kwargs: Any,
    ) -> None:
        self._memory = validation.positive_int("memory", memory)
        self._session = validation.positive_int("session", session)
        self._clock = validation.positive_int("clock", clock)
        if len(action_space.nvec) != 1:
            raise ValueError(f"slates must hold one document, got {len(action_space.nvec)}.")
        self._nothing = int(action_space.nvec[0])
        documents = (spaces.Discrete(self._nothing + 1),) * self._memory
        super().__init__(
            base_agent_ctor,
            observation_space,
            action_space,
            spaces.Tuple((spaces.Discrete(self._clock + 1), *documents)),
            **kwargs,
        )

    def _update(self, observation: agent.Observation) -> None:
        del observation  # What was shown is known without it.
        left, documents = self._sufficient_statistics or (
            self._session + 1,
            (self._nothing,) * self._memory,
        )
        self._sufficient_statistics = (left - 1, documents)

    def _create_observation(self) -> tuple[int, ...]:
        left, documents = self._sufficient_statistics
        return (min(left, self._clock), *documents)

    def _postprocess_actions(self, action_list: list[Any]) -> agent.Slate:
        left, documents = self._sufficient_statistics
        self._sufficient_statistics = (left, (int(action_list[0][0]), *documents[:-1]))
        slate: agent.Slate = action_list[0]
        return slate


def create_agent(
    learner: Learner, env: recsim_gym.RecSimGymEnv, rate: float, **settings: Any
) -> base.TrainedAgent:
    """Creates an agent.

    Args:
        learner: what it is.
        env: where it recommends.
        rate: its learning rate.
        **settings: further arguments of :class:`recsim.agents.tabular_q_agent.TabularQAgent`.
    """
    settings = {
        "learning_rate": rate,
        # Bins that tell kale from choc.
        "discretization_bounds": (0.0, 1.0),
        "number_bins": 3,
        **settings,
    }

    def create_base(
        observation_space: types.DictSpace, action_space: types.SlateSpace
    ) -> base.TrainedAgent:
        if learner.period == 1 and learner.cost == 0:
            return tabular_q_agent.TabularQAgent(
                observation_space, action_space, gamma=_GAMMA, **settings
            )
        return temporal_aggregation.TemporalAggregationLayer(
            tabular_q_agent.TabularQAgent,
            observation_space,
            action_space,
            gamma=_GAMMA,
            aggregation_period=learner.period,
            switching_cost=learner.cost,
            **settings,
        )

    action_space: Any = env.action_space
    if learner.memory is None:
        return create_base(env.observation_space, action_space)
    return OwnDocumentsLayer(
        create_base, env.observation_space, action_space, memory=learner.memory
    )


def _run_session(agent: types.SlateAgent, env: recsim_gym.RecSimGymEnv) -> list[int]:
    """Lets an agent recommend to a user, and returns the indices of its documents."""
    documents: list[int] = []
    shown = rollout.OnStep(lambda step: documents.append(int(np.asarray(step.slate)[0])))
    rollout.run_episode(env, agent, listeners=[shown])
    return documents


def train(
    learner: Learner,
    steps: int,
    seed: int,
    advance: base.Advance = lambda done: None,
) -> base.Result:
    """Trains an agent, and follows what it has learned.

    What the agents see depends on their own documents alone, so that without exploration an agent
    shows the same documents to each user, and what it is worth can be computed from these.

    Args:
        learner: what to train.
        steps: number of training steps, at least 1,200; rounded down to whole sessions at each
            point of the learning curve.
        seed: seed of users and agent.
        advance: called with the number of steps since the last call.

    Returns:
        ``steps``, ``curve``, the expected returns then, both of shape (20,), and ``documents``,
        the clickbait scores of the session learned at last, of shape (60,), and ``fingerprint``,
        see :func:`recsim.reproductions.base.fingerprint_of`.
    """
    env, other_env = (
        create_environment(SENSITIVITY, seeding.derived_seed(seed, use))
        for use in ("training", "evaluation")
    )
    sessions = steps // (_SESSION * _POINTS_OF_CURVE)
    epsilon_factor = _LAST_EPSILON ** (1.0 / (sessions * _POINTS_OF_CURVE))
    greedy = create_agent(learner, other_env, 0.0, eval_mode=True)
    fingerprint = base.fingerprint_of(other_env, greedy)
    curve = np.zeros(_POINTS_OF_CURVE)
    bundle = None
    for point in range(_POINTS_OF_CURVE):
        rate = learner.rates[point * len(learner.rates) // _POINTS_OF_CURVE]
        learning = create_agent(
            learner,
            env,
            rate,
            exploration_temperature=epsilon_factor,
            seed=seeding.derived_seed(seed, "exploration"),
        )
        if bundle:
            learning.unbundle("", 0, bundle)
        for _ in range(sessions):
            _run_session(learning, env)
            advance(_SESSION)
        bundle = learning.bundle_and_checkpoint("", 0)
        greedy.unbundle("", 0, bundle)
        documents = np.take(_KALE_AND_CHOC, _run_session(greedy, other_env))
        curve[point] = expected_return(SENSITIVITY, documents)
    return {
        "steps": np.arange(1, _POINTS_OF_CURVE + 1) * sessions * _SESSION,
        "curve": curve,
        "documents": documents,
        "fingerprint": fingerprint,
    }


def _expected_engagement(exposure: ArrayLike, score: float, sensitivity: float) -> np.ndarray:
    """Returns the mean of the log-normal engagement of users with a net positive exposure."""
    location = lts.interpolated(score, _USER["choc_mean"], _USER["kale_mean"])
    scale = lts.interpolated(score, _USER["choc_stddev"], _USER["kale_stddev"])
    engagement: np.ndarray = np.exp(
        location * lts.satisfaction(exposure, sensitivity) + scale**2 / 2
    )
    return engagement


def _normal_quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Returns values of a standard normal number and their weights, both of shape (7,)."""
    values, weights = np.polynomial.hermite_e.hermegauss(7)
    return values, weights / weights.sum()


def _initial_quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Returns initial exposures and their weights, both of shape (20,)."""
    values, weights = np.polynomial.legendre.leggauss(20)
    return values * _INITIAL_SPREAD, weights / 2


def expected_return(sensitivity: float, scores: ArrayLike) -> float:
    """Returns the expected engagement of a session that shows given documents to a user.

    Args:
        sensitivity: how strongly exposure moves satisfaction.
        scores: the documents' clickbait scores, shape (length of the session,).

    Example:
        >>> round(expected_return(0.10, [0.0] * 56 + [1.0] * 4), 1)
        1024.1
    """
    mean, weights = _initial_quadrature()
    normal, normal_weights = _normal_quadrature()
    variance = total = 0.0
    for score in np.asarray(scores, dtype=np.float64):
        exposure = mean[:, np.newaxis] + np.sqrt(variance) * normal
        engagement = _expected_engagement(exposure, score, sensitivity)
        total += float(weights @ engagement @ normal_weights)
        mean = lts.next_net_positive_exposure(mean, score, _USER["memory_discount"], 0.0)
        variance = _USER["memory_discount"] ** 2 * variance + _USER["innovation_stddev"] ** 2
    return total


def optimal_return(
    sensitivity: float,
    scores: Sequence[float],
    period: int = 1,
    combine: Callable[..., np.ndarray] = np.max,
) -> float:
    """Returns the expected engagement of a session under the best policy that sees the user.

    It is found by dynamic programming backwards from the end of the session, over net positive
    exposure, on a grid, with linear interpolation, and steps left.

    Args:
        sensitivity: how strongly exposure moves satisfaction.
        scores: the clickbait scores to choose among.
        period: number of steps for which a document is held.
        combine: ``np.max``, or ``np.mean`` for documents drawn at random.

    Example:
        >>> round(optimal_return(0.10, [0.0, 1.0]), 1)
        1043.6
    """
    grid = np.linspace(-4.5, 4.5, 901)  # What exposure can come to, and five deviations more.
    normal, weights = _normal_quadrature()
    discount, deviation = _USER["memory_discount"], _USER["innovation_stddev"]
    engagement = [_expected_engagement(grid, score, sensitivity) for score in scores]
    following = [
        lts.next_net_positive_exposure(grid[:, np.newaxis], score, discount, deviation * normal)
        for score in scores
    ]
    value = np.zeros_like(grid)
    # The last decision may be for fewer steps.
    for start in reversed(range(0, _SESSION, period)):
        of_scores = []
        for reward, successors in zip(engagement, following):
            held = value
            for _ in range(min(period, _SESSION - start)):
                held = reward + np.interp(successors, grid, held) @ weights
            of_scores.append(held)
        value = combine(of_scores, axis=0)
    initial, initial_weights = _initial_quadrature()
    return float(np.interp(initial, grid, value) @ initial_weights)


def _optima(sensitivity: float, advance: base.Advance) -> base.Result:
    """Runs a task: expected returns of policies without learning, by name."""
    switched = [
        expected_return(sensitivity, np.arange(_SESSION) >= _SESSION - choc)
        for choc in range(_SESSION + 1)
    ]
    periods = sorted({learner.period for learner in LEARNERS.values()})
    result = {
        "choc": switched[-1],
        "kale": switched[0],
        "random": optimal_return(sensitivity, _DRAWN_SCORE, combine=np.mean),
        "kale_then_choc": max(switched),
        "steps_of_choc": int(np.argmax(switched)),
        "optimum": optimal_return(sensitivity, _KALE_AND_CHOC),
        "optimum_of_any_score": optimal_return(sensitivity, _ANY_SCORE),
        "periods": np.array(periods),
        "optimum_of_period": np.array(
            [optimal_return(sensitivity, _KALE_AND_CHOC, period) for period in periods]
        ),
    }
    advance(_SESSION)
    return result


class AdvantageAmplification(base.Reproduction):
    """The agents in :data:`LEARNERS` at sensitivity 0.10, beside the optimum.

    The trainings of a seed have the same users.

    Args:
        seeds: number of trainings of each agent, at least 2.
        steps: number of training steps, at least 1,200.
        seed: seed of everything, at least 0.

    Raises:
        TypeError: if an argument is not an integer.
        ValueError: if one is too small.
    """

    sizes = (
        base.Size("seeds", 2, SEEDS, QUICK_SEEDS, "trainings of each agent", 10_000),
        base.Size("steps", _SESSION * _POINTS_OF_CURVE, STEPS, QUICK_STEPS, "training steps"),
    )
    name = "advantage-amplification"
    unit = "steps"
    notes = """\
Random: a clickbait score drawn from [0, 1]. Kale, then choc: the best number of
steps of choc at the end. Optimum: by dynamic programming, with the user's state
observed, of kale and choc; any score: with scores between them too. Return:
expected return of what an agent has learned, without exploration, mean over
trainings with the 95% interval of Student. Lowest: the worst of the trainings.
Possible: the optimum of those who hold a document as long. Cost: what a change
of the document costs in the eyes of the agent; the returns are without it."""

    def __init__(self, seeds: int = SEEDS, steps: int = STEPS, seed: int = 0) -> None:
        super().__init__(seed, seeds=seeds, steps=steps)

    def tasks(self, folder: str) -> list[base.Task]:
        """Returns the tasks: dynamic programming, and trainings too short to keep any half done."""
        del folder
        optima = [
            base.Task(_optima_name(value), _optima, {"sensitivity": value}, _SESSION)
            for value in SENSITIVITIES
        ]
        trainings = [
            base.Task(
                f"{key}_{number}",
                train,
                {
                    "learner": learner,
                    "steps": self.settings["steps"],
                    "seed": seeding.derived_seed(
                        self.settings["seed"], f"advantage amplification {number}"
                    ),
                },
                self.settings["steps"],
            )
            for number in range(self.settings["seeds"])
            for key, learner in LEARNERS.items()
        ]
        return optima + trainings

    def results(self, tasks: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
        """Returns the optima by sensitivity, and by agent its settings, return and curve."""
        optima = {
            f"{value:.2f}": {
                name: np.asarray(number).tolist()
                for name, number in tasks[_optima_name(value)].items()
                if name != "seconds"
            }
            for value in SENSITIVITIES
        }
        optimum = optima[f"{SENSITIVITY:.2f}"]
        possible = dict(zip(optimum["periods"], optimum["optimum_of_period"]))
        learners = {}
        for key, learner in LEARNERS.items():
            trained = [tasks[f"{key}_{number}"] for number in range(self.settings["seeds"])]
            learners[key] = {
                **dataclasses.asdict(learner),
                "possible": possible[learner.period],
                **_measures(trained),
            }
        return {"optima": optima, "learners": learners}

    def tables(self, results: Mapping[str, Any]) -> list[tables.Table]:
        """Returns a table of the optima, and one of the agents for what they see."""
        return [_table_of_optima(results["optima"]), *_tables_of_learners(results["learners"])]

    def figures(self, results: Mapping[str, Any]) -> dict[str, Figure]:
        """Returns the learning curves beside bars of the returns."""
        return {"returns": _figure(results)}


def _optima_name(sensitivity: float) -> str:
    return f"optima_{sensitivity:.2f}"


def _measures(trained: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """Returns the results of an agent from those of its trainings."""
    curves = np.array([training["curve"] for training in trained])
    curve = statistics.estimate(curves)
    return {
        "return": statistics.estimate(curves[:, -1]),
        "lowest": float(curves[:, -1].min()),
        "return_by_seed": np.round(curves[:, -1], 2).tolist(),
        "documents": [
            "".join("kC"[int(score)] for score in training["documents"]) for training in trained
        ],
        "seconds": [round(float(training["seconds"]), 1) for training in trained],
        "curve": {
            "steps": trained[0]["steps"].tolist(),
            **{name: np.round(curve[name], 2).tolist() for name in ("mean", "low", "high")},
        },
    }


def _table_of_optima(optima: Mapping[str, Any]) -> tables.Table:
    columns = {
        "choc": "choc",
        "kale": "kale",
        "random": "random",
        "kale_then_choc": "kale, then choc",
        "optimum": "optimum",
        "optimum_of_any_score": "any score",
    }
    return tables.Table(
        "Expected return without learning",
        ["sensitivity", *columns.values()],
        [
            [sensitivity, *(f"{of_policies[name]:.1f}" for name in columns)]
            for sensitivity, of_policies in optima.items()
        ],
    )


def _tables_of_learners(learners: Mapping[str, Any]) -> Iterator[tables.Table]:
    for memory in dict.fromkeys(measures["memory"] for measures in learners.values()):
        yield tables.Table(
            f"Agents that see {_sees(memory)}; sensitivity {SENSITIVITY:.2f}",
            ("a decision holds for", "return", "95% interval", "lowest", "possible"),
            [_row(measures) for measures in learners.values() if measures["memory"] == memory],
        )


def _row(measures: Mapping[str, Any]) -> tuple[str, ...]:
    of_seeds = measures["return"]
    return (
        measures["title"],
        f"{of_seeds['mean']:.1f}",
        f"{of_seeds['low']:.1f}–{of_seeds['high']:.1f}",
        f"{measures['lowest']:.1f}",
        f"{measures['possible']:.1f}",
    )


def _figure(results: Mapping[str, Any]) -> Figure:
    figure = plots.new_figure(12, 5.5)
    curves, returns = figure.subplots(1, 2)
    _draw_curves(curves, results["learners"])
    _draw_returns(returns, results["learners"])
    optimum = results["optima"][f"{SENSITIVITY:.2f}"]
    for draw_line in (curves.axhline, returns.axvline):
        draw_line(optimum["optimum"], color="black", linestyle="--", label="optimum")
        draw_line(optimum["kale"], color="black", linestyle=":", label="always kale")
    curves.legend(fontsize=8, loc="lower right")
    return figure


def _draw_curves(axes: Axes, learners: Mapping[str, Any]) -> None:
    for measures in learners.values():
        if measures["colour"] is None:
            continue
        curve = measures["curve"]
        plots.add_curve(
            axes,
            curve["steps"],
            curve,
            colour=measures["colour"],
            label=_label(measures),
            opacity=0.12,
        )
    axes.set(xlabel="training steps", ylabel="expected return", ylim=(800, 1060))
    axes.grid(alpha=0.25)


def _draw_returns(axes: Axes, learners: Mapping[str, Any]) -> None:
    for row, measures in enumerate(learners.values()):
        colour = measures["colour"] or plots.GREY
        plots.add_interval(axes, row, measures["return"], colour=colour)
    axes.set_yticks(range(len(learners)), [_label(measures) for measures in learners.values()])
    axes.invert_yaxis()
    highest = max(measures["return"]["high"] for measures in learners.values())
    axes.set(xlabel="expected return", xlim=(800, max(1060, highest + 5)))
    axes.grid(axis="x", alpha=0.25)


def _label(measures: Mapping[str, Any]) -> str:
    memory = measures["memory"]
    sees = "blind" if memory is None else f"sees {memory}"
    return f"{sees}: {measures['title']}"
