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
        embedding: their topics, vectors of length 1, shape (num_items, num_topics), float64.
        cluster_id: their main topics, shape (num_items,), int32.
        quality: their entries in the main topics, shape (num_items,), float64.
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
        5 * 8 * parameters.num_items * parameters.num_topics,
        f"{parameters.num_items:,} items with {parameters.num_topics:,} topics",
        "choose a smaller num_items or num_topics",
    )
    return _made(
        parameters.num_items,
        parameters.num_topics,
        parameters.topics_per_item,
        parameters.catalogue_seed,
    )


@functools.lru_cache(maxsize=32)
def _made(num_items: int, num_topics: int, topics_per_item: int, seed: int) -> Catalogue:
    rng = np.random.RandomState(seed)
    values, order = rng.random_sample((2, num_items, num_topics))
    sizes = np.minimum(topics_per_item + rng.randint(0, 2, num_items), num_topics)
    embedding = _dynamics.sampled_interests(values, order, sizes)
    made = Catalogue(embedding, embedding.argmax(axis=1).astype(np.int32), embedding.max(axis=1))
    for array in (made.embedding, made.cluster_id, made.quality):
        array.flags.writeable = False
    return made
