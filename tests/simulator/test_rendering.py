"""What is to be seen of an episode: as text, printed, and as a picture drawn without a display."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest

from recsim import registry

IDS = sorted(str(entry.gymnasium_id) for entry in registry.ENVIRONMENTS.values())
EVOLUTION = "recsim/InterestEvolution-v0"


def stepped(env_id: str = EVOLUTION, steps: int = 3, **options: Any) -> gymnasium.Env:
    env = gymnasium.make(env_id, **{"render_mode": "ansi", **options})
    env.reset(seed=1)
    env.action_space.seed(1)
    for _ in range(steps):
        env.step(env.action_space.sample())
    return env


def test_a_text_of_a_step_says_what_happened() -> None:
    env = gymnasium.make("recsim/LongTermSatisfaction-v0", render_mode="ansi", num_candidates=3)
    env.reset(seed=1)
    assert env.render() == "recsim/LongTermSatisfaction-v0, a new episode, 3 candidates"
    before, first, *_ = env.step([2, 0])
    documents = list(env.unwrapped.recsim_env.environment.candidate_set.create_observation())
    observation, second, *_ = env.step([1, 2])
    heading, titles, *rows = env.render().splitlines()
    assert heading == (
        f"recsim/LongTermSatisfaction-v0, step 2: reward {second:.3g}, return {first + second:.3g}"
    )
    assert titles.split() == ["position", "candidate", "document", "feature", "click", "engagement"]
    clicks = observation["response"]["click"]
    assert clicks.sum() == 1
    for position, (candidate, row) in enumerate(zip([1, 2], rows, strict=True)):
        chosen = ["chosen"] if clicks[position] else []
        feature = f"{before['doc'][candidate, 0]:.3g}"
        engagement = observation["response"]["engagement"][position]
        expected = [position, candidate, documents[candidate], feature, clicks[position]]
        shown = row.split()
        assert shown[:-1] == chosen + [str(each) for each in expected]
        assert float(shown[-1]) == pytest.approx(engagement, rel=0.01)


def test_the_hidden_state_is_shown_on_request_alone() -> None:
    env, without = stepped(render_hidden_state=True), stepped()
    assert "time_budget" not in without.render()
    state = env.unwrapped.recsim_env.environment.user_model._user_state
    assert env.render() != without.render()
    assert f"time_budget              {state.time_budget:.3g}" in env.render()
    assert "user_interests" in env.render()
    hidden = stepped(render_hidden_state=True, render_mode="rgb_array").render()
    assert not np.array_equal(hidden, stepped(render_mode="rgb_array").render())


def test_an_episode_that_has_ended_says_so() -> None:
    env = stepped("recsim/LongTermSatisfaction-v0", steps=60)
    assert "step 60, the end: reward " in env.render()
    env.reset()
    assert "a new episode" in env.render()


def test_short_slates_and_other_forms_are_shown() -> None:
    env = gymnasium.make(
        EVOLUTION, render_mode="ansi", slate_size=3, action="scores", observation="flat"
    )
    env.reset(seed=0)
    env.step(np.linspace(-1, 1, 10, dtype=np.float32))
    rows = env.render().splitlines()[2:5]
    assert [row.replace("chosen", "").split()[1] for row in rows] == ["9", "8", "7"]
    short = gymnasium.make(EVOLUTION, render_mode="ansi", disable_env_checker=True)
    short.reset(seed=0)
    short.step([4])
    assert len(short.render().splitlines()) == 5  # A heading, titles, a document, the user.


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("slate_size", [1, 14])
def test_pictures(env_id: str, slate_size: int) -> None:
    options = {"num_candidates": 20, "slate_size": slate_size, "render_hidden_state": True}
    env = stepped(env_id, 0, render_mode="rgb_array", **options)
    frames = [env.render()]
    for _ in range(2):
        env.step(env.action_space.sample())
        frames.append(env.render())
    for frame in frames:
        assert (frame.shape, frame.dtype) == ((640, 960, 3), np.uint8)
        assert frame.flags.owndata and 0.5 < (frame == 255).mean() < 0.99
    assert not np.array_equal(frames[0], frames[1])
    np.testing.assert_array_equal(env.render(), frames[-1])


def test_pictures_need_no_display_and_touch_no_backend() -> None:
    program = (
        "import matplotlib, gymnasium, recsim, sys\n"
        f"env = gymnasium.make({EVOLUTION!r}, render_mode='rgb_array')\n"
        "env.reset(seed=0); env.render()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "print(dict.__getitem__(matplotlib.rcParams, 'backend') is "
        "matplotlib.rcsetup._auto_backend_sentinel)"
    )
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "MPLBACKEND", "WAYLAND_DISPLAY")
    }
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert result.stdout.strip() == "True", result.stderr


def test_human_prints_each_reset_and_step_and_opens_nothing(capsys: Any) -> None:
    env = stepped(render_mode="human")
    assert env.render() is None
    printed = capsys.readouterr().out
    texts = [stepped(steps=steps).render() for steps in range(4)]
    assert printed == "".join(f"{text}\n" for text in texts)


def test_lists_of_what_is_rendered() -> None:
    frames = stepped(render_mode="rgb_array_list", steps=2).render()
    assert len(frames) == 3 and frames[0].shape == (640, 960, 3)


def test_nothing_is_rendered_without_a_mode() -> None:
    env = gymnasium.make(EVOLUTION).unwrapped
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render was called without a render_mode"):
        assert env.render() is None


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_a_copy_shows_the_same(mode: str) -> None:
    env = stepped(render_mode=mode)
    for again in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        np.testing.assert_array_equal(again.render(), env.render())


def test_rendering_changes_no_episode() -> None:
    def rewards(**options: Any) -> list[float]:
        env = gymnasium.make(EVOLUTION, **options)
        env.reset(seed=5)
        steps = []
        for _ in range(10):
            steps.append(env.step([0, 1])[1])
            if options:
                env.render()
        return steps

    assert rewards(render_mode="ansi", render_hidden_state=True) == rewards()


def test_users_one_by_one_are_rendered_together() -> None:
    env = gymnasium.make_vec(
        EVOLUTION, num_envs=2, vectorization_mode="sync", render_mode="rgb_array"
    )
    env.reset(seed=0)
    frames = env.render()
    assert len(frames) == 2 and not np.array_equal(*frames)
