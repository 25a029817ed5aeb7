"""Tables of all kinds read as logs: what is guessed, put together, stated and refused."""

from __future__ import annotations

import functools
import gzip
import pathlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import recsim
from recsim import fitting
from recsim.agents import random_agent
from recsim.environments import interest_exploration
from recsim.fitting import RatingsLog, SlateLog, reading
from recsim.vector import simulate


def read(table: object, columns: object = None, **options: object) -> SlateLog | RatingsLog:
    return reading.read(table, columns, tell=None, **options)


def impressions(**changes: object) -> pd.DataFrame:
    """Three slates of two users: two of Ann's, of two and of one item, and one of Bob's."""
    columns = {
        "user_id": ["bob", "bob", "ann", "ann", "ann"],
        "timestamp": [50.0, 50.0, 20.0, 10.0, 10.0],
        "position": [1, 2, 1, 2, 1],
        "item_id": [7, 9, 10, 9, 7],
        "click": [0, 1, 0, 0, 1],
        "propensity": [0.5, 0.5, 1.0, 0.25, 0.75],
        "item_feature_price": [1.0, 3.0, 5.0, 3.0, 1.0],
        "item_feature_color": ["red", "blue", "blue", "blue", "red"],
        "user_feature_age": [30, 30, 40, 40, 40],
        "category": ["b", "a", "b", "a", "b"],
        "title": ["Seven", "Nine", "Ten", "Nine", "Seven"],
    }
    return pd.DataFrame({**columns, **changes})


def ratings(**changes: object) -> pd.DataFrame:
    columns = {
        "userId": [2, 1, 2, 1],
        "movieId": [5, 5, 4, 5],
        "rating": [3.5, 4.0, 1.0, 5.0],
        "timestamp": ["2026-01-02", "2026-01-01", "2026-01-01", "2026-01-03"],
    }
    return pd.DataFrame({**columns, **changes})


def check_slates(log: SlateLog | RatingsLog) -> None:
    assert isinstance(log, SlateLog)
    # Users by their labels, items by theirs as numbers: 7, 9, 10.
    assert log.user_table.ids.tolist() == ["ann", "bob"]
    assert log.catalogue.ids.tolist() == ["7", "9", "10"]
    assert log.items.tolist() == [[0, 1], [2, -1], [0, 1]]
    assert log.clicks.tolist() == [[True, False], [False, False], [False, True]]
    assert log.users.tolist() == [0, 0, 1]
    assert log.sessions.tolist() == [0, 0, 1]
    assert log.steps.tolist() == [0, 1, 0]
    assert log.positions.tolist() == [[0, 1], [0, 0], [0, 1]]
    np.testing.assert_allclose(log.propensities, [[0.75, 0.25], [1.0, 1.0], [0.5, 0.5]])
    assert log.catalogue.feature_names == (
        "item_feature_price",
        "item_feature_color=blue",
        "item_feature_color=red",
    )
    assert log.catalogue.features.tolist() == [[1, 0, 1], [3, 1, 0], [5, 1, 0]]
    assert log.user_table.features.tolist() == [[40], [30]]
    assert log.catalogue.topic_names == ("a", "b")
    assert log.catalogue.topics.tolist() == [1, 0, 1]
    assert log.catalogue.names.tolist() == ["Seven", "Nine", "Ten"]
    assert log.treatments[0] == "Positions are counted from 1 in the table, from 0 here."
    assert "not in the order of time" in log.treatments[1]


def test_data_frame():
    check_slates(read(impressions()))


def test_files_give_what_the_frame_gives(tmp_path):
    frame = impressions()
    frame.to_parquet(tmp_path / "log.parquet")
    frame.to_csv(tmp_path / "log.csv", index=False)
    frame.to_csv(tmp_path / "log.tsv.gz", index=False, sep="\t")
    frame.to_csv(tmp_path / "semicolon.csv", index=False, sep=";", encoding="utf-8-sig")
    frame.to_csv(tmp_path / "bare.csv", index=False, header=False)
    (tmp_path / "folder").mkdir()
    frame[:2].to_parquet(tmp_path / "folder" / "0.parquet")
    frame[2:].to_parquet(tmp_path / "folder" / "1.parquet")
    fingerprints = set()
    for name in ("log.parquet", "log.csv", "log.tsv.gz", "semicolon.csv", "folder"):
        log = read(tmp_path / name)
        check_slates(log)
        fingerprints.add(log.fingerprint)
    bare = read(tmp_path / "bare.csv", column_names=list(frame.columns))
    table = read(pa.Table.from_pandas(frame))
    assert {bare.fingerprint, table.fingerprint} == fingerprints == {read(frame).fingerprint}


