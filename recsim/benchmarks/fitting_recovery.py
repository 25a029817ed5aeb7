"""Whether a fit finds what made a log: many logs of made-up users whose truth is known.

``python -m recsim.benchmarks.fitting_recovery`` makes logs of 5,000 users in each setting, fits
each as :func:`recsim.fitting.fit_slates` does by default, but for the number of kinds of users and
of refits, and asks of each fit:

* whether it has the right click model;
* how far its held-out log-likelihood is from that of the true model;
* whether its click rates by position are within simultaneous 95% intervals of those of the log;
* whether it has drift and fatigue where the users have, and only there;
* whether their strengths are within their 95% intervals.

Logs are simulated by the code of this module, which shares nothing with the estimation.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from recsim._internal import command_line, files, json_text, paths, provenance
from recsim.environments import fitted
from recsim.fitting import predictions, slate_logs, tables

__all__ = [
    "SETTINGS",
    "Recovery",
    "Setting",
    "main",
    "rates_agree",
    "recovered",
    "simulated",
    "table",
    "truth",
]

ITEMS, TOPICS, FACTORS, SLATE_SIZE = 60, 6, 2, 4


@dataclasses.dataclass(frozen=True)
class Setting:
    """Users who are made up.

    Attributes:
        click_models: the click models of their kinds.
        drift: of interests.
        fatigue: of topics.
        memory: what remains of a level of fatigue.
        num_sessions: sessions of each user.
        num_steps: slates of each session.
    """

    click_models: tuple[str, ...]
    drift: float = 0.0
    fatigue: float = 0.0
    memory: float = 0.0
    num_sessions: int = 4
    num_steps: int = 5


#: The settings by name.
SETTINGS: Mapping[str, Setting] = {
    "multinomial_logit": Setting(("multinomial_logit",)),
    "position_based": Setting(("position_based",)),
    "cascade": Setting(("cascade",)),
    "dependent_click": Setting(("dependent_click",)),
    "drift_and_fatigue": Setting(
        ("multinomial_logit",), 0.15, 0.4, 0.7, num_sessions=3, num_steps=8
    ),
    "several_clicks_drift_and_fatigue": Setting(
        ("dependent_click",), 0.15, 0.4, 0.7, num_sessions=3, num_steps=8
    ),
}


def truth(setting: Setting, num_users: int, seed: int) -> fitted.FittedParameters:
    """Returns made-up items and users.

    Args:
        setting: what the users are like.
        num_users: how many there are.
        seed: of the random numbers, an integer >= 0.
    """
    rng = np.random.default_rng([seed, 0])
    factors = rng.standard_normal((ITEMS, FACTORS))
    kinds = len(setting.click_models)
    return fitted.FittedParameters(
        item_ids=tuple(map(str, range(ITEMS))),
        item_utilities=rng.normal(-1.2, 0.6, ITEMS),
        item_popularity=np.full(ITEMS, 1.0 / ITEMS),
        item_factors=factors / np.sqrt((factors**2).sum() / ITEMS),
        item_topics=rng.integers(TOPICS, size=ITEMS),
        topic_names=tuple(map(str, range(TOPICS))),
        click_models=tuple(
            _click_model(name, kind) for kind, name in enumerate(setting.click_models)
        ),
        user_ids=tuple(map(str, range(num_users))),
        user_utilities=rng.normal(0.0, 0.2, num_users),
        user_factors=rng.normal(0.0, 0.15, (num_users, FACTORS)),
        user_kinds=rng.integers(kinds, size=num_users),
        user_weights=np.full(num_users, 1.0 / num_users),
        drift=setting.drift,
        fatigue=setting.fatigue,
        fatigue_memory=setting.memory,
        session=fitted.SessionModel(-30.0, max_steps=setting.num_steps),
    )


def _click_model(name: str, kind: int) -> fitted.ClickModel:
    """Returns a click model whose users pay less heed to what is below, the later the kind."""
    positions = np.arange(SLATE_SIZE)
    effects: np.ndarray = np.zeros(SLATE_SIZE)
    stops: np.ndarray = np.zeros(SLATE_SIZE)
    if name == "multinomial_logit":
        effects = -0.3 * (1 + 2 * kind) * positions
    elif name == "position_based":
        effects = 0.75 ** (positions * (1 + 2 * kind))
    elif name == "cascade":
        stops = np.ones(SLATE_SIZE)
    else:
        stops = np.minimum(0.3 + 0.1 * positions + 0.3 * kind, 1.0)
    return fitted.ClickModel(name, effects, stops)


def simulated(
    parameters: fitted.FittedParameters, num_sessions: int, num_steps: int, seed: int
) -> tables.SlateLog:
    """Returns a log of slates of uniformly random items, shown to every user.

    Args:
        parameters: the items, the users, and how they click and change.
        num_sessions: sessions of each user.
        num_steps: slates of each session.
        seed: of the random numbers, an integer >= 0.
    """
    rng = np.random.default_rng([seed, 1])
    num_users, size = parameters.num_users, parameters.max_slate_size
    shape = (num_users, num_sessions, num_steps, size)
    items, clicks = np.empty(shape, np.int32), np.zeros(shape, np.bool_)
    everyone = np.arange(num_users)[:, None]
    topics = parameters.item_topics
    for session in range(num_sessions):
        interests = parameters.user_factors.copy()
        levels = np.zeros((num_users, max(1, len(parameters.topic_names))))
        for step in range(num_steps):
            order = rng.random((num_users, parameters.num_items)).argsort(axis=1)
            slates = order[:, :size]
            factors = parameters.item_factors[slates]
            utilities = parameters.item_utilities[slates] + np.einsum(
                "usk,uk->us", factors, interests
            )
            utilities += parameters.user_utilities[:, None]
            if topics is not None:
                utilities -= parameters.fatigue * levels[everyone, topics[slates]]
            clicked = np.zeros(slates.shape, np.bool_)
            for kind, model in enumerate(parameters.click_models):
                of_kind = parameters.user_kinds == kind
                clicked[of_kind] = _clicks(model, utilities[of_kind], rng)
            items[:, session, step], clicks[:, session, step] = slates, clicked
            counts = clicked.sum(axis=1)[:, None]
            means = (factors * clicked[:, :, None]).sum(axis=1) / np.maximum(counts, 1)
            interests += parameters.drift * (counts > 0) * (means - interests)
            levels *= parameters.fatigue_memory
            if topics is not None:
                np.add.at(levels, (everyone, topics[slates]), clicked)
    number = num_users * num_sessions * num_steps
    return tables.SlateLog(
        items=items.reshape(number, size),
        clicks=clicks.reshape(number, size),
        users=np.repeat(np.arange(num_users), num_sessions * num_steps),
        sessions=np.repeat(np.arange(num_users * num_sessions), num_steps),
        steps=np.tile(np.arange(num_steps), num_users * num_sessions),
        catalogue=tables.Catalogue(
            np.array(parameters.item_ids),
            parameters.item_features,
            topics=topics,
            topic_names=parameters.topic_names,
        ),
    )


def _clicks(
    model: fitted.ClickModel, utilities: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Returns what is clicked on slates of given utilities, bools of their shape."""
    if model.name == "multinomial_logit":
        weights = np.exp(utilities + model.position_effects)
        ends = weights.cumsum(axis=1) / (1.0 + weights.sum(axis=1, keepdims=True))
        chosen = (rng.random((len(utilities), 1)) >= ends).sum(axis=1)
        return np.asarray(chosen[:, None] == np.arange(utilities.shape[1]))
    likes: np.ndarray = rng.random(utilities.shape) < 1.0 / (1.0 + np.exp(-utilities))
    if model.name == "position_based":
        return np.asarray(likes & (rng.random(utilities.shape) < model.position_effects))
    leaves = likes & (rng.random(utilities.shape) < model.stops)
    gone = np.logical_or.accumulate(leaves, axis=1)
    likes[:, 1:] &= ~gone[:, :-1]
    return likes


