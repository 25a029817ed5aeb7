"""Writes a small log and what Open Bandit Pipeline 0.4.1 estimates from it to obp_values.json.

Open Bandit Pipeline asks for versions of its dependencies that recsim does not run with, so that
this runs in an environment of its own::

    python -m venv obp
    obp/bin/pip install 'numpy<2' 'pandas<2.2' scikit-learn scipy pyyaml tqdm matplotlib seaborn \
        mypy-extensions torch
    obp/bin/pip install --no-deps obp==0.4.1
    obp/bin/python tests/ope/data/make_obp_values.py
"""

import itertools
import json
import pathlib

import numpy as np
from obp import ope

NUM_ROUNDS, NUM_ACTIONS, SLATE_SIZE = 60, 4, 3


def single_items(rng):
    """Returns a log of single items, and the estimates."""
    logging = rng.dirichlet(np.full(NUM_ACTIONS, 2.0), NUM_ROUNDS)
    evaluated = rng.dirichlet(np.full(NUM_ACTIONS, 2.0), NUM_ROUNDS)
    actions = np.array([rng.choice(NUM_ACTIONS, p=row) for row in logging])
    rewards = rng.binomial(1, 0.2 + 0.15 * actions).astype(float)
    predicted = np.clip(
        0.2 + 0.15 * np.arange(NUM_ACTIONS) + rng.normal(0, 0.1, logging.shape), 0, 1
    )
    pscore = logging[np.arange(NUM_ROUNDS), actions]
    common = {"action_dist": evaluated[:, :, np.newaxis], "position": np.zeros(NUM_ROUNDS, int)}
    logged = {"reward": rewards, "action": actions, "pscore": pscore}
    model = {"estimated_rewards_by_reg_model": predicted[:, :, np.newaxis]}
    estimators = {
        "DM": (ope.DirectMethod(), model),
        "IPS": (ope.InverseProbabilityWeighting(), logged),
        "SNIPS": (ope.SelfNormalizedInverseProbabilityWeighting(), logged),
        "DR": (ope.DoublyRobust(), {**logged, **model}),
        "SNDR": (ope.SelfNormalizedDoublyRobust(), {**logged, **model}),
        "DR switched at 1.5": (ope.SwitchDoublyRobust(tau=1.5), {**logged, **model}),
        "DR shrunk by 2": (ope.DoublyRobustWithShrinkage(lambda_=2.0), {**logged, **model}),
    }
    return {
        "logging": logging,
        "evaluated": evaluated,
        "actions": actions,
        "rewards": rewards,
        "predicted": predicted,
        "estimates": {
            name: estimator.estimate_policy_value(**arguments, **common)
            for name, (estimator, arguments) in estimators.items()
        },
    }


def slates(rng):
    """Returns a log of slates, and the estimates."""
    all_slates = list(itertools.permutations(range(NUM_ACTIONS), SLATE_SIZE))
    array = np.array(all_slates)
    logging = rng.dirichlet(np.full(len(all_slates), 1.5), NUM_ROUNDS)
    evaluated = rng.dirichlet(np.full(len(all_slates), 1.5), NUM_ROUNDS)
    shown = np.array([rng.choice(len(all_slates), p=row) for row in logging])
    items = array[shown]
    rewards = rng.binomial(1, 0.1 + 0.2 * items / (1 + np.arange(SLATE_SIZE))).astype(float)
    of = {}
    for name, distribution in (("logging", logging), ("evaluated", evaluated)):
        same = array[np.newaxis] == items[:, np.newaxis]  # (rounds, slates, positions)
        beginnings = np.logical_and.accumulate(same, axis=2)
        of[name] = {
            "slates": distribution[np.arange(NUM_ROUNDS), shown],
            "items": np.einsum("ns,nsk->nk", distribution, same),
            "prefixes": np.einsum("ns,nsk->nk", distribution, beginnings),
        }
    common = {
        "slate_id": np.repeat(np.arange(NUM_ROUNDS), SLATE_SIZE),
        "position": np.tile(np.arange(SLATE_SIZE), NUM_ROUNDS),
        "reward": rewards.reshape(-1),
    }
    estimates = {
        "IPS": ope.SlateStandardIPS(len_list=SLATE_SIZE).estimate_policy_value(
            pscore=np.repeat(of["logging"]["slates"], SLATE_SIZE),
            evaluation_policy_pscore=np.repeat(of["evaluated"]["slates"], SLATE_SIZE),
            **common,
        ),
        "IIPS": ope.SlateIndependentIPS(len_list=SLATE_SIZE).estimate_policy_value(
            pscore_item_position=of["logging"]["items"].reshape(-1),
            evaluation_policy_pscore_item_position=of["evaluated"]["items"].reshape(-1),
            **common,
        ),
        "RIPS": ope.SlateRewardInteractionIPS(len_list=SLATE_SIZE).estimate_policy_value(
            pscore_cascade=of["logging"]["prefixes"].reshape(-1),
            evaluation_policy_pscore_cascade=of["evaluated"]["prefixes"].reshape(-1),
            **common,
        ),
    }
    return {
        "slates": array,
        "logging": logging,
        "evaluated": evaluated,
        "items": items,
        "position_rewards": rewards,
        "estimates": estimates,
    }


def main():
    """Writes the file beside this one."""
    rng = np.random.default_rng(0)
    recorded = {"obp": "0.4.1", "single_items": single_items(rng), "slates": slates(rng)}
    path = pathlib.Path(__file__).with_name("obp_values.json")
    path.write_text(json.dumps(recorded, default=lambda array: array.tolist(), indent=None) + "\n")


if __name__ == "__main__":
    main()
