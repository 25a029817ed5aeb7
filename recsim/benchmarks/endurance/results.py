"""What the phases of an endurance test found: a record as JSON, and the page that shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from recsim.experiments import tables

__all__ = ["TITLES", "Phase", "is_passed", "page"]

#: What each phase is about, in their order.
TITLES = {
    "soak": "Memory, files and processes",
    "kills": "Killed at random moments",
    "disks": "Full and bad disks",
    "checkpoints": "Checkpoints that were spoiled",
    "calls": "Calls with absurd arguments",
}


@dataclasses.dataclass(frozen=True)
class Phase:
    """What a phase found.

    Attributes:
        header: the names of the columns.
        rows: the table.
        problems: a line on each thing that went wrong.
        notes: sentences that say what the columns mean.
        details: what else is in the record.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    problems: Sequence[str]
    notes: str
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def is_passed(record: Mapping[str, Any]) -> bool:
    """Says whether nothing went wrong in the phases of a record."""
    return not any(phase["problems"] for phase in record["phases"].values())


def page(record: Mapping[str, Any]) -> str:
    """Returns a record as a page in Markdown."""
    parts = [
        "# Endurance",
        "How much the library withstands: hours of simulation and training in one process, runs "
        "that are killed, disks that are full, checkpoints that are spoiled, calls that make no "
        "sense. The command is\n\n```bash\npython -m recsim.benchmarks.endurance\n```\n\n"
        "with `--hours` for the length of the soak, the first third of which is warm-up, and "
        "`--quick` for all of it in two minutes.",
    ]
    for name, title in TITLES.items():
        phase = record["phases"].get(name)
        if phase is None:
            continue
        versions = ", ".join(f"{key} {value}" for key, value in phase["versions"].items())
        parts += [
            f"## {title}",
            tables.markdown(tables.Table(phase["notes"], phase["header"], phase["rows"])),
            f"`{phase['command']}`: {phase['seconds']:,.0f} seconds, seed {phase['seed']}, "
            f"{phase['system']}, {versions}.",
        ]
        if phase["problems"]:
            parts.append("\n".join(f"- {problem}" for problem in phase["problems"]))
    return "\n\n".join(parts) + "\n"