def test_the_guess_is_told():
    told: list[str] = []
    reading.read(
        impressions(page=[1, 1, 2, 3, 3]), {"time": None, "slate": "page"}, tell=told.append
    )
    assert told == [
        "Columns: slate = page; user = user_id, item = item_id, position, click, propensity, "
        "topic = category, item_name = title, item_features = item_feature_price, "
        "item_feature_color, user_features = user_feature_age (guessed by name). Not used: "
        "timestamp."
    ]


def test_many_small_batches_give_the_same(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    number = 3000
    frame = pd.DataFrame(
        {
            "user": rng.integers(0, 40, number),
            "item": rng.choice(["a", "b", "c", "d"], number),
            "time": np.arange(number),
            "click": rng.integers(0, 2, number),
            "item_feature_x": rng.random(number),
        }
    )
    frame.to_parquet(tmp_path / "log.parquet")
    whole = read(tmp_path / "log.parquet")
    monkeypatch.setattr("recsim.fitting._sources._ROWS", 7)
    parts = read(tmp_path / "log.parquet")
    np.testing.assert_allclose(parts.catalogue.features, whole.catalogue.features, rtol=1e-6)
    np.testing.assert_array_equal(parts.items, whole.items)
    np.testing.assert_array_equal(parts.users, whole.users)
    means = frame.groupby("item")["item_feature_x"].mean()
    np.testing.assert_allclose(whole.catalogue.features[:, 0], means, rtol=1e-6)
    assert any("its mean counts" in text for text in whole.treatments)


def test_rows_that_nothing_groups_are_slates_of_one():
    frame = impressions(position=[1, 2, 1, 1, 2])[["item_id", "position", "click"]]
    log = read(frame.iloc[[1, 0, 2, 3, 4]])
    assert (log.num_slates, log.slate_size, log.has_users, log.has_sessions) == (5, 1, False, False)
    assert log.positions[:, 0].tolist() == [1, 0, 0, 0, 1]
    assert any("row is a slate by itself" in text for text in log.treatments)


@pytest.mark.parametrize("groups", [[], ["user"], ["user", "visit"]])
def test_rows_whose_positions_count_up_are_a_slate(groups):
    frame = pd.DataFrame(
        {
            "user": ["b", "b", "b", "a", "a", "b"],
            "visit": [1, 1, 2, 3, 3, 2],
            "position": [1, 2, 1, 1, 2, 2] if groups else [1, 2, 1, 1, 2, 1],
            "item": [0, 1, 2, 1, 0, 0],
            "click": [0, 1, 0, 0, 0, 1],
        }
    )
    log = read(
        frame[[*groups, "position", "item", "click"]], {"session": "visit"} if groups[1:] else None
    )
    assert any("positions count up are a slate" in text for text in log.treatments)
    if groups:
        # Ann's slate, and Bob's two, of which the second continues after hers.
        assert log.items.tolist() == [[1, 0], [0, 1], [2, 0]]
        assert log.users.tolist() == [0, 1, 1]
        assert log.has_sessions == (len(groups) == 2)
    else:
        assert log.items.tolist() == [[0, 1], [2, -1], [1, 0], [0, -1]]


def test_sessions_and_steps():
    frame = pd.DataFrame(
        {
            "user": ["u"] * 5 + ["v"],
            "session": ["late", "late", "early", "early", "early", "late"],
            "step": [0, 1, 0, 2, 3, 0],
            "time": [9, 10, 1, 2, 1.5, 0],
            "item": list("abcabc"),
            "click": [0, 1, 0, 0, 1, 0],
        }
    )
    log = read(frame)
    assert log.sessions.tolist() == [0, 0, 0, 1, 1, 2]
    assert log.catalogue.ids[log.items[:, 0]].tolist() == ["c", "a", "b", "a", "b", "c"]
    assert log.steps.tolist() == [0, 1, 2, 0, 1, 0]
    assert "1 of 3 sessions lack steps" in " ".join(log.treatments)
    assert "1 sessions have times that go back" in " ".join(log.treatments)
    no_user = read(frame, {"user": None, "time": None})
    assert no_user.num_users == 2
    assert no_user.has_sessions


def test_sessions_by_pauses():
    frame = pd.DataFrame(
        {
            "user": [1, 1, 1, 2],
            "time": pd.to_datetime(
                ["2026-01-01 10:00", "2026-01-01 10:10", "2026-01-01 11:00", "2026-01-01 10:05"]
            ),
            "item": [1, 2, 1, 2],
            "click": [1, 0, 0, 0],
        }
    )
    log = read(frame, session_gap=30 * 60)
    assert log.sessions.tolist() == [0, 0, 1, 2]
    assert log.has_sessions


def test_values_of_clicks():
    frame = impressions(watch_time=[0.0, 12.5, 3.0, 0.0, np.nan])
    log = read(frame)
    assert log.value_name == "time"
    np.testing.assert_array_equal(
        log.values, np.float32([[np.nan, np.nan], [np.nan, np.nan], [np.nan, 12.5]])
    )
    assert "1 clicks have no duration: their values are unknown." in log.treatments
    by_time = read(frame.drop(columns="click"))
    assert by_time.clicks.tolist() == [[False, False], [True, False], [False, True]]
    rated = impressions(stars=[np.nan, 4, np.nan, np.nan, 1])
    by_rating = read(rated, {"click": None})
    assert by_rating.value_name == "rating"
    assert by_rating.clicks.tolist() == read(rated).clicks.tolist()


def test_gaps_in_positions_stay():
    log = read(impressions(position=[0, 2, 0, 1, 0]))
    assert log.positions.tolist() == [[0, 1], [0, 0], [0, 2]]
    assert "1 of 3 slates have gaps in their positions" in " ".join(log.treatments)


def test_users_with_one_impression_stay():
    log = read(impressions()[1:])
    assert log.num_users == 2
    assert "1 of 2 users have one impression" in " ".join(log.treatments)


def test_tables_of_items_and_users():
    log = impressions()[["user_id", "timestamp", "position", "item_id", "click"]]
    items = pd.DataFrame(
        {"id": [9, 7, 8], "genre": ["x", "y", "y"], "name": ["N", None, "E"], "size": [1, 2, 3]}
    )
    with pytest.raises(ValueError, match="must have the column 'item_id'"):
        read(log, item_table=items)
    users = pd.DataFrame({"user_id": ["ann"], "age": [40]})
    items = items.rename(columns={"id": "item_id"})
    read_log = read(log, item_table=items, user_table=users)
    assert read_log.catalogue.names.tolist() == ["7", "N", "10"]
    assert read_log.catalogue.topic_names == ("", "x", "y")
    assert read_log.catalogue.features.tolist() == [[2], [1], [1.5]]
    assert read_log.user_table.features.tolist() == [[40], [40]]
    text = " ".join(read_log.treatments)
    assert "1 items of the table of items are never in the log: they are left out." in text
    assert "1 items of the log are not in the table of items." in text
    assert "1 users: they get the mean" in text
    chosen = read(
        log, {"item_features": ["size"]}, item_table=items.rename(columns={"id": "item_id"})
    )
    assert chosen.catalogue.feature_names == ("size",)


def test_ratings():
    log = read(ratings())
    assert isinstance(log, RatingsLog)
    assert log.user_table.ids.tolist() == ["1", "2"]
    assert log.catalogue.ids.tolist() == ["4", "5"]
    assert list(zip(log.users, log.items, log.ratings)) == [(0, 1, 5.0), (1, 0, 1.0), (1, 1, 3.5)]
    assert log.times[1] == pd.Timestamp("2026-01-01").timestamp()
    assert "1 ratings were followed by another" in log.treatments[0]
    with pytest.raises(ValueError, match="got all of 4 clicked"):
        read(ratings(), kind="slates")


def test_episode_log(tmp_path):
    config = {"num_candidates": 5, "slate_size": 2, "resample_documents": False, "seed": 0}
    path = str(tmp_path / "episodes.parquet")
    simulate.simulate(
        functools.partial(interest_exploration.create_vector_environment, config),
        random_agent.VectorRandomAgent,
        20,
        num_steps=3,
        workers=1,
        parquet_log=path,
    )
    log = read(path)
    frame = recsim.read_episodes(path)
    assert log.num_impressions == len(frame) == 120
    assert (log.num_users, log.num_sessions, log.slate_size) == (20, 20, 2)
    assert log.clicks.sum() == frame["response_click"].sum()
    np.testing.assert_allclose(log.propensities, 0.2)
    assert read(frame).fingerprint == log.fingerprint


@pytest.mark.parametrize(
    ("changes", "columns", "message"),
    [
        ({}, {"item": "article"}, "must have the column 'article'"),
        ({}, {"itm": "item_id"}, "Did you mean 'item'"),
        ({}, {"item": "click", "click": "click"}, "named for two meanings"),
        ({"User_ID": 1}, {}, "look both like the user"),
        ({"propensity": [0.5, 0.0, 1, 1, 1]}, {}, r"'propensity' .* above 0 .* got 0.0 in row 1"),
        ({"propensity": [0.5, 0.5, 1, 1, 1.5]}, {}, r"'propensity' .* got 1.5 in row 4"),
        ({"propensity": [0.5, None, 1, 1, 1]}, {}, "all of them, or none, got nothing in row 1"),
        ({"position": [1, 1, 1, 2, 1]}, {}, "two at position 0 in row 0 and row 1"),
        ({"position": [1, 2.5, 1, 2, 1]}, {}, r"'position' .* whole numbers .* got 2.5 in row 1"),
        ({"position": ["top", "2", "1", "2", "1"]}, {}, "got 'top' in row 0. The column was g"),
        ({"click": [0, 2, 0, 0, 1]}, {}, r"'click' .* 0 or 1, .* got 2 in row 1"),
        ({"click": ["no", "maybe", "no", "no", "yes"]}, {}, "got 'maybe' in row 1"),
        ({"click": [0, None, 0, 0, 1]}, {}, "something in each row, got nothing in row 1"),
        ({"click": 0}, {}, "none of 5 clicked"),
        ({"click": 1}, {}, "all of 5 clicked"),
        ({"item_id": 3}, {}, "at least two items"),
        ({"user_id": ["bob", None, "ann", "ann", "ann"]}, {}, r"'user_id' .* in row 1"),
        ({"timestamp": ["2026-01-01", "noon", "", "", ""]}, {}, r"'timestamp' .* row 2"),
        ({"timestamp": ["2026-01-01", "noon", "1", "1", "1"]}, {}, "dates such as .* 'noon' in"),
        ({"timestamp": [1, np.inf, 1, 1, 1]}, {}, "'timestamp' must hold finite times"),
        ({"watch_time": [1, -1, 1, 1, 1]}, {}, "'watch_time' .* >= 0, got -1"),
    ],
)
def test_bad_slates(changes, columns, message):
    with pytest.raises(ValueError, match=message):
        read(impressions(**changes), columns)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rating": [3.5, None, 1, 5]}, "'rating' must hold something in each row"),
        ({"rating": ["good", "5", "1", "5"]}, "'rating' must hold numbers, got 'good' in row 0"),
        ({"rating": [3.5, np.inf, 1, 5]}, "'rating' must hold finite numbers, got inf in row 1"),
        ({"rating": 3}, "must not all be the same"),
        ({"movieId": 3}, "at least two items"),
    ],
)
def test_bad_ratings(changes, message):
    with pytest.raises(ValueError, match=message):
        read(ratings(**changes))


