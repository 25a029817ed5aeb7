"""The parameters of topic boredom, which both engines read, and its variants."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from recsim import choice_model as choice_models
from recsim._internal import numbers, validation
from recsim.environments import _clicks, _config

__all__ = ["VARIANTS", "TopicBoredomParameters"]

# Items are sampled by the streams of the vector engine, whose integers end there.
_MOST_ITEMS = 65_536
_MOST_TOPICS = 1_000
# Larger numbers of steps and clicks would be remembered for nothing, or not at all.
_MOST_STEPS = 10**6
_MOST_CLICKS = 1_000
# Single precision holds the product of such a slope and a score.
_LARGEST = 1e30


@dataclasses.dataclass(frozen=True, kw_only=True)
class TopicBoredomParameters:
    """The parameters of the scenario.

    :mod:`recsim.environments.topic_boredom` says what they mean.
    """

    num_items: int = 1000
    num_topics: int = 10
    subtopics: int = 1
    embeddings: str = "few_topics"
    topics_per_item: int = 2
    catalogue_seed: int = 0
    topics_per_user: int = 4
    time_budget: float = 100
    relevance: str = "logistic"
    relevance_offset: float = 0.65
    relevance_slope: float = 100.0
    attraction_factor: float = 1.0
    same_topic_limit: int = 4
    same_topic_penalty: float = 1.0
    choice_model: str = "position_based"
    examination_decay: float = 0.85
    examination_order: str = "top_down"
    attention_prob: float = 1.0
    continue_after_click: float = 0.5
    continue_after_skip: float = 1.0
    interest_memory: float = 1.0
    drift: str = "uniform"
    boredom_threshold: int = 5
    boredom_window: int = 5
    clicks_remembered: int = 10
    boredom_effect: str = "all_topics"
    bored_relevance_factor: float = 1.0
    observe_user_state: bool = False

    def __post_init__(self) -> None:
        """Checks the values and makes them numbers of Python."""
        share = functools.partial(validation.number, low=0.0, high=1.0)
        _config.normalize(
            self,
            num_items=_whole(1, _MOST_ITEMS),
            num_topics=_whole(1, _MOST_TOPICS),
            subtopics=_whole(1, _MOST_TOPICS),
            embeddings=_config.one_of("few_topics", "diffuse", "focused"),
            topics_per_item=_whole(1, _MOST_TOPICS),
            catalogue_seed=_whole(0, 2**32 - 1),
            topics_per_user=_whole(1, _MOST_TOPICS),
            time_budget=_number_of_steps,
            relevance=_config.one_of("logistic", "threshold"),
            relevance_offset=functools.partial(validation.number, low=-_LARGEST, high=_LARGEST),
            relevance_slope=functools.partial(validation.number, low=0.0, high=_LARGEST),
            attraction_factor=share,
            same_topic_limit=_whole(1, _MOST_ITEMS),
            same_topic_penalty=functools.partial(validation.number, low=1.0, high=_LARGEST),
            choice_model=_config.one_of(*_clicks.MODELS),
            examination_decay=share,
            examination_order=_config.one_of("top_down", "both_ends"),
            attention_prob=share,
            continue_after_click=share,
            continue_after_skip=share,
            interest_memory=share,
            drift=_config.one_of("uniform", "topics", "each_click"),
            boredom_threshold=_whole(1, _MOST_STEPS),
            boredom_window=_whole(1, _MOST_STEPS),
            clicks_remembered=_whole(1, _MOST_CLICKS),
            boredom_effect=_config.one_of("all_topics", "bored_topics"),
            bored_relevance_factor=share,
            observe_user_state=_flag,
        )
        for name in ("topics_per_item", "topics_per_user"):
            if getattr(self, name) > self.num_topics:
                raise ValueError(
                    f"{name} must be at most num_topics, {self.num_topics}, got "
                    f"{getattr(self, name)}."
                )

    @property
    def embedding_size(self) -> int:
        """Number of numbers of an item, and of a user's interests."""
        return self.num_topics * self.subtopics

    @property
    def topics_that_sum_to_one(self) -> int | None:
        """The number of topics where interests are scaled by their lengths in topics; or None."""
        return None if self.embeddings == "few_topics" else self.num_topics

    def create_choice_model(self, slate_size: int) -> choice_models.MultiClickChoiceModel:
        """Returns a new choice model for slates of a size."""
        if self.choice_model == "position_based":
            looks = choice_models.examination_probabilities(
                slate_size, self.examination_decay, both_ends=self.examination_order == "both_ends"
            )
            return choice_models.PositionBasedChoiceModel({"examination_probs": looks})
        features = ("attention_prob", "continue_after_click", "continue_after_skip")
        return _clicks.MODELS[self.choice_model]({name: getattr(self, name) for name in features})


