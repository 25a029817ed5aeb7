"""Experiments: what turns runs into answers."""
