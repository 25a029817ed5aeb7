"""Checkpoint files that were spoiled or crafted, and what becomes of them.

    python -m support.checkpoint_corpus    # in the folder ``tests``

reads 300 of them, each in a process of its own, and prints a table: how many were refused, how many
were taken because they hold what was saved (or what a checkpoint may hold), the longest time and
the most memory. It ends with code 1 if one was taken wrongly, ended the process, or took more than
the bounds. ``test_hostile_checkpoints.py`` reads them in one process.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import json
import os
import pickle
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator

import numpy as np

from recsim.simulator import checkpoint

_MARK = b"recsim-sha256:"

#: Bounds of the time that reading takes and of the process's memory: some, and some for each byte.
MOST_SECONDS, SECONDS_A_BYTE = 2.0, 2e-6
MOST_BYTES, BYTES_A_BYTE = 200e6, 80


@dataclasses.dataclass(frozen=True)
class Case:
    """A file, and what is to become of it.

    Attributes:
        family: what it is an example of.
        name: what was done to it.
        content: its bytes.
        verdict: 'refuse'; 'same' if it may only be taken for what was saved; 'data' if it may be
            taken for anything that comes back when it is saved again; or 'take' if it has to be:
            such files are those that others were made of, before something was done to them.
    """

    family: str
    name: str
    content: bytes
    verdict: str


def tree():
    """What the checkpoints hold, before they are spoiled."""
    return {
        "current_iteration": 3,
        "agent": {
            "q": np.arange(60.0).reshape(6, 10),
            "counts": collections.Counter("abca"),
            ("a", 1): [1, 2.5, "x", None, True, b"y", 2**70],
            "default": collections.defaultdict(list, {3: [np.float32(0.5), np.int8(-1)]}),
        },
        "rng": np.random.RandomState(5),
        "streams": [np.random.Generator(np.random.Philox(3)), np.random.default_rng(4)],
        "names": np.array(["ab", "c"]),
        "flags": np.array([True, False]),
        "set": {1, (2, "b")},
    }


def _saved(value) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tree")
        checkpoint.save(path, value)
        with open(path, "rb") as file:
            return file.read()


def resummed(content: bytes) -> bytes:
    """Gives a file the checksum that belongs to it."""
    import hashlib

    body = content[:-64]
    return body + hashlib.sha256(body).hexdigest().encode()


def forged(members, comment=_MARK + bytes(64), compression=zipfile.ZIP_STORED) -> bytes:
    """Returns a file of members with a right checksum."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name) if isinstance(name, str) else name, data)
        archive.comment = comment
    return resummed(buffer.getvalue())


def _document(value, generators=(), **entries) -> str:
    return json.dumps(
        {"format": 1, "tree": value, "generators": list(generators), **entries},
    )


def _npy(array, **kwargs) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **kwargs)
    return buffer.getvalue()


def _npy_of(header: bytes, data: bytes = b"", version=b"\x01\x00") -> bytes:
    length = len(header).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + length + header + data


def _header(descr="'<f8'", shape="(2,)", order="False") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()


def _with_array(data: bytes) -> bytes:
    return forged([("tree.json", _document({"array": 0})), ("array_0.npy", data)])


def with_array(descr: str, shape: str) -> bytes:
    """Returns a checkpoint of one array whose header is written and whose data is not there."""
    return _with_array(_npy_of(_header(descr, shape)))


