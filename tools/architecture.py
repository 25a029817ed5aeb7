"""Figures of the architecture: sizes, untyped parameters, private reads, imports, duplicates.

::

    python tools/architecture.py                      # of this checkout
    python tools/architecture.py --list               # and where they come from
    python tools/architecture.py --baseline COMMIT    # beside another commit, as a table

Only the standard library and git are needed. ``tests/test_architecture.py`` holds the limits.
"""

from __future__ import annotations

import argparse
import ast
import collections
import dataclasses
import itertools
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator

PACKAGE = "recsim"
CHECKOUT = pathlib.Path(__file__).resolve().parents[1]

# So many equal lines in a row, in two functions, are a duplicate.
_DUPLICATE_LINES = 5


@dataclasses.dataclass(frozen=True)
class Module:
    """A module of Python, parsed.

    Attributes:
        name: its full name, such as ``recsim.vector.env``; of a test, the path with dots.
        path: its path in the checkout.
        text: its source.
        tree: its syntax tree.
    """

    name: str
    path: str
    text: str
    tree: ast.Module


@dataclasses.dataclass(frozen=True)
class Import:
    """An import of one module of the package by another.

    Attributes:
        source: full name of the module that imports.
        target: full name of the module that is imported.
        line: number of the line.
        at_load: whether it happens when ``source`` is loaded, rather than in a function.
    """

    source: str
    target: str
    line: int
    at_load: bool


def modules(root: pathlib.Path, folder: str) -> list[Module]:
    """Returns the modules below a folder of a checkout, in alphabetical order."""
    found = []
    for file in sorted((root / folder).rglob("*.py")):
        path = file.relative_to(root).as_posix()
        text = file.read_text(encoding="utf-8")
        name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        found.append(Module(name, path, text, ast.parse(text)))
    return found


def imports(package: Iterable[Module]) -> list[Import]:
    """Returns all imports within the package, but those that only type checkers see.

    ``from package import module`` is an import of the module, and of the package only where it
    takes another name from it.
    """
    package = list(package)
    names = {module.name for module in package}
    found = []
    for module in package:
        is_package = module.path.endswith("__init__.py")
        for node, at_load in _import_nodes(module.tree.body, at_load=True):
            for target in _targets(node, module.name, is_package, names):
                if target != module.name:
                    found.append(Import(module.name, target, node.lineno, at_load))
    return found


def _import_nodes(
    body: Iterable[ast.AST], at_load: bool
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, at_load
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from _import_nodes(node.orelse, at_load)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _import_nodes(ast.iter_child_nodes(node), False)
        elif not isinstance(node, ast.expr):  # In expressions there are no imports.
            yield from _import_nodes(ast.iter_child_nodes(node), at_load)


def _targets(
    node: ast.Import | ast.ImportFrom, importer: str, is_package: bool, names: set[str]
) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in names)
        return
    base = node.module or ""
    if node.level:
        folder = importer.split(".")
        folder = folder[: len(folder) - node.level + is_package]
        base = ".".join([*folder, *filter(None, [node.module])])
    for alias in node.names:
        if f"{base}.{alias.name}" in names:
            yield f"{base}.{alias.name}"
        elif base in names:
            yield base


def folder_of(name: str) -> str:
    """Returns the part of the package that a module belongs to: its folder or root module."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else PACKAGE


def cycles(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Returns the groups of two or more nodes that reach each other, each in alphabetical order."""
    graph: dict[str, set[str]] = collections.defaultdict(set)
    for source, target in edges:
        graph[source].add(target)
    reached = {node: _reachable(graph, node) for node in list(graph)}
    groups = set()
    for node, others in reached.items():
        group = {other for other in others if node in reached.get(other, ())}
        if len(group) > 1:
            groups.add(tuple(sorted(group)))
    return [list(group) for group in sorted(groups)]


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        for target in graph.get(todo.pop(), ()):
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return seen


def any_annotations(module: Module) -> list[str]:
    """Returns the parameters and returns that are annotated as a bare ``Any``."""
    found = []
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += filter(None, [arguments.vararg, arguments.kwarg])
        for argument in every:
            if _is_any(argument.annotation):
                found.append(f"{module.path}:{argument.lineno}: {node.name}({argument.arg})")
        if _is_any(node.returns):
            found.append(f"{module.path}:{node.lineno}: {node.name}() -> Any")
    return found


def _is_any(annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.Attribute):
        return annotation.attr == "Any"
    return isinstance(annotation, ast.Name) and annotation.id == "Any"


def private_reads(module: Module) -> list[str]:
    """Returns the reads of private attributes of other objects than ``self`` and ``cls``.

    Reads of attributes that the module itself defines, as a method, a class, a function or an
    attribute of ``self``, are its own business and not counted; nor are imports of modules.
    """
    own = _private_names(module.tree)
    found = []
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Attribute) or not re.match(r"_[^_]", node.attr):
            continue
        of_itself = re.match(r"(self|cls|super\(.*\)|type\(self\))$", ast.unparse(node.value))
        if not of_itself and node.attr not in own:
            found.append(f"{module.path}:{node.lineno}: {ast.unparse(node)}")
    return found


