"""The command ``top``: a live view of a cluster's models and nodes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from xinfer.cli.options import with_client

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient


_PIPE_WIDTH = 160


@click.command()
@with_client
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(0.2, 60),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two refreshes.",
)
@click.option("--once", is_flag=True, help="Print it once, after one interval, and end.")
def top(client: RESTfulClient, interval_s: float, once: bool) -> None:
    """Watch models, replicas and nodes, refreshed each second.

    Rates and TTFT are of the last 30 seconds. Tokens and KV cache come from the engines themselves: where this machine does
    not reach them, they show as "-". Ctrl-C ends it.
    """
    # rich and its parts take a while to import.
    from rich.console import Console
    from rich.live import Live

    from xinfer.top.scrape import scrape
    from xinfer.top.view import draw
    from xinfer.top.window import Window

    console = Console()
    if not console.is_terminal:
        # A file or a pipe cuts nothing off.
        console.width = _PIPE_WIDTH
    window = Window()
    window.add(scrape(client))
    if once:
        time.sleep(interval_s)
        window.add(scrape(client))
        console.print(draw(window, client.base_url))
        return
    try:
        with Live(draw(window, client.base_url), console=console, auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(interval_s)
                window.add(scrape(client))
                live.update(draw(window, client.base_url), refresh=True)
    except KeyboardInterrupt:
        return
