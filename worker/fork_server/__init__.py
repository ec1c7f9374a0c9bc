"""The warm host: one process per node that has the engine imported, and forks an engine server per launch.

Almost all of an engine's start is imports. A forked process shares its parent's memory until it writes, so an engine that is
forked from a process with everything imported is up in a second or two; the technique is Android's Zygote and Python's own
``multiprocessing.forkserver``.
"""
