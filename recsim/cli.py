"""The ``recsim`` command: runs experiments and lists what there is to run.

Nothing that takes time to import is imported before it is needed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import itertools
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recsim import registry
from recsim._internal import checkpoint_command, command_line, version

__all__ = ["main"]

_ENVIRONMENT = "interest_exploration"
_AGENTS = ["cluster_bandit_ucb1", "random"]

# Numbers of candidates and sizes of slates, numbers of users, rounds and seconds of a benchmark.
_BENCH: dict[str, Any] = {
    "size": [(10, 2), (30, 2), (100, 2), (300, 2), (100, 10)],
    "users": [1, 1000, 10000, 100000],
    "rounds": 5,
    "seconds": 0.5,
}
_QUICK_BENCH: dict[str, Any] = {
    "size": [(10, 2), (100, 10)],
    "users": [1, 10000],
    "rounds": 2,
    "seconds": 0.1,
}

# Parsers and groups of options.
_Options = argparse._ActionsContainer

_RUN_DESCRIPTION = """\
Runs agents in an environment, one after the other on the same users, and shows
a table: return, click-through rate, mean quality of the clicks, steps a second,
and the share of the clicks on each topic. All of it is in files in the output
folder too.
"""

_RUN_EXAMPLES = """\
examples:
  recsim run
  recsim run --agent cluster_bandit_ts greedy_pctr random --episodes 200
  recsim run --num-envs 10000
  recsim run --environment long_term_satisfaction --agent tabular_q random \\
      --slate-size 1 --gin-bindings 'LTSStaticUserSampler.sensitivity = 0.1'

What --steps, --episodes and --train-steps leave open may be bound by gin.
Underscores in the names of options are as good as hyphens.
"""

_REPRODUCE_DESCRIPTION = """\
Repeats published experiments and shows the results beside the published ones,
with figures. What is finished is kept in the output folder: after an
interruption the same command goes on from there and ends with the same numbers.
"""

_BENCH_DESCRIPTION = """\
Measures speed and memory of environments with agents: of one user with the
single-user engine, of many with the vector engine on all processor cores. Every
combination of environment, agent, size and number of users is measured, as far
as the agent fits; an agent that is named and fits nowhere is an error.
"""

_BENCH_EXAMPLES = """\
examples:
  recsim bench --quick
  recsim bench --environment interest_evolution --size 10x2 --users 1000 1000000
  recsim bench --recsim-python recsim024/bin/python --output bench.json
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the ``recsim`` command.

    Args:
        argv: the arguments after the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    arguments = [_hyphenated(argument) for argument in (sys.argv[1:] if argv is None else argv)]
    with command_line.orderly_exit("recsim"):
        parser = _parser(arguments)
        options = parser.parse(arguments)
        options.arguments = arguments
        if options.command == "run":
            from recsim._internal import bindings

            with bindings.restored():
                return _run(options)
        if options.command == "reproduce":
            return _reproduce(options)
        if options.command == "bench":
            return _bench(options)
        if options.command == "checkpoints":
            return checkpoint_command.run(options)
        if options.command == "list":
            _list()
        else:
            parser.print_help()
    return 0


def _hyphenated(argument: str) -> str:
    """Returns an option with hyphens in its name, another argument as it is."""
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else argument


def _parser(arguments: Sequence[str]) -> command_line.Parser:
    """Returns the parser, with the options of the experiment that the arguments name."""
    parser = command_line.Parser(
        prog="recsim", description="Simulation of recommender systems that interact with users."
    )
    parser.add_argument("--version", action="version", version=f"recsim {version.__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="{run,reproduce,bench,checkpoints,list}"
    )
    run = commands.add_parser(
        "run",
        usage="%(prog)s [option ...]",
        help="run agents in an environment and compare them",
        description=_RUN_DESCRIPTION,
        epilog=_RUN_EXAMPLES,
    )
    run.set_defaults(parser=run)
    _add_run_options(run)
    reproduce = commands.add_parser(
        "reproduce",
        usage="%(prog)s EXPERIMENT [option ...]",
        help="repeat published experiments",
        description=_REPRODUCE_DESCRIPTION,
    )
    reproduce.set_defaults(parser=reproduce)
    _add_reproduce_options(reproduce, arguments)
    bench = commands.add_parser(
        "bench",
        usage="%(prog)s [option ...]",
        help="measure speed and memory",
        description=_BENCH_DESCRIPTION,
        epilog=_BENCH_EXAMPLES,
    )
    bench.set_defaults(parser=bench)
    _add_bench_options(bench)
    checkpoint_command.add_parser(commands)
    commands.add_parser("list", help="list what there is to run", description="Lists it.")
    return parser


