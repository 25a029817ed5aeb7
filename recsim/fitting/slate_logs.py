"""Fits a scenario to a log of slates: models compared on held-out slates, strengths, refits.

First every click model that can explain the log is fitted without factors. The best is fitted with
more and more factors, then as a mixture of kinds of users, then with drift and fatigue. What is
more complex must be better on the held-out slates, a click model or a kind of users by more than a
standard error; drift and fatigue must also pass a likelihood-ratio test, and not be tiny. The
chosen model is fitted to the whole log, and to bootstrap samples of its users.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recsim import clusters, parallel, seeding
from recsim._internal import numbers, paths, provenance, validation
from recsim.environments import fitted
from recsim.fitting import (
    _click_models,
    _estimation,
    _parameters,
    _problem,
    _store,
    _tasks,
    results,
    tables,
)
from recsim.simulator import progress as progress_lib

__all__ = ["fit_slates"]

# Twice the log-likelihood ratio that tells a strength from nil: the 99.9% quantile of the mixture
# of a chi-squared variable of one degree of freedom and 0, which it has at the edge of its range.
_LIKELIHOOD_RATIO = 9.55
# Less is nil: users who differ otherwise than the model has it look as if they moved so little.
_LEAST_STRENGTH = 0.02
_ROUNDS, _MORE_ROUNDS, _FINAL_ROUNDS, _REFIT_ROUNDS = 12, 8, 8, 4
_FACTORS = (0, 2, 4, 8)
# Logs of so many impressions are fitted to by several workers.
_MANY = 100_000
# Click rates of 0 and 1 of the unshrunk baseline are moved from where logarithms are not finite.
_SMALLEST_RATE = 1e-6


def fit_slates(
    log: tables.SlateLog,
    *,
    models: str | Sequence[str] = "auto",
    num_factors: int | str = "auto",
    kinds: int = 2,
    drift: bool | str = "auto",
    fatigue: bool | str = "auto",
    held_out: float = 0.2,
    refits: int = 20,
    seed: int = 0,
    workers: int | None = None,
    backend: clusters.BackendLike = "loky",
    output: paths.Path | None = None,
    progress: bool | None = None,
) -> results.FitResult:
    """Fits a scenario to a log of slates.

    Results are determined by the log, the seed and the settings; workers and backend do not change
    them.

    Args:
        log: the log.
        models: names of click models to choose from, see
            :class:`recsim.environments.fitted.ClickModel`; ``'auto'`` for all that can explain the
            log.
        num_factors: number of latent factors of items and users; ``'auto'`` chooses it. It is 0 in
            a log without users.
        kinds: the most kinds of users that differ in their click model, at least 1.
        drift: whether interests move to what was clicked; ``'auto'`` tests it against nil.
        fatigue: whether clicks on a topic tire of it; ``'auto'`` tests it against nil.
        held_out: share of the sessions (slates where the log has no sessions) that models are
            compared on, in (0, 1).
        refits: number of bootstrap samples, for intervals; 0 for none.
        seed: of all random choices, an integer >= 0.
        workers: the most fits to make at a time, by default one a core, and one for a small log.
        backend: where they are made, see :func:`recsim.clusters.connect`.
        output: a folder for the scenario, and for each finished fit: the same call resumes what was
            interrupted. None to write nothing.
        progress: False to show none, None to show it wherever there is a stream for it.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if it is outside its range, or the log does not have what it needs.
        FileExistsError: if ``output`` has another scenario.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> items = rng.integers(5, size=(400, 1))
        >>> log = tables.SlateLog(items=items, clicks=rng.random((400, 1)) < 0.1 + 0.1 * items)
        >>> result = fit_slates(log, refits=0, progress=False)
        >>> result.chosen
        'multinomial_logit-0_factors'
    """
    start = time.perf_counter()
    if not isinstance(log, tables.SlateLog):
        raise TypeError(
            f"log must be a SlateLog, got {numbers.described(log)}: read one with "
            "recsim.fitting.read, or make one of arrays."
        )
    asked = _checked(log, models, num_factors, kinds, drift, fatigue, held_out, refits, seed)
    if workers is not None:
        workers = validation.positive_int("workers", workers)
    folder = None if output is None else paths.absolute("output", output)
    fingerprint = _store.fingerprint(log, asked.settings)
    if folder is not None:
        paths.writable_folder("output", folder)
        _store.refuse_another(folder, fingerprint)
    with contextlib.ExitStack() as stack:
        connected = stack.enter_context(clusters.connect(backend, None, workers))
        many = log.num_impressions >= _MANY
        at_a_time = workers or (parallel.usable_cores() if many else 1)
        show = stack.enter_context(progress_lib.progress_bar("Fitting", 0, "rounds", progress))
        store = _store.Store(None if folder is None else os.path.join(folder, "fits"), fingerprint)

        def run(jobs: Sequence[_tasks.Job]) -> dict[str, tuple[_estimation.Fit, float]]:
            return _tasks.run_jobs(jobs, store, at_a_time, connected, show)

        result = _Fitting(log, asked, run, fingerprint).result(start)
    if folder is not None:
        result.save(folder)
    return result


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What a fit is asked for, checked.

    Attributes:
        models: names of click models.
        factors: numbers of factors to try in this order, the first with every click model.
        kinds: the most kinds.
        drift: whether there may be drift, and whether there must be.
        fatigue: likewise.
        held_out: share of what is held out.
        refits: number of refits.
        seed: the seed.
        treatments: what the log does not allow.
        settings: arguments that results depend on.
    """

    models: tuple[str, ...]
    factors: tuple[int, ...]
    kinds: int
    drift: tuple[bool, bool]
    fatigue: tuple[bool, bool]
    held_out: float
    refits: int
    seed: int
    treatments: dict[str, str]
    settings: dict[str, Any]


