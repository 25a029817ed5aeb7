"""Tables of text: as Markdown, and as columns that fit a terminal."""

from __future__ import annotations

from recsim.experiments import tables

TABLE = tables.Table(
    "Title", ["name", "a", "long header"], [["x", "1.0", "2"], ["yy", "10.0", "–"]]
)


def test_markdown():
    assert tables.markdown(TABLE).splitlines() == [
        "Title",
        "",
        "| name |    a | long header |",
        "| :--- | ---: | ----------: |",
        "| x    |  1.0 |           2 |",
        "| yy   | 10.0 |           – |",
    ]


def test_plain_fits_the_width():
    assert tables.plain(TABLE).splitlines() == [
        "Title",
        "",
        "name     a  long header",
        "x      1.0            2",
        "yy    10.0            –",
    ]
    assert tables.plain(TABLE, 22).splitlines()[2:] == [
        "name     a",
        "x      1.0",
        "yy    10.0",
        "",
        "name  long header",
        "x               2",
        "yy              –",
    ]


def test_names_of_rows_stand_before_every_part():
    table = tables.Table(
        "Title", ["name", "a", "b", "c"], [["x", "1", "2", "3"], ["yy", "10", "20", "30"]], 2
    )
    assert tables.plain(table, 12).splitlines()[2:] == [
        "name   a   b",
        "x      1   2",
        "yy    10  20",
        "",
        "name   a   c",
        "x      1   3",
        "yy    10  30",
    ]


def test_markdown_has_as_many_cells_where_a_name_has_a_bar():
    text = tables.markdown(tables.Table("t", ["agent", "x"], [["a|b", "1"]]))
    assert text.splitlines()[-1] == r"| a\|b  | 1 |"
