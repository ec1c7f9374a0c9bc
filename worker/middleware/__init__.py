"""What the contract needs on top of vLLM's own server, as ASGI middleware that vLLM loads by name (``--middleware``)."""

from worker.middleware.middleware import ContractMiddleware

__all__ = ["ContractMiddleware"]
