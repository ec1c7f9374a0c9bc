"""The command ``launch``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xinfer.cli import engine_options
from xinfer.cli.autoscaling_options import autoscaling_options, take_config
from xinfer.cli.held_interrupt import HeldInterrupt
from xinfer.cli.options import as_json, print_json, with_client
from xinfer.cli.progress import display_for, follow
from xinfer.cli.stages import summary
from xinfer.cli.switches import SwitchCommand
from xinfer.cli.xinference_options import as_keywords, xinference_options
from xinfer.errors import LaunchCancelled, LaunchFailed
from xinfer.node_labels import parse_labels

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient


_XINFER_FIELDS = (
    *("context_length", "trust_remote_code", "idle_timeout", "kv_cache_gib"),
    *("autoscaling_config", "node_labels", "wait_for_capacity", "pack"),
)
"""Fields that Xinference's API does not have: sent only if they are given."""


class GpuCount(click.ParamType[Any]):
    """``auto``, ``none``, a number of GPUs per replica, or a fraction of one."""

    name = "auto|none|number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "auto":
            return value
        number = engine_options.value(str(value))
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if number is not None and not (is_number and number >= 0):
            self.fail(f"{value!r}: expected auto, none, a number of GPUs or a fraction of one", param, ctx)
        return number


@click.command(cls=SwitchCommand, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[MODEL_NAME] [--ENGINE-OPTION VALUE]...")
@click.option("-n", "--model-name", help="Name in the catalog; the same as the argument.")
@click.option("-u", "--model-uid", help="UID of the model; the model's name if unset.")
@click.option("-en", "--model-engine", default="vLLM", show_default=True)
@click.option("-t", "--model-type", default="LLM", show_default=True)
@click.option(
    "-s",
    "--size-in-billions",
    "model_size_in_billions",
    help="Billions of parameters, such as 8, 0.6 or 1_8.",
)
@click.option("-f", "--model-format", help="Format of the weights, such as pytorch, fp8, awq or gptq.")
@click.option("-q", "--quantization", help="Such as none, Int4 or Int8.")
@click.option("--context-length", type=click.IntRange(1), help="Maximum prompt plus output, in tokens.")
@click.option(
    "-r",
    "--replica",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of replicas.",
)
@click.option(
    "--request-limits",
    type=click.IntRange(1),
    help="Requests that each replica takes at once, running and queued; more get status 429.",
)
@click.option(
    "--idle-timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Free its GPUs after this long without a request; the next request wakes it.",
)
@autoscaling_options("--min-replicas", "--max-replicas")
@click.option(
    "--kv-cache-gib",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="KV cache of each replica, in GiB.",
)
@click.option(
    "--n-gpu",
    type=GpuCount(),
    default="auto",
    show_default=True,
    help="GPUs of each worker of a replica; none is CPU.",
)
@click.option(
    "--n-worker",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Nodes that share each replica, for a model larger than one.",
)
@click.option(
    "--on",
    "node_labels",
    multiple=True,
    metavar="KEY=VALUE",
    callback=lambda _context, _option, words: _labels(words),
    help="Only nodes with this label, given at their start with --label; may be given several times.",
)
@click.option("--worker-ip", help="Only the node with this address.")
@click.option(
    "--wait-for-capacity",
    is_flag=True,
    default=None,
    help="Where there is no room, wait for a node and have Ray's autoscaler start one, instead of being refused; needs --n-gpu.",
)
@click.option(
    "--pack/--spread",
    default=None,
    help="Put its replicas on few nodes, so that others stay free; by default each is on a node of its own.",
)
@click.option("-mp", "--model-path", help="A folder or a hub id, instead of the catalog's.")
@click.option(
    "--enable-thinking/--no-enable-thinking",
    default=None,
    help="Default for requests that do not set it.",
)
@click.option(
    "--trust-remote-code/--no-trust-remote-code",
    default=None,
    help="Run code that comes with the model.",
)
@click.option(
    "-ev",
    "--env",
    "envs",
    type=(str, str),
    multiple=True,
    metavar="KEY VALUE",
    help="Environment variable of the engine.",
)
@xinference_options
@click.option(
    "--wait/--no-wait",
    default=True,
    show_default=True,
    help="Return when it is ready, or at once.",
)
@as_json
@with_client
def launch(
    client: RESTfulClient,
    /,
    words: tuple[str, ...],
    wait: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Launch a model and wait until it is ready.

    Options that are not listed here go to the engine, such as --max-num-seqs 64 --enforce-eager. MODEL_NAME comes
    before them.
    """
    # The server's own waiting has no progress, so this command returns at once and polls.
    # Broken off in the middle, the launch would go on, and nobody could tell its UID.
    with HeldInterrupt() as interrupt:
        response = client._launch_response(**_keywords(words, options), wait_ready=False)
    uid = str(response["model_uid"])
    facts = {"model_uid": uid}
    if response.get("why"):
        facts["why"] = response["why"]
        click.echo(response["why"], err=True)
    is_ready = False
    if wait:
        try:
            is_ready = _wait_until_ready(client, uid, interrupt)
        except (LaunchFailed, LaunchCancelled) as error:
            # Scripts get the UID of a failed launch as well, for `xinfer logs`.
            if as_json:
                print_json({**facts, "ready": False, "error": error.message})
            raise
    if as_json:
        print_json({**facts, "ready": is_ready})
    else:
        _print_next_step(client, uid, is_ready)


def _labels(words: tuple[str, ...]) -> dict[str, str] | None:
    try:
        return parse_labels(words) or None
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _keywords(words: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    """The keywords of the client's ``launch_model``."""
    argument, extra = engine_options.parse(words)
    if argument and options["model_name"]:
        raise click.UsageError("MODEL_NAME and --model-name are the same; give one.")
    path = _absolute(options["model_path"])
    name = argument or options["model_name"]
    if not name and path:
        name = Path(path).name
    if not name:
        raise click.UsageError("Name a model: MODEL_NAME or --model-path. `xinfer models` lists the names.")
    options = dict(options)
    autoscaling = take_config(options)
    keywords = as_keywords(options)
    keywords["autoscaling_config"] = autoscaling or None
    keywords |= {"model_name": name, "model_path": path, "envs": dict(options["envs"]) or None}
    # An engine option must not replace a field of the launch, under whose Python name it would be sent.
    taken = extra.keys() & {*keywords, "wait_ready"}
    if taken:
        names = ", ".join(sorted(taken))
        raise click.UsageError(f"Not an option of the engine: {names}. See `xinfer launch --help`.")
    for key in _XINFER_FIELDS:
        if keywords[key] is None:
            del keywords[key]
    return keywords | extra


def _absolute(path: str | None) -> str | None:
    """The absolute path of a folder on this machine; anything else, such as a hub id, stays as it is."""
    # The server has another working directory.
    if path and Path(path).is_dir():
        return str(Path(path).absolute())
    return path


def _wait_until_ready(client: RESTfulClient, uid: str, interrupt: HeldInterrupt) -> bool:
    """Show the launch's progress until it is ready (True). Ctrl-C cancels it, or lets it go on (False)."""
    try:
        interrupt.check()
        with display_for(uid) as display:
            report = follow(client, uid, display)
    except KeyboardInterrupt:
        if not _wants_to_cancel(uid):
            return False
        client.cancel_launch_model(uid)
        raise LaunchCancelled(f"The launch of {uid!r} was cancelled.") from None
    line = summary(uid, report)
    if line:
        click.echo(line, err=True)
    return True


def _wants_to_cancel(uid: str) -> bool:
    # Nobody to ask: a script that is interrupted leaves nothing behind.
    if not sys.stdin.isatty():
        return True
    try:
        return click.confirm(f"\nCancel the launch of {uid}?", default=True, err=True)
    except click.Abort:
        # A second Ctrl-C.
        return True


def _print_next_step(client: RESTfulClient, uid: str, is_ready: bool) -> None:
    click.echo(f"Model uid: {uid}")
    if not is_ready:
        click.echo("It is starting; `xinfer list` shows it when it is ready.")
        return
    command = "generate"
    if "chat" in client.describe_model(uid).get("model_ability", ()):
        command = "chat"
    click.echo(f'Try it: xinfer {command} {uid} "Hello"')
