"""Experiments in a notebook that nbconvert executes: progress, tables, figures."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CELLS = [
    """
import recsim
from recsim.agents.random_agent import RandomAgent

class Own(RandomAgent):
    def __init__(self, action_space, random_seed):
        super().__init__(action_space, random_seed=random_seed)
""",
    """
found = recsim.experiment(
    [Own, "cluster_bandit_ucb1"], seeds=2, episodes=3, steps=20, workers=2
)
""",
    "found",
    "found.plot()",
    "print(found)",
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The outputs of each of the cells."""
    folder = tmp_path_factory.mktemp("notebook")
    cells = [
        {
            "cell_type": "code",
            "id": f"cell{number}",
            "source": source,
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
        for number, source in enumerate(CELLS)
    ]
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    (folder / "own.ipynb").write_text(json.dumps(notebook))
    options = ["--to", "notebook", "--execute", "own.ipynb", "--output", "executed"]
    command = [sys.executable, "-m", "nbconvert", *options]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    executed = json.loads((folder / "executed.ipynb").read_text())
    return [cell["outputs"] for cell in executed["cells"]]


def streams(cell, name):
    """The text of a stream, of which an executed notebook may hold parts."""
    parts = [output["text"] for output in cell if output.get("name") == name]
    return "".join(part if isinstance(part, str) else "".join(part) for part in parts)


@pytest.mark.slow
@pytest.mark.needs("nbconvert", "ipykernel")
class TestNotebook:
    def test_progress_shows(self, outputs):
        shown = streams(outputs[1], "stderr")
        # A bar of widgets, where there are any, is an output of its own.
        bars = [output["data"]["text/plain"] for output in outputs[1] if "data" in output]
        assert "100%" in shown + "".join(map("".join, bars))
        assert "Experiment" in shown + "".join(map("".join, bars))
        assert "Warning" not in shown

    def test_results_are_tables_with_a_figure(self, outputs):
        (shown,) = outputs[2]
        html = "".join(shown["data"]["text/html"])
        assert html.count("<table>") == 2 and "Own" in html and "data:image/svg+xml" in html
        assert "interest_exploration: 2 seeds, 3 users each" in "".join(shown["data"]["text/plain"])

    def test_figures_are_pictures(self, outputs):
        (shown,) = outputs[3]
        assert len(shown["data"]["image/png"]) > 10_000
        assert set(shown["data"]) == {"image/png", "text/plain"}

    def test_text_is_the_table(self, outputs):
        assert streams(outputs[4], "stdout").startswith("interest_exploration: 2 seeds")
