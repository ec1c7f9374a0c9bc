"""The commands ``metrics config``, ``metrics files`` and ``metrics pictures``: what Prometheus and Grafana need, and see."""

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
@click.option(
    "--ca-file",
    type=click.Path(),
    help="File with the server's certificate or its authority's, as Prometheus sees it, unless the system trusts it.",
)
def config(endpoint: str, interval_s: float, api_key_file: str | None, ca_file: str | None) -> None:
    """Print a prometheus.yml that finds everything in the cluster.

    \b
    xinfer metrics config > prometheus.yml
    xinfer metrics files .
    prometheus --config.file=prometheus.yml
    """
    from xinfer.monitoring.prometheus_config import prometheus_config

    text = prometheus_config(endpoint.rstrip("/"), interval_s=interval_s, api_key_file=api_key_file, ca_file=ca_file)
    click.echo(text, nl=False)


@metrics.command("files")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def files(folder: Path) -> None:
    """Write alert rules, Grafana's dashboards and its provisioning files into FOLDER."""
    from xinfer.monitoring.files import write_files

    for path in write_files(folder):
        click.echo(path)


@metrics.command("pictures")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--prometheus", default="http://127.0.0.1:9090", show_default=True, metavar="URL", help="Its address.")
@click.option(
    "--minutes", type=click.FloatRange(0.1), default=60.0, show_default=True, help="How far the pictures go back."
)
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(0.1, 3600),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two scrapes, as `metrics config` was told.",
)
def pictures(folder: Path, prometheus: str, minutes: float, interval_s: float) -> None:
    """Draw each dashboard into FOLDER, from what a Prometheus has. Needs matplotlib (the extra `bench`)."""
    from xinfer.monitoring.dashboards import DASHBOARDS
    from xinfer.monitoring.pictures import draw

    folder.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        path = folder / f"{dashboard.uid}.png"
        draw(dashboard, prometheus, path, seconds=60 * minutes, interval_s=interval_s)
        click.echo(path)
