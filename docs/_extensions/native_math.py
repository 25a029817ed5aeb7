"""Formulas as MathML, which browsers show by themselves: without a script, without a network.

The letters are of STIX Two Math, whose file comes with the package ``ziamath`` (SIL Open Font
License); where it does not load a browser takes a font of its own.
"""

from __future__ import annotations

import importlib.resources
import pathlib
import shutil

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

_LOGGER = logging.getLogger(__name__)

FONT = "STIXTwoMath-Regular.ttf"


def mathml(node: nodes.Element, *, as_block: bool) -> str:
    """Returns a formula of TeX as an element ``math``; what is not understood is a warning."""
    try:
        formula: str = latex2mathml.tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        _LOGGER.warning("%s in the formula %s", error, node.astext(), location=node)
        return ""
    return formula


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(mathml(node, as_block=False))
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div class="formula">{mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def copy_font(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        folder = pathlib.Path(app.outdir) / "_static"
        font = importlib.resources.files("ziamath.fonts") / FONT
        with importlib.resources.as_file(font) as path:
            shutil.copyfile(path, folder / FONT)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.connect("build-finished", copy_font)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