def _checked(
    log: tables.SlateLog,
    models: str | Sequence[str],
    num_factors: int | str,
    kinds: int,
    drift: bool | str,
    fatigue: bool | str,
    held_out: float,
    refits: int,
    seed: int,
) -> _Asked:
    """Checks the arguments, alone and against the log."""
    treatments: dict[str, str] = {}
    names = _checked_models(log, models, treatments)
    kinds = validation.positive_int("kinds", kinds)
    factors: tuple[int, ...] = _FACTORS if drift is not True else _FACTORS[1:]
    if num_factors != "auto":
        if isinstance(num_factors, str):
            raise ValueError(f"num_factors must be an integer >= 0 or 'auto', got {num_factors!r}.")
        factors = (validation.positive_int("num_factors", num_factors, 0, log.num_items),)
    else:
        factors = tuple(each for each in factors if each < log.num_items)
    if not log.has_users:
        if num_factors != "auto" and factors != (0,):
            raise ValueError(
                f"num_factors must be 0 where the log does not say who saw what, got {num_factors}."
            )
        factors, kinds = (0,), 1
        treatments["users"] = (
            "The log does not say who saw what: all users are alike, and factors, kinds of users, "
            "drift, fatigue and sessions are off."
        )
    moves = {}
    for name, value in (("drift", drift), ("fatigue", fatigue)):
        if not isinstance(value, (bool, np.bool_)) and value != "auto":
            raise ValueError(
                f"{name} must be True, False or 'auto', got {numbers.described(value)}."
            )
        missing = _missing_for(name, log, factors)
        if value is True and missing:
            raise ValueError(f"{name} must be False or 'auto' here: {missing}.")
        if value == "auto" and missing:
            treatments.setdefault(name, f"No {name}: {missing}.")
        moves[name] = (bool(value) and not missing, value is True)
    share = validation.probability("held_out", held_out)
    if not 0.0 < share < 1.0:
        raise ValueError(f"held_out must be above 0 and below 1, got {held_out!r}.")
    refits = validation.positive_int("refits", refits, 0, 10_000)
    seed = validation.seed("seed", seed)
    if not log.clicks.any():
        raise ValueError("log must have at least one click, got none: there is nothing to fit.")
    settings = {
        "models": list(names),
        "num_factors": list(factors),
        "kinds": kinds,
        "drift": list(moves["drift"]),
        "fatigue": list(moves["fatigue"]),
        "held_out": share,
        "refits": refits,
        "seed": seed,
    }
    return _Asked(
        names,
        factors,
        kinds,
        moves["drift"],
        moves["fatigue"],
        share,
        refits,
        seed,
        treatments,
        settings,
    )


