"""Every scenario and every agent that is registered has its page, under the headings of all."""

from __future__ import annotations

import re

import pytest
from support import CHECKOUT

from recsim import cli, registry

DOCS = CHECKOUT / "docs"
SCENARIOS = [*registry.ENVIRONMENTS, "fitted"]
SCENARIO_HEADINGS = [
    "Story",
    "Observation space",
    "Action space",
    "Dynamics",
    "Reward",
    "Episode end",
    "Parameters",
    "Known results",
    "In every interface",
    "References",
]
AGENT_HEADINGS = ["Idea", "Equations", "Settings", "Example", "Results", "When not to use it"]


def pages(folder: str) -> dict[str, str]:
    return {
        path.stem: path.read_text(encoding="utf-8") for path in sorted((DOCS / folder).glob("*.md"))
    }


def headings(text: str) -> list[str]:
    return re.findall(r"^## (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)


def agents_of(text: str) -> list[str]:
    """Returns the names in a page's directive ``{agents}``."""
    return " ".join(re.findall(r"^```\{agents\} ([\w ]+)$", text, re.M)).split()


def has_executed_example(text: str) -> bool:
    return any(":tags: [remove-" not in cell for cell in text.split("```{code-cell}\n")[1:])


def test_every_scenario_has_a_page():
    assert sorted(pages("scenarios")) == sorted(SCENARIOS)


@pytest.mark.parametrize("name", SCENARIOS)
def test_page_of_a_scenario_has_the_headings_and_tables_of_all(name):
    text = pages("scenarios")[name]
    assert headings(text) == SCENARIO_HEADINGS
    for directive in ("scenario", "observations", "actions", "parameters"):
        assert f"```{{{directive}}} {name}\n" in text
    assert has_executed_example(text)


def test_every_agent_has_one_page():
    named = [name for text in pages("agents").values() for name in agents_of(text)]
    assert sorted(named) == sorted(registry.AGENTS)


@pytest.mark.parametrize("page", pages("agents"))
def test_page_of_agents_has_the_headings_of_all(page):
    text = pages("agents")[page]
    assert headings(text) == AGENT_HEADINGS
    assert agents_of(text)
    assert "```{settings} recsim." in text
    assert has_executed_example(text)


def test_page_of_the_command_line_names_every_command_and_scenario(capsys):
    assert cli.main([]) == 0
    listed = re.findall(r"\{([a-z,]+)\}", capsys.readouterr().out)
    commands = listed[0].split(",")
    text = (DOCS / "command_line.md").read_text(encoding="utf-8")
    introduction = text.partition("\n## ")[0]
    assert sorted(re.findall(r"`recsim ([a-z]+)`", introduction)) == sorted(commands)
    (scenarios,) = re.findall(r"^--environment NAME \.\.\. +scenarios: (.+\n +.+)$", text, re.M)
    named = re.split(r",\s+", scenarios)
    assert named[:-1] == list(registry.ENVIRONMENTS) and named[-1].startswith("or the folder")
