"""The public interface: every function, class and method, with arguments that it takes.

``TABLE`` has what is called and its good arguments, by the name of the row. What is called makes
what it needs anew at each call, so that calls do not depend on one another; it may write to the
current folder. An argument that errors call by another name, such as the entry of a dictionary,
goes by that.
"""

from support.public_calls import functions, objects, off_policy

__all__ = ["TABLE"]

TABLE = {**functions.TABLE, **objects.TABLE, **off_policy.TABLE}
assert len(TABLE) == len(functions.TABLE) + len(objects.TABLE) + len(off_policy.TABLE)
