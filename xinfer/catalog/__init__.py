"""What xinfer knows about models: the families it can launch by name, and how to read a model that is in none."""

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
