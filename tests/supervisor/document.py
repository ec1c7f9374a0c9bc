"""The OpenAPI document, without a running supervisor."""

from __future__ import annotations

from typing import Any

from supervisor.api.control_plane import ControlPlane
from supervisor.app import Supervisor
from tests.supervisor.servers import RegistryDouble
from xinfer.settings import GatewaySettings


def control_plane() -> ControlPlane:
    """One whose registry is a double, for its routes."""
    return Supervisor(GatewaySettings(), RegistryDouble()).control


def document() -> dict[str, Any]:
    """What ``GET /openapi.json`` responds with."""
    return control_plane().openapi()


def operations() -> list[tuple[str, str]]:
    """The method and path of everything that is described."""
    found = []
    for path, item in document()["paths"].items():
        found += [(method.upper(), path) for method in item]
    return found
