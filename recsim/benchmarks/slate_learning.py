"""What agents that learn slates earn, beside random slates and an oracle that looks one step ahead.

``python -m recsim.benchmarks.slate_learning`` trains agents by name with users in parallel, in
interest evolution and in topic boredom (10 candidates, slates of 3), and evaluates each on users
whom it has not met. It prints a table as Markdown and, with ``--output``, writes a JSON file with
versions, and the return and the rate of training of each seed. Rates are of processor time, that of
all threads: choosing, simulating and learning.

With ``--scenarios hidden_tastes`` it does so in topic boredom where nobody gets bored, and slates
are of one item: all that there is to learn of users is what they clicked, slates ago.

The oracle shows what brings the most reward now: in interest evolution the documents that the user
likes best; in topic boredom, where interests are hidden from the agents, those of the highest
relevance as boredom leaves it.
"""

from __future__ import annotations

import argparse
import functools
import json
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from recsim import registry, seeding, types
from recsim._internal import command_line, files, paths, version
from recsim.agents import random_agent, short_term_oracle
from recsim.experiments import statistics, tables
from recsim.vector import env as vector_env
from recsim.vector import simulate

__all__ = ["AGENTS", "SCENARIOS", "main", "measured", "table"]

#: The agents that are trained where nothing is said.
AGENTS = ("ppo", "reinforce", "wolpertinger", "sac_topk")
_CANDIDATES = {"num_candidates": 10, "resample_documents": True}
#: The configs of the scenarios, but for the seed.
SCENARIOS: Mapping[str, Mapping[str, Any]] = {
    "interest_evolution": {**_CANDIDATES, "slate_size": 3},
    "topic_boredom": {**_CANDIDATES, "slate_size": 3},
    "hidden_tastes": {
        **_CANDIDATES,
        "slate_size": 1,
        "time_budget": 50,
        # Nobody gets bored, and of clicks by topic those of one step are observed.
        "boredom_threshold": 50,
        "boredom_window": 1,
        # Clicks are less certain, so that a taste shows in several.
        "relevance_slope": 10.0,
        "relevance_offset": 0.4,
    },
}
_DEFAULT_SCENARIOS = ("interest_evolution", "topic_boredom")
# Names in the registry, where they are others.
_REGISTERED = {"hidden_tastes": "topic_boredom"}
_NUM_ENVS = 128
_BASELINES = ("random", "oracle")


def _environment(
    scenario: str, seed: int, num_envs: int, first_user: int = 0
) -> vector_env.RecSimVectorEnv:
    settings = {**SCENARIOS[scenario], "seed": seed}
    name = _REGISTERED.get(scenario, scenario)
    return registry.create_vector_environment(name, settings, num_envs, first_user=first_user)


def _served(
    name: str, bundle: types.State, environment: vector_env.RecSimVectorEnv
) -> types.VectorAgent:
    agent: Any = registry.create_vector_agent(name, environment, eval_mode=True)
    agent.load_state_dict(bundle)
    served: types.VectorAgent = agent
    return served


