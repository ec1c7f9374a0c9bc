"""REST: the models there are, as Anthropic's clients list them."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter

from supervisor.access.caller import visible
from supervisor.api.parameters import Requester
from supervisor.api.schemas import AnthropicModel, AnthropicModels
from supervisor.model_table import LiveTable
from xinfer.messages import ModelStatus


class AnthropicModelsApi:
    def __init__(self, models: LiveTable) -> None:
        self._models = models

    def add_routes(self, routes: APIRouter) -> None:
        """Add the routes of these handlers."""
        routes.add_api_route(
            "/anthropic/v1/models",
            self.list_models,
            methods=["GET"],
            summary="Models that chat, in Anthropic's format.",
        )
        routes.add_api_route("/anthropic/v1/models/{uid}", self.describe, methods=["GET"], summary="One of them.")

    async def list_models(self, caller: Requester) -> AnthropicModels:
        shown = visible(self._models.all.values(), caller)
        chatting = [model for model in shown if model.is_served and "chat" in model.spec.abilities]
        items = [_item(model) for model in chatting]

        first_id = None
        last_id = None
        if items:
            first_id = items[0]["id"]
            last_id = items[-1]["id"]
        return {"data": items, "has_more": False, "first_id": first_id, "last_id": last_id}

    async def describe(self, uid: str) -> AnthropicModel:
        """One model; 503 while it loads, but not while it wakes."""
        model = self._models.get(uid)
        if not model.is_served:
            # Raises ModelLoading or Unavailable, with the reason.
            self._models.targets(uid)
        return _item(model)


def _item(model: ModelStatus) -> AnthropicModel:
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
