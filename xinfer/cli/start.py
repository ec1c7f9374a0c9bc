"""The command ``start``."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xinfer import settings
from xinfer.access_settings import usage_days
from xinfer.cli.options import drain_timeout
from xinfer.cluster import systemd
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.cluster_secret import operator_key
from xinfer.cluster.environment import keep_token
from xinfer.cluster.lifecycle import AT_ONCE_S, NodeLifecycle
from xinfer.cluster.membership import join_command
from xinfer.cluster.options import StartOptions
from xinfer.declared import ModelsFile
from xinfer.errors import LaunchFailed, XinferError
from xinfer.node_labels import parse_labels
from xinfer.request_log import LogFormat, log_format, logged_share
from xinfer.settings import EngineSettings, GatewaySettings, Routing
from xinfer.traces import check_traces

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

_DEFAULTS = StartOptions()
_STOP_SHOWS_S = 15
_NODES_S = 600.0
_NODES_PERIOD_S = 2.0

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
@click.option(
    "-H",
    "--host",
    default=_DEFAULTS.host,
    show_default=True,
    help="Address that the REST API listens on.",
)
@click.option("-p", "--port", default=_DEFAULTS.port, show_default=True)
@click.option(
    "--join",
    metavar="HOST:PORT",
    help="Join the cluster whose Ray listens there, as a worker node.",
)
@click.option("--token", help="With --join: the cluster's secret, as `xinfer nodes join-command` shows it on the head.")
@click.option("--node-ip", help="This node's address inside the cluster.")
@click.option(
    "--ray-port",
    default=_DEFAULTS.ray_port,
    show_default=True,
    help="Ray's port on the head; another one if it is taken.",
)
@click.option("--num-gpus", type=click.IntRange(0), help="GPUs of this node to use; all by default.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="KEY=VALUE",
    help="A label of this node, such as gpu=A100, for `xinfer launch --on`; may be given several times.",
)
@click.option(
    "--supervisors",
    type=click.IntRange(1),
    help="Supervisors on the head, which then answers all requests; 1 where only this machine reaches the API.",
)
@click.option(
    "--supervisors-per-node",
    type=click.IntRange(1),
    help="Supervisors on every node, so that each answers requests for all models; 1 where others reach the API.",
)
@click.option(
    "--routing",
    type=click.Choice([each.value for each in Routing]),
    callback=lambda _context, _option, value: Routing(value),
    default=_DEFAULTS.routing.value,
    show_default=True,
    help="How requests are shared among the replicas of a model.",
)
@click.option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Origin whose web pages may use the API, such as https://chat.example; may be given several times. '*' allows the "
    "pages of every origin all but changes of the cluster.",
)
@click.option(
    "--launch", "models", multiple=True, metavar="NAME", help="A model to launch; may be given several times."
)
@click.option(
    "--models",
    "models_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Models to launch, or to relaunch where the file has changed, as `xinfer apply` does.",
)
@click.option(
    "--expect-nodes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Wait up to ten minutes until so many nodes are there, this one included, before the models of --models are launched.",
)
@click.option(
    "--warm-host/--no-warm-host",
    default=_DEFAULTS.warm_host,
    show_default=True,
    help="Keep a fork server on this node, from which engines start in seconds; it takes memory.",
)
@click.option(
    "--fresh",
    is_flag=True,
    help="Do not restart the models that ran here before.",
)
@click.option(
    "--dashboard",
    is_flag=True,
    help="Run Ray's dashboard on the head's loopback interface, port 8265 or a free one. It asks for the cluster's token.",
)
@click.option(
    "--head-recovery",
    is_flag=True,
    help="Keep Ray's state on disk: if this head is lost, nodes that have joined go on, and the next start takes the cluster "
    "over.",
)
@click.option(
    "--log-format",
    type=click.Choice([each.value for each in LogFormat]),
    callback=lambda _context, _option, value: value and LogFormat(value),
    help="How each request's line is written to logs/requests; text by default.",
)
@click.option(
    "--auth/--no-auth",
    default=_DEFAULTS.auth,
    help="Whether the REST API requires keys. By default it does where others than this machine reach it.",
)
@click.option(
    "--keys-from",
    type=click.Path(exists=True, file_okay=False),
    metavar="DIR",
    help="Folder with keys to take, made elsewhere: a file admin, launch, infer or metrics, named after the scope, has one each.",
)
@click.option(
    "--model-dir",
    "model_dirs",
    multiple=True,
    metavar="DIR",
    help="Folder whose models may be launched by path with a key of the scope launch; may be given several times.",
)
@click.option(
    "--launch-env",
    multiple=True,
    metavar="NAME",
    help="Environment variable that a launch with such a key may set; may be given several times.",
)
@click.option(
    "--tls-cert", metavar="FILE", help="Certificate of the REST API, in PEM format. It is read again when it changes."
)
@click.option("--tls-key", metavar="FILE", help="Its key, if that is not in the same file.")
@click.option("--insecure", is_flag=True, help="Allow a host that others can reach, without keys.")
@click.option("--foreground", is_flag=True, help="Stay until Ctrl-C, then stop everything.")
@drain_timeout
@click.option("--allow-fake-engine", is_flag=True, hidden=True)
def start(
    models: tuple[str, ...],
    models_file: Path | None,
    expect_nodes: int,
    foreground: bool,
    drain_timeout: float,
    token: str | None,
    labels: tuple[str, ...],
    **options: Any,
) -> None:
    """Start a server on this machine, or join one as a worker."""
    try:
        start_options = StartOptions(**options, labels=parse_labels(labels))
        # Only to check them: a wrong variable must stop the start, and not the supervisor after it.
        GatewaySettings.from_environment(
            supervisors=start_options.first_supervisors,
            routing=start_options.routing,
            cors_origins=start_options.cors_origins,
        )
        EngineSettings.from_environment()
        if token is not None:
            _keep_token(start_options, token)
        log_format()
        logged_share()
        check_traces()
        usage_days()
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if start_options.join and (models or models_file):
        raise click.UsageError("--launch and --models are for the head; a node that joins gets its models from there.")
    if expect_nodes > 1 and not models_file:
        raise click.UsageError("--expect-nodes is about the models of --models; give a file of them.")
    # Read now: a wrong file must stop the start.
    declared = ModelsFile.read(models_file) if models_file else None
    node = NodeLifecycle(settings.home())
    with _stop_signals() as stopping:
        try:
            with _stopped_on_failure(node, drain_timeout, foreground=foreground):
                _bring_up(node, start_options)
                _launch_all(node, start_options, models, declared, expect_nodes)
                if foreground:
                    _stay(node, stopping)
        except KeyboardInterrupt:
            sys.exit(0 if foreground else 130)


def _keep_token(options: StartOptions, token: str) -> None:
    if not options.join:
        raise ValueError("--token is for a node that joins; a head makes its own")
    # A node that runs goes on with its own.
    if NodeLifecycle(settings.home()).running() is None:
        keep_token(settings.home(), token)


def _bring_up(node: NodeLifecycle, options: StartOptions) -> None:
    began = time.monotonic()
    # Closed, so that a Ctrl-C between two steps cleans up as well.
    with closing(node.start(options)) as steps:
        for step in steps:
            click.echo(f"[{time.monotonic() - began:5.1f} s] {step}", err=True)
    click.echo(f"[{time.monotonic() - began:5.1f} s] up", err=True)
    systemd.notify("READY=1")


@contextmanager
def _stopped_on_failure(node: NodeLifecycle, drain_timeout_s: float, *, foreground: bool) -> Iterator[None]:
    """Stop the node on Ctrl-C and, in the foreground, on any error.

    In the background a failed launch leaves the node running. A node that ran before this command is left alone.
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