def measured(name: str, scenario: str, seed: int, steps: int, users: int) -> dict[str, Any]:
    """Trains an agent, if it is one that is trained, and evaluates it.

    Args:
        name: a name that :func:`recsim.registry.agent_entry` knows, 'random' or 'oracle'.
        scenario: a key of :data:`SCENARIOS`.
        seed: seed of the training, and of the users of the evaluation.
        steps: number of training steps, of all users together.
        users: number of users of the evaluation.

    Returns:
        The mean ``return``, and the user-steps of the training per second of processor time,
        ``steps_per_second``, rounded; None where there is no training.
    """
    rate = None
    if name == "random":
        create: Any = random_agent.VectorRandomAgent
    elif name == "oracle":
        create = short_term_oracle.ShortTermOracle
    else:
        env = _environment(scenario, seed, _NUM_ENVS)
        agent: Any = registry.create_vector_agent(name, env, seed=seed, training_steps=steps)
        begin = time.process_time()
        observation, _ = env.reset(seed=seed)
        slates = agent.begin(observation)
        num_calls = -(-steps // _NUM_ENVS)
        for _ in range(num_calls - 1):
            slates = agent.step(*env.step(slates))
        rate = round(num_calls * _NUM_ENVS / (time.process_time() - begin))
        # A layer's state is all that there is of what its base agent has learned.
        state = agent.serving_bundle if hasattr(agent, "serving_bundle") else agent.state_dict
        create = functools.partial(_served, name, state())
    result = simulate.simulate(
        functools.partial(_environment, scenario, seed),
        create,
        users,
        num_episodes=1,
        seed=seeding.derived_seed(seed, "evaluation"),
        workers=1,
    )
    return {"return": float(result.returns.mean()), "steps_per_second": rate}


def _rows(
    scenarios: Sequence[str], agents: Sequence[str], seeds: int, steps: int, users: int
) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    for scenario in scenarios:
        for name in (*_BASELINES, *agents):
            yield (
                scenario,
                name,
                [measured(name, scenario, seed, steps, users) for seed in range(seeds)],
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints a table and writes the results; returns the exit code.

    Args:
        argv: the arguments after the program's name; those of the process by default.
    """
    with command_line.orderly_exit("slate_learning"):
        parser = _parser()
        options = parser.parse(sys.argv[1:] if argv is None else argv)
        if options.output is not None:
            with command_line.user_errors(parser, *command_line.REFUSALS):
                options.output = paths.output_file("output", options.output)
        results: dict[str, dict[str, Any]] = {scenario: {} for scenario in options.scenarios}
        rows = _rows(options.scenarios, options.agents, options.seeds, options.steps, options.users)
        for scenario, name, of_seeds in rows:
            rates = [each["steps_per_second"] for each in of_seeds]
            results[scenario][name] = {
                "returns": [round(each["return"], 3) for each in of_seeds],
                "steps_per_second": None if None in rates else rates,
            }
            print(f"{scenario}, {name}: {results[scenario][name]}", file=sys.stderr, flush=True)
        record = _record(options, results)
        print(tables.markdown(table(record)))
        if options.output is not None:
            with files.atomic_file(options.output) as file:
                file.write((json.dumps(record, indent=1) + "\n").encode())
    return 0


def table(record: Mapping[str, Any]) -> tables.Table:
    """Returns the table of a record: returns with their intervals, and rates of training.

    Args:
        record: what ``--output`` writes.

    Example:
        >>> of_ppo = {"returns": [36.0, 38.0], "steps_per_second": [29_000, 31_000]}
        >>> record = {"seeds": [0, 1], "steps": 1000, "results": {"topic_boredom": {"ppo": of_ppo}}}
        >>> table(record).rows
        [['topic_boredom', 'ppo', '37.0 (24.3 to 49.7)', '30,000 (29,000 to 31,000)']]
    """
    lines = []
    for scenario, of_scenario in record["results"].items():
        for name, found in of_scenario.items():
            estimate = statistics.estimate(found["returns"])
            interval = f"{estimate['mean']:.1f} ({estimate['low']:.1f} to {estimate['high']:.1f})"
            rates, rate = found["steps_per_second"], "–"
            if rates is not None:
                rate = f"{np.median(rates):,.0f} ({min(rates):,} to {max(rates):,})"
            lines.append([scenario, name, interval, rate])
    title = (
        f"Return, with its 95% interval over {len(record['seeds'])} seeds, after "
        f"{record['steps']:,} user-steps; and user-steps of training per second of processor time, "
        "the median of the seeds with the least and the most:"
    )
    return tables.Table(title, ["scenario", "agent", "return", "steps/s"], lines)


def _record(options: argparse.Namespace, results: Mapping[str, Any]) -> dict[str, Any]:
    scenarios = ""
    if tuple(options.scenarios) != _DEFAULT_SCENARIOS:
        scenarios = f"--scenarios {' '.join(options.scenarios)} "
    return {
        "command": (
            f"python -m recsim.benchmarks.slate_learning {scenarios}"
            f"--agents {' '.join(options.agents)} "
            f"--steps {options.steps} --seeds {options.seeds} --users {options.users}"
        ),
        "versions": {
            "recsim": version.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "scenarios": {name: dict(SCENARIOS[name]) for name in options.scenarios},
        "num_envs": _NUM_ENVS,
        "clock": "processor time",
        "steps": options.steps,
        "users": options.users,
        "seeds": list(range(options.seeds)),
        "results": results,
    }


def _agent(name: str) -> str:
    """Returns the name of an agent that learns, such as 'ppo' or 'ppo+recent5'."""
    try:
        entry = registry.agent_entry(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not entry.learns:
        raise argparse.ArgumentTypeError(f"{name} does not learn: {entry.description}")
    return name


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python -m recsim.benchmarks.slate_learning",
        description="Trains agents that learn slates, and shows their returns beside random's and\n"
        "a short-term oracle's.",
    )
    parser.add_argument(
        "--agents",
        metavar="NAME",
        nargs="+",
        type=_agent,
        default=list(AGENTS),
        help="agents (default: %(default)s)",
    )
    parser.add_argument(
        "--scenarios",
        metavar="NAME",
        nargs="+",
        choices=list(SCENARIOS),
        default=list(_DEFAULT_SCENARIOS),
        help="of interest_evolution, topic_boredom and hidden_tastes (default: the first two)",
    )
    for name, least, default, text in (
        ("--steps", 1000, 300_000, "training steps"),
        ("--seeds", 2, 5, "trainings of each agent"),
        ("--users", 1, 2_000, "users of an evaluation"),
    ):
        parser.add_argument(
            name,
            metavar="N",
            type=command_line.integer(least),
            default=default,
            help=f"{text} (default: %(default)s)",
        )
    parser.add_argument("--output", metavar="FILE", help="where to write the results as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
