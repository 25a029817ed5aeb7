"""The results of an experiment as HTML: a page of its own, and a part of a notebook."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from recsim._internal import json_text, pages
from recsim.experiments import _figures, _text, plots, tables

if TYPE_CHECKING:
    from recsim.experiments import results

__all__ = ["fragment", "page"]

# Notebooks have names to the right.
_LEFT = 'style="text-align: left"'


def page(of_results: results.Results, baseline: str | None = None) -> str:
    """Returns the results as a page that needs no other file."""
    frame = of_results.to_dataframe()
    scenarios = list(dict.fromkeys(frame["scenario"]))
    has_seeds = frame["seed"].nunique() > 1
    title = f"Results: {', '.join(scenarios)}" if scenarios else "Results"
    parts = [f"<h1>{html.escape(title)}</h1>"]
    if not scenarios:
        parts.append("<p>No task has succeeded.</p>")
    parts += _failures(of_results)
    # The page of an experiment that is repeated is the same: times are elsewhere.
    parts += [_table(table) for table in _text.all_tables(of_results, baseline, times=False)]
    parts += [f'<p class="note">{html.escape(note)}</p>' for note in _text.notes(of_results)]
    for heading, panels in (
        ("Returns", _figures.return_panels(of_results)),
        ("Learning", _figures.curve_panels(of_results)),
        ("Over the episode", _figures.episode_panels(of_results)),
    ):
        figures = [
            pages.figure(plots.svg(_figures.drawn(panel)), panel.title, f"{heading[0]}{number}-")
            for number, (_, panel) in enumerate(panels)
        ]
        if figures:
            note = '<p class="note">Lines are means, bands their 95% intervals over seeds.</p>'
            bands = heading != "Returns" and has_seeds
            parts.append(f"<h2>{heading}</h2>\n{note * bands}")
            parts.append(f'<div class="figures">{"".join(figures)}</div>')
    parts += _record(of_results)
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(title)}</title>\n<style>{pages.STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def fragment(of_results: results.Results) -> str:
    """Returns the tables and the figure as HTML that stands in a notebook."""
    parts = [_table(table) for table in _text.all_tables(of_results)]
    parts += [
        f"<p><small>{html.escape(note)}</small></p>"
        for note in (*_text.notes(of_results), *_text.failures(of_results))
    ]
    if len(of_results.to_dataframe().query("measure == 'return'")):
        # As an image it keeps apart from the notebook's own styles.
        picture = base64.b64encode(plots.svg(_figures.overview(of_results)).encode()).decode()
        parts.append(
            '<img alt="Returns with their intervals, and learning curves" '
            f'style="max-width: 100%" src="data:image/svg+xml;base64,{picture}">'
        )
    return "<div>" + "\n".join(parts) + "</div>"


def _table(table: tables.Table) -> str:
    """Returns a table with the best of each column in bold."""
    first, *others = map(html.escape, table.header)
    head = f'<th scope="col" {_LEFT}>{first}</th>'
    head += "".join(f'<th scope="col">{name}</th>' for name in others)
    body = "".join(f"<tr>{''.join(_cells(row))}</tr>" for row in table.rows)
    title = html.escape(table.title)
    return (
        f'<p class="note">{title}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cells(row: Sequence[str]) -> Iterator[str]:
    name, *numbers = row
    breakable = html.escape(name.replace(",", ", ")).replace("_", "_<wbr>")
    yield f'<th scope="row" {_LEFT}>{breakable}</th>'
    for number in numbers:
        text = html.escape(number.strip())
        yield (
            f"<td><strong>{text}</strong></td>"
            if number.endswith(_text.BEST)
            else f"<td>{text}</td>"
        )


def _failures(of_results: results.Results) -> list[str]:
    lines = _text.failures(of_results)
    if not lines:
        return []
    parts = [f"<h2>Failures</h2>\n<p>{html.escape(lines[0])}</p>"]
    for line, failure in zip(lines[1:], of_results.metadata.failures):
        traceback = html.escape(str(failure.get("traceback", "")))
        parts.append(
            f"<details><summary>{html.escape(line)}</summary><pre>{traceback}</pre></details>"
        )
    return parts


def _record(of_results: results.Results) -> list[str]:
    """Returns what was run, and what else the numbers depend on, to be unfolded."""
    metadata = of_results.metadata
    named: Mapping[str, Mapping[str, object]] = {
        "Settings": metadata.spec,
        "Provenance": metadata.provenance,
    }
    parts = [
        f"<details><summary>{name}</summary>"
        f"<pre>{html.escape(json_text.dumps(data, indent=2))}</pre></details>"
        for name, data in named.items()
        if data
    ]
    return ["<h2>How it was run</h2>", *parts] if parts else []
