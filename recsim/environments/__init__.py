"""The scenarios that come with the library, a module or a package each."""

import pkgutil

from recsim._internal import lazy

__all__ = [module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_"]

__getattr__, __dir__ = lazy.lazy_submodules(__name__, __all__)
