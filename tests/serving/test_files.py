"""Files of saved agents: written whole, refused where they are spoiled, crafted or of others."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
import pytest
from support.saved_agents import SCENARIOS, create_agent
from support.scenarios import make_env

import recsim
from recsim import agent, serving
from recsim.agents import (
    cluster_bandit_agent,
    greedy_pctr_agent,
    random_agent,
    slate_decomp_q_agent,
)
from recsim.agents.layers import cluster_click_statistics
from recsim.simulator import checkpoint


@pytest.mark.parametrize("name", SCENARIOS)
def test_saving_again_gives_the_same_bytes(name, saved, tmp_path):
    path = saved(name)
    served = recsim.load_agent(path)
    served.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["cluster_bandit_ucb1", "slate_topk_sarsa"])
def test_a_truncated_or_changed_file_is_refused(name, saved, tmp_path):
    content = saved(name).read_bytes()
    path = tmp_path / "spoiled"
    rng = np.random.default_rng(0)
    for end in [0, 1, 4, *rng.integers(5, len(content), 40), len(content) - 1]:
        path.write_bytes(content[:end])
        with pytest.raises(serving.AgentFileError, match="cannot be loaded as a saved agent"):
            recsim.load_agent(path)
    for position in rng.integers(0, len(content), 60):
        changed = bytearray(content)
        changed[position] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        with pytest.raises(serving.AgentFileError, match="spoiled"):
            recsim.load_agent(path)


HOSTILE = [
    None,
    True,
    -1,
    1 << 70,
    math.nan,
    "x\x1b[31m",
    [],
    {},
    [1],
    {"data": 1},
    {"code": "SlateDecompQAgent"},
    {"given": "x"},
    {"agent": {}},
    {"a": 1},
    np.zeros((3, 3)),
    (1, 2),
]


def places(tree, path=()):
    """Yields where something is in a tree, but for what is after the second entry of each list."""
    yield path
    if isinstance(tree, dict):
        entries = list(tree.items())
    elif isinstance(tree, (list, tuple)):
        entries = list(enumerate(tree))[:2]
    else:
        return
    for key, value in entries:
        yield from places(value, (*path, key))


def replaced(tree, path, value):
    if not path:
        return copy.deepcopy(value)
    key, *rest = path
    changed = list(tree) if isinstance(tree, tuple) else copy.copy(tree)
    changed[key] = replaced(tree[key], rest, value)
    return tuple(changed) if isinstance(tree, tuple) else changed


@pytest.mark.parametrize(
    "name", ["random", "greedy_pctr", "cluster_bandit_ts", "tabular_q", "full_slate_q", "history"]
)
def test_a_crafted_file_is_refused_or_loads(name, saved, tmp_path, monkeypatch):
    content = checkpoint.load(saved(name))
    refused = 0
    # The files are whole: reading them is tested elsewhere, and takes the most time.
    crafted = {}
    monkeypatch.setattr(
        "recsim._internal.checkpoint_files.read", lambda path: (None, crafted["tree"])
    )
    for place in places(content):
        for value in HOSTILE:
            crafted["tree"] = replaced(content, place, value)
            try:
                agent = serving.load_agent(tmp_path / "crafted")
            except (serving.AgentFileError, TypeError) as error:
                refusal = error
                refused += 1
            else:
                assert agent.name
                continue
            assert "crafted" in str(refusal), (place, value)
            if isinstance(refusal, TypeError):  # It is asked for what the file says that it lacks.
                assert re.search("needs|agent_class", str(refusal)), (place, value)
    assert refused > 50


#: A space of 10**11 numbers in a few bytes.
LARGE = {"Dict of equal entries": [10**6, {"Box": [0, 1, [10**5], "float32"]}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"saved agent": 2}, "newer version of recsim"),
        ({"saved agent": 0}, "its format is 0"),
        ({"num_candidates": 5}, "does not have 5 documents"),
        ({"num_candidates": 10**9}, "its num_candidates is 1000000000"),
        ({"slate_size": 0}, "its slate_size is 0"),
        (
            {"space": {"Dict of equal entries": [10**6, {"Box": [0, 1, [10**5], "float32"]}]}},
            "at most",
        ),
        ({"space": {"Box": [0, 1, [3], "object"]}}, "not the data of a space"),
        ({"versions": {"recsim": 3}}, "its versions"),
    ],
)
def test_an_entry_that_does_not_fit_is_named(change, message, saved, tmp_path):
    content = checkpoint.load(saved("slate_topk_sarsa"))
    checkpoint.save(tmp_path / "crafted", {**content, **change})
    with pytest.raises(serving.AgentFileError, match=message):
        recsim.load_agent(tmp_path / "crafted")


def test_a_network_is_not_made_larger_than_the_file(saved, tmp_path):
    content = checkpoint.load(saved("slate_topk_sarsa"))
    content["agent"]["settings"]["hidden_units"] = {"data": (1 << 20, 1 << 20)}
    checkpoint.save(tmp_path / "crafted", content)
    with pytest.raises(serving.AgentFileError, match="network with the hidden_units"):
        recsim.load_agent(tmp_path / "crafted")


def test_a_checkpoint_of_a_training_is_told_apart(tmp_path):
    checkpoint.save(tmp_path / "ckpt.1", {"agent": {}, "current_iteration": 1})
    with pytest.raises(serving.AgentFileError, match="checkpoint of a training.*restore_agent"):
        recsim.load_agent(tmp_path / "ckpt.1")
    checkpoint.save(tmp_path / "tree", [1])
    with pytest.raises(serving.AgentFileError, match="another kind"):
        recsim.load_agent(tmp_path / "tree")


@pytest.mark.parametrize("name", ["tabular_q", "slate_topk_sarsa", "history"])
def test_an_agent_is_restored_from_the_file_of_another(name, saved):
    path, env = saved(name), make_env(SCENARIOS[name])
    first, other = create_agent(name, env), create_agent(name, env, seed=9)
    observation = env.reset()
    checkpoint.restore_agent(other, path)
    for _ in range(3):
        assert list(other.begin_episode(observation)) == list(first.begin_episode(observation))
    tabular = create_agent("tabular_q", make_env(num_candidates=5))
    with pytest.raises(
        ValueError, match="does not hold the state of this agent|cannot be restored"
    ):
        checkpoint.restore_agent(tabular, saved("random"))


def test_a_file_that_is_there_stays_where_saving_fails(saved, monkeypatch):
    path = saved("random")
    content = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("no space")))
    with pytest.raises(OSError, match="no space"):
        create_agent("random", make_env()).save(path)
    assert path.read_bytes() == content
    assert [each.name for each in path.parent.iterdir()] == [path.name]


# Agents of a user's own.


class Counting(agent.AbstractEpisodicRecommenderAgent):
    """Shows documents in their order, turned by the number of its slates and a setting."""

    def __init__(self, observation_space, action_space, offset, eval_mode=False):
        super().__init__(action_space)
        self._observation_space = observation_space
        self._offset = offset
        self._slates = 0
        self._rng = np.random.RandomState(0)
        self.eval_mode = eval_mode

    def step(self, reward, observation):
        self._slates += 1
        number = len(observation["doc"])
        first = self._slates + self._offset
        return [(first + place) % number for place in range(self._slate_size)]

    def state_dict(self):
        return {**super().state_dict(), "slates": self._slates}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self._slates = state["slates"]


class Servable(Counting):
    def serving(self):
        return agent.Serving(
            settings={"offset": self._offset}, observation_space=self._observation_space
        )


def own(kind=Servable, offset=1):
    env = make_env()
    return kind(env.observation_space, env.action_space, offset)


def items(*ids):
    return serving.Items(ids, {"quality": [1.0] * len(ids), "cluster_id": [0] * len(ids)})


def test_an_agent_of_ones_own_keeps_its_state_by_user(tmp_path):
    own().save(tmp_path / "own")
    served = recsim.load_agent(tmp_path / "own", agent_class=Servable)
    four = items("a", "b", "c", "d")
    assert served.remembers_users
    assert served.recommend("one", four) == ["c", "d"]
    assert served.recommend("one", four) == ["d", "a"]
    assert served.recommend("two", four) == ["c", "d"]
    assert served.recommend("one", four) == ["a", "b"]
    made = served.make_agent()
    assert type(made) is Servable
    assert made.eval_mode
    served.save(tmp_path / "with users")
    again = recsim.load_agent(tmp_path / "with users", agent_class=[Servable])
    assert again.recommend("two", four) == ["d", "a"]


def test_no_class_is_taken_from_a_file(tmp_path):
    own().save(tmp_path / "own")
    with pytest.raises(TypeError, match="agent_class=Servable"):
        recsim.load_agent(tmp_path / "own")
    with pytest.raises(TypeError, match="of Servable, got Counting"):
        recsim.load_agent(tmp_path / "own", agent_class=[Counting, Servable])
    with pytest.raises(TypeError, match="must be a class of agents"):
        recsim.load_agent(tmp_path / "own", agent_class="Servable")


def test_what_an_agent_cannot_be_made_of_is_told_when_it_is_saved(tmp_path):
    with pytest.raises(TypeError, match=r"'offset'.*override its method serving\(\)"):
        own(Counting).save(tmp_path / "own")

    class Misspelled(Counting):
        def serving(self):
            return agent.Serving(settings={"offset": 1, "ofset": 1})

    with pytest.raises(TypeError, match="'ofset'"):
        own(Misspelled).save(tmp_path / "own")

    class WithoutSpace(Servable):
        def serving(self):
            return agent.Serving(settings={"offset": 1})

    with pytest.raises(ValueError, match="observation_space must be given to save WithoutSpace"):
        own(WithoutSpace).save(tmp_path / "own")
    own(WithoutSpace).save(tmp_path / "own", observation_space=make_env().observation_space)
    assert recsim.load_agent(tmp_path / "own", agent_class=WithoutSpace).slate_size == 2
    assert not (tmp_path / "other").exists()


def test_spaces_that_do_not_fit_are_refused_when_it_is_saved(tmp_path):
    env, other = make_env(), make_env(num_candidates=7)
    greedy = greedy_pctr_agent.GreedyPCTRAgent(env.action_space, None)
    with pytest.raises(ValueError, match="with the 4 documents"):
        greedy.save(tmp_path / "agent", observation_space=other.observation_space)
    bandit = create_agent("cluster_bandit_ts", env)
    with pytest.raises(ValueError, match="must be the one that the agent was made for"):
        bandit.save(tmp_path / "agent", observation_space=other.observation_space)


def by_inner_products(user, documents):
    return np.exp((documents @ user[..., np.newaxis])[..., 0]), np.ones(user.shape[:-1])


def test_functions_of_ones_own_are_given_again(tmp_path):
    env = make_env("interest_evolution")
    slate_q = slate_decomp_q_agent.SlateDecompQAgent(
        None,
        env.observation_space,
        env.action_space,
        eval_mode=True,
        score_documents_fn=by_inner_products,
        epsilon_eval=0.0,
    )
    slate_q.save(tmp_path / "agent")
    with pytest.raises(TypeError, match="needs score_documents_fn, a by_inner_products"):
        recsim.load_agent(tmp_path / "agent")
    with pytest.raises(TypeError, match="'score_documents_fun'.*Did you mean 'score_documents_fn'"):
        recsim.load_agent(
            tmp_path / "agent",
            score_documents_fn=by_inner_products,
            score_documents_fun=by_inner_products,
        )
    served = recsim.load_agent(tmp_path / "agent", score_documents_fn=by_inner_products)
    observation = env.reset()
    ids = list(observation["doc"])
    slate = served.recommend(
        serving.User("one", observation["user"]),
        serving.Items(ids, np.array(list(observation["doc"].values()))),
    )
    assert slate == [ids[index] for index in slate_q.begin_episode(observation)]


def test_settings_are_not_taken_from_gin_where_it_is_loaded(saved):
    import gin

    path = saved("cluster_bandit_ucb1")
    before = recsim.load_agent(path)
    with gin.unlock_config():
        gin.parse_config("ClusterBanditAgent.ci_scaling = 100.0")
    try:
        after = recsim.load_agent(path)
    finally:
        gin.clear_config()
    of_bandits = [each.make_agent().serving().settings for each in (before, after)]
    assert of_bandits[0].keys() == of_bandits[1].keys()
    bandits = [each["base_agent_ctor"].serving().settings["ci_scaling"] for each in of_bandits]
    assert bandits == [1.0, 1.0]


def test_agents_that_cannot_be_saved_say_so(tmp_path):
    env = make_env()

    class OwnBandit(cluster_bandit_agent.ClusterBanditAgent):
        pass

    layer = cluster_click_statistics.ClusterClickStatsLayer(
        OwnBandit, env.observation_space, env.action_space
    )
    layer.save(tmp_path / "agent")
    with pytest.raises(TypeError, match="agent_class=OwnBandit"):
        recsim.load_agent(tmp_path / "agent")
    served = recsim.load_agent(tmp_path / "agent", agent_class=OwnBandit)
    assert served.name == "ClusterClickStatsLayer(OwnBandit)"

    class Unsaved(random_agent.RandomAgent):
        def state_dict(self):
            return {**super().state_dict(), "thing": object()}

    with pytest.raises(TypeError, match="cannot go into a checkpoint"):
        Unsaved(env.action_space).save(tmp_path / "agent")
