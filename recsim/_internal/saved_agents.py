"""The format of saved agents: what an agent is made of again, as data, in a checkpoint file.

The tree of the file has these entries:

* ``saved agent``: the format's number.
* ``versions``: of recsim, NumPy and Python, for who looks at the file.
* ``agent``: the agent's *description*, see :func:`described`.
* ``state``: its state, those of the agents in it included.
* ``space``: the space of its observations, see :func:`recsim.spaces.to_data`, or None.
* ``num_candidates``, ``slate_size``: the sizes that it was made for.
* ``users``: what it remembers of users, see :mod:`recsim.serving`, or None.

Nothing in it is code. Functions and classes go by names, of which those in :data:`CODE` are the
only ones that reading ever looks up. What is not there, such as a function of the user's own, is
given again where the agent is loaded.
"""

from __future__ import annotations

import functools
import inspect
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np

from recsim import types
from recsim._internal import checkpoint_files, paths, version

__all__ = ["CODE", "FORMAT", "MARK", "OFFERED", "described", "is_own", "takes", "write"]

MARK = "saved agent"
FORMAT = 1

#: What the constructors of agents are given when they are made again, where they take it.
OFFERED = ("action_space", "eval_mode", "observation_space", "sess")

_AGENTS = "recsim.agents"
_DEEP = f"{_AGENTS}.dopamine"
_FUNCTIONS = f"{_DEEP}.slate_functions"
_BANDITS = f"{_AGENTS}.bandits.algorithms"
_MODELS = "recsim.choice_model"
_LAYERS = f"{_AGENTS}.layers"

#: The modules of all that a saved agent may name, by name.
CODE: dict[str, str] = {
    "RandomAgent": f"{_AGENTS}.random_agent",
    "GreedyPCTRAgent": f"{_AGENTS}.greedy_pctr_agent",
    "ClusterBanditAgent": f"{_AGENTS}.cluster_bandit_agent",
    "ContextualBanditAgent": f"{_AGENTS}.contextual_bandit_agent",
    "GreedyClusterAgent": f"{_AGENTS}.cluster_bandit_agent",
    "SoftmaxAgent": f"{_AGENTS}.softmax_agent",
    "PPOAgent": f"{_AGENTS}.ppo_agent",
    "ReinforceAgent": f"{_AGENTS}.reinforce_agent",
    "SACTopKAgent": f"{_AGENTS}.sac_topk_agent",
    "WolpertingerAgent": f"{_AGENTS}.wolpertinger_agent",
    "TabularQAgent": f"{_AGENTS}.tabular_q_agent",
    "FullSlateQAgent": f"{_AGENTS}.full_slate_q_agent",
    "SlateDecompQAgent": f"{_AGENTS}.slate_decomp_q_agent",
    "AbstractClickBanditLayer": f"{_LAYERS}.abstract_click_bandit",
    "ClusterClickStatsLayer": f"{_LAYERS}.cluster_click_statistics",
    "FixedLengthHistoryLayer": f"{_LAYERS}.fixed_length_history",
    "RecentSlatesLayer": f"{_LAYERS}.recent_slates",
    "TemporalAggregationLayer": f"{_LAYERS}.temporal_aggregation",
    "UCB1": _BANDITS,
    "KLUCB": _BANDITS,
    "ThompsonSampling": _BANDITS,
    "select_slate_topk": _FUNCTIONS,
    "select_slate_greedy": _FUNCTIONS,
    "select_slate_optimal": _FUNCTIONS,
    "inner_products": f"{_AGENTS}.softmax_agent",
    "first_features": f"{_AGENTS}.softmax_agent",
    "scores_by_state": f"{_AGENTS}.softmax_agent",
    "MultinomialLogitChoiceModel": _MODELS,
    "MultinomialProportionalChoiceModel": _MODELS,
    "ExponentialCascadeChoiceModel": _MODELS,
    "ProportionalCascadeChoiceModel": _MODELS,
    "IEUserState": "recsim.environments.interest_exploration",
    "IEvUserState": "recsim.environments.interest_evolution",
    "LTSUserState": "recsim.environments.long_term_satisfaction",
    "AverageUser": "recsim.environments.fitted",
    "odds_of_quality": "recsim.environments.fitted._scenario",
}


def is_own(code: object) -> bool:
    """Says whether a function or class is of a user's own: none that a file may name."""
    name, qualified = (getattr(code, each, "") for each in ("__name__", "__qualname__"))
    return name != qualified or CODE.get(name) != getattr(code, "__module__", None)


