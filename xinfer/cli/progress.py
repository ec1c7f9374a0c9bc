"""Follows a launch until it is ready or given up, and shows how far it is."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, Self

import click

from xinfer.errors import LaunchCancelled, LaunchFailed, ModelNotFound

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

POLL_PERIOD_S = 0.25

_GIVEN_UP = ("failed", "cancelled", "terminating", "stopped")


class Display(AbstractContextManager["Display"], Protocol):
    """Shows one progress report after the other, on stderr."""

    def show(self, report: dict[str, Any]) -> None:
        """Show where each replica is now."""


def follow(client: RESTfulClient, model_uid: str, display: Display) -> None:
    """Return when the model is ready; raise LaunchFailed with the server's reason if it will not be."""
    while True:
        report = _report(client, model_uid)
        display.show(report)
        if report.get("stage") == "ready":
            return
        if report.get("stage") in _GIVEN_UP:
            raise LaunchFailed(str(report.get("error") or f"Model {model_uid!r} did not come up."))
        time.sleep(POLL_PERIOD_S)


def _report(client: RESTfulClient, model_uid: str) -> dict[str, Any]:
    try:
        return client.get_launch_model_progress(model_uid)
    except ModelNotFound:
        raise LaunchCancelled(f"The launch of {model_uid!r} was cancelled.") from None


def display_for(model_uid: str) -> Display:
    """Bars on a terminal, else a line for every change."""
    if sys.stderr.isatty():
        from xinfer.cli.bars import Bars  # rich takes a while to import

        return Bars(model_uid)
    return Lines(model_uid)


def rows(model_uid: str, report: dict[str, Any]) -> list[dict[str, Any]]:
    """The replicas of a report; before there are any, the launch as a whole."""
    replicas: list[dict[str, Any]] = report.get("replicas") or [{**report, "replica_model_uid": model_uid}]
    return [{**row, "name": str(row.get("replica_model_uid") or row.get("replica_id"))} for row in replicas]


class Lines:
    """One line whenever a replica reaches another stage."""

    def __init__(self, model_uid: str) -> None:
        self._model_uid = model_uid
        self._stages: dict[str, Any] = {}

    def show(self, report: dict[str, Any]) -> None:
        """Print the replicas whose stage is new."""
        for row in rows(self._model_uid, report):
            if self._stages.get(row["name"]) != row.get("stage"):
                self._stages[row["name"]] = row.get("stage")
                info = f" ({row['info']})" if row.get("info") else ""
                click.echo(f"{row['name']}: {row.get('stage')}{info}", err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None
