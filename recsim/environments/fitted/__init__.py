"""A scenario fitted to a log: see :mod:`recsim.fitting` for how it is made."""

from __future__ import annotations

from recsim.environments.fitted._folder import ScenarioFolderError, load, save
from recsim.environments.fitted._parameters import (
    CLICK_MODELS,
    ClickModel,
    FittedParameters,
    SessionModel,
    ValueModel,
)

__all__ = [
    "CLICK_MODELS",
    "ClickModel",
    "FittedParameters",
    "ScenarioFolderError",
    "SessionModel",
    "ValueModel",
    "load",
    "save",
]
