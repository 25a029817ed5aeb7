"""Choice models, slates and targets of SlateQ, as functions of arrays.

They take NumPy arrays or TensorFlow tensors, and return what they were given. With tensors they
also work inside of a ``tf.function``; gradients do not pass through them. Users import them from
:mod:`recsim.agents.slate_decomp_q_agent`.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike

from recsim import choice_model
from recsim._internal import numbers, validation
from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.agents.dopamine import slate_selection

__all__ = [
    "SELECTIONS",
    "VALUES_OF_TARGETS",
    "compute_probs_tf",
    "compute_target_greedy_q",
    "compute_target_optimal_q",
    "compute_target_sarsa",
    "compute_target_topk_q",
    "score_documents",
    "score_documents_tf",
    "select_slate_greedy",
    "select_slate_optimal",
    "select_slate_topk",
    "target",
]


P = ParamSpec("P")
R = TypeVar("R")


def _takes_tensors(*dtypes: type[np.generic]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Lets a function of arrays take tensors too, and return tensors of these dtypes then."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def for_both(*args: P.args, **kwargs: P.kwargs) -> R:
            if not any(map(_is_tensor, (*args, *kwargs.values()))):
                return function(*args, **kwargs)
            import tensorflow as tf

            arguments = inspect.signature(function).bind(*args, **kwargs).arguments
            tensors = {name: value for name, value in arguments.items() if _is_tensor(value)}

            def on_arrays(*arrays: np.ndarray) -> np.ndarray | list[np.ndarray]:
                result: Any = function(**{**arguments, **dict(zip(tensors, arrays))})  # type: ignore[call-arg]
                if len(dtypes) == 1:
                    return np.asarray(result, dtypes[0])
                return [np.asarray(part, dtype) for part, dtype in zip(result, dtypes)]

            returned = dtypes[0] if len(dtypes) == 1 else dtypes
            results = tf.numpy_function(on_arrays, list(tensors.values()), returned)
            return cast(R, results if len(dtypes) == 1 else tuple(results))

        return for_both

    return decorate


def _is_tensor(value: object) -> bool:
    return type(value).__module__.startswith("tensorflow.")


@_takes_tensors(np.float32)
def compute_probs_tf(
    slate: ArrayLike, scores_tf: ArrayLike, score_no_click_tf: ArrayLike
) -> np.ndarray:
    """Returns the probabilities that a user chooses each document of a slate.

    Args:
        slate: indices of documents, integers of shape (slate_size,) or (slate_size, 1).
        scores_tf: choice weights of all documents, of shape (num_documents,).
        score_no_click_tf: choice weight of no click.

    Returns:
        Probabilities of the slate's shape; what they lack of one is that of no click.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if the weights give no distribution.
        IndexError: if the slate holds an index of no document.
    """
    scores = numbers.float_array("scores_tf", scores_tf)
    no_click = numbers.as_float("score_no_click_tf", score_no_click_tf)
    indices = numbers.array("slate", slate)
    if scores.ndim != 1 or indices.dtype.kind not in "iu":
        raise ValueError(
            "slate must be indices into scores_tf, a vector, got arrays of shapes "
            f"{indices.shape} ({indices.dtype}) and {scores.shape}."
        )
    if indices.size and not 0 <= indices.min() <= indices.max() < len(scores):
        raise IndexError(
            f"slate must hold indices of documents, 0 to {len(scores) - 1} for scores_tf, got "
            f"{numbers.described(indices.tolist())}."
        )
    weights = scores[indices]
    total = weights.sum() + no_click
    if not (0.0 < total < np.inf and weights.min(initial=no_click) >= 0.0):
        raise ValueError(
            "scores_tf and score_no_click_tf must be choice weights, finite and >= 0 with a "
            f"positive sum, got {numbers.described(weights.tolist())} and {no_click!r}."
        )
    probabilities: np.ndarray = weights / total
    return probabilities


def score_documents(
    user_obs: ArrayLike,
    doc_obs: ArrayLike,
    no_click_mass: float = 1.0,
    is_mnl: bool = False,
    min_normalizer: float = -1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns choice weights of documents and of no click, by inner products of features.

    Args:
        user_obs: features of users, of shape (..., num_features).
        doc_obs: features of documents, of shape (..., num_documents, num_features).
        no_click_mass: score of no click.
        is_mnl: whether users choose by a multinomial logit model, and not in proportion to
            scores.
        min_normalizer: what is subtracted from every score, that of no click included, where
            users choose in proportion to scores.

    Returns:
        Weights of the documents, of shape (..., num_documents), and of no click, of shape (...).
        They sum to one in the logit model.

    Raises:
        ValueError: if a score is below ``min_normalizer``.
    """
    user = numbers.float_array("user_obs", user_obs)
    documents = numbers.float_array("doc_obs", doc_obs)
    if (
        not user.ndim
        or user.shape[:-1] != documents.shape[:-2]
        or (user.shape[-1:] != documents.shape[-1:])
    ):
        raise ValueError(
            "user_obs and doc_obs must have the shapes (..., num_features) and (..., "
            f"num_documents, num_features), got {user.shape} and {documents.shape}."
        )
    no_click_mass = validation.number("no_click_mass", no_click_mass)
    min_normalizer = validation.number("min_normalizer", min_normalizer)
    scores = (documents @ user[..., np.newaxis])[..., 0]
    if validation.flag("is_mnl", is_mnl):
        weights = choice_model.multinomial_logit_probabilities(scores, no_click_mass)
        return weights[..., :-1], weights[..., -1]
    weights = scores - min_normalizer
    weight_no_click = no_click_mass - min_normalizer
    # Not even a NaN is at least 0.
    if weight_no_click < 0 or not weights.min(initial=0.0) >= 0.0:
        raise ValueError(
            "Scores (of user_obs and doc_obs) must be at least min_normalizer, for the differences "
            "are the choice weights: "
            f"got min_normalizer={min_normalizer!r}, no_click_mass={no_click_mass!r} and the least "
            f"score of a document {float(scores.min(initial=np.inf))!r}; choose a min_normalizer "
            "that no score goes below."
        )
    return weights, np.full(weights.shape[:-1], weight_no_click, weights.dtype)[()]


