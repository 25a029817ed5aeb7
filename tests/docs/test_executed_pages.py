"""Every page that explains how to do something has an example that the build of the site runs."""

from __future__ import annotations

import re

import pytest
from support import CHECKOUT

DOCS = CHECKOUT / "docs"
PAGES = {
    path.relative_to(DOCS).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(DOCS.rglob("*.md"))
    if "_build" not in path.parts
}
HEADER = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n"
#: What people want to do, and the page that shows how.
GUIDES = {
    "a scenario of one's own, both engines in one file": "how_to/own_scenario",
    "an agent of one's own": "how_to/own_agent",
    "a layer of one's own": "how_to/own_layer",
    "choice models": "how_to/choice_models",
    "testing a scenario": "how_to/testing_a_scenario",
    "logs and data frames": "episode_logs",
    "experiments and sweeps": "experiments",
    "their results": "experiment_results",
    "figures for a paper": "how_to/figures",
    "Gymnasium": "gymnasium",
    "users in parallel": "vector_engine",
    "Stable-Baselines3": "stable_baselines3",
    "plain PyTorch": "how_to/pytorch",
    "fitting to logs": "fitting",
    "off-policy evaluation": "off_policy_evaluation",
    "serving": "serving",
    "watching an episode": "watching",
    "clusters": "scaling",
    "moving from RecSim": "moving_from_recsim",
}
#: Pages without an example: lists, words, records of what was measured, and what commands print.
WITHOUT = {
    "agents",
    "benchmarks",
    "changelog",
    "citing",
    "command_line",
    "design",
    "deviations",
    "gallery",
    "glossary",
    "installation",
    "leaderboard",
    "reference",
    "robustness",
    *(page for page in PAGES if page.startswith("results/")),
}


def has_example(text: str) -> bool:
    """Says whether a page has a cell whose code is shown."""
    return any(":tags: [remove-" not in cell for cell in text.split("```{code-cell}\n")[1:])


def test_pages_without_an_example_are_those_that_need_none():
    assert {page for page, text in PAGES.items() if not has_example(text)} <= WITHOUT


@pytest.mark.parametrize("page", GUIDES.values(), ids=GUIDES)
def test_guide_is_led_to(page):
    (how_to,) = re.findall(r":caption: How to\n\n(.*?)```", PAGES["index"], re.S)
    start, *_ = re.findall(r":caption: Start\n\n(.*?)```", PAGES["index"], re.S)
    assert page in how_to.split() + start.split()


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if "```{code-cell}" in text])
def test_pages_with_cells_are_executed(page):
    assert PAGES[page].startswith(HEADER)
