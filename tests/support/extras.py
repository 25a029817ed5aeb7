"""What some tests need and not every machine has: packages of extras, programs.

A test names them by a marker, ``@pytest.mark.needs("nbconvert", "chromium")``, and is skipped where
one is missing. With ``RECSIM_REQUIRE_EXTRAS=1`` in the environment it fails there, as does whatever
``pytest.importorskip`` would skip: where all extras are installed, no test may be left out unseen.
"""

from __future__ import annotations

import importlib.util
import os

from support import CHECKOUT, chromium

__all__ = ["REQUIRED", "SITE", "is_missing_import", "missing", "modules_without"]

REQUIRED = os.environ.get("RECSIM_REQUIRE_EXTRAS", "0") != "0"

#: Where ``sphinx-build docs docs/_build/html`` puts the documentation.
SITE = CHECKOUT / "docs" / "_build" / "html"

#: How to find what is not a package.
_PROGRAMS = {
    "chromium": lambda: chromium.EXECUTABLE,
    "site": lambda: SITE if (SITE / "index.html").is_file() else None,
}


def missing(name: str) -> bool:
    """Returns whether a package or program is not installed."""
    return (_PROGRAMS[name]() if name in _PROGRAMS else importlib.util.find_spec(name)) is None


#: The packages of this library that need one of an extra.
_NEEDED = {"recsim.sb3.": "stable_baselines3"}


def modules_without() -> tuple[str, ...]:
    """Returns how the names of those modules begin that cannot be imported without an extra."""
    return tuple(package for package, needed in _NEEDED.items() if missing(needed))


def is_missing_import(reason: str) -> bool:
    """Returns whether a test was skipped by ``pytest.importorskip``, by the reason that it gave."""
    return "could not import" in reason
