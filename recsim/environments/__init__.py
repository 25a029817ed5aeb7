"""The scenarios that come with the library, a module or a package each."""

import importlib
import pkgutil

__all__ = [module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_"]

# All at once, as in RecSim: gin's bindings of any of them are known when one is imported.
for _name in __all__:
    importlib.import_module(f"{__name__}.{_name}")
