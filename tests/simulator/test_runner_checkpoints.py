"""Checkpoints of runs: what continues, and what is refused as of another agent, run or scenario."""

from __future__ import annotations

import collections
import pathlib
import re
import threading

import numpy as np
import pytest
from support import recsim_names
from support.runners import (
    CountingAgent,
    RecordingAgent,
    create_counting,
    eval_runner,
    records,
    returns,
    snapshot,
    train_runner,
)
from support.scenarios import CONFIG

from recsim import cli, registry
from recsim.agents import random_agent, tabular_q_agent
from recsim.agents.layers import fixed_length_history
from recsim.environments import interest_exploration, long_term_satisfaction
from recsim.simulator import checkpoint, environment, recsim_gym, runner_lib


def test_a_checkpoint_of_another_agent_is_refused(tmp_path, env):
    train_runner(tmp_path, env, create_counting).run_experiment()
    for runner in (
        train_runner(tmp_path, env, num_iterations=3),
        eval_runner(tmp_path, env, test_mode=True),
    ):
        with pytest.raises(
            ValueError, match=r"ckpt\.1' is of another agent: agent type was Co.* Ra"
        ):
            runner.run_experiment()


def test_another_prefix_does_not_start_over_in_silence(tmp_path, env):
    train_runner(tmp_path, env).run_experiment()
    with pytest.raises(ValueError, match="checkpoint_file_prefix"):
        train_runner(tmp_path, env, checkpoint_file_prefix="other").run_experiment()
    train_runner(tmp_path / "other", env, checkpoint_file_prefix="other").run_experiment()
    assert (tmp_path / "other/train/checkpoints/other.1").exists()


@pytest.mark.parametrize("target", ["nowhere", "itself"])
def test_links_that_cannot_be_followed_do_not_stop_a_training(target, tmp_path, env):
    checkpoints = tmp_path / "train/checkpoints"
    checkpoints.mkdir(parents=True)
    for name in ("other.3", "ckpt.interrupted"):
        (checkpoints / name).symlink_to(name if target == "itself" else target)
    train_runner(tmp_path, env).run_experiment()
    (checkpoints / "ckpt.9").symlink_to("ckpt.9" if target == "itself" else target)
    train_runner(tmp_path, env, num_iterations=3).run_experiment()
    assert [record["total_steps"] for record in records(tmp_path / "train")] == [20, 40, 60]
    assert sorted(path.name for path in checkpoints.glob("ckpt*")) == [
        *(f"ckpt.{iteration}" for iteration in range(3)),
        "ckpt.9.bad",
    ]


def test_a_resumed_run_clears_what_the_killed_one_left(tmp_path, env):
    train_runner(tmp_path, env, num_iterations=3, keep_checkpoints=9).run_experiment()
    checkpoints = tmp_path / "train/checkpoints"
    for iteration in (1, 2):
        (checkpoints / f"ckpt.{iteration}").unlink()
    for folder, name in ((checkpoints, "ckpt.1"), (tmp_path / "train", "metrics.jsonl")):
        (folder / f".{name}.{'0a' * 16}.tmp").write_bytes(b"PK")
    # With longer iterations the steps are others than before.
    train_runner(tmp_path, env, max_training_steps=30).run_experiment()
    assert sorted(path.name for path in checkpoints.iterdir()) == ["ckpt.0", "ckpt.1"]
    assert list((tmp_path / "train").glob(".*")) == []
    assert [record["total_steps"] for record in records(tmp_path / "train")] == [20, 50]


def test_a_finished_training_says_so(tmp_path, env, caplog):
    train_runner(tmp_path, env).run_experiment()
    before = snapshot(tmp_path)
    train_runner(tmp_path, env).run_experiment()
    assert "Nothing to train: 2 iterations are done" in caplog.text
    assert snapshot(tmp_path) == before


