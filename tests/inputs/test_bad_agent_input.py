"""Bad input of choice models, bandits and agents: each row is refused by an error that names it."""

import functools

import numpy as np
import pytest
from support import random_scenarios
from support.scenarios import CONFIG, config, make_vector_env, spaces_of
from support.scenarios import make_env as make

from recsim import choice_model, registry, user
from recsim._internal.gym_import import spaces
from recsim.agents import (
    cluster_bandit_agent,
    full_slate_q_agent,
    greedy_pctr_agent,
    ppo_agent,
    random_agent,
    reinforce_agent,
    sac_topk_agent,
    slate_decomp_q_agent,
    tabular_q_agent,
    wolpertinger_agent,
)
from recsim.agents.bandits import algorithms, glm_algorithms
from recsim.agents.layers import abstract_click_bandit, cluster_click_statistics, recent_slates
from recsim.environments import interest_evolution, long_term_satisfaction
from recsim.ope import comparison, simulated


def make_vector(**changes):
    return make_vector_env(env_config=config(**changes))


def vector_step(**changes):
    env = make_vector()
    agent = random_agent.VectorRandomAgent(env)
    outcome = env.step(agent.begin(env.reset(seed=0)[0]))
    names = ("observation", "rewards", "terminated", "truncated", "infos")
    agent.step(**{**dict(zip(names, outcome, strict=True)), **changes})


def step(slate, env=None):
    env = env or make()
    env.reset()
    env.step(slate)


class ScoresAreDocuments(user.AbstractUserState):
    def score_document(self, doc_obs):
        return doc_obs

    create_observation = observation_space = None


def choose(model, features, scores):
    chooser = model(features)
    chooser.score_documents(ScoresAreDocuments(), scores)
    chooser.choose_item()


def click_statistics(response_space):
    space = spaces.Dict({**make().observation_space.spaces, "response": response_space})
    cluster_click_statistics.ClusterClickStatsLayer(
        cluster_bandit_agent.ClusterBanditAgent, space, make().action_space
    )


def responses_with(*keys):
    entries = make().observation_space["response"][0].spaces
    return spaces.Tuple((spaces.Dict({key: entries[key] for key in keys}),) * 2)


def one_armed_layer():
    env = make()
    layer = cluster_click_statistics.ClusterClickStatsLayer(
        lambda **kwargs: abstract_click_bandit.AbstractClickBanditLayer(
            arm_base_agent_ctors=[cluster_bandit_agent.GreedyClusterAgent], **kwargs
        ),
        env.observation_space,
        env.action_space,
    )
    return layer


def tabular_step(reward):
    env = make()
    agent = tabular_q_agent.TabularQAgent(env.observation_space, env.action_space)
    observation = env.reset()
    agent.begin_episode(observation)
    agent.step(reward, observation)


def without(key):
    return {name: value for name, value in CONFIG.items() if name != key}


logit = choice_model.MultinomialLogitChoiceModel
proportional = choice_model.MultinomialProportionalChoiceModel
exponential_cascade = choice_model.ExponentialCascadeChoiceModel
proportional_cascade = choice_model.ProportionalCascadeChoiceModel


# What is done, the type of the error, and what its message says, by the name of the row.
def propensities_of(logging, evaluated):
    """Logs an agent, and asks another how likely it would show the same."""
    config = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}
    simulated.collect(
        functools.partial(registry.create_vector_environment, "interest_evolution", config),
        functools.partial(registry.create_vector_agent, logging),
        {"evaluated": functools.partial(registry.create_vector_agent, evaluated)},
        num_users=1,
    )


def of_kind(agent_class, **arguments):
    """Makes an agent of either engine."""
    if agent_class.__name__.startswith("Vector"):
        return agent_class(make_vector(), **arguments)
    return agent_class(**spaces_of(make()), **arguments)


def learn(name, *, vector=False, responses=None, **changes):
    """Lets an agent learn from a slate whose responses are other ones."""
    # Documents of the one have topics, responses of the other have times.
    scenario = "interest_exploration" if name.startswith("cluster") else "interest_evolution"
    env = make_vector_env(scenario) if vector else make(scenario)
    agent = (registry.create_vector_agent if vector else registry.create_agent)(name, env)
    if vector:
        observation, *rest = env.step(agent.begin(env.reset(seed=0)[0]))
        of_slate = {key: value.copy() for key, value in observation["response"].items()}
        for key, value in changes.items():
            of_slate[key][0, 1] = value
        agent.step({**observation, "response": of_slate}, *rest)
    else:
        observation, reward, _, _ = env.step(agent.begin_episode(env.reset()))
        of_slate = [dict(response) for response in observation["response"]]
        of_slate[1].update(changes)
        if responses is not None:
            of_slate = responses(of_slate)
        agent.step(reward, {**observation, "response": tuple(of_slate)})


