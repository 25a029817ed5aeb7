"""The share of a vectorized step that goes to random numbers, which are its floor.

Usage::

    python -m recsim.benchmarks.sampling [--rounds N]

For each scenario with the random agent: the time of a whole step, of sampling the same numbers
alone, and of NumPy's generator that fills arrays with as many uniform and normal numbers, per user
of one chunk; and the time of a step of fewer and of more users. They are measured interleaved in
one process, in processor time, and the least of the rounds counts. Rates depend on the machine;
compare ratios only.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from recsim import registry
from recsim._internal import command_line
from recsim.experiments import tables
from recsim.simulator import rollout
from recsim.vector import chunk, streams

if TYPE_CHECKING:
    from recsim.vector import env as vector_env

__all__ = ["Measurement", "RecordedStream", "calls_of_step", "main", "measured"]

SIZES = ((10, 2), (100, 10))
USERS = (1000, streams.CHUNK_SIZE, 10_000)
# A multiple of the steps for which numbers are sampled at once.
_STEPS_OF_ROUND = 24


#: The name of a method of a random stream, and what it was called with.
Call = tuple[str, tuple[int, ...]]


class RecordedStream(streams.RandomStream):
    """A random stream that records its calls.

    Args:
        stream: the random stream that the numbers come from.

    Attributes:
        calls: the calls so far.
    """

    def __init__(self, stream: streams.RandomStream) -> None:
        self.num_users = stream.num_users
        self.dtype = stream.dtype
        self.calls: list[Call] = []
        self._stream = stream

    def uniform(self, *shape: int) -> np.ndarray:
        """See :meth:`recsim.vector.streams.RandomStream.uniform`."""
        self.calls.append(("uniform", shape))
        return self._stream.uniform(*shape)

    def normal(self, *shape: int) -> np.ndarray:
        """See :meth:`recsim.vector.streams.RandomStream.normal`."""
        self.calls.append(("normal", shape))
        return self._stream.normal(*shape)

    def slates(self, num_candidates: int, slate_size: int) -> np.ndarray:
        """See :meth:`recsim.vector.streams.RandomStream.slates`."""
        self.calls.append(("slates", (num_candidates, slate_size)))
        return self._stream.slates(num_candidates, slate_size)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What a benchmark of a scenario measured.

    Attributes:
        uniform: how many uniform numbers a user-step takes.
        normal: how many normal numbers it takes.
        steps: nanoseconds per user-step by number of users (:data:`USERS`).
        sampling: nanoseconds of sampling alone, per user-step of one chunk.
        numpy: those of NumPy's generator that fills arrays with as many numbers.
    """

    uniform: int
    normal: int
    steps: dict[int, float]
    sampling: float
    numpy: float


def measured(environment: str, num_candidates: int, slate_size: int, rounds: int) -> Measurement:
    """Measures a scenario with the random agent, candidates sampled anew at every step.

    Args:
        environment: a name of :data:`recsim.registry.ENVIRONMENTS`.
        num_candidates: number of candidates.
        slate_size: size of slates.
        rounds: number of rounds.
    """
    config = {
        "num_candidates": num_candidates,
        "slate_size": slate_size,
        "resample_documents": True,
        "seed": 0,
    }
    envs = {
        number: registry.create_vector_environment(environment, config, num_envs=number)
        for number in USERS
    }
    env = envs[streams.CHUNK_SIZE]
    stream = streams.chunk_streams(0, "sampling benchmark", 0, env.num_envs, env.dtype)[0]
    calls = calls_of_step(env, stream)
    generator = np.random.Generator(np.random.SFC64(0))
    # A slate is made of a uniform number for each position.
    shapes = [
        ("uniform", arguments[1:]) if name == "slates" else (name, arguments)
        for name, arguments in calls
    ]
    arrays = [(name, np.empty((env.num_envs, *shape), env.dtype)) for name, shape in shapes]

    def sample() -> None:
        for name, arguments in calls:
            getattr(stream, name)(*arguments)

    def sample_by_numpy() -> None:
        for name, array in arrays:
            fill = generator.random if name == "uniform" else generator.standard_normal
            fill(out=array, dtype=array.dtype.type)

    timed = {
        "sampling": (sample, env.num_envs),
        "numpy": (sample_by_numpy, env.num_envs),
        **{f"step of {number}": (_step_of(envs[number]), number) for number in USERS},
    }
    times = [
        {name: _nanoseconds(function) / number for name, (function, number) in timed.items()}
        for _ in range(rounds)
    ]
    least = {name: min(each[name] for each in times) for name in timed}
    return Measurement(
        uniform=sum(math.prod(shape) for name, shape in shapes if name == "uniform"),
        normal=sum(math.prod(shape) for name, shape in shapes if name == "normal"),
        steps={number: least[f"step of {number}"] for number in USERS},
        sampling=least["sampling"],
        numpy=least["numpy"],
    )


