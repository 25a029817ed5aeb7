"""Actor-critics over items' features: of a user a vector is made, and of the vector a slate."""