def test_an_agent_without_state_is_checkpointed_and_resumed(tmp_path, env):
    class Stateless(RecordingAgent):
        def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
            return {}

        def unbundle(self, checkpoint_dir, iteration_number, bundle_dict):
            return False

    def create_agent(sess, environment, eval_mode, summary_writer=None):
        return Stateless(environment.action_space)

    train_runner(tmp_path, env, create_agent).run_experiment()
    train_runner(tmp_path, env, create_agent, num_iterations=3).run_experiment()
    assert [record["total_steps"] for record in records(tmp_path / "train")] == [20, 40, 60]


def test_an_agents_state_that_is_no_data_is_refused_by_name(tmp_path, env):
    class Unfit(RecordingAgent):
        def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
            return {"q_table": [0.0, object()]}

    with pytest.raises(TypeError, match=r"agent\.q_table\[1\] cannot go into a checkpoint"):
        train_runner(
            tmp_path, env, lambda *args, **kwargs: Unfit(env.action_space)
        ).run_experiment()


class WithState(RecordingAgent):
    """Has a state of the test's choice, and notes when it is asked for it."""

    def __init__(self, action_space, state):
        super().__init__(action_space)
        self.state = state

    def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
        self.told.append("bundle")
        self.state["asked"] = self.state.get("asked", 0) + 1
        return self.state

    def unbundle(self, checkpoint_dir, iteration_number, bundle_dict):
        return True


@pytest.mark.parametrize(
    "value", [collections.deque([1]), 1j, object(), np.array([None]), {"deep": [{1: set, 2: 3}]}]
)
def test_what_no_checkpoint_can_hold_is_refused_before_the_first_step(tmp_path, env, value):
    agent = WithState(env.action_space, {"value": value})
    runner = train_runner(tmp_path, env, lambda *args, **kwargs: agent)
    with pytest.raises(TypeError, match=r"agent\.value.* cannot go into a checkpoint"):
        runner.run_experiment()
    assert agent.told == []
    assert records_there(tmp_path) == []


def records_there(base_dir):
    return records(base_dir / "train") if (base_dir / "train/metrics.jsonl").exists() else []


def test_what_an_agent_makes_as_it_recommends_is_tried_after_the_first_episode(tmp_path, env):
    class Late(CountingAgent):
        def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
            return {"queue": self.queue}

        def begin_episode(self, observation=None):
            self.queue = collections.deque()
            return super().begin_episode(observation)

    agent = Late(env.action_space)
    runner = train_runner(tmp_path, env, lambda *args, **kwargs: agent, max_training_steps=10**6)
    with pytest.raises(TypeError, match=r"agent\.queue cannot go into a checkpoint"):
        runner.run_experiment()
    assert agent.steps == 10


def test_an_environments_state_is_tried_too(tmp_path, env, monkeypatch):
    state = env.state_dict()
    monkeypatch.setattr(env, "state_dict", lambda: {**state, "queue": collections.deque()})
    agent = RecordingAgent(env.action_space)
    runner = train_runner(tmp_path, env, lambda *args, **kwargs: agent)
    with pytest.raises(TypeError, match=r"environment\.queue cannot go into a checkpoint"):
        runner.run_experiment()
    assert agent.told == []


def test_a_vector_agents_state_is_tried_too(tmp_path):
    steps = []

    class Unfit(random_agent.VectorRandomAgent):
        def step(self, *args):
            steps.append(args)
            return super().step(*args)

        def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
            return {"queue": collections.deque()}

    vector_env = interest_exploration.create_vector_environment(CONFIG, 3)
    runner = train_runner(tmp_path, vector_env, lambda sess, env, **kwargs: Unfit(env))
    with pytest.raises(TypeError, match=r"agent\.queue cannot go into a checkpoint"):
        runner.run_experiment()
    assert steps == []


def test_the_trial_leaves_no_trace_in_the_agents_of_a_layer(tmp_path, env):
    base_agents = []

    def make_base_agent(observation_space, action_space, **kwargs):
        base_agents.append(WithState(action_space, {}))
        return base_agents[-1]

    def create_agent(sess, environment, **kwargs):
        return fixed_length_history.FixedLengthHistoryLayer(
            make_base_agent, environment.observation_space, environment.action_space, 2
        )

    train_runner(tmp_path, env, create_agent).run_experiment()
    newest = checkpoint.Checkpointer(tmp_path / "train/checkpoints").load_newest()
    assert base_agents[0].told.count("bundle") == 2
    assert newest[1]["agent"]["base_agent_bundle_0"] == {"asked": 2}


