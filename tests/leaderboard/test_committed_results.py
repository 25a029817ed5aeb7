"""The committed entries are entries, the page is made of them, and a cell repeats."""

import pytest
from support import CHECKOUT, RESULTS

from recsim.experiments.leaderboard import entries, findings, page, runs

FOLDER = RESULTS / "leaderboard"
COMMITTED = {entry.agent: entry for entry in entries.load_all(FOLDER / "entries")}


def test_page_is_made_of_the_entries():
    board = page.Board(list(COMMITTED.values()))
    assert board.markdown() == (FOLDER / "tables.md").read_text(encoding="utf-8")
    assert findings.markdown(board) == (FOLDER / "findings.md").read_text(encoding="utf-8")
    # The page says nothing of results beside these.
    text = (CHECKOUT / "docs" / "leaderboard.md").read_text(encoding="utf-8")
    for name in ("tables", "findings"):
        assert f"```{{include}} results/leaderboard/{name}.md\n```" in text


@pytest.mark.parametrize("name", COMMITTED)
def test_files_are_of_whole_pairs(name):
    entry = COMMITTED[name]
    assert entry.version == "recsim-slates-v1"
    assert entry.tasks or entry.not_applicable
    for result in entry.tasks.values():
        assert {"recsim", "numpy", "python"} <= set(result.versions)
        assert not result.search or result.settings[0] in result.search


@pytest.mark.parametrize("name", ["random", "short_term_oracle"])
def test_a_cell_repeats_from_its_record(name):
    recorded, now = runs.rerun(COMMITTED[name], "easy", 0, place=runs.Place(progress=False))
    assert now == pytest.approx(recorded, rel=1e-9)
