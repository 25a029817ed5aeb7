"""Bad requests of served agents: each row is refused by an error that names what is wrong."""

import numpy as np
import pytest
from support.saved_agents import SCENARIOS, create_agent
from support.scenarios import make_env

from recsim import serving
from recsim.serving import Items, User

LETTERS = ["a", "b", "c", "d"]
FEATURES = {"cluster_id": [0, 0, 1, 1], "quality": [1.0, 2.0, 3.0, 4.0]}
TOPICS = Items(LETTERS, FEATURES)
VIDEOS = Items(LETTERS, np.zeros((4, 20)))
SOMEBODY = User("u", np.zeros(20))


@pytest.fixture(scope="module")
def agents(tmp_path_factory):
    """Served agents by name, made when they are asked for first."""
    made = {}

    def of(name):
        if name not in made:
            path = tmp_path_factory.mktemp("agents") / "agent.recsim"
            create_agent(name, make_env(SCENARIOS[name])).save(path)
            made[name] = serving.load_agent(path)
        return made[name]

    return of


def topics(**changes):
    return Items(LETTERS, {**FEATURES, **changes})


def without(name):
    return Items(LETTERS, {key: values for key, values in FEATURES.items() if key != name})


def videos(change):
    features = np.zeros((4, 20))
    features[2, 5] = change
    return Items(LETTERS, features)


BANDIT, SLATE_Q, FULL, TABULAR = (
    "cluster_bandit_ucb1",
    "slate_topk_sarsa",
    "full_slate_q",
    "tabular_q",
)


def recommend(user, items, k=None, **options):
    return lambda agent: agent.recommend(user, items, k, **options)


def observe(*arguments, user="u", **options):
    def call(agent):
        agent.forget("u")
        agent.recommend("u", TOPICS)
        agent.observe(user, *arguments, **options)

    return call


