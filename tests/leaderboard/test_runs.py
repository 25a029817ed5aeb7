"""Runs of the leaderboard: resuming, more seeds and agents, searches, and cells run again."""

import dataclasses
import os
import shutil
import sys

import pytest

from recsim._internal import provenance
from recsim.agents import random_agent
from recsim.experiments import experiment
from recsim.experiments.leaderboard import baselines, entries, runs, tasks

QUIET = runs.Place(workers=1, progress=False)

TINY = tasks.version_of("recsim-slates-v1-quick")
TINY = dataclasses.replace(
    TINY,
    tasks={
        name: dataclasses.replace(TINY.task(name), train_steps=2_000, users=20)
        for name in ("easy", "clickbait")
    },
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(tasks, "version_of", lambda name: TINY)


def make_mine(environment, seed):
    return random_agent.VectorRandomAgent(environment, seed)


def test_run_resumes_and_repeats_to_the_digit(tmp_path, monkeypatch):
    agents = ["random", "lin_ucb", "greedy_pctr", "short_term_oracle"]
    first = runs.run(TINY, tmp_path, agents, seeds=1, place=QUIET)
    by_name = {entry.agent: entry for entry in first}
    assert list(by_name) == agents
    random, learner = by_name["random"], by_name["lin_ucb"]
    assert set(random.tasks) == set(learner.tasks) == {"easy", "clickbait"}
    assert random.tasks["easy"].curve is None
    assert by_name["greedy_pctr"].not_applicable["clickbait"].startswith("the user model needs")

    # The better of two settings is run; each was tried with a seed of its own.
    result = learner.tasks["easy"]
    assert list(result.search) == baselines.settings_to_try("lin_ucb")
    assert result.settings == (max(result.search, key=result.search.get),)
    assert result.curve["steps"] == [1_000, 2_000]
    assert len(result.curve["values"]["0"]) == 2
    assert list(result.returns) == list(result.seconds) == ["0"]
    assert result.seconds["0"] > 0.0

    # Nothing is left of replay buffers, and files say what was returned.
    assert not list(tmp_path.rglob("checkpoints"))
    assert entries.load_all(tmp_path / "entries") == sorted(first, key=lambda of: of.agent)

    # More seeds are run beside those that are there; what is there is not run again.
    more = runs.run(TINY, tmp_path, ["lin_ucb"], only_tasks=["easy"], place=QUIET)
    longer = more[0].tasks["easy"]
    assert list(longer.returns) == ["0", "1"]
    assert longer.returns["0"] == result.returns["0"]
    assert more[0].tasks["clickbait"] == learner.tasks["clickbait"]

    with monkeypatch.context() as patched:
        patched.setattr(experiment, "experiment", lambda *_, **__: pytest.fail("was run again"))
        assert runs.run(TINY, tmp_path, agents, seeds=1, place=QUIET)[1] == more[0]

    recorded, now = runs.rerun(more[0], "easy", 1, place=QUIET)
    assert recorded == now == longer.returns["1"]

    # Further seeds by other code would mix what is not the same; what is there already may stay.
    assert result.library == provenance.source_digest()
    assert result.search_seconds > 0.0 == random.tasks["easy"].search_seconds
    monkeypatch.setattr(provenance, "source_digest", lambda: "0" * 64)
    assert runs.run(TINY, tmp_path, agents, seeds=1, place=QUIET)[1] == more[0]
    with pytest.raises(ValueError, match=f"SHA-256 is 000000000000….*by {result.library[:12]}…"):
        runs.run(TINY, tmp_path, ["random"], place=QUIET)


def test_pairs_at_the_same_time_give_the_same(tmp_path):
    agents = ["random", "lin_ucb"]
    found = [
        runs.run(TINY, tmp_path / str(n), agents, seeds=1, place=runs.Place(n, progress=False))
        for n in (1, 2)
    ]
    sequential, parallel = (
        [
            {
                name: dataclasses.replace(of, seconds={}, search_seconds=0.0)
                for name, of in entry.tasks.items()
            }
            for entry in entries_of_run
        ]
        for entries_of_run in found
    )
    assert sequential == parallel
    assert entries.load_all(tmp_path / "2" / "entries") == sorted(
        found[1], key=lambda entry: entry.agent
    )


def test_own_agents(tmp_path):
    reference = f"{__file__}:make_mine"
    (entry,) = runs.run(TINY, tmp_path, [reference], only_tasks=["easy"], place=QUIET)
    assert (entry.agent, entry.made_by) == ("make_mine", reference)
    result = entry.tasks["easy"]
    assert (result.settings, result.search, result.curve) == ((), {}, None)
    assert len(result.source) == 64

    file = entries.load(os.path.join(tmp_path, "entries", "make_mine.json"))
    assert runs.rerun(file, "easy", 0, place=QUIET)[1] == result.returns["0"]
    os.rename(tmp_path / "entries" / "make_mine.json", tmp_path / "entries" / "random.json")
    with pytest.raises(ValueError, match="with 'random' made by random, got one of"):
        runs.run(TINY, tmp_path, ["random"], place=QUIET)


class OneUserAtATime(random_agent.RandomAgent):
    """What is not for users in parallel."""


class Forgetful(random_agent.VectorRandomAgent):
    """Learns, as it says, and has nothing to show for it; and not in the first task."""

    learns = True

    def __init__(self, environment, seed=0):
        if environment.slate_size == 2:
            raise ValueError("The environment must have slates of another size.")
        super().__init__(environment, seed)

    def state_dict(self):
        return {}


def random(environment):
    return random_agent.VectorRandomAgent(environment)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("OneUserAtATime", "must be for users in parallel, got .*SingleUserAgents"),
        ("Forgetful", r"must have a state, got .*whose state_dict\(\) is empty"),
        ("random", "agent must be a name of its own, got 'random' made by .*test_runs.py:random"),
        ("Nobody", "test_runs.py has no 'Nobody'"),
    ],
)
def test_own_agents_that_are_refused(name, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        runs.run(TINY, tmp_path / "board", [f"{__file__}:{name}"], place=QUIET)
    assert not (tmp_path / "board").exists()


_CHANGING = """
from recsim.agents import random_agent

def make_it(environment, seed):
    {body}
"""


def test_own_agents_that_change(tmp_path):
    file = tmp_path / "slate_mine.py"  # Settings are tried for the library's agents alone.
    agent, board = f"{file}:make_it", tmp_path / "board"

    def run(agents):
        for name in [name for name in sys.modules if name.endswith("slate_mine")]:
            del sys.modules[name]  # As in a new process.
        return runs.run(TINY, board, agents, seeds=1, only_tasks=["easy"], place=QUIET)

    file.write_text(_CHANGING.format(body='raise ValueError("not for this")'))
    (entry,) = run([agent])
    assert (entry.tasks, entry.not_applicable) == ({}, {"easy": "not for this"})
    file.write_text(_CHANGING.format(body="raise IndexError"))
    with pytest.raises(experiment.ExperimentFailedError, match="make_it has failed in easy"):
        run([agent, "random"])
    assert set(entries.load(board / "entries" / "random.json").tasks) == {"easy"}

    shutil.rmtree(board)
    file.write_text(_CHANGING.format(body='raise ValueError("not for this")'))
    run([agent])
    file.write_text(_CHANGING.format(body="return random_agent.VectorRandomAgent(environment)"))
    (entry,) = run([agent])
    assert (list(entry.tasks), entry.not_applicable) == (["easy"], {})
    assert entries.load(board / "entries" / "make_it.json") == entry
    file.write_text(file.read_text() + "# Changed.\n")
    with pytest.raises(ValueError, match="make_it has another source than when .* in easy: choose"):
        run([agent])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"agents": ["rando"]}, "There is no agent 'rando'. Did you mean 'random'"),
        ({"agents": ["random", "random"]}, "agents must have different names, got 'random' twice"),
        ({"only_tasks": ["easi"]}, "There is no task 'easi' in recsim-slates-v1-quick"),
        ({"seeds": 3}, "seeds must be an integer <= 2, got 3"),
        ({"seeds": 0}, "seeds must be an integer"),
    ],
)
def test_what_is_refused(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        runs.run(TINY, tmp_path / "board", place=QUIET, **arguments)
    assert not (tmp_path / "board").exists()


def test_cells_that_an_entry_has_not(tmp_path):
    entry = entries.Entry(TINY.name, "random", "random", "random slates", {}, {})
    with pytest.raises(ValueError, match="seed must be one that the entry of random has in easy"):
        runs.rerun(entry, "easy", 0)


def test_every_agent_with_a_form_for_many_users_is_a_baseline():
    names = baselines.names()
    assert {"ppo", "ppo+recent5", "lin_ucb", "slate_topk_topk_q", baselines.ORACLE} <= set(names)
    assert "tabular_q" not in names
    task = TINY.task("easy")
    assert "no form for users in parallel" in baselines.reason_against("tabular_q", task, 2)
    assert baselines.settings_to_try("random") == []
