"""The catalogue of topic boredom: items with topics, the same for all users and both engines."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from recsim._internal import resources
from recsim.environments.topic_boredom import _dynamics
from recsim.environments.topic_boredom._parameters import TopicBoredomParameters

__all__ = ["Catalogue", "catalogue_of"]


@dataclasses.dataclass(frozen=True, eq=False)
class Catalogue:
    """The items, arrays that cannot be written to.

    Attributes:
        embedding: their topics, vectors of length 1, shape (num_items, embedding_size), float64.
        cluster_id: their main topics, shape (num_items,), int32.
        quality: their lengths in the main topics, shape (num_items,), float64.
    """

    embedding: np.ndarray
    cluster_id: np.ndarray
    quality: np.ndarray


def catalogue_of(parameters: TopicBoredomParameters) -> Catalogue:
    """Returns the catalogue that parameters say; the same object each time.

    Raises:
        MemoryError: if there is no memory for it.
    """
    resources.check_memory(
        5 * 8 * parameters.num_items * parameters.embedding_size,
        f"{parameters.num_items:,} items with {parameters.embedding_size:,} numbers for topics",
        "choose a smaller num_items, num_topics or subtopics",
    )
    return _made(
        parameters.num_items,
        parameters.num_topics,
        parameters.subtopics,
        parameters.embeddings,
        parameters.topics_per_item,
        parameters.catalogue_seed,
    )


@functools.lru_cache(maxsize=32)
def _made(
    num_items: int,
    num_topics: int,
    subtopics: int,
    embeddings: str,
    topics_per_item: int,
    seed: int,
) -> Catalogue:
    rng = np.random.RandomState(seed)
    if embeddings == "few_topics":
        values = rng.random_sample((num_items, num_topics * subtopics))
        order = rng.random_sample((num_items, num_topics))
        sizes = np.minimum(topics_per_item + rng.randint(0, 2, num_items), num_topics)
        embedding = _dynamics.sampled_interests(values, order, sizes)
    else:
        shares = 1.0 - rng.random_sample((num_items, num_topics))
        normals = rng.standard_normal((num_items, num_topics * subtopics))
        embedding = _dynamics.sampled_items(normals, shares, focused=embeddings == "focused")
    lengths = _dynamics.lengths_in_topics(embedding, num_topics)
    made = Catalogue(embedding, lengths.argmax(axis=1).astype(np.int32), lengths.max(axis=1))
    for array in (made.embedding, made.cluster_id, made.quality):
        array.flags.writeable = False
    return made
