"""What Xinference has and xinfer has not says so, and what to use instead."""

from __future__ import annotations

import httpx
import pytest

from supervisor.api.unsupported_routes import UNSUPPORTED, why_unsupported
from tests.supervisor.document import operations


@pytest.mark.parametrize("row", UNSUPPORTED, ids=lambda row: row.paths[0])
async def test_each_is_a_404_with_its_sentence(http: httpx.AsyncClient, row: object) -> None:
    for template in row.paths:  # type: ignore[attr-defined]
        path = template.replace("{rest:path}", "any/thing").replace("{uid}", "m").replace("{", "").replace("}", "")
        for method in row.methods or ("GET", "POST"):  # type: ignore[attr-defined]
            answer = await http.request(method, path)
            assert answer.status_code == 404, (method, path, answer.text)
            assert answer.json()["detail"] == answer.json()["error"]["message"]
            if method == "POST" or row.methods:  # type: ignore[attr-defined]
                assert answer.json()["detail"] == f"{row.why}.", (method, path)  # type: ignore[attr-defined]


def test_nothing_that_is_served_is_left_out() -> None:
    for method, template in operations():
        path = template.replace("{uid}", "m").replace("{type}", "LLM").replace("{name}", "n")
        assert why_unsupported(method, path) is None, (method, path)


async def test_what_neither_has(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/nowhere")).json()["detail"] == "There is no route '/v1/nowhere'."


async def test_a_method_that_is_not_taken_names_those_that_are(http: httpx.AsyncClient) -> None:
    for path, allowed in (("/v1/models", "GET, HEAD, POST"), ("/v1/completions", "POST"), ("/health", "GET, HEAD")):
        answer = await http.delete(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
