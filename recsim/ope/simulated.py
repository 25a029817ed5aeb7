"""Logs from a scenario, what other agents would have done in it, and the truth.

:func:`collect` lets an agent recommend to users in parallel and asks others, at every step, how
likely they would have been to show the same. The others see what happens to the users as if they
had recommended themselves, so that those who go by a user's past go by the logged one.
:func:`true_value` simulates the other agent in the same scenario.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recsim import clusters, parallel, types
from recsim import spaces as spaces_lib
from recsim._internal import numbers, validation
from recsim.agents import adapters
from recsim.ope import _frames, estimates
from recsim.ope import log as log_lib
from recsim.ope import policy as policy_lib
from recsim.vector import agent as vector_agent
from recsim.vector import streams

__all__ = ["Collected", "collect", "true_value"]

#: Called as ``make_environment(num_envs=…, first_user=…)``, see recsim.vector.simulate.
MakeEnvironment = Callable[..., types.VectorEnv]
MakeAgent = Callable[[Any], types.VectorAgent]

# Slates of each user that an agent is asked for at once.
_TOGETHER = 64
# Of more numbers, the probabilities of all slates are not kept.
_MOST_NUMBERS = 50_000_000


@dataclasses.dataclass(frozen=True)
class Collected:
    """The outcome of logging an agent.

    Attributes:
        log: the logged slates.
        policies: the probabilities of each evaluated agent, by name.
    """

    log: log_lib.SlateLog
    policies: Mapping[str, policy_lib.Policy]


def collect(
    make_environment: MakeEnvironment,
    make_agent: MakeAgent,
    evaluated: Mapping[str, MakeAgent],
    num_users: int,
    *,
    num_steps: int = 1,
    seed: int | None = None,
    advance: Callable[[int], None] | None = None,
    workers: int | None = 1,
    backend: clusters.BackendLike = "loky",
    address: str | None = None,
) -> Collected:
    """Logs an agent, and asks others how likely they would be to show what it shows.

    Where there are at most :data:`recsim.ope.policy.MOST_SLATES` slates, agents are asked for the
    probabilities of all of them, which estimators with a model and the pseudo-inverse need.

    Args:
        make_environment: function called as ``make_environment(num_envs=…, first_user=…)``, such as
            ``functools.partial(interest_evolution.create_vector_environment, env_config)``.
        make_agent: function of an environment that returns the agent to log, which knows its
            probabilities (:func:`recsim.types.knows_propensities`).
        evaluated: such functions of agents to evaluate, by name. They too know theirs.
        num_users: number of users, at least 1.
        num_steps: steps of each user's episode, at least 1; it may end before.
        seed: of the environment, an integer >= 0; None for that of its config.
        advance: called with the number of users done since the last call.
        workers: the most processes to use, on which nothing depends; None for one a core of the
            backend. With more than one, copies of the functions are called in each of them.
        backend: where the processes are, see :func:`recsim.clusters.connect`.
        address: of the cluster, None for one of this machine.

    Raises:
        TypeError, ValueError: for arguments that are not as said above, or an agent that does not
            know its probabilities.

    Example:
        >>> import functools
        >>> from recsim.agents import random_agent, softmax_agent
        >>> from recsim.environments import interest_evolution
        >>> from recsim.ope import estimators
        >>> config = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}
        >>> collected = collect(
        ...     functools.partial(interest_evolution.create_vector_environment, config),
        ...     random_agent.VectorRandomAgent,
        ...     {"softmax": softmax_agent.create_vector_agent}, 500)
        >>> estimate = estimators.InversePropensity().estimate(
        ...     collected.log, collected.policies["softmax"])
        >>> estimate.low < estimate.value < estimate.high
        True
    """
    validation.positive_int("num_users", num_users)
    validation.positive_int("num_steps", num_steps)
    if seed is not None:
        validation.positive_int("seed", seed, 0)
    validation.mapping("evaluated", evaluated)
    arguments = {
        "make_environment": make_environment,
        "make_agent": make_agent,
        "evaluated": dict(evaluated),
        "num_rows": num_users * num_steps,
        "num_steps": num_steps,
        "seed": seed,
    }
    users = streams.chunks(0, num_users)
    parts = _by_chunk(_logged, arguments, users, advance, workers, backend, address)
    return _collected(parts, list(evaluated))


def _by_chunk(
    function: Callable[..., parallel.Result],
    arguments: dict[str, Any],
    chunks: Sequence[tuple[int, range]],
    advance: Callable[[int], None] | None,
    workers: int | None,
    backend: clusters.BackendLike,
    address: str | None,
) -> list[Any]:
    """Returns what a function finds of each chunk of users, in their order.

    Args:
        function: a task's, which returns it as ``found``.
        arguments: its arguments, but for ``users``.
        chunks: numbers of chunks, with those of their users.
        advance: see :func:`collect`, as are the following.
        workers: likewise.
        backend: likewise.
        address: likewise.
    """
    with clusters.connect(backend, address, workers) as cluster:
        if workers is None:
            workers = parallel.usable_cores() if cluster is None else cluster.cores()
        tasks = [
            parallel.Task(f"chunk_{number}", function, {**arguments, "users": users}, len(users))
            for number, users in chunks
        ]
        tell = advance or (lambda number: None)
        finished = parallel.run_tasks(tasks, workers, tell, backend=cluster)
        with contextlib.closing(finished):
            found = {task.name: result["found"] for task, result in finished}
    return [found[task.name] for task in tasks]


def _logged(
    users: range,
    make_environment: MakeEnvironment,
    make_agent: MakeAgent,
    evaluated: Mapping[str, MakeAgent],
    num_rows: int,
    num_steps: int,
    seed: int | None,
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """Logs the users of a chunk, see :func:`collect`."""
    del advance  # A chunk is soon done.
    env = make_environment(num_envs=len(users), first_user=users.start)
    if not types.is_vector_env(env):
        raise TypeError(
            "make_environment must return a vector environment, as the scenarios' "
            f"create_vector_environment does, got {numbers.described(env)}."
        )
    agents = {name: create(env) for name, create in evaluated.items()}
    chunk = _Chunk(env, make_agent(env), agents, num_rows)
    chunk.run(num_steps, seed, users.start)
    return {"found": chunk.arrays()}


class _Chunk:
    """Logs the users of a chunk."""

    def __init__(
        self,
        env: types.VectorEnv,
        agent: types.VectorAgent,
        evaluated: Mapping[str, types.VectorAgent],
        num_rows: int,
    ) -> None:
        self._env = env
        self._agent = _checked_agent("the agent to log", agent)
        self._evaluated = {
            name: _checked_agent(f"the agent to evaluate, {name!r},", each)
            for name, each in evaluated.items()
        }
        # Features as deep agents have them, so that these can learn from the log.
        space = spaces_lib.single_user_space(env.single_observation_space)
        self._adapter = adapters.ObservationAdapter(space, owner="A log of slates")
        nvec = env.single_action_space.nvec
        self._num_candidates, slate_size = int(nvec[0]), len(nvec)
        number = math.perm(self._num_candidates, slate_size)
        self._slates: np.ndarray | None = None
        if number <= policy_lib.MOST_SLATES and number * num_rows <= _MOST_NUMBERS:
            self._slates = policy_lib.all_slates(self._num_candidates, slate_size)
        self._steps: list[dict[str, Any]] = []

    def run(self, num_steps: int, seed: int | None, first_user: int) -> None:
        """Runs an episode of each user, of a number of steps at most."""
        env = self._env
        observation, _ = env.reset(seed=seed)
        slates = self._agent.begin(observation)
        for each in self._evaluated.values():
            each.begin(observation)
        under_way = np.ones(env.num_envs, np.bool_)
        users = first_user + np.arange(env.num_envs)
        for step in range(num_steps):
            entries = self._entries(observation, slates)
            outcome = env.step(slates)
            observation, rewards, terminated, truncated, infos = outcome
            responses = vector_agent.last_responses(observation, infos)
            entries.update(
                rewards=np.asarray(rewards, np.float64),
                position_rewards=_position_rewards(responses, rewards),
                clicks=_clicks(responses),
                users=users,
                steps=np.full(env.num_envs, step),
                terminated=np.array(terminated),
            )
            self._steps.append(_map(entries, operator.itemgetter(under_way)))
            under_way = under_way & ~(terminated | truncated)
            if step + 1 < num_steps:
                slates = self._agent.step(*outcome)
                for each in self._evaluated.values():
                    each.step(*outcome)

    def _entries(self, observation: types.Observation, slates: np.ndarray) -> dict[str, Any]:
        """Returns what there is to log before a slate is shown."""
        users, candidates = self._adapter.features_of_many(observation)
        entries: dict[str, Any] = {
            "items": np.array(slates, np.int64),
            "user_features": users.astype(np.float64),
            "candidate_features": candidates.astype(np.float64),
            "logging": self._asked("the agent to log", self._agent, observation, slates),
        }
        for name, each in self._evaluated.items():
            described = f"the agent to evaluate, {name!r},"
            entries[f"evaluated {name}"] = self._asked(described, each, observation, slates)
        return entries

    def _asked(
        self,
        described: str,
        agent: types.VectorAgent,
        observation: types.Observation,
        slates: np.ndarray,
    ) -> dict[str, Any]:
        """Returns the probabilities of an agent, of the slates shown and of all."""
        assert types.knows_propensities(agent)
        known = agent.propensities(observation, slates)
        if known is None or np.isnan(known.items).any():
            raise ValueError(
                f"{described} {type(agent).__name__} does not know its probabilities, as it is set "
                "up: Thompson sampling needs propensity_samples, and a layer a base agent that "
                "knows its own, such as those of random, softmax or ppo; and action masks must be "
                "of positions that share all documents or none."
            )
        entries: dict[str, Any] = {"items": np.asarray(known.items, np.float64)}
        for name, values in (("slates", known.slate), ("prefixes", known.prefixes)):
            if values is not None:
                entries[name] = np.asarray(values, np.float64)
        if known.num_samples is not None:
            entries["num_samples"] = np.full(len(slates), known.num_samples)
        if self._slates is not None and known.slate is not None:
            entries["of_all"] = np.concatenate(
                [
                    self._of_slates(agent, observation, self._slates[start : start + _TOGETHER])
                    for start in range(0, len(self._slates), _TOGETHER)
                ],
                axis=1,
            )
        return entries

    def _of_slates(
        self,
        agent: types.KnowsPropensities,
        observation: types.Observation,
        slates: np.ndarray,
    ) -> np.ndarray:
        shape = (self._env.num_envs, *slates.shape)
        known = agent.propensities(observation, np.broadcast_to(slates, shape))
        probabilities = None if known is None else np.asarray(known.slate, np.float64)
        if probabilities is None or probabilities.shape != shape[:2]:
            got = None if probabilities is None else probabilities.shape
            raise ValueError(
                f"propensities of {type(agent).__name__} must return probabilities of the shape "
                f"(n_users, n_slates) = {shape[:2]} for slates of the shape {shape}, got {got}."
            )
        return probabilities

    def arrays(self) -> dict[str, Any]:
        """Returns what was logged, in the order of users and steps, and the slates."""
        joined = _joined(self._steps)
        order = np.lexsort((joined["steps"], joined["users"]))
        ordered = _map(joined, operator.itemgetter(order))
        return {**ordered, "slates": self._slates, "num_candidates": self._num_candidates}


def _checked_agent(described: str, agent: types.VectorAgent) -> types.VectorAgent:
    if not types.is_vector_agent(agent):
        raise TypeError(
            f"{described} must be an agent of users in parallel, got {numbers.described(agent)}."
        )
    knows = types.knows_propensities(agent)
    if not knows:
        raise ValueError(
            f"{described} {type(agent).__name__} does not know its probabilities: take one that "
            "does, such as random, softmax or ppo, or give it a method propensities(observation, "
            "slates), see recsim.types.KnowsPropensities."
        )
    return agent


def _map(tree: dict[str, Any], function: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    """Returns nested dictionaries with a function applied to their arrays."""
    return {
        key: _map(value, function)
        if isinstance(value, dict)
        else (None if value is None else function(value))
        for key, value in tree.items()
    }


def _joined(trees: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns nested dictionaries as one, of the rows of all; None where one has no array."""
    joined: dict[str, Any] = {}
    for key, value in trees[0].items():
        values = [tree.get(key) for tree in trees]
        if isinstance(value, dict):
            joined[key] = _joined(values)  # type: ignore[arg-type]
        else:
            known = [array for array in values if array is not None]
            joined[key] = np.concatenate(known) if len(known) == len(trees) else None
    return joined


