"""OpenAI's Responses API. Nothing of a response is kept: with several replicas, no two requests need reach the same engine."""

from __future__ import annotations

from typing import Any

from supervisor.translate.chat import check_chats, put_effort_to, take_effort_from
from supervisor.translate.thinking import BUDGET, EFFORTS, ENGINE_BUDGET, apply_thinking
from supervisor.translate.xinference_compat import translate_xinference_fields
from xinfer.errors import BadRequest
from xinfer.messages import ModelSpec

_INSTEAD = "send the whole conversation as 'input'"
_REFUSED = {
    "previous_response_id": f"Responses are not kept: {_INSTEAD} in place of 'previous_response_id'.",
    "conversation": f"Conversations are not kept: {_INSTEAD} in place of 'conversation'.",
    "prompt": "There are no stored prompts here: send the text itself as 'instructions' and 'input'.",
    "background": "There is no background mode: nothing would keep the response. Ask with 'stream' instead.",
}
_ITEM_REFERENCE = "item_reference"
_TOOL_TYPES = ("function", "custom", "namespace")
"""Tools that the client runs. Of all others vLLM would tell the model nothing, and answer as if there were none."""
_TOOL_SERVER = "tool_server"
"""vLLM's argument with the servers at which an engine runs tools itself."""


def translate_response(body: dict[str, Any], spec: ModelSpec) -> None:
    """Make the body of ``/v1/responses`` the engine's; ``BadRequest`` for what only a server that keeps responses could do."""
    check_chats(spec)
    translate_xinference_fields(body, chat=True)
    for field, sentence in _REFUSED.items():
        if body.get(field):
            raise BadRequest(sentence, param=field)
    _check_references(body.get("input"))
    if not spec.engine_args.get(_TOOL_SERVER):
        _check_tools(body.get("tools"))
    effort = take_effort_from(body, "reasoning")
    apply_thinking(body, spec)
    put_effort_to(body, "reasoning")
    if effort in EFFORTS and "effort" not in body["reasoning"]:
        # The template has been told already; vLLM only shows it in the response.
        body["reasoning"] = {**body["reasoning"], "effort": effort}
    if ENGINE_BUDGET in body:
        raise BadRequest("The engine limits the thinking of chats and messages, not of responses.", param=BUDGET)


def _check_references(items: Any) -> None:
    """``BadRequest`` for an input item that is only the id of an item of an earlier response."""
    if not isinstance(items, list):
        return
    for number, item in enumerate(items):
        if isinstance(item, dict) and item.get("type") == _ITEM_REFERENCE:
            raise BadRequest(
                f"Responses are not kept, and input[{number}] refers to an item of one: send the item itself. "
                "With 'store': false clients such as Vercel's AI SDK do so.",
                param=f"input[{number}]",
            )


def _check_tools(tools: Any) -> None:
    """``BadRequest`` for a tool that OpenAI's servers would run. What is no tool at all is the engine's to refuse."""
    if not isinstance(tools, list):
        return
    for number, tool in enumerate(tools):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind not in _TOOL_TYPES:
            raise BadRequest(
                f"Nothing here runs tools of the type {kind[:100]!r}: leave tools[{number}] out, or declare it as a tool of the "
                "type 'function' that the client runs.",
                param=f"tools[{number}]",
            )
