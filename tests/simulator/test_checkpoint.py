"""Checkpoints: what goes in comes out, what does not fit is named, and bad files are told."""

from __future__ import annotations

import collections
import hashlib
import io
import json
import math
import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recsim.simulator import checkpoint


def roundtrip(tree, folder):
    path = folder / "tree"
    checkpoint.save(path, tree)
    return checkpoint.load(path)


def assert_same(first, second):
    """Equal in type, value and order, with nan equal to itself and -0.0 told from 0.0."""
    assert type(first) is type(second)
    if isinstance(first, np.ndarray):
        assert (first.dtype, first.shape) == (second.dtype, second.shape)
        assert first.tobytes() == second.tobytes()
    elif isinstance(first, np.generic):
        assert first.dtype == second.dtype
        assert first.tobytes() == second.tobytes()
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    elif isinstance(first, dict):
        assert_same(list(first), list(second))
        assert_same(list(first.values()), list(second.values()))
    elif isinstance(first, (set, frozenset)):  # A nan in it is not equal to itself.
        assert sorted(map(repr, first)) == sorted(map(repr, second))
    elif isinstance(first, float):
        assert repr(first) == repr(second)
    else:
        assert first == second


ARRAYS = hnp.arrays(
    dtype=st.one_of(
        hnp.boolean_dtypes(),
        hnp.integer_dtypes(),
        hnp.floating_dtypes(),
        hnp.complex_number_dtypes(),
        hnp.unicode_string_dtypes(),
        hnp.byte_string_dtypes(),
        hnp.datetime64_dtypes(),
    ),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(st.characters()),
    st.binary(),
)
KEYS = st.recursive(SCALARS, lambda keys: st.tuples(keys, keys), max_leaves=3)
TREES = st.recursive(
    SCALARS | ARRAYS,
    lambda trees: st.one_of(
        st.lists(trees, max_size=4),
        st.lists(trees, max_size=4).map(tuple),
        st.dictionaries(KEYS, trees, max_size=4),
        st.sets(KEYS, max_size=4),
        st.frozensets(KEYS, max_size=4),
    ),
    max_leaves=12,
)


@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tree=TREES)
def test_a_tree_comes_back_exactly(tree, tmp_path):
    assert_same(roundtrip(tree, tmp_path), tree)


def test_integers_of_any_size(tmp_path):
    numbers = [2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 7**9000, -(7**9000)]
    assert list(map(hex, roundtrip(numbers, tmp_path))) == list(map(hex, numbers))


def test_numpy_scalars_keep_their_type(tmp_path):
    scalars = [
        np.float32(0.1),
        np.float64(math.pi),
        np.longdouble(1) / 3,
        np.int8(-3),
        np.uint64(2**64 - 1),
        np.bool_(True),
        np.complex64(1 - 2j),
        np.datetime64("2020-01-01T12:00", "s"),
        np.timedelta64(3, "D"),
        np.str_("ä\x00b"),
        np.str_(""),
        np.bytes_(b"a\x00"),
    ]
    assert_same(roundtrip(scalars, tmp_path), scalars)


