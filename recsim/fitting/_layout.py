"""A slate log in the order in which it is computed with: all first steps, then all second ones."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from recsim.fitting import tables

__all__ = ["Layout", "layout_of", "standardized"]

# Numbers that the levels of topics of some sessions may be at a time.
_LEVELS_AT_A_TIME = 4_000_000


@dataclasses.dataclass(frozen=True)
class Layout:
    """The slates of a log, ordered by step and, within a step, by how long their sessions are.

    The slates of step t are those of the first sessions, all that have as many steps, so that what
    passes from a step to the next is the beginning of an array. Positions are on the first axis.

    Attributes:
        order: where slates stand in the log, shape (n_slates,).
        blocks: where each step begins, and the end, shape (n_steps + 1,).
        items: items, 0 where there is none, shape (L, n_slates).
        shown: 1 where there is an item, 0 elsewhere, of that shape; None if there are no gaps.
        clicks: 1 where there was a click, 0 elsewhere, of that shape.
        positions: positions, of that shape.
        users: users, 0 for all where the log has none, shape (n_slates,).
        topics: topics of ``items``, None where items have none.
        num_items: number of items.
        num_users: number of users, at least 1.
        num_positions: one above the greatest position.
        num_topics: number of topics.
    """

    order: np.ndarray
    blocks: Sequence[int]
    items: np.ndarray
    shown: np.ndarray | None
    clicks: np.ndarray
    positions: np.ndarray
    users: np.ndarray
    topics: np.ndarray | None
    num_items: int
    num_users: int
    num_positions: int
    num_topics: int

    @functools.cached_property
    def num_impressions(self) -> int:
        """How many items are shown in all."""
        return self.items.size if self.shown is None else int(self.shown.sum())

    @functools.cached_property
    def clicked(self) -> np.ndarray:
        """1 for slates with a click, 0 for others, shape (n_slates,)."""
        clicked: np.ndarray = self.clicks.max(axis=0)
        return clicked

    @functools.cached_property
    def shares(self) -> np.ndarray:
        """What a clicked item is of those clicked on its slate, shape (L, n_slates)."""
        shares: np.ndarray = self.clicks / np.maximum(self.clicks.sum(axis=0), 1.0)
        return shares

    @functools.cached_property
    def before_click(self) -> np.ndarray:
        """1 at the positions above the first click and at it, 0 below, shape (L, n_slates)."""
        before = self.clicks.cumsum(axis=0) - self.clicks
        return self._masked((before == 0.0).astype(np.float64))

    @functools.cached_property
    def until_last_click(self) -> np.ndarray:
        """1 down to the last click, or everywhere where there is none; shape (L, n_slates)."""
        left = self.clicks[::-1].cumsum(axis=0)[::-1]
        return self._masked(np.where(left > 0.0, 1.0, 1.0 - self.clicked))

    @functools.cached_property
    def after_last_click(self) -> np.ndarray:
        """1 below the last click, 0 elsewhere and where there is none; shape (L, n_slates)."""
        return self._masked(1.0 - self.until_last_click)

    @functools.cached_property
    def last_click(self) -> np.ndarray:
        """1 at the last click of each slate, 0 elsewhere, shape (L, n_slates)."""
        left = self.clicks[::-1].cumsum(axis=0)[::-1]
        last: np.ndarray = self.clicks * (left == 1.0)
        return last

    def _masked(self, values: np.ndarray) -> np.ndarray:
        return values if self.shown is None else values * self.shown

    def by_item(self, values: np.ndarray) -> np.ndarray:
        """Returns sums of values of impressions, shape (L, n_slates), for each item."""
        return np.bincount(self.items.ravel(), values.ravel(), self.num_items)

    def by_user(self, values: np.ndarray) -> np.ndarray:
        """Returns sums of values of slates, shape (n_slates,), for each user."""
        return np.bincount(self.users, values, self.num_users)

    def by_position(self, values: np.ndarray) -> np.ndarray:
        """Returns sums of values of impressions, shape (L, n_slates), for each position."""
        if self.in_order:
            return np.pad(values.sum(axis=1), (0, self.num_positions - len(values)))
        return np.bincount(self.positions.ravel(), values.ravel(), self.num_positions)

    @functools.cached_property
    def in_order(self) -> bool:
        """Whether all slates begin at the first position, and leave none out."""
        return bool((self.positions == np.arange(len(self.positions))[:, None]).all())

    def at_positions(self, values: np.ndarray) -> np.ndarray:
        """Returns values of positions for each impression, or as they broadcast against them."""
        at_positions: np.ndarray = values[: len(self.items), None]
        return at_positions if self.in_order else values[self.positions]

    def impressions(self, values: np.ndarray) -> np.ndarray:
        """Returns values of slates for each impression, 0 where there is no item."""
        return self._masked(np.broadcast_to(values, self.items.shape))

    def steps(self) -> list[tuple[slice, slice, slice]]:
        """Returns for each step but the last: who stays, at that step and at the next, and all."""
        found = []
        for start, middle, end in zip(self.blocks, self.blocks[1:], self.blocks[2:]):
            found.append(
                (slice(start, start + end - middle), slice(middle, end), slice(start, middle))
            )
        return found

    def fatigue_levels(self, memory: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns how tired sessions' users are of the topics shown, and the derivative.

        Args:
            memory: what remains of a level at the next step.

        Returns:
            Levels and their derivatives by the memory, both of shape (L, n_slates).
        """
        assert self.topics is not None
        levels, slopes = np.zeros(self.items.shape), np.zeros(self.items.shape)
        num_sessions = self.blocks[1] if len(self.blocks) > 1 else 0
        at_a_time = max(1, _LEVELS_AT_A_TIME // self.num_topics)
        for first in range(0, num_sessions, at_a_time):
            self._add_levels(levels, slopes, memory, first, min(first + at_a_time, num_sessions))
        return levels, slopes

    def _add_levels(
        self, levels: np.ndarray, slopes: np.ndarray, memory: float, first: int, last: int
    ) -> None:
        """Writes the levels of the sessions from one rank up to another."""
        assert self.topics is not None
        size = self.num_topics
        level = np.zeros((last - first) * size)
        slope = np.zeros_like(level)
        for start, end in zip(self.blocks, self.blocks[1:]):
            here = slice(min(start + first, end), min(start + last, end))
            number = here.stop - here.start
            if not number:
                return
            places = np.arange(number) * size + self.topics[:, here]
            level, slope = level[: number * size], slope[: number * size]
            levels[:, here], slopes[:, here] = level[places], slope[places]
            slope = memory * slope + level
            clicks = np.bincount(places.ravel(), self.clicks[:, here].ravel(), number * size)
            level = memory * level + clicks


def layout_of(log: tables.SlateLog) -> Layout:
    """Returns the layout of a log."""
    num_slates = len(log.items)
    if log.has_users and num_slates:
        _, sessions = np.unique(log.sessions, return_inverse=True)
        lengths = np.bincount(sessions)
        rank = np.empty(len(lengths), np.intp)
        rank[np.argsort(-lengths, kind="stable")] = np.arange(len(lengths))
        # Steps are counted here: those of a log of which slates were taken out have gaps.
        firsts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        by_session = np.lexsort((log.steps, sessions))
        steps = np.empty(num_slates, np.intp)
        steps[by_session] = np.arange(num_slates) - np.repeat(firsts, lengths)
        order = np.lexsort((rank[sessions], steps))
        blocks = np.concatenate([[0], np.cumsum(np.bincount(steps))]).tolist()
        users = np.asarray(log.users, np.intp)[order]
    else:
        order = np.arange(num_slates)
        blocks = [0, num_slates]
        users = np.zeros(num_slates, np.intp)
    given = np.asarray(log.items[order].T, np.intp)
    items = np.maximum(given, 0)
    shown = None if (given >= 0).all() else (given >= 0).astype(np.float64)
    clicks = np.ascontiguousarray(log.clicks[order].T, np.float64)
    if shown is not None:
        clicks *= shown
    topics = None if log.catalogue.topics is None else np.asarray(log.catalogue.topics, np.intp)
    return Layout(
        order=order,
        blocks=blocks,
        items=np.ascontiguousarray(items),
        shown=shown,
        clicks=clicks,
        positions=np.ascontiguousarray(np.maximum(log.positions[order].T, 0), np.intp),
        users=users,
        topics=None if topics is None else topics[items],
        num_items=log.num_items,
        num_users=log.num_users if log.has_users else 1,
        num_positions=log.num_positions,
        num_topics=0 if topics is None else int(topics.max(initial=-1)) + 1,
    )


def standardized(features: np.ndarray) -> np.ndarray:
    """Returns features with mean 0 and deviation 1 in each column, without constant columns."""
    if not features.size:
        return np.zeros((len(features), 0))
    values = np.asarray(features, np.float64)
    spread = values.std(axis=0)
    varies = spread > 1e-12 * (1.0 + np.abs(values).max(axis=0))
    centred: np.ndarray = values[:, varies] - values[:, varies].mean(axis=0)
    scaled: np.ndarray = centred / spread[varies]
    return scaled
