"""Families that can be launched by name, and what the files of other models say about them."""

from xinfer.catalog.catalog import Catalog, Selection
from xinfer.catalog.family import Family, Spec, Thinking
from xinfer.catalog.inspect import Traits, inspect_folder, inspect_hub, inspect_path

__all__ = [
    "Catalog",
    "Family",
    "Selection",
    "Spec",
    "Thinking",
    "Traits",
    "inspect_folder",
    "inspect_hub",
    "inspect_path",
]
