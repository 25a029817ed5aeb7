"""One table of bad input: each row is refused by an error that says what to do."""

import itertools
import tempfile

import gin
import gymnasium
import numpy as np
import pytest
from support import random_scenarios
from support.scenarios import CONFIG, MODULES, config, make_vector_env
from support.scenarios import make_env as make

from recsim import choice_model, seeding, user
from recsim import spaces as recsim_spaces
from recsim._internal.gym_import import spaces
from recsim.agents import (
    random_agent,
    tabular_q_agent,
)
from recsim.environments import (
    interest_evolution,
    interest_exploration,
    long_term_satisfaction,
    topic_boredom,
)
from recsim.experiments import agent_run, experiment
from recsim.simulator import (
    environment,
    gymnasium_env,
    recsim_gym,
    rollout,
    runner_lib,
)


def make_vector(**changes):
    return make_vector_env(env_config=config(**changes))


def state_at(position):
    state = seeding.generator_state(np.random.RandomState(1))
    return {**state, "state": {**state["state"], "pos": position}}


def without(key):
    return {name: value for name, value in CONFIG.items() if name != key}


def step(slate, env=None):
    env = env or make()
    env.reset()
    env.step(slate)


def act(form, action):
    env = gymnasium_env.RecSimGymnasiumEnv(make(), action=form)
    env.reset(seed=0)
    env.step(action)


def act_vectorized(form, actions):
    env = make_vector_env(action=form)
    env.reset(seed=0)
    env.step(actions)


def reset_vectorized(options, mode="DISABLED", seed=None, steps=1, first=True):
    env = make_vector_env(autoreset_mode=mode, max_steps_per_episode=1)
    if first:
        env.reset(seed=0)
        env.step(np.zeros((3, 2), int))
    for _ in range(steps):
        env.reset(seed=seed, options=options)
        if steps > 1:
            env.step(np.zeros((3, 2), int))


def several_users():
    return [
        interest_exploration.IEUserModel(2, response_model_ctor=interest_exploration.IEResponse)
        for _ in range(3)
    ]


def make_several():
    users = several_users()
    sampler = interest_exploration.IETopicDocumentSampler()
    raw_environment = environment.MultiUserEnvironment(users, sampler, 6, 2)
    return recsim_gym.RecSimGymEnv(raw_environment, lambda responses: 0.0)


class ScoresAreDocuments(user.AbstractUserState):
    def score_document(self, doc_obs):
        return doc_obs

    create_observation = observation_space = None


def choose(model, features, scores):
    chooser = model(features)
    chooser.score_documents(ScoresAreDocuments(), scores)
    chooser.choose_item()


def random_agent_of(_, env, **__):
    return random_agent.RandomAgent(env.action_space)


def binding_without_effect(name, value):
    with gin.unlock_config():  # Another test may have loaded a configuration.
        gin.bind_parameter(name, value)
    try:
        experiment.experiment("random", progress=False)
    finally:
        gin.clear_config()


def run(folder, **kwargs):
    return runner_lib.EvalRunner(
        base_dir=str(folder), create_agent_fn=random_agent_of, env=make(), test_mode=True, **kwargs
    )


proportional = choice_model.MultinomialProportionalChoiceModel
IEUsers = interest_exploration.IEClusterUserSampler
IEDocuments = interest_exploration.IETopicDocumentSampler