@dataclasses.dataclass(frozen=True)
class Recovery:
    """What a fit found.

    Attributes:
        setting: the setting's name.
        repetition: which of its logs.
        chosen: name of the model that was chosen.
        right_click_model: whether its click models are the true ones.
        excess: how far the held-out log-likelihood is below that of the true model, in parts of it.
        rates_in_interval: whether click rates by position are within simultaneous 95% intervals.
        drift: the estimate, 0 for none.
        fatigue: likewise.
        drift_in_interval: whether the true one is in its interval; True where both are 0.
        fatigue_in_interval: likewise.
        drift_right: whether there is drift just where there should be.
        fatigue_right: likewise.
        intervals: ends of the intervals of drift and of fatigue, None where there is none.
        seconds: time that it took.
    """

    setting: str
    repetition: int
    chosen: str
    right_click_model: bool
    excess: float
    rates_in_interval: bool
    drift: float
    fatigue: float
    drift_in_interval: bool
    fatigue_in_interval: bool
    drift_right: bool
    fatigue_right: bool
    intervals: Mapping[str, tuple[float, float] | None]
    seconds: float


def recovered(
    name: str, repetition: int, num_users: int = 5000, refits: int = 10, workers: int = 1
) -> Recovery:
    """Makes a log, fits it and compares.

    Args:
        name: of the setting.
        repetition: which log; the seed of all random numbers.
        num_users: users of the log.
        refits: bootstrap samples, where there are intervals to compare with.
        workers: fits to make at a time.
    """
    start = time.perf_counter()
    setting = SETTINGS[name]
    true = truth(setting, num_users, repetition)
    log = simulated(true, setting.num_sessions, setting.num_steps, repetition)
    result = slate_logs.fit_slates(
        log,
        kinds=len(setting.click_models),
        refits=refits if setting.drift or setting.fatigue else 0,
        seed=repetition,
        workers=workers,
        progress=False,
    )
    held_out = log.select_slates(result.held_out)
    best = float(predictions.log_likelihoods(true, held_out).sum()) / held_out.num_impressions
    found, ends = result.parameters, {each.name: each for each in result.intervals}
    inside, right = {}, {}
    for strength in ("drift", "fatigue"):
        value, interval = getattr(true, strength), ends.get(strength)
        right[strength] = (getattr(found, strength) > 0.0) == (value > 0.0)
        inside[strength] = right[strength] and (
            interval is None or interval.low <= value <= interval.high
        )
    return Recovery(
        name,
        repetition,
        result.chosen,
        sorted(result.candidate.click_models) == sorted(setting.click_models),
        result.candidate.held_out_log_likelihood / best - 1.0,
        rates_agree(result.candidate.parameters, held_out),
        found.drift,
        found.fatigue,
        inside["drift"],
        inside["fatigue"],
        right["drift"],
        right["fatigue"],
        {
            strength: (ends[strength].low, ends[strength].high) if strength in ends else None
            for strength in ("drift", "fatigue")
        },
        time.perf_counter() - start,
    )