def _position_rewards(
    responses: Mapping[str, np.ndarray] | np.ndarray, rewards: np.ndarray
) -> np.ndarray | None:
    """Returns what documents earned: a field of the responses whose sums are the rewards."""
    if not isinstance(responses, Mapping):
        return None
    clicks = _clicks(responses)
    for values in responses.values():
        array = np.asarray(values, np.float64)
        if array.ndim == 2:
            found = _frames.position_rewards(array, clicks, np.asarray(rewards, np.float64))
            if found is not None:
                return found
    return None


def _clicks(responses: Mapping[str, np.ndarray] | np.ndarray) -> np.ndarray | None:
    """Returns which documents were clicked, if responses say so, shape (n_users, slate_size)."""
    click = responses.get("click") if isinstance(responses, Mapping) else None
    if click is None or click.ndim != 2:
        return None
    return np.asarray(click, np.float64)


def _collected(parts: list[dict[str, Any]], names: list[str]) -> Collected:
    slates, num_candidates = parts[0].pop("slates"), parts[0].pop("num_candidates")
    for part in parts[1:]:
        del part["slates"], part["num_candidates"]
    joined = _joined(parts)
    logging = joined.pop("logging")
    evaluated = {name: joined.pop(f"evaluated {name}") for name in names}
    features = joined["candidate_features"]
    if len(features) > 1 and (features == features[:1]).all():
        joined["candidate_features"] = features[:1]
    distribution = None
    if slates is not None and logging.get("of_all") is not None:
        distribution = policy_lib.SlateDistribution(slates, logging["of_all"])
    samples = logging.get("num_samples")
    log = log_lib.SlateLog(
        slate_propensities=logging.get("slates"),
        item_propensities=logging["items"],
        prefix_propensities=logging.get("prefixes"),
        distribution=distribution,
        propensity_samples=None if samples is None else int(samples.min()),
        num_candidates=num_candidates,
        **joined,
    )
    policies = {}
    for name, entries in evaluated.items():
        if slates is not None and entries.get("of_all") is not None:
            of_all = policy_lib.SlateDistribution(slates, entries["of_all"])
            policies[name] = policy_lib.Policy.of(of_all, log.items)
        else:
            policies[name] = policy_lib.Policy(
                slates=entries.get("slates"),
                items=entries["items"],
                prefixes=entries.get("prefixes"),
            )
    return Collected(log, policies)