def test_arrays_keep_byte_order_structure_and_writability(tmp_path):
    swapped = np.arange(6, dtype=">i4").reshape(2, 3)
    table = np.array([(1, 2.5), (3, 4.5)], dtype=[("id", "i8"), ("score", "f4")])
    loaded = roundtrip([swapped, np.asfortranarray(swapped), table], tmp_path)
    for one, other in zip(loaded, [swapped, swapped, table], strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
        assert one.flags.writeable


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((), "f4"),
        np.zeros((0, 3)),
        np.zeros(0, "U"),
        np.array(["", "ab"]),
        np.zeros(3, [("empty", "S0"), ("id", "i4")]),
    ],
)
def test_arrays_with_little_in_them_come_back(array, tmp_path):
    loaded = roundtrip(array, tmp_path)
    assert (loaded.dtype, loaded.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(loaded, array)


@pytest.mark.parametrize("name", ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"])
@pytest.mark.parametrize("kind", [np.random.Generator, np.random.RandomState])
def test_a_generator_continues_where_it_stopped(kind, name, tmp_path):
    rng = kind(getattr(np.random, name)(5))
    rng.standard_normal()
    rng.bytes(3)
    loaded = roundtrip({"rng": rng}, tmp_path)["rng"]
    assert type(loaded) is kind
    np.testing.assert_array_equal(loaded.standard_normal(9), rng.standard_normal(9))
    np.testing.assert_array_equal(loaded.permutation(50), rng.permutation(50))


def test_a_restored_generator_spawns_the_same_children(tmp_path):
    rng = np.random.default_rng(3)
    rng.spawn(2)
    loaded = roundtrip(rng, tmp_path)
    assert loaded.spawn(1)[0].random() == rng.spawn(1)[0].random()


def test_what_shares_a_generator_still_shares_it(tmp_path):
    rng = np.random.RandomState(1)
    loaded = roundtrip(
        {"user": rng, "documents": [rng], "other": np.random.RandomState(1)}, tmp_path
    )
    assert loaded["user"] is loaded["documents"][0]
    assert loaded["user"] is not loaded["other"]


class Evil:
    def __reduce__(self):
        return (os._exit, (3,))


@pytest.mark.parametrize(
    ("tree", "place", "kind"),
    [
        ({"agent": {"q_table": [1, 2, 3, object()]}}, "agent.q_table[3]", "builtins.object"),
        ({"agent": {("a", 1): lambda: 0}}, "agent[('a', 1)]", "function"),
        ({"a b": Evil()}, "['a b']", "Evil"),
        (np.array([None, 1]), "The tree", "dtype object"),
        ([np.array([(1, None)], dtype=[("a", "i4"), ("b", "O")])], "[0]", "Python objects"),
        ({"x": np.ma.masked_array([1, 2], [0, 1])}, "x", "MaskedArray"),
        ({object: 1}, "[<class 'object'>]", "builtins.type"),
        ({"c": 1j}, "c", "complex"),
        # NumPy makes arrays of strings only with room for a character: these are of fields.
        ({"x": np.zeros(3, [("a", "S0")])["a"]}, "x", "items have no bytes (dtype |S0)"),
        ({"x": np.zeros(3, [("a", "U0")])["a"]}, "x", "items have no bytes (dtype <U0)"),
        ({"x": np.zeros(3, "V0")}, "x", "items have no bytes (dtype |V0)"),
        ({"x": np.zeros(3, "V0")[0]}, "x", "items have no bytes (dtype |V0)"),
        ({"d": collections.defaultdict(Evil)}, "d", "a defaultdict with the factory"),
        ({"d": collections.defaultdict(None)}, "d", "a defaultdict with the factory None"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tree, place, kind, tmp_path):
    with pytest.raises(TypeError) as caught:
        checkpoint.save(tmp_path / "tree", tree)
    assert str(caught.value).startswith(f"{place} cannot go into a checkpoint: ")
    assert kind in str(caught.value)
    assert "bundle_and_checkpoint" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_subclasses_are_refused_since_they_would_come_back_as_something_else(tmp_path):
    class Table(dict):
        pass

    class Name(str):
        pass

    for value in (Table(), Name("a"), type("R", (np.random.RandomState,), {})()):
        with pytest.raises(TypeError, match="cannot go into a checkpoint"):
            checkpoint.save(tmp_path / "tree", [value])


def test_mappings_of_pythons_come_back_as_what_they_were(tmp_path):
    counts = collections.defaultdict(int, {"a": 2})
    nested = collections.defaultdict(list, {(1, 2): [np.arange(2)]})
    tree = {
        "counts": counts,
        "nested": nested,
        "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
        "counter": collections.Counter("abca"),
    }
    checkpoint.save(tmp_path / "tree", tree)
    loaded = checkpoint.load(tmp_path / "tree")
    assert {name: type(value) for name, value in loaded.items()} == {
        name: type(value) for name, value in tree.items()
    }
    assert {name: loaded[name] for name in ("counts", "ordered", "counter")} == {
        name: tree[name] for name in ("counts", "ordered", "counter")
    }
    loaded["counts"]["new"] += 1
    loaded["nested"]["new"].append(3)
    assert loaded["counts"] == {"a": 2, "new": 1}
    assert loaded["nested"][1, 2][0].tolist() == [0, 1]
    assert list(loaded["ordered"]) == ["b", "a"]


def test_a_container_that_holds_itself_is_refused(tmp_path):
    tree: list = []
    tree.append(tree)
    with pytest.raises(ValueError, match="hold itself"):
        checkpoint.save(tmp_path / "tree", tree)


def test_a_refused_tree_leaves_the_old_file(tmp_path):
    checkpoint.save(tmp_path / "tree", 1)
    with pytest.raises(TypeError):
        checkpoint.save(tmp_path / "tree", object())
    assert checkpoint.load(tmp_path / "tree") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


def test_equal_trees_give_equal_files(tmp_path):
    tree = {"a": np.arange(3), "rng": np.random.RandomState(4)}
    checkpoint.save(tmp_path / "one", tree)
    checkpoint.save(tmp_path / "two", tree)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_other_tools_can_read_the_file(tmp_path):
    checkpoint.save(tmp_path / "tree", {"weights": np.arange(4.0)})
    with zipfile.ZipFile(tmp_path / "tree") as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("tree.json"))["tree"] == {
            "dict": [["weights", {"array": 0}]]
        }
    with np.load(tmp_path / "tree") as arrays:
        np.testing.assert_array_equal(arrays["array_0"], np.arange(4.0))


def test_every_truncation_and_every_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "tree"
    checkpoint.save(path, {"a": [1, 2.5, "x"], "b": np.arange(2)})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(checkpoint.CheckpointError):
            checkpoint.load(path)
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        path.write_bytes(bytes(changed))
        with pytest.raises(checkpoint.CheckpointError):
            checkpoint.load(path)
    path.write_bytes(content)
    assert checkpoint.load(path)["a"] == [1, 2.5, "x"]


def test_bad_files_are_described(tmp_path):
    path = tmp_path / "ckpt.4"
    checkpoint.save(path, {"a": 1})
    good = path.read_bytes()
    foreign = tmp_path / "other.zip"
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("a.txt", "a")
    contents = {
        "is empty": b"",
        "is not a checkpoint of recsim": pickle.dumps(Evil()),
        "is truncated": good[:-20],
        "was altered": good.replace(b'["a"', b'["b"'),
        "or an archive that recsim did not write": foreign.read_bytes(),
    }
    for fault, content in contents.items():
        path.write_bytes(content)
        with pytest.raises(checkpoint.CheckpointError, match=fault) as caught:
            checkpoint.load(path)
        assert str(path) in str(caught.value)
        assert "Delete it" in str(caught.value)


def forge(path, document):
    """Writes a file with a right checksum and any content."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("tree.json", document)
        archive.comment = b"recsim-sha256:" + bytes(64)
    data = content.getvalue()[:-64]
    path.write_bytes(data + hashlib.sha256(data).hexdigest().encode())


@pytest.mark.parametrize(
    "document",
    [
        "not json",
        "[]",
        '{"format": 1, "generators": [], "tree": {"call": ["os.system", "true"]}}',
        '{"format": 1, "generators": [], "tree": {"array": 0}}',
        '{"format": 1, "generators": [], "tree": {"scalar": ["|O", "00000000000000000"]}}',
        '{"format": 1, "generators": [], "tree": {"generator": 0}}',
        '{"format": 1, "generators": [], "tree": {"defaultdict": ["exec", []]}}',
        '{"format": 1, "generators": [{"dict": [["kind", "system"]]}], "tree": null}',
        '{"format": 1, "generators": [], "tree": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
def test_a_forged_content_is_an_error_not_a_call(document, tmp_path):
    forge(tmp_path / "tree", document)
    with pytest.raises(checkpoint.CheckpointError, match="not its content"):
        checkpoint.load(tmp_path / "tree")


def test_a_newer_format_asks_for_an_upgrade(tmp_path):
    forge(tmp_path / "tree", '{"format": 2, "generators": [], "tree": null}')
    with pytest.raises(checkpoint.CheckpointError, match="upgrade"):
        checkpoint.load(tmp_path / "tree")


def test_the_checkpointer_keeps_the_newest(tmp_path):
    checkpointer = checkpoint.Checkpointer(tmp_path / "checkpoints", keep=2)
    assert checkpointer.iterations() == []
    assert checkpointer.load_newest() is None
    for iteration in (8, 9, 10):
        checkpointer.save(iteration, {"iteration": iteration})
    assert checkpointer.iterations() == [9, 10]
    assert checkpointer.load_newest() == (10, {"iteration": 10})


def test_prefixes_do_not_mix(tmp_path):
    one = checkpoint.Checkpointer(tmp_path, "a")
    other = checkpoint.Checkpointer(tmp_path, "a.b")
    one.save(1, "one")
    other.save(2, "other")
    (tmp_path / "a.x").touch()
    assert one.load_newest() == (1, "one")
    assert other.load_newest() == (2, "other")


def test_the_newest_good_checkpoint_is_taken(tmp_path, caplog):
    checkpointer = checkpoint.Checkpointer(tmp_path)
    for iteration in range(3):
        checkpointer.save(iteration, iteration)
    path = tmp_path / "ckpt.2"
    path.write_bytes(path.read_bytes()[:-1])
    assert checkpointer.load_newest() == (1, 1)
    assert "ckpt.2" in caplog.text

    for iteration in range(2):
        (tmp_path / f"ckpt.{iteration}").write_bytes(b"no")
    with pytest.raises(checkpoint.CheckpointError, match="No checkpoint in .* is good"):
        checkpointer.load_newest()


def test_leftovers_of_a_killed_process_are_ignored_and_removed(tmp_path):
    checkpointer = checkpoint.Checkpointer(tmp_path)
    checkpointer.save(1, 1)
    (tmp_path / f".ckpt.2.{'0a' * 16}.tmp").write_bytes(b"PK")
    (tmp_path / ".own.2.tmp").touch()
    assert checkpointer.iterations() == [1]
    checkpointer.remove_unfinished()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".own.2.tmp", "ckpt.1"]


@pytest.mark.parametrize("prefix", ["", "a/b", "../a"])
def test_a_prefix_must_be_a_file_name(prefix, tmp_path):
    with pytest.raises(ValueError, match="prefix"):
        checkpoint.Checkpointer(tmp_path, prefix)


def test_keep_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="keep must be an integer >= 1, got 0"):
        checkpoint.Checkpointer(tmp_path, keep=0)


def test_a_folder_on_the_way_is_made(tmp_path):
    checkpoint.save(tmp_path / "missing" / "tree", 1)
    assert checkpoint.load(tmp_path / "missing" / "tree") == 1


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        checkpoint.save(tmp_path / "file" / "tree", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
