"""Off-policy evaluation: what an agent would earn, estimated from a log of another agent.

* :mod:`recsim.ope.log`: logged slates with their propensities, from an episode log or arrays;
* :mod:`recsim.ope.policy`: how likely the evaluated agent was to show what the log has;
* :mod:`recsim.ope.estimators`: direct method, inverse propensity scoring, doubly robust;
* :mod:`recsim.ope.slates`: cascade doubly robust and pseudo-inverse, for slates;
* :mod:`recsim.ope.sequences`: per-decision importance sampling and fitted Q evaluation;
* :mod:`recsim.ope.estimates`: values with intervals and effective sample sizes;
* :mod:`recsim.ope.models`: predictions of rewards;
* :mod:`recsim.ope.simulated`: logs from a scenario, and the truth to compare estimates with;
* :mod:`recsim.ope.comparison`: estimates beside the truth, what ``recsim ope`` runs;
* :mod:`recsim.ope.exports`: logs for Open Bandit Pipeline, Minari and d3rlpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsim._internal import lazy

if TYPE_CHECKING:
    from recsim.ope import (
        comparison,
        estimates,
        estimators,
        exports,
        log,
        models,
        policy,
        sequences,
        simulated,
        slates,
    )

__all__ = [
    "comparison",
    "estimates",
    "estimators",
    "exports",
    "log",
    "models",
    "policy",
    "sequences",
    "simulated",
    "slates",
]

__getattr__, __dir__ = lazy.lazy_submodules(__name__, __all__)
