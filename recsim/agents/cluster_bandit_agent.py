"""A bandit over topics: explores which topic a user clicks, plays its documents of best quality."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from recsim import agent, types
from recsim import spaces as spaces_lib
from recsim._internal import action_masks, arrays, numbers, observations, validation
from recsim._internal.configurable import configurable
from recsim.agents import _propensities, agent_utils
from recsim.agents.bandits import algorithms
from recsim.agents.layers import abstract_click_bandit
from recsim.vector import agent as vector_agent
from recsim.vector import streams

__all__ = ["ClusterBanditAgent", "GreedyClusterAgent", "VectorClusterBanditAgent"]


@configurable()
class ClusterBanditAgent(abstract_click_bandit.AbstractClickBanditLayer):
    """A click bandit whose arms are the topics (clusters) of the documents.

    The bandit orders the topics by their clicks and impressions, which
    :class:`~recsim.agents.layers.cluster_click_statistics.ClusterClickStatsLayer` puts into the
    observation; within a topic the documents of the highest quality come first.

    Args:
        observation_space: space of the observations, whose documents have ``cluster_id``
            (``Discrete``, or a ``Box`` of one entry whose upper bound is the last topic) and
            ``quality``.
        action_space: the ``MultiDiscrete`` space of slates.
        alg_ctor: class of the bandit algorithm, a subclass of MABAlgorithm.
        ci_scaling: width of the confidence bounds, the bandit's ``optimism_scaling``.
        random_seed: seed of the bandit.
        propensity_samples: from how many sampled slates the probabilities of Thompson sampling
            are estimated, which takes so many times as long as a slate; None for not at all. Those
            of UCB1 and KL-UCB, 0 and 1, need none.
        **kwargs: arguments for the topics' agents.

    Raises:
        ValueError: as :class:`AbstractClickBanditLayer`, or if documents have no
            ``cluster_id`` of such a space.
    """

    arms_are = "topic"

    def __init__(
        self,
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        alg_ctor: Callable[..., algorithms.MABAlgorithm] = algorithms.UCB1,
        ci_scaling: float = 1.0,
        random_seed: int | None = 0,
        *,
        propensity_samples: int | None = None,
        **kwargs: Any,
    ) -> None:
        if propensity_samples is not None:
            validation.positive_int("propensity_samples", propensity_samples)
        self._propensity_samples = propensity_samples
        observations.check_space(observation_space, "doc")
        documents = observations.fields_of_document(
            observation_space.spaces["doc"], "cluster_id", "quality"
        )
        num_topics = agent_utils.number_of_topics(
            "observation_space['doc']", documents.get("cluster_id")
        )
        arm_ctors = [functools.partial(GreedyClusterAgent, cluster_id=i) for i in range(num_topics)]
        super().__init__(
            observation_space,
            action_space,
            arm_ctors,
            alg_ctor=alg_ctor,
            ci_scaling=ci_scaling,
            random_seed=random_seed,
            **kwargs,
        )

    @property
    def propensity_samples(self) -> int | None:
        """From how many sampled slates the probabilities of Thompson sampling are estimated."""
        return self._propensity_samples

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities | None:
        """See :meth:`recsim.types.KnowsPropensities.propensities`.

        Those of UCB1 and KL-UCB are exact. Those of Thompson sampling are of documents at their
        positions alone, and estimated: (c + 1/2) / (n + 1), where c out of n sampled slates have
        the document there.
        """
        counts = observation["user"]["sufficient_statistics"]
        documents = list(observation["doc"].values())
        topics = np.array([int(document["cluster_id"]) for document in documents])[np.newaxis]
        qualities = np.array([float(document["quality"]) for document in documents])[np.newaxis]

        def slates(bandit: algorithms.MABAlgorithm) -> np.ndarray:
            impressions, clicks = (
                np.asarray(counts[name])[np.newaxis] for name in ("impression_count", "click_count")
            )
            of_topics = _priorities(bandit, impressions, clicks)[:, topics[0]]
            # By topic, then quality, then index, all falling.
            order = np.lexsort((np.arange(len(documents))[np.newaxis], qualities, of_topics))
            return order[:, ::-1][:, : self._slate_size]

        seed = _seed_of(self.random_seed, counts)
        single = np.asarray(slate)[np.newaxis]
        known = _propensities_of(self.bandit, slates, single, self._propensity_samples, seed)
        return None if known is None else _propensities.of_user(known, 0)

    def serving(self) -> agent.Serving:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.serving`."""
        of_layer = super().serving()
        settings = {name: of_layer.settings[name] for name in ("alg_ctor", "ci_scaling")}
        settings["propensity_samples"] = self._propensity_samples
        return dataclasses.replace(of_layer, settings=settings)


