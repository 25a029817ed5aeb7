"""Trained models recommend as agents of both engines what they recommend on their own."""

import functools
import pickle
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from support import sb3_models

pytest.importorskip("stable_baselines3")

import stable_baselines3
import torch
from stable_baselines3.common import vec_env

import recsim
from recsim import action_masks, cli, registry, sb3, types
from recsim import agent as agent_lib
from recsim._internal import pickling
from recsim.environments import interest_exploration
from recsim.simulator import rollout, runner_lib
from recsim.vector import agent as vector_agent
from recsim.vector import simulate

SMALL = {"num_candidates": 4, "slate_size": 2}
CONFIG = {**SMALL, "resample_documents": True, "seed": 7}
SCENARIO = "interest_exploration"
LIMIT = 6


@functools.cache
def trained(algorithm="PPO", observation="flat", action="slate", seed=0, scenario=SCENARIO):
    env = sb3.make_vec_env(
        scenario, 4, observation=observation, action=action, max_episode_steps=LIMIT, **SMALL
    )
    settings = sb3_models.ALGORITHMS[algorithm, action]
    return sb3_models.model(algorithm, env, steps=64, seed=seed, **settings)


def single(scenario=SCENARIO, **changes):
    return registry.create_environment(scenario, {**CONFIG, **changes})


def vector(num_envs=5, scenario=SCENARIO, **changes):
    return registry.create_vector_environment(
        scenario, {**CONFIG, **changes}, num_envs, max_steps_per_episode=LIMIT
    )


def slates_in(env, agent, steps=3 * LIMIT):
    """Returns the slates that an agent shows in the first steps."""
    slates = []
    if types.is_vector_env(env):
        slates.append(agent.begin(env.reset(seed=3)[0]))
        for _ in range(steps):
            slates.append(agent.step(*env.step(slates[-1])))
        return np.array(slates)
    while len(slates) < steps:
        rollout.run_episode(
            env,
            agent,
            max_steps=LIMIT,
            listeners=[rollout.OnStep(lambda step: slates.append(list(step.slate)))],
        )
    return np.array(slates)


CASES = [
    (algorithm, observation, action)
    for algorithm, action in sb3_models.ALGORITHMS
    for observation in ("flat", "dict")
]


@pytest.mark.parametrize(("algorithm", "observation", "action"), CASES)
def test_vector_agent_shows_what_the_model_predicts(algorithm, observation, action):
    model = trained(algorithm, observation, action)
    policy = sb3.PolicyAgent(model)
    assert (policy.observation, policy.action) == (observation, action)
    ours, theirs = (
        rewards_of_agent(vector(), policy),
        rewards_of_model(model, observation, action),
    )
    np.testing.assert_array_equal(ours, theirs)
    assert ours.any()


def rewards_of_agent(env, policy):
    agent = policy(env)
    assert isinstance(agent, vector_agent.AbstractVectorAgent)
    slates = agent.begin(env.reset(seed=3)[0])
    rewards = []
    for _ in range(3 * LIMIT):
        outcome = env.step(slates)
        rewards.append(outcome[1])
        slates = agent.step(*outcome)
    return np.array(rewards)


def rewards_of_model(model, observation, action):
    env = sb3.make_vec_env(
        SCENARIO, 5, observation=observation, action=action, max_episode_steps=LIMIT, **SMALL
    )
    env.seed(3)
    observed = env.reset()
    rewards = []
    for _ in range(3 * LIMIT):
        actions, _ = model.predict(observed, deterministic=True)
        observed, of_step, _, _ = env.step(actions)
        rewards.append(of_step)
    return np.array(rewards)


