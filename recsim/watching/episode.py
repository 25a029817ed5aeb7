"""What was recorded of an episode, as data."""

from __future__ import annotations

import dataclasses
import operator
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from recsim import types
from recsim._internal import files, json_text, paths
from recsim.watching import _page, _terminal
from recsim.watching._leaves import Leaf

__all__ = ["Episode", "Step"]


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """A step of an episode.

    Values are numbers, arrays of numbers and text by name: what is nested in an observation has
    dots in its name, and an observation that is only an array is called ``features``.

    Attributes:
        item_ids: the candidates' IDs, in the order that the slate indexes.
        candidates: their features, arrays with the candidates on axis 0.
        user: what is observed of the user.
        slate: what was shown: indices of candidates.
        probabilities: the probabilities that the user chooses each position and, last, none of
            them, float64 of shape (len(slate) + 1,); None where they are not known.
        responses: the user's responses, arrays with the positions of the slate on axis 0.
        clicked: the positions that were clicked; None where responses do not say so.
        reward: the reward of the slate.
        state: the user's hidden state before the step: those attributes that hold numbers or text.
        next_state: the hidden state after it.
        explanation: what the agent went by; None where it does not say.
        item_names: what people call the candidates; None where the scenario does not say.
    """

    item_ids: tuple[str, ...]
    candidates: Mapping[str, np.ndarray]
    user: Mapping[str, Leaf]
    slate: tuple[int, ...]
    probabilities: np.ndarray | None
    responses: Mapping[str, np.ndarray]
    clicked: tuple[int, ...] | None
    reward: float
    state: Mapping[str, Leaf]
    next_state: Mapping[str, Leaf]
    explanation: types.Explanation | None
    item_names: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the step as dictionaries, lists, numbers and text."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.explanation is not None:
            fields["explanation"] = {
                "title": self.explanation.title,
                "tables": [vars(table) for table in self.explanation.tables],
                "numbers": self.explanation.numbers,
            }
        return {name: _plain(value) for name, value in fields.items()}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Episode:
    """An episode in which an agent recommended to one user.

    It is a sequence of its steps. Notebooks show it as a page to step through.

    Attributes:
        title: a line on the agent and the environment.
        steps: the steps.
        truncated: whether the limit on its steps ended it, not the environment.

    Example:
        >>> import recsim
        >>> env = recsim.environments.interest_exploration.create_environment(
        ...     {"num_candidates": 5, "slate_size": 2, "resample_documents": True, "seed": 0})
        >>> agent = recsim.registry.create_agent("random", env)
        >>> episode = recsim.watch(env, agent, max_steps=3, show=False)
        >>> len(episode), episode[0].candidates["quality"].shape
        (3, (5,))
    """

    title: str
    steps: tuple[Step, ...]
    truncated: bool

    @property
    def total_reward(self) -> float:
        """The sum of the rewards."""
        return float(sum(step.reward for step in self.steps))

    @property
    def length(self) -> str:
        """The number of its steps, as text: ``'1 step'``, ``'1,200 steps'``."""
        return f"{len(self):,} step{'' if len(self) == 1 else 's'}"

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> Step:
        return self.steps[index]

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __repr__(self) -> str:
        return f"<Episode of {self.length}, return {self.total_reward:g}: {self.title}>"

    def to_dict(self) -> dict[str, Any]:
        """Returns the episode as dictionaries, lists, numbers and text."""
        return {
            "title": self.title,
            "truncated": self.truncated,
            "total_reward": self.total_reward,
            "steps": [step.to_dict() for step in self.steps],
        }

    def to_json(self, path: paths.Path | None = None) -> str:
        """Returns :meth:`to_dict` as JSON, with null for what is not a finite number.

        Args:
            path: a file to write it to as well.

        Raises:
            OSError: if the file cannot be written.
        """
        text = json_text.dumps(self.to_dict())
        if path is not None:
            _write("path", path, text)
        return text

    def to_html(self, path: paths.Path) -> None:
        """Writes a page on which one steps through the episode; it needs no other file.

        A page holds three million numbers at most: of a longer episode the first steps, which the
        page says.

        Args:
            path: the file.

        Raises:
            OSError: if it cannot be written.
        """
        _write("path", path, _page.page(self))

    def _repr_html_(self) -> str:
        return _page.notebook(self)

    def text(self, index: int, width: int = 80) -> str:
        """Returns a step as text.

        Args:
            index: which step; -1 is the last one.
            width: the length of a line, at least 40.

        Raises:
            IndexError: if there is no such step.
        """
        try:
            number = range(len(self))[operator.index(index)]
        except IndexError:
            raise IndexError(
                f"index must be that of a step, 0 to {len(self) - 1}, or from the end, "
                f"{-len(self)} to -1, got {index}."
            ) from None
        return _terminal.text(self, number, max(width, 40))

    def show(self, *, keys: TextIO | None = None) -> None:
        """Prints the episode, step by step where somebody can press keys.

        Args:
            keys: what keys are read from; the standard input by default, if it is a terminal.
                Without them all steps are printed.
        """
        if keys is None and sys.stdin is not None and sys.stdin.isatty():
            keys = sys.stdin
        _terminal.show(self, shutil.get_terminal_size().columns, keys)


def _write(name: str, path: paths.Path, text: str) -> None:
    with files.atomic_file(paths.output_file(name, path)) as file:
        file.write(text.encode())


def _plain(value: object) -> object:
    """Returns data as dictionaries with texts as keys, lists, numbers and text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        plain: object = value.tolist()
        return plain
    if isinstance(value, str) or not isinstance(value, Sequence):
        return value
    return [_plain(entry) for entry in value]
