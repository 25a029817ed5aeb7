"""Scenarios fitted to logs of one's own.

* :mod:`recsim.fitting.tables`: logged slates and ratings as arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import lazy

if TYPE_CHECKING:
    from recsim.fitting import tables
    from recsim.fitting.tables import RatingsLog, SlateLog

__all__ = ["RatingsLog", "SlateLog", "tables"]

__getattr__, __dir__ = lazy.lazy_submodules(
    __name__, ["tables"], {"RatingsLog": "tables", "SlateLog": "tables"}
)
