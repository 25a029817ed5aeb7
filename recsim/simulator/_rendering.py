"""What a step of an environment looks like: as text, and as a picture drawn without a display."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim import types

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RENDER_MODES", "Episode", "hidden_state", "picture", "text"]

#: What Gymnasium calls a text, a text that is printed at each step, and a picture.
RENDER_MODES = ("ansi", "human", "rgb_array")

#: Of more numbers the first are written, and how many there are.
_MAX_WRITTEN = 6
#: So many documents of a slate fit into a picture.
_MAX_DRAWN = 12
_COLUMNS = 4

_SIZE = 9.6, 6.4  # In inches of 100 pixels.
_INK, _MUTED, _CHOSEN, _LINE = "#1f2933", "#5f6b7a", "#b45309", "#2563a8"


@dataclasses.dataclass(frozen=True)
class _Shown:
    """A document that was shown.

    Attributes:
        position: its position in the slate.
        candidate: its index among the candidates.
        document_id: its ID.
        features: what is observed of it, by name.
        response: what is observed of the response to it, by name.
    """

    position: int
    candidate: int
    document_id: str
    features: Mapping[str, np.ndarray]
    response: Mapping[str, np.ndarray]

    @property
    def is_chosen(self) -> bool | None:
        """Whether the user clicked it; None if responses do not say."""
        for name in ("click", "clicked"):
            if name in self.response:
                return bool(self.response[name].any())
        return None


class Episode:
    """What there is to see of the episode under way.

    Attributes:
        rewards: the rewards so far.
        shown: the documents of the last slate; none after a reset.
        user: what is observed of the user now, by name.
        num_candidates: number of the candidates for the next slate.
        has_ended: whether the environment has ended the episode.
    """

    def __init__(self, observation: types.Observation) -> None:
        self.rewards: list[float] = []
        self.shown: list[_Shown] = []
        self.has_ended = False
        self._see(observation)

    def _see(self, observation: types.Observation) -> None:
        self._documents = dict(observation["doc"])
        self.num_candidates = len(self._documents)
        self.user = _numbers(observation["user"], "user")

    def add(
        self, slate: types.Slate, observation: types.Observation, reward: float, done: bool
    ) -> None:
        """Adds a step.

        Args:
            slate: what was shown, indices of the candidates of the observation before.
            observation: what is observed after it, in RecSim's form.
            reward: the reward.
            done: whether the environment ended the episode.
        """
        documents = list(self._documents.items())
        self.shown = [
            _Shown(
                position,
                int(candidate),
                documents[candidate][0],
                features := _numbers(documents[candidate][1], "feature"),
                _without_repeated(_numbers(response, "response"), features),
            )
            for position, (candidate, response) in enumerate(
                zip(np.asarray(slate).tolist(), observation["response"])
            )
        ]
        self.rewards.append(reward)
        self.has_ended = done
        self._see(observation)

    @property
    def headline(self) -> str:
        """The number of the step, its reward and the sum of the rewards."""
        if not self.rewards:
            return f"a new episode, {self.num_candidates} candidates"
        end = ", the end" if self.has_ended else ""
        return (
            f"step {len(self.rewards)}{end}: reward {_written(self.rewards[-1])}, "
            f"return {_written(sum(self.rewards))}"
        )


def _numbers(observed: object, name: str) -> dict[str, np.ndarray]:
    """Returns the arrays of an observation by the keys that lead to them, empty ones left out."""
    found: dict[str, np.ndarray] = {}

    def add(path: tuple[str, ...], part: object) -> None:
        entries: Any = part.items() if isinstance(part, Mapping) else None
        if isinstance(part, tuple):
            entries = enumerate(part)
        if entries is not None:
            for key, entry in entries:
                add((*path, str(key)), entry)
        elif np.size(numbers := np.asarray(part)):
            found["_".join(path) or name] = np.atleast_1d(numbers)

    add((), observed)
    return found


def _without_repeated(
    response: Mapping[str, np.ndarray], features: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns a response without what the features say, and with names that are not theirs."""
    return {
        f"response_{name}" if name in features else name: array
        for name, array in response.items()
        if name not in features or not np.array_equal(array, features[name])
    }


def hidden_state(user_state: object) -> dict[str, np.ndarray]:
    """Returns the attributes of a user's state that are numbers or arrays of them, by name."""
    return {
        name.lstrip("_"): np.atleast_1d(np.asarray(value))
        for name, value in getattr(user_state, "__dict__", {}).items()
        if isinstance(value, (bool, int, float, np.generic, np.ndarray))
        and np.asarray(value).dtype.kind in "biuf"
        and np.size(value)
    }


