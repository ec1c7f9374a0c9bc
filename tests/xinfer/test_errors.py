"""The tree of errors: what goes over the wire comes back as the same class."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinfer import errors
from xinfer.errors import BadRequest, EngineLost, EngineTimeout, InternalError, Unavailable, XinferError, from_response


def below(kind: type[XinferError]) -> Iterator[type[XinferError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from below(child)


KINDS = list(below(XinferError))
MESSAGES = st.text(min_size=1)
PARAMS = st.none() | st.text()
WAITS = st.none() | st.floats(0, 1e6)


@given(st.sampled_from(KINDS), MESSAGES, PARAMS, WAITS)
def test_every_error_is_rebuilt_from_its_body(
    kind: type[XinferError], message: str, param: str | None, wait: float | None
) -> None:
    sent = kind(message, param=param)
    got = from_response(sent.status, json.loads(json.dumps(sent.body())), wait)
    assert type(got) is kind
    assert (got.message, got.param, got.retry_after_s, str(got)) == (message, param, wait, message)


@given(st.sampled_from(KINDS), MESSAGES, PARAMS, WAITS)
def test_every_error_survives_a_trip_between_actors(
    kind: type[XinferError], message: str, param: str | None, wait: float | None
) -> None:
    got = pickle.loads(pickle.dumps(kind(message, param=param, retry_after_s=wait)))
    assert type(got) is kind
    assert (got.message, got.param, got.retry_after_s) == (message, param, wait)


def test_no_two_errors_look_the_same_on_the_wire() -> None:
    assert len({(kind.status, kind.code) for kind in KINDS}) == len(KINDS)


def test_the_drawn_tree_is_the_tree() -> None:
    drawn = dict(re.findall(r"── (\w+) +(\d{3})  \S", errors.__doc__ or ""))
    assert drawn == {kind.__name__: str(kind.status) for kind in KINDS}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (413, errors.BodyTooLarge),
        (418, BadRequest),
        (422, BadRequest),
        (429, errors.ModelOverloaded),
        (500, InternalError),
        (501, InternalError),
        (502, EngineLost),
        (503, Unavailable),
        (504, EngineTimeout),
        (599, InternalError),
    ],
)
@pytest.mark.parametrize(
    "body", [None, "text", [], {}, {"error": None}, {"error": {"code": "unheard_of"}}, {"error": {"code": 500}}]
)
def test_body_that_is_none_of_ours_gives_the_nearest_class(status: int, kind: type[XinferError], body: Any) -> None:
    error = from_response(status, body)
    assert type(error) is kind
    assert error.message == f"The server answered {status}."


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"detail": "words"}, "words"),
        ({"error": "words"}, "words"),
        ({"error": {"message": "words"}, "detail": "other"}, "words"),
        ({"error": {"message": ""}, "detail": "words"}, "words"),
        ({"detail": [{"loc": ["body"], "msg": "words"}]}, "[{'loc': ['body'], 'msg': 'words'}]"),
    ],
)
def test_words_are_found_wherever_they_are(body: Any, message: str) -> None:
    assert from_response(400, body).message == message


def test_code_of_another_status_does_not_count() -> None:
    assert type(from_response(404, {"error": {"code": "internal_error"}})) is errors.NotFound


@given(st.sampled_from(KINDS), st.none() | st.floats(0, 1e6))
def test_headers_tell_whether_to_try_again(kind: type[XinferError], wait: float | None) -> None:
    headers = kind("x", retry_after_s=wait).headers()
    assert headers["x-should-retry"] == ("true" if kind.retryable else "false")
    assert ("retry-after" in headers) == kind.retryable
    assert int(headers.get("retry-after", "1")) >= 1