#: The same, under the name of RecSim's function of tensors.
@_takes_tensors(np.float32, np.float32)
def score_documents_tf(
    user_obs: ArrayLike,
    doc_obs: ArrayLike,
    no_click_mass: float = 1.0,
    is_mnl: bool = False,
    min_normalizer: float = -1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Does what :func:`score_documents` does, with tensors too."""
    return score_documents(user_obs, doc_obs, no_click_mass, is_mnl, min_normalizer)


@_takes_tensors(np.int32)
def select_slate_topk(
    slate_size: int, s_no_click: ArrayLike, s: ArrayLike, q: ArrayLike
) -> np.ndarray:
    """Returns the documents of the highest ``s * q`` (the method TS of the paper).

    Args:
        slate_size: number of documents of a slate, at most ``num_documents``.
        s_no_click: choice weight of no click, of shape (...); not used.
        s: choice weights of the documents, of shape (..., num_documents).
        q: values of the documents, of the same shape.

    Returns:
        Indices of shape (..., slate_size), the highest first.

    Raises:
        TypeError: if an argument is not numeric.
        ValueError: if there are fewer documents than the slate has places, a weight is negative,
            or a number is not finite.
    """
    return slate_selection.top_k_slates(*_checked(slate_size, s, q, s_no_click))


@_takes_tensors(np.int32)
def select_slate_greedy(
    slate_size: int, s_no_click: ArrayLike, s: ArrayLike, q: ArrayLike
) -> np.ndarray:
    """Returns slates built document by document, each adding the most to the value (GS).

    Takes, returns and raises what :func:`select_slate_topk` does; the indices are in the order of
    their choice.
    """
    slate_size, s, q = _checked(slate_size, s, q, s_no_click)
    return slate_selection.greedy_slates(slate_size, s_no_click, s, q)


@_takes_tensors(np.int32)
def select_slate_optimal(
    slate_size: int, s_no_click: ArrayLike, s: ArrayLike, q: ArrayLike
) -> np.ndarray:
    """Returns the slates of the highest value (OS), which are found without enumerating slates.

    Takes, returns and raises what :func:`select_slate_topk` does; the document that adds the most
    comes first.
    """
    slate_size, s, q = _checked(slate_size, s, q, s_no_click)
    return slate_selection.optimal_slates(slate_size, s_no_click, s, q)[0]


def _checked(
    slate_size: int, s: ArrayLike, q: ArrayLike, s_no_click: ArrayLike = 0.0
) -> tuple[int, np.ndarray, np.ndarray]:
    """Returns the arguments of a function that selects slates as an int and as arrays.

    Raises:
        TypeError: if one is not numeric.
        ValueError: if they do not fit one another, a weight is negative, or a number not finite.
    """
    s, q = numbers.float_array("s", s), numbers.float_array("q", q)
    no_click = numbers.float_array("s_no_click", s_no_click)
    size = validation.positive_int("slate_size", slate_size, minimum=-sys.maxsize)
    if s.shape != q.shape or not s.ndim:
        raise ValueError(
            "s and q must have an entry for each document, arrays of one shape (..., "
            f"num_documents), got shapes {s.shape} and {q.shape}."
        )
    if not 0 < size <= s.shape[-1]:
        raise ValueError(
            f"slate_size must be 1 to the number of documents, {s.shape[-1]}, got {slate_size!r}."
        )
    if no_click.shape not in ((), s.shape[:-1]):
        raise ValueError(
            f"s_no_click must be a number for each slate, of shape {s.shape[:-1]}, got shape "
            f"{no_click.shape}."
        )
    for name, weights in (("s", s), ("s_no_click", no_click)):
        if not ((weights >= 0.0) & (weights < np.inf)).all():
            raise ValueError(
                f"{name} must be choice weights, finite and >= 0, got "
                f"{numbers.described(weights.tolist())}."
            )
    if not np.isfinite(q).all():
        raise ValueError(f"q must be finite, got {numbers.described(q.tolist())}.")
    return size, s, q


# The values of the next states, by (next slates, weights of no click, weights, values), and by what
# may stand where, None for all documents everywhere.


def _value_sarsa(
    slates: np.ndarray,
    s_no_click: np.ndarray,
    s: np.ndarray,
    q: np.ndarray,
    allowed: AllowedSlates | None = None,
) -> np.ndarray:
    del allowed  # The slates are there.
    return slate_selection.slate_values(slates, s_no_click, s, q)


def _value_topk(
    slates: np.ndarray,
    s_no_click: np.ndarray,
    s: np.ndarray,
    q: np.ndarray,
    allowed: AllowedSlates | None = None,
) -> np.ndarray:
    slates = slate_selection.top_k_slates(slates.shape[-1], s, q, allowed)
    return slate_selection.slate_values(slates, s_no_click, s, q)


def _value_greedy(
    slates: np.ndarray,
    s_no_click: np.ndarray,
    s: np.ndarray,
    q: np.ndarray,
    allowed: AllowedSlates | None = None,
) -> np.ndarray:
    slates = slate_selection.greedy_slates(slates.shape[-1], s_no_click, s, q, allowed)
    return slate_selection.slate_values(slates, s_no_click, s, q)


def _value_optimal(
    slates: np.ndarray,
    s_no_click: np.ndarray,
    s: np.ndarray,
    q: np.ndarray,
    allowed: AllowedSlates | None = None,
) -> np.ndarray:
    return slate_selection.optimal_slates(slates.shape[-1], s_no_click, s, q, allowed)[1]


def _compute_target(
    value: Callable[..., np.ndarray],
    reward: ArrayLike,
    gamma: ArrayLike,
    next_actions: ArrayLike,
    next_q_values: ArrayLike,
    next_states: ArrayLike,
    terminals: ArrayLike,
) -> np.ndarray:
    states = numbers.float_array("next_states", next_states)
    if states.ndim != 4 or states.shape[1] < 2:
        raise ValueError(
            "next_states must have the shape (batch, 1 + num_documents, num_features, "
            f"stack_size), got {states.shape}."
        )
    batch, num_documents = len(states), states.shape[1] - 1
    q = numbers.float_array("next_q_values", next_q_values)
    slates = numbers.array("next_actions", next_actions)
    rewards = numbers.float_array("reward", reward)
    ended = numbers.float_array("terminals", terminals)
    discount = numbers.float_array("gamma", gamma)
    expected = {
        "next_q_values": (q, ((batch, num_documents),)),
        "reward": (rewards, ((batch,),)),
        "terminals": (ended, ((batch,),)),
        "gamma": (discount, ((), (batch,))),
    }
    for name, (array, shapes) in expected.items():
        if array.shape not in shapes:
            raise ValueError(f"{name} must have the shape {shapes[-1]}, got {array.shape}.")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, got {numbers.described(array.tolist())}.")
    if slates.dtype.kind not in "iu" or slates.ndim != 2 or len(slates) != batch:
        raise ValueError(
            f"next_actions must be integers of shape ({batch}, slate_size), got an array of "
            f"{slates.dtype} and shape {slates.shape}."
        )
    if slates.size and not 0 <= slates.min() <= slates.max() < num_documents:
        raise IndexError(f"next_actions must be indices of documents, 0 to {num_documents - 1}.")
    newest = states[..., -1]
    s, s_no_click = score_documents(newest[:, 0], newest[:, 1:])
    next_values = value(slates, s_no_click, s, q)
    return target(rewards, discount, next_values, ended)


def target(
    reward: np.ndarray, discount: np.ndarray, next_values: np.ndarray, terminals: np.ndarray
) -> np.ndarray:
    """Returns targets: rewards, and discounted values of the next states where there are any."""
    continues = 1.0 - np.asarray(terminals, np.float32)
    targets: np.ndarray = reward + discount * next_values * continues
    return targets


@_takes_tensors(np.float32)
def compute_target_sarsa(
    reward: ArrayLike,
    gamma: ArrayLike,
    next_actions: ArrayLike,
    next_q_values: ArrayLike,
    next_states: ArrayLike,
    terminals: ArrayLike,
) -> np.ndarray:
    """Returns targets by the values of the slates that are shown next.

    Users are taken to choose as :func:`score_documents` has it by default; an agent uses its own
    choice model.

    Args:
        reward: rewards, of shape (batch,).
        gamma: discount, a number or an array of shape (batch,).
        next_actions: the next slates, integers of shape (batch, slate_size).
        next_q_values: values of the next candidates, of shape (batch, num_documents).
        next_states: features of the next user and the next candidates, of shape
            (batch, 1 + num_documents, num_features, stack_size); the last of a stack is used.
        terminals: whether there is no next state, of shape (batch,).

    Returns:
        Targets of shape (batch,).
    """
    return _compute_target(
        _value_sarsa, reward, gamma, next_actions, next_q_values, next_states, terminals
    )


@_takes_tensors(np.float32)
def compute_target_greedy_q(
    reward: ArrayLike,
    gamma: ArrayLike,
    next_actions: ArrayLike,
    next_q_values: ArrayLike,
    next_states: ArrayLike,
    terminals: ArrayLike,
) -> np.ndarray:
    """Returns targets by the values of the next greedy slates (the method GT of the paper).

    Takes and returns what :func:`compute_target_sarsa` does.
    """
    return _compute_target(
        _value_greedy, reward, gamma, next_actions, next_q_values, next_states, terminals
    )


@_takes_tensors(np.float32)
def compute_target_topk_q(
    reward: ArrayLike,
    gamma: ArrayLike,
    next_actions: ArrayLike,
    next_q_values: ArrayLike,
    next_states: ArrayLike,
    terminals: ArrayLike,
) -> np.ndarray:
    """Returns targets by the values of the next top-k slates (the method TT of the paper).

    Takes and returns what :func:`compute_target_sarsa` does.
    """
    return _compute_target(
        _value_topk, reward, gamma, next_actions, next_q_values, next_states, terminals
    )


@_takes_tensors(np.float32)
def compute_target_optimal_q(
    reward: ArrayLike,
    gamma: ArrayLike,
    next_actions: ArrayLike,
    next_q_values: ArrayLike,
    next_states: ArrayLike,
    terminals: ArrayLike,
) -> np.ndarray:
    """Returns targets by the highest values of a next slate (the method OT of the paper).

    Takes and returns what :func:`compute_target_sarsa` does.
    """
    return _compute_target(
        _value_optimal, reward, gamma, next_actions, next_q_values, next_states, terminals
    )


#: What functions of targets value next states by, of (next slates, weights of no click, weights,
#: values), and of what may stand where under action masks.
VALUES_OF_TARGETS: dict[Callable[..., np.ndarray], Callable[..., np.ndarray]] = {
    compute_target_sarsa: _value_sarsa,
    compute_target_greedy_q: _value_greedy,
    compute_target_topk_q: _value_topk,
    compute_target_optimal_q: _value_optimal,
}

#: Functions that select slates for users in parallel, by what they are after their checks; those
#: take the slates that action masks allow, too, None without masks.
SELECTIONS: dict[Callable[..., np.ndarray], Callable[..., np.ndarray]] = {
    select_slate_topk: lambda size, _, s, q, *allowed: slate_selection.top_k_slates(
        size, s, q, *allowed
    ),
    select_slate_greedy: slate_selection.greedy_slates,
    select_slate_optimal: lambda *arguments: slate_selection.optimal_slates(*arguments)[0],
}
