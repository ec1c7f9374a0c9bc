"""The supervisor: takes requests, finds the model, carries the bytes; and the registry that knows every model.

Imports ``xinfer`` and never ``worker``. A process manager on PyPI has a package of the same name: if ``supervisor.__version__`` is
missing here, that one is installed in this environment and has to go.
"""

from xinfer import __version__

__all__ = ["__version__"]
