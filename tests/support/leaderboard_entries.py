"""Made-up entries of the leaderboard."""

from recsim.experiments.leaderboard import entries, tasks

V1 = tasks.version_of("recsim-slates-v1")


def entry_of(agent, version=V1, **returns):
    """Returns an entry with the returns of some tasks, by seed from 0 on."""
    results = {
        name: entries.TaskResult(
            version.task(name).sha256,
            ("PPOAgent.clip_range = 0.3",),
            {"PPOAgent.clip_range = 0.3": 2.0},
            3.0,
            {str(seed): value for seed, value in enumerate(of)},
            {"steps": [100, 200], "values": {str(seed): [0.5, v] for seed, v in enumerate(of)}},
            {str(seed): 1.5 for seed in range(len(of))},
            {"recsim": "1.0", "numpy": "2.0"},
            "abcdef" * 10 + "0123",
        )
        for name, of in returns.items()
    }
    return entries.Entry(version.name, agent, agent, "an agent", results, {})
