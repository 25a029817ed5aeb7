"""Tables for the pages of scenarios and agents, made from the registry, spaces and docstrings.

- ``{scenario} NAME``: a scenario at a glance.
- ``{observations} NAME``: its observation space. The body has the meaning of each entry, a line
  ``entry: meaning`` each; an entry without one, or a meaning without an entry, is a warning. The
  option ``config`` has parameters, as YAML.
- ``{actions} NAME``: its action space.
- ``{parameters} NAME``: its parameters, from the docstring of its module and their dataclass.
- ``{agents} NAME ...``: agents at a glance.
- ``{settings} CLASS ...``: arguments of classes, from signatures and docstrings; the option
  ``skip`` has the names of those that are left out.
- ``{registered} scenarios`` or ``{registered} agents``: all of them, with links to their pages.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import ClassVar

import numpy as np
import yaml
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from recsim import registry, types
from recsim.environments import fitted

_LOGGER = logging.getLogger(__name__)
# Of a fitted scenario: what identifies it, and where it is.
_NO_PARAMETERS = {"content", "path"}
_ORDER = "user doc response"
_CONFIG = {"num_candidates": 10, "slate_size": 3, "resample_documents": True, "seed": 0}


def markdown(rst: str) -> str:
    """Returns the text of a docstring, in reStructuredText, as Markdown in one line."""
    text = re.sub(r":(\w+):`", r"{py:\1}`", " ".join(rst.split()))
    return text.replace("``", "`").replace("|", "\\|").replace("{py:doc}", "{doc}")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Returns the lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def number(value: float) -> str:
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.6g}".replace("-", "−")


def bounds(space: types.Space) -> tuple[str, str]:
    """Returns the shape and type of a space, and the range of its entries, in words."""
    kind = type(space).__name__
    if kind == "Box":
        if space.shape and 0 in space.shape:
            return f"{space.dtype} array {space.shape}", "nothing"
        low, high = space.low.min(), space.high.max()
        shape = f"{space.dtype} array {space.shape}" if space.shape else f"{space.dtype}"
        return shape, f"{number(low)} to {number(high)}"
    if kind == "Discrete":
        start = getattr(space, "start", 0)
        return "integer", f"{start} to {start + space.n - 1}"
    if kind == "MultiDiscrete":
        return f"integer array {space.nvec.shape}", f"0 to {max(space.nvec) - 1}"
    if kind == "MultiBinary":
        return f"array {space.shape}", "0 or 1"
    raise TypeError(f"no row for a space of the kind {kind}")


def entries(space: types.Space, name: str) -> Iterator[tuple[str, types.Space]]:
    """Yields the leaves of an observation space; of alike documents and responses, one each."""
    kind = type(space).__name__
    if kind == "Tuple":
        yield from entries(space.spaces[0], f"{name}[k]")
    elif kind == "Dict" and name == "doc":
        yield from entries(next(iter(space.spaces.values())), "doc[id]")
    elif kind == "Dict":
        # Of an observation the user first, and last the response.
        for key, child in sorted(space.spaces.items(), key=lambda item: _ORDER.find(item[0])):
            yield from entries(child, f"{name}.{key}" if name else key)
    else:
        yield name, space


def described_parameters(doc: str) -> dict[str, str]:
    """Returns the meanings of the parameters in the docstring of a scenario's module."""
    part = re.split(r"^\*\*References", doc.partition("**Parameters**")[2], flags=re.M)[0]
    pattern = r"^- ``(\w+)``(?: \(.*?\))?:? (.*?)(?=^- ``|\Z|^$)"
    return dict(re.findall(pattern, part, re.M | re.S))


def parameters_class(module: ModuleType) -> type:
    """Returns the dataclass of a scenario's parameters."""
    if module is fitted:
        return fitted.FittedOptions
    (found,) = [
        value
        for name in module.__all__
        if name.endswith("Parameters") and dataclasses.is_dataclass(value := getattr(module, name))
    ]
    return found


def example(name: str, config: Mapping[str, object]) -> types.RecommenderEnv:
    """Returns an environment whose spaces are shown, of a made-up log if it is a fitted one."""
    config = {**_CONFIG, **config}
    if name == "fitted":
        config["fitted"] = fitted.FittedParameters(
            item_ids=tuple(f"item {number}" for number in range(12)),
            item_utilities=np.zeros(12),
            item_popularity=np.full(12, 1 / 12),
            item_topics=np.arange(12) % 4,
            topic_names=("news", "sport", "music", "games"),
            click_models=(fitted.ClickModel("cascade", np.zeros(3), np.ones(3)),),
        )
        return fitted.create_environment(config)
    return registry.create_environment(name, config)


def described_arguments(doc: str) -> dict[str, str]:
    """Returns the meanings of the arguments in a docstring of Google's style."""
    part = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", doc, re.M | re.S)
    if part is None:
        return {}
    found = re.findall(r"^    (\*{0,2}\w+): (.*?)(?=^    \S|\Z)", part[1], re.M | re.S)
    return dict(found)


