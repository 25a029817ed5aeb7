"""The names of :mod:`recsim.action_masks`, for code that knows it by this one."""

from recsim.action_masks import CategoriesOfSlots, Rule, with_action_masks

__all__ = ["CategoriesOfSlots", "Rule", "with_action_masks"]
