"""Shows the progress of a launch until it is ready or has failed."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, Self

import click

from xinfer.cli.error_text import sentence
from xinfer.cli.stages import downloaded, rows, state
from xinfer.errors import LaunchCancelled, LaunchFailed, ModelNotFound

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

POLL_PERIOD_S = 0.25


class Display(AbstractContextManager["Display"], Protocol):
    """Shows the progress reports of a launch on stderr, one after the other."""

    def show(self, report: dict[str, Any]) -> None:
        """Show the stage of each replica in ``report``."""


def follow(client: RESTfulClient, model_uid: str, display: Display) -> dict[str, Any]:
    """Show reports until the model is ready and return the last one; LaunchFailed has the server's reason."""
    while True:
        report = _report(client, model_uid)
        display.show(report)
        if report.get("stage") == "ready":
            return report
        if report.get("stage") == "cancelled":
            raise _cancelled(model_uid)
        if report.get("stage") == "failed":
            reason = str(report.get("error") or f"Model {model_uid!r} did not start.")
            raise LaunchFailed(f"{sentence(reason)} `xinfer logs {model_uid}` shows the engine's log.")
        time.sleep(POLL_PERIOD_S)


def _report(client: RESTfulClient, model_uid: str) -> dict[str, Any]:
    try:
        return client.get_launch_model_progress(model_uid)
    except ModelNotFound:
        # Somebody has terminated it meanwhile.
        raise _cancelled(model_uid) from None


def _cancelled(model_uid: str) -> LaunchCancelled:
    return LaunchCancelled(f"The launch of {model_uid!r} was cancelled.")


def display_for(model_uid: str) -> Display:
    """Bars on a terminal, else a line for every change."""
    if sys.stderr.isatty():
        # Rich takes a while to import.
        from xinfer.cli.bars import Bars

        return Bars(model_uid)
    return Lines(model_uid)


class Lines:
    """One line whenever a replica reaches another stage, or another tenth of its download."""

    def __init__(self, model_uid: str) -> None:
        self._model_uid = model_uid
        self._marks: dict[str, Any] = {}

    def show(self, report: dict[str, Any]) -> None:
        """Print the replicas that have a new stage, or another tenth of their download."""
        for row in rows(self._model_uid, report):
            mark = (row.get("stage"), int(10 * downloaded(row)))
            if self._marks.get(row["name"]) != mark:
                self._marks[row["name"]] = mark
                # Without seconds, which would be 0 in every line.
                click.echo(f"{row['name']}: {state(row, seconds=False)}", err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None
