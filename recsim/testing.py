"""A contract suite: what every environment and every agent keeps, a user's own too.

Call the checks from the tests of an environment or agent of your own; each raises AssertionError
(or the error of the code under test) where the contract is broken.
"""

from __future__ import annotations

import copy
import functools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from recsim import agent as agent_lib
from recsim import spaces, types
from recsim._internal import action_masks, bundles, trees
from recsim._internal.gym_import import spaces as spaces_of_slates
from recsim.agents import random_agent
from recsim.simulator import recsim_gym, rollout
from recsim.vector import streams

__all__ = ["check_agent", "check_environment", "check_vector_environment"]

MakeEnvironment = Callable[[], recsim_gym.RecSimGymEnv]
MakeAgent = Callable[[recsim_gym.RecSimGymEnv], Any]


def check_environment(
    make_environment: MakeEnvironment, *, num_steps: int = 200, seed: int = 0
) -> None:
    """Checks an environment, under random slates.

    * Every observation has its space's structure, shapes and bounds, and is never changed after
      it was returned. The response of a reset is None.
    * The documents of ``observation['doc']`` are the current candidates.
    * Two environments made alike give the same rollout, without a seed and with one, whatever is
      sampled from Python's or NumPy's global generators in the meantime; and these are left
      alone.
    * An environment that got another one's ``state_dict`` between two episodes continues
      as that one does.

    Args:
        make_environment: function that makes a new environment, the same one at each call.
        num_steps: number of steps.
        seed: seed of the slates.
    """
    _check_observations(make_environment(), num_steps, seed)
    _check_pair(make_environment, num_steps, seed)
    _check_checkpoint(make_environment, num_steps, seed)


def check_agent(
    make_environment: MakeEnvironment, make_agent: MakeAgent, *, num_steps: int = 200
) -> None:
    """Checks an agent in an environment.

    * Every slate can be shown: up to ``slate_size`` indices of candidates (for several users, a
      slate for each).
    * The agent does not change the observations it gets.
    * Two agents made alike recommend the same, and leave the global generators alone.
    * An agent that unbundled another one's bundle between two episodes continues as that one
      does.

    Args:
        make_environment: function that makes a new environment, the same one at each call.
        make_agent: function of the environment that makes a new agent, the same one at each call.
        num_steps: number of steps.
    """
    # Libraries that the agent imports late may sample when they are imported: not in the second.
    first = _slates_of(make_environment(), make_agent, num_steps)
    with _GlobalGeneratorsLeftAlone():
        second = _slates_of(make_environment(), make_agent, num_steps)
    _assert_same(first, second, "two agents made alike")
    _check_bundle(make_environment, make_agent, num_steps)


def check_vector_environment(
    make_environment: Callable[..., Any], *, num_steps: int = 20, seed: int = 0
) -> None:
    """Checks a vector environment, under random slates.

    * Every observation is in its space, and is never changed after it was returned; so are the
      last observations of episodes that ended.
    * Rewards are finite numbers, an entry a user, as are the bools of whose episodes ended.
    * A user goes through the same, last observations included, whether alone or among others, in
      the first chunk of users or a later one.
    * Two environments made alike give the same rollout after a reset with the same seed, and the
      global generators are left alone.
    * An environment that got another one's ``state_dict`` between two steps continues as
      that one does.

    Give the environment a ``max_steps_per_episode`` below ``num_steps``, for episodes to end.

    Args:
        make_environment: function called as ``make_environment(num_envs=…, first_user=…)`` that
            makes a new :class:`recsim.vector.env.RecSimVectorEnv`, the same one at each call but
            for its users.
        num_steps: number of steps.
        seed: seed of the environment and of the slates.
    """
    first_user, num_envs = streams.CHUNK_SIZE - 3, 6  # The last of a chunk, the first of the next.
    users = {"num_envs": num_envs, "first_user": first_user}
    with _GlobalGeneratorsLeftAlone():
        rollout = _vector_rollout(make_environment(**users), num_steps, seed)
    again = _vector_rollout(make_environment(**users), num_steps, seed)
    _assert_same(again, rollout, "one of two environments made alike")
    for row in (0, num_envs - 1):
        env = make_environment(num_envs=1, first_user=first_user + row)
        alone = _vector_rollout(env, num_steps, seed)
        _assert_same(alone, _of_user(rollout, row), "a user alone")
    _check_vector_checkpoint(functools.partial(make_environment, **users), num_steps, seed)


