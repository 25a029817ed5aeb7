"""The page of an episode: what it holds, that it is safe and bounded, how it works in a browser."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import json
import pathlib
import re
import time

import numpy as np
import pytest
from support import chromium
from support.episodes import made_up, watched

from recsim import types, watching
from recsim.watching import _page

pytestmark = pytest.mark.usefixtures("empty_folder")

in_chromium = pytest.mark.needs("chromium")


def page_of(episode):
    episode.to_html("episode.html")
    return pathlib.Path("episode.html").read_text(encoding="utf-8")


def data_of(text):
    (data,) = re.findall(r'<script type="application/json" id="episode">(.*?)</script>', text)
    return json.loads(data)


def test_the_page_holds_the_episode():
    data = data_of(page_of(made_up()))
    (step,) = data["steps"]
    assert data["sets"] == [{"ids": ["a", "b", "c"], "columns": [[1.5, 2, 0.25]]}]
    assert [(column["name"], column["kind"]) for column in data["features"]] == [
        ("quality", "number")
    ]
    assert (step["slate"], step["p"], step["clicked"]) == ([2, 0], [0.25, 0.5, 0.25], [1])
    assert step["responses"] == [[0, 1], [0, 4]]
    assert [(column["name"], column["values"]) for column in data["state"]] == [
        ("budget", [10, 6]),
        ("interests", [[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.9, 0.4]]),
        ("kind", ["calm"]),
    ]
    assert data["agent"] == ["worth"]
    assert step["agent"]["candidates"] == [[7, None, None]]
    assert step["agent"]["tables"] == [
        {"of": "slate", "rows": ["2 0", "0 1"], "columns": [["value", [1.25, 1]]]}
    ]


def test_numbers_have_four_digits_and_one_hot_vectors_are_indices():
    candidates = {"topic": np.eye(3), "long": np.tile(np.arange(50) / 3, (3, 1))}
    data = data_of(page_of(made_up(candidates=candidates)))
    topics, long = data["sets"][0]["columns"]
    assert topics == [0, 1, 2]
    assert long[0][:3] == [0, 0.3333, 0.6667] and len(long[0]) == data["most_entries"] == 32
    assert [column["size"] for column in data["features"]] == [3, 50]


def test_what_is_not_finite_is_null():
    step = {"candidates": {"quality": np.array([np.nan, np.inf, 1.0])}}
    assert data_of(page_of(made_up(**step)))["sets"][0]["columns"] == [[None, None, 1]]


def test_nothing_of_an_episode_gets_out_of_its_data():
    """Text of whoever made the environment is data, in the page and in a notebook."""
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\u2028"
    episode = made_up(
        item_ids=(evil, "b", "c"),
        candidates={evil: np.array([evil, "", ""])},
        state={evil: evil},
        next_state={evil: "other"},
        user={evil: evil},
        explanation=types.Explanation(
            evil, [types.ExplanationTable(evil, [evil], {evil: [1]})], {evil: 1.0}
        ),
    )
    episode = watching.Episode(evil, episode.steps, False)
    text = page_of(episode)
    assert "<img" not in text and "alert(1)</script>" not in text
    assert text.count("</script>") == 2 and text.count("<script") == 2
    assert data_of(text)["state"][0]["values"] == [evil, "other"]
    frame = episode._repr_html_()
    assert "<img" not in frame and "<script" not in frame
    assert data_of(html.unescape(frame.partition('srcdoc="')[2].partition('" title=')[0]))


def test_only_this_style_and_this_script_take_effect():
    text = page_of(made_up())
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for element, directive in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(rf"<{element}>(.*?)</{element}>", text, re.S)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert not re.search(r"https?:(?!//www\.w3\.org/2000/svg)", text)
    assert " style=" not in text and " onclick" not in text


def test_candidates_that_stay_are_there_once():
    episode = watched(agent="random", steps=5, resample_documents=False)
    data = data_of(page_of(episode))
    assert len(data["sets"]) == 1 and [step["set"] for step in data["steps"]] == [0] * 5


def test_a_page_is_bounded():
    episode = watched(agent="random", steps=50, num_candidates=50)
    text = _page.page(episode, most=20_000)
    shown = len(data_of(text)["steps"])
    assert 1 < shown < 50 and len(text) < 20_000 + 60_000
    assert f"The page has the first {shown} steps of 50, for its size is limited." in text
    assert len(data_of(_page.page(episode, most=1))["steps"]) == 1
    assert "its size is limited" not in page_of(episode)


def test_notebooks_show_a_frame():
    frame = watched(agent="random", steps=2)._repr_html_()
    assert frame.startswith("<p>Episode of 2 steps, return ") and "<iframe srcdoc=" in frame


def test_files_are_written_whole_or_not_at_all(tmp_path):
    episode = made_up()
    with pytest.raises(IsADirectoryError, match="path must be a file"):
        episode.to_html(tmp_path)
    with pytest.raises(TypeError, match="path must be a path"):
        episode.to_html(3)
    with pytest.raises(OSError, match="path must be the name of a file that can be made"):
        episode.to_json("x" * 300)
    assert list(tmp_path.iterdir()) == []


# In a browser.


@contextlib.contextmanager
def opened(episode, width=1280, *, dark=False):
    page_of(episode)
    with chromium.opened(pathlib.Path("episode.html"), width, dark=dark) as page:
        yield page
        assert page.errors == []
        assert [url.partition(":")[0] for url in page.requests] == ["file"]


def where(page):
    return int(page.evaluate("document.getElementById('where').textContent.split(' ')[1]"))


def press(page, *names):
    for name in names:
        text = {"text": name} if len(name) == 1 else {}
        page.call("Input.dispatchKeyEvent", type="keyDown", key=name, **text)
        page.call("Input.dispatchKeyEvent", type="keyUp", key=name)


@pytest.mark.slow
@in_chromium
def test_keys_buttons_and_touch_move_through_the_steps():
    with opened(watched(steps=6)) as page:
        assert where(page) == 1
        for keys, step in (
            (["ArrowRight", "ArrowRight"], 3),
            (["ArrowLeft"], 2),
            (["End"], 6),
            (["ArrowRight"], 6),
            (["Home"], 1),
            (["ArrowLeft"], 1),
        ):
            press(page, *keys)
            assert where(page) == step
        for button, step in (("next", 2), ("last", 6), ("back", 5), ("first", 1)):
            page.evaluate(f"document.getElementById('{button}').click()")
            assert where(page) == step
        assert page.evaluate("document.getElementById('back').disabled") is True
        for start, end, step in ((300, 100, 2), (100, 300, 1), (200, 190, 1)):
            page.evaluate(
                "for (const [type, x] of "
                f"[['touchstart', {start}], ['touchend', {end}]]) {{"
                "const at = new Touch({identifier: 1, target: document.body, clientX: x});"
                "document.body.dispatchEvent(new TouchEvent(type, {bubbles: true,"
                " touches: type === 'touchstart' ? [at] : [], changedTouches: [at]})); }"
            )
            assert where(page) == step
        said = page.evaluate("document.getElementById('say').textContent")
        assert said.startswith("Step 1 of 6. Shown: candidates ")


@pytest.mark.slow
@in_chromium
def test_space_runs_to_the_end_and_pauses():
    with opened(watched(steps=6)) as page:
        press(page, "+", "+", "+", "+", "+", "+")  # 25 steps per second.
        assert page.evaluate("document.getElementById('speed').value") == "25"
        press(page, " ")
        assert page.evaluate("document.getElementById('play').textContent") == "Pause"
        deadline = time.monotonic() + 60
        while page.evaluate("document.getElementById('play').textContent") == "Pause":
            assert time.monotonic() < deadline
        assert where(page) == 6
        press(page, "-", "-", "-", "-", "-", "-")
        press(page, " ", " ")  # From the start again, and paused there.
        assert where(page) == 1
        assert page.evaluate("document.getElementById('play').textContent") == "Play"


@pytest.mark.slow
@in_chromium
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_overflows_and_text_can_be_read(width, dark):
    long = "x" * 80
    episodes = [
        watched("interest_evolution", "slate_greedy_sarsa", steps=3, num_candidates=12),
        made_up(
            item_ids=(long, "b", "c"),
            candidates={long: np.array([long, "", ""]), "many": np.ones((3, 50))},
            state={long: 1.0, "text": long},
            next_state={long: 2.0, "text": "y" * 80},
            user={long: long},
            explanation=types.Explanation(
                long,
                [types.ExplanationTable(long, [long], {long: [1], "b": [2]})],
                {long: 1e-30},
            ),
        ),
    ]
    for episode in episodes:
        with opened(episode, width, dark=dark) as page:
            press(page, "End")
            page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            outside = page.evaluate(
                "[...document.querySelectorAll('h1,h2,p,nav,button,section,.scroll,li,svg.chart')]"
                ".filter(e => e.getBoundingClientRect().right > innerWidth)"
                ".filter(e => !e.closest('.scroll table'))"
                ".map(e => e.outerHTML.slice(0, 80))"
            )
            assert outside == []
            ratios = page.evaluate(CONTRAST)
            assert min(ratios.values()) >= 4.5, ratios


# The contrast of text to what is behind it, by WCAG 2, of every kind of text on the page.
CONTRAST = """(() => {
  const parts = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (let e = node; e; e = e.parentElement) {
      const colour = parts(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = {};
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest('script, noscript, option, :disabled')) continue;
    const both = [parts(getComputedStyle(e).color), behind(e)].map(light);
    const [a, b] = both.sort((x, y) => y - x);
    const name = `${e.tagName}.${e.className} in ${e.parentElement.className}`;
    found[name] = Math.min(found[name] ?? 99, (a + 0.05) / (b + 0.05));
  }
  return found;
})()"""


@pytest.mark.slow
@in_chromium
def test_the_page_shows_what_was_recorded():
    with opened(made_up()) as page:
        slate = page.evaluate("document.getElementById('slate').innerText")
        for text in ("2. candidate 0 (ID a)", "chosen", "50.0%", "No click", "watch_time", "4"):
            assert text in slate
        assert page.evaluate("document.querySelectorAll('#slate .chosen').length") == 1
        state = page.evaluate("document.getElementById('state').innerText")
        assert "10 → 6" in state and "entry 2: 0.300 → 0.900" in state
        agent = page.evaluate("document.getElementById('agent').innerText")
        assert "Made up." in agent and "1.25" in agent and "doubt" in agent
        assert "Reward 4, return so far 4" in page.evaluate("document.body.innerText")
        rows = "[...document.querySelectorAll('#candidates-body tr')].map(r => r.innerText)"
        assert [row.split("\t")[2] for row in page.evaluate(rows)] == ["1.50", "2", "0.250"]
        for order in (["2", "1.50", "0.250"], ["0.250", "1.50", "2"], ["1.50", "2", "0.250"]):
            page.evaluate("document.querySelectorAll('#candidates-head button')[2].click()")
            assert [row.split("\t")[2] for row in page.evaluate(rows)] == order


@pytest.mark.slow
@in_chromium
def test_text_of_an_episode_is_only_text():
    evil = "<img src=x onerror=console.error(1)>"
    episode = made_up(
        item_ids=(evil, "b", "c"),
        candidates={evil: np.array([evil, "", ""])},
        state={evil: evil},
        next_state={evil: evil + "2"},
        explanation=types.Explanation(evil, [types.ExplanationTable(evil, [evil], {evil: [1]})]),
    )
    with opened(watching.Episode(evil, episode.steps, False)) as page:
        assert page.evaluate("document.querySelectorAll('img').length") == 0
        assert evil in page.evaluate("document.getElementById('agent').innerText")


@pytest.mark.slow
@in_chromium
def test_a_long_episode_of_many_candidates_is_smooth():
    """1,000 steps of 100 candidates: a page of less than 20 MB, a step in less than 100 ms."""
    step = made_up().steps[0]
    rng = np.random.RandomState(0)
    steps = tuple(
        watching.Step(
            item_ids=tuple(map(str, range(100))),
            candidates={"features": rng.normal(size=(100, 20)), "quality": rng.normal(size=100)},
            user={"features": rng.normal(size=20)},
            slate=(5, 7),
            probabilities=step.probabilities,
            responses=step.responses,
            clicked=step.clicked,
            reward=1.0,
            state={"interests": rng.normal(size=20), "budget": float(i)},
            next_state={"interests": rng.normal(size=20), "budget": i + 1.0},
            explanation=types.Explanation(
                "Q", [types.ExplanationTable("candidate", range(100), {"Q": rng.normal(size=100)})]
            ),
        )
        for i in range(1000)
    )
    with opened(watching.Episode("long", steps, True)) as page:
        assert pathlib.Path("episode.html").stat().st_size < 20e6
        seconds = page.evaluate(
            "(() => { const start = performance.now();"
            "for (let i = 0; i < 50; i++) document.getElementById('next').click();"
            "document.body.offsetHeight; return (performance.now() - start) / 50000; })()"
        )
        assert where(page) == 51
        assert seconds < 0.1
