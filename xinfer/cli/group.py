"""The group of all commands. Each module is imported when its command is called, and not for ``--help``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

import xinfer as package
from xinfer.cli.error_text import failed
from xinfer.errors import XinferError

COMMANDS = {
    "start": ("xinfer.cli.start:start", "Start a server on this machine, or join one as a worker."),
    "stop": ("xinfer.cli.cluster:stop", "Stop the server and every model."),
    "stop-cluster": ("xinfer.cli.stop_cluster:stop_cluster", "Stop every node of a cluster."),
    "status": ("xinfer.cli.cluster:status", "Show the server, its nodes and their devices."),
    "nodes": ("xinfer.cli.nodes:nodes", "List the nodes of the cluster, or take one out of use."),
    "login": ("xinfer.cli.login:login", "Keep a server's address and an API key for this command line."),
    "logout": ("xinfer.cli.login:logout", "Forget a server's API key."),
    "keys": ("xinfer.cli.keys:keys", "Create, list, change, rotate and revoke API keys."),
    "usage": ("xinfer.cli.usage:usage", "Show the requests and tokens of keys and models."),
    "audit": ("xinfer.cli.usage:audit", "Show who has changed what."),
    "launch": ("xinfer.cli.launch:launch", "Launch a model and wait until it is ready."),
    "apply": ("xinfer.cli.apply:apply", "Make the models of a file run, as the file says."),
    "list": ("xinfer.cli.running:list_models", "List the running models."),
    "describe": ("xinfer.cli.running:describe", "Show everything about one running model."),
    "scale": ("xinfer.cli.scale:scale", "Set the number of a model's replicas, or how it follows the load."),
    "terminate": ("xinfer.cli.running:terminate", "Terminate a model and free its resources."),
    "sleep": ("xinfer.cli.running:sleep", "Put a model to sleep until a request needs it."),
    "wake": ("xinfer.cli.running:wake", "Wake a sleeping model."),
    "logs": ("xinfer.cli.logs:logs", "Show the end of an engine's log."),
    "top": ("xinfer.cli.top:top", "Watch models, replicas and nodes, refreshed each second."),
    "doctor": ("xinfer.cli.doctor:doctor", "Check this machine for what xinfer needs."),
    "metrics": ("xinfer.cli.metrics:metrics", "Set up Prometheus and Grafana for a cluster."),
    "models": ("xinfer.cli.models:models", "List the models that can be launched by name."),
    "cal-model-mem": ("xinfer.cli.model_memory:cal_model_mem", "Estimate the GPU memory that one model needs."),
    "cached": ("xinfer.cli.cached:cached", "List the models whose files are on the nodes."),
    "remove-cache": ("xinfer.cli.cached:remove_cache", "Delete a model's files from the nodes."),
    "register": (
        "xinfer.cli.registering:register",
        "Register a custom model family, so that it can be launched by name.",
    ),
    "unregister": ("xinfer.cli.registering:unregister", "Remove a registered family."),
    "registrations": ("xinfer.cli.registrations:registrations", "List the registered and built-in families."),
    "engine": ("xinfer.cli.engine:engine", "Show which sizes, formats and quantizations of a family can be launched."),
    "chat": ("xinfer.cli.chat:chat", "Chat with a running model."),
    "generate": ("xinfer.cli.chat:generate", "Complete a text with a running model."),
    "backup": ("xinfer.cli.backup:backup", "Copy what the head of this machine keeps."),
    "restore": ("xinfer.cli.backup:restore", "Put a backup in place, for the next start."),
    "service": ("xinfer.cli.service:service", "Run a head or a node as a systemd service."),
    "bench": ("xinfer.cli.bench:bench", "Load a server and measure its latency and throughput, or compare two."),
    "bench-launch": (
        "xinfer.cli.bench_launch:bench_launch",
        "Measure how long launches take, beside bare vLLM's start.",
    ),
}
"""Where each command is, and the line that ``--help`` shows for it."""


class LazyGroup(click.Group):
    """Commands by name from ``COMMANDS``; an error of the tree becomes one line on stderr and exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        # click would import every command for the first line of its docstring.
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except XinferError as error:
            raise failed(error) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package.__version__, prog_name="xinfer")
def xinfer() -> None:
    """Serve language models on your own machines.

    \b
    xinfer start
    xinfer launch tiny-chat
    xinfer chat tiny-chat "Hello"
    """


def main() -> None:
    """Run the command line; exits 0, 1 if it failed, 2 if it was misused."""
    xinfer(prog_name="xinfer")
