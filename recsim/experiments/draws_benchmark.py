"""Measures which share of the step of many users goes to random numbers, which is its floor.

Usage::

    python -m recsim.experiments.draws_benchmark [--rounds N]

For each world with the random agent: the time of a whole step, of the same draws alone, and of
NumPy's generator that fills arrays with as many uniform and normal numbers, for each user of one
chunk, in one process. They are measured by turns, in processor time, and the least of the rounds
counts. Rates depend on the machine; compare ratios only.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recsim import _command_line, registry
from recsim.experiments import tables
from recsim.vector import streams

__all__ = ["RecordedDraws", "main", "measured"]

SIZES = ((10, 2), (100, 10))
# A multiple of the steps for which numbers are drawn at once.
_STEPS_OF_ROUND = 24


class RecordedDraws(streams.Draws):
    """Hands out the numbers of other draws, and remembers which.

    Args:
        draws: the other draws.

    Attributes:
        calls: names of methods, and what they were called with.
    """

    def __init__(self, draws: streams.Draws) -> None:
        self.num_users = draws.num_users
        self.dtype = draws.dtype
        self.draws = draws
        self.calls: list[tuple[str, tuple[int, ...]]] = []

    def uniform(self, *shape: int) -> np.ndarray:
        """See :meth:`recsim.vector.streams.Draws.uniform`."""
        self.calls.append(("uniform", shape))
        return self.draws.uniform(*shape)

    def normal(self, *shape: int) -> np.ndarray:
        """See :meth:`recsim.vector.streams.Draws.normal`."""
        self.calls.append(("normal", shape))
        return self.draws.normal(*shape)

    def slates(self, num_candidates: int, slate_size: int) -> np.ndarray:
        """See :meth:`recsim.vector.streams.Draws.slates`."""
        self.calls.append(("slates", (num_candidates, slate_size)))
        return self.draws.slates(num_candidates, slate_size)


def measured(environment: str, num_candidates: int, slate_size: int, rounds: int) -> dict[str, Any]:
    """Measures a world with the random agent, candidates sampled anew at every step.

    Args:
        environment: a name of :data:`recsim.registry.ENVIRONMENTS`.
        num_candidates: number of candidates.
        slate_size: size of slates.
        rounds: number of rounds.

    Returns:
        By name: ``uniform`` and ``normal``, how many numbers a user's step takes of each; and
        ``step``, ``draws`` and ``numpy``, nanoseconds of a user's step, of its draws alone, and of
        NumPy's generator filling arrays with as many numbers.
    """
    env = registry.create_vector_environment(
        environment,
        {
            "num_candidates": num_candidates,
            "slate_size": slate_size,
            "resample_documents": True,
            "seed": 0,
        },
        num_envs=streams.CHUNK_SIZE,
    )
    agent = registry.create_vector_agent("random", env)
    observation, _ = env.reset()
    slates = agent.begin(observation)

    def step() -> None:
        nonlocal slates
        slates = agent.step(*env.step(slates))

    calls = _calls_of(step, env._chunks[0], agent)
    draws = streams.chunk_draws(0, "draws benchmark", 0, env.num_envs, env.dtype)[0]
    generator = np.random.Generator(np.random.SFC64(0))
    # A slate is made of a uniform number for each position.
    shapes = [
        ("uniform", arguments[1:]) if name == "slates" else (name, arguments)
        for name, arguments in calls
    ]
    arrays = [(name, np.empty((env.num_envs, *shape), env.dtype)) for name, shape in shapes]

    def draw() -> None:
        for name, arguments in calls:
            getattr(draws, name)(*arguments)

    def draw_by_numpy() -> None:
        for name, array in arrays:
            fill = generator.random if name == "uniform" else generator.standard_normal
            fill(out=array, dtype=array.dtype.type)

    def numbers(of: str) -> int:
        return sum(math.prod(shape) for name, shape in shapes if name == of)

    ways = {"step": step, "draws": draw, "numpy": draw_by_numpy}
    times = [
        {name: _nanoseconds(way) / env.num_envs for name, way in ways.items()}
        for _ in range(rounds)
    ]
    least = {name: min(each[name] for each in times) for name in ways}
    return {"uniform": numbers("uniform"), "normal": numbers("normal"), **least}


def _calls_of(step: Callable[[], None], *owners: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Returns the calls of a step, by those who own draws or lists of them."""
    recorded = []
    for owner in owners:
        own = owner._draws
        of_owner = [RecordedDraws(draws) for draws in (own if isinstance(own, list) else [own])]
        owner._draws = of_owner if isinstance(own, list) else of_owner[0]
        recorded.append((owner, own, of_owner))
    step()
    for owner, own, _ in recorded:
        owner._draws = own
    return [call for _, _, of_owner in recorded for draws in of_owner for call in draws.calls]


def _nanoseconds(function: Callable[[], None]) -> float:
    begin = time.process_time_ns()
    for _ in range(_STEPS_OF_ROUND):
        function()
    return (time.process_time_ns() - begin) / _STEPS_OF_ROUND


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark and prints its table; returns the exit status."""
    with _command_line.orderly_exit("draws_benchmark"):
        options = _parser().parse(sys.argv[1:] if argv is None else argv)
        rows = []
        for num_candidates, slate_size in SIZES:
            for environment in registry.ENVIRONMENTS:
                times = measured(environment, num_candidates, slate_size, options.rounds)
                rows.append(
                    [
                        f"{environment}, {num_candidates} x {slate_size}",
                        f"{times['uniform']} + {times['normal']}",
                        f"{times['step']:.0f} ns",
                        f"{times['draws']:.0f} ns",
                        f"{times['numpy']:.0f} ns",
                        f"{times['draws'] / times['step']:.0%}",
                        f"{times['step'] / times['numpy']:.1f}",
                    ]
                )
        header = "world", "uniform + normal", "step", "draws", "NumPy", "share", "step / NumPy"
        title = f"A user's step of {streams.CHUNK_SIZE:,}: its time, and that of its draws alone"
        print(tables.plain(tables.Table(title, header, rows), width=100))
    return 0


def _parser() -> _command_line.Parser:
    parser = _command_line.Parser(
        prog="python -m recsim.experiments.draws_benchmark",
        description="Measures which share of a step of many users goes to random numbers.",
    )
    parser.add_argument(
        "--rounds",
        metavar="N",
        type=_command_line.integer(1),
        default=20,
        help="how often to measure everything, by turns (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
