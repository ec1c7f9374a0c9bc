"""``/openapi.json`` is what is served: its paths, and the shapes of what the views make."""

from __future__ import annotations

import re
from typing import Any

import httpx
import jsonschema
import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from supervisor.api import render, schemas
from supervisor.api.data_plane_schemas import BY_UID
from supervisor.api.launch_progress import progress
from supervisor.translate.engine_request import DATA_PLANE, match_route
from tests.supervisor.document import control_plane, document, operations
from tests.supervisor.samples import model_status, report, times
from xinfer.messages import ModelState


def test_it_has_what_is_served_and_nothing_else() -> None:
    data_plane = {("POST", path) for path in (*DATA_PLANE, *BY_UID)}
    control = set()
    unlisted = set()
    for route in control_plane().routes:
        assert isinstance(route, APIRoute)
        listed = control if route.include_in_schema else unlisted
        listed |= {(method, route.path_format) for method in route.methods}
    assert set(operations()) == control | data_plane
    assert {path for _, path in unlisted if not path.startswith("/docs/")} == {"/ui", "/ui/{name}"}
    assert all(match_route(path.replace("{uid}", "m")) for _, path in data_plane)
    assert not any(match_route(path.replace("{uid}", "m")) for _, path in control)


def test_every_operation_says_what_it_does_and_what_it_responds_with() -> None:
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            where = (method, path)
            assert operation["summary"].endswith("."), where
            responses = operation["responses"]
            assert {"4XX", "5XX"} <= responses.keys(), where
            assert "422" not in responses, where
            (good,) = responses.keys() - {"4XX", "5XX"}
            assert responses[good]["content"], where


async def test_page_and_its_files_come_from_here(http: httpx.AsyncClient) -> None:
    page = await http.get("/docs")
    assert page.status_code == 200
    assert "https://" not in page.text
    assert "http://" not in page.text
    addresses = re.findall(r"""(?:href|src)="([^"]+)"|url: '([^']+)'""", page.text)
    assert len(addresses) == 4
    for pair in addresses:
        response = await http.get("/" + "".join(pair))
        assert response.status_code == 200, pair
        assert len(response.content) > 1000, pair


@pytest.mark.parametrize("yes", ["true", "True", "1", "yes", "YES"])
async def test_booleans_of_the_query(http: httpx.AsyncClient, yes: str) -> None:
    (first, *_) = (await http.get("/v1/model_registrations/LLM", params={"detailed": yes})).json()
    assert "definition" in first
    for no in ("false", "0", "No"):
        (first, *_) = (await http.get("/v1/model_registrations/LLM", params={"detailed": no})).json()
        assert first.keys() == {"model_name", "is_builtin"}
    refused = await http.get("/v1/model_registrations/LLM", params={"detailed": "perhaps"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "detailed")
    assert refused.json()["error"]["code"] == "invalid_body"


async def test_head_is_what_get_is_without_the_body(http: httpx.AsyncClient) -> None:
    response = await http.head("/v1/models")
    assert (response.status_code, response.content) == (200, b"")
    assert (await http.head("/v1/clusters")).status_code == 405


async def test_it_is_a_valid_document(http: httpx.AsyncClient) -> None:
    told = (await http.get("/openapi.json")).json()
    assert told == document()
    identifiers = [each["operationId"] for path in told["paths"].values() for each in path.values()]
    assert len(set(identifiers)) == len(identifiers)
    for name, schema in told["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema.get("description") or "properties" not in schema, f"{name} has no description"


@pytest.mark.parametrize("state", list(ModelState))
def test_views_have_the_shapes_of_the_document(state: ModelState) -> None:
    one = model_status(
        report(node="10.0.0.1"), state=state, reason="because", size_in_billions="0.6", times=times(pending=1.0)
    )
    shapes: list[tuple[Any, Any]] = [
        (schemas.Described, render.describe(one)),
        (schemas.Instance, render.instance(one)),
        (schemas.Progress, progress(one, 2.0)),
    ]
    for kind, value in shapes:
        adapter = TypeAdapter(kind)
        jsonschema.validate(value, adapter.json_schema(mode="serialization"))
        assert set(value) <= set(adapter.json_schema()["properties"]), kind