@pytest.mark.parametrize(("algorithm", "observation", "action"), CASES)
def test_single_user_agent_shows_what_the_model_predicts(algorithm, observation, action):
    model = trained(algorithm, observation, action)
    agent = sb3.PolicyAgent(model)(single())
    assert isinstance(agent, agent_lib.AbstractEpisodicRecommenderAgent)
    env = gymnasium.make(
        "recsim/InterestExploration-v0",
        observation=observation,
        action=action,
        max_episode_steps=LIMIT,
        **CONFIG,
    )
    returns, expected = [], []
    recsim_env = single()
    for _ in range(4):
        returns.append(rollout.run_episode(recsim_env, agent, max_steps=LIMIT).total_reward)
        observed, _ = env.reset()
        expected.append(0.0)
        ended = False
        while not ended:
            chosen, _ = model.predict(observed, deterministic=True)
            observed, reward, terminated, truncated, _ = env.step(chosen)
            expected[-1] += reward
            ended = terminated or truncated
    assert returns == expected
    assert sum(returns) > 0


def test_a_file_gives_the_agent_that_the_model_gives(tmp_path):
    model = trained("A2C", "dict", "discrete")
    model.save(tmp_path / "model.zip")
    expected = slates_in(vector(), sb3.PolicyAgent(model)(vector()))
    for path in (tmp_path / "model.zip", str(tmp_path / "model")):
        policy = sb3.PolicyAgent(path)
        assert policy.source_digest == sb3.PolicyAgent(model).source_digest
        np.testing.assert_array_equal(slates_in(vector(), policy(vector())), expected)
    np.testing.assert_array_equal(
        slates_in(vector(), sb3.PolicyAgent(model.policy)(vector())), expected
    )


@pytest.mark.parametrize(("algorithm", "observation", "action"), CASES)
def test_every_algorithm_comes_back_from_its_file(algorithm, observation, action, tmp_path):
    model = trained(algorithm, observation, action)
    model.save(tmp_path / "model.zip")
    loaded = sb3.PolicyAgent(tmp_path / "model.zip")
    assert loaded.source_digest == sb3.PolicyAgent(model).source_digest


def test_policies_with_settings_of_their_own_come_back_from_their_files(tmp_path):
    env = sb3.make_vec_env(SCENARIO, 4, action="scores", **SMALL)
    settings = {
        **sb3_models.ALGORITHMS["PPO", "scores"],
        "policy_kwargs": {"net_arch": [8], "activation_fn": torch.nn.ELU},
        "use_sde": True,
        "learning_rate": lambda progress: 1e-3 * progress,
    }
    model = sb3_models.model("PPO", env, 32, **settings)
    model.save(tmp_path / "model.zip")
    by_file, by_model = sb3.PolicyAgent(tmp_path / "model.zip"), sb3.PolicyAgent(model)
    np.testing.assert_array_equal(
        slates_in(vector(), by_file(vector())), slates_in(vector(), by_model(vector()))
    )


@pytest.mark.slow
def test_policies_with_classes_of_another_script_are_taken(tmp_path):
    script = tmp_path / "training.py"
    script.write_text(
        "import stable_baselines3\n"
        "from recsim import sb3\n"
        "from stable_baselines3.common.torch_layers import FlattenExtractor\n"
        "class Extractor(FlattenExtractor):\n"
        "    pass\n"
        f"env = sb3.make_vec_env({SCENARIO!r}, 4, **{SMALL})\n"
        "settings = {'features_extractor_class': Extractor}\n"
        "model = stable_baselines3.A2C('MlpPolicy', env, policy_kwargs=settings, device='cpu')\n"
        "model.learn(32).save('model.zip')\n"
    )
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, check=True, capture_output=True)
    loaded = stable_baselines3.A2C.load(tmp_path / "model.zip", device="cpu")
    by_file, by_model = sb3.PolicyAgent(tmp_path / "model.zip"), sb3.PolicyAgent(loaded)
    assert by_file.source_digest == by_model.source_digest
    for policy in (by_file, by_model):
        copy = pickle.loads(pickling.dumps(policy))
        np.testing.assert_array_equal(
            slates_in(vector(), copy(vector())), slates_in(vector(), by_file(vector()))
        )


