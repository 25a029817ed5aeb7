"""The results of a comparison as a table of plain text."""

from __future__ import annotations

import numpy as np

from recsim import registry
from recsim.experiments import comparison, statistics, tables

__all__ = ["heading", "table", "text"]

_MAX_TOPICS = 5
_GAP = "  "


def text(results: comparison.Results, width: int = 80) -> str:
    """Returns heading, table and what is to be said about them.

    Args:
        results: what the comparison measured.
        width: number of columns of the terminal. A wider table continues below.
    """
    notes = [*_notes(results), *_differences(results)]
    return "\n".join([heading(results), "", table(results, width), "", *notes])


def heading(results: comparison.Results) -> str:
    """Returns two lines on what was run."""
    settings = results.settings
    num_envs = settings.get("num_envs")
    return (
        f"{settings['environment']}: {_count(settings['num_candidates'], 'candidate')}, slates of "
        f"{settings['slate_size']}, seed {settings['seed']}\n"
        f"{_count(settings['episodes'], 'episode')} of up to "
        f"{_count(settings['max_steps_per_episode'], 'step')}"
        + (f", {_count(num_envs, 'user')} in parallel" if num_envs else "")
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def table(results: comparison.Results, width: int = 80) -> str:
    """Returns the table: a row an agent, a column a measure, as mean ± standard deviation."""
    agents = list(results.episodes)
    measures = [
        [*header, *(_cell(_values(results, agent, name), style) for agent in agents)]
        for header, name, style in _MEASURES
    ]
    return tables.laid_out(["", "agent", *agents], [measures, _topic_columns(results)], width)


def _values(results: comparison.Results, agent: str, name: str) -> np.ndarray | None:
    """Returns a measure by episode; users in parallel have one speed in common."""
    values = results.episodes[agent].get(name)
    together = name == "steps_per_second" and results.settings.get("num_envs")
    return values[:1] if together and values is not None else values


# Header (two lines), name of the measure and style of its numbers.
_MEASURES = (
    (("", "return"), "return", "{:.1f}"),
    (("click-through", "rate"), "click_through_rate", "{:.1%}"),
    (("quality", "of clicks"), "click_quality", "{:.2f}"),
    (("steps", "per second"), "steps_per_second", "{:,.0f}"),
)


def _topic_columns(results: comparison.Results) -> list[list[str]]:
    """Returns the columns of the topics clicked most, and of all others together."""
    topics = results.topics
    shown = topics
    if len(topics) > _MAX_TOPICS:
        # The sum goes by the mean share, and is there where nobody clicked too.
        total = {
            topic: np.nansum([results.click_shares(agent, [topic]) for agent in results.episodes])
            for topic in topics
        }
        shown = sorted(sorted(topics, key=total.__getitem__)[-_MAX_TOPICS:])
    groups = {f"topic {topic}": [topic] for topic in shown}
    others = [topic for topic in topics if topic not in shown]
    if others:
        groups[f"{len(others)} others"] = others
    return [
        [
            "clicks on",
            name,
            *(_cell(results.click_shares(agent, group), "{:.0%}") for agent in results.episodes),
        ]
        for name, group in groups.items()
    ]


def _cell(values: np.ndarray | None, style: str) -> str:
    """Returns mean ± standard deviation; without the latter where there is one value."""
    if values is None:
        return "–"
    of_episodes = statistics.mean_and_deviation(values)
    numbers = (of_episodes["mean"], of_episodes["standard_deviation"])
    return " ± ".join(style.format(number) for number in numbers if number is not None) or "–"


def _notes(results: comparison.Results) -> list[str]:
    settings = results.settings
    unit = registry.environment_entry(settings["environment"]).reward
    notes = [
        f"Mean ± standard deviation over the episodes. Return: {unit}.",
    ]
    if results.topics:
        notes.append("Clicks on a topic: share of an episode's clicks.")
    for agent, steps in settings["training_steps"].items():
        if settings["training_updates"][agent] == 0:
            notes.append(
                f"{agent} has learned nothing: it made no update in {_count(steps, 'step')}."
            )
        else:
            notes.append(f"{agent} was trained for {_count(steps, 'step')} with other users.")
    if settings["training_steps"]:
        notes += [
            "Deviations and intervals are over users, with one seed of training: the same",
            "agent trained with another seed may differ from this one by more than they say.",
        ]
    return notes


def _differences(results: comparison.Results) -> list[str]:
    """Returns how far the returns are above those of the last agent, a line an agent."""
    differences = results.return_differences()
    if not differences:
        return []
    size = max(len(entry["agent"]) for entry in differences)
    lines = [
        f"Return above {differences[0]['baseline']}'s, user by user (95% interval of the mean):"
    ]
    for entry in differences:
        line = f"{_GAP}{entry['agent']:<{size}}{_GAP}{entry['mean']:+.1f}"
        if entry["low"] is not None:
            line += f" ({entry['low']:+.1f} to {entry['high']:+.1f})"
        lines.append(line)
    return lines
