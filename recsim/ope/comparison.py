"""Estimates beside the truth: a log of one agent in a scenario, and others evaluated from it.

It is what ``recsim ope`` runs. Because the scenario is simulated, the value of an agent is known up
to the error of a mean, and an estimate can be seen to be right or wrong.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from recsim import clusters, registry, types
from recsim._internal import bindings, files, json_text, paths, provenance, validation
from recsim.ope import estimates, estimators, sequences, simulated, slates
from recsim.vector import env as vector_env
from recsim.vector import streams

if TYPE_CHECKING:
    import pandas as pd

    from recsim.vector import env as vector_env

__all__ = ["Comparison", "Settings", "check_folder", "compare", "estimators_for"]

#: The highest weight of the clipped estimators.
CLIP = 10.0
TRUE_VALUE = "true value"

_FILES = ("estimates.json", "estimates.csv")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to log, and what to evaluate.

    Attributes:
        environment: name of a scenario, see :func:`recsim.registry.environment_entry`.
        logging_agent: name of the agent that is logged, which knows its probabilities.
        evaluation_agents: names of the agents that are evaluated, which know theirs.
        num_users: number of users whose episodes are logged, at least 2.
        num_steps: steps of an episode: with 1, estimators of slates, with more those of sequences.
        discount: of rewards from step to step, in [0, 1].
        num_candidates: documents to choose from at each step; by default 10, or what the
            scenario's variant has.
        slate_size: documents of a slate; by default 2, or likewise.
        resample_documents: whether there are new documents at each step; by default True, or
            likewise.
        seed: of users and documents.
        agent_seed: of the agents; None for ``seed``.
        true_users: number of other users by whom the true values are simulated; None for ten times
            as many as are logged.
        interval: how intervals are made.
        gin_files: files of gin bindings.
        gin_bindings: gin bindings, such as ``'SoftmaxAgent.temperature = 0.5'``.
    """

    environment: str = "interest_evolution"
    logging_agent: str = "random"
    evaluation_agents: Sequence[str] = ("softmax",)
    num_users: int = 10_000
    num_steps: int = 1
    discount: float = 1.0
    num_candidates: int | None = None
    slate_size: int | None = None
    resample_documents: bool | None = None
    seed: int = 0
    agent_seed: int | None = None
    true_users: int | None = None
    interval: estimates.Interval = estimates.Interval()
    gin_files: Sequence[str] = ()
    gin_bindings: Sequence[str] = ()

    def __post_init__(self) -> None:
        own = registry.environment_entry(self.environment).config()
        for name in ("num_candidates", "slate_size", "resample_documents"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, own[name])
        for name in (self.logging_agent, *self.evaluation_agents):
            if registry.agent_entry(name).learns:
                raise ValueError(
                    f"The agent {name!r} learns, and has not: log and evaluate a trained one with "
                    "recsim.ope.simulated.collect, or choose one that needs no training."
                )
        if not self.evaluation_agents:
            raise ValueError("evaluation_agents must name at least one agent, got none.")
        if len(set(self.evaluation_agents)) < len(self.evaluation_agents):
            raise ValueError(
                f"evaluation_agents must be different, got {', '.join(self.evaluation_agents)}."
            )
        validation.positive_int("num_users", self.num_users, 2)
        validation.positive_int("num_steps", self.num_steps)
        validation.probability("discount", self.discount)
        validation.candidates_and_slate(self.num_candidates, self.slate_size)
        validation.flag("resample_documents", self.resample_documents)
        validation.positive_int("seed", self.seed, 0)
        if self.agent_seed is not None:
            validation.positive_int("agent_seed", self.agent_seed, 0)
        if self.true_users is not None:
            validation.positive_int("true_users", self.true_users, 2)

    @property
    def num_true_users(self) -> int:
        """Number of users by whom the true values are simulated."""
        return 10 * self.num_users if self.true_users is None else self.true_users


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Estimates of the values of agents, and their true values.

    Attributes:
        settings: what was logged and evaluated.
        true_values: by the agent's name.
        found: the estimates, likewise.
        left_out: what could not be estimated, and why, by the estimator's name, likewise.
        warnings: what was warned of, likewise.
    """

    settings: Settings
    true_values: Mapping[str, estimates.Estimate]
    found: Mapping[str, Sequence[estimates.Estimate]]
    left_out: Mapping[str, Mapping[str, str]]
    warnings: Mapping[str, Sequence[str]]

    def rows(self) -> list[dict[str, Any]]:
        """Returns a row for each agent and estimator, the true value first, by column."""
        rows = []
        for name, truth in self.true_values.items():
            for each in (truth, *self.found[name]):
                row = {"agent": name, "estimator": each.name, **dataclasses.asdict(each)}
                del row["name"]
                rows.append({**row, "error": each.value - truth.value})
        return rows

    def to_frame(self) -> pd.DataFrame:
        """Returns :meth:`rows` as a data frame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def text(self) -> str:
        """Returns the tables, at most 80 columns wide."""
        return "\n\n".join([self._title(), *map(self._table, self.true_values), *self._choices()])

    def _title(self) -> str:
        wanted = self.settings
        steps = "a slate" if wanted.num_steps == 1 else f"{wanted.num_steps} slates"
        return (
            f"{wanted.environment}: {steps} of {wanted.slate_size} out of "
            f"{wanted.num_candidates} documents for each of\n{wanted.num_users:,} users, logged "
            f"with the agent {wanted.logging_agent}"
        )

    def _table(self, name: str) -> str:
        truth = self.true_values[name]
        percent = f"{100 * truth.confidence:g}% interval"
        width = max(len(each.name) for each in (truth, *self.found[name]))
        width = min(max(width, 20), 30)
        lines = [
            f"{name[:60]}, evaluated",
            f"{'':{width}}  {'value':>9}  {percent:^21}  {'error':>8}  {'ESS':>9}",
        ]
        for each in (truth, *self.found[name]):
            ends = f"{_number(each.low)} to {_number(each.high)}"
            error = "" if each is truth else f"{each.value - truth.value:+.3g}"
            size = each.effective_sample_size
            # An interval without any point of that of the true value.
            apart = each.low > truth.high or each.high < truth.low
            lines.append(
                f"{each.name[:width]:{width}}  {_number(each.value):>9}  {ends:^21}  {error:>8}"
                f"{'*' if apart else ' '} {'' if size is None else f'{size:,.0f}':>9}".rstrip()
            )
        if any("*" in line for line in lines[2:]):
            lines.append("* The interval has no point of that of the true value.")
        lines += [f"Warning: {text}" for text in self.warnings[name]]
        if self.left_out[name]:
            lines.append(f"Left out: {', '.join(self.left_out[name])}.")
            reasons = dict.fromkeys(self.left_out[name].values())
            lines += [f"  {reason}" for reason in reasons]
        return "\n".join(_wrapped(lines))

    def _choices(self) -> list[str]:
        """Returns which agent each estimator would choose, where there are several."""
        if len(self.true_values) < 2:
            return []
        best = max(self.true_values, key=lambda name: self.true_values[name].value)
        lines = [f"The agent of the highest true value is {best}. The highest estimate:"]
        by_estimator: dict[str, dict[str, float]] = {}
        for name, found in self.found.items():
            for each in found:
                by_estimator.setdefault(each.name, {})[name] = each.value
        for estimator, values in by_estimator.items():
            if len(values) == len(self.true_values):
                lines.append(f"  {estimator:20}  {max(values, key=values.__getitem__)}")
        return ["\n".join(lines)]

    def save(self, folder: paths.Path, arguments: Sequence[str] | None = None) -> None:
        """Writes ``estimates.csv`` and ``estimates.json``, which records the run too, to a folder.

        Args:
            folder: the folder, new, empty or with these files, which are replaced.
            arguments: those of the command ``recsim``; None where a program of the user's runs.

        Raises:
            OSError: if it cannot be written.
            ValueError: if it holds something else.
        """
        place = check_folder(folder)
        seeds = {"environment": self.settings.seed, "agents": _agent_seed(self.settings)}
        record = provenance.record(
            arguments,
            seeds,
            settings=dataclasses.asdict(self.settings),
            estimates=self.rows(),
            left_out={name: dict(reasons) for name, reasons in self.left_out.items()},
            warnings={name: list(texts) for name, texts in self.warnings.items()},
        )
        texts = (json_text.dumps(record, indent=2) + "\n", self.to_frame().to_csv(index=False))
        for name, text in zip(_FILES, texts, strict=True):
            with files.atomic_file(os.path.join(place, name)) as file:
                file.write(text.encode("utf-8"))


