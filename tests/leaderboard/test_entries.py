"""Files of entries: what is written is read, and what is not an entry is refused."""

import copy
import dataclasses
import json

import pytest
from support.leaderboard_entries import V1, entry_of

from recsim.experiments.leaderboard import entries


def test_what_is_saved_is_loaded(tmp_path):
    entry = dataclasses.replace(
        entry_of("ppo", easy=[1.0, 0.1 + 0.2]), not_applicable={"catalogue": "too many"}
    )
    path = entries.save(entry, str(tmp_path))
    assert path == str(tmp_path / "ppo.json")
    assert entries.load(path) == entry
    assert entries.load_all(tmp_path) == [entry]


def changed(**changes):
    def change(data):
        data["tasks"]["easy"].update(changes)

    return change


BAD = {
    "another format": (lambda data: data.update(format=2), "format must be 1, got 2"),
    "unknown version": (
        lambda data: data.update(version="recsim-slates-v9"),
        "no version 'recsim-slates-v9'",
    ),
    "unknown task": (
        lambda data: data["tasks"].update(hard=data["tasks"]["easy"]),
        "There is no task 'hard' in recsim-slates-v1",
    ),
    "quick results": (changed(sha256=V1.quick().task("easy").sha256), "another budget"),
    "missing key": (lambda data: data.pop("made_by"), "lacks made_by"),
    "key besides": (lambda data: data.update(rank=1), "has besides rank"),
    "name that is not a text": (lambda data: data.update(agent=3), "agent must be a text, got 3"),
    "name of another agent": (
        lambda data: data.update(made_by="my_agents.py:ppo"),
        "agent must be a name of its own, got 'ppo' made by my_agents.py:ppo",
    ),
    "no tasks": (lambda data: data.update(tasks=[]), "tasks must be an object of JSON"),
    "return that is not a number": (
        changed(returns={"0": "high", "1": 1.0}),
        r"tasks\['easy'\]\['returns'\]\['0'\] must be a finite number, got 'high'",
    ),
    "infinite return": (changed(returns={"0": 1e999, "1": 1.0}), "must be a finite number"),
    "seed that is none": (changed(returns={"0": 1.0, "10": 1.0}), "of 0 to 9, got 0, 10"),
    "no seeds": (changed(returns={}, seconds={}), "of 0 to 9, got none"),
    "seeds without times": (changed(seconds={"0": 1.0}), "must be of the same seeds"),
    "torn curve": (
        changed(curve={"steps": [100], "values": {"0": [1.0], "1": []}}),
        "a value of each seed for each of its steps",
    ),
    "reason for a task with results": (
        lambda data: data.update(not_applicable={"easy": "no"}),
        r"not_applicable\['easy'\] must be a text, of a task without results",
    ),
}


@pytest.mark.parametrize("row", BAD)
def test_bad_entries(row, tmp_path):
    change, message = BAD[row]
    path = entries.save(entry_of("ppo", easy=[1.0, 2.0]), str(tmp_path))
    with open(path, encoding="utf-8") as file:
        data = copy.deepcopy(json.load(file))
    change(data)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(data, file)
    with pytest.raises(
        ValueError, match=f"(?s)ppo.json' is not an entry of the leaderboard: .*{message}"
    ):
        entries.load(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="must hold entries of the leaderboard, got none"):
        entries.load_all(tmp_path)
    (tmp_path / "text.json").write_text("text", encoding="utf-8")
    with pytest.raises(ValueError, match="it is not JSON"):
        entries.load_all(tmp_path)
    (tmp_path / "text.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ValueError, match="must be an object of JSON"):
        entries.load_all(tmp_path)


def test_versions_do_not_mix(tmp_path):
    entries.save(entry_of("ppo", easy=[1.0]), str(tmp_path))
    entries.save(entry_of("random", V1.quick(), easy=[1.0]), str(tmp_path))
    with pytest.raises(ValueError, match="one version.*recsim-slates-v1, recsim-slates-v1-quick"):
        entries.load_all(tmp_path)
