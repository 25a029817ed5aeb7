"""Imports point one way, as docs/design.md says, and files stay of a size that can be read."""

from __future__ import annotations

import ast
import pathlib
import re

import architecture  # In tools/.
import pytest

CHECKOUT = pathlib.Path(__file__).parents[1]
MODULES = architecture.modules(CHECKOUT, "recsim")
IMPORTS = architecture.imports(MODULES)

MOST_LINES = 700


def order() -> dict[str, int]:
    """Returns the rank of each folder and root module in the order that the design states."""
    page = (CHECKOUT / "docs" / "design.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"## The order of imports\n.*?```text\n(.*?)```", page, re.S)
    ranks = enumerate(block.split("<"))
    return {name: rank for rank, names in ranks for name in re.findall(r"\w+", names)}


ORDER = order()


def test_order_has_every_folder_and_root_module():
    assert {architecture.folder_of(module.name) for module in MODULES} - {"recsim"} == set(ORDER)


def test_imports_point_one_way():
    against = [
        edge
        for edge in IMPORTS
        if "recsim" not in (source := architecture.folder_of(edge.source), edge.target)
        # What the registry makes, it imports when it makes it.
        and not (source == "registry" and not edge.at_load)
        and ORDER[source] < ORDER[architecture.folder_of(edge.target)]
    ]
    assert against == []


def test_no_cycle_at_load_time():
    at_load = [(edge.source, edge.target) for edge in IMPORTS if edge.at_load]
    assert len(at_load) > 100
    assert architecture.cycles(at_load) == []


def test_no_cycle_between_folders():
    edges = {
        (architecture.folder_of(edge.source), architecture.folder_of(edge.target))
        for edge in IMPORTS
        if edge.at_load or architecture.folder_of(edge.source) != "registry"
    }
    assert architecture.cycles(edges) == []


def test_private_modules_are_imported_in_their_folder_only():
    strangers = [
        edge
        for edge in IMPORTS
        if (private := re.match(r"(.*?)\._(?!internal|_)", edge.target))
        and not f"{edge.source}.".startswith(f"{private[1]}.")
    ]
    assert strangers == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.path)
def test_files_can_be_read(module):
    assert len(module.text.splitlines()) <= MOST_LINES


def test_no_lines_stand_twice():
    assert architecture.duplicates(MODULES) == []


def test_any_annotates_no_parameter_but_those_that_are_passed_on():
    found = [place for module in MODULES for place in architecture.any_annotations(module)]
    passed_on = r"\((args|kwargs|settings|arguments|options)\)$"
    assert len([place for place in found if not re.search(passed_on, place)]) <= 5
    assert len(found) <= 50


def test_few_private_attributes_of_others_are_read():
    assert len([read for module in MODULES for read in architecture.private_reads(module)]) < 20
    tests = architecture.modules(CHECKOUT, "tests")
    reads = [read for module in tests for read in architecture.private_reads(module)]
    assert len(reads) < 0.1 * architecture.number_of_tests(tests)


# The tool itself, by small examples.


def parsed(**sources: str) -> list[architecture.Module]:
    return [
        architecture.Module(name.replace("__", "."), f"{name}.py", text, ast.parse(text))
        for name, text in sources.items()
    ]


def test_imports_are_told_apart():
    package = parsed(
        recsim="",
        recsim__a="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from recsim import b\n",
        recsim__b="import recsim.a\ndef f():\n    from recsim import c\n",
        recsim__c="from . import b\nfrom recsim.b import f\nfrom numpy import c\n",
    )
    found = [(e.source, e.target, e.at_load) for e in architecture.imports(package)]
    assert found == [
        ("recsim.b", "recsim.a", True),
        ("recsim.b", "recsim.c", False),
        ("recsim.c", "recsim.b", True),
        ("recsim.c", "recsim.b", True),
    ]


def test_cycles():
    edges = [("a", "b"), ("b", "c"), ("c", "b"), ("d", "d"), ("x", "y"), ("y", "z"), ("z", "x")]
    assert architecture.cycles(edges) == [["b", "c"], ["x", "y", "z"]]


def test_any_is_found_where_it_is_bare():
    (module,) = parsed(
        a="def f(a: Any, *b: typing.Any, c: dict[str, Any]) -> Any: ...\ndef g(a: int): ...\n"
    )
    assert [place.partition(": ")[2] for place in architecture.any_annotations(module)] == [
        "f(a)",
        "f(b)",
        "f() -> Any",
    ]


def test_private_reads_are_those_of_others():
    (module,) = parsed(
        a="class A:\n"
        "    def f(self, other, env):\n"
        "        self._x = other._x\n"
        "        return env._rng, self._unknown, super()._f(), other.__dict__\n"
    )
    assert architecture.private_reads(module) == ["a.py:4: env._rng"]


def test_duplicates_are_lines_that_two_functions_share():
    lines = ["x = 1", "y = f(x)", "z = y", "for i in y:", "    x += i", "return x"]
    package = parsed(
        a="def f():\n    'A docstring.'\n    " + "\n    ".join(lines),
        b="class B:\n    def g(self):  # The same.\n        " + "\n        ".join(lines),
        c="def h():\n    " + "\n    ".join(["x = 2", *lines[1:5], "return y"]),
    )
    assert architecture.duplicates(package) == ["a.py:1: f = b.py:2: g"]
