"""Tables of text: as plain columns that fit a terminal, and as Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

__all__ = ["Table", "laid_out", "markdown", "plain"]

_GAP = "  "


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: a line on it.
        header: the names of the columns.
        rows: as many cells each as there are columns.
        num_labels: how many columns, the first ones, name a row.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    num_labels: int = 1


def markdown(table: Table) -> str:
    """Returns a table as Markdown that can be read as it is, names left and numbers right.

    Example:
        >>> print(markdown(Table("Fruit:", ["kind", "number"], [["pear", "5"], ["plum", "12"]])))
        Fruit:
        <BLANKLINE>
        | kind | number |
        | :--- | -----: |
        | pear |      5 |
        | plum |     12 |
    """
    columns = [[cell.replace("|", r"\|") for cell in column] for column in _columns(table)]
    labels, *columns = _padded(columns)
    labels.insert(1, ":".ljust(len(labels[0]), "-"))
    for column in columns:
        column.insert(1, ":".rjust(len(column[0]), "-"))
    lines = [f"| {' | '.join(row)} |" for row in zip(labels, *columns)]
    return "\n".join([table.title, "", *lines])


def plain(table: Table, width: int = 80) -> str:
    """Returns a table as columns of plain text.

    Args:
        table: the table.
        width: number of columns of the terminal. A wider table continues below.
    """
    columns = _columns(table)
    # The names of the rows stand before each part of the table.
    labels = [_GAP.join(cells) for cells in zip(*_padded(columns[: table.num_labels]))]
    return "\n".join([table.title, "", laid_out(labels, [columns[table.num_labels :]], width)])


def laid_out(labels: Sequence[str], groups: Sequence[Sequence[Sequence[str]]], width: int) -> str:
    """Sets columns side by side; what is wider than the terminal continues below.

    Args:
        labels: the leftmost column, which stands before each part of the table.
        groups: the other columns, of as many cells, by what is best kept together.
        width: greatest length of a line, unless a single column needs more.
    """
    together = [column for group in groups for column in group]
    if _width([labels, *together]) <= width:
        return _part(labels, together)
    parts: list[list[Sequence[str]]] = []
    for group in groups:
        part: list[Sequence[str]] = []
        for column in group:
            if part and _width([labels, *part, column]) > width:
                parts.append(part)
                part = []
            part.append(column)
        parts.append(part)
    return "\n\n".join(_part(labels, part) for part in parts if part)


def _width(columns: Sequence[Sequence[str]]) -> int:
    return sum(max(map(len, column)) for column in columns) + len(_GAP) * (len(columns) - 1)


def _part(labels: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
    rows = zip(*_padded([labels, *columns]))
    return "\n".join(_GAP.join(row).rstrip() for row in rows)


def _columns(table: Table) -> list[list[str]]:
    return [list(column) for column in zip(table.header, *table.rows)]


def _padded(columns: Sequence[Sequence[str]]) -> list[list[str]]:
    """Returns columns whose cells are of one length each: labels to the left, numbers right."""
    labels, *numbers = columns
    padded = [[cell.ljust(max(map(len, labels))) for cell in labels]]
    return padded + [[cell.rjust(max(map(len, column))) for cell in column] for column in numbers]
