"""A training run with its evaluation, to be killed.

``python -m support.training_child BASE_DIR SCENARIO ITERATIONS`` prints
"training" when the training begins, and "done" at the end.
"""

from __future__ import annotations

import functools
import sys

from recsim.agents import cluster_bandit_agent, tabular_q_agent
from recsim.agents.bandits import algorithms
from recsim.agents.layers import cluster_click_statistics
from recsim.environments import interest_exploration, long_term_satisfaction
from recsim.simulator import runner_lib
from support.scenarios import CONFIG


def thompson_bandit(sess, environment, eval_mode, summary_writer):
    return cluster_click_statistics.ClusterClickStatsLayer(
        functools.partial(
            cluster_bandit_agent.ClusterBanditAgent, alg_ctor=algorithms.ThompsonSampling
        ),
        environment.observation_space,
        environment.action_space,
    )


def tabular_q(sess, environment, eval_mode, summary_writer):
    summary_writer.add_scalar("agents/created", 1.0, 0)
    return tabular_q_agent.TabularQAgent(
        environment.observation_space,
        environment.action_space,
        eval_mode=eval_mode,
        discretization_bounds=(0.0, 1.0),
        number_bins=4,
        exploration_temperature=0.9,
    )


SCENARIOS = {
    "exploration": (interest_exploration.create_environment, thompson_bandit),
    "satisfaction": (long_term_satisfaction.create_environment, tabular_q),
}


def main(base_dir: str, scenario: str, iterations: str) -> None:
    create_environment, create_agent = SCENARIOS[scenario]
    settings = {
        "base_dir": base_dir,
        "create_agent_fn": create_agent,
        "env": create_environment(CONFIG),
        "max_steps_per_episode": 13,
        "progress": False,
    }
    training = runner_lib.TrainRunner(
        max_training_steps=60,
        num_iterations=int(iterations),
        checkpoint_frequency=3,
        episode_log_file="episodes.tfrecord",
        **settings,
    )
    print("training", flush=True)
    training.run_experiment()
    runner_lib.EvalRunner(max_eval_episodes=4, test_mode=True, **settings).run_experiment()
    assert "tensorflow" not in sys.modules
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
