"""The result of a fit: the scenario, the models it was chosen from, how sure its numbers are."""

from __future__ import annotations

import abc
import dataclasses
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from recsim._internal import files, json_text, paths
from recsim.environments import fitted
from recsim.fitting import tables

if TYPE_CHECKING:
    from recsim.fitting import report as report_lib

__all__ = ["Candidate", "FitResult", "Interval", "Outcome", "Strength"]


@dataclasses.dataclass(frozen=True)
class Interval:
    """A parameter with a 95% interval, from refits to bootstrap samples of users.

    Attributes:
        name: the parameter's name.
        estimate: its value in the scenario.
        low: lower end.
        high: upper end.
        standard_error: standard deviation over the refits.
    """

    name: str
    estimate: float
    low: float
    high: float
    standard_error: float


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Candidate:
    """A model that was fitted to a part of the log and compared with others on the rest.

    Log-likelihoods are natural logarithms, per impression.

    Attributes:
        name: its name, different from those of the others.
        click_models: the click model of each kind of users.
        num_factors: number of latent factors.
        drift: whether interests move.
        fatigue: whether clicks on a topic tire of it.
        parameters: the scenario that it makes.
        num_parameters: number of its parameters, those of single items and users too.
        log_likelihood: of the slates it was fitted to.
        held_out_log_likelihood: of those held out.
        standard_error: of the latter, over users, or slates where the log has no users.
        difference: held-out log-likelihood less that of the chosen model.
        difference_standard_error: its standard error, likewise.
        seconds: time that the fit took.
    """

    name: str
    click_models: tuple[str, ...]
    num_factors: int
    drift: bool
    fatigue: bool
    parameters: fitted.FittedParameters
    num_parameters: int
    log_likelihood: float
    held_out_log_likelihood: float
    standard_error: float
    difference: float
    difference_standard_error: float
    seconds: float

    def __repr__(self) -> str:
        return f"<Candidate: {self.name}, {self.held_out_log_likelihood:.5f} held out>"


@dataclasses.dataclass(frozen=True)
class Strength:
    """How strong drift or fatigue is, and whether it is told from nil.

    Attributes:
        name: 'drift' or 'fatigue'.
        estimate: the estimate, also where it was dropped; None where it was not estimated.
        likelihood_ratio: twice the logarithm of the ratio of likelihoods, users' effects
            integrated out, with it and without; None likewise.
        held_out_difference: what it brings to the held-out log-likelihood per impression.
        kept: whether the scenario has it.
        reason: a sentence that says why.
    """

    name: str
    estimate: float | None
    likelihood_ratio: float | None
    held_out_difference: float | None
    kept: bool
    reason: str


class Outcome(abc.ABC):
    """The result of a fit to a log of either kind.

    Attributes:
        parameters: the scenario.
    """

    parameters: fitted.FittedParameters

    @abc.abstractmethod
    def record(self) -> dict[str, object]:
        """Returns what is known of the fit, as data for JSON."""

    def report(self, path: paths.Path, *, num_users: int = 1000) -> report_lib.Report:
        """Writes a report on how far to trust the scenario, see :mod:`recsim.fitting.report`.

        Args:
            path: path of the page, which ends in ``.html``; numbers and figures stand beside it.
            num_users: number of users that agents recommend to in each of the scenarios that are
                compared.

        Raises:
            TypeError, ValueError, OSError: if it is not such a path, or cannot be written.
        """
        from recsim.fitting import report as report_lib

        return report_lib.write(self, path, num_users=num_users)

    def save(self, folder: paths.Path) -> None:
        """Writes the scenario to a folder, and what is known of the fit to ``fit.json`` in it.

        Args:
            folder: made if it does not exist.

        Raises:
            ValueError: if the folder has another scenario.
        """
        folder = paths.absolute("folder", folder)
        fitted.save(self.parameters, folder)
        with files.atomic_file(os.path.join(folder, "fit.json")) as file:
            file.write((json_text.dumps(self.record(), indent=2) + "\n").encode())


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class FitResult(Outcome):
    """A scenario fitted to a log of slates, and what is known of how far to trust it.

    Attributes:
        parameters: the scenario, fitted to the whole log.
        chosen: name of the candidate that was chosen.
        candidates: the models compared, the best on held-out slates first.
        baselines: held-out log-likelihood per impression of the constant click rate
            (``'constant'``), of one click rate for each position (``'position'``), and of unshrunk
            click rates of items times those of positions (``'popularity × position'``).
        intervals: of parameters that are not of single items or users; empty without refits.
        refits: scenarios fitted to bootstrap samples of users (of slates where the log has none).
        strengths: of drift and of fatigue.
        log: the log.
        held_out: which of its slates were held out, bool of shape (n_slates,).
        treatments: sentences on what was left out or changed, beside the log's own.
        settings: the arguments of the fit that results depend on.
        seconds: time that all took.
    """

    parameters: fitted.FittedParameters
    chosen: str
    candidates: tuple[Candidate, ...]
    baselines: Mapping[str, float]
    intervals: tuple[Interval, ...]
    refits: tuple[fitted.FittedParameters, ...]
    strengths: tuple[Strength, ...]
    log: tables.SlateLog
    held_out: np.ndarray
    treatments: tuple[str, ...]
    settings: Mapping[str, object]
    seconds: float

    def __repr__(self) -> str:
        return (
            f"<FitResult: {self.chosen} of {len(self.candidates)} models, log-likelihood of "
            f"{self.candidate.held_out_log_likelihood:.5f} per impression held out (constant click "
            f"rate: {self.baselines['constant']:.5f}), {len(self.refits)} refits>"
        )

    @property
    def candidate(self) -> Candidate:
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
            "intervals": [dataclasses.asdict(each) for each in self.intervals],
            "strengths": [dataclasses.asdict(each) for each in self.strengths],
            "slates": self.log.num_slates,
            "impressions": self.log.num_impressions,
            "clicks": int(self.log.clicks.sum()),
            "users": self.log.num_users,
            "items": self.log.num_items,
            "sessions": self.log.num_sessions if self.log.has_sessions else None,
            "held_out_slates": int(self.held_out.sum()),
            "refits": len(self.refits),
            "treatments": [*self.log.treatments, *self.treatments],
            "settings": dict(self.settings),
            "seconds": self.seconds,
        }
