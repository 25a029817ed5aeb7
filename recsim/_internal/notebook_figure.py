"""A figure that notebooks show, whether or not they have set up Matplotlib for it."""

from __future__ import annotations

import io

from matplotlib import figure

__all__ = ["NotebookFigure"]


class NotebookFigure(figure.Figure):
    """A figure that is its own picture in a notebook."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=120)
        return file.getvalue()
