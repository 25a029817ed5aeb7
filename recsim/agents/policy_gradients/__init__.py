"""Policy gradients of slates: their mathematics, the learner and its agents."""
