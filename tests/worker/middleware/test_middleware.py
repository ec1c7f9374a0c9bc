"""The middleware in front of an app, message by message."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from worker.middleware import ContractMiddleware

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
ANSWER = json.dumps({"choices": [{"message": {"role": "assistant", "content": None, "reasoning": "鯨"}}]}).encode()
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"total_tokens":5}}\n\n'
DONE = b"data: [DONE]\n\n"


async def play(
    path: str,
    *parts: bytes,
    kind: bytes = b"application/json",
    status: int = 200,
    headers: Any = (),
    scope: str = "http",
) -> list[dict[str, Any]]:
    """What goes out when the engine answers with ``parts``."""
    out: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        size = str(sum(map(len, parts))).encode()
        head = [(b"content-type", kind), (b"content-length", size), (b"x-other", b"1")]
        await send({"type": "http.response.start", "status": status, "headers": head})
        for number, part in enumerate(parts):
            await send({"type": "http.response.body", "body": part, "more_body": number + 1 < len(parts)})

    async def send(message: Any) -> None:
        out.append(message)

    await ContractMiddleware(app)({"type": scope, "path": path, "headers": list(headers)}, None, send)  # type: ignore[arg-type]
    return out


@pytest.mark.parametrize(("share", "logged"), [("1", True), ("0", False)])
async def test_request_is_named_in_the_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, share: str, logged: bool
) -> None:
    monkeypatch.setenv("XINFER_REQUEST_LOG_SHARE", share)
    monkeypatch.setattr(logging.getLogger("xinfer.engine"), "handlers", [])
    await play(CHAT, ANSWER, headers=[(b"x-xinfer-log-id", b"abc-1")])
    await play(CHAT, ANSWER)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == logged
    if logged:
        assert lines[0].endswith(" [xinfer] request abc-1: /v1/chat/completions")


def body(messages: list[dict[str, Any]]) -> bytes:
    head, *parts = messages
    assert head["type"] == "http.response.start"
    assert [part["more_body"] for part in parts] == [True] * (len(parts) - 1) + [False]
    return b"".join(part["body"] for part in parts)


@pytest.mark.parametrize("parts", [[ANSWER], [ANSWER[:5], b"", ANSWER[5:]], [ANSWER, b""]])
async def test_whole_chat_is_reshaped_and_its_length_is_right(parts: list[bytes]) -> None:
    out = await play(CHAT, *parts)
    got = body(out)
    assert json.loads(got)["choices"][0]["message"] == {"role": "assistant", "content": "", "reasoning_content": "鯨"}
    headers = out[0]["headers"]
    assert [value for name, value in headers if name == b"content-length"] == [str(len(got)).encode()]
    assert (b"x-other", b"1") in headers


@pytest.mark.parametrize(
    ("path", "status", "scope"),
    [
        (CHAT, 400, "http"),
        (CHAT, 500, "http"),
        (COMPLETIONS, 200, "http"),
        ("/v1/models", 200, "http"),
        (CHAT, 200, "ws"),
    ],
)
async def test_the_rest_passes_untouched(path: str, status: int, scope: str) -> None:
    out = await play(path, ANSWER[:7], ANSWER[7:], status=status, scope=scope)
    assert [message.get("body") for message in out[1:]] == [ANSWER[:7], ANSWER[7:]]
    assert dict(out[0]["headers"])[b"content-length"] == str(len(ANSWER)).encode()


async def test_error_body_that_is_no_json_passes_untouched() -> None:
    assert body(await play(CHAT, b"Internal Server Error", kind=b"text/plain", status=500)) == b"Internal Server Error"


@pytest.mark.parametrize(
    ("headers", "merged"),
    [
        ([], False),
        ([(b"x-xinfer-usage", b"other")], False),
        ([(b"other", b"merged")], False),
        ([(b"x-xinfer-usage", b"merged")], True),
    ],
)
async def test_usage_is_merged_only_if_the_header_asks(headers: Any, merged: bool) -> None:
    for parts in ([FINISH, USAGE, DONE], [FINISH + USAGE + DONE], [FINISH + USAGE, DONE, b""]):
        got = body(await play(CHAT, *parts, kind=b"text/event-stream; charset=utf-8", headers=headers))
        assert (b'"choices":[]' in got) != merged
        assert got.count(b"total_tokens") == 1
        assert got.endswith(DONE)


async def test_completion_stream_is_reshaped_too() -> None:
    got = body(await play(COMPLETIONS, b'data: {"choices":[{"text":"a"}]}\n\n', DONE, kind=b"text/event-stream"))
    assert got == b'data: {"choices":[{"text":"a"}]}\n\n'


async def test_stream_that_breaks_off_ends_with_one_error() -> None:
    got = body(await play(CHAT, FINISH, b'data: {"cho', kind=b"text/event-stream"))
    assert got.startswith(b'data: {"choices":[{"delta":{"content":""},"finish_reason":"stop"}]}\n\n')
    assert got.count(b"engine_lost") == 1
    assert b"[DONE]" not in got


@pytest.mark.parametrize(
    ("code", "status", "name"), [(400, 400, "bad_request"), (404, 404, "not_found"), (None, 500, "internal_error")]
)
async def test_stream_that_begins_with_an_error_is_a_status(code: int | None, status: int, name: str) -> None:
    error = {"message": "no", "type": "BadRequestError", "param": "stop", "code": code}
    first = b"data: " + json.dumps({"error": error}).encode() + b"\n\n"
    for parts in ([first, DONE], [first[:9], first[9:] + DONE, b""]):
        out = await play(CHAT, *parts, kind=b"text/event-stream")
        told = json.loads(body(out))
        assert (out[0]["status"], told["error"]["message"], told["error"]["param"]) == (status, "no", "stop")
        assert (told["error"]["code"], told["detail"]) == (name, "no")


async def test_stream_in_one_piece_has_its_own_length() -> None:
    out = await play(CHAT, FINISH + USAGE + DONE, kind=b"text/event-stream")
    sizes = [value for name, value in out[0]["headers"] if name == b"content-length"]
    assert sizes == [str(len(body(out))).encode()]
