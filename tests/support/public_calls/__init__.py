"""The public interface: every function, class and method, with arguments that it takes.

``TABLE`` has what is called and its good arguments, by the name of the row. What is called makes
what it needs anew at each call, so that calls do not depend on one another; it may write to the
current folder. An argument that errors call by another name, such as the entry of a dictionary,
goes by that.
"""

from support.public_calls import contextual_bandits, fitting, functions, objects, off_policy

__all__ = ["TABLE"]

_PARTS = (functions, contextual_bandits, fitting, objects, off_policy)
TABLE = {name: row for part in _PARTS for name, row in part.TABLE.items()}
assert len(TABLE) == sum(len(part.TABLE) for part in _PARTS)
