"""Documents, samplers of documents, and the set of candidates that an agent chooses from."""

from __future__ import annotations

import abc
import contextlib
import inspect
import operator
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from recsim import seeding, types
from recsim import spaces as spaces_lib
from recsim._internal import keys, owned_generators, validation
from recsim._internal.gym_import import spaces

__all__ = [
    "AbstractDocument",
    "AbstractDocumentSampler",
    "BatchDocumentSampler",
    "CandidateSet",
]

# After so many documents with known IDs in a row a candidate set cannot be filled.
_MAX_TRIES = 10_000
# Attribute of a sampler, which may have another base class than ours, that was warned of.
_MARK_OF_WARNED = "_warned_of_repeated_ids"


class CandidateSet:
    """The documents that can be recommended at one step, in order and by ID.

    An ID is an integer or whatever can be a dictionary's key. In observations it is ``str(ID)``, so
    that the IDs of a set must differ as strings too.
    """

    # The ID that a document was added with last in the place of another one.
    _replaced: Hashable = None

    def __init__(self) -> None:
        self._documents: dict[Hashable, Any] = {}

    def __contains__(self, document_id: object) -> bool:
        """Says whether the set has a document with an ID; TypeError if it can be no ID."""
        return document_id in self._documents

    def size(self) -> int:
        """Returns the number of documents."""
        return len(self._documents)

    def get_all_documents(self) -> list[Any]:
        """Returns the documents in the order in which they were added."""
        return list(self._documents.values())

    def get_documents(self, document_ids: Iterable[Any]) -> list[Any]:
        """Returns the documents with the given IDs, in that order.

        Args:
            document_ids: IDs, or the strings of them that are the keys of an observation.

        Raises:
            KeyError: if the set has no document with an ID.
        """
        document_ids = list(document_ids)
        documents = self._documents
        try:
            return [
                documents[key if key in documents or not isinstance(key, str) else int(key)]
                for key in document_ids
            ]
        except (KeyError, TypeError, ValueError):
            return list(map(self._named, document_ids))

    def _named(self, document_id: Hashable) -> types.Document:
        """Returns the document with an ID, or with an ID of that string."""
        documents: dict[Hashable, types.Document] = self._documents
        if document_id in documents:
            return documents[document_id]
        if isinstance(document_id, str):
            for key, document in documents.items():
                # Integers in any spelling, as RecSim takes them.
                if str(key) == document_id or _is_integer(key, document_id):
                    return document
        raise KeyError(f"There is no document with the ID {document_id!r} in the candidate set.")

    def add_document(self, document: types.Document) -> None:
        """Adds a document, in place of one with the same ID.

        Raises:
            TypeError: if its ID cannot be a dictionary's key.
        """
        document_id = _checked_id(document)
        if document_id in self._documents:
            self._replaced = document_id
        self._documents[document_id] = document

    def remove_document(self, document: types.Document) -> None:
        """Removes a document; KeyError if it is not in the set."""
        del self._documents[document.doc_id()]

    def create_observation(self) -> dict[str, Any]:
        """Returns the observations of the documents, keyed by their IDs as strings.

        Raises:
            ValueError: if two IDs have the same string.
        """
        documents = self._documents
        observation = {str(key): doc.create_observation() for key, doc in documents.items()}
        if len(observation) != len(documents):
            raise _same_string(documents)
        return observation

    def observation_space(self) -> spaces.Dict:
        """Returns the space of :meth:`create_observation`, with its keys in the same order.

        It is one of gym, whichever library the spaces of the documents are from.
        """
        items = [
            (str(key), spaces_lib.to_gym(doc.observation_space()))
            for key, doc in self._documents.items()
        ]
        return spaces.Dict(items)


def _is_integer(key: Hashable, text: str) -> bool:
    """Says whether a text is an integer that equals a key."""
    try:
        return int(text) == key
    except ValueError:
        return False


