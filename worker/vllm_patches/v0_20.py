"""What the servers of an older vLLM (0.20) lack, given to them where that is a few lines. Newer
ones are left as they are.

Every function looks for the thing itself, and none asks which version this is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import copy
from dataclasses import replace
from functools import cache, partial
from typing import Any

_VARIABLES = "chat_template_kwargs"


@cache
def complete_servers() -> None:
    """Complete them, before one is made; what is done once counts for every server that is
    forked from here.
    """
    _read_variables_of_responses()
    _answer_faults_of_messages()


def _read_variables_of_responses() -> None:
    """The Responses API is the only one that does not read the template's variables;
    ``enable_thinking`` is among them.
    """
    from vllm.entrypoints.openai.responses import protocol, serving

    request = protocol.ResponsesRequest
    server = serving.OpenAIServingResponses
    if _VARIABLES in request.model_fields:
        return
    request.build_chat_params = with_variables(request.build_chat_params)
    for reader in ("_make_response_output_items", "_process_simple_streaming_events"):
        setattr(server, reader, with_parser_of_request(getattr(server, reader)))


def _answer_faults_of_messages() -> None:
    """The Messages API is the only one that takes every fault of a request for its own, and
    answers it with 500.
    """
    from vllm.entrypoints.anthropic import api_router, serving

    if not hasattr(api_router, "create_error_response"):
        from vllm.entrypoints.utils import create_error_response

        for handler in ("create_messages", "count_tokens"):
            plain = getattr(serving.AnthropicServingMessages, handler)
            setattr(serving.AnthropicServingMessages, handler, with_refusals(plain, create_error_response))


def with_variables(build: Callable[..., Any]) -> Callable[..., Any]:
    """``build``, whose result has the request's own variables as well; those that vLLM sets win."""

    def build_with_variables(request: Any, *args: Any, **kwargs: Any) -> Any:
        params = build(request, *args, **kwargs)
        # Fields that the class does not know are kept there.
        given = (request.model_extra or {}).get(_VARIABLES) or {}
        return replace(params, **{_VARIABLES: {**given, **getattr(params, _VARIABLES)}})

    return build_with_variables


def with_parser_of_request(read: Callable[..., Any]) -> Callable[..., Any]:
    """``read``, a method of a server, whose parsers hear of the request's variables: is there a
    reasoning to look for?
    """

    def read_with_parser(server: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        # Requests share the server.
        own = copy(server)
        if server.parser is not None:
            own.parser = partial(server.parser, **{_VARIABLES: server._effective_chat_template_kwargs(request)})
        return read(own, request, *args, **kwargs)

    return read_with_parser


def with_refusals(handle: Callable[..., Awaitable[Any]], reply: Callable[[Exception], Any]) -> Callable[..., Any]:
    """``handle``, returning vLLM's ``reply`` to a fault of the caller's instead of raising it.

    Its own faults it raises still.
    """

    async def handle_and_refuse(*args: Any, **kwargs: Any) -> Any:
        try:
            return await handle(*args, **kwargs)
        except Exception as fault:
            error = reply(fault)
            if error.error.code >= 500:
                raise
            return error

    return handle_and_refuse
