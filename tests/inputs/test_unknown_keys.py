"""Misspelled keys: errors in what this library invented, warnings in RecSim's dictionaries."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import pytest
from support.scenarios import CONFIG

from recsim import choice_model, registry
from recsim.agents import (
    cluster_bandit_agent,
    full_slate_q_agent,
    random_agent,
    slate_decomp_q_agent,
    tabular_q_agent,
)
from recsim.agents.bandits import algorithms
from recsim.agents.layers import (
    cluster_click_statistics,
    fixed_length_history,
    temporal_aggregation,
)

IDS = {name: str(entry.gymnasium_id) for name, entry in registry.ENVIRONMENTS.items()}
BANDITS = (algorithms.UCB1, algorithms.KLUCB, algorithms.ThompsonSampling)
FEATURES = {
    "attention_prob": 0.5,
    "min_normalizer": -1.0,
    "no_click_mass": 1.0,
    "score_scaling": 0.05,
}
CHOICE_MODELS = (
    choice_model.MultinomialLogitChoiceModel,
    choice_model.MultinomialProportionalChoiceModel,
    choice_model.ExponentialCascadeChoiceModel,
    choice_model.ProportionalCascadeChoiceModel,
)


def spaces_of(name: str = "interest_exploration") -> tuple[Any, Any]:
    env = registry.create_environment(name, CONFIG)
    return env.observation_space, env.action_space


class MyLogit(choice_model.MultinomialLogitChoiceModel):
    """A model of a user's own, which reads a key of its own."""

    def __init__(self, choice_features: Any) -> None:
        super().__init__(choice_features)
        self.temperature = choice_features.get("temperature", 1.0)


class MyBandit(algorithms.UCB1):
    """A bandit of a user's own, with an attribute that only params sets."""

    epsilon: float


WARNED: dict[str, tuple[Callable[[], Any], str]] = {
    **{
        f"config of {name}": (
            lambda name=name: registry.create_environment(name, {**CONFIG, "slatesize": 3}),
            "env_config has the key 'slatesize'.*'slate_size'",
        )
        for name in IDS
    },
    **{
        f"config of {name}, vectorized": (
            lambda name=name: registry.create_vector_environment(
                name, {**CONFIG, "resample_document": 3}, 2
            ),
            "env_config has the key 'resample_document'.*'resample_documents'",
        )
        for name in IDS
    },
    "config of the users": (
        lambda: registry.create_environment("long_term_satisfaction", {**CONFIG, "time_budgt": 3}),
        "'time_budgt'.*'time_budget'",
    ),
    **{
        f"params of {bandit.__name__}": (
            lambda bandit=bandit: bandit(2, {"optimism_scale": 0.5}),
            "params has the key 'optimism_scale'.*'optimism_scaling'",
        )
        for bandit in (*BANDITS, MyBandit)
    },
    **{
        f"features of {model.__name__}": (
            lambda model=model: model({**FEATURES, "no_click_maas": 5}),
            "choice_features has the key 'no_click_maas'.*'no_click_mass'",
        )
        for model in (*CHOICE_MODELS, MyLogit)
    },
    "TabularQAgent": (
        lambda: tabular_q_agent.TabularQAgent(*spaces_of(), gama=0.5),
        "TabularQAgent.*'gama'.*'gamma'",
    ),
    "GreedyClusterAgent": (
        lambda: cluster_bandit_agent.GreedyClusterAgent(*spaces_of(), cluster_id=0, ci_scale=1.0),
        "The arguments of GreedyClusterAgent have the key 'ci_scale'.*'ci_scaling'",
    ),
    "GreedyClusterAgent, with nothing near": (
        lambda: cluster_bandit_agent.GreedyClusterAgent(*spaces_of(), cluster_id=0, lerning_rate=3),
        r"have the key 'lerning_rate', which nothing reads\.$",
    ),
    "an arm of ClusterBanditAgent": (
        lambda: cluster_click_statistics.ClusterClickStatsLayer(
            cluster_bandit_agent.ClusterBanditAgent, *spaces_of(), ci_scale=0.1
        ),
        "'ci_scale'.*'ci_scaling'",
    ),
    "a layer's own parameter, taken by the base agent": (
        lambda: fixed_length_history.FixedLengthHistoryLayer(
            lambda **_: None, *spaces_of(), history_length=2, remember_docs=True
        ),
        "FixedLengthHistoryLayer passes on has the key 'remember_docs'.*'remember_doc'",
    ),
}


@pytest.mark.parametrize("row", WARNED)
def test_unknown_keys_of_recsims_dictionaries_are_warned_of(row: str) -> None:
    make, message = WARNED[row]
    with pytest.warns(UserWarning, match=message) as warned:
        make()
    assert {warning.filename for warning in warned} == {__file__}


def test_a_warning_is_shown_once_for_each_place() -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        for _ in range(3):
            algorithms.UCB1(2, {"optimism_scale": 0.5})
        algorithms.UCB1(2, {"optimism_scale": 0.5})
    assert len(warned) == 2