# What is done, the type of the error, and what its message says, by the name of the row.
TABLE = {
    # Slates.
    "slate too long": (lambda: step([0, 1, 2]), ValueError, r"at most 2 documents.*got 3"),
    "slate empty, of a user who takes the first document": (
        lambda: step([], long_term_satisfaction.create_environment(CONFIG)),
        ValueError,
        "slate must hold a document",
    ),
    "index too large": (lambda: step([0, 4]), IndexError, r"candidates, 0 to 3, got \[0, 4\]"),
    "index negative": (lambda: step([0, -1]), IndexError, r"candidates, 0 to 3, got \[0, -1\]"),
    "index a float": (lambda: step([0, 1.0]), TypeError, "sequence of integers"),
    "index a string": (lambda: step(["0", "1"]), TypeError, "sequence of integers"),
    "index array of floats": (lambda: step(np.array([0.0, 1.0])), TypeError, "of integers"),
    "slate no sequence": (lambda: step(3), TypeError, "sequence of integers.*got 3"),
    "slate a generator": (
        lambda: step(index for index in [0, 1]),
        TypeError,
        "sequence of integers.*got <generator.*Make a list",
    ),
    "slate an iterator at its end": (lambda: step(iter(())), TypeError, "sequence of integers"),
    "slates iterators": (
        lambda: step([iter([0, 1])] * 3, make_several()),
        TypeError,
        "sequence of integers.*got <list_iterator",
    ),
    "slate None": (lambda: step(None), TypeError, "sequence of integers.*got None"),
    "slates too few": (
        lambda: step([[0, 1]], make_several()),
        ValueError,
        r"one slate for each of the 3 users, got \[\[0, 1\]\]",
    ),
    "slates None": (lambda: step(None, make_several()), ValueError, "3 users, got None"),
    "one slate for several users": (
        lambda: step([0, 1, 2], make_several()),
        TypeError,
        "sequence of integers.*got 0",
    ),
    "step before reset": (lambda: make().step([0, 1]), RuntimeError, r"call reset\(\)"),
    # Sizes and configs.
    "slate above candidates": (
        lambda: make(slate_size=7),
        ValueError,
        "slate_size must be at most num_candidates, got slate_size=7 and num_candidates=4",
    ),
    "slate size zero": (lambda: make(slate_size=0), ValueError, "slate_size.*>= 1, got 0"),
    "candidates negative": (
        lambda: make(num_candidates=-1),
        ValueError,
        "num_candidates.*>= 1, got -1",
    ),
    "slate size a float": (lambda: make(slate_size=2.0), TypeError, "slate_size.*got 2.0 of"),
    "candidates a string": (lambda: make(num_candidates="6"), TypeError, "num_candidates.*'6'"),
    "slate size a bool": (lambda: make(slate_size=True), TypeError, "slate_size.*True"),
    "seed a float": (lambda: make(seed=0.5), TypeError, "seed.*0.5"),
    "seed negative": (lambda: make(seed=-1), ValueError, "seed.*-1"),
    "seed too large": (lambda: make(seed=2**32), ValueError, r"seed.*2\*\*32 - 1"),
    "config no dictionary": (
        lambda: interest_exploration.create_environment([("seed", 0)]),
        TypeError,
        "env_config must be a dictionary",
    ),
    **{
        f"{name} without {key}": (
            lambda scenario=scenario, key=key: scenario.create_environment(without(key)),
            KeyError,
            f"env_config misses '{key}'",
        )
        for name, scenario in MODULES.items()
        for key in CONFIG
        if not (scenario in (long_term_satisfaction, topic_boredom) and key == "seed")
    },
    "resampling a string": (
        lambda: make(resample_documents="no"),
        TypeError,
        "resample_documents'. must be True or False, got 'no'",
    ),
    "several user models of a single-user environment": (
        lambda: environment.SingleUserEnvironment(
            [several_users()], interest_exploration.IETopicDocumentSampler(), 6, 2
        ),
        TypeError,
        "one user model, got a list of 1",
    ),
    "one user model of an environment of several": (
        lambda: environment.MultiUserEnvironment(
            several_users()[0], interest_exploration.IETopicDocumentSampler(), 6, 2
        ),
        TypeError,
        "list of user models",
    ),
    "no user models": (
        lambda: environment.MultiUserEnvironment(
            [], interest_exploration.IETopicDocumentSampler(), 6, 2
        ),
        ValueError,
        "at least one user model",
    ),
    # Keys, IDs and spaces (the whole kinds are in test_unknown_keys, test_document_ids and
    # test_spaces_of_scenarios).
    "keyword of a registered id": (
        lambda: gymnasium.make("recsim/InterestEvolution-v0", slatesize=3),
        TypeError,
        "no parameter 'slatesize'. Did you mean 'slate_size'",
    ),
    "option of a vector environment": (
        lambda: interest_exploration.create_vector_environment(CONFIG, 2, candidate="step"),
        TypeError,
        "no parameter 'candidate'. Did you mean 'candidates'",
    ),
    "form of observations": (
        lambda: gymnasium.make("recsim/InterestEvolution-v0", observation="flatt"),
        ValueError,
        "observation must be one of 'nested', 'dict', 'flat', got 'flatt'. Did you mean 'flat'",
    ),
    "form of a vector environment's observations": (
        lambda: make_vector_env(observation=None),
        ValueError,
        "observation must be one of 'nested', 'dict', 'flat', got None",
    ),
    "form of actions": (
        lambda: gymnasium.make_vec("recsim/InterestEvolution-v0", action="score"),
        ValueError,
        "action must be one of 'slate', 'discrete', 'scores', got 'score'. Did you mean 'scores'",
    ),
    "entries of one name in a dictionary of one level": (
        lambda: recsim_spaces.ObservationForm(
            "dict",
            gymnasium.spaces.Dict(
                a_b=gymnasium.spaces.Discrete(2),
                a=gymnasium.spaces.Dict(b=gymnasium.spaces.Discrete(2)),
            ),
        ),
        ValueError,
        "needs a key of its own for each entry, got 'a_b'",
    ),
    "too many discrete actions": (
        lambda: gymnasium.make(
            "recsim/InterestEvolution-v0", num_candidates=317, action="discrete"
        ),
        ValueError,
        "must have at most 100000 slates, got 100,?172 of 2 out of 317 candidates",
    ),
    "too many discrete actions of users in parallel": (
        lambda: make_vector_env(env_config=config(num_candidates=317), action="discrete"),
        ValueError,
        "must have at most 100000 slates, got 100,?172 of 2 out of 317 candidates",
    ),
    **{
        f"action {name}": (lambda form=form, action=action: act(form, action), error, message)
        for name, form, action, error, message in [
            ("beyond the slates", "discrete", 12, IndexError, "numbers of slates, 0 to 11, got 12"),
            ("below 0", "discrete", -1, IndexError, "numbers of slates, 0 to 11, got -1"),
            ("of a fraction", "discrete", 1.5, TypeError, "action must be integers, .* got 1.5"),
            ("with an axis", "discrete", [1], ValueError, r"shape \(\), .*, got \(1,\)"),
            (
                "of NaN",
                "scores",
                [0.0, np.nan] * 2,
                ValueError,
                "finite scores, got 2 that are not",
            ),
            ("of infinity", "scores", [0, 1, 2, np.inf], ValueError, "the first inf"),
            ("of few scores", "scores", np.zeros(2), ValueError, r"= \(4,\), .* got \(2,\)"),
            ("of texts", "scores", ["a"] * 4, TypeError, "real numbers, got"),
            ("of ragged lists", "scores", [[1], [1, 2]], ValueError, "of different lengths"),
        ]
    },
    **{
        f"actions {name}": (
            lambda form=form, actions=actions: act_vectorized(form, actions),
            error,
            message,
        )
        for name, form, actions, error, message in [
            ("beyond the slates", "discrete", [0, 11, 12], IndexError, "0 to 11, got 0 to 12"),
            ("of fractions", "discrete", np.zeros(3), TypeError, "actions must be integers"),
            ("of two axes", "discrete", [[0]] * 3, ValueError, r"\(3,\), .* got \(3, 1\)"),
            ("of NaN", "scores", np.full((3, 4), np.nan), ValueError, "got 12 that are not"),
            ("of one user", "scores", np.zeros(4), ValueError, r"= \(3, 4\), .* got \(4,\)"),
        ]
    },
    "render mode": (
        lambda: gymnasium_env.RecSimGymnasiumEnv(make(), render_mode="rgb"),
        ValueError,
        "render_mode must be None or one of 'ansi', 'human', 'rgb_array', got 'rgb'. Did you mean "
        "'rgb_array'",
    ),
    "hidden state that nothing shows": (
        lambda: gymnasium.make("recsim/InterestEvolution-v0", render_hidden_state=True),
        ValueError,
        "render_hidden_state needs a render_mode, got None",
    ),
    "render before reset": (
        lambda: gymnasium_env.RecSimGymnasiumEnv(make(), render_mode="ansi").render(),
        RuntimeError,
        "render was called before reset",
    ),
    "render mode of users in parallel": (
        lambda: gymnasium.make_vec("recsim/InterestEvolution-v0", render_mode="ansi"),
        ValueError,
        'render_mode must be None for users in parallel.* vectorization_mode="sync"',
    ),
    "autoreset mode": (
        lambda: make_vector_env(autoreset_mode="next_stepp"),
        ValueError,
        "autoreset_mode must be one of NEXT_STEP, SAME_STEP, DISABLED, got 'next_stepp'. Did you "
        "mean 'NEXT_STEP'",
    ),
    "step of users whose episodes have ended": (
        lambda: reset_vectorized({"reset_mask": np.array([True, False, False])}, steps=2),
        RuntimeError,
        r"episodes of 2 users have ended: .* call reset\(options={'reset_mask'",
    ),
    **{
        f"options of a reset: {name}": (
            lambda options=options, more=more: reset_vectorized(options, **more),
            error,
            message,
        )
        for name, options, more, error, message in [
            ("an unknown one", {"mask": 1}, {}, ValueError, "'reset_mask' alone"),
            ("a list", {"reset_mask": [True] * 3}, {}, TypeError, "must be an array of bools"),
            ("integers", {"reset_mask": np.ones(3, int)}, {}, TypeError, "an array of bools"),
            ("another shape", {"reset_mask": np.ones(2, bool)}, {}, ValueError, r"= \(3,\)"),
            ("nobody", {"reset_mask": np.zeros(3, bool)}, {}, ValueError, "True for a user at"),
            ("with a seed", {"reset_mask": np.ones(3, bool)}, {"seed": 1}, ValueError, "seed must"),
            (
                "a mask in SAME_STEP",
                {"reset_mask": np.ones(3, bool)},
                {"mode": "SAME_STEP"},
                ValueError,
                "must be empty where autoreset_mode is SAME_STEP",
            ),
            (
                "a mask before the first reset",
                {"reset_mask": np.ones(3, bool)},
                {"first": False},
                RuntimeError,
                r"call reset\(\) first",
            ),
        ]
    },
    "document ID that is not a key": (
        lambda: random_scenarios.make(ids=lambda: itertools.cycle([[1], [2]])),
        TypeError,
        r"doc_id\(\) must return an ID that can be a dictionary's key.*got \[1\]",
    ),
    "document IDs of one string": (
        lambda: random_scenarios.make(ids=lambda: iter([1, "1", 2, 3] * 2)).reset(),
        ValueError,
        "must differ as strings.*got 1 and '1'",
    ),
    "text for Gymnasium's adapter": (
        lambda: gymnasium_env.RecSimGymnasiumEnv(
            random_scenarios.make(gymnasium.spaces.Dict(name=gymnasium.spaces.Text(3)))
        ),
        NotImplementedError,
        "got Text.*Use a MultiDiscrete space of the characters' numbers",
    ),
    "observation outside its space": (
        lambda: gymnasium_env.RecSimGymnasiumEnv(
            random_scenarios.make(spaces.Discrete(2, start=3), sample=lambda space: 2)
        ).reset(),
        ValueError,
        r"the user must lie within Discrete\(2, start=3\), got 2",
    ),
    # Distributions and matrices.
    "rows of affinities": (
        lambda: IEUsers(user_document_mean_affinity_matrix=((0.1, 0.7),)),
        ValueError,
        r"user_document_mean_affinity_matrix.*2 user types.*\(1, 2\)",
    ),
    "columns of deviations": (
        lambda: IEUsers(user_document_stddev_affinity_matrix=((0.1,), (0.1,))),
        ValueError,
        r"same shape.*\(2, 2\) and \(2, 1\)",
    ),
    "deviations negative": (
        lambda: IEUsers(user_document_stddev_affinity_matrix=((0.1, -0.1), (0.1, 0.1))),
        ValueError,
        "user_document_stddev_affinity_matrix must be >= 0",
    ),
    "qualities of topics": (
        lambda: IEDocuments(topic_quality_mean=(0.8,)),
        ValueError,
        "topic_quality_mean.*2 topics",
    ),
    "topics of users and documents": (
        lambda: make(
            topic_distribution=(0.5, 0.2, 0.3),
            topic_quality_mean=(0.0,) * 3,
            topic_quality_stddev=(0.1,) * 3,
        ),
        ValueError,
        "same topics.*2 columns.*3 entries",
    ),
    "user types' sum": (
        lambda: IEUsers(user_type_distribution=(0.3, 0.6)),
        ValueError,
        "user_type_distribution must sum to 1.*0.9",
    ),
    "topics' sum": (
        lambda: make(topic_distribution=(0.5, 0.6)),
        ValueError,
        "topic_distribution must sum to 1.*1.1",
    ),
    "topic probability negative": (
        lambda: make(topic_distribution=(1.5, -0.5)),
        ValueError,
        "topic_distribution must hold probabilities",
    ),
    "quality NaN": (
        lambda: make(topic_quality_mean=(float("nan"), 1.0)),
        ValueError,
        "topic_quality_mean must be finite",
    ),
    "affinity infinite": (
        lambda: IEUsers(user_document_mean_affinity_matrix=((0.1, np.inf), (0.1, 0.1))),
        ValueError,
        "user_document_mean_affinity_matrix must be finite",
    ),
    "sensitivity NaN": (
        lambda: long_term_satisfaction.create_environment({**CONFIG, "sensitivity": np.nan}),
        ValueError,
        "sensitivity must be a finite number",
    ),
    **{
        f"{name} {value} in long-term satisfaction": (
            lambda name=name, value=value: long_term_satisfaction.create_environment(
                {**CONFIG, name: value}
            ),
            error,
            rf"{name}.*{message}",
        )
        for name, value, error, message in (
            ("kale_mean", 1000, ValueError, "at most 709.*1000"),
            ("choc_stddev", 1e3, ValueError, "at most 709.*1000"),
            ("choc_stddev", "x", TypeError, "must be a number, got 'x'"),
            ("innovation_stddev", 1e308, ValueError, r"in \[0, 1e\+30\], got 1e\+308"),
            ("time_budget", np.nan, ValueError, "above 0, got nan"),
            ("time_budget", None, TypeError, "must be a number, got None"),
        )
    },
    "engagement that single precision cannot hold": (
        lambda: long_term_satisfaction.create_vector_environment({**CONFIG, "kale_mean": 200}, 3),
        ValueError,
        "kale_mean.*at most 88.*float32",
    ),
    "qualities that overflow": (
        lambda: make(topic_quality_mean=(0.0, 1e4)),
        ValueError,
        "topic_quality_mean.*at most 709",
    ),
    "qualities that single precision cannot hold": (
        lambda: interest_exploration.create_vector_environment(
            {**CONFIG, "topic_quality_mean": (0.0, 100.0)}, 3
        ),
        ValueError,
        "topic_quality_mean.*at most 88.*float32",
    ),
    "interest at which nothing changes": (
        lambda: interest_evolution.IEvUserModel(
            2, choice_model_ctor=proportional, alpha_x_intercept=0.0
        ),
        ValueError,
        "alpha_x_intercept must not be 0",
    ),
    "time budget negative": (
        lambda: long_term_satisfaction.create_environment({**CONFIG, "time_budget": -1}),
        ValueError,
        "time_budget.*above 0, got -1",
    ),
    "memory discount": (
        lambda: long_term_satisfaction.create_environment({**CONFIG, "memory_discount": 1.0}),
        ValueError,
        r"memory_discount must be in \[0, 1\), got 1.0",
    ),
    "innovation negative": (
        lambda: long_term_satisfaction.LTSStaticUserSampler(innovation_stddev=-0.1),
        ValueError,
        "innovation_stddev.*-0.1",
    ),
    # Runners.
    "steps an episode": (
        lambda: run("unused", max_steps_per_episode=0),
        ValueError,
        "max_steps_per_episode.*>= 1, got 0",
    ),
    "folder missing": (
        lambda: runner_lib.EvalRunner(base_dir=None, create_agent_fn=random_agent_of, env=make()),
        ValueError,
        "base_dir",
    ),
    "gin name": (
        lambda: runner_lib.load_gin_configs([], ["runner_lib.Runnner.max_steps_per_episode = 3"]),
        ValueError,
        "Did you mean 'runner_lib.Runner'",
    ),
    "training too short for an update": (
        lambda: agent_run.AgentRun(
            "interest_evolution", "full_slate_q", tempfile.mkdtemp(), train_steps=4
        ),
        ValueError,
        "4 steps is too short for full_slate_q, which makes no update in its first 4: ask for more",
    ),
    "gin binding without effect": (
        lambda: binding_without_effect("LTSStaticUserSampler.time_budget", 3),
        ValueError,
        "LTSStaticUserSampler.time_budget' has no effect: no LTSStaticUserSampler is made",
    ),
    "gin binding of an argument that is given": (
        lambda: binding_without_effect("IETopicDocumentSampler.seed", 3),
        ValueError,
        "'IETopicDocumentSampler.seed' has no effect: what is run gives IETopicDocumentSampler",
    ),
    "listeners no list": (
        lambda: run(tempfile.mkdtemp(), listeners=rollout.OnStep(print)),
        TypeError,
        "listeners must be a list of Listener, got",
    ),
    "listener a class": (
        lambda: run(tempfile.mkdtemp(), listeners=[rollout.Metrics]),
        TypeError,
        "Metrics.*has no instance: derive it from recsim.simulator.rollout.Listener and pass an",
    ),
    "listener of the other engine": (
        lambda: run(tempfile.mkdtemp(), listeners=[rollout.EpisodeTotals(3)]),
        TypeError,
        "must be of the kind Listener in this environment.*which has no on_episode_end",
    ),
    "listener a function": (
        lambda: run(tempfile.mkdtemp(), listeners=[print]),
        TypeError,
        "got <.*print.*>, which has no on_reset, on_step",
    ),
    "gin parameter": (
        lambda: runner_lib.load_gin_configs([], ["runner_lib.Runner.max_step_per_episode = 3"]),
        ValueError,
        "Did you mean 'max_steps_per_episode'",
    ),
}


