"""Slates under action masks: which are allowed, the best and random ones, their probabilities."""
