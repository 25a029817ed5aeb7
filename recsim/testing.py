"""A contract suite: what every environment and every agent keeps, a user's own too.

Call the checks from the tests of an environment or agent of your own; each raises AssertionError
(or the error of the code under test) where the contract is broken.
"""

from __future__ import annotations

import copy
import functools
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from recsim import agent as agent_lib
from recsim import seeding, spaces
from recsim.agents import random_agent
from recsim.simulator import environment, recsim_gym
from recsim.vector import _conversion, streams

__all__ = ["check_agent", "check_environment", "check_vector_environment"]

MakeEnvironment = Callable[[], recsim_gym.RecSimGymEnv]
MakeAgent = Callable[[recsim_gym.RecSimGymEnv], Any]


def check_environment(
    make_environment: MakeEnvironment, *, num_steps: int = 200, seed: int = 0
) -> None:
    """Checks an environment, under random slates.

    * Every observation has its space's structure, shapes and bounds, and is never changed after
      it was handed out. The response of a reset is None.
    * The documents of ``observation['doc']`` are the current candidates.
    * Two environments made alike play the same, without a seed and with one, whatever is drawn
      from Python's or NumPy's global generators in the meantime; and these are left alone.
    * An environment that got another one's ``checkpoint_state`` between two episodes goes on as
      that one does.

    Args:
        make_environment: function that makes a new environment, the same one at each call.
        num_steps: number of steps to play.
        seed: seed of the slates.
    """
    _check_observations(make_environment(), num_steps, seed)
    _check_twins(make_environment, num_steps, seed)
    _check_checkpoint(make_environment, num_steps, seed)


def check_agent(
    make_environment: MakeEnvironment, make_agent: MakeAgent, *, num_steps: int = 200
) -> None:
    """Checks an agent in an environment.

    * Every slate can be shown: up to ``slate_size`` indices of candidates (for several users, a
      slate for each).
    * The agent does not change the observations it gets.
    * Two agents made alike recommend the same, and leave the global generators alone.
    * An agent that unbundled another one's bundle between two episodes goes on as that one does.

    Args:
        make_environment: function that makes a new environment, the same one at each call.
        make_agent: function of the environment that makes a new agent, the same one at each call.
        num_steps: number of steps to play.
    """
    # Libraries that the agent imports late may draw when they are imported: not in the second.
    first = _play_agent(make_environment(), make_agent, num_steps)
    with _GlobalGeneratorsLeftAlone():
        second = _play_agent(make_environment(), make_agent, num_steps)
    _assert_same(first, second, "two agents made alike")
    _check_bundle(make_environment, make_agent, num_steps)


def check_vector_environment(
    make_environment: Callable[..., Any], *, num_steps: int = 20, seed: int = 0
) -> None:
    """Checks a vector environment, under random slates.

    * Every observation is in its space, and is never changed after it was handed out; so are the
      last observations of sessions that ended.
    * Rewards are finite numbers, an entry a user, as are the bools of whose sessions ended.
    * A user goes through the same, last observations included, whether alone or among others, in
      the first chunk of users or a later one.
    * Two environments made alike play the same after a reset with the same seed, and the global
      generators are left alone.
    * An environment that got another one's ``checkpoint_state`` between two steps goes on as that
      one does.

    Give the environment a ``max_steps_per_episode`` below ``num_steps``, for sessions to end.

    Args:
        make_environment: function called as ``make_environment(num_envs=…, first_user=…)`` that
            makes a new :class:`recsim.vector.env.RecSimVectorEnv`, the same one at each call but
            for its users.
        num_steps: number of steps to play.
        seed: seed of the environment and of the slates.
    """
    first_user, num_envs = streams.CHUNK_SIZE - 3, 6  # The last of a chunk, the first of the next.
    users = {"num_envs": num_envs, "first_user": first_user}
    with _GlobalGeneratorsLeftAlone():
        rollout = _vector_rollout(make_environment(**users), num_steps, seed)
    twin = _vector_rollout(make_environment(**users), num_steps, seed)
    _assert_same(twin, rollout, "one of two environments made alike")
    for row in (0, num_envs - 1):
        env = make_environment(num_envs=1, first_user=first_user + row)
        alone = _vector_rollout(env, num_steps, seed)
        _assert_same(alone, _of_user(rollout, row), "a user alone")
    _check_vector_checkpoint(functools.partial(make_environment, **users), num_steps, seed)