def _add_run_options(run: argparse.ArgumentParser) -> None:
    what = run.add_argument_group("what to run")
    what.add_argument(
        "--environment",
        metavar="NAME",
        default=_ENVIRONMENT,
        help="the environment, see recsim list (default: %(default)s)",
    )
    what.add_argument(
        "--agent",
        metavar="NAME",
        nargs="+",
        action="extend",
        help="an agent or several, see recsim list; the last is what the others are compared "
        f"with (default: {' '.join(_AGENTS)})",
    )
    _add_count(
        what,
        "--num-candidates",
        "documents to choose from at each step (default: %(default)s)",
        default=10,
    )
    _add_count(what, "--slate-size", "documents in a slate (default: %(default)s)", default=2)
    what.add_argument(
        "--no-resample",
        action="store_true",
        help="keep the same documents throughout (default: new ones at each step)",
    )
    how = run.add_argument_group("how long")
    _add_count(how, "--steps", "most steps of an episode, the session of one user (default: 200)")
    _add_count(how, "--episodes", "episodes of each agent (default: 50)")
    _add_count(
        how,
        "--train-steps",
        "steps that an agent that learns is trained for before, in an iteration for each 1000 and "
        "in 10 at most, the last episode of each played to its end (default: 30000)",
    )
    _add_count(
        how,
        "--num-envs",
        "simulate N users at once, with the vector forms of environment and agents; --episodes "
        "are then of all of them together (default: one each)",
    )
    _add_seed(how, "seed of everything: the same gives the same table but for the speed")
    files = run.add_argument_group("files and settings")
    files.add_argument(
        "--output",
        metavar="FOLDER",
        help="folder for the files, new or empty (default: a new one in recsim_runs)",
    )
    files.add_argument(
        "--gin-files",
        metavar="FILE",
        nargs="+",
        action="extend",
        default=[],
        type=command_line.existing_file,
        help="files of gin bindings",
    )
    files.add_argument(
        "--gin-bindings",
        metavar="BINDING",
        nargs="+",
        action="extend",
        default=[],
        help="gin bindings, such as 'ClusterBanditAgent.ci_scaling = 0.5'",
    )
    files.add_argument(
        "--gin-allow-unused",
        action="store_true",
        help="run although a gin binding has no effect on what is run (default: an error)",
    )
    _add_quiet(files)


