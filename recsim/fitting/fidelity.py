"""How what users do in a fitted scenario compares with what the log has, as numbers.

What the scenario does is computed on the log's own slates, which the agent chose who was there: the
scenario is asked how likely each impression is clicked, given what was clicked before it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import stats

from recsim.environments import fitted
from recsim.fitting import predictions, tables
from recsim.simulator import rollout

__all__ = [
    "Fidelity",
    "Group",
    "Measure",
    "agree",
    "fidelity_of",
    "gain_over_constant",
    "rates_by_group",
    "session_lengths",
]

#: Groups by the step in the session, the last being all later ones.
_MOST_STEPS = 15
_NUM_BINS = 10
_CLICKS_OF_BIN = 10
_NORMAL = 1.959963984540054
_SAMPLES = 200
_MOST_NUMBERS = 50_000_000
_SEED = 0
# So few users or slates have no variance of their own to speak of.
_FEW = 30


@dataclasses.dataclass(frozen=True)
class Group:
    """Impressions with something in common.

    Attributes:
        label: what they have in common.
        impressions: their number.
        observed: their click rate in the log.
        low: lower end of its 95% interval.
        high: upper end.
        expected: their click rate in the scenario.
    """

    label: str
    impressions: int
    observed: float
    low: float
    high: float
    expected: float

    @property
    def agrees(self) -> bool:
        """Whether the scenario's click rate is in the interval of the log's."""
        return self.low <= self.expected <= self.high


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number of the log, and of clicks that were sampled from the scenario on the log's slates.

    Attributes:
        name: what it is.
        observed: its value in the log.
        expected: its mean over the samples.
        low: the 2.5% quantile of the samples.
        high: the 97.5% quantile.
    """

    name: str
    observed: float
    expected: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """How a scenario compares with the log.

    Attributes:
        calibration: held-out impressions by the predicted click probability, ten groups of equally
            many (fewer where there are few clicks), predicted by the model that was fitted without
            them.
        positions: impressions by position.
        deciles: impressions by the popularity of the item, ten groups of equally many items, the
            least popular first.
        steps: impressions by the step in the session; empty where no session has two.
        sessions: of each number of slates the share of the sessions that have so many, in the log
            and in the scenario, with slates sampled by popularity; empty where the log has none.
        concentration: diversity and concentration of what is clicked.
    """

    calibration: tuple[Group, ...]
    positions: tuple[Group, ...]
    deciles: tuple[Group, ...]
    steps: tuple[Group, ...]
    sessions: tuple[Group, ...]
    concentration: tuple[Measure, ...]

    def groups(self) -> dict[str, tuple[Group, ...]]:
        """Returns the groups by name, but for empty ones."""
        found = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "concentration"
        }
        return {name: groups for name, groups in found.items() if groups}


def fidelity_of(
    log: tables.SlateLog,
    parameters: fitted.FittedParameters,
    held_out: np.ndarray,
    without_held_out: fitted.FittedParameters,
) -> Fidelity:
    """Compares a scenario with the log that it was fitted to.

    Args:
        log: the log.
        parameters: the scenario.
        held_out: which slates were held out, bools of shape (n_slates,).
        without_held_out: the scenario fitted to the others.
    """
    expected = predictions.click_probabilities(parameters, log)
    shown = log.shown
    position = log.positions.astype(np.intp)
    popularity = np.bincount(log.items[shown], minlength=log.num_items)
    ranks = np.empty(log.num_items, np.intp)
    ranks[np.argsort(popularity, kind="stable")] = np.arange(log.num_items)
    decile = ranks * _NUM_BINS // log.num_items
    num_deciles = min(_NUM_BINS, log.num_items)
    steps: tuple[Group, ...] = ()
    if log.steps.any():
        last = min(_MOST_STEPS - 1, int(log.steps.max()))
        names = [str(step + 1) for step in range(last)]
        names.append(f"{last + 1}{'+' if log.steps.max() > last else ''}")
        step = np.minimum(log.steps, last)[:, np.newaxis] + np.zeros_like(position)
        steps = rates_by_group(log, expected, step, names)
    return Fidelity(
        calibration=_calibration(log, held_out, without_held_out),
        positions=rates_by_group(
            log, expected, position, [str(place + 1) for place in range(log.num_positions)]
        ),
        deciles=rates_by_group(
            log,
            expected,
            decile[log.items],
            [str(place + 1) for place in range(num_deciles)],
        ),
        steps=steps,
        sessions=session_lengths(log, parameters) if log.has_sessions else (),
        concentration=_concentration(log, expected),
    )


