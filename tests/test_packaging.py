"""The installed package is complete, light to import, quiet, and works without TensorFlow."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import pathlib
import pkgutil
import re
import runpy
import subprocess
import sys

import pytest
from support import CHECKOUT, extras

import recsim
from recsim._internal import version

HEAVY = {"IPython", "absl", "keras", "matplotlib", "pandas", "pyarrow", "tensorflow"}


def run_python(code: str, cwd: pathlib.Path) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result


def test_version_is_the_installed_one():
    assert importlib.metadata.version(version.DISTRIBUTION) == recsim.__version__


def test_tests_import_the_package_that_a_fresh_process_imports(tmp_path):
    # The checkout, the folder that the tests run in, must not stand before what is installed.
    fresh = run_python("import recsim; print(recsim.__file__)", tmp_path).stdout.strip()
    assert pathlib.Path(recsim.__file__).samefile(fresh)


def test_installed_package_is_complete():
    source = CHECKOUT / "recsim"
    installed = pathlib.Path(recsim.__file__).parent
    wanted = [path.relative_to(source) for path in source.rglob("*.py")]
    missing = [str(path) for path in [*wanted, "py.typed"] if not (installed / path).is_file()]
    assert len(wanted) > 10
    assert missing == []


@pytest.mark.parametrize("repository", ["", "https://example.org/owner/recsim"])
def test_links_of_the_description_lead_to_the_repository(repository, monkeypatch):
    given = {}
    monkeypatch.setattr("setuptools.setup", lambda **arguments: given.update(arguments))
    monkeypatch.setenv("RECSIM_REPOSITORY", repository)
    runpy.run_path(str(CHECKOUT / "setup.py"))
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    if not repository:
        assert given["long_description"] == readme
        return
    links = re.findall(r"\]\(([^)]+)\)", given["long_description"])
    assert len(links) == len(re.findall(r"\]\(([^)]+)\)", readme))
    assert all(re.match(r"https?://", link) for link in links)
    version = f"{repository}/{{}}/v{recsim.__version__}"
    assert f"{version.format('blob')}/docs/deviations.md#what-runs-unchanged" in links
    assert f"{version.format('raw')}/docs/_static/loop.svg" in links


def test_submodules_load_at_first_use(tmp_path):
    code = (
        "import sys, recsim\n"
        "assert 'recsim.environments' not in sys.modules\n"
        "assert 'environments' in dir(recsim)\n"
        "recsim.environments.interest_exploration.create_environment\n"
        "recsim.choice_model.softmax\n"
        "assert 'recsim.simulator.runner_lib' not in sys.modules\n"
        "recsim.simulator.runner_lib.TrainRunner\n"
    )
    run_python(code, tmp_path)


def test_every_module_at_the_root_is_public():
    found = {module.name for module in pkgutil.iter_modules(recsim.__path__)}
    assert {name for name in found if not name.startswith("_")} <= set(recsim.__all__)


def test_every_submodule_is_an_attribute_of_its_package(tmp_path):
    code = (
        "import functools, pkgutil, recsim\n"
        "for module in pkgutil.walk_packages(recsim.__path__, 'recsim.'):\n"
        "    if '._' not in module.name:\n"
        f"        if not module.name.startswith({extras.modules_without()}):\n"
        "            functools.reduce(getattr, module.name.split('.')[1:], recsim)\n"
    )
    run_python(code, tmp_path)


def test_every_public_name_is_there():
    for found in pkgutil.walk_packages(recsim.__path__, "recsim."):
        if found.name.endswith("__main__") or found.name.startswith(extras.modules_without()):
            continue
        module = importlib.import_module(found.name)
        missing = [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)]
        assert not missing, found.name


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="module 'recsim' has no attribute 'environment'"):
        recsim.environment  # noqa: B018


@pytest.mark.parametrize(
    ("modules", "banned"),
    [
        ("recsim", HEAVY | {"gym", "scipy"}),
        ("recsim.agents, recsim.environments", HEAVY),
        ("recsim.agents.layers, recsim.agents.bandits.algorithms, recsim.choice_model", HEAVY),
        ("recsim.simulator.runner_lib, recsim.simulator.recsim_gym", HEAVY),
        ("recsim.main, recsim.cli", HEAVY),
        ("recsim.logs.parquet, recsim.logs.reader, recsim.vector.simulate", HEAVY),
    ],
)
def test_import_is_light_and_quiet(modules, banned, tmp_path):
    code = f"import {modules}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    result = run_python(code, tmp_path)
    assert result.stderr == ""
    (names,) = result.stdout.splitlines()  # Nothing but the line that the code prints.
    assert {name.partition(".")[0] for name in json.loads(names)} & banned == set()


WITHOUT_TENSORFLOW = """
import importlib, importlib.abc, pkgutil, sys

class NoTensorFlow(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] in ("tensorflow", "keras"):
            raise ImportError(f"{fullname} is not here")

sys.meta_path.insert(0, NoTensorFlow())

import recsim
for module in pkgutil.walk_packages(recsim.__path__, "recsim."):
    if not module.name.startswith("recsim.sb3."):  # An extra, with PyTorch.
        importlib.import_module(module.name)

from recsim.agents.cluster_bandit_agent import ClusterBanditAgent
from recsim.agents.layers.cluster_click_statistics import ClusterClickStatsLayer
from recsim.agents.random_agent import RandomAgent
from recsim.agents.tabular_q_agent import TabularQAgent
from recsim.environments import (
    interest_evolution, interest_exploration, long_term_satisfaction,
)
from recsim.simulator import runner_lib

def cluster_bandit(env, eval_mode):
    return ClusterClickStatsLayer(ClusterBanditAgent, env.observation_space, env.action_space)

def tabular_q(env, eval_mode):
    return TabularQAgent(env.observation_space, env.action_space, eval_mode=eval_mode)

def random(env, eval_mode):
    return RandomAgent(env.action_space)

for scenario, agent in [
    (interest_exploration, cluster_bandit),
    (interest_evolution, random),
    (long_term_satisfaction, tabular_q),
]:
    env = scenario.create_environment(
        dict(seed=0, slate_size=1, num_candidates=3, resample_documents=True)
    )
    def create_agent(sess, environment, eval_mode, summary_writer=None):
        return agent(environment, eval_mode)
    settings = dict(
        base_dir=f"runs/{scenario.__name__}",
        create_agent_fn=create_agent,
        env=env,
        max_steps_per_episode=20,
    )
    runner_lib.TrainRunner(max_training_steps=40, num_iterations=2, **settings).run_experiment()
    runner_lib.EvalRunner(max_eval_episodes=2, test_mode=True, **settings).run_experiment()

assert "tensorflow" not in sys.modules
"""


def test_all_but_the_deep_agents_works_without_tensorflow(tmp_path):
    run_python(WITHOUT_TENSORFLOW, tmp_path)
    for scenario in ("interest_exploration", "interest_evolution", "long_term_satisfaction"):
        folder = tmp_path / "runs" / f"recsim.environments.{scenario}"
        assert list((folder / "train" / "checkpoints").iterdir())
        assert list((folder / "eval_2").glob("returns_*"))
