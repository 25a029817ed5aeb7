"""The pages of results show what the committed files of the reproductions say."""

from __future__ import annotations

import json
import re

import pytest
from support import CHECKOUT, RESULTS

from recsim import registry
from recsim.experiments import tables
from recsim.reproductions import base

PAGES = sorted(path.parent.name for path in RESULTS.glob("*/results.json"))


def test_there_are_pages():
    assert {"advantage_amplification", "bandits", "slateq"} <= set(PAGES)
    assert set(PAGES) <= {name.replace("-", "_") for name in registry.REPRODUCTIONS}


@pytest.mark.parametrize("name", PAGES)
def test_page_shows_the_committed_results(name):
    record = json.loads((RESULTS / name / "results.json").read_text(encoding="utf-8"))
    assert record["experiment"].replace("-", "_") == name
    experiment = registry.reproduction_entry(record["experiment"]).load()(**record["settings"])
    page = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    for table in experiment.tables(record["results"]):
        assert tables.markdown(table) in page
    assert experiment.notes in page
    assert record["command"] in page
    figures = re.findall(r"\]\((\S+\.png)\)", page)
    assert {f"{name}/{figure}.png" for figure in experiment.figures(record["results"])} == set(
        figures
    )
    assert all((RESULTS / figure).is_file() for figure in figures)
    assert max(map(len, base.text(experiment, record).splitlines())) <= 80


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/command_line.md"])
def test_results_are_led_to(name, page):
    assert f"results/{name}" in (CHECKOUT / page).read_text(encoding="utf-8")
