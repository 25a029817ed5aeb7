"""Pages whose positions have candidates of their own, and documents that are not always available.

:func:`with_action_masks` adds an ``action_mask`` to what is observed of documents, in environments
of both engines: for each position of a slate 1 where the document may stand there, else 0. Agents
that take action masks choose among the slates that it allows, and the environment refuses others.
A scenario of one's own may have the key in its documents' observations without this.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike

from recsim import document, types
from recsim import spaces as spaces_lib
from recsim._internal import action_masks, numbers, trees, validation
from recsim._internal.gym_import import spaces as gym_spaces
from recsim._internal.overrides import own_method
from recsim.simulator import environment as environment_lib
from recsim.simulator import fingerprint
from recsim.vector import env as vector_env
from recsim.vector import scenario as scenario_lib
from recsim.vector import streams

__all__ = ["CategoriesOfSlots", "Rule", "with_action_masks"]

#: A function of what is observed of candidates: an array of shape (..., num_candidates, …), or a
#: dictionary of such arrays, of one user or of users in parallel. It returns zeros and ones of the
#: shape (..., num_candidates, slate_size), or (..., num_candidates) for all positions alike.
Rule = Callable[[Any], ArrayLike]

EnvT = TypeVar("EnvT")

_OTHERWISE = ("refuse", "any")


@dataclasses.dataclass(frozen=True)
class CategoriesOfSlots:
    """A rule: a position of a page shows documents of its category.

    Args:
        categories: the category of each position, an integer >= 0; None for a position that shows
            documents of any category.
        field: the entry of the documents that tells their category, where they are dictionaries:
            an integer, or a vector whose largest number is that of the category (indicators,
            topics). Documents that are vectors tell it by their largest number.
        otherwise: what becomes of positions whose category has fewer candidates than positions:
            'refuse' for an error, or 'any' to let documents of any category stand there.

    Raises:
        TypeError: if ``categories`` is not a list of integers, or ``field`` not a string.
        ValueError: if there is no position, a number is negative, or ``otherwise`` is not known.

    Example:
        >>> rule = CategoriesOfSlots([1, 0], field="cluster_id")
        >>> rule({"cluster_id": np.array([0, 0, 1])}).astype(int).tolist()
        [[0, 1], [0, 1], [1, 0]]
    """

    categories: Sequence[int | None]
    field: str | None = None
    otherwise: str = "refuse"

    def __post_init__(self) -> None:
        if isinstance(self.categories, (str, bytes)) or not hasattr(self.categories, "__len__"):
            raise TypeError(
                "categories must be a list with the category of each position, got "
                f"{numbers.described(self.categories)}."
            )
        if not len(self.categories):
            raise ValueError("categories must have an entry for each position, got none.")
        checked = tuple(
            None if category is None else validation.positive_int("a category", category, 0)
            for category in self.categories
        )
        object.__setattr__(self, "categories", checked)
        if not isinstance(self.field, (str, type(None))):
            raise TypeError(f"field must be a string or None, got {numbers.described(self.field)}.")
        if self.otherwise not in _OTHERWISE:
            raise ValueError(
                f"otherwise must be 'refuse' or 'any', got {numbers.described(self.otherwise)}."
            )

    def __call__(
        self, documents: types.Observation | np.ndarray, num_axes: int | None = None
    ) -> np.ndarray:
        """Returns which documents may stand where.

        Args:
            documents: what is observed of candidates: an array of shape (..., num_candidates, …),
                or a dictionary of such arrays.
            num_axes: how many axes count users and candidates; None to tell it by the shapes.

        Returns:
            Bools of shape (..., num_candidates, slate_size).

        Raises:
            ValueError: if documents have no such field, or too few have the category of a position.
        """
        categories = self._categories_of(documents, num_axes)
        wanted = np.array([-1 if each is None else each for each in self.categories])
        allowed: np.ndarray = (categories[..., np.newaxis] == wanted) | (wanted < 0)
        counts = allowed.sum(axis=-2)
        short = counts < np.count_nonzero(wanted == wanted[:, np.newaxis], axis=1)
        if not short.any():
            return allowed
        if self.otherwise == "any":
            allowed |= short[..., np.newaxis, :]
            return allowed
        position = int(np.argwhere(short)[0][-1])
        category = self.categories[position]
        needed = np.count_nonzero(wanted == wanted[position])
        raise ValueError(
            f"categories must leave a document for each position, got {counts[short].flat[0]} of "
            f"category {category} among the {categories.shape[-1]} candidates for {needed} "
            f"position{'s' if needed > 1 else ''}: sample more candidates, or let others stand "
            "there by otherwise='any'."
        )

    def _categories_of(
        self, documents: types.Observation | np.ndarray, num_axes: int | None
    ) -> np.ndarray:
        """Returns the categories of documents, integers of shape (..., num_candidates)."""
        values: Any = documents
        if isinstance(documents, Mapping):
            if self.field not in documents:
                near = validation.nearest_name(self.field or "", list(documents))
                raise ValueError(
                    "field must name what tells the category of documents, one of "
                    f"{sorted(documents)}, got {self.field!r}.{near}"
                )
            values = documents[self.field]
        elif self.field is not None:
            raise ValueError(
                "field must be None where documents are vectors, whose largest number tells their "
                f"category, got {self.field!r}."
            )
        array = np.asarray(values)
        are_numbers = array.ndim == 1 or (array.ndim == 2 and array.shape[-1] > 1)
        if num_axes is not None:
            are_numbers = array.ndim == num_axes
        if array.dtype.kind in "iu" and are_numbers:
            return array
        if array.ndim < (2 if num_axes is None else num_axes + 1):
            raise ValueError(
                "field must name integers, or vectors whose largest number tells the category, got "
                f"{array.dtype} of shape {array.shape}."
            )
        if array.dtype.kind == "f" and np.isnan(array).any():
            *user, candidate = np.argwhere(np.isnan(array).any(axis=-1))[0].tolist()
            whose = f" of user {user[0]}" if user else ""
            raise ValueError(
                f"field must name numbers that tell the category of every document, got NaN in "
                f"{self.field or 'the vector'!r} of candidate {candidate}{whose}."
            )
        if array.shape[-1] > 1:
            largest: np.ndarray = array.argmax(axis=-1)
            return largest
        found: np.ndarray = array[..., 0]
        if (found != np.floor(found)).any():
            raise ValueError(
                "field must name integers, or vectors whose largest number tells the category, got "
                f"numbers such as {found.flat[0]}."
            )
        return found


def with_action_masks(environment: EnvT, rule: Rule) -> EnvT:
    """Returns a copy of an environment whose documents have an ``action_mask``, by a rule.

    What is observed of documents as an array is under ``features`` beside it. The environment
    refuses slates that the mask does not allow.

    Args:
        environment: a RecSimGymEnv, or a RecSimVectorEnv, which begins anew.
        rule: function of what is observed of candidates, such as :class:`CategoriesOfSlots`: one
            that takes arrays with any leading axes serves both engines. Functions of a module can
            be pickled.

    Raises:
        TypeError: if the environment is neither, or the rule no function.
        ValueError: if documents have a mask already.

    Example:
        >>> from recsim.environments import interest_exploration
        >>> env = interest_exploration.create_environment(
        ...     {"num_candidates": 10, "slate_size": 2, "resample_documents": True, "seed": 0})
        >>> env = with_action_masks(env, CategoriesOfSlots([0, 1], "cluster_id", otherwise="any"))
        >>> [document["action_mask"].tolist() for document in env.reset()["doc"].values()][:3]
        [[1, 0], [0, 1], [0, 1]]
    """
    validation.function("rule", rule)
    masked: Any = copy.deepcopy(environment)
    same: EnvT = masked
    if isinstance(masked, vector_env.RecSimVectorEnv):
        sampler = masked.document_sampler
        _check_no_masks(sampler.observation_space(1))
        masks = _Masks(rule, masked.slate_size)
        masked.replace_document_sampler(_MaskedVectorSampler(sampler, masks))
        return same
    inner = getattr(masked, "environment", None)
    if isinstance(inner, environment_lib.AbstractEnvironment):
        space: Any = inner.candidate_set.observation_space()
        _check_no_masks(next(iter(space.spaces.values())))
        inner.wrap_documents(functools.partial(_wrapped, _Masks(rule, inner.slate_size)))
        return same
    raise TypeError(
        "environment must be a RecSimGymEnv or a RecSimVectorEnv, as scenarios' create_environment "
        f"and create_vector_environment make, got {numbers.described(environment)}: add masks "
        "before an environment is wrapped."
    )


def _check_no_masks(document_space: object) -> None:
    if action_masks.space_of(document_space) is not None:
        raise ValueError(
            f"environment must have documents without {action_masks.KEY!r}, got one that has it."
        )


@dataclasses.dataclass(frozen=True)
class _Masks:
    """The masks of documents, for slates of a size, whatever documents are observed as.

    Attributes:
        rule: what was given.
        slate_size: number of positions of a slate.
    """

    rule: Rule
    slate_size: int

    def of(self, documents: trees.ArrayTree, num_axes: int) -> np.ndarray:
        """Returns the masks of documents, int8 of shape (..., num_candidates, slate_size).

        Args:
            documents: arrays with any leading axes, the last of which counts candidates.
            num_axes: number of those axes.
        """
        first: Any = trees.first_leaf(documents)
        leading = first.shape[:num_axes]
        rule: Any = self.rule
        # Integers of as many axes are numbers of categories, those of more are vectors.
        is_own = isinstance(rule, CategoriesOfSlots)
        masks = rule(documents, num_axes) if is_own else rule(documents)
        return action_masks.array_of(masks, leading, self.slate_size).astype(np.int8)

    def described(self) -> object:
        """Returns the rule as data, or as the function that it is."""
        rule: Any = self.rule
        if inspect.ismethod(rule):
            owner: Any = rule.__self__
            return {"method": rule.__name__, "of": _Masks(owner, self.slate_size).described()}
        if inspect.isroutine(rule) or isinstance(rule, (type, functools.partial)):
            return rule
        if dataclasses.is_dataclass(rule) and not isinstance(rule, type):
            return {"type": type(rule).__name__, **dataclasses.asdict(rule)}
        settings = {name: fingerprint.name_of(value) for name, value in vars(rule).items()}
        return {"type": type(rule).__name__, **settings}


def _with_mask(documents: object, mask: object) -> dict[str, Any]:
    """Returns what is observed of documents, or the spaces of it, by name, with a mask."""
    entries: Any = getattr(documents, "spaces", documents)
    if not isinstance(entries, Mapping):
        entries = {action_masks.ARRAYS: documents}
    return {**entries, action_masks.KEY: mask}


class _Sampler:
    """What is common to samplers whose documents are observed with masks: all else is another's.

    Args:
        sampler: what samples documents.
        masks: their masks.
    """

    def __init__(self, sampler: object, masks: _Masks) -> None:
        self._sampler: Any = sampler
        self._masks = masks

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or name in ("_sampler", "_masks"):
            raise AttributeError(name)
        return getattr(self._sampler, name)

    def fingerprint_attributes(self) -> dict[str, Any]:
        """Returns what tells the sampler from others."""
        own = {"sampler": type(self._sampler).__name__, "action_masks": self._masks.described()}
        return {**vars(self._sampler), **own}


class _MaskedVectorSampler(_Sampler, scenario_lib.VectorDocumentSampler[Any]):
    """A sampler of documents of users in parallel, see VectorDocumentSampler."""

    def sample(self, stream: streams.RandomStream, num_documents: int) -> object:
        """Returns new candidates for every user."""
        return self._sampler.sample(stream, num_documents)

    def observe(self, documents: object) -> dict[str, Any]:
        """Returns what agents see of documents, and their masks."""
        observed = self._sampler.observe(documents)
        # Those of users in parallel, or candidates that all of them share.
        num_axes = _num_axes(observed, self._sampler.observation_space(1))
        return _with_mask(observed, self._masks.of(observed, num_axes))

    def observation_space(self, num_documents: int) -> spaces.Dict:
        """Returns the space of what agents see of one user's candidates."""
        of_documents = self._sampler.observation_space(num_documents)
        mask = spaces.MultiBinary((num_documents, self._masks.slate_size))
        return spaces.Dict(_with_mask(of_documents, mask))