# The agent, what is asked, the type of the error, and what its message says, by the row's name.
TABLE = {
    # Sizes.
    "k above the number of items": (BANDIT, recommend("u", TOPICS, 5), ValueError, "at most.*4"),
    "k of 0": (BANDIT, recommend("u", TOPICS, 0), ValueError, "k must be an integer >= 1, got 0"),
    "k not an integer": (BANDIT, recommend("u", TOPICS, 1.5), TypeError, "k must be an integer"),
    "another k, full slates": (
        FULL,
        recommend(SOMEBODY, VIDEOS, 3),
        ValueError,
        "k must be 2, for FullSlateQAgent was made for slates of 2.*got 3",
    ),
    "another k, tables": (TABULAR, recommend("u", TOPICS, 1), ValueError, "k must be 2"),
    "another number of items, full slates": (
        FULL,
        recommend(SOMEBODY, Items(LETTERS[:3], np.zeros((3, 20)))),
        ValueError,
        "items must be 4, for FullSlateQAgent.*got 3",
    ),
    # Users.
    "users as a table": (
        BANDIT,
        recommend(np.array([["u"], ["v"]]), TOPICS),
        TypeError,
        "user must be a string or an integer",
    ),
    "users of fractions": (BANDIT, recommend(np.array([1.5]), TOPICS), TypeError, "1.5"),
    "no id where users are remembered": (
        BANDIT,
        recommend(User(), TOPICS),
        ValueError,
        "user must have an id",
    ),
    "id of a user a float": (BANDIT, recommend(1.5, TOPICS), TypeError, "string or an integer"),
    "id of a user a bool": (BANDIT, recommend(True, TOPICS), TypeError, "string or an integer"),
    "no features of a user": (
        SLATE_Q,
        recommend("u", VIDEOS),
        ValueError,
        r"the features of the user 'u' must be given.*\(20,\)",
    ),
    "features of a user NaN": (
        SLATE_Q,
        recommend(User("u", [np.nan] * 20), VIDEOS),
        ValueError,
        "the features of the user 'u' must be finite numbers, got nan",
    ),
    "too few features of a user": (
        SLATE_Q,
        recommend(User("u", np.zeros(19)), VIDEOS),
        ValueError,
        r"must have the shape \(20,\), got \(19,\)",
    ),
    "features of a user out of bounds": (
        SLATE_Q,
        recommend(User("u", np.full(20, 2.0)), VIDEOS),
        ValueError,
        r"must be within Box\(-1.0, 1.0.*got 2.0",
    ),
    "misspelled key of a user": (
        SLATE_Q,
        recommend({"id": 1, "feature": []}, VIDEOS),
        ValueError,
        "the key 'feature'. Did you mean 'features'",
    ),
    "features of a user whom nothing is observed of": (
        BANDIT,
        recommend(User("u", [1.0]), TOPICS),
        ValueError,
        r"must have the shape \(0,\)",
    ),
    # Items.
    "ids alone": (
        BANDIT,
        recommend("u", LETTERS),
        ValueError,
        "must be given: the agent needs 'cluster_id', 'quality'",
    ),
    "no field that it needs": (
        BANDIT,
        recommend("u", without("cluster_id")),
        ValueError,
        "the features of items must have 'cluster_id', which the agent needs, got 'quality'",
    ),
    "field of another agent": (
        BANDIT,
        recommend("u", topics(price=[1] * 4)),
        ValueError,
        "no more than the agent was made for, 'cluster_id', 'quality', got 'price'",
    ),
    "features of another agent": (
        BANDIT,
        recommend("u", VIDEOS),
        ValueError,
        "dictionary or data frame with 'cluster_id', 'quality'",
    ),
    "features by name for arrays": (
        SLATE_Q,
        recommend(SOMEBODY, TOPICS),
        TypeError,
        "the features of items must be numbers",
    ),
    "too few rows": (
        SLATE_Q,
        recommend(SOMEBODY, Items(LETTERS, np.zeros((3, 20)))),
        ValueError,
        r"must have the shape \(4, 20\), got \(3, 20\)",
    ),
    "NaN among the features": (
        SLATE_Q,
        recommend(SOMEBODY, videos(np.nan)),
        ValueError,
        "the features of items must be finite numbers, got nan for the item 'c'",
    ),
    "feature out of bounds": (
        SLATE_Q,
        recommend(SOMEBODY, videos(-1.5)),
        ValueError,
        "got -1.5 for the item 'c'",
    ),
    "NaN in a column": (
        BANDIT,
        recommend("u", topics(quality=[1.0, np.nan, 1.0, 1.0])),
        ValueError,
        r"\['quality'\] must be finite numbers, got nan for the item 'b'",
    ),
    "missing number in a column": (
        BANDIT,
        recommend("u", topics(quality=[1.0, None, 1.0, 1.0])),
        TypeError,
        r"\['quality'\] must be numbers",
    ),
    "unknown topic": (
        BANDIT,
        recommend("u", topics(cluster_id=[0, 1, 2, 1])),
        ValueError,
        r"within Discrete\(2\).*got 2 for the item 'c'",
    ),
    "topic not a whole number": (
        BANDIT,
        recommend("u", topics(cluster_id=[0, 1, 0.5, 1])),
        ValueError,
        "must be whole numbers, got 0.5 for the item 'c'",
    ),
    "duplicated ids": (
        BANDIT,
        recommend("u", Items(["a", "b", "a", "d"], FEATURES)),
        ValueError,
        "different ids, got 'a' twice",
    ),
    "ids that are the same as text": (
        BANDIT,
        recommend("u", Items([1, "1", 2, 3], FEATURES)),
        ValueError,
        "different ids, got '1' twice",
    ),
    "id of an item None": (
        BANDIT,
        recommend("u", Items(["a", None, "c", "d"], FEATURES)),
        TypeError,
        "an id of items must be a string or an integer, got None",
    ),
    "ids one text": (BANDIT, recommend("u", "abcd"), TypeError, "items must be Items"),
    "no ids": (BANDIT, recommend("u", {"features": FEATURES}), ValueError, "must have 'ids'"),
    "no items": ("random", recommend("u", []), ValueError, "at most the number of items, 0"),
    # Batches.
    "items of fewer users": (
        BANDIT,
        recommend(["u", "v"], [TOPICS]),
        ValueError,
        "one for each of the 2, got 1",
    ),
    "items of one of several users": (
        BANDIT,
        recommend(["u", "v"], [TOPICS, without("quality")]),
        ValueError,
        r"the features of items\[1\] must have 'quality'",
    ),
    # Observations.
    "unknown user": (
        BANDIT,
        observe(["b"], {"click": [1]}, user="stranger"),
        serving.UnknownUserError,
        "got 'stranger'",
    ),
    "item of no slate": (
        BANDIT,
        observe(["x"], {"click": [1]}),
        ValueError,
        "last slate recommended to the user.*got 'x': pass Items",
    ),
    "no field of responses that it needs": (
        BANDIT,
        observe(["b"], {"quality": [1.0]}),
        ValueError,
        "responses must have 'click', for the agent takes in 'click', 'cluster_id'",
    ),
    "unknown field of responses": (
        BANDIT,
        observe(["b"], {"clicks": [1]}),
        ValueError,
        "got 'clicks'. Did you mean 'click'",
    ),
    "fewer responses than items": (
        BANDIT,
        observe(["b", "a"], {"click": [1]}),
        ValueError,
        r"responses\['click'\] must have the shape \(2,\), got \(1,\)",
    ),
    "fewer rows of responses than items": (
        BANDIT,
        observe(["b", "a"], [{"click": 1}]),
        ValueError,
        "as many as items, 2, got 1",
    ),
    "rows of responses unlike": (
        BANDIT,
        observe(["b", "a"], [{"click": 1}, {}]),
        ValueError,
        "all have the same fields",
    ),
    "click of 2": (
        BANDIT,
        observe(["b"], {"click": [2]}),
        ValueError,
        "got 2 for the item 'b'",
    ),
    "click NaN": (BANDIT, observe(["b"], {"click": [np.nan]}), ValueError, "got nan"),
    "responses numbers alone": (
        BANDIT,
        observe(["b"], [1]),
        TypeError,
        "responses must be a dictionary",
    ),
    "reward NaN": (
        BANDIT,
        observe(["b"], {"click": [1]}, reward=np.nan),
        ValueError,
        "reward must be a finite number",
    ),
}


