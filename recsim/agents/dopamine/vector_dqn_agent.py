"""Deep Q-learning on what many users do at once."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from recsim import agent as agent_lib
from recsim import spaces as spaces_lib
from recsim._internal import arrays, bindings, bundles, numbers, trees
from recsim._internal.configurable import configurable
from recsim.agents.dopamine import (
    circular_replay_buffer,
    dqn_agent,
    network,
    vector_replay_buffer,
)
from recsim.vector import agent as vector_agent
from recsim.vector import streams

__all__ = ["VectorDQNAgent"]

# What differs from a single-user agent where nothing is said.
_DEFAULTS = {
    "update_period": 128,
    "batch_size": 256,
    "replay_capacity": 1_000_000,
    "learning_rate": 1e-3,
}


def _with_defaults(
    learner_class: type, eval_mode: bool, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the arguments of a learner: those given, and defaults where gin binds nothing.

    Args:
        learner_class: class of the learner.
        eval_mode: whether there is to be no replay buffer.
        given: arguments that were given.
    """
    set_otherwise = bindings.bound_parameters(learner_class) | set(given)
    defaults = dict(_DEFAULTS)
    if not eval_mode:
        sizes = [name for name in ("batch_size", "replay_capacity") if name not in set_otherwise]
        defaults.update(bindings.taken(circular_replay_buffer.WrappedReplayBuffer, sizes))
    if given.get("optimizer") is not None or "optimizer" in set_otherwise - set(given):
        del defaults["learning_rate"]  # It is for an optimizer by name.
    return {
        **{name: value for name, value in defaults.items() if name not in set_otherwise},
        **given,
    }


