"""Policy gradients on what users in parallel do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recsim import types
from recsim._internal import arrays, observations
from recsim.agents import _learner, _propensities, _with_learner
from recsim.agents._action_masks import masked_propensities
from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.agents.policy_gradients import agent as agent_lib
from recsim.agents.policy_gradients import learner as learner_lib
from recsim.agents.policy_gradients import masked_slates, vector_policy
from recsim.vector import agent as vector_agent

__all__ = ["VectorSlatePolicyAgent"]

# Each user is to make more than one step before an update, for advantages are sums over them.
_FEWEST_STEPS = 2


class VectorSlatePolicyAgent(
    _with_learner.VectorAgentWithLearner[learner_lib.PolicyLearner, learner_lib.Shown]
):
    """Recommends to users in parallel by what one learner has learned, and learns from all of them.

    Args:
        environment: the environment to recommend in.
        eval_mode: whether the agent only recommends: it then stores and learns nothing.
        summary_writer: where statistics for TensorBoard go, or None.
        **kwargs: arguments of the single-user agent. Steps are those of single users; each user
            makes at least two from one update to the next where ``update_period`` is not given.

    Gin's bindings of the single-user agent count here too; an argument takes precedence.

    Raises:
        TypeError, ValueError: for arguments or spaces that give no agent.
        MemoryError: if there is no memory for the steps of an update.
    """

    single_user_class: ClassVar[type[agent_lib.SlatePolicyAgent]]
    settings_class = learner_lib.Settings
    greedy_by_default = False
    exploration_dtype = np.float64
    entries_of_users = ("rollouts",)

    def _new_learner(self, settings: Mapping[str, Any]) -> learner_lib.PolicyLearner:
        single = self.single_user_class
        objective = single.objective_of(self._slate_size, **self._method)
        if objective.needs_clicks:
            agent_lib.check_clicks(self._single_user_space())
        self._policy = vector_policy.SamplingPolicy(self._adapter, self._slate_size)
        period = max(learner_lib.Settings.update_period, _FEWEST_STEPS * self._num_envs)
        how = learner_lib.Settings(**{"update_period": period, **settings})
        return learner_lib.PolicyLearner(
            objective,
            how,
            _learner.Sizes.of(self._adapter, self._slate_size, single, how.recurrent_units),
            num_candidates=self._num_candidates,
            num_users=self._num_envs,
        )

    #: Gin's name of the setting that says when the agent learns first.
    first_update_setting: ClassVar[str] = "SlatePolicyAgent.update_period"

    @property
    def steps_without_update(self) -> int:
        """Number of training steps, of all users together, in which a new agent makes no update."""
        return (self._learner.num_steps - 1) * self._num_envs

    # How the agent takes part in episodes.

    def _leave_episodes(self) -> None:
        self._learner.rollouts.end_episodes()
        super()._leave_episodes()

    def _next_slates(
        self,
        observation: types.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: types.Infos,
    ) -> np.ndarray:
        users, documents = self._adapter.features_of_many(observation)
        self._learn(observation, users, rewards, terminated, truncated, infos)
        return self._slates(users, documents)

    def _learn(
        self,
        observation: types.Observation,
        users: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: types.Infos,
    ) -> None:
        ended = terminated | truncated
        if ended.any():
            users = self._adapter.users_of_many(observations.final_batch(infos))
        self._learner.add(
            self._begun(),
            self._summary_writer,
            clicks=self._clicks(observation, infos),
            rewards=rewards,
            next_users=users,
            terminated=terminated,
            ended=ended,
        )

    def _clicks(self, observation: types.Observation, infos: Mapping[str, Any]) -> np.ndarray:
        if not self._learner.objective.needs_clicks:
            return np.zeros((self._num_envs, self._slate_size), np.bool_)
        responses = vector_agent.last_responses(observation, infos)
        return observations.clicks_of_users(responses, (self._num_envs, self._slate_size))

    def _recommend(self, observation: types.Observation) -> np.ndarray:
        return self._slates(*self._adapter.features_of_many(observation))

    def _slates(self, users: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """Returns slates, and remembers them in training."""
        scored = self._scored(users, documents)
        size = self._slate_size
        if self._is_greedy:
            slates = [masked_slates.highest(scores, size, allowed) for scores, allowed in scored]
            return arrays.joined(slates)
        slates = [
            masked_slates.sample(scores, uniforms, size, allowed)
            for (scores, allowed), uniforms in zip(scored, self._uniforms(), strict=True)
        ]
        self._remember(users, documents, slates, scored)
        return arrays.joined(slates)

    def _scored(
        self, users: np.ndarray, documents: np.ndarray
    ) -> list[tuple[np.ndarray, AllowedSlates | None]]:
        """Returns of each chunk the scores of documents, and the slates that masks allow."""
        scored = []
        for rows in self._rows:
            features, allowed = self._adapter.features_and_allowed_slates(documents[rows])
            scored.append((self._learner.scores(users[rows], features), allowed))
        return scored

    def _uniforms(self) -> list[np.ndarray]:
        """Returns random numbers for the slates of each chunk, a row for each user."""
        number = self._slate_size if self._adapter.mask_size else self._num_candidates
        return [stream.uniform(number) for stream in self._streams]

    def _remember(
        self,
        users: np.ndarray,
        documents: np.ndarray,
        slates: Sequence[np.ndarray],
        scored: Sequence[tuple[np.ndarray, AllowedSlates | None]],
    ) -> None:
        """Remembers the states and slates that the next rewards belong to; both of chunks."""
        if not self._eval_mode:
            remembered = [
                self._learner.objective.remembered(scores, of_chunk, allowed)
                for of_chunk, (scores, allowed) in zip(slates, scored, strict=True)
            ]
            joined = arrays.joined(list(slates)), arrays.joined(remembered)
            self._last = users, documents, *joined
            self._learner.training_steps += self._num_envs

    # How it learns from slates that were chosen elsewhere, see recsim.vector.agent.LearnsElsewhere.

    @property
    def takes_stale_slates(self) -> bool:
        """See :attr:`recsim.vector.agent.LearnsElsewhere.takes_stale_slates`: no.

        The policy's gradient is of slates that it has chosen as it is.
        """
        return False

    def rollout_policy(self) -> vector_policy.SamplingPolicy:
        """See :meth:`recsim.vector.agent.LearnsElsewhere.rollout_policy`."""
        return self._policy

    def instructions(self, num_steps: int, steps_ahead: int) -> list[list[object]]:
        """See :meth:`recsim.vector.agent.LearnsElsewhere.instructions`."""
        scorer = self._learner.scorer
        of_chunks: list[list[object]] = [[] for _ in self._rows]
        for _ in range(num_steps):
            for of_chunk, uniforms in zip(of_chunks, self._uniforms(), strict=True):
                of_chunk.append(vector_policy.Instruction(scorer, uniforms))
        return of_chunks

    def recommended(self, observation: types.Observation, slates: np.ndarray) -> None:
        """See :meth:`recsim.vector.agent.LearnsElsewhere.recommended`."""
        users, documents = self._adapter.features_of_many(observation)
        of_chunks = [slates[rows] for rows in self._rows]
        self._remember(users, documents, of_chunks, self._scored(users, documents))

    def learn(
        self,
        observation: types.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: types.Infos,
    ) -> None:
        """See :meth:`recsim.vector.agent.LearnsElsewhere.learn`."""
        self._check_users(observation)
        outcome = self._checked_outcome(rewards, terminated, truncated)
        self._check_transitions(*outcome, infos)
        users = self._adapter.users_of_many(observation)
        self._learn(observation, users, *outcome, infos)

    def recommend(self, observation: types.Observation) -> np.ndarray:
        """See :meth:`recsim.vector.agent.LearnsElsewhere.recommend`."""
        return self._recommend(observation)

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities | None:
        """See :meth:`recsim.types.KnowsPropensities.propensities`."""
        self._check_users(observation)
        users, documents = self._adapter.features_of_many(observation)
        features, allowed = self._adapter.features_and_allowed_slates(documents)
        scores = self._learner.scores(users, features)
        if self._is_greedy:
            best = masked_slates.highest(scores, self._slate_size, allowed)
            return _propensities.deterministic(slate, best)
        return _propensities.if_known(masked_propensities.plackett_luce(slate, scores, allowed))