def test_rows_may_be_dropped():
    frame = impressions(click=[0, None, 0, 0, 1])
    log = read(frame, missing="drop")
    assert log.num_impressions == 4
    assert "1 of 5 rows were dropped, in which something is missing." in log.treatments
    with pytest.raises(ValueError, match="no row that is complete"):
        read(impressions(click=None), missing="drop")
    later = impressions(click=[None, 1, 0, 0, 2])
    with pytest.raises(ValueError, match="got 2.0 in row 4"):
        read(later, missing="drop")


def test_bad_files(tmp_path):
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    with pytest.raises(ValueError, match="is an empty file"):
        read(empty)
    empty.write_text("user,item,click\n")
    with pytest.raises(ValueError, match="has no row"):
        read(empty)
    empty.write_text("user,item,click\n1,2\n")
    with pytest.raises(ValueError, match="cannot be read as a table"):
        read(empty)
    empty.write_text("1,2,0\n1,3,1\n")
    with pytest.raises(ValueError, match="looks like data"):
        read(empty)
    empty.write_text("user,item,click,item\n1,2,0,2\n")
    with pytest.raises(ValueError, match="'item' more than once"):
        read(empty)
    empty.write_text("user,item,click\n1,2,0\n1,3,x\n")
    with pytest.raises(ValueError, match="got 'x' in line 3"):
        read(empty)
    empty.write_bytes(b"user,item\xff,click\n1,2,0\n1,3,x\n")
    with pytest.raises(ValueError, match="nor text in UTF-8"):
        read(empty)
    empty.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ValueError, match="damaged or not a Parquet file"):
        read(empty)
    lines = "".join(f"{number},{number % 7},{number % 2}\n" for number in range(50_000))
    whole = gzip.compress(f"user,item,click\n{lines}".encode(), mtime=0)
    damaged = tmp_path / "damaged.csv.gz"
    for content in (b"\x1f\x8b\x08 and then nothing", whole[:-1000] + b"x" * 1000):
        damaged.write_bytes(content)
        with pytest.raises(OSError, match=r"damaged.csv.gz' cannot be read"):
            read(damaged)
    with pytest.raises(FileNotFoundError, match="there is none"):
        read(tmp_path / "absent.csv")
    with pytest.raises(ValueError, match=r"without \.parquet files"):
        read(tmp_path)
    with pytest.raises(TypeError, match="table must be the path"):
        read(3)


