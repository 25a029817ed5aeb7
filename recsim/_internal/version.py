"""The library's one version string, and the name that it is distributed under."""

__version__ = "1.0.0a1"

#: What ``pip install`` knows the library as. The import name, ``recsim``, does not depend on it.
DISTRIBUTION = "recsim"
