"""Arguments of vLLM's server, as a launch or a family gives them.

vLLM's argument parser accepts any unambiguous beginning of a name (argparse's ``allow_abbrev``): ``max_model`` is
``max_model_len``. So every check of an argument by its name has to consider its abbreviations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def abbreviates(given: str, name: str) -> bool:
    """Whether vLLM would take ``given`` for the argument ``name``."""
    return name.startswith(given)


def argument(args: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """The value of the argument ``name``, given in full or abbreviated; ``default`` if it is not given."""
    if name in args:
        return args[name]

    for given, value in args.items():
        if abbreviates(given, name):
            return value
    return default


def gives_any(args: Iterable[str], names: Iterable[str]) -> bool:
    """Whether ``args`` has one of the arguments ``names``, in full or abbreviated."""
    wanted = tuple(names)
    for given in args:
        for name in wanted:
            if abbreviates(given, name):
                return True
    return False
