"""The abstract classes of agents: what a recommender is asked, and what it is told.

An agent gets an observation and the reward of its last slate, and returns a slate: a sequence of
indices into ``observation['doc']``. Layers (:class:`AbstractHierarchicalAgentLayer`) wrap base
agents, changing what these observe and what they recommend.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import inspect
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recsim import seeding, types
from recsim import spaces as spaces_lib
from recsim._internal import bundles, owned_generators, paths, saved_agents

__all__ = [
    "AbstractEpisodicRecommenderAgent",
    "AbstractHierarchicalAgentLayer",
    "AbstractMultiUserEpisodicRecommenderAgent",
    "AbstractRecommenderAgent",
    "Serving",
    "end_episode",
]

Observation = types.Observation
Slate = types.Slate

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Serving:
    """How an agent is made again of a file, and what it can be asked for, see :meth:`save`.

    Attributes:
        settings: what its constructor takes beside the spaces and ``eval_mode``, by name: data,
            functions, classes and objects. An agent among them stands for a function that makes
            it, a layer's base agent say.
        observation_space: the space of the observations that it was made for, None if it was not
            told.
        response_fields: names of the fields of responses that it only counts, to whatever slates,
            so that it takes the responses to several slates at once and to less than a slate. None
            if it takes the responses to the last slate as they are; empty if it ignores them.
        any_slate_size: whether it recommends slates of other sizes than it was made for. Where
            documents have action masks, which are of positions, no served agent does.
        any_number_of_items: whether it recommends out of other numbers of documents.
    """

    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)
    observation_space: types.DictSpace | None = None
    response_fields: Collection[str] | None = None
    any_slate_size: bool = False
    any_number_of_items: bool = False


@dataclasses.dataclass(frozen=True)
class _MadeFor:
    """What an agent was made for.

    Attributes:
        num_candidates: number of candidates.
        slate_size: number of documents of a slate.
        observation_space: the space of the observations, None if it was not told.
    """

    num_candidates: int
    slate_size: int
    observation_space: types.DictSpace | None = None


class AbstractRecommenderAgent(abc.ABC):
    """A recommender: maps rewards and observations to slates.

    Args:
        action_space: the ``MultiDiscrete`` space of slates, with one entry a position and the
            number of candidates as each entry's ``nvec``.

    Raises:
        TypeError: if ``action_space`` is not a ``MultiDiscrete`` space.
    """

    _multi_user = False

    #: Names of attributes, without a leading underscore, that shape the state: a checkpoint of an
    #: agent with other values of these is refused (:mod:`recsim.simulator.fingerprint`).
    state_settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, action_space: types.SlateSpace) -> None:
        nvec = getattr(action_space, "nvec", None)
        if nvec is None:
            raise TypeError(
                "action_space must be a MultiDiscrete space (environment.action_space), got "
                f"{action_space!r}; an agent for several users subclasses "
                "AbstractMultiUserEpisodicRecommenderAgent."
            )
        self._slate_size: int = nvec.shape[0]
        self._made_for = _MadeFor(max(map(int, nvec), default=0), self._slate_size)

    @property
    def multi_user(self) -> bool:
        """Whether one step of the agent serves several users."""
        return self._multi_user

    @abc.abstractmethod
    def step(self, reward: float, observation: Observation) -> Slate:
        """Takes in the last transition and returns the next slate.

        Args:
            reward: the reward of the last slate.
            observation: the environment's newest observation, with the keys ``user``, ``doc``
                and ``response``.

        Returns:
            Up to ``slate_size`` integer indices into ``observation['doc']``.
        """

    @abc.abstractmethod
    def bundle_and_checkpoint(self, checkpoint_dir: str, iteration_number: int) -> types.State:
        """Returns the agent's state as a dictionary for the checkpoint.

        Args:
            checkpoint_dir: folder of the checkpoints, for files of the agent's own.
            iteration_number: the iteration that the checkpoint is of, for naming such files.

        Returns:
            A dictionary of numbers, strings, containers, arrays and generator states from which
            :meth:`unbundle` restores the agent exactly.
        """

    @abc.abstractmethod
    def unbundle(
        self, checkpoint_dir: str, iteration_number: int, bundle_dict: dict[str, Any]
    ) -> bool:
        """Restores the state that :meth:`bundle_and_checkpoint` returned.

        :func:`recsim.simulator.checkpoint.restore_agent` does so from a file, or raises.

        Returns:
            True if the bundle was restored, False if it does not fit this agent.
        """

    def save(self, path: paths.Path, *, observation_space: types.DictSpace | None = None) -> None:
        """Saves the agent to a file that :func:`recsim.serving.load_agent` serves it from.

        The file holds data only: the agent's class by name, its settings, the space of its
        observations and what it has learned, without a replay buffer. Training resumes from
        checkpoints.

        Args:
            path: the file, whose folder is made; one that exists is replaced, once the new one is
                whole.
            observation_space: the space of the observations, for an agent that was not given it:
                what the features of items are checked against.

        Raises:
            TypeError: if the agent is for several users, or an argument, a setting or the
                state is of a type that cannot be saved.
            ValueError: if ``observation_space`` is another one than the agent's own, or does not
                have as many documents as its action space has candidates.
            NotImplementedError: for a space of text, graphs or sequences.
            OSError: if the file cannot be written.
        """
        if self._multi_user:
            raise TypeError(
                f"{type(self).__name__} recommends to several users in a step, and only an agent "
                "of one user can be saved to serve."
            )
        description = saved_agents.described(self)
        made_for = self._made_for
        space = self.serving().observation_space
        if observation_space is not None:
            if space is not None and space != observation_space:
                raise ValueError(
                    "observation_space must be the one that the agent was made for, or be left "
                    f"out, got {observation_space!r}."
                )
            documents = getattr(observation_space, "spaces", {}).get("doc")
            number = len(getattr(documents, "spaces", ()))
            if number != made_for.num_candidates:
                raise ValueError(
                    "observation_space must be a Dict space of 'user', 'doc' and 'response' with "
                    f"the {made_for.num_candidates} documents of the agent's action space, got "
                    f"{observation_space!r}."
                )
            space = observation_space
        if space is None and saved_agents.takes(type(self), "observation_space"):
            raise ValueError(
                f"observation_space must be given to save {type(self).__name__}, which is made of "
                "it: pass save(path, observation_space=environment.observation_space)."
            )
        saved_agents.write(
            path,
            description,
            bundles.state_to_serve(self),
            None if space is None else spaces_lib.to_data(space),
            made_for.num_candidates,
            made_for.slate_size,
        )

    def serving(self) -> Serving:
        """Returns how the agent is made again of a file, and what it can be asked for.

        An agent of your own that takes arguments beside ``observation_space``, ``action_space``
        and ``eval_mode`` overrides this, and names them in ``settings``.
        """
        own = self._made_for.observation_space
        return Serving(observation_space=getattr(self, "_observation_space", None) or own)

    def _keep_space(self, observation_space: types.DictSpace | None) -> None:
        """Remembers the space of the observations, which :meth:`save` writes."""
        self._made_for = dataclasses.replace(self._made_for, observation_space=observation_space)

    def resize_slates(self, slate_size: int) -> None:
        """Makes slates of another size from now on, where ``serving().any_slate_size`` is set."""
        self._slate_size = slate_size


class AbstractEpisodicRecommenderAgent(bundles.SavedAsBundle, AbstractRecommenderAgent):
    """An agent for tasks that come in episodes.

    A generator kept in ``self._rng`` is part of the bundle: an agent restored from a checkpoint
    continues its random stream where it stopped.

    Args:
        action_space: the ``MultiDiscrete`` space of slates.
        summary_writer: where the agent may write statistics for TensorBoard, or None.
    """

    def __init__(
        self, action_space: types.SlateSpace, summary_writer: types.SummaryWriter | None = None
    ) -> None:
        super().__init__(action_space)
        self._episode_num = 0
        self._summary_writer = summary_writer

    def begin_episode(self, observation: Observation | None = None) -> Slate:
        """Starts an episode and returns its first slate.

        Args:
            observation: the observation of the environment's ``reset``; its ``response`` is None.
        """
        self._episode_num += 1
        return self.step(0, observation)  # type: ignore[arg-type]

    def end_episode(
        self, reward: float, observation: Observation | None = None, *, truncated: bool = False
    ) -> None:
        """Tells the agent that the episode is over.

        Args:
            reward: the reward of the last slate.
            observation: the episode's last observation.
            truncated: True if a limit on its length ended the episode, so that the last observation
                is not a terminal state and still has a value. An override that does
                not take this argument is called without it.
        """

    def state_dict(self) -> types.State:
        """Returns ``{'episode_num': …}``, with ``'rng_state'`` where the agent has a generator."""
        return {"episode_num": self._episode_num, **_generator_states(self)}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the episode count and the generator.

        Raises:
            ValueError: if the state has no count, or does not fit otherwise.
        """
        bundles.require(self, state, "episode_num")
        episode_num = bundles.count(self, "episode_num", state["episode_num"])
        _restore_generators(self, state)
        self._episode_num = episode_num


