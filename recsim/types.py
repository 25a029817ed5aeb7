"""Protocols: what the library asks of agents, environments and their parts, whatever their class.

No object has to be derived from a class of this library: what has the methods of a protocol is one.
Which engine an object belongs to is decided here too, by :func:`is_vector_env` and its siblings.

What only some agents can do is a protocol of its own, which an agent may have or lack:
:class:`Learner`, :class:`KnowsPropensities`, :class:`Explains` and :class:`Stateful` are of that
kind.

Types for annotations:

* observations, slates, rewards: :data:`Observation`, :data:`Slate`, :data:`Action`, :data:`Reward`;
* spaces of gym and of gymnasium: :class:`Space`, :class:`SlateSpace`, :class:`DictSpace`;
* the parts of a single-user scenario: :class:`UserState`, :class:`Response`, :class:`Document` and
  their samplers, :class:`UserModel`, :class:`CandidateSet`, :class:`Environment`;
* configs, metrics, states and infos: :data:`EnvConfig`, :data:`Metrics`, :data:`State`,
  :data:`Infos`;
* arrays by kind: :data:`FloatArray`, :data:`IntArray`, :data:`BoolArray`.

An element of a space, an entry of an observation and a value that is checked before it is used are
of the type ``object``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np
from numpy import typing as npt

__all__ = [
    "Action",
    "AddSummary",
    "AnyAgent",
    "AnyEnv",
    "BoolArray",
    "Bundled",
    "CandidateSet",
    "CreateAgent",
    "DictSpace",
    "Document",
    "DocumentSampler",
    "EnvConfig",
    "Environment",
    "Explains",
    "Explanation",
    "ExplanationTable",
    "FloatArray",
    "Infos",
    "IntArray",
    "KnowsPropensities",
    "Learner",
    "Metrics",
    "Observation",
    "Propensities",
    "RecommenderEnv",
    "Response",
    "Reward",
    "Slate",
    "SlateAgent",
    "SlateSpace",
    "Space",
    "State",
    "Stateful",
    "SummaryWriter",
    "UserModel",
    "UserSampler",
    "UserState",
    "VectorAgent",
    "VectorEnv",
    "explains",
    "is_recommender_env",
    "is_slate_agent",
    "is_vector_agent",
    "is_vector_env",
    "knows_propensities",
]

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
IntArray: TypeAlias = npt.NDArray[np.integer[Any]]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

#: What is observed: entries ``user``, ``doc`` and ``response``, elements of any space.
Observation: TypeAlias = dict[str, Any]

#: What one user is shown: indices into ``observation['doc']``.
Slate: TypeAlias = Sequence[int] | np.ndarray

#: What an environment of RecSim's kind is given in a step: a slate; with several users, one for
#: each.
Action: TypeAlias = Slate | Sequence[Slate]

#: The reward of a step: a number; with several users, one for all or one for each.
Reward: TypeAlias = float | Sequence[float] | np.ndarray

#: What comes with an observation and is not observed.
Infos: TypeAlias = Mapping[str, Any]

#: The config of a scenario, as its ``create_environment`` takes it.
EnvConfig: TypeAlias = Mapping[str, Any]

#: Metrics so far, numbers by name.
Metrics: TypeAlias = MutableMapping[str, float]

#: What metrics are reported by: a function of a tag and a value.
AddSummary: TypeAlias = Callable[[str, float], None]

#: The state of an object as data: numbers, strings, containers, arrays and generators, by name.
State: TypeAlias = dict[str, Any]


class Stateful(Protocol):
    """What can be saved and restored.

    ``load_state_dict`` checks the state before it changes anything.
    """

    def state_dict(self) -> State:
        """Returns the state as data, from which :meth:`load_state_dict` restores it exactly."""

    def load_state_dict(self, state: State) -> None:
        """Restores what :meth:`state_dict` returned; raises ValueError if it does not fit."""


class Space(Protocol):
    """A space of gym or of gymnasium."""

    def contains(self, x: object) -> bool:
        """Says whether something is an element."""

    def sample(self) -> object:
        """Returns a random element."""


class SlateSpace(Space, Protocol):
    """A ``MultiDiscrete`` space of slates."""

    @property
    def nvec(self) -> np.ndarray:
        """The number of candidates, once for each position."""


class DictSpace(Space, Protocol):
    """A ``Dict`` space, such as that of observations."""

    @property
    def spaces(self) -> Mapping[str, Space]:
        """The spaces of the entries."""

    def __getitem__(self, key: str) -> Space:
        """Returns the space of an entry."""


class Response(Protocol):
    """A user's response to one document of a slate; see :class:`recsim.user.AbstractResponse`."""

    def create_observation(self) -> object:
        """Returns what an agent sees of it."""


