"""Actor-critics over items' features on what users in parallel do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from recsim import seeding, types
from recsim._internal import (
    arrays,
    bundles,
    numbers,
    observations,
    trees,
    validation,
)
from recsim.agents import _with_learner
from recsim.agents.actor_critics import agent as agent_lib
from recsim.agents.actor_critics import learner as learner_lib
from recsim.agents.actor_critics import search
from recsim.agents.dopamine import adapters, dqn_agent
from recsim.vector import agent as vector_agent

__all__ = ["VectorItemVectorAgent"]

# What single-user agents take, and is not for agents of users in parallel to be given.
_OF_SINGLE_USERS = {"action_space", "eval_mode", "method", "observation_space"}
_OF_SETTINGS = {field.name for field in dataclasses.fields(learner_lib.Settings)}


class VectorItemVectorAgent(
    _with_learner.WithLearner[learner_lib.ActorCriticLearner], vector_agent.ChunkedVectorAgent
):
    """Recommends to users in parallel by what one learner has learned, and learns from all of them.

    A catalogue that all users have is searched without copies for each. Where each has candidates
    of his own, users are turned into slates in blocks, so that memory stays bounded.

    Args:
        environment: the environment to recommend in.
        eval_mode: whether the agent only recommends: it then stores and learns nothing.
        summary_writer: where statistics for TensorBoard go, or None.
        **kwargs: arguments of the single-user agent. Steps are those of single users.

    Gin's bindings of the single-user agent count here too; an argument takes precedence.

    Raises:
        TypeError, ValueError: for arguments or spaces that give no agent.
        MemoryError: if there is no memory for the replay buffer.
    """

    #: The single-user agent, whose gin bindings count and whose bundles are taken.
    single_user_class: ClassVar[type[agent_lib.ItemVectorAgent]]

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
        self._eval_mode = validation.flag("eval_mode", bound if eval_mode is None else eval_mode)
        of_gin = arguments.pop("summary_writer", None)
        self._summary_writer = of_gin if summary_writer is None else summary_writer
        self._greedy_eval = validation.flag("greedy_eval", arguments.pop("greedy_eval", True))
        for_settings = {name: arguments.pop(name) for name in _OF_SETTINGS & set(arguments)}
        self._method = arguments

        self._adapter = adapters.ObservationAdapter(self._single_user_space())
        dqn_agent.checked_num_candidates(self._made_for[1], self._adapter.num_candidates)
        settings = learner_lib.Settings(**for_settings)
        create: Any = single.learner_of
        self._learner: learner_lib.ActorCriticLearner = create(
            settings, self._adapter, self._slate_size, **arguments
        )
        if not self._eval_mode:
            self._learner.replay  # noqa: B018  # Makes it: faulty sizes are told of now.
        self._make_streams(settings.seed, "exploration")
        # What a single-user agent explores with that takes the bundle.
        self._exploration_rng_state = seeding.generator_state(
            seeding.named_random_state(settings.seed, "exploration")
        )
        self._last: agent_lib.LastActions | None = None

    @property
    def steps_without_update(self) -> int:
        """Number of training steps, of all users together, in which a new agent makes no update."""
        first = self._learner.settings.first_update
        return (-(-first // self._num_envs) - 1) * self._num_envs

    # How the agent takes part in episodes.

    def begin(self, observation: vector_agent.Observation) -> np.ndarray:
        """Begins an episode with every user and returns the first slates."""
        self._check_users(observation)
        slates, self._last = self._recommended(observation)
        return slates

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
        rewards, terminated, truncated = self._checked_outcome(rewards, terminated, truncated)
        if self._eval_mode:
            return self._recommended(observation)[0]
        self._check_infos(infos, terminated | truncated)
        if self._last is None:
            raise RuntimeError(
                "Episodes were not begun: call begin(observation) for their first slates."
            )
        numbers.finite_per_user("rewards", rewards, self._num_envs, single_precision=True)
        last = self._last
        slates, self._last = self._recommended(observation)
        assert self._last is not None
        next_users, next_actions = self._last
        # Where an episode has terminated, what comes next does not count.
        if (truncated := truncated & ~terminated).any():
            final = observations.final_batch(infos)
            next_users, next_actions = next_users.copy(), next_actions.copy()
            next_users[truncated] = self._adapter.users_of_many(final)[truncated]
            which = np.flatnonzero(truncated)
            next_actions[which] = self._chosen(final, next_users[which], None, which)[1]
        self._learn(last, rewards, (next_users, next_actions), terminated)
        return slates

    def _learn(
        self,
        last: agent_lib.LastActions,
        rewards: np.ndarray,
        following: agent_lib.LastActions,
        terminated: np.ndarray,
    ) -> None:
        updates = self._learner.num_updates
        self._learner.add(
            users=last[0],
            actions=last[1],
            rewards=rewards,
            next_users=following[0],
            next_actions=following[1],
            terminated=terminated,
        )
        if self._summary_writer is not None and self._learner.num_updates > updates:
            self._learner.write_summary(self._summary_writer)

    def _recommended(
        self, observation: types.Observation
    ) -> tuple[np.ndarray, agent_lib.LastActions | None]:
        """Returns slates; in training also the features of users and of their documents."""
        users = self._adapter.users_of_many(observation)
        normals = None
        if not (self._eval_mode and self._greedy_eval):
            size = self._learner.vector_size
            normals = arrays.joined([stream.normal(size) for stream in self._streams])
        if not self._eval_mode and not self._learner.num_updates:
            for _, documents in self._documents(observation, np.arange(self._num_envs)):
                self._learner.see_items(documents)
        slates, actions = self._chosen(observation, users, normals, np.arange(self._num_envs))
        if self._eval_mode:
            return slates, None
        self._learner.training_steps += self._num_envs
        return slates, (users, actions)

    def _chosen(
        self,
        observation: types.Observation,
        users: np.ndarray,
        normals: np.ndarray | None,
        which: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns slates of users, and the features of their documents.

        Args:
            observation: of all users.
            users: features of those who get slates.
            normals: numbers for them to explore with, or None.
            which: their indices.
        """
        learner = self._learner
        vectors = learner.vectors(users, normals)
        slates = np.empty((len(users), self._slate_size), np.int64)
        actions = np.empty((*slates.shape, learner.vector_size), np.float32)
        for rows, documents in self._documents(observation, which):
            slates[rows] = learner.slates(
                users[rows], vectors[rows], documents, training=not self._eval_mode
            )
            actions[rows] = search.taken(documents, slates[rows])
        return slates, actions

    def _documents(
        self, observation: types.Observation, which: np.ndarray
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Returns documents' features in blocks of users, one for all where they are shared.

        Args:
            observation: of all users.
            which: indices of the users whose documents are wanted.

        Returns:
            Rows of ``which``, and the documents of these users, or those that they share.
        """
        parts = {"user": observation["user"], "doc": observation["doc"]}
        if len(which) > 1 and all(leaf.strides[0] == 0 for leaf in trees.leaves(parts["doc"])):
            _, documents = self._adapter.features_of_many(trees.rows_of(parts, slice(1)))
            yield slice(len(which)), documents[0]
            return
        for rows in agent_lib.blocks(len(which), self._num_candidates * self._adapter.doc_size):
            of_block = trees.rows_of(parts, which[rows])
            yield rows, self._adapter.features_of_many(of_block)[1]

    def single_user_agent(self) -> agent_lib.ItemVectorAgent:
        """See :meth:`recsim.vector.agent.AbstractVectorAgent.single_user_agent`."""
        settings = self._learner.settings
        create: Any = self.single_user_class
        single: agent_lib.ItemVectorAgent = create(
            self._single_user_space(),
            self._made_for[1],
            eval_mode=True,
            greedy_eval=self._greedy_eval,
            hidden_units=settings.hidden_units,
            item_units=settings.item_units,
            **self._method,
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
        learned = self._learner.state_dict()
        # A single-user agent in evaluation takes it, too.
        return {**self.serving_bundle(), **learned, "last": None, **super().state_dict()}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the agent.

        States for any users fit: what is only there for the same users, such as exploration, begins
        anew for others. Those of single-user agents fit too.

        Raises:
            ValueError: if the state is of another agent, or an entry is not as it was made. The
                agent is as it was then.
        """
        bundles.require(self, state, "description")
        self._learner.check(state, for_training=not self._eval_mode)
        generator = state.get("exploration_rng_state", self._exploration_rng_state)
        bundles.generator_state(self, "exploration_rng_state", generator, with_normal=True)
        if "users" in state:
            self._check_state_of_users(state["users"])
        self._learner.restore(state, for_training=not self._eval_mode)
        self._exploration_rng_state = generator
        if "users" not in state:
            self._begin_anew()
            return
        self._load_state_of_users(state["users"])

    def _memory(self) -> types.State:
        return {"last": self._last}

    def _check_memory(self, memory: Mapping[str, Any]) -> None:
        last = bundles.entries(self, "users", memory, "last")["last"]
        if not self._eval_mode:
            agent_lib.checked_last(self, last, self._learner, (self._num_envs,))

    def _load_memory(self, memory: Mapping[str, Any] | None) -> None:
        self._last = None if memory is None or self._eval_mode else memory["last"]
