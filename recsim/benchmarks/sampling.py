"""Measures which share of the step of many users goes to random numbers, which is its floor.

Usage::

    python -m recsim.benchmarks.sampling [--rounds N]

For each world with the random agent: the time of a whole step, of the same draws alone, and of
NumPy's generator that fills arrays with as many uniform and normal numbers, for each user of one
chunk; and the time of a step of fewer and of more users. They are measured by turns in one process,
in processor time, and the least of the rounds counts. Rates depend on the machine; compare ratios
only.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recsim import registry
from recsim._internal import command_line
from recsim.experiments import tables
from recsim.simulator import rollout
from recsim.vector import streams

__all__ = ["RecordedStream", "main", "measured"]

SIZES = ((10, 2), (100, 10))
USERS = (1000, streams.CHUNK_SIZE, 10_000)
# A multiple of the steps for which numbers are drawn at once.
_STEPS_OF_ROUND = 24


class RecordedStream(streams.RandomStream):
    """Hands out the numbers of another random stream, and records the calls.

    Args:
        stream: the other random stream.

    Attributes:
        calls: names of methods, and what they were called with.
    """

    def __init__(self, stream: streams.RandomStream) -> None:
        self.num_users = stream.num_users
        self.dtype = stream.dtype
        self.stream = stream
        self.calls: list[tuple[str, tuple[int, ...]]] = []

    def uniform(self, *shape: int) -> np.ndarray:
        """See :meth:`recsim.vector.streams.RandomStream.uniform`."""
        self.calls.append(("uniform", shape))
        return self.stream.uniform(*shape)

    def normal(self, *shape: int) -> np.ndarray:
        """See :meth:`recsim.vector.streams.RandomStream.normal`."""
        self.calls.append(("normal", shape))
        return self.stream.normal(*shape)

    def slates(self, num_candidates: int, slate_size: int) -> np.ndarray:
        """See :meth:`recsim.vector.streams.RandomStream.slates`."""
        self.calls.append(("slates", (num_candidates, slate_size)))
        return self.stream.slates(num_candidates, slate_size)


def measured(environment: str, num_candidates: int, slate_size: int, rounds: int) -> dict[str, Any]:
    """Measures a world with the random agent, candidates sampled anew at every step.

    Args:
        environment: a name of :data:`recsim.registry.ENVIRONMENTS`.
        num_candidates: number of candidates.
        slate_size: size of slates.
        rounds: number of rounds.

    Returns:
        By name: ``uniform`` and ``normal``, how many numbers a user's step takes of each;
        ``steps``, nanoseconds of a user's step by number of users (:data:`USERS`); and of a user of
        one chunk, ``draws`` and ``numpy``, nanoseconds of the draws of a step alone, and of NumPy's
        generator filling arrays with as many numbers.
    """
    config = {
        "num_candidates": num_candidates,
        "slate_size": slate_size,
        "resample_documents": True,
        "seed": 0,
    }
    worlds = {number: _World(environment, config, number) for number in USERS}
    world = worlds[streams.CHUNK_SIZE]
    env = world.env
    calls = _calls_of(world.step, (env._chunks[0], "_stream"), (world.agent, "_streams"))
    stream = streams.chunk_streams(0, "draws benchmark", 0, env.num_envs, env.dtype)[0]
    generator = np.random.Generator(np.random.SFC64(0))
    # A slate is made of a uniform number for each position.
    shapes = [
        ("uniform", arguments[1:]) if name == "slates" else (name, arguments)
        for name, arguments in calls
    ]
    arrays = [(name, np.empty((env.num_envs, *shape), env.dtype)) for name, shape in shapes]

    def draw() -> None:
        for name, arguments in calls:
            getattr(stream, name)(*arguments)

    def draw_by_numpy() -> None:
        for name, array in arrays:
            fill = generator.random if name == "uniform" else generator.standard_normal
            fill(out=array, dtype=array.dtype.type)

    def numbers(of: str) -> int:
        return sum(math.prod(shape) for name, shape in shapes if name == of)

    ways: dict[Any, tuple[Callable[[], None], int]] = {
        "draws": (draw, env.num_envs),
        "numpy": (draw_by_numpy, env.num_envs),
        **{number: (world.step, number) for number, world in worlds.items()},
    }
    times = [
        {name: _nanoseconds(way) / num_users for name, (way, num_users) in ways.items()}
        for _ in range(rounds)
    ]
    least = {name: min(each[name] for each in times) for name in ways}
    return {
        "uniform": numbers("uniform"),
        "normal": numbers("normal"),
        "draws": least["draws"],
        "numpy": least["numpy"],
        "steps": {number: least[number] for number in USERS},
    }


class _World:
    """An environment with the random agent.

    Args:
        environment: a name of :data:`recsim.registry.ENVIRONMENTS`.
        config: the config of the environment.
        num_users: number of users.
    """

    def __init__(self, environment: str, config: dict[str, Any], num_users: int) -> None:
        self.env = registry.create_vector_environment(environment, config, num_envs=num_users)
        self.agent = registry.create_vector_agent("random", self.env)
        self._rollout = rollout.VectorRollout(self.env, self.agent, follows_episodes=False)
        self._rollout.reset()

    def step(self) -> None:
        """Makes a step of all users."""
        self._rollout.step()


def _calls_of(
    step: Callable[[], None], *owners: tuple[Any, str]
) -> list[tuple[str, tuple[int, ...]]]:
    """Returns the calls of a step, by owners of a random stream or a list of them, by attribute."""
    recorded = []
    for owner, name in owners:
        own = getattr(owner, name)
        of_owner = [RecordedStream(stream) for stream in (own if isinstance(own, list) else [own])]
        setattr(owner, name, of_owner if isinstance(own, list) else of_owner[0])
        recorded.append((owner, name, own, of_owner))
    step()
    for owner, name, own, _ in recorded:
        setattr(owner, name, own)
    return [call for *_, of_owner in recorded for stream in of_owner for call in stream.calls]


def _nanoseconds(function: Callable[[], None]) -> float:
    begin = time.process_time_ns()
    for _ in range(_STEPS_OF_ROUND):
        function()
    return (time.process_time_ns() - begin) / _STEPS_OF_ROUND


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark and prints its table; returns the exit status."""
    with command_line.orderly_exit("draws_benchmark"):
        options = _parser().parse(sys.argv[1:] if argv is None else argv)
        of_draws, of_users = [], []
        for num_candidates, slate_size in SIZES:
            for environment in registry.ENVIRONMENTS:
                times = measured(environment, num_candidates, slate_size, options.rounds)
                name = f"{environment}, {num_candidates} x {slate_size}"
                steps = times["steps"]
                step = steps[streams.CHUNK_SIZE]
                of_draws.append(
                    [
                        name,
                        f"{times['uniform']} + {times['normal']}",
                        f"{step:.0f} ns",
                        f"{times['draws']:.0f} ns",
                        f"{times['numpy']:.0f} ns",
                        f"{times['draws'] / step:.0%}",
                        f"{step / times['numpy']:.1f}",
                    ]
                )
                longest_to_shortest = max(steps.values()) / min(steps.values())
                of_users.append(
                    [
                        name,
                        *[f"{steps[number]:.0f} ns" for number in USERS],
                        f"{longest_to_shortest:.2f}",
                    ]
                )
        header = ["world", "uniform + normal", "step", "draws", "NumPy", "share", "step / NumPy"]
        title = f"A user's step of {streams.CHUNK_SIZE:,}: its time, and that of its draws alone"
        print(tables.plain(tables.Table(title, header, of_draws), width=100))
        print()
        header = ["world", *[f"{number:,} users" for number in USERS], "longest / shortest"]
        title = "A user's step, by number of users"
        print(tables.plain(tables.Table(title, header, of_users), width=100))
    return 0


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python -m recsim.benchmarks.sampling",
        description="Measures which share of a step of many users goes to random numbers.",
    )
    parser.add_argument(
        "--rounds",
        metavar="N",
        type=command_line.integer(1),
        default=20,
        help="how often to measure everything, by turns (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
