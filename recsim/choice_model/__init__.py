"""How a user chooses from a slate: choice probabilities on arrays, and choice models.

Of a slate at most one document is clicked, as in RecSim, or any number of them. Functions are for
scores of shape (..., slate_size) and broadcast over all leading axes; the classes call them for the
slate of one user.

Of one click, probabilities have shape (..., slate_size + 1), the last being that of no click.
Models of any number of clicks, whose base class is :class:`MultiClickChoiceModel`, have the
probability of a click for each position:

* position-based (Richardson et al. 2007, Craswell et al. 2008): every position is looked at with a
  probability of its own, whatever happens at the others;
* dependent click (Guo et al. 2009): the user continues to the next position where nothing was
  clicked, and after a click with a probability;
* cascade with several clicks: RecSim's cascade, in which the user may continue after a click and
  may stop without one.
"""

# The module has this name in RecSim, too.
import abc as abc

from recsim.choice_model._multi_click import (
    DependentClickChoiceModel,
    MultiClickCascadeChoiceModel,
    MultiClickChoiceModel,
    PositionBasedChoiceModel,
    examination_probabilities,
    multi_click_probabilities,
    sample_clicks,
)
from recsim.choice_model._one_click import (
    CHOICE_FEATURES as CHOICE_FEATURES,
)
from recsim.choice_model._one_click import (
    AbstractChoiceModel,
    CascadeChoiceModel,
    ExponentialCascadeChoiceModel,
    MultinomialLogitChoiceModel,
    MultinomialProportionalChoiceModel,
    NormalizableChoiceModel,
    ProportionalCascadeChoiceModel,
    cascade_probabilities,
    exponential_cascade_probabilities,
    multinomial_logit_probabilities,
    multinomial_proportional_probabilities,
    proportional_cascade_probabilities,
    sample_choice,
    softmax,
)
from recsim.choice_model._one_click import sampled_choices as sampled_choices

__all__ = [
    "AbstractChoiceModel",
    "CascadeChoiceModel",
    "DependentClickChoiceModel",
    "ExponentialCascadeChoiceModel",
    "MultiClickCascadeChoiceModel",
    "MultiClickChoiceModel",
    "MultinomialLogitChoiceModel",
    "MultinomialProportionalChoiceModel",
    "NormalizableChoiceModel",
    "PositionBasedChoiceModel",
    "ProportionalCascadeChoiceModel",
    "cascade_probabilities",
    "examination_probabilities",
    "exponential_cascade_probabilities",
    "multi_click_probabilities",
    "multinomial_logit_probabilities",
    "multinomial_proportional_probabilities",
    "proportional_cascade_probabilities",
    "sample_choice",
    "sample_clicks",
    "softmax",
]

# Where pickles look for the classes, and what their names are in messages.
for _name in __all__:
    globals()[_name].__module__ = __name__
