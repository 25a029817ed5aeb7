"""Made-up results of experiments, of any size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from recsim.experiments import results

__all__ = ["made_up"]


def made_up(
    *,
    scenarios: Sequence[str] = ("interest_exploration",),
    agents: Sequence[str] = ("cluster_bandit_ucb1", "greedy_pctr", "random"),
    settings: Sequence[str] = ("",),
    num_seeds: int = 6,
    num_users: int = 4,
    num_topics: int = 3,
    speed: float = 12_345.0,
    metadata: results.Metadata | None = None,
) -> results.Results:
    """Returns results with all measures, learning curves, and steps of the episode."""
    rng = np.random.default_rng(0)
    rows, curves, steps = [], [], []
    for scenario in scenarios:
        names = [(agent, setting) for agent in agents for setting in settings]
        for place, (agent, setting) in enumerate(names):
            for seed in range(num_seeds):
                key = {"scenario": scenario, "agent": agent, "settings": setting, "seed": seed}
                level = 100.0 - 10.0 * place + rng.normal()
                returns = level + rng.normal(size=num_users)
                measures = {
                    "return": returns,
                    "steps": np.full(num_users, 200),
                    "click_through_rate": returns / 300.0,
                    "click_quality": np.where(returns > 0, returns / 90.0, np.nan),
                    **{
                        f"click_share_of_topic_{topic}": np.full(num_users, 1 / num_topics)
                        for topic in range(num_topics)
                    },
                }
                for measure, values in measures.items():
                    users = {"user": range(num_users), "measure": measure, "value": values}
                    rows.append(pd.DataFrame({**key, **users}))
                one = {"user": [0], "measure": "steps_per_second", "value": speed + seed}
                rows.append(pd.DataFrame({**key, **one}))
                x = 1000 * np.arange(1, 21)
                curve = {"step": x, "value": level * (1.0 - np.exp(-x / 5000))}
                curves.append(pd.DataFrame({**key, **curve}))
                x = np.arange(50)
                rate = {"click_through_rate": level / 300.0 + 0.01 * rng.normal(size=50)}
                shares = rng.dirichlet(np.arange(1, num_topics + 1), 50).T
                for measure, values in [
                    *rate.items(),
                    *(
                        (f"slate_share_of_topic_{topic}", share)
                        for topic, share in enumerate(shares)
                    ),
                ]:
                    steps.append(
                        pd.DataFrame({**key, "step": x, "measure": measure, "value": values})
                    )
    frames = (pd.concat(parts, ignore_index=True) for parts in (rows, curves, steps))
    frame, all_curves, all_steps = frames
    return results.Results(frame, metadata, curves=all_curves, steps=all_steps)