def test_the_trial_of_a_bundle_leaves_no_trace(tmp_path, env):
    agent = WithState(env.action_space, {})
    train_runner(tmp_path, env, lambda *args, **kwargs: agent).run_experiment()
    assert agent.told.count("bundle") == 2  # The two checkpoints.
    newest = checkpoint.Checkpointer(tmp_path / "train/checkpoints").load_newest()
    assert newest[1]["agent"] == {"asked": 2}


def test_an_agent_that_cannot_be_copied_is_not_asked_before_there_is_something(tmp_path, env):
    agent = WithState(env.action_space, {})
    agent.lock = threading.Lock()
    train_runner(tmp_path, env, lambda *args, **kwargs: agent).run_experiment()
    assert agent.told.count("bundle") == 2


def test_an_agent_without_a_state_before_its_first_episode_is_trained(tmp_path, env):
    class Late(CountingAgent):
        def begin_episode(self, observation=None):
            self.seen = getattr(self, "seen", 0) + 1
            return super().begin_episode(observation)

        def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
            return {"steps": self.steps, "seen": self.seen}

    train_runner(tmp_path, env, lambda *args, **kwargs: Late(env.action_space)).run_experiment()
    newest = checkpoint.Checkpointer(tmp_path / "train/checkpoints").load_newest()
    assert newest[1]["agent"] == {"steps": 40, "seen": 4}


def test_a_runner_that_saves_its_own_way_is_not_tried(tmp_path, env):
    class NoCheckpoints(runner_lib.TrainRunner):
        def _checkpoint_experiment(self, iteration, total_steps):
            pass

    agent = WithState(env.action_space, {"value": object()})
    NoCheckpoints(
        base_dir=tmp_path,
        create_agent_fn=lambda *args, **kwargs: agent,
        env=env,
        max_training_steps=20,
        num_iterations=1,
        max_steps_per_episode=10,
        progress=False,
    ).run_experiment()
    assert [record["total_steps"] for record in records(tmp_path / "train")] == [20]


def test_agents_may_write_files_of_their_own(tmp_path, env):
    class Writer(CountingAgent):
        def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
            pathlib.Path(checkpoint_dir, f"own.{iteration_number}").write_text(str(self.steps))
            return {"file": True}

        def unbundle(self, checkpoint_dir, iteration_number, bundle_dict):
            path = pathlib.Path(checkpoint_dir, f"own.{iteration_number}")
            self.steps = int(path.read_text())
            return True

    def create_agent(sess, environment, eval_mode, summary_writer=None):
        return Writer(environment.action_space)

    train_runner(tmp_path, env, create_agent).run_experiment()
    runner = train_runner(tmp_path, env, create_agent, num_iterations=3)
    runner.run_experiment()
    assert recsim_names.agent_of(runner).steps == 60


# Scenarios and agents


@pytest.mark.parametrize(
    ("make", "config", "message"),
    [
        (long_term_satisfaction, {}, r"spaces document was \{\"Dict.* and is \{\"Box"),
        (interest_exploration, {"slate_size": 3}, "slate size was 2 and is 3"),
    ],
)
def test_a_checkpoint_of_another_scenario_is_refused(make, config, message, tmp_path, env):
    train_runner(tmp_path, env).run_experiment()
    before = snapshot(tmp_path / "train/checkpoints")
    for runner in (train_runner, eval_runner):
        other = make.create_environment({**CONFIG, **config})
        kwargs = {"test_mode": True} if runner is eval_runner else {"num_iterations": 3}
        with pytest.raises(ValueError, match=message) as caught:
            runner(tmp_path, other, **kwargs).run_experiment()
        assert "is of another training" in str(caught.value)
        assert "choose another base_dir" in str(caught.value)
    assert snapshot(tmp_path / "train/checkpoints") == before


