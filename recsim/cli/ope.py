"""The command ``recsim ope``: off-policy estimates beside the true values."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from recsim._internal import command_line
from recsim.cli import _options

__all__ = ["add_parser", "run"]

_THOMPSON = "cluster_bandit_ts"
_SAMPLES = 100
_METHODS = ("student", "normal", "bootstrap")

_DESCRIPTION = """\
Logs an agent in a scenario, with the probabilities of what it shows, estimates
from the log what other agents would earn, and shows the estimates beside the
true values, which are simulated. Estimators, weights and words are explained in
the documentation's page on off-policy evaluation.
"""

_EXAMPLES = """\
examples:
  recsim ope
  recsim ope --environment interest_exploration --evaluation-agent softmax \\
      greedy_pctr --users 50000
  recsim ope --steps 5 --discount 0.9
  recsim ope --logging-agent softmax --evaluation-agent random \\
      --gin-bindings 'SoftmaxAgent.temperature = 0.5'
  recsim ope --environment interest_exploration --logging-agent \\
      cluster_bandit_ts --propensity-samples 200 --steps 1 --users 2000
"""


def add_parser(commands: command_line.Commands, arguments: Sequence[str]) -> None:
    """Adds the command to others."""
    del arguments
    parser = commands.add_parser(
        "ope",
        usage="%(prog)s [option ...]",
        help="evaluate agents from a log of another, beside the truth",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.set_defaults(parser=parser, run=run)
    what = parser.add_argument_group("what to log and evaluate")
    what.add_argument(
        "--environment",
        "--scenario",
        metavar="NAME",
        help="a scenario, see recsim list (default: interest_evolution)",
    )
    what.add_argument(
        "--logging-agent", metavar="NAME", help="the agent that is logged (default: random)"
    )
    what.add_argument(
        "--evaluation-agent",
        "--evaluation-agents",
        metavar="NAME",
        nargs="+",
        action="extend",
        help="an agent or several to evaluate (default: softmax)",
    )
    _options.add_count(what, "--users", "users whose episodes are logged (default: 10000)")
    _options.add_count(
        what,
        "--steps",
        "slates of an episode; with more than one, the value is that of the episode, and "
        "estimators of sequences are compared (default: 1)",
    )
    what.add_argument(
        "--discount", metavar="G", type=float, help="of rewards from step to step (default: 1)"
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
    how = parser.add_argument_group("how to estimate")
    how.add_argument(
        "--interval",
        choices=_METHODS,
        help="how intervals are made (default: student)",
    )
    how.add_argument(
        "--confidence", metavar="P", type=float, help="of the intervals (default: 0.95)"
    )
    _options.add_count(
        how,
        "--true-users",
        "other users by whom the true values are simulated (default: ten times --users)",
    )
    _options.add_count(
        how,
        "--propensity-samples",
        "sampled slates from which Thompson sampling estimates its probabilities (default: 100)",
    )
    for name, text in (
        ("--seed", "of users and documents (default: 0)"),
        ("--agent-seed", "of the agents alone (default: that of --seed)"),
    ):
        how.add_argument(name, metavar="N", type=command_line.integer(0, 2**32 - 1), help=text)
    _options.add_workers(how, "1, with a cluster as many as it has cores")
    files = parser.add_argument_group("files and settings")
    files.add_argument(
        "--output",
        metavar="FOLDER",
        help="folder for estimates.csv and estimates.json, which records the run too (default: "
        "none is written)",
    )
    _options.add_gin(files, "SoftmaxAgent.temperature = 0.5")
    _options.add_quiet(files)


def run(options: argparse.Namespace) -> int:
    """Logs, estimates and prints the tables; returns the exit code."""
    from recsim.ope import comparison, estimates
    from recsim.simulator import progress

    parser = options.parser
    with command_line.user_errors(parser, TypeError, ValueError, OSError):
        interval = estimates.Interval(
            **_given(method=options.interval, confidence=options.confidence)
        )
        settings = comparison.Settings(
            interval=interval,
            **_given(
                environment=options.environment,
                logging_agent=options.logging_agent,
                evaluation_agents=options.evaluation_agent,
                num_users=options.users,
                num_steps=options.steps,
                discount=options.discount,
                num_candidates=options.num_candidates,
                slate_size=options.slate_size,
                resample_documents=False if options.no_resample else None,
                seed=options.seed,
                agent_seed=options.agent_seed,
                true_users=options.true_users,
                gin_files=options.gin_files,
                gin_bindings=_bindings(options),
            ),
        )
        if options.output is not None:
            comparison.check_folder(options.output)
    total = settings.num_users + len(settings.evaluation_agents) * settings.num_true_users
    enabled = False if options.quiet else None
    with (
        command_line.user_errors(parser, *command_line.REFUSALS),
        progress.progress_bar("recsim ope", total, "users", enabled) as show,
    ):
        workers = 1 if options.backend == "loky" and not options.workers else options.workers
        found = comparison.compare(
            settings,
            advance=lambda number: show(number, 0),
            workers=workers,
            backend=options.backend,
            address=options.address,
        )
    _options.print_text(found.text())
    if options.output is not None:
        with command_line.user_errors(parser, OSError):
            found.save(options.output, options.arguments)
        print(f"\nFiles: {options.output} (estimates.csv, estimates.json)")
    return 0


def _given(**settings: object) -> dict[str, Any]:
    """Returns the settings that were given."""
    return {name: value for name, value in settings.items() if value is not None}


def _bindings(options: argparse.Namespace) -> list[str]:
    """Returns the gin bindings, with that of the samples of Thompson sampling."""
    given = list(options.gin_bindings or [])
    agents = [options.logging_agent, *(options.evaluation_agent or [])]
    if _THOMPSON in agents:
        if not any("propensity_samples" in binding for binding in given):
            samples = options.propensity_samples or _SAMPLES
            given.append(f"ClusterBanditAgent.propensity_samples = {samples}")
    elif options.propensity_samples is not None:
        raise ValueError(
            f"--propensity-samples has no effect without the agent {_THOMPSON}, whose "
            "probabilities are estimated."
        )
    return given
