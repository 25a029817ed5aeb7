"""An episode as a page to step through, which needs no other file and no network."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim import types
from recsim.watching import _columns
from recsim.watching._leaves import Leaf

if TYPE_CHECKING:
    from recsim.watching.episode import Episode, Step

__all__ = ["notebook", "page"]

# How long the data of the steps may be, in characters: on a page, and in a notebook, which is saved
# with each of its outputs.
_MOST_ON_A_PAGE = 20_000_000
_MOST_IN_A_NOTEBOOK = 2_000_000

_SPEEDS = (0.5, 1, 2, 5, 10, 25)

_BODY = """\
<header>
<h1>{title}</h1>
<p class="dim">{about}</p>
</header>
<nav aria-label="Steps">
<div class="buttons">
<button type="button" id="first" aria-keyshortcuts="Home">First</button>
<button type="button" id="back" aria-keyshortcuts="ArrowLeft">Back</button>
<button type="button" id="play" class="main" aria-keyshortcuts="Space">Play</button>
<button type="button" id="next" aria-keyshortcuts="ArrowRight">Next</button>
<button type="button" id="last" aria-keyshortcuts="End">Last</button>
</div>
<span id="where"></span>
<input type="range" id="slider" min="1" value="1" aria-label="Step">
<label><span>Speed</span> <select id="speed" aria-label="Steps per second">{speeds}</select></label>
</nav>
<p id="say" class="hidden" aria-live="polite"></p>
<noscript><p>This page needs JavaScript to show the episode.</p></noscript>
<main>
<div class="column">
<section aria-labelledby="h-slate"><h2 id="h-slate">The slate, and what the user chose</h2>
<ol id="slate" class="slate"></ol><p id="chances" class="dim"></p></section>
<section aria-labelledby="h-candidates">
<h2 id="h-candidates">Candidates <span id="number" class="dim"></span></h2>
<div class="scroll" tabindex="0" role="region" aria-label="Candidates"><table><thead>
<tr id="candidates-head"></tr></thead><tbody id="candidates-body"></tbody></table></div></section>
</div>
<div class="column">
<section aria-labelledby="h-reward"><h2 id="h-reward">Reward</h2>
<p id="numbers"></p><div id="reward"></div></section>
<section aria-labelledby="h-agent"><h2 id="h-agent">What the agent went by</h2>
<div id="agent"></div></section>
<section aria-labelledby="h-state"><h2 id="h-state">The user's hidden state</h2>
<div id="state"></div></section>
<section aria-labelledby="h-user"><h2 id="h-user">What the agent saw of the user</h2>
<div id="user"></div></section>
</div>
</main>
<p class="dim">Keys: ← and → for a step, space to play or pause, Home and End, + and − for the
speed; on a touch screen, swipe.</p>
"""


def page(episode: Episode, most: int = _MOST_ON_A_PAGE) -> str:
    """Returns the page of an episode.

    Args:
        episode: the episode.
        most: how many characters the data of the steps may have. Of a longer episode the page has
            the first steps, at least one, and says so.
    """
    data, num_shown = _data(episode, most)
    folder = resources.files(__package__)
    style = (folder / "page.css").read_text(encoding="utf-8")
    script = (folder / "page.js").read_text(encoding="utf-8")
    ended = "truncated by the limit on its steps" if episode.truncated else "ended by itself"
    about = f"{episode.length}, return {episode.total_reward:,.6g}, {ended}."
    if num_shown < len(episode):
        about += (
            f" The page has the first {num_shown:,} steps of {len(episode):,}, for its size is "
            "limited."
        )
    speeds = "".join(
        f'<option value="{speed:g}"{" selected" if speed == 1 else ""}>{speed:g}/s</option>'
        for speed in _SPEEDS
    )
    body = _BODY.format(title=html.escape(episode.title), about=html.escape(about), speeds=speeds)
    # Nothing but this style and this script takes effect, whatever the data say.
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(episode.title)}</title>\n<style>{style}</style>\n</head>\n"
        f'<body>\n{body}<script type="application/json" id="episode">{data}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def notebook(episode: Episode) -> str:
    """Returns the page as a part of a notebook, in a frame that keeps apart from its styles."""
    text = page(episode, _MOST_IN_A_NOTEBOOK)
    return (
        f"<p>{html.escape(repr(episode)[1:-1])}</p>\n"
        f'<iframe srcdoc="{html.escape(text)}" title="{html.escape(episode.title)}" '
        'style="width: 100%; height: 46rem; border: 1px solid gray"></iframe>'
    )


def _digest(text: str) -> str:
    """Returns what a content security policy knows a script by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _dumps(data: object) -> str:
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def _data(episode: Episode, most: int) -> tuple[str, int]:
    """Returns an episode as JSON that may stand in a page, and how many of its steps it has."""
    features = _columns.columns_of(step.candidates for step in episode)
    responses = _columns.columns_of(step.responses for step in episode)
    states = _columns.series_of([s.state for s in episode] + [s.next_state for s in episode])
    users = _columns.series_of(step.user for step in episode)
    agent = list(
        dict.fromkeys(
            name
            for step in episode
            for table in (step.explanation.tables if step.explanation else ())
            if table.of == "candidate"
            for name in table.columns
        )
    )
    sets: dict[str, int] = {}
    steps: list[str] = []
    size = 0
    for step in episode:
        candidates = _dumps(
            {
                "ids": list(step.item_ids),
                **({} if step.item_names is None else {"names": list(step.item_names)}),
                "columns": [
                    _rows(column, step.candidates.get(column.name), len(step.item_ids))
                    for column in features
                ],
            }
        )
        text = _dumps(_step(step, responses, agent, sets.get(candidates, len(sets))))
        size += len(text) + (0 if candidates in sets else len(candidates))
        size += _size_of_values([*states, *users])
        if steps and size > most:
            break
        sets.setdefault(candidates, len(sets))
        steps.append(text)
    shown = episode.steps[: len(steps)]
    rest = {
        "most_entries": _columns.MOST_ENTRIES,
        "features": [dataclasses.asdict(column) for column in features],
        "responses": [
            {**dataclasses.asdict(column), "new": _is_new(column, episode)} for column in responses
        ],
        "agent": agent,
        "state": [
            _series(column, [*(s.state for s in shown), shown[-1].next_state]) for column in states
        ],
        "user": [_series(column, [s.user for s in shown]) for column in users],
    }
    text = f'{{"sets":[{",".join(sets)}],"steps":[{",".join(steps)}],{_dumps(rest)[1:]}'
    for sign in "<>&":  # What could end the element that the data are in.
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text, len(steps)


