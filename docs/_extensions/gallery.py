"""A gallery: pages with their first figures as thumbnails.

A line ``page: caption`` of the directive ``{gallery}`` is a picture that leads to the page. A page
without a figure is a warning.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

_LOGGER = logging.getLogger(__name__)


class Thumbnail(nodes.General, nodes.Element):
    """What a thumbnail stands in place of, until all pages are read."""


class GalleryDirective(SphinxDirective):
    has_content = True

    def run(self) -> list[nodes.Node]:
        grid = nodes.container(classes=["gallery"])
        for line in self.content:
            page, _, caption = line.partition(": ")
            grid += Thumbnail(page=page, caption=caption, line=self.lineno)
        return [grid]


def first_figure(tree: nodes.document) -> nodes.image | None:
    """Returns the first picture of a page that is not a part of its look."""
    images = tree.findall(nodes.image)
    return next((image for image in images if "as-is" not in image["classes"]), None)


def fill(app: Sphinx, tree: nodes.document, docname: str) -> None:
    for thumbnail in list(tree.findall(Thumbnail)):
        page, caption = thumbnail["page"], thumbnail["caption"]
        found = page in app.env.found_docs and first_figure(app.env.get_doctree(page))
        if not found:
            _LOGGER.warning("%s has no figure for the gallery.", page, location=docname)
            thumbnail.parent.remove(thumbnail)
            continue
        image = nodes.image(
            uri=found["uri"], candidates=dict(found["candidates"]), alt=f"Figure of {caption}"
        )
        link = app.builder.get_relative_uri(docname, page)
        picture = nodes.reference("", "", image, refuri=link, internal=True)
        words = nodes.reference("", caption, refuri=link, internal=True)
        ids = [nodes.make_id(f"figure of {page}")]
        figure = nodes.figure("", picture, nodes.caption("", "", words), ids=ids)
        thumbnail.replace_self(figure)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("gallery", GalleryDirective)
    app.add_node(Thumbnail)
    app.connect("doctree-resolved", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
