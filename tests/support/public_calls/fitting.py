"""Logs that scenarios are fitted to, with arguments that they take."""

from __future__ import annotations

import pandas as pd

from recsim import fitting
from recsim.fitting import columns, fits, ratings, reading, tables

__all__ = ["TABLE"]

SLATES = {
    "items": [[0, 1], [1, -1], [0, 1]],
    "clicks": [[1, 0], [0, 0], [0, 1]],
    "values": [[3.0, float("nan")], [float("nan")] * 2, [float("nan"), 4.0]],
    "positions": [[0, 1], [0, 0], [0, 1]],
    "propensities": [[0.5, 0.5], [1.0, 1.0], [0.25, 0.5]],
    "users": [0, 0, 1],
    "sessions": [0, 0, 1],
    "steps": [0, 1, 0],
}
RATINGS = {"users": [0, 0, 1], "items": [0, 1, 0], "ratings": [1.0, 2.0, 4.0], "times": [1, 2, 3]}
FRAME = pd.DataFrame(
    {
        "user": [0, 0, 1, 1],
        "item": [0, 1, 0, 1],
        "time": [1.0, 2.0, 3.0, 9.0],
        "rating": [1.0, 2.0, 4.0, 3.0],
    }
)
HOW = {"held_out": 0.5, "refits": 1, "seed": 0, "workers": 1}


def read(table, columns, item_table, user_table, **options):
    return reading.read(
        FRAME if isinstance(table, str) and table == "the table" else table,
        columns,
        item_table=item_table,
        user_table=user_table,
        tell=None,
        **options,
    )


def fit_ratings(**settings):
    return ratings.fit_ratings(tables.RatingsLog(**RATINGS), progress=False, **settings)


def fit(**settings):
    return fits.fit(FRAME, progress=False, tell=None, **settings)


TABLE = {
    "fitting.SlateLog": (fitting.SlateLog, SLATES),
    "fitting.RatingsLog": (fitting.RatingsLog, RATINGS),
    "fitting.Catalogue": (
        tables.Catalogue,
        {
            "ids": ["a", "b"],
            "features": [[1.0], [2.0]],
            "feature_names": ["x"],
            "topics": [0, 1],
            "topic_names": ["s", "t"],
            "names": ["A", "B"],
        },
    ),
    "fitting.Users": (
        tables.Users,
        {"ids": ["a", "b"], "features": [[1.0], [2.0]], "feature_names": ["x"]},
    ),
    "fitting.SlateLog.select_users": (fitting.SlateLog(**SLATES).select_users, {"indices": [1, 1]}),
    "fitting.SlateLog.select_slates": (
        fitting.SlateLog(**SLATES).select_slates,
        {"mask": [True, False, True]},
    ),
    "fitting.SlateLog.split": (
        fitting.SlateLog(**SLATES).split,
        {"held_out": 0.4, "seed": 1, "by": "slate"},
    ),
    "fitting.RatingsLog.select_ratings": (
        fitting.RatingsLog(**RATINGS).select_ratings,
        {"mask": [True, False, True]},
    ),
    "fitting.RatingsLog.select_users": (
        fitting.RatingsLog(**RATINGS).select_users,
        {"indices": [1, 1]},
    ),
    "fitting.RatingsLog.split": (fitting.RatingsLog(**RATINGS).split, {"held_out": 0.4, "seed": 1}),
    "fitting.Columns": (
        columns.Columns,
        {**dict.fromkeys(columns.ROLES, "a"), "item_features": ["b"], "user_features": ["c"]},
    ),
    "fitting.read": (
        read,
        {
            "table": "the table",
            "columns": {"time": "time"},
            "kind": "ratings",
            "item_table": FRAME[["item", "rating"]][:2],
            "user_table": None,
            "missing": "error",
        },
    ),
    "fitting.fit_ratings": (
        fit_ratings,
        {
            "num_factors": 1,
            "regularization": 1.0,
            "temperature": 1.0,
            "threshold": 2.0,
            "slate_size": 2,
            **HOW,
        },
    ),
    "fitting.fit": (
        fit,
        {
            "columns": {"time": None},
            "kind": "ratings",
            "missing": "error",
            "num_factors": 0,
            "temperature": 1.0,
            "threshold": 2.0,
            "slate_size": 2,
            **HOW,
        },
    ),
}