class AbstractMultiUserEpisodicRecommenderAgent(AbstractEpisodicRecommenderAgent):
    """An agent that recommends to several users at each step.

    Its ``step`` gets tuples or lists with one entry a user for ``user`` and ``response``, and
    returns a list of slates.

    Args:
        action_space: the ``Tuple`` of the users' ``MultiDiscrete`` spaces.

    Raises:
        ValueError: if there is no user.
    """

    _multi_user = True

    def __init__(self, action_space: Sequence[types.SlateSpace]) -> None:
        self._num_users = len(action_space)
        if self._num_users < 1:
            raise ValueError(
                "action_space must be a Tuple space with at least 1 user, got an empty one."
            )
        super().__init__(action_space[0])


class AbstractHierarchicalAgentLayer(bundles.SavedAsBundle, AbstractRecommenderAgent):
    """A layer: an agent that leaves the choice of documents to base agents.

    A subclass builds its base agents into ``self._base_agents`` and says how observations and
    rewards reach them (:meth:`_preprocess_reward_observation`) and how their actions become a
    slate (:meth:`_postprocess_actions`).

    Args:
        action_space: the ``MultiDiscrete`` space of slates.
        *base_agent_ctors: callables that build the base agents.
    """

    def __init__(
        self, action_space: types.SlateSpace, *base_agent_ctors: Callable[..., Any]
    ) -> None:
        super().__init__(action_space)
        self._base_agent_ctors = base_agent_ctors
        self._base_agents: list[Any] = []

    def _preprocess_reward_observation(
        self, reward: float, observation: Observation
    ) -> tuple[float, Observation]:
        """Returns the reward and the observation that the base agents get.

        The observation is the environment's own: return a changed copy, never change it.
        """
        return reward, observation

    @abc.abstractmethod
    def _postprocess_actions(self, action_list: list[Any]) -> Slate:
        """Makes a slate of the actions of the base agents."""

    def begin_episode(self, observation: Observation | None = None) -> Slate:
        """Starts an episode in every base agent and returns the first slate."""
        if observation is not None:
            _, observation = self._preprocess_reward_observation(0, observation)
        return self._postprocess_actions(
            [agent.begin_episode(observation=observation) for agent in self._base_agents]
        )

    def end_episode(
        self, reward: float, observation: Observation, *, truncated: bool = False
    ) -> None:
        """Ends the episode in every base agent, each of which sees its own view of it."""
        reward, observation = self._preprocess_reward_observation(reward, observation)
        for agent in self._base_agents:
            end_episode(agent, reward, observation, truncated=truncated)

    def _serving_of_base_agents(self) -> Serving:
        """Returns what the layer can be asked for as far as that is up to the base agents."""
        each = [agent.serving() for agent in self._base_agents]
        counted: list[str] | None = []
        for serving in each:
            if serving.response_fields is None or counted is None:
                counted = None
            else:
                counted += serving.response_fields
        return dataclasses.replace(
            super().serving(),
            response_fields=counted if counted is None else tuple(dict.fromkeys(counted)),
            any_slate_size=all(serving.any_slate_size for serving in each),
            any_number_of_items=all(serving.any_number_of_items for serving in each),
        )

    def resize_slates(self, slate_size: int) -> None:
        """See :meth:`AbstractRecommenderAgent.resize_slates`; the base agents' slates too."""
        super().resize_slates(slate_size)
        for agent in self._base_agents:
            agent.resize_slates(slate_size)

    def user_state(self) -> types.State:
        """Returns what the layer and its base agents know of the user whose episode is under way.

        An agent that is served to several users is given each one's before it recommends. What a
        subclass knows beside this it saves in ``state_dict``, which is taken in place of this then.
        """
        return {"base_agents": [bundles.user_state_of(agent) for agent in self._base_agents]}

    def load_user_state(self, state: types.State) -> None:
        """Restores what :meth:`user_state` returned."""
        for agent, of_agent in zip(self._base_agents, state["base_agents"], strict=True):
            bundles.load_user_state(agent, of_agent)

    def state_dict(self) -> types.State:
        """Returns ``{'base_agent_bundle_0': …, …}``, the state of each base agent.

        There is ``'rng_state'`` too where the layer keeps a generator in ``self._rng``.
        """
        states: types.State = {
            f"base_agent_bundle_{i}": bundles.state_of(agent)
            for i, agent in enumerate(self._base_agents)
        }
        return {**states, **_generator_states(self)}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the base agents, or none of them if one refuses.

        Raises:
            ValueError: if a state is missing, or a base agent refuses its own.
        """
        names = [f"base_agent_bundle_{i}" for i in range(len(self._base_agents))]
        bundles.require(self, state, *names)
        _checked_generators(self, state)
        bundles.load_all(self._base_agents, [state[name] for name in names])
        _restore_generators(self, state)


# The generators of agents in their bundles. What is called _rng belongs to RecSim's agents and to
# subclasses; an agent of this library that samples from np.random in RecSim has _exploration_rng.
_GENERATORS = {"_rng": "rng_state", "_exploration_rng": "exploration_rng_state"}


def _generator_states(agent: object) -> dict[str, Any]:
    states = {}
    for attribute, key in _GENERATORS.items():
        rng = getattr(agent, attribute, None)
        if seeding.is_generator(rng):
            states[key] = seeding.generator_state(rng)
    return {**states, **owned_generators.state_of(agent, *_known(agent))}


def _known(agent: object) -> list[Any]:
    """Returns the generators and agents that are saved by other means."""
    rngs = [getattr(agent, attribute, None) for attribute in _GENERATORS]
    return [*rngs, *getattr(agent, "_base_agents", ())]


def _checked_generators(agent: object, bundle_dict: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Returns an agent's generators and their states in a bundle; ValueError for a bad one."""
    # Bundles of recsim up to version 0.4 have the state of _exploration_rng under this key.
    older = bundle_dict.get("rng_state")
    found = []
    for attribute, key in _GENERATORS.items():
        rng = getattr(agent, attribute, None)
        state = bundle_dict.get(key, older)
        if seeding.is_generator(rng) and state is not None:
            legacy = isinstance(rng, np.random.RandomState)
            bundles.generator_state(agent, key, state, with_normal=legacy)
            name = seeding.generator_state(rng)["bit_generator"]
            if state["bit_generator"] != name:
                bundles.refuse(agent, key, f"a state of {name}", state["bit_generator"])
            found.append((rng, state))
    return found


