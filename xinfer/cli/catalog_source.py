"""The catalog of the commands: the shipped families and, with a server, the registered ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xinfer.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from xinfer.catalog import Catalog
    from xinfer.client import RESTfulClient


def known_families(client: RESTfulClient) -> Catalog:
    """The shipped families and those registered at the server; without a server only the shipped ones."""
    # Reading the families takes a while, which --help need not wait for.
    from xinfer.catalog import Catalog, Family

    registered: list[Family] = []
    try:
        for each in client.list_model_registrations("LLM"):
            if each["is_builtin"]:
                continue
            registration = client.get_model_registration("LLM", each["model_name"])
            # The field is xinfer's own; a server of Xinference's has none.
            if "definition" in registration:
                registered.append(Family.model_validate(registration["definition"]))
    except (NotFound, Unavailable):
        return Catalog.load()
    return Catalog.load().extended(registered)
