"""The page of the leaderboard: scores by hand, tables, figures."""

import dataclasses

import numpy as np
import pytest
from support.leaderboard_entries import V1, entry_of

from recsim.experiments.leaderboard import findings, page, tasks

RANDOM = entry_of("random", easy=[1.0, 3.0], boredom=[10.0, 10.0])
GOOD = entry_of("good", easy=[4.0, 6.0], boredom=[10.0, 10.0])
ONE_TASK = dataclasses.replace(
    entry_of("one_task", boredom=[20.0, 30.0]), not_applicable={"easy": "it is too easy"}
)
ENTRIES = [ONE_TASK, RANDOM, GOOD]


@pytest.fixture(autouse=True)
def scales_of_entries(monkeypatch):
    version = dataclasses.replace(V1, scales={})
    monkeypatch.setattr(tasks, "version_of", lambda name: version)
    return version


def test_scores_of_a_published_version(monkeypatch, scales_of_entries):
    published = dataclasses.replace(scales_of_entries, scales={"easy": (0.0, 2.0)})
    monkeypatch.setattr(tasks, "version_of", lambda name: published)
    board = page.Board(ENTRIES)
    np.testing.assert_allclose(board.scores(GOOD)["easy"], [2.0, 3.0])
    np.testing.assert_allclose(board.scores(ONE_TASK)["boredom"], [2 / 3, 4 / 3])


def test_tasks_count_alike_whatever_their_seeds():
    more = entry_of("good", easy=[4.0, 6.0, 90.0, 90.0], boredom=[10.0, 10.0])
    boards = [page.Board([RANDOM, ONE_TASK, entry]) for entry in (GOOD, more)]
    # The scale is of all seeds: 2 to 5, and 2 to 47.5.
    assert boards[0].overall(GOOD)["mean"] == pytest.approx((0.0 + 2 / 3) / 2)
    assert boards[1].overall(more)["mean"] == pytest.approx((0.0 + 2 / 45.5) / 2)


def test_entries_that_do_not_belong_together():
    with pytest.raises(ValueError, match="of different agents, got .* good, good, random"):
        page.Board([RANDOM, GOOD, GOOD])
    other = dataclasses.replace(GOOD, version="recsim-slates-v1-quick")
    with pytest.raises(ValueError, match="of one version .*recsim-slates-v1, recsim-slates-v1-q"):
        page.Board([RANDOM, other])


def test_scores_by_hand():
    board = page.Board(ENTRIES)
    # Random earns 2 and the best 5 in one task, 10 and 25 in the other.
    assert board.tasks == ["easy", "boredom"]
    np.testing.assert_allclose(board.scores(RANDOM)["easy"], [-1 / 3, 1 / 3])
    np.testing.assert_allclose(board.scores(GOOD)["easy"], [2 / 3, 4 / 3])
    np.testing.assert_allclose(board.scores(ONE_TASK)["boredom"], [2 / 3, 4 / 3])
    # Of the four scores the middle two count; where an agent takes no part, zeros do.
    assert board.overall(GOOD)["mean"] == pytest.approx((0.0 + 2 / 3) / 2)
    assert board.overall(ONE_TASK)["mean"] == pytest.approx((0.0 + 2 / 3) / 2)
    assert board.own(ONE_TASK)["mean"] == pytest.approx(1.0)
    # Every run of the one task is better than every run of random's there.
    assert board.improvement(ONE_TASK, "random")["mean"] == 1.0
    assert board.improvement(GOOD, "random")["mean"] == pytest.approx((1.0 + 0.5) / 2)
    assert board.improvement(RANDOM, "random") is None
    assert board.improvement(GOOD, "short_term_oracle") is None


def test_who_ran_tasks_of_his_choice_stands_below_those_who_ran_all():
    chosen = entry_of("chosen", easy=[40.0, 60.0])
    board = page.Board([chosen, *ENTRIES])
    assert [entry.agent for entry in board.entries] == ["one_task", "good", "random", "chosen"]
    assert board.to_run(chosen) == ["boredom"]
    overall = next(board.all_tables())
    assert overall.rows[-1][:3] == ["chosen", "–", "1 of 2, 1 to run"]
    assert overall.rows[0][2] == "1 of 2"
    assert "chosen" not in findings.sentences(board)[0]


def test_tables_have_all_there_is():
    text = page.Board(ENTRIES).markdown()
    for part in (
        "3 agents in 2 of 8 tasks, 5 pairs with 2 seeds each (a whole entry has 10)",
        "recsim 1.0, numpy 2.0",
        "| one_task |",
        "1 of 2",
        "- `one_task` in `easy`: it is too easy.",
        "clip_range = 0.3",
        f"easy: {V1.task('easy').title}",
    ):
        assert part in text


def test_seconds_are_medians_with_their_range():
    result = GOOD.tasks["easy"]
    slow = dataclasses.replace(result, seconds={"0": 2.5, "1": 9.0})
    good = dataclasses.replace(GOOD, tasks={**GOOD.tasks, "easy": slow})
    overall, easy, boredom = page.Board([RANDOM, good]).all_tables()
    seconds = [
        {row[0]: row[table.header.index("seconds")] for row in table.rows}["good"]
        for table in (easy, boredom, overall)
    ]
    # Of both tasks the seeds have the means (2.5 + 1.5) / 2 and (9 + 1.5) / 2.
    assert seconds == ["5.8 (2.5 to 9.0)", "1.5 (1.5 to 1.5)", "3.6 (2.0 to 5.2)"]


def test_who_cannot_take_part_is_told_together():
    others = [
        entry_of("random", easy=[1.0], boredom=[1.0]),
        *(
            dataclasses.replace(
                entry_of(name), not_applicable={"boredom": "no", "easy": "no", "ordering": why}
            )
            for name, why in (("b", "no"), ("a", "no"), ("c", "other"))
        ),
    ]
    assert page.Board(others).reasons() == {
        ("easy", "boredom", "ordering"): {"no": ["a", "b"]},
        ("easy", "boredom"): {"no": ["c"]},
        ("ordering",): {"other": ["c"]},
    }


def test_page_is_written(tmp_path):
    pytest.importorskip("matplotlib")
    written = page.write(ENTRIES, tmp_path / "page")
    names = {"tables.md", "findings.md", "scores.png", "profiles.png", "curves.png"}
    assert {path.name for path in (tmp_path / "page").iterdir()} == names
    assert len(written) == len(names)


@pytest.mark.parametrize("of", [[], [GOOD], [dataclasses.replace(RANDOM, tasks={}), GOOD]])
def test_boards_that_are_none(of):
    with pytest.raises(ValueError, match="There must be"):
        page.Board(of)
