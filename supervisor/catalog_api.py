"""REST: the catalog, in Xinference's words: families, registrations, engines."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from xinfer.catalog import Catalog, Family
from xinfer.errors import NotFound

_ABILITIES = ("chat", "generate", "tools", "vision", "reasoning", "audio", "omni", "hybrid")


def paths() -> list[Route]:
    """What this part serves."""
    return [
        Route("/v1/models/families", families, methods=["GET"]),
        Route("/v1/models/vllm-supported", vllm_supported, methods=["GET"]),
        Route("/v1/model_registrations/{type}", registrations, methods=["GET"]),
        Route("/v1/model_registrations/{type}/{name}", registration, methods=["GET"]),
        Route("/v1/engines/{name}", engines, methods=["GET"]),
        Route("/v1/engines/{type}/{name}", engines, methods=["GET"]),
    ]


def _with(ability: str) -> list[str]:
    return [family.name for family in Catalog.load().families.values() if ability in family.abilities]


async def families(request: Request) -> Response:
    """Names by ability."""
    return JSONResponse({ability: _with(ability) for ability in _ABILITIES})


async def vllm_supported(request: Request) -> Response:
    """Names that vLLM runs: all of them."""
    return JSONResponse({ability: _with(ability) for ability in ("chat", "generate")})


async def registrations(request: Request) -> Response:
    """Every family, in full with ``detailed=true``."""
    _check_type(request)
    detailed = request.query_params.get("detailed", "false").lower() == "true"
    found = Catalog.load().families.values()
    return JSONResponse([_full(family) if detailed else _brief(family) for family in found])


async def registration(request: Request) -> Response:
    """One family in full."""
    _check_type(request)
    return JSONResponse(_full(_family(request)))


async def engines(request: Request) -> Response:
    """What of a family each engine can run."""
    specs = [
        {
            "model_name": request.path_params["name"],
            "model_format": spec.format,
            "model_size_in_billions": spec.size_in_billions,
            "quantizations": list(spec.quantizations),
        }
        for spec in _family(request).specs
    ]
    return JSONResponse({"vLLM": specs})


def _check_type(request: Request) -> None:
    if request.path_params["type"].upper() != "LLM":
        raise NotFound("xinfer serves language models; the model type has to be LLM.")


def _family(request: Request) -> Family:
    name = request.path_params["name"]
    found = Catalog.load().families.get(name)
    if found is None:
        raise NotFound(f"There is no family {name[:100]!r}. GET /v1/models/families lists them.")
    return found


def _brief(family: Family) -> dict[str, Any]:
    return {"model_name": family.name, "is_builtin": True}


def _full(family: Family) -> dict[str, Any]:
    return {
        **_brief(family),
        "version": 2,
        "model_type": "LLM",
        "model_lang": list(family.languages),
        "model_ability": list(family.abilities),
        "model_description": family.description,
        "context_length": family.context_length,
        "thinking": family.thinking.model_dump(mode="json"),
        "reasoning_parser": family.reasoning_parser,
        "tool_parser": family.tool_parser,
        "model_specs": [spec.model_dump(mode="json") for spec in family.specs],
    }