def _vector_rollout(env: Any, num_steps: int, seed: int) -> list[dict[str, Any]]:
    """Plays, checks what comes of it and returns it."""
    handed_out: list[tuple[Any, Any]] = []
    for *outcome, infos in _play_vector(env, num_steps, seed):
        _check_outcome(env, *outcome, infos)
        parts = dict(zip(("observation", "rewards", "terminated", "truncated"), outcome))
        if infos:
            _assert_same(infos["_final_obs"], outcome[2] | outcome[3], "_final_obs")
            parts["final_observation"] = infos["final_obs"].batch
        handed_out.append((parts, copy.deepcopy(parts)))
    for parts, as_they_were in handed_out:
        _assert_same(parts, as_they_were, "an observation after it was handed out")
    return [parts for parts, _ in handed_out]


def _of_user(rollout: list[dict[str, Any]], row: int) -> list[dict[str, Any]]:
    """Returns what a user went through."""
    outcomes = [_conversion.rows_of(outcome, slice(row, row + 1)) for outcome in rollout]
    for outcome in outcomes:
        if not (outcome["terminated"] | outcome["truncated"]).any():
            outcome.pop("final_observation", None)  # The session of another user ended.
    return outcomes


def _check_outcome(env: Any, observation: Any, rewards: Any, *ended_and_infos: Any) -> None:
    terminated, truncated, infos = ended_and_infos
    assert observation in env.observation_space, f"observation not in its space: {observation!r}"
    assert rewards.shape == (env.num_envs,) and np.isfinite(rewards).all(), rewards
    for ended in (terminated, truncated):
        assert ended.shape == (env.num_envs,) and ended.dtype == np.bool_, ended
    assert bool(infos) == bool((terminated | truncated).any()), "final_obs where a session ends"
    for final in infos.get("final_obs", ()):
        assert final is None or final in env.single_observation_space, final


def _play_vector(env: Any, num_steps: int, seed: int) -> Iterator[tuple[Any, ...]]:
    """Yields what came of a reset and of each step, under slates that users draw by themselves."""
    nobody = np.zeros(env.num_envs, np.bool_)
    observation, infos = env.reset(seed=seed)
    yield observation, np.zeros(env.num_envs), nobody, nobody, infos
    agent = random_agent.VectorRandomAgent(env, seed)
    slates = agent.begin(observation)
    for _ in range(num_steps):
        outcome = env.step(slates)
        yield outcome
        slates = agent.step(*outcome)


def _check_vector_checkpoint(
    make_environment: Callable[[], Any], num_steps: int, seed: int
) -> None:
    env, resumed = make_environment(), make_environment()
    for _ in _play_vector(env, num_steps, seed):
        pass
    resumed.restore_state(copy.deepcopy(env.checkpoint_state()))
    rng = np.random.RandomState(seed)
    nvec = env.single_action_space.nvec
    for _ in range(num_steps):
        slates = rng.randint(nvec[0], size=(env.num_envs, len(nvec)))
        (*outcome, _), (*expected, _) = resumed.step(slates), env.step(slates)
        _assert_same(outcome, expected, "an environment restored from a checkpoint")


def _check_observations(env: recsim_gym.RecSimGymEnv, num_steps: int, seed: int) -> None:
    handed_out: list[tuple[Any, Any]] = []
    for observation, _, _ in _play(env, _random_slates(env, seed), num_steps):
        space = env.observation_space
        of_reset = observation["response"] is None
        for key in ("user", "doc") if of_reset else ("user", "doc", "response"):
            if key == "response" and not _is_full(observation["response"], space["response"]):
                continue
            spaces.check_observation(space[key], observation[key], f"observation[{key!r}]")
        assert list(observation["doc"]) == list(env.environment.candidate_set.create_observation())
        handed_out.append((observation, copy.deepcopy(observation)))
    for observation, as_it_was in handed_out:
        _assert_same(observation, as_it_was, "an observation after it was handed out")


def _is_full(responses: Any, space: Any) -> bool:
    """Says whether every user responded: one whose session is over does not."""
    users = zip(responses, space, strict=True) if isinstance(responses[0], tuple) else ()
    return all(len(of_user) == len(of_user_space.spaces) for of_user, of_user_space in users)


def _check_twins(make_environment: MakeEnvironment, num_steps: int, seed: int) -> None:
    for env_seed in (None, 17):
        rollouts = []
        for noise in (1, 2):
            env = make_environment()
            if env_seed is not None:
                env.seed(env_seed)
            with _GlobalGeneratorsLeftAlone(noise):
                rollouts.append(list(_play(env, _random_slates(env, seed), num_steps)))
        _assert_same(rollouts[0], rollouts[1], f"two environments made alike (seed {env_seed})")


