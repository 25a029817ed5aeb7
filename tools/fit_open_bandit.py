"""Fits scenarios to random halves of real logs, and compares them with the other halves.

::

    python tools/fit_open_bandit.py docs/results/open_bandit_fits.json

The logs are those of ``tests/fitting/data``: 10,000 impressions of the uniformly random policy of a
fashion shop, 38 of them clicked. ``tests/fitting/test_open_bandit.py`` checks the record, and
repeats a half.
"""

from __future__ import annotations

import argparse
import json
import pathlib

import numpy as np
from scipy import stats

from recsim import fitting
from recsim._internal import provenance
from recsim.fitting import predictions

DATA = pathlib.Path(__file__).resolve().parents[1] / "tests" / "fitting" / "data"
HALVES = 20
DECILES = 10


def read_log() -> fitting.SlateLog:
    """Returns the logs."""
    log = fitting.read(
        DATA / "open_bandit_random.parquet", item_table=DATA / "open_bandit_items.csv", tell=None
    )
    assert isinstance(log, fitting.SlateLog)
    return log


def half(log: fitting.SlateLog, seed: int) -> dict[str, object]:
    """Fits to one half, chosen by a seed, and returns how it explains the other."""
    result = fitting.fit(log, held_out=0.5, refits=0, seed=seed, progress=False, workers=1)
    assert isinstance(result, fitting.FitResult)
    of_half = result.candidate.parameters
    rest = log.select_slates(result.held_out)
    fitted = log.select_slates(~result.held_out)
    likelihoods = predictions.log_likelihoods(of_half, rest)
    clicked, rate = rest.clicks[:, 0], fitted.clicks.mean()
    constant = np.where(clicked, np.log(rate), np.log1p(-rate))
    np.testing.assert_allclose(constant.mean(), result.baselines["constant"])
    root = np.sqrt(len(likelihoods))
    expected = predictions.click_probabilities(of_half, rest)[:, 0]
    order = np.argsort(-log.popularity, kind="stable")
    decile = np.empty(log.num_items, int)
    decile[order] = np.arange(log.num_items) * DECILES // log.num_items
    return {
        "seed": seed,
        "chosen": result.chosen,
        "clicks": [int(fitted.clicks.sum()), int(clicked.sum())],
        "log_likelihood": float(likelihoods.mean()),
        "standard_error": float(likelihoods.std(ddof=1) / root),
        "baselines": dict(result.baselines),
        "above_constant": float((likelihoods - constant).mean()),
        "above_constant_standard_error": float((likelihoods - constant).std(ddof=1) / root),
        "positions": rates(rest.positions[:, 0], clicked, expected),
        "deciles": rates(decile[rest.items[:, 0]], clicked, expected),
        "treatments": list(result.treatments),
    }


def rates(groups: np.ndarray, clicked: np.ndarray, expected: np.ndarray) -> list[dict[str, float]]:
    """Returns the click rate of each group, its exact 95% interval, and the one to expect."""
    found = []
    for group in np.unique(groups):
        own = groups == group
        test = stats.binomtest(int(clicked[own].sum()), int(own.sum()))
        low, high = test.proportion_ci(0.95)
        found.append(
            {
                "impressions": int(own.sum()),
                "rate": float(clicked[own].mean()),
                "low": float(low),
                "high": float(high),
                "expected": float(expected[own].mean()),
            }
        )
    return found


def main() -> None:
    """Writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", help="the JSON file to write")
    options = parser.parse_args()
    log = read_log()
    halves = [half(log, seed) for seed in range(HALVES)]
    record = {"python": provenance.installed(), "data": log.fingerprint, "halves": halves}
    pathlib.Path(options.path).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
