"""Reads exported logs by the real packages, and records what they read in exports_read.json.

Both packages ask for versions of their dependencies that recsim does not run with, so that each
runs in an environment of its own. make_obp_values.py says how to make that of Open Bandit Pipeline;
that of d3rlpy is ``python -m venv d3 && d3/bin/pip install d3rlpy==2.8.1``. Then::

    obp/bin/python tests/ope/data/read_exports.py obp
    d3/bin/python tests/ope/data/read_exports.py d3rlpy

``python tests/ope/data/read_exports.py write``, with recsim, writes the logs anew before.
"""

import json
import pathlib
import sys

import numpy as np

FOLDER = pathlib.Path(__file__).parent
EXPORTS, READ = FOLDER / "exports.npz", FOLDER / "exports_read.json"


def logs():
    """Returns small logs: of single items, of slates, and of episodes of them."""
    import functools

    from recsim import registry
    from recsim.ope import simulated

    def collected(scenario, num_users, num_steps, slate_size):
        config = {
            "num_candidates": 4,
            "slate_size": slate_size,
            "resample_documents": True,
            "seed": 5,
        }
        return simulated.collect(
            functools.partial(registry.create_vector_environment, scenario, config),
            functools.partial(registry.create_vector_agent, "softmax"),
            {"random": functools.partial(registry.create_vector_agent, "random")},
            num_users,
            num_steps=num_steps,
        )

    return {
        "items": collected("interest_evolution", 40, 1, 1),
        "slates": collected("interest_evolution", 40, 1, 2),
        "episodes": collected("long_term_satisfaction", 12, 5, 2),
    }


def exported():
    """Returns the arrays of all exports, by name."""
    from recsim.ope import exports

    arrays = {}
    for name, collected in logs().items():
        forms = {"discrete": exports.to_d3rlpy(collected.log)}
        forms["scores"] = exports.to_d3rlpy(collected.log, "scores")
        if name != "episodes":
            forms["obp"] = exports.to_obp(collected.log)
            policy = collected.policies["random"]
            for kind in ("slates", "items", "prefixes"):
                forms["obp"][f"evaluated {kind}"] = getattr(policy, kind)
        for form, export in forms.items():
            for key, value in export.items():
                arrays[f"{name}/{form}/{key}"] = np.asarray(value)
    return arrays


def of(name, form):
    """Returns an export that was written."""
    with np.load(EXPORTS) as found:
        prefix = f"{name}/{form}/"
        return {key[len(prefix) :]: found[key] for key in found.files if key.startswith(prefix)}


def read_obp():
    """Returns what Open Bandit Pipeline estimates."""
    from obp import ope

    feedback = of("items", "obp")
    number, num_actions = len(feedback["reward"]), int(feedback["n_actions"])
    feedback = {**feedback, "n_rounds": number, "n_actions": num_actions}
    uniform = np.full((number, num_actions, 1), 1.0 / num_actions)
    of_items = ope.OffPolicyEvaluation(
        bandit_feedback=feedback,
        ope_estimators=[
            ope.InverseProbabilityWeighting(),
            ope.SelfNormalizedInverseProbabilityWeighting(),
        ],
    ).estimate_policy_values(action_dist=uniform)
    slates = of("slates", "obp")
    size = 1 + int(slates["position"].max())
    slates = {**slates, "n_rounds": int(slates["n_rounds"])}
    of_slates = ope.SlateOffPolicyEvaluation(
        bandit_feedback=slates,
        ope_estimators=[
            ope.SlateStandardIPS(len_list=size),
            ope.SlateIndependentIPS(len_list=size),
            ope.SlateRewardInteractionIPS(len_list=size),
        ],
    ).estimate_policy_values(
        evaluation_policy_pscore=np.repeat(slates["evaluated slates"], size),
        evaluation_policy_pscore_item_position=slates["evaluated items"].reshape(-1),
        evaluation_policy_pscore_cascade=slates["evaluated prefixes"].reshape(-1),
    )
    return {"items": dict(of_items), "slates": dict(of_slates)}


def read_d3rlpy():
    """Returns what d3rlpy reads."""
    from d3rlpy import dataset

    found = {}
    for name in ("items", "slates", "episodes"):
        for form in ("discrete", "scores"):
            export = of(name, form)
            size = int(export.pop("action_size"))
            made = dataset.MDPDataset(**export, action_size=size)
            found[f"{name}/{form}"] = {
                "episodes": len(made.episodes),
                "lengths": [int(episode.size()) for episode in made.episodes],
                "returns": [float(episode.compute_return()) for episode in made.episodes],
                "terminated": [bool(episode.terminated) for episode in made.episodes],
                "transitions": int(made.transition_count),
                "action_space": made.dataset_info.action_space.name,
                "action_size": int(made.dataset_info.action_size),
                "observation_shape": list(
                    map(int, made.dataset_info.observation_signature.shape[0])
                ),
            }
    return found


def main():
    """Writes the exports, or reads them by a package."""
    (package,) = sys.argv[1:]
    if package == "write":
        np.savez_compressed(EXPORTS, **exported())
        return
    recorded = json.loads(READ.read_text()) if READ.exists() else {}
    recorded[package] = {"obp": read_obp, "d3rlpy": read_d3rlpy}[package]()
    READ.write_text(json.dumps(recorded, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
