"""Interest exploration's order: the environment, the tasks, and what is made of them."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from support import RESULTS, recsim_names

from recsim.environments import interest_exploration
from recsim.experiments import tables
from recsim.reproductions import base
from recsim.reproductions import interest_exploration as order


@pytest.fixture
def short(monkeypatch):
    """Makes sessions short."""
    monkeypatch.setattr(order, "SESSION_LENGTH", 8)


def run_task(agent, affinity="high", steps=20, users=3, seed=0):
    return order._run(agent, affinity, steps, users, seed, lambda done: None)


def test_the_average_user_hides_what_users_like():
    env = interest_exploration.create_environment(order.env_config("high", 0))
    average = env.environment.user_model.avg_user_state.topic_affinity
    shares = [0.4, 0.15, 0.15, 0.15, 0.15]
    np.testing.assert_allclose(average, [0.1 + 1.3 * share for share in shares])
    sampler = env.environment.user_model._user_sampler
    users = np.array([sampler.sample_user().topic_affinity for _ in range(500)])
    favourites = np.bincount(users.argmax(axis=1), minlength=5) / 500
    np.testing.assert_allclose(favourites, shares, atol=0.07)
    np.testing.assert_allclose(np.log(users.max(axis=1)).mean(), 1.4, atol=0.02)


def test_low_affinity_is_that_of_the_default_config():
    assert sorted(
        set(np.ravel(order.env_config("low", 0)["user_document_mean_affinity_matrix"]))
    ) == [
        0.1,
        0.7,
    ]


class Recorder:
    """An agent that shows the first document, and tells what it was told."""

    def __init__(self):
        self.told = []

    def begin_episode(self, observation):
        self.told.append("begin")
        return [0]

    def step(self, reward, observation):
        self.told.append(reward)
        return [0]

    def end_episode(self, reward, observation, *, truncated=False):
        self.told.append((reward, truncated))


class Clicks:
    """An environment whose rewards are given in advance."""

    def __init__(self, rewards):
        self._rewards = iter(rewards)

    def reset(self):
        return {}

    def step(self, slate):
        return {}, next(self._rewards), False, {}


def test_sessions_are_truncated_and_every_click_counts(monkeypatch):
    monkeypatch.setattr(order, "SESSION_LENGTH", 3)
    agent, done = Recorder(), []
    rates = order.click_through_rates(agent, Clicks([1, 0, 1, 0, 0, 1]), 2, done.append)
    np.testing.assert_allclose(rates, [2 / 3, 1 / 3])
    assert agent.told == ["begin", 1, 0, (1, True), "begin", 0, 0, (1, True)]
    assert done == [3, 3]


@pytest.mark.parametrize("agent", [key for key, agent in order.AGENTS.items() if not agent.learns])
def test_the_same_seed_gives_the_same_rates(short, agent):
    first, again, other = (run_task(agent, users=40, seed=seed)["rates"] for seed in (0, 0, 1))
    assert first.shape == (40,)
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.slow
@pytest.mark.parametrize("agent", [key for key, agent in order.AGENTS.items() if agent.learns])
def test_learners_are_trained_before_and_meet_the_same_users(short, agent):
    first, again = (run_task(agent, steps=400) for _ in range(2))
    assert first["training"].shape == (50,)
    for name in ("training", "rates"):
        assert (first[name] == again[name]).all()


def test_who_knows_the_user_shows_the_best_document():
    env = interest_exploration.create_environment(order.env_config("high", 0))
    agent = order.AGENTS["informed"].create(env, seed=0, steps=0, eval_mode=True)
    for _ in range(20):
        observation = env.reset()
        user = recsim_names.user_state(env.environment.user_model)
        scores = user.score_documents(list(observation["doc"].values()))
        assert list(agent.begin_episode(observation)) == [scores.argmax()]


def test_nobody_learns_in_the_evaluation(short):
    env = interest_exploration.create_environment(order.env_config("high", 0))
    for key in ("tabular_q", "full_slate_q"):
        agent = order.AGENTS[key].create(env, seed=0, steps=100, eval_mode=True)
        order.click_through_rates(agent, env, 2)
        (learner,) = recsim_names.base_agents(agent)
        assert not getattr(learner, "training_steps", 0)
        assert not getattr(learner, "_q_value_table", {})


def test_tasks_have_seeds_of_their_own_and_agents_share_users():
    tasks = order.InterestExploration(seeds=2, steps=1500, users=3).tasks("unused")
    assert len(tasks) == len({task.name for task in tasks}) == 2 * 2 * len(order.AGENTS)
    seeds = {}
    for task in tasks:
        seeds.setdefault(task.name[-1], set()).add(task.arguments["seed"])
    (first,), (second,) = seeds["0"], seeds["1"]
    assert first != second
    sizes = {task.arguments["agent"]: task.size for task in tasks}
    assert sizes["ucb1"] == 3000
    assert sizes["full_slate_q"] == sizes["tabular_q"] == 5000  # Two whole sessions of training.


def fake_tasks(experiment, rates):
    """Returns tasks whose users' mean rates are given by agent, one a seed."""
    tasks = {}
    for task in experiment.tasks("unused"):
        key, number = task.arguments["agent"], int(task.name[-1])
        tasks[task.name] = {
            "rates": np.array([rates[key][number] - 0.01, rates[key][number] + 0.01]),
            "seconds": np.float64(1.26),
        }
        if order.AGENTS[key].learns:
            tasks[task.name]["training"] = np.array([0.1, 0.2, 0.3]) + 0.1 * number
    return tasks


