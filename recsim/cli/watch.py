"""The command ``recsim watch``: an episode, step by step in the terminal or on a page."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from recsim._internal import command_line, paths
from recsim.cli import _options

if TYPE_CHECKING:
    from recsim import registry, serving, types
    from recsim.simulator import recsim_gym

__all__ = ["add_parser", "run"]


_DESCRIPTION = """\
Shows an episode of an agent step by step: the candidates, the slate, the
probabilities of the user's choice and the choice, the user's hidden state, and
what the agent went by. With --html it writes a page to step through instead.
"""

_EXAMPLES = """\
examples:
  recsim watch
  recsim watch --agent cluster_bandit_ts --html episode.html
  recsim watch --environment interest_evolution \\
      --agent runs/mine/interest_evolution/seed_0/slate_topk_sarsa/agent.recsim
  recsim watch --agent my_agents.py:MyAgent --json episode.json

Keys in the terminal: Enter for the next step, b for the one before, the number
of a step, a for all that follow, q to quit.
"""


def add_parser(commands: command_line.Commands, arguments: Sequence[str]) -> None:
    """Adds the command to others."""
    del arguments
    parser = commands.add_parser(
        "watch",
        usage="%(prog)s [option ...]",
        help="show an episode step by step",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.set_defaults(parser=parser, run=run)
    what = parser.add_argument_group("what to watch")
    what.add_argument(
        "--environment",
        "--scenario",
        metavar="NAME",
        default="interest_exploration",
        help="a scenario, see recsim list, or module:function, or file.py:function "
        "(default: %(default)s)",
    )
    what.add_argument(
        "--agent",
        metavar="NAME",
        default="cluster_bandit_ucb1",
        help="an agent, see recsim list, or module:class, or file.py:class, or the file of a saved "
        "agent (default: %(default)s)",
    )
    what.add_argument(
        "--checkpoint",
        metavar="PATH",
        help="what the agent has learned: a checkpoint, a folder of checkpoints, or a folder of "
        "recsim run that has those of one training",
    )
    _options.add_count(
        what,
        "--num-candidates",
        "documents to choose from at each step (default: 10, or what the scenario's variant or "
        "the saved agent has)",
    )
    _options.add_count(
        what,
        "--slate-size",
        "documents in a slate (default: 2, or likewise)",
    )
    what.add_argument(
        "--no-resample",
        action="store_true",
        help="keep the same documents throughout (default: new ones at each step)",
    )
    _options.add_count(
        what, "--steps", "most steps of the episode (default: %(default)s)", default=50
    )
    _options.add_seed(what, "the seed of users, documents, choices and the agent")
    files = parser.add_argument_group("files and settings")
    files.add_argument(
        "--html", metavar="FILE", help="write a page, and print nothing of the steps"
    )
    files.add_argument("--json", metavar="FILE", help="likewise, as data")
    _options.add_gin(files)


def run(options: argparse.Namespace) -> int:
    """Runs the episode and shows it; returns the exit code."""
    with _options.modules_here():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    from recsim import registry
    from recsim._internal import bindings
    from recsim.experiments import factories
    from recsim.simulator import checkpoint as checkpoints
    from recsim.watching import recording

    parser = options.parser
    with command_line.user_errors(parser, *command_line.REFUSALS):
        # What cannot be written, or is not there, is told of now.
        outputs = {
            name: paths.output_file(f"--{name}", path)
            for name in ("html", "json")
            if (path := getattr(options, name)) is not None
        }
        if len(set(outputs.values())) < len(outputs):
            raise ValueError("--html and --json must be different files.")
        checkpoint = None if options.checkpoint is None else _checkpoint(options.checkpoint)
        scenario = factories.environment_entry(options.environment)
        served = _served(options)
        entry = None if served is not None else factories.agent_entry(options.agent)
    # Code of the user's may raise anything before it runs.
    own = factories.is_reference(options.environment) or factories.is_reference(options.agent)
    bound = bool(options.gin_files or options.gin_bindings)
    refusals = (Exception,) if own or bound else command_line.REFUSALS
    with bindings.restored():
        with command_line.user_errors(parser, *refusals):
            with bindings.recorded() as made:
                if bound:
                    registry.import_all()
                    bindings.load(options.gin_files or [], options.gin_bindings or [])
                env = _environment(scenario, options, served)
                recording.environment_of_one_user(env)
                agent = _saved_agent(served, env) if served else _agent(entry, env, options)
            if bound:
                made.refuse_unused(made_by=registry.makers_of)
            if checkpoint is not None:
                checkpoints.restore_agent(agent, checkpoint)
        if entry is not None and entry.learns and checkpoint is None:
            print(
                f"{parser.prog}: {options.agent} has learned nothing yet: --checkpoint names what "
                "it has.",
                file=sys.stderr,
            )
        names = [
            os.path.basename(options.agent) if served else factories.label_of(options.agent),
            factories.label_of(options.environment),
        ]
        with command_line.user_errors(parser, *refusals):
            watched = recording.watch(
                env,
                agent,
                max_steps=options.steps,
                title=f"{names[0]} in {names[1]}, seed {options.seed}",
                show=False,
            )
    with command_line.user_errors(parser, OSError):
        if "html" in outputs:
            watched.to_html(outputs["html"])
        if "json" in outputs:
            watched.to_json(outputs["json"])
    if outputs:
        kind = "truncated" if watched.truncated else "ended by the environment"
        print(f"{watched.length}, return {watched.total_reward:g}, {kind}.")
        print(f"Files: {', '.join(os.path.relpath(path) for path in outputs.values())}")
    else:
        watched.show()
    return 0


def _served(options: argparse.Namespace) -> serving.ServedAgent | None:
    """Returns the saved agent whose file is given as the agent, None where it is a name."""
    from recsim import registry, serving
    from recsim.experiments import factories

    path = os.path.expanduser(options.agent)
    named = options.agent in registry.AGENTS or factories.is_reference(options.agent)
    if named or not os.path.isfile(path):
        return None
    if options.checkpoint is not None:
        raise ValueError(f"--checkpoint has no effect with a saved agent, {options.agent!r}.")
    return serving.load_agent(path)


def _environment(
    entry: registry.EnvironmentEntry,
    options: argparse.Namespace,
    served: serving.ServedAgent | None,
) -> recsim_gym.RecSimGymEnv:
    config = entry.config()
    if served is not None:
        made_for = served.describe()
        config |= {"num_candidates": made_for["num_items"], "slate_size": made_for["slate_size"]}
    for name in ("num_candidates", "slate_size"):
        config[name] = getattr(options, name) or config[name]
    if options.no_resample:
        config["resample_documents"] = False
    create = entry.create or importlib.import_module(entry.module).create_environment
    return create({**config, "seed": options.seed})


def _saved_agent(served: serving.ServedAgent, env: recsim_gym.RecSimGymEnv) -> types.SlateAgent:
    """Makes an agent as it was saved; refuses an environment of other sizes than it takes."""
    inner, made_for = env.environment, served.describe()
    for option, size, name, any_size in (
        ("--num-candidates", inner.num_candidates, "num_items", "any_number_of_items"),
        ("--slate-size", inner.slate_size, "slate_size", "any_slate_size"),
    ):
        if size != made_for[name] and not made_for[any_size]:
            raise ValueError(
                f"{option} must be {made_for[name]}, which the saved agent was made for, got {size}"
            )
    agent = served.make_agent()
    if inner.slate_size != served.slate_size:
        agent.resize_slates(inner.slate_size)
    return cast("types.SlateAgent", agent)


def _agent(
    entry: registry.AgentEntry | None, env: recsim_gym.RecSimGymEnv, options: argparse.Namespace
) -> types.SlateAgent:
    """Makes an agent as ``recsim run`` evaluates it: it shows what it has learned."""
    assert entry is not None
    settings: dict[str, Any] = {"training_steps": None} if entry.plans_training else {}
    try:
        return entry.create(env, seed=options.seed, eval_mode=True, summary_writer=None, **settings)
    except ValueError as error:
        raise ValueError(
            f"The agent {options.agent!r} cannot recommend in this environment: {error}"
        ) from error


def _checkpoint(path: str) -> str:
    """Returns the path of a checkpoint, or of the folder of checkpoints in a folder of a run."""
    place = paths.absolute("--checkpoint", path)
    if not os.path.exists(place):
        raise FileNotFoundError(f"--checkpoint must be a file or a folder, got {path!r}, not there")
    from recsim.simulator import checkpoint

    def has_checkpoints(folder: str) -> bool:
        return bool(checkpoint.Checkpointer(folder).files())

    if os.path.isfile(place) or has_checkpoints(place):
        return place
    found = [
        folder
        for folder, _, _ in os.walk(place)
        if os.path.basename(folder) == "checkpoints" and has_checkpoints(folder)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise FileNotFoundError(
            f"--checkpoint must name a checkpoint or the folder of a training, got {path!r}, in "
            "which there are no checkpoints"
        )
    names = ", ".join(sorted(os.path.relpath(folder, place) for folder in found)[:3])
    raise ValueError(
        f"--checkpoint must name one training, got {path!r}, in which there are {len(found)}: give "
        f"one of {names}{', ...' if len(found) > 3 else ''}"
    )
