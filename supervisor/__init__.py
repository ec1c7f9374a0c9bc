"""The supervisor: takes requests, finds the model, carries the bytes; and the registry that knows every model.

Imports ``xinfer`` and never ``worker``. A process manager on PyPI has a package of the same name: start-up stops when that one is
found in its place.
"""
