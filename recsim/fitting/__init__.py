"""Scenarios fitted to logs of one's own.

* :mod:`recsim.fitting.fits`: a scenario fitted to a table of either kind;
* :mod:`recsim.fitting.reading`: tables read as logs, checked;
* :mod:`recsim.fitting.ratings`: scenarios fitted to ratings;
* :mod:`recsim.fitting.columns`: which column of a table means what;
* :mod:`recsim.fitting.tables`: logged slates and ratings as arrays;
* :mod:`recsim.fitting.generated`: logs from fitted scenarios;
* :mod:`recsim.fitting.slate_logs`: scenarios fitted to logged slates;
* :mod:`recsim.fitting.results`: the results of a fit, and of the models compared;
* :mod:`recsim.fitting.predictions`: how likely logged clicks are in a scenario;
* :mod:`recsim.fitting.fidelity`: how what users do in a scenario compares with the log;
* :mod:`recsim.fitting.ranking`: whether scenarios agree on the order of agents;
* :mod:`recsim.fitting.report`: the report on how far to trust a scenario.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import lazy

if TYPE_CHECKING:
    from recsim.fitting import (
        columns,
        fidelity,
        fits,
        generated,
        predictions,
        ranking,
        ratings,
        reading,
        report,
        results,
        slate_logs,
        tables,
    )
    from recsim.fitting.columns import Columns
    from recsim.fitting.fits import fit
    from recsim.fitting.generated import generate_log
    from recsim.fitting.ratings import fit_ratings
    from recsim.fitting.reading import read
    from recsim.fitting.results import FitResult
    from recsim.fitting.slate_logs import fit_slates
    from recsim.fitting.tables import RatingsLog, SlateLog

__all__ = [
    "Columns",
    "FitResult",
    "RatingsLog",
    "SlateLog",
    "columns",
    "fidelity",
    "fit",
    "fit_ratings",
    "fit_slates",
    "fits",
    "generate_log",
    "generated",
    "predictions",
    "ranking",
    "ratings",
    "read",
    "reading",
    "report",
    "results",
    "slate_logs",
    "tables",
]

__getattr__, __dir__ = lazy.lazy_submodules(
    __name__,
    [
        "columns",
        "fidelity",
        "fits",
        "generated",
        "predictions",
        "ranking",
        "ratings",
        "reading",
        "report",
        "results",
        "slate_logs",
        "tables",
    ],
    {
        "Columns": "columns",
        "RatingsLog": "tables",
        "SlateLog": "tables",
        "generate_log": "generated",
        "FitResult": "results",
        "fit": "fits",
        "fit_ratings": "ratings",
        "fit_slates": "slate_logs",
        "read": "reading",
    },
)