def _launch_all(
    node: NodeLifecycle,
    options: StartOptions,
    models: tuple[str, ...],
    declared: ModelsFile | None,
    expect_nodes: int,
) -> None:
    if options.join:
        click.echo(f"This node has joined the cluster at {options.join}.")
        return
    own_key = operator_key(node.home)
    for name in models:
        click.echo(f"launching {name}", err=True)
        _launch(options.endpoint, name, own_key)
    if declared:
        models = (*models, *_apply(options.endpoint, declared, expect_nodes, own_key))
    _print_ready(options.endpoint, models, requires_keys=options.requires_keys)
    _print_access(node, options)
    _print_join_line(node, options)


def _apply(endpoint: str, declared: ModelsFile, expect_nodes: int, api_key: str | None) -> list[str]:
    from xinfer.cli.apply import apply_at_start
    from xinfer.cli.own_session import own_session
    from xinfer.client import RESTfulClient

    with RESTfulClient(endpoint, api_key, session=own_session(endpoint)) as client:
        _wait_for_nodes(client, expect_nodes)
        return apply_at_start(client, declared)


def _wait_for_nodes(client: RESTfulClient, expected: int) -> None:
    """A launch takes the GPUs that are there; those of nodes that have yet to join would be missed."""
    if expected == 1:
        return
    click.echo(f"waiting for {expected} nodes", err=True)
    deadline = time.monotonic() + _NODES_S
    there = 0
    while time.monotonic() < deadline:
        there = len(client.list_nodes())
        if there >= expected:
            return
        time.sleep(_NODES_PERIOD_S)
    click.echo(f"{there} of {expected} nodes are there; the models are launched on these.", err=True)


