r"""RecSim's own entry point: trains an agent in an environment, then evaluates it.

    python -m recsim.main --logtostderr \
        --base_dir=/tmp/recsim/exploration \
        --agent_name=cluster_bandit_ucb1 \
        --environment_name=interest_exploration \
        --episode_log_file=episode_logs.tfrecord \
        --gin_bindings=simulator.runner_lib.Runner.max_steps_per_episode=100 \
        --gin_bindings=simulator.runner_lib.TrainRunner.num_iterations=10

The flags are RecSim's. The environment has 5 candidates and slates of 2; the
run has RecSim's 10 iterations of 50 training steps and 5 episodes of
evaluation, where gin binds nothing else.
"""

from __future__ import annotations

import argparse
import functools
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from recsim import registry, types
from recsim._internal import absl_flags, command_line, process_state

if TYPE_CHECKING:
    from recsim.simulator import recsim_gym

__all__ = ["create_agent", "main"]

#: The agent that runs where none is named.
DEFAULT_AGENT = "full_slate_q"

_ENV_CONFIG = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}
_TRAIN_DEFAULTS = {"max_training_steps": 50, "num_iterations": 10}
_EVAL_DEFAULTS = {"max_eval_episodes": 5}

_logger = logging.getLogger(__name__)

absl_flags.define_with_absl()


def create_agent(
    sess: object,
    environment: recsim_gym.RecSimGymEnv,
    eval_mode: bool,
    summary_writer: types.SummaryWriter | None = None,
) -> types.SlateAgent:
    """Creates the agent that runs where none is named, for a runner.

    Args:
        sess: not used.
        environment: the environment, of :mod:`recsim.environments`.
        eval_mode: whether the agent is only to show what it has learned.
        summary_writer: where it may write statistics for TensorBoard, or None.
    """
    return _create_named_agent(DEFAULT_AGENT, True, sess, environment, eval_mode, summary_writer)


def _create_named_agent(
    name: str,
    debug_mode: bool,
    sess: object,
    environment: recsim_gym.RecSimGymEnv,
    eval_mode: bool,
    summary_writer: types.SummaryWriter | None = None,
) -> types.SlateAgent:
    from recsim import seeding

    del sess  # RecSim's signature.
    return registry.create_agent(
        name,
        environment,
        seed=seeding.derived_seed(_ENV_CONFIG["seed"], "agent"),
        eval_mode=eval_mode,
        summary_writer=summary_writer if debug_mode else None,
    )


def main(argv: Sequence[str]) -> None:
    """Trains and evaluates as the flags say.

    Args:
        argv: the program's name and its arguments, as in ``sys.argv``.

    Raises:
        SystemExit: with code 2 after a line on the standard error stream, if a flag is wrong, and
            with 130 after Ctrl-C.
    """
    with command_line.orderly_exit("recsim.main"), process_state.logging_kept():
        parser = _parser()
        flags = parser.parse([*_parsed_by_absl(), *map(_two_hyphens, argv[1:])])
        if flags.logtostderr:
            logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        if flags.base_dir is None:
            parser.error("--base_dir is missing: the folder for the run's files")
        # What gin binds may be, or import, anything.
        bound = bool(flags.gin_files or flags.gin_bindings)
        refusals = (Exception,) if bound else command_line.REFUSALS
        with command_line.user_errors(parser, *refusals):
            _run(flags)


def _run(flags: argparse.Namespace) -> None:
    agent_name = flags.agent_name
    if agent_name is None:
        agent_name = DEFAULT_AGENT
        _logger.warning("No --agent_name is given: running %s.", agent_name)
    registry.agent_entry(agent_name)
    registry.environment_entry(flags.environment_name)
    registry.import_all()
    from recsim._internal import bindings
    from recsim.simulator import runner_lib

    runner_lib.load_gin_configs(flags.gin_files, flags.gin_bindings)
    shared: dict[str, Any] = {
        "base_dir": flags.base_dir,
        "create_agent_fn": functools.partial(_create_named_agent, agent_name, flags.debug_mode),
    }
    _logger.info(
        "Training %s in %s; the files are in %s.",
        agent_name,
        flags.environment_name,
        flags.base_dir,
    )
    # Both before one of them runs, so that a mistake is told before the training.
    training = runner_lib.TrainRunner(
        env=registry.create_environment(flags.environment_name, _ENV_CONFIG),
        episode_log_file=flags.episode_log_file,
        **shared,
        **bindings.unbound(runner_lib.TrainRunner, _TRAIN_DEFAULTS),
    )
    evaluation = runner_lib.EvalRunner(
        env=registry.create_environment(flags.environment_name, _ENV_CONFIG),
        test_mode=True,
        **shared,
        **bindings.unbound(runner_lib.EvalRunner, _EVAL_DEFAULTS),
    )
    training.run_experiment()
    evaluation.run_experiment()


def _parsed_by_absl() -> list[str]:
    """Returns the flags that absl has parsed, as ``absl.app.run(main)`` does before it calls it."""
    absl_flags_module = sys.modules.get("absl.flags")
    if absl_flags_module is None or not absl_flags_module.FLAGS.is_parsed():
        return []
    parsed = absl_flags_module.FLAGS
    arguments = []
    for name in absl_flags.NAMES:
        if name not in parsed:
            continue
        value = parsed[name].value
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                arguments.append(f"--{name}={one}")
    return arguments


def _two_hyphens(argument: str) -> str:
    """Returns a flag with two hyphens, as one is as good for RecSim's flags."""
    return f"-{argument}" if argument[:1] == "-" and argument[1:2].isalpha() else argument


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="recsim.main", description=__doc__, usage="python -m recsim.main [flag ...]"
    )
    parser.add_argument("--base_dir", metavar="FOLDER", help="folder for the run's files")
    parser.add_argument(
        "--agent_name",
        metavar="NAME",
        help=f"one of {', '.join(registry.AGENTS)} (default: {DEFAULT_AGENT})",
    )
    parser.add_argument(
        "--environment_name",
        metavar="NAME",
        default="interest_evolution",
        help=f"one of {', '.join(registry.ENVIRONMENTS)} (default: %(default)s)",
    )
    parser.add_argument(
        "--episode_log_file",
        metavar="NAME",
        default="",
        help="name of a file in <base_dir>/train for the episodes of the training",
    )
    parser.add_argument(
        "--gin_files",
        metavar="FILE",
        action="append",
        default=[],
        type=command_line.existing_file,
        help="a file of gin bindings; may be repeated",
    )
    parser.add_argument(
        "--gin_bindings",
        metavar="BINDING",
        action="append",
        default=[],
        help="a gin binding, which overrides the files; may be repeated",
    )
    _add_switch(parser, "debug_mode", "let the agent write statistics for TensorBoard (slower)")
    _add_switch(parser, "logtostderr", "write what the run does to the standard error stream")
    return parser


def _add_switch(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    """Adds a flag that is on as ``--name`` or ``--name=true`` and off as ``--noname``."""
    parser.add_argument(
        f"--{name}", nargs="?", const=True, default=False, type=_truth, metavar="true", help=text
    )
    parser.add_argument(f"--no{name}", dest=name, action="store_false", help=argparse.SUPPRESS)


def _truth(text: str) -> bool:
    values = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
    try:
        return values[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"must be true or false, got {text!r}") from None


if __name__ == "__main__":
    main(sys.argv)
