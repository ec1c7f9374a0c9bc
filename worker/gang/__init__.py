"""A replica that spans nodes: a gang of workers, one on each node.

The replica's own actor is the leader, whose engine has the server. It starts a follower, an actor, on each of the other nodes
of its placement group. vLLM's own multi-node mode connects their engines.
"""
