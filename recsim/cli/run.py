"""The command ``recsim run``: experiments with agents, compared on the same users."""

from __future__ import annotations

import argparse
import ast
import contextlib
import datetime
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from recsim._internal import command_line
from recsim.cli import _options

if TYPE_CHECKING:
    from recsim.experiments.results import Results

__all__ = ["add_options", "add_parser", "run"]

_SCENARIO = "interest_exploration"
_AGENTS = ["cluster_bandit_ucb1", "random"]

_DESCRIPTION = """\
Runs agents in a scenario or several, each on the same users, and shows a
table: return, click-through rate, mean quality of the clicks, steps per
second. All of it is in files in the output folder too, with a figure and a
report. The same command in the same folder resumes, and repeats nothing.
"""

_EXAMPLES = """\
examples:
  recsim run
  recsim run --agent cluster_bandit_ts greedy_pctr random --seeds 10
  recsim run --sweep 'ClusterBanditAgent.ci_scaling=0.1,0.5,1'
  recsim run --agent my_agents.py:MyAgent random
  recsim run --num-envs 10000
  recsim run --environment long_term_satisfaction --agent tabular_q random \\
      --slate-size 1 --gin-bindings 'LTSStaticUserSampler.sensitivity = 0.1'
  recsim run experiment.yaml --output runs/mine
  recsim run --rerun runs/mine/results.json

What --steps, --episodes and --train-steps leave open may be bound by gin.
Underscores in the names of options are as good as hyphens.
"""


def add_parser(commands: command_line.Commands, arguments: Sequence[str]) -> None:
    """Adds the command to others."""
    del arguments
    parser = commands.add_parser(
        "run",
        usage="%(prog)s [FILE] [option ...]",
        help="run agents in an environment and compare them",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.set_defaults(parser=parser, run=run)
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    what = parser.add_argument_group("what to run")
    what.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="an experiment in YAML; the options below take precedence over what is in it",
    )
    what.add_argument(
        "--environment",
        "--scenario",
        metavar="NAME",
        nargs="+",
        action="extend",
        help="a scenario or several, see recsim list, or module:function, or file.py:function "
        f"(default: {_SCENARIO})",
    )
    what.add_argument(
        "--agent",
        "--agents",
        metavar="NAME",
        nargs="+",
        action="extend",
        help="an agent or several, see recsim list, or module:class, or file.py:class; the last "
        f"is what the others are compared with (default: {' '.join(_AGENTS)})",
    )
    what.add_argument(
        "--sweep",
        metavar="PARAMETER=VALUE,VALUE…",
        nargs="+",
        action="extend",
        type=_swept,
        help="values to try of what gin can bind; every combination of several is run",
    )
    _options.add_count(
        what,
        "--num-candidates",
        "documents to choose from at each step; a variant has another number (default: 10)",
    )
    _options.add_count(what, "--slate-size", "documents in a slate; likewise (default: 2)")
    what.add_argument(
        "--no-resample",
        action="store_true",
        help="keep the same documents throughout (default: new ones at each step)",
    )
    what.add_argument(
        "--rerun",
        metavar="RESULTS",
        help="repeat what a results.json records; nothing else may be said of what to run",
    )
    how = parser.add_argument_group("how long")
    _options.add_count(how, "--steps", "most steps of an episode, with one user (default: 200)")
    _options.add_count(how, "--episodes", "episodes of each agent and seed (default: 50)")
    _options.add_count(
        how,
        "--train-steps",
        "steps that an agent that learns is trained for before, in an iteration for each 1000 and "
        "in 10 at most, the last episode of each run to its end (default: 30000)",
    )
    _options.add_count(
        how,
        "--num-envs",
        "simulate N users in parallel, with the vector forms of environment and agents; --episodes "
        "are then of all of them together (default: one each)",
    )
    _options.add_count(
        how,
        "--train-envs",
        "with --num-envs: train with N users in parallel (default: that of --num-envs, 100 at "
        "most)",
    )
    _options.add_count(
        how,
        "--curve-users",
        "with --num-envs: evaluate what is trained on N users after each iteration, for learning "
        "curves (default: those of the training's own episodes)",
    )
    _options.add_count(
        how,
        "--seeds",
        "run everything N times, with other users, agents and trainings each (default: 3 where an "
        "agent learns, else 1)",
    )
    for name, text in (
        ("--seed", "the first seed: the same gives the same table but for the speed (default: 0)"),
        ("--agent-seed", "the first seed of the agents alone (default: that of --seed)"),
    ):
        how.add_argument(name, metavar="N", type=command_line.integer(0, 2**32 - 1), help=text)
    _options.add_workers(how, needs=", which must have the output folder, too")
    _options.add_count(
        how,
        "--rollout-workers",
        "let N workers of the backend simulate the users of each training, 2048 of --train-envs "
        "each at least, while tasks run one at a time; changes no result",
    )
    how.add_argument(
        "--staleness",
        metavar="N",
        type=command_line.integer(0),
        help="let rollout workers choose slates by a network that lacks the updates of N steps at "
        "most, so that nobody waits (default: 0, as in one process)",
    )
    how.add_argument(
        "--shard",
        metavar="I/N",
        type=_shard,
        help="run the I-th of N parts alone; parts share a folder, also at the same time",
    )
    files = parser.add_argument_group("files and settings")
    files.add_argument(
        "--output",
        metavar="FOLDER",
        help="folder for the files: new, empty, or that of the same experiment, which resumes "
        "(default: a new one in recsim_runs)",
    )
    files.add_argument(
        "--log-episodes",
        action="store_true",
        help="log each agent's episodes, those of its training too, in a folder episodes.parquet: "
        "a row for each document shown",
    )
    files.add_argument(
        "--log-user-state",
        action="store_true",
        help="with --log-episodes: log the users' hidden states too",
    )
    _options.add_gin(files)
    files.add_argument(
        "--gin-allow-unused",
        action="store_true",
        help="run although a gin binding has no effect on what is run (default: an error)",
    )
    files.add_argument(
        "--topics", action="store_true", help="show the share of the clicks on each topic too"
    )
    _options.add_quiet(files)