class UserState(Protocol):
    """The state of a user; see :class:`recsim.user.AbstractUserState`."""

    def create_observation(self) -> object:
        """Returns what an agent sees of it."""


class Document(Protocol):
    """An item that can be recommended; see :class:`recsim.document.AbstractDocument`."""

    def doc_id(self) -> Hashable:
        """Returns its ID."""

    def create_observation(self) -> object:
        """Returns what an agent sees of it."""

    def observation_space(self) -> Space:
        """Returns the space of its observations."""


class UserSampler(Protocol):
    """Samples users' initial states; see :class:`recsim.user.AbstractUserSampler`."""

    def sample_user(self) -> UserState:
        """Returns the initial state of a new user."""

    def reset_sampler(self) -> None:
        """Sets the generator back to its seed."""


class DocumentSampler(Protocol):
    """Samples documents; see :class:`recsim.document.AbstractDocumentSampler`."""

    def sample_document(self) -> Document:
        """Returns a new document."""

    def reset_sampler(self) -> None:
        """Sets the generator back to its seed."""

    def update_state(self, documents: Sequence[Any], responses: Sequence[Any]) -> None:
        """Changes documents after users' responses to them."""


class UserModel(Protocol):
    """The dynamics of a user; see :class:`recsim.user.AbstractUserModel`."""

    def reset(self) -> None:
        """Puts a new user from the sampler in the place of this one."""

    def reset_sampler(self) -> None:
        """Sets the sampler of users back to its seed."""

    def simulate_response(self, documents: Sequence[Any]) -> Sequence[Response]:
        """Returns the user's responses to the documents of a slate."""

    def update_state(self, slate_documents: Sequence[Any], responses: Sequence[Any]) -> None:
        """Changes the user's state after responses to a slate."""

    def is_terminal(self) -> bool:
        """Says whether the user's episode is over."""

    def create_observation(self) -> object:
        """Returns what an agent sees of the user."""

    def observation_space(self) -> Space:
        """Returns the space of :meth:`create_observation`."""

    def response_space(self) -> Space:
        """Returns the space of the observed responses to a slate."""


@runtime_checkable
class CandidateSet(Protocol):
    """The documents that can be recommended; see :class:`recsim.document.CandidateSet`."""

    def size(self) -> int:
        """Returns the number of documents."""

    def get_all_documents(self) -> Sequence[Document]:
        """Returns the documents in the order in which slates index them."""

    def get_documents(self, document_ids: Sequence[Any]) -> Sequence[Document]:
        """Returns the documents with the given IDs, or with the strings of them."""

    def create_observation(self) -> Mapping[str, object]:
        """Returns the observations of the documents by their IDs as strings."""

    def observation_space(self) -> Space:
        """Returns the space of :meth:`create_observation`."""


class Environment(Protocol):
    """Users and documents; see :class:`recsim.simulator.environment.AbstractEnvironment`."""

    @property
    def num_candidates(self) -> int:
        """Number of documents in the candidate set."""

    @property
    def slate_size(self) -> int:
        """Number of documents that a slate may hold."""

    @property
    def user_model(self) -> UserModel | Sequence[UserModel]:
        """The user's model, or the list of the users' models."""

    @property
    def candidate_set(self) -> CandidateSet:
        """The documents that can be recommended now."""


