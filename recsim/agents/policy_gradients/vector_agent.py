"""Policy gradients on what users in parallel do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recsim import seeding, types
from recsim import spaces as spaces_lib
from recsim._internal import arrays, bundles, numbers, observations, validation
from recsim.agents import _propensities, _with_learner
from recsim.agents.dopamine import adapters, dqn_agent
from recsim.agents.policy_gradients import agent as agent_lib
from recsim.agents.policy_gradients import learner as learner_lib
from recsim.agents.policy_gradients import plackett_luce, vector_policy
from recsim.vector import agent as vector_agent

__all__ = ["VectorSlatePolicyAgent"]

# What single-user agents take, and is not for agents of users in parallel to be given.
_OF_SINGLE_USERS = {"action_space", "eval_mode", "objective", "observation_space"}
_OF_SETTINGS = {field.name for field in dataclasses.fields(learner_lib.Settings)}
# Each user is to make more than one step before an update, for advantages are sums over them.
_FEWEST_STEPS = 2


class VectorSlatePolicyAgent(
    _with_learner.WithLearner[learner_lib.PolicyLearner], vector_agent.ChunkedVectorAgent
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

    #: The single-user agent, whose gin bindings count and whose bundles are taken.
    single_user_class: ClassVar[type[agent_lib.SlatePolicyAgent]]

    def __init__(
        self,
        environment: vector_agent.UsersAndSpaces,
        *,
        eval_mode: bool | None = None,
        summary_writer: types.SummaryWriter | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(environment)
        single = self.single_user_class
        arguments = _with_learner.arguments_of(type(self), single, kwargs, _OF_SINGLE_USERS)
        bound = arguments.pop("eval_mode", False)
        eval_mode = bound if eval_mode is None else eval_mode
        arguments.setdefault(
            "update_period", max(learner_lib.Settings.update_period, _FEWEST_STEPS * self._num_envs)
        )
        if summary_writer is None:
            summary_writer = arguments.pop("summary_writer", None)
        self._summary_writer = summary_writer
        self._eval_mode = validation.flag("eval_mode", eval_mode)
        self._greedy_eval = validation.flag("greedy_eval", arguments.pop("greedy_eval", False))
        for_settings = {name: arguments.pop(name) for name in _OF_SETTINGS & set(arguments)}
        self._objective_settings = arguments
        objective = single.objective_of(self._slate_size, **arguments)

        space = spaces_lib.single_user_space(environment.single_observation_space)
        self._adapter = adapters.ObservationAdapter(space)
        number = self._adapter.num_candidates
        dqn_agent.checked_num_candidates(environment.single_action_space, number)
        if objective.needs_clicks:
            agent_lib.check_clicks(space)
        self._policy = vector_policy.SamplingPolicy(self._adapter, self._slate_size)
        self._learner = learner_lib.PolicyLearner(
            objective,
            learner_lib.Settings(**for_settings),
            user_size=self._adapter.user_size,
            num_candidates=self._num_candidates,
            doc_size=self._adapter.doc_size,
            slate_size=self._slate_size,
            num_users=self._num_envs,
            agent_name=single.__name__,
        )
        if not self._eval_mode:
            self._learner.rollouts  # noqa: B018  # Makes them: faulty sizes are told of now.
        seed = self._learner.settings.seed
        self._make_streams(seed, "exploration", np.float64)
        # What a single-user agent explores with that takes the bundle.
        self._exploration_rng_state = seeding.generator_state(
            seeding.named_random_state(seed, "exploration")
        )
        self._last: agent_lib.LastSlates | None = None

    @property
    def steps_without_update(self) -> int:
        """Number of training steps, of all users together, in which a new agent makes no update."""
        return (self._learner.num_steps - 1) * self._num_envs

    # How the agent takes part in episodes.

    def begin(self, observation: vector_agent.Observation) -> np.ndarray:
        """Begins an episode with every user and returns the first slates."""
        self._check_users(observation)
        state = self._adapter.features_of_many(observation)
        if self._last is not None:  # The last episodes were left before their ends.
            self._learner.rollouts.end_episodes()
            self._last = None
        return self._recommend(*state)

    def step(
        self,
        observation: vector_agent.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: Mapping[str, Any],
    ) -> np.ndarray:
        """Takes in the last transitions, learns, and returns the next slates.

        Where an episode was truncated, its last observation has a value, which counts.

        Raises:
            RuntimeError: if episodes that are to be learned from were not begun.
            ValueError: if a reward or an observation is not finite.
            FloatingPointError: if the networks' numbers are no longer finite.
        """
        self._check_users(observation)
        outcome = self._checked_outcome(rewards, terminated, truncated)
        users, documents = self._adapter.features_of_many(observation)
        if not self._eval_mode:
            self._learn(observation, users, *outcome, infos)
        return self._recommend(users, documents)

    def _learn(
        self,
        observation: types.Observation,
        users: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: Mapping[str, Any],
    ) -> None:
        ended = terminated | truncated
        self._check_infos(infos, ended)
        if ended.any():
            users = self._adapter.users_of_many(observations.final_batch(infos))
        clicks = self._clicks(observation, infos)
        numbers.finite_per_user("rewards", rewards, self._num_envs, single_precision=True)
        self._store(clicks, rewards, users, terminated, ended)

    def _clicks(self, observation: types.Observation, infos: Mapping[str, Any]) -> np.ndarray:
        if not self._learner.objective.needs_clicks:
            return np.zeros((self._num_envs, self._slate_size), np.bool_)
        responses = vector_agent.last_responses(observation, infos)
        clicks: np.ndarray = numbers.finite_per_item("responses' click", responses["click"], 2) != 0
        return clicks

    def _store(
        self,
        clicks: np.ndarray,
        rewards: np.ndarray,
        next_users: np.ndarray,
        terminated: np.ndarray,
        ended: np.ndarray,
    ) -> None:
        if self._last is None:
            raise RuntimeError(
                "Episodes were not begun: call begin(observation) for their first slates."
            )
        users, documents, slates, remembered = self._last
        rollouts = self._learner.rollouts
        rollouts.add(
            users=users,
            documents=documents,
            slates=slates,
            remembered=remembered,
            clicks=clicks,
            rewards=rewards,
            next_users=next_users,
            terminated=terminated,
            ended=ended,
        )
        if rollouts.is_full:
            self._learner.update()
            if self._summary_writer is not None:
                self._learner.write_summary(self._summary_writer)

    def _recommend(self, users: np.ndarray, documents: np.ndarray) -> np.ndarray:
        scores = self._scores(users, documents)
        if self._is_greedy:
            return plackett_luce.highest(arrays.joined(scores), self._slate_size)
        slates = [
            self._policy.choose(of_chunk, uniforms)
            for of_chunk, uniforms in zip(scores, self._uniforms(), strict=True)
        ]
        self._remember(users, documents, slates, scores)
        return arrays.joined(slates)

    def _scores(self, users: np.ndarray, documents: np.ndarray) -> list[np.ndarray]:
        """Returns the scores of documents, (n_users, num_candidates) of each chunk."""
        return [self._learner.scores(users[rows], documents[rows]) for rows in self._rows]

    def _uniforms(self) -> list[np.ndarray]:
        """Returns random numbers for slates, (n_users, num_candidates) of each chunk."""
        return [stream.uniform(self._num_candidates) for stream in self._streams]

    def _remember(
        self,
        users: np.ndarray,
        documents: np.ndarray,
        slates: Sequence[np.ndarray],
        scores: Sequence[np.ndarray],
    ) -> None:
        """Remembers the states and slates that the next rewards belong to; both of chunks."""
        if not self._eval_mode:
            remembered = map(self._learner.objective.remembered, scores, slates)
            joined = arrays.joined(list(slates)), arrays.joined(list(remembered))
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
        scores = self._scores(users, documents)
        self._remember(users, documents, [slates[rows] for rows in self._rows], scores)

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
        users = self._adapter.users_of_many(observation)
        self._learn(observation, users, *outcome, infos)

    def recommend(self, observation: types.Observation) -> np.ndarray:
        """See :meth:`recsim.vector.agent.LearnsElsewhere.recommend`."""
        return self._recommend(*self._adapter.features_of_many(observation))

    @property
    def _is_greedy(self) -> bool:
        return self._eval_mode and self._greedy_eval

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities:
        """See :meth:`recsim.types.KnowsPropensities.propensities`."""
        self._check_users(observation)
        scores = self._learner.scores(*self._adapter.features_of_many(observation))
        if self._is_greedy:
            best = plackett_luce.highest(scores, self._slate_size)
            return _propensities.deterministic(slate, best)
        return _propensities.plackett_luce(slate, scores)

    def single_user_agent(self) -> agent_lib.SlatePolicyAgent:
        """See :meth:`recsim.vector.agent.AbstractVectorAgent.single_user_agent`."""
        settings = self._learner.settings
        create: Any = self.single_user_class
        single: agent_lib.SlatePolicyAgent = create(
            self._single_user_space(),
            self._made_for[1],
            eval_mode=True,
            greedy_eval=self._greedy_eval,
            hidden_units=settings.hidden_units,
            item_units=settings.item_units,
        )
        single.load_state_dict(self.serving_bundle())
        return single

    # State.

    def serving_bundle(self) -> dict[str, Any]:
        """Returns what recommending needs, which single-user agents in evaluation take too."""
        of_single_user = {
            "episode_num": 0,
            "exploration_rng_state": self._exploration_rng_state,
        }
        return {**of_single_user, **self._learner.serving_state()}

    def state_dict(self) -> types.State:
        """Returns all that the agent has learned and will resume with."""
        state = super().state_dict()
        learned = self._learner.state_dict()
        state["users"]["rollouts"] = learned.pop("rollouts")
        # A single-user agent in evaluation takes it, too.
        return {**self.serving_bundle(), **learned, "last": None, **state}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the agent.

        In evaluation, states for any users and those of single-user agents fit. What is only there
        for the same users, such as exploration, begins anew for others.

        Raises:
            ValueError: if the state is of another agent, or an entry is not as it was made. The
                agent is as it was then.
        """
        bundles.require(self, state, "description")
        exploration = state.get("exploration_rng_state", self._exploration_rng_state)
        bundles.generator_state(self, "exploration_rng_state", exploration, with_normal=True)
        same_users = "users" in state and self._check_state_of_users(state["users"])
        learned = {**state, "rollouts": state["users"]["rollouts"] if same_users else None}
        training = not self._eval_mode
        self._learner.check(learned, for_training=training)
        self._exploration_rng_state = exploration
        self._learner.restore(learned, for_training=training)
        if "users" in state:
            self._load_state_of_users(state["users"])
        else:
            self._begin_anew()

    def _memory(self) -> types.State:
        return {"last": self._last}

    def _check_memory(self, memory: Mapping[str, Any]) -> None:
        bundles.entries(self, "users", memory, "last", "rollouts")
        if not self._eval_mode:
            agent_lib.checked_last(self, memory["last"], self._learner, (self._num_envs,))

    def _load_memory(self, memory: Mapping[str, Any] | None) -> None:
        self._last = None if memory is None or self._eval_mode else memory["last"]

    def fingerprint_attributes(self) -> dict[str, Any]:
        """Returns what tells the agent from others, see :mod:`recsim.simulator.fingerprint`."""
        return dict(vars(self))
