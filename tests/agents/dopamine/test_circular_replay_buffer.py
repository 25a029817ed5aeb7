"""The replay buffer: which transitions it returns, and that it is saved exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsim.agents.dopamine import dqn_agent
from recsim.agents.dopamine.circular_replay_buffer import WrappedReplayBuffer
from recsim.simulator import checkpoint


def make(**kwargs):
    sizes = {"user_size": 1, "num_candidates": 3, "doc_size": 2, "slate_size": 2}
    return WrappedReplayBuffer(**{**sizes, "replay_capacity": 50, "batch_size": 64, **kwargs})


def documents_of(number):
    return np.arange(6.0).reshape(3, 2) * number


def add(buffer, number, terminal=False):
    """Adds a transition whose every part tells its number."""
    buffer.add(
        np.array([number]),
        documents_of(number),
        [number % 3, 0],
        number % 2,
        10.0**number,
        terminal,
    )


def truncate(buffer, number):
    buffer.truncate(np.array([number]), documents_of(number), [number % 3, 0])


def outcomes(batch):
    """Returns {number of the state: (reward, discount, terminal, number of the next state)}."""
    found = {}
    for i, (number,) in enumerate(batch.users):
        number, next_number = int(number), int(batch.next_users[i, 0])
        assert batch.documents[i].tolist() == documents_of(number).tolist()
        assert batch.slates[i].tolist() == [number % 3, 0]
        assert batch.clicks[i] == number % 2
        terminal = bool(batch.terminals[i])
        if not terminal:
            assert batch.next_documents[i].tolist() == documents_of(next_number).tolist()
            assert batch.next_slates[i].tolist() == [next_number % 3, 0]
        outcome = (
            pytest.approx(float(batch.rewards[i])),
            None if terminal else pytest.approx(float(batch.discounts[i])),
            terminal,
            None if terminal else next_number,
        )
        assert found.setdefault(number, outcome) == outcome
    return found


def test_one_step_transitions():
    buffer = make(gamma=0.5)
    for number in range(3):
        add(buffer, number, terminal=number == 2)
    add(buffer, 3)
    # The newest transition waits for its next state, those before it are there.
    assert outcomes(buffer.sample()) == {
        0: (1.0, 0.5, False, 1),
        1: (10.0, 0.5, False, 2),
        2: (100.0, None, True, None),
    }
    assert buffer.add_count == 4


def test_three_step_transitions_end_where_the_episode_does():
    buffer = make(gamma=0.1, update_horizon=3)
    for number in range(5):
        add(buffer, number, terminal=number == 3)
    for number in range(5, 8):
        add(buffer, number)
    assert outcomes(buffer.sample()) == {
        0: (1.0 + 1.0 + 1.0, pytest.approx(1e-3), False, 3),  # 1 + 0.1 * 10 + 0.01 * 100
        1: (10.0 + 10.0 + 10.0, None, True, None),
        2: (100.0 + 100.0, None, True, None),
        3: (1000.0, None, True, None),
        4: (3e4, pytest.approx(1e-3), False, 7),
    }


def test_a_truncated_episode_continues_from_its_last_state():
    buffer = make(gamma=0.1, update_horizon=3)
    add(buffer, 0)
    add(buffer, 1)
    truncate(buffer, 2)
    for number in range(3, 7):
        add(buffer, number)
    # The last state of the episode, in which nothing was shown, is never sampled.
    assert outcomes(buffer.sample()) == {
        0: (2.0, pytest.approx(1e-2), False, 2),
        1: (10.0, pytest.approx(1e-1), False, 2),
        3: (3000.0, pytest.approx(1e-3), False, 6),
    }
    assert buffer.add_count == 6


def test_nothing_to_truncate():
    buffer = make()
    truncate(buffer, 0)
    add(buffer, 1, terminal=True)
    truncate(buffer, 2)
    add(buffer, 3)
    assert set(outcomes(buffer.sample())) == {1}


def test_what_is_old_is_overwritten():
    buffer = make(replay_capacity=4, gamma=0.5)
    for number in range(9):
        add(buffer, number % 8)
    assert set(outcomes(buffer.sample())) == {5, 6, 7}
    assert outcomes(buffer.sample())[7] == (1e7, 0.5, False, 0)
    assert buffer.add_count == 9


def test_transitions_are_drawn_alike():
    buffer = make(batch_size=1000)
    for number in range(5):
        add(buffer, number)
        if number == 2:
            truncate(buffer, 9)
    drawn = np.concatenate([buffer.sample().users[:, 0] for _ in range(20)])
    numbers, counts = np.unique(drawn, return_counts=True)
    assert numbers.tolist() == [0, 1, 2, 3]
    # 20000 samples: four standard deviations of a binomial count of probability 1/4.
    assert np.abs(counts - 5000).max() < 4 * math.sqrt(20000 * 0.25 * 0.75)


def test_what_can_be_sampled():
    buffer = make(update_horizon=2)
    assert not buffer.can_sample()
    for number in range(2):
        add(buffer, number)
        assert not buffer.can_sample()
    add(buffer, 2)
    assert buffer.can_sample()
    assert set(outcomes(buffer.sample())) == {0}


def simulate(steps, capacity, horizon, gamma):
    """Returns the buffer after some steps, and {number: outcome} by a walk through the episodes.

    A step is whether the episode ends after it (1), is truncated (2) or continues (0).
    """
    buffer = make(replay_capacity=capacity, update_horizon=horizon, gamma=gamma, batch_size=200)
    rows = []  # (number, end), with a number of None for a last state of its own.
    for number, end in enumerate(steps):
        buffer.add(
            np.array([number]), documents_of(number), [number % 3, 0], number % 2, number, end == 1
        )
        rows.append((number, end))
        if end == 2:
            truncate(buffer, 1000 + number)
            rows.append((None, None))
    expected = {}
    first = max(0, len(rows) - capacity)
    for row in range(first, len(rows) - horizon):
        if rows[row][0] is None:
            continue
        reward, discount, terminal, at = 0.0, 1.0, False, row
        for _ in range(horizon):
            number, end = rows[at]
            reward += discount * number
            discount *= gamma
            at += 1
            if end:
                terminal = end == 1
                break
        cut = not terminal and rows[at][0] is None
        next_number = 1000 + rows[at - 1][0] if cut else rows[at][0]
        expected[rows[row][0]] = (
            (pytest.approx(reward, rel=1e-5), None, True, None)
            if terminal
            else (
                pytest.approx(reward, rel=1e-5),
                pytest.approx(discount, rel=1e-5),
                False,
                next_number,
            )
        )
    return buffer, expected


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=1, max_size=30),
    st.integers(7, 20),
    st.integers(1, 4),
)
def test_any_course_of_episodes(steps, capacity, horizon):
    buffer, expected = simulate(steps, capacity, horizon, gamma=0.9)
    if not expected:
        return
    assert buffer.can_sample()
    for number, outcome in outcomes(buffer.sample()).items():
        assert outcome == expected[number]


@pytest.mark.parametrize("num_steps", [3, 49, 50, 120])
def test_a_restored_buffer_continues_exactly(num_steps, tmp_path):
    rng = np.random.default_rng(0)
    buffer = make(num_candidates=4, doc_size=5, batch_size=8)

    def add_to(*buffers):
        documents = rng.normal(size=(4, 5)) * rng.integers(2, size=(4, 5))
        documents[0, 0] = -0.0
        for each in buffers:
            each.add(documents[1, :1], documents, [1, 2], -1, 0.5, False)

    for _ in range(num_steps):
        add_to(buffer)
    buffer.sample()
    checkpoint.save(tmp_path / "buffer", buffer.state_dict())
    restored = make(num_candidates=4, doc_size=5, batch_size=8, seed=1)
    restored.load_state_dict(checkpoint.load(tmp_path / "buffer"))
    for _ in range(3):
        batch, again = buffer.sample(), restored.sample()
        for name, array in vars(batch).items():
            assert array.tobytes() == getattr(again, name).tobytes(), name
        add_to(buffer, restored)
    assert restored.add_count == buffer.add_count == num_steps + 3


def test_a_state_is_as_small_as_its_content(tmp_path):
    buffer = WrappedReplayBuffer(
        user_size=20, num_candidates=10, doc_size=20, slate_size=3, replay_capacity=100000
    )
    for topic in range(1000):
        documents = np.eye(20)[(np.arange(10) + topic) % 20]
        buffer.add(np.ones(20), documents, [0, 1, 2], -1, 0.0, False)
    checkpoint.save(tmp_path / "buffer", buffer.state_dict())
    # A transition has 21 numbers besides the documents, which need a bit each and a number
    # where they are not 0.
    assert (tmp_path / "buffer").stat().st_size < 1000 * 4 * (20 + 3 + 1 + 1 + 1 + 10 + 7) + 5000


def test_a_state_of_another_capacity_is_refused():
    buffer = make(replay_capacity=10)
    for number in range(8):
        add(buffer, number)
    with pytest.raises(ValueError, match="rows does not fit a replay_capacity of 5"):
        make(replay_capacity=5).load_state_dict(buffer.state_dict())


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"replay_capacity": 2}, ValueError, "replay_capacity must be an integer >= 3, got 2"),
        ({"replay_capacity": 1e6}, TypeError, "replay_capacity must be an integer"),
        ({"batch_size": 0}, ValueError, "batch_size must be an integer >= 1"),
        ({"update_horizon": 0}, ValueError, "update_horizon must be an integer >= 1"),
        ({"gamma": 1.5}, ValueError, "gamma must be a probability"),
        ({"replay_capacity": 10**15}, MemoryError, "needs .* GiB.*: choose a smaller replay_c"),
    ],
)
def test_bad_arguments(kwargs, error, message):
    with pytest.raises(error, match=message):
        make(**kwargs)


def test_the_buffer_under_recsims_name():
    buffer = dqn_agent.wrapped_replay_buffer(
        user_size=1, num_candidates=3, doc_size=2, slate_size=2, batch_size=5
    )
    assert isinstance(buffer, WrappedReplayBuffer)
    assert buffer.batch_size == 5
