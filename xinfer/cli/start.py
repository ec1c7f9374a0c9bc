"""The command ``start``."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import click

from xinfer import settings
from xinfer.cli.options import drain_timeout
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.lifecycle import AT_ONCE_S, NodeLifecycle
from xinfer.cluster.options import StartOptions
from xinfer.errors import LaunchFailed, XinferError
from xinfer.settings import EngineSettings, GatewaySettings, Routing

_DEFAULTS = StartOptions()
_STOP_SHOWS_S = 15

_READY = """
xinfer is ready at {endpoint}

Try:
  curl {endpoint}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model": "{uid}", "messages": [{{"role": "user", "content": "What is the largest animal?"}}]}}'

  {command} chat {uid} "What is the largest animal?"

  from xinfer.client import RESTfulClient          # {python}
  model = RESTfulClient("{endpoint}").get_model("{uid}")
  print(model.chat([{{"role": "user", "content": "What is the largest animal?"}}])["choices"][0]["message"]["content"])
"""


@click.command()
@click.option("-H", "--host", default=_DEFAULTS.host, show_default=True, help="Where the REST API listens.")
@click.option("-p", "--port", default=_DEFAULTS.port, show_default=True)
@click.option("--join", metavar="HOST:PORT", help="Join the cluster whose Ray listens there, as a worker node.")
@click.option("--node-ip", help="This node's address inside the cluster.")
@click.option(
    "--ray-port", default=_DEFAULTS.ray_port, show_default=True, help="Ray's port on the head; another if taken."
)
@click.option("--num-gpus", type=click.IntRange(0), help="GPUs this node offers; counted if unset.")
@click.option("--supervisors", type=click.IntRange(1), default=_DEFAULTS.supervisors, show_default=True)
@click.option(
    "--routing",
    type=click.Choice([each.value for each in Routing]),
    callback=lambda _context, _option, value: Routing(value),
    default=_DEFAULTS.routing.value,
    show_default=True,
    help="How requests are shared among the replicas of a model.",
)
@click.option(
    "--launch", "models", multiple=True, metavar="NAME", help="A model to launch; may be given several times."
)
@click.option(
    "--warm-host/--no-warm-host",
    default=_DEFAULTS.warm_host,
    show_default=True,
    help="Keep a fork server on this node, from which engines start in seconds; it takes memory.",
)
@click.option("--fresh", is_flag=True, help="Forget the models that ran here before; otherwise they come back.")
@click.option("--insecure", is_flag=True, help="Allow a host that others can reach, without an API key.")
@click.option("--foreground", is_flag=True, help="Stay until Ctrl-C, then stop everything.")
@drain_timeout
@click.option("--allow-fake-engine", is_flag=True, hidden=True)
def start(models: tuple[str, ...], foreground: bool, drain_timeout: float, **options: Any) -> None:
    """Start a server on this machine, or join one as a worker."""
    try:
        asked = StartOptions(**options)
        # A wrong one stops here.
        GatewaySettings.from_environment(supervisors=asked.supervisors, routing=asked.routing)
        EngineSettings.from_environment()
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if asked.join and models:
        raise click.UsageError("--launch is for the head; a joined node gets its work from there.")
    node = NodeLifecycle(settings.home())
    with _stop_signals() as stop_asked:
        try:
            with _brought_down(node, drain_timeout, foreground=foreground):
                _bring_up(node, asked)
                _launch_all(asked, models)
                if foreground:
                    _stay(node, stop_asked)
        except KeyboardInterrupt:
            sys.exit(0 if foreground else 130)


def _bring_up(node: NodeLifecycle, options: StartOptions) -> None:
    began = time.monotonic()
    with closing(node.start(options)) as steps:  # a Ctrl-C between two steps has it clean up, too
        for step in steps:
            click.echo(f"[{time.monotonic() - began:5.1f} s] {step}", err=True)
    click.echo(f"[{time.monotonic() - began:5.1f} s] up", err=True)


@contextmanager
def _brought_down(node: NodeLifecycle, drain_timeout_s: float, *, foreground: bool) -> Iterator[None]:
    """What is inside may fail and leave a cluster in the background running; Ctrl-C, or the end of the foreground, stops it.

    A cluster that ran before is not ours to stop.
    """
    try:
        yield
    except KeyboardInterrupt:
        _bring_down(node, drain_timeout_s)
        raise
    except BaseException:
        if foreground:
            _bring_down(node, drain_timeout_s)
        raise


def _launch_all(options: StartOptions, models: tuple[str, ...]) -> None:
    if options.join:
        click.echo(f"This node has joined the cluster at {options.join}.")
        return
    for name in models:
        click.echo(f"launching {name}", err=True)
        _launch(options.endpoint, name)
    _say_ready(options.endpoint, models[0] if models else "tiny-chat", launched=bool(models))


def _launch(endpoint: str, name: str) -> None:
    """Launch ``name`` under its own name, unless it is coming back from before."""
    from xinfer.cli.progress import display_for, follow
    from xinfer.cli.stages import summary
    from xinfer.client import RESTfulClient

    with RESTfulClient(endpoint) as client:
        known = client.get_instance_info(None, name)
        if not any(model["status"] != "ERROR" for model in known):
            client.launch_model(model_name=name, model_uid=name, wait_ready=False)
        with display_for(name) as display:
            report = follow(client, name, display)
    took = summary(name, report)
    if took:
        click.echo(took, err=True)


def _say_ready(endpoint: str, uid: str, *, launched: bool) -> None:
    own = sys.argv[0]
    if own.endswith(".py"):
        command = f"{sys.executable} -m xinfer.cli"
    else:
        command = own if "/" in own else "xinfer"
    if launched:
        click.echo(_READY.format(endpoint=endpoint, uid=uid, command=command, python=sys.executable))
    else:
        click.echo(f"\nxinfer is ready at {endpoint}\n\nTry: {command} launch {uid}")


def _stay(node: NodeLifecycle, stop_asked: threading.Event) -> None:
    click.echo("Ctrl-C stops it.", err=True)
    while not stop_asked.wait(1.0):
        if node.node and not node.node.alive:
            if _stopped_from_elsewhere(node):
                click.echo("Stopped by `xinfer stop`.", err=True)
                return
            raise LaunchFailed("Ray has ended; its logs are in the folder `ray` of XINFER_HOME.")


def _stopped_from_elsewhere(node: NodeLifecycle) -> bool:
    """Whether the record of the cluster goes away, which ``xinfer stop`` does last."""
    for _ in range(_STOP_SHOWS_S):
        if ClusterRecord.load(node.home) is None:
            return True
        time.sleep(1.0)
    return False


def _bring_down(node: NodeLifecycle, drain_timeout_s: float) -> None:
    if node.node is None:
        return
    click.echo("\nStopping ... Again, and it ends at once.", err=True)
    try:
        node.drain(drain_timeout_s)
        node.stop()
    except KeyboardInterrupt:
        node.stop(AT_ONCE_S)
    except XinferError as error:
        click.echo(error.message, err=True)
    click.echo("Stopped.", err=True)


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the event and interrupt what is under way; the second one the stop, too. Others are ignored."""
    asked = threading.Event()
    in_a_hurry = threading.Event()

    def handle(_number: int, _frame: object) -> None:
        if not asked.is_set():
            asked.set()
            raise KeyboardInterrupt
        if not in_a_hurry.is_set():
            in_a_hurry.set()
            raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
