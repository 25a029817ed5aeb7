"""Selection of slates: against enumeration, against RecSim's recorded choices, and its speed."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy
from support import recorded

from recsim.agents import slate_decomp_q_agent as slate_q
from recsim.agents.dopamine import slate_selection

RECORDED = recorded("choice_bandit_slateq_math")["select_slate"]
SELECTORS = {
    "topk": slate_q.select_slate_topk,
    "greedy": slate_q.select_slate_greedy,
    "optimal": slate_q.select_slate_optimal,
}


def value(slate, s_no_click, s, q):
    """A slate's value, by the formula."""
    slate = list(slate)
    total = s_no_click + s[slate].sum()
    return (s[slate] * q[slate]).sum() / total if total > 0 else 0.0


def best_value(slate_size, s_no_click, s, q):
    slates = itertools.combinations(range(len(s)), slate_size)
    return max(value(slate, s_no_click, s, q) for slate in slates)


@pytest.mark.parametrize("case", RECORDED)
def test_recsims_choices(case):
    arguments = [
        case["slate_size"],
        case["score_no_click"],
        np.array(case["scores"]),
        np.array(case["q_values"]),
    ]
    assert slate_q.select_slate_topk(*arguments).tolist() == case["topk"]
    assert sorted(slate_q.select_slate_greedy(*arguments)) == case["greedy_as_set"]
    assert sorted(slate_q.select_slate_optimal(*arguments)) == case["optimal_as_set"]


def test_the_three_methods_by_hand():
    # No click has the weight 1.
    s, q = np.array([2.0, 1.0, 3.0]), np.array([2.5, 5.0, 2.0])
    assert slate_q.select_slate_topk(2, 1.0, s, q).tolist() == [2, 0]  # s q = 5, 5, 6.
    # Alone: 5/3, 5/2, 6/4. With document 1: 10/4 or 11/5.
    assert slate_q.select_slate_greedy(2, 1.0, s, q).tolist() == [1, 0]
    assert slate_q.select_slate_optimal(2, 1.0, s, q).tolist() == [1, 0]
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    values = slate_selection.slate_values(pairs, 1.0, np.tile(s, (3, 1)), np.tile(q, (3, 1)))
    np.testing.assert_allclose(values, [10 / 4, 11 / 6, 11 / 5])


def random_case(rng, num_documents):
    s = rng.choice([0.0, 1.0], size=num_documents, p=[0.1, 0.9]) * rng.gamma(
        1.0, size=num_documents
    )
    q = rng.normal(rng.choice([-5.0, 0.0, 5.0]), rng.choice([0.1, 1.0, 50.0]), num_documents)
    return rng.choice([0.0, 0.1, 2.0, 30.0]), s, q


@pytest.mark.parametrize("slate_size", [1, 2, 3, 4, 5])
def test_optimal_slates_are_those_of_enumeration(slate_size):
    rng = np.random.default_rng(slate_size)
    for _ in range(1000):
        s_no_click, s, q = random_case(rng, rng.integers(slate_size, 9))
        slate, found = slate_selection.optimal_slates(slate_size, s_no_click, s, q)
        assert len(set(slate.tolist())) == slate_size
        best = best_value(slate_size, s_no_click, s, q)
        assert value(slate, s_no_click, s, q) == pytest.approx(best, rel=1e-9, abs=1e-12)
        assert found == pytest.approx(best, rel=1e-9, abs=1e-12)


def test_a_document_of_large_weight_hides_no_better_slate():
    # Beside document 0 the others hardly count; without it they are worth more.
    s = np.array([[1e8, 1.0, 1.0], [1.0, 1.0, 1.0]], np.float32)
    q = np.array([[5.0, 10.0, 1.0]] * 2, np.float32)
    slates, values = slate_selection.optimal_slates(2, np.zeros(2, np.float32), s, q)
    assert slates.tolist() == [[1, 2], [1, 0]]
    assert values.tolist() == [5.5, 7.5]
    assert values.dtype == np.float32
    assert slate_q.select_slate_optimal(2, np.float32(0.0), s[0], q[0]).tolist() == [1, 2]


@pytest.mark.parametrize("s_no_click", [0.0, 1e-3, 1.0])
def test_optimal_slates_of_large_and_small_weights_in_single_precision(s_no_click):
    rng = np.random.default_rng(0)
    for _ in range(500):
        s = np.where(rng.random(6) < 0.4, 1e7, 1.0) * rng.uniform(0.5, 2.0, 6)
        s, q = s.astype(np.float32), rng.normal(0.0, 10.0, 6).astype(np.float32)
        slate, found = slate_selection.optimal_slates(3, np.float32(s_no_click), s, q)
        s, q = s.astype(float), q.astype(float)
        best = best_value(3, s_no_click, s, q)
        assert value(slate, s_no_click, s, q) == pytest.approx(best, rel=1e-4, abs=1e-4)
        assert found == pytest.approx(best, rel=1e-4, abs=1e-4)


