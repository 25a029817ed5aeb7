"""Samplers of documents: their seeds."""

from __future__ import annotations

import numpy as np
import pytest

from recsim.environments import interest_evolution, interest_exploration, long_term_satisfaction


@pytest.mark.parametrize(
    "make",
    [
        interest_evolution.UtilityModelVideoSampler,
        interest_exploration.IETopicDocumentSampler,
        long_term_satisfaction.LTSDocumentSampler,
    ],
)
def test_a_sampler_with_another_seed_is_one_made_with_it(make):
    sampler, other, first = make(seed=1), make(seed=2), make(seed=1)
    sampler.sample_document()
    sampler.reseed(2)
    documents = [
        [each.sample_document().create_observation() for _ in range(5)]
        for each in (sampler, other, first)
    ]
    np.testing.assert_equal(documents[0], documents[1])
    assert repr(documents[0]) != repr(documents[2])
