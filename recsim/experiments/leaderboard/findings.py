"""What the tables of the leaderboard show, in sentences that are made of the entries.

Where something is said to be beyond the error, the 95% intervals over seeds are apart.

Example:
    >>> import tempfile
    >>> from recsim.experiments.leaderboard import page, runs, tasks
    >>> version = tasks.version_of("recsim-slates-v1-quick")
    >>> place = runs.Place(workers=1, progress=False)
    >>> agents = ["random"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = runs.run(version, folder, agents, only_tasks=["easy"], place=place)
    >>> sentences(page.Board(found))[0][:28]
    'In `easy` random slates earn'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim.experiments import statistics
from recsim.experiments.leaderboard import baselines

if TYPE_CHECKING:
    from recsim.experiments.leaderboard import page

__all__ = ["markdown", "sentences"]

_RANDOM = "random"
# So many names are listed; more are counted.
_MOST_NAMES = 3

_Estimates = dict[str, Mapping[str, Any]]


def markdown(board: page.Board) -> str:
    """Returns the sentences as a list in Markdown.

    Args:
        board: what entries say together.

    Example:
        >>> import tempfile
        >>> from recsim.experiments.leaderboard import page, runs, tasks
        >>> version = tasks.version_of("recsim-slates-v1-quick")
        >>> place = runs.Place(workers=1, progress=False)
        >>> agents = ["random"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = runs.run(version, folder, agents, only_tasks=["easy"], place=place)
        >>> markdown(page.Board(found)).startswith("- In `easy` random slates earn ")
        True
    """
    return "".join(f"- {sentence}\n" for sentence in sentences(board))


def sentences(board: page.Board) -> list[str]:
    """Returns what the tables show: of all tasks together, and of each.

    Args:
        board: what entries say together.

    Example:
        >>> import tempfile
        >>> from recsim.experiments.leaderboard import page, runs, tasks
        >>> version = tasks.version_of("recsim-slates-v1-quick")
        >>> place = runs.Place(workers=1, progress=False)
        >>> agents = ["random", "greedy_pctr"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = runs.run(version, folder, agents, only_tasks=["easy"], place=place)
        >>> (sentence,) = sentences(page.Board(found))
        >>> sentence.split(",")[0]
        'In `easy` `greedy_pctr` earns the most of all agents'
    """
    found = [] if len(board.tasks) < 2 else [_of_all(board)]
    return [*found, *(_of_task(board, task) for task in board.tasks)]


def _of_all(board: page.Board) -> str:
    """Says who has the highest score in all tasks."""
    scores: _Estimates = {entry.agent: board.overall(entry) for entry in board.complete}
    digits = "{:.2f}"
    agents = _agents(scores)
    best = max(agents, key=lambda name: agents[name]["mean"])
    parts = [f"In all tasks together {_code(best)} has the highest score of all agents, "]
    parts.append(f"{_number(agents[best], digits)}{_within(best, agents)}.")
    if baselines.ORACLE in scores:
        parts.append(f" The oracle has {_number(scores[baselines.ORACLE], digits)}.")
    return "".join(parts)


def _of_task(board: page.Board, task: str) -> str:
    """Says who earns the most in a task, and how others stand to random slates and the oracle."""
    earned: _Estimates = {
        entry.agent: _estimate(board.returns(entry, task)) for entry in board.ranked(task)
    }
    agents = _agents(earned)
    others = {name: of for name, of in agents.items() if name != _RANDOM}
    if not others:
        return f"In {_code(task)} random slates earn {_number(earned[_RANDOM])}."
    best = next(iter(agents))
    parts = [
        f"In {_code(task)} {_code(best)} earns the most of all agents, "
        f"{_number(agents[best])}{_within(best, agents)}"
    ]
    trained = [entry.agent for entry in board.trained(task)]
    if trained and best not in trained:
        parts.append(f"; of those that are trained {_code(trained[0])}, ")
        parts.append(_number(agents[trained[0]]))
    parts.append(f". Random slates earn {_number(earned[_RANDOM])}")
    oracle = earned.get(baselines.ORACLE)
    if oracle is not None:
        parts.append(f", the oracle {_number(oracle)}")
    counts = {
        "Above random slates beyond the error": sum(
            _is_apart(earned[_RANDOM], of) for of in others.values()
        ),
        "below": sum(_is_apart(of, earned[_RANDOM]) for of in others.values()),
    }
    if oracle is not None:
        counts["above the oracle"] = sum(_is_apart(oracle, of) for of in others.values())
    of_all = f" of {len(others)} agent{'s' * (len(others) > 1)}"
    shares = [f"{what}: {number or 'none'}" for what, number in counts.items()]
    return f"{''.join(parts)}. {shares[0]}{of_all}; {'; '.join(shares[1:])}."


def _agents(estimates: _Estimates) -> _Estimates:
    """Returns the estimates of agents, less the oracle's, which is none."""
    return {name: of for name, of in estimates.items() if name != baselines.ORACLE}


def _estimate(returns: np.ndarray) -> Mapping[str, Any]:
    if len(returns) < 2:
        return {"mean": float(returns.mean()), "low": None, "high": None}
    return statistics.estimate(returns)


def _is_apart(less: Mapping[str, Any], more: Mapping[str, Any]) -> bool:
    """Says whether an interval is below another one; not so where there is none."""
    high, low = less["high"], more["low"]
    return high is not None and low is not None and bool(high < low)


def _within(best: str, agents: _Estimates) -> str:
    """Says which agents the best one is not beyond the error of."""
    if agents[best]["low"] is None:
        return ""
    near = [name for name, of in agents.items() if name != best and not _is_apart(of, agents[best])]
    if not near:
        return ", beyond the error of all others" if len(agents) > 1 else ""
    if len(near) > _MOST_NAMES:
        return f", within the error of {len(near)} others"
    return f", within the error of {_listed([_code(name) for name in near])}"


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _number(estimate: Mapping[str, Any], digits: str = "{:,.2f}") -> str:
    """Returns a mean with its interval, if it has one."""
    mean, low, high = (
        None if estimate[name] is None else digits.format(round(estimate[name], 2) + 0.0)
        for name in ("mean", "low", "high")
    )
    return f"{mean}" if low is None else f"{mean} ({low} to {high})"


def _code(name: str) -> str:
    return f"`{name}`"
