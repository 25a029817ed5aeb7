"""Fits a scenario to ratings: biased matrix factorization, turned into utilities.

Ratings say what users think of items, not whether they would have clicked them. The step from one
to the other is an assumption, and it is stated: the utility of an item is ``(r - threshold) /
temperature``, with r the rating to expect. A user so clicks an item whose rating, with a noise of
logistic distribution, is above the threshold. By default the temperature is such that this noise is
as large as the error of held-out ratings, and the threshold is the mean rating.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim import clusters, parallel
from recsim._internal import files, numbers, paths, provenance, validation
from recsim.environments import fitted
from recsim.fitting import _factorization, _store, results, tables
from recsim.simulator import progress as progress_lib

if TYPE_CHECKING:
    from recsim.fitting._factorization import Factors

__all__ = ["RatingsCandidate", "RatingsResult", "fit_ratings"]

# Numbers of factors that are tried, the first with every strength of regularization. These are in
# units of the variance of ratings around the effects of users and items.
_FIRST_FACTORS, _MORE_FACTORS = 8, (4, 16, 32)
_STRENGTHS = (3.0, 6.0, 12.0, 24.0, 48.0)
_MOST_FACTORS = 512
# Rounds of estimation: at most, and of a refit, which begins with the factors of the whole log.
_ROUNDS, _REFIT_ROUNDS = 12, 3
# Estimation ends when so many rounds together have not lessened the held-out error by this share.
_PATIENCE, _LEAST_GAIN = 2, 5e-4
# By how much factors must lessen the mean squared error to be chosen: this share of it, and two
# standard errors. The best of many models is better by less where there is nothing to learn.
_LEAST_SHARE = 0.01
# Logs from here on are fitted to by several workers.
_MANY = 100_000
# A logistic distribution of scale 1 has this standard deviation.
_LOGISTIC_DEVIATION = float(np.pi / np.sqrt(3.0))
_EFFECTS = "effects"

_Results = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RatingsCandidate:
    """A model that was fitted to a part of the ratings and compared with others on the rest.

    Attributes:
        name: its name, different from those of the others.
        num_factors: number of latent factors; 0 for effects of users and items alone.
        regularization: weight of the squares of factors, in squared units of ratings.
        rounds: how often users and items were solved for.
        error: root mean squared error of the held-out ratings.
        fitted_error: that of the ratings it was fitted to.
        difference: mean squared error of the held-out ratings less that of the chosen model.
        difference_standard_error: its standard error over ratings.
        parameters: the scenario that it makes.
        seconds: time that the fit took.
    """

    name: str
    num_factors: int
    regularization: float
    rounds: int
    error: float
    fitted_error: float
    difference: float
    difference_standard_error: float
    parameters: fitted.FittedParameters
    seconds: float

    def __repr__(self) -> str:
        return f"<RatingsCandidate: {self.name}, error of {self.error:.4f} held out>"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RatingsResult(results.Outcome):
    """A scenario fitted to ratings, and what is known of how far to trust it.

    Attributes:
        parameters: the scenario, fitted to the whole log.
        chosen: name of the candidate that was chosen.
        candidates: the models compared, the best on held-out ratings first.
        baselines: root mean squared error of the held-out ratings if each is predicted by the mean
            (``'mean'``), the mean of its user (``'user means'``) or of its item (``'item
            means'``), which is the mean of all where that has no rating, or by effects of both
            (``'user and item effects'``).
        refits: scenarios fitted to bootstrap samples of users, who are weighted by how often they
            were sampled.
        log: the log.
        held_out: which of its ratings were held out, bool of shape (n,).
        predictions: of the held-out ratings by the chosen candidate, float32.
        temperature: what differences of ratings are divided by to become utilities.
        threshold: the rating whose utility is that of no click.
        treatments: sentences on what was assumed, beside the log's own.
        settings: the arguments of the fit that results depend on.
        seconds: time that all took.
    """

    parameters: fitted.FittedParameters
    chosen: str
    candidates: tuple[RatingsCandidate, ...]
    baselines: Mapping[str, float]
    refits: tuple[fitted.FittedParameters, ...]
    log: tables.RatingsLog
    held_out: np.ndarray
    predictions: np.ndarray
    temperature: float
    threshold: float
    treatments: tuple[str, ...]
    settings: Mapping[str, object]
    seconds: float

    def __repr__(self) -> str:
        return (
            f"<RatingsResult: {self.chosen} of {len(self.candidates)} models, error of "
            f"{self.candidate.error:.4f} held out (mean: {self.baselines['mean']:.4f}), "
            f"{len(self.refits)} refits>"
        )

    @property
    def candidate(self) -> RatingsCandidate:
        """The candidate that was chosen."""
        return next(each for each in self.candidates if each.name == self.chosen)

    def record(self) -> dict[str, object]:
        """Returns what is known of the fit, as JSON values: all but arrays."""
        return {
            "chosen": self.chosen,
            "candidates": [
                {
                    field.name: getattr(each, field.name)
                    for field in dataclasses.fields(each)
                    if field.name != "parameters"
                }
                for each in self.candidates
            ],
            "baselines": dict(self.baselines),
            "ratings": self.log.num_ratings,
            "users": self.log.num_users,
            "items": self.log.num_items,
            "held_out_ratings": int(self.held_out.sum()),
            "refits": len(self.refits),
            "temperature": self.temperature,
            "threshold": self.threshold,
            "treatments": [*self.log.treatments, *self.treatments],
            "settings": dict(self.settings),
            "seconds": self.seconds,
        }


def fit_ratings(
    log: tables.RatingsLog,
    *,
    num_factors: int | str = "auto",
    regularization: float | str = "auto",
    temperature: float | str = "auto",
    threshold: float | str = "auto",
    slate_size: int = 10,
    held_out: float = 0.2,
    refits: int = 20,
    seed: int = 0,
    workers: int | None = None,
    backend: clusters.BackendLike = "loky",
    output: paths.Path | None = None,
    progress: bool | None = None,
) -> RatingsResult:
    """Fits a scenario to ratings.

    Results are determined by the log, the seed and the settings; workers and backend do not change
    them.

    Args:
        log: the ratings.
        num_factors: number of latent factors of users and items; ``'auto'`` chooses it by the error
            of held-out ratings.
        regularization: weight of the squares of factors, in squared units of ratings; ``'auto'``
            chooses it likewise.
        temperature: by how much ratings must differ for odds of clicks to differ by a factor of e;
            ``'auto'`` for the one whose noise is as large as the error of held-out ratings.
        threshold: the rating that is as good as no click; ``'auto'`` for the mean rating.
        slate_size: size of the longest slates of the scenario. Ratings say nothing of positions,
            which are alike in it.
        held_out: share of the ratings that models are compared on, in (0, 1).
        refits: number of bootstrap samples of users; 0 for none.
        seed: of all random choices, an integer >= 0.
        workers: the most fits to make at a time; by default one a core, or one for a log so small
            that workers would take longer to start.
        backend: where they are made, see :func:`recsim.clusters.connect`.
        output: a folder for the scenario, and for each finished fit: the same call resumes what was
            interrupted. None to write nothing.
        progress: False to show none, None to show it wherever there is a stream for it.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if it is outside its range.
        FileExistsError: if ``output`` has another scenario.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> users, items = np.repeat(np.arange(50), 10), rng.integers(20, size=500)
        >>> ratings = 3 + items % 3 - users % 2 + rng.normal(0, 0.5, 500)
        >>> log = tables.RatingsLog(users=users, items=items, ratings=ratings)
        >>> result = fit_ratings(log, refits=0, progress=False)
        >>> result.chosen, result.candidate.error < result.baselines["item means"]
        ('effects', True)
    """
    start = time.perf_counter()
    if not isinstance(log, tables.RatingsLog):
        raise TypeError(
            f"log must be a RatingsLog, got {numbers.described(log)}: read one with "
            "recsim.fitting.read, or make one of arrays."
        )
    settings: dict[str, Any] = {
        "num_factors": _factors(num_factors, log),
        "regularization": _given("regularization", regularization, validation.positive_float),
        "temperature": _given("temperature", temperature, validation.positive_float),
        "threshold": _given("threshold", threshold, numbers.finite_float32),
        "slate_size": validation.positive_int("slate_size", slate_size, 1, 1000),
        "held_out": validation.probability("held_out", held_out),
        "refits": validation.positive_int("refits", refits, 0, 10_000),
        "seed": validation.seed("seed", seed),
    }
    if settings["num_factors"] == 0 and settings["regularization"] is not None:
        raise ValueError("regularization has no effect on 0 factors: leave it out.")
    if log.ratings.min() == log.ratings.max():
        raise ValueError(f"Ratings must not all be the same, got {log.ratings[0]:g} throughout.")
    _check_scale(log, settings["temperature"], settings["threshold"])
    held_out_ratings = log.held_out_ratings(settings["held_out"], settings["seed"])
    if workers is not None:
        workers = validation.positive_int("workers", workers)
    folder = None if output is None else paths.absolute("output", output)
    fingerprint = _store.fingerprint(log, settings)
    if folder is not None:
        paths.writable_folder("output", folder)
        _store.refuse_another(folder, fingerprint)
    with contextlib.ExitStack() as stack:
        if folder is not None:
            stack.enter_context(files.locked(folder))
        connected = stack.enter_context(clusters.connect(backend, None, workers))
        at_a_time = workers or (parallel.usable_cores() if log.num_ratings >= _MANY else 1)
        show = stack.enter_context(progress_lib.progress_bar("Fitting", 0, "rounds", progress))
        store = _store.Store(None if folder is None else os.path.join(folder, "fits"), fingerprint)

        def run(tasks: Sequence[parallel.Task]) -> _Results:
            return _store.run_tasks(tasks, store, at_a_time, connected, show)

        result = _Fitting(log, held_out_ratings, settings, run, fingerprint).result(start)
        if folder is not None:
            result.save(folder)
    return result


def _check_scale(
    log: tables.RatingsLog, temperature: float | None, threshold: float | None
) -> None:
    """Refuses what would make all clicks certain."""
    low, high = float(log.ratings.min()), float(log.ratings.max())
    spread = high - low
    if temperature is not None and temperature < 1e-4 * spread:
        raise ValueError(
            f"temperature must be at least {1e-4 * spread:.3g} for ratings from {low:g} to "
            f"{high:g}, got {temperature!r}."
        )
    if threshold is not None and not low - spread <= threshold <= high + spread:
        raise ValueError(
            f"threshold must be near the ratings, in [{low - spread:g}, {high + spread:g}], got "
            f"{threshold!r}."
        )


def _given(name: str, value: float | str, check: Callable[[str, object], float]) -> float | None:
    """Returns a number, None for ``'auto'``."""
    if isinstance(value, str):
        if value != "auto":
            raise ValueError(f"{name} must be a number or 'auto', got {value!r}.")
        return None
    return check(name, value)


def _factors(value: int | str, log: tables.RatingsLog) -> int | None:
    if isinstance(value, str):
        if value != "auto":
            raise ValueError(f"num_factors must be an integer >= 0 or 'auto', got {value!r}.")
        return None
    most = min(_MOST_FACTORS, log.num_items - 1, max(log.num_users - 1, 0))
    return validation.positive_int("num_factors", value, 0, most)


def _factorized(
    log: tables.RatingsLog,
    held_out: np.ndarray | None,
    counts: np.ndarray | None,
    num_factors: int,
    regularization: float,
    seed: int,
    rounds: int,
    start: Factors | None,
    advance: parallel.Advance,
) -> parallel.Result:
    """Fits a model, and returns its factors and errors.

    Args:
        log: the ratings.
        held_out: which of them not to fit to, and when to stop by; None to fit to all and not to
            stop before the last round.
        counts: how often each user's ratings count; None for once.
        num_factors: number of factors.
        regularization: weight of their squares.
        seed: of the factors to begin with.
        rounds: the most rounds.
        start: the factors to begin with; None for random ones.
        advance: called after each round.
    """
    fitted_to = log if held_out is None else log.select_ratings(~held_out)
    rest = None if held_out is None else log.select_ratings(held_out)
    errors: list[float] = []
    best: list[Factors] = []

    def go_on(factors: Factors) -> bool:
        advance(1)
        if rest is None:
            return True
        errors.append(_factorization.root_mean_square(factors.errors(rest)))
        if errors[-1] == min(errors):
            best[:] = [factors]
        before = min(errors[:-_PATIENCE], default=np.inf)
        return min(errors[-_PATIENCE:]) < before * (1.0 - _LEAST_GAIN)

    ratings = _factorization.Ratings(fitted_to, counts)
    factors = _factorization.factorize(
        ratings,
        num_factors,
        regularization,
        seed=seed,
        most_rounds=rounds,
        go_on=go_on,
        start=start,
    )
    factors = best[0] if best else factors
    result: dict[str, Any] = {
        field.name: np.float32(getattr(factors, field.name))
        for field in dataclasses.fields(factors)
    }
    result["mean"] = np.float64(factors.mean)
    result["rounds"] = np.int64(errors.index(min(errors)) + 1 if errors else 0)
    if rest is not None:
        result["fitted_error"] = np.float64(
            _factorization.root_mean_square(factors.errors(fitted_to))
        )
        result["predictions"] = factors.predict(rest.users, rest.items)
    return result


class _Fitting:
    """The course of a fit.

    Args:
        log: the ratings.
        held_out: which of them models are compared on.
        settings: the arguments, checked.
        run: runs tasks, and returns their results by name.
        fingerprint: of the log and the settings.
    """

    def __init__(
        self,
        log: tables.RatingsLog,
        held_out: np.ndarray,
        settings: Mapping[str, Any],
        run: Callable[[Sequence[parallel.Task]], _Results],
        fingerprint: str,
    ) -> None:
        self._log, self._held_out, self._settings, self._run = log, held_out, settings, run
        self._given = log.ratings[held_out]
        self._source: dict[str, object] = {
            "fingerprint": fingerprint,
            "settings": dict(settings),
            "versions": provenance.versions(),
            "ratings": log.num_ratings,
            "treatments": list(log.treatments),
        }
        # What was fitted by name: its number of factors and regularization; and the results.
        self._models: dict[str, tuple[int, float]] = {}
        self._results: dict[str, Mapping[str, Any]] = {}

    def result(self, start: float) -> RatingsResult:
        """Fits, compares, refits, and returns the outcome."""
        best = self._search()
        chosen = self._results[best]
        deviation = self._error(best)
        given = self._settings["temperature"]
        temperature = deviation / _LOGISTIC_DEVIATION if given is None else given
        threshold = self._settings["threshold"]
        if threshold is None:
            threshold = float(self._log.ratings.mean(dtype=np.float64))
        treatments = self._assumptions(temperature, threshold)
        num_factors, regularization = self._models[best]
        whole = self._run(
            [self._task("whole", num_factors, regularization, int(chosen["rounds"]), whole=True)]
        )["whole"]
        factors = _factors_of(whole)
        rng = np.random.default_rng([self._settings["seed"], 1])
        num_users = self._log.num_users
        counts = {
            f"refit-{i}": rng.multinomial(num_users, np.full(num_users, 1.0 / num_users))
            for i in range(self._settings["refits"])
        }
        refits = self._run(
            [
                self._task(
                    name,
                    num_factors,
                    regularization,
                    _REFIT_ROUNDS,
                    of_users=of_users,
                    start=factors,
                )
                for name, of_users in counts.items()
            ]
        )

        def made(
            result: Mapping[str, Any], of_users: np.ndarray | None, error: float = deviation
        ) -> fitted.FittedParameters:
            return self._parameters(_factors_of(result), temperature, threshold, error, of_users)

        candidates = [self._candidate(name, best, made) for name in self._models]
        self._source["treatments"] = [*self._log.treatments, *treatments]
        self._source["held_out_error"] = deviation
        return RatingsResult(
            made(whole, None),
            best,
            tuple(sorted(candidates, key=lambda each: each.error)),
            self._baselines(),
            tuple(made(refits[name], of_users) for name, of_users in counts.items()),
            self._log,
            self._held_out,
            chosen["predictions"],
            temperature,
            threshold,
            tuple(treatments),
            self._settings,
            time.perf_counter() - start,
        )

    def _search(self) -> str:
        """Fits models to what is not held out, and returns the name of the one to choose."""
        self._fit([(0, 1.0)])
        noise = self._error(_EFFECTS) ** 2
        number, given = self._settings["num_factors"], self._settings["regularization"]
        if number == 0:
            return _EFFECTS
        most = min(self._log.num_items, self._log.num_users) - 1
        first = min(_FIRST_FACTORS, max(most, 1)) if number is None else number
        strengths = [noise * each for each in _STRENGTHS] if given is None else [given]
        self._fit([(first, strength) for strength in strengths])
        best = self._best()
        if number is None:
            strength = strengths[0] if best == _EFFECTS else self._models[best][1]
            self._fit([(more, strength) for more in _MORE_FACTORS if more <= most])
            best = self._best()
        if given is None and best != _EFFECTS:
            factors, strength = self._models[best]
            # Between the strengths of before, and those that were only tried with fewer factors.
            near = (0.5, 0.71, 1.41, 2.0)
            self._fit([(factors, strength * each) for each in near])
            best = self._best()
        if number is None and best != _EFFECTS:
            difference, standard_error = self._difference(_EFFECTS, best)
            least = _LEAST_SHARE * self._error(_EFFECTS) ** 2
            if difference < max(2.0 * standard_error, least):
                best = _EFFECTS
        elif best == _EFFECTS and number is not None:
            best = min((name for name in self._models if name != _EFFECTS), key=self._error)
        return best

    def _fit(self, models: Sequence[tuple[int, float]]) -> None:
        named = {}
        for num_factors, strength in models:
            name = f"{num_factors}_factors-{strength:.4g}" if num_factors else _EFFECTS
            if name not in self._models:
                named[name] = num_factors, strength
        self._models |= named
        self._results |= self._run(
            [self._task(name, *model, _ROUNDS) for name, model in named.items()]
        )

    def _task(
        self,
        name: str,
        num_factors: int,
        regularization: float,
        rounds: int,
        *,
        whole: bool = False,
        of_users: np.ndarray | None = None,
        start: Factors | None = None,
    ) -> parallel.Task:
        arguments = {
            "log": self._log,
            "held_out": None if whole or of_users is not None else self._held_out,
            "counts": of_users,
            "num_factors": num_factors,
            "regularization": regularization,
            "seed": self._settings["seed"],
            "rounds": rounds,
            "start": start,
        }
        return parallel.Task(name, _factorized, arguments, max(rounds, 1))

    def _error(self, name: str) -> float:
        return _factorization.root_mean_square(self._given - self._results[name]["predictions"])

    def _best(self) -> str:
        return min(self._models, key=self._error)

    def _difference(self, name: str, other: str) -> tuple[float, float]:
        """Returns by how much a model's mean squared error is larger, and its standard error."""
        squares = [
            np.square(self._given - self._results[each]["predictions"], dtype=np.float64)
            for each in (name, other)
        ]
        differences = squares[0] - squares[1]
        deviation = float(differences.std(ddof=1)) if len(differences) > 1 else np.inf
        return float(differences.mean()), deviation / float(np.sqrt(len(differences)))

    def _candidate(
        self,
        name: str,
        best: str,
        made: Callable[[Mapping[str, Any], np.ndarray | None, float], fitted.FittedParameters],
    ) -> RatingsCandidate:
        num_factors, regularization = self._models[name]
        result, error = self._results[name], self._error(name)
        return RatingsCandidate(
            name,
            num_factors,
            regularization if num_factors else 0.0,
            int(result["rounds"]),
            error,
            float(result["fitted_error"]),
            *self._difference(name, best),
            made(result, None, error),
            float(result["seconds"]),
        )

    def _baselines(self) -> dict[str, float]:
        """Returns the held-out errors of predictions that anybody can make."""
        log, rest = (
            self._log.select_ratings(~self._held_out),
            self._log.select_ratings(self._held_out),
        )
        mean = float(log.ratings.mean(dtype=np.float64))
        errors = {"mean": _factorization.root_mean_square(rest.ratings - mean)}
        for what, own, others, number in (
            ("user", log.users, rest.users, log.num_users),
            ("item", log.items, rest.items, log.num_items),
        ):
            counts = np.bincount(own, minlength=number)
            sums = np.bincount(own, log.ratings, minlength=number)
            means = np.where(counts > 0, sums / np.maximum(counts, 1), mean)
            errors[f"{what} means"] = _factorization.root_mean_square(rest.ratings - means[others])
        errors["user and item effects"] = self._error(_EFFECTS)
        return errors

    def _assumptions(self, temperature: float, threshold: float) -> list[str]:
        return [
            f"Ratings do not say what users click: an item with a rating of {threshold:.4g} is "
            f"assumed to be as good as no click, and {temperature:.4g} more to multiply its odds "
            "by e.",
            "Ratings do not say how positions matter, how interests move and how long sessions "
            "last: positions are alike, interests stay, and sessions have a fixed length.",
        ]

    def _parameters(
        self,
        factors: Factors,
        temperature: float,
        threshold: float,
        error: float,
        counts: np.ndarray | None,
    ) -> fitted.FittedParameters:
        """Returns the scenario of some factors; users are weighted by how often they count."""
        log, catalogue, users = self._log, self._log.catalogue, self._log.user_table
        item_factors = factors.item_factors.astype(np.float64)
        scale = np.sqrt(np.mean(np.sum(item_factors**2, axis=1))) if item_factors.size else 1.0
        scale = scale if scale > 0.0 else 1.0
        weights = np.ones(log.num_users) if counts is None else counts.astype(np.float64)
        size = self._settings["slate_size"]
        return fitted.FittedParameters(
            item_ids=tuple(catalogue.ids.tolist()),
            item_utilities=(factors.mean + factors.item_effects - threshold) / temperature,
            item_popularity=log.popularity,
            click_models=(fitted.ClickModel("multinomial_logit", np.zeros(size), np.zeros(size)),),
            item_factors=item_factors / scale,
            item_features=catalogue.features,
            item_feature_names=catalogue.feature_names,
            item_names=None if catalogue.names is None else tuple(catalogue.names.tolist()),
            item_topics=catalogue.topics,
            topic_names=catalogue.topic_names,
            user_ids=tuple(users.ids.tolist()),
            user_utilities=factors.user_effects / temperature,
            user_factors=factors.user_factors * (scale / temperature),
            user_weights=weights / weights.sum(),
            user_features=users.features,
            user_feature_names=users.feature_names,
            values=self._values(factors, temperature, error),
            source=self._source,
        )

    def _values(self, factors: Factors, temperature: float, error: float) -> fitted.ValueModel:
        """Returns what ratings clicked items get, as far from predictions as held-out ones are."""
        log = self._log
        return fitted.ValueModel(
            "rating",
            factors.mean + factors.item_effects.astype(np.float64),
            factors.user_effects.astype(np.float64),
            error,
            float(log.ratings.min()),
            float(log.ratings.max()),
            # Factors of users are in units of the temperature.
            by_interest=temperature if factors.item_factors.size else 0.0,
        )


def _factors_of(result: Mapping[str, Any]) -> Factors:
    arrays = (result[f"{of}_{what}"] for what in ("effects", "factors") for of in ("user", "item"))
    return _factorization.Factors(float(result["mean"]), *arrays)
