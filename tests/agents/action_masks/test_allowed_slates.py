"""Slates under action masks, beside all slates that there are."""

import itertools

import numpy as np
import pytest

from recsim.agents._action_masks.allowed_slates import AllowedSlates

# Documents 0 and 1 are news, 2 to 4 are films; the page shows news, films, films.
PAGE = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, 1], [0, 1, 1]], np.bool_)
# The last position needs document 1, which the others may have, too.
NEEDS_ONE = np.array([[1, 1, 0], [1, 1, 1], [1, 1, 0], [0, 0, 0]], np.bool_)


def allowed_slates(mask):
    """Returns all slates that a mask of one user allows."""
    number, size = mask.shape
    return [
        slate
        for slate in itertools.permutations(range(number), size)
        if all(mask[document, place] for place, document in enumerate(slate))
    ]


def random_masks(rng, number, documents, size):
    """Returns random masks that some slate can be filled of."""
    masks = []
    while len(masks) < number:
        mask = rng.random_sample((documents, size)) < rng.choice([0.3, 0.5, 0.8])
        if allowed_slates(mask):
            masks.append(mask)
    return np.array(masks)


def test_a_page_is_filled_by_the_highest_scores_of_each_category():
    choice = AllowedSlates(PAGE[np.newaxis])
    scores = np.array([[1.0, 2.0, 5.0, 3.0, 4.0]])
    assert choice.is_partition.tolist() == [True]
    assert choice.fill(scores).tolist() == [[1, 2, 4]]
    assert choice.best(scores).tolist() == [[1, 2, 4]]


def test_a_document_that_a_later_position_needs_is_left_to_it():
    choice = AllowedSlates(NEEDS_ONE[np.newaxis])
    scores = np.array([[1.0, 9.0, 2.0, 99.0]])
    assert choice.is_partition.tolist() == [False]
    assert choice.fill(scores).tolist() == [[2, 0, 1]]
    assert choice.open(0, np.zeros((1, 4), np.bool_)).tolist() == [[True, False, True, False]]


def test_without_a_zero_slates_are_the_highest_scores_in_turn():
    rng = np.random.RandomState(0)
    scores = rng.standard_normal((50, 6))
    choice = AllowedSlates(np.ones((50, 6, 3), np.bool_))
    expected = (-scores).argsort(axis=1)[:, :3]
    np.testing.assert_array_equal(choice.best(scores), expected)
    np.testing.assert_array_equal(choice.fill(scores), expected)


@pytest.mark.parametrize("sizes", [(5, 3), (4, 4), (6, 2)])
def test_sums_of_scores_are_the_highest_of_all_slates_that_masks_allow(sizes):
    rng = np.random.RandomState(1)
    masks = random_masks(rng, 60, *sizes)
    scores = rng.standard_normal((60, sizes[0]))
    choice = AllowedSlates(masks)
    filled, best, shuffled = (
        choice.fill(scores),
        choice.best(scores),
        choice.random(rng.rand(60, sizes[1])),
    )
    assert not choice.is_partition.all()
    for user, mask in enumerate(masks):
        allowed = allowed_slates(mask)
        assert {tuple(found[user].tolist()) for found in (filled, best, shuffled)} <= set(allowed)
        highest = max(scores[user, list(slate)].sum() for slate in allowed)
        assert scores[user, best[user]].sum() == pytest.approx(highest)
        # Position by position the highest score that any of them begins with.
        left = allowed
        for place, document in enumerate(filled[user].tolist()):
            assert document == max({slate[place] for slate in left}, key=lambda d: scores[user, d])
            left = [slate for slate in left if slate[place] == document]


def test_what_is_open_is_what_an_allowed_slate_may_have_next():
    rng = np.random.RandomState(2)
    masks = random_masks(rng, 40, 5, 3)
    choice = AllowedSlates(masks)
    begun = choice.random(rng.rand(40, 3))
    taken = np.zeros((40, 5), np.bool_)
    for place in range(3):
        found = choice.open(place, taken)
        for user, mask in enumerate(masks):
            start = tuple(begun[user, :place].tolist())
            next_ones = {s[place] for s in allowed_slates(mask) if s[:place] == start}
            assert set(np.flatnonzero(found[user]).tolist()) == next_ones
        taken[np.arange(40), begun[:, place]] = True


def test_random_slates_of_a_page_are_equally_likely():
    number = 6000
    choice = AllowedSlates(np.broadcast_to(PAGE, (number, *PAGE.shape)))
    slates = choice.random(np.random.RandomState(3).rand(number, 3))
    counts = dict.fromkeys(allowed_slates(PAGE), 0)
    for slate in slates.tolist():
        counts[tuple(slate)] += 1
    expected = number / 12
    # Chi-squared of 11 degrees of freedom: 31.3 is exceeded once in a thousand times.
    assert len(counts) == 12
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 31.3


def test_sampled_slates_have_the_probabilities_of_softmaxes_in_turn():
    number, scores = 20000, np.array([0.0, 1.0, -1.0, 0.5])
    masks = np.broadcast_to(NEEDS_ONE, (number, *NEEDS_ONE.shape))
    choice = AllowedSlates(masks)
    uniforms = np.random.RandomState(4).rand(number, 3)
    slates = choice.sample(np.broadcast_to(scores, (number, 4)), uniforms)
    # Document 1 is left to the last position, so that the first has a choice of 0 and 2.
    assert (slates[:, 2] == 1).all()
    expected = np.exp(0.0) / (np.exp(0.0) + np.exp(-1.0))
    assert (slates[:, 0] == 0).mean() == pytest.approx(expected, abs=0.012)
    opened = choice.opened(slates)[0]
    left = 2 - slates[0, 0]
    assert [np.flatnonzero(place).tolist() for place in opened] == [[0, 2], [left], [1]]


def test_slates_that_masks_allow_are_told_from_others():
    choice = AllowedSlates(np.array([NEEDS_ONE]))
    slates = np.array(list(itertools.product(range(4), repeat=3)))
    allowed = {tuple(slate) for slate in slates[choice.contain(slates)[0]].tolist()}
    assert allowed == set(allowed_slates(NEEDS_ONE))


def test_one_user_and_many_have_the_same_open_documents():
    rng = np.random.RandomState(5)
    masks = random_masks(rng, 40, 5, 4)
    together = AllowedSlates(masks)
    slates = together.random(rng.rand(40, 4))
    opened = together.opened(slates)
    for user in range(40):  # Of one, assignment problems are solved, for there are few.
        alone = AllowedSlates(masks[user : user + 1])
        np.testing.assert_array_equal(alone.opened(slates[user : user + 1])[0], opened[user])


@pytest.mark.parametrize("others", [1, 40])
@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([[1, 1], [0, 0], [0, 0]], r"none for position [01] of user 1: \[0\] may stand there, but"),
        ([[1, 0], [1, 0], [1, 0]], r"none for position 1 of user 1: \[\] may stand there\. Let"),
    ],
)
def test_a_mask_that_no_slate_can_be_filled_of_is_refused(mask, message, others):
    full = [np.ones((3, 2)), mask, *[np.array([[1, 1], [0, 1], [0, 0]])] * others]
    masks = np.array(full, np.bool_)
    with pytest.raises(ValueError, match=message):
        AllowedSlates(masks)


def test_fewer_documents_than_positions_are_refused():
    with pytest.raises(ValueError, match="none for position 2 of user 0"):
        AllowedSlates(np.ones((1, 2, 3), np.bool_))
