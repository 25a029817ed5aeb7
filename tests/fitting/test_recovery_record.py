"""The record of what fits find of the truth, and the page on it."""

from __future__ import annotations

import json
import pathlib

from recsim.benchmarks import fitting_recovery

RESULTS = pathlib.Path(__file__).parents[2] / "docs" / "results"


def test_the_page_has_what_the_record_says():
    record = json.loads((RESULTS / "fitting_recovery.json").read_text(encoding="utf-8"))
    page = (RESULTS / "fitting_recovery.md").read_text(encoding="utf-8")
    recoveries = [fitting_recovery.Recovery(**each) for each in record["recoveries"]]
    assert fitting_recovery.table(recoveries) in page
    assert record["command"] in page
    for name, setting in fitting_recovery.SETTINGS.items():
        found = [each for each in recoveries if each.setting == name]
        assert [each.repetition for each in found] == list(range(20))
        assert sum(each.right_click_model for each in found) >= 18
        assert sum(each.drift_right and each.fatigue_right for each in found) >= 18
        assert max(each.excess for each in found) < 0.011
        assert setting.drift == 0.0 or min(each.drift for each in found) > 0.1