def test_the_agent_stays_what_the_model_was():
    env = sb3.make_vec_env(SCENARIO, 4, max_episode_steps=LIMIT, **SMALL)
    model = sb3_models.model("PPO", env, 64, **sb3_models.ALGORITHMS["PPO", "slate"])
    policy = sb3.PolicyAgent(model)
    before, digest = slates_in(vector(), policy(vector())), policy.source_digest
    with sb3_models.training():
        model.learn(64)
    np.testing.assert_array_equal(slates_in(vector(), policy(vector())), before)
    assert policy.source_digest == digest != sb3.PolicyAgent(model).source_digest


def test_sampled_slates_depend_on_the_seed_alone():
    policy = sb3.PolicyAgent(trained(), deterministic=False)
    before = torch.random.get_rng_state()
    for make in (vector, single):
        one, again, other = (slates_in(make(), policy(make(), seed=seed)) for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, again)
        assert (one != other).any()
    deterministic = sb3.PolicyAgent(trained())
    assert (
        slates_in(vector(), deterministic(vector())) != slates_in(vector(), policy(vector()))
    ).any()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert policy.source_digest != deterministic.source_digest


def test_sampled_slates_have_the_probabilities_of_the_policy():
    policy = sb3.PolicyAgent(trained("A2C", "flat", "discrete"), deterministic=False)
    env = vector(2000)
    observation = env.reset(seed=0)[0]
    # All users get the first one's observation.
    same = {
        part: {key: np.repeat(array[:1], 2000, 0) for key, array in entries.items()}
        if isinstance(entries, dict)
        else np.repeat(entries[:1], 2000, 0)
        for part, entries in observation.items()
    }
    slates = policy(env).begin(same)
    flat = sb3.make_vec_env(SCENARIO, 1, action="discrete", **SMALL)
    flat.seed(0)
    model = trained("A2C", "flat", "discrete")
    tensors, _ = model.policy.obs_to_tensor(flat.reset())
    probabilities = model.policy.get_distribution(tensors).distribution.probs[0].detach().numpy()
    form = recsim.spaces.ActionForm("discrete", 4, 2)
    for number, probability in enumerate(probabilities):
        share = (slates == form.slate(number)).all(axis=1).mean()
        assert abs(share - probability) < 4 * np.sqrt(probability / 2000)


@pytest.mark.parametrize("make", [single, vector])
@pytest.mark.parametrize("deterministic", [True, False])
def test_state_continues_the_agent(make, deterministic):
    policy = sb3.PolicyAgent(trained(), deterministic=deterministic)
    agent, copy = policy(make(), seed=4), policy(make(), seed=5)
    slates_in(make(), agent, 7)
    copy.load_state_dict(agent.state_dict())
    env, other = make(), make()
    np.testing.assert_array_equal(slates_in(env, agent), slates_in(other, copy))


@pytest.mark.parametrize("make", [single, vector])
def test_state_of_another_model_is_refused(make, caplog):
    agent = sb3.PolicyAgent(trained())(make())
    other = sb3.PolicyAgent(trained(seed=1))(make())
    with pytest.raises(ValueError, match="it is of another model, whose weights differ"):
        agent.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match="it has no 'model', so it is not of"):
        agent.load_state_dict({"episode_num": 3, "users": {}})
    assert not agent.unbundle("", 0, other.bundle_and_checkpoint("", 0))
    assert "it is of another model" in caplog.text


def test_agents_and_what_makes_them_can_be_sent_to_workers():
    policy = sb3.PolicyAgent(trained("DQN", "dict", "discrete"))
    copy = pickle.loads(pickling.dumps(policy))
    np.testing.assert_array_equal(
        slates_in(vector(), copy(vector())), slates_in(vector(), policy(vector()))
    )
    agent = pickle.loads(pickling.dumps(policy(single())))
    np.testing.assert_array_equal(slates_in(single(), agent), slates_in(single(), policy(single())))


