"""The slates that users' action masks allow, and which of them are chosen.

An action mask says which documents may stand in which positions. Positions are filled sequentially,
each by a document that leaves documents for those that follow: where all positions have the same
documents, or each two either the same or none in common (the positions of a page, by category),
that is every document that is left; elsewhere it is looked ahead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from recsim import types
from recsim._internal import action_masks, numbers

__all__ = ["AllowedSlates"]


class AllowedSlates:
    """The slates in which users' documents may stand where they do, no document twice.

    Args:
        masks: bools of shape (n_users, num_candidates, slate_size).

    Attributes:
        is_partition: whether each two positions have the same documents or none in common, bools
            of shape (n_users,).

    Raises:
        ValueError: if a user's slate cannot be filled, naming the user and a position.
    """

    def __init__(self, masks: np.ndarray) -> None:
        self._num_users, self._num_documents, self._slate_size = masks.shape
        self._allowed = np.ascontiguousarray(masks.transpose(2, 0, 1))
        if self._num_documents >= self._slate_size and self._allowed.all():
            self.is_partition = np.ones(self._num_users, np.bool_)
            self._tight = np.empty(0, np.int64)
            return
        # How many documents each two positions share: sums of ones are exact.
        of_positions = masks.astype(np.float32)
        shared = of_positions.swapaxes(1, 2) @ of_positions
        sizes = np.diagonal(shared, axis1=1, axis2=2)
        same = (shared == sizes[:, np.newaxis]) & (shared == sizes[..., np.newaxis])
        self.is_partition = ((shared == 0) | same).all(axis=(1, 2))
        # A position that has more documents than the ones before it that share some with it
        # always has one left.
        before = np.tril(shared > 0, -1).sum(axis=2)
        self._tight = np.flatnonzero((sizes <= before).any(axis=1))
        suspects = self._tight
        if 2**self._slate_size <= 4 * len(suspects):
            fewer, _ = _short_of_documents(self._allowed[:, suspects])
            suspects = suspects[fewer]
        for user in suspects.tolist():
            self._check(user)

    @classmethod
    def of(cls, observation: types.Observation, slate_size: int) -> AllowedSlates | None:
        """Returns those of an observation's users; None where documents have no masks.

        Args:
            observation: of one user, or of users in parallel.
            slate_size: number of positions.

        Raises:
            ValueError: if a mask has another shape or another number than 0 and 1, or a slate
                cannot be filled.
        """
        masks = action_masks.observed(observation["doc"], slate_size)
        return None if masks is None else cls(masks)

    @property
    def masks(self) -> np.ndarray:
        """Which documents may stand where, bools of shape (n_users, num_candidates, slate_size)."""
        masks: np.ndarray = self._allowed.transpose(1, 2, 0)
        return masks

    def _check(self, user: int) -> None:
        """Raises ValueError if a user's slate cannot be filled."""
        allowed = self._allowed[:, user]
        places, documents = _assigned((~allowed).astype(np.float64))
        is_filled = np.zeros(self._slate_size, np.bool_)
        is_filled[places] = allowed[places, documents]
        if is_filled.all():
            return
        place = int(np.flatnonzero(~is_filled)[0])
        there = np.flatnonzero(allowed[place])
        needed = f"but other positions need {'it' if len(there) == 1 else 'them'}"
        raise ValueError(
            "action_mask must leave a document for each position of a slate, got none for position "
            f"{place} of user {user}: {numbers.described(there.tolist())} may stand there"
            f"{', ' + needed if len(there) else ''}. Let more documents stand there, or sample "
            "more candidates."
        )

    def open(self, position: int, taken: np.ndarray) -> np.ndarray:
        """Returns which documents may be next, bools of shape (n_users, num_candidates).

        They may stand in the position, are not in a position before it, and leave documents for
        those after it.

        Args:
            position: the position to be filled next; those before it are filled.
            taken: the documents in those, bools of shape (n_users, num_candidates).
        """
        free: np.ndarray = self._allowed[position] & ~taken
        tight, after = self._tight, self._slate_size - position - 1
        if after and 2**after <= len(tight) * self._num_documents:
            left = self._allowed[position + 1 :, tight] & ~taken[tight]
            _, needed = _short_of_documents(left)
            free[tight] &= ~needed
            return free
        for user in tight.tolist():
            free[user] = self._completable(user, position, taken[user], free[user])
        return free

    def _completable(
        self, user: int, position: int, taken: np.ndarray, free: np.ndarray
    ) -> np.ndarray:
        """Returns which of a user's documents leave some for the positions after one."""
        after = ~self._allowed[position + 1 :, user]
        if not len(after):
            return free
        leaves_some = free.copy()
        for document in np.flatnonzero(free):
            forbidden = after | taken
            forbidden[:, document] = True
            costs = forbidden.astype(np.float64)
            leaves_some[document] = costs[_assigned(costs)].sum() == 0.0
        return leaves_some

    def fill(self, scores: np.ndarray) -> np.ndarray:
        """Returns slates filled position by position, by the document of the highest score.

        Args:
            scores: finite numbers, shape (n_users, num_candidates).

        Returns:
            int32 array of shape (n_users, slate_size).
        """
        slates = np.empty((self._num_users, self._slate_size), np.int32)
        taken = np.zeros((self._num_users, self._num_documents), np.bool_)
        for position in range(self._slate_size):
            open_scores = np.where(self.open(position, taken), scores, -np.inf)
            self._put(open_scores.argmax(axis=1), position, slates, taken)
        return slates

    def _put(
        self, documents: np.ndarray, position: int, slates: np.ndarray, taken: np.ndarray
    ) -> None:
        slates[:, position] = documents
        taken[np.arange(self._num_users), documents] = True

    def best(self, scores: np.ndarray) -> np.ndarray:
        """Returns the slates of the highest sums of scores, by :meth:`fill` in a slate's order.

        They are exact: where positions have the same documents or none in common, filling them in
        turn finds them; elsewhere an assignment problem is solved for each user.

        Args:
            scores: finite numbers, shape (n_users, num_candidates).

        Returns:
            int32 array of shape (n_users, slate_size).
        """
        if self.is_partition.all():
            return self.fill(scores)
        of_best = self._allowed.transpose(1, 2, 0).copy()
        for user in np.flatnonzero(~self.is_partition):
            allowed = self._allowed[:, user]
            costs = np.where(allowed, -scores[user].astype(np.float64), np.inf)
            _, documents = _assigned(costs)
            chosen = np.zeros(self._num_documents, np.bool_)
            chosen[documents] = True
            of_best[user] &= chosen[:, np.newaxis]
        return AllowedSlates(of_best).fill(scores)

    def random(self, uniforms: np.ndarray) -> np.ndarray:
        """Returns slates filled position by position, each open document with equal probability.

        Where positions have the same documents or none in common, all slates that the masks allow
        are equally likely.

        Args:
            uniforms: random numbers in [0, 1), shape (n_users, slate_size).

        Returns:
            int32 array of shape (n_users, slate_size).
        """
        slates = np.empty((self._num_users, self._slate_size), np.int32)
        taken = np.zeros((self._num_users, self._num_documents), np.bool_)
        for position in range(self._slate_size):
            numbers_of_open = self.open(position, taken).cumsum(axis=1)
            counts = numbers_of_open[:, -1:]
            which = (uniforms[:, position, np.newaxis] * counts).astype(np.int64)
            # A product with a number below 1 may be rounded up.
            np.minimum(which, counts - 1, out=which)
            self._put((numbers_of_open > which).argmax(axis=1), position, slates, taken)
        return slates

    def sample(self, scores: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Returns slates filled position by position, open documents by a softmax of their scores.

        Args:
            scores: finite numbers, shape (n_users, num_candidates).
            uniforms: random numbers in [0, 1), shape (n_users, slate_size).

        Returns:
            int32 array of shape (n_users, slate_size).
        """
        slates = np.empty((self._num_users, self._slate_size), np.int32)
        taken = np.zeros((self._num_users, self._num_documents), np.bool_)
        for position in range(self._slate_size):
            logits = np.where(self.open(position, taken), scores, -np.inf).astype(np.float64)
            sums = np.exp(logits - logits.max(axis=1, keepdims=True)).cumsum(axis=1)
            total = sums[:, -1:]
            # A product with a number below 1 may be rounded up.
            reached = np.minimum(
                uniforms[:, position, np.newaxis] * total, np.nextafter(total, 0.0)
            )
            self._put((sums > reached).argmax(axis=1), position, slates, taken)
        return slates

    def opened(self, slates: np.ndarray) -> np.ndarray:
        """Returns what was open at each position of slates that were filled in turn.

        Args:
            slates: slates that the masks allow, shape (n_users, slate_size).

        Returns:
            Bools of shape (n_users, slate_size, num_candidates).
        """
        found = np.empty((self._num_users, self._slate_size, self._num_documents), np.bool_)
        taken = np.zeros((self._num_users, self._num_documents), np.bool_)
        for position in range(self._slate_size):
            found[:, position] = self.open(position, taken)
            taken[np.arange(self._num_users), slates[:, position]] = True
        return found

    def contain(self, slates: np.ndarray) -> np.ndarray:
        """Says which slates are among them.

        Args:
            slates: integers of shape (n_slates, slate_size).

        Returns:
            Bools of shape (n_users, n_slates).
        """
        allowed = np.ones((self._num_users, len(slates)), np.bool_)
        for position in range(self._slate_size):
            allowed &= self._allowed[position][:, slates[:, position]]
        distinct = np.diff(np.sort(slates, axis=1), axis=1).all(axis=1)
        result: np.ndarray = allowed & distinct
        return result


def _short_of_documents(allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Says whose positions have fewer documents than positions, and which ones they all need.

    By Hall's theorem positions can be filled if any set of them has as many documents; a set that
    has no more needs all of them.

    Args:
        allowed: which documents may stand where, bools of shape (num_positions, n_users,
            num_documents). All sets of positions are looked at.

    Returns:
        Bools of shape (n_users,), and of shape (n_users, num_documents).
    """
    fewer = np.zeros(allowed.shape[1], np.bool_)
    needed = np.zeros(allowed.shape[1:], np.bool_)
    nothing = np.zeros(allowed.shape[1:], np.bool_)
    # Documents of sets of positions, the sets' sizes, and the first position to be added to them.
    sets = [(nothing, 0, 0)]
    while sets:
        documents, size, first = sets.pop()
        for position in range(first, len(allowed)):
            of_set = documents | allowed[position]
            counts = of_set.sum(axis=1)
            fewer |= counts <= size
            needed |= of_set & (counts == size + 1)[:, np.newaxis]
            sets.append((of_set, size + 1, position + 1))
    return fewer, needed


def _assigned(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns positions and different documents of the least costs, (slate_size, num_documents)."""
    positions, documents = _solver()(costs)
    return positions, documents


@functools.cache
def _solver() -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    from scipy import optimize

    solve: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] = optimize.linear_sum_assignment
    return solve
