"""Checkpoints that were spoiled or crafted are refused, quickly, and run nothing."""

from __future__ import annotations

import collections
import os
import time

import numpy as np
import pytest
from support import checkpoint_corpus

from recsim import seeding
from recsim.simulator import checkpoint

CASES = checkpoint_corpus.cases()


@pytest.mark.parametrize("family", sorted({case.family for case in CASES}))
def test_no_file_is_taken_wrongly(family, tmp_path):
    wrong = []
    for case in CASES:
        if case.family != family:
            continue
        path = tmp_path / "ckpt.3"
        path.write_bytes(case.content)
        start = time.process_time()
        try:
            loaded = checkpoint_corpus.read(path)
        except checkpoint.CheckpointError:
            taken = False
        else:
            taken = True
            if not checkpoint_corpus.taken_rightly(case, loaded):
                wrong.append(case.name)
        seconds = time.process_time() - start
        # Ten times the bounds of the full run, for a machine that is busy.
        limit = checkpoint_corpus.MOST_SECONDS + checkpoint_corpus.SECONDS_A_BYTE * len(
            case.content
        )
        if seconds > 10 * limit:
            wrong.append(f"{case.name}: {seconds:.1f} s")
        if case.verdict == "take" and not taken:
            wrong.append(f"{case.name}: refused")
    assert wrong == []


def test_there_are_300_files():
    counts = collections.Counter(case.family for case in CASES)
    assert sum(counts.values()) >= 300
    assert len(counts) == 5
    assert sum(case.verdict == "take" for case in CASES) > 10


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_refused(kind, tmp_path):
    path = tmp_path / "ckpt.1"
    if kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(checkpoint.CheckpointError, match="is not a file"):
        checkpoint.load(path)
    assert not checkpoint.is_checkpoint(path)


@pytest.mark.parametrize("descr", ["'|S0'", "'<U0'", "('<f8', (0,))"])
@pytest.mark.parametrize("shape", ["(200,)", "()", "(0,)"])
def test_memory_that_is_not_of_the_file_is_not_returned(descr, shape, tmp_path):
    path = tmp_path / "ckpt.1"
    path.write_bytes(checkpoint_corpus.with_array(descr, shape))
    with pytest.raises(checkpoint.CheckpointError, match="there are no arrays of dtype"):
        checkpoint.load(path)


@pytest.mark.parametrize("name", ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"])
def test_states_that_generators_get_into_pass(name):
    for kind in (np.random.RandomState, np.random.Generator):
        rng = kind(getattr(np.random, name)(3))
        other = kind(getattr(np.random, name)(4))
        for draw in (lambda r: r.standard_normal(), lambda r: r.bytes(3), lambda r: r.random(700)):
            draw(rng)
            seeding.restore_generator(other, seeding.generator_state(rng))
            np.testing.assert_array_equal(other.random(5), rng.random(5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pos": 10**6}, r"MT19937's pos must be in \[0, 624\], got 1000000"),
        ({"pos": -1}, "MT19937's pos must be in"),
        ({"pos": "3"}, "MT19937's pos must be an integer"),
        ({"key": np.zeros(624, np.uint32)}, "must not be zeros"),
        ({"key": np.ones(624)}, "must be an array of 624 uint32"),
    ],
)
def test_a_state_that_would_end_the_process_is_refused_where_it_is_restored(change, message):
    rng = np.random.RandomState(1)
    before = seeding.generator_state(rng)
    state = {**before, "state": {**before["state"], **change}}
    with pytest.raises((TypeError, ValueError), match=message):
        seeding.restore_generator(rng, state)
    np.testing.assert_array_equal(rng.get_state()[1], before["state"]["key"])


def test_a_generator_that_could_not_be_read_is_not_saved(tmp_path):
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(1 << 10_000)))
    with pytest.raises(TypeError, match=r"rng cannot go into a checkpoint"):
        checkpoint.save(tmp_path / "tree", {"rng": rng})


# The checkpoints of a run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_last_good_ones_are_kept_and_the_bad_ones_set_aside(tmp_path, caplog):
    first = checkpoint.Checkpointer(tmp_path, keep=99)
    for iteration in (3, 9, 10, 11):
        first.save(iteration, iteration)
    for iteration in (9, 10, 11):
        (tmp_path / f"ckpt.{iteration}").write_bytes(b"spoiled")
    resumed = checkpoint.Checkpointer(tmp_path, keep=3)
    assert resumed.load_newest() == (3, 3)
    resumed.save(4, 4)
    assert names(tmp_path) == ["ckpt.10.bad", "ckpt.11.bad", "ckpt.3", "ckpt.4", "ckpt.9.bad"]
    assert caplog.text.count("is not the good checkpoint that its name says") == 3
    for iteration in (5, 6):
        resumed.save(iteration, iteration)
    assert [name for name in names(tmp_path) if not name.endswith(".bad")] == [
        "ckpt.4",
        "ckpt.5",
        "ckpt.6",
    ]
    assert resumed.load_newest() == (6, 6)
    assert (tmp_path / "ckpt.9.bad").read_bytes() == b"spoiled"