def test_options_without_effect():
    with pytest.raises(ValueError, match="separator and column_names"):
        read(impressions(), separator=";")
    with pytest.raises(ValueError, match="kind must be"):
        read(impressions(), kind="clicks")
    with pytest.raises(ValueError, match="missing must be"):
        read(impressions(), missing="keep")
    with pytest.raises(ValueError, match="no effect: the log has no column of users"):
        read(impressions()[["item_id", "click"]], user_table=impressions())
    with pytest.raises(ValueError, match="session_gap must be left out"):
        read(impressions()[["item_id", "click"]], session_gap=3)
    with pytest.raises(ValueError, match="has no column click"):
        read(impressions(rating=1), {"click": "click"}, kind="ratings")
    with pytest.raises(ValueError, match="column of responses"):
        read(impressions().drop(columns="click"))


def test_too_many_categories():
    number = 60
    frame = pd.DataFrame(
        {"item": np.arange(number), "click": np.arange(number) % 2, "item_feature_url": "a"}
    )
    frame["item_feature_url"] += frame["item"].astype(str)
    assert "60 categories, more than 50: it is left out" in " ".join(read(frame).treatments)
    with pytest.raises(ValueError, match="must have at most 50"):
        read(frame, {"item_features": ["item_feature_url"]})


def test_what_does_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    frame = pd.DataFrame({"item": np.arange(200_000) % 7, "click": np.arange(200_000) % 2})
    frame.to_parquet(tmp_path / "log.parquet")
    frame.to_csv(tmp_path / "log.csv", index=False)
    monkeypatch.setattr("recsim._internal.resources.usable_memory", lambda: 2**20)
    monkeypatch.setattr("recsim._internal.resources._ALWAYS_THERE", 2**20)
    for name in ("log.parquet", "log.csv"):
        with pytest.raises(MemoryError, match="200,000 rows or more need .* take a sample"):
            read(tmp_path / name)


def test_what_cannot_be_read_leaves_no_folder(tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "there").mkdir()
    for folder in ("new", "there"):
        with pytest.raises(ValueError, match="empty file"):
            fitting.fit(tmp_path / "empty.csv", output=tmp_path / folder, tell=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.csv", "there"]
