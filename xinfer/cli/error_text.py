"""Errors as the command line prints them: one line, with the next step to try."""

from __future__ import annotations

import click

from xinfer import errors
from xinfer.errors import XinferError

_NEXT_STEP: dict[str, str] = {
    errors.ModelNotFound.code: "`xinfer list` shows the running models.",
    errors.AuthenticationFailed.code: "Pass --api-key, set XINFER_API_KEY, or `xinfer login`.",
    errors.Conflict.code: "Choose another UID with --model-uid, or free it with `xinfer terminate`.",
    errors.LaunchRefused.code: "`xinfer models` and `xinfer launch --help` show what can be launched.",
    errors.LaunchFailed.code: "Change the options and launch it again; the server's log has the details.",
    errors.ModelOverloaded.code: "Try again in a moment, or launch it with more --replica.",
    errors.ModelLoading.code: "Try again in a moment.",
    errors.EngineLost.code: "Try again; `xinfer list` shows whether the model still runs.",
    errors.EngineTimeout.code: "Try again; `xinfer status` shows how the server is.",
    errors.InternalError.code: "The server's log has the details.",
}


def one_line(error: XinferError) -> str:
    """The error's message and the next step, unless the message names one itself."""
    message = " ".join(error.message.split())
    step = _NEXT_STEP.get(error.code)
    # A step in the message knows more than the one for all errors of its kind.
    if step is None or "`xinfer " in message:
        return message
    return f"{sentence(message)} {step}"


def failed(error: XinferError) -> click.ClickException:
    """The exception for which click prints one line to stderr and exits with 1."""
    return click.ClickException(one_line(error))


def sentence(message: str) -> str:
    """``message`` with a full stop, if it has none."""
    if message.endswith((".", "!", "?")):
        return message
    return f"{message}."