def _checked_models(
    log: tables.SlateLog, models: str | Sequence[str], treatments: dict[str, str]
) -> tuple[str, ...]:
    """Returns the names of the models to choose from, those with fewer parameters first."""
    several = float((log.clicks.sum(axis=1) > 1).mean())
    reasons = {}
    if several:
        for name in ("multinomial_logit", "cascade"):
            reasons[name] = (
                f"{several:.2%} of the slates have several clicks, which a model of one click at "
                "most cannot explain"
            )
    if log.slate_size == 1:
        for name in ("cascade", "dependent_click"):
            reasons[name] = "slates are of one impression, of which users cannot go down"
    elif not several:
        reasons["dependent_click"] = "no slate has several clicks, so that it is the cascade"
    known = _click_models.MODELS
    if isinstance(models, str) and models == "auto":
        for name, reason in reasons.items():
            treatments[name] = f"No {name.replace('_', ' ')} model: {reason}."
        return tuple(name for name in known if name not in reasons)
    given = (models,) if isinstance(models, str) else tuple(models)
    if not given:
        raise ValueError(f"models must be 'auto' or names of {', '.join(known)}, got none.")
    for name in given:
        if name not in known:
            raise ValueError(
                f"models must be 'auto' or names of {', '.join(known)}, got "
                f"{numbers.described(name)}.{validation.nearest_name(str(name), known)}"
            )
        if (
            name in reasons
            and name != "dependent_click"
            or (name == "dependent_click" and log.slate_size == 1)
        ):
            raise ValueError(f"models must not have {name!r} for this log: {reasons[name]}.")
    return tuple(name for name in known if name in given)


def _missing_for(name: str, log: tables.SlateLog, factors: Sequence[int]) -> str:
    """Returns what keeps drift or fatigue from being fitted, an empty string for nothing."""
    if not log.has_users:
        return "the log does not say who saw what"
    if not (np.diff(log.sessions) == 0).any():
        return "no session has a second slate"
    if name == "drift" and not any(factors):
        return "interests need factors"
    if name == "fatigue" and log.catalogue.topics is None:
        return "the log does not say which topics items have"
    return ""