class _Directive(SphinxDirective):
    """A directive that is replaced by Markdown."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def lines(self) -> list[str]:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        container = nodes.container(classes=["registry"])
        source = StringList(self.lines(), self.get_source_info()[0])
        self.state.nested_parse(source, self.content_offset, container)
        for found in container.findall(nodes.table):
            found["classes"].append("entries")
        self.env.note_dependency(__file__)
        return container.children

    def warn(self, message: str) -> None:
        _LOGGER.warning(message, location=self.get_location())


class ScenarioDirective(_Directive):
    def lines(self) -> list[str]:
        name = self.arguments[0]
        entry = registry.environment_entry(name)
        ids = ", ".join(f"`{gymnasium_id}`" for gymnasium_id in entry.gymnasium_ids())
        limit = entry.max_episode_steps
        rows = [
            ["Name", f"`{name}`"],
            ["Module", f"{{py:mod}}`{entry.module}`"],
            ["Rewards", entry.reward],
            ["In Gymnasium", f"{ids}, truncated after {limit} steps" if limit else ids],
        ]
        return table(["", ""], rows)


class ObservationsDirective(_Directive):
    option_spec: ClassVar = {"config": directives.unchanged}

    def lines(self) -> list[str]:
        name = self.arguments[0]
        config = yaml.safe_load(self.options.get("config", "{}"))
        space = example(name, config).observation_space
        body = re.sub(r"\n +", " ", "\n".join(self.content))
        meanings = dict(line.split(": ", 1) for line in body.splitlines() if line)
        rows = []
        for key, leaf in entries(space, ""):
            if key not in meanings:
                self.warn(f"The entry {key!r} of the observations of {name} has no meaning here.")
            rows.append([f"`{key}`", *bounds(leaf), meanings.pop(key, "")])
        if meanings:
            self.warn(f"The observations of {name} have no entries {sorted(meanings)}.")
        return table(["Entry", "Type and shape", "Range", "Meaning"], rows)


class ActionsDirective(_Directive):
    def lines(self) -> list[str]:
        space = example(self.arguments[0], {}).action_space
        row = ["`action[k]`", *bounds(space), "index of the candidate at position k of the slate"]
        return table(["Entry", "Type and shape", "Range", "Meaning"], [row])


class ParametersDirective(_Directive):
    def lines(self) -> list[str]:
        module = importlib.import_module(registry.environment_entry(self.arguments[0]).module)
        kind = parameters_class(module)
        meanings = described_parameters(inspect.getdoc(module) or "")
        defaults = {field.name: field.default for field in dataclasses.fields(kind)}
        if odd := sorted((set(meanings) ^ set(defaults)) - _NO_PARAMETERS):
            self.warn(f"Docstring and dataclass of {module.__name__} differ in {odd}.")
        rows = [
            [f"`{name}`", f"`{defaults[name]!r}`" if name in defaults else "", markdown(meaning)]
            for name, meaning in meanings.items()
        ]
        return table(["Parameter", "Default", "Meaning"], rows)


class AgentsDirective(_Directive):
    def lines(self) -> list[str]:
        rows = []
        for name in self.arguments[0].split():
            entry = registry.agent_entry(name)
            scenario = "any"
            if entry.environment:
                scenario = f"{{doc}}`/scenarios/{entry.environment}`"
            rows.append(
                [
                    f"`{name}`",
                    re.sub(r" \(\w+\)$", "", entry.description),
                    scenario,
                    "over episodes" if entry.learns else "is not trained",
                    "vector form" if entry.create_vector else "one user only",
                ]
            )
        return table(["Name", "What it does", "Scenario", "Training", "Users in parallel"], rows)


class SettingsDirective(_Directive):
    option_spec: ClassVar = {"skip": directives.unchanged}

    def lines(self) -> list[str]:
        skipped = {"self", "sess", *self.options.get("skip", "").split()}
        lines: list[str] = []
        for path in self.arguments[0].split():
            module, _, name = path.rpartition(".")
            kind = getattr(importlib.import_module(module), name)
            meanings = described_arguments(inspect.getdoc(kind) or "")
            rows = []
            for argument in inspect.signature(kind).parameters.values():
                if argument.name in skipped or argument.kind is argument.VAR_KEYWORD:
                    continue
                if argument.name not in meanings:
                    self.warn(f"{path} does not say what {argument.name} means.")
                default = argument.default
                shown = "" if default is argument.empty else f"`{shown_default(default)}`"
                rows.append(
                    [f"`{argument.name}`", shown, markdown(meanings.get(argument.name, ""))]
                )
            lines += [f"Arguments of {{py:class}}`~{path}`:", ""]
            lines += [*table(["Setting", "Default", "Meaning"], rows), ""]
        return lines


def shown_default(value: object) -> str:
    """Returns a default as one would write it."""
    return getattr(value, "__name__", repr(value))


class RegisteredDirective(_Directive):
    def lines(self) -> list[str]:
        if self.arguments[0] == "scenarios":
            rows = [
                [f"{{doc}}`scenarios/{name}`", entry.description, entry.reward]
                for name, entry in registry.ENVIRONMENTS.items()
            ]
            return table(["Scenario", "Story", "Rewards"], rows)
        pages = pages_of_agents(pathlib.Path(self.env.srcdir))
        rows = [
            [f"[`{name}`](agents/{pages[name]}.md)", entry.description]
            for name, entry in registry.AGENTS.items()
            if name in pages
        ]
        return table(["Agent", "What it does"], rows)


def pages_of_agents(docs: pathlib.Path) -> Mapping[str, str]:
    """Returns the name of the page of each agent that has one."""
    found = {}
    for page in sorted((docs / "agents").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for names in re.findall(r"^```\{agents\} ([\w ]+)$", text, re.M):
            found.update(dict.fromkeys(names.split(), page.stem))
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("scenario", ScenarioDirective)
    app.add_directive("observations", ObservationsDirective)
    app.add_directive("actions", ActionsDirective)
    app.add_directive("parameters", ParametersDirective)
    app.add_directive("agents", AgentsDirective)
    app.add_directive("settings", SettingsDirective)
    app.add_directive("registered", RegisteredDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
