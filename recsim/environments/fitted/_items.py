"""The items of a fitted scenario as documents, their sampler, and the responses to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsim import document, types, user
from recsim._internal.gym_import import spaces
from recsim.environments.fitted._scenario import FittedScenario

__all__ = ["FittedDocument", "FittedDocumentSampler", "FittedResponse"]

_MODULE = "recsim.environments.fitted"  # Where pickles look for the classes.


class FittedDocument(document.AbstractDocument):
    """An item of the log, whose ID is that in the log.

    Args:
        doc_id: its ID.
        item: its index.
        scenario: the scenario.
    """

    __module__ = _MODULE

    def __init__(self, doc_id: str, item: int, scenario: FittedScenario) -> None:
        super().__init__(doc_id)
        self.item = item
        self.scenario = scenario

    def create_observation(self) -> dict[str, Any]:
        """Returns ``cluster_id``, ``popularity``, ``quality`` and what else is observed of it."""
        return {
            name: int(column[self.item])
            if column.dtype.kind == "i"
            else np.array(column[self.item])
            for name, column in self.scenario.document_columns.items()
        }

    def observation_space(self) -> spaces.Dict:  # type: ignore[override]
        """Returns the space of an item."""
        return self.scenario.document_space()


class FittedDocumentSampler(document.AbstractDocumentSampler):
    """Samples different items of the log.

    Args:
        scenario: the scenario.
        seed: see :class:`recsim.document.AbstractDocumentSampler`.
    """

    __module__ = _MODULE

    def __init__(self, scenario: FittedScenario, seed: int | None = 0) -> None:
        self.scenario = scenario
        self.parameters = scenario.options
        super().__init__(FittedDocument, seed)

    @property
    def num_clusters(self) -> int:
        """Number of topics."""
        return self.scenario.num_topics

    def sample_document(self) -> types.Document:
        """Returns an item."""
        (item,) = self._sample(1)
        return self._document(item)

    def sample_candidates(self, num_documents: int) -> document.CandidateSet:
        """Returns so many different items: all in their order, if there are no others.

        Raises:
            ValueError: if there are fewer.
        """
        num_items = self.scenario.fitted.num_items
        if num_documents > num_items:
            raise ValueError(
                f"num_documents must be at most the number of items, {num_items}, got "
                f"{num_documents}."
            )
        items = range(num_items) if num_documents == num_items else self._sample(num_documents)
        candidates = document.CandidateSet()
        for item in items:
            candidates.add_document(self._document(item))
        return candidates

    def _sample(self, number: int) -> list[int]:
        """Returns the first different ones of items that are sampled again and again."""
        fitted = self.scenario.fitted
        if self.scenario.options.candidate_sampling == "popularity":
            shares = fitted.item_popularity / fitted.item_popularity.sum()
            chosen: list[int] = self._rng.choice(
                fitted.num_items, number, replace=False, p=shares
            ).tolist()
            return chosen
        if 4 * number > fitted.num_items:
            permuted: list[int] = self._rng.permutation(fitted.num_items)[:number].tolist()
            return permuted
        found: dict[int, None] = {}
        while len(found) < number:
            found.setdefault(int(self._rng.randint(fitted.num_items)))
        return list(found)

    def _document(self, item: int) -> types.Document:
        return FittedDocument(self.scenario.fitted.item_ids[item], item, self.scenario)


class FittedResponse(user.AbstractResponse):
    """A user's response to an item.

    Args:
        scenario: the scenario.
        clicked: whether the item was clicked.
        cluster_id: its topic.
        quality: how likely the average user clicks it.
        value: what the click brought, 0 without a click.
    """

    __module__ = _MODULE

    def __init__(
        self,
        scenario: FittedScenario,
        clicked: bool = False,
        cluster_id: int = 0,
        quality: float = 0.0,
        value: float = 0.0,
    ) -> None:
        self.scenario = scenario
        self.clicked = clicked
        self.cluster_id = cluster_id
        self.quality = quality
        self.value = value

    def __repr__(self) -> str:
        return str(self.clicked)

    def create_observation(self) -> dict[str, Any]:
        """Returns ``click``, ``cluster_id``, ``quality`` and, where the log has it, ``value``."""
        observed = {
            "click": int(self.clicked),
            "cluster_id": self.cluster_id,
            "quality": np.array(self.quality),
        }
        if self.scenario.fitted.values is not None:
            observed["value"] = np.array(self.value)
        return observed

    def response_space(self) -> spaces.Dict:  # type: ignore[override]
        """Returns the space of a response."""
        return self.scenario.response_space()