def _print_access(node: NodeLifecycle, options: StartOptions) -> None:
    """Who may use the cluster; the first admin key, which nobody is shown again."""
    if not options.requires_keys:
        if not options.is_loopback:
            click.echo(
                "Keys: none are required (--insecure). Everybody who reaches this address may launch models.", err=True
            )
        return
    click.echo("\nKeys: required, but for /health.")
    if node.admin_key:
        click.echo(f"Admin key, shown this once: {node.admin_key}")
    click.echo("`xinfer keys create NAME` makes keys for others; commands on this machine need none.")
    if not options.is_loopback and not options.tls_cert:
        click.echo(
            "Requests, answers and keys travel unencrypted: give --tls-cert, or stay in a closed network.",
            err=True,
        )


def _print_join_line(node: NodeLifecycle, options: StartOptions) -> None:
    if not options.is_loopback:
        click.echo(f"\nOther machines join with:\n  {join_command(node.home, _this_command())}")


def _launch(endpoint: str, name: str, api_key: str | None) -> None:
    """Launch ``name`` with its name as the UID, unless it ran before and comes back by itself."""
    from xinfer.cli.own_session import own_session
    from xinfer.cli.progress import display_for, follow
    from xinfer.cli.stages import summary
    from xinfer.client import RESTfulClient

    with RESTfulClient(endpoint, api_key, session=own_session(endpoint)) as client:
        known = client.get_instance_info(None, name)
        if not any(model["status"] != "ERROR" for model in known):
            client.launch_model(model_name=name, model_uid=name, wait_ready=False)
        with display_for(name) as display:
            report = follow(client, name, display)
    took = summary(name, report)
    if took:
        click.echo(took, err=True)


def _print_ready(endpoint: str, models: tuple[str, ...], *, requires_keys: bool) -> None:
    command = _this_command()
    if models and not requires_keys:
        click.echo(_READY.format(endpoint=endpoint, uid=models[0], command=command, python=sys.executable))
    else:
        example = f"chat {models[0]}" if models else "launch tiny-chat"
        click.echo(f"\nxinfer is ready at {endpoint}\n\nTry: {command} {example}")


def _this_command() -> str:
    """The command that runs xinfer from the same environment, which need not be on the PATH."""
    own = sys.argv[0]
    # python -m xinfer.cli.
    if own.endswith(".py"):
        return f"{sys.executable} -m xinfer.cli"
    if "/" in own:
        return own
    return "xinfer"


def _stay(node: NodeLifecycle, stopping: threading.Event) -> None:
    click.echo("Ctrl-C stops it.", err=True)
    while not stopping.wait(1.0):
        if node.node and not node.node.is_alive():
            if _stopped_from_elsewhere(node):
                click.echo("Stopped by `xinfer stop`.", err=True)
                return
            raise LaunchFailed("Ray has ended; its logs are in the folder `ray` of XINFER_HOME.")


def _stopped_from_elsewhere(node: NodeLifecycle) -> bool:
    """Whether ``xinfer stop`` ended Ray: its last step is to delete the cluster's record."""
    for _ in range(_STOP_SHOWS_S):
        if ClusterRecord.load(node.home) is None:
            return True
        time.sleep(1.0)
    return False


def _bring_down(node: NodeLifecycle, drain_timeout_s: float) -> None:
    # This command has started nothing: it failed before, or the node ran already.
    if node.node is None:
        return
    systemd.notify("STOPPING=1")
    click.echo("\nStopping ... Press Ctrl-C again to stop at once.", err=True)
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
    """Ctrl-C and SIGTERM set the event and raise KeyboardInterrupt, at most twice."""
    stopping = threading.Event()
    in_a_hurry = threading.Event()

    def handle(_number: int, _frame: object) -> None:
        if not stopping.is_set():
            stopping.set()
            raise KeyboardInterrupt
        # The second one ends the drain. A third one would interrupt the stop and leave processes behind.
        if not in_a_hurry.is_set():
            in_a_hurry.set()
            raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
