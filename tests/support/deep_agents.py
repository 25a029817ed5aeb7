"""Deep agents that learn soon, and a training of one, to be killed.

``python -m support.deep_agents BASE_DIR AGENT`` prints "training" when the training begins, and
"done" at the end.
"""

from __future__ import annotations

import functools
import pathlib
import sys

from recsim.agents import slate_decomp_q_agent as slate_q
from recsim.agents.full_slate_q_agent import FullSlateQAgent
from recsim.agents.layers.cluster_click_statistics import ClusterClickStatsLayer
from recsim.agents.layers.fixed_length_history import FixedLengthHistoryLayer
from recsim.agents.layers.temporal_aggregation import TemporalAggregationLayer
from recsim.simulator import runner_lib
from support import scenarios
from support.scenarios import spaces_of

SMALL = {
    "min_replay_history": 20,
    "update_period": 2,
    "target_update_period": 10,
    "epsilon_decay_period": 30,
    "replay_capacity": 70,
    "batch_size": 8,
    "hidden_units": (8, 4),
}
SCENARIOS = {
    "evolution": "interest_evolution",
    "exploration": "interest_exploration",
    "satisfaction": "long_term_satisfaction",
}


def make_env(scenario="evolution"):
    slate_size = 1 if scenario == "satisfaction" else 2
    return scenarios.make_env(SCENARIOS[scenario], slate_size=slate_size, seed=2)


def strategy(name, env, **kwargs):
    return slate_q.create_agent(name, None, **{**spaces_of(env), **SMALL, **kwargs})


def full_slate(env, **kwargs):
    return FullSlateQAgent(None, **{**spaces_of(env), **SMALL, **kwargs})


def layered(layer, env, agent_class=FullSlateQAgent, **kwargs):
    return layer(agent_class, **spaces_of(env), sess=None, **{**SMALL, **kwargs})


optimal = functools.partial(strategy, "slate_optimal_optimal_q")
with_no_click = functools.partial(
    strategy, "slate_greedy_greedy_q", learn_no_click_value=True, update_horizon=3
)
AGENTS = {
    "optimal": ("evolution", optimal),
    "with_no_click": ("evolution", with_no_click),
    "sarsa": ("evolution", functools.partial(strategy, "slate_topk_sarsa", optimizer_name="adam")),
    "random": ("evolution", functools.partial(strategy, "dp_random", optimizer_name="sgd")),
    "full_slate": ("evolution", full_slate),
    "full_slate_in_exploration": ("exploration", full_slate),
    "full_slate_in_satisfaction": ("satisfaction", full_slate),
    "clicks": ("exploration", functools.partial(layered, ClusterClickStatsLayer)),
    "history": (
        "evolution",
        functools.partial(layered, FixedLengthHistoryLayer, history_length=2),
    ),
    "aggregation": (
        "satisfaction",
        functools.partial(
            layered,
            TemporalAggregationLayer,
            aggregation_period=2,
            gamma=0.9,
            document_comparison_fcn=lambda document1, document2: True,
        ),
    ),
    "aggregated_documents": (
        "evolution",
        functools.partial(
            layered,
            TemporalAggregationLayer,
            agent_class=slate_q.SlateDecompQAgent,
            switching_cost=0.1,
            reward_field=None,
        ),
    ),
}


def run(base_dir, make_agent, iterations, seed=0):
    def create_agent(sess, environment, eval_mode, summary_writer):
        return make_agent(
            environment, eval_mode=eval_mode, summary_writer=summary_writer, seed=seed
        )

    settings = {
        "base_dir": base_dir,
        "create_agent_fn": create_agent,
        "env": make_env(),
        "max_steps_per_episode": 25,
        "progress": False,
    }
    runner_lib.TrainRunner(
        max_training_steps=40, num_iterations=iterations, **settings
    ).run_experiment()
    runner_lib.EvalRunner(max_eval_episodes=3, test_mode=True, **settings).run_experiment()


def results(base_dir):
    base_dir = pathlib.Path(base_dir)
    newest = max((base_dir / "train/checkpoints").iterdir(), key=lambda path: int(path.suffix[1:]))
    (returns,) = (base_dir / "eval_3").glob("returns_*")
    return newest.name, newest.read_bytes(), returns.name, returns.read_text()


if __name__ == "__main__":
    print("training", flush=True)
    run(sys.argv[1], {"with_no_click": with_no_click, "full_slate": full_slate}[sys.argv[2]], 60)
    print("done", flush=True)
