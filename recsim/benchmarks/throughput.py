"""Speed and memory of environments with agents, single-user and vectorized: ``recsim bench``.

One user is simulated by the single-user engine in one process. Many are simulated as
:func:`recsim.vector.simulate.simulate` does it, by processes that share the users, less the time
that processes take to start. Whole loops are measured: environment, observations and agent. With an
interpreter that has RecSim 0.2.4, the same loop runs there for one user, interleaved with the
others, so that what else the machine does touches all of them. Only ratios mean anything on another
machine. Memory is the most that the processes have resident during a measurement, all of them
together: interpreter and libraries, the environment, the agent and the users' returns. Linux alone
can begin to measure it anew for each case; elsewhere it is left out. What an earlier case did not
give back to the system counts too, so a case measured alone may come to a little less.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np

import recsim
from recsim import parallel, registry
from recsim._internal import files, json_text, paths, provenance, resources, version
from recsim.experiments import plots, statistics, tables
from recsim.simulator import fingerprint, progress
from recsim.vector import simulate, streams

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "RECSIM_AGENTS",
    "RECSIM_ENVIRONMENTS",
    "Case",
    "Processes",
    "check_library",
    "compatible_cases",
    "machine",
    "measure",
    "measured_tables",
    "save",
    "start_processes",
    "text",
]

#: The agents that RecSim 0.2.4 is measured with.
RECSIM_AGENTS = (
    "random",
    "greedy_pctr",
    "cluster_bandit_ucb1",
    "cluster_bandit_kl_ucb",
    "cluster_bandit_ts",
)
#: Environments that RecSim 0.2.4 has, too.
RECSIM_ENVIRONMENTS = ("interest_exploration", "interest_evolution", "long_term_satisfaction")

_WORKER = os.path.join(os.path.dirname(__file__), "_throughput_worker.py")


@dataclasses.dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        environment: name of the environment.
        agent: name of the agent.
        num_candidates: number of documents to choose from.
        slate_size: number of documents in a slate.
        num_users: number of users; 1 for the single-user engine.
        resample_documents: whether each step has new documents; without it, all users share them.
    """

    environment: str
    agent: str
    num_candidates: int
    slate_size: int
    num_users: int
    resample_documents: bool = True

    def create(self) -> tuple[Any, Any]:
        """Returns an environment and an agent, of no more users than are simulated at a time.

        Raises:
            ValueError: if the agent cannot recommend there, or has no vector form.
            MemoryError: if there is no memory for the users.
        """
        config = {
            "num_candidates": self.num_candidates,
            "slate_size": self.slate_size,
            "resample_documents": self.resample_documents,
            "seed": 0,
        }
        if self.num_users == 1:
            env: Any = registry.create_environment(self.environment, config)
            return env, registry.create_agent(self.agent, env)
        simulate.check_memory(self.num_users)
        num_users = min(self.num_users, streams.CHUNK_SIZE)
        env = registry.create_vector_environment(self.environment, config, num_users)
        return env, registry.create_vector_agent(self.agent, env)


def compatible_cases(
    environments: Sequence[str],
    agents: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    users: Sequence[int],
    *,
    resample_documents: bool = True,
    every_agent: bool = True,
) -> list[Case]:
    """Returns all combinations, but for those of an agent that does not fit.

    Args:
        environments: names of environments.
        agents: names of agents.
        sizes: numbers of candidates and sizes of slates.
        users: numbers of users.
        resample_documents: whether each step has new documents, but for variants whose own config
            says that it has not.
        every_agent: whether each agent has to fit somewhere; if not, one of them has to.

    Raises:
        TypeError, ValueError: for an unknown name, or an agent that fits nowhere.and has to.
        MemoryError: if there is no memory for a case.
    """
    cases = []
    misfit: Exception | None = None
    for agent in agents:
        registry.agent_entry(agent)
        fitting = []
        for environment in environments:
            own = registry.environment_entry(environment).config()
            resample = resample_documents and own["resample_documents"]
            for num_candidates, slate_size in sizes:
                for engine in ([n for n in users if n == 1], [n for n in users if n > 1]):
                    new = [
                        Case(environment, agent, num_candidates, slate_size, n, resample)
                        for n in engine
                    ]
                    try:
                        if new:
                            max(new, key=lambda case: case.num_users).create()
                    except ValueError as error:
                        misfit = error
                        continue
                    fitting += new
        if every_agent and not fitting and misfit is not None:
            raise misfit
        cases += fitting
    if not cases and misfit is not None:
        raise misfit
    order = list(environments).index
    return sorted(dict.fromkeys(cases), key=lambda case: order(case.environment))


