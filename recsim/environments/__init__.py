"""The scenarios that come with the library, a module each."""

from recsim.environments import interest_evolution, interest_exploration, long_term_satisfaction

__all__ = ["interest_evolution", "interest_exploration", "long_term_satisfaction"]
