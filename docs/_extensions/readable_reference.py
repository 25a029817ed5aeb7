"""What autodoc leaves garbled in the reference.

- A colon in the first line of what is said of an attribute is a colon: Napoleon would take what is
  before it for a type.
- Defaults are shown as one would write them: no ``<factory>``, no ``<function f>``. Values that are
  long, or have no form in code, are left to the source.
- All that is in a module's ``__all__`` has an entry, with or without a docstring.
- A type that is named by an imported module, such as ``learner.Settings``, is that module's.
- Pages of source link only to what is there.
"""

from __future__ import annotations

import importlib
import re
import sys
from types import FunctionType, ModuleType

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

_COLON = "\N{RATIO}"  # Stands for a colon while Napoleon reads a docstring.
_LONGEST_VALUE = 80
_ATTRIBUTES = ("attribute", "data", "property")


def hide_colons(
    app: Sphinx, what: str, name: str, of: object, options: object, lines: list[str]
) -> None:
    if what in _ATTRIBUTES and lines:
        lines[0] = re.sub(r": ", f"{_COLON} ", lines[0])


def show_colons(
    app: Sphinx, what: str, name: str, of: object, options: object, lines: list[str]
) -> None:
    if what in _ATTRIBUTES:
        lines[:] = [line.replace(_COLON, ":") for line in lines]


def write_defaults(
    app: Sphinx,
    what: str,
    name: str,
    of: object,
    options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    if signature is not None:
        signature = signature.replace("<factory>", "...")
        signature = re.sub(r"<(?:function|class) '?(?:\w+\.)*(\w+)[^>]*>", r"\1", signature)
    return signature, returned


def leave_out_values(app: Sphinx, domain: str, kind: str, content: addnodes.desc_content) -> None:
    if kind in _ATTRIBUTES:
        for annotation in list(content.parent.findall(addnodes.desc_annotation)):
            text = annotation.astext().strip()
            if text.startswith("=") and ("<" in text or len(text) > _LONGEST_VALUE):
                annotation.parent.remove(annotation)


def add_undocumented(app: Sphinx, page: str, source: list[str]) -> None:
    """Adds entries of data in a module's ``__all__`` that no comment documents there."""
    if not page.startswith("api/"):
        return
    module = importlib.import_module(page.removeprefix("api/"))
    analyzer = ModuleAnalyzer.for_module(module.__name__)
    documented = {name for place, name in analyzer.find_attr_docs() if not place}
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if name in documented or name.startswith("_"):
            continue
        if not isinstance(value, (type, FunctionType, ModuleType)):
            source[0] += f"\n.. py:data:: {name}\n   :module: {module.__name__}\n"


def name_modules_in_full(app: Sphinx, tree: nodes.document) -> None:
    for reference in tree.findall(addnodes.pending_xref):
        page = sys.modules.get(str(reference.get("py:module")))
        module, _, name = reference["reftarget"].partition(".")
        imported = getattr(page, module, None)
        if name and isinstance(imported, ModuleType) and imported.__name__.startswith("recsim."):
            reference["reftarget"] = f"{imported.__name__}.{name}"


def link_from_source(
    app: Sphinx, page: str, template: str, context: dict[str, object], tree: object
) -> None:
    if page.startswith("_modules/"):
        body = re.sub(r'<a class="viewcode-back".*?</a>', "", str(context["body"]))
        context["body"] = re.sub(r'<li><a href="builtins.html">builtins</a></li>', "", body)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", hide_colons, priority=400)
    app.connect("autodoc-process-docstring", show_colons, priority=600)
    app.connect("autodoc-process-signature", write_defaults)
    app.connect("source-read", add_undocumented)
    app.connect("object-description-transform", leave_out_values)
    app.connect("doctree-read", name_modules_in_full)
    app.connect("html-page-context", link_from_source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
