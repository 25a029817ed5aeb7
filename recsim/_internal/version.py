"""The library's one version string."""

__version__ = "1.0.0a1"