LEARNERS = (
    "lin_ucb",
    "logistic_ts",
    "reinforce",
    "slate_optimal_optimal_q",
    "ppo+recent2",
    "cluster_bandit_ucb1",
)


def without_memory(**_):
    raise MemoryError("no memory for the base agent.")


TABLE = {
    **{
        f"greedy_eval={value!r} of {agent_class.__name__}": (
            functools.partial(of_kind, agent_class, greedy_eval=value),
            TypeError,
            "greedy_eval must be True or False, got",
        )
        for agent_class in (
            ppo_agent.PPOAgent,
            ppo_agent.VectorPPOAgent,
            reinforce_agent.ReinforceAgent,
            reinforce_agent.VectorReinforceAgent,
            sac_topk_agent.SACTopKAgent,
            sac_topk_agent.VectorSACTopKAgent,
            wolpertinger_agent.WolpertingerAgent,
            wolpertinger_agent.VectorWolpertingerAgent,
        )
        for value in ("False", None, float("nan"), 1.5, 2)
    },
    **{
        f"{name} beyond memory": (
            functools.partial(registry.create_agent, name, make()),
            MemoryError,
            "9,999,999,999 slates.* choose fewer slates",
        )
        for name in ("ppo+recent9999999999", "lin_ucb+recent9999999999", "ppo+gru9999999999")
    },
    "vectorized, recent slates beyond memory": (
        lambda: registry.create_vector_agent(
            "lin_ucb+recent99999999", make_vector_env(num_envs=1000)
        ),
        MemoryError,
        "99,999,999 slates.* choose fewer slates",
    ),
    "a base agent of recent slates beyond memory": (
        lambda: recent_slates.RecentSlatesLayer(without_memory, **spaces_of(make())),
        MemoryError,
        r"With the last 5 slates \(num_slates\), of which fewer need less memory: no memory for",
    ),
    **{
        f"{name} with the click {click}{', vectorized' * vector}": (
            functools.partial(learn, name, vector=vector, click=click),
            ValueError,
            "click must be 0 or 1, got",
        )
        for name in LEARNERS
        for click in (2, -1)
        for vector in (False, True)
    },
    **{
        f"{name} with a response without a click": (
            functools.partial(learn, name, responses=lambda of_slate: [of_slate[0], {}]),
            ValueError,
            "a response must have the key 'click', got {}",
        )
        for name in LEARNERS
    },
    **{
        f"{name} with one response to two documents": (
            functools.partial(learn, name, responses=lambda of_slate: of_slate[:1]),
            ValueError,
            "must have a response to each of the 2 documents of the slate",
        )
        # Cluster bandits, as RecSim's, count the responses that there are.
        for name in LEARNERS[:-1]
    },
    "a value of no click that is a word": (
        lambda: of_kind(
            slate_decomp_q_agent.SlateDecompQAgent, sess=None, learn_no_click_value="no"
        ),
        TypeError,
        "learn_no_click_value must be True or False, got 'no'",
    ),
    "an evaluation that is a word": (
        lambda: of_kind(slate_decomp_q_agent.SlateDecompQAgent, sess=None, eval_mode="no"),
        TypeError,
        "eval_mode must be True or False, got 'no'",
    ),
    # Choice models.
    "scores NaN": (lambda: choose(logit, {}, [np.nan, 1.0]), ValueError, "give a distribution"),
    "scores infinite": (
        lambda: choose(logit, {}, [np.inf, 1.0]),
        ValueError,
        "give a distribution",
    ),
    "weights all zero": (
        lambda: choose(proportional, {"min_normalizer": 0.0}, [0.0, 0.0]),
        ValueError,
        "give a distribution.*positive sum",
    ),
    "score below the normalizer": (
        lambda: choose(proportional, {"min_normalizer": -1.0}, [-2.0, 1.0]),
        ValueError,
        "min_normalizer",
    ),
    "score below the normalizer, array": (
        lambda: choice_model.multinomial_proportional_probabilities([-2.0, 1.0], 0.0, -1.0),
        ValueError,
        "at least min_normalizer.*-2.0",
    ),
    "cascade score below the normalizer": (
        lambda: choose(
            proportional_cascade, {"min_normalizer": -1.0, "score_scaling": 0.1}, [-2.0]
        ),
        ValueError,
        "at least min_normalizer.*-2.0",
    ),
    "choice before scores": (
        lambda: logit({}).choose_item(),
        RuntimeError,
        "call score_documents",
    ),
    "attention above one": (
        lambda: exponential_cascade({"attention_prob": 1.2, "score_scaling": 0.1}),
        ValueError,
        r"attention_prob.*\[0, 1\], got 1.2",
    ),
    "attention negative": (
        lambda: exponential_cascade({"attention_prob": -0.1, "score_scaling": 0.1}),
        ValueError,
        r"attention_prob.*\[0, 1\], got -0.1",
    ),
    "attention of an array above one": (
        lambda: choice_model.cascade_probabilities([[0.5, 0.5]], attention_prob=[2.0]),
        ValueError,
        r"attention_prob must be in \[0, 1\], got \[2.0\]",
    ),
    "attention NaN": (
        lambda: choice_model.cascade_probabilities([0.5, 0.5], attention_prob=np.nan),
        ValueError,
        "attention_prob must be in",
    ),
    "nothing to choose from": (
        lambda: choice_model.sample_choice([], 0.5),
        ValueError,
        "give a distribution",
    ),
    "score scaling missing": (
        lambda: exponential_cascade({"attention_prob": 0.5}),
        ValueError,
        "number for 'score_scaling'",
    ),
    "score scaling negative": (
        lambda: exponential_cascade({"score_scaling": -1.0}),
        ValueError,
        "score_scaling.*>= 0, got -1.0",
    ),
    "score scaling too large": (
        lambda: choose(exponential_cascade, {"score_scaling": 0.5}, [1.0]),
        ValueError,
        "smaller score_scaling",
    ),
    "normalizer missing": (lambda: proportional({}), ValueError, "number for 'min_normalizer'"),
    "choice model missing": (
        lambda: interest_evolution.IEvUserModel(2),
        ValueError,
        "choice_model_ctor must be a class",
    ),
    "response class missing": (
        lambda: long_term_satisfaction.LTSUserModel(2),
        TypeError,
        "response_model_ctor must be a class",
    ),
    "features of another shape": (
        lambda: interest_evolution.IEvUserState(np.zeros(3)).score_document(np.zeros(4)),
        ValueError,
        r"\(3,\), got \(4,\)",
    ),
    # Agents.
    "responses without cluster_id": (
        lambda: click_statistics(responses_with("click", "quality")),
        ValueError,
        "cluster_id",
    ),
    "responses without click": (
        lambda: click_statistics(responses_with("cluster_id", "quality")),
        ValueError,
        "click",
    ),
    "bandit with one arm": (lambda: algorithms.UCB1(1, {}), ValueError, "num_arms.*2"),
    "optimism negative": (
        lambda: algorithms.UCB1(2, {"optimism_scaling": -1.0}),
        ValueError,
        "optimism_scaling.*>= 0, got -1.0",
    ),
    "layer with one arm": (one_armed_layer, ValueError, "arms.*2"),
    "reward of a bandit": (
        lambda: algorithms.UCB1(2, {}).update(0, 1.5),
        ValueError,
        r"reward.*\[0, 1\].*1.5",
    ),
    "agent without an action space": (
        lambda: random_agent.RandomAgent(spaces.Discrete(3)),
        TypeError,
        "action_space must be a MultiDiscrete",
    ),
    "greedy slate above documents": (
        lambda: greedy_pctr_agent.GreedyPCTRAgent(
            make(slate_size=4).action_space, ScoresAreDocuments()
        ).step(0.0, {"doc": {"0": 1.0, "1": 2.0}}),
        ValueError,
        "4.*2",
    ),
    "arm None": (
        lambda: algorithms.UCB1(2, {}).update(None, 1),
        TypeError,
        "arm must be an integer.*None",
    ),
    "arm a bool": (lambda: algorithms.UCB1(2, {}).update(True, 1), TypeError, "arm.*bool True"),
    "arm negative": (lambda: algorithms.UCB1(2, {}).update(-1, 1), ValueError, "arm.*0 to 1.*-1"),
    "arm an empty list": (lambda: algorithms.KLUCB(2, {}).update([], 1), TypeError, r"arm.*\[\]"),
    "arm too large": (
        lambda: algorithms.ThompsonSampling(2, {}).update(2, 0.5),
        ValueError,
        "arm must be in 0 to 1, got 2",
    ),
    "pulls NaN": (
        lambda: algorithms.UCB1(2, {}).set_state([np.nan, 1], [0, 0]),
        ValueError,
        "pulls and reward must be finite.*nan",
    ),
    "pulls negative": (
        lambda: algorithms.UCB1(2, {}).set_state([-1, 1], [0, 0]),
        ValueError,
        "pulls and reward must be finite.*-1",
    ),
    "rewards above pulls": (
        lambda: algorithms.UCB1(2, {}).set_state([1, 1], [2, 0]),
        ValueError,
        "summed rewards from 0 to its pulls",
    ),
    "rewards above pulls, array": (
        lambda: algorithms.kl_ucb_index([1, 1], [5, 0], 3),
        ValueError,
        "summed rewards from 0 to its pulls",
    ),
    "round NaN": (
        lambda: algorithms.ucb1_index([1, 1], [1, 0], np.nan),
        ValueError,
        "t must be a finite number, got nan",
    ),
    "optimism too large": (
        lambda: algorithms.UCB1(2, {"optimism_scaling": 1e308}),
        ValueError,
        r"optimism_scaling.*at most 1e\+100.*1e\+308",
    ),
    "optimism too small for a posterior": (
        lambda: algorithms.ThompsonSampling(2, {"optimism_scaling": 1e-200}),
        ValueError,
        "optimism_scaling.*>= 1e-06, got 1e-200",
    ),
    **{
        f"reward {reward} of {bandit.__name__}": (
            lambda bandit=bandit, reward=reward: bandit(2, 9).update(reward, [1.0, 0.0]),
            ValueError,
            rf"reward.*\[0, 1\], got {reward}",
        )
        for bandit in (lambda dim, _: glm_algorithms.GLM_TS(dim), glm_algorithms.UCB_GLM)
        for reward in (np.nan, 7.0, -3.0)
    },
    "features NaN": (
        lambda: glm_algorithms.GLM_TS(2).update(1, [np.nan, 0.0]),
        ValueError,
        "arm must be finite",
    ),
    "deviation of the prior too small": (
        lambda: glm_algorithms.GLM_TS(2, sigma0=1e-200),
        ValueError,
        "sigma0 must be above 0.*1e-200",
    ),
    "uniform number NaN": (
        lambda: choice_model.sample_choice([1.0, 1.0], np.nan),
        ValueError,
        r"uniform must be numbers in \[0, 1\), got nan",
    ),
    "uniform number too large": (
        lambda: choice_model.sample_choice([1.0, 1.0], 2.0),
        ValueError,
        r"uniform must be numbers in \[0, 1\), got 2.0",
    ),
    "uniform numbers negative": (
        lambda: choice_model.sample_choice(np.ones((2, 3)), [0.5, -1.0]),
        ValueError,
        r"uniform must be numbers in \[0, 1\)",
    ),
    "scores of two dimensions": (
        lambda: choose(logit, {}, [[1.0, 2.0], [3.0, 4.0]]),
        ValueError,
        r"scores of documents must have one number for each.*\(2, 2\)",
    ),
    "round that is not a number": (
        lambda: algorithms.ThompsonSampling(2, {}).get_arm("x"),
        TypeError,
        "t must be numbers, got 'x'",
    ),
    "agent in a vector environment of flat observations": (
        lambda: random_agent.VectorRandomAgent(make_vector_env(observation="flat")),
        TypeError,
        "as it is with observation='nested', got Box",
    ),
    "agent in a vector environment of scores": (
        lambda: random_agent.VectorRandomAgent(make_vector_env(action="scores")),
        TypeError,
        "MultiDiscrete space of slates, as it is with action='slate', got",
    ),
    "rewards of other users": (
        lambda: vector_step(rewards=np.ones(2)),
        ValueError,
        "rewards must be a number for each of the 3 users, got 2",
    ),
    "complex rewards": (
        lambda: vector_step(rewards=np.full(3, 1j)),
        TypeError,
        "rewards must be numbers",
    ),
    "ends that are integers": (
        lambda: vector_step(terminated=np.zeros(3, int)),
        TypeError,
        "terminated must be a bool for each of the 3 users",
    ),
    "responses without names": (
        lambda: cluster_click_statistics.ClusterClickStatsLayer(
            random_agent.RandomAgent,
            random_scenarios.make(response_space=spaces.Discrete(2)).observation_space,
            spaces.MultiDiscrete([4, 4]),
        ),
        ValueError,
        r"observation_space\['response'\] holds must be Dict spaces.*got Discrete",
    ),
    **{
        f"{number!r} recent slates": (
            lambda number=number: recent_slates.RecentSlatesLayer(
                random_agent.RandomAgent,
                random_scenarios.make().observation_space,
                spaces.MultiDiscrete([4, 4]),
                num_slates=number,
            ),
            error,
            "num_slates",
        )
        for number, error in ((0, ValueError), (2.5, TypeError), ("2", TypeError))
    },
    "recent slates without clicks": (
        lambda: recent_slates.RecentSlatesLayer(
            random_agent.RandomAgent,
            random_scenarios.make(
                response_space=spaces.Dict({"liked": spaces.Discrete(2)})
            ).observation_space,
            spaces.MultiDiscrete([4, 4]),
        ),
        ValueError,
        r"must have the key 'click'.*got responses with \['liked'\]",
    ),
    "recent slates of an agent that does not learn": (
        lambda: registry.agent_entry("random+recent2"),
        ValueError,
        r"\+recent2 is for agents that learn",
    ),
    "a recurrent state of an agent that cannot have one": (
        lambda: registry.agent_entry("lin_ucb+gru2"),
        ValueError,
        r"\+gru2 is for agents whose networks can have a recurrent state",
    ),
    "a recurrent state without recent slates": (
        lambda: full_slate_q_agent.VectorFullSlateQAgent(make_vector(), recurrent_units=4),
        ValueError,
        "recurrent_units=4 needs an observation with the rows of recent slates",
    ),
    **{
        f"propensities of {name}": (
            lambda roles=roles: propensities_of(*roles),
            ValueError,
            message,
        )
        for name, roles, message in (
            (
                "wolpertinger",
                ("wolpertinger", "random"),
                "VectorWolpertingerAgent does not know its probabilities: take one that does, such "
                "as random",
            ),
            (
                "sac_topk evaluated",
                ("random", "sac_topk"),
                "evaluated.*VectorSACTopKAgent does not know its probabilities: take one",
            ),
            (
                "wolpertinger below a layer",
                ("wolpertinger+recent2", "random"),
                "VectorRecentSlatesLayer does not know.*a layer a base agent that knows its own",
            ),
            (
                "lin_ts",
                ("lin_ts", "random"),
                "VectorContextualBanditAgent does not know.*needs propensity_samples",
            ),
        )
    },
    "propensities for recsim ope of wolpertinger": (
        lambda: comparison.compare(
            comparison.Settings(
                environment="interest_evolution",
                logging_agent="random",
                evaluation_agents=("wolpertinger",),
                num_users=2,
                true_users=2,
            )
        ),
        ValueError,
        "The agent 'wolpertinger' learns, and has not: log and evaluate a trained one",
    ),
    "softmax of infinity": (
        lambda: choice_model.softmax([np.inf, 1.0]),
        ValueError,
        "vector must have no NaN and no plus infinity",
    ),
    **{
        f"{select.__name__} {name}": (
            lambda select=select, arguments=arguments: select(*arguments),
            ValueError,
            message,
        )
        for select in (
            slate_decomp_q_agent.select_slate_topk,
            slate_decomp_q_agent.select_slate_greedy,
            slate_decomp_q_agent.select_slate_optimal,
        )
        for name, arguments, message in (
            ("weight negative", (1, 1.0, [-1.0, 1.0], [1.0, 1.0]), "s must be choice weights"),
            ("weight NaN", (1, 1.0, [np.nan, 1.0], [1.0, 1.0]), "s must be choice weights"),
            ("mass negative", (1, -5.0, [1.0, 1.0], [1.0, 1.0]), "s_no_click must be choice"),
            ("value NaN", (1, 1.0, [1.0, 1.0], [np.nan, 1.0]), "q must be finite"),
        )
    },
    "topic a string": (
        lambda: cluster_bandit_agent.GreedyClusterAgent(None, make().action_space, cluster_id="x"),
        TypeError,
        "cluster_id must be an integer.*'x'",
    ),
    "tabular agent's reward NaN": (lambda: tabular_step(np.nan), ValueError, "reward.*finite.*nan"),
    "tabular agent's rewards": (lambda: tabular_step([1.0, 2.0]), ValueError, "reward.*one number"),
}


@pytest.mark.parametrize("row", TABLE)
def test_bad_agent_input(row):
    action, error, message = TABLE[row]
    with pytest.raises(error, match=f"(?s){message}"):
        action()