def check_folder(folder: paths.Path) -> str:
    """Makes a folder for :meth:`Comparison.save`, and returns its path.

    Raises:
        OSError: if it cannot be made or written to.
        ValueError: if it holds something else.
    """
    place = paths.absolute("folder", folder)
    if os.path.isdir(place) and set(os.listdir(place)) - set(_FILES):
        files.check_empty("folder", place)
    paths.writable_folder("The folder", place)
    return place


def _number(value: float) -> str:
    """Returns a number in at most 9 characters."""
    text = f"{value:.4f}"
    return text if len(text) <= 9 else f"{value:.4g}"


def _wrapped(lines: Sequence[str]) -> Iterator[str]:
    import textwrap

    for line in lines:
        indent = "  " if line.startswith("  ") and len(line) > 80 else ""
        yield from textwrap.wrap(line, 80, subsequent_indent=indent) if len(line) > 80 else [line]


def estimators_for(settings: Settings) -> list[estimators.Estimator]:
    """Returns the estimators that are compared: of sequences, of slates or of single items."""
    if settings.num_steps > 1:
        return [
            sequences.PerDecision(discount=settings.discount),
            sequences.PerDecision(discount=settings.discount, clip=CLIP),
            sequences.PerDecision(discount=settings.discount, self_normalized=True),
            sequences.FittedQ(discount=settings.discount),
        ]
    found: list[estimators.Estimator] = [
        estimators.InversePropensity(),
        estimators.InversePropensity(self_normalized=True),
        estimators.InversePropensity(clip=CLIP),
        estimators.DirectMethod(),
        estimators.DoublyRobust(),
        estimators.DoublyRobust(self_normalized=True),
    ]
    if settings.slate_size is not None and settings.slate_size > 1:
        found += [
            estimators.InversePropensity("items"),
            estimators.InversePropensity("prefixes"),
            slates.CascadeDoublyRobust(),
            slates.PseudoInverse(),
        ]
    return found


