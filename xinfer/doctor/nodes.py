"""The verdict on what is installed on the nodes of a cluster: the same everywhere, or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xinfer.doctor.findings import Finding, Verdict

_SUBJECT = "versions of nodes"
_NAMES = {"xinfer": "xinfer", "ray": "Ray", "vllm": "vLLM", "python": "Python"}
_ADVICE = "Install the same versions on all nodes, and start anew those that have others."
_SILENT = "Their agents have not reported for a minute: `xinfer logs --node NODE` shows the node's logs."


def versions_of_nodes(nodes: Sequence[Mapping[str, Any]]) -> Finding:
    """``nodes`` are as ``GET /v1/nodes`` has them."""
    silent = [node["address"] for node in nodes if not node["versions"]]
    reported = [node for node in nodes if node["versions"]]
    same: list[str] = []
    differing: list[str] = []
    for package, name in _NAMES.items():
        found: dict[str, list[str]] = {}
        for node in reported:
            found.setdefault(node["versions"][package] or "none", []).append(node["address"])
        if len(found) == 1:
            same.append(f"{name} {next(iter(found))}")
        elif found:
            each = [f"{version} on {', '.join(addresses)}" for version, addresses in found.items()]
            differing.append(f"{name} {'; '.join(each)}")
    if differing:
        return Finding(_SUBJECT, Verdict.WARNING, ". ".join(differing), _ADVICE)
    count = "1 node" if len(reported) == 1 else f"{len(reported)} nodes"
    text = f"{count}: {', '.join(same)}" if reported else "no node has reported"
    if silent:
        return Finding(_SUBJECT, Verdict.WARNING, f"{text}. Unknown of {', '.join(silent)}", _SILENT)
    return Finding(_SUBJECT, Verdict.OK, text)


def not_compared(why: str) -> Finding:
    """The cluster did not tell."""
    return Finding(
        _SUBJECT, Verdict.WARNING, f"not compared: {why}", "`xinfer status` tells whether the cluster is up."
    )
