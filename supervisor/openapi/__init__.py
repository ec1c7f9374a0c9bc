"""``/openapi.json``: one table of operations, and the document that is made of it."""

from supervisor.openapi.document import document, served
from supervisor.openapi.operation import Operation

__all__ = ["Operation", "document", "served"]
