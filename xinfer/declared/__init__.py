"""Declared models: a file that says which models run, and what has to be done so that they do.

``file`` reads it, ``plan`` compares it with what runs, ``perform`` carries the plan out through a client.
"""

from xinfer.declared.file import DeclaredModel, ModelsFile
from xinfer.declared.perform import Outcome, Performer
from xinfer.declared.plan import Action, Change, Plan, Step, make_plan

__all__ = ["Action", "Change", "DeclaredModel", "ModelsFile", "Outcome", "Performer", "Plan", "Step", "make_plan"]
