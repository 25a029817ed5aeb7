"""A contract suite: what every environment and every agent keeps, a user's own too.

Call the checks from the tests of an environment or agent of your own; each raises AssertionError
(or the error of the code under test) where the contract is broken.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from recsim import agent as agent_lib
from recsim import seeding, spaces
from recsim.simulator import environment, recsim_gym

__all__ = ["check_agent", "check_environment"]

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
