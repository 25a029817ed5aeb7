"""Scenarios fitted to logs of one's own.

* :mod:`recsim.fitting.reading`: tables read as logs, checked;
* :mod:`recsim.fitting.ratings`: scenarios fitted to ratings;
* :mod:`recsim.fitting.columns`: which column of a table means what;
* :mod:`recsim.fitting.tables`: logged slates and ratings as arrays;
* :mod:`recsim.fitting.generated`: logs from fitted scenarios.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import lazy

if TYPE_CHECKING:
    from recsim.fitting import columns, generated, ratings, reading, tables
    from recsim.fitting.columns import Columns
    from recsim.fitting.generated import generate_log
    from recsim.fitting.ratings import fit_ratings
    from recsim.fitting.reading import read
    from recsim.fitting.tables import RatingsLog, SlateLog

__all__ = [
    "Columns",
    "RatingsLog",
    "SlateLog",
    "columns",
    "fit_ratings",
    "generate_log",
    "generated",
    "ratings",
    "read",
    "reading",
    "tables",
]

__getattr__, __dir__ = lazy.lazy_submodules(
    __name__,
    ["columns", "generated", "ratings", "reading", "tables"],
    {
        "Columns": "columns",
        "RatingsLog": "tables",
        "SlateLog": "tables",
        "generate_log": "generated",
        "fit_ratings": "ratings",
        "read": "reading",
    },
)
