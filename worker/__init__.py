"""The worker: a Ray Serve replica that hosts one vLLM engine and looks after it.

Imports ``xinfer`` and never ``supervisor``; only the engine's own process imports torch and vLLM.
"""
