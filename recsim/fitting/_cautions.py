"""What a fitted scenario should not be used for, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from recsim.fitting import fidelity as fidelity_lib
from recsim.fitting import ranking as ranking_lib
from recsim.fitting import ratings as ratings_lib
from recsim.fitting import results, tables

__all__ = ["of_ratings", "of_slates"]

# So few clicks tell of a rate and of nothing else.
_FEW_CLICKS = 200
# So many clicks an item tell it from others.
_CLICKS_OF_ITEM = 10
_FEW_IMPRESSIONS = 10
_FEW_RATINGS = 5
_NAMED = 3
_LIST = ", ".join


def of_slates(
    result: results.FitResult,
    fidelity: fidelity_lib.Fidelity,
    ranking: ranking_lib.Ranking,
) -> list[str]:
    """Returns sentences on what a scenario that was fitted to slates should not be used for."""
    log = result.log
    return [
        *_of_evidence(result),
        *_of_propensities(log),
        *_of_users(log),
        *_of_fidelity(fidelity),
        *_of_ranking(ranking),
        f"Slates of more than {result.parameters.max_slate_size} items were not in the log and are "
        "refused; items, users and times that are not in it are not in the scenario either.",
    ]


def of_ratings(result: ratings_lib.RatingsResult, ranking: ranking_lib.Ranking) -> list[str]:
    """Returns the like for a scenario that was fitted to ratings."""
    log = result.log
    counts = np.bincount(log.items, minlength=log.num_items)
    few = int(np.count_nonzero(counts < _FEW_RATINGS))
    found = [
        "Ratings say nothing of clicks. Which rating makes a user click, "
        f"{result.threshold:.3g}, and how surely, by a temperature of {result.temperature:.3g}, "
        "are assumptions: absolute click rates, and what follows from them, are not to be used.",
        "The log does not say what users saw and left alone. Who rates an item has mostly chosen "
        "it, so that the rest may be liked less than the scenario has it.",
        "There are no positions, no sessions and no changes of interests in ratings: the scenario "
        "says nothing of the order of items in a slate, of how long users stay, or of long-term "
        "effects of recommendations.",
    ]
    if few:
        found.append(
            f"Of {log.num_items:,} items {few:,} have fewer than {_FEW_RATINGS} ratings: what the "
            "scenario says of them is close to what it says of the mean item."
        )
    return [*found, *_of_ranking(ranking)]


def _of_evidence(result: results.FitResult) -> Iterator[str]:
    """Yields what the number of clicks, and the held-out ones, support."""
    log, candidate = result.log, result.candidate
    clicks = int(log.clicks.sum())
    if clicks < _FEW_CLICKS:
        yield (
            f"There are {clicks:,} clicks: they support a click rate, and no more. Differences "
            "between items, positions, users and agents in this scenario are mostly assumptions of "
            "the model."
        )
    elif clicks < _CLICKS_OF_ITEM * log.num_items:
        yield (
            f"There are {clicks / log.num_items:.1f} clicks an item: differences between single "
            "items are drawn towards their mean. Use it for groups of items, not to tell one from "
            "another."
        )
    counts = np.bincount(log.items[log.shown], minlength=log.num_items)
    few = int(np.count_nonzero(counts < _FEW_IMPRESSIONS))
    if few:
        yield (
            f"Of {log.num_items:,} items {few:,} were shown fewer than {_FEW_IMPRESSIONS} times: "
            "an agent that recommends these is judged by next to no data."
        )
    better = [
        name
        for name, value in result.baselines.items()
        if value >= candidate.held_out_log_likelihood
    ]
    if better:
        yield (
            f"Held-out clicks are predicted as well or better without a model ({_LIST(better)}): "
            "what the scenario has beyond that is not supported by the log."
        )
    gain, error = fidelity_lib.gain_over_constant(log, result.held_out, candidate.parameters)
    if not better and gain <= error:
        yield (
            "Held-out clicks are predicted no better than by one click rate for all, within one "
            f"standard error (log-likelihood {gain:+.5f} ± {error:.5f} an impression): what the "
            "scenario has beyond that rate is not supported by the log."
        )


def _of_propensities(log: tables.SlateLog) -> Iterator[str]:
    if log.propensities is None:
        yield (
            "Propensities are missing: if certain items always stood at certain positions, "
            "position and quality cannot be told apart. Do not compare orders of the same items, "
            "or agents that differ in them alone, unless you know that positions were random."
        )
    elif log.propensities[log.shown].max() > 4.0 * np.median(log.propensities[log.shown]):
        yield (
            "Some items were shown much more surely than others. The log has their propensities, "
            "and the fit does not weight by them: it describes the users whom this policy met."
        )


def _of_users(log: tables.SlateLog) -> Iterator[str]:
    if not log.has_users:
        yield (
            "The log does not say who saw what: drift, fatigue, kinds of users and sessions are "
            "off. All users are alike, so that personal recommendations cannot be judged, nor "
            "anything that takes more than one slate."
        )
        return
    slates = np.bincount(log.users)
    if np.median(slates) < 2:
        yield (
            "Most users saw one slate: how interests move, and how users differ, rests on the "
            "others."
        )
    if not log.has_sessions:
        yield (
            "The log has no sessions: the scenario does not know how long users stay, and ends "
            "episodes after as many slates as the configuration says."
        )


def _of_fidelity(fidelity: fidelity_lib.Fidelity) -> Iterator[str]:
    for name, groups in fidelity.groups().items():
        off = [group.label for group in groups if not group.agrees]
        if off and not fidelity_lib.agree(groups):
            what = _WHAT[name]
            yield (
                f"{what} differ from the log's beyond its 95% intervals in {len(off)} of "
                f"{len(groups)} groups ({', '.join(off[:_NAMED])}{', …' * (len(off) > _NAMED)}): "
                "do not rely on results that hang on them."
            )


_WHAT = {
    "calibration": "Held-out click rates by predicted probability",
    "positions": "Click rates by position",
    "deciles": "Click rates by item popularity",
    "steps": "Click rates by step",
    "sessions": "Lengths of sessions",
}


def _of_ranking(ranking: ranking_lib.Ranking) -> Iterator[str]:
    pairs: Sequence[tuple[str, str]] = ranking.disagreements()
    if len(ranking.scenarios) == 1:
        yield (
            "It was not refitted, and compared with no other model: how far the order of agents "
            "depends on the log's chance is not known."
        )
    elif pairs:
        named = "; ".join(f"{first} and {second}" for first, second in pairs[:_NAMED])
        yield (
            f"The order of {len(pairs)} of {len(ranking.pairs())} pairs of agents is not the same "
            f"in all scenarios that the log allows ({named}{'; …' * (len(pairs) > _NAMED)}): do "
            "not choose between such agents by it."
        )