def enumerating(settings=None, **changes):
    env = make(**changes)
    return tabular_q_agent.TabularQAgent(env.observation_space, env.action_space, **settings or {})


# What no machine has the memory for.
TABLE.update(
    {
        "candidates for which there is no memory": (
            lambda: make(num_candidates=10**15),
            MemoryError,
            "1e.15 candidates .* need at least .* of memory, and there are .*: choose fewer",
        ),
        "candidates of users in parallel for which there is no memory": (
            lambda: make_vector(num_candidates=10**15),
            MemoryError,
            "3 users with 1e.15 candidates .* need at least .* of memory",
        ),
        "users in parallel for whom there is no memory": (
            lambda: interest_exploration.create_vector_environment(CONFIG, 10**15),
            MemoryError,
            "1e.15 users with 4 candidates .* need at least .* of memory",
        ),
        "slates that cannot be enumerated": (
            lambda: enumerating({"max_num_slates": 10**15}, num_candidates=60, slate_size=12),
            MemoryError,
            "slates of 12 out of 60 candidates.* need at least .* of memory.*choose fewer",
        ),
        "slates that take seconds in each step": (
            lambda: enumerating(num_candidates=300, slate_size=3),
            ValueError,
            "300 candidates make 4,455,100 slates of 3, which is more than max_num_slates=1000000",
        ),
        "ordered slates that take seconds in each step": (
            lambda: enumerating({"ordinal_slates": True}, num_candidates=102, slate_size=3),
            ValueError,
            "102 candidates make 1,030,200 slates of 3, which is more than max_num_slates",
        ),
        "no slates": (
            lambda: enumerating({"max_num_slates": 0}),
            ValueError,
            "max_num_slates must be an integer >= 1, got 0",
        ),
    }
)

