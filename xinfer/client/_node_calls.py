"""Calls about the nodes of the cluster."""

from __future__ import annotations

from xinfer.client._calls import Call, Json, _nothing, _params, _quoted, _whole


def list_nodes() -> Call[list[Json]]:
    """Every node with its state, labels, CPUs, memory, GPUs, disk and replicas, the head first."""
    return Call("GET", "/v1/nodes", lambda response: list(response["data"]))


def get_node(node: str) -> Call[Json]:
    """The node with this ID (or its beginning), address or hostname."""
    return Call("GET", f"/v1/nodes/{_quoted(node)}", _whole)


def get_node_log(node: str, lines: int = 100, request_id: str | None = None) -> Call[Json]:
    """The last ``lines`` of each of the node's ``logs`` but the engines', or the lines there that name a request."""
    return Call("GET", f"/v1/nodes/{_quoted(node)}/log", _whole, params=_params(lines=lines, request_id=request_id))


def drain_node(node: str) -> Call[Json]:
    """Take a node out of use; its replicas are started on others before they end there. Returns it as it is now.

    Its state is ``DRAINED`` when no replica is left.
    """
    return Call("POST", f"/v1/nodes/{_quoted(node)}/drain", _whole)


def undrain_node(node: str) -> Call[None]:
    """Have a node that is ``DRAINED`` join anew, which takes seconds and gives it another ID. ``Conflict`` if it is not yet."""
    return Call("POST", f"/v1/nodes/{_quoted(node)}/undrain", _nothing)
