"""Observations whose documents have action masks, as arrays."""

import numpy as np
import pytest
from gym import spaces

from recsim.agents import adapters


def space(mask, num_documents=3, slate_size=2):
    """Returns a space of observations whose documents have a mask of a space."""
    document = {"quality": spaces.Box(-1.0, 1.0, (1,)), "topic": spaces.Discrete(2)}
    if mask is not None:
        document["action_mask"] = mask
    response = spaces.Dict({"click": spaces.Discrete(2)})
    return spaces.Dict(
        {
            "user": spaces.Box(0.0, 1.0, (2,)),
            "doc": spaces.Dict({str(i): spaces.Dict(document) for i in range(num_documents)}),
            "response": spaces.Tuple([response] * slate_size),
        }
    )


def observation(masks):
    """Returns an observation with these masks."""
    documents = {
        str(i): {"action_mask": mask, "quality": np.array([0.1 * i]), "topic": i % 2}
        for i, mask in enumerate(masks)
    }
    return {"user": np.array([0.5, 0.25]), "doc": documents, "response": None}


def of_many(masks):
    """Returns an observation of two users with these masks."""
    quality = np.array([[[0.0], [0.1], [0.2]]] * 2)
    topic = np.array([[0, 1, 0]] * 2)
    documents = {"action_mask": np.asarray(masks), "quality": quality, "topic": topic}
    return {"user": np.full((2, 2), 0.5), "doc": documents}


FEATURES = np.array([[0.0, 1.0, 0.0], [0.1, 0.0, 1.0], [0.2, 1.0, 0.0]], np.float32)


def test_masks_are_columns_after_the_features_of_documents():
    adapter = adapters.ObservationAdapter(space(spaces.MultiBinary((2,))), takes_masks=True)
    assert (adapter.doc_size, adapter.mask_size, adapter.doc_width) == (3, 2, 5)
    masks = [[1, 0], [0, 1], [1, 1]]
    _, documents = adapter.features(observation([np.array(mask) for mask in masks]))
    features, allowed = adapter.split(documents)
    np.testing.assert_array_equal(features, FEATURES)
    assert allowed.astype(int).tolist() == masks
    _, documents = adapter.features_of_many(of_many([masks, np.ones((3, 2), int)]))
    features, allowed = adapter.split(documents)
    np.testing.assert_array_equal(features, [FEATURES, FEATURES])
    assert allowed.astype(int).tolist() == [masks, [[1, 1]] * 3]
    image = adapter.images(np.zeros((2, 2)), documents)
    np.testing.assert_array_equal(image[0, 1:, :, 0], FEATURES)


def test_one_number_is_of_all_positions():
    adapter = adapters.ObservationAdapter(space(spaces.Discrete(2)), takes_masks=True)
    _, documents = adapter.features(observation([1, 0, 1]))
    expected = [[1, 1], [0, 0], [1, 1]]
    assert adapter.split(documents)[1].astype(int).tolist() == expected
    _, documents = adapter.features_of_many(of_many([[1, 0, 1], [0, 1, 1]]))
    assert adapter.split(documents)[1][0].astype(int).tolist() == expected


def test_without_masks_documents_are_their_features():
    adapter = adapters.ObservationAdapter(space(None), takes_masks=True)
    documents = np.zeros((4, 3, 3), np.float32)
    features, allowed = adapter.split(documents)
    assert features is documents
    assert allowed is None
    assert adapter.doc_width == adapter.doc_size == 3


@pytest.mark.parametrize(
    "mask",
    [
        spaces.MultiBinary((3,)),
        spaces.Box(0.0, 1.0, (2,)),
        spaces.MultiDiscrete([2, 3]),
        spaces.Discrete(3),
        spaces.Box(-1, 1, (2,), np.int8),
    ],
)
def test_spaces_that_are_none_of_masks_are_refused(mask):
    with pytest.raises(ValueError, match=r"under 'action_mask' integers 0 and 1, one for each of"):
        adapters.ObservationAdapter(space(mask), takes_masks=True)


def test_masks_that_are_not_taken_are_refused_naming_agents_that_take_them():
    with pytest.raises(ValueError, match="^TabularQ does not take action masks.*SlateDecompQAgent"):
        adapters.ObservationAdapter(space(spaces.MultiBinary((2,))), owner="TabularQ")


def test_documents_with_nothing_but_a_mask_are_refused():
    only = space(None)
    only.spaces["doc"] = spaces.Dict({"0": spaces.Dict({"action_mask": spaces.Discrete(2)})})
    with pytest.raises(ValueError, match="must have features beside 'action_mask'"):
        adapters.ObservationAdapter(only, takes_masks=True)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([[1, 0], [2, 0], [1, 1]], r"1 where a document may stand.* got \[2"),
        (
            [[1, 0, 1]] * 3,
            r"shape .*3, 2\), or one for each document, .* got shape .*3, 3\)",
        ),
        ([[1, np.nan]] * 3, r"got \[.*nan"),
    ],
)
def test_observed_masks_that_are_none_are_refused(masks, message):
    adapter = adapters.ObservationAdapter(space(spaces.MultiBinary((2,))), takes_masks=True)
    with pytest.raises(ValueError, match=message):
        adapter.features(observation([np.array(mask) for mask in masks]))
    with pytest.raises(ValueError, match=message):
        adapter.features_of_many(of_many([masks, masks]))
