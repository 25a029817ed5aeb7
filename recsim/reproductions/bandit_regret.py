"""Regret of the bandit algorithms on Bernoulli problems: ``recsim reproduce bandits``.

Pseudo-regret is what the arms pulled lose, in expectation, to the best arm. No consistent
algorithm's grows more slowly than C log(t), with the C of Lai and Robbins that
:func:`lai_robbins_slope` returns.

See "Asymptotically Efficient Adaptive Allocation Rules", Lai and Robbins (1985).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from recsim import seeding
from recsim.agents.bandits import algorithms
from recsim.experiments import plots, statistics, tables
from recsim.reproductions import base

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "ALGORITHMS",
    "CASES",
    "PROBLEMS",
    "Algorithm",
    "BanditRegret",
    "Case",
    "Problem",
    "lai_robbins_slope",
    "pseudo_regret",
    "recorded_rounds",
]

_Rng = np.random.Generator | np.random.RandomState

#: Called with pulls and summed rewards, each of shape (num_runs, num_arms), the round, and a
#: generator; returns the arms' indices, of the same shape.
Index = Callable[[np.ndarray, np.ndarray, int, _Rng], np.ndarray]

RUNS, QUICK_RUNS = 4000, 200
# Runs simulated side by side in one task: enough to be fast, few enough to fit a processor's cache.
_RUNS_IN_TASK = 250
_POINTS_A_DECADE = 20
_FIRST_POINT = 10


@dataclasses.dataclass(frozen=True)
class Problem:
    """A bandit with Bernoulli rewards.

    Attributes:
        title: what it is, in a few words.
        means: the arms' mean rewards, in [0, 1].
        horizon: number of rounds, a multiple of 10.
    """

    title: str
    means: tuple[float, ...]
    horizon: int


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """A bandit algorithm.

    Attributes:
        title: its name for tables and figures.
        index: its index function.
        colour: its colour in figures.
    """

    title: str
    index: Index
    colour: str


@dataclasses.dataclass(frozen=True)
class Case:
    """An algorithm on a problem, with the regret to reproduce.

    Attributes:
        problem: a key of :data:`PROBLEMS`.
        algorithm: a key of :data:`ALGORITHMS`.
        reference: mean regret at the horizon and its standard error, or None if there is none.
    """

    problem: str
    algorithm: str
    reference: tuple[float, float] | None = None


PROBLEMS = {
    "nine_arms": Problem(
        "9 arms: 0.1, 0.2, ..., 0.9", tuple(arm / 10 for arm in range(1, 10)), 10_000
    ),
    "two_arms": Problem("2 arms: 0.9 and 0.8", (0.9, 0.8), 5_000),
    "ten_arms": Problem(
        "10 arms: 0.1, 3 x 0.05, 3 x 0.02, 3 x 0.01",
        (0.1, *3 * [0.05], *3 * [0.02], *3 * [0.01]),
        20_000,
    ),
}


def _ucb1(pulls: np.ndarray, reward: np.ndarray, t: int, rng: _Rng) -> np.ndarray:
    return algorithms.ucb1_index(pulls, reward, t)


def _ucb1_half_width(pulls: np.ndarray, reward: np.ndarray, t: int, rng: _Rng) -> np.ndarray:
    return algorithms.ucb1_index(pulls, reward, t, optimism_scaling=0.5)


def _kl_ucb(pulls: np.ndarray, reward: np.ndarray, t: int, rng: _Rng) -> np.ndarray:
    return algorithms.kl_ucb_index(pulls, reward, t, c=3.0)


def _thompson(pulls: np.ndarray, reward: np.ndarray, t: int, rng: _Rng) -> np.ndarray:
    return algorithms.thompson_index(pulls, reward, rng)


#
ALGORITHMS = {
    "ucb1": Algorithm("UCB1", _ucb1, plots.BLUE),
    "ucb1_half_width": Algorithm("UCB1, width 0.5", _ucb1_half_width, plots.LIGHT_BLUE),
    "kl_ucb": Algorithm("KL-UCB, c = 3", _kl_ucb, plots.RED),
    "thompson": Algorithm("Thompson", _thompson, plots.GREEN),
}

# The references were measured on RecSim 0.2.4 and, where that is wrong (KL-UCB), with an
# independent bandit library.
CASES = [
    Case("nine_arms", "ucb1", (329.7, 0.8)),
    Case("nine_arms", "ucb1_half_width", (100.9, 0.6)),
    Case("nine_arms", "kl_ucb", (98.0, 0.7)),
    Case("nine_arms", "thompson", (41.4, 0.4)),
    Case("two_arms", "ucb1", (64.2, 0.3)),
    Case("two_arms", "kl_ucb", (20.4, 0.3)),
    Case("two_arms", "thompson", (8.9, 0.2)),
    Case("ten_arms", "ucb1", (840.0, 2.0)),
    Case("ten_arms", "kl_ucb"),
    Case("ten_arms", "thompson", (92.1, 0.9)),
]


def lai_robbins_slope(means: ArrayLike) -> float:
    """Returns the C of the lower bound C log(t) on the regret of consistent algorithms.

    It is the sum, over the arms that are not best, of what a pull loses divided by the
    Kullback-Leibler divergence of the arm's reward from the best arm's.

    Args:
        means: the arms' mean rewards, shape (num_arms,), in (0, 1).

    Example:
        >>> round(lai_robbins_slope([0.9, 0.8]), 2)
        2.25
    """
    means = np.asarray(means, dtype=np.float64)
    best = means.max()
    worse = means[means < best]
    divergence = worse * np.log(worse / best) + (1 - worse) * np.log((1 - worse) / (1 - best))
    return float(((best - worse) / divergence).sum())


def recorded_rounds(horizon: int) -> list[int]:
    """Returns rounds from 10 to the horizon, 20 to a power of ten, evenly on a log scale.

    Args:
        horizon: the last of them, a multiple of 10 and at least 100; a tenth of it is another.
    """
    intervals = int(_POINTS_A_DECADE * np.log10(horizon / _FIRST_POINT))
    steps_back = np.arange(intervals, -1, -1)
    rounds = np.rint(horizon / 10 ** (steps_back / _POINTS_A_DECADE))
    return list(map(int, rounds))


def pseudo_regret(
    index: Index,
    means: ArrayLike,
    rounds: Sequence[int],
    num_runs: int,
    rng: _Rng,
    advance: base.Advance = lambda done: None,
) -> np.ndarray:
    """Simulates bandits side by side and returns what each has lost to the best arm.

    Args:
        index: the algorithm, see :data:`Index`; rounds count from 0 there.
        means: the arms' mean rewards, shape (num_arms,), in [0, 1].
        rounds: the numbers of rounds after which the regret is wanted, ascending.
        num_runs: number of bandits.
        rng: the generator of all random numbers.
        advance: called with the number of pulls since the last call, of all bandits.

    Returns:
        float64 array of shape (num_runs, len(rounds)).
    """
    means = np.asarray(means, dtype=np.float64)
    gaps = means.max() - means
    runs = np.arange(num_runs)
    pulls = np.zeros((num_runs, len(means)))
    reward = np.zeros((num_runs, len(means)))
    regret = np.empty((num_runs, len(rounds)))
    start = 0
    for column, end in enumerate(rounds):
        for t in range(start, end):
            arms = index(pulls, reward, t, rng).argmax(axis=-1)
            pulls[runs, arms] += 1
            reward[runs, arms] += rng.random(num_runs) < means[arms]
        regret[:, column] = pulls @ gaps
        advance((end - start) * num_runs)
        start = end
    return regret


def _simulate(
    problem: Problem,
    algorithm: str,
    num_runs: int,
    seed: np.random.SeedSequence,
    advance: base.Advance,
) -> base.Result:
    """Runs a task: ``regret`` of shape (num_runs, number of recorded rounds)."""
    rng = np.random.default_rng(seed)
    rounds = recorded_rounds(problem.horizon)
    index = ALGORITHMS[algorithm].index
    return {"regret": pseudo_regret(index, problem.means, rounds, num_runs, rng, advance)}


class BanditRegret(base.Reproduction):
    """The regret of the cases in :data:`CASES`, beside the references and the Lai-Robbins slope.

    Args:
        runs: number of runs of each case, at least 2.
        seed: seed of everything, at least 0. Each case and task has a stream of its own.

    Raises:
        ValueError: if there are too few runs.
    """

    sizes = (base.Size("runs", 2, RUNS, QUICK_RUNS, "runs of each algorithm on each problem", 100),)
    name = "bandits"
    unit = "pulls"
    notes = """\
