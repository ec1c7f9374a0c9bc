"""Progress bars of a launch, one per replica."""

from __future__ import annotations

from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from xinfer.cli.stages import rows, state


class Bars:
    """Live bars on stderr; they stay on the screen when the launch is over."""

    def __init__(self, model_uid: str, console: Console | None = None) -> None:
        self._model_uid = model_uid
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            # Without markup, as a UID or the server's text may hold brackets.
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            console=console or Console(stderr=True),
        )

    def show(self, report: dict[str, Any]) -> None:
        """Update the bars; the bar of a replaced replica is removed."""
        shown = rows(self._model_uid, report)
        names = {row["name"] for row in shown}
        # The first report is of the launch as a whole, whose row goes when there are replicas.
        for gone in self._tasks.keys() - names:
            self._progress.remove_task(self._tasks.pop(gone))
        for row in shown:
            name = row["name"]
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(name, total=1.0, state="")
            share = float(row.get("progress") or 0)
            self._progress.update(self._tasks[name], completed=share, state=state(row))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