def rates_by_group(
    log: tables.SlateLog, expected: np.ndarray, group: np.ndarray, names: list[str]
) -> tuple[Group, ...]:
    """Returns click rates of groups of impressions, but for groups without any.

    Intervals are over users where there are enough of them, else Wilson's.

    Args:
        log: the log.
        expected: click probabilities of the scenario, shape (n_slates, L).
        group: the group of each impression, integers of the same shape.
        names: the groups' names.
    """
    shown = log.shown
    user = (log.users if log.has_users else np.arange(log.num_slates))[:, np.newaxis]
    users = np.broadcast_to(user, shown.shape)[shown]
    groups, clicks, chances = group[shown], log.clicks[shown], expected[shown]
    found = []
    for number, name in enumerate(names):
        here = groups == number
        if not here.any():
            continue
        low, high = _interval(clicks[here], users[here])
        found.append(
            Group(
                name,
                int(here.sum()),
                float(clicks[here].mean()),
                low,
                high,
                float(chances[here].mean()),
            )
        )
    return tuple(found)


def _interval(clicks: np.ndarray, users: np.ndarray) -> tuple[float, float]:
    """Returns the 95% interval of a click rate."""
    number, rate = len(clicks), float(clicks.mean())
    # Wilson (1927).
    squared = _NORMAL**2
    middle = (rate + squared / (2 * number)) / (1 + squared / number)
    half = rate * (1 - rate) / number + squared / (4 * number**2)
    half = _NORMAL * float(np.sqrt(half)) / (1 + squared / number)
    low, high = middle - half, middle + half
    _, of_user = np.unique(users, return_inverse=True)
    num_users = int(of_user.max()) + 1
    if _FEW <= num_users < number and clicks.sum() >= _FEW:
        # Clicks of a user go together: the interval is at least as wide as that over users.
        residuals = np.bincount(of_user, clicks - rate)
        variance = float(np.sum(residuals**2)) * num_users / (num_users - 1) / number**2
        half = _NORMAL * float(np.sqrt(variance))
        low, high = min(low, rate - half), max(high, rate + half)
    return max(low, 0.0), min(high, 1.0)


