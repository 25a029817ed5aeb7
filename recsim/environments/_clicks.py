"""Choice models of several clicks, as scenarios make them of their parameters."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from recsim import choice_model as choice_models
from recsim._internal import validation
from recsim.environments import _config

__all__ = ["MODELS", "ClickParameters"]

#: The choice models by name.
MODELS: dict[str, Callable[[Mapping[str, Any]], choice_models.MultiClickChoiceModel]] = {
    "position_based": choice_models.PositionBasedChoiceModel,
    "dependent_click": choice_models.DependentClickChoiceModel,
    "multi_click_cascade": choice_models.MultiClickCascadeChoiceModel,
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ClickParameters:
    """The parameters of these models that scenarios have by the same names.

    Attributes:
        examination_decay: probability of a look at a position over that at the one before.
        continue_after_click: probability of continuing to the next document after a click.
        continue_after_skip: the same without one.
    """

    examination_decay: float = 0.85
    continue_after_click: float = 0.5
    continue_after_skip: float = 1.0

    def __post_init__(self) -> None:
        """Checks the values and makes them floats."""
        _config.normalize(
            self,
            examination_decay=validation.probability,
            continue_after_click=validation.probability,
            continue_after_skip=validation.probability,
        )

    def multi_click_ctor(
        self, name: str, slate_size: int, **more: object
    ) -> Callable[[Mapping[str, Any]], choice_models.MultiClickChoiceModel]:
        """Returns a function of a user's ``choice_features`` that makes a choice model.

        Args:
            name: a key of :data:`MODELS`.
            slate_size: number of documents in a slate.
            **more: further features.
        """
        features = {
            "examination_probs": choice_models.examination_probabilities(
                slate_size, self.examination_decay
            ),
            "continue_after_click": self.continue_after_click,
            "continue_after_skip": self.continue_after_skip,
            **more,
        }
        return functools.partial(_create, name, features)


def _create(
    name: str, features: Mapping[str, Any], of_user: Mapping[str, Any]
) -> choice_models.MultiClickChoiceModel:
    return MODELS[name]({**of_user, **features})
