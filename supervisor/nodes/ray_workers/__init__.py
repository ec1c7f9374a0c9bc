"""Ray's worker processes of a node, which are forked from one that has imported what they need.

A worker that imports for itself takes a second of a core, and a cluster begins with seven of them. A forked one takes a fifth of
that, and shares the memory of what was imported.
"""
