"""How right off-policy estimates are: bias and coverage over many logs whose truth is known.

``python -m recsim.benchmarks.off_policy`` makes 1,000 logs of made-up users in each of four
settings, whose true values are sums that can be worked out, and 1,000 of interest evolution, where
it is simulated. Every estimator is applied to each log. An estimator without bias has a mean error
within three standard errors of 0, and its 95% intervals hold the true value in 92% to 98% of logs.

* ``independent``: what a document earns depends on the user, itself and its position;
* ``cascade``: on the documents before it too;
* ``slate``: on all documents of the slate;
* ``episodes``: three steps, of which each changes the user;
* ``interest_evolution``: the scenario, a slate of two out of six.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from recsim import registry, types
from recsim._internal import command_line, files, json_text, paths, provenance
from recsim.ope import estimates, estimators, sequences, simulated, slates
from recsim.ope import log as log_lib
from recsim.ope import policy as policy_lib
from recsim.vector import streams

__all__ = ["SETTINGS", "Result", "main", "measured", "table"]

#: Made-up users: kinds of them, candidates, and documents of a slate.
KINDS, CANDIDATES, SLATE_SIZE = 4, 4, 3
STEPS = 3

# Users by whom the value in the scenario is simulated.
_TRUE_USERS = 400 * streams.CHUNK_SIZE

#: A log, the evaluated policy, and its true value.
Case = tuple[log_lib.SlateLog, policy_lib.Policy]


@dataclasses.dataclass(frozen=True)
class Setting:
    """Where logs come from.

    Attributes:
        true_value: the value of the evaluated policy.
        true_error: its standard error, 0 where it is worked out.
        cases: returns logs of a number of slates each, from a seed on, without end.
        applied: the estimators.
        unbiased: the names of those that are unbiased here.
    """

    true_value: float
    true_error: float
    cases: Callable[[int, int], Iterator[Case]]
    applied: Sequence[estimators.Estimator]
    unbiased: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Result:
    """What an estimator is like in a setting.

    Attributes:
        setting: its name.
        estimator: the estimator's.
        unbiased: whether it should have no bias.
        true_value: the value to estimate.
        bias: mean error.
        bias_error: its standard error, with that of the true value.
        deviation: standard deviation of the estimates.
        claimed_deviation: mean of the standard errors that the estimates come with.
        coverage: share of intervals that hold the true value.
        num_logs: number of logs.
    """

    setting: str
    estimator: str
    unbiased: bool
    true_value: float
    bias: float
    bias_error: float
    deviation: float
    claimed_deviation: float
    coverage: float
    num_logs: int

    @property
    def standard_errors(self) -> float:
        """The bias in standard errors of it."""
        return self.bias / self.bias_error


def _slate_estimators() -> list[estimators.Estimator]:
    return [
        estimators.InversePropensity(),
        estimators.InversePropensity(self_normalized=True),
        estimators.InversePropensity(clip=2.0),
        estimators.InversePropensity("items"),
        estimators.InversePropensity("prefixes"),
        estimators.DirectMethod(),
        estimators.DoublyRobust(),
        estimators.DoublyRobust(self_normalized=True),
        slates.CascadeDoublyRobust(),
        slates.PseudoInverse(),
    ]


def _expected_rewards(kind: str) -> np.ndarray:
    """Returns expected rewards of positions, shape (KINDS, num_slates, SLATE_SIZE)."""
    rng = np.random.default_rng(1)
    worth = rng.uniform(0.1, 0.9, (KINDS, CANDIDATES, SLATE_SIZE))
    all_slates = policy_lib.all_slates(CANDIDATES, SLATE_SIZE)
    expected = np.stack(
        [worth[:, documents, place] for place, documents in enumerate(all_slates.T)], axis=2
    )
    # By how much a document lowers what another one earns.
    lowers = rng.uniform(0.0, 0.95, (CANDIDATES, CANDIDATES))
    for place in range(SLATE_SIZE):
        for other in range(SLATE_SIZE):
            before = other < place
            if (kind == "cascade" and before) or (kind == "slate" and other != place):
                factor = 1.0 - lowers[all_slates[:, other], all_slates[:, place]]
                expected[:, :, place] *= factor
    return expected


def _policies(
    rng: np.random.Generator, slate_size: int, spread: float
) -> list[policy_lib.SlateDistribution]:
    """Returns the logging and the evaluated policy, for each kind of users."""
    return [
        policy_lib.SlateDistribution.softmax(rng.normal(0, spread, (KINDS, CANDIDATES)), slate_size)
        for _ in range(2)
    ]


def _sampled(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns an index for each row of probabilities."""
    cumulative = probabilities.cumsum(axis=1)
    index: np.ndarray = (rng.random((len(cumulative), 1)) > cumulative).sum(axis=1)
    last: np.ndarray = np.minimum(index, probabilities.shape[1] - 1)
    return last


