"""vLLM's errors in our words. The bodies are those that vLLM 0.32 sends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from supervisor.gateway.engine_errors import translate
from xinfer.errors import (
    BadRequest,
    ContextLengthExceeded,
    InternalError,
    InvalidBody,
    NotFound,
    Unavailable,
    XinferError,
)


def vllm(message: str, kind: str = "BadRequestError", param: str | None = None, status: int = 400) -> XinferError:
    body = {"error": {"message": message, "type": kind, "param": param, "code": status}}
    return translate(status, json.dumps(body).encode(), "req-1")


def validation(*errors: dict[str, Any]) -> str:
    """As vLLM writes it: one ``repr`` per line."""
    return f"{len(errors)} validation error{'s' * (len(errors) > 1)}:\n" + "\n".join(f"  {error!r}" for error in errors)


def test_missing_field() -> None:
    missing = {"type": "missing", "loc": "body.messages", "msg": "Field required", "input": "<dict of 1 items>"}
    error = vllm(validation(missing), "Bad Request", "body.messages")
    assert type(error) is InvalidBody
    assert (error.message, error.param, error.status) == ("messages: Field required", "messages", 400)


@pytest.mark.parametrize(
    "msg",
    [
        "Input should be a valid number, unable to parse string as a number",
        "Input should be 'none', 'auto' or 'required'",
        'Value error, it\'s "quoted" both ways',
    ],
)
def test_message_with_quotes_of_its_own(msg: str) -> None:
    """Python writes such a text in double quotes, or with backslashes; the caller's input behind it is not repeated."""
    wrong = {"type": "x", "loc": "body.temperature", "msg": msg, "input": "a secret prompt"}
    error = vllm(validation(wrong, {"type": "y", "loc": "body.n", "msg": "other", "input": "z"}), "Bad Request")
    assert type(error) is InvalidBody
    assert error.message == f"temperature: {msg}"
    assert error.param == "temperature"


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens=99999 cannot be greater than max_model_len=4096. Please request fewer output tokens. "
        "(parameter=max_tokens, value=99999)",
        "This model's maximum context length is 4096 tokens. However, you requested 16 output tokens and your prompt "
        "contains at least 4081 input tokens, for a total of at least 4097 tokens.",
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
    ],
)
def test_too_long_names_both_numbers(message: str) -> None:
    error = vllm(message, param="max_tokens")
    assert type(error) is ContextLengthExceeded
    assert (error.message, error.param, error.code) == (message, "max_tokens", "context_length_exceeded")


def test_other_refusal_keeps_its_words() -> None:
    error = vllm("temperature must be non-negative, got -1.0. (parameter=temperature, value=-1.0)", param="temperature")
    assert type(error) is BadRequest
    assert error.message.startswith("temperature must be non-negative")
    assert error.param == "temperature"


def test_engine_that_does_not_know_the_model() -> None:
    assert type(vllm("The model `x` does not exist.", "NotFoundError", "model", 404)) is NotFound


@pytest.mark.parametrize("status", [400, 418, 422])
@pytest.mark.parametrize("body", [b"", b"plain text", b"[]", b"\xff", b"null", b'{"error": null}', b'{"error": [1]}'])
def test_body_that_is_no_error_of_anybody_s(status: int, body: bytes) -> None:
    error = translate(status, body, "req-1")
    assert type(error) is BadRequest
    assert error.message == f"The server answered {status}."


@pytest.mark.parametrize("status", [500, 501, 502, 504])
def test_failure_of_the_engine_shows_nothing_of_its_inside(status: int) -> None:
    error = vllm("Traceback: /home/secret/path and the prompt", "InternalServerError", status=status)
    assert type(error) is InternalError
    assert error.message == "The engine failed on this request. The log has details under request id req-1."


def test_engine_that_is_busy_or_paused() -> None:
    error = vllm("The server is paused at /secret", status=503)
    assert type(error) is Unavailable
    assert "secret" not in error.message
    assert error.headers()["retry-after"] == "1"


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (
            [
                {
                    "type": "string_type",
                    "loc": "body.input",
                    "msg": "Input should be a valid string",
                    "input": "<list>",
                },
                {"type": "x", "loc": "body.input.0.EasyInputMessageParam.role", "msg": "Input should be 'user'"},
                {"type": "missing", "loc": "body.input.0.ResponseOutputMessageParam.id", "msg": "Field required"},
            ],
            "input.0.role: Input should be 'user'",
        ),
        (
            [
                {"type": "missing", "loc": "body.prompt", "msg": "Field required", "input": "<dict of 2 items>"},
                {"type": "x", "loc": "body.messages.0.ChatCompletionUserMessageParam.content", "msg": "Input is wrong"},
            ],
            "messages.0.content: Input is wrong",
        ),
    ],
)
def test_of_many_refusals_the_one_that_goes_deepest_is_told(errors: list[dict[str, Any]], message: str) -> None:
    """vLLM tries every kind that a field may have, and names the classes."""
    error = vllm(validation(*errors), "Bad Request", "body.input")
    assert (type(error), error.message, error.param) == (InvalidBody, message, message.split(":")[0])


@pytest.mark.parametrize(
    ("places", "field"),
    [
        ([("body", "tokens", 0)], "tokens.0"),
        (
            [("body", "messages", 0, "content", "str"), ("body", "messages", 0, "content", "list[Block]", 0, "type")],
            "messages.0.content.0.type",
        ),
        (
            [("body", "input", "str"), ("body", "input", "list[union[A,B]]", 0, "EasyInputMessageParam", "role")],
            "input.0.role",
        ),
        (
            [
                ("body", "function-wrap[f()]", "prompt"),
                ("body", "function-wrap[f()]", "messages", 0, "Param", "content", "str"),
            ],
            "messages.0.content",
        ),
    ],
)
def test_places_as_vllm_0_20_writes_them(places: list[tuple[str | int, ...]], field: str) -> None:
    """In parts, with the types that pydantic tried, and everything twice, around a line that names one of its files."""
    refusals = [{"type": "x", "loc": place, "msg": "Field required", "input": "a secret prompt"} for place in places]
    at = '\n\n  File "/opt/vllm/entrypoints/utils.py", line 40, in create_chat_completion\n    POST /v1/chat/completions '
    error = vllm(f"{validation(*refusals)}{at}{refusals!r}", "Bad Request")
    assert type(error) is InvalidBody
    assert (error.message, error.param) == (f"{field}: Field required", field)


def test_refusal_of_the_messages_api() -> None:
    body = {"type": "error", "error": {"type": "BadRequestError", "message": "Grammar error: Invalid type: nonsense"}}
    error = translate(400, json.dumps(body).encode(), "req-1")
    assert (type(error), error.message) == (BadRequest, "Grammar error: Invalid type: nonsense")
