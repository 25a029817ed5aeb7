"""Results of experiments: tables, files, figures, HTML."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pathlib
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from support import chromium
from support.made_up_results import made_up

from recsim.experiments import _figures, _text, plots, results

FAILURE = {"task": "random, seed 3", "error": "ValueError: <no>", "traceback": "Traceback: <no>"}
LONG = "ClusterBanditAgent.ci_scaling=0.5,ClusterBanditAgent.another_parameter_of_it=0.25"


def same(frame, other):
    keys = [name for name in frame if name != "value"]
    pd.testing.assert_frame_equal(
        *(each.sort_values(keys).reset_index(drop=True) for each in (frame, other))
    )


# Text.


def test_table():
    lines = made_up(num_seeds=6).table().splitlines()
    assert lines[0] == "interest_exploration: 6 seeds, 4 users each"
    header = ["agent", "return", "click", "rate", "%", "quality", "steps/s"]
    assert lines[2].split() == header
    best, second, last = (line.split() for line in lines[3:6])
    assert best[0] == "cluster_bandit_ucb1" and best[4] == "*"
    assert second[0] == "greedy_pctr" and "*" not in second and last[0] == "random"
    assert [row[-1] for row in (best, second, last)] == ["12,348"] * 3  # Speed is last.
    assert "Return above that of random, paired by seed (interest_exploration):" in lines
    assert "Return in interest_exploration: clicks." in lines
    assert "topic" not in "\n".join(lines)
    assert str(made_up()) == made_up().table()


@pytest.mark.parametrize("topics", [False, True])
@pytest.mark.parametrize("settings", [("",), ("", LONG)])
def test_tables_of_twenty_topics_fit_eighty_columns(topics, settings):
    text = made_up(num_topics=20, settings=settings, num_users=1).table(topics=topics)
    assert max(map(len, text.splitlines())) <= 80
    assert ("topic 19" in text) == topics


def test_table_says_what_too_few_seeds_cannot():
    text = made_up(num_seeds=1).table()
    assert "interest_exploration: 1 seed, 4 users" in text
    assert "One seed is too few" in text and "paired by user" in text and "P(better)" not in text
    text = made_up(num_seeds=3).table()
    assert "3 seeds are few" in text
    assert "few" not in made_up(num_seeds=5).table()


def test_a_single_agent_is_not_the_best():
    text = made_up(agents=["random"]).table()
    assert "*" not in text and "~" not in text and "above" not in text


def test_equal_agents_are_marked_as_alike():
    rows = [("s", agent, "", seed, 0, "return", float(seed)) for agent in "ab" for seed in range(6)]
    lines = results.Results(pd.DataFrame(rows, columns=list(results.COLUMNS))).table().splitlines()
    assert [lines[3].split()[-1], lines[4].split()[-1]] == ["*", "~"]


def test_long_names_break_between_their_words():
    assert _text.lines_of("a_rather_long_name_of_an_agent (x=0.25, y=1)", 24, "  ") == [
        "a_rather_long_name_of_",
        "  an_agent (x=0.25, y=1)",
    ]
    assert _text.lines_of("agent (ci_scaling=0.5)", 24) == ["agent (ci_scaling=0.5)"]
    assert _text.lines_of("x" * 50, 24, "  ") == ["x" * 22, "  " + "x" * 22, "  " + "x" * 6]
    assert _text.lines_of("", 24) == [""]


def test_failures_are_told():
    made = made_up(metadata=results.Metadata(failures=[FAILURE]))
    assert made.table().splitlines()[-2:] == [
        "1 task failed, and is not in the tables:",
        "random, seed 3: ValueError: <no>",
    ]
    empty = results.Results(
        pd.DataFrame(columns=list(results.COLUMNS)), results.Metadata(failures=[FAILURE])
    )
    assert empty.table().startswith("1 task failed")
    assert "No task has succeeded" in report_of(empty)
    assert "random, seed 3" in empty._repr_html_()


def test_trainings_are_told():
    tasks = {
        str(seed): {
            "settings": {
                "training_steps": {"greedy_pctr": 1000 + seed, "random": 50},
                "training_updates": {"greedy_pctr": 3, "random": 0},
            }
        }
        for seed in range(2)
    }
    text = made_up(metadata=results.Metadata(provenance={"tasks": tasks})).table()
    assert "greedy_pctr was trained for 1,000 to 1,001 steps with other users." in text
    assert "random has learned nothing: it made no update in 50 steps." in text


def equal_agents():
    rows = [
        ("s", agent, "", seed, 0, "return", -1.0 - seed)
        for agent in ("a_b", "b%")
        for seed in range(6)
    ]
    return results.Results(pd.DataFrame(rows, columns=list(results.COLUMNS)))


def test_latex():
    text = equal_agents().to_latex()
    assert text.splitlines()[:8] == [
        "% s: 6 seeds, 1 user each",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"agent & return \\",
        r"\midrule",
        r"a\_b & \textbf{$-$3.5 $\pm$ 2.0} \\",
        r"b\% & \underline{$-$3.5 $\pm$ 2.0} \\",
        r"\bottomrule",
    ]
    assert "% Bold: the best; underlined: cannot be told apart from it" in text
    for line in text.splitlines():
        if not line.startswith("%"):
            assert not re.search(r"(?<!\\)[%_#$](?!-|\\pm|\$| )", line.replace("$-$", "")), line


def test_markdown():
    text = equal_agents().to_markdown()
    assert "| a_b   | -3.5 ± 2.0 * |" in text and "| b%    | -3.5 ± 2.0 ~ |" in text
    assert "- `*` the best; `~` cannot be told apart from it" in text


# Data frames.


def test_frames_are_copies():
    made = made_up()
    frame = made.to_dataframe()
    frame["value"] = 0.0
    assert made.to_dataframe()["value"].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="seed"), "it lacks seed"),
        (lambda frame: frame.assign(seed=0.5), "Column seed of frame must be integers"),
        (lambda frame: frame.assign(value="much"), "Column value of frame must be numbers"),
        (lambda frame: frame.assign(agent=3), "Column agent of frame must be text"),
        (lambda frame: pd.concat([frame, frame]), "several of scenario='interest_exploration'"),
        (lambda frame: frame[:0], "at least one value"),
    ],
)
def test_frames_of_another_kind_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        results.Results(change(made_up().to_dataframe()))


def test_other_than_frames_are_refused():
    with pytest.raises(TypeError, match="frame must be a data frame of pandas, got list"):
        results.Results([1.0])


# Files.


def test_saved_results_are_loaded(tmp_path):
    metadata = results.Metadata({"seeds": 6}, {"argv": ["x"]}, [FAILURE], {"seconds": 3.0})
    made = made_up(metadata=metadata)
    made.save(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [
        "curves.parquet",
        "results.json",
        "results.parquet",
        "steps.parquet",
        "summary.csv",
        "timing.json",
    ]
    loaded = results.Results.load(tmp_path)
    same(loaded.to_dataframe(), made.to_dataframe())
    same(loaded.curves, made.curves)
    same(loaded.steps, made.steps)
    assert loaded.metadata == metadata
    assert loaded.table() == made.table()
    table = pd.read_csv(tmp_path / "summary.csv", keep_default_na=False, na_values=[""])
    assert set(table["measure"]) == set(made.summary()["measure"]) - {"steps_per_second"}
    assert "NaN" not in (tmp_path / "timing.json").read_text()


def test_only_the_times_differ_when_it_is_run_again(tmp_path):
    for name, speed in (("a", 1000.0), ("b", 2000.0)):
        made_up(speed=speed, metadata=results.Metadata(timing={"seconds": speed})).save(
            tmp_path / name
        )
    contents = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        for folder in (tmp_path / "a", tmp_path / "b")
    ]
    differing = {name for name in contents[0] if contents[0][name] != contents[1][name]}
    assert differing == {"timing.json"}


def test_results_are_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    """Whichever renaming is the last before a crash, no mixture is taken for results."""
    old, new = made_up(num_seeds=2), made_up(num_seeds=3)
    replace = os.replace
    outcomes = []
    for crash in range(8):
        old.save(tmp_path)
        calls = iter(range(100))

        def crashing(source, target, calls=calls, crash=crash):
            if next(calls) == crash:
                raise KeyboardInterrupt
            replace(source, target)

        monkeypatch.setattr(os, "replace", crashing)
        try:
            new.save(tmp_path)
        except KeyboardInterrupt:
            with pytest.raises(FileNotFoundError, match="not complete"):
                results.Results.load(tmp_path)
            outcomes.append("none")
        else:
            same(results.Results.load(tmp_path).to_dataframe(), new.to_dataframe())
            outcomes.append("new")
        monkeypatch.setattr(os, "replace", replace)
        assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
    assert outcomes == ["none"] * 6 + ["new"] * 2


def test_a_full_disk_leaves_the_earlier_results(tmp_path, monkeypatch):
    old = made_up(num_seeds=2)
    old.save(tmp_path)
    calls = iter(range(100))

    def fsync(descriptor):
        if next(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        made_up(num_seeds=3).save(tmp_path)
    same(results.Results.load(tmp_path).to_dataframe(), old.to_dataframe())


def test_series_that_are_not_there_any_more_are_removed(tmp_path):
    made_up().save(tmp_path)
    results.Results(made_up().to_dataframe()).save(tmp_path)
    assert not list(tmp_path.glob("curves.parquet")) + list(tmp_path.glob("steps.parquet"))
    loaded = results.Results.load(tmp_path)
    assert loaded.curves is None and loaded.steps is None


def test_other_files_are_not_taken_for_results(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder must hold .* no results\.json"):
        results.Results.load(tmp_path)
    made_up().save(tmp_path)
    (tmp_path / "results.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="is not the file that the results"):
        results.Results.load(tmp_path)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read as results"):
        results.Results.load(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(ValueError, match="must be of results of format 1"):
        results.Results.load(tmp_path)


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="must be a folder that can be written to"):
        made_up().save(tmp_path / "file")
    with pytest.raises(IsADirectoryError, match="path must be a file"):
        made_up().report(tmp_path)


# Figures.


def lines_of(axes):
    return [line for line in axes.lines if len(line.get_xdata()) > 1]


def test_figure_has_returns_and_learning_curves(tmp_path):
    made = made_up(scenarios=["interest_exploration", "long_term_satisfaction"])
    figure = made.plot(tmp_path / "figure.png")
    assert [axes.get_title() for axes in figure.axes] == [
        "interest_exploration: return",
        "interest_exploration: learning curves",
        "long_term_satisfaction: return",
        "long_term_satisfaction: learning curves",
    ]
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert figure._repr_png_().startswith(b"\x89PNG")
    # The intervals of the returns are those of the table.
    of_returns = made.summary().query("measure == 'return' and scenario == 'interest_exploration'")
    drawn = [area.get_segments()[0][:, 0] for area in figure.axes[0].collections]
    np.testing.assert_allclose(drawn, of_returns[["low", "high"]])
    without_curves = results.Results(made.to_dataframe()).plot()
    assert len(without_curves.axes) == 2


def test_figures_have_six_lines_a_panel_in_colours_of_their_own():
    made = made_up(agents=[f"agent {number}" for number in range(14)], num_seeds=2)
    panels = [panel for _, panel in _figures.curve_panels(made)]
    assert len(panels) == 3
    counts = []
    for panel in panels:
        (axes,) = _figures.drawn(panel).axes
        lines = lines_of(axes)
        assert len({line.get_color() for line in lines}) == len(lines)
        counts.append(len(lines))
    assert counts == [6, 6, 2]


def test_an_agent_has_one_colour_in_all_panels():
    made = made_up()
    curves = made.curves[made.curves["agent"] != "cluster_bandit_ucb1"]
    made = results.Results(made.to_dataframe(), curves=curves)
    (_, panel), *_ = _figures.curve_panels(made)
    (axes,) = _figures.drawn(panel).axes
    assert [line.get_color() for line in lines_of(axes)] == [plots.ORANGE, plots.GREEN]


def test_curves_of_other_steps_are_interpolated_where_all_have_values():
    curves = pd.DataFrame(
        [
            *(("s", "a", "", 0, step, float(step)) for step in (10, 20, 30)),
            *(("s", "a", "", 1, step, float(step) + 2.0) for step in (15, 25, 35)),
        ],
        columns=list(results.CURVE_COLUMNS),
    )
    frame = pd.DataFrame([("s", "a", "", 0, 0, "return", 1.0)], columns=list(results.COLUMNS))
    (_, panel), *_ = _figures.curve_panels(results.Results(frame, curves=curves))
    (axes,) = _figures.drawn(panel).axes
    (line,) = lines_of(axes)
    np.testing.assert_allclose(line.get_xdata(), [15, 20, 25, 30])
    np.testing.assert_allclose(line.get_ydata(), [16, 21, 26, 31])


def test_slates_of_many_topics_show_the_largest_shares():
    panels = [panel for _, panel in _figures.episode_panels(made_up(num_topics=20))]
    assert [panel.title for panel in panels] == [
        "interest_exploration: click rate over the episode",
        "interest_exploration: slates of cluster_bandit_ucb1",
        "interest_exploration: slates of greedy_pctr",
        "interest_exploration: slates of random",
    ]
    (axes,) = _figures.drawn(panels[1]).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert len(labels) == 6 and labels[-1] == "15 others"
    # Together they are the whole slate.
    top = axes.collections[-1].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(1.0)


def steps_of(*rows):
    frame = pd.DataFrame([("s", "a", "", 0, 0, "return", 1.0)], columns=list(results.COLUMNS))
    steps = pd.DataFrame(rows, columns=list(results.STEP_COLUMNS))
    return results.Results(frame, steps=steps)


def test_slates_of_short_episodes_have_marks_at_whole_steps():
    rows = [("s", "a", "", 0, step, "slate_share_of_topic_0", 1.0) for step in range(20)]
    ((_, panel),) = _figures.episode_panels(steps_of(*rows))
    (axes,) = _figures.drawn(panel).axes
    assert all(float(mark).is_integer() for mark in axes.get_xticks())


def test_slates_of_all_agents_have_the_same_topics_in_the_same_colours():
    shares = {"a": [0.4, 0.3, 0.1, 0.1, 0.1, 0, 0, 0], "b": [0, 0, 0, 0.1, 0.1, 0.1, 0.3, 0.4]}
    made = steps_of(
        *(
            ("s", agent, "", 0, step, f"slate_share_of_topic_{topic}", share)
            for agent, of_agent in shares.items()
            for topic, share in enumerate(of_agent)
            for step in range(3)
        )
    )
    legends = []
    for _, panel in _figures.episode_panels(made):
        (axes,) = _figures.drawn(panel).axes
        legends.append([text.get_text() for text in axes.get_legend().get_texts()])
    topics = ["topic 0", "topic 1", "topic 3", "topic 6", "topic 7"]
    assert legends == [[*topics, "3 others"]] * 2


def test_what_is_constant_or_a_single_point_is_not_drawn():
    rates = [("s", "a", "", 0, step, "click_through_rate", 1.0) for step in range(3)]
    assert not list(_figures.episode_panels(steps_of(*rates)))
    frame = steps_of(*rates).to_dataframe()
    curves = pd.DataFrame([("s", "a", "", 0, 600, 2.0)], columns=list(results.CURVE_COLUMNS))
    assert not list(_figures.curve_panels(results.Results(frame, curves=curves)))


def test_axes_of_rates_end_at_their_bounds():
    rates = [
        ("s", "a", "", seed, step, "click_through_rate", rate)
        for seed, rate in enumerate([0.0, 0.9])
        for step in range(3)
    ] + [("s", "b", "", 0, 0, "click_through_rate", 0.5)]
    ((_, panel),) = _figures.episode_panels(steps_of(*rates))
    (axes,) = _figures.drawn(panel).axes
    assert axes.get_ylim() == (0.0, 1.0)


def test_nothing_to_draw():
    frame = pd.DataFrame([("s", "a", "", 0, 0, "steps", 1.0)], columns=list(results.COLUMNS))
    with pytest.raises(ValueError, match="nothing to draw"):
        results.Results(frame).plot()
    assert "<table>" in results.Results(frame)._repr_html_()


# HTML.


def report_of(made):
    path = pathlib.Path("report.html").absolute()
    made.report(path)
    return path.read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Parser(HTMLParser):
    """Checks that elements are closed in order, and gathers what refers to something."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.addresses = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        names = ("href", "src", "xlink:href", "action")
        self.addresses += [attributes[name] for name in names if name in attributes]
        if tag not in ("meta", "link", "wbr", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_report_is_one_file():
    metadata = results.Metadata({"name": "<spec>"}, {"python": "3"}, [FAILURE])
    text = report_of(made_up(scenarios=["interest_exploration", "a<b>&"], metadata=metadata))
    found = Parser(text)
    assert all(address.startswith(("#", "data:")) for address in found.addresses)
    assert len(set(found.ids)) == len(found.ids)
    assert {address[1:] for address in found.addresses if address[0] == "#"} <= set(found.ids)
    assert not re.search(r"<script|@import|url\((?!#)", text)
    assert "&lt;no&gt;" in text and "a&lt;b&gt;&amp;" in text and "&lt;spec&gt;" in text
    assert "<no>" not in text and "<spec>" not in text and "<b>" not in text


def test_notebooks_show_tables_and_a_figure():
    text = made_up()._repr_html_()
    Parser(text)
    assert text.count("<table>") == 2 and 'src="data:image/svg+xml;base64,' in text
    assert text.count("<td><strong>") == 3


@pytest.mark.slow
@pytest.mark.needs("chromium")
@pytest.mark.parametrize(
    ("num_agents", "settings", "dark"), [(1, [""], False), (3, ["", LONG], True), (12, [""], False)]
)
def test_report_in_a_browser(num_agents, settings, dark):
    """No network, no errors, nothing wider than a phone, colours of the scheme."""
    made = made_up(
        scenarios=["interest_exploration", "long_term_satisfaction"][: len(settings)],
        agents=[f"an_agent_of_ones_own_with_a_long_name_{number}" for number in range(num_agents)],
        settings=settings,
        num_topics=20,
        metadata=results.Metadata({"text": "x" * 500}, {}, [{**FAILURE, "traceback": "y" * 500}]),
    )
    report_of(made)
    for width in (390, 1200):
        with chromium.opened(pathlib.Path("report.html"), width, dark=dark) as page:
            page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            # What may be wider scrolls in a box of its own.
            outside = page.evaluate(
                "[...document.querySelectorAll('h1,h2,p,figure,svg,.scroll,details,pre')]"
                ".filter(e => e.getBoundingClientRect().right > innerWidth)"
                ".map(e => e.outerHTML.slice(0, 80))"
            )
            assert outside == []
            assert page.evaluate("document.querySelectorAll('figure svg').length") >= 4
            ink, paper = (
                page.evaluate(f"getComputedStyle(document.body).{name}")
                for name in ("color", "backgroundColor")
            )
            brightness = [sum(map(int, re.findall(r"\d+", colour))) for colour in (ink, paper)]
            assert (brightness[0] > brightness[1]) == dark
            assert page.errors == []
            assert [url.partition(":")[0] for url in page.requests] == ["file"]
