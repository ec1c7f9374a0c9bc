"""The catalog as commands see it: with the families that are registered at the server, if one answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xinfer.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from xinfer.catalog import Catalog
    from xinfer.client import RESTfulClient


def known_families(client: RESTfulClient) -> Catalog:
    """What xinfer ships and what is registered at the server; without a server, or at one of another kind, what it ships."""
    # Reading the families takes a while, which --help need not wait for.
    from xinfer.catalog import Catalog, Family

    try:
        found = client.list_model_registrations("LLM")
        mine = [client.get_model_registration("LLM", each["model_name"]) for each in found if not each["is_builtin"]]
    except (NotFound, Unavailable):
        return Catalog.load()
    definitions = [each["definition"] for each in mine if "definition" in each]
    return Catalog.load().extended(Family.model_validate(definition) for definition in definitions)
