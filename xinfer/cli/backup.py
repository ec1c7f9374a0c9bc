"""The commands ``backup`` and ``restore``: the registry's file of this machine's head."""

from __future__ import annotations

from pathlib import Path

import click

from xinfer import registry_file, settings
from xinfer.cli.options import as_json, print_json
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.errors import Conflict

_PATH = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("target", metavar="FILE", type=_PATH)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@as_json
def backup(target: Path, overwrite: bool, as_json: bool) -> None:
    """Copy what the head of this machine keeps: its models and registered families.

    The cluster may run meanwhile. FILE may hold secrets, such as models' environment variables, and only you can read it.
    """
    models = registry_file.backup(registry_file.file_in(settings.home()), target, overwrite=overwrite)
    _tell(as_json, f"Wrote {target}: {_count(models)}.", target, models)


@click.command()
@click.argument("source", metavar="FILE", type=_PATH)
@as_json
def restore(source: Path, as_json: bool) -> None:
    """Put a backup in place, for the next start. No cluster may run with this XINFER_HOME.

    A file of an earlier xinfer is brought to this version. What was there is kept as registry.sqlite.before-restore.
    """
    home = settings.home()
    if NodeLifecycle(home).running():
        raise Conflict(f"A cluster runs with {home}; stop it with `xinfer stop` first.")
    models = registry_file.restore(source, registry_file.file_in(home))
    _tell(as_json, f"Restored {source}: {_count(models)}. `xinfer start` launches them.", source, models)


def _tell(as_json: bool, sentence: str, file: Path, models: int) -> None:
    if as_json:
        print_json({"file": str(file), "models": models})
    else:
        click.echo(sentence)


def _count(models: int) -> str:
    return "1 model" if models == 1 else f"{models} models"
