"""What RecSim's objects, classes and modules have, code may read: it is here, and as late."""

import functools
import importlib
import importlib.util

import pytest
from support import recorded, recorder

RECORDED = recorded("attributes")

# What no code can meaningfully read. In objects:
LEFT_OUT_OF_OBJECTS = {
    "_observation_featurizer",  # Three walkers, of documents, users and responses.
    "_previous_last_slate",  # A switch is charged when it is decided on.
}
# In classes: methods that build a graph of TensorFlow 1, or that the functions below have become.
LEFT_OUT_OF_CLASSES = {
    "_add_summary",
    "_build_networks",
    "_build_replay_buffer",
    "_build_select_slate_op",
    "_build_sync_op",
    "_build_target_q_op",
    "_build_train_op",
    "_create_network",
    "_network_adapter",
    "_pad_with_zeros",
    "_record_observation",
    "_reset_state",
    "_select_action",
    "_spaces_equal",
    "_state_parameters",  # Of the class: it is in the objects.
    "_validate_states",
    "render_mode",  # Of gym.Env from gym 0.25 on.
}
# In modules: what RecSim imports for its own use.
LEFT_OUT_OF_MODULES = {
    "_get_unnormalized_scores",
    "abstract_agent",
    "absolute_import",
    "collections",
    "division",
    "dqn_agent",
    "environment",
    "flags",
    "FLAGS",
    "gin",
    "itertools",
    "logging",
    "np",
    "print_function",
    "six",
    "spaces",
    "tf",
}


@functools.cache
def found():
    """Returns RecSim's names that our objects lack, and those that they have too early."""
    module = recorder("record_attributes")
    lacking, early = set(), set()

    def look(stage, name, value):
        stages = RECORDED["objects"][name]
        of_class = RECORDED["classes"].get(f"{type(value).__module__}.{type(value).__name__}", [])
        names = set(stages[stage])
        later = set().union(*stages.values()) - names - set(of_class)
        lacking.update((name, stage, each) for each in names if not hasattr(value, each))
        early.update((name, stage, each) for each in later if hasattr(value, each))

    module.collect(look)
    return lacking, early


def test_objects_have_the_attributes_of_recsims():
    lacking, _ = found()
    assert {entry for entry in lacking if entry[2] not in LEFT_OUT_OF_OBJECTS} == set()


def test_what_is_not_there_yet_in_recsim_is_not_there_yet():
    """Old code asks by ``hasattr`` whether something has happened."""
    _, early = found()
    assert early == set()


@pytest.mark.parametrize("name", RECORDED["classes"])
def test_classes_have_the_attributes_of_recsims(name):
    module, _, class_name = name.rpartition(".")
    ours = getattr(importlib.import_module(module), class_name)
    lacking = {each for each in RECORDED["classes"][name] if not hasattr(ours, each)}
    assert lacking <= LEFT_OUT_OF_CLASSES


@pytest.mark.parametrize("name", RECORDED["modules"])
def test_modules_have_the_names_of_recsims(name):
    ours = importlib.import_module(name)
    lacking = {each for each in RECORDED["modules"][name] if not hasattr(ours, each)}
    if name == "recsim.simulator.runner_lib":
        assert lacking <= {"absolute_import", "division", "print_function"}
    else:
        assert lacking <= LEFT_OUT_OF_MODULES