def test_an_evaluation_may_have_other_users_and_more_candidates(tmp_path, env):
    train_runner(tmp_path, env).run_experiment()
    other = interest_exploration.create_environment({**CONFIG, "num_candidates": 9, "seed": 5})
    eval_runner(tmp_path, other, test_mode=True).run_experiment()
    assert len(returns(tmp_path / "eval_3/returns_40")) == 3
    with pytest.raises(ValueError, match="num candidates was 4 and is 9"):
        train_runner(tmp_path, other, num_iterations=3).run_experiment()


def test_a_scenario_with_other_users_is_refused_for_resuming(tmp_path, env):
    class OtherUser(interest_exploration.IEUserModel):
        pass

    train_runner(tmp_path, env).run_experiment()
    env.environment.user_model.__class__ = OtherUser
    with pytest.raises(ValueError, match="users model was IEUserModel and is OtherUser"):
        train_runner(tmp_path, env, num_iterations=3).run_experiment()
    eval_runner(tmp_path, env, test_mode=True).run_experiment()


def test_candidates_that_are_not_replaced_are_another_scenario(tmp_path, env):
    train_runner(tmp_path, env).run_experiment()
    other = interest_exploration.create_environment({**CONFIG, "resample_documents": False})
    with pytest.raises(ValueError, match="candidates was step and is shared"):
        train_runner(tmp_path, other, num_iterations=3).run_experiment()


@pytest.mark.parametrize(
    ("trained", "other"),
    [
        ("cluster_bandit_ts", "cluster_bandit_ucb1"),
        ("random", "greedy_pctr"),
        ("tabular_q", "random"),
        ("greedy_pctr", "random"),
    ],
)
@pytest.mark.parametrize("vector", [False, True])
def test_another_agent_takes_nothing_over(trained, other, vector, tmp_path, env):
    create = registry.create_agent
    if vector:
        create = registry.create_vector_agent
        env = registry.create_vector_environment("interest_exploration", CONFIG, 3)
        if registry.agent_entry(trained).create_vector is None:
            pytest.skip("It has no vector form.")

    def creating(name):
        return lambda sess, env, eval_mode, summary_writer: create(
            name, env, seed=1, eval_mode=eval_mode, summary_writer=summary_writer
        )

    train_runner(tmp_path, env, creating(trained)).run_experiment()
    before = snapshot(tmp_path / "train/checkpoints")
    for runner in (
        train_runner(tmp_path, env, creating(other), num_iterations=3),
        eval_runner(tmp_path, env, creating(other), test_mode=True),
    ):
        with pytest.raises(ValueError, match=r"agent .* was .* and is "):
            runner.run_experiment()
    assert snapshot(tmp_path / "train/checkpoints") == before
    train_runner(tmp_path, env, creating(trained), num_iterations=3).run_experiment()
    eval_runner(tmp_path, env, creating(trained), test_mode=True).run_experiment()


def test_other_settings_resume_with_a_warning(tmp_path, env, caplog):
    def creating(**settings):
        return lambda sess, env, eval_mode, summary_writer: tabular_q_agent.TabularQAgent(
            env.observation_space, env.action_space, eval_mode=eval_mode, **settings
        )

    train_runner(tmp_path, env, creating()).run_experiment()
    train_runner(tmp_path, env, creating(gamma=0.5), num_iterations=3).run_experiment()
    assert "resumes from" in caplog.text
    assert "agent gamma was 0.99 and is 0.5." in caplog.text
    with pytest.raises(ValueError, match="agent modes ignore response was true and is false"):
        train_runner(tmp_path, env, creating(ignore_response=False)).run_experiment()


def test_a_checkpoint_from_before_fingerprints_loads_with_a_warning(tmp_path, env, caplog):
    train_runner(tmp_path, env, create_counting).run_experiment()
    path = tmp_path / "train/checkpoints/ckpt.1"
    tree = checkpoint.load(path)
    del tree["fingerprint"], tree["environment"]["scenario"]
    checkpoint.save(path, {**tree, "sizes": {"slate_size": "2"}})
    train_runner(tmp_path, env, create_counting, num_iterations=3).run_experiment()
    assert "does not say what scenario and agent it is of" in caplog.text
    assert [record["total_steps"] for record in records(tmp_path / "train")] == [20, 40, 60]