def test_what_recsim_passes_is_not_warned_of() -> None:
    # The suite turns warnings into errors.
    for model in CHOICE_MODELS:
        model(FEATURES)
    MyLogit({"temperature": 2.0})
    MyBandit(2, {"epsilon": 0.1})
    algorithms.KLUCB(2, {"optimism_scaling": 0.5, "c": 0.0})
    tabular_q_agent.TabularQAgent(*spaces_of(), eval_mode=True, sess=None, summary_writer=None)
    cluster_click_statistics.ClusterClickStatsLayer(
        cluster_bandit_agent.ClusterBanditAgent, *spaces_of(), eval_mode=True, summary_writer=None
    )
    temporal_aggregation.TemporalAggregationLayer(
        full_slate_q_agent.FullSlateQAgent,
        *spaces_of("long_term_satisfaction"),
        gamma=0.9,
        sess=None,
        target_update_period=3,
        update_period=5,
        eval_mode=True,
    )


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    **{
        f"gymnasium.make, {name}": (
            lambda env_id=env_id: gymnasium.make(env_id, slatesize=3),
            "no parameter 'slatesize'. Did you mean 'slate_size'",
        )
        for name, env_id in IDS.items()
    },
    **{
        f"gymnasium.make_vec, {name}": (
            lambda env_id=env_id: gymnasium.make_vec(env_id, num_envs=2, candidate="step"),
            "no parameter 'candidate'. Did you mean 'candidates'",
        )
        for name, env_id in IDS.items()
    },
    "gymnasium.make, a parameter of the scenario": (
        lambda: gymnasium.make(IDS["long_term_satisfaction"], kale_men=3.0),
        "'kale_men'. Did you mean 'kale_mean'",
    ),
    "gymnasium.make, an option": (
        lambda: gymnasium.make(IDS["interest_evolution"], observations="flat"),
        "'observations'. Did you mean 'observation'",
    ),
    "gymnasium.make_vec, an option": (
        lambda: gymnasium.make_vec(IDS["interest_evolution"], autoreset="NEXT_STEP"),
        "'autoreset'. Did you mean 'autoreset_mode'",
    ),
    **{
        f"vector environment of {name}": (
            lambda name=name: registry.create_vector_environment(
                name, CONFIG, 2, max_step_per_episode=3
            ),
            "'max_step_per_episode'. Did you mean 'max_steps_per_episode'",
        )
        for name in IDS
    },
    "a size as an option of a vector environment": (
        lambda: registry.create_vector_environment("interest_evolution", CONFIG, 2, slate_size=3),
        "create_vector_environment has no parameter 'slate_size'",
    ),
    "FullSlateQAgent": (
        lambda: full_slate_q_agent.FullSlateQAgent(None, *spaces_of(), batchsize=3),
        "FullSlateQAgent has no parameter 'batchsize'. Did you mean 'batch_size'",
    ),
    "SlateDecompQAgent, a parameter of its own": (
        lambda: slate_decomp_q_agent.SlateDecompQAgent(None, *spaces_of(), no_click_maas=3),
        "SlateDecompQAgent has no parameter 'no_click_maas'. Did you mean 'no_click_mass'",
    ),
    "VectorFullSlateQAgent": (
        lambda: full_slate_q_agent.VectorFullSlateQAgent(
            registry.create_vector_environment("interest_evolution", CONFIG, 2), batchsize=3
        ),
        "'batchsize'. Did you mean 'batch_size'",
    ),
    "the base agent of a layer": (
        lambda: fixed_length_history.FixedLengthHistoryLayer(
            random_agent.RandomAgent, *spaces_of(), history_length=2, randomseed=3
        ),
        "RandomAgent has no parameter 'randomseed'. Did you mean 'random_seed'",
    ),
    "the base agent of a vector layer": (
        lambda: cluster_click_statistics.VectorClusterClickStatsLayer(
            cluster_bandit_agent.VectorClusterBanditAgent,
            registry.create_vector_environment("interest_exploration", CONFIG, 2),
            ci_scale=0.1,
        ),
        "VectorClusterBanditAgent has no parameter 'ci_scale'. Did you mean 'ci_scaling'",
    ),
    "a parameter of the layer": (
        lambda: fixed_length_history.FixedLengthHistoryLayer(
            random_agent.RandomAgent, *spaces_of(), history_length=2, remember_docs=True
        ),
        "'remember_docs'. Did you mean 'remember_doc'",
    ),
}


@pytest.mark.parametrize("row", REFUSED)
def test_unknown_keys_of_this_library_are_refused(row: str) -> None:
    make, message = REFUSED[row]
    with pytest.raises(TypeError, match=message):
        make()


def test_options_of_a_reset_are_refused() -> None:
    for env in (
        gymnasium.make(IDS["interest_evolution"]),
        gymnasium.make_vec(IDS["interest_evolution"], num_envs=2),
    ):
        with pytest.raises(ValueError, match=r"options must be empty.*\{'sed': 3\}"):
            env.reset(options={"sed": 3})