def check_library(python: str, library: str) -> None:
    """Raises RuntimeError if an interpreter that should have another library has this one.

    Args:
        python: the interpreter.
        library: the file of the package ``recsim`` that it imported.
    """
    if python != sys.executable and library == recsim.__file__:
        raise RuntimeError(
            f"{python} imports this library, not RecSim 0.2.4 or another version of it: name "
            "another one."
        )


class Processes:
    """Processes that measure cases at the same time.

    Args:
        python: their interpreter.
        number: how many there are.
        errors: a file for their standard error streams.
    """

    def __init__(self, python: str, number: int, errors: IO[str]) -> None:
        self._python = python
        self._errors = errors
        self._processes = [parallel.start_script(python, _WORKER, errors) for _ in range(number)]

    def wait(self) -> None:
        """Waits until they are ready."""
        for process in self._processes:
            check_library(self._python, self._read(process))

    def _read(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            process.wait()
            self._errors.seek(0)
            said = self._errors.read().strip()
            raise RuntimeError(
                f"{self._python} could not measure: "
                + (said or f"it ended with exit code {process.returncode} and said nothing. Is it")
                + " a Python interpreter?" * (not said)
            )
        return line.strip()

    def _write(self, process: subprocess.Popen[str], line: str) -> None:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # Reading will tell why it is gone.
            process.stdin.write(f"{line}\n")
            process.stdin.flush()

    def measured(
        self, case: Case, seconds: float, config: Mapping[str, object] | None = None
    ) -> tuple[float, float | None]:
        """Returns how many steps all users make in a second, and the MiB of the processes.

        Args:
            case: what is measured.
            seconds: for how long at least.
            config: the environment's, of the sizes of the case; None for that of the sizes alone.
        """
        shares = shares_of_users(case.num_users, len(self._processes))
        processes = self._processes[: len(shares)]
        for process, share in zip(processes, shares):
            request = {**dataclasses.asdict(case), "num_users": share, "seconds": seconds}
            request["config"] = None if config is None else dict(config)
            self._write(process, json.dumps(request))
        for process in processes:
            self._read(process)
        for process in processes:
            self._write(process, "go")
        answers = [json.loads(self._read(process)) for process in processes]
        peaks = [peak for _, _, peak in answers]
        return sum(n / elapsed for n, elapsed, _ in answers), None if None in peaks else sum(peaks)

    def close(self) -> None:
        """Ends the processes."""
        for process in self._processes:
            process.kill()
            process.communicate()


def shares_of_users(num_users: int, most: int) -> list[int]:
    """Returns how many users each process has: whole chunks, as in a simulation of them."""
    chunks = [len(users) for _, users in streams.chunks(0, num_users)]
    bounds = np.linspace(0, len(chunks), min(most, len(chunks)) + 1).astype(int)
    return [sum(chunks[start:stop]) for start, stop in zip(bounds[:-1], bounds[1:])]


@contextlib.contextmanager
def start_processes(python: str, number: int) -> Iterator[Processes]:
    """Starts processes that measure cases, which end with the block.

    Args:
        python: their interpreter.
        number: how many there are.

    Raises:
        RuntimeError: if one does not start, or another interpreter has this very library.
    """
    with tempfile.TemporaryFile("w+") as errors:
        started = Processes(python, number, errors)
        try:
            started.wait()
            yield started
        finally:
            started.close()


def measure(
    cases: Sequence[Case],
    *,
    rounds: int = 5,
    seconds: float = 0.5,
    workers: int | None = None,
    recsim_python: str | None = None,
    baseline_python: str | None = None,
    show_progress: bool | None = None,
    arguments: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Measures cases and returns what a report is made of, as plain data.

    Args:
        cases: what to measure.
        rounds: how often to measure each, interleaved.
        seconds: how long each case runs at least in a round.
        workers: the most processes for users in parallel; None for one a core.
        recsim_python: an interpreter that has RecSim 0.2.4, to be measured too: the cases of
            :data:`RECSIM_ENVIRONMENTS` and :data:`RECSIM_AGENTS`.
        baseline_python: an interpreter that has another version of this library, to be measured
            too: each case, with as many users and processes, before or after ours in turn.
        show_progress: see :class:`recsim.simulator.runner_lib.Runner`.
        arguments: those of the command that asked for it, for the record; None for a program.

    Returns:
        ``machine``, ``provenance`` (the command, the seeds, versions and gin's configuration),
        ``rounds``, ``seconds``, ``workers`` and ``cases``: for each its settings, the hash of the
        ``fingerprint`` of scenario and agent, how many ``processes`` it had, and of each round the
        ``steps_per_second``, the ``peak_memory_mib`` (None for all where the system cannot tell),
        the ``recsim_steps_per_second`` (None for all without RecSim) and the
        ``baseline_steps_per_second`` (None for all without a baseline).

    Raises:
        ValueError: if the measurements would take more than a month.
        MemoryError: if so many processes cannot be in memory.
        RuntimeError: if a process fails, with what it said, or if an interpreter has this very
            library in the place of RecSim 0.2.4 or of another version.
        OSError: if there is no such interpreter.
    """
    for python, other in ((recsim_python, "RecSim 0.2.4"), (baseline_python, "a baseline")):
        if python == sys.executable:
            raise RuntimeError(
                f"{python} runs this library, not {other}: name another interpreter."
            )
    workers = workers or parallel.usable_cores()
    # More would have no users.
    num_processes = min(workers, max((_most_processes(case) for case in cases), default=1))
    resources.check_processes(num_processes)
    _check_time(cases, rounds, seconds)
    ours: dict[Case, list[tuple[float, float | None]]] = {case: [] for case in cases}
    theirs: dict[Case, list[float]] = {}
    if recsim_python is not None:
        theirs = {
            _of_one_user(case): []
            for case in cases
            if case.agent in RECSIM_AGENTS and case.environment in RECSIM_ENVIRONMENTS
        }
    baseline: dict[Case, list[float]] = {}
    if baseline_python is not None:
        baseline = {case: [] for case in cases}
    total = rounds * (len(ours) + len(theirs) + len(baseline))
    with contextlib.ExitStack() as stack:
        our_processes = stack.enter_context(start_processes(sys.executable, num_processes))
        if recsim_python is not None:
            their_processes = stack.enter_context(start_processes(recsim_python, 1))
        if baseline_python is not None:
            baseline_processes = stack.enter_context(
                start_processes(baseline_python, num_processes)
            )
        advance = stack.enter_context(
            progress.progress_bar("Benchmark", total, "measurements", show_progress)
        )
        for number in range(rounds):
            for case in cases:
                of_one_user = _of_one_user(case)
                if of_one_user in theirs and len(theirs[of_one_user]) == number:
                    rate, _ = their_processes.measured(of_one_user, seconds)
                    theirs[of_one_user].append(rate)
                    advance(1, 0)
                if baseline and number % 2:
                    baseline[case].append(baseline_processes.measured(case, seconds)[0])
                ours[case].append(our_processes.measured(case, seconds))
                if baseline and not number % 2:
                    baseline[case].append(baseline_processes.measured(case, seconds)[0])
                advance(2 if baseline else 1, 0)
    return {
        "machine": machine(),
        "provenance": provenance.record(arguments, {"environment": 0, "agent": 0}),
        "rounds": rounds,
        "seconds": seconds,
        "workers": workers,
        "cases": [
            _record(case, workers, measurements, theirs.get(_of_one_user(case)), baseline.get(case))
            for case, measurements in ours.items()
        ],
    }


def _most_processes(case: Case) -> int:
    """Returns how many processes can share the users of a case."""
    return -(-case.num_users // streams.CHUNK_SIZE)


def _check_time(cases: Sequence[Case], rounds: int, seconds: float) -> None:
    """Raises ValueError if the measurements would take too long."""
    resources.check_days(
        rounds * len(cases) * seconds / 86400,
        f"{resources.shown(rounds)} rounds of {len(cases)} cases, of {seconds:g} s each,",
        "choose fewer rounds, fewer cases or fewer seconds",
    )


def _of_one_user(case: Case) -> Case:
    return dataclasses.replace(case, num_users=1)


def _record(
    case: Case,
    workers: int,
    measurements: Sequence[tuple[float, float | None]],
    recsim_rates: list[float] | None,
    baseline_rates: list[float] | None,
) -> dict[str, Any]:
    rates, peaks = zip(*measurements)
    return {
        **dataclasses.asdict(case),
        "fingerprint": fingerprint.fingerprint(*case.create()).sha256(),
        "processes": len(shares_of_users(case.num_users, workers)),
        "steps_per_second": list(rates),
        "peak_memory_mib": None if None in peaks else [round(peak, 1) for peak in peaks],
        "recsim_steps_per_second": recsim_rates,
        "baseline_steps_per_second": baseline_rates,
    }


def machine() -> dict[str, Any]:
    """Returns what the measurements were made on."""
    return {
        "recsim": version.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": parallel.usable_cores(),
    }


def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def measured_tables(record: Mapping[str, Any]) -> list[tables.Table]:
    """Returns what :func:`measure` returned as a table for each environment, a row a case."""
    compared = any(case["recsim_steps_per_second"] for case in record["cases"])
    has_baseline = any(case.get("baseline_steps_per_second") for case in record["cases"])
    header = ["agent, candidates x slate", "users", "steps/s", "range", "MiB"]
    if compared:
        header += ["RecSim 0.2.4", "ratio", "range"]
    if has_baseline:
        header += ["baseline", "ratio", "95% interval"]
    rows: dict[str, list[list[str]]] = {}
    for case in record["cases"]:
        rows.setdefault(case["environment"], []).append(_row(case, compared, has_baseline))
    return [tables.Table(environment, header, of_it, 2) for environment, of_it in rows.items()]


def text(record: Mapping[str, Any], width: int = 80) -> str:
    """Returns what :func:`measure` returned as text.

    Args:
        record: what it returned.
        width: number of columns of the terminal. Wider tables continue below.
    """
    setting = ", ".join(f"{name} {value}" for name, value in record["machine"].items())
    meaning = (
        "Steps per second of all users together: median and range of "
        f"{record['rounds']} rounds. MiB: the most memory of the processes together, median."
    )
    heading = "\n".join(textwrap.fill(line, width) for line in (setting, meaning))
    shown = [tables.plain(table, width) for table in measured_tables(record)]
    return "\n\n".join([heading, *shown])


def _row(record: Mapping[str, Any], compared: bool, has_baseline: bool) -> list[str]:
    rates = record["steps_per_second"]
    peaks = record.get("peak_memory_mib")
    name = f"{record['agent']}, {record['num_candidates']} x {record['slate_size']}"
    row = [name, f"{record['num_users']:,}", *_median_and_range(rates, "{:,.0f}")]
    row.append("–" if peaks is None else f"{np.median(peaks):,.0f}")
    if compared:
        row += _ratio_to_recsim(rates, record["recsim_steps_per_second"])
    if has_baseline:
        others = record["baseline_steps_per_second"]
        ratios = [ours / other for ours, other in zip(rates, others, strict=True)]
        low, high = statistics.median_interval(ratios)
        row += [f"{np.median(others):,.0f}", f"{np.median(ratios):.3f}"]
        row.append(f"{low:.3f}–{high:.3f}")
    return row


def _ratio_to_recsim(rates: Sequence[float], others: Sequence[float] | None) -> list[str]:
    if others is None:
        return ["–", "–", "–"]
    ratios = [ours / theirs for ours, theirs in zip(rates, others)]
    digits = "{:,.1f}" if min(ratios) < 20 else "{:,.0f}"
    return [f"{np.median(others):,.0f}", *_median_and_range(ratios, digits)]


def _median_and_range(values: Sequence[float], style: str) -> tuple[str, str]:
    low, high = style.format(min(values)), style.format(max(values))
    return style.format(np.median(values)), f"{low}–{high}"


def save(
    record: Mapping[str, Any],
    output: paths.Path | None,
    figure: paths.Path | None,
) -> None:
    """Saves what :func:`measure` returned.

    Args:
        record: what it returned.
        output: a file for it as JSON, or None. Its folder is made.
        figure: a file for a figure, whose ending says its format (.png, .svg, .pdf), or None.

    Raises:
        OSError: if a file cannot be written.
        ValueError: for an ending that Matplotlib does not know.
        ImportError: if Matplotlib is not installed.
    """
    if output is not None:
        with files.atomic_file(paths.output_file("output", output)) as file:
            file.write(f"{json_text.dumps(record, indent=1)}\n".encode())
    if figure is not None:
        plots.save(figure_of(record), paths.output_file("figure", figure))


def figure_of(record: Mapping[str, Any]) -> Figure:
    """Returns the figure: throughput against users, and against candidates, where they differ."""
    cases = record["cases"]
    num_candidates, slate_size = _size(cases[0])
    most_users = max(case["num_users"] for case in cases)
    panels = {
        "num_users": (
            f"{num_candidates} candidates, slates of {slate_size}",
            [case for case in cases if _size(case) == (num_candidates, slate_size)],
        ),
        "num_candidates": (
            f"{most_users:,} users, slates of {slate_size}",
            [
                case
                for case in cases
                if case["num_users"] == most_users and case["slate_size"] == slate_size
            ],
        ),
    }
    shown = [
        by for by, (_, of_panel) in panels.items() if len({case[by] for case in of_panel}) > 1
    ] or ["num_users"]
    parts = [(by, title, lines) for by in shown for title, lines in _parts(*panels[by])]
    figure = plots.new_figure(1.0 + 4.2 * len(parts), 4.5)
    all_axes = figure.subplots(1, len(parts), squeeze=False, sharey=True)[0]
    for axes, (by, title, lines) in zip(all_axes, parts, strict=True):
        _draw(axes, lines, by, title)
        axes.set_xlabel({"num_users": "users", "num_candidates": "candidates"}[by])
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), frameon=False)
    all_axes[0].set_ylabel("steps per second, of all users together")
    return figure


def _size(case: Mapping[str, Any]) -> tuple[int, int]:
    return case["num_candidates"], case["slate_size"]


def _parts(
    title: str, cases: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, Mapping[str, Sequence[Mapping[str, Any]]]]]:
    """Yields a panel's title with its lines, or several with as many lines as can be told apart."""
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for case in cases:
        lines.setdefault(f"{case['environment']}, {case['agent']}", []).append(case)
    number = -(-len(lines) // plots.MOST_LINES)
    size = -(-len(lines) // number)
    for part in range(number):
        some = list(lines.items())[part * size : (part + 1) * size]
        yield f"{title} ({part + 1})" if number > 1 else title, dict(some)


def _draw(
    axes: Axes, lines: Mapping[str, Sequence[Mapping[str, Any]]], by: str, title: str
) -> None:
    """Draws a line for each environment and agent, with the range over rounds."""
    for number, (name, points) in enumerate(lines.items()):
        ordered = sorted(points, key=lambda case: case[by])
        x = [case[by] for case in ordered]
        rates = [case["steps_per_second"] for case in ordered]
        medians = [np.median(of_case) for of_case in rates]
        colour = plots.COLOURS[number]
        axes.plot(x, medians, f"{plots.MARKERS[number]}-", color=colour, label=name)
        low, high = [min(of_case) for of_case in rates], [max(of_case) for of_case in rates]
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set(xscale="log", yscale="log")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25)
