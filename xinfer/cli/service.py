"""The command ``service``: xinfer under systemd."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from xinfer.cli.options import drain_timeout
from xinfer.cli.start import start
from xinfer.cluster.systemd import Unit, check_command, start_words
from xinfer.errors import Conflict, LaunchFailed


def _unit_options(command: Any) -> Any:
    """The options that make a unit."""
    options = [
        click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS OF START]"),
        click.option("--user", "for_user", is_flag=True, help="For your own service manager, without root."),
        click.option("--run-as", metavar="USER", help="The user of the service; by default you, also behind sudo."),
        click.option("--command", "program", metavar="PATH", help="The program xinfer; by default this one."),
        drain_timeout,
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def service() -> None:
    """Run a head or a node as a systemd service."""


@service.command()
@_unit_options
def show(**options: Any) -> None:
    """Print the unit that `install` would write."""
    click.echo(_unit(**options).text(), nl=False)


@service.command()
@_unit_options
@click.option("--now", is_flag=True, help="Start it now, and at every boot.")
def install(now: bool, **options: Any) -> None:
    """Write the unit, check it, and say how it is started.

    Options of `xinfer start` come after a double dash; with --join it is a node, else a head:

    \b
    sudo xinfer service install -- --models /etc/xinfer/models.yaml
    xinfer service install --user --now -- --port 9998
    """
    unit = _unit(**options)
    path = unit.folder / unit.name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(unit.text(), encoding="utf-8")
    except PermissionError as error:
        raise Conflict(f"{path} cannot be written: use sudo, or --user for a service of your own.") from error
    click.echo(f"Wrote {path}.")
    _verify(path)
    commands = _systemctl(unit, "daemon-reload"), _systemctl(unit, "enable", "--now", unit.name)
    if now:
        for command in commands:
            _run(command)
        click.echo(f"{unit.name} runs.")
        return
    click.echo("Start it, now and at every boot:")
    for command in commands:
        click.echo(f"  {' '.join(command)}")


@service.command()
@click.option("--user", "for_user", is_flag=True, help="The one of your own service manager.")
@click.option("--node", is_flag=True, help="The node's, not the head's.")
def uninstall(for_user: bool, node: bool) -> None:
    """Stop the service, which drains it, and remove its unit. What it keeps on disk stays."""
    unit = Unit("xinfer", ("--join", "") if node else (), user=None if for_user else "root")
    path = unit.folder / unit.name
    if not path.exists():
        raise Conflict(f"There is no {path}.")
    if shutil.which("systemctl"):
        _run(_systemctl(unit, "disable", "--now", unit.name))
    path.unlink()
    click.echo(f"Removed {path}.")


def _unit(
    words: tuple[str, ...], for_user: bool, run_as: str | None, program: str | None, drain_timeout: float
) -> Unit:
    if for_user and run_as:
        raise click.UsageError("--user is a service of your own; --run-as is for the system's.")
    command = program or _this_program()
    try:
        check_command(command)
        words = start_words(words)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    # Checked now: a service that is misused fails where nobody looks.
    start.make_context("start", list(words), resilient_parsing=False).close()
    user = None if for_user else run_as or os.environ.get("SUDO_USER") or getpass.getuser()
    return Unit(command, words, user, drain_timeout)


def _this_program() -> str:
    beside = Path(sys.executable).parent / "xinfer"
    if beside.exists():
        return str(beside)
    return shutil.which("xinfer") or ""


def _systemctl(unit: Unit, *words: str) -> list[str]:
    if unit.user:
        return ["systemctl", *words]
    return ["systemctl", "--user", *words]


def _verify(path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        return
    done = subprocess.run([program, "verify", str(path)], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise LaunchFailed(f"systemd does not take the unit: {done.stderr.strip()}")


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    except FileNotFoundError as error:
        raise Conflict("This machine has no systemctl, so systemd does not run here.") from error
    if done.returncode:
        raise LaunchFailed(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