@pytest.fixture
def by_hand():
    experiment = order.InterestExploration(seeds=2, steps=1500, users=2)
    rates = {
        "random": (0.10, 0.10),
        "greedy": (0.12, 0.12),
        "tabular_q": (0.11, 0.11),
        "full_slate_q": (0.15, 0.15),
        "ucb1": (0.19, 0.21),
        "informed": (0.30, 0.30),
    }
    return experiment, experiment.results(fake_tasks(experiment, rates))


def test_results_by_hand(by_hand):
    _, results = by_hand
    agents = results["high"]["agents"]
    ucb1 = agents["ucb1"]["click_through_rate"]
    # Student's 97.5% point with one degree of freedom is 12.706; the standard error here is 0.01.
    assert ucb1["mean"] == pytest.approx(0.2)
    assert ucb1["high"] == pytest.approx(0.2 + 12.706 * 0.01, rel=1e-4)
    assert agents["ucb1"]["click_through_rate_by_seed"] == pytest.approx([0.19, 0.21])
    curve = agents["full_slate_q"]["training"]
    assert curve["steps"] == [1000, 2000, 3000]
    assert curve["mean"] == pytest.approx([0.15, 0.25, 0.35])
    assert "training" not in agents["ucb1"]
    assert json.dumps(results)


def test_table_by_hand(by_hand):
    experiment, results = by_hand
    high, low = experiment.tables(results)
    assert low.title == "Low topic affinity"
    assert high.rows[4] == ("UCB1", "20.00%", "7.29–32.71%", "2.00", "25.17%", "1.68")
    assert high.rows[5][-2:] == ("–", "–")
    assert low.rows[1][-2:] == ("9.59%", "1.22")


def test_figures(by_hand):
    experiment, results = by_hand
    figures = experiment.figures(results)
    bars, curves = figures["rates"], figures["training"]
    assert [axes.get_title() for axes in bars.axes] == ["High topic affinity", "Low topic affinity"]
    heights = [patch.get_height() for patch in bars.axes[0].patches]
    assert heights == pytest.approx([0.1, 0.12, 0.11, 0.15, 0.2, 0.3])
    labels = [line.get_label() for line in curves.axes[0].lines]
    assert labels == [agent.title for agent in order.AGENTS.values()]


@pytest.mark.slow
def test_the_whole_of_it_in_small(short, tmp_path):
    experiment = order.InterestExploration(seeds=2, steps=60, users=2)
    record = base.run(experiment, str(tmp_path / "run"), show_progress=False)
    assert {"numpy", "tensorflow", "keras"} <= set(record["versions"])
    assert (tmp_path / "run" / "rates.png").exists()
    agents = record["results"]["low"]["agents"]
    assert list(agents) == list(order.AGENTS)
    again = base.run(experiment, str(tmp_path / "run"), show_progress=False)
    assert again["results"] == record["results"]


def committed():
    path = RESULTS / "interest_exploration" / "results.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_committed_results_show_the_order():
    agents = committed()["results"]["high"]["agents"]
    in_order = ("random", "greedy", "full_slate_q", "ucb1")
    for lower, higher in itertools.pairwise(agents[key]["click_through_rate"] for key in in_order):
        assert lower["high"] < higher["low"]


def test_page_shows_the_committed_results():
    record = committed()
    experiment = order.InterestExploration(**record["settings"])
    page = (RESULTS / "interest_exploration.md").read_text(encoding="utf-8")
    for table in experiment.tables(record["results"]):
        assert tables.markdown(table) in page
    assert experiment.notes in page
    assert record["command"] in page
    assert f"{record['time']['seconds']:.0f} seconds" in page
    assert max(map(len, base.text(experiment, record).splitlines())) <= 80
    for affinity, of_affinity in record["results"].items():
        assert of_affinity["env_config"] == order.env_config(affinity, record["settings"]["seed"])
        assert of_affinity["session_length"] == order.SESSION_LENGTH