def _vector_rollout(env: types.VectorEnv, num_steps: int, seed: int) -> list[dict[str, Any]]:
    """Runs steps, checks the outcomes and returns them."""
    recorder = _VectorRecorder(env)
    _run_vector(env, num_steps, seed, recorder)
    for parts, as_they_were in recorder.returned:
        _assert_same(
            parts,
            as_they_were,
            "an observation after it was returned (let observe_users, observe_responses and the "
            "sampler's observe return arrays that nothing changes later, such as copies)",
        )
    return [parts for parts, _ in recorder.returned]


class _VectorRecorder(rollout.VectorListener):
    """Checks the outcome of a reset and of each step, and keeps it with a copy of what it was."""

    def __init__(self, env: types.VectorEnv) -> None:
        self._env = env
        self.returned: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def on_reset(self, observation: types.Observation, infos: Mapping[str, Any]) -> None:
        nobody = np.zeros(self._env.num_envs, np.bool_)
        self._add(observation, np.zeros(self._env.num_envs), nobody, nobody, infos)

    def on_step(self, step: rollout.VectorStep) -> None:
        self._add(step.observation, step.rewards, step.terminated, step.truncated, step.infos)

    def _add(
        self,
        observation: types.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: Mapping[str, Any],
    ) -> None:
        _check_outcome(self._env, observation, rewards, terminated, truncated, infos)
        parts: dict[str, Any] = {
            "observation": observation,
            "rewards": rewards,
            "terminated": terminated,
            "truncated": truncated,
        }
        if infos:
            _assert_same(infos["_final_obs"], terminated | truncated, "_final_obs")
            parts["final_observation"] = infos["final_obs"].batch
        self.returned.append((parts, copy.deepcopy(parts)))


def _of_user(rollout: list[dict[str, Any]], row: int) -> list[dict[str, Any]]:
    """Returns what a user went through."""
    outcomes = [trees.rows_of(outcome, slice(row, row + 1)) for outcome in rollout]
    for outcome in outcomes:
        if not (outcome["terminated"] | outcome["truncated"]).any():
            outcome.pop("final_observation", None)  # The episode of another user ended.
    return outcomes


def _check_outcome(
    env: types.VectorEnv,
    observation: types.Observation,
    rewards: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    infos: types.Infos,
) -> None:
    assert env.observation_space.contains(observation), f"not in its space: {observation!r}"
    assert rewards.shape == (env.num_envs,) and np.isfinite(rewards).all(), rewards
    for ended in (terminated, truncated):
        assert ended.shape == (env.num_envs,) and ended.dtype == np.bool_, ended
    assert bool(infos) == bool((terminated | truncated).any()), "final_obs where an episode ends"
    for final in infos.get("final_obs", ()):
        assert final is None or env.single_observation_space.contains(final), final


def _run_vector(
    env: types.VectorEnv, num_steps: int, seed: int, *listeners: rollout.VectorListener
) -> None:
    """Runs steps under random slates, sampled for each user by itself."""
    agent = random_agent.VectorRandomAgent(env, seed)
    rollout.VectorRollout(env, agent, listeners, follows_episodes=False).run_steps(
        num_steps, seed=seed
    )


def _check_vector_checkpoint(
    make_environment: Callable[[], Any], num_steps: int, seed: int
) -> None:
    env, resumed = make_environment(), make_environment()
    recorder = _VectorRecorder(env)
    _run_vector(env, num_steps, seed, recorder)
    observation = recorder.returned[-1][0]["observation"]
    resumed.load_state_dict(copy.deepcopy(env.state_dict()))
    rng = np.random.RandomState(seed)
    agent = random_agent.VectorRandomAgent(env, seed)
    nvec = env.single_action_space.nvec
    for _ in range(num_steps):
        slates = rng.randint(nvec[0], size=(env.num_envs, len(nvec)))
        if action_masks.observed(observation["doc"], len(nvec)) is not None:
            slates = agent.begin(observation)
        (*outcome, _), (*expected, _) = resumed.step(slates), env.step(slates)
        _assert_same(outcome, expected, "an environment restored from a checkpoint")
        observation, _, terminated, truncated = outcome
        ended = terminated | truncated
        if env.metadata["autoreset_mode"].name == "DISABLED" and ended.any():
            for each in (resumed, env):
                observation, _ = each.reset(options={"reset_mask": ended})


