"""Names that the supervisor and the engine's middleware use between themselves on HTTP."""

from __future__ import annotations

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
"""Paths of the APIs that vLLM's server has and the supervisor passes on under the same names."""

USAGE_HEADER = b"x-xinfer-usage"
"""Request header: with ``USAGE_MERGED`` the token counts come on the chunk that finishes the answer."""
USAGE_MERGED = b"merged"

REASONING_HEADER = b"x-xinfer-reasoning"
"""Request header: ``OMIT`` leaves the reasoning out; two tags as a JSON list, percent-encoded, ask for it in the content between
them."""
OMIT = b"omit"

TOOL_CALLS_HEADER = b"x-xinfer-tool-calls"
"""Request header: with ``INCREMENTAL`` a stream has tool calls as the engine makes them, not whole at its end."""
INCREMENTAL = b"incremental"

REQUEST_ID_HEADER = b"x-xinfer-request-id"
"""Request header: the caller's own id of the request, percent-encoded, under which it can be aborted."""
ABORT_PATH = "/xinfer/abort"
"""Where the middleware takes ``{"request_id", "block_duration"}`` and answers ``{"msg": "DONE" | "NOT_FOUND"}``."""
