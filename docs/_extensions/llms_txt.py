"""A file ``llms.txt``: the pages with a line on each, for a reader that is a program.

The format is that of llmstxt.org: a title, a summary, and a list of links for each part of the
site. The links lead to the pages' sources, which are Markdown.
"""

from __future__ import annotations

import pathlib

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

#: The most characters of a page's first paragraph that are shown.
_WIDTH = 240


def first_paragraph(tree: nodes.document) -> str:
    """Returns the first paragraph of a page, in one line."""
    for paragraph in tree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            text = " ".join(paragraph.astext().split())
            return text if len(text) <= _WIDTH else text[:_WIDTH].rsplit(" ", 1)[0] + " …"
    return ""


def write(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    environment = app.env
    root = environment.get_doctree(app.config.root_doc)
    lines = [f"# {app.config.project}", "", f"> {first_paragraph(root)}"]
    for toctree in root.findall(addnodes.toctree):
        lines += ["", f"## {toctree['caption']}", ""]
        pages = [page for _, page in toctree["entries"]]
        while pages:
            page = pages.pop(0)
            tree = environment.get_doctree(page)
            suffix = pathlib.Path(environment.doc2path(page)).suffix
            link = f"{app.config.html_baseurl}_sources/{page}{suffix}.txt"
            summary = first_paragraph(tree)
            title = environment.titles[page].astext()
            lines.append(f"- [{title}]({link})" + (f": {summary}" if summary else ""))
            pages[:0] = environment.toctree_includes.get(page, [])
    pathlib.Path(app.outdir, "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
