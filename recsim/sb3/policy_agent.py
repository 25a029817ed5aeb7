"""Models that were trained with Stable-Baselines3, as agents of both engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from recsim import agent as agent_lib
from recsim import seeding, types
from recsim import spaces as spaces_lib
from recsim._internal import action_masks, bundles, numbers, observations, trees, validation
from recsim.sb3 import _extra, _spaces
from recsim.simulator import rollout
from recsim.vector import agent as vector_agent
from recsim.vector import streams

_extra.require()

from recsim.sb3 import _policy  # noqa: E402

__all__ = ["PolicyAgent", "SingleUserPolicyAgent", "VectorPolicyAgent"]

# So many seeds there are for what is sampled in a step.
_MOST_SEEDS = 1 << 31


class PolicyAgent:
    """A trained model as what makes agents: called with an environment, it returns the agent.

    The agent is a :class:`SingleUserPolicyAgent` in an environment of RecSim's kind, and a
    :class:`VectorPolicyAgent` in one with users in parallel. So the model takes part wherever the
    library takes a function that makes an agent: in :func:`recsim.experiment`, in
    :func:`recsim.vector.simulate.simulate`, in the registry, and in ``recsim run`` by the name
    that it has in a module or a file. Runners take :meth:`create_agent`.

    The options ``observation`` and ``action`` of its training follow from the spaces of the model.
    An environment whose spaces differ from those in these forms is refused.

    The weights are copied when this is made. A file's data are read as Stable-Baselines3 reads
    them, by pickle, which runs code: load only files that you trust.

    Args:
        model: a model of Stable-Baselines3, such as a PPO, one of its policies, or the path of the
            ``.zip`` file that ``model.save`` wrote.
        deterministic: whether to show the most probable slate, or the one of the highest value,
            always; False to sample slates from the policy, as in training.
        vec_normalize: the ``VecNormalize`` that observations went through in the training, or the
            path of the file that its ``save`` wrote. None for that of the model's environment,
            which a model that comes from a file does not have.

    Raises:
        ImportError: if Stable-Baselines3 is not installed.
        TypeError, ValueError: if it is not such a model, or not of the forms of a recsim
            environment; if it samples nothing, as DQN's does, and is not to be deterministic; or
            if its observations went through a wrapper that is not given.
        FileNotFoundError: if there is no such file.

    Example:
        >>> import functools, stable_baselines3
        >>> from recsim import sb3
        >>> from recsim.environments import interest_evolution
        >>> from recsim.vector import simulate
        >>> env = sb3.make_vec_env("interest_evolution", 8, num_candidates=5, slate_size=1)
        >>> model = stable_baselines3.PPO("MlpPolicy", env)  # And model.learn(…).
        >>> config = {"num_candidates": 5, "slate_size": 1, "resample_documents": True, "seed": 1}
        >>> simulate.simulate(
        ...     functools.partial(interest_evolution.create_vector_environment, config),
        ...     sb3.PolicyAgent(model), num_users=10, num_episodes=1).num_users
        10
    """

    def __init__(
        self,
        model: object,
        *,
        deterministic: bool = True,
        vec_normalize: object = None,
    ) -> None:
        self._policy = _policy.TrainedPolicy(model, vec_normalize)
        self._deterministic = validation.flag("deterministic", deterministic)
        if not self._deterministic and not self._policy.samples:
            raise ValueError(
                f"deterministic must be True for a {type(self._policy.policy).__name__}, which "
                "samples nothing: its model explores in training alone."
            )
        self._observation = _observation_form(self._policy.observation_space)
        self._action = _action_form(self._policy.action_space)

    @property
    def observation(self) -> str:
        """The form of observations that the model was trained with, 'flat' or 'dict'."""
        return self._observation

    @property
    def action(self) -> str:
        """The form of actions that the model was trained with: 'slate', 'discrete', 'scores'."""
        return self._action

    @property
    def deterministic(self) -> bool:
        """Whether the most probable slate, or the one of the highest value, is always shown."""
        return self._deterministic

    @property
    def source_digest(self) -> str:
        """What tells the model from others, by which a resumed experiment knows it again."""
        return self._policy.digest() + ("" if self._deterministic else " sampled")

    def __call__(
        self,
        environment: types.AnyEnv,
        *,
        seed: int | None = 0,
        eval_mode: bool = True,
        summary_writer: types.SummaryWriter | None = None,
    ) -> SingleUserPolicyAgent | VectorPolicyAgent:
        """Returns the agent for an environment.

        Args:
            environment: where it will recommend: a RecSimGymEnv with one user, or an environment
                with users in parallel and nested observations.
            seed: seed of the slates that are sampled; None for one from the operating system. A
                deterministic agent samples nothing.
            eval_mode: has no effect: the model learns no more.
            summary_writer: has no effect: there are no statistics to write.

        Raises:
            TypeError: if it is not such an environment.
            ValueError: if it has several users in RecSim's form, or its spaces are not those that
                the model was trained with.
        """
        del eval_mode, summary_writer
        if types.is_vector_env(environment):
            return VectorPolicyAgent(self, environment, seed=seed)
        return SingleUserPolicyAgent(self, environment, seed=seed)

    def create_agent(
        self,
        sess: object,
        environment: types.AnyEnv,
        eval_mode: bool = True,
        summary_writer: types.SummaryWriter | None = None,
    ) -> SingleUserPolicyAgent | VectorPolicyAgent:
        """Returns the agent for an environment, as runners ask for one (``create_agent_fn``)."""
        del sess
        return self(environment, eval_mode=eval_mode, summary_writer=summary_writer)

    def recommender(
        self, environment: types.AnyEnv, observation_space: types.Space
    ) -> _policy.Recommender:
        """Returns what makes slates of observations in an environment.

        Args:
            environment: the environment, for the sizes of its slates.
            observation_space: the space of a user's observations, as nested arrays.

        Raises:
            ValueError: if the spaces are not those that the model was trained with, or documents
                have action masks.
        """
        action_masks.refuse("A model of Stable-Baselines3", observation_space)
        space: Any = getattr(environment, "single_action_space", None)
        space = environment.action_space if space is None else space  # type: ignore[union-attr]
        return _policy.Recommender(
            self._policy,
            spaces_lib.ObservationForm(self._observation, observation_space),
            spaces_lib.ActionForm(self._action, int(space.nvec[0]), len(space.nvec)),
        )


class SingleUserPolicyAgent(agent_lib.AbstractEpisodicRecommenderAgent):
    """Recommends to one user as a trained model does; :class:`PolicyAgent` makes it.

    Args:
        model: the model.
        environment: a RecSimGymEnv with one user.
        seed: seed of the slates that are sampled; None for one from the operating system.

    Raises:
        TypeError: if it is not such an environment.
        ValueError: if it has several users, or other spaces than the model.
    """

    def __init__(
        self, model: PolicyAgent, environment: types.AnyEnv, *, seed: int | None = 0
    ) -> None:
        if not types.is_recommender_env(environment):
            raise TypeError(
                "environment must be a RecSimGymEnv, or an environment with users in parallel, got "
                f"{numbers.described(environment)}."
            )
        if rollout.has_several_users(environment):  # type: ignore[arg-type]
            raise ValueError("environment must have one user, got one with several.")
        env: Any = environment
        super().__init__(env.action_space)
        inner = env.environment
        self._stacked = spaces_lib.ObservationStacker(
            spaces_lib.spaces_of(env), inner.num_candidates, inner.slate_size, many=False
        )
        self._recommender = model.recommender(env, self._stacked.space)
        if not model.deterministic:
            self._rng = seeding.named_random_state(seed, "policy")

    def step(self, reward: float, observation: types.Observation) -> list[int]:
        """Returns the slate that the model shows: indices into ``observation['doc']``.

        Raises:
            TypeError, ValueError: if the observation is not one of the environment's.
        """
        del reward
        rng = getattr(self, "_rng", None)
        seed = None if rng is None else int(rng.randint(_MOST_SEEDS))
        slate: list[int]
        slate = self._recommender.slates(self._as_batch(observation), 1, seed)[0].tolist()
        return slate

    def explain(self, observation: types.Observation) -> types.Explanation:
        """See :meth:`recsim.types.Explains.explain`: the policy's probabilities, values, scores."""
        return self._recommender.explanation(self._as_batch(observation))

    def serving(self) -> agent_lib.Serving:
        """Refuses to be saved: the model's own file has its weights.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            f"{type(self).__name__} is saved by its model: call model.save(path), and make the "
            "agent of the file by recsim.sb3.PolicyAgent(path)."
        )

    def _as_batch(self, observation: types.Observation) -> types.Observation:
        """Returns an observation as those of users in parallel, of one user."""
        for key in ("user", "doc", "response"):
            observations.entry(observation, key)
        arrays: types.Observation = self._stacked(observation)
        return trees.map_leaves(lambda array: np.asarray(array)[np.newaxis], arrays)

    def state_dict(self) -> types.State:
        """Returns the state: the model's digest, and the generator of what is sampled."""
        return {**super().state_dict(), "model": self._recommender.digest}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the state of an agent of the same model.

        Raises:
            ValueError: if it is of another model, or does not fit otherwise.
        """
        _check_model(self, state, self._recommender.digest)
        super().load_state_dict(state)


class VectorPolicyAgent(vector_agent.ChunkedVectorAgent):
    """Recommends to users in parallel as a trained model does; :class:`PolicyAgent` makes it.

    Args:
        model: the model.
        environment: a vector environment with nested observations, whose actions are slates.
        seed: seed of the slates that are sampled, an integer >= 0; None for any.

    Raises:
        TypeError: if it is not such an environment.
        ValueError: if it has other spaces than the model.
    """

    def __init__(
        self,
        model: PolicyAgent,
        environment: types.VectorEnv,
        *,
        seed: int | None = 0,
    ) -> None:
        entries = getattr(environment.single_observation_space, "spaces", {})
        if not {"user", "doc", "response"} <= set(entries):
            raise TypeError(
                "environment must have nested observations, with 'user', 'doc' and 'response', "
                "which the agent puts into the form that the model was trained with, got the space "
                f"{_spaces.shown(environment.single_observation_space)}: make it with "
                "observation='nested'."
            )
        super().__init__(environment)
        self._recommender = model.recommender(environment, environment.single_observation_space)
        if not model.deterministic:
            self._make_streams(seed, "policy", np.float64)

    def _slates_of_chunks(self, observation: types.Observation) -> Iterator[np.ndarray]:
        streams_of_chunks: Sequence[streams.ChunkStream | None]
        streams_of_chunks = self._streams or [None] * len(self._rows)
        for rows, stream in zip(self._rows, streams_of_chunks):
            seed = None if stream is None else int(stream.uniform()[0] * _MOST_SEEDS)
            of_chunk = trees.rows_of(observation, rows)
            yield self._recommender.slates(of_chunk, rows.stop - rows.start, seed)

    def state_dict(self) -> types.State:
        """Returns the state: the model's digest, and the random streams of what is sampled."""
        return {**super().state_dict(), "model": self._recommender.digest}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the state of an agent of the same model.

        Raises:
            ValueError: if it is of another model, or does not fit otherwise.
        """
        _check_model(self, state, self._recommender.digest)
        super().load_state_dict(state)


def _check_model(agent: object, state: types.State, digest: str) -> None:
    """Raises UnfitStateError for a state of an agent of another model."""
    bundles.require(agent, state, "model")
    if state["model"] != digest:
        raise bundles.UnfitStateError("it is of another model, whose weights differ")


def _observation_form(space: types.Space) -> str:
    """Returns the form of a model's observations; ValueError if there is none."""
    kind = spaces_lib.kind_of(space)
    if kind in ("Box", "Dict"):
        return "flat" if kind == "Box" else "dict"
    raise ValueError(
        "model must be trained with observation='flat' or 'dict', got one whose observations are "
        f"of the space {space}."
    )


def _action_form(space: types.Space) -> str:
    """Returns the form of a model's actions; ValueError if there is none."""
    forms = {"MultiDiscrete": "slate", "Discrete": "discrete", "Box": "scores"}
    kind = spaces_lib.kind_of(space)
    if kind in forms:
        return forms[kind]
    raise ValueError(
        "model must be trained with action='slate', 'discrete' or 'scores', got one whose actions "
        f"are of the space {space}."
    )
