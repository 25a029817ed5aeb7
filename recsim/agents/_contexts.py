"""The contexts of contextual bandits: what is known of users and documents, as one vector each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from recsim import spaces as spaces_lib
from recsim import types
from recsim._internal import action_masks, numbers, observations, validation
from recsim.agents import adapters

__all__ = ["INTERACTIONS", "Contexts"]

#: How users' and documents' features are combined.
INTERACTIONS = ("auto", "outer", "product", "none")

# Numbers of a block of contexts, which stay in a processor's cache.
_BLOCK = 2**18


class Contexts:
    """Makes a vector for each document: 1, the user's features, the document's, and interactions.

    Features are those of :func:`recsim.spaces.flatten`: numbers as they are, integers of discrete
    spaces as indicators of their values.

    Args:
        observation_space: space of the observations.
        interaction: what stands for tastes: 'outer' for all products of a feature of the user and
            one of the document, 'product' for the products of the features of the same number,
            where there are equally many, 'none' for nothing, and 'auto' for 'product' where there
            are equally many and 'outer' elsewhere, but 'none' where each arm has its own weights of
            the user's features.
        weights: 'shared', or 'disjoint' or 'hybrid', where documents belong to arms.
        arm_field: name of the entry of documents, of a Discrete space, that says to which; None for
            the only such entry, or, where documents are vectors, their largest feature.

    Attributes:
        adapter: what makes features of observations.
        interaction: what is taken of users and documents, for 'auto' what it came to.
        size: size of a context.
        size_of_user: how many of its numbers, the first ones, do not depend on the document.
        num_arms: number of arms.

    Raises:
        TypeError, ValueError: for an interaction or a field that the space does not allow.
    """

    def __init__(
        self,
        observation_space: types.DictSpace,
        interaction: str,
        *,
        weights: str = "shared",
        arm_field: str | None = None,
    ) -> None:
        observations.check_space(observation_space, "user", "doc", "response")
        self.adapter = adapters.ObservationAdapter(observation_space, takes_masks=True)
        user, document = self.adapter.user_size, self.adapter.doc_size
        if interaction == "product" and user != document:
            raise ValueError(
                "interaction='product' takes equally many features of users and of documents, got "
                f"{user} and {document}: choose 'outer', or 'none'."
            )
        if interaction == "auto" and weights == "disjoint":
            interaction = "none"
        elif interaction == "auto":
            interaction = "product" if user == document else "outer"
        if user == 0:
            interaction = "none"
        self.interaction = interaction
        self.size_of_user = 1 + user
        of_both = {"outer": user * document, "product": user, "none": 0}[interaction]
        self.size = 1 + user + document + of_both
        self.num_arms = 1
        self._arms: slice | None = None
        if weights != "shared":
            documents = observations.spaces_of_documents(observation_space.spaces["doc"])
            of_document = action_masks.space_of_features(next(iter(documents.values())))
            self._arms = _features_of_arms(of_document, arm_field)
            self.num_arms = self._arms.stop - self._arms.start

    def of(self, users: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """Returns contexts, float64 of shape (n_users, num_documents, size).

        Args:
            users: features, shape (n_users, user_size).
            documents: features, shape (n_users, num_documents, doc_size).
        """
        num_users, num_documents, doc_size = documents.shape
        contexts = np.empty((num_users, num_documents, self.size))
        of_users = users[:, np.newaxis].astype(np.float64)
        end = self.size_of_user + doc_size
        contexts[..., 0] = 1.0
        contexts[..., 1 : self.size_of_user] = of_users
        contexts[..., self.size_of_user : end] = documents
        if self.interaction == "product":
            np.multiply(of_users, documents, out=contexts[..., end:])
        elif self.interaction == "outer":
            products = contexts[..., end:].reshape(num_users, num_documents, -1, doc_size)
            np.multiply(of_users[..., np.newaxis], documents[..., np.newaxis, :], out=products)
        return contexts

    def arms_of(self, documents: np.ndarray) -> np.ndarray | None:
        """Returns the arms of documents, integers of shape (n_users, num_documents).

        Where there are none, it is None.
        """
        if self._arms is None:
            return None
        arms: np.ndarray = documents[..., self._arms].argmax(axis=-1)
        return arms

    def users_of_block(self, num_documents: int) -> int:
        """Returns of how many users contexts are best made at a time."""
        return max(1, _BLOCK // max(1, num_documents * self.size))

    def description(self) -> dict[str, Any]:
        """Returns what estimates of such contexts depend on."""
        return {
            "user_size": self.adapter.user_size,
            "doc_size": self.adapter.doc_size,
            "interaction": self.interaction,
            "arms": None if self._arms is None else (self._arms.start, self._arms.stop),
        }


def _features_of_arms(space: types.Space, arm_field: str | None) -> slice:
    """Returns where a document's features have the indicators of its arm."""
    if spaces_lib.kind_of(space) == "Box" and arm_field is None:
        box: Any = space
        shape: tuple[int, ...] = box.shape
        if len(shape) != 1 or shape[0] < 2:
            raise ValueError(
                "documents must have a Discrete entry, or be vectors of two features or more, for "
                f"the models of arms (weights='disjoint' or 'hybrid'), got {space}."
            )
        return slice(0, math.prod(shape))
    fields: Mapping[str, Any] = {}
    if spaces_lib.kind_of(space) == "Dict":
        fields = dict(spaces_lib.children(space))
    known = [name for name, entry in fields.items() if spaces_lib.kind_of(entry) == "Discrete"]
    if arm_field is None and len(known) == 1:
        arm_field = known[0]
    if arm_field not in known:
        got = "None" if arm_field is None else repr(arm_field)
        near = "" if arm_field is None else validation.nearest_name(arm_field, known)
        raise ValueError(
            "arm_field must name a Discrete entry of the documents, whose values are the arms: one "
            f"of {known}, got {got}.{near} With weights='shared' there are no arms."
            if known
            else "the models of arms (weights='disjoint' or 'hybrid') need a Discrete entry of the "
            f"documents, whose values are the arms, got documents of {numbers.described(space)} "
            f"and arm_field={got}. With weights='shared' there are no arms."
        )
    start = 0
    for name, entry in fields.items():
        size = spaces_lib.flat_size(entry)
        if name == arm_field:
            break
        start += size
    return slice(start, start + size)
