"""Whole programs in RecSim's style: absl's flags, sessions of TensorFlow 1."""

import copy
import importlib.util
import json
import pathlib
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from recsim import agent
from recsim.environments import interest_exploration
from recsim.simulator import runner_lib

PROGRAMS = pathlib.Path(__file__).parent / "programs"


def run(*arguments, folder):
    process = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=300,
        env={"TF_CPP_MIN_LOG_LEVEL": "3", "PATH": ""},
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def run_code(code, *arguments, folder):
    """Runs lines of a program and returns what they print, as JSON."""
    path = folder / "program.py"
    path.write_text(textwrap.dedent(code))
    return json.loads(run(path, *arguments, folder=folder))


@pytest.mark.slow
def test_a_main_with_absls_flags_and_an_agent_of_tensorflow_1(assert_recorded, tmp_path):
    printed = run(
        PROGRAMS / "tf1_main.py",
        f"--base_dir={tmp_path / 'run'}",
        "--gin_bindings=simulator.runner_lib.Runner.max_steps_per_episode=7",
        folder=tmp_path,
    )
    recorded = json.loads((PROGRAMS / "tf1_main.json").read_text())
    assert_recorded(json.loads(printed), recorded, "what is printed")


PRINT_FLAGS = """
import json
FLAGS = flags.FLAGS

def main(argv):
    names = ("base_dir", "agent_name", "environment_name", "episode_log_file", "gin_files",
             "gin_bindings", "debug_mode")
    print(json.dumps([argv[1:], *[getattr(FLAGS, name) for name in names]]))

app.run(main)
"""


@pytest.mark.parametrize(
    "imports",
    [
        "from absl import app, flags\nfrom recsim.simulator import runner_lib",
        "from recsim.simulator import runner_lib\nfrom absl import app, flags",
        "from absl import app, flags\nimport recsim.main",
        "from recsim.simulator import runner_lib\nfrom absl import app\nflags = runner_lib.flags",
    ],
)
def test_the_flags_are_there_whatever_is_imported_first(imports, tmp_path):
    arguments = ["--base_dir=a", "--gin_bindings=b.c=1", "--gin_bindings=b.d=2", "--debug_mode"]
    printed = run_code(imports + PRINT_FLAGS, *arguments, "rest", folder=tmp_path)
    expected = [["rest"], "a", None, "interest_evolution", "", [], ["b.c=1", "b.d=2"], True]
    assert printed == expected


@pytest.mark.parametrize(
    "program",
    [
        "from absl import app, flags\n{own}\nfrom recsim.simulator import runner_lib",
        "from absl import app, flags\nfrom recsim.simulator import runner_lib\n{own}",
        "from recsim.simulator import runner_lib\nfrom absl import app, flags\n{own}",
    ],
)
def test_a_program_may_define_a_flag_itself(program, tmp_path):
    own = "flags.DEFINE_string('agent_name', 'mine', 'My agent.')"
    printed = run_code(program.format(own=own) + PRINT_FLAGS, folder=tmp_path)
    assert printed[1:4] == [None, "mine", "interest_evolution"]


def test_recsims_main_runs_under_absl(tmp_path):
    program = """
        import json
        from absl import app
        from recsim import main

        def run(argv):
            main.main(argv)
            print(json.dumps(argv[1:]))

        app.run(run)
    """
    arguments = [
        f"--base_dir={tmp_path}",
        "--agent_name=random",
        "--environment_name=interest_exploration",
        "--gin_bindings=simulator.runner_lib.Runner.max_steps_per_episode=3",
        "--gin_bindings=simulator.runner_lib.TrainRunner.num_iterations=2",
    ]
    assert run_code(program, *arguments, folder=tmp_path) == []
    lines = (tmp_path / "train" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["AverageEpisodeLength"] for line in lines] == [3.0, 3.0]


def test_who_asks_for_nothing_imports_neither_absl_nor_tensorflow(tmp_path):
    program = f"""
        import json, sys
        from recsim.agents import random_agent
        from recsim.environments import interest_exploration
        from recsim.simulator import runner_lib

        class KeepsItsSession(random_agent.RandomAgent):
            def __init__(self, sess, action_space):
                super().__init__(action_space)
                self._sess = sess

        config = {{"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0}}
        runner_lib.TrainRunner(
            base_dir={str(tmp_path / "run")!r},
            create_agent_fn=lambda sess, env, eval_mode, summary_writer: KeepsItsSession(
                sess, env.action_space
            ),
            env=interest_exploration.create_environment(config),
            max_training_steps=3, num_iterations=1, max_steps_per_episode=3, progress=False,
        ).run_experiment()
        print(json.dumps([name in sys.modules for name in ("absl.flags", "tensorflow")]))
    """
    assert run_code(program, folder=tmp_path) == [False, False]


