"""Policy gradients of slates, as the agents of one user share them."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recsim import agent, choice_model, seeding, types
from recsim._internal import bundles, keys, numbers, observations, validation
from recsim._internal.configurable import configurable
from recsim.agents import _propensities, _with_learner
from recsim.agents.dopamine import adapters, dqn_agent
from recsim.agents.policy_gradients import learner as learner_lib
from recsim.agents.policy_gradients import objectives, plackett_luce
from recsim.agents.policy_gradients.learner import Settings

__all__ = ["LastSlates", "SlatePolicyAgent", "check_clicks", "checked_last", "settings_of"]

#: Features of users and documents, slates, and what the objective remembers of them.
LastSlates = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@configurable()
class SlatePolicyAgent(
    _with_learner.SingleUserAgentWithLearner[learner_lib.PolicyLearner, LastSlates]
):
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
        seed: seed of initial weights, exploration and batches.

    Raises:
        TypeError, ValueError: for an argument of the wrong type or out of its range.
        MemoryError: if there is no memory for the steps of an update.
    """

    state_settings: ClassVar[tuple[str, ...]] = Settings.state_settings

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
        seed: int | None = Settings.seed,
    ) -> None:
        super().__init__(action_space, summary_writer)
        self._adapter = adapters.ObservationAdapter(observation_space)
        number = self._adapter.num_candidates
        self._num_candidates = dqn_agent.checked_num_candidates(action_space, number)
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
            seed=seed,
        )
        self._eval_mode = validation.flag("eval_mode", eval_mode)
        self._greedy_eval = validation.flag("greedy_eval", greedy_eval)
        self._learner = learner_lib.PolicyLearner(
            objective,
            settings,
            user_size=self._adapter.user_size,
            num_candidates=self._num_candidates,
            doc_size=self._adapter.doc_size,
            slate_size=self._slate_size,
            num_users=1,
            agent_name=type(self).__name__,
        )
        if not self._eval_mode:
            self._learner.rollouts  # noqa: B018  # Makes them: faulty sizes are told of now.
        self._exploration_rng = seeding.named_random_state(seed, "exploration")
        self._last = None
        self._keep_space(observation_space)

    @classmethod
    @abc.abstractmethod
    def objective_of(cls, slate_size: int) -> objectives.Objective:
        """Returns what the policy is to make large.

        Args:
            slate_size: number of documents in a slate. Further arguments of a subclass are its
                settings, which its constructor takes too.
        """

    @property
    def steps_without_update(self) -> int:
        """Number of training steps in which a new agent makes no update yet."""
        return self._learner.num_steps - 1

    # How the agent takes part in an episode.

    def begin_episode(  # type: ignore[override]  # RecSim's needs the observation.
        self, observation: agent.Observation
    ) -> agent.Slate:
        """Starts an episode and returns its first slate."""
        self._episode_num += 1
        state = self._features(observation)
        if self._last is not None:  # Nobody ended the last episode.
            self._learner.rollouts.end_episodes()
            self._last = None
        return self._recommend(*state)

    def step(self, reward: float, observation: agent.Observation) -> agent.Slate:
        """Takes in the last transition, learns, and returns the next slate.

        Args:
            reward: the reward of the last slate.
            observation: the newest observation.

        Returns:
            ``slate_size`` indices into ``observation['doc']``.

        Raises:
            RuntimeError: if an episode that is to be learned from was not begun.
            ValueError: if the reward or the observation is not finite.
            FloatingPointError: if the networks' numbers are no longer finite.
        """
        user, documents = self._features(observation)
        if not self._eval_mode:
            self._store(reward, observation, user)
        return self._recommend(user, documents)

    def end_episode(  # type: ignore[override]  # RecSim's needs the observation.
        self, reward: float, observation: agent.Observation, *, truncated: bool = False
    ) -> None:
        """Takes in the last transition of an episode.

        Args:
            reward: the reward of the last slate.
            observation: the last observation.
            truncated: whether the episode was only truncated, so that the last observation has a
                value, which counts.
        """
        if self._eval_mode:
            return
        user, _ = self._features(observation)
        self._store(reward, observation, user, terminated=not truncated, ended=True)
        self._last = None

    def _store(
        self,
        reward: float,
        observation: agent.Observation,
        next_user: np.ndarray,
        *,
        terminated: bool = False,
        ended: bool = False,
    ) -> None:
        if self._last is None:
            raise RuntimeError(
                "An episode was not begun: call begin_episode(observation) for its first slate."
            )
        reward = numbers.finite_float32("reward", reward)
        clicks = np.zeros(self._slate_size, np.bool_)
        if self._learner.objective.needs_clicks:
            for position, response in enumerate(observation["response"]):
                clicks[position] = numbers.is_nonzero("a response's click", response["click"])
        user, documents, slate, remembered = self._last
        rollouts = self._learner.rollouts
        rollouts.add(
            users=user,
            documents=documents,
            slates=slate,
            remembered=remembered,
            clicks=clicks,
            rewards=np.asarray(reward),
            next_users=next_user,
            terminated=np.asarray(terminated),
            ended=np.asarray(ended),
        )
        if rollouts.is_full:
            self._learner.update()
            if self._summary_writer is not None:
                self._learner.write_summary(self._summary_writer)

    def _recommend(self, user: np.ndarray, documents: np.ndarray) -> agent.Slate:
        scores = self._learner.scores(user[np.newaxis], documents[np.newaxis])
        slates = self._slates(scores)
        slate: np.ndarray = slates[0]
        if not self._eval_mode:
            remembered = self._learner.objective.remembered(scores, slates)
            self._last = user, documents, slate, remembered[0]
            self._learner.training_steps += 1
        return slate

    def _slates(self, scores: np.ndarray) -> np.ndarray:
        """Returns slates of users by their items' scores, shape (n_users, slate_size)."""
        if self._is_greedy:
            return plackett_luce.highest(scores, self._slate_size)
        uniforms = self._exploration_rng.random_sample(scores.shape)
        return plackett_luce.sample(scores, uniforms, self._slate_size)

    @property
    def _is_greedy(self) -> bool:
        return self._eval_mode and self._greedy_eval

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities:
        """See :meth:`recsim.types.KnowsPropensities.propensities`."""
        user, documents = self._features(observation)
        scores = self._learner.scores(user[np.newaxis], documents[np.newaxis])
        if self._is_greedy:
            best = plackett_luce.highest(scores[0], self._slate_size)
            return _propensities.deterministic(slate, best)
        return _propensities.plackett_luce(slate, scores[0])

    def explain(self, observation: types.Observation) -> types.Explanation:
        """See :meth:`recsim.types.Explains.explain`: the scores and the value of the state."""
        user, documents = self._features(observation)
        scores = self._learner.scores(user[np.newaxis], documents[np.newaxis])[0]
        columns = {
            "score": scores,
            "probability of the first position": choice_model.softmax(scores),
        }
        how = "the highest scores" if self._is_greedy else "sampled by a softmax of scores"
        values = self._learner.values(user[np.newaxis])[0]
        return types.Explanation(
            f"Policy gradient: positions are {how}.",
            [types.ExplanationTable("candidate", range(len(scores)), columns)],
            dict(zip(("value of the state", "value of no click"), values.tolist())),
        )

    # Serving.

    def serving(self) -> agent.Serving:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.serving`."""
        settings = self._learner.settings
        return dataclasses.replace(
            super().serving(),
            settings={
                "greedy_eval": self._greedy_eval,
                "hidden_units": settings.hidden_units,
                "item_units": settings.item_units,
            },
            response_fields=(),
            any_slate_size=True,
            any_number_of_items=True,
        )

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
        return self._slates(self._learner.scores(users, documents))

    # State.

    def _check_last(self, last: object) -> None:
        checked_last(self, last, self._learner, ())

    def fingerprint_attributes(self) -> dict[str, Any]:
        """Returns what tells the agent from others, see :mod:`recsim.simulator.fingerprint`."""
        own = {name: value for name, value in vars(self).items() if name != "_learner"}
        return {**self._learner.fingerprint_attributes(), **own}


def settings_of(kind: type[SlatePolicyAgent], keywords: Mapping[str, object]) -> dict[str, Any]:
    """Returns keyword arguments of an agent's class; TypeError for one that it does not take."""
    keys.refuse_unknown(kind.__name__, keywords, keys.parameters_of(kind) - {"objective"})
    return dict(keywords)


def check_clicks(observation_space: types.DictSpace) -> None:
    """Raises ValueError if responses do not tell of clicks."""
    names = list(observations.fields_of_response(observation_space.spaces["response"]))
    if "click" not in names:
        raise ValueError(
            "observation_space['response'] must have the key 'click', for items are credited when "
            f"they are clicked, got responses with {names}."
        )


def checked_last(
    owner: object, last: object, learner: learner_lib.PolicyLearner, rows: tuple[int, ...]
) -> None:
    """Raises ValueError for something else than an agent's last slates out of a bundle, or None.

    Args:
        owner: the agent that is to be restored.
        last: what the bundle has.
        learner: its learner.
        rows: the number of users in parallel, or nothing.
    """
    if last is None:
        return
    if not isinstance(last, tuple) or len(last) != 4:
        bundles.refuse(owner, "last", "features, slates and what is remembered, or None", last)
    names = ("users", "documents", "slates", "remembered")
    for name, array in zip(names, last, strict=True):
        own = learner.rollouts.arrays[name]
        kinds = "iu" if own.dtype.kind == "i" else "f"
        bundles.array(owner, f"last {name}", array, (*rows, *own.shape[2:]), kinds)