def _calibration(
    log: tables.SlateLog, held_out: np.ndarray, parameters: fitted.FittedParameters
) -> tuple[Group, ...]:
    if not held_out.any():
        return ()
    part = log.select_slates(held_out)
    expected = predictions.click_probabilities(parameters, part)
    shown = part.shown
    # Groups of a few clicks would say nothing.
    num_bins = int(np.clip(part.clicks.sum() // _CLICKS_OF_BIN, 2, _NUM_BINS))
    order = np.argsort(expected[shown], kind="stable")
    ranks = np.empty(len(order), np.intp)
    ranks[order] = np.arange(len(order))
    group = np.zeros(shown.shape, np.intp)
    group[shown] = ranks * num_bins // len(order)
    return rates_by_group(part, expected, group, [str(bin + 1) for bin in range(num_bins)])


def agree(groups: Sequence[Group]) -> bool:
    """Says whether a scenario's click rates are what the log's may be, all groups together.

    Each is held against an interval so wide that all of the true ones are within theirs in 99% of
    logs.

    Args:
        groups: the groups.
    """
    wider = stats.norm.isf(0.005 / max(len(groups), 1)) / _NORMAL
    for group in groups:
        low = group.observed - wider * (group.observed - group.low)
        high = group.observed + wider * (group.high - group.observed)
        if not low <= group.expected <= high:
            return False
    return True


def gain_over_constant(
    log: tables.SlateLog, held_out: np.ndarray, parameters: fitted.FittedParameters
) -> tuple[float, float]:
    """Returns how much better held-out clicks are predicted than by one click rate for all.

    Args:
        log: the log.
        held_out: which slates were held out, bools of shape (n_slates,).
        parameters: the scenario fitted to the others.

    Returns:
        The difference of log-likelihoods per impression, and its standard error, over users, or
        slates where the log has none; NaN where nothing was held out.
    """
    if not held_out.any() or held_out.all():
        return np.nan, np.nan
    part, others = log.select_slates(held_out), log.select_slates(~held_out)
    number = part.shown.sum(axis=1)
    clicks = part.clicks.sum(axis=1)
    rate = float(np.clip(others.clicks.sum() / others.num_impressions, 1e-9, 1.0 - 1e-9))
    constant = clicks * np.log(rate) + (number - clicks) * np.log1p(-rate)
    gains = predictions.log_likelihoods(parameters, part) - constant
    mean = float(gains.sum() / number.sum())
    unit = part.users if part.has_users else np.arange(part.num_slates)
    _, of_unit = np.unique(unit, return_inverse=True)
    residuals = np.bincount(of_unit, gains - mean * number)
    return mean, float(np.sqrt(np.sum(residuals**2)) / number.sum())


def session_lengths(log: tables.SlateLog, parameters: fitted.FittedParameters) -> tuple[Group, ...]:
    """Returns how many sessions have how many slates, in the log and in the scenario.

    ``impressions`` of a group are all sessions.

    Args:
        log: a log with sessions.
        parameters: the scenario.
    """
    lengths = np.bincount(log.sessions)
    size = min(log.slate_size, parameters.num_items)
    num_sessions = 4_000
    by_popularity = np.count_nonzero(parameters.item_popularity) >= size
    env = fitted.create_vector_environment(
        {
            "fitted": parameters,
            "num_candidates": size,
            "slate_size": size,
            "resample_documents": True,
            "candidate_sampling": "popularity" if by_popularity else "uniform",
            "seed": _SEED,
        },
        num_sessions,
    )
    from recsim.agents import random_agent

    totals = rollout.EpisodeTotals(num_sessions)
    agent = random_agent.VectorRandomAgent(env, _SEED)
    rollout.VectorRollout(env, agent, [totals]).run_episodes(np.ones(num_sessions, np.int64))
    last = min(_MOST_STEPS, int(lengths.max()))
    found = []
    for length in range(1, last + 1):
        here = lengths >= length if length == last else lengths == length
        there = totals.lengths >= length if length == last else totals.lengths == length
        low, high = _interval(here, np.arange(len(here)))
        name = f"{length}{'+' if length == last < lengths.max() else ''}"
        found.append(Group(name, len(here), float(here.mean()), low, high, float(there.mean())))
    return tuple(found)


def _concentration(log: tables.SlateLog, expected: np.ndarray) -> tuple[Measure, ...]:
    """Returns measures of what is clicked, in the log and in samples of the scenario."""
    shown, rng = log.shown, np.random.default_rng(_SEED)
    items, chances = log.items[shown], expected[shown]
    user = log.users if log.has_users else log.sessions
    users = np.broadcast_to(user[:, np.newaxis], shown.shape)[shown]
    topics = None if log.catalogue.topics is None else log.catalogue.topics[items]
    num_topics = len(log.catalogue.topic_names)
    num_samples = int(np.clip(_MOST_NUMBERS // len(items), _FEW, _SAMPLES))

    def measures(clicks: np.ndarray) -> dict[str, float]:
        counts = np.bincount(items[clicks], minlength=log.num_items)
        total = max(int(counts.sum()), 1)
        ordered = np.sort(counts)[::-1]
        most = -(-log.num_items // 10)
        ranks = np.arange(1, log.num_items + 1)
        gini = 1.0 - 2.0 * float((ordered * (ranks - 0.5)).sum()) / (total * log.num_items)
        values = {
            "share of clicks on the most clicked tenth of items": ordered[:most].sum() / total,
            "Gini coefficient of clicks over items": abs(gini),
            "share of items with a click": np.count_nonzero(counts) / log.num_items,
        }
        if topics is not None:
            shares = np.bincount(topics[clicks]) / total
            shares = shares[shares > 0]
            values["effective number of topics clicked"] = np.exp(-(shares * np.log(shares)).sum())
            if log.has_users:
                seen = np.zeros((log.num_users, num_topics), np.bool_)
                seen[users[clicks], topics[clicks]] = True
                clicking = max(int(np.count_nonzero(seen.any(axis=1))), 1)
                values["topics clicked by a user who clicks"] = np.count_nonzero(seen) / clicking
        return {name: float(value) for name, value in values.items()}

    observed = measures(log.clicks[shown])
    samples = [measures(rng.random(len(chances)) < chances) for _ in range(num_samples)]
    found = []
    for name, value in observed.items():
        sampled = np.array([sample[name] for sample in samples])
        low, high = np.quantile(sampled, [0.025, 0.975])
        found.append(Measure(name, value, float(sampled.mean()), float(low), float(high)))
    return tuple(found)