def _made_up(kind: str) -> Setting:
    """Returns a setting of slates."""
    expected = _expected_rewards(kind)
    logging, evaluated = _policies(np.random.default_rng(2), SLATE_SIZE, 0.6)
    value = float((evaluated.probabilities * expected.sum(axis=2)).sum(axis=1).mean())

    def cases(num_slates: int, seed: int) -> Iterator[Case]:
        rng = np.random.default_rng([seed, 3])
        while True:
            kinds = rng.integers(KINDS, size=num_slates)
            of_logging = policy_lib.SlateDistribution(logging.slates, logging.probabilities[kinds])
            shown = _sampled(of_logging.probabilities, rng)
            rewards = rng.random((num_slates, SLATE_SIZE)) < expected[kinds, shown]
            items = logging.slates[shown]
            known = policy_lib.Policy.of(of_logging, items)
            log = log_lib.SlateLog(
                items=items,
                rewards=rewards.sum(axis=1),
                position_rewards=rewards.astype(np.float64),
                slate_propensities=known.slates,
                item_propensities=known.items,
                prefix_propensities=known.prefixes,
                user_features=np.eye(KINDS)[kinds],
                num_candidates=CANDIDATES,
                distribution=of_logging,
            )
            of_policy = evaluated.probabilities[kinds]
            yield (
                log,
                policy_lib.Policy.of(
                    policy_lib.SlateDistribution(evaluated.slates, of_policy), items
                ),
            )

    names = {"IPS", "DR"}
    if kind != "slate":
        names |= {"RIPS", "cascade DR"}
    if kind == "independent":
        names |= {"IIPS", "PI"}
    return Setting(value, 0.0, cases, _slate_estimators(), frozenset(names))


def _episodes() -> Setting:
    """Returns a setting of episodes of single items, which move the user from kind to kind."""
    rng = np.random.default_rng(4)
    expected = rng.uniform(0.1, 0.9, (KINDS, CANDIDATES))
    moves = rng.dirichlet(np.full(KINDS, 0.7), (KINDS, CANDIDATES))
    logging, evaluated = _policies(rng, 1, 0.4)
    to_come = np.zeros(KINDS)
    for _ in range(STEPS):
        to_come = (evaluated.probabilities * (expected + moves @ to_come)).sum(axis=1)
    value = float(to_come.mean())

    def cases(num_slates: int, seed: int) -> Iterator[Case]:
        rng = np.random.default_rng([seed, 5])
        number = num_slates // STEPS
        while True:
            kinds = np.empty((number, STEPS), np.int64)
            items = np.empty((number, STEPS), np.int64)
            kinds[:, 0] = rng.integers(KINDS, size=number)
            for step in range(STEPS):
                items[:, step] = _sampled(logging.probabilities[kinds[:, step]], rng)
                if step + 1 < STEPS:
                    kinds[:, step + 1] = _sampled(moves[kinds[:, step], items[:, step]], rng)
            rewards = rng.random(kinds.shape) < expected[kinds, items]
            flat, of_rows = items.reshape(-1, 1), kinds.reshape(-1)
            log = log_lib.SlateLog(
                items=flat,
                rewards=rewards.reshape(-1).astype(np.float64),
                slate_propensities=logging.probabilities[of_rows, flat[:, 0]],
                user_features=np.eye(KINDS)[of_rows],
                users=np.repeat(np.arange(number), STEPS),
                steps=np.tile(np.arange(STEPS), number),
                num_candidates=CANDIDATES,
                distribution=policy_lib.SlateDistribution(
                    logging.slates, logging.probabilities[of_rows]
                ),
            )
            yield (
                log,
                policy_lib.Policy.of(
                    policy_lib.SlateDistribution(
                        evaluated.slates, evaluated.probabilities[of_rows]
                    ),
                    flat,
                ),
            )

    applied: list[estimators.Estimator] = [
        sequences.PerDecision(),
        sequences.PerDecision(clip=2.0),
        sequences.PerDecision(self_normalized=True),
        sequences.FittedQ(num_batches=20),
    ]
    return Setting(value, 0.0, cases, applied, frozenset({"PDIS"}))


