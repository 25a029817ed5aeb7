"""The command ``recsim run``: agents in an environment, compared on the same users."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import shutil
from collections.abc import Iterator, Sequence

from recsim import registry
from recsim._internal import command_line
from recsim.cli import _options

__all__ = ["add_options", "add_parser", "run"]

_ENVIRONMENT = "interest_exploration"
_AGENTS = ["cluster_bandit_ucb1", "random"]

_DESCRIPTION = """\
Runs agents in an environment, each on the same users, and shows a table:
return, click-through rate, mean quality of the clicks, steps per second, and
the share of the clicks on each topic. All of it is in files in the output
folder too.
"""

_EXAMPLES = """\
examples:
  recsim run
  recsim run --agent cluster_bandit_ts greedy_pctr random --episodes 200
  recsim run --num-envs 10000
  recsim run --environment long_term_satisfaction --agent tabular_q random \\
      --slate-size 1 --gin-bindings 'LTSStaticUserSampler.sensitivity = 0.1'

What --steps, --episodes and --train-steps leave open may be bound by gin.
Underscores in the names of options are as good as hyphens.
"""


def add_parser(commands: command_line.Commands, arguments: Sequence[str]) -> None:
    """Adds the command to others."""
    del arguments
    parser = commands.add_parser(
        "run",
        usage="%(prog)s [option ...]",
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
    _options.add_count(
        what,
        "--num-candidates",
        "documents to choose from at each step (default: %(default)s)",
        default=10,
    )
    _options.add_count(
        what, "--slate-size", "documents in a slate (default: %(default)s)", default=2
    )
    what.add_argument(
        "--no-resample",
        action="store_true",
        help="keep the same documents throughout (default: new ones at each step)",
    )
    how = parser.add_argument_group("how long")
    _options.add_count(how, "--steps", "most steps of an episode, with one user (default: 200)")
    _options.add_count(how, "--episodes", "episodes of each agent (default: 50)")
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
    _options.add_seed(how, "seed of everything: the same gives the same table but for the speed")
    files = parser.add_argument_group("files and settings")
    files.add_argument(
        "--output",
        metavar="FOLDER",
        help="folder for the files, new or empty (default: a new one in recsim_runs)",
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
    _options.add_quiet(files)


def run(options: argparse.Namespace) -> int:
    """Runs the agents and prints the table; returns the exit code."""
    from recsim._internal import bindings

    with bindings.restored():
        return _run(options)


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
        if options.log_user_state and not options.log_episodes:
            raise ValueError("--log-user-state has no effect without --log-episodes.")
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
            log_episodes=options.log_episodes,
            log_user_state=options.log_user_state,
            refuse_unused_bindings=not options.gin_allow_unused,
            command_arguments=options.arguments,
        )
    with command_line.user_errors(parser, *((Exception,) if bound else (OSError, MemoryError))):
        results = experiment.run()
    width = shutil.get_terminal_size().columns
    _options.print_text(
        f"{report.text(results, width)}\nFiles: {folder} (results.json, episodes.csv, runs)"
    )
    return 0


@contextlib.contextmanager
def _output_folder(options: argparse.Namespace) -> Iterator[str]:
    """Yields the folder for the files of a run; a new one is removed again if the block raises."""
    if options.output is not None:
        yield options.output
        return
    folder = fresh_folder(options.environment)
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
