"""Names under which the parts find each other in a Ray cluster, and the rules for model UIDs."""

from __future__ import annotations

import re

from xinfer.errors import LaunchRefused

NAMESPACE = "xinfer"
REGISTRY = "xinfer-registry"
SUPERVISOR_APP = "xinfer"
SUPERVISOR_DEPLOYMENT = "supervisor"
WORKER_APP = "worker.app:build"
"""Import path of the Serve application builder that a launch runs; the supervisor knows workers by this name alone."""
NODE_PROCESS = "xinfer.cluster.node_process"
"""Module of the process that runs Ray on a node; SIGHUP has it start Ray anew."""
RAY_COMMAND = "supervisor.nodes.ray_node"
"""Module that is Ray's command line, with what xinfer changes of a node."""
SERVE_MIDDLEWARES = "supervisor.gateway.exchange:middlewares"
"""Import path of what Serve puts around its HTTP handlers."""
CLIENT_ADDRESS = "x-xinfer-client"
"""Header in which HAProxy tells supervisors the address of a client."""
FRONT_SECRET = "x-xinfer-front"
"""Header in which HAProxy shows supervisors that a request has come through it."""
GPU_MEMORY_LABEL = "xinfer.gpu-memory-mib"
GPU_CAPABILITY_LABEL = "xinfer.gpu-capability"
"""Labels of a Ray node: the memory and the compute capability of its weakest GPU."""

RESERVED_LABELS = ("xinfer.", "ray.io/")
"""How labels of a node begin that xinfer and Ray set themselves."""

UID_MAX_LENGTH = 100
_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z", re.ASCII)
_ROUTES = frozenset(
    {
        *("families", "instance", "instances", "llm", "prompts"),
        *("recommend", "update_spec", "update_type", "vllm-supported"),
    }
)
"""Names under ``/v1/models/`` that are no models."""
_REPLICA_SUFFIX = re.compile(r"-rep\d+\Z")


def model_app(uid: str) -> str:
    """Name of the Serve application that is the model ``uid``."""
    return f"model-{uid}"


def node_agent(node_id: str) -> str:
    """Name of the actor that is the agent of the node with this ID."""
    return f"xinfer-node-{node_id}"


def is_uid(text: str) -> bool:
    """Whether ``text`` can be a model UID at all."""
    return (
        len(text) <= UID_MAX_LENGTH
        and bool(_UID.match(text))
        and not _REPLICA_SUFFIX.search(text)
        and text not in _ROUTES
    )


def check_uid(uid: str) -> str:
    """``uid`` itself, or ``LaunchRefused`` with the rule it breaks."""
    if is_uid(uid):
        return uid
    if uid in _ROUTES:
        raise LaunchRefused(
            f"{uid!r} is the name of a route of the API. Choose another with --model-uid.", param="model_uid"
        )
    raise LaunchRefused(
        f"A model UID has up to {UID_MAX_LENGTH} letters, digits, '.', '_' or '-', begins with a letter or digit and does not "
        "end in '-rep' and a number. Choose another with --model-uid.",
        param="model_uid",
    )
