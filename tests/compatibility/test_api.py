"""Every public name of RecSim 0.2.4 is here, of the same kind and callable in the same way.

``api.json`` lists RecSim 0.2.4's public names and signatures, read from it with ``inspect``.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pathlib
import re
from typing import Any

import pytest

API = json.loads(pathlib.Path(__file__).with_name("api.json").read_text())["modules"]
NAMES = [(module, name) for module, names in API.items() for name in names]
MEMBERS = [
    (module, name, member)
    for module, name in NAMES
    for member in API[module][name].get("members", {})
]
# RecSim's agents derive from Dopamine's, in whose place the library has a class of its own.
DOPAMINE = "dopamine.agents.dqn.dqn_agent"
# What ``inspect`` shows for a class that defines no __init__: it takes no argument.
NO_INIT = "(self, *args, **kwargs)"


def resolve(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def parse(signature: str) -> ast.arguments:
    """Reads a signature's text; defaults without syntax (``<… object>``) become Ellipsis."""
    signature = re.sub(r"<[^>]*>", "...", signature)
    return ast.parse(f"def f{signature}: pass").body[0].args  # type: ignore[attr-defined]


def default_differs(expected: ast.expr, actual: Any) -> bool:
    """Compares a default: plain values by value, public classes by name, others not at all."""
    if isinstance(expected, ast.Name):
        return not expected.id.startswith("_") and getattr(actual, "__name__", None) != expected.id
    value = ast.literal_eval(expected)
    return value is not Ellipsis and (type(actual) is not type(value) or actual != value)


def signature_differences(expected: str, actual: inspect.Signature) -> list[str]:
    """Says in what a signature is not RecSim's followed by optional keyword-only parameters."""
    arguments = parse(expected)
    ours = list(actual.parameters.values())
    positional = [p for p in ours if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    differences = []
    names = [argument.arg for argument in arguments.args]
    if names != [p.name for p in positional]:
        differences.append(f"positional parameters {[p.name for p in positional]}, not {names}")
    defaults = dict(zip(reversed(names), reversed(arguments.defaults), strict=False))
    for p in positional[: len(names)]:
        if (p.name in defaults) != (p.default is not p.empty):
            differences.append(f"{p.name} is {'required' if p.name in defaults else 'optional'}")
        elif p.name in defaults and default_differs(defaults[p.name], p.default):
            differences.append(
                f"{p.name} defaults to {p.default!r}, not {ast.unparse(defaults[p.name])}"
            )
    for star, kind, argument in [
        ("*", inspect.Parameter.VAR_POSITIONAL, arguments.vararg),
        ("**", inspect.Parameter.VAR_KEYWORD, arguments.kwarg),
    ]:
        theirs = [argument.arg] if argument else []
        found = [p.name for p in ours if p.kind is kind]
        if theirs != found:
            differences.append(f"{star} parameters {found}, not {theirs}")
    for p in ours:
        if p.kind is inspect.Parameter.POSITIONAL_ONLY:
            differences.append(f"{p.name} is positional-only")
        if p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is p.empty:
            differences.append(f"the further parameter {p.name} is required")
    return differences


def kind_of(static_member: Any) -> str:
    for kind in (property, staticmethod, classmethod):
        if isinstance(static_member, kind):
            return kind.__name__
    return "method" if inspect.isfunction(static_member) else "constant"


def member_differences(expected: str, owner: type, member: str) -> list[str]:
    """Compares one member of a class with its entry in ``api.json``."""
    match = re.fullmatch(r"(property|staticmethod|classmethod|constant)? ?(.*)", expected)
    assert match is not None
    kind, rest = match.group(1) or "method", match.group(2)
    try:
        found = inspect.getattr_static(owner, member)
    except AttributeError:
        return ["missing"]
    if kind_of(found) != kind:
        return [f"a {kind_of(found)}, not a {kind}"]
    if kind == "property":
        return []
    if kind == "constant":
        value, theirs = getattr(owner, member), ast.literal_eval(rest)
        same = value == theirs and type(value) is type(theirs)
        return [] if same else [f"{value!r}, not {rest}"]
    function = found.__func__ if kind in ("staticmethod", "classmethod") else found
    return signature_differences(rest, inspect.signature(function))


@pytest.mark.parametrize(("module", "name"), NAMES, ids=map(".".join, NAMES))
def test_name_kind_and_signature(module, name):
    expected = API[module][name]
    found = resolve(f"{module}.{name}")
    if expected["kind"] == "alias":
        assert found is resolve(expected["of"])
    elif expected["kind"] == "function":
        assert inspect.isfunction(found)
        assert signature_differences(expected["signature"], inspect.signature(found)) == []
    else:
        assert inspect.isclass(found)
        for base in expected["bases"]:
            base = base.replace(DOPAMINE, "recsim.agents.dopamine.dqn_agent")
            assert issubclass(found, resolve(base))
        signature = inspect.signature(found.__init__)
        if expected["init"] == NO_INIT:
            inspect.signature(found.__init__).bind(None)  # Needs no argument but self.
        else:
            assert signature_differences(expected["init"], signature) == []


@pytest.mark.parametrize(("module", "name", "member"), MEMBERS, ids=map(".".join, MEMBERS))
def test_member_kind_and_signature(module, name, member):
    expected = API[module][name]["members"][member]
    assert member_differences(expected, resolve(f"{module}.{name}"), member) == []


@pytest.mark.parametrize(("module", "name"), NAMES, ids=map(".".join, NAMES))
def test_public_names_are_in_all(module, name):
    assert name in importlib.import_module(module).__all__


class Example:
    SIZE = 20

    def good(self, a, b=1, *, more=None):
        pass

    def renamed(self, x, b=1):
        pass

    def other_default(self, a, b=2):
        pass

    def now_required(self, a, b):
        pass

    def further_positional(self, a, b=1, more=None):
        pass

    def required_keyword(self, a, b=1, *, more):
        pass

    def open_ended(self, a, b=1, **kwargs):
        pass

    @staticmethod
    def static(a, b=1):
        pass


@pytest.mark.parametrize(
    ("member", "expected", "fragment"),
    [
        ("good", "(self, a, b=1)", None),
        ("renamed", "(self, a, b=1)", "['self', 'x', 'b'], not ['self', 'a', 'b']"),
        ("other_default", "(self, a, b=1)", "b defaults to 2, not 1"),
        ("now_required", "(self, a, b=1)", "b is required"),
        ("further_positional", "(self, a, b=1)", "['self', 'a', 'b', 'more']"),
        ("required_keyword", "(self, a, b=1)", "the further parameter more is required"),
        ("open_ended", "(self, a, b=1)", "** parameters ['kwargs'], not []"),
        ("good", "(self, a, b=1, **kwargs)", "** parameters [], not ['kwargs']"),
        ("static", "(self, a, b=1)", "a staticmethod, not a method"),
        ("good", "property", "a method, not a property"),
        ("SIZE", "constant 20", None),
        ("SIZE", "constant 20.0", "20, not 20.0"),
        ("absent", "(self)", "missing"),
    ],
)
def test_comparison_finds_differences(member, expected, fragment):
    differences = member_differences(expected, Example, member)
    if fragment is None:
        assert differences == []
    else:
        assert len(differences) == 1
        assert fragment in differences[0]


@pytest.mark.parametrize(("module", "name"), NAMES, ids=map(".".join, NAMES))
def test_pickles_of_classes_name_public_modules(module, name):
    found = resolve(f"{module}.{name}")
    if inspect.isclass(found):
        assert "._" not in found.__module__
        assert getattr(importlib.import_module(found.__module__), name) is found
