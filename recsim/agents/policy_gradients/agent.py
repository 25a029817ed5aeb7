"""Policy gradients of slates, as the agents of one user share them."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from recsim import agent, choice_model, types
from recsim._internal import observations
from recsim._internal.configurable import configurable
from recsim.agents import _learner, _propensities, _with_learner, adapters
from recsim.agents._action_masks import masked_propensities
from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.agents.policy_gradients import learner as learner_lib
from recsim.agents.policy_gradients import masked_slates, objectives
from recsim.agents.policy_gradients.learner import Settings, Shown

__all__ = ["SlatePolicyAgent", "check_clicks"]


@configurable()
class SlatePolicyAgent(_with_learner.SingleUserAgentWithLearner[learner_lib.PolicyLearner, Shown]):
    """Samples slates without replacement by a softmax of items' scores, which it learns.

    Slates have the distribution of Plackett (1975) and Luce (1959), so that the agent knows their
    probabilities. A score is the product of an item's features and a vector that a network makes
    of the user's. What the policy is to make large, a subclass says.

    Args:
        observation_space: space of the observations.
        action_space: the ``MultiDiscrete`` space of slates.
        objective: what the policy is to make large.
        eval_mode: whether the agent only recommends: it then stores and learns nothing.
        greedy_eval: whether it then recommends the items of the highest scores, rather than
            sampling.
        summary_writer: where statistics for TensorBoard go, or None.
        gamma: discount of rewards from step to step, in [0, 1].
        trace_decay: of the advantages, in [0, 1]: with 1 they are returns minus values.
        update_period: number of steps from one update to the next, >= 2.
        num_epochs: how often an update learns from each step, >= 1.
        batch_size: number of steps of a gradient step, >= 1.
        learning_rate: of Adam, above 0.
        entropy_weight: of the entropy of slates in the objective, >= 0.
        max_gradient_norm: what longer gradients are shortened to, above 0.
        hidden_units: sizes of the hidden layers of the networks, each >= 1.
        item_units: sizes of the layers that learn further features of items, each >= 1; none if
            scores are linear in the items' features.
        recurrent_units: size of the state of a gated recurrent unit, which reads the rows of recent
            slates that :class:`~recsim.agents.layers.recent_slates.RecentSlatesLayer` shows, and
            stands in their place among the user's features; 0 for none.
        seed: seed of initial weights, exploration and batches.

    Raises:
        TypeError, ValueError: for an argument of the wrong type or out of its range.
        MemoryError: if there is no memory for the steps of an update.
    """

    state_settings = Settings.state_settings

    def __init__(
        self,
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        *,
        objective: objectives.Objective,
        eval_mode: bool = False,
        greedy_eval: bool = False,
        summary_writer: types.SummaryWriter | None = None,
        gamma: float = Settings.gamma,
        trace_decay: float = Settings.trace_decay,
        update_period: int = Settings.update_period,
        num_epochs: int = Settings.num_epochs,
        batch_size: int = Settings.batch_size,
        learning_rate: float = Settings.learning_rate,
        entropy_weight: float = Settings.entropy_weight,
        max_gradient_norm: float = Settings.max_gradient_norm,
        hidden_units: Sequence[int] = Settings.hidden_units,
        item_units: Sequence[int] = Settings.item_units,
        recurrent_units: int = Settings.recurrent_units,
        seed: int | None = Settings.seed,
    ) -> None:
        super().__init__(action_space, summary_writer)
        self._set_up(
            observation_space,
            action_space,
            eval_mode=eval_mode,
            greedy_eval=greedy_eval,
            seed=seed,
        )
        if objective.needs_clicks:
            check_clicks(observation_space)
        settings = Settings(
            gamma=gamma,
            trace_decay=trace_decay,
            update_period=update_period,
            num_epochs=num_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            entropy_weight=entropy_weight,
            max_gradient_norm=max_gradient_norm,
            hidden_units=hidden_units,
            item_units=item_units,
            recurrent_units=recurrent_units,
            seed=seed,
        )
        self._learner = learner_lib.PolicyLearner(
            objective,
            settings,
            _learner.Sizes.of(
                self._adapter, self._slate_size, type(self), settings.recurrent_units
            ),
            num_candidates=self._num_candidates,
            num_users=1,
        )
        if not self._eval_mode:
            self._learner.prepare()

    @classmethod
    @abc.abstractmethod
    def objective_of(cls, slate_size: int) -> objectives.Objective:
        """Returns what the policy is to make large.

        Args:
            slate_size: number of documents in a slate. Further arguments of a subclass are its
                settings, which its constructor takes too.
        """

    #: Gin's name of the setting that says when the agent learns first.
    first_update_setting: ClassVar[str] = "SlatePolicyAgent.update_period"

    @property
    def steps_without_update(self) -> int:
        """Number of training steps in which a new agent makes no update yet."""
        return self._learner.num_steps - 1

    # How the agent takes part in an episode.

    def _leave_episode(self) -> None:
        self._learner.rollouts.end_episodes()
        super()._leave_episode()

    def _next_slate(
        self, last: Shown, reward: float, observation: agent.Observation, state: adapters.State
    ) -> agent.Slate:
        self._learn(last, reward, observation, state[0])
        return self._recommend(*state)

    def _end(
        self,
        last: Shown,
        reward: float,
        observation: agent.Observation,
        state: adapters.State,
        *,
        truncated: bool,
    ) -> None:
        self._learn(last, reward, observation, state[0], terminated=not truncated, ended=True)

    def _learn(
        self,
        last: Shown,
        reward: float,
        observation: agent.Observation,
        next_user: np.ndarray,
        *,
        terminated: bool = False,
        ended: bool = False,
    ) -> None:
        clicks = np.zeros(self._slate_size, np.bool_)
        if self._learner.objective.needs_clicks:
            clicks[:] = observations.clicks(observation["response"], self._slate_size)
        self._learner.add(
            last,
            self._summary_writer,
            clicks=clicks,
            rewards=np.asarray(reward),
            next_users=next_user,
            terminated=np.asarray(terminated),
            ended=np.asarray(ended),
        )

    def _recommend(self, user: np.ndarray, documents: np.ndarray) -> agent.Slate:
        scores, allowed = self._scores(user[np.newaxis], documents[np.newaxis])
        slates = self._slates(scores, allowed)
        slate: np.ndarray = slates[0]
        if not self._eval_mode:
            remembered = self._learner.objective.remembered(scores, slates, allowed)
            self._last = user, documents, slate, remembered[0]
            self._learner.training_steps += 1
        return slate

    def _scores(
        self, users: np.ndarray, documents: np.ndarray
    ) -> tuple[np.ndarray, AllowedSlates | None]:
        """Returns the documents' scores, and the slates that masks allow; None without masks."""
        features, allowed = self._adapter.features_and_allowed_slates(documents)
        return self._learner.scores(users, features), allowed

    def _slates(self, scores: np.ndarray, allowed: AllowedSlates | None) -> np.ndarray:
        """Returns slates of users by their items' scores, shape (n_users, slate_size)."""
        if self._is_greedy:
            return masked_slates.highest(scores, self._slate_size, allowed)
        shape = scores.shape if allowed is None else (len(scores), self._slate_size)
        uniforms = self._exploration_rng.random_sample(shape)
        return masked_slates.sample(scores, uniforms, self._slate_size, allowed)

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities | None:
        """See :meth:`recsim.types.KnowsPropensities.propensities`."""
        user, documents = self._features(observation)
        scores, allowed = self._scores(user[np.newaxis], documents[np.newaxis])
        if self._is_greedy:
            best = masked_slates.highest(scores, self._slate_size, allowed)[0]
            return _propensities.deterministic(slate, best)
        return _propensities.if_known(masked_propensities.plackett_luce(slate, scores[0], allowed))

    def explain(self, observation: types.Observation) -> types.Explanation:
        """See :meth:`recsim.types.Explains.explain`: the scores and the value of the state."""
        user, documents = self._features(observation)
        of_user, allowed = self._scores(user[np.newaxis], documents[np.newaxis])
        scores = of_user[0]
        columns = {"score": scores}
        if allowed is None:
            columns["probability of the first position"] = choice_model.softmax(scores)
        else:
            first = allowed.open(0, np.zeros(of_user.shape, np.bool_))[:, np.newaxis]
            of_first = np.exp(masked_slates.log_softmax(of_user, first))[0, 0]
            columns["probability of the first position"] = of_first
            columns["positions that it may have"] = allowed.masks[0].sum(axis=1)
        how = "the highest scores" if self._is_greedy else "sampled by a softmax of scores"
        values = self._learner.values(user[np.newaxis])[0]
        return types.Explanation(
            f"Policy gradient: positions are {how}.",
            [types.ExplanationTable("candidate", range(len(scores)), columns)],
            dict(zip(("value of the state", "value of no click"), values.tolist())),
        )

    # Serving.

    def slates_in_parallel(self, observation: agent.Observation) -> np.ndarray:
        """Returns slates for users in parallel, in evaluation.

        They are those that the agent would recommend to one user at a time, but where scores are
        equal to within rounding.

        Args:
            observation: arrays: those of ``user`` with the users on axis 0, those of ``doc`` with
                users and documents on axes 0 and 1. A single row of documents is of all users.

        Returns:
            Indices of documents, shape (n_users, slate_size).
        """
        users, documents = self._adapter.features_of_many(observation)
        documents = np.broadcast_to(documents, (len(users), *documents.shape[1:]))
        return self._slates(*self._scores(users, documents))


def check_clicks(observation_space: types.DictSpace) -> None:
    """Raises ValueError if responses do not tell of clicks."""
    names = list(observations.fields_of_response(observation_space.spaces["response"]))
    if "click" not in names:
        raise ValueError(
            "observation_space['response'] must have the key 'click', for items are credited when "
            f"they are clicked, got responses with {names}."
        )