def rates_agree(parameters: fitted.FittedParameters, log: tables.SlateLog) -> bool:
    """Says whether a scenario's click rates by position are within the log's intervals.

    The intervals are Bonferroni's, with users as independent units.
    """
    from scipy import special

    number = log.slate_size
    quantile = float(special.ndtri(1.0 - 0.025 / number))
    expected = predictions.click_probabilities(parameters, log).mean(axis=0)
    sums = np.zeros((log.num_users, number))
    np.add.at(sums, log.users, log.clicks - log.clicks.mean(axis=0))
    errors = np.sqrt((sums**2).sum(axis=0)) / log.num_slates
    return bool((np.abs(expected - log.clicks.mean(axis=0)) <= quantile * errors).all())


def table(recoveries: Sequence[Recovery]) -> str:
    """Returns what was found in each setting, as a table in Markdown."""
    lines = [
        "| setting | logs | right click model | held-out log-likelihood below the true one's, "
        "median (most) | click rates by position within 95% intervals | drift found just where it "
        "is | fatigue likewise | drift in its interval | fatigue likewise |",
        "| --- |" + " ---: |" * 8,
    ]
    for name in dict.fromkeys(each.setting for each in recoveries):
        found = [each for each in recoveries if each.setting == name]

        def share(which: Callable[[Recovery], bool], of: Sequence[Recovery] = found) -> str:
            return f"{sum(map(which, of))} of {len(of)}"

        setting = SETTINGS[name]
        excess = np.array([each.excess for each in found])
        lines.append(
            f"| {name} | {len(found)} | {share(lambda each: each.right_click_model)} "
            f"| {np.median(excess):.2%} ({excess.max():.2%}) "
            f"| {share(lambda each: each.rates_in_interval)} "
            f"| {share(lambda each: each.drift_right)} | {share(lambda each: each.fatigue_right)} "
            f"| {share(lambda each: each.drift_in_interval) if setting.drift else ''} "
            f"| {share(lambda each: each.fatigue_in_interval) if setting.fatigue else ''} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: those of the command line, by default the program's.
    """
    parser = command_line.Parser(
        prog="python -m recsim.benchmarks.fitting_recovery",
        description="Fits logs of made-up users and compares what is found with the truth.",
    )
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    for name, least, default, text in (
        ("--repetitions", 1, 20, "logs of each setting"),
        ("--users", 1, 5000, "users of each log"),
        ("--refits", 0, 10, "bootstrap samples for intervals"),
        ("--workers", 1, 1, "fits to make at a time"),
    ):
        count = command_line.integer(least)
        parser.add_argument(name, type=count, default=default, metavar="N", help=text)
    parser.add_argument(
        "--output", metavar="FILE", help="JSON file to write; what it has is not done again"
    )
    given = parser.parse(sys.argv[1:] if arguments is None else list(arguments))
    done: dict[tuple[str, int], Recovery] = {}
    if given.output is not None:
        with command_line.user_errors(parser, *command_line.REFUSALS):
            given.output = paths.output_file("output", given.output)
            if os.path.exists(given.output):
                done = _read(given.output, given.users, given.refits)
    for repetition in range(given.repetitions):
        for name in given.settings:
            if (name, repetition) in done:
                continue
            recovery = recovered(name, repetition, given.users, given.refits, given.workers)
            done[name, repetition] = recovery
            print(
                f"{name}, log {repetition}: {recovery.chosen}, held-out log-likelihood "
                f"{recovery.excess:.2%} below the true one's, {recovery.seconds:.0f} s",
                file=sys.stderr,
                flush=True,
            )
            if given.output:
                _write(given.output, list(done.values()), given, arguments)
    order = list(SETTINGS)
    found = sorted(done.values(), key=lambda each: (order.index(each.setting), each.repetition))
    print(table(found))
    return 0


def _read(path: str, num_users: int, refits: int) -> dict[tuple[str, int], Recovery]:
    """Returns what a file has of logs of so many users."""
    import json

    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        found = [Recovery(**each) for each in data["recoveries"]]
    except (ValueError, TypeError, KeyError):
        raise ValueError(
            f"output must be a file of this benchmark's, or a new one, got {path!r}, which is "
            "something else: choose another."
        ) from None
    if (data["users"], data["refits"]) != (num_users, refits):
        raise ValueError(
            f"output must be a file of logs of {num_users} users with {refits} refits, or a new "
            f"one, got {path!r}, which has {data['users']} users with {data['refits']} refits."
        )
    return {(each.setting, each.repetition): each for each in found}


def _write(
    path: str,
    recoveries: Sequence[Recovery],
    given: argparse.Namespace,
    arguments: Sequence[str] | None,
) -> None:
    data = {
        "command": "python -m recsim.benchmarks.fitting_recovery "
        + " ".join(sys.argv[1:] if arguments is None else arguments),
        "versions": provenance.installed(),
        "users": given.users,
        "refits": given.refits,
        "hours": sum(each.seconds for each in recoveries) / 3600.0,
        "recoveries": [dataclasses.asdict(each) for each in recoveries],
    }
    with files.atomic_file(path) as file:
        file.write((json_text.dumps(data, indent=1) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
