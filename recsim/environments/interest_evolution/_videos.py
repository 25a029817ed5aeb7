"""The videos of interest evolution and their samplers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from recsim import document, seeding, types
from recsim._internal import validation
from recsim._internal.gym_import import spaces
from recsim.environments import _config
from recsim.environments.interest_evolution import _dynamics
from recsim.environments.interest_evolution._parameters import DocumentParameters

__all__ = ["IEvVideo", "IEvVideoSampler", "UtilityModelVideoSampler"]

_DOCUMENTS = DocumentParameters()


class IEvVideo(document.AbstractDocument, metaclass=_config.ClassWithConstants):
    """A video.

    Args:
        doc_id: the video's ID.
        features: its observed features (topics), shape (NUM_FEATURES,), in [-1, 1].
        cluster_id: its main topic.
        video_length: its length, in the unit of the users' time budget.
        quality: its quality, which is not observed.
    """

    __module__ = "recsim.environments.interest_evolution"  # Where pickles look for it.

    #: Longest video, in the unit of the users' time budget.
    MAX_VIDEO_LENGTH = 100.0

    #: Number of features (topics).
    NUM_FEATURES: int = 20

    def __init__(
        self,
        doc_id: int,
        features: np.ndarray,
        cluster_id: int | None = None,
        video_length: float | None = None,
        quality: float | None = None,
    ) -> None:
        self._doc_id = doc_id
        self.features = features
        self.cluster_id = cluster_id
        self.video_length = video_length
        self.quality = quality

    def create_observation(self) -> np.ndarray:
        """Returns a copy of the features, float64 of shape (NUM_FEATURES,)."""
        return self.features.copy()

    @staticmethod
    def create_observations(features: np.ndarray, **_: object) -> list[np.ndarray]:
        """Returns the observations of videos with these features, shape (n_docs, n_topics)."""
        return list(features.copy())

    @classmethod
    def observation_space(cls) -> spaces.Box:
        """Returns the space of the features."""
        return spaces.Box(shape=(cls.NUM_FEATURES,), dtype=np.float32, low=-1.0, high=1.0)


class IEvVideoSampler(document.AbstractDocumentSampler):
    """Samples videos with uniformly distributed features and a quality of 1.

    Args:
        doc_ctor: class of the videos.
        min_feature_value: least feature.
        max_feature_value: greatest feature.
        video_length_mean: mean of the normal distribution of the length.
        video_length_std: its standard deviation.
        **kwargs: ``seed``, see :class:`recsim.document.AbstractDocumentSampler`.
    """

    __module__ = "recsim.environments.interest_evolution"  # Where pickles look for it.

    def __init__(
        self,
        doc_ctor: Callable[..., Any] = IEvVideo,
        min_feature_value: float = -1.0,
        max_feature_value: float = 1.0,
        video_length_mean: float = 4.3,
        video_length_std: float = 1.0,
        **kwargs: int | None,
    ) -> None:
        super().__init__(doc_ctor, **kwargs)
        self._doc_count = 0
        number = validation.number
        self._min_feature_value = number("min_feature_value", min_feature_value)
        self._max_feature_value = number("max_feature_value", max_feature_value)
        if self._min_feature_value > self._max_feature_value:
            raise ValueError(
                "min_feature_value must be at most max_feature_value, got "
                f"{min_feature_value!r} and {max_feature_value!r}."
            )
        self._video_length_mean = number("video_length_mean", video_length_mean)
        self._video_length_std = validation.non_negative_float("video_length_std", video_length_std)

    def sample_document(self) -> types.Document:
        """Returns a new video."""
        doc_ctor: Any = self.get_doc_ctor()
        features = self._rng.uniform(
            self._min_feature_value, self._max_feature_value, doc_ctor.NUM_FEATURES
        )
        length = self._rng.normal(self._video_length_mean, self._video_length_std)
        doc_id = self._doc_count
        self._doc_count += 1
        video: types.Document = self._doc_ctor(
            doc_id=doc_id,
            features=features,
            video_length=min(length, doc_ctor.MAX_VIDEO_LENGTH),
            quality=1.0,
        )
        return video


class UtilityModelVideoSampler(document.BatchDocumentSampler):
    """Samples videos of one topic each, of qualities that grow with the number of the topic.

    Args:
        doc_ctor: class of the videos; its ``NUM_FEATURES`` is the number of topics.
        min_utility: see :class:`IEvParameters`.
        max_utility: see :class:`IEvParameters`.
        video_length: see :class:`IEvParameters`.
        quality_stddev: see :class:`IEvParameters`.
        low_quality_share: see :class:`IEvParameters`.
        **kwargs: ``seed``, see :class:`recsim.document.AbstractDocumentSampler`.

    Raises:
        TypeError: if a parameter is not a number.
        ValueError: if a parameter is outside its range.
    """

    __module__ = "recsim.environments.interest_evolution"  # Where pickles look for it.

    # Of samplers whose own __init__, or pickle of before, does not set it.
    _quality_stddev = _DOCUMENTS.quality_stddev

    def __init__(
        self,
        doc_ctor: Callable[..., Any] = IEvVideo,
        min_utility: float = _DOCUMENTS.min_utility,
        max_utility: float = _DOCUMENTS.max_utility,
        video_length: float = _DOCUMENTS.video_length,
        *,
        quality_stddev: float = _DOCUMENTS.quality_stddev,
        low_quality_share: float = _DOCUMENTS.low_quality_share,
        **kwargs: int | None,
    ) -> None:
        self._num_clusters: int = doc_ctor.NUM_FEATURES  # type: ignore[attr-defined]
        super().__init__(doc_ctor, **kwargs)
        parameters = DocumentParameters(
            min_utility=min_utility,
            max_utility=max_utility,
            video_length=video_length,
            quality_stddev=quality_stddev,
            low_quality_share=low_quality_share,
        )
        self._min_utility = parameters.min_utility
        self._max_utility = parameters.max_utility
        self._video_length = parameters.video_length
        self._quality_stddev = parameters.quality_stddev
        #: Mean quality by topic, shape (NUM_FEATURES,).
        self.cluster_means = _dynamics.mean_qualities(
            self._num_clusters,
            parameters.min_utility,
            parameters.max_utility,
            parameters.low_quality_share,
        )
        self._mean_list: list[float] = self.cluster_means.tolist()
        self._one_hot = np.eye(self._num_clusters)

    def _sample_features(self, num_documents: int) -> dict[str, Any]:
        topics, normals = seeding.integers_and_normals(self._rng, self._num_clusters, num_documents)
        means, stddev = self._mean_list, self._quality_stddev
        return {
            "features": self._one_hot.take(topics, axis=0),
            "cluster_id": topics,
            "video_length": [self._video_length] * num_documents,
            # The numbers that normal(mean, stddev) gives, faster.
            "quality": [means[topic] + stddev * normal for topic, normal in zip(topics, normals)],
        }
