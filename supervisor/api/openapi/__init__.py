"""``/openapi.json``: one table of operations, and the document that is made of it."""

from supervisor.api.openapi.document import document, served
from supervisor.api.openapi.operation import Operation

__all__ = ["Operation", "document", "served"]
