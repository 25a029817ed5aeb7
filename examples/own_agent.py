"""An agent of one's own: it learns which topics the present user clicks.

It keeps the rate of clicks on each topic for the present user, and recommends documents of the
topics that did best, with noise in the ranking, so that the others have their chance.
"""

from __future__ import annotations

import argparse

import numpy as np

from recsim import agent, testing
from recsim.environments import interest_exploration
from recsim.simulator import rollout


class TopicAgent(agent.AbstractEpisodicRecommenderAgent):
    """Recommends documents of the topics that the user clicked most, exploring at first."""

    def __init__(self, action_space, seed=0):
        super().__init__(action_space)
        self._rng = np.random.RandomState(seed)  # Checkpoints hold the state of `_rng`.

    def begin_episode(self, observation=None):
        self._shown = np.ones(2)
        self._clicked = np.ones(2)
        return self._recommend(observation)

    def step(self, reward, observation):
        for response in observation["response"]:
            self._shown[response["cluster_id"]] += 1
            self._clicked[response["cluster_id"]] += response["click"]
        return self._recommend(observation)

    def _recommend(self, observation):
        topics = np.array([doc["cluster_id"] for doc in observation["doc"].values()])
        rates = (self._clicked / self._shown)[topics]
        noise = self._rng.gumbel(size=len(topics)) * 0.1
        return np.argsort(-(rates + noise))[: self._slate_size].tolist()


def make_environment():
    return interest_exploration.create_environment(
        {"num_candidates": 10, "slate_size": 2, "resample_documents": True, "seed": 0}
    )


class TopicsOfClicks(rollout.Listener):
    """Counts the clicks by topic."""

    def __init__(self):
        self.clicks = np.zeros(2, dtype=int)

    def on_step(self, step):
        for response in step.next_observation["response"]:
            self.clicks[response["cluster_id"]] += response["click"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=20, help="number of users (%(default)s)")
    args = parser.parse_args()

    # What the library asks of every agent.
    testing.check_agent(make_environment, lambda env: TopicAgent(env.action_space))

    env = make_environment()
    own_agent = TopicAgent(env.action_space)
    for number in range(args.episodes):
        topics = TopicsOfClicks()
        episode = rollout.run_episode(env, own_agent, max_steps=100, listeners=[topics])
        print(f"user {number}: {episode.total_reward:.0f} clicks, by topic {topics.clicks}")


if __name__ == "__main__":
    main()