class Stateful(environment.SingleUserEnvironment):
    """An environment whose parts may lack state."""

    def __init__(self, env, state):
        self._raw_environment, self._state = env.environment, state

    def __getattr__(self, name):
        return getattr(self._raw_environment, name)

    def reset(self):
        return self._raw_environment.reset()

    def step(self, slate):
        return self._raw_environment.step(slate)

    def state_dict(self):
        if isinstance(self._state, Exception):
            raise self._state
        return self._state

    def load_state_dict(self, state):
        assert state == self._state


@pytest.mark.parametrize(
    ("state", "part"),
    [
        ({"rng": None}, "the environment"),
        ({"rng": {}, "document_sampler": {"rng": None, "doc_count": 3}}, "document_sampler"),
        ({"rng": {}, "user_models": [{"user_sampler": {"rng": None}}]}, "user_sampler"),
        (AttributeError("no _rng"), "the environment"),
    ],
)
def test_parts_without_a_generator_are_named_and_run(state, part, tmp_path, env, caplog):
    for parts in ("one", "two"):
        stateful = recsim_gym.RecSimGymEnv(Stateful(env, state), lambda responses: 1.0)
        train_runner(tmp_path / parts, stateful).run_experiment()
        assert caplog.text.count(f"hold no random generator of {part}: ") == 1
        assert caplog.text.count("state_dict failed") == isinstance(state, Exception)
        caplog.clear()
        eval_runner(tmp_path / parts, stateful, test_mode=True).run_experiment()
        assert returns(tmp_path / parts / "eval_3/returns_40") == [10, 10, 10]
        caplog.clear()


# The list


def listed(capsys, folder):
    assert cli.main(["checkpoints", str(folder)]) == 0
    return [re.split(r"  +", line.strip()) for line in capsys.readouterr().out.splitlines()]


def test_the_command_lists_checkpoints_good_and_bad(tmp_path, env, capsys):
    def create(sess, environment, eval_mode, summary_writer=None):
        return registry.create_agent("cluster_bandit_ts", environment, seed=1)

    train_runner(tmp_path, env, create, num_iterations=3).run_experiment()
    folder = tmp_path / "train/checkpoints"
    (folder / "ckpt.1").write_bytes((folder / "ckpt.1").read_bytes()[:-30])
    (folder / "ckpt.0").rename(folder / "ckpt.8")
    (folder / "ckpt.5").mkdir()
    checkpoint.save(folder / "ckpt.6", {"not": "a run"})
    before = snapshot(tmp_path)
    heads, *lines = listed(capsys, tmp_path)
    assert heads == ["file", "iteration", "steps", "agent", "scenario"]
    agent = "ClusterClickStatsLayer(ClusterBanditAgent(ThompsonSampling, GreedyClusterAgent))"
    scenario = "IEUserModel, 4 candidates, 2 in a slate"
    path = "train/checkpoints/ckpt"
    assert lines == [
        [f"{path}.1", "bad: is truncated, or an archive that recsim did not write"],
        [f"{path}.2", "2", "60", agent, scenario, "good, the last"],
        [f"{path}.5", "bad: is not a file, so it is not a checkpoint: move it away."],
        [
            f"{path}.6",
            "bad: no checkpoint of a run, its current_iteration is 'missing', not an integer in "
            "[0, 2**63)",
        ],
        [f"{path}.8", "0", "20", agent, scenario, "good, but its name says another iteration"],
    ]
    assert snapshot(tmp_path) == before
    assert listed(capsys, folder)[1][0] == "ckpt.1"