def _swept(text: str) -> tuple[str, list[object]]:
    """A type for argparse: a parameter with values to try."""
    name, equals, values = text.partition("=")
    if not equals or "." not in name.strip():
        raise argparse.ArgumentTypeError(
            f"must be such as ClusterBanditAgent.ci_scaling=0.1,0.5,1, got {text!r}"
        )
    try:
        found = ast.literal_eval(f"[{values}]")
    except (SyntaxError, ValueError):
        found = [_value(value.strip()) for value in values.split(",")]
    return name.strip(), found


def _value(text: str) -> object:
    """Returns a value of a sweep; what is not a number or the like is text."""
    try:
        value: object = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = text
    return value


def _shard(text: str) -> tuple[int, int]:
    """A type for argparse: one of several parts."""
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"must be I/N with 1 <= I <= N, got {text!r}")
    return int(number), int(of)


def run(options: argparse.Namespace) -> int:
    """Runs the experiment and prints the table; returns the exit code."""
    with _options.modules_here():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    parser = options.parser
    from recsim.experiments import experiment

    with command_line.user_errors(parser, ValueError, OSError):
        settings, place, label = _settings(options)
    shared = {
        "workers": options.workers,
        "backend": options.backend,
        "address": options.address,
        "rollout_workers": options.rollout_workers,
        "progress": False if options.quiet else None,
        "figures": False,  # They are drawn when the table is ready: it is printed in any case.
    }
    if options.shard is not None and options.output is None and options.rerun is None:
        parser.error("--shard needs --output: parts share a folder.")
    # What gin binds, and code of the user's, may raise anything before it runs.
    own = bool(settings.get("gin_files") or settings.get("gin_bindings") or settings.get("sweep"))
    refusals = (Exception,) if own else command_line.REFUSALS
    with command_line.user_errors(parser, *refusals), _output_folder(options, label) as folder:
        try:
            if options.rerun is not None:
                results = experiment.rerun(options.rerun, output=folder, **shared)
            else:
                with place():
                    results = experiment.experiment(
                        experiment.Experiment(**settings),
                        output=folder,
                        shard=options.shard,
                        command_arguments=options.arguments,
                        **shared,
                    )
        except experiment.ExperimentFailedError as error:
            print(f"{parser.prog}: error: {error}", file=sys.stderr)
            return 1
    return _show(results, options, folder)


