"""Fits a scenario to a table of either kind, slates or ratings."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recsim import clusters
from recsim._internal import paths, validation
from recsim.fitting import columns as columns_lib
from recsim.fitting import reading, tables

if TYPE_CHECKING:
    from recsim.fitting import results
    from recsim.fitting.ratings import RatingsResult

__all__ = ["OF_RATINGS", "OF_SLATES", "fit"]

#: Settings of fits to slates, and of fits to ratings, alone.
OF_SLATES = ("models", "kinds", "drift", "fatigue")
OF_RATINGS = ("regularization", "temperature", "threshold", "slate_size")


def fit(
    table: object,
    columns: columns_lib.Columns | Mapping[str, object] | None = None,
    *,
    kind: str = columns_lib.AUTO,
    item_table: object = None,
    user_table: object = None,
    session_gap: float | None = None,
    missing: str = "error",
    separator: str | None = None,
    column_names: Sequence[str] | None = None,
    tell: Callable[[str], object] | None = print,
    models: str | Sequence[str] | None = None,
    num_factors: int | str = "auto",
    kinds: int | None = None,
    drift: bool | str | None = None,
    fatigue: bool | str | None = None,
    regularization: float | str | None = None,
    temperature: float | str | None = None,
    threshold: float | str | None = None,
    slate_size: int | None = None,
    held_out: float = 0.2,
    refits: int = 20,
    seed: int = 0,
    workers: int | None = None,
    backend: clusters.BackendLike = "loky",
    output: paths.Path | None = None,
    progress: bool | None = None,
) -> results.FitResult | RatingsResult:
    """Fits a scenario to a table with a row for each impression, or for each rating.

    Args:
        table: what :func:`recsim.fitting.reading.read` takes: the path of a CSV or Parquet file, a
            data frame, or a log that it returned.
        columns: which column means what, see there, as the arguments up to ``tell``. What is not
            said is guessed by the columns' names.
        kind: 'slates', 'ratings', or 'auto' to tell by the columns.
        item_table: a table with a row for each item.
        user_table: a table with a row for each user.
        session_gap: the pause that ends a user's session.
        missing: 'error' or 'drop', for rows in which something is missing.
        separator: what stands between entries of a CSV file.
        column_names: names of the columns of a CSV file without a header.
        tell: called with the sentence that says which column is taken for what.
        models: of slates, see :func:`recsim.fitting.slate_logs.fit_slates`, as the following
            four: names of click models to choose from; None for its default.
        num_factors: number of latent factors, also of ratings.
        kinds: the most kinds of users.
        drift: whether interests move.
        fatigue: whether clicks on a topic tire of it.
        regularization: of ratings, see :func:`recsim.fitting.ratings.fit_ratings`, as the
            following three: weight of the squares of factors; None for its default.
        temperature: what differences of ratings are divided by.
        threshold: the rating that is as good as no click.
        slate_size: size of the scenario's longest slates.
        held_out: share of the log that models are compared on, in (0, 1).
        refits: number of bootstrap samples; 0 for none.
        seed: of all random choices, an integer >= 0.
        workers: the most fits to make at a time, by default one a core, and one for a small log.
        backend: where they are made, see :func:`recsim.clusters.connect`.
        output: a folder for the scenario and for each finished fit: the same call resumes what was
            interrupted. None to write nothing.
        progress: False to show none, None to show it wherever there is a stream for it.

    Returns:
        The scenario and what is known of how far to trust it, as a
        :class:`recsim.fitting.results.FitResult`, or of ratings as a
        :class:`recsim.fitting.ratings.RatingsResult`.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if it is outside its range or does not go with the kind of table, or the table
            cannot be read.
        FileNotFoundError: if there is no such file.
        FileExistsError: if ``output`` has another scenario.
        MemoryError: if the log does not fit into memory.

    Example:
        >>> import numpy as np
        >>> import pandas as pd
        >>> rng = np.random.default_rng(0)
        >>> ratings = pd.DataFrame({"user": np.repeat(np.arange(50), 10),
        ...                         "item": rng.integers(20, size=500)})
        >>> ratings["rating"] = 3 + ratings["item"] % 3 + rng.normal(0, 0.5, 500)
        >>> result = fit(ratings, refits=0, progress=False)
        Columns: user, item, rating (guessed by name).
        >>> result.parameters.num_users, result.parameters.num_items
        (50, 20)
    """
    settings: dict[str, Any] = {
        name: value
        for name, value in (
            ("models", models),
            ("kinds", kinds),
            ("drift", drift),
            ("fatigue", fatigue),
            ("regularization", regularization),
            ("temperature", temperature),
            ("threshold", threshold),
            ("slate_size", slate_size),
        )
        if value is not None
    }
    _check(held_out, refits, seed, workers)
    with _folder(output):
        log = reading.read(
            table,
            columns,
            kind=kind,
            item_table=item_table,
            user_table=user_table,
            session_gap=session_gap,
            missing=missing,
            separator=separator,
            column_names=column_names,
            tell=tell,
        )
        of_slates = isinstance(log, tables.SlateLog)
        other, what = (OF_RATINGS, "ratings") if of_slates else (OF_SLATES, "slates")
        if wrong := [name for name in settings if name in other]:
            raise ValueError(
                f"{wrong[0]} goes with a table of {what}, and this is one of "
                f"{'slates' if of_slates else 'ratings'}: leave it out."
            )
        settings |= {
            "num_factors": num_factors,
            "held_out": held_out,
            "refits": refits,
            "seed": seed,
            "workers": workers,
            "backend": backend,
            "output": output,
            "progress": progress,
        }
        if isinstance(log, tables.SlateLog):
            from recsim.fitting import slate_logs

            return slate_logs.fit_slates(log, **settings)
        from recsim.fitting import ratings

        return ratings.fit_ratings(log, **settings)


def _check(held_out: object, refits: object, seed: object, workers: object) -> None:
    """Checks what can be checked before the table is read, which may take long."""
    if not 0.0 < validation.probability("held_out", held_out) < 1.0:
        raise ValueError(f"held_out must be above 0 and below 1, got {held_out!r}.")
    validation.positive_int("refits", refits, 0)
    validation.seed("seed", seed)
    if workers is not None:
        validation.positive_int("workers", workers)


@contextlib.contextmanager
def _folder(output: paths.Path | None) -> Iterator[None]:
    """Makes the folder before a table is read, and removes it where nothing came into it."""
    if output is None:
        yield
        return
    folder = paths.absolute("output", output)
    is_new = not os.path.exists(folder)
    paths.writable_folder("output", folder)
    try:
        yield
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):  # It has finished fits.
                os.rmdir(folder)
        raise
