"""Paths of the engine's HTTP server that the supervisor uses, and the header that it wants to see."""

from __future__ import annotations

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
"""Paths of the APIs that vLLM's server has and the supervisor passes on under the same names."""

ABORT_PATH = "/xinfer/abort"
"""Where the middleware takes ``{"request_id", "block_duration"}`` and answers ``{"msg": "DONE" | "NOT_FOUND"}``."""

ENGINE_SECRET = "x-xinfer-secret"
"""Header in which supervisors and workers show an engine that they belong to its cluster."""

LOG_ID = "x-xinfer-log-id"
"""Header in which supervisors tell an engine a request's id, for its log. vLLM would make its own ids of ``X-Request-Id``; by the
id in a body requests are aborted."""