def described(agent: object) -> dict[str, Any]:
    """Returns an agent's class, and what its constructor takes beside the spaces, as data.

    A setting is one of ``{'data': …}``; ``{'code': name}``, a function or class of :data:`CODE`;
    ``{'object': [name, settings]}``, an object of such a class that is made of these;
    ``{'partial': [name, […]]}``, a function of :data:`CODE` with these as its first arguments;
    ``{'agent': description}``, a function that makes that agent; ``{'list': […]}`` of settings;
    and ``{'given': name of its type}``, what is given again where the agent is loaded.
    """
    of: Any = agent
    kind = type(agent)
    settings = of.serving().settings
    _check_constructor(kind, settings)
    return {
        "class": kind.__name__,
        "module": kind.__module__,
        "own": is_own(kind),
        "settings": _settings(settings),
    }


def takes(kind: type, name: str) -> bool:
    """Says whether an agent's class cannot be made without an argument."""
    parameter = inspect.signature(kind).parameters.get(name)
    return parameter is not None and parameter.default is parameter.empty


def _check_constructor(kind: type, settings: Mapping[str, object]) -> None:
    """Raises TypeError if an agent cannot be made of its settings."""
    parameters = inspect.signature(kind).parameters
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    for name in settings:
        if name in OFFERED or (name not in parameters and not takes_all):
            raise TypeError(
                f"serving().settings of {kind.__name__} must name arguments of its constructor "
                f"beside {', '.join(OFFERED)}, got {name!r}."
            )
    for name, parameter in parameters.items():
        variable = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if not variable and takes(kind, name) and name not in {*settings, *OFFERED}:
            raise TypeError(
                f"{kind.__name__} takes an argument {name!r}, without which it cannot be made "
                "again of a file: override its method serving() to return "
                f"recsim.agent.Serving(settings={{{name!r}: …}}) with it."
            )


def _settings(settings: Mapping[str, object]) -> dict[str, Any]:
    return {name: _setting(value) for name, value in settings.items()}


def _setting(value: object) -> dict[str, Any]:
    if isinstance(value, type) or inspect.isroutine(value):
        return {"given": _name(value)} if is_own(value) else {"code": _name(value)}
    if isinstance(value, functools.partial) and not value.keywords and not is_own(value.func):
        return {"partial": [_name(value.func), [_setting(item) for item in value.args]]}
    if hasattr(value, "serving"):
        return {"agent": described(value)}
    if isinstance(value, (list, tuple)) and any(hasattr(item, "serving") for item in value):
        return {"list": [_setting(item) for item in value]}
    if not is_own(type(value)):
        names = inspect.signature(type(value)).parameters
        arguments = {name: _argument(value, name) for name in names}
        return {"object": [_name(type(value)), _settings(arguments)]}
    try:
        checkpoint_files.check(value)
    except (TypeError, ValueError):
        return {"given": _name(type(value))}
    return {"data": value}


def _argument(value: object, name: str) -> object:
    """Returns the argument that an object of this library's was made with."""
    of: Any = value
    return getattr(of, name) if hasattr(of, name) else of.choice_features[name]


def _name(code: object) -> str:
    return getattr(code, "__name__", type(code).__name__)


def write(
    path: paths.Path,
    description: Mapping[str, Any],
    state: types.State,
    space: Mapping[str, Any] | None,
    num_candidates: int,
    slate_size: int,
    users: Mapping[str, Any] | None = None,
) -> None:
    """Writes the file of a saved agent, whole or not at all.

    Args:
        path: the file, whose folder is made; one that exists is replaced.
        description: what :func:`described` returned.
        state: what :func:`recsim._internal.bundles.state_to_serve` returned.
        space: the space of its observations as data, None where there is none.
        num_candidates: number of candidates that it was made for.
        slate_size: number of documents of its slates.
        users: what it remembers of users, None for nobody.

    Raises:
        TypeError: if ``path`` is not one, or something in the state is not data.
        ValueError, OSError: if the file cannot be written.
    """
    tree = {
        MARK: FORMAT,
        "versions": {
            "recsim": version.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "agent": dict(description),
        "state": state,
        "space": space,
        "num_candidates": num_candidates,
        "slate_size": slate_size,
        "users": users,
    }
    checkpoint_files.write(paths.absolute("path", path), tree)
