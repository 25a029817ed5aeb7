"""Prints the oldest version of each dependency that setup.py allows, as pip's requirements.

::

    pip install '.[test]' $(python tools/oldest_requirements.py)
"""

from __future__ import annotations

import pathlib
import re

SETUP = pathlib.Path(__file__).resolve().parents[1] / "setup.py"


def oldest(source: str) -> list[str]:
    """Returns ``name==version`` for each ``"name>=version…"`` that is installed by default."""
    (block,) = re.findall(r"install_requires=\[(.*?)\]", source, re.S)
    return [f"{name}=={version}" for name, version in re.findall(r'"([\w.-]+)>=([\d.]+)', block)]


if __name__ == "__main__":
    print(*oldest(SETUP.read_text(encoding="utf-8")), sep="\n")