@pytest.mark.slow
def test_simulations_do_not_depend_on_the_number_of_workers():
    make = functools.partial(
        interest_exploration.create_vector_environment, CONFIG, max_steps_per_episode=2
    )
    policy = sb3.PolicyAgent(trained(), deterministic=False)
    one, two = (
        simulate.simulate(make, policy, 2100, num_steps=2, workers=workers) for workers in (1, 2)
    )
    np.testing.assert_array_equal(one.returns, two.returns)


def test_observations_go_through_the_normalization_of_the_training(tmp_path):
    env = vec_env.VecNormalize(
        sb3.make_vec_env("interest_evolution", 4, max_episode_steps=LIMIT, **SMALL)
    )
    settings = sb3_models.ALGORITHMS["PPO", "slate"]
    model = sb3_models.model("PPO", env, 320, **settings)
    model.save(tmp_path / "model.zip")
    env.save(tmp_path / "normalize.pkl")
    recsim_env = vector(scenario="interest_evolution")
    observed = recsim_env.reset(seed=0)[0]
    flat = sb3.make_vec_env("interest_evolution", 5, **SMALL)
    flat.seed(0)
    expected, _ = model.predict(env.normalize_obs(flat.reset()), deterministic=True)
    policies = [
        sb3.PolicyAgent(model),
        sb3.PolicyAgent(tmp_path / "model.zip", vec_normalize=tmp_path / "normalize.pkl"),
        sb3.PolicyAgent(tmp_path / "model", vec_normalize=env),
    ]
    for policy in policies:
        np.testing.assert_array_equal(policy(recsim_env).begin(observed), expected)
    assert len({policy.source_digest for policy in policies}) == 1
    copy = pickle.loads(pickling.dumps(policies[1]))
    np.testing.assert_array_equal(copy(recsim_env).begin(observed), expected)
    with pytest.raises(ValueError, match="they went through a wrapper. Pass a VecNormalize"):
        sb3.PolicyAgent(tmp_path / "model.zip")
    # Rewards alone may be normalized: the policy does not see them.
    of_rewards = vec_env.VecNormalize(
        sb3.make_vec_env(SCENARIO, 4, max_episode_steps=LIMIT, **SMALL), norm_obs=False
    )
    model = sb3_models.model("PPO", of_rewards, 64, **settings)
    model.save(tmp_path / "other.zip")
    assert sb3.PolicyAgent(model).source_digest == sb3.PolicyAgent(tmp_path / "other").source_digest


def test_stacked_observations_are_refused():
    env = vec_env.VecFrameStack(sb3.make_vec_env("interest_evolution", 4, **SMALL), 2)
    model = sb3_models.model("PPO", env, 64, **sb3_models.ALGORITHMS["PPO", "slate"])
    with pytest.raises(ValueError, match="such as VecFrameStack, are not taken"):
        sb3.PolicyAgent(model)
    untrained = sb3_models.model("PPO", env, **sb3_models.ALGORITHMS["PPO", "slate"])
    with pytest.raises(ValueError, match="trained with observation='flat' of the space"):
        sb3.PolicyAgent(untrained)(vector(scenario="interest_evolution"))


@pytest.mark.parametrize("make", [single, vector])
@pytest.mark.parametrize(
    ("algorithm", "observation", "action", "changes", "message"),
    [
        ("PPO", "flat", "slate", {"num_candidates": 5}, r"trained with observation='flat' of the"),
        ("PPO", "dict", "slate", {"slate_size": 1}, "trained with observation='dict' of the space"),
        ("PPO", "flat", "slate", {"scenario": "interest_evolution"}, "make it with the scenario"),
    ],
)
def test_other_spaces_are_refused(make, algorithm, observation, action, changes, message):
    policy = sb3.PolicyAgent(trained(algorithm, observation, action))
    with pytest.raises(ValueError, match=message):
        policy(make(**changes))


def test_other_actions_are_refused():
    # 5 candidates in slates of 1 have as many slates as those of 4 in slates of 2 have not.
    model = trained("A2C", "dict", "discrete")
    policy = sb3.PolicyAgent(model)
    model_space = model.action_space
    assert model_space.n == 12
    space = gymnasium.spaces.Discrete(5)
    policy._policy.policy.action_space = space
    with pytest.raises(ValueError, match=r"action='discrete' of the space Discrete\(5\), and"):
        policy(vector())