def test_what_was_just_saved_is_never_pruned(tmp_path):
    checkpointer = checkpoint.Checkpointer(tmp_path, keep=1)
    checkpointer.save(8, 8)
    checkpointer.save(2, 2)
    assert names(tmp_path) == ["ckpt.2", "ckpt.8"]


def test_a_checkpoint_that_was_spoiled_after_it_was_saved_is_noticed(tmp_path):
    checkpointer = checkpoint.Checkpointer(tmp_path, keep=2)
    for iteration in (1, 2):
        checkpointer.save(iteration, iteration)
    (tmp_path / "ckpt.2").write_bytes(b"spoiled since")
    checkpointer.save(3, 3)
    assert names(tmp_path) == ["ckpt.1", "ckpt.2.bad", "ckpt.3"]


def test_the_content_says_which_iteration_it_is(tmp_path, caplog):
    checkpointer = checkpoint.Checkpointer(tmp_path)
    for iteration in (1, 2, 3):
        checkpointer.save(iteration, iteration)
    (tmp_path / "ckpt.2").rename(tmp_path / "ckpt.17")
    assert checkpointer.load_newest() == (3, 3)
    (tmp_path / "ckpt.3").rename(tmp_path / "ckpt.00")
    for again in (checkpointer, checkpoint.Checkpointer(tmp_path)):
        caplog.clear()
        assert again.load_newest() == (3, 3)
        assert "ckpt.00' holds the checkpoint of iteration 3" in caplog.text
    checkpointer.save(17, 17)
    assert checkpointer.load_newest() == (17, 17)
    assert "ckpt.17.bad" in names(tmp_path)


@pytest.mark.parametrize("name", ["ckpt.7", "ckpt.00"])
def test_a_folder_with_a_checkpoints_name_is_passed_over(name, tmp_path, caplog):
    checkpointer = checkpoint.Checkpointer(tmp_path)
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine").touch()
    with pytest.raises(checkpoint.CheckpointError, match="is not a file"):
        checkpointer.load_newest()
    (tmp_path / name).rename(tmp_path / "other")
    checkpointer.save(6, 6)
    (tmp_path / "other").rename(tmp_path / name)
    assert checkpointer.load_newest() == (6, 6)
    checkpointer.save(7, 7)
    assert names(tmp_path) == sorted(["ckpt.6", "ckpt.7", f"{name}.bad"])
    assert (tmp_path / f"{name}.bad" / "mine").exists()


@pytest.mark.parametrize("target", ["nowhere", "ckpt.7"])
def test_a_link_that_cannot_be_followed_is_set_aside(target, tmp_path, caplog):
    checkpointer = checkpoint.Checkpointer(tmp_path)
    link = tmp_path / "ckpt.7"
    link.symlink_to(target)
    with pytest.raises(checkpoint.CheckpointError, match=r"ckpt\.7' is a link that leads"):
        checkpointer.load_newest()
    link.unlink()
    checkpointer.save(5, 5)
    link.symlink_to(target)
    for again in (checkpointer, checkpoint.Checkpointer(tmp_path)):
        caplog.clear()
        assert again.load_newest() == (5, 5)
        assert "ckpt.7' is a link that" in caplog.text
    checkpointer.save(6, 6)
    assert names(tmp_path) == ["ckpt.5", "ckpt.6", "ckpt.7.bad"]
    link.symlink_to(target)
    checkpointer.save(7, 7)
    assert checkpointer.load_newest() == (7, 7)
    assert names(tmp_path) == ["ckpt.5", "ckpt.6", "ckpt.7", "ckpt.7.bad", "ckpt.7.bad_2"]
    assert not link.is_symlink()


def test_a_link_is_followed_again_once_it_leads_somewhere(tmp_path):
    checkpointer = checkpoint.Checkpointer(tmp_path)
    checkpointer.save(1, 1)
    (tmp_path / "ckpt.3").symlink_to("moved")
    assert checkpointer.load_newest() == (1, 1)
    checkpoint.Checkpointer(tmp_path / "other").save(3, 3)
    (tmp_path / "other/ckpt.3").rename(tmp_path / "moved")
    assert checkpointer.load_newest() == (3, 3)


@pytest.mark.parametrize("target", ["nowhere", "link"])
def test_a_link_that_leads_nowhere_is_no_checkpoint(target, tmp_path):
    path = tmp_path / "link"
    path.symlink_to(target)
    with pytest.raises(checkpoint.CheckpointError, match="is a link that leads nowhere"):
        checkpoint.load(path)
    assert not checkpoint.is_checkpoint(path)


def test_a_checkpoint_from_before_files_said_their_iteration(tmp_path):
    checkpointer = checkpoint.Checkpointer(tmp_path)
    checkpoint.save(tmp_path / "ckpt.9", {"current_iteration": 4})
    checkpoint.save(tmp_path / "ckpt.3", "no run")
    assert checkpointer.load_newest() == (4, {"current_iteration": 4})
    (tmp_path / "ckpt.9").unlink()
    assert checkpointer.load_newest() == (3, "no run")
