"""Contextual bandits: agents that learn what documents bring of users' and documents' features.

All users share what is learned: linear or logistic regressions of what a document brings on its
context, which is a vector of features of the user, of the document and of both together. Slates
are the documents of the highest scores, which explore by upper confidence bounds (LinUCB), by
weights sampled from their posterior (Thompson sampling), or now and then at random.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from recsim import agent, seeding, types
from recsim import spaces as spaces_lib
from recsim._internal import arrays, bundles, keys, validation
from recsim._internal.configurable import configurable
from recsim.agents import _contextual_bandit, _propensities
from recsim.vector import agent as vector_agent
from recsim.vector import streams

__all__ = ["ContextualBanditAgent", "VectorContextualBanditAgent"]

_NOT_BEGUN = "Episodes were not begun: call {} for their first slates."


class _WithBandit:
    """What agents of both engines tell of the bandit that they act by."""

    _bandit: _contextual_bandit.ContextualBandit
    _eval_mode: bool

    @property
    def bandit(self) -> _contextual_bandit.ContextualBandit:
        """What scores documents and learns."""
        return self._bandit

    @property
    def eval_mode(self) -> bool:
        """Whether the agent only recommends."""
        return self._eval_mode

    @property
    def num_updates(self) -> int:
        """Number of updates so far: of users in parallel all slates of a step make one."""
        return self._bandit.num_updates

    @property
    def training_steps(self) -> int:
        """Number of slates learned from so far, of all users together."""
        return self._bandit.training_steps

    @property
    def steps_without_update(self) -> int:
        """Number of training steps in which a new agent makes no update: none."""
        return 0

    @property
    def fingerprint_name(self) -> str:
        """What tells the agent from others that learn and explore in other ways."""
        return self._bandit.named(self)

    def fingerprint_attributes(self) -> dict[str, Any]:
        """Returns what tells the agent from others."""
        return {**vars(self), **dataclasses.asdict(self._bandit.settings)}


@configurable()
class ContextualBanditAgent(_WithBandit, agent.AbstractEpisodicRecommenderAgent):
    """Recommends the documents of the highest scores, and learns from the responses to each slate.

    The context of a document is the vector of 1, the user's features, the document's features, and
    their products (see ``interaction``). Features are numbers as they are observed, and indicators
    of the values of discrete spaces (:func:`recsim.spaces.flatten`). It is best if they are of a
    size of about 1.

    The agent is myopic: it learns what a slate brings at once, not what follows.

    Args:
        observation_space: space of the observations, whose responses have ``click``.
        action_space: the ``MultiDiscrete`` space of slates.
        explore: 'ucb' (the highest upper confidence bounds, LinUCB; Li et al., WWW 2010),
            'thompson' (weights sampled from their posterior; Agrawal and Goyal, ICML 2013; Chapelle
            and Li, NIPS 2011), or 'epsilon_greedy' (the highest estimates, or a random slate).
        eval_mode: whether the agent only recommends: it learns nothing then.
        model: 'linear', ridge regressions of what documents bring; or 'logistic', logistic
            regressions of clicks, whose posterior is approximated after each step (Laplace).
        weights: 'shared', one model of all documents; 'disjoint', one for each arm; or 'hybrid',
            shared weights of the whole context and an arm's own of the user's features (Li et al.,
            algorithm 2), for the linear model. See ``arm_field``.
        exploration: how much is explored in training: the width of confidence bounds in standard
            deviations, the factor of the posterior's width, or the probability of a random slate;
            1, 1 and 0.1 if None.
        exploration_eval: the like in evaluation; at 0 the slate is that of the highest estimates.
        ridge: the precision of the prior of the weights, above 0.
        diagonal: whether the logistic model takes weights as independent, as Chapelle and Li do,
            which takes less time and memory where there are many features.
        interaction: what stands for tastes in a context: 'outer', all products of a feature of the
            user and one of the document; 'product', those of the features of the same number, of
            equally many; 'none'; or 'auto', 'product' where there are equally many features and
            'outer' elsewhere, but 'none' for disjoint weights, which are an arm's own.
        arm_field: name of the entry of documents, of a ``Discrete`` space, whose values are the
            arms; None for the only such entry, or, where documents are vectors (of topics), their
            largest feature.
        learn_from: which documents of a slate are learned from: 'slate', all of them;
            'first_click', those up to the first click, as users look at them in the cascade model
            (Kveton et al., ICML 2015; Zong et al., UAI 2016); or 'last_click', those up to the last
            one, as in the dependent click model. Where nothing is clicked it is all.
        reward_field: what of the responses is learned: 'click', whether a document was clicked, or
            what it brought if it was, such as 'watch_time'.
        propensity_samples: from how many sampled slates the probabilities of Thompson sampling are
            estimated, which takes so many times as long as a slate; None for not at all.
        seed: seed of what is random, an integer >= 0; None for numbers that no seed determines.

    Raises:
        TypeError: for an argument of the wrong type.
        ValueError: for one that is out of its range, has no effect beside the others, or that the
            spaces do not allow, or contexts of more than 4,096 numbers (2,048 for the logistic
            model), with which a step would take seconds.
        MemoryError: if there is no memory for the estimates.

    Example:
        >>> from recsim.environments import interest_evolution
        >>> env = interest_evolution.create_environment(
        ...     {"num_candidates": 10, "slate_size": 3, "resample_documents": True, "seed": 0})
        >>> agent = ContextualBanditAgent(env.observation_space, env.action_space, "thompson")
        >>> len(agent.begin_episode(env.reset()))
        3
    """

    state_settings: ClassVar[tuple[str, ...]] = _contextual_bandit.Settings.of_state

    def __init__(
        self,
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        explore: str = "ucb",
        *,
        eval_mode: bool = False,
        model: str = "linear",
        weights: str = "shared",
        exploration: float | None = None,
        exploration_eval: float = 0.0,
        ridge: float = 1.0,
        diagonal: bool = False,
        interaction: str = "auto",
        arm_field: str | None = None,
        learn_from: str = "slate",
        reward_field: str = "click",
        propensity_samples: int | None = None,
        seed: int | None = 0,
    ) -> None:
        super().__init__(action_space)
        self._keep_space(observation_space)
        self._eval_mode = validation.flag("eval_mode", eval_mode)
        settings = _contextual_bandit.Settings(
            explore=explore,
            model=model,
            weights=weights,
            exploration=exploration,
            exploration_eval=exploration_eval,
            ridge=ridge,
            diagonal=diagonal,
            interaction=interaction,
            arm_field=arm_field,
            learn_from=learn_from,
            reward_field=reward_field,
            propensity_samples=propensity_samples,
            seed=seed,
        )
        self._bandit = _contextual_bandit.ContextualBandit(
            observation_space, self._slate_size, settings
        )
        self._exploration_rng = seeding.named_random_state(settings.seed, "exploration")
        # Features of the user and of the documents of the slate that the next response belongs to.
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        # The scores of the last choice, of which explain tells.
        self._last_scores: np.ndarray | None = None

    def begin_episode(  # type: ignore[override]  # It needs the observation.
        self, observation: agent.Observation
    ) -> agent.Slate:
        """Starts an episode and returns its first slate."""
        self._episode_num += 1
        self._last = None
        return self._recommend(observation)

    def step(self, reward: float, observation: agent.Observation) -> agent.Slate:
        """Learns from the responses to the last slate, and returns the next one.

        Args:
            reward: the reward of the last slate, which does not count.
            observation: the newest observation.

        Returns:
            ``slate_size`` indices into ``observation['doc']``.

        Raises:
            RuntimeError: if an episode that is to be learned from was not begun.
            ValueError: if the observation or a response is not as its space has it.
            FloatingPointError: if features or rewards are so large, or so different in size, that
                the estimates, or scores, are not finite or not exact.
        """
        del reward
        self._learn(observation)
        return self._recommend(observation)

    def end_episode(  # type: ignore[override]  # It needs the observation.
        self, reward: float, observation: agent.Observation, *, truncated: bool = False
    ) -> None:
        """Learns from the responses to the last slate of an episode.

        Args:
            reward: the reward of the last slate, which does not count.
            observation: the last observation.
            truncated: whether the episode was only truncated, which does not matter.
        """
        del reward, truncated
        self._learn(observation)
        self._last = None

    def _learn(self, observation: agent.Observation) -> None:
        if self._eval_mode:
            return
        if self._last is None:
            raise RuntimeError(_NOT_BEGUN.format("begin_episode(observation)"))
        user, documents = self._last
        outcome = self._bandit.outcome(observation["response"], len(documents))
        self._bandit.learn(user[np.newaxis], documents[np.newaxis], *outcome)

    def _exploration(self) -> float:
        return self._bandit.exploration(for_training=not self._eval_mode)

    def _recommend(self, observation: agent.Observation) -> np.ndarray:
        user, documents = self._bandit.contexts.adapter.features(observation)
        exploration, bandit = self._exploration(), self._bandit
        rng = self._exploration_rng
        greedy = bandit.settings.explore == "epsilon_greedy"
        if greedy and exploration > 0.0 and rng.random_sample() < exploration:
            slate = self._random(documents)
        else:
            normals = None
            if bandit.takes_normals(exploration):
                normals = rng.standard_normal((1, bandit.num_normals))
            slate = self._best(user, documents, normals)
        if not self._eval_mode:
            self._last = user, bandit.contexts.adapter.split(documents[slate])[0]
        return slate

    def _check_documents(self, documents: np.ndarray) -> None:
        _contextual_bandit.check_number_of_documents(len(documents), self._slate_size)

    def _random(self, documents: np.ndarray) -> np.ndarray:
        self._check_documents(documents)
        rng = self._exploration_rng
        allowed = self._bandit.contexts.adapter.allowed_slates(documents[np.newaxis])
        slate: np.ndarray
        if allowed is None:
            slate = rng.permutation(len(documents))[: self._slate_size]
        else:
            (slate,) = allowed.random(rng.random_sample((1, self._slate_size)))
        return slate

    def _best(
        self, user: np.ndarray, documents: np.ndarray, normals: np.ndarray | None
    ) -> np.ndarray:
        self._check_documents(documents)
        documents = documents[np.newaxis]
        features, _ = self._bandit.contexts.adapter.split(documents)
        scores = self._bandit.scores(user[np.newaxis], features, self._exploration(), normals)
        self._last_scores = None if normals is None else scores[0].copy()
        slate: np.ndarray = self._bandit.highest(scores, documents, self._slate_size)[0]
        return slate

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities | None:
        """See :meth:`recsim.types.KnowsPropensities.propensities`.

        Those of bounds and of epsilon-greedy are exact. Those of Thompson sampling are of documents
        at their positions alone, and estimated: (c + 1/2) / (n + 1), where c out of n sampled
        slates have the document there.
        """
        user, documents = self._bandit.contexts.adapter.features(observation)
        known = self._bandit.propensities(
            user[np.newaxis],
            documents[np.newaxis],
            np.asarray(slate)[np.newaxis],
            self._slate_size,
            self._exploration(),
        )
        return None if known is None else _propensities.if_known(_propensities.of_user(known, 0))

    def explain(self, observation: types.Observation) -> types.Explanation:
        """See :meth:`recsim.types.Explains.explain`: estimates, how sure they are, and scores."""
        user, documents = self._bandit.contexts.adapter.features(observation)
        return self._bandit.explained(user, documents, self._exploration(), self._last_scores)

    def serving(self) -> agent.Serving:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.serving`."""
        return dataclasses.replace(
            super().serving(),
            settings=dataclasses.asdict(self._bandit.settings),
            response_fields=(),
            any_slate_size=True,
            any_number_of_items=True,
        )

    def user_state(self) -> None:
        """Returns None: in evaluation it knows nothing of users."""

    def load_user_state(self, state: None) -> None:
        """Does nothing."""

    def serving_bundle(self) -> types.State:
        """Returns what recommending needs: all but the slate that is not yet learned from."""
        return {**super().state_dict(), **self._bandit.state_dict()}

    def state_dict(self) -> types.State:
        """Returns all that the agent has learned and will resume with."""
        return {**self.serving_bundle(), "last": self._last}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the agent.

        Raises:
            ValueError: if the state is of another agent, or an entry is not as it was made. The
                agent is as it was then.
        """
        self._bandit.check(self, state)
        last = None if self._eval_mode else self._checked_last(state.get("last"))
        super().load_state_dict(state)
        self._bandit.load_state_dict(state)
        self._last, self._last_scores = last, None

    def _checked_last(self, last: object) -> tuple[np.ndarray, np.ndarray] | None:
        adapter = self._bandit.contexts.adapter
        shapes = (adapter.user_size,), (self._slate_size, adapter.doc_size)
        return _contextual_bandit.checked_last(self, last, *shapes)


@configurable()
class VectorContextualBanditAgent(_WithBandit, vector_agent.ChunkedVectorAgent):
    """Recommends to users in parallel by what one contextual bandit learns from all of them.

    It is a :class:`ContextualBanditAgent` for users in parallel: in each step it learns from the
    responses of all users, in one block, and then chooses all slates. By Thompson sampling each
    user's slate is of a sample of its own. What a user gets depends on what was learned, on the
    observations, the seed and the user's number, see :mod:`recsim.vector.streams`.

    Args:
        environment: the environment to recommend in.
        explore: see :class:`ContextualBanditAgent`.
        eval_mode: whether the agent only recommends.
        **kwargs: other arguments of :class:`ContextualBanditAgent`.

    What is not given has the value that :class:`ContextualBanditAgent` has: gin's bindings of that
    class count here too.

    Raises:
        TypeError, ValueError, MemoryError: as :class:`ContextualBanditAgent`.

    Example:
        >>> from recsim.environments import interest_evolution
        >>> env = interest_evolution.create_vector_environment(
        ...     {"num_candidates": 10, "slate_size": 3, "resample_documents": True, "seed": 0}, 4)
        >>> agent = VectorContextualBanditAgent(env, "thompson", ridge=2.0)
        >>> agent.begin(env.reset(seed=0)[0]).shape
        (4, 3)
    """

    state_settings: ClassVar[tuple[str, ...]] = _contextual_bandit.Settings.of_state

    def __init__(
        self,
        environment: vector_agent.UsersAndSpaces,
        explore: str | None = None,
        *,
        eval_mode: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(environment)
        known = keys.parameters_of(ContextualBanditAgent) - {"observation_space", "action_space"}
        keys.refuse_unknown(type(self).__name__, kwargs, known)
        given: dict[str, Any] = {"explore": explore, "eval_mode": eval_mode}
        of_one_user = ContextualBanditAgent(
            spaces_lib.single_user_space(environment.single_observation_space),
            environment.single_action_space,
            **{name: value for name, value in given.items() if value is not None},
            **kwargs,
        )
        self._eval_mode = of_one_user.eval_mode
        self._bandit = of_one_user.bandit
        # What a single-user agent explores with that takes the state.
        self._exploration_rng_state = of_one_user.state_dict()["exploration_rng_state"]
        self._make_streams(self._bandit.settings.seed, "exploration", np.float64)
        # Features of the users and of the documents of the slates that responses belong to next.
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def begin(self, observation: types.Observation) -> np.ndarray:
        """Begins an episode with every user and returns the first slates."""
        self._check_users(observation)
        return self._recommend(observation)

    def step(
        self,
        observation: types.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: types.Infos,
    ) -> np.ndarray:
        """Learns from the responses to the last slates, and returns the next ones.

        Raises:
            RuntimeError: if episodes that are to be learned from were not begun.
            ValueError: if an observation or a response is not as its space has it.
            FloatingPointError: if features or rewards are so large, or so different in size, that
                the estimates, or scores, are not finite or not exact.
        """
        self._check_users(observation)
        _, terminated, truncated = self._checked_outcome(rewards, terminated, truncated)
        if not self._eval_mode:
            self._check_infos(infos, terminated | truncated)
            if self._last is None:
                raise RuntimeError(_NOT_BEGUN.format("begin(observation)"))
            responses = vector_agent.last_responses(observation, infos)
            shape = self._num_envs, self._slate_size
            self._bandit.learn(*self._last, *self._bandit.outcomes(responses, shape))
        return self._recommend(observation)

    def _recommend(self, observation: types.Observation) -> np.ndarray:
        users, documents = self._bandit.contexts.adapter.features_of_many(observation)
        slates = arrays.joined(list(self._choices(users, documents)))
        if not self._eval_mode:
            features, _ = self._bandit.contexts.adapter.split(documents)
            shown = np.take_along_axis(features, slates[..., np.newaxis].astype(np.intp), axis=1)
            self._last = users, shown
        return slates

    def _choices(self, users: np.ndarray, documents: np.ndarray) -> Iterator[np.ndarray]:
        """Yields the slates of the users of each chunk."""
        bandit, size = self._bandit, self._slate_size
        exploration = bandit.exploration(for_training=not self._eval_mode)
        for stream, rows in zip(self._streams, self._rows, strict=True):
            if bandit.settings.explore == "epsilon_greedy" and exploration > 0.0:
                uniforms = stream.uniform(size + 1)
                allowed = bandit.contexts.adapter.allowed_slates(documents[rows])
                if allowed is None:
                    slates = streams.slates(uniforms[:, 1:], self._num_candidates)
                else:
                    slates = allowed.random(uniforms[:, 1:])
                best = np.flatnonzero(uniforms[:, 0] >= exploration)
                of_best = users[rows][best], documents[rows][best]
                slates[best] = bandit.best(*of_best, size, exploration)
                yield slates
                continue
            normals = None
            if bandit.takes_normals(exploration):
                normals = stream.normal(bandit.num_normals)
            yield bandit.best(users[rows], documents[rows], size, exploration, normals)

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities | None:
        """See :meth:`ContextualBanditAgent.propensities`."""
        self._check_users(observation)
        users, documents = self._bandit.contexts.adapter.features_of_many(observation)
        exploration = self._bandit.exploration(for_training=not self._eval_mode)
        parts = []
        for rows in self._rows:
            known = self._bandit.propensities(
                users[rows],
                documents[rows],
                np.asarray(slate)[rows],
                self._slate_size,
                exploration,
            )
            if known is None:
                return None
            parts.append(known)
        return _propensities.if_known(_propensities.joined(parts))

    def single_user_agent(self) -> ContextualBanditAgent:
        """See :meth:`recsim.vector.agent.AbstractVectorAgent.single_user_agent`."""
        settings: dict[str, Any] = dataclasses.asdict(self._bandit.settings)
        space = self._single_user_space()
        single = ContextualBanditAgent(space, self._made_for[1], eval_mode=True, **settings)
        single.load_state_dict(self.serving_bundle())
        return single

    def serving_bundle(self) -> types.State:
        """Returns what recommending needs, which single-user agents take too."""
        of_single_user = {"episode_num": 0, "exploration_rng_state": self._exploration_rng_state}
        return {**of_single_user, **self._bandit.state_dict()}

    def state_dict(self) -> types.State:
        """Returns all that the agent has learned and will resume with."""
        return {**self.serving_bundle(), "last": None, **super().state_dict()}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the agent.

        States for any users and those of single-user agents fit. What is only there for the same
        users, such as exploration, begins anew for others.

        Raises:
            ValueError: if the state is of another agent, or an entry is not as it was made. The
                agent is as it was then.
        """
        self._bandit.check(self, state)
        if "users" in state:
            self._check_state_of_users(state["users"])
        exploration = state.get("exploration_rng_state", self._exploration_rng_state)
        bundles.generator_state(self, "exploration_rng_state", exploration, with_normal=True)
        self._exploration_rng_state = exploration
        self._bandit.load_state_dict(state)
        if "users" in state:
            self._load_state_of_users(state["users"])
        else:
            self._begin_anew()

    def _load_state_of_users(self, users: Mapping[str, Any]) -> None:
        if self._explores() or self._are_own(users):
            super()._load_state_of_users(users)
        else:  # Nothing is lost that anybody should be told of.
            self._begin_anew()

    def _explores(self) -> bool:
        return self._bandit.exploration(for_training=not self._eval_mode) > 0.0

    def _memory(self) -> types.State:
        return {"last": self._last}

    def _check_memory(self, memory: Mapping[str, Any]) -> None:
        bundles.entries(self, "users", memory, "last")
        adapter, users = self._bandit.contexts.adapter, self._num_envs
        shapes = (users, adapter.user_size), (users, self._slate_size, adapter.doc_size)
        _contextual_bandit.checked_last(self, memory["last"], *shapes)

    def _load_memory(self, memory: Mapping[str, Any] | None) -> None:
        self._last = None if memory is None else memory["last"]
