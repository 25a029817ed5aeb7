"""Observations and their spaces, for the spaces of gym and of gymnasium alike.

Spaces are ``Box``, ``Discrete``, ``MultiDiscrete`` and ``MultiBinary`` ones, nested in ``Dict`` and
``Tuple`` spaces at will. Here they are checked against observations, flattened to features, batched
along new axes, converted between the two libraries, and turned into data and back.
"""

from recsim.spaces._action_forms import ACTION_FORMS, MAX_DISCRETE_ACTIONS, ActionForm
from recsim.spaces._batch import check_items, single_user_space, spaces_of, stacked_space
from recsim.spaces._check import check_arrays, check_observation
from recsim.spaces._data import from_data, to_data
from recsim.spaces._flatten import Flattener, flat_size, flatten, flattened
from recsim.spaces._kinds import (
    bounds,
    children,
    is_composite,
    is_numeric,
    kind_of,
    leaves,
    map_leaves,
    nearest_to_zero,
    unsupported,
)
from recsim.spaces._libraries import to_gym, with_float_dtype
from recsim.spaces._observation_forms import OBSERVATION_FORMS, ObservationForm
from recsim.spaces._stack import ObservationStacker, stacker

__all__ = [
    "ACTION_FORMS",
    "ActionForm",
    "Flattener",
    "MAX_DISCRETE_ACTIONS",
    "OBSERVATION_FORMS",
    "ObservationForm",
    "ObservationStacker",
    "bounds",
    "check_arrays",
    "check_items",
    "check_observation",
    "children",
    "flat_size",
    "flatten",
    "flattened",
    "from_data",
    "is_composite",
    "is_numeric",
    "kind_of",
    "leaves",
    "map_leaves",
    "nearest_to_zero",
    "single_user_space",
    "spaces_of",
    "stacked_space",
    "stacker",
    "to_data",
    "to_gym",
    "unsupported",
    "with_float_dtype",
]