def _num_axes(observed: trees.ArrayTree, space: types.Space) -> int:
    """Returns how many axes count users and documents, of which one counts documents in a space."""
    array: Any = observed
    of_array: Any = space
    while not isinstance(array, np.ndarray):
        key = next(iter(array)) if isinstance(array, Mapping) else 0
        array, of_array = array[key], of_array[key]
    axes: int = array.ndim - len(of_array.shape) + 1
    return axes


class _MaskedSampler(_Sampler):
    """A sampler of documents of the single-user engine, see AbstractDocumentSampler."""

    def sample_candidates(self, num_documents: int) -> _Candidates:
        """Returns a candidate set of new documents."""
        sample = own_method(self._sampler, document.AbstractDocumentSampler, "sample_candidates")
        return _Candidates(sample(num_documents), self._masks)

    @property
    def sample_candidates_for(self) -> Callable[[Sequence[Any], int], _Candidates]:
        """The method that returns candidates for users; AttributeError if the sampler has none."""
        sample = self._sampler.sample_candidates_for
        return lambda users, number: _Candidates(sample(users, number), self._masks)


class _Candidates:
    """A candidate set whose documents are observed with masks.

    Args:
        candidates: the candidate set.
        masks: the masks of the documents.
    """

    def __init__(self, candidates: types.CandidateSet, masks: _Masks) -> None:
        self._candidates = candidates
        self._masks = masks

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or name in ("_candidates", "_masks"):
            raise AttributeError(name)
        return getattr(self._candidates, name)

    def create_observation(self) -> dict[str, Any]:
        """Returns what agents see of the documents and their masks, by their IDs as strings."""
        observed = self._candidates.create_observation()
        space: Any = self._candidates.observation_space()
        of_one = next(iter(space.spaces.values()))
        arrays = spaces_lib.stacker(of_one, 1, "documents")(list(observed.values()))
        masks = self._masks.of(arrays, 1)
        return {key: _with_mask(each, mask) for (key, each), mask in zip(observed.items(), masks)}

    def observation_space(self) -> gym_spaces.Dict:
        """Returns the space of :meth:`create_observation`."""
        mask = gym_spaces.MultiBinary((self._masks.slate_size,))
        space: Any = self._candidates.observation_space()
        return gym_spaces.Dict(
            [(key, gym_spaces.Dict(_with_mask(each, mask))) for key, each in space.spaces.items()]
        )


def _wrapped(
    masks: _Masks, sampler: types.DocumentSampler, candidates: types.CandidateSet
) -> tuple[Any, Any]:
    return _MaskedSampler(sampler, masks), _Candidates(candidates, masks)
