"""SlateQ: Q-learning of documents, from which the values of slates are composed.

If a user clicks one document of a slate at most, and what comes of it depends on that document
alone, the value of a slate is the mean of its documents' values under the user's choice (Ie et
al., "SlateQ: A Tractable Decomposition for Reinforcement Learning with Recommendation Sets",
IJCAI 2019; long version arXiv 1905.12767). The agent learns the documents' values and knows, or
assumes, the choice model.

The functions take NumPy arrays or TensorFlow tensors, and return what they were given. With
tensors they also work inside of a ``tf.function``; gradients do not pass through them.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from recsim import agent, choice_model
from recsim import spaces as spaces_lib
from recsim._internal import numbers, observations, validation
from recsim._internal.configurable import configurable
from recsim.agents.dopamine import (
    adapters,
    dqn_agent,
    network,
    slate_selection,
    transitions,
    vector_dqn_agent,
)

__all__ = [
    "SlateDecompQAgent",
    "VectorSlateDecompQAgent",
    "compute_probs_tf",
    "compute_target_greedy_q",
    "compute_target_optimal_q",
    "compute_target_sarsa",
    "compute_target_topk_q",
    "create_agent",
    "create_vector_agent",
    "score_documents",
    "score_documents_tf",
    "select_slate_greedy",
    "select_slate_optimal",
    "select_slate_topk",
]


def _takes_tensors(*dtypes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Lets a function of arrays take tensors too, and return tensors of these dtypes then."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def for_both(*args: Any, **kwargs: Any) -> Any:
            if not any(map(_is_tensor, (*args, *kwargs.values()))):
                return function(*args, **kwargs)
            import tensorflow as tf

            arguments = inspect.signature(function).bind(*args, **kwargs).arguments
            tensors = {name: value for name, value in arguments.items() if _is_tensor(value)}

            def on_arrays(*arrays: np.ndarray) -> Any:
                result = function(**{**arguments, **dict(zip(tensors, arrays))})
                if len(dtypes) == 1:
                    return np.asarray(result, dtypes[0])
                return [np.asarray(part, dtype) for part, dtype in zip(result, dtypes)]

            if len(dtypes) == 1:
                return tf.numpy_function(on_arrays, list(tensors.values()), dtypes[0])
            return tuple(tf.numpy_function(on_arrays, list(tensors.values()), dtypes))

        return for_both

    return decorate


def _is_tensor(value: Any) -> bool:
    return type(value).__module__.startswith("tensorflow.")


@_takes_tensors(np.float32)
def compute_probs_tf(slate: Any, scores_tf: Any, score_no_click_tf: Any) -> Any:
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
    return weights / total


def score_documents(
    user_obs: ArrayLike,
    doc_obs: ArrayLike,
    no_click_mass: float = 1.0,
    is_mnl: bool = False,
    min_normalizer: float = -1.0,
) -> tuple[np.ndarray, Any]:
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
    user_obs: Any,
    doc_obs: Any,
    no_click_mass: float = 1.0,
    is_mnl: bool = False,
    min_normalizer: float = -1.0,
) -> Any:
    """Does what :func:`score_documents` does, with tensors too."""
    return score_documents(user_obs, doc_obs, no_click_mass, is_mnl, min_normalizer)


@_takes_tensors(np.int32)
def select_slate_topk(slate_size: int, s_no_click: Any, s: Any, q: Any) -> Any:
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
def select_slate_greedy(slate_size: int, s_no_click: Any, s: Any, q: Any) -> Any:
    """Returns slates built document by document, each adding the most to the value (GS).

    Takes, returns and raises what :func:`select_slate_topk` does; the indices are in the order of
    their choice.
    """
    slate_size, s, q = _checked(slate_size, s, q, s_no_click)
    return slate_selection.greedy_slates(slate_size, s_no_click, s, q)


@_takes_tensors(np.int32)
def select_slate_optimal(slate_size: int, s_no_click: Any, s: Any, q: Any) -> Any:
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


# The values of the next states, by (next slates, weights of no click, weights, values).


def _value_sarsa(slates: Any, s_no_click: Any, s: Any, q: Any) -> np.ndarray:
    return slate_selection.slate_values(slates, s_no_click, s, q)


def _value_topk(slates: Any, s_no_click: Any, s: Any, q: Any) -> np.ndarray:
    slates = slate_selection.top_k_slates(slates.shape[-1], s, q)
    return slate_selection.slate_values(slates, s_no_click, s, q)


def _value_greedy(slates: Any, s_no_click: Any, s: Any, q: Any) -> np.ndarray:
    slates = slate_selection.greedy_slates(slates.shape[-1], s_no_click, s, q)
    return slate_selection.slate_values(slates, s_no_click, s, q)


def _value_optimal(slates: Any, s_no_click: Any, s: Any, q: Any) -> np.ndarray:
    return slate_selection.optimal_slates(slates.shape[-1], s_no_click, s, q)[1]


def _compute_target(
    value: Callable[..., np.ndarray],
    reward: Any,
    gamma: Any,
    next_actions: Any,
    next_q_values: Any,
    next_states: Any,
    terminals: Any,
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
    return _target(rewards, discount, next_values, ended)


def _target(reward: Any, discount: Any, next_values: Any, terminals: Any) -> np.ndarray:
    return reward + discount * next_values * (1.0 - np.asarray(terminals, np.float32))


@_takes_tensors(np.float32)
def compute_target_sarsa(
    reward: Any, gamma: Any, next_actions: Any, next_q_values: Any, next_states: Any, terminals: Any
) -> Any:
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
    reward: Any, gamma: Any, next_actions: Any, next_q_values: Any, next_states: Any, terminals: Any
) -> Any:
    """Returns targets by the values of the next greedy slates (the method GT of the paper).

    Takes and returns what :func:`compute_target_sarsa` does.
    """
    return _compute_target(
        _value_greedy, reward, gamma, next_actions, next_q_values, next_states, terminals
    )


@_takes_tensors(np.float32)
def compute_target_topk_q(
    reward: Any, gamma: Any, next_actions: Any, next_q_values: Any, next_states: Any, terminals: Any
) -> Any:
    """Returns targets by the values of the next top-k slates (the method TT of the paper).

    Takes and returns what :func:`compute_target_sarsa` does.
    """
    return _compute_target(
        _value_topk, reward, gamma, next_actions, next_q_values, next_states, terminals
    )


@_takes_tensors(np.float32)
def compute_target_optimal_q(
    reward: Any, gamma: Any, next_actions: Any, next_q_values: Any, next_states: Any, terminals: Any
) -> Any:
    """Returns targets by the highest values of a next slate (the method OT of the paper).

    Takes and returns what :func:`compute_target_sarsa` does.
    """
    return _compute_target(
        _value_optimal, reward, gamma, next_actions, next_q_values, next_states, terminals
    )


_VALUES_OF_TARGETS: dict[Any, Callable[..., np.ndarray]] = {
    compute_target_sarsa: _value_sarsa,
    compute_target_greedy_q: _value_greedy,
    compute_target_topk_q: _value_topk,
    compute_target_optimal_q: _value_optimal,
}


@configurable()
class SlateDecompQAgent(dqn_agent.DQNAgentRecSim):
    """SlateQ with one network for all documents.

    The value of a document is learned from the steps at which it was clicked (those at which
    several documents were clicked are left out). The value of no click is 0, as in the paper,
    unless ``learn_no_click_value`` is set: then a user who clicks nothing and stays has the value
    of what is still to come, which the same network learns, of an input of its own.

    With :class:`~recsim.agents.layers.temporal_aggregation.TemporalAggregationLayer` set
    ``reward_field=None``, for the layer aggregates rewards and not responses.

    Args:
        sess: not used.
        observation_space: space of the observations, whose responses have ``click`` and the
            reward. Users and documents have equally many features, unless there is a
            ``score_documents_fn``.
        action_space: the ``MultiDiscrete`` space of slates.
        optimizer_name: see :class:`recsim.agents.dopamine.training.Trainer`.
        select_slate_fn: function of the slate size, the weight of no click, the weights of the
            documents and their values, that returns a slate; :func:`select_slate_optimal` if None.
        compute_target_fn: function as :func:`compute_target_optimal_q`, which is the one if None.
            One that is not of this module gets NumPy arrays; ``gamma`` is an array of shape
            (batch,) if ``update_horizon`` is above 1.
        stack_size: must be 1.
        eval_mode: whether the agent only recommends.
        no_click_mass: see :func:`score_documents`.
        is_mnl: see :func:`score_documents`.
        min_normalizer: see :func:`score_documents`.
        score_documents_fn: function of the features of users, of shape (..., user_size), and of
            documents, of shape (..., num_documents, doc_size), that returns choice weights of
            the documents and of no click, as :func:`score_documents` does. It is used instead of
            that function and the three arguments above.
        reward_field: key of the responses whose value, for the document clicked, is the reward;
            None for the reward that the agent is given at each step.
        learn_no_click_value: whether to learn the value of no click from the steps at which
            nothing was clicked, and to use it in targets and in slates.
        **kwargs: arguments of :class:`recsim.agents.dopamine.dqn_agent.DQNAgent`.

    Raises:
        TypeError, ValueError: for arguments or spaces that give no agent.
    """

    state_settings: ClassVar[tuple[str, ...]] = (
        *dqn_agent.DQNAgentRecSim.state_settings,
        "compute_target_fn",
        "learn_no_click_value",
        "reward_field",
        "select_slate_fn",
    )

    def __init__(
        self,
        sess: Any,
        observation_space: Any,
        action_space: Any,
        optimizer_name: str = "",
        select_slate_fn: Callable[..., Any] | None = None,
        compute_target_fn: Callable[..., Any] | None = None,
        stack_size: int = 1,
        eval_mode: bool = False,
        *,
        no_click_mass: float = 1.0,
        is_mnl: bool = False,
        min_normalizer: float = -1.0,
        score_documents_fn: Callable[[np.ndarray, np.ndarray], tuple[Any, Any]] | None = None,
        reward_field: str | None = "watch_time",
        learn_no_click_value: bool = False,
        **kwargs: Any,
    ) -> None:
        no_click_mass = validation.number("no_click_mass", no_click_mass)
        min_normalizer = validation.number("min_normalizer", min_normalizer)
        for name, function in (
            ("select_slate_fn", select_slate_fn),
            ("compute_target_fn", compute_target_fn),
            ("score_documents_fn", score_documents_fn),
        ):
            validation.callable_or_none(name, function)
        self._select_slate_fn = select_slate_fn or select_slate_optimal
        self._compute_target_fn = compute_target_fn or compute_target_optimal_q
        self._score_documents_fn = score_documents_fn or functools.partial(
            score_documents,
            no_click_mass=no_click_mass,
            is_mnl=is_mnl,
            min_normalizer=min_normalizer,
        )
        if not isinstance(reward_field, (str, type(None))):
            raise TypeError(f"reward_field must be a string or None, got {reward_field!r:.80}.")
        self._reward_field = reward_field
        self._learn_no_click_value = learn_no_click_value
        super().__init__(
            sess,
            observation_space,
            num_actions=0,
            stack_size=stack_size,
            optimizer_name=optimizer_name,
            eval_mode=eval_mode,
            action_space=action_space,
            **kwargs,
        )
        _check_response_fields(adapters.part_of(observation_space, "response"), reward_field)
        self._interests = _interests_of(observation_space.spaces["user"])
        if score_documents_fn is None:
            _check_scorable(observation_space, self._interests)

    def _num_inputs(self) -> int:
        # The last input tells no click, which has no features, from a document.
        adapter = self._obs_adapter
        return adapter.user_size + adapter.doc_size + self._learn_no_click_value

    def _description(self) -> dict[str, Any]:
        return {
            **super()._description(),
            "learn_no_click_value": self._learn_no_click_value,
        }

    # Documents are valued one by one, so that there may be any number in serving, and in a slate.

    def _fits(self, description: dict[str, Any]) -> bool:
        if self.eval_mode:
            of_any_size = ("num_candidates", "slate_size")
            own = self._description()
            description = {**description, **{name: own[name] for name in of_any_size}}
        return super()._fits(description)

    def _refuse_documents(self, number: int) -> None:
        if not self.eval_mode or number < self._slate_size:
            super()._refuse_documents(number)

    def _score(self, users: np.ndarray, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._score_documents_fn(users[..., self._interests], documents)

    def _values(
        self, q_network: network.QNetwork, users: np.ndarray, documents: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the values of documents, shape (batch, n), and of no click, (batch, 1)."""
        kernel, bias = q_network.first_layer
        user_size, doc_size = users.shape[-1], documents.shape[-1]
        of_users = (users @ kernel[:user_size] + bias)[:, np.newaxis]
        q = q_network.finish(documents @ kernel[user_size : user_size + doc_size] + of_users)
        if not self._learn_no_click_value:
            return q, np.zeros((len(q), 1), np.float32)
        return q, q_network.finish(of_users + kernel[-1])

    def _best_slate(self, user: np.ndarray, documents: np.ndarray) -> np.ndarray:
        s, s_no_click = self._score(user, documents)
        q, q_no_click = self._values(self._online_network, user[np.newaxis], documents[np.newaxis])
        # A value of no click shifts the values of all slates, see slate_selection.
        select_slate = _SELECTIONS.get(self._select_slate_fn, self._select_slate_fn)
        slate = select_slate(self._slate_size, s_no_click, s, (q - q_no_click)[0])
        return np.asarray(slate).reshape(-1)

    def _training_rows(self, batch: transitions.Batch) -> np.ndarray:
        user_size = self._obs_adapter.user_size
        clicked = batch.clicks >= 0
        used = clicked.copy()
        rows = np.zeros((len(clicked), self._num_inputs() + 2), np.float32)
        rows[:, :user_size] = batch.users
        positions = np.arange(len(clicked))
        # A clicked position of -1 or -2 is one too, of a row that is not used or set to 0 here.
        documents = batch.documents[positions, batch.slates[positions, batch.clicks]]
        rows[:, user_size : user_size + documents.shape[-1]] = documents * clicked[:, np.newaxis]
        if self._learn_no_click_value:
            not_clicked = batch.clicks == transitions.NO_CLICK
            rows[:, -3] = not_clicked
            used |= not_clicked
        rows[:, -1] = used
        learned_from = np.flatnonzero(used)
        for start in range(0, len(learned_from), network.BLOCK):
            block = learned_from[start : start + network.BLOCK]
            rows[block, -2] = self._targets(batch, block)
        return rows

    def _targets(self, batch: transitions.Batch, rows: np.ndarray) -> np.ndarray:
        users, documents = batch.next_users[rows], batch.next_documents[rows]
        slates, terminals = batch.next_slates[rows], batch.terminals[rows]
        discounts = batch.discounts[rows]
        q, q_no_click = self._values(self._target_network, users, documents)
        rewards = _target(batch.rewards[rows], discounts, q_no_click[:, 0], terminals)
        q = q - q_no_click
        value = _VALUES_OF_TARGETS.get(self._compute_target_fn)
        if value is not None:
            s, s_no_click = self._score(users, documents)
            return _target(rewards, discounts, value(slates, s_no_click, s, q), terminals)
        gamma = self.gamma if self.update_horizon == 1 else discounts
        images = self._obs_adapter.images(users, documents)
        targets = self._compute_target_fn(
            reward=rewards,
            gamma=gamma,
            next_actions=slates,
            next_q_values=q,
            next_states=images,
            terminals=terminals,
        )
        return np.asarray(targets)

    def _outcome(self, reward: float, observation: agent.Observation | None) -> tuple[int, float]:
        responses = observation["response"]  # type: ignore[index]
        clicks = [
            i
            for i, response in enumerate(responses)
            if numbers.is_nonzero("a response's click", response["click"])
        ]
        click = transitions.NO_CLICK
        if clicks:
            click = clicks[0] if len(clicks) == 1 else transitions.SEVERAL_CLICKS
        if self._reward_field is not None:
            name = f"a response's {self._reward_field}"
            reward = sum(numbers.as_float(name, responses[i][self._reward_field]) for i in clicks)
        return click, reward