def calls_of_step(env: vector_env.RecSimVectorEnv, stream: streams.RandomStream) -> list[Call]:
    """Returns the calls of a random stream in a step of an environment with the random agent.

    They are those of a chunk of users and of the agent, who are given a stream that records them.

    Args:
        env: an environment of one chunk, whose candidates are sampled anew at every step.
        stream: the random stream that the numbers come from.
    """
    recorded = RecordedStream(stream)
    users = chunk.Chunk(env.scenario, 0, range(env.num_envs), stream=recorded)
    users.reset()
    recorded.calls.clear()
    users.step(recorded.slates(env.num_candidates, env.slate_size))
    return recorded.calls


def _step_of(env: vector_env.RecSimVectorEnv) -> Callable[[], object]:
    """Returns a function that makes a step of all users with the random agent."""
    agent = registry.create_vector_agent("random", env)
    endless = rollout.VectorRollout(env, agent, follows_episodes=False)
    endless.reset()
    return endless.step


def _nanoseconds(function: Callable[[], object]) -> float:
    """Returns the processor time of a call, the mean of those of a round."""
    begin = time.process_time_ns()
    for _ in range(_STEPS_OF_ROUND):
        function()
    return (time.process_time_ns() - begin) / _STEPS_OF_ROUND


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark and prints its tables; returns the exit status."""
    with command_line.orderly_exit("sampling"):
        options = _parser().parse(sys.argv[1:] if argv is None else argv)
        shares, lengths = [], []
        for num_candidates, slate_size in SIZES:
            for environment in registry.ENVIRONMENTS:
                times = measured(environment, num_candidates, slate_size, options.rounds)
                name = f"{environment}, {num_candidates} x {slate_size}"
                step = times.steps[streams.CHUNK_SIZE]
                shares.append(
                    [
                        name,
                        f"{times.uniform} + {times.normal}",
                        f"{step:.0f} ns",
                        f"{times.sampling:.0f} ns",
                        f"{times.numpy:.0f} ns",
                        f"{times.sampling / step:.0%}",
                        f"{step / times.numpy:.1f}",
                    ]
                )
                longest_to_shortest = max(times.steps.values()) / min(times.steps.values())
                lengths.append(
                    [
                        name,
                        *[f"{times.steps[number]:.0f} ns" for number in USERS],
                        f"{longest_to_shortest:.2f}",
                    ]
                )
        header = ["scenario", "uniform + normal", "step", "sampling", "NumPy"]
        header += ["share", "step / NumPy"]
        title = f"Time per user-step of {streams.CHUNK_SIZE:,} users, and of its sampling alone"
        print(tables.plain(tables.Table(title, header, shares), width=100))
        print()
        header = ["scenario", *[f"{number:,} users" for number in USERS], "longest / shortest"]
        title = "Time per user-step, by number of users"
        print(tables.plain(tables.Table(title, header, lengths), width=100))
    return 0


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python -m recsim.benchmarks.sampling",
        description="Measures which share of a vectorized step goes to random numbers.",
    )
    parser.add_argument(
        "--rounds",
        metavar="N",
        type=command_line.integer(1),
        default=20,
        help="how often to measure everything, interleaved (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
