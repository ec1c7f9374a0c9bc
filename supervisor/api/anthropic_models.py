"""REST: the models there are, as Anthropic's clients list them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path

from supervisor.model_table import LiveTable
from xinfer.messages import ModelStatus


def paths(models: LiveTable) -> list[Path]:

    async def list_models(_request: Request) -> Response:
        answering = [
            _item(model) for model in models.all.values() if model.is_served and "chat" in model.spec.abilities
        ]
        uids = [item["id"] for item in answering] or [None]
        return JSONResponse({"data": answering, "has_more": False, "first_id": uids[0], "last_id": uids[-1]})

    async def describe(request: Request) -> Response:
        model = models.get(request.path_params["uid"])
        if not model.is_served:
            models.targets(model.spec.uid)
        return JSONResponse(_item(model))

    return [
        Path("/anthropic/v1/models", list_models, methods=["GET"]),
        Path("/anthropic/v1/models/{uid}", describe, methods=["GET"]),
    ]


def _item(model: ModelStatus) -> dict[str, Any]:
    """One model, with the fields that Anthropic's API and Xinference's each give it."""
    spec = model.spec
    created = datetime.fromtimestamp(int(spec.created_at), UTC)
    return {
        "id": spec.uid,
        "type": "model",
        "object": "model",
        "display_name": spec.name,
        "created": int(spec.created_at),
        "created_at": created.isoformat().replace("+00:00", "Z"),
        "lifecycle": "active",
        "max_input_tokens": model.context_length,
        "max_tokens": model.context_length,
    }