def true_value(
    make_environment: MakeEnvironment,
    make_agent: MakeAgent,
    num_users: int,
    *,
    num_steps: int = 1,
    discount: float = 1.0,
    seed: int | None = None,
    interval: estimates.Interval | None = None,
    first_user: int = 0,
    advance: Callable[[int], None] | None = None,
    workers: int | None = 1,
    backend: clusters.BackendLike = "loky",
    address: str | None = None,
) -> estimates.Estimate:
    """Returns the mean return of an agent's episodes, simulated, with its interval.

    Args:
        make_environment: see :func:`collect`.
        make_agent: function of an environment that returns the agent, which needs no probabilities.
        num_users: number of users.
        num_steps: steps of each user's episode; it may end before.
        discount: of rewards from step to step, in [0, 1].
        seed: of the environment; None for that of its config.
        interval: how the interval is made; None for Student's of 95%.
        first_user: number of the first user. With the seed of a log, and a number that is not in
            it, the users are others than those of the log, of the same scenario.
        advance: called with the number of users done since the last call.
        workers: see :func:`collect`.
        backend: see :func:`collect`.
        address: see :func:`collect`.
    """
    validation.positive_int("num_users", num_users)
    validation.positive_int("num_steps", num_steps)
    validation.probability("discount", discount)
    validation.positive_int("first_user", first_user, 0)
    arguments = {
        "make_environment": make_environment,
        "make_agent": make_agent,
        "num_steps": num_steps,
        "discount": discount,
        "seed": seed,
    }
    users = streams.chunks(first_user, num_users)
    returns = _by_chunk(_returns, arguments, users, advance, workers, backend, address)
    return estimates.estimate("true value", np.concatenate(returns), interval=interval)


def _returns(
    users: range,
    make_environment: MakeEnvironment,
    make_agent: MakeAgent,
    num_steps: int,
    discount: float,
    seed: int | None,
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """Simulates the episodes of the users of a chunk, see :func:`true_value`."""
    del advance  # A chunk is soon done.
    env = make_environment(num_envs=len(users), first_user=users.start)
    agent = make_agent(env)
    observation, _ = env.reset(seed=seed)
    slates = agent.begin(observation)
    total, under_way = np.zeros(len(users)), np.ones(len(users), np.bool_)
    for step in range(num_steps):
        outcome = env.step(slates)
        _, rewards, terminated, truncated, _ = outcome
        total[under_way] += discount**step * np.asarray(rewards, np.float64)[under_way]
        under_way &= ~(terminated | truncated)
        if step + 1 < num_steps:
            slates = agent.step(*outcome)
    return {"found": total}