def _scenario() -> Setting:
    """Returns the setting of interest evolution."""
    config = {"num_candidates": 6, "slate_size": 2, "resample_documents": True, "seed": 0}

    def environment(offset: int, *, num_envs: int, first_user: int) -> types.VectorEnv:
        return registry.create_vector_environment(
            "interest_evolution", config, num_envs, first_user=offset + first_user
        )

    create = functools.partial(registry.create_vector_agent, "softmax")
    truth = simulated.true_value(functools.partial(environment, 0), create, _TRUE_USERS)

    def cases(num_slates: int, seed: int) -> Iterator[Case]:
        chunks = -(-num_slates // streams.CHUNK_SIZE)
        log = _TRUE_USERS // streams.CHUNK_SIZE + seed * chunks
        while True:
            collected = simulated.collect(
                functools.partial(environment, log * streams.CHUNK_SIZE),
                functools.partial(registry.create_vector_agent, "random"),
                {"softmax": create},
                num_slates,
            )
            log += chunks
            yield collected.log, collected.policies["softmax"]

    names = frozenset({"IPS", "DR"})
    return Setting(truth.value, truth.standard_error, cases, _slate_estimators(), names)


#: Functions that make settings, by name.
SETTINGS: dict[str, Callable[[], Setting]] = {
    "independent": functools.partial(_made_up, "independent"),
    "cascade": functools.partial(_made_up, "cascade"),
    "slate": functools.partial(_made_up, "slate"),
    "episodes": _episodes,
    "interest_evolution": _scenario,
}


def measured(
    name: str,
    num_logs: int,
    num_slates: int,
    *,
    seed: int = 0,
    interval: estimates.Interval | None = None,
) -> list[Result]:
    """Returns what estimators are like in a setting, over logs of it.

    Args:
        name: of a setting, a key of :data:`SETTINGS`.
        num_logs: number of logs, at least 2.
        num_slates: number of slates of a log.
        seed: of the logs.
        interval: how intervals are made; None for Student's of 95%.
    """
    setting = SETTINGS[name]()
    made = [each.name for each in setting.applied]
    values: list[list[float]] = [[] for _ in made]
    errors: list[list[float]] = [[] for _ in made]
    holds: list[list[bool]] = [[] for _ in made]
    for _, (log, policy) in zip(range(num_logs), setting.cases(num_slates, seed)):
        for row, estimator in enumerate(setting.applied):
            found = estimator.estimate(log, policy, interval)
            values[row].append(found.value)
            errors[row].append(found.standard_error)
            holds[row].append(found.low <= setting.true_value <= found.high)
    results = []
    for row, estimator_name in enumerate(made):
        deviation = float(np.std(values[row], ddof=1))
        bias_error = math.hypot(deviation / math.sqrt(num_logs), setting.true_error)
        results.append(
            Result(
                name,
                estimator_name,
                estimator_name in setting.unbiased,
                setting.true_value,
                float(np.mean(values[row])) - setting.true_value,
                bias_error,
                deviation,
                float(np.mean(errors[row])),
                float(np.mean(holds[row])),
                num_logs,
            )
        )
    return results


def table(results: Sequence[Result]) -> str:
    """Returns a table in Markdown."""
    lines = [
        "| users | estimator | unbiased | true value | bias | in standard errors | "
        "standard deviation | claimed | intervals with the truth |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        lines.append(
            f"| {each.setting} | {each.estimator} | {'yes' if each.unbiased else 'no'} | "
            f"{each.true_value:.4f} | {each.bias:+.4f} | {each.standard_errors:+.1f} | "
            f"{each.deviation:.4f} | {each.claimed_deviation:.4f} | {each.coverage:.1%} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints the table and writes the results; returns the exit code."""
    parser = command_line.Parser(
        prog="python -m recsim.benchmarks.off_policy",
        description="Bias and coverage of off-policy estimators over many logs.",
    )
    parser.add_argument("--logs", type=command_line.integer(2), default=1000, metavar="N")
    parser.add_argument("--slates", type=command_line.integer(10), default=1000, metavar="N")
    parser.add_argument("--seed", type=command_line.integer(0), default=0, metavar="N")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--output", metavar="FILE", help="JSON file for the results")
    options: argparse.Namespace = parser.parse(sys.argv[1:] if argv is None else list(argv))
    if options.output is not None:
        with command_line.user_errors(parser, *command_line.REFUSALS):
            options.output = paths.output_file("output", options.output)
    results: list[Result] = []
    warnings.simplefilter("error", estimates.SupportWarning)
    for name in options.settings:
        results += measured(name, options.logs, options.slates, seed=options.seed)
        print(f"{name}: {options.logs} logs", file=sys.stderr, flush=True)
    print(table(results))
    if options.output is not None:
        record = provenance.record(
            None,
            {"logs": options.seed},
            num_logs=options.logs,
            num_slates=options.slates,
            results=[dataclasses.asdict(each) for each in results],
        )
        del record["argv"], record["command"]
        with files.atomic_file(options.output) as file:
            file.write((json_text.dumps(record, indent=2) + "\n").encode("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
