"""The results of an experiment as tables of LaTeX, for a paper."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from recsim.experiments import _text, tables

if TYPE_CHECKING:
    from recsim.experiments import results

__all__ = ["latex"]

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "±": r"$\pm$",
    "–": "--",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def latex(of_results: results.Results, baseline: str | None, *, topics: bool) -> str:
    """Returns all tables, see :meth:`results.Results.to_latex`."""
    shown = [_table(table) for table in _text.all_tables(of_results, baseline, topics=topics)]
    marks = (f"{_text.BEST} the", "Bold: the"), (f"{_text.ALIKE} cannot", "underlined: cannot")
    notes = [*_text.notes(of_results), *_text.failures(of_results)]
    for mark, words in marks:
        notes = [note.replace(mark, words) for note in notes]
    return "\n".join([*shown, *(f"% {line}" for note in notes for line in note.splitlines())])


def _table(table: tables.Table) -> str:
    lines = [
        f"% {table.title}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
        r"\toprule",
        " & ".join(map(_escaped, table.header)) + r" \\",
        r"\midrule",
        *(" & ".join(_cells(row)) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        "",
    ]
    return "\n".join(lines)


def _cells(row: Sequence[str]) -> Iterator[str]:
    """Yields the cells of a row: the best in bold, what cannot be told apart from it underlined."""
    name, *numbers = row
    yield _escaped(name)
    for number in numbers:
        text = _escaped(number.rstrip(f" {_text.BEST}{_text.ALIKE}"))
        text = re.sub(r"-(?=\d)", "$-$", text)  # A minus, not a hyphen.
        if number.endswith(_text.BEST):
            text = rf"\textbf{{{text}}}"
        elif number.endswith(_text.ALIKE):
            text = rf"\underline{{{text}}}"
        yield text


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)
