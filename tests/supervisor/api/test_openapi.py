"""``/openapi.json`` is what is served: its paths, and the shapes of what the views make."""

from __future__ import annotations

from typing import Any

import httpx
import jsonschema
import pytest
from pydantic import TypeAdapter

from supervisor.api import render as views
from supervisor.api import schemas as replies
from supervisor.api.launch_progress import progress
from supervisor.api.openapi import document, served
from supervisor.api.openapi.document import OPERATIONS
from supervisor.api.openapi.engine import BY_UID
from supervisor.app import Supervisor
from supervisor.translate.engine_request import DATA_PLANE, find
from tests.supervisor.samples import model_status, report, times
from tests.supervisor.servers import RegistryDouble
from xinfer.messages import ModelState
from xinfer.settings import GatewaySettings


def test_it_has_what_is_served_and_nothing_else() -> None:
    supervisor = Supervisor(GatewaySettings(), RegistryDouble())
    raw = {("POST", path) for path in (*DATA_PLANE, *BY_UID)}
    described = [operation.key for operation in OPERATIONS]
    assert set(described) == served(supervisor.control_routes) | raw
    assert len(set(described)) == len(described)
    assert all(find(path.replace("{uid}", "m")) for _, path in raw)


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
        (replies.Described, views.describe(one)),
        (replies.Listed, views.list_item(one)),
        (replies.Instance, views.instance(one)),
        (replies.Progress, progress(one, 2.0)),
    ]
    for kind, value in shapes:
        adapter = TypeAdapter(kind)
        jsonschema.validate(value, adapter.json_schema(mode="serialization"))
        assert set(value) <= set(adapter.json_schema()["properties"]), kind
