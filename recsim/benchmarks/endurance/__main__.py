"""The command ``python -m recsim.benchmarks.endurance``."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shlex
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recsim._internal import command_line, files, json_text, paths, provenance
from recsim.benchmarks.endurance import calls, checkpoints, disks, kills, results, soak
from recsim.experiments import tables

__all__ = ["main"]

_PROGRAM = "python -m recsim.benchmarks.endurance"
_DESCRIPTION = """\
Runs simulations and trainings for hours and watches memory, files and processes;
kills runs at random moments, fills their disks, spoils their checkpoints, and
calls the library with absurd arguments. Prints what was found, and ends with
code 1 if anything went wrong.
"""
_EXAMPLES = f"""\
examples:
  {_PROGRAM} --quick
  {_PROGRAM} --phases soak --hours 1 --output endurance.json
"""

#: How many cases of each phase there are, in full and with ``--quick``.
_CASES: dict[str, tuple[Callable[[str, int, int], results.Phase], int, int]] = {
    "kills": (kills.run, 10, 1),
    "disks": (disks.run, 5, 1),
    "checkpoints": (checkpoints.run, 5, 1),
    "calls": (calls.run, 500, 20),
}
_HOURS = 1.0
_QUICK_SECONDS = 30.0


def main(argv: Sequence[str] | None = None) -> int:
    """Goes through the phases, prints and writes their tables; returns the exit status."""
    with command_line.orderly_exit("endurance"):
        arguments = list(sys.argv[1:] if argv is None else argv)
        parser = _parser()
        options = parser.parse(arguments)
        if options.soak_process:
            seconds, folder, samples = options.soak_process
            soak.run(float(seconds), folder, samples)
            return 0
        if sys.platform != "linux":
            parser.error("it needs Linux: processes are forked, and /proc is read")
        output = None
        with command_line.user_errors(parser, *command_line.REFUSALS):
            _earlier(options.output)
            if options.output is not None:
                output = paths.output_file("output", options.output)
        phases: dict[str, Any] = {}
        for name in options.phases:
            print(f"{results.TITLES[name]} …", file=sys.stderr, flush=True)
            phases[name] = found = _phase(name, options, arguments)
            notes = textwrap.fill(found["notes"], 100)
            table = tables.Table(notes, found["header"], found["rows"])
            print(f"{tables.plain(table, width=100)}\n", flush=True)
            for problem in found["problems"]:
                print(f"WRONG: {problem}", file=sys.stderr)
            if output is not None:
                _write(phases, output)
        passed = results.is_passed({"phases": phases})
        print("Nothing went wrong." if passed else "Something went wrong.")
        return 0 if passed else 1


def _earlier(output: str | None) -> dict[str, Any]:
    """Returns the record that is in a file, or one without phases."""
    empty: dict[str, Any] = {"benchmark": "endurance", "phases": {}}
    if output is None or not os.path.exists(output):
        return empty
    text = pathlib.Path(output).read_text(encoding="utf-8")
    try:
        record = json.loads(text)
    except ValueError:
        record = None
    if not isinstance(record, dict) or record.get("benchmark") != "endurance":
        raise ValueError(
            f"output must be a new file or a record of an earlier endurance test, got {output!r}, "
            "which is something else: choose another."
        )
    return record


def _phase(name: str, options: argparse.Namespace, arguments: Sequence[str]) -> dict[str, Any]:
    """Runs a phase, and returns its part of the record."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="recsim_endurance_") as folder:
        if name == "soak":
            seconds = 3600 * (options.hours or _HOURS)
            if options.quick and options.hours is None:
                seconds = _QUICK_SECONDS
            found = soak.in_a_process(seconds, folder)
        else:
            run, full, quick = _CASES[name]
            found = run(folder, options.cases or (quick if options.quick else full), options.seed)
    return {
        "header": list(found.header),
        "rows": [list(row) for row in found.rows],
        "notes": found.notes,
        "problems": list(found.problems),
        "command": f"{_PROGRAM} {shlex.join(_shown(argument) for argument in arguments)}".rstrip(),
        "seed": options.seed,
        "seconds": round(time.perf_counter() - begin, 1),
        **_machine(),
        **found.details,
    }


def _shown(argument: str) -> str:
    """Returns an argument without the folder of a file, which is nobody else's."""
    return os.path.basename(argument) if argument.endswith(".json") else argument


def _machine() -> Mapping[str, Any]:
    record = provenance.record([], {})
    versions = {"Python": record["python"], **record["versions"]}
    return {
        "versions": {key: versions[key] for key in ("recsim", "Python", "numpy")},
        "system": f"{record['system']}, {os.cpu_count()} cores",
    }


def _write(phases: Mapping[str, Any], output: str) -> None:
    """Writes phases and those that the file has, and the page beside it."""
    record = _earlier(output)
    found = {**record["phases"], **phases}
    record["phases"] = {name: found[name] for name in results.TITLES if name in found}
    page = os.path.splitext(output)[0] + ".md"
    for path, text in (
        (output, f"{json_text.dumps(record, indent=1)}\n"),
        (page, results.page(record)),
    ):
        with files.atomic_file(path) as file:
            file.write(text.encode())


def _parser() -> command_line.Parser:
    parser = command_line.Parser(prog=_PROGRAM, description=_DESCRIPTION, epilog=_EXAMPLES)
    parser.add_argument(
        "--phases",
        nargs="+",
        choices=tuple(results.TITLES),
        default=list(results.TITLES),
        help="which ones (default: all)",
    )
    parser.add_argument("--quick", action="store_true", help="all of it in two minutes")
    parser.add_argument(
        "--hours",
        type=_hours,
        metavar="H",
        help=f"length of the soak, the first third of which is warm-up (default: {_HOURS:g})",
    )
    parser.add_argument(
        "--cases",
        type=command_line.integer(1, 100_000),
        metavar="N",
        help="how many cases of each kind in the other phases (default: 5 to 500)",
    )
    parser.add_argument(
        "--seed", type=command_line.integer(0), default=0, metavar="N", help="default: 0"
    )
    parser.add_argument(
        "--output",
        metavar="FILE.json",
        type=_json_file,
        help="file for the record, beside which the page is written; what it has of other phases "
        "stays",
    )
    parser.add_argument("--soak-process", nargs=3, help=argparse.SUPPRESS)
    return parser


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0.001 <= hours <= 1000:
        raise argparse.ArgumentTypeError(f"must be a number in [0.001, 1000], got {text!r}")
    return hours


def _json_file(text: str) -> str:
    if not text.endswith(".json"):
        raise argparse.ArgumentTypeError(f"must end with .json, got {text!r}")
    return text


if __name__ == "__main__":
    sys.exit(main())