@configurable()
class VectorDQNAgent(vector_agent.AbstractVectorAgent):
    """Recommends to many users what one deep agent has learned, and learns from all of them.

    The agent that learns is a single-user agent, with its network, targets and settings. All that
    it counts in steps are steps of one user: with 1,000 users, each call of :meth:`step` is 1,000
    of them.

    A single-user agent trains on 32 transitions every 4 steps. Learning from 8 times as many at
    once, every 128 steps, and with a higher learning rate, gets as far in a fraction of the time.

    Args:
        environment: the environment to recommend in.
        create_learner: function that makes the single-user agent, of ``observation_space``,
            ``action_space`` and the arguments of
            :class:`recsim.agents.dopamine.dqn_agent.DQNAgent`.
        eval_mode: whether the agent only recommends: it then stores and learns nothing.
        **kwargs: arguments of the single-user agent, some of which have other defaults here:
            ``update_period`` (steps of a user from one update of the network to the next) 128,
            ``batch_size`` 256, ``replay_capacity`` 1,000,000, and ``learning_rate`` 0.001. With
            ``num_envs / update_period`` above 1 there are several updates in a step.

    Gin's bindings of the single-user agent and of ``WrappedReplayBuffer`` count here too: they take
    precedence over these defaults, and an argument, or a binding of this class, over them.

    Raises:
        TypeError, ValueError: for arguments or spaces that give no agent.
        MemoryError: if there is no memory for the replay buffer.
    """

    def __init__(
        self,
        environment: Any,
        create_learner: Callable[..., dqn_agent.DQNAgent],
        *,
        eval_mode: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(environment)
        learner_class = getattr(create_learner, "func", create_learner)
        if not isinstance(learner_class, type):
            learner_class = dqn_agent.DQNAgent
        if eval_mode is None:
            eval_mode = bindings.taken(learner_class, ["eval_mode"]).get("eval_mode", False)
        settings = _with_defaults(learner_class, eval_mode, kwargs)
        space = spaces_lib.single_user_space(environment.single_observation_space)
        # In evaluation: it would make a replay buffer for one user.
        learner: Any = create_learner(
            observation_space=space,
            action_space=environment.single_action_space,
            eval_mode=True,
            **settings,
        )
        self._learner = learner
        self._replay: vector_replay_buffer.VectorReplayBuffer | None = None
        if not eval_mode:
            adapter = learner._obs_adapter
            self._replay = vector_replay_buffer.VectorReplayBuffer(
                self._num_envs,
                adapter.user_size,
                self._num_candidates,
                adapter.doc_size,
                self._slate_size,
                update_horizon=learner.update_horizon,
                gamma=learner.gamma,
                seed=learner._seed,
                **learner._replay_arguments,
            )
            self._learner._replay_buffer = self._replay
            learner.eval_mode = False
        seed = learner._seed
        self._streams = streams.chunk_streams(seed, "exploration", self._first_user, self._num_envs)
        # The states and slates that the next rewards belong to.
        self._last: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    @property
    def eval_mode(self) -> bool:
        """Whether the agent only recommends."""
        return self._learner.eval_mode

    @property
    def uses_tensorflow(self) -> bool:
        """Whether the agent computes with TensorFlow: where it learns."""
        return not self.eval_mode

    @property
    def training_steps(self) -> int:
        """Number of slates recommended in training so far, to all users together."""
        return self._learner.training_steps

    @property
    def min_replay_history(self) -> int:
        """Number of transitions, of all users together, to gather before learning begins."""
        return self._learner.min_replay_history

    @property
    def num_updates(self) -> int:
        """Number of updates of the network so far, of those that learned from something."""
        return self._learner.num_updates

    @property
    def steps_without_update(self) -> int:
        """Number of training steps, of all users together, in which a new agent makes no update."""
        learner, period = self._learner, self._learner.update_period
        # The first step of all users with enough transitions, the next one of which is there too.
        calls = max(2, learner.min_replay_history // self._num_envs + 1)
        first_update = -(-calls * self._num_envs // period) * period
        return (first_update // self._num_envs - 1) * self._num_envs

    @abc.abstractmethod
    def _best_slates(self, users: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """Returns the slates of the highest estimated values, shape (n_users, slate_size)."""

    @abc.abstractmethod
    def _outcomes(self, responses: Any, rewards: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns what users clicked, see ``Batch.clicks``, and the rewards to learn from."""

    # How the agent takes part in sessions.

    def begin(self, observation: vector_agent.Observation) -> np.ndarray:
        """Begins an episode with every user and returns the first slates."""
        self._check_users(observation)
        state = self._learner._obs_adapter.features_of_many(observation)
        if self._replay is not None:
            if self._last is not None:  # The last episodes were left before their ends.
                self._replay.cut_off(np.arange(self._num_envs), *self._last)
            self._train_steps()
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
        state = self._learner._obs_adapter.features_of_many(observation)
        if self._replay is not None:
            self._check_infos(infos, terminated | truncated)
            responses = vector_agent.last_responses(observation, infos)
            self._store(responses, rewards, terminated)
            cut_off = np.flatnonzero(truncated & ~terminated)
            if len(cut_off):
                self._store_last_states(infos["final_obs"].batch, cut_off)
            self._train_steps()
        return self._recommend(*state)

    def _store(self, responses: Any, rewards: np.ndarray, terminated: np.ndarray) -> None:
        if self._last is None:
            raise RuntimeError(
                "Episodes were not begun: call begin(observation) for their first slates."
            )
        clicks, learned_rewards = self._outcomes(responses, rewards)
        for name, array in (("rewards", rewards), ("rewards to learn from", learned_rewards)):
            numbers.finite_per_user(name, array, self._num_envs, single_precision=True)
        assert self._replay is not None
        self._replay.add(*self._last, clicks, learned_rewards, terminated)

    def _store_last_states(self, observation: Any, rows: np.ndarray) -> None:
        last = trees.rows_of({key: observation[key] for key in ("user", "doc")}, rows)
        users, documents = self._learner._obs_adapter.features_of_many(last)
        slates = self._select_slates(users, documents, self._uniforms()[rows])
        assert self._replay is not None
        self._replay.cut_off(rows, users, documents, slates)

    def _uniforms(self) -> np.ndarray:
        """Returns what exploration is drawn from, shape (n_users, slate_size + 1)."""
        return arrays.joined([stream.uniform(self._slate_size + 1) for stream in self._streams])

    def _recommend(self, users: np.ndarray, documents: np.ndarray) -> np.ndarray:
        slates = self._select_slates(users, documents, self._uniforms())
        if self._replay is not None:
            self._last = users, documents, slates
            if self._learner._summary_writer is not None:
                self._learner._slate_counts += np.bincount(
                    slates.reshape(-1), minlength=self._num_candidates
                )
        return slates

    def _select_slates(
        self, users: np.ndarray, documents: np.ndarray, uniforms: np.ndarray
    ) -> np.ndarray:
        slates = streams.slates(uniforms[:, 1:], self._num_candidates)
        rows = np.flatnonzero(uniforms[:, 0] >= self._learner._epsilon())
        for start in range(0, len(rows), network.BLOCK):
            block = rows[start : start + network.BLOCK]
            slates[block] = self._best_slates(users[block], documents[block])
        return slates

    # How the agent learns.

    def _train_steps(self) -> None:
        """Makes the updates that are due in as many steps as there are users."""
        learner, replay = self._learner, self._replay
        assert replay is not None
        begin = learner.training_steps
        end = begin + self._num_envs
        if replay.add_count > learner.min_replay_history and replay.can_sample():
            period = learner.update_period
            for step in range(-(-begin // period) * period, end, period):
                learner._update()
                if step % learner.target_update_period < period:
                    learner._target_network = learner._online_network
        learner.training_steps = end
        frequency = learner.summary_writing_frequency
        if learner._summary_writer is not None and begin // frequency != end // frequency:
            learner._write_summary()

    # How the agent is kept.

    def serving_bundle(self) -> dict[str, Any]:
        """Returns what recommending needs, which single-user agents in evaluation take too.

        See :meth:`recsim.agents.dopamine.dqn_agent.DQNAgent.serving_bundle`.
        """
        return self._learner.serving_bundle()

    def bundle_and_checkpoint(self, checkpoint_dir: str, iteration_number: int) -> dict[str, Any]:
        """Returns all that the agent has learned and will go on with."""
        bundle = self._learner.bundle_and_checkpoint(checkpoint_dir, iteration_number)
        replay = bundle.pop("replay")
        of_users = {
            "num_envs": self._num_envs,
            "draws": [stream.state() for stream in self._streams],
            "last": self._last,
            "replay": replay,
        }
        return {**bundle, "users": of_users}

    def unbundle(
        self, checkpoint_dir: str, iteration_number: int, bundle_dict: dict[str, Any]
    ) -> bool:
        """Restores the agent; False, and a warning that says why, if the bundle does not fit.

        In evaluation, bundles for any number of users and those of single-user agents fit. What
        is only there for the same users, such as exploration, begins anew for others.

        Raises:
            ValueError: if the bundle does not fit and the agent was made with ``eval_mode=True``;
                if the replay buffer was larger or smaller than this agent's.
        """
        if not agent_lib.has_entry(self, bundle_dict, "description"):
            return False
        of_users = bundles.entries(self, "users", bundle_dict.get("users", {}))
        num_envs = of_users.get("num_envs", None)
        same_users = num_envs is not None and (
            bundles.count(self, "num_envs", num_envs) == self._num_envs
        )
        states = [each.state() for each in self._streams]
        if same_users:
            bundles.entries(self, "users", of_users, "replay", "draws", "last")
            last = of_users["last"]
            if last is not None and not (isinstance(last, tuple) and len(last) == 3):
                bundles.refuse(self, "last", "states and their slates, or None", last)
            streams.restore(self._streams, of_users["draws"])
        bundle = {**bundle_dict, "replay": of_users["replay"] if same_users else None}
        restored = False
        try:
            restored = self._learner.unbundle(checkpoint_dir, iteration_number, bundle)
        finally:
            if not restored:
                streams.restore(self._streams, states)
        if not restored:
            return False
        if self._replay is not None and bundle["replay"] is None and self._last is not None:
            self._replay.cut_off(np.arange(self._num_envs), *self._last)
        self._last = None
        if same_users:
            self._last = of_users["last"]
        return True
