"""Variants of scenarios by their ids in Gymnasium, wherever an environment is named."""

from __future__ import annotations

import numpy as np
import pytest

import recsim
from recsim import registry
from recsim.benchmarks import throughput
from recsim.cli import main
from recsim.environments import topic_boredom
from recsim.experiments import experiment
from recsim.ope import comparison

RERANK = "recsim/TopicBoredom-RerankBored-v0"


@pytest.mark.parametrize("variant", topic_boredom.VARIANTS)
def test_each_variant_is_made_by_its_id_in_both_engines(variant):
    gymnasium_ids = registry.ENVIRONMENTS["topic_boredom"].gymnasium_ids()
    (name,) = [name for name, of in gymnasium_ids.items() if of == variant]
    config = topic_boredom.VARIANTS[variant]
    entry = registry.environment_entry(name)
    assert entry.config() == dict(config)
    one = registry.create_environment(name, {"seed": 5})
    assert one.environment.num_candidates == config["num_candidates"]
    assert one.environment.slate_size == config["slate_size"]
    users = registry.create_vector_environment(name, {"seed": 5}, 3)
    other = topic_boredom.create_vector_environment({**config, "seed": 5}, 3)
    slates = np.tile(np.arange(config["slate_size"]), (3, 1))
    users.reset()
    other.reset()
    for _ in range(4):
        assert np.array_equal(users.step(slates)[1], other.step(slates)[1])


def test_what_is_given_goes_before_what_the_variant_has():
    sizes = {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0}
    env = registry.create_vector_environment(RERANK, {**sizes, "time_budget": 2}, 4)
    env.reset()
    ended = [env.step(np.zeros((4, 2), int) + [0, 1])[2].all() for _ in range(2)]
    assert ended == [False, True]
    assert env.num_candidates == 5


def test_the_id_of_a_scenario_is_its_name():
    entry = registry.environment_entry("recsim/InterestEvolution-v0")
    assert entry is registry.ENVIRONMENTS["interest_evolution"]


@pytest.mark.parametrize(
    "name",
    [
        "slate_bored",
        "topic_boredom/slate_bored",
        "SlateBored",
        "recsim/TopicBoredom-SlateBord-v0",
        "recsim/TopicBoredom-SlateBored-v1",
    ],
)
def test_an_unknown_name_is_told_the_id_like_it(name):
    with pytest.raises(ValueError, match="Did you mean 'recsim/TopicBoredom-SlateBored-v0'"):
        registry.environment_entry(name)


def test_an_experiment_has_the_sizes_of_the_variant_unless_they_are_given():
    def recorded(**settings):
        wanted = experiment.Experiment("random", RERANK, **settings)
        return wanted.num_candidates, wanted.slate_size, wanted.resample_documents

    assert recorded() == (10, 10, False)
    assert recorded(num_candidates=7, slate_size=3) == (7, 3, False)
    with pytest.raises(ValueError, match="slate_size must be given .* 10 in .*, 2 in interest_ev"):
        experiment.Experiment("random", [RERANK, "interest_evolution"])
    settings = comparison.Settings(RERANK, evaluation_agents=["random"])
    assert (settings.num_candidates, settings.slate_size) == (10, 10)


def test_an_experiment_runs_a_variant_and_runs_it_again(tmp_path):
    arguments = {"episodes": 3, "steps": 4, "progress": False, "figures": False}
    found = recsim.experiment("random", RERANK, output=tmp_path / "one", **arguments)
    named = {"rerank": RERANK}
    again = recsim.experiment("random", named, **arguments)
    values = [each.to_dataframe() for each in (found, again)]
    same = values[0]["measure"] == "return"
    assert values[0][same]["value"].tolist() == values[1][same]["value"].tolist()
    assert values[0]["scenario"].unique().tolist() == ["TopicBoredom-RerankBored-v0"]


def test_benchmarks_do_not_resample_where_a_variant_does_not():
    cases = throughput.compatible_cases(
        [RERANK, "interest_evolution"], ["random"], [(4, 2)], [1, 10]
    )
    assert [case.resample_documents for case in cases] == [False, False, True, True]


def test_folders_may_look_like_ids():
    with pytest.raises(FileNotFoundError, match="fits/mine-v2"):
        registry.environment_entry("fits/mine-v2")


def test_commands_take_a_variant(capsys):
    main(["watch", "--scenario", RERANK, "--agent", "random", "--steps", "1"])
    assert "Candidates (10)" in capsys.readouterr().out
    main(["list"])
    listed = capsys.readouterr().out
    ids = registry.ENVIRONMENTS["topic_boredom"].gymnasium_ids()
    assert all(name in listed for name, variant in ids.items() if variant is not None)
    bench = f"bench --environment {RERANK} --agent random --size 10x10 --users 1 --rounds 1"
    main([*bench.split(), "--seconds", "0.01"])
    assert RERANK in capsys.readouterr().out
