"""The commands ``metrics config`` and ``metrics files``: what Prometheus and Grafana need for a cluster."""

from __future__ import annotations

from pathlib import Path

import click

from xinfer.cli.options import with_endpoint


@click.group()
def metrics() -> None:
    """Set up Prometheus and Grafana for a cluster."""


@metrics.command("config")
@with_endpoint
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(0.1, 3600),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two scrapes.",
)
@click.option(
    "--api-key-file",
    type=click.Path(),
    help="File with an API key, as Prometheus sees it, if the server requires one.",
)
def config(endpoint: str, interval_s: float, api_key_file: str | None) -> None:
    """Print a prometheus.yml that finds everything in the cluster.

    \b
    xinfer metrics config > prometheus.yml
    xinfer metrics files .
    prometheus --config.file=prometheus.yml
    """
    from xinfer.monitoring.prometheus_config import prometheus_config

    click.echo(prometheus_config(endpoint.rstrip("/"), interval_s=interval_s, api_key_file=api_key_file), nl=False)


@metrics.command("files")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def files(folder: Path) -> None:
    """Write alert rules, Grafana's dashboards and its provisioning files into FOLDER."""
    from xinfer.monitoring.files import write_files

    for path in write_files(folder):
        click.echo(path)