def compare(
    settings: Settings,
    *,
    advance: Callable[[int], None] | None = None,
    workers: int | None = 1,
    backend: clusters.BackendLike = "loky",
    address: str | None = None,
) -> Comparison:
    """Logs an agent in a scenario, evaluates others from the log, and simulates the truth.

    Args:
        settings: what to log, and what to evaluate.
        advance: called with the number of users done since the last call, of all simulations.
        workers: the most processes to use, on which nothing depends; None for one a core of the
            backend.
        backend: where the processes are, see :func:`recsim.clusters.connect`.
        address: of the cluster, None for one of this machine.

    Raises:
        TypeError, ValueError: for agents that cannot recommend in the scenario or do not know their
            probabilities, and gin bindings that have no effect.

    Example:
        >>> comparison = compare(Settings(num_users=2000, true_users=4000))
        >>> sorted(comparison.to_frame().estimator)[:3]
        ['DM', 'DR', 'IIPS']
    """
    with bindings.restored():
        if settings.gin_files or settings.gin_bindings:
            registry.import_all()  # Gin binds what it knows.
        bindings.load(list(settings.gin_files), list(settings.gin_bindings))
        _check(settings)
        with clusters.connect(backend, address, workers) as cluster:
            place = _Place(workers=workers, backend="loky" if cluster is None else cluster)
            return _compare(settings, advance, place)


