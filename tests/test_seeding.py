"""Named streams, generators' states as data, and draws made faster from the same stream."""

import numpy as np
import pytest

from recsim import seeding


def test_names_and_seeds_give_streams_of_their_own():
    streams = {
        (seed, name): tuple(seeding.named_random_state(seed, name).random_sample(4))
        for seed in (0, 1)
        for name in ("user model", "agent")
    }
    streams["plain"] = tuple(np.random.RandomState(0).random_sample(4))
    assert len(set(streams.values())) == 5
    again = seeding.named_random_state(0, "agent").random_sample(4)
    assert tuple(again) == streams[0, "agent"]


def test_a_stream_without_a_seed_is_new_each_time():
    first, second = (seeding.named_random_state(None, "x").random_sample(4) for _ in range(2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_a_restored_generator_continues(make):
    rng, other = make(3), make(4)
    rng.standard_normal()  # RandomState keeps a second number for the next call.
    seeding.restore_generator(other, seeding.generator_state(rng))
    assert other.standard_normal(5).tolist() == rng.standard_normal(5).tolist()


def test_a_state_of_another_kind_is_refused():
    state = seeding.generator_state(np.random.Generator(np.random.Philox(1)))
    with pytest.raises(ValueError, match="PCG64"):
        seeding.restore_generator(np.random.default_rng(0), state)


@pytest.mark.parametrize("high", [1, 2, 3, 20, 32, 33, 1000])
def test_integers_and_normals_are_those_of_randint_and_standard_normal(high):
    rng, numpys = np.random.RandomState(7), np.random.RandomState(7)
    integers, normals = seeding.integers_and_normals(rng, high, 51)
    expected = [(numpys.randint(high), numpys.standard_normal()) for _ in range(51)]
    assert list(zip(integers, normals, strict=True)) == expected
    assert rng.random_sample() == numpys.random_sample()


def test_integers_and_normals_of_another_bit_generator():
    rng, numpys = (np.random.RandomState(np.random.PCG64(7)) for _ in range(2))
    integers, normals = seeding.integers_and_normals(rng, 20, 9)
    expected = [(numpys.randint(20), numpys.standard_normal()) for _ in range(9)]
    assert list(zip(integers, normals, strict=True)) == expected


def test_owners_without_a_generator_have_no_state():
    class Owner:
        _rng = "no generator"

    assert seeding.owned_state(Owner()) is None
    assert seeding.owned_state(object()) is None
    seeding.restore_owned(object(), None)