def _written(number: float) -> str:
    if float(number).is_integer() and abs(number) < 1e9:
        return str(int(number))
    return f"{number:.3g}"


def _written_array(array: np.ndarray) -> str:
    values = np.ravel(array)
    numbers = [_written(number) for number in values.tolist()]
    if len(numbers) <= _MAX_WRITTEN:
        return " ".join(numbers)
    others = np.flatnonzero(values)
    if len(others) == 1:  # As of a topic that is one-hot.
        return f"{numbers[others[0]]} at {others[0]} of {len(numbers)}, else 0"
    return f"{' '.join(numbers[: _MAX_WRITTEN - 2])} … ({len(numbers)} numbers)"


def text(title: str, episode: Episode, state: Mapping[str, np.ndarray] | None) -> str:
    """Returns the last step of an episode as a text of several lines.

    Args:
        title: what the environment is called.
        episode: the episode.
        state: the user's hidden state after the step, by name; None to leave it out.
    """
    lines = [f"{title}, {episode.headline}"]
    if episode.shown:
        lines += _table(episode.shown)
    for heading, values in (("user", episode.user), ("hidden state", state or {})):
        if values:
            lines.append(f"  {heading}")
            width = max(map(len, values))
            lines += [
                f"    {name:<{width}}  {_written_array(array)}" for name, array in values.items()
            ]
    return "\n".join(lines)


def _table(shown: Sequence[_Shown]) -> list[str]:
    names = {name: None for each in shown for name in (*each.features, *each.response)}
    rows = [["", "position", "candidate", "document", *names]]
    for each in shown:
        values = {**each.features, **each.response}
        cells = [_written_array(values[name]) if name in values else "" for name in names]
        chosen = "chosen" if each.is_chosen else ""
        rows.append([chosen, str(each.position), str(each.candidate), each.document_id, *cells])
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        ("  " + "  ".join(f"{entry:<{width}}" for entry, width in zip(row, widths))).rstrip()
        for row in rows
    ]


def picture(title: str, episode: Episode, state: Mapping[str, np.ndarray] | None) -> np.ndarray:
    """Returns the last step of an episode as a picture, uint8 of shape (640, 960, 3).

    Args:
        title: what the environment is called.
        episode: the episode.
        state: the user's hidden state after the step, by name; None to leave it out.
    """
    # Neither pyplot nor a backend is touched: a script may draw in a window beside.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=100, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    figure.text(0.03, 0.955, title, fontsize=13, color=_INK, weight="bold", va="center")
    figure.text(0.03, 0.91, episode.headline, fontsize=12, color=_INK, va="center")
    _draw_slate(figure.add_axes((0.03, 0.37, 0.94, 0.5)), episode)
    _draw_rewards(figure.add_axes((0.08, 0.1, 0.38, 0.19)), episode.rewards)
    below = figure.add_axes((0.55, 0.1, 0.42, 0.19))
    if state is None:
        _draw_values(below, "user, as observed", episode.user)
    else:
        _draw_values(below, "hidden state of the user", state)
    drawn: Any = canvas
    drawn.draw()
    return np.array(drawn.buffer_rgba())[..., :3].copy()


def _drawn(shown: Sequence[_Shown]) -> list[_Shown]:
    """Returns the documents that fit into a picture, the chosen ones among them."""
    if len(shown) <= _MAX_DRAWN:
        return list(shown)
    chosen = [each for each in shown if each.is_chosen][:_MAX_DRAWN]
    others = [each for each in shown if each not in chosen][: _MAX_DRAWN - len(chosen)]
    return sorted([*chosen, *others], key=lambda each: each.position)