def test_runners_evaluate_a_model(tmp_path):
    policy = sb3.PolicyAgent(trained())
    runner = runner_lib.EvalRunner(
        base_dir=str(tmp_path),
        create_agent_fn=policy.create_agent,
        env=single(),
        max_eval_episodes=3,
        max_steps_per_episode=LIMIT,
        test_mode=True,
    )
    runner.run_experiment()
    assert list(tmp_path.rglob("evaluated_*.json")) or list(tmp_path.rglob("returns_*"))


@pytest.mark.parametrize("num_envs", [None, 4])
def test_experiments_compare_a_model_with_other_agents(num_envs, tmp_path):
    agents = {"ppo": sb3.PolicyAgent(trained()), "random": "random"}
    settings = {**SMALL, "seeds": 2, "steps": LIMIT, "num_envs": num_envs, "workers": 1}
    if num_envs is None:
        settings["episodes"] = 3
    results = recsim.experiment(agents, SCENARIO, output=tmp_path / "out", **settings)
    assert set(results.summary()["agent"]) == {"ppo", "random"}
    # The same model resumes it, another one does not.
    recsim.experiment(agents, SCENARIO, output=tmp_path / "out", **settings)
    other = {**agents, "ppo": sb3.PolicyAgent(trained(seed=1))}
    with pytest.raises(ValueError, match="source of ppo"):
        recsim.experiment(other, SCENARIO, output=tmp_path / "out", **settings)


def test_the_command_line_runs_a_model_of_a_file(tmp_path, capsys):
    trained().save(tmp_path / "ppo.zip")
    module = tmp_path / "models.py"
    module.write_text(
        "import pathlib\n"
        "from recsim import sb3\n"
        "ppo = sb3.PolicyAgent(pathlib.Path(__file__).with_name('ppo.zip'))\n"
    )
    arguments = ["run", "--environment", SCENARIO, "--agent", f"{module}:ppo", "random"]
    arguments += ["--num-candidates", "4", "--slate-size", "2", "--episodes", "4", "--quiet"]
    assert cli.main([*arguments, "--steps", str(LIMIT)]) == 0
    assert "ppo" in capsys.readouterr().out


@pytest.mark.parametrize(("algorithm", "observation", "action"), CASES)
def test_agents_say_what_they_go_by(algorithm, observation, action):
    model = trained(algorithm, observation, action)
    agent = sb3.PolicyAgent(model)(single())
    assert types.explains(agent)
    env = single()
    observed = env.reset()
    slate = agent.begin_episode(observed)
    (table,) = agent.explain(observed).tables
    columns = table.columns
    if action == "discrete":
        assert table.of == "slate"
        (values,) = columns.values()
        assert list(values) == sorted(values, reverse=True)
        assert table.rows[0] == tuple(slate)
        assert len(values) == 10
    elif action == "scores":
        assert sorted(range(4), key=lambda row: -columns["score"][row])[:2] == slate
    else:
        assert [int(column.argmax()) for column in columns.values()] == slate
        for column in columns.values():
            assert column.sum() == pytest.approx(1.0)
    assert agent.begin_episode(observed) == slate


def test_the_models_own_file_is_what_is_saved(tmp_path):
    agent = sb3.PolicyAgent(trained())(single())
    with pytest.raises(TypeError, match=r"saved by its model: call model.save\(path\)"):
        agent.save(tmp_path / "agent")
    assert list(tmp_path.iterdir()) == []


def test_action_masks_are_refused():
    masked = action_masks.with_action_masks(single(), action_masks.CategoriesOfSlots([None, None]))
    with pytest.raises(
        ValueError, match="^A model of Stable-Baselines3 does not take action masks"
    ):
        sb3.PolicyAgent(trained())(masked)
