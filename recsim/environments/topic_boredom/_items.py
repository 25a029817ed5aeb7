"""The items of topic boredom as documents, their sampler, and the responses to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from recsim import document, types, user
from recsim._internal.gym_import import spaces
from recsim.environments import _config
from recsim.environments.topic_boredom import _catalogue
from recsim.environments.topic_boredom._parameters import TopicBoredomParameters

__all__ = ["BoredomDocument", "BoredomDocumentSampler", "BoredomResponse"]

_MODULE = "recsim.environments.topic_boredom"  # Where pickles look for the classes.


class BoredomDocument(document.AbstractDocument, metaclass=_config.ClassWithConstants):
    """An item of the catalogue.

    Args:
        doc_id: its index in the catalogue.
        embedding: its topics, a vector of length 1, shape (EMBEDDING_SIZE,).
        cluster_id: its main topic.
        quality: its length in the main topic, in [0, 1].
    """

    __module__ = _MODULE

    #: Number of topics.
    NUM_TOPICS = TopicBoredomParameters.num_topics
    #: Number of numbers of an embedding.
    EMBEDDING_SIZE = NUM_TOPICS * TopicBoredomParameters.subtopics

    def __init__(self, doc_id: int, embedding: np.ndarray, cluster_id: int, quality: float) -> None:
        super().__init__(doc_id)
        self.embedding = embedding
        self.cluster_id = cluster_id
        self.quality = quality

    def create_observation(self) -> dict[str, Any]:
        """Returns ``cluster_id``, ``embedding`` and ``quality``."""
        return {
            "cluster_id": self.cluster_id,
            "embedding": np.array(self.embedding),
            "quality": np.array(self.quality),
        }

    @classmethod
    def observation_space(cls) -> spaces.Dict:
        """Returns the space of an item."""
        return spaces.Dict(
            {
                "cluster_id": spaces.Discrete(cls.NUM_TOPICS),
                "embedding": spaces.Box(
                    low=0.0, high=1.0, shape=(cls.EMBEDDING_SIZE,), dtype=np.float32
                ),
                "quality": spaces.Box(low=0.0, high=1.0, shape=(), dtype=np.float32),
            }
        )


class BoredomDocumentSampler(document.AbstractDocumentSampler):
    """Samples different items of the catalogue, whose IDs are their indices there.

    Args:
        parameters: the scenario's parameters.
        doc_ctor: class of the documents.
        seed: see :class:`recsim.document.AbstractDocumentSampler`.
    """

    __module__ = _MODULE

    def __init__(
        self,
        parameters: TopicBoredomParameters,
        doc_ctor: Callable[..., Any] = BoredomDocument,
        seed: int | None = 0,
    ) -> None:
        self.parameters = parameters
        super().__init__(doc_ctor, seed)

    @property
    def num_clusters(self) -> int:
        """Number of topics."""
        return self.parameters.num_topics

    def sample_document(self) -> types.Document:
        """Returns an item of the catalogue, all equally likely."""
        return self._document(int(self._rng.randint(self.parameters.num_items)))

    def sample_candidates(self, num_documents: int) -> document.CandidateSet:
        """Returns so many different items: the catalogue in its order, if there are no others.

        Raises:
            ValueError: if the catalogue has fewer.
        """
        num_items = self.parameters.num_items
        if num_documents > num_items:
            raise ValueError(
                f"num_documents must be at most num_items, {num_items}, got {num_documents}."
            )
        items = np.arange(num_items)
        if num_documents < num_items:
            items = self._rng.permutation(num_items)[:num_documents]
        candidates = document.CandidateSet()
        for item in items.tolist():
            candidates.add_document(self._document(item))
        return candidates

    def _document(self, item: int) -> types.Document:
        catalogue = _catalogue.catalogue_of(self.parameters)
        made: types.Document = self._doc_ctor(
            doc_id=item,
            embedding=catalogue.embedding[item],
            cluster_id=int(catalogue.cluster_id[item]),
            quality=float(catalogue.quality[item]),
        )
        return made


class BoredomResponse(user.AbstractResponse, metaclass=_config.ClassWithConstants):
    """A user's response to an item.

    Args:
        clicked: whether the item was clicked.
        cluster_id: its main topic, in [0, NUM_TOPICS).
        quality: its length there, in [0, 1].
    """

    __module__ = _MODULE

    #: Number of topics of the response space.
    NUM_TOPICS = TopicBoredomParameters.num_topics

    def __init__(self, clicked: bool = False, cluster_id: int = 0, quality: float = 0.0) -> None:
        self.clicked = clicked
        self.cluster_id = cluster_id
        self.quality = quality

    def __repr__(self) -> str:
        return str(self.clicked)

    def create_observation(self) -> dict[str, Any]:
        """Returns ``click``, ``quality`` and ``cluster_id``."""
        return {
            "click": int(self.clicked),
            "quality": np.array(self.quality),
            "cluster_id": self.cluster_id,
        }

    @classmethod
    def response_space(cls) -> spaces.Dict:
        """Returns the space of a response."""
        return spaces.Dict(
            {
                "click": spaces.Discrete(2),
                "quality": spaces.Box(low=0.0, high=1.0, shape=(), dtype=np.float32),
                "cluster_id": spaces.Discrete(cls.NUM_TOPICS),
            }
        )