def _draw_slate(axes: Axes, episode: Episode) -> None:
    axes.set_axis_off()
    drawn = _drawn(episode.shown)
    columns = min(max(len(drawn), 2), _COLUMNS)
    rows = max(1, -(-len(drawn) // _COLUMNS))
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    if not drawn:
        axes.text(columns / 2, 0.5, "no slate yet", ha="center", color=_MUTED, fontsize=12)
    for place, each in enumerate(drawn):
        _draw_card(axes, place % columns, place // columns, each, rows, columns)
    if left_out := len(episode.shown) - len(drawn):
        axes.set_title(
            f"{left_out} documents of the slate are left out", fontsize=9, color=_MUTED, loc="right"
        )


def _draw_card(
    axes: Axes, column: int, row: int, shown: _Shown, num_rows: int, num_columns: int
) -> None:
    from matplotlib.patches import Rectangle

    color = _CHOSEN if shown.is_chosen else _MUTED
    width = 3.0 if shown.is_chosen else 0.8
    left, top, pitch = column + 0.03, row + 0.04, 0.066 * num_rows
    axes.add_patch(Rectangle((left, top), 0.94, 0.9, fill=False, edgecolor=color, linewidth=width))
    heading = f"position {shown.position}" + ("  CHOSEN" if shown.is_chosen else "")
    lines = [f"candidate {shown.candidate}, document {shown.document_id}"]
    for values in (shown.features, shown.response):
        entries = [f"{name} {_written_array(array)}" for name, array in values.items()]
        lines += entries if num_rows == 1 else [", ".join(entries)]
    bars = max(shown.features.values(), key=np.size, default=np.empty(0)).ravel()
    has_bars = num_rows == 1 and len(bars) > _MAX_WRITTEN
    num_lines = 7 if has_bars else 10 // num_rows
    if len(lines) > num_lines:
        lines = [*lines[: num_lines - 1], f"… {len(lines) - num_lines + 1} more"]
    x, y = left + 0.03, top + 0.9 * pitch
    axes.text(x, y, heading, fontsize=10, color=color, weight="bold", va="center", clip_on=True)
    for line in lines:
        y += pitch
        cut = _cut(line, 132 // num_columns)
        axes.text(x, y, cut, fontsize=8.5, color=_INK, va="center", clip_on=True)
    if has_bars:
        _draw_bars(axes, x, top + 0.79, bars)


def _draw_bars(axes: Axes, left: float, middle: float, numbers: np.ndarray) -> None:
    """Draws small bars of numbers along a line, those of one card to one scale."""
    width = 0.88 / len(numbers)
    axes.plot([left, left + 0.88], [middle, middle], color=_MUTED, linewidth=0.6)
    heights = 0.09 * numbers.astype(float) / max(float(np.abs(numbers).max()), 1e-9)
    places = left + width * (np.arange(len(numbers)) + 0.5)
    axes.bar(places, -heights, 0.8 * width, bottom=middle, color=_LINE)


def _cut(line: str, length: int) -> str:
    return line if len(line) <= length else line[: length - 1] + "…"


def _draw_rewards(axes: Axes, rewards: Sequence[float]) -> None:
    axes.set_title("reward by step", fontsize=9, color=_INK, loc="left")
    _plain(axes)
    steps = np.arange(1, len(rewards) + 1)
    axes.bar(steps, rewards, width=0.8, color=_LINE)
    if len(rewards):
        axes.bar(steps[-1:], rewards[-1:], width=0.8, color=_CHOSEN)
    axes.set_xlim(0.4, max(20, len(rewards)) + 0.6)
    axes.axhline(0, color=_MUTED, linewidth=0.8)


def _draw_values(axes: Axes, title: str, values: Mapping[str, np.ndarray]) -> None:
    """Draws the longest array as bars and writes the others below, or writes all in lines."""
    longest = max(values, key=lambda name: values[name].size, default="")
    if not values or values[longest].size <= _MAX_WRITTEN:
        axes.set_axis_off()
        axes.set_title(title if values else f"{title}: nothing", fontsize=9, color=_INK, loc="left")
        lines = [f"{name} {_written_array(array)}" for name, array in values.items()]
        for place, line in enumerate(lines[:12]):
            x, y = 0.5 * (place // 6), 0.92 - 0.18 * (place % 6)
            axes.text(x, y, _cut(line, 30), fontsize=8.5, color=_INK, va="center")
        return
    others = [
        f"{name} {_written_array(array)}"
        for name, array in values.items()
        if name != longest and array.size <= _MAX_WRITTEN
    ]
    axes.set_title(f"{title}: {longest}", fontsize=9, color=_INK, loc="left")
    _plain(axes)
    numbers = np.ravel(values[longest]).astype(float)
    axes.bar(np.arange(len(numbers)), numbers, width=0.8, color=_LINE)
    axes.axhline(0, color=_MUTED, linewidth=0.8)
    # Bars that one step after another can be compared with.
    bound = max(1.0, float(np.abs(numbers).max()))
    axes.set_ylim(min(0.0, -bound if (numbers < 0).any() else 0.0), bound)
    axes.set_xlim(-0.6, max(4, len(numbers)) - 0.4)
    if others:
        axes.set_xlabel(_cut(", ".join(others), 70), fontsize=8, color=_INK, loc="left")


def _plain(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=8, colors=_MUTED)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_MUTED)
