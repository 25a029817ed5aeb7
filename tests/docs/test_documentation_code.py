"""The code in the tutorials, the README and the docstrings runs and shows what the text says."""

from __future__ import annotations

import doctest
import importlib
import pathlib
import pkgutil
import re

import pytest
from support import CHECKOUT

import recsim
from recsim import cli

pytestmark = pytest.mark.usefixtures("empty_folder")

TUTORIALS = sorted((CHECKOUT / "docs" / "tutorials").glob("*.md"))
MODULES = [module.name for module in pkgutil.walk_packages(recsim.__path__, "recsim.")]


def code_blocks(page: pathlib.Path, language: str) -> list[str]:
    """Returns the page's fenced blocks of a language, each with its line numbers kept."""
    text = page.read_text(encoding="utf-8")
    fence = re.compile(rf"^```{re.escape(language)}\n(?::[^\n]*\n)*(.*?)^```$", re.M | re.S)
    return ["\n" * text.count("\n", 0, m.start(1)) + m.group(1) for m in fence.finditer(text)]


def run_blocks(page: pathlib.Path, language: str) -> int:
    """Runs the page's blocks in one namespace, in order, and returns how many there are."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    blocks = code_blocks(page, language)
    for block in blocks:
        exec(compile(block, str(page), "exec"), namespace)
    return len(blocks)


def test_every_tutorial_has_a_test():
    assert [page.stem for page in TUTORIALS] == [
        "developing_a_vectorized_scenario",
        "developing_an_agent",
        "developing_an_environment",
        "first_steps",
        "running_experiments",
    ]


# Cells of the pages run where the site is built; what is not a cell runs here.
PAGES = [page for page in sorted((CHECKOUT / "docs").glob("*.md")) if code_blocks(page, "python")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_runs(page):
    assert run_blocks(page, "python")


def test_readme_shows_what_the_default_experiment_prints(capsys, monkeypatch):
    def figures(text: str) -> list[str]:  # Less the speed, which comes last.
        rows = [line.split() for line in text.splitlines() if re.search(r"\d (±|to) ", line)]
        return [" ".join(row[:-1] if "±" in row else row) for row in rows]

    monkeypatch.setenv("COLUMNS", "80")
    (table,) = code_blocks(CHECKOUT / "README.md", "text")
    assert cli.main(["run", "--quiet"]) == 0
    shown = figures(table)
    assert len(shown) == 3
    assert set(shown) <= set(figures(capsys.readouterr().out))


def test_readme_example_shows_clicks(capsys):
    assert run_blocks(CHECKOUT / "README.md", "python") == 1
    clicks, slates = re.findall(r"(\d+) clicks on (\d+) slates\n", capsys.readouterr().out)[0]
    assert 0 < int(clicks) < int(slates) == 1000


def test_agent_tutorial_shows_the_published_values(capsys):
    # The values are those of RecSim's own tutorial on developing an agent.
    run_blocks(CHECKOUT / "docs" / "tutorials" / "developing_an_agent.md", "{code-cell}")
    out = capsys.readouterr().out
    documents = re.findall(r"^document (\d+) \{.*", out, re.M)
    assert documents == [str(doc_id) for doc_id in range(15, 30)]
    assert re.search(r"^document 15 .*1\.22720163", out, re.M)
    assert re.search(r"^document 29 .*2\.05936556", out, re.M)
    assert len(re.findall(r"^document \d+ Dict\(", out, re.M)) == 15
    assert "'impression_count': array([0, 2])" in out
    assert "'click_count': array([0, 0])" in out
    assert re.search(r"1\.46868751.*\n.*1\.42269182", out)


@pytest.mark.filterwarnings("ignore:.*non-interactive:UserWarning")  # plt.show() under Agg.
def test_page_of_fitted_scenarios_runs(capsys):
    run_blocks(CHECKOUT / "docs" / "scenarios" / "fitted.md", "{code-cell}")
    assert "chosen: position_based" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*non-interactive:UserWarning")  # plt.show() under Agg.
def test_environment_tutorial_shows_the_trade_off(capsys):
    run_blocks(CHECKOUT / "docs" / "tutorials" / "developing_an_environment.md", "{code-cell}")
    means = {
        line.split(":")[0]: {
            name: float(mean) for name, mean in re.findall(r"(\w+) ([\d.]+) ±", line)
        }
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("sensitivity")
    }
    assert means["sensitivity 0.01"]["choc"] > means["sensitivity 0.01"]["kale"]
    assert means["sensitivity 0.1"]["kale"] > means["sensitivity 0.1"]["choc"]
    assert means["sensitivity 0.3"]["kale"] > means["sensitivity 0.3"]["choc"]


def test_vectorized_scenario_tutorial_agrees_with_the_single_user_form(capsys):
    page = CHECKOUT / "docs" / "tutorials" / "developing_a_vectorized_scenario.md"
    run_blocks(page, "{code-cell}")
    out = capsys.readouterr().out
    assert float(re.search(r"largest difference: (\S+)", out)[1]) < 1e-12
    assert abs(float(re.search(r"difference: (\S+) standard errors", out)[1])) < 3
    means = re.findall(r"choc ([\d.]+) ± \S+ +kale ([\d.]+) ±", out)
    assert [float(choc) > float(kale) for choc, kale in means] == [True, False, False]
    mathematics, scenario = code_blocks(page, "{code-cell}")[1:3]
    lines = [line for line in (mathematics + scenario).splitlines() if line.strip()]
    assert len(lines) < 80


@pytest.mark.filterwarnings("ignore:.*non-interactive:UserWarning")  # plt.show() under Agg.
def test_first_steps_learn(capsys):
    run_blocks(CHECKOUT / "docs" / "tutorials" / "first_steps.md", "{code-cell}")
    random, bandit = map(int, re.findall(r"(\d+) clicks on 200 slates", capsys.readouterr().out))
    assert 0 < random < bandit


def test_experiments_tutorial_resumes_exactly(capsys):
    run_blocks(CHECKOUT / "docs" / "tutorials" / "running_experiments.md", "{code-cell}")
    out = capsys.readouterr().out
    assert "same returns: True" in out
    clicks = {name: float(mean) for name, mean in re.findall(r"^(\w+): ([\d.]+) ±", out, re.M)}
    assert clicks["q"] > 1.5 * clicks["random"]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    if name.startswith("recsim.sb3."):
        pytest.importorskip("stable_baselines3")
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_difference_names_tests_that_exist():
    page = (CHECKOUT / "docs" / "deviations.md").read_text(encoding="utf-8")
    listed, kept = page.split("## Kept on purpose")
    for entry in listed.split("\n### ")[1:]:
        title, tests = entry.partition("\n")[0], re.findall(r"`(tests/\S+\.py)::(\w+)`", entry)
        assert tests, f"{title!r} names no test"
        for path, name in tests:
            source = (CHECKOUT / path).read_text(encoding="utf-8")
            assert f"\ndef {name}(" in source, f"{title!r}: no {name} in {path}"
    assert kept.strip()