Regret: mean pseudo-regret after T rounds ± standard error (SE). Reference: the
same, measured on RecSim 0.2.4 and, where that is wrong (KL-UCB), with another
library. Difference: regret less reference, in standard errors of the
difference. Tail slope: growth of the regret over the last tenfold of the
rounds, divided by ln 10. C: the least slope in the long run (Lai and Robbins)."""

    def __init__(self, runs: int = RUNS, seed: int = 0) -> None:
        super().__init__(seed, runs=runs)

    def tasks(self, folder: str) -> list[base.Task]:
        """Returns the tasks: some runs of a case each, too short to keep anything of them."""
        del folder
        return [task for case in CASES for task in self._tasks_of(case)]

    def _tasks_of(self, case: Case) -> list[base.Task]:
        problem = PROBLEMS[case.problem]
        sizes = [
            min(_RUNS_IN_TASK, self.settings["runs"] - first)
            for first in range(0, self.settings["runs"], _RUNS_IN_TASK)
        ]
        key = f"{case.problem}_{case.algorithm}"
        seeds = seeding.named_sequence(self.settings["seed"], key).spawn(len(sizes))
        return [
            base.Task(
                f"{key}_{number:03}",
                _simulate,
                {
                    "problem": problem,
                    "algorithm": case.algorithm,
                    "num_runs": size,
                    "seed": seed,
                },
                size * problem.horizon,
            )
            for number, (size, seed) in enumerate(zip(sizes, seeds))
        ]

    def results(self, tasks: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
        """Returns by problem its description, and by algorithm regret, slope and curve."""
        problems: dict[str, Any] = {
            name: {
                **dataclasses.asdict(problem),
                "lai_robbins_slope": lai_robbins_slope(problem.means),
                "rounds": recorded_rounds(problem.horizon),
                "algorithms": {},
            }
            for name, problem in PROBLEMS.items()
        }
        for case in CASES:
            regret = np.concatenate([tasks[task.name]["regret"] for task in self._tasks_of(case)])
            problems[case.problem]["algorithms"][case.algorithm] = _measures(case, regret)
        return problems

    def tables(self, results: Mapping[str, Any]) -> list[tables.Table]:
        """Returns a table a problem."""
        return [_table(problem) for problem in results.values()]

    def figures(self, results: Mapping[str, Any]) -> dict[str, Figure]:
        """Returns the curves of regret against log(t), a panel a problem."""
        return {"regret": _figure(results)}


def _measures(case: Case, regret: np.ndarray) -> dict[str, Any]:
    """Returns the results of a case from the regret of its runs at the recorded rounds."""
    final = statistics.estimate(regret[:, -1])
    curve = statistics.estimate(regret)
    measures: dict[str, Any] = {
        "regret": final,
        # Over the last tenfold of the rounds, so that log(t) grows by log(10).
        "slope_of_tail": statistics.estimate(
            (regret[:, -1] - regret[:, -1 - _POINTS_A_DECADE]) / np.log(10)
        ),
        "curve": {name: np.round(curve[name], 3).tolist() for name in ("mean", "low", "high")},
    }
    if case.reference:
        measures["reference"] = dict(zip(("mean", "standard_error"), case.reference))
        measures["standard_errors_above_reference"] = statistics.in_standard_errors(
            final["mean"], final["standard_error"], *case.reference
        )
    return measures


def _table(problem: Mapping[str, Any]) -> tables.Table:
    slope = f"C = {problem['lai_robbins_slope']:.2f}"
    return tables.Table(
        f"{problem['title']}; T = {problem['horizon']:,}; {slope}",
        ("algorithm", "regret", "95% interval", "reference", "difference", "tail slope"),
        [_row(ALGORITHMS[key], measures) for key, measures in problem["algorithms"].items()],
    )


def _row(algorithm: Algorithm, measures: Mapping[str, Any]) -> tuple[str, ...]:
    regret = measures["regret"]
    interval = f"{regret['low']:.1f}–{regret['high']:.1f}"
    compared = ("–", "–")
    if "reference" in measures:
        difference = round(measures["standard_errors_above_reference"], 1) + 0.0  # Never -0.0.
        compared = (_mean(measures["reference"]), f"{difference:+.1f} SE")
    return (algorithm.title, _mean(regret), interval, *compared, _mean(measures["slope_of_tail"]))


def _mean(estimate: Mapping[str, float]) -> str:
    digits = 1 if estimate["standard_error"] >= 0.05 else 2
    return f"{estimate['mean']:.{digits}f} ± {estimate['standard_error']:.{digits}f}"


def _figure(results: Mapping[str, Any]) -> Figure:
    figure = plots.new_figure(11, 7)
    rows = figure.subplots(2, len(results), sharex="col")
    for (whole, enlarged), problem in zip(rows.T, results.values()):
        for axes in (whole, enlarged):
            _draw(axes, problem)
        whole.set_title(problem["title"], fontsize=10)
        of_others = [
            measures["regret"]["high"]
            for key, measures in problem["algorithms"].items()
            if key != "ucb1"
        ]
        enlarged.set_ylim(0, 1.1 * max(of_others))
        enlarged.set_xlabel("round t")
    rows[0, 0].set_ylabel("mean pseudo-regret")
    rows[1, 0].set_ylabel("the same, enlarged")
    figure.legend(*rows[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return figure


def _draw(axes: Axes, problem: Mapping[str, Any]) -> None:
    """Draws the curves of a problem with their 95% intervals, and the line of the lower bound."""
    rounds = np.array(problem["rounds"])
    for key, measures in problem["algorithms"].items():
        algorithm, curve = ALGORITHMS[key], measures["curve"]
        plots.add_curve(
            axes, rounds, curve, colour=algorithm.colour, label=algorithm.title, opacity=0.3
        )
    bound = problem["lai_robbins_slope"] * np.log(rounds)
    axes.plot(rounds, bound, color="black", linestyle="--", label="C ln t (Lai and Robbins)")
    axes.set(xscale="log", xlim=(rounds[0], rounds[-1]))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
