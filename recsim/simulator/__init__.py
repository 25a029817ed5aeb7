"""The simulator: environments, their Gym face, and runners of experiments."""
