"""SlateQ: Q-learning of documents, from which the values of slates are composed.

If a user clicks one document of a slate at most, and what follows depends on that document
alone, the value of a slate is the mean of its documents' values under the user's choice (Ie et
al., "SlateQ: A Tractable Decomposition for Reinforcement Learning with Recommendation Sets",
IJCAI 2019; long version arXiv 1905.12767). The agent learns the documents' values and knows, or
assumes, the choice model.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from recsim import agent, choice_model, types  # noqa: F401  # RecSim's has it too.
from recsim import spaces as spaces_lib
from recsim._internal import numbers, observations, validation
from recsim._internal.configurable import configurable
from recsim.agents import adapters
from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.agents.dopamine import (
    dqn_agent,
    network,
    slate_functions,
    slate_selection,
    training,
    transitions,
    values,
    vector_dqn_agent,
)
from recsim.agents.dopamine.slate_functions import (
    compute_probs_tf,
    compute_target_greedy_q,
    compute_target_optimal_q,
    compute_target_sarsa,
    compute_target_topk_q,
    score_documents,
    score_documents_tf,
    select_slate_greedy,
    select_slate_optimal,
    select_slate_topk,
)
from recsim.agents.networks import products
from recsim.vector import agent as vector_agent

__all__ = [
    "DocumentValues",
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


class DocumentValues(values.SlateValues):
    """Values of documents, by one network, of which the values of slates are composed.

    Args:
        observation_space: space of the observations.
        adapter: what turns observations into features.
        slate_size: number of documents of a slate.
        select_slate_fn: see :class:`SlateDecompQAgent`, as all that follows.
        compute_target_fn: which targets are computed.
        no_click_mass: of the choice model.
        is_mnl: of the choice model.
        min_normalizer: of the choice model.
        score_documents_fn: the choice model, instead of the three before.
        reward_field: what of the responses is learned.
        learn_no_click_value: whether no click has a value.

    Raises:
        TypeError, ValueError: for arguments or spaces that give no values.
    """

    state_settings: ClassVar[tuple[str, ...]] = (
        "compute_target_fn",
        "learn_no_click_value",
        "reward_field",
        "select_slate_fn",
    )

    # Documents are valued one by one, so that there may be any number in serving, and in a slate.
    any_number_of_documents = True

    def __init__(
        self,
        observation_space: types.DictSpace,
        adapter: adapters.ObservationAdapter,
        slate_size: int,
        *,
        select_slate_fn: Callable[..., Any] | None = None,
        compute_target_fn: Callable[..., Any] | None = None,
        no_click_mass: float = 1.0,
        is_mnl: bool = False,
        min_normalizer: float = -1.0,
        score_documents_fn: Callable[[np.ndarray, np.ndarray], tuple[Any, Any]] | None = None,
        reward_field: str | None = "watch_time",
        learn_no_click_value: bool = False,
    ) -> None:
        no_click_mass = validation.number("no_click_mass", no_click_mass)
        min_normalizer = validation.number("min_normalizer", min_normalizer)
        for name, function in (
            ("select_slate_fn", select_slate_fn),
            ("compute_target_fn", compute_target_fn),
            ("score_documents_fn", score_documents_fn),
        ):
            validation.callable_or_none(name, function)
        if not isinstance(reward_field, (str, type(None))):
            raise TypeError(f"reward_field must be a string or None, got {reward_field!r:.80}.")
        super().__init__(observation_space, adapter, slate_size)
        self.select_slate_fn = select_slate_fn or select_slate_optimal
        self.compute_target_fn = compute_target_fn or compute_target_optimal_q
        self._score_documents_fn = score_documents_fn or functools.partial(
            score_documents,
            no_click_mass=no_click_mass,
            is_mnl=validation.flag("is_mnl", is_mnl),
            min_normalizer=min_normalizer,
        )
        self.reward_field = reward_field
        self.learn_no_click_value = validation.flag("learn_no_click_value", learn_no_click_value)
        _check_response_fields(adapters.part_of(observation_space, "response"), reward_field)
        self._interests = _interests_of(observation_space.spaces["user"])
        if score_documents_fn is None:
            _check_scorable(adapter.doc_size, self._interests)
        if adapter.mask_size:
            self._check_heed_masks()

    def _check_heed_masks(self) -> None:
        """Raises ValueError for functions of users' own, which are not told of action masks."""
        for name, known in (
            ("select_slate_fn", slate_functions.SELECTIONS),
            ("compute_target_fn", slate_functions.VALUES_OF_TARGETS),
        ):
            if getattr(self, name) not in known:
                names = ", ".join(function.__name__ for function in known)
                raise ValueError(
                    f"{name} must be one of {names} where documents have an action_mask, which "
                    f"other functions are not told of, got {getattr(self, name)!r:.80}."
                )

    @property
    def may_learn_in_a_thread(self) -> bool:
        """See :attr:`recsim.agents.dopamine.values.SlateValues.may_learn_in_a_thread`."""
        return (
            type(self) is DocumentValues
            and self.select_slate_fn in slate_functions.SELECTIONS
            and self.compute_target_fn in slate_functions.VALUES_OF_TARGETS
            and getattr(self._score_documents_fn, "func", None) is score_documents
        )

    @property
    def num_inputs(self) -> int:
        """Number of the network's inputs: features of a user and a document."""
        # The last input tells no click, which has no features, from a document.
        return self.adapter.user_size + self.adapter.doc_size + self.learn_no_click_value

    def description(self) -> dict[str, Any]:
        """Returns the sizes, and whether no click has a value."""
        return {**super().description(), "learn_no_click_value": self.learn_no_click_value}

    def serving_settings(self) -> dict[str, Any]:
        """See :meth:`recsim.agents.dopamine.values.SlateValues.serving_settings`."""
        score: Any = self._score_documents_fn
        is_own = getattr(score, "func", None) is not score_documents
        return {
            "select_slate_fn": self.select_slate_fn,
            **({"score_documents_fn": score} if is_own else score.keywords),
            "reward_field": self.reward_field,
            "learn_no_click_value": self.learn_no_click_value,
        }

    def score(self, users: np.ndarray, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns choice weights of documents, (..., num_documents), and of no click, (...).

        Args:
            users: features, shape (..., user_size).
            documents: features, shape (..., num_documents, doc_size).
        """
        return self._score_documents_fn(users[..., self._interests], documents)

    def of_documents(
        self, q_network: network.QNetwork, users: np.ndarray, documents: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the values of documents, shape (batch, n), and of no click, (batch, 1).

        Args:
            q_network: the network.
            users: features, shape (batch, user_size).
            documents: features, shape (batch, n, doc_size).
        """
        users = q_network.encoded(users)
        q = np.empty(documents.shape[:2], np.float32)
        q_no_click = np.zeros((len(q), 1), np.float32)
        kernel, bias = q_network.first_layer
        user_size, doc_size = users.shape[-1], documents.shape[-1]
        of_document = kernel[user_size : user_size + doc_size]
        size = products.users_of_block(documents.shape[1])
        for start in range(0, len(q), size):
            rows = slice(start, start + size)
            of_users = np.empty((len(users[rows]), 1, len(bias)), np.float32)
            products.product(users[rows], kernel[:user_size], out=of_users[:, 0])
            of_users += bias
            hidden = products.scratch("documents", (len(of_users), documents.shape[1], len(bias)))
            np.matmul(documents[rows], of_document, out=hidden)
            hidden += of_users
            q[rows] = q_network.finish(hidden)
            if self.learn_no_click_value:
                of_users += kernel[-1]
                q_no_click[rows] = q_network.finish(of_users)
        return q, q_no_click

    def best_slate(
        self, q_network: network.QNetwork, user: np.ndarray, documents: np.ndarray
    ) -> np.ndarray:
        """Returns the slate of the highest value, or what ``select_slate_fn`` returns."""
        if self.adapter.mask_size:
            best = self.best_slates(q_network, user[np.newaxis], documents[np.newaxis])
            return best.reshape(-1)
        s, s_no_click = self.score(user, documents)
        q, q_no_click = self.of_documents(q_network, user[np.newaxis], documents[np.newaxis])
        # A value of no click shifts the values of all slates, see slate_selection.
        select_slate: Callable[..., Any] = slate_functions.SELECTIONS.get(
            self.select_slate_fn, self.select_slate_fn
        )
        slate = select_slate(self.slate_size, s_no_click, s, (q - q_no_click)[0])
        return np.asarray(slate).reshape(-1)

    def best_slates(
        self, q_network: network.QNetwork, users: np.ndarray, documents: np.ndarray
    ) -> np.ndarray:
        """Returns the slates of the highest value, or what ``select_slate_fn`` returns for each."""
        documents, allowed = self.adapter.features_and_allowed_slates(documents)
        s, s_no_click = self.score(users, documents)
        q, q_no_click = self.of_documents(q_network, users, documents)
        q -= q_no_click
        select_slates = self.select_slate_fn
        if select_slates in slate_functions.SELECTIONS:
            select = slate_functions.SELECTIONS[select_slates]
            return select(self.slate_size, s_no_click, s, q, allowed)
        slates = [select_slates(self.slate_size, *of_user) for of_user in zip(s_no_click, s, q)]
        return np.array(slates).reshape(len(users), self.slate_size)

    def explanation(
        self, q_network: network.QNetwork, user: np.ndarray, documents: np.ndarray
    ) -> types.Explanation:
        """Returns the values and choice weights of documents, and what slate they give.

        The click probability of a document is that in a slate of its own.
        """
        slate = self.best_slate(q_network, user, documents)
        documents, masks = self.adapter.split(documents)
        s, s_no_click = self.score(user, documents)
        q, q_no_click = self.of_documents(q_network, user[np.newaxis], documents[np.newaxis])
        s, q, no_click = np.asarray(s, np.float64), q[0], float(s_no_click)
        of_slate = s[slate].sum()
        value = q_no_click.item() + slate_selection.slate_values(
            slate, no_click, s, q - q_no_click.item()
        )
        with np.errstate(invalid="ignore"):  # Of weights that are all 0 there is no probability.
            columns = {"Q-value": q, "choice weight": s, "click probability": s / (s + no_click)}
            clicked = of_slate / (of_slate + no_click)
        if masks is not None:
            columns["positions that it may have"] = masks.sum(axis=1)
        return types.Explanation(
            "SlateQ: documents' Q-values, weighted by the probabilities of clicks.",
            [
                types.ExplanationTable("candidate", range(len(s)), columns),
                types.ExplanationTable(
                    "slate",
                    [tuple(slate.tolist())],
                    {"value": [value], "click probability": [clicked]},
                ),
            ],
            {"choice weight of no click": no_click, "Q-value of no click": q_no_click.item()},
        )

    def training_batch(
        self,
        batch: transitions.Batch,
        target_network: network.QNetwork,
        gamma: float | None = None,
    ) -> training.TrainingBatch:
        """Returns the documents clicked, or no click, and their targets.

        Transitions with several clicks are not used, nor those without one, unless no click has a
        value.
        """
        user_size = self.adapter.user_size
        clicked = batch.clicks >= 0
        used = clicked.copy()
        inputs = np.zeros((len(clicked), self.num_inputs), np.float32)
        inputs[:, :user_size] = batch.users
        positions = np.arange(len(clicked))
        # A clicked position of -1 or -2 is one too, of a row that is not used or set to 0 here.
        documents = batch.documents[positions, batch.slates[positions, batch.clicks]]
        documents = documents[:, : self.adapter.doc_size]
        inputs[:, user_size : user_size + documents.shape[-1]] = documents * clicked[:, np.newaxis]
        if self.learn_no_click_value:
            not_clicked = batch.clicks == transitions.NO_CLICK
            inputs[:, -1] = not_clicked
            used |= not_clicked
        targets = np.zeros(len(clicked), np.float32)
        learned_from = np.flatnonzero(used)
        if len(learned_from):
            targets[learned_from] = self._targets(batch, learned_from, target_network, gamma)
        return training.TrainingBatch(inputs, targets, used)

    def _targets(
        self,
        batch: transitions.Batch,
        rows: np.ndarray,
        target_network: network.QNetwork,
        gamma: float | None,
    ) -> np.ndarray:
        users, documents = batch.next_users[rows], batch.next_documents[rows]
        slates, terminals = batch.next_slates[rows], batch.terminals[rows]
        discounts = batch.discounts[rows]
        documents, masks = self.adapter.split(documents)
        q, q_no_click = self.of_documents(target_network, users, documents)
        rewards = slate_functions.target(
            batch.rewards[rows], discounts, q_no_click[:, 0], terminals
        )
        q = q - q_no_click
        value = slate_functions.VALUES_OF_TARGETS.get(self.compute_target_fn)
        if value is not None:
            s, s_no_click = self.score(users, documents)
            allowed = None
            if masks is not None:  # Where an episode ended there is no slate to be filled.
                allowed = AllowedSlates(masks | terminals[:, np.newaxis, np.newaxis])
            next_values = value(slates, s_no_click, s, q, allowed)
            return slate_functions.target(rewards, discounts, next_values, terminals)
        targets = self.compute_target_fn(
            reward=rewards,
            gamma=discounts if gamma is None else gamma,
            next_actions=slates,
            next_q_values=q,
            next_states=self.adapter.images(users, documents),
            terminals=terminals,
        )
        return np.asarray(targets)

    def outcome(self, reward: float, observation: agent.Observation) -> tuple[int, float]:
        """Returns the clicked position, and the reward or what was clicked is worth."""
        responses = observation["response"]
        of_documents = observations.clicks(responses, self.slate_size)
        clicks = [position for position, clicked in enumerate(of_documents) if clicked]
        click = transitions.NO_CLICK
        if clicks:
            click = clicks[0] if len(clicks) == 1 else transitions.SEVERAL_CLICKS
        if self.reward_field is not None:
            name = f"a response's {self.reward_field}"
            of_clicked = [observations.of_response(responses[i], self.reward_field) for i in clicks]
            reward = sum(numbers.as_float(name, value) for value in of_clicked)
        return click, reward

    def outcomes(
        self, responses: Mapping[str, np.ndarray], rewards: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns what :meth:`outcome` does, for users in parallel."""
        clicked = observations.clicks_of_users(responses, (len(rewards), self.slate_size))
        num_clicks = clicked.sum(axis=1)
        clicks = np.where(num_clicks == 0, transitions.NO_CLICK, clicked.argmax(axis=1))
        clicks[num_clicks > 1] = transitions.SEVERAL_CLICKS
        field = self.reward_field
        if field is not None:
            of_documents = numbers.finite_per_item(f"responses' {field}", responses[field], 2)
            rewards = of_documents.sum(axis=1, where=clicked)
        return clicks, rewards


def _check_response_fields(response_space: types.Space, reward_field: str | None) -> None:
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


def _interests_of(user_space: types.Space, start: int = 0) -> slice:
    """Returns where among a user's features those are that documents are scored by.

    They are the environment's own, not those that layers put beside them.
    """
    end = start
    if spaces_lib.kind_of(user_space) == "Dict":
        for key, entry in spaces_lib.children(user_space):
            if key in ("raw_observation", "original_observation"):
                return _interests_of(entry, end)
            end += spaces_lib.flat_size(entry)
    return slice(start, start + spaces_lib.flat_size(user_space))


def _check_scorable(doc_size: int, interests: slice) -> None:
    user_size = interests.stop - interests.start
    if user_size != doc_size:
        raise ValueError(
            "Documents are scored by the inner product of their features and the user's, which "
            f"takes equally many of both, got {user_size} of the user and {doc_size} of a "
            "document: pass a score_documents_fn that knows how this environment's users choose."
        )


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
        *DocumentValues.state_settings,
    )

    def __init__(
        self,
        sess: object,
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
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
        super().__init__(
            sess,
            observation_space,
            num_actions=0,
            stack_size=stack_size,
            optimizer_name=optimizer_name,
            eval_mode=eval_mode,
            action_space=action_space,
            create_values=functools.partial(
                DocumentValues,
                observation_space,
                select_slate_fn=select_slate_fn,
                compute_target_fn=compute_target_fn,
                no_click_mass=no_click_mass,
                is_mnl=is_mnl,
                min_normalizer=min_normalizer,
                score_documents_fn=score_documents_fn,
                reward_field=reward_field,
                learn_no_click_value=learn_no_click_value,
            ),
            **kwargs,
        )


class VectorSlateDecompQAgent(vector_dqn_agent.VectorDQNAgent):
    """Recommends to users in parallel, and learns from them, as :class:`SlateDecompQAgent` does.

    Args:
        environment: the environment to recommend in.
        **kwargs: arguments of :class:`recsim.agents.dopamine.vector_dqn_agent.VectorDQNAgent` and
            :class:`SlateDecompQAgent`. A ``select_slate_fn`` that is not of this module is called
            for one user at a time.
    """

    single_user_class = SlateDecompQAgent
    values_class = DocumentValues


def _strategy(
    select_slate_fn: Callable[..., Any], compute_target_fn: Callable[..., Any], **settings: float
) -> dict[str, Any]:
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
    "slate_greedy_no_click_q": _strategy(
        select_slate_greedy, compute_target_optimal_q, learn_no_click_value=True
    ),
    "slate_topk_topk_q": _strategy(select_slate_topk, compute_target_topk_q),
    "slate_topk_optimal_q": _strategy(select_slate_topk, compute_target_optimal_q),
    "slate_optimal_optimal_q": _strategy(select_slate_optimal, compute_target_optimal_q),
    "slate_greedy_greedy_q": _strategy(select_slate_greedy, compute_target_greedy_q),
}


def create_agent(agent_name: str, sess: object, **kwargs: Any) -> SlateDecompQAgent:
    """Creates a SlateQ agent of one of the paper's strategies.

    Args:
        agent_name: 'dp_random', or a strategy ``slate_<serving>_<training>``: how slates are
            chosen, 'topk', 'greedy' or 'optimal', and what targets are computed with, 'sarsa',
            'topk_q', 'greedy_q' or 'optimal_q'. A leading 'myopic' is for a discount of 0.
            'slate_greedy_no_click_q' is 'slate_greedy_optimal_q' with ``learn_no_click_value``.
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
    agent_name: str, environment: vector_agent.UsersAndSpaces, **kwargs: Any
) -> VectorSlateDecompQAgent:
    """Creates a SlateQ agent of one of the paper's strategies, for users in parallel.

    Args:
        agent_name: a name that :func:`create_agent` knows.
        environment: the environment to recommend in.
        **kwargs: arguments of :class:`VectorSlateDecompQAgent`, but for those that the strategy
            sets.

    Raises:
        ValueError: if the name is unknown.
    """
    return VectorSlateDecompQAgent(environment, **{**kwargs, **_strategy_of(agent_name)})