def crafted(tmp_path, env, place, value):
    """Returns the only checkpoint of a run, which somebody wrote with another value at a place."""
    train_runner(tmp_path, env, num_iterations=1).run_experiment()
    path = tmp_path / "train/checkpoints/ckpt.0"
    data = checkpoint.load(path)
    *folders, name = place.split(".")
    owner = data
    for folder in folders:
        owner = owner[folder]
    owner[name] = value
    checkpoint.save(path, data)
    return path


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("current_iteration", 10**5000, "current_iteration is a value of type int, not an integer"),
        ("total_steps", 1 << 63, "total_steps is 9223372036854775808, not an integer"),
        ("total_steps", True, "total_steps is True, not an integer"),
        ("finished", 1, "'finished' is 1, not a bool"),
        ("episode_logs", {"log": "x"}, "length of its episode log 'log' is 'x'"),
        ("episode_logs", {"log": {"length": 3}}, "episode log 'log' has no sha256"),
        ("fingerprint", [], "fingerprint is not a dictionary"),
        ("fingerprint.scenario.num_users", 10**5000, "num_users is a value of type int"),
        ("fingerprint.scenario.num_users", "9", "num_users is '9'"),
        ("fingerprint.scenario.slate_size", 2.0, "slate_size is 2.0"),
        ("fingerprint.scenario.environment", [1], r"environment is \[1\]"),
        ("fingerprint.scenario.users", [3], r"users are \[3\]"),
        ("fingerprint.scenario.users.model", np.zeros((3, 3)), "users are"),
        ("fingerprint.scenario.spaces", [], r"spaces is \[\]"),
        ("fingerprint.scenario.settings", {1: 2}, "has the name 1, not a string"),
        ("fingerprint.scenario.settings.x", 1 << 9000, "has a number of 9,001 bits"),
        ("fingerprint.agent.type", None, "agent has no type"),
        ("fingerprint.agent.bases", ["A", 1], "bases have 1"),
        ("fingerprint.agent.algorithms", [None], "algorithms have None"),
        ("fingerprint.agent.algorithms", [[]], r"algorithms have \[\]"),
        ("fingerprint.agent.agents", [1], "agents have 1"),
        ("fingerprint.agent.sizes", {"slate_size": "2"}, "sizes is '2'"),
        ("fingerprint.agent.modes", {"a": b"x"}, "agent has b'x', which is not JSON"),
        (
            "fingerprint.agent.settings",
            {"a": [{"b": set()}]},
            r"agent has set\(\), which is not JSON",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_crafted_run_is_bad_in_the_list_and_refused(place, value, message, tmp_path, env, capsys):
    path = crafted(tmp_path, env, place, value)
    _, (_, state) = listed(capsys, tmp_path)
    assert re.match(f"bad: no checkpoint of a run, .*{message}", state)
    with pytest.raises(checkpoint.CheckpointError, match=message):
        train_runner(tmp_path, env, num_iterations=2).run_experiment()
    with pytest.raises(checkpoint.CheckpointError, match=message):
        checkpoint.restore_agent(registry.create_agent("random", env), path)


def test_names_of_crafted_runs_are_only_shown(tmp_path, env, capsys):
    path = crafted(
        tmp_path, env, "fingerprint.scenario.users.model", "a\x1b[31m\nb\u202ec" + 999 * "d"
    )
    crafted(tmp_path / "other", env, "fingerprint.agent.type", "\x9be\r").rename(
        path.with_name("x\x1b\n.1")
    )
    assert cli.main(["checkpoints", str(tmp_path / "train")]) == 0
    heads, *lines, end = capsys.readouterr().out.split("\n")
    assert (len(lines), end) == (2, "")
    assert all(line.isprintable() for line in lines)
    assert r"a\x1b[31m\nb\u202ecd" in lines[0] and len(lines[0]) < 500
    assert r"x\x1b\n.1" in lines[1] and r"\x9be\r" in lines[1]
    with pytest.raises(ValueError, match=r"users model was \"a\\u001b\[31m\\nb\\u202ecd"):
        train_runner(tmp_path, env, num_iterations=2).run_experiment()


@pytest.mark.parametrize(("folder", "message"), [("missing", "must be a folder"), ("", "no check")])
def test_the_command_says_where_there_is_nothing_to_list(folder, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["checkpoints", str(tmp_path / folder)])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