class RecommenderEnv(Protocol):
    """An environment of RecSim's kind, such as :class:`recsim.simulator.recsim_gym.RecSimGymEnv`.

    The reward of a step is a number; with several users, one for all or one for each.
    """

    @property
    def environment(self) -> Environment:
        """The environment of users and documents."""

    @property
    def action_space(self) -> Space:
        """The space of slates; with several users, a tuple of such spaces."""

    @property
    def observation_space(self) -> DictSpace:
        """The space of observations."""

    def reset(self) -> Observation:
        """Begins an episode."""

    def step(self, action: Action) -> tuple[Observation, Any, bool, Any]:
        """Shows a slate; returns the observation, the reward, whether the episode ended, infos."""

    def reset_sampler(self) -> None:
        """Sets the samplers of documents and users back to their seeds."""

    def reset_metrics(self) -> None:
        """Sets every metric to zero."""

    def update_metrics(self, responses: Sequence[Any], info: object = None) -> None:
        """Counts the observed responses of a step in the metrics."""

    def write_metrics(self, add_summary_fn: AddSummary) -> None:
        """Reports the metrics by calling ``add_summary_fn(tag, value)``."""


class VectorEnv(Protocol):
    """An environment of ``num_envs`` users in parallel.

    See :class:`recsim.vector.env.SlateVectorEnv`.
    """

    @property
    def num_envs(self) -> int:
        """Number of users."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What Gymnasium is told of the environment, such as its ``autoreset_mode``."""

    @property
    def single_action_space(self) -> SlateSpace:
        """The space of one user's slates."""

    @property
    def single_observation_space(self) -> DictSpace:
        """The space of one user's observations."""

    @property
    def observation_space(self) -> Space:
        """The space of all users' observations together."""

    @property
    def unwrapped(self) -> object:
        """The environment without wrappers."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begins an episode of every user, or of those in the options' ``reset_mask``.

        Returns observation and infos.
        """

    def step(
        self, actions: np.ndarray
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Shows the slates; returns observation, rewards, terminated, truncated and infos."""

    def count_metrics_of(self, users: np.ndarray | None) -> None:
        """Says whose slates count in the metrics from now on; None for all users'."""

    def reset_metrics(self) -> None:
        """Sets every metric to zero."""

    def write_metrics(self, add_summary_fn: AddSummary) -> None:
        """Reports the metrics by calling ``add_summary_fn(tag, value)``."""


class SlateAgent(Protocol):
    """A recommender in an environment of RecSim's kind, for one user or several."""

    def begin_episode(self, observation: Observation) -> Action:
        """Begins an episode and returns its first slate; with several users, one for each."""

    def step(self, reward: float, observation: Observation) -> Action:
        """Takes in the reward and the observation after the last slate; returns the next one."""

    def end_episode(self, reward: float, observation: Observation) -> None:
        """Takes in the last reward and observation of an episode.

        A method with a keyword ``truncated`` is told whether a limit has ended the episode, see
        :func:`recsim.agent.end_episode`.
        """


class VectorAgent(Protocol):
    """A recommender of ``num_envs`` users in parallel.

    See :class:`recsim.vector.agent.AbstractVectorAgent`.
    """

    @property
    def num_envs(self) -> int:
        """Number of users."""

    def begin(self, observation: Observation) -> np.ndarray:
        """Begins an episode of every user and returns the first slates."""

    def step(
        self,
        observation: Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: Infos,
    ) -> np.ndarray:
        """Takes in what the environment's ``step`` returned, and returns the next slates."""


class Bundled(Protocol):
    """An agent whose state is saved in RecSim's form, which runners use.

    The agents of this library are :class:`Stateful` below it: their bundle is their state.
    """

    def bundle_and_checkpoint(self, checkpoint_dir: str, iteration_number: int) -> State:
        """Returns the agent's state as data; files of its own go to the folder."""

    def unbundle(self, checkpoint_dir: str, iteration_number: int, bundle_dict: State) -> bool:
        """Restores a bundle; returns whether it fits the agent."""


@runtime_checkable
class Learner(Protocol):
    """An agent that says how much it has learned.

    No agent has to be one. Where an agent is, :class:`recsim.simulator.runner_lib.TrainRunner` and
    ``recsim run`` tell of a training in which nothing was learned.
    """

    @property
    def num_updates(self) -> int:
        """Number of updates so far of what the agent knows, such as gradient steps."""

    @property
    def steps_without_update(self) -> int:
        """Number of training steps, of all users together, in which a new agent makes no update.

        A training of no more steps teaches the agent nothing. 0 if the first step may be learned
        from.
        """


@dataclasses.dataclass(frozen=True)
class Propensities:
    """The probabilities with which an agent that randomizes shows what it shows.

    Attributes:
        slate: of the slate, its order included: a number; an array of shape (n_users,) in the
            vector engine. None where the agent knows those of documents alone.
        items: of each document being at its position, whatever stands at the others: numbers;
            an array of shape (n_users, slate_size) in the vector engine.
        prefixes: of each document being at its position, and those before it at theirs, of the
            shape of ``items``; the last one is that of the slate. None where that is not known.
        num_samples: from how many sampled slates the probabilities are estimated; None where they
            are exact.
    """

    slate: float | np.ndarray | None
    items: Sequence[float] | np.ndarray
    prefixes: Sequence[float] | np.ndarray | None = None
    num_samples: int | None = None


class KnowsPropensities(Protocol):
    """An agent that knows the probabilities with which it shows slates.

    No agent has to be one, see :func:`knows_propensities`. Where an agent is, episode logs have
    them, for estimates of what another agent would have earned.
    """

    def propensities(self, observation: Observation, slate: Slate) -> Propensities | None:
        """Returns the probabilities of a slate, or of each user's; None if none are known.

        In the vector engine they are NaN for users of whom they are not known, where they are of
        others: under action masks, say.

        It is called between the choice of a slate and the next call of ``step``, and changes
        nothing. The slate may be another than the one chosen: what is asked for is how likely the
        agent was to show it.

        Args:
            observation: what the agent chose the slate after.
            slate: the slate; in the vector engine slates of shape (n_users, slate_size), or of
                shape (n_users, n_slates, slate_size) to ask for several of each user. The arrays
                returned then have the axis of the slates too.
        """


@dataclasses.dataclass(frozen=True)
class ExplanationTable:
    """Numbers that an agent goes by: a row for each thing that it compares.

    Attributes:
        of: what the rows are, in the singular: "candidate", "slate", "topic" or what else it is.
        rows: which: for candidates and topics their indices, for slates tuples of the indices of
            candidates.
        columns: the numbers by name, float64 arrays of shape (len(rows),); NaN where there is none.

    Raises:
        TypeError: if a column does not hold numbers.
        ValueError: if a column has another shape.

    Example:
        >>> ExplanationTable("candidate", range(3), {"Q-value": [0.5, 2.0, 1.0]}).columns["Q-value"]
        array([0.5, 2. , 1. ])
    """

    of: str
    rows: Sequence[object]
    columns: Mapping[str, npt.ArrayLike]

    def __post_init__(self) -> None:
        for name, kind, wanted in (
            ("of", str, "a string"),
            ("rows", (Sequence, np.ndarray), "a sequence"),
            ("columns", Mapping, "a dictionary of columns by name"),
        ):
            _check(name, getattr(self, name), kind, wanted)
        arrays = {}
        for name, column in self.columns.items():
            try:
                array = np.array(column, np.float64)
            except (TypeError, ValueError, OverflowError):
                raise TypeError(
                    f"columns[{name!r}] must hold numbers, got {column!r:.80}."
                ) from None
            if array.shape != (len(self.rows),):
                raise ValueError(
                    f"columns[{name!r}] must have a number for each of the {len(self.rows)} rows,"
                    f" got an array of shape {array.shape}."
                )
            arrays[name] = array
        object.__setattr__(self, "columns", arrays)


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What an agent goes by when it chooses a slate.

    Attributes:
        title: a line on how it chooses.
        tables: numbers of what it compares.
        numbers: other numbers by name, such as the probability of a random slate.

    Raises:
        TypeError: if something is of another type.
    """

    title: str
    tables: Sequence[ExplanationTable] = ()
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        _check("title", self.title, str, "a string")
        _check("tables", self.tables, (list, tuple), "a list of ExplanationTable")
        for table in self.tables:
            _check("each of tables", table, ExplanationTable, "an ExplanationTable")
        _check("numbers", self.numbers, Mapping, "a dictionary of numbers by name")
        for name, number in self.numbers.items():
            _check(f"numbers[{name!r}]", number, (int, float, np.number), "a number")


def _check(name: str, value: object, kind: type | tuple[type, ...], wanted: str) -> None:
    """Raises TypeError if a value is of another kind."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {wanted}, got {value!r:.80}.")


