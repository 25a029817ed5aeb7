"""The greedy oracle of topic boredom refuses what gives no slates."""

from __future__ import annotations

import numpy as np
import pytest

from recsim.environments import topic_boredom

EMBEDDING = np.random.default_rng(0).random((20, 10))
INTERESTS = np.random.default_rng(1).random((5, 10))
NO_NUMBER = np.where(np.arange(10) == 3, np.nan, INTERESTS)


@pytest.mark.parametrize(
    ("interests", "embedding", "slate_size", "error", "message"),
    [
        (INTERESTS, EMBEDDING, 21, ValueError, "slate_size must be at most .* 20, got 21"),
        (INTERESTS, EMBEDDING, 0, ValueError, "slate_size"),
        (INTERESTS, EMBEDDING, 2.5, TypeError, "slate_size"),
        (INTERESTS[:, 1:], EMBEDDING, 3, ValueError, r"as many topics.*\(5, 9\) and \(20, 10\)"),
        (INTERESTS, EMBEDDING[0], 3, ValueError, "as many topics"),
        (np.float64(1.0), EMBEDDING, 3, ValueError, "as many topics"),
        (NO_NUMBER, EMBEDDING, 3, ValueError, "interests"),
        (INTERESTS, np.full((20, 10), np.inf), 3, ValueError, "embedding"),
    ],
)
def test_refused(interests, embedding, slate_size, error, message):
    with pytest.raises(error, match=message):
        topic_boredom.greedy_slates(interests, embedding, slate_size)


def test_slates_of_all_items_and_of_embeddings_of_each_user():
    slates = topic_boredom.greedy_slates(INTERESTS, EMBEDDING, 20)
    assert (np.sort(slates, axis=1) == np.arange(20)).all()
    each = np.stack([EMBEDDING] * 5)
    assert (topic_boredom.greedy_slates(INTERESTS, each, 3) == slates[:, :3]).all()