@pytest.mark.parametrize("row", TABLE)
def test_bad_request_is_refused(row, agents):
    name, ask, kind, message = TABLE[row]
    agent = agents(name)
    before = agent.user_ids
    with pytest.raises(kind, match=message):
        ask(agent)
    assert set(agent.user_ids) - set(before) <= {"u"}


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"max_users": 0}, ValueError, "max_users must be an integer >= 1"),
        ({"max_users": "many"}, TypeError, "max_users must be an integer"),
        ({"agent_class": 3}, TypeError, "agent_class must be a class"),
        ({"agent_class": dict}, TypeError, "agent_class must be a class"),
        ({"epsilon": 0.0}, TypeError, "takes no argument 'epsilon'"),
    ],
)
def test_bad_argument_of_load_agent_is_refused(arguments, kind, message, tmp_path):
    create_agent("random", make_env()).save(tmp_path / "agent")
    with pytest.raises(kind, match=message):
        serving.load_agent(tmp_path / "agent", **arguments)


def test_paths_that_are_none_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        serving.load_agent(tmp_path / "nothing")
    with pytest.raises(serving.AgentFileError, match="is not a file"):
        serving.load_agent(tmp_path)
    with pytest.raises(TypeError, match="path must be"):
        serving.load_agent(3)
    with pytest.raises(ValueError, match="path must"):
        create_agent("random", make_env()).save("")