def _whole(low: int, high: int) -> functools.partial[int]:
    return functools.partial(validation.positive_int, minimum=low, maximum=high)


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {numbers.described(value)}.")
    return bool(value)


def _number_of_steps(name: str, value: object) -> float:
    # It may be infinite, where a limit on the number of steps truncates episodes.
    steps = numbers.as_float(name, value)
    if not steps > 0.0:
        raise ValueError(f"{name} must be a number of steps above 0, got {value!r}.")
    return int(steps) if isinstance(value, (int, np.integer)) else steps


def _variant(slate_size: int, num_items: int, **parameters: object) -> dict[str, object]:
    sizes = {"num_candidates": num_items, "slate_size": slate_size, "resample_documents": False}
    return {**sizes, "num_items": num_items, **parameters}


def _of_gems(embeddings: str, **parameters: object) -> dict[str, object]:
    return _variant(
        10,
        1000,
        subtopics=2,
        embeddings=embeddings,
        relevance_offset=0.28,
        interest_memory=0.9,
        drift="each_click",
        boredom_effect="bored_topics",
        **parameters,
    )


_MIXED = {"examination_order": "both_ends"}
_DIVERSITY_PENALTY = {**_MIXED, "same_topic_penalty": 3.0}
_RERANK = {"time_budget": 10, "relevance_offset": 0.3, "relevance_slope": 5.0}

#: The configs of the scenario's variants by name, which miss the seed alone: whole catalogues, of
#: which items are recommended one by one (``single_…``) or in slates of ten (``slate_…``), and
#: small ones that are put into an order (``rerank_…``). Users stay as they are (``…_static``), get
#: bored (``…_bored``) and drift too (``…_drifting``), or click by a flatter function of the score
#: (``…_uncertain``). They are SARDINE's eight settings. And GeMS's six: whole catalogues of items
#: of many topics (``…_diffuse``) or fewer (``…_focused``), slates of ten that users look at from
#: above (``top_down_…``), half of them from below (``mixed_…``), and like less where four items or
#: more have one main topic (``divpen_…``).
VARIANTS: Mapping[str, Mapping[str, object]] = {
    "single_static": _variant(1, 1000, boredom_threshold=11),
    "single_bored_drifting": _variant(1, 1000, interest_memory=0.95),
    "single_uncertain": _variant(1, 1000, relevance_slope=10.0, boredom_threshold=11),
    "slate_bored": _variant(10, 1000),
    "slate_bored_drifting": _variant(10, 1000, interest_memory=0.95),
    "slate_uncertain": _variant(10, 1000, relevance_slope=10.0, interest_memory=0.95),
    "rerank_static": _variant(10, 10, examination_decay=0.7, boredom_threshold=11, **_RERANK),
    "rerank_bored": _variant(10, 10, examination_decay=0.7, boredom_threshold=4, **_RERANK),
    "top_down_focused": _of_gems("focused"),
    "top_down_diffuse": _of_gems("diffuse"),
    "mixed_focused": _of_gems("focused", **_MIXED),
    "mixed_diffuse": _of_gems("diffuse", **_MIXED),
    "divpen_focused": _of_gems("focused", **_DIVERSITY_PENALTY),
    "divpen_diffuse": _of_gems("diffuse", **_DIVERSITY_PENALTY),
}