# States that are restored.
TABLE.update(
    {
        "state that is a number": (
            lambda: make().load_state_dict(5),
            TypeError,
            "state must be a d",
        ),
        "empty state": (
            lambda: make().load_state_dict({}),
            ValueError,
            "state does not fit.*one without",
        ),
        "empty state of users in parallel": (
            lambda: make_vector().load_state_dict({}),
            ValueError,
            "state must be what state_dict returned, got one without 'chunks'",
        ),
        "state of users in parallel for one": (
            lambda: make().load_state_dict(make_vector().state_dict()),
            ValueError,
            "engine was vector and is single_user",
        ),
        "state of another scenario": (
            lambda: make().load_state_dict(make(num_candidates=7).state_dict()),
            ValueError,
            "num candidates was 7 and is 4",
        ),
        "empty state of a generator": (
            lambda: seeding.restore_generator(np.random.RandomState(1), {}),
            TypeError,
            "A generator's state must be a dictionary, got {}",
        ),
        "state of a generator that is nowhere": (
            lambda: seeding.restore_generator(np.random.RandomState(1), state_at(10**9)),
            ValueError,
            r"MT19937's pos must be in \[0, 624\], got 1000000000",
        ),
    }
)


@pytest.mark.parametrize("row", TABLE)
def test_bad_input(row):
    action, error, message = TABLE[row]
    with pytest.raises(error, match=f"(?s){message}"):
        action()


def test_unknown_config_keys_are_only_warned_of():
    with pytest.warns(UserWarning, match="'num_candidate'.*'num_candidates'") as warned:
        interest_exploration.create_environment(config(num_candidate=3))
    assert warned[0].filename == __file__
    make()


def test_a_refused_slate_changes_nothing():
    env, second = make(), make()
    for each in (env, second):
        each.reset()
    with pytest.raises(IndexError):
        env.step([0, 9])
    assert [env.step([0, 1])[1] for _ in range(20)] == [second.step([0, 1])[1] for _ in range(20)]