def test_a_session_that_nobody_used_can_be_copied_with_its_agent(tmp_path):
    def create_agent(sess, env, eval_mode, summary_writer):
        sessions.append(sess)
        return Passive()

    class Passive:
        multi_user = False

        def begin_episode(self, observation):
            return [0, 1]

        def step(self, reward, observation):
            return [0, 1]

        def end_episode(self, reward, observation):
            pass

        def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
            return {}

        def unbundle(self, checkpoint_dir, iteration_number, bundle_dict):
            return True

    sessions = []
    config = {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0}
    runner_lib.TrainRunner(
        base_dir=tmp_path,
        create_agent_fn=create_agent,
        env=interest_exploration.create_environment(config),
        max_training_steps=3,
        num_iterations=1,
        max_steps_per_episode=3,
        progress=False,
    ).run_experiment()
    (session,) = sessions
    for again in (copy.deepcopy(session), pickle.loads(pickle.dumps(session))):
        assert type(again) is type(session)
    assert not hasattr(session, "__array__")


@pytest.mark.slow
def test_training_with_tensorflow_refuses_a_process_without_eager_execution(tmp_path):
    program = """
        import json
        import tensorflow.compat.v1 as tf
        from recsim.agents import full_slate_q_agent
        from recsim.environments import interest_evolution

        config = {"num_candidates": 4, "slate_size": 2, "resample_documents": True, "seed": 0}
        env = interest_evolution.create_environment(config)

        def make(**kwargs):
            return full_slate_q_agent.FullSlateQAgent(
                None, env.observation_space, env.action_space, min_replay_history=1, batch_size=1,
                update_period=1, **kwargs
            )

        def learn(agent):
            observation = env.reset()
            slate = agent.begin_episode(observation)
            for _ in range(5):
                observation, reward, _, _ = env.step(slate)
                slate = agent.step(reward, observation)
            return len(slate)

        printed = []
        on_a_device = {"tf_device": "/gpu:0"}  # For which gradients are TensorFlow's.
        agent = make(**on_a_device)
        with tf.Graph().as_default():
            try:
                learn(agent)
            except RuntimeError as error:
                printed.append(str(error))
        tf.disable_v2_behavior()
        try:
            make(**on_a_device)
        except RuntimeError as error:
            printed.append(str(error))
        print(json.dumps([*printed, learn(make()), learn(make(eval_mode=True, **on_a_device))]))
    """
    *refusals, learned, evaluated = run_code(program, folder=tmp_path)
    assert [refusal.startswith("TensorFlow's eager execution is off") for refusal in refusals] == [
        True,
        True,
    ]
    assert learned == evaluated == 2


def load_program(name):
    spec = importlib.util.spec_from_file_location(name, PROGRAMS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


duck_typed = load_program("duck_typed")
DUCK_TYPED = json.loads((PROGRAMS / "duck_typed.json").read_text())


@pytest.mark.parametrize("name", DUCK_TYPED)
def test_objects_without_our_base_classes_run_as_under_recsim(name, tmp_path):
    returns, of_evaluation = duck_typed.train_and_evaluate(*duck_typed.CASES[name], str(tmp_path))
    assert [returns, of_evaluation] == DUCK_TYPED[name]


def test_a_checkpoint_has_the_generators_of_such_objects(tmp_path, caplog):
    make_environment, make_agent = duck_typed.CASES["all"]
    state = make_environment().state_dict()
    assert isinstance(state["document_sampler"]["generators"]["stream"], np.random.RandomState)
    assert isinstance(
        state["user_models"][0]["generators"]["readers.stream"], np.random.RandomState
    )
    duck_typed.train_and_evaluate(make_environment, make_agent, str(tmp_path))
    assert not [record for record in caplog.records if "no random gen" in record.getMessage()]


class TakesTruncated(duck_typed.Rotating):
    truncated = None

    def end_episode(self, reward, observation, *, truncated=False):
        self.truncated = truncated


def test_a_wrapper_passes_truncation_on_to_what_takes_it():
    inner = TakesTruncated()
    agent.end_episode(duck_typed.Counted(inner), 0.0, {}, truncated=True)
    assert inner.truncated is True
    wrapper = duck_typed.Counted(duck_typed.Rotating())
    agent.end_episode(wrapper, 0.0, {}, truncated=True)
    assert wrapper.calls == 1