class GreedyClusterAgent(agent.AbstractEpisodicRecommenderAgent):
    """Recommends all documents of one topic (cluster), by falling quality.

    Args:
        observation_space: space of the observations, which :meth:`save` needs.
        action_space: the ``MultiDiscrete`` space of slates.
        cluster_id: the topic, an integer >= 0.
        **kwargs: not used; there is a warning for what is not among the arguments of RecSim's
            agents.
    """

    def __init__(
        self,
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        cluster_id: int,
        **kwargs: Any,
    ) -> None:
        agent_utils.warn_of_unused(GreedyClusterAgent, kwargs, also_known=ClusterBanditAgent)
        super().__init__(action_space)
        action_masks.refuse(self, observation_space)
        self._keep_space(observation_space)
        self._cluster_id = validation.positive_int("cluster_id", cluster_id, minimum=0)

    def step(self, reward: float, observation: types.Observation) -> list[int]:
        """Returns the topic's documents, best first, the later one first where two tie.

        Returns:
            Indices into ``observation['doc']``, of any number.
        """
        del reward
        documents = observations.entry(observation, "doc").values()
        try:
            qualities = {
                index: document["quality"].item()
                for index, document in enumerate(documents)
                if document["cluster_id"] == self._cluster_id
            }
            # One that is not a number would leave them unsorted, and makes their sum another.
            usual = len(qualities) < 2 or math.isfinite(sum(qualities.values()))
        except (AttributeError, TypeError, ValueError):
            usual = False
        if not usual:
            qualities = self._checked_qualities(documents)
        ascending = sorted(qualities, key=qualities.__getitem__)
        return ascending[::-1]

    def explain(self, observation: types.Observation) -> types.Explanation:
        """See :meth:`recsim.types.Explains.explain`."""
        documents = observations.entry(observation, "doc").values()
        qualities = self._checked_qualities(documents)
        quality = {"quality": list(qualities.values())}
        return types.Explanation(
            f"The candidates of topic {self._cluster_id}, by falling quality.",
            [types.ExplanationTable("candidate", list(qualities), quality)],
        )

    def serving(self) -> agent.Serving:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.serving`."""
        return dataclasses.replace(
            super().serving(),
            settings={"cluster_id": self._cluster_id},
            response_fields=(),
            any_slate_size=True,
            any_number_of_items=True,
        )

    def user_state(self) -> None:
        """Returns None: it knows nothing of users."""

    def load_user_state(self, state: None) -> None:
        """Does nothing."""

    def _checked_qualities(self, documents: Iterable[Mapping[str, Any]]) -> dict[int, float]:
        """Returns the qualities of the topic's documents by index; refuses what is not a number."""
        return {
            index: numbers.finite("a document's quality", document["quality"])
            for index, document in enumerate(documents)
            if numbers.as_int("a document's cluster_id", document["cluster_id"]) == self._cluster_id
        }


class VectorClusterBanditAgent(vector_agent.ChunkedVectorAgent):
    """Recommends to users in parallel what a :class:`ClusterBanditAgent` for each would.

    The clicks and impressions come from
    :class:`~recsim.agents.layers.cluster_click_statistics.VectorClusterClickStatsLayer`. What a
    user gets depends on the observations, the seed and the user's number, see
    :mod:`recsim.vector.streams`.

    Args:
        environment: the environment to recommend in, whose observations have
            ``impression_count`` and ``click_count`` in ``['user']['sufficient_statistics']``, and
            documents with ``cluster_id`` and ``quality``.
        alg_ctor: class of the bandit algorithm, a subclass of MABAlgorithm whose ``get_score``
            takes ``pulls`` and ``reward`` of shape (n_users, num_arms) and rounds of shape
            (n_users,), as those of :mod:`recsim.agents.bandits.algorithms` do. Its generator
            samples from Beta distributions only.
        ci_scaling: width of the confidence bounds, the bandit's ``optimism_scaling``.
        random_seed: seed of the bandit, an integer >= 0.
        propensity_samples: see :class:`ClusterBanditAgent`.

    What is None has the value that :class:`ClusterBanditAgent` has: gin's bindings of that class
    count here too.

    Raises:
        ValueError: if there are fewer than two topics, documents have no suitable ``cluster_id``,
            or the observations have no counts of that many topics.
    """

    def __init__(
        self,
        environment: vector_agent.UsersAndSpaces,
        alg_ctor: Callable[..., algorithms.MABAlgorithm] | None = None,
        ci_scaling: float | None = None,
        random_seed: int | None = None,
        *,
        propensity_samples: int | None = None,
    ) -> None:
        super().__init__(environment)
        if random_seed is not None:
            validation.positive_int("random_seed", random_seed, 0, 2**32 - 1)
        given: dict[str, Any] = {
            "alg_ctor": alg_ctor,
            "ci_scaling": ci_scaling,
            "random_seed": random_seed,
            "propensity_samples": propensity_samples,
        }
        of_one_user = ClusterBanditAgent(
            spaces_lib.single_user_space(environment.single_observation_space),
            environment.single_action_space,
            **{name: value for name, value in given.items() if value is not None},
        )
        seed = validation.positive_int("random_seed", of_one_user.random_seed, 0)
        self._seed = seed
        self._propensity_samples = of_one_user.propensity_samples
        self._make_streams(seed, "bandit", np.float64)
        self._bandits = []
        for stream in self._streams:
            bandit = copy.deepcopy(of_one_user.bandit)
            bandit.sample_from(_BetaStream(stream))
            self._bandits.append(bandit)
        self._settings_made_for = of_one_user.serving().settings
        self._random_seed = seed

    def single_user_agent(self) -> ClusterBanditAgent:
        """See :meth:`recsim.vector.agent.AbstractVectorAgent.single_user_agent`."""
        settings: dict[str, Any] = dict(self._settings_made_for)
        space, seed = self._single_user_space(), self._random_seed
        return ClusterBanditAgent(space, self._made_for[1], random_seed=seed, **settings)

    def _slates_of_chunks(self, observation: types.Observation) -> Iterator[np.ndarray]:
        for bandit, slates in zip(self._bandits, self._choices_of_chunks(observation), strict=True):
            yield slates(bandit)

    def _choices_of_chunks(
        self, observation: types.Observation
    ) -> Iterator[Callable[[algorithms.MABAlgorithm], np.ndarray]]:
        """Returns a function of a bandit for each chunk, which returns its users' slates."""
        counts = observation["user"]["sufficient_statistics"]
        documents = observation["doc"]
        topics = numbers.whole_per_item("documents' cluster_id", documents["cluster_id"], 2)
        qualities = numbers.finite_per_item("documents' quality", documents["quality"], 2)
        for rows in self._rows:
            yield functools.partial(
                _slates_of,
                impressions=counts["impression_count"][rows],
                clicks=counts["click_count"][rows],
                slate_size=self._slate_size,
                topics=topics[rows],
                qualities=qualities[rows],
            )

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities | None:
        """See :meth:`ClusterBanditAgent.propensities`."""
        counts = observation["user"]["sufficient_statistics"]
        slates = np.asarray(slate)
        parts = []
        choices = self._choices_of_chunks(observation)
        for bandit, choose, rows in zip(self._bandits, choices, self._rows, strict=True):
            of_rows = {name: counts[name][rows] for name in ("impression_count", "click_count")}
            seed = _seed_of(self._seed, of_rows)
            known = _propensities_of(bandit, choose, slates[rows], self._propensity_samples, seed)
            if known is None:
                return None
            parts.append(known)
        return _propensities.joined(parts)


class _BetaStream:
    """The generator of Thompson sampling that gives each user numbers of their own.

    The number of uniform numbers that NumPy's generators take for one of a Beta distribution
    varies. Here it is one, so that the numbers of a user do not depend on those of others.

    Args:
        stream: the random stream.
    """

    def __init__(self, stream: streams.RandomStream) -> None:
        self._stream = stream

    def beta(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Returns numbers of Beta distributions, of the shape (n_users, …) of the parameters."""
        from scipy import special

        sampled: np.ndarray = special.betaincinv(a, b, self._stream.uniform(*a.shape[1:]))
        # SciPy finds no quantile of some distributions that are as narrow as a float.
        unknown = np.isnan(sampled)
        if unknown.any():
            sampled[unknown] = (a / (a + b))[unknown]
        return sampled


def _priorities(
    bandit: algorithms.MABAlgorithm, impressions: np.ndarray, clicks: np.ndarray
) -> np.ndarray:
    """Returns in which order users get topics, as AbstractClickBanditLayer orders its arms.

    Args:
        bandit: the bandit of these users.
        impressions: how often topics were shown, shape (n_users, num_topics).
        clicks: how often they were clicked, of the same shape.

    Returns:
        Numbers from 0, for the topic that comes last, to num_topics - 1, int32 of the same shape.
    """
    if (clicks > impressions).any() or clicks.min() < 0:
        raise ValueError(
            "A topic's click_count must be from 0 to its impression_count, got observations of "
            "users with others."
        )
    rounds = impressions.sum(axis=1)
    bandit.pulls, bandit.reward = impressions, clicks
    scores = bandit.get_score(rounds)
    some_not_shown = (impressions == 0).any(axis=1)
    if some_not_shown.any():
        fewest_first = np.negative(impressions, dtype=np.float64)
        scores = np.where(some_not_shown[:, np.newaxis], fewest_first, scores)
    priorities = np.empty(scores.shape, np.int32)
    numbers = np.arange(scores.shape[1], dtype=np.int32)
    # Of topics that tie the last one comes first, but for the first slate of an episode.
    ascending = scores.argsort(axis=1, kind="stable")
    np.put_along_axis(priorities, ascending, numbers[np.newaxis], axis=1)
    priorities[rounds == 0] = numbers[::-1]
    return priorities


def _slates_of(
    bandit: algorithms.MABAlgorithm,
    *,
    impressions: np.ndarray,
    clicks: np.ndarray,
    slate_size: int,
    topics: np.ndarray,
    qualities: np.ndarray,
) -> np.ndarray:
    """Returns the slates that a bandit gives to users, shape (n_users, slate_size)."""
    priorities = _priorities(bandit, impressions, clicks)
    return _best_documents(slate_size, priorities, topics, qualities)


def _seed_of(seed: int | None, counts: Mapping[str, np.ndarray]) -> list[int]:
    """Returns a seed that depends on users' counts, so that nothing has to be remembered."""
    sums = [zlib.crc32(np.asarray(counts[name]).tobytes()) for name in sorted(counts)]
    return [seed or 0, *sums]


def _propensities_of(
    bandit: algorithms.MABAlgorithm,
    choose: Callable[[algorithms.MABAlgorithm], np.ndarray],
    slates: np.ndarray,
    num_samples: int | None,
    seed: Sequence[int],
) -> types.Propensities | None:
    """Returns the probabilities of users' slates, None where they are not known.

    Args:
        bandit: the bandit, which is left as it is.
        choose: function of a bandit that returns the slates, shape (n_users, slate_size).
        slates: the slates to ask for, shape (n_users, …, slate_size).
        num_samples: from how many sampled slates those of Thompson sampling are estimated.
        seed: of their generator.
    """
    if type(bandit) in (algorithms.UCB1, algorithms.KLUCB):
        return _propensities.deterministic(slates, choose(copy.deepcopy(bandit)))
    if not isinstance(bandit, algorithms.ThompsonSampling) or num_samples is None:
        return None
    sampling = copy.deepcopy(bandit)
    sampling.sample_from(np.random.default_rng(seed))
    times = np.full(slates.shape, 0.5)
    for _ in range(num_samples):
        sampled = choose(sampling)
        times += slates == sampled.reshape(len(sampled), *[1] * (slates.ndim - 2), -1)
    return types.Propensities(None, times / (num_samples + 1), None, num_samples)


def _best_documents(
    slate_size: int, priorities: np.ndarray, cluster_id: np.ndarray, quality: np.ndarray
) -> np.ndarray:
    """Returns the documents of the topics that come first, by falling quality in each topic.

    Args:
        slate_size: number of documents of a slate.
        priorities: what :func:`_priorities` returned, shape (n_users, num_topics).
        cluster_id: topics, shape (n_users, num_candidates).
        quality: finite numbers, of which float32's precision counts, of the same shape.

    Returns:
        Indices, integers of shape (n_users, slate_size), the last one first where two tie.
    """
    # One integer a document says it all: the topic's priority in the high 32 bits and the quality
    # in the low ones. Floating-point numbers >= 0 are in the order of their bits, negative ones in
    # the reverse order. The last column comes first, for argmax takes the first of those that tie.
    bits = np.add(quality[:, ::-1], 0.0, dtype=np.float32, order="C").view(np.int32)
    bits ^= (bits >> 31) & 0x7FFFFFFF
    num_users, num_topics = priorities.shape
    starts = np.arange(0, num_users * num_topics, num_topics)[:, np.newaxis]
    topics = np.add(cluster_id[:, ::-1], starts, order="C")
    keys = (priorities.astype(np.int64) << 32).reshape(-1).take(topics)
    keys += bits
    slates: np.ndarray = keys.shape[1] - 1 - arrays.highest(keys, slate_size)
    return slates