def _check_checkpoint(make_environment: MakeEnvironment, num_steps: int, seed: int) -> None:
    env, resumed = make_environment(), make_environment()
    list(_play(env, _random_slates(env, seed), num_steps // 2))
    resumed.restore_state(copy.deepcopy(env.checkpoint_state()))
    rollouts = [
        list(_play(world, _random_slates(world, seed + 1), num_steps // 2))
        for world in (env, resumed)
    ]
    _assert_same(rollouts[0], rollouts[1], "an environment restored from a checkpoint")


def _check_bundle(make_environment: MakeEnvironment, make_agent: MakeAgent, num_steps: int) -> None:
    env, resumed_env = make_environment(), make_environment()
    agent, resumed = make_agent(env), make_agent(resumed_env)
    _play_agent(env, lambda _: agent, num_steps // 2)
    bundle = copy.deepcopy(agent.bundle_and_checkpoint("", 0))
    assert not bundle or resumed.unbundle("", 0, bundle), "unbundle refused the agent's own bundle"
    resumed_env.restore_state(copy.deepcopy(env.checkpoint_state()))
    first = _play_agent(env, lambda _: agent, num_steps // 2)
    second = _play_agent(resumed_env, lambda _: resumed, num_steps // 2)
    _assert_same(first, second, "an agent restored from a bundle")


def _play_agent(
    env: recsim_gym.RecSimGymEnv, make_agent: MakeAgent, num_steps: int
) -> list[list[Any]]:
    """Plays episodes of up to 25 steps; returns the slates."""
    agent = make_agent(env)
    slates = []
    step = 0
    while step < num_steps:
        observation, reward, done = env.reset(), 0.0, False
        slate = agent.begin_episode(observation)
        for _ in range(25):
            slates.append(np.asarray(slate).tolist())
            as_it_was = copy.deepcopy(observation)
            next_observation, reward, done, _ = env.step(slate)
            _assert_same(observation, as_it_was, "an observation that the agent got")
            observation = next_observation
            step += 1
            if done or step >= num_steps:
                break
            as_it_was = copy.deepcopy(observation)
            slate = agent.step(reward, observation)
            _assert_same(observation, as_it_was, "an observation that the agent got")
        agent_lib.end_episode(agent, reward, observation, truncated=not done)
    return slates


def _random_slates(env: recsim_gym.RecSimGymEnv, seed: int) -> Callable[[], Any]:
    rng = np.random.RandomState(seed)
    world = env.environment

    def slate() -> list[int]:
        return rng.randint(world.num_candidates, size=world.slate_size).tolist()

    if isinstance(world, environment.MultiUserEnvironment):
        num_users = world.num_users
        return lambda: [slate() for _ in range(num_users)]
    return slate


def _play(
    env: recsim_gym.RecSimGymEnv, slate: Callable[[], Any], num_steps: int
) -> Iterator[tuple[Any, Any, bool]]:
    """Yields (observation, reward, done) of every reset and step, in episodes of up to 50."""
    done = True
    for step in range(num_steps):
        if done or step % 50 == 0:
            yield env.reset(), None, False
        observation, reward, done, _ = env.step(slate())
        yield observation, reward, done


class _GlobalGeneratorsLeftAlone:
    """Puts the global generators into some state, and checks that nothing was drawn from them."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def __enter__(self) -> None:
        self._before = random.getstate(), np.random.get_state()
        random.seed(self._seed)
        np.random.seed(self._seed)
        self._state = random.getstate(), seeding.generator_state(_global_random_state())

    def __exit__(self, exception_type: Any, *_: Any) -> None:
        after = random.getstate(), seeding.generator_state(_global_random_state())
        random.setstate(self._before[0])
        np.random.set_state(self._before[1])
        if exception_type is None:
            _assert_same(after, self._state, "the state of the global generators")


def _global_random_state() -> np.random.RandomState:
    return np.random.mtrand._rand


def _assert_same(first: Any, second: Any, what: str, where: str = "") -> None:
    if isinstance(first, dict):
        assert isinstance(second, dict) and list(first) == list(second), _differs(what, where)
        for key in first:
            _assert_same(first[key], second[key], what, f"{where}[{key!r}]")
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), _differs(what, where)
        for index, (item, other) in enumerate(zip(first, second, strict=True)):
            _assert_same(item, other, what, f"{where}[{index}]")
    else:
        assert np.array_equal(first, second), _differs(what, where) + f" {first!r} {second!r}"


def _differs(what: str, where: str) -> str:
    return f"{what} differs{' at ' + where if where else ''}:"