class _Fitting:
    """The course of a fit.

    Args:
        log: the log.
        asked: what was asked for.
        run: makes fits.
        fingerprint: of the log and the settings.
    """

    def __init__(
        self,
        log: tables.SlateLog,
        asked: _Asked,
        run: Callable[[Sequence[_tasks.Job]], dict[str, tuple[_estimation.Fit, float]]],
        fingerprint: str,
    ) -> None:
        self._log, self._asked, self._run = log, asked, run
        self._held_out = log.held_out_slates(asked.held_out, asked.seed)
        self._data = _tasks.data_of(log, self._held_out)
        self._impressions = float(self._data.layout.impressions(self._data.held_out).sum())
        self._source = {
            "fingerprint": fingerprint,
            "settings": asked.settings,
            "versions": provenance.versions(),
            "slates": log.num_slates,
            "impressions": log.num_impressions,
            "clicks": int(log.clicks.sum()),
            "treatments": [*log.treatments, *asked.treatments.values()],
        }
        self._fits: dict[str, tuple[_estimation.Fit, float]] = {}

    def _job(
        self,
        name: str,
        model: _problem.Model,
        rounds: int = _ROUNDS,
        start: _estimation.Fit | None = None,
        counts: np.ndarray | None = None,
        whole: bool = False,
        stop_early: bool = True,
    ) -> _tasks.Job:
        held_out = np.zeros_like(self._held_out) if whole else self._held_out
        seed = seeding.derived_seed(self._asked.seed, f"factors of {model.num_factors}")
        return _tasks.Job(
            name, model, self._log, held_out, counts, seed, rounds, start, stop_early and not whole
        )

    def _compare(
        self, models: Sequence[_problem.Model], start: _estimation.Fit | None = None
    ) -> list[_estimation.Fit]:
        """Returns fits of models, which are candidates from now on."""
        jobs = [
            self._job(model.name, model, start=start)
            for model in models
            if model.name not in self._fits
        ]
        self._fits.update(self._run(jobs))
        return [self._fits[model.name][0] for model in models]

    def _held(self, fit: _estimation.Fit) -> float:
        """Returns the held-out log-likelihood of a fit, per impression."""
        return float(self._data.held_out @ fit.log_likelihoods) / self._impressions

    def _error(self, log_likelihoods: np.ndarray) -> float:
        """Returns the standard error of held-out log-likelihoods of slates, per impression.

        Users are independent, or slates where the log has no users.
        """
        of_slates = self._data.held_out * log_likelihoods
        layout = self._data.layout
        mean = of_slates.sum() / self._impressions
        sizes = self._data.held_out * layout.impressions(np.ones(of_slates.shape)).sum(axis=0)
        residuals = of_slates - mean * sizes
        if self._log.has_users:
            residuals = layout.by_user(residuals)
        return float(np.sqrt((residuals**2).sum())) / self._impressions

    def _simplest(self, fits: Sequence[_estimation.Fit]) -> _estimation.Fit:
        """Returns the best fit, of several like it the first: the fits are from simple to complex.

        A later one must be better by more than a standard error of the difference.
        """
        best = fits[0]
        for fit in fits[1:]:
            difference = fit.log_likelihoods - best.log_likelihoods
            if self._held(fit) - self._held(best) > self._error(difference):
                best = fit
        return best

    def result(self, start: float) -> results.FitResult:
        """Makes all fits and returns the result."""
        asked = self._asked
        best = self._best_click_model()
        best = self._best_factors(best)
        best = self._best_kinds(best)
        best, strengths = self._moves(best)
        final = self._run([self._job("final", best.model, _FINAL_ROUNDS, best, whole=True)])[
            "final"
        ][0]
        refits = self._refits(final)
        parameters = self._parameters(final)
        return results.FitResult(
            parameters=parameters,
            chosen=best.model.name,
            candidates=self._candidates(best),
            baselines=self._baselines(),
            intervals=_intervals(parameters, refits),
            refits=refits,
            strengths=strengths,
            log=self._log,
            held_out=self._held_out,
            treatments=tuple(asked.treatments.values()),
            settings=asked.settings,
            seconds=time.perf_counter() - start,
        )

    def _best_click_model(self) -> _estimation.Fit:
        """Returns the best fit of one click model; of those like it, that of fewest parameters."""
        models = [_problem.Model((name,), self._asked.factors[0]) for name in self._asked.models]
        fits = self._compare(models)
        self._first = {fit.model.click_models[0]: fit for fit in fits}
        best = max(fits, key=self._held)
        return next(fit for fit in fits if not self._is_better(best, fit))

    def _is_better(self, fit: _estimation.Fit, than: _estimation.Fit) -> bool:
        """Says whether a fit is better on held-out slates by more than a standard error."""
        difference = self._held(fit) - self._held(than)
        return difference > self._error(fit.log_likelihoods - than.log_likelihoods)

    def _best_factors(self, best: _estimation.Fit) -> _estimation.Fit:
        """Returns the best fit of the click model with more factors, tried two at a time."""
        more = self._asked.factors[1:]
        for first in range(0, len(more), 2):
            numbers_tried = more[first : first + 2]
            models = [_problem.Model(best.model.click_models, each) for each in numbers_tried]
            found = max([best, *self._compare(models)], key=self._held)
            if found.model.num_factors < numbers_tried[-1]:
                return found
            best = found
        return best

    def _best_kinds(self, best: _estimation.Fit) -> _estimation.Fit:
        """Returns the best mixture: kinds are added as long as each is better than without it."""
        name = best.model.click_models[0]
        others = [other for other in self._asked.models if other != name]
        added = [name]
        if others:
            added.append(max(others, key=lambda other: self._gain(name, other)))
        for _ in range(1, self._asked.kinds):
            models = [
                _problem.Model((*best.model.click_models, each), best.model.num_factors)
                for each in added
            ]
            fits = self._compare([model for model in models if self._can_mix(model)], best)
            found = max(fits, key=self._held, default=best)
            if found is best or not self._is_better(found, best):
                break
            best = found
        return best

    def _can_mix(self, model: _problem.Model) -> bool:
        """Says whether kinds can differ: the cascade has no parameters of its own."""
        names = model.click_models
        return not all(name == "cascade" for name in names) and (
            self._data.layout.num_positions > 1
        )

    def _gain(self, name: str, other: str) -> float:
        """Returns what users would gain who could choose between two click models."""
        layout = self._data.layout
        gains = self._first[other].log_likelihoods - self._first[name].log_likelihoods
        of_users = layout.by_user((1.0 - self._data.held_out) * gains)
        return float(np.maximum(of_users, 0.0).sum())

    def _moves(self, best: _estimation.Fit) -> tuple[_estimation.Fit, tuple[results.Strength, ...]]:
        """Returns the fit with drift and fatigue where they are told from nil, and their tests."""
        allowed = {
            name
            for name, (may, _) in (("drift", self._asked.drift), ("fatigue", self._asked.fatigue))
            if may
        }
        if best.model.num_factors or "drift" not in allowed:
            return self._told(best, allowed)
        # Users who begin alike may move apart: factors may be worth something with drift alone.
        found, strengths = self._told(best, allowed - {"drift"})
        factors = next(each for each in self._asked.factors if each)
        (begun,) = self._compare([dataclasses.replace(best.model, num_factors=factors)])
        moved, others = self._told(begun, allowed)
        if moved.model.drift and self._held(moved) > self._held(found):
            return moved, others
        drift = dataclasses.replace(
            others[0],
            kept=False,
            reason=f"{others[0].reason} Without drift and factors, held-out slates are likelier.",
        )
        return found, (drift if others[0].kept else others[0], *strengths[1:])

    def _told(
        self, best: _estimation.Fit, allowed: set[str]
    ) -> tuple[_estimation.Fit, tuple[results.Strength, ...]]:
        """Returns a fit with what of the allowed is told from nil, and the tests."""
        forced = {
            name
            for name, (_, must) in (("drift", self._asked.drift), ("fatigue", self._asked.fatigue))
            if must
        }
        names = ("drift", "fatigue")
        if not allowed:
            return best, tuple(self._untried(name) for name in names)
        # All begin alike and run as long, so that what differs is what they have.
        fits = self._with(best, [frozenset(), *(frozenset({name}) for name in sorted(allowed))])
        both = frozenset(allowed)
        if both not in fits and any(
            name in forced or self._passes(fits[frozenset({name})], fits[frozenset()])
            for name in allowed
        ):
            fits.update(self._with(best, [both]))
        kept = self._kept(fits, forced & allowed)
        strengths = tuple(
            self._strength(name, fits, kept, name in forced)
            if name in allowed
            else self._untried(name)
            for name in names
        )
        return (fits[kept] if kept else best), strengths

    def _with(
        self, best: _estimation.Fit, sets: Sequence[frozenset[str]]
    ) -> dict[frozenset[str], _estimation.Fit]:
        """Returns fits with drift, fatigue, both or neither, all of which begin with the best."""
        jobs = {}
        for each in sets:
            model = dataclasses.replace(
                best.model, drift="drift" in each, fatigue="fatigue" in each
            )
            name = model.name if each else f"{model.name}-longer"
            jobs[each] = self._job(name, model, _MORE_ROUNDS, best, stop_early=False)
        found = self._run(list(jobs.values()))
        self._fits.update({job.model.name: found[job.name] for each, job in jobs.items() if each})
        return {each: found[job.name][0] for each, job in jobs.items()}

    def _kept(
        self, fits: dict[frozenset[str], _estimation.Fit], forced: set[str]
    ) -> frozenset[str]:
        """Returns what is told from nil, beside what is asked for in any case."""
        kept = frozenset(forced)
        while left := [each for each in fits if len(each) == len(kept) + 1 and kept < each]:
            more = max(left, key=lambda each: fits[each].marginal)
            if not self._passes(fits[more], fits[kept]):
                break
            kept = more
        return kept

    def _passes(self, fit: _estimation.Fit, without: _estimation.Fit) -> bool:
        ratio = 2.0 * (fit.marginal - without.marginal)
        strong = all(
            float(fit.state[name]) >= _LEAST_STRENGTH
            for name in ("drift", "fatigue")
            if getattr(fit.model, name) and not getattr(without.model, name)
        )
        better = self._held(fit) > self._held(without)
        return strong and ratio > _LIKELIHOOD_RATIO and better

    def _strength(
        self,
        name: str,
        fits: dict[frozenset[str], _estimation.Fit],
        kept: frozenset[str],
        forced: bool,
    ) -> results.Strength:
        beside = kept - {name} if frozenset({name}) | kept in fits else frozenset[str]()
        fit, without = fits[beside | {name}], fits[beside]
        ratio = 2.0 * (fit.marginal - without.marginal)
        difference = self._held(fit) - self._held(without)
        told = self._passes(fit, without)
        sentence = (
            f"Twice the log-likelihood ratio is {ratio:.1f}, where more than {_LIKELIHOOD_RATIO} "
            f"tells {name} from nil, and the held-out log-likelihood per impression changes by "
            f"{difference:+.2g}."
        )
        if float(fit.state[name]) < _LEAST_STRENGTH:
            sentence += f" Less than {_LEAST_STRENGTH} counts as nil."
        if forced and not told:
            sentence += " It was asked for."
        return results.Strength(
            name, float(fit.state[name]), ratio, difference, name in kept, sentence
        )

    def _untried(self, name: str) -> results.Strength:
        reason = self._asked.treatments.get(name) or self._asked.treatments.get("users")
        return results.Strength(
            name, None, None, None, False, reason or f"No {name} was asked for."
        )

    def _refits(self, final: _estimation.Fit) -> tuple[fitted.FittedParameters, ...]:
        jobs = []
        number = self._log.num_users if self._log.has_users else self._log.num_slates
        for refit in range(self._asked.refits):
            rng = np.random.default_rng(seeding.named_sequence(self._asked.seed, f"refit {refit}"))
            counts = np.bincount(rng.integers(number, size=number), minlength=number)
            jobs.append(
                self._job(
                    f"refit_{refit:04d}", final.model, _REFIT_ROUNDS, final, counts, whole=True
                )
            )
        found = self._run(jobs)
        return tuple(self._parameters(found[job.name][0], job.counts) for job in jobs)

    def _parameters(
        self, fit: _estimation.Fit, counts: np.ndarray | None = None
    ) -> fitted.FittedParameters:
        data = _tasks.data_of(self._log, np.zeros_like(self._held_out), counts)
        return _parameters.parameters_of(fit, self._log, data, self._source)

    def _candidates(self, best: _estimation.Fit) -> tuple[results.Candidate, ...]:
        found = []
        for name, (fit, seconds) in self._fits.items():
            model = fit.model
            log_likelihoods = fit.log_likelihoods
            found.append(
                results.Candidate(
                    name=name,
                    click_models=model.click_models,
                    num_factors=model.num_factors,
                    drift=model.drift,
                    fatigue=model.fatigue,
                    parameters=_parameters.parameters_of(fit, self._log, self._data, self._source),
                    num_parameters=sum(each.size for each in fit.state.values()),
                    log_likelihood=fit.log_likelihood,
                    held_out_log_likelihood=self._held(fit),
                    standard_error=self._error(log_likelihoods),
                    difference=self._held(fit) - self._held(best),
                    difference_standard_error=self._error(log_likelihoods - best.log_likelihoods),
                    seconds=seconds,
                )
            )
        return tuple(sorted(found, key=lambda each: -each.held_out_log_likelihood))

    def _baselines(self) -> dict[str, float]:
        """Returns held-out log-likelihoods per impression of what needs no fit."""
        layout = self._data.layout
        fitted_to, held_out = (
            layout.impressions(each) for each in (1.0 - self._data.held_out, self._data.held_out)
        )
        shown, clicks = fitted_to.sum(), (fitted_to * layout.clicks).sum()
        rate = clicks / shown
        by_item = layout.by_item(fitted_to * layout.clicks) / np.maximum(
            layout.by_item(fitted_to), 1
        )
        by_position = layout.by_position(fitted_to * layout.clicks) / np.maximum(
            layout.by_position(fitted_to), 1
        )
        guesses = {
            "constant": np.full(layout.items.shape, rate),
            "position": by_position[layout.positions],
            "popularity × position": by_item[layout.items]
            * by_position[layout.positions]
            / max(rate, _SMALLEST_RATE),
        }
        found = {}
        for name, chances in guesses.items():
            chances = np.clip(chances, _SMALLEST_RATE, 1.0 - _SMALLEST_RATE)
            values = np.where(layout.clicks > 0.0, np.log(chances), np.log1p(-chances))
            found[name] = float((held_out * values).sum()) / self._impressions
        return found


def _intervals(
    parameters: fitted.FittedParameters, refits: Sequence[fitted.FittedParameters]
) -> tuple[results.Interval, ...]:
    """Returns 95% intervals: Student's, of the deviation over the refits."""
    if len(refits) < 2:
        return ()
    from scipy import special

    estimates = _parameters.numbers_of(parameters)
    samples = [_parameters.numbers_of(each) for each in refits]
    quantile = float(special.stdtrit(len(refits) - 1, 0.975))
    found = []
    for name, estimate in estimates.items():
        values = np.array([each.get(name, 0.0) for each in samples])
        error = float(values.std(ddof=1))
        low, high = estimate - quantile * error, estimate + quantile * error
        if name.startswith(("drift", "fatigue", "look", "stop", "share", "deviation", "norm")):
            low = max(low, 0.0)
        if name.startswith(("drift", "fatigue memory", "look", "stop", "share")):
            high = min(high, 1.0)
        found.append(results.Interval(name, estimate, low, high, error))
    return tuple(found)
