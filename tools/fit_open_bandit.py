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
        "log_likelihood": rounded(likelihoods.mean()),
        "standard_error": rounded(likelihoods.std(ddof=1) / root),
        "baselines": {name: rounded(value) for name, value in result.baselines.items()},
        "above_constant": rounded((likelihoods - constant).mean()),
        "above_constant_standard_error": rounded((likelihoods - constant).std(ddof=1) / root),
        "positions": rates(rest.positions[:, 0], clicked, expected),
        "deciles": rates(decile[rest.items[:, 0]], clicked, expected),
        "treatments": list(result.treatments),
    }


def rates(groups: np.ndarray, clicked: np.ndarray, expected: np.ndarray) -> list[dict[str, float]]:
    """Returns the click rate of each group, its exact 95% interval, and the one to expect.

    The simultaneous intervals are those that together hold all rates with 95%.
    """
    found = []
    names = np.unique(groups)
    for group in names:
        own = groups == group
        test = stats.binomtest(int(clicked[own].sum()), int(own.sum()))
        low, high = test.proportion_ci(0.95)
        simultaneous = test.proportion_ci(1.0 - 0.05 / len(names))
        found.append(
            {
                "impressions": int(own.sum()),
                "rate": rounded(clicked[own].mean()),
                "low": rounded(low),
                "high": rounded(high),
                "simultaneous_low": rounded(simultaneous.low),
                "simultaneous_high": rounded(simultaneous.high),
                "expected": rounded(expected[own].mean()),
            }
        )
    return found


def rounded(value: float) -> float:
    """Returns a number to seven decimals."""
    return round(float(value), 7)


def main() -> None:
    """Writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", help="the JSON file to write")
    options = parser.parse_args()
    log = read_log()
    # A half a line.
    halves = ",\n".join(json.dumps(half(log, seed)) for seed in range(HALVES))
    head = json.dumps({"versions": provenance.installed(), "data": log.fingerprint})[:-1]
    pathlib.Path(options.path).write_text(f'{head}, "halves": [\n{halves}\n]}}\n')


if __name__ == "__main__":
    main()
