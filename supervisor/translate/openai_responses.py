"""OpenAI's Responses API. Nothing of a response is kept: with several replicas, no two requests need reach the same engine."""

from __future__ import annotations

from typing import Any

from supervisor.translate.chat import check_chats, put_effort_to, take_effort_from
from supervisor.translate.thinking import BUDGET, ENGINE_BUDGET, apply_thinking
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


def translate_response(body: dict[str, Any], spec: ModelSpec) -> None:
    """Make the body of ``/v1/responses`` the engine's; ``BadRequest`` for what only a server that keeps responses could do."""
    check_chats(spec)
    translate_xinference_fields(body, chat=True)
    for field, sentence in _REFUSED.items():
        if body.get(field):
            raise BadRequest(sentence, param=field)
    take_effort_from(body, "reasoning")
    apply_thinking(body, spec)
    put_effort_to(body, "reasoning")
    if ENGINE_BUDGET in body:
        raise BadRequest("The engine limits the thinking of chats and messages, not of responses.", param=BUDGET)