#: Functions that select slates for users in parallel, and what they do after their checks.
_SELECTIONS: dict[Any, Callable[..., np.ndarray]] = {
    select_slate_topk: lambda size, s_no_click, s, q: slate_selection.top_k_slates(size, s, q),
    select_slate_greedy: slate_selection.greedy_slates,
    select_slate_optimal: lambda *arguments: slate_selection.optimal_slates(*arguments)[0],
}


class VectorSlateDecompQAgent(vector_dqn_agent.VectorDQNAgent):
    """Recommends to many users, and learns from them, as :class:`SlateDecompQAgent` does from one.

    Args:
        environment: the environment to recommend in.
        **kwargs: arguments of :class:`recsim.agents.dopamine.vector_dqn_agent.VectorDQNAgent` and
            :class:`SlateDecompQAgent`. A ``select_slate_fn`` that is not of this module is called
            for one user at a time.
    """

    def __init__(self, environment: Any, **kwargs: Any) -> None:
        super().__init__(environment, functools.partial(SlateDecompQAgent, None), **kwargs)

    def _best_slates(self, users: np.ndarray, documents: np.ndarray) -> np.ndarray:
        learner = self._learner
        s, s_no_click = learner._score(users, documents)
        q, q_no_click = learner._values(learner._online_network, users, documents)
        q -= q_no_click
        select_slates = learner._select_slate_fn
        if select_slates in _SELECTIONS:
            return _SELECTIONS[select_slates](self._slate_size, s_no_click, s, q)
        slates = [select_slates(self._slate_size, *of_user) for of_user in zip(s_no_click, s, q)]
        return np.array(slates).reshape(len(users), self._slate_size)

    def _outcomes(self, responses: Any, rewards: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        clicked = numbers.finite_per_item("responses' click", responses["click"], 2) != 0
        num_clicks = clicked.sum(axis=1)
        clicks = np.where(num_clicks == 0, transitions.NO_CLICK, clicked.argmax(axis=1))
        clicks[num_clicks > 1] = transitions.SEVERAL_CLICKS
        field = self._learner._reward_field
        if field is not None:
            of_documents = numbers.finite_per_item(f"responses' {field}", responses[field], 2)
            rewards = of_documents.sum(axis=1, where=clicked)
        return clicks, rewards


def _check_response_fields(response_space: Any, reward_field: str | None) -> None:
    names = list(observations.fields_of_response(response_space))
    if "click" not in names:
        raise ValueError(
            "observation_space['response'] must have the key 'click', for documents are learned "
            f"from when they are clicked, got responses with {names}."
        )
    if reward_field is not None and reward_field not in names:
        raise ValueError(
            f"observation_space['response'] must have the reward_field {reward_field!r}, got "
            f"responses with {names}.{validation.nearest_name(reward_field, names)} "
            "reward_field=None takes the reward of each step."
        )


def _interests_of(user_space: Any, start: int = 0) -> slice:
    """Returns where among a user's features those are that documents are scored by.

    They are the environment's own, not those that layers put beside them.
    """
    end = start
    if spaces_lib.kind_of(user_space) == "Dict":
        for key, entry in user_space.spaces.items():
            if key in ("raw_observation", "original_observation"):
                return _interests_of(entry, end)
            end += spaces_lib.flat_size(entry)
    return slice(start, start + spaces_lib.flat_size(user_space))


def _check_scorable(observation_space: Any, interests: slice) -> None:
    doc_space = next(iter(observation_space.spaces["doc"].spaces.values()))
    user_size, doc_size = interests.stop - interests.start, spaces_lib.flat_size(doc_space)
    if user_size != doc_size:
        raise ValueError(
            "Documents are scored by the inner product of their features and the user's, which "
            f"takes equally many of both, got {user_size} of the user and {doc_size} of a "
            "document: pass a score_documents_fn that knows how this environment's users choose."
        )


def _strategy(select_slate_fn: Any, compute_target_fn: Any, **settings: float) -> dict[str, Any]:
    return {
        "select_slate_fn": select_slate_fn,
        "compute_target_fn": compute_target_fn,
        **settings,
    }


_STRATEGIES = {
    "dp_random": _strategy(
        select_slate_greedy, compute_target_sarsa, epsilon_train=1.0, epsilon_eval=1.0
    ),
    "slate_topk_sarsa": _strategy(select_slate_topk, compute_target_sarsa),
    "myopic_slate_topk_sarsa": _strategy(select_slate_topk, compute_target_sarsa, gamma=0.0),
    "slate_greedy_sarsa": _strategy(select_slate_greedy, compute_target_sarsa),
    "myopic_slate_greedy_sarsa": _strategy(select_slate_greedy, compute_target_sarsa, gamma=0.0),
    "slate_greedy_optimal_q": _strategy(select_slate_greedy, compute_target_optimal_q),
    "slate_topk_topk_q": _strategy(select_slate_topk, compute_target_topk_q),
    "slate_topk_optimal_q": _strategy(select_slate_topk, compute_target_optimal_q),
    "slate_optimal_optimal_q": _strategy(select_slate_optimal, compute_target_optimal_q),
    "slate_greedy_greedy_q": _strategy(select_slate_greedy, compute_target_greedy_q),
}


def create_agent(agent_name: str, sess: Any, **kwargs: Any) -> SlateDecompQAgent:
    """Creates a SlateQ agent of one of the paper's strategies.

    Args:
        agent_name: 'dp_random', or a strategy ``slate_<serving>_<training>``: how slates are
            chosen, 'topk', 'greedy' or 'optimal', and what targets are computed with, 'sarsa',
            'topk_q', 'greedy_q' or 'optimal_q'. A leading 'myopic' is for a discount of 0.
        sess: not used.
        **kwargs: arguments of :class:`SlateDecompQAgent`, but for those that the strategy sets.

    Raises:
        ValueError: if the name is unknown.
    """
    return SlateDecompQAgent(sess, **{**kwargs, **_strategy_of(agent_name)})


def _strategy_of(agent_name: str) -> dict[str, Any]:
    if not isinstance(agent_name, str) or agent_name not in _STRATEGIES:
        raise ValueError(
            f"agent_name must be one of {', '.join(_STRATEGIES)}, got {agent_name!r}."
            f"{validation.nearest_name(agent_name, _STRATEGIES)}"
        )
    return _STRATEGIES[agent_name]


def create_vector_agent(
    agent_name: str, environment: Any, **kwargs: Any
) -> VectorSlateDecompQAgent:
    """Creates a SlateQ agent of one of the paper's strategies, for many users.

    Args:
        agent_name: a name that :func:`create_agent` knows.
        environment: the environment to recommend in.
        **kwargs: arguments of :class:`VectorSlateDecompQAgent`, but for those that the strategy
            sets.

    Raises:
        ValueError: if the name is unknown.
    """
    return VectorSlateDecompQAgent(environment, **{**kwargs, **_strategy_of(agent_name)})
