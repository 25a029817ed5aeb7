"""Deep Q-learning on what users in parallel do."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from recsim import seeding, types
from recsim import spaces as spaces_lib
from recsim._internal import arrays, bindings, bundles, keys, numbers, trees, validation
from recsim._internal.configurable import configurable
from recsim.agents import _propensities, adapters
from recsim.agents._action_masks import masked_propensities
from recsim.agents.dopamine import (
    circular_replay_buffer,
    dqn_agent,
    network,
    values,
    vector_policy,
    vector_replay_buffer,
)
from recsim.agents.dopamine import learner as learner_lib
from recsim.vector import agent as vector_agent

__all__ = ["VectorDQNAgent"]

# What differs from a single-user agent where nothing is said.
_DEFAULTS = {"replay_capacity": 1_000_000, "learning_rate": 1e-3}
_SHORTEST_PERIOD, _LONGEST_PERIOD = 128, 512
_SMALLEST_BATCH = 256

# What single-user agents take, and is not for agents of users in parallel to be given.
_OF_SINGLE_USERS = {
    "action_space",
    "adapter",
    "create_values",
    "eval_mode",
    "num_actions",
    "observation_space",
    "sess",
}
_NOT_USED = ("use_staging", "max_tf_checkpoints_to_keep")
# What the agent gives the values itself.
_OF_VALUES = {"observation_space", "adapter", "slate_size"}


@configurable()
class VectorDQNAgent(vector_agent.ChunkedVectorAgent):
    """Recommends to users in parallel by what one learner has learned, and learns from all of them.

    The learner is that of a single-user agent, with its network, targets and settings. All that
    it counts in steps are steps of one user: with 1,000 users, each call of :meth:`step` is 1,000
    of them.

    A single-user agent trains on 32 transitions every 4 steps. Learning from more at once, less
    often, and with a higher learning rate, gets as far in a fraction of the time. Updates are made
    while the environment makes its next step (see ``QLearner.train_steps``).

    A subclass names the single-user agent, and what is learned.

    Args:
        environment: the environment to recommend in.
        eval_mode: whether the agent only recommends: it then stores and learns nothing.
        summary_writer: where statistics for TensorBoard go, or None.
        **kwargs: arguments of the single-user agent, some of which have other defaults here:
            ``update_period`` (steps of a user from one update of the network to the next) the
            number of users, but 128 at least and 512 at most; ``batch_size`` 256, or the
            ``update_period`` if it is more; ``replay_capacity`` 1,000,000, and ``learning_rate``
            0.001. With ``num_envs / update_period`` above 1 there are several updates in a step.

    Gin's bindings of the single-user agent and of ``WrappedReplayBuffer`` count here too: they take
    precedence over these defaults, and an argument, or a binding of this class, over them.

    Raises:
        TypeError, ValueError: for arguments or spaces that give no agent.
        MemoryError: if there is no memory for the replay buffer.
    """

    #: The single-user agent, whose gin bindings count and whose bundles are taken.
    single_user_class: ClassVar[type[dqn_agent.DQNAgent]]
    #: What is learned: its arguments are among those of the single-user agent.
    values_class: ClassVar[type[values.SlateValues]]

    def __init__(
        self,
        environment: vector_agent.UsersAndSpaces,
        *,
        eval_mode: bool | None = None,
        summary_writer: types.SummaryWriter | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(environment)
        single = self.single_user_class
        known = keys.parameters_of(single) - _OF_SINGLE_USERS
        keys.refuse_unknown(type(self).__name__, kwargs, known, ("eval_mode",))
        if eval_mode is None:
            eval_mode = bindings.taken(single, ["eval_mode"]).get("eval_mode", False)
        eval_mode = validation.flag("eval_mode", eval_mode)
        arguments = _with_defaults(single, eval_mode, known, kwargs, self._num_envs)
        for name in _NOT_USED:
            arguments.pop(name, None)
        dqn_agent.check_stack_size(arguments.pop("stack_size", 1))
        if summary_writer is None:
            summary_writer = arguments.pop("summary_writer", None)
        self._summary_writer = summary_writer
        of_values = keys.parameters_of(self.values_class) - _OF_VALUES
        for_values = {name: arguments.pop(name) for name in of_values & set(arguments)}
        settings = learner_lib.Settings(**arguments)

        space = spaces_lib.single_user_space(environment.single_observation_space)
        adapter = adapters.ObservationAdapter(space, takes_masks=True)
        adapters.checked_num_candidates(environment.single_action_space, adapter.num_candidates)
        self._values = self.values_class(space, adapter, self._slate_size, **for_values)
        self._policy = vector_policy.ExploringPolicy(self._values)
        make_replay = functools.partial(
            vector_replay_buffer.VectorReplayBuffer,
            self._num_envs,
            adapter.user_size,
            adapter.num_candidates,
            adapter.doc_width,
            self._slate_size,
            **settings.replay_arguments,
        )
        self._eval_mode = eval_mode
        self._learner = learner_lib.QLearner(self._values, settings, make_replay, single.__name__)
        if not eval_mode:
            self._learner.prepare()
        seed = settings.seed
        self._make_streams(seed, "exploration")
        # What a single-user agent explores with that takes the bundle.
        self._exploration_rng_state = seeding.generator_state(
            seeding.named_random_state(seed, "exploration")
        )
        # The states and slates that the next rewards belong to.
        self._last: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    @property
    def learner(self) -> learner_lib.QLearner[vector_replay_buffer.VectorReplayBuffer]:
        """What learns: networks, optimizer, schedules and replay buffer."""
        return self._learner

    @property
    def eval_mode(self) -> bool:
        """Whether the agent only recommends."""
        return self._eval_mode

    @property
    def uses_tensorflow(self) -> bool:
        """Whether the agent computes with TensorFlow: where it learns by an optimizer of Keras."""
        return not self.eval_mode and self._learner.settings.uses_tensorflow

    @property
    def training_steps(self) -> int:
        """Number of slates recommended in training so far, to all users together."""
        return self._learner.training_steps

    @property
    def min_replay_history(self) -> int:
        """Number of transitions, of all users together, to gather before learning begins."""
        return self._learner.settings.min_replay_history

    @property
    def num_updates(self) -> int:
        """Number of updates of the network so far, of those that learned from something."""
        return self._learner.num_updates

    #: Gin's name of the setting that says when the agent learns first.
    first_update_setting: ClassVar[str] = "DQNAgent.min_replay_history"

    @property
    def steps_without_update(self) -> int:
        """Number of training steps, of all users together, in which a new agent makes no update."""
        period = self._learner.settings.update_period
        # The first step of all users with enough transitions, the next one of which is there too.
        calls = max(2, self.min_replay_history // self._num_envs + 1)
        first_update = -(-calls * self._num_envs // period) * period
        return (first_update // self._num_envs - 1) * self._num_envs

    # How the agent takes part in episodes.

    def begin(self, observation: vector_agent.Observation) -> np.ndarray:
        """Begins an episode with every user and returns the first slates."""
        self._check_users(observation)
        state = self._values.adapter.features_of_many(observation)
        if not self.eval_mode:
            self._learner.catch_up()
            if self._last is not None:  # The last episodes were left before their ends.
                self._learner.replay.truncate(np.arange(self._num_envs), *self._last)
            self._learner.train_steps(self._num_envs, self._summary_writer)
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
        """
        self._check_users(observation)
        rewards, terminated, truncated = self._checked_outcome(rewards, terminated, truncated)
        state = self._values.adapter.features_of_many(observation)
        if not self.eval_mode:
            self._learn(observation, rewards, terminated, truncated, infos)
        return self._recommend(*state)

    def _learn(
        self,
        observation: vector_agent.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: Mapping[str, Any],
    ) -> None:
        self._learner.catch_up()
        self._check_infos(infos, terminated | truncated)
        responses = vector_agent.last_responses(observation, infos)
        self._store(responses, rewards, terminated)
        only_truncated = np.flatnonzero(truncated & ~terminated)
        if len(only_truncated):
            self._store_last_states(infos["final_obs"].batch, only_truncated)
        self._learner.train_steps(self._num_envs, self._summary_writer)

    def _store(
        self, responses: Mapping[str, np.ndarray], rewards: np.ndarray, terminated: np.ndarray
    ) -> None:
        if self._last is None:
            raise RuntimeError(
                "Episodes were not begun: call begin(observation) for their first slates."
            )
        clicks, learned_rewards = self._values.outcomes(responses, rewards)
        for name, array in (("rewards", rewards), ("rewards to learn from", learned_rewards)):
            numbers.finite_per_user(name, array, self._num_envs, single_precision=True)
        self._learner.replay.add(*self._last, clicks, learned_rewards, terminated)

    def _store_last_states(self, observation: types.Observation, rows: np.ndarray) -> None:
        last = trees.rows_of({key: observation[key] for key in ("user", "doc")}, rows)
        users, documents = self._values.adapter.features_of_many(last)
        uniforms = arrays.joined(self._uniforms())[rows]
        slates = self._policy.choose(self._act(), users, documents, uniforms)
        self._learner.replay.truncate(rows, users, documents, slates)

    def _uniforms(self) -> list[np.ndarray]:
        """Returns random numbers for exploration, (n_users, slate_size + 1) of each chunk."""
        return [stream.uniform(self._slate_size + 1) for stream in self._streams]

    def _act(self) -> tuple[network.QNetwork, float]:
        """Returns the network to act by, and the probability of a random slate."""
        learner = self._learner
        return learner.acting_network, learner.epsilon(for_training=not self.eval_mode)

    def _recommend(self, users: np.ndarray, documents: np.ndarray) -> np.ndarray:
        act = self._act()
        slates = arrays.joined(
            [
                self._policy.choose(act, users[rows], documents[rows], uniforms)
                for rows, uniforms in zip(self._rows, self._uniforms(), strict=True)
            ]
        )
        self._remember(users, documents, slates)
        return slates

    def _remember(self, users: np.ndarray, documents: np.ndarray, slates: np.ndarray) -> None:
        """Remembers the states and slates that the next rewards belong to."""
        if not self.eval_mode:
            self._last = users, documents, slates
            if self._summary_writer is not None:
                self._learner.count_slates(slates)

    # How it learns from slates that were chosen elsewhere, see recsim.vector.agent.LearnsElsewhere.

    @property
    def takes_stale_slates(self) -> bool:
        """See :attr:`recsim.vector.agent.LearnsElsewhere.takes_stale_slates`: yes."""
        return True

    def rollout_policy(self) -> vector_policy.ExploringPolicy:
        """See :meth:`recsim.vector.agent.LearnsElsewhere.rollout_policy`."""
        return self._policy

    def instructions(self, num_steps: int, steps_ahead: int) -> list[list[object]]:
        """See :meth:`recsim.vector.agent.LearnsElsewhere.instructions`."""
        learner = self._learner
        q_network = learner.acting_network
        of_chunks: list[list[object]] = [[] for _ in self._rows]
        for step in range(steps_ahead, steps_ahead + num_steps):
            epsilon = learner.epsilon(for_training=True, steps_ahead=step * self._num_envs)
            for of_chunk, uniforms in zip(of_chunks, self._uniforms(), strict=True):
                of_chunk.append(vector_policy.Instruction(q_network, epsilon, uniforms))
        return of_chunks

    def recommended(self, observation: types.Observation, slates: np.ndarray) -> None:
        """See :meth:`recsim.vector.agent.LearnsElsewhere.recommended`."""
        self._remember(*self._values.adapter.features_of_many(observation), slates)

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
        self._learn(observation, *outcome, infos)

    def recommend(self, observation: types.Observation) -> np.ndarray:
        """See :meth:`recsim.vector.agent.LearnsElsewhere.recommend`."""
        return self._recommend(*self._values.adapter.features_of_many(observation))

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities | None:
        """See :meth:`recsim.types.KnowsPropensities.propensities`."""
        self._check_users(observation)
        users, documents = self._values.adapter.features_of_many(observation)
        best = np.empty((self._num_envs, self._slate_size), np.int64)
        acting_network, epsilon = self._act()
        if epsilon < 1.0:
            everyone = np.arange(self._num_envs)
            self._policy.fill_in_best(best, everyone, acting_network, users, documents)
        allowed = self._values.adapter.allowed_slates(documents)
        of_best = slate, best, epsilon
        known = masked_propensities.epsilon_greedy(*of_best, self._num_candidates, allowed)
        return _propensities.if_known(known)

    def single_user_agent(self) -> dqn_agent.DQNAgent:
        """See :meth:`recsim.vector.agent.AbstractVectorAgent.single_user_agent`."""
        settings = self._learner.settings
        create: Any = self.single_user_class
        single: dqn_agent.DQNAgent = create(
            None,
            self._single_user_space(),
            action_space=self._made_for[1],
            eval_mode=True,
            hidden_units=settings.hidden_units,
            recurrent_units=settings.recurrent_units,
            epsilon_eval=settings.epsilon_eval,
            **self._values.serving_settings(),
        )
        single.load_state_dict(self.serving_bundle())
        return single

    # State.

    def serving_bundle(self) -> dict[str, Any]:
        """Returns what recommending needs, which single-user agents in evaluation take too.

        See :meth:`recsim.agents.dopamine.dqn_agent.DQNAgent.serving_bundle`.
        """
        of_single_user = {
            "episode_num": 0,
            "exploration_rng_state": self._exploration_rng_state,
        }
        return {**of_single_user, **self._learner.serving_state()}

    def state_dict(self) -> types.State:
        """Returns all that the agent has learned and will resume with."""
        state = super().state_dict()
        learned = self._learner.state_dict()
        state["users"]["replay"] = learned.pop("replay")
        # A single-user agent in evaluation takes it, too.
        return {**self.serving_bundle(), **learned, "last": None, **state}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the agent.

        In evaluation, states for any users and those of single-user agents fit. What is only there
        for the same users, such as exploration, begins anew for others.

        Raises:
            ValueError: if the state is of another agent, if the replay buffer was larger or smaller
                than this agent's, or if an entry is not as it was made. The agent is as it was
                then.
        """
        bundles.require(self, state, "description")
        same_users = "users" in state and self._check_state_of_users(state["users"])
        exploration = state.get("exploration_rng_state", self._exploration_rng_state)
        bundles.generator_state(self, "exploration_rng_state", exploration, with_normal=True)
        learned = {**state, "replay": state["users"]["replay"] if same_users else None}
        training = not self.eval_mode
        reason = self._learner.misfit(learned, for_training=training)
        if reason is not None:
            raise bundles.UnfitStateError(reason)
        if training and learned["replay"] is None and self._last is not None:
            self._learner.replay.truncate(np.arange(self._num_envs), *self._last)
        self._learner.restore(learned, for_training=training)
        self._exploration_rng_state = exploration
        if "users" in state:
            self._load_state_of_users(state["users"])
        else:
            self._begin_anew()

    def _memory(self) -> types.State:
        return {"last": self._last}

    def _check_memory(self, memory: Mapping[str, Any]) -> None:
        bundles.entries(self, "users", memory, "last", "replay")
        learner_lib.checked_last(self, memory["last"])

    def _load_memory(self, memory: Mapping[str, Any] | None) -> None:
        self._last = None if memory is None else memory["last"]


def _with_defaults(
    single: type, eval_mode: bool, known: set[str], given: Mapping[str, Any], num_users: int
) -> dict[str, Any]:
    """Returns the arguments given, those that gin binds, and defaults where there is neither.

    Args:
        single: class of the single-user agent.
        eval_mode: whether there is to be no replay buffer.
        known: names of the arguments.
        given: arguments that were given.
        num_users: number of users.
    """
    arguments = {**bindings.taken(single, sorted(known - set(given))), **given}
    defaults: dict[str, Any] = dict(_DEFAULTS)
    defaults["update_period"] = min(max(num_users, _SHORTEST_PERIOD), _LONGEST_PERIOD)
    period = arguments.get("update_period", defaults["update_period"])
    if isinstance(period, int):
        defaults["batch_size"] = max(_SMALLEST_BATCH, min(period, _LONGEST_PERIOD))
    if not eval_mode:
        sizes = [name for name in ("batch_size", "replay_capacity") if name not in arguments]
        defaults.update(bindings.taken(circular_replay_buffer.WrappedReplayBuffer, sizes))
    if arguments.get("optimizer") is not None:
        del defaults["learning_rate"]  # It is for an optimizer by name.
    return {**defaults, **arguments}
