"""Logged slates in the forms of other libraries.

* :func:`to_obp`: the dictionary of logged feedback of Open Bandit Pipeline;
* :func:`to_d3rlpy`: the arrays of a data set of d3rlpy;
* :func:`to_minari`: a data set of Minari (``pip install recsim[minari]``).

The first two need nothing but NumPy: both libraries ask for versions of packages that recsim does
not run with, so that they are installed elsewhere.

For offline reinforcement learning an observation is the user's features and, where candidates
change, those of all candidates, as one vector. An action is the number of the slate among
:func:`recsim.ope.policy.all_slates` ('discrete'), or a score for each candidate ('scores'): of k
documents the first one has k / (k + 1), and so on in equal steps down to 1 / (k + 1) for the last
one, and what is not in the slate has 0. A slate is then the documents by falling score. Where every
episode has one slate, nothing follows, and episodes end with it.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recsim._internal import numbers, validation
from recsim.ope import log as log_lib
from recsim.ope import policy as policy_lib

if TYPE_CHECKING:
    import minari

__all__ = [
    "Actions",
    "actions_of",
    "observations_of",
    "slates_of",
    "to_d3rlpy",
    "to_minari",
    "to_obp",
]

#: How slates are told as actions.
Actions = Literal["discrete", "scores"]


def to_obp(log: log_lib.SlateLog) -> dict[str, Any]:
    """Returns logged feedback as Open Bandit Pipeline 0.4.1 takes it.

    Args:
        log: logged slates, with propensities.

    Returns:
        For single items the dictionary of its ``OffPolicyEvaluation``, for slates that of its
        ``SlateOffPolicyEvaluation``, with a row for each document of a slate. Features of
        candidates that change from slate to slate have no place there: ``action_context`` then
        tells candidates apart by their numbers.

    Raises:
        ValueError: if the log has no propensities, or does not say what each document earned.
    """
    features = log.features[0] if len(log.features) == 1 else np.eye(log.num_candidates or 0)
    common: dict[str, Any] = {
        "n_rounds": log.num_slates,
        "context": log.user_features,
        "action_context": features,
    }
    if log.slate_size == 1:
        if log.slate_propensities is None:
            raise ValueError("The log has no slate_propensities, which logged feedback needs.")
        return {
            **common,
            "n_actions": log.num_candidates,
            "action": log.items[:, 0],
            "position": np.zeros(log.num_slates, np.int64),
            "reward": log.rewards,
            "pscore": log.slate_propensities,
        }
    if log.position_rewards is None:
        raise ValueError(
            "The log does not say what each document earned, which logged feedback on slates "
            "needs: give position_rewards."
        )
    slate_size = log.slate_size
    feedback = {
        **common,
        "n_unique_action": log.num_candidates,
        "slate_id": np.repeat(np.arange(log.num_slates), slate_size),
        "action": log.items.reshape(-1),
        "position": np.tile(np.arange(slate_size), log.num_slates),
        "reward": log.position_rewards.reshape(-1),
    }
    known = {
        "pscore": None
        if log.slate_propensities is None
        else np.repeat(log.slate_propensities, slate_size),
        "pscore_item_position": log.item_propensities,
        "pscore_cascade": log.prefix_propensities,
    }
    known = {name: array.reshape(-1) for name, array in known.items() if array is not None}
    if not known:
        raise ValueError("The log has no propensities, which logged feedback needs.")
    return {**feedback, **known}


def observations_of(log: log_lib.SlateLog) -> np.ndarray:
    """Returns an observation for each slate, float32 of shape (n, num_features)."""
    users = log.user_features
    features = log.candidate_features
    if features is None or len(features) == 1:
        observations = users
    else:
        observations = np.concatenate([users, features.reshape(len(features), -1)], axis=1)
    if not observations.shape[1]:  # Libraries take no empty observations.
        observations = np.zeros((log.num_slates, 1))
    single_precision: np.ndarray = observations.astype(np.float32)
    return single_precision


def actions_of(log: log_lib.SlateLog, actions: Actions = "discrete") -> np.ndarray:
    """Returns an action for each slate.

    Args:
        log: logged slates.
        actions: 'discrete' or 'scores'.

    Returns:
        int64 of shape (n,), or float32 of shape (n, num_candidates).

    Raises:
        ValueError: for another kind, and for more slates than can be numbered.
    """
    number, slate_size = log.items.shape
    assert log.num_candidates is not None
    if actions == "scores":
        scores = np.zeros((number, log.num_candidates), np.float32)
        # None of them a whole number, by which libraries would take them for discrete.
        falling = np.arange(slate_size, 0, -1) / (slate_size + 1)
        np.put_along_axis(scores, log.items, np.tile(falling, (number, 1)), axis=1)
        return scores
    if actions != "discrete":
        raise ValueError(f"actions must be 'discrete' or 'scores', got {actions!r}.")
    slates = policy_lib.all_slates(log.num_candidates, slate_size)
    numbers_of: np.ndarray = policy_lib.index_of(log.items, slates, log.num_candidates)
    return numbers_of


def slates_of(actions: np.ndarray, num_candidates: int, slate_size: int) -> np.ndarray:
    """Returns the slates of actions, which :func:`actions_of` made or an agent of another library.

    Args:
        actions: integers of shape (n,), numbers of slates; or scores, of shape
            (n, num_candidates).
        num_candidates: number of candidates.
        slate_size: number of documents of a slate.

    Returns:
        Integers of shape (n, slate_size); of scores that tie the first one comes first.

    Raises:
        ValueError: for actions of another shape, or numbers of no slate.
    """
    num_candidates, slate_size = validation.candidates_and_slate(num_candidates, slate_size)
    array = numbers.array("actions", actions)
    if array.ndim == 2 and array.shape[1] == num_candidates:
        falling: np.ndarray = np.argsort(-array, axis=1, kind="stable")[:, :slate_size]
        return falling
    whole = numbers.whole_array("actions", array)
    slates = policy_lib.all_slates(num_candidates, slate_size)
    if whole.ndim != 1 or (whole < 0).any() or (whole >= len(slates)).any():
        raise ValueError(
            f"actions must be numbers of slates, from 0 to {len(slates) - 1} and of shape (n,), or "
            f"scores of shape (n, {num_candidates}), got shape {array.shape}."
        )
    shown: np.ndarray = slates[whole]
    return shown


def _ends(log: log_lib.SlateLog) -> tuple[np.ndarray, np.ndarray]:
    """Says which slates are the last ones of their episodes, and after which of them nothing is."""
    new = (np.diff(log.users) != 0) | (np.diff(log.episodes) != 0)
    last = np.concatenate([new, [True]])
    return last, last if last.all() else last & log.terminated


def to_d3rlpy(log: log_lib.SlateLog, actions: Actions = "discrete") -> dict[str, Any]:
    """Returns the arguments of ``d3rlpy.dataset.MDPDataset``.

    Args:
        log: logged slates.
        actions: 'discrete' or 'scores', see :mod:`recsim.ope.exports`.

    Returns:
        ``observations``, ``actions``, ``rewards``, ``terminals`` and ``timeouts``, and
        ``action_size``: the number of slates, or of candidates.
    """
    array = actions_of(log, actions)
    assert log.num_candidates is not None
    size = log.num_candidates
    if actions == "discrete":
        size, array = math.perm(log.num_candidates, log.slate_size), array[:, np.newaxis]
    last, ended = _ends(log)
    return {
        "observations": observations_of(log),
        "actions": array,
        "rewards": log.rewards.astype(np.float32),
        "terminals": ended.astype(np.float32),
        "timeouts": (last & ~ended).astype(np.float32),
        "action_size": size,
    }


def to_minari(
    log: log_lib.SlateLog,
    dataset_id: str,
    *,
    actions: Actions = "discrete",
    algorithm_name: str = "recsim",
    **kwargs: Any,
) -> minari.MinariDataset:
    """Makes a data set of Minari's, in the folder where Minari keeps them.

    What follows the last slate of an episode that continues is not in the log, and Minari wants an
    observation after each action: such an episode loses its last slate.

    Args:
        log: logged slates.
        dataset_id: Minari's name of it, such as ``'recsim/random-v0'``, which is free.
        actions: 'discrete' or 'scores', see :mod:`recsim.ope.exports`.
        algorithm_name: of the agent that was logged.
        **kwargs: further arguments of ``minari.create_dataset_from_buffers``, such as
            ``author``, ``code_permalink`` and ``description``.

    Raises:
        ModuleNotFoundError: if Minari is not installed.
        ValueError: if there is a data set of that name.
    """
    try:
        import minari
        from minari.data_collector import EpisodeBuffer
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "to_minari needs Minari, from Python 3.11 on: pip install 'recsim[minari]'."
        ) from error
    from gymnasium import spaces

    observations, array = observations_of(log), actions_of(log, actions)
    is_last, is_end = _ends(log)
    stops = np.flatnonzero(is_last) + 1
    buffers = []
    for start, stop in zip([0, *stops[:-1].tolist()], stops.tolist()):
        terminated = bool(is_end[stop - 1])
        last = stop if terminated else stop - 1
        if last == start:
            continue
        of_episode = observations[start:stop]
        if terminated:  # What is observed after the end does not count.
            of_episode = np.concatenate([of_episode, of_episode[-1:]])
        number = last - start
        ended = np.arange(number) == number - 1
        buffers.append(
            EpisodeBuffer(
                observations=of_episode,
                actions=array[start:last],
                rewards=log.rewards[start:last],
                terminations=ended & terminated,
                truncations=ended & (not terminated),
            )
        )
    assert log.num_candidates is not None
    space: spaces.Space[Any] = spaces.Discrete(math.perm(log.num_candidates, log.slate_size))
    if actions == "scores":
        space = spaces.Box(0.0, 1.0, (log.num_candidates,), np.float32)
    with warnings.catch_warnings():
        # Minari asks for who made the data set, by which code and environment: see kwargs.
        warnings.filterwarnings("ignore", category=UserWarning, module="minari")
        made: minari.MinariDataset = minari.create_dataset_from_buffers(
            dataset_id,
            buffer=buffers,
            observation_space=spaces.Box(-np.inf, np.inf, observations.shape[1:], np.float32),
            action_space=space,
            algorithm_name=algorithm_name,
            **kwargs,
        )
    return made
