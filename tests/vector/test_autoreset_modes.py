"""When next episodes begin: the same episodes in each of Gymnasium's autoreset modes."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from support.runners import records
from support.scenarios import CONFIG

from recsim import registry, testing
from recsim.agents import random_agent, slate_decomp_q_agent
from recsim.simulator import checkpoint, rollout, runner_lib
from recsim.vector import simulate, wrappers

MODES = [mode.name for mode in AutoresetMode]
LATER = ["NEXT_STEP", "DISABLED"]
SHORT = {
    "interest_exploration": {},
    "interest_evolution": {"time_budget": 15.0},
    "long_term_satisfaction": {"time_budget": 6},
}
NUM_USERS = 9


def make(scenario: str = "interest_evolution", num_envs: int = NUM_USERS, **options: Any) -> Any:
    # Users of two chunks.
    options = {"first_user": 2044, **options}
    config = {**CONFIG, "num_candidates": 5, **SHORT[scenario]}
    return registry.create_vector_environment(scenario, config, num_envs, **options)


def arrays(observation: Any) -> list[np.ndarray]:
    if isinstance(observation, dict):
        return [array for key in sorted(observation) for array in arrays(observation[key])]
    return [np.array(observation)]


class Player:
    """Steps an environment and keeps what each user saw, without what is between two episodes.

    Slates depend on the user and the number of the user's own steps.
    """

    def __init__(self, env: Any) -> None:
        self.env, self.mode = env, env.autoreset_mode.name
        self.seen: list[list[list[Any]]] = [[] for _ in range(env.num_envs)]
        self._own_steps = np.zeros(env.num_envs, int)
        self._waiting = np.zeros(env.num_envs, bool)

    def reset(self, seed: int = 3) -> Player:
        observation, _ = self.env.reset(seed=seed)
        self._see_first(observation, range(self.env.num_envs))
        return self

    def _see_first(self, observation: Any, users: Any) -> None:
        for user in users:
            self.seen[user].append([array[user] for array in arrays(observation)])

    def step(self, number: int = 1) -> Player:
        for _ in range(number):
            self._step()
        return self

    def _step(self) -> None:
        slates = [
            np.random.default_rng([user, own]).permutation(self.env.num_candidates)
            for user, own in enumerate(self._own_steps)
        ]
        observation, rewards, terminated, truncated, infos = self.env.step(
            np.array(slates)[:, : self.env.slate_size]
        )
        ended = terminated | truncated
        last = observation
        if self.mode == "SAME_STEP":
            last = infos["final_obs"].batch if ended.any() else observation
        else:
            assert infos == {}
        if self.mode == "DISABLED" and ended.any():
            observation, _ = self.env.reset(options={"reset_mask": ended})
        for user in np.flatnonzero(~self._waiting):
            self._own_steps[user] += 1
            of_user = [array[user] for array in arrays(last)]
            of_user += [rewards[user], terminated[user], truncated[user]]
            self.seen[user].append(of_user)
        assert not (rewards[self._waiting].any() or ended[self._waiting].any())
        if self.mode == "NEXT_STEP":
            self._see_first(observation, np.flatnonzero(self._waiting))
            self._waiting = ended
        else:
            self._see_first(observation, np.flatnonzero(ended))


def assert_same_episodes(one: Player, other: Player) -> None:
    for of_one, of_other in zip(one.seen, other.seen, strict=True):
        assert min(len(of_one), len(of_other)) > 25
        for step, expected in zip(of_one, of_other):
            for array, of_expected in zip(step, expected, strict=True):
                assert array.dtype == of_expected.dtype
                np.testing.assert_array_equal(array, of_expected)


@pytest.mark.parametrize("scenario", SHORT)
@pytest.mark.parametrize("candidates", ["step", "episode", "shared"])
@pytest.mark.parametrize("limit", [None, 7])
def test_episodes_are_the_same_in_every_mode(
    scenario: str, candidates: str, limit: int | None
) -> None:
    options = {"candidates": candidates, "max_steps_per_episode": limit}
    same = Player(make(scenario, **options)).reset().step(40)
    for mode in LATER:
        later = Player(make(scenario, autoreset_mode=mode, **options)).reset().step(40)
        assert_same_episodes(later, same)
    if scenario == "interest_evolution":
        own_steps = [len(of_user) for of_user in later.seen]
        assert len(set(own_steps)) > 1  # Episodes of different lengths.


@pytest.mark.parametrize("mode", LATER)
def test_episodes_of_single_user_environments(mode: str) -> None:
    def player(**options: Any) -> Player:
        config = {**CONFIG, "num_candidates": 5, "time_budget": 15.0}
        environments = [
            registry.create_environment("interest_evolution", {**config, "seed": seed})
            for seed in range(3)
        ]
        env = wrappers.SingleUserEnvs(environments, max_steps_per_episode=9, **options)
        return Player(env).reset().step(40)

    assert_same_episodes(player(autoreset_mode=mode), player())


@pytest.mark.parametrize("mode", LATER)
@pytest.mark.parametrize("way", ["state_dict", "pickle", "deepcopy"])
def test_users_who_are_apart_continue_from_a_state(mode: str, way: str) -> None:
    whole = Player(make(autoreset_mode=mode)).reset().step(23)
    env = whole.env
    if way == "pickle":
        whole.env = pickle.loads(pickle.dumps(env))
    elif way == "deepcopy":
        whole.env = copy.deepcopy(env)
    else:
        whole.env = make(autoreset_mode=mode)
        whole.env.load_state_dict(env.state_dict())
    assert_same_episodes(whole.step(20), Player(make()).reset().step(43))


def test_a_state_of_another_mode_is_refused() -> None:
    env = make(autoreset_mode="NEXT_STEP")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="of an environment in autoreset_mode SAME_STEP, got .*NE"):
        make().load_state_dict(env.state_dict())


def test_a_reset_of_all_begins_new_episodes_of_all() -> None:
    player = Player(make(autoreset_mode="NEXT_STEP")).reset().step(30)
    again = Player(player.env).reset().step(30)
    assert_same_episodes(again, Player(make()).reset().step(30))


@pytest.mark.parametrize("given", ["NEXT_STEP", "NextStep", AutoresetMode.NEXT_STEP])
def test_the_metadata_name_the_mode(given: Any) -> None:
    env, default = make(autoreset_mode=given), make()
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP == env.autoreset_mode
    assert default.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert type(env).metadata["autoreset_mode"] == AutoresetMode.SAME_STEP


def test_a_step_without_a_slate_is_in_no_metric() -> None:
    env = make(autoreset_mode="NEXT_STEP")
    player = Player(env).reset().step(50)
    own_steps = sum(len(step) > len(player.seen[0][0]) for each in player.seen for step in each)
    assert env.metrics["impression"] == own_steps < 50 * NUM_USERS


def trained(folder: Any, mode: str) -> dict[str, Any]:
    """Returns all that a training and its evaluation left."""

    def create_agent(sess: Any, env: Any, eval_mode: bool, summary_writer: Any = None) -> Any:
        return slate_decomp_q_agent.VectorSlateDecompQAgent(
            env,
            eval_mode=eval_mode,
            min_replay_history=50,
            update_period=10,
            batch_size=8,
            replay_capacity=2000,
            seed=2,
        )

    common = {"base_dir": folder, "create_agent_fn": create_agent, "progress": False}
    runner_lib.TrainRunner(
        env=make(autoreset_mode=mode, first_user=0),
        max_training_steps=200,
        num_iterations=2,
        episode_log_file="episodes.tfrecord",
        parquet_log="impressions",
        log_user_state=True,
        **common,
    ).run_experiment()
    runner_lib.EvalRunner(
        env=make(autoreset_mode=mode, first_user=0), max_eval_episodes=20, test_mode=True, **common
    ).run_experiment()
    (returns,) = folder.glob("eval_20/returns_*")
    _, newest = checkpoint.Checkpointer(folder / "train/checkpoints").load_newest()
    return {
        "records": [
            {name: value for name, value in record.items() if name not in ("TimePerStep", "time")}
            for part in ("train", "eval_20")
            for record in records(folder / part)
        ],
        "returns": (returns.name, json.loads(returns.read_text())),
        "episodes": (folder / "train/episodes.tfrecord").read_bytes(),
        "impressions": _table(folder / "train/impressions"),
        "agent": repr({k: v for k, v in newest.items() if k != "environment"}),
    }


def _table(folder: Any) -> str:
    pandas = pytest.importorskip("pandas")
    csv: str = pandas.read_parquet(folder).to_csv()
    return csv


def test_trainings_and_evaluations_are_the_same_in_every_mode(tmp_path: Any) -> None:
    results = {mode: trained(tmp_path / mode, mode) for mode in MODES}
    for mode in LATER:
        for name, result in results[mode].items():
            assert result == results["SAME_STEP"][name], (mode, name)


@pytest.mark.parametrize("mode", LATER)
def test_simulations_are_the_same_in_every_mode(mode: str) -> None:
    def simulation(**options: Any) -> simulate.Simulation:
        return simulate.simulate(
            lambda **sizes: make(**sizes, **options),
            lambda env: registry.create_vector_agent("random", env, seed=1),
            num_users=20,
            num_episodes=3,
            workers=1,
        )

    one, other = simulation(autoreset_mode=mode), simulation()
    np.testing.assert_array_equal(one.returns, other.returns)
    np.testing.assert_array_equal(one.lengths, other.lengths)
    assert one.metrics == other.metrics


@pytest.mark.parametrize("mode", LATER)
def test_agents_with_a_memory_refuse_to_be_told_of_the_end_by_hand(mode: str) -> None:
    env = make("long_term_satisfaction", autoreset_mode=mode)
    agent = wrappers.SingleUserAgents(
        lambda observation_space, action_space, user: random_agent.RandomAgent(action_space), env
    )
    observation, _ = env.reset(seed=0)
    slates = agent.begin(observation)
    for _ in range(5):
        slates = agent.step(*env.step(slates))
    outcome = env.step(slates)
    assert outcome[2].all()
    with pytest.raises(ValueError, match="'final_obs'.* SAME_STEP.*VectorRollout run the agent"):
        agent.step(*outcome)


def test_a_rollout_tells_its_agent_the_same_in_every_mode() -> None:
    class Steps(rollout.VectorListener):
        def __init__(self) -> None:
            self.steps: list[Any] = []

        def on_step(self, step: rollout.VectorStep) -> None:
            last = step.infos["final_obs"].batch if "final_obs" in step.infos else {}
            self.steps.append(
                [*arrays(step.observation), *arrays(last), step.rewards, step.terminated]
            )

    def steps(mode: str) -> list[Any]:
        env, listener = make(autoreset_mode=mode), Steps()
        agent = registry.create_vector_agent("random", env, seed=1)
        rollout.VectorRollout(env, agent, [listener]).run_steps(25, seed=5)
        return listener.steps

    expected = steps("SAME_STEP")
    for mode in LATER:
        for one, other in zip(steps(mode), expected, strict=True):
            for array, of_expected in zip(one, other, strict=True):
                np.testing.assert_array_equal(array, of_expected)


@pytest.mark.parametrize("mode", LATER)
def test_the_contract_of_vector_environments(mode: str) -> None:
    testing.check_vector_environment(
        lambda num_envs, **options: make(num_envs=num_envs, autoreset_mode=mode, **options)
    )
