"""A report on how far to trust a fitted scenario: a page, its numbers and its figures."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence

import numpy as np

from recsim._internal import figures, files, json_text, numbers, paths
from recsim.environments import fitted
from recsim.fitting import _cautions, _report_figures, _report_page, results
from recsim.fitting import fidelity as fidelity_lib
from recsim.fitting import ranking as ranking_lib
from recsim.fitting import ratings as ratings_lib

__all__ = ["Report", "num_scenarios", "report_of", "write"]

#: How many of the models that came next agents are compared in.
_MOST_RUNNERS_UP = 3
_SUFFIX = ".html"


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """What is known of how far to trust a scenario.

    Attributes:
        result: the fit.
        fidelity: how the scenario compares with the log; None where that has ratings alone.
        predicted_ratings: held-out ratings by what was predicted, ten groups of equally many; empty
            where the log has slates.
        ranking: whether the scenarios that the log allows agree on the order of agents.
        cautions: sentences on what the scenario should not be used for.
    """

    result: results.FitResult | ratings_lib.RatingsResult
    fidelity: fidelity_lib.Fidelity | None
    predicted_ratings: tuple[fidelity_lib.Group, ...]
    ranking: ranking_lib.Ranking
    cautions: tuple[str, ...]

    def data(self) -> dict[str, object]:
        """Returns it as JSON values."""
        agreement = {
            "share_of_pairs_in_the_same_order": self.ranking.agreement,
            "agents": list(self.ranking.agents),
            "scenarios": list(self.ranking.scenarios),
            "returns": self.ranking.returns.tolist(),
            "standard_errors": self.ranking.standard_errors.tolist(),
            "pairs": [
                {"better": better, "worse": worse, "share_of_scenarios": share}
                for (better, worse), share in self.ranking.pairs().items()
            ],
        }
        data: dict[str, object] = {
            "scenario_sha256": self.result.parameters.sha256,
            "cautions": list(self.cautions),
            "fit": self.result.record(),
            "agent_ranking": agreement,
        }
        if self.fidelity is not None:
            data["fidelity"] = dataclasses.asdict(self.fidelity)
        if self.predicted_ratings:
            data["predicted_ratings"] = [
                dataclasses.asdict(group) for group in self.predicted_ratings
            ]
        return data

    def panels(self) -> list[_report_figures.Panel]:
        """Returns the figures."""
        return [*_panels(self.fidelity, self.predicted_ratings), self._ranking_panel()]

    def _ranking_panel(self) -> _report_figures.Panel:
        return _report_figures.of_ranking(self.ranking)

    def to_html(self) -> str:
        """Returns the page, which needs no other file."""
        return _report_page.page(
            self.result,
            self.fidelity,
            _panels(self.fidelity, self.predicted_ratings),
            self.ranking,
            self.cautions,
        )

    def save(self, path: paths.Path) -> None:
        """Writes the page, and beside it the numbers and figures under the same name.

        Args:
            path: path of the page, which ends in ``.html``; ``.json``, ``.png`` and ``.svg`` are
                what stands beside it.

        Raises:
            TypeError, ValueError: if it is not such a path.
            OSError: if it cannot be written.
        """
        file_path = _checked_path(path)
        stem = file_path[: -len(_SUFFIX)]
        figures.write(_report_figures.overview(self.panels()), stem)
        for suffix, text in (
            (".json", json_text.dumps(self.data(), indent=1) + "\n"),
            (_SUFFIX, self.to_html()),
        ):
            with files.atomic_file(stem + suffix) as file:
                file.write(text.encode())


def _checked_path(path: paths.Path) -> str:
    if not str(os.fspath(path)).endswith(_SUFFIX):
        raise ValueError(f"path must end in {_SUFFIX!r}, got {os.fspath(path)!r}.")
    return paths.output_file("path", path)


def _panels(
    of_log: fidelity_lib.Fidelity | None, predicted: Sequence[fidelity_lib.Group]
) -> list[_report_figures.Panel]:
    found = []
    if predicted:
        found.append(
            _report_figures.of_calibration(
                "Held-out ratings beside what was predicted",
                predicted,
                "predicted rating",
                "rating, held out",
            )
        )
    if of_log is None:
        return found
    if of_log.calibration:
        found.append(
            _report_figures.of_calibration(
                "Calibration: held-out clicks beside what was predicted", of_log.calibration
            )
        )
    for title, groups, x, y in (
        ("Click rate by position", of_log.positions, "position", "click rate"),
        (
            "Click rate by item popularity",
            of_log.deciles,
            "tenth of the items, the most shown last",
            "click rate",
        ),
        ("Click rate by step", of_log.steps, "slate of the session", "click rate"),
        ("Lengths of sessions", of_log.sessions, "slates", "share of the sessions"),
    ):
        if groups:
            found.append(_report_figures.of_groups(title, groups, x, y))
    return found


def num_scenarios(result: results.FitResult | ratings_lib.RatingsResult) -> int:
    """Returns in how many scenarios agents are run for the report on a fit."""
    return len(_scenarios(result))


def report_of(
    result: results.Outcome,
    *,
    num_users: int = 1000,
    advance: Callable[[int], None] | None = None,
) -> Report:
    """Returns what is known of how far to trust a fitted scenario.

    Args:
        result: what a fit returned.
        num_users: number of users that agents recommend to in each scenario.
        advance: called with 1 after each scenario that agents were run in.

    Raises:
        TypeError: if the result is something else.
    """
    if not isinstance(result, (results.FitResult, ratings_lib.RatingsResult)):
        raise TypeError(f"result must be what a fit returned, got {numbers.described(result)}.")
    ranked = ranking_lib.ranking_of(_scenarios(result), num_users=num_users, advance=advance)
    if isinstance(result, ratings_lib.RatingsResult):
        cautions = _cautions.of_ratings(result, ranked)
        return Report(result, None, _predicted(result), ranked, tuple(cautions))
    of_log = fidelity_lib.fidelity_of(
        result.log, result.parameters, result.held_out, result.candidate.parameters
    )
    return Report(result, of_log, (), ranked, tuple(_cautions.of_slates(result, of_log, ranked)))


def write(
    result: results.Outcome,
    path: paths.Path,
    *,
    num_users: int = 1000,
    advance: Callable[[int], None] | None = None,
) -> Report:
    """Writes the report on a fit: see :func:`report_of` and :meth:`Report.save`.

    Args:
        result: what a fit returned.
        path: path of the page, which ends in ``.html``.
        num_users: see :func:`report_of`.
        advance: see :func:`report_of`.

    Returns:
        The report.

    Raises:
        TypeError, ValueError, OSError: as these two do.
    """
    _checked_path(path)
    made = report_of(result, num_users=num_users, advance=advance)
    made.save(path)
    return made


def _scenarios(
    result: results.FitResult | ratings_lib.RatingsResult,
) -> dict[str, fitted.FittedParameters]:
    """Returns the scenarios that the log allows, by name: that of the fit first."""
    scenarios = {"all of the log": result.parameters}
    for number, refit in enumerate(result.refits):
        scenarios[f"refit {number + 1}"] = refit
    others = [each for each in result.candidates if each.name != result.chosen]
    for each in others[:_MOST_RUNNERS_UP]:
        scenarios[each.name] = each.parameters
    return scenarios


def _predicted(result: ratings_lib.RatingsResult) -> tuple[fidelity_lib.Group, ...]:
    """Returns held-out ratings by what was predicted, ten groups of equally many."""
    given = np.asarray(result.log.ratings, np.float64)[result.held_out]
    predicted = np.asarray(result.predictions, np.float64)
    found = []
    for number, rows in enumerate(np.array_split(np.argsort(predicted, kind="stable"), 10)):
        if len(rows) < 2:
            continue
        mean = float(given[rows].mean())
        half = 1.96 * float(given[rows].std(ddof=1)) / np.sqrt(len(rows))
        found.append(
            fidelity_lib.Group(
                str(number + 1),
                len(rows),
                mean,
                mean - half,
                mean + half,
                float(predicted[rows].mean()),
            )
        )
    return tuple(found)
