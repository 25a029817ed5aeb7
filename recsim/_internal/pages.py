"""What pages that need no other file share: reports of experiments and of fits."""

from __future__ import annotations

import html
import re

from recsim._internal import figures

__all__ = ["STYLE", "figure"]

#: Light and dark, for wide and narrow windows.
STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --dim: #5a5a5a; --paper: #ffffff;
  --line: #d4d4d4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --dim: #a8a8a8; --paper: #141414; --line: #3a3a3a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin-top: 2.2rem; overflow-wrap: anywhere; }
p, li, summary { overflow-wrap: anywhere; }
.note, figcaption { color: var(--dim); font-size: 0.875rem; }
.scroll { overflow-x: auto; margin: 0 0 1.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; }
th, td { padding: 0.3rem 0.7rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal;
  min-width: 8.5rem; overflow-wrap: anywhere; font-weight: normal; }
thead th { font-weight: 600; vertical-align: bottom; }
.figures { display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; max-width: 34rem; min-width: 0; }
figure svg { width: 100%; height: auto; display: block; }
figcaption { padding-bottom: 0.3rem; overflow-wrap: anywhere; }
pre { overflow-x: auto; font-size: 0.8rem; padding: 0.7rem; border: 1px solid var(--line); }
"""


def figure(svg: str, title: str, prefix: str) -> str:
    """Returns a figure whose text has the page's colour.

    Args:
        svg: what :func:`recsim._internal.figures.svg` returned.
        title: its title.
        prefix: what tells the names in its SVG from those of others on the page.
    """
    svg = svg.replace(figures.INK, "currentColor")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}", svg)
    label = html.escape(title)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return f"<figure><figcaption>{label}</figcaption>{svg}</figure>\n"
