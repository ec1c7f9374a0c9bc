"""Request bodies: bounded, and parsed or refused in words."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.gateway.request_body import ClientGone, parse_object, read_body
from xinfer.errors import BodyTooLarge, InvalidBody

LIMIT = 10


class Client:
    """Plays the messages of one request and counts those that were taken."""

    def __init__(self, *parts: bytes, gone: bool = False) -> None:
        last = len(parts) - 1
        self.messages = [
            {"type": "http.request", "body": part, "more_body": n < last or gone} for n, part in enumerate(parts)
        ]
        self.messages += [{"type": "http.disconnect"}] * gone
        self.taken = 0

    async def __call__(self) -> Any:
        self.taken += 1
        return self.messages[self.taken - 1]


def scope(**headers: str) -> dict[str, Any]:
    return {"headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]}


@pytest.mark.parametrize("parts", [[b""], [b"0123456789"], [b"01234", b"", b"56789"]])
async def test_body_within_the_limit(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    assert await read_body(scope(), Client(*parts), LIMIT) == whole
    assert await read_body(scope(content_length=str(len(whole))), Client(*parts), LIMIT) == whole


async def test_declared_length_over_the_limit_is_refused_unread() -> None:
    client = Client(b"01234567890")
    with pytest.raises(BodyTooLarge, match="limit of 10 bytes") as caught:
        await read_body(scope(content_length="11"), client, LIMIT)
    assert caught.value.status == 413
    assert client.taken == 0


@pytest.mark.parametrize("headers", [{}, {"content_length": "5"}, {"content_length": "-1"}, {"content_length": "many"}])
async def test_undeclared_length_is_refused_as_soon_as_it_is_over(headers: dict[str, str]) -> None:
    client = Client(*[b"012345"] * 100)
    with pytest.raises(BodyTooLarge):
        await read_body(scope(**headers), client, LIMIT)
    assert client.taken == 2


@pytest.mark.parametrize("parts", [[], [b"{"]])
async def test_client_that_leaves_in_between(parts: list[bytes]) -> None:
    with pytest.raises(ClientGone):
        await read_body(scope(), Client(*parts, gone=True), LIMIT)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"not json", "not valid JSON"),
        (b'{"a": NaN}', "not valid JSON"),
        (b'{"a": Infinity}', "not valid JSON"),
        (b'{"a": 1e400}', "not valid JSON"),
        (b'{"a": "\xff\xfe"}', "not valid JSON"),
        (b'{"a": "\\ud800"}', "not valid JSON"),
        (b'\xef\xbb\xbf{"a": 1}', "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a": 1,}', "not valid JSON"),
        (b'{"a": 1} {"b": 2}', "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b"[]", "has to be a JSON object"),
        (b'"text"', "has to be a JSON object"),
        (b"null", "has to be a JSON object"),
        (b"1", "has to be a JSON object"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_what_is_no_object_is_refused_in_words(body: bytes, words: str) -> None:
    with pytest.raises(InvalidBody, match=words) as caught:
        parse_object(body)
    assert caught.value.status == 400
    assert len(caught.value.message) < 200


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    parsed: Any = {}
    with contextlib.suppress(InvalidBody):
        parsed = parse_object(body)
    assert isinstance(parsed, dict)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=5)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
@settings(max_examples=50, deadline=None)
def test_objects_come_out_as_they_went_in(value: dict[str, Any]) -> None:
    assert parse_object(json.dumps(value).encode()) == value