def _spoiled(random_: random.Random, content: bytes) -> Iterator[Case]:
    """Files that were changed after they were written, whose checksum does not match."""
    size = len(content)

    def case(name, changed):
        return Case("spoiled", name, bytes(changed), "refuse")

    for _ in range(20):
        length = random_.randrange(size)
        yield case(f"truncated after {length} bytes", content[:length])
    for _ in range(25):
        changed = bytearray(content)
        position = random_.randrange(size)
        changed[position] ^= 1 << random_.randrange(8)
        yield case(f"a bit of byte {position} flipped", changed)
    for _ in range(10):
        start = random_.randrange(size - 40)
        changed = content[:start] + bytes(40) + content[start + 40 :]
        if changed != content:
            yield case(f"zeros from byte {start} on", changed)
    for _ in range(5):
        start = random_.randrange(size - 600)
        block, rest = content[start : start + 300], content[start + 300 :]
        yield case(f"a block at {start} moved", content[:start] + rest[:300] + block + rest[300:])
    yield case("a byte more at its end", content + b"\0")
    yield case("a byte more at its beginning", b"\0" + content)
    yield case("twice", content[: size // 2] + content)
    yield case("empty", b"")
    yield case("a pickle", pickle.dumps({"a": os.getcwd}))


def _flipped(random_: random.Random, content: bytes) -> Iterator[Case]:
    """Files with a flipped bit, to which a right checksum was given."""
    for _ in range(60):
        changed = bytearray(content)
        position = random_.randrange(len(content) - 64)
        changed[position] ^= 1 << random_.randrange(8)
        yield Case("checksum forged", f"byte {position}", resummed(bytes(changed)), "same")


_JUNK = [
    None, True, -1, 10**30, 1e308, "", "exec", "__import__('os')", [], {}, [[]], {"array": 0},
    {"array": -1}, {"array": 10**9}, {"generator": 0}, {"generator": 99}, {"scalar": ["|O", "00"]},
    {"scalar": ["<f8", "0000000000000000"]}, {"int": "0x" + "f" * 400}, {"int": "z"},
    {"bytes": "zz"}, {"tuple": [[1], 2]}, {"set": [1, 1]}, {"set": [[1]]}, {"dict": [[1, 2, 3]]},
    {"dict": [[{"dict": []}, 1]]}, {"defaultdict": ["eval", []]}, {"call": ["os.system", "true"]},
]  # fmt: skip


def _mutated(random_: random.Random, content: bytes) -> Iterator[Case]:
    """Files in whose tree something was replaced by what does not belong there."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def places(node, path=()):
        yield path
        items = enumerate(node) if isinstance(node, list) else ()
        for key, item in node.items() if isinstance(node, dict) else items:
            yield from places(item, (*path, key))

    for _ in range(75):
        document = json.loads(members["tree.json"])
        path = random_.choice(list(places(document))[1:])
        owner = document
        for key in path[:-1]:
            owner = owner[key]
        junk = random_.choice(_JUNK)
        owner[path[-1]] = junk
        shown = "/".join(map(str, path))[:40]
        changed = forged([*{**members, "tree.json": json.dumps(document)}.items()])
        yield Case("tree mutated", f"{shown} = {json.dumps(junk)[:30]}", changed, "data")


def _attacks() -> Iterator[Case]:
    """Files made to run code, to end the process, or to take memory or time."""

    def case(name, content, verdict="refuse"):
        return Case("crafted", name, content, verdict)

    def of_tree(name, value, generators=(), **entries):
        return case(name, forged([("tree.json", _document(value, generators, **entries))]))

    def of_generator(name, record, verdict="refuse"):
        arrays: list[np.ndarray] = []
        document = _document({"generator": 0}, [_encoded(record, arrays)])
        members = [(f"array_{i}.npy", _npy(each)) for i, each in enumerate(arrays)]
        return case(name, forged([("tree.json", document), *members]), verdict)

    array = _npy(np.zeros(1000))
    yield case("an array", _with_array(array), "take")
    yield case("an array of version 2", _with_array(_npy(np.zeros(3), version=(2, 0))), "take")
    yield case("an array with two items", _with_array(_npy_of(_header(), bytes(16))), "take")
    yield case("an iteration", forged([("tree.json", _document(1, iteration=3))]), "take")
    yield case("a few keys", forged([("tree.json", _document({"set": [1, 2]}))]), "take")
    named = [{"array": 0}] * 5000
    yield case(
        "an array named 5,000 times",
        forged([("tree.json", _document(named)), ("array_0.npy", array)]),
    )
    deflated = zipfile.ZIP_DEFLATED
    for name, members in {
        "a deflated tree": [("tree.json", _document("a" * 50_000_000))],
        "a deflated array": [
            ("tree.json", _document({"array": 0})),
            ("array_0.npy", _npy(np.zeros(6_000_000))),
        ],
    }.items():
        infos = []
        for member, data in members:
            info = zipfile.ZipInfo(member)
            info.compress_type = deflated
            infos.append((info, data))
        yield case(name, forged(infos))
    overlapping = bytearray(forged([("tree.json", _document([{"array": i} for i in range(50)]))]))
    yield case("members that are not there", bytes(overlapping))
    yield case("overlapping members", _overlapping())
    yield case("two trees", _two_trees())
    yield case("no tree", forged([("array_0.npy", array)]))
    yield case("a tree that is not text", forged([("tree.json", b"\xff\xfe\0")]))
    yield case("a tree that is not JSON", forged([("tree.json", "not json")]))
    yield case(
        "a number of a million digits",
        forged([("tree.json", _document("X").replace('"X"', "9" * 1_000_000))]),
    )
    for depth in (1_000, 100_000):
        deep = _document("X").replace('"X"', "[" * depth + "]" * depth)
        yield case(f"lists {depth:,} deep", forged([("tree.json", deep)]))
    tagged = '{"tuple": [' * 1_000 + "]}" * 1_000
    yield case("tuples 1,000 deep", forged([("tree.json", _document("X").replace('"X"', tagged))]))
    for number in (True, 0, -1, "1", None, 1.0, 2, 10**30):
        yield case(
            f"format {number!r}",
            forged([("tree.json", json.dumps({"format": number, "tree": 1, "generators": []}))]),
        )
    yield of_tree("an iteration below 0", 1, iteration=-1)
    yield of_tree("an iteration that is text", 1, iteration="7")
    yield of_tree("generators that are not a list", 1, generators={"a": 1})

    # Keys.
    modulus = 2**61 - 1
    colliding = [{"int": hex(k * modulus)} for k in range(1, 60_000)]
    yield of_tree("integer keys that collide", {"dict": [[key, 0] for key in colliding]})
    yield of_tree("a set of integers that collide", {"set": colliding})
    yield of_tree("tuples that collide", {"set": [{"tuple": [key]} for key in colliding[:30_000]]})
    floats = [float(k * modulus) for k in range(1, 40_000)]
    yield of_tree("a key that is there twice", {"dict": [["a", 1], ["a", 2]]})
    yield of_tree("a set with an item twice", {"set": [1, 1.0]})
    yield of_tree("keys that are lists", {"dict": [[[1], 2]]})
    del floats

    # Arrays.
    for name, data in {
        "an array of a shape without its bytes": _npy_of(_header(shape="(1000000000000,)")),
        "a shape of many axes": _npy_of(_header(shape="(99999, 99999, 99999)"), bytes(16)),
        "a shape below 0": _npy_of(_header(shape="(-2,)"), bytes(16)),
        "a shape of bools": _npy_of(_header(shape="(True, 2)"), bytes(16)),
        "a shape of text": _npy_of(_header(shape="'ab'"), bytes(16)),
        "items of no bytes": _npy_of(_header("'|V0'", "(1000000000000000,)")),
        "too few bytes": _npy_of(_header(), bytes(15)),
        "too many bytes": _npy_of(_header(), bytes(17)),
        "objects": _npy_of(_header("'|O'"), pickle.dumps([os.getcwd, 1])),
        "objects in records": _npy_of(_header("[('a', '<i4'), ('b', '|O')]"), bytes(24)),
        "a large dtype": _npy_of(_header("[('a', '<f8', (1000000000,))]"), bytes(16)),
        "no dtype": _npy_of(_header("'nonsense'"), bytes(16)),
        "a dtype that is code": _npy_of(_header("__import__('os')"), bytes(16)),
        "a header nested deeply": _npy_of(b"(" * 4000),
        "a header of signs": _npy_of(b"-" * 9000 + b"1"),
        "a long header": _npy_of(b" " * 2_000_000, version=b"\x02\x00"),
        "a header that is not there": b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        "an unknown version": _npy_of(_header(), bytes(16), version=b"\x09\x00"),
        "no array": b"plain text",
        "an empty member": b"",
        "bools that are 7": _npy(np.array([True, False]))[:-2] + b"\x07\x00",
        "characters beyond Unicode": _npy(np.array(["ab"]))[:-8] + b"\xff" * 8,
    }.items():
        yield case(name, _with_array(data))
    for number in (-1, 0.0, "0", None, 10**20):
        yield of_tree(f"the array {number!r}", {"array": number})
    for dtype, text in [
        ("|O", "00" * 8), ("(1000000,)i4", "00"), ("|V100000000", "00"), ("<f8", "00"),
        ("<f8,<f8", "00" * 16), ("<U1", "ffffffff"), ("|b1", "07"), (8, "00"), ("<f8", 8),
    ]:  # fmt: skip
        yield of_tree(f"a scalar of {dtype!r} and {text!r:.10}", {"scalar": [dtype, text]})

    # Generators.
    for name in ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"):
        for kind in ("Generator", "RandomState"):
            yield of_generator(f"{kind} of {name}", _record(name, kind, {"entropy": 5}), "take")
    for name, record in _bad_generators():
        yield of_generator(f"a generator with {name}", record)
    yield of_tree("a generator made of itself", {"generator": 0}, [{"generator": 0}])


def _overlapping() -> bytes:
    """Members whose bytes are those of one: together they are larger than the file."""
    data = _npy(np.zeros(20_000))
    content = bytearray(
        forged(
            [("tree.json", _document([{"array": i} for i in range(90)]))]
            + [("array_00.npy", data)]
            + [(f"array_{i}.npy", b"") for i in range(10, 90)]
        )
    )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        large = archive.getinfo("array_00.npy")
    position = content.find(b"PK\x01\x02")
    while position != -1:
        name_length = int.from_bytes(content[position + 28 : position + 30], "little")
        name = bytes(content[position + 46 : position + 46 + name_length])
        if name.startswith(b"array_") and len(name) == len("array_00.npy"):
            content[position + 16 : position + 20] = large.CRC.to_bytes(4, "little")
            for at in (20, 24):
                content[position + at : position + at + 4] = large.file_size.to_bytes(4, "little")
            offset = large.header_offset.to_bytes(4, "little")
            content[position + 42 : position + 46] = offset
        position = content.find(b"PK\x01\x02", position + 4)
    return resummed(bytes(content))


def _two_trees() -> bytes:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return forged([("tree.json", _document(1)), ("tree.json", _document(2))])


def _encoded(value, arrays):
    """Returns the JSON of plain data, as checkpoints have it, and adds its arrays to others."""
    if isinstance(value, dict):
        return {"dict": [[key, _encoded(item, arrays)] for key, item in value.items()]}
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, tuple):
        return {"tuple": [_encoded(item, arrays) for item in value]}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 63:
        return {"int": hex(value)}
    return value


def _record(name, kind="Generator", sequence=None, **changes):
    """Returns the record of a generator, with fields changed."""
    bits = getattr(np.random, name)(1)
    state = bits.state
    if kind == "RandomState":
        state = np.random.RandomState(bits).get_state(legacy=False)
    state = {**state, "state": dict(state["state"])}
    for field, value in changes.items():
        owner = state["state"] if field in state["state"] else state
        owner[field] = value
    record = {"kind": kind, "state": state}
    if sequence is not None:
        fields = {"entropy": 1, "spawn_key": (), "pool_size": 4, "n_children_spawned": 0}
        record["seed_sequence"] = {**fields, **sequence}
    return record


def _bad_generators():
    """Yields what is wrong with a generator, and its record."""
    for pos in (-1, 625, 2**31, 10**20, True, 1.5, "3", None):
        yield f"MT19937 pos {pos!r}", _record("MT19937", "RandomState", pos=pos)
    yield "MT19937 of zeros", _record("MT19937", "RandomState", key=np.zeros(624, np.uint32))
    yield "a short key", _record("MT19937", key=np.ones(623, np.uint32))
    yield "a key of text", _record("MT19937", key=np.full(624, "a"))
    yield "a gauss that is nan", _record("MT19937", "RandomState", gauss=float("nan"))
    yield "has_gauss 2", _record("MT19937", "RandomState", has_gauss=2)
    for position in (-1, 5, 10**6):
        yield f"Philox buffer_pos {position}", _record("Philox", buffer_pos=position)
    yield "a Philox without its buffer", _record("Philox", buffer=None)
    yield "a Philox counter of 3", _record("Philox", counter=np.zeros(3, np.uint64))
    yield "PCG64 that is even", _record("PCG64", inc=2)
    yield "PCG64 of 200 bits", _record("PCG64", state=1 << 200)
    yield "PCG64DXSM below 0", _record("PCG64DXSM", state=-1)
    yield "has_uint32 7", _record("PCG64", has_uint32=7)
    yield "uinteger of 40 bits", _record("SFC64", uinteger=1 << 40)
    yield "SFC64 of 3 words", _record("SFC64", state=np.ones(3, np.uint64))
    yield "another bit generator", _record("PCG64", bit_generator="system")
    yield "a further field", _record("PCG64", surprise=1)
    yield "another kind", {**_record("PCG64"), "kind": "exec"}
    yield "huge entropy", _record("PCG64", sequence={"entropy": 1 << 8_000_000})
    yield "entropy below 0", _record("PCG64", sequence={"entropy": -1})
    yield "no entropy", _record("PCG64", sequence={"entropy": None})
    yield "a long spawn key", _record("PCG64", sequence={"spawn_key": tuple(range(100_000))})
    yield "a large pool", _record("PCG64", sequence={"pool_size": 100_000_000})
    yield "spawned below 0", _record("PCG64", sequence={"n_children_spawned": -1})


def cases() -> list[Case]:
    """Returns all files, the same ones at each call."""
    random_ = random.Random("checkpoints")
    content = _saved(tree())
    good = [
        Case("as it was saved", "", content, "take"),
        Case("as it was saved", "with a checksum made anew", resummed(content), "take"),
    ]
    return [
        *good,
        *_spoiled(random_, content),
        *_flipped(random_, content),
        *_mutated(random_, content),
        *_attacks(),
    ]


def read(path: str) -> object:
    """Reads a checkpoint, and draws from what generators it holds, as whoever resumes would."""
    loaded = checkpoint.load(path)
    stack = [loaded]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            stack += value
        elif isinstance(value, (np.random.RandomState, np.random.Generator)):
            value.standard_normal(1000)
            value.permutation(100)
            value.bytes(3)
        elif isinstance(value, np.ndarray):
            value.tolist()
    return checkpoint.load(path)


def taken_rightly(case: Case, loaded: object) -> bool:
    """Says whether a file that was taken may be."""
    if case.verdict == "refuse":
        return False
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "again")
        checkpoint.save(path, loaded)
        with open(path, "rb") as file:
            again = file.read()
    return case.verdict != "same" or again == _saved(tree())


def _one(path: str) -> None:
    """Reads the file of a case; writes what became of it."""
    with open(path + ".case", "rb") as file:
        case = Case(**json.loads(file.read()), content=b"")
    start = time.perf_counter()
    outcome = {}
    try:
        loaded = read(path)
    except checkpoint.CheckpointError as error:
        outcome = {"outcome": "refused", "error": str(error)}
    seconds = time.perf_counter() - start
    # Not getrusage: it counts what the process that started this one had.
    with open("/proc/self/status") as file:
        (most,) = (1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    if not outcome:
        right = taken_rightly(case, loaded)
        outcome = {"outcome": "taken" if right else "taken wrongly"}
    print(json.dumps({**outcome, "seconds": seconds, "bytes": most}))


def main() -> int:
    """Reads all files and prints the table."""
    rows: dict[str, list[dict]] = {}
    bad = []
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(cases()):
            path = os.path.join(folder, f"ckpt.{number}")
            with open(path, "wb") as file:
                file.write(case.content)
            with open(path + ".case", "w") as file:
                json.dump({"family": case.family, "name": case.name, "verdict": case.verdict}, file)
            try:
                done = subprocess.run(
                    [sys.executable, __file__, path], capture_output=True, text=True, timeout=120
                )
                row = json.loads(done.stdout) if done.returncode == 0 else {
                    "outcome": f"ended with {done.returncode}: {done.stderr[-300:]}",
                    "seconds": 0.0, "bytes": 0,
                }  # fmt: skip
            except subprocess.TimeoutExpired:
                row = {"outcome": "took more than 120 s", "seconds": 120.0, "bytes": 0}
            size = len(case.content)
            within = (
                row["seconds"] <= MOST_SECONDS + SECONDS_A_BYTE * size
                and row["bytes"] <= MOST_BYTES + BYTES_A_BYTE * size
            )
            if row["outcome"] not in ("refused", "taken") or not within:
                bad.append((case.family, case.name, size, row))
            if case.verdict == "take" and row["outcome"] != "taken":
                bad.append((case.family, case.name, size, row))
            rows.setdefault(case.family, []).append(row)
            os.remove(path)
    heads = ["Files", "Number", "Refused", "Taken rightly", "Taken wrongly", "Longest (s)"]
    print(f"| {' | '.join([*heads, 'Largest process (MB)'])} |\n|{'---|' * 7}")
    for family, found in rows.items():
        outcomes = collections.Counter(row["outcome"] for row in found)
        wrong = len(found) - outcomes["refused"] - outcomes["taken"]
        print(
            f"| {family} | {len(found)} | {outcomes['refused']} | {outcomes['taken']} | {wrong} | "
            f"{max(row['seconds'] for row in found):.2f} | "
            f"{max(row['bytes'] for row in found) / 1e6:.0f} |"
        )
    print(f"\n{sum(map(len, rows.values()))} files, {len(bad)} of them not as they should be.")
    for problem in bad:
        print(problem)
    return 1 if bad else 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _one(sys.argv[1])
    else:
        sys.exit(main())