def _restore_generators(agent: object, bundle_dict: Mapping[str, Any]) -> None:
    for rng, state in _checked_generators(agent, bundle_dict):
        seeding.restore_generator(rng, state)
    owned_generators.restore(agent, bundle_dict.get("generators", {}), *_known(agent))


def _knows_truncation(agent: types.SlateAgent) -> bool:
    """Says whether an agent's ``end_episode`` takes ``truncated``."""
    method = agent.end_episode
    named, passes_on = _parameters_for_truncation(getattr(method, "__func__", method))
    if named or not passes_on:
        return named
    # A wrapper that passes on whatever it gets takes what the agents in it take.
    inner = [value for value in getattr(agent, "__dict__", {}).values() if _ends_episodes(value)]
    return all(map(_knows_truncation, inner))


def _ends_episodes(value: object) -> bool:
    return not isinstance(value, type) and callable(getattr(value, "end_episode", None))


@functools.lru_cache(maxsize=256)
def _parameters_for_truncation(function: Callable[..., object]) -> tuple[bool, bool]:
    """Says whether a function has a parameter ``truncated``, and whether it takes any keyword."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # It has no signature to read.
        return False, False
    kinds = {parameter.kind for parameter in parameters.values()}
    return "truncated" in parameters, inspect.Parameter.VAR_KEYWORD in kinds


def end_episode(
    agent: types.SlateAgent, reward: float, observation: Observation, *, truncated: bool = False
) -> None:
    """Ends an agent's episode, telling it of a truncation if its ``end_episode`` takes that.

    Args:
        agent: any object with ``end_episode(reward, observation)``.
        reward: the reward of the last slate.
        observation: the last observation.
        truncated: whether a limit on its length ended the episode.
    """
    if _knows_truncation(agent):
        agent.end_episode(reward, observation, truncated=truncated)  # type: ignore[call-arg]
    else:
        agent.end_episode(reward, observation)
