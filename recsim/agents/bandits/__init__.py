"""Multi-armed bandit algorithms, and bandits with generalised linear models."""