def _check(settings: Settings) -> None:
    """Makes everything for a user, which refuses what cannot be made, and bindings not used."""
    with bindings.recorded() as made:
        env = _make_environment(settings, num_envs=1, first_user=0)
        for name in (settings.logging_agent, *settings.evaluation_agents):
            agent = _make_agent(name, settings, env)
            if not types.knows_propensities(agent):
                raise ValueError(
                    f"The agent {name!r} does not know with which probabilities it shows slates. "
                    f"Those that do: {', '.join(_known_to_know(settings, env))}."
                )
    made.refuse_unused({}, registry.makers_of)


def _known_to_know(settings: Settings, env: vector_env.RecSimVectorEnv) -> list[str]:
    known = []
    for name, entry in registry.AGENTS.items():
        with contextlib.suppress(Exception):  # Of a scenario that it is not for.
            if not entry.learns and types.knows_propensities(_make_agent(name, settings, env)):
                known.append(name)
    return known


def _agent_seed(settings: Settings) -> int:
    return settings.seed if settings.agent_seed is None else settings.agent_seed


def _make_environment(
    settings: Settings, *, num_envs: int, first_user: int
) -> vector_env.RecSimVectorEnv:
    config = {
        "num_candidates": settings.num_candidates,
        "slate_size": settings.slate_size,
        "resample_documents": settings.resample_documents,
        "seed": settings.seed,
    }
    return registry.create_vector_environment(
        settings.environment, config, num_envs, first_user=first_user
    )


def _make_agent(
    name: str, settings: Settings, env: vector_env.RecSimVectorEnv
) -> types.VectorAgent:
    return registry.create_vector_agent(name, env, seed=_agent_seed(settings), eval_mode=True)


class _Place(TypedDict):
    """Where simulations run."""

    workers: int | None
    backend: clusters.BackendLike


def _compare(
    settings: Settings, advance: Callable[[int], None] | None, place: _Place
) -> Comparison:
    make_environment = functools.partial(_make_environment, settings)
    make_agents = {
        name: functools.partial(_make_agent, name, settings) for name in settings.evaluation_agents
    }
    collected = simulated.collect(
        make_environment,
        functools.partial(_make_agent, settings.logging_agent, settings),
        make_agents,
        settings.num_users,
        num_steps=settings.num_steps,
        advance=advance,
        **place,
    )
    true_values, found, left_out, warned = {}, {}, {}, {}
    # Users of other numbers, in the same scenario.
    first_user = -(-settings.num_users // streams.CHUNK_SIZE) * streams.CHUNK_SIZE
    for name, make_agent in make_agents.items():
        true_values[name] = simulated.true_value(
            make_environment,
            make_agent,
            settings.num_true_users,
            num_steps=settings.num_steps,
            discount=settings.discount,
            interval=dataclasses.replace(settings.interval, method="normal"),
            first_user=first_user,
            advance=advance,
            **place,
        )
        found[name], left_out[name], warned[name] = _estimates(settings, collected, name)
    return Comparison(settings, true_values, found, left_out, warned)


def _estimates(
    settings: Settings, collected: simulated.Collected, name: str
) -> tuple[list[estimates.Estimate], dict[str, str], list[str]]:
    """Returns the estimates, why others could not be made, and what was warned of."""
    found, left_out = [], {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", estimates.SupportWarning)
        for estimator in estimators_for(settings):
            try:
                found.append(
                    estimator.estimate(collected.log, collected.policies[name], settings.interval)
                )
            except ValueError as error:
                left_out[estimator.name] = str(error)
    texts = [str(each.message) for each in caught if each.category is estimates.SupportWarning]
    # Of one and the same lack all estimators warn.
    by_lack = {text.partition(": ")[2]: text for text in reversed(texts)}
    return found, left_out, list(reversed(by_lack.values()))