def _private_names(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for part in ast.walk(target):
                    if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
                        names.add(part.attr)
                    elif isinstance(part, ast.Name):
                        names.add(part.id)
    return names


def duplicates(package: Iterable[Module]) -> list[str]:
    """Returns the pairs of functions that have five lines in a row in common.

    Comments, docstrings, signatures and how lines are broken do not count.
    """
    places = collections.defaultdict(set)
    for module in package:
        for function in _outer_functions(module.tree.body):
            body = function.body[ast.get_docstring(function) is not None :]
            lines = [line.strip() for part in body for line in ast.unparse(part).splitlines()]
            place = f"{module.path}:{function.lineno}: {function.name}"
            for start in range(len(lines) - _DUPLICATE_LINES + 1):
                places[tuple(lines[start : start + _DUPLICATE_LINES])].add(place)
    pairs = {pair for same in places.values() for pair in itertools.combinations(sorted(same), 2)}
    return [" = ".join(pair) for pair in sorted(pairs)]


def _outer_functions(body: Iterable[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef | ast.If | ast.Try | ast.With):
            yield from _outer_functions(node.body)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure of the architecture.

    Attributes:
        name: what is counted.
        value: how many there are, or the size.
        places: where, one line each.
    """

    name: str
    value: float
    places: list[str]


def figures(root: pathlib.Path) -> list[Figure]:
    """Returns the figures of a checkout."""
    package, tests = modules(root, PACKAGE), modules(root, "tests")
    untyped = [place for module in package for place in any_annotations(module)]
    reads = [place for module in package for place in private_reads(module)]
    reads_in_tests = [place for module in tests for place in private_reads(module)]
    all_imports = imports(package)
    at_load = [edge for edge in all_imports if edge.at_load]
    across = [(folder_of(edge.source), folder_of(edge.target)) for edge in all_imports]
    across_at_load = [(folder_of(edge.source), folder_of(edge.target)) for edge in at_load]
    file_sizes = [(len(module.text.splitlines()), module.path) for module in package]
    roots = [module.path for module in package if module.name.count(".") == 1]
    roots = [path for path in roots if not path.endswith("__init__.py")]
    return [
        Figure("lines of the package", sum(size for size, _ in file_sizes), []),
        Figure("parameters and returns of bare Any", len(untyped), untyped),
        Figure("private reads across modules", len(reads), reads),
        Figure("tests (functions)", number_of_tests(tests), []),
        Figure("private reads in tests", len(reads_in_tests), reads_in_tests),
        Figure("per test", round(len(reads_in_tests) / max(1, number_of_tests(tests)), 3), []),
        _largest("largest file, in lines", file_sizes),
        _largest("largest class, in lines", [size for m in package for size in class_sizes(m)]),
        Figure("modules at the root", len(roots), roots),
        _counted("import cycles at load time", cycles((e.source, e.target) for e in at_load)),
        _counted("import cycles between folders at load time", cycles(across_at_load)),
        _counted("import cycles between folders, late imports included", cycles(across)),
        _counted("pairs of functions with five equal lines", [[d] for d in duplicates(package)]),
        _counted("the same in tests", [[d] for d in duplicates(tests)]),
    ]


def _counted(name: str, groups: list[list[str]]) -> Figure:
    return Figure(name, len(groups), [", ".join(group) for group in groups])


def _largest(name: str, sizes: list[tuple[int, str]]) -> Figure:
    largest = sorted(sizes, reverse=True)[:5]
    return Figure(name, largest[0][0], [f"{path}: {size}" for size, path in largest])


def class_sizes(module: Module) -> list[tuple[int, str]]:
    """Returns the number of lines of each class of a module, with its place."""
    return [
        ((node.end_lineno or node.lineno) - node.lineno + 1, f"{module.path}:{node.name}")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    ]


def number_of_tests(tests: Iterable[Module]) -> int:
    """Returns the number of functions whose names begin with ``test_``."""
    return sum(
        isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        for module in tests
        for node in ast.walk(module.tree)
    )


def _at(commit: str) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "archive", commit, PACKAGE, "tests"],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            check=True,
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        return figures(pathlib.Path(folder))


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: list[str] | None = None) -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--list", action="store_true", help="print the places, too")
    parser.add_argument("--baseline", metavar="COMMIT", help="print that commit's figures, too")
    args = parser.parse_args(arguments)
    now = figures(CHECKOUT)
    if args.baseline:
        before = {figure.name: figure.value for figure in _at(args.baseline)}
        columns = ["", args.baseline, "now"]
        rows = [[f.name, f"{before[f.name]:,}", f"{f.value:,}"] for f in now]
    else:
        columns = ["", "now"]
        rows = [[figure.name, f"{figure.value:,}"] for figure in now]
    print(_table(columns, rows))
    if args.list:
        for figure in now:
            if figure.places:
                print(f"\n{figure.name}\n", *figure.places, sep="\n  ")


if __name__ == "__main__":
    main(sys.argv[1:])
