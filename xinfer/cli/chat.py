"""The commands ``chat`` and ``generate``."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from xinfer.cli.conversation import converse
from xinfer.cli.options import as_json, print_json, with_client
from xinfer.cli.output import pieces, show
from xinfer.cli.switches import SwitchCommand
from xinfer.errors import AbilityNotSupported, ModelNotFound

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

Respond = Callable[[list[dict[str, str]]], Any]
"""From the messages of a conversation to the model's response, whole or streamed."""


def _chat_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of both commands, which get them as the ``config`` of a request."""

    @click.argument("words", nargs=-1, metavar="[MODEL_UID] [MESSAGE]")
    @click.option(
        "-u",
        "--model-uid",
        help="The same as the argument; the running model if there is only one.",
    )
    @click.option("--max-tokens", "--max_tokens", type=click.IntRange(1), default=512, show_default=True)
    @click.option("--temperature", type=click.FloatRange(0), help="0 always takes the likeliest token.")
    @click.option("--stream/--no-stream", default=True, show_default=True, help="Stream the response.")
    @as_json
    @functools.wraps(command)
    def configured(
        *args: Any, max_tokens: int, temperature: float | None, stream: bool, as_json: bool, **kwargs: Any
    ) -> None:
        config: dict[str, Any] = {"max_tokens": max_tokens, "stream": stream and not as_json}
        # Unset, the model's own default counts.
        if temperature is not None:
            config["temperature"] = temperature
        command(*args, config=config, as_json=as_json, **kwargs)

    return configured


@click.command(cls=SwitchCommand)
@with_client
@_chat_options
@click.option("--system", help="Instructions that come before the conversation.")
@click.option(
    "--enable-thinking/--no-enable-thinking",
    default=None,
    help="Whether the model thinks before it responds.",
)
def chat(
    client: RESTfulClient,
    words: tuple[str, ...],
    model_uid: str | None,
    config: dict[str, Any],
    as_json: bool,
    system: str | None,
    enable_thinking: bool | None,
) -> None:
    """Chat with a running model.

    With MESSAGE, or with text on stdin, it prints one response. Without, it starts a conversation; an empty line
    ends it.
    """
    from xinfer.client import RESTfulChatModelHandle

    uid, message = _uid_and_message(client, words, model_uid)
    model = client.get_model(uid)
    if not isinstance(model, RESTfulChatModelHandle):
        raise AbilityNotSupported(f"Model {uid!r} does not chat; try `xinfer generate {uid}`.")
    instructions: list[dict[str, str]] = []
    if system:
        instructions.append({"role": "system", "content": system})

    def respond(messages: list[dict[str, str]]) -> Any:
        return model.chat([*instructions, *messages], enable_thinking=enable_thinking, generate_config=config)

    _run(message, as_json, respond)


@click.command(cls=SwitchCommand)
@with_client
@_chat_options
def generate(
    client: RESTfulClient,
    words: tuple[str, ...],
    model_uid: str | None,
    config: dict[str, Any],
    as_json: bool,
) -> None:
    """Complete a text with a running model.

    With MESSAGE, or with text on stdin, it completes that text. Without, it prompts for texts; an empty line
    ends it.
    """
    uid, message = _uid_and_message(client, words, model_uid)
    model = client.get_model(uid)
    # Base models have no turns: each text is completed by itself.
    _run(message, as_json, lambda messages: model.generate(messages[-1]["content"], config))


def _uid_and_message(
    client: RESTfulClient,
    words: tuple[str, ...],
    option: str | None,
) -> tuple[str, str | None]:
    """The model's UID, and the message if there is one."""
    if len(words) > (1 if option else 2):
        raise click.UsageError("Too many arguments; put the message in quotes.")
    message = words[-1] if words else None
    if option:
        return option, message
    if len(words) == 2:
        return words[0], message
    # A single argument may be either: no UID has a blank, and hardly any message has none.
    if message is not None and not any(blank in message for blank in " \n\t"):
        return message, None
    return _only_running(client), message


def _only_running(client: RESTfulClient) -> str:
    running = list(client.list_models())
    if not running:
        raise ModelNotFound("No model is running; start one with `xinfer launch MODEL_NAME`.")
    if len(running) > 1:
        raise click.UsageError(f"Several models are running; name one: {', '.join(running)}.")
    return running[0]


def _run(message: str | None, as_json: bool, respond: Respond) -> None:
    """Print the response to one message, or start a conversation on a terminal if there is none."""
    if message is None and (as_json or not sys.stdin.isatty()):
        message = sys.stdin.read().strip()
        if not message:
            raise click.UsageError("No message: give a MESSAGE, or text on stdin.")
    if message is None:
        converse(respond)
        return
    response = respond([{"role": "user", "content": message}])
    if as_json:
        print_json(response)
    else:
        # A pipe gets the response alone, as a script has no use for the reasoning.
        show(pieces(response), show_reasoning=sys.stdout.isatty())