def _same_string(document_ids: Iterable[Any]) -> ValueError:
    """Returns the error that two IDs have the same string."""
    by_string: dict[str, Hashable] = {}
    for document_id in document_ids:
        other = by_string.setdefault(str(document_id), document_id)
        if other is not document_id:
            return ValueError(
                "The IDs of a candidate set must differ as strings, which are the keys of "
                f"observation['doc'], got {other!r} and {document_id!r}."
            )
    raise AssertionError("All strings differ.")


class LazyCandidateSet(CandidateSet):
    """Documents sampled in a batch, each made into an object when it is first asked for.

    An agent sees all candidates and a user only those of the slate, so most documents of a step
    are never needed as objects. Once documents were handed out they may have changed: later
    observations come from the objects.

    Args:
        doc_ctor: the class of the documents, which offers ``create_observations``.
        ids: their IDs.
        columns: their features: argument names of the class to columns.

    Attributes:
        ids: the IDs.
        observation: what :meth:`create_observation` returned, in the order of the IDs; None before.
    """

    def __init__(
        self, doc_ctor: type[AbstractDocument], ids: range, columns: dict[str, Any]
    ) -> None:
        self._doc_ctor: Any = doc_ctor
        self.ids = ids
        self._columns = columns
        self._made: dict[int, Any] = {}

    observation: dict[str, Any] | None = None
    _all: dict[int, Any] | None = None

    @property
    def _documents(self) -> dict[int, Any]:  # type: ignore[override]
        """All documents as objects, by ID."""
        if self._all is None:
            self._all = {doc.doc_id(): doc for doc in self.get_documents(self.ids)}
        return self._all

    def size(self) -> int:
        return len(self.ids if self._all is None else self._all)

    def get_documents(self, document_ids: Iterable[Any]) -> list[Any]:
        if self._all is not None:
            return super().get_documents(document_ids)
        if type(document_ids) is not list:
            document_ids = list(document_ids)
        made, columns, cls = self._made, self._columns, self._doc_ctor
        first, number = self.ids.start, len(self.ids)
        # Arguments in their order are passed on in half the time.
        ordered = None
        if cls.__init__ is cls._made_by and (*columns,) == cls._made_of:
            ordered = columns.values()
        documents = []
        for key in document_ids:
            if type(key) is not int:
                try:
                    key = int(key) if type(key) is str else operator.index(key)
                except (TypeError, ValueError):
                    return super().get_documents(document_ids)
            document = made.get(key)
            if document is None:
                row = key - first
                if not 0 <= row < number:
                    return super().get_documents(document_ids)
                if ordered is not None:
                    document = cls(key, *[column[row] for column in ordered])
                else:
                    features = {name: column[row] for name, column in columns.items()}
                    document = cls(doc_id=key, **features)
                made[key] = document
            documents.append(document)
        return documents

    def create_observation(self) -> dict[str, Any]:
        cls = self._doc_ctor
        # Methods of the class may have been replaced since.
        if (
            self._made
            or cls.create_observation is not cls._observed_by
            or cls.__init__ is not cls._made_by
            or cls.doc_id is not cls._named_by
        ):
            return super().create_observation()
        observations = cls.create_observations(**self._columns)
        # Of integers it is what str returns, faster.
        self.observation = dict(zip(map(repr, self.ids), observations))
        return self.observation


