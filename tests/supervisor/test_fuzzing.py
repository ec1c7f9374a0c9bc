"""Whatever is sent, by the description or against it, gets an answer that the description allows, and never our own 500."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from schemathesis import Case

from tests import fuzz
from tests.supervisor.fuzzed import supervisor_in_a_thread

SCHEMA = fuzz.requests_of(
    ("DELETE", "/v1/clusters"),  # it would stop this very process
    ("GET", "/v1/events"),  # it has no end
    uid=("m", "failed", "young"),
    type=("LLM", "LLM", "llm"),
    name=("tiny-chat", "tiny-chat", "none"),
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with supervisor_in_a_thread() as url:
        yield url


@SCHEMA.parametrize()
@fuzz.some(6)
def test_any_request(case: Case, url: str) -> None:
    fuzz.check(case, url)


def test_a_stream_is_as_described(url: str) -> None:
    chat = SCHEMA["/v1/chat/completions"]["POST"]
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    response = chat.Case(body=body, media_type="application/json").call_and_validate(base_url=url)
    assert response.headers["content-type"][0].startswith("text/event-stream")
