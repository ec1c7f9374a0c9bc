"""The fork server (the node's warm host): forks engine servers from a process with vLLM imported.

Almost all of an engine's start is imports. A forked process shares its parent's memory until it
writes to it, so an engine that is forked from a process with everything imported is up in a second
or two. Android's Zygote and Python's ``multiprocessing.forkserver`` do the same. There is one fork
server per node.
"""