# Sums hold no more digits than theirs: weights are not too different.
weights = st.just(0.0) | st.floats(2.0**-10, 10.0, width=32)
values_q = st.floats(-100.0, 100.0, width=32)


@given(st.data())
def test_methods_are_ordered_and_slates_are_slates(data):
    num_documents = data.draw(st.integers(1, 7))
    slate_size = data.draw(st.integers(1, num_documents))
    s = data.draw(hypothesis_numpy.arrays(np.float64, num_documents, elements=weights))
    q = data.draw(hypothesis_numpy.arrays(np.float64, num_documents, elements=values_q))
    s_no_click = data.draw(weights)
    found = {}
    for name, select in SELECTORS.items():
        slate = select(slate_size, s_no_click, s, q)
        assert slate.shape == (slate_size,)
        assert len(set(slate.tolist())) == slate_size
        found[name] = value(slate, s_no_click, s, q)
    best = best_value(slate_size, s_no_click, s, q)
    assert found["optimal"] == pytest.approx(best, rel=1e-9, abs=1e-9)
    assert max(found.values()) <= best + 1e-9
    if slate_size == 1:
        assert found["greedy"] == pytest.approx(best, rel=1e-9, abs=1e-9)


@given(st.integers(0, 10**6), values_q)
def test_a_value_of_no_click_shifts_all_slates(seed, q_no_click):
    rng = np.random.default_rng(seed)
    s_no_click, s, q = 2.0, rng.uniform(0, 2, 6), rng.normal(50, 50, 6)

    def value_with_no_click(slate):
        slate = list(slate)
        return (s_no_click * q_no_click + (s[slate] * q[slate]).sum()) / (
            s_no_click + s[slate].sum()
        )

    slate = slate_q.select_slate_optimal(3, s_no_click, s, q - q_no_click)
    best = max(map(value_with_no_click, itertools.combinations(range(6), 3)))
    assert value_with_no_click(slate) == pytest.approx(best)


@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.parametrize("shape", [(1,), (7,), (2, 3)])
def test_users_in_parallel(name, shape):
    rng = np.random.default_rng(0)
    s, q = rng.uniform(0, 2, (*shape, 6)), rng.normal(0, 5, (*shape, 6))
    s_no_click = rng.uniform(0, 2, shape)
    slates = SELECTORS[name](3, s_no_click, s, q)
    assert slates.shape == (*shape, 3)
    for user in np.ndindex(shape):
        alone = SELECTORS[name](3, s_no_click[user], s[user], q[user])
        assert slates[user].tolist() == alone.tolist()


def test_ties_go_to_the_first():
    s, q = np.ones(4), np.full(4, 3.0)
    for select in SELECTORS.values():
        assert select(2, 1.0, s, q).tolist() == [0, 1]


def test_weights_of_zero_are_worth_nothing():
    s, q = np.zeros(3), np.array([1.0, 2.0, 3.0])
    slates, values = slate_selection.optimal_slates(2, 0.0, s, q)
    assert slates.tolist() == [0, 1]
    assert values == 0.0
    assert slate_q.select_slate_greedy(2, 0.0, s, q).tolist() == [0, 1]


@pytest.mark.parametrize("select", SELECTORS.values())
@pytest.mark.parametrize("slate_size", [0, 4])
def test_slates_that_documents_cannot_fill(select, slate_size):
    with pytest.raises(ValueError, match="slate_size must be 1 to the number of documents, 3"):
        select(slate_size, 1.0, np.ones(3), np.ones(3))


@pytest.mark.parametrize(
    ("num_documents", "slate_size", "milliseconds"), [(50, 3, 1.0), (200, 5, 5.0)]
)
def test_optimal_slates_are_found_in_time(num_documents, slate_size, milliseconds):
    rng = np.random.default_rng(0)
    times = []
    for _ in range(50):
        s, q = rng.uniform(0, 2, num_documents), rng.normal(100, 50, num_documents)
        begin = time.process_time()
        slate_q.select_slate_optimal(slate_size, 2.0, s, q)
        times.append(time.process_time() - begin)
    assert np.median(times) < milliseconds / 1000