class Explains(Protocol):
    """An agent that can say what it goes by.

    No agent has to be one, see :func:`explains`. Where an agent is, ``recsim watch`` shows it.
    """

    def explain(self, observation: Observation) -> Explanation | None:
        """Returns what the agent went by when it chose the slate, None if there is nothing to say.

        It is called between the choice of the slate and the next call of ``step``, and changes
        nothing: neither what the agent knows nor its random streams.

        Args:
            observation: what the agent chose the slate after.
        """


class SummaryWriter(Protocol):
    """Where agents write statistics for TensorBoard."""

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Writes a number."""

    def flush(self) -> None:
        """Writes to the file what is still to be written."""


#: An environment of either engine.
AnyEnv: TypeAlias = RecommenderEnv | VectorEnv

#: An agent of either engine.
AnyAgent: TypeAlias = SlateAgent | VectorAgent

#: The function that runners make an agent with, see
#: :class:`recsim.simulator.runner_lib.Runner`.
CreateAgent: TypeAlias = Callable[..., AnyAgent]


def is_vector_env(env: object) -> TypeGuard[VectorEnv]:
    """Says whether an environment is of the vector engine: it has a space of one user's slates."""
    return hasattr(env, "single_action_space")


def is_recommender_env(env: object) -> bool:
    """Says whether an environment is of RecSim's kind: it has users and documents behind it."""
    return hasattr(env, "environment")