def _size_of_values(columns: Sequence[_columns.Column]) -> int:
    """Returns about how many characters the values of a step have."""
    entries = [min(column.size, _columns.MOST_ENTRIES) for column in columns if column.changes]
    return 10 * sum(entries)


def _is_new(column: _columns.Column, episode: Episode) -> bool:
    """Says whether responses have something that is not among the candidates' features."""
    return not any(column.name in step.candidates for step in episode.steps[:1])


def _step(
    step: Step, responses: Sequence[_columns.Column], agent: Sequence[str], number_of_set: int
) -> dict[str, Any]:
    return {
        "set": number_of_set,
        "slate": list(step.slate),
        "p": None if step.probabilities is None else _plain(step.probabilities),
        "responses": [
            _rows(column, step.responses.get(column.name), len(step.slate)) for column in responses
        ],
        "clicked": None if step.clicked is None else list(step.clicked),
        "reward": step.reward,
        "agent": None
        if step.explanation is None
        else _explanation(step.explanation, agent, len(step.item_ids)),
    }


def _explanation(
    explanation: types.Explanation, agent: Sequence[str], num_candidates: int
) -> dict[str, Any]:
    of_candidates: dict[str, list[float | None]] = {}
    tables = []
    for table in explanation.tables:
        columns = {name: _plain(np.asarray(column)) for name, column in table.columns.items()}
        if table.of != "candidate":
            rows = [
                " ".join(map(str, row)) if isinstance(row, (tuple, list)) else str(row)
                for row in table.rows
            ]
            tables.append({"of": table.of, "rows": rows, "columns": list(columns.items())})
            continue
        for name, column in columns.items():
            values = of_candidates.setdefault(name, [None] * num_candidates)
            for row, value in zip(table.rows, column):
                if isinstance(row, (int, np.integer)) and 0 <= row < num_candidates:
                    values[row] = value
    return {
        "title": explanation.title,
        "tables": tables,
        "candidates": [of_candidates.get(name) for name in agent],
        "numbers": [[name, _number(value)] for name, value in explanation.numbers.items()],
    }


def _rows(
    column: _columns.Column, values: np.ndarray | None, number: int, digits: int = 4
) -> list[Any]:
    """Returns the values of a column, one for each row, None where there is none."""
    if values is None or not values.size:
        return [None] * number
    if column.kind == _columns.TEXT:
        return [str(value) for value in values]
    if column.kind == _columns.ONE_HOT:
        return _plain(_columns.one_hot_index(values))
    flat = values.reshape(len(values), -1)
    if column.kind == _columns.NUMBER:
        return _plain(flat[:, 0], digits)
    return _plain(flat[:, : _columns.MOST_ENTRIES], digits)


def _series(column: _columns.Column, steps: Sequence[Mapping[str, Leaf]]) -> dict[str, Any]:
    """Returns a column with its values, one a step, or the only one where it does not change."""
    values = []
    for step in steps if column.changes else steps[:1]:
        value = step.get(column.name)
        row = None if value is None else np.asarray(value)[np.newaxis]
        values.append(_rows(column, row, 1, digits=6)[0])
    return {**dataclasses.asdict(column), "values": values}


def _plain(values: np.ndarray, digits: int = 4) -> list[Any]:
    """Returns an array as lists of numbers with few digits, None for what is not finite."""
    if values.dtype.kind in "iub":
        integers: list[Any] = values.tolist()
        return integers
    if values.ndim > 1:
        return [_plain(row, digits) for row in values]
    return [_number(value, digits) for value in values.tolist()]


def _number(value: float, digits: int = 4) -> float | int | None:
    if not np.isfinite(value):
        return None
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