def _add_reproduce_options(reproduce: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    reproduce.add_argument(
        "experiment",
        metavar="EXPERIMENT",
        type=_experiment,
        help=f"one of: {', '.join(registry.REPRODUCTIONS)} (EXPERIMENT --help has its options)",
    )
    if name := _named_experiment(arguments):
        reproduce.prog, reproduce.usage = f"{reproduce.prog} {name}", "%(prog)s [option ...]"
        group = reproduce.add_argument_group(f"options of {name}")
        registry.reproduction_entry(name).load().add_options(group)
    _add_quick(reproduce)
    _add_seed(reproduce, "seed of everything")
    _add_count(
        reproduce,
        "--workers",
        "processes that work side by side, which changes nothing else (default: as many as there "
        "are processor cores)",
    )
    reproduce.add_argument(
        "--output",
        metavar="FOLDER",
        help="folder for the files: new, empty, or that of the same command before (default: "
        "recsim_runs/EXPERIMENT, with --quick recsim_runs/EXPERIMENT_quick)",
    )
    _add_quiet(reproduce)


def _named_experiment(arguments: Sequence[str]) -> str | None:
    """Returns the first experiment that the arguments name, None if there is none."""
    for before, argument in itertools.pairwise(arguments):
        if argument in registry.REPRODUCTIONS and before != "--output":
            return argument
    return None


def _add_bench_options(bench: argparse.ArgumentParser) -> None:
    def defaults(name: str) -> str:
        return f"(default: {_shown(_BENCH[name])}; quick: {_shown(_QUICK_BENCH[name])})"

    _add_quick(bench)
    what = bench.add_argument_group("what to measure")
    what.add_argument(
        "--environment", metavar="NAME", nargs="+", help="environments (default: all)"
    )
    what.add_argument(
        "--agent",
        metavar="NAME",
        nargs="+",
        help="agents, or all (default: those that RecSim 0.2.4 can be measured with)",
    )
    what.add_argument(
        "--size",
        metavar="CxS",
        nargs="+",
        type=_size,
        help="numbers of candidates and sizes of slates, such as 10x2 " + defaults("size"),
    )
    _add_count(
        what,
        "--users",
        "numbers of users; 1 is the single-user engine " + defaults("users"),
        nargs="+",
    )
    what.add_argument(
        "--no-resample",
        action="store_true",
        help="all users share the same documents throughout (default: new ones at each step)",
    )
    what.add_argument(
        "--recsim-python",
        metavar="INTERPRETER",
        type=command_line.existing_file,
        help="the Python interpreter of an environment with RecSim 0.2.4, to measure it too",
    )
    what.add_argument(
        "--baseline-python",
        metavar="INTERPRETER",
        type=command_line.existing_file,
        help="the Python interpreter of an environment with another version of this library, to "
        "measure it too, interleaved: with six --rounds or more, the table has a 95%% confidence "
        "interval of the median ratio",
    )
    how = bench.add_argument_group("how to measure")
    _add_count(how, "--rounds", "how often to measure everything, by turns " + defaults("rounds"))
    how.add_argument(
        "--seconds",
        metavar="S",
        type=_positive_number,
        help="least time of each measurement " + defaults("seconds"),
    )
    _add_count(
        how,
        "--workers",
        "processes for many users (default: as many as there are processor cores)",
    )
    files = bench.add_argument_group("files")
    files.add_argument("--output", metavar="FILE", help="a JSON file for the measurements")
    files.add_argument(
        "--figure",
        metavar="FILE",
        type=_figure_file,
        help="a figure (.png, .svg or .pdf): steps a second against users, and against candidates",
    )
    _add_quiet(files)


def _add_count(group: _Options, name: str, text: str, **settings: Any) -> None:
    """Adds an option that takes a number of something, at least 1."""
    group.add_argument(name, metavar="N", type=command_line.integer(1), help=text, **settings)


def _add_seed(group: _Options, text: str) -> None:
    group.add_argument(
        "--seed",
        metavar="N",
        type=command_line.integer(0, 2**32 - 1),
        default=0,
        help=f"{text} (default: %(default)s)",
    )


def _add_quick(group: _Options) -> None:
    group.add_argument(
        "--quick", action="store_true", help="a small version, unless other options say otherwise"
    )


def _add_quiet(group: _Options) -> None:
    group.add_argument("--quiet", action="store_true", help="show no progress")


def _shown(value: Any) -> str:
    """Returns the value of an option of ``recsim bench`` as it is written there."""
    if isinstance(value, list):
        return " ".join(map(_shown, value))
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _size(text: str) -> tuple[int, int]:
    """A type for argparse: a number of candidates and the size of a slate."""
    try:
        num_candidates, slate_size = map(int, text.split("x"))
    except ValueError:
        num_candidates = slate_size = 0
    if not 1 <= slate_size <= num_candidates:
        raise argparse.ArgumentTypeError(
            f"must be a number of candidates and a size of slates, such as 10x2, got {text!r}"
        )
    return num_candidates, slate_size


def _figure_file(path: str) -> str:
    """A type for argparse: the name of a file for a figure."""
    if not path.endswith((".png", ".svg", ".pdf")):
        raise argparse.ArgumentTypeError(f"must end in .png, .svg or .pdf, got {path!r}")
    return path


def _positive_number(text: str) -> float:
    """A type for argparse: a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return number


def _experiment(name: str) -> str:
    """A type for argparse: the name of a reproduction."""
    try:
        registry.reproduction_entry(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return name


def _list() -> None:
    groups: dict[str, Mapping[str, Any]] = {
        "Environments": registry.ENVIRONMENTS,
        "Agents": registry.AGENTS,
        "Reproductions": registry.REPRODUCTIONS,
    }
    width = max(len(name) for entries in groups.values() for name in entries)
    for title, entries in groups.items():
        print(title)
        for name, entry in entries.items():
            print(f"  {name:<{width}}  {entry.description}")


def _run(options: argparse.Namespace) -> int:
    agents = options.agent or _AGENTS
    parser = options.parser
    with command_line.user_errors(parser, ValueError):
        registry.environment_entry(options.environment)
        learns = [registry.agent_entry(agent).learns for agent in agents]
        if options.train_steps is not None and not any(learns):
            raise ValueError(
                f"--train-steps has no effect: of {', '.join(agents)} none is trained, since none "
                "learns from one episode for the next."
            )
    from recsim.experiments import comparison, report
    from recsim.simulator import runner_lib

    registry.import_all()
    bound = bool(options.gin_files or options.gin_bindings)
    with command_line.user_errors(parser, Exception):  # They may be or import anything.
        runner_lib.load_gin_configs(options.gin_files, options.gin_bindings)
    refusals = (Exception,) if bound else command_line.REFUSALS
    with command_line.user_errors(parser, *refusals), _output_folder(options) as folder:
        experiment = comparison.Comparison(
            options.environment,
            agents,
            folder,
            num_candidates=options.num_candidates,
            slate_size=options.slate_size,
            resample_documents=not options.no_resample,
            seed=options.seed,
            steps=options.steps,
            episodes=options.episodes,
            train_steps=options.train_steps,
            num_envs=options.num_envs,
            progress=False if options.quiet else None,
            refuse_unused_bindings=not options.gin_allow_unused,
            command_arguments=options.arguments,
        )
    with command_line.user_errors(parser, *((Exception,) if bound else (OSError, MemoryError))):
        results = experiment.run()
    width = shutil.get_terminal_size().columns
    _print(f"{report.text(results, width)}\nFiles: {folder} (results.json, episodes.csv, runs)")
    return 0


def _reproduce(options: argparse.Namespace) -> int:
    from recsim.reproductions import base

    name = options.experiment
    folder = options.output or os.path.join("recsim_runs", name + "_quick" * options.quick)
    with command_line.user_errors(options.parser, *command_line.REFUSALS):
        experiment = registry.reproduction_entry(name).load().from_options(options)
        base.prepare(experiment, folder)
    try:
        with command_line.user_errors(
            options.parser, ValueError, OSError, MemoryError, base.TaskError
        ):
            record = base.run(
                experiment,
                folder,
                workers=options.workers or base.usable_cores(),
                show_progress=False if options.quiet else None,
                arguments=options.arguments,
            )
    except KeyboardInterrupt:
        print(f"\nThe same command goes on with what is in {folder}.", file=sys.stderr, end="")
        raise
    text = base.text(experiment, record, shutil.get_terminal_size().columns)
    _print(f"{text}\n\nFiles: {folder} (results.json, table.md, figures)")
    return 0


def _bench(options: argparse.Namespace) -> int:
    defaults = _QUICK_BENCH if options.quick else _BENCH
    sizes, users, rounds, seconds = (
        getattr(options, name) or default for name, default in defaults.items()
    )
    with command_line.user_errors(options.parser, *command_line.REFUSALS):
        for name in options.environment or ():
            registry.environment_entry(name)
        named = [] if options.agent == ["all"] else options.agent or []
        for name in named:
            registry.agent_entry(name)
        from recsim._internal import paths
        from recsim.benchmarks import throughput
        from recsim.reproductions import base

        if options.figure:
            base.import_matplotlib()
        for name in ("output", "figure"):  # What cannot be written is told of now.
            if (file := getattr(options, name)) is not None:
                setattr(options, name, paths.output_file(f"--{name}", file))
        if options.output is not None and options.output == options.figure:
            raise ValueError("--output and --figure must be different files.")
        agents = named or (list(registry.AGENTS) if options.agent else throughput.RECSIM_AGENTS)
        cases = throughput.fitting_cases(
            options.environment or list(registry.ENVIRONMENTS),
            agents,
            sizes,
            users,
            resample_documents=not options.no_resample,
            every_agent=bool(named),
        )
    fitting = {case.agent for case in cases}
    if left_out := [agent for agent in agents if agent not in fitting]:
        print(f"Left out, as they fit nowhere here: {', '.join(left_out)}.", file=sys.stderr)
    with command_line.user_errors(options.parser, ValueError, RuntimeError, OSError, MemoryError):
        record = throughput.measure(
            cases,
            rounds=rounds,
            seconds=seconds,
            workers=options.workers,
            recsim_python=options.recsim_python,
            baseline_python=options.baseline_python,
            show_progress=False if options.quiet else None,
            arguments=options.arguments,
        )
    _print(throughput.text(record, shutil.get_terminal_size().columns))
    with command_line.user_errors(options.parser, OSError, ValueError):
        throughput.save(record, options.output, options.figure)
    return 0


@contextlib.contextmanager
def _output_folder(options: argparse.Namespace) -> Iterator[str]:
    """Yields the folder for the files of a run; a new one is removed again if the block raises."""
    if options.output is not None:
        yield options.output
        return
    folder = _fresh_folder(options.environment)
    try:
        yield folder
    except BaseException:
        with contextlib.suppress(OSError):  # Other runs' folders may be beside it.
            os.removedirs(folder)
        raise


def _fresh_folder(environment: str) -> str:
    """Makes a folder of a new name, with the time, in ``recsim_runs``."""
    time = datetime.datetime.now().strftime("%Y-%m-%d_%H%M%S")
    name = os.path.join("recsim_runs", f"{time}_{environment}")
    number = 1
    while True:
        folder = name if number == 1 else f"{name}_{number}"
        try:
            os.makedirs(folder)
        except FileExistsError:
            number += 1
        else:
            return folder


def _print(text: str) -> None:
    """Prints text, with plainer signs where the stream cannot show these."""
    encoding = sys.stdout.encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("±", "+-").replace("–", "-")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
