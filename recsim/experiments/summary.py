"""Summaries of experiments: means with intervals over seeds, and differences to a baseline.

Users are nested in seeds: the users of a seed met one trained agent, in one run of the scenario,
and are not independent samples of what another seed would have given. So a seed counts as one
value, the mean over its users, and the interval is over these. With a single seed it is over the
users, and says nothing of other seeds.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from recsim.experiments import statistics

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FEW_SEEDS",
    "HIGHER_IS_BETTER",
    "TIMES",
    "Variant",
    "baseline_of",
    "overall",
    "scores",
    "summarized",
    "variants",
]

#: Measures of which more is better, so that the best agent by them can be told.
HIGHER_IS_BETTER = ("return", "click_through_rate", "click_quality")
#: Measures of the machine, which differ when the same experiment is run again.
TIMES = ("steps_per_second", "seconds")
#: With fewer seeds a bootstrap's interval is far too narrow, and there is none.
FEW_SEEDS = 5

_KEYS = ["scenario", "agent", "settings", "measure"]
_NAN = float("nan")
_COLUMNS = (
    *(*_KEYS, "seeds", "users", "over", "mean", "low", "high", "iqm", "iqm_low", "iqm_high"),
    *("baseline", "difference", "difference_low", "difference_high"),
    *("improvement", "improvement_low", "improvement_high", "best", "alike"),
)


@dataclasses.dataclass(frozen=True, order=True)
class Variant:
    """An agent with its settings.

    Attributes:
        agent: the agent's name.
        settings: the settings that tell it from others of the name; an empty string for none.
    """

    agent: str
    settings: str = ""

    def __str__(self) -> str:
        return f"{self.agent} ({self.settings})" if self.settings else self.agent


def variants(frame: pd.DataFrame) -> list[Variant]:
    """Returns the agents with their settings in the order in which a frame of results has them."""
    found = frame[["agent", "settings"]].drop_duplicates()
    return [Variant(*names) for names in found.itertuples(index=False)]


def baseline_of(frame: pd.DataFrame, name: str | None, planned: Sequence[Variant] = ()) -> Variant:
    """Returns what the others are compared with.

    Args:
        frame: the results, see :class:`recsim.experiments.results.Results`.
        name: an agent, or one with its settings as ``agent (settings)``; None for the last one.
        planned: all that was to run, in order: the last of them is the baseline even if it has no
            results. Empty for what the frame has.

    Raises:
        ValueError: if there is none of this name, or several.
    """
    found = variants(frame)
    if name is None:
        return [*found, *planned][-1]
    by_name = {str(variant): variant for variant in found}
    if name in by_name:
        return by_name[name]
    of_agent = [variant for variant in found if variant.agent == name]
    if len(of_agent) != 1:
        raise ValueError(
            f"baseline must be one of {', '.join(map(repr, by_name))}, got {name!r}"
            + (", of which there are several." if of_agent else ".")
        )
    return of_agent[0]


def scores(frame: pd.DataFrame) -> dict[tuple[str, str], dict[Variant, pd.Series]]:
    """Returns by scenario and measure the values that intervals are over, of each variant.

    Args:
        frame: the results.

    Returns:
        Series by seed, of the means over users; where the whole scenario has a single seed, series
        by user. What has no value, such as the quality of no clicks, is left out.
    """
    found: dict[tuple[str, str], dict[Variant, pd.Series]] = {}
    present = frame.dropna(subset=["value"])
    seeds = frame.groupby("scenario", sort=False)["seed"].nunique()
    for (scenario, agent, settings, measure), rows in present.groupby(_KEYS, sort=False):
        by_seed = seeds[scenario] > 1
        values = (
            rows.groupby("seed")["value"].mean() if by_seed else rows.set_index("user")["value"]
        )
        found.setdefault((scenario, measure), {})[Variant(agent, settings)] = values
    return found


def summarized(
    frame: pd.DataFrame, baseline: str | None = None, planned: Sequence[Variant] = ()
) -> pd.DataFrame:
    """Returns a row for each scenario, agent, settings and measure.

    Args:
        frame: the results, see :class:`recsim.experiments.results.Results`.
        baseline: see :func:`baseline_of`.
        planned: see :func:`baseline_of`.

    Returns:
        The columns of :meth:`recsim.experiments.results.Results.summary`.
    """
    import pandas as pd

    if frame.empty:
        return pd.DataFrame(columns=list(_COLUMNS))
    reference = baseline_of(frame, baseline, planned)
    users = frame.groupby(_KEYS, sort=False)["user"].nunique()
    seeds = frame.groupby("scenario", sort=False)["seed"].nunique()
    rows = []
    for (scenario, measure), of_variants in scores(frame).items():
        by_seed = bool(seeds[scenario] > 1)
        directed = measure in HIGHER_IS_BETTER
        best, alike = _best(of_variants) if directed else (None, frozenset())
        for variant, values in of_variants.items():
            others = None if variant == reference else of_variants.get(reference)
            rows.append(
                {
                    "scenario": scenario,
                    "agent": variant.agent,
                    "settings": variant.settings,
                    "measure": measure,
                    "seeds": len(values) if by_seed else 1,
                    "users": users[scenario, variant.agent, variant.settings, measure],
                    "over": "seeds" if by_seed else "users",
                    **_mean(values),
                    **_interquartile_mean(values if by_seed and directed else None),
                    "baseline": str(reference),
                    **_difference(values, others),
                    **_improvement(values if by_seed and directed else None, others),
                    "best": variant == best,
                    "alike": variant in alike,
                }
            )
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def overall(
    frame: pd.DataFrame, baseline: str | None = None, planned: Sequence[Variant] = ()
) -> pd.DataFrame:
    """Returns how the returns compare with a baseline's over all scenarios together.

    Args:
        frame: the results, see :class:`recsim.experiments.results.Results`.
        baseline: see :func:`baseline_of`.
        planned: see :func:`baseline_of`.

    Returns:
        A row for each agent with settings that ran in more than one scenario with seeds in which
        the baseline ran too: ``agent``, ``settings``, ``scenarios`` (their number),
        ``improvement`` (the probability of improvement) and ``ratio`` (the interquartile mean of
        returns divided by the baseline's mean in the scenario; NaN unless these are positive), each
        with ``…_low`` and ``…_high``.
    """
    import pandas as pd

    if frame.empty:
        return pd.DataFrame()
    reference = baseline_of(frame, baseline, planned)
    seeds = frame.groupby("scenario", sort=False)["seed"].nunique()
    returns = [
        of_variants
        for (scenario, measure), of_variants in scores(frame).items()
        if measure == "return" and seeds[scenario] > 1 and reference in of_variants
    ]
    rows = []
    for variant in variants(frame):
        both = [_pairs(each[variant], each[reference]) for each in returns if variant in each]
        both = [pair for pair in both if len(pair[0])]
        if variant == reference or len(both) < 2:
            continue
        ours, theirs = ([pair[side] for pair in both] for side in (0, 1))
        improvement = statistics.probability_of_improvement(ours, theirs)
        ratio: Mapping[str, float | None] = {}
        if all(runs.mean() > 0.0 for runs in theirs):
            ratio = statistics.interquartile_mean(
                [runs / others.mean() for runs, others in zip(ours, theirs)]
            )
        few = min(map(len, (*ours, *theirs))) < FEW_SEEDS
        rows.append(
            {
                "agent": variant.agent,
                "settings": variant.settings,
                "scenarios": len(both),
                **_named("improvement", improvement, without_interval=few),
                **_named("ratio", ratio, without_interval=few),
            }
        )
    return pd.DataFrame(rows)


def _best(of_variants: Mapping[Variant, pd.Series]) -> tuple[Variant, frozenset[Variant]]:
    """Returns the variant of the greatest mean, and those that cannot be told apart from it.

    All pairs are tested, not only those with the best: which one that is, the same values say, and
    among equal agents the best is by chance far from the others.
    """
    best = max(of_variants, key=lambda variant: float(of_variants[variant].mean()))
    all_pairs = list(itertools.combinations(of_variants, 2))
    p_values = []
    for one, other in all_pairs:
        pairs = _pairs(of_variants[one], of_variants[other])
        p_value = statistics.paired_p_value(*pairs) if len(pairs[0]) else None
        p_values.append(1.0 if p_value is None else p_value)  # Nothing tells them apart.
    alike = {
        variant
        for pair, told_apart in zip(all_pairs, statistics.holm(p_values))
        if best in pair and not told_apart
        for variant in pair
    }
    return best, frozenset(alike - {best})


def _pairs(values: pd.Series, others: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Returns the values of the seeds, or users, that both have."""
    both = values.index.intersection(others.index)
    return values[both].to_numpy(), others[both].to_numpy()


def _mean(values: pd.Series) -> dict[str, float]:
    if len(values) < 2:
        return {"mean": float(values.mean()), "low": _NAN, "high": _NAN}
    estimate = statistics.estimate(values.to_numpy())
    return {name: estimate[name] for name in ("mean", "low", "high")}


def _difference(values: pd.Series, others: pd.Series | None) -> dict[str, float]:
    pairs = None if others is None else _pairs(values, others)
    if pairs is None or not len(pairs[0]):
        return _named("difference", {})
    return _named("difference", statistics.paired_difference(*pairs))


def _interquartile_mean(values: pd.Series | None) -> dict[str, float]:
    if values is None:
        return _named("iqm", {})
    robust = statistics.interquartile_mean([values.to_numpy()])
    return _named("iqm", robust, without_interval=len(values) < FEW_SEEDS)


def _improvement(values: pd.Series | None, others: pd.Series | None) -> dict[str, float]:
    pairs = None if values is None or others is None else _pairs(values, others)
    if pairs is None or not len(pairs[0]):
        return _named("improvement", {})
    ours, theirs = pairs
    probability = statistics.probability_of_improvement([ours], [theirs])
    few = len(ours) < FEW_SEEDS
    return _named("improvement", probability, without_interval=few)


def _named(
    name: str, estimate: Mapping[str, float | None], *, without_interval: bool = False
) -> dict[str, float]:
    """Returns an estimate as three columns of a name, NaN where there is nothing."""
    columns = {name: "mean", f"{name}_low": "low", f"{name}_high": "high"}
    known = {"mean": estimate.get("mean")} if without_interval else estimate
    return {
        column: _NAN if (value := known.get(entry)) is None else float(value)
        for column, entry in columns.items()
    }
