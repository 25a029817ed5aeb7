"""The reproductions of published results by name."""

from __future__ import annotations

from recsim.registry import _entries

__all__ = ["REPRODUCTIONS", "reproduction_entry"]

REPRODUCTIONS: dict[str, _entries.ReproductionEntry] = {
    "bandits": _entries.ReproductionEntry(
        "recsim.reproductions.bandit_regret",
        "BanditRegret",
        "regret curves of UCB1, KL-UCB and Thompson sampling",
    ),
    "slateq": _entries.ReproductionEntry(
        "recsim.reproductions.slateq",
        "SlateQ",
        "the strategies of the SlateQ paper, trained, and the value of no click",
    ),
    "advantage-amplification": _entries.ReproductionEntry(
        "recsim.reproductions.advantage_amplification",
        "AdvantageAmplification",
        "temporal aggregation and switching cost in long-term satisfaction",
    ),
    "interest-exploration": _entries.ReproductionEntry(
        "recsim.reproductions.interest_exploration",
        "InterestExploration",
        "agents that explore a user's interests more and more",
    ),
}


def reproduction_entry(name: str) -> _entries.ReproductionEntry:
    """Returns the entry of a reproduction, or raises ValueError naming the nearest one."""
    return _entries.look_up("experiment", REPRODUCTIONS, name)
