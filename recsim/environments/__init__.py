"""The scenarios that come with the library, a module or a package each."""

import importlib
import pkgutil

__all__ = [module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_"]

for _name in __all__:
    importlib.import_module(f"{__name__}.{_name}")
