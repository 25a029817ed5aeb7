"""Fits as tasks for :mod:`recsim.parallel`, whose results are files that a later run takes up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from recsim import clusters, parallel
from recsim.fitting import _estimation, _layout, _problem, _store, tables

__all__ = ["Job", "data_of", "run_jobs"]

_STATE, _DEVIATIONS = "state:", "deviations:"


@dataclasses.dataclass(frozen=True)
class Job:
    """A fit to make.

    Attributes:
        name: different from those of the others, fit for a file's.
        model: what to fit.
        log: what to fit it to.
        held_out: which slates of it not to fit to, bool of shape (n_slates,).
        counts: how often users (slates where the log has no users) count; None for once.
        seed: of the factors where estimation begins.
        rounds: the most rounds.
        start: the fit to begin with, if any.
        stop_early: whether to end when the held-out likelihood falls.
    """

    name: str
    model: _problem.Model
    log: tables.SlateLog
    held_out: np.ndarray
    counts: np.ndarray | None
    seed: int
    rounds: int
    start: _estimation.Fit | None
    stop_early: bool

    def task(self) -> parallel.Task:
        """Returns the task of making the fit."""
        fields = (field.name for field in dataclasses.fields(self) if field.name != "name")
        arguments = {name: getattr(self, name) for name in fields}
        return parallel.Task(self.name, _fitted, arguments, self.rounds)


def data_of(
    log: tables.SlateLog, held_out: np.ndarray, counts: np.ndarray | None = None
) -> _problem.Data:
    """Returns a log in the form that models are fitted to; see :class:`Job`."""
    layout = _layout.layout_of(log)
    held = held_out[layout.order].astype(np.float64)
    fitted = 1.0 - held
    users = np.ones(layout.num_users)
    if counts is not None and log.has_users:
        users = counts.astype(np.float64)
        fitted = fitted * users[layout.users]
    elif counts is not None:
        fitted = fitted * counts[layout.order]
    return _problem.Data(
        layout,
        _layout.standardized(log.catalogue.features),
        _layout.standardized(log.user_table.features) if log.has_users else np.zeros((1, 0)),
        log.has_users,
        fitted,
        users,
        held,
    )


def _fitted(
    model: _problem.Model,
    log: tables.SlateLog,
    held_out: np.ndarray,
    counts: np.ndarray | None,
    seed: int,
    rounds: int,
    start: _estimation.Fit | None,
    stop_early: bool,
    advance: parallel.Advance,
) -> parallel.Result:
    """Makes a fit, and returns it as arrays."""
    fit = _estimation.fit(
        model,
        data_of(log, held_out, counts),
        np.random.SeedSequence(seed),
        rounds=rounds,
        start=start,
        stop_early=stop_early,
        advance=advance,
    )
    result = {
        name: np.asarray(getattr(fit, name))
        for name in ("log_likelihood", "marginal", "log_likelihoods", "rounds")
    }
    result.update({_STATE + name: value for name, value in fit.state.items()})
    result.update({_DEVIATIONS + name: value for name, value in fit.deviations.items()})
    return result


def _fit_of(model: _problem.Model, result: parallel.Result) -> _estimation.Fit:
    def named(prefix: str) -> dict[str, np.ndarray]:
        return {
            name.removeprefix(prefix): value
            for name, value in result.items()
            if name.startswith(prefix)
        }

    return _estimation.Fit(
        model,
        named(_STATE),
        named(_DEVIATIONS),
        float(result["log_likelihood"]),
        float(result["marginal"]),
        result["log_likelihoods"],
        int(result["rounds"]),
    )


def run_jobs(
    jobs: Sequence[Job],
    store: _store.Store,
    workers: int,
    backend: clusters.Backend | None,
    show: Callable[[int, int], None],
) -> dict[str, tuple[_estimation.Fit, float]]:
    """Returns fits with the seconds that they took, by name: those that are not stored are made.

    Args:
        jobs: what to fit.
        store: where finished fits are.
        workers: the most tasks to run at a time.
        backend: where they run.
        show: called with the number of rounds done, and with how many more there are in all.
    """
    found = _store.run_tasks([job.task() for job in jobs], store, workers, backend, show)
    return {
        job.name: (_fit_of(job.model, found[job.name]), float(found[job.name]["seconds"]))
        for job in jobs
    }