class AbstractDocumentSampler(abc.ABC):
    """Samples documents, from a generator of its own in ``self._rng``.

    A sampler that chooses candidates for users, as a retrieval stage does, has a method
    ``sample_candidates_for(users, num_documents)`` too, which environments call in place of
    :meth:`sample_candidates`: ``users`` is the list of the users' states, one in an environment of
    one user, as they are when the candidates are shown.

    Args:
        doc_ctor: the class (or a constructor) of the documents.
        seed: seed of the generator, an integer in [0, 2**32 - 1], or None for a seed from the
            operating system.
    """

    def __init__(self, doc_ctor: Callable[..., Any], seed: int | None = 0) -> None:
        self._doc_ctor = doc_ctor
        self._seed = seed
        self.reset_sampler()

    def reset_sampler(self) -> None:
        """Sets the generator back to its seed: the same documents follow again."""
        self._rng = validation.random_state("seed", self._seed)

    def reseed(self, seed: int) -> None:
        """Gives the generator another seed."""
        self._seed = seed
        self.reset_sampler()

    @abc.abstractmethod
    def sample_document(self) -> types.Document:
        """Returns a new document."""

    def sample_candidates(self, num_documents: int) -> CandidateSet:
        """Returns a candidate set of new documents, ``num_documents`` times a sampled one.

        Where an ID comes twice, as when documents of a corpus are sampled with replacement, the
        first document with it stays, others are sampled in the place of the later ones, and there
        is a warning, once for each sampler.

        Raises:
            ValueError: if there are no ``num_documents`` different IDs to be had.
        """
        candidates = CandidateSet()
        for _ in range(num_documents):
            candidates.add_document(_document_of_new_id(self, candidates))
        return candidates

    def get_doc_ctor(self) -> Callable[..., Any]:
        """Returns the class of the documents."""
        return self._doc_ctor

    @property
    def num_clusters(self) -> int:
        """Number of topics (clusters) of the documents, 0 if they have none."""
        return 0

    def update_state(self, documents: Sequence[Any], responses: Sequence[Any]) -> None:
        """Changes documents after users' responses to them; does nothing by default.

        Args:
            documents: the documents shown, of the first user, then of the second, and so on.
            responses: the responses to them, in the same order.
        """

    def state_dict(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps of the sampler: its generator and document count.

        A sampler with further state that outlives an episode extends this dictionary, and
        :meth:`load_state_dict`, with data (numbers, strings, containers, arrays).
        """
        rng = getattr(self, "_rng", None)
        own = owned_generators.state_of(self, rng)
        state: dict[str, Any] = {"rng": seeding.owned_state(self), **own}
        if hasattr(self, "_doc_count"):
            state["doc_count"] = self._doc_count
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that :meth:`state_dict` returned."""
        seeding.restore_owned(self, state["rng"])
        owned_generators.restore(self, state.get("generators", {}), getattr(self, "_rng", None))
        if "doc_count" in state:
            self._doc_count = state["doc_count"]


def _document_of_new_id(sampler: types.DocumentSampler, candidates: CandidateSet) -> types.Document:
    """Returns a sampled document whose ID no candidate has."""
    document = sampler.sample_document()
    try:
        if document.doc_id() not in candidates:
            return document
    except TypeError:
        return document  # The candidate set refuses its ID.
    return _document_in_place_of(sampler, document.doc_id(), candidates)


def _checked_id(document: types.Document) -> Hashable:
    """Returns the ID of a document; TypeError if it cannot be a dictionary's key."""
    document_id = document.doc_id()
    try:
        hash(document_id)
    except TypeError:
        raise TypeError(
            "doc_id() must return an ID that can be a dictionary's key, such as an integer, a "
            f"string or a tuple of them, got {document_id!r} from {type(document).__name__}."
        ) from None
    return document_id


def _document_in_place_of(
    sampler: types.DocumentSampler, repeated: Hashable, candidates: CandidateSet
) -> types.Document:
    """Returns a sampled document whose ID no candidate has, and warns once."""
    if not getattr(sampler, _MARK_OF_WARNED, False):
        with contextlib.suppress(AttributeError):  # It has __slots__.
            setattr(sampler, _MARK_OF_WARNED, True)
        warnings.warn(
            f"{type(sampler).__name__} sampled the document ID {repeated!r} twice for one "
            "candidate set, which has each ID once: another document is sampled in its place. "
            "Sample without replacement, or give each document an ID of its own.",
            UserWarning,
            stacklevel=keys.stacklevel_of_caller(),
        )
    for _ in range(_MAX_TRIES):
        document = sampler.sample_document()
        if _checked_id(document) not in candidates:
            return document
    raise ValueError(
        f"{type(sampler).__name__} sampled the document ID {repeated!r} twice, and the "
        f"{_MAX_TRIES:,} documents after it had IDs of the {candidates.size()} candidates so far "
        "too: give each document an ID of its own, or make the environment with fewer candidates "
        "(num_candidates)."
    )


class BatchDocumentSampler(AbstractDocumentSampler):
    """A sampler of the features of many documents in a batch.

    A subclass says how in :meth:`_sample_features`. Where the class of the documents offers
    ``create_observations(**columns)``, which returns the observations of documents with these
    features as a list, a candidate set is observed without making an object of each document.

    Args:
        doc_ctor: the class of the documents, called with ``doc_id`` and the sampled features.
        seed: see :class:`AbstractDocumentSampler`.
    """

    def __init__(self, doc_ctor: Callable[..., Any], seed: int | None = 0) -> None:
        super().__init__(doc_ctor, seed)
        self._doc_count = 0

    # The function that sampling a batch stands in for.
    _sampled_by: Any = None

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "_sample_features" in vars(cls):
            cls._sampled_by = staticmethod(cls.sample_document)

    @abc.abstractmethod
    def _sample_features(self, num_documents: int) -> dict[str, Any]:
        """Returns the features of new documents: argument names of ``doc_ctor`` to columns."""

    def sample_document(self) -> types.Document:
        """Returns a new document."""
        features = {name: column[0] for name, column in self._sample_features(1).items()}
        doc_id = self._doc_count
        self._doc_count += 1
        document: types.Document = self._doc_ctor(doc_id=doc_id, **features)
        return document

    def sample_candidates(self, num_documents: int) -> CandidateSet:
        """Returns a candidate set of new documents, ``num_documents`` times a sampled one."""
        # A sampler, a subclass, or a class of documents that has an own way to do what is done for
        # a single document is heeded.
        one = getattr(self.sample_document, "__func__", None)
        doc_ctor: Any = self._doc_ctor
        if one is not self._sampled_by or not getattr(doc_ctor, "_observed_at_once", False):
            return super().sample_candidates(num_documents)
        first_id = self._doc_count
        self._doc_count += num_documents
        ids = range(first_id, self._doc_count)
        return LazyCandidateSet(doc_ctor, ids, self._sample_features(num_documents))


class AbstractDocument(abc.ABC):
    """A document (an item that can be recommended).

    Args:
        doc_id: an integer, or what else can be a dictionary's key, that no other document of a
            candidate set has.
    """

    #: Number of observable features, where a subclass has a fixed one.
    NUM_FEATURES: int | None = None

    # The functions that create_observations of the class stands in for, where there is one, and
    # whether they are the class's own.
    _observed_by: Any = None
    _made_by: Any = None
    _named_by: Any = None
    _observed_at_once = False
    # The arguments that ``__init__`` takes after ``doc_id``, by their order.
    _made_of: tuple[str, ...] | None = None

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        own: tuple[Any, ...] = (cls.create_observation, cls.__init__, cls.doc_id)
        if "create_observations" in vars(cls):
            cls._observed_by, cls._made_by, cls._named_by = map(staticmethod, own)
            cls._made_of = _features_of(cls.__init__)
        cls._observed_at_once = own == (cls._observed_by, cls._made_by, cls._named_by)

    def __init__(self, doc_id: Hashable) -> None:
        self._doc_id = doc_id

    def doc_id(self) -> Hashable:
        """Returns the document's ID."""
        return self._doc_id

    @abc.abstractmethod
    def create_observation(self) -> object:
        """Returns what an agent sees of the document, an element of the observation space."""

    @classmethod
    @abc.abstractmethod
    def observation_space(cls) -> spaces.Space[Any]:
        """Returns the space of the observations of documents of this class."""


def _features_of(constructor: Callable[..., None]) -> tuple[str, ...] | None:
    """Returns the names of a constructor's arguments after ``self`` and ``doc_id``, in order.

    None if these are not its first ones, or some are not taken by their order.
    """
    names = [
        parameter.name
        for parameter in inspect.signature(constructor).parameters.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    return tuple(names[2:]) if names[1:2] == ["doc_id"] else None