def _check_observations(env: recsim_gym.RecSimGymEnv, num_steps: int, seed: int) -> None:
    returned: list[tuple[Any, Any]] = []

    def check(observation: types.Observation) -> None:
        space = env.observation_space
        of_reset = observation["response"] is None
        for key in ("user", "doc") if of_reset else ("user", "doc", "response"):
            if key == "response" and not _is_full(observation["response"], space["response"]):
                continue
            spaces.check_observation(space[key], observation[key], f"observation[{key!r}]")
        assert list(observation["doc"]) == list(env.environment.candidate_set.create_observation())
        returned.append((observation, copy.deepcopy(observation)))

    _run(env, num_steps, seed, check)
    for observation, as_it_was in returned:
        _assert_same(observation, as_it_was, "an observation after it was returned")


def _is_full(responses: Sequence[Any], space: types.Space) -> bool:
    """Says whether every user responded: one whose episode is over does not."""
    of_users = cast(Iterable[Any], space)
    users = zip(responses, of_users, strict=True) if isinstance(responses[0], tuple) else ()
    return all(len(of_user) == len(of_user_space.spaces) for of_user, of_user_space in users)


def _check_pair(make_environment: MakeEnvironment, num_steps: int, seed: int) -> None:
    for env_seed in (None, 17):
        rollouts = []
        for noise in (1, 2):
            env = make_environment()
            if env_seed is not None:
                env.seed(env_seed)
            with _GlobalGeneratorsLeftAlone(noise):
                rollouts.append(_run(env, num_steps, seed))
        _assert_same(rollouts[0], rollouts[1], f"two environments made alike (seed {env_seed})")


