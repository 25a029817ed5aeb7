"""The committed entries are entries, the page is made of them, and a cell repeats."""

import pytest
from support import RESULTS

from recsim.experiments.leaderboard import entries, page, runs

FOLDER = RESULTS / "leaderboard"
COMMITTED = {entry.agent: entry for entry in entries.load_all(FOLDER / "entries")}


def test_page_is_made_of_the_entries():
    text = (FOLDER / "tables.md").read_text(encoding="utf-8")
    assert page.Board(list(COMMITTED.values())).markdown() == text


@pytest.mark.parametrize("name", COMMITTED)
def test_files_are_of_whole_pairs(name):
    entry = COMMITTED[name]
    assert entry.version == "recsim-slates-v1"
    assert entry.tasks or entry.not_applicable
    for result in entry.tasks.values():
        assert {"recsim", "numpy", "python"} <= set(result.versions)
        assert not result.search or result.settings[0] in result.search


def test_a_cell_repeats_from_its_record():
    recorded, now = runs.rerun(COMMITTED["random"], "easy", 0, place=runs.Place(progress=False))
    assert now == pytest.approx(recorded, rel=1e-9)