def is_vector_agent(agent: object) -> TypeGuard[VectorAgent]:
    """Says whether an agent is of the vector engine: it has a number of users in parallel."""
    return hasattr(agent, "num_envs")


def is_slate_agent(agent: object) -> TypeGuard[SlateAgent]:
    """Says whether an agent is of the single-user engine: it begins episodes."""
    return hasattr(agent, "begin_episode")


#: Methods in which agents choose slates, the last one those of the vector engine that are made of
#: chunks.
_METHODS_THAT_CHOOSE = (
    "begin_episode",
    "begin",
    "step",
    "_slates_of_chunks",
    "_recommend",
    "_select_slate",
    "_select_slates",
)


def knows_propensities(agent: object) -> TypeGuard[KnowsPropensities]:
    """Says whether an agent knows the probabilities of its slates.

    One whose class chooses slates by a method of its own, and inherits ``propensities``, does not:
    they are those of another agent.
    """
    return _tells_of_its_choice(agent, "propensities")


def explains(agent: object) -> TypeGuard[Explains]:
    """Says whether an agent can say what it goes by.

    One whose class chooses slates by a method of its own, and inherits ``explain``, cannot.
    """
    return _tells_of_its_choice(agent, "explain")


def _tells_of_its_choice(agent: object, method: str) -> bool:
    """Says whether an agent has a method that tells of how its own class chooses slates."""
    for base in type(agent).__mro__:
        if method in vars(base):
            return True
        if not vars(base).keys().isdisjoint(_METHODS_THAT_CHOOSE):
            return False
    return False