def _check_checkpoint(make_environment: MakeEnvironment, num_steps: int, seed: int) -> None:
    env, resumed = make_environment(), make_environment()
    _run(env, num_steps // 2, seed)
    resumed.load_state_dict(copy.deepcopy(env.state_dict()))
    rollouts = [_run(each, num_steps // 2, seed + 1) for each in (env, resumed)]
    _assert_same(rollouts[0], rollouts[1], "an environment restored from a checkpoint")


def _check_bundle(make_environment: MakeEnvironment, make_agent: MakeAgent, num_steps: int) -> None:
    env, resumed_env = make_environment(), make_environment()
    agent, resumed = make_agent(env), make_agent(resumed_env)
    _slates_of(env, lambda _: agent, num_steps // 2)
    bundle = copy.deepcopy(bundles.state_for_checkpoint(agent, "", 0))
    restored = not bundle or bundles.restore_checkpoint(resumed, "", 0, bundle)
    assert restored, "unbundle refused the agent's own bundle"
    resumed_env.load_state_dict(copy.deepcopy(env.state_dict()))
    first = _slates_of(env, lambda _: agent, num_steps // 2)
    second = _slates_of(resumed_env, lambda _: resumed, num_steps // 2)
    _assert_same(first, second, "an agent restored from a bundle")


def _slates_of(
    env: recsim_gym.RecSimGymEnv, make_agent: MakeAgent, num_steps: int
) -> list[list[Any]]:
    """Runs episodes of up to 25 steps; returns the slates."""
    agent = _CheckedAgent(make_agent(env))
    _run_episodes(env, agent, num_steps, 25)
    return agent.slates


def _run(
    env: recsim_gym.RecSimGymEnv,
    num_steps: int,
    seed: int,
    on_observation: Callable[[types.Observation], None] = lambda observation: None,
) -> list[tuple[types.Observation, Any, bool]]:
    """Runs episodes of up to 50 steps under random slates.

    Returns:
        (observation, reward, done) of every reset and step.
    """
    agent = _RandomSlates(env, seed, on_observation)
    _run_episodes(env, agent, num_steps, 50)
    return agent.outcomes


def _run_episodes(
    env: recsim_gym.RecSimGymEnv, agent: types.SlateAgent, num_steps: int, max_steps: int
) -> None:
    while num_steps > 0:
        episode = rollout.run_episode(env, agent, max_steps=min(max_steps, num_steps))
        num_steps -= episode.num_steps


class _CheckedAgent:
    """An agent whose slates are listed, and which must not change its observations."""

    def __init__(self, agent: types.SlateAgent) -> None:
        self._agent = agent
        self.slates: list[list[Any]] = []
        self._seen: Any = None
        self._as_it_was: Any = None

    def begin_episode(self, observation: types.Observation) -> types.Action:
        return self._checked(self._agent.begin_episode(self._kept(observation)))

    def step(self, reward: float, observation: types.Observation) -> types.Action:
        self._check()
        return self._checked(self._agent.step(reward, self._kept(observation)))

    def end_episode(
        self, reward: float, observation: types.Observation, *, truncated: bool = False
    ) -> None:
        self._check()
        self._kept(observation)
        agent_lib.end_episode(self._agent, reward, observation, truncated=truncated)
        self._check()

    def _kept(self, observation: types.Observation) -> types.Observation:
        self._seen, self._as_it_was = observation, copy.deepcopy(observation)
        return observation

    def _checked(self, slate: types.Action) -> types.Action:
        self._check()
        self.slates.append(np.asarray(slate).tolist())
        return slate

    def _check(self) -> None:
        _assert_same(self._seen, self._as_it_was, "an observation that the agent got")


class _RandomSlates:
    """An agent that shows random slates and keeps what it is told."""

    def __init__(
        self,
        env: recsim_gym.RecSimGymEnv,
        seed: int,
        on_observation: Callable[[types.Observation], None],
    ) -> None:
        self._rng = np.random.RandomState(seed)
        self._env = env
        self._on_observation = on_observation
        self.outcomes: list[tuple[types.Observation, Any, bool]] = []

    def begin_episode(self, observation: types.Observation) -> types.Action:
        return self._next(observation, None)

    def step(self, reward: float, observation: types.Observation) -> types.Action:
        return self._next(observation, reward)

    def end_episode(
        self, reward: float, observation: types.Observation, *, truncated: bool = False
    ) -> None:
        self._add(observation, reward, not truncated)

    def _add(self, observation: types.Observation, reward: float | None, done: bool) -> None:
        self._on_observation(observation)
        self.outcomes.append((observation, reward, done))

    def _next(self, observation: types.Observation, reward: float | None) -> types.Action:
        self._add(observation, reward, False)
        if rollout.has_several_users(self._env):
            return [self._slate(observation) for _ in self._env.environment.user_model]
        return self._slate(observation)

    def _slate(self, observation: types.Observation) -> list[int]:
        shown = self._env.environment
        if action_masks.observed(observation["doc"], shown.slate_size) is not None:
            nvec = np.full(shown.slate_size, shown.num_candidates)
            agent = random_agent.RandomAgent(spaces_of_slates.MultiDiscrete(nvec))
            return agent.step(0.0, observation)
        slate: list[int] = self._rng.randint(shown.num_candidates, size=shown.slate_size).tolist()
        return slate


class _GlobalGeneratorsLeftAlone:
    """Puts the global generators into some state, and checks that nothing was sampled from them."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def __enter__(self) -> None:
        self._before = random.getstate(), np.random.get_state()
        random.seed(self._seed)
        np.random.seed(self._seed)
        self._state = random.getstate(), np.random.get_state(legacy=False)

    def __exit__(self, exception_type: object, *_: object) -> None:
        after = random.getstate(), np.random.get_state(legacy=False)
        random.setstate(self._before[0])
        np.random.set_state(self._before[1])
        if exception_type is None:
            _assert_same(after, self._state, "the state of the global generators")


def _assert_same(first: object, second: object, what: str, where: str = "") -> None:
    if isinstance(first, dict):
        assert isinstance(second, dict) and list(first) == list(second), _differs(what, where)
        for key in first:
            _assert_same(first[key], second[key], what, f"{where}[{key!r}]")
    elif isinstance(first, (list, tuple)):
        assert isinstance(second, (list, tuple)), _differs(what, where)
        assert len(first) == len(second), _differs(what, where)
        for index, (item, other) in enumerate(zip(first, second, strict=True)):
            _assert_same(item, other, what, f"{where}[{index}]")
    else:
        assert np.array_equal(np.asarray(first), np.asarray(second)), (
            _differs(what, where) + f" {first!r} {second!r}"
        )


def _differs(what: str, where: str) -> str:
    return f"{what} differs{' at ' + where if where else ''}:"