def _settings(
    options: argparse.Namespace,
) -> tuple[dict[str, Any], Callable[[], contextlib.AbstractContextManager[None]], str]:
    """Returns the arguments of the experiment, what names the place of mistakes, and a name."""
    given = {
        "scenarios": options.environment,
        "agents": options.agent,
        "sweep": _sweep(options.sweep),
        "resample_documents": False if options.no_resample else None,
        **{
            name: getattr(options, name)
            for name in (
                "num_candidates",
                "slate_size",
                "steps",
                "episodes",
                "train_steps",
                "num_envs",
                "train_envs",
                "curve_users",
                "staleness",
                "seeds",
                "seed",
                "agent_seed",
                "gin_files",
                "gin_bindings",
            )
        },
        **{
            name: getattr(options, name) or None
            for name in ("gin_allow_unused", "log_episodes", "log_user_state")
        },
    }
    given = {name: value for name, value in given.items() if value is not None}
    if options.rerun is not None:
        if given or options.file is not None or options.shard is not None:
            raise ValueError(
                "--rerun repeats what is recorded: leave out "
                f"{', '.join([*given, *(['FILE'] if options.file else [])]) or '--shard'}."
            )
        return {}, contextlib.nullcontext, "rerun"
    place: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    settings: dict[str, Any] = {"scenarios": [_SCENARIO], "agents": _AGENTS}
    label = None
    if options.file is not None:
        if not os.path.isfile(options.file):
            raise ValueError(
                f"unexpected argument {options.file!r}: there is no such file of an experiment "
                "(agents are named by --agent)"
            )
        from recsim.experiments import experiment_file

        found = experiment_file.load(options.file)
        settings |= found.settings
        place = found.placed
        label = os.path.splitext(os.path.basename(options.file))[0]
    settings |= given
    _refuse_training_of_none(options, settings)
    if label is None:
        scenarios = settings["scenarios"]
        from recsim.experiments import factories

        label = "_".join(factories.label_of(scenario) for scenario in scenarios)[:80]
    return settings, place, label


def _sweep(given: Sequence[tuple[str, list[object]]] | None) -> dict[str, list[object]] | None:
    """Returns the values to try by the names of parameters, None where there are none."""
    sweep: dict[str, list[object]] = {}
    for name, values in given or ():
        if name in sweep:
            raise ValueError(f"--sweep has {name} twice: give all its values at once.")
        sweep[name] = values
    return sweep or None


def _refuse_training_of_none(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Raises ValueError for a number of training steps where nothing is trained."""
    from recsim.experiments import experiment

    if options.log_user_state and not settings.get("log_episodes"):
        raise ValueError("--log-user-state has no effect without --log-episodes.")
    wanted = experiment.Experiment(settings["agents"], settings["scenarios"])
    if options.train_steps is not None and not wanted.learners:
        raise ValueError(
            f"--train-steps has no effect: of {', '.join(wanted.data()['agents'])} none is "
            "trained, since none learns from one episode for the next."
        )


def _show(results: Results, options: argparse.Namespace, folder: str) -> int:
    """Prints the results, and draws them where they are complete; returns the exit code."""
    from recsim.experiments import experiment

    width = shutil.get_terminal_size().columns
    text = results.table(topics=options.topics, width=width)
    text = f"{_heading(results)}\n{text}"
    if not experiment.is_complete(folder):
        text += "\nThe other parts are not finished: these are the results so far."
        _options.print_text(f"{text}\nFiles: {folder}")
        return 0
    try:
        experiment.draw(results, folder)
    except OSError as error:  # The disk is full, now that the results are on it.
        _options.print_text(f"{text}\nFiles: {folder}")
        print(
            f"{options.parser.prog}: error: The results are saved, figure and report are not: "
            f"{error}",
            file=sys.stderr,
        )
        return 1
    _options.print_text(
        f"{text}\nFiles: {folder} (report.html, results.png, results.json, results.parquet, "
        "summary.csv, episodes.csv, runs)"
    )
    return 1 if results.metadata.failures else 0


def _heading(results: Results) -> str:
    """Returns a line on what was run."""
    tasks: Any = results.metadata.provenance["tasks"]
    task = next(iter(tasks.values()))["settings"]
    seeds = sorted(set(results.to_dataframe()["seed"]))
    span = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    episodes, steps = task["episodes"], task["max_steps_per_episode"]
    return (
        f"{task['num_candidates']:,} candidate{'s' * (task['num_candidates'] > 1)}, slates of "
        f"{task['slate_size']}, {span}; {episodes:,} episode{'s' * (episodes > 1)} of up to "
        f"{steps:,} step{'s' * (steps > 1)}"
    )


@contextlib.contextmanager
def _output_folder(options: argparse.Namespace, label: str) -> Iterator[str]:
    """Yields the folder for the files of a run; a new one is removed again if the block raises."""
    if options.output is not None:
        yield options.output
        return
    folder = fresh_folder(label)
    try:
        yield folder
    except BaseException:
        with contextlib.suppress(OSError):  # Other runs' folders may be beside it.
            os.removedirs(folder)
        raise


def fresh_folder(environment: str) -> str:
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
