"""The command ``bench-launch``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xinfer.bench import arguments as types
from xinfer.bench.launching.rows import NAMES
from xinfer.cli import engine_options
from xinfer.cli.json_file import write_json
from xinfer.cli.launch import GpuCount
from xinfer.cli.table import print_table
from xinfer.process_lifetime import sigterm_interrupts

if TYPE_CHECKING:
    from xinfer.bench.launching.job import Job
    from xinfer.bench.launching.result import Result

RUNS = 5


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[--ENGINE-OPTION VALUE]...")
@click.option(
    "--runs",
    type=click.IntRange(1),
    default=RUNS,
    show_default=True,
    help="Runs of each row; medians are shown.",
)
@click.option(
    "--only",
    "names",
    type=click.Choice(NAMES),
    multiple=True,
    help="This row; may be given several times.  [all]",
)
@click.option("-mp", "--model-path", help="A folder or a hub id, instead of the bundled model.")
@click.option(
    "--n-gpu",
    type=GpuCount(),
    default="none",
    show_default=True,
    help="GPUs of an engine; none is CPU.",
)
@click.option("--json", "json_file", type=types.OutputFile(), help="Write every sample there; - is stdout.")
@click.option(
    "--plot",
    "plot_file",
    type=types.PictureFile(),
    help="Plot the time of each step of a start, as PNG.",
)
def bench_launch(json_file: Path | None, plot_file: Path | None, **options: Any) -> None:
    """Measure how long launches take, beside bare vLLM's start.

    Starts clusters of its own, on free ports and in temporary folders, and leaves nothing behind. Options that are
    not listed here go to the engine on both sides: --enforce-eager. A run takes about four minutes on two cores.
    """
    with sigterm_interrupts():
        result = _job(**options).run()
    if json_file:
        write_json(result.to_json(), json_file)
    if json_file != types.STDOUT:
        _print(result)
    if plot_file:
        # Matplotlib takes a second to import.
        from xinfer.bench.launching.plot import plot

        plot(result, plot_file)
    _print_warnings(result)
    # A row without a sample failed in every run; the warnings say why.
    if not all(row.samples for row in result.rows.values()):
        sys.exit(1)


def _job(
    words: tuple[str, ...],
    runs: int,
    names: tuple[str, ...],
    model_path: str | None,
    n_gpu: Any,
) -> Job:
    # Takes a while to import, which --help need not wait for.
    from xinfer.bench.launching.job import Job
    from xinfer.bench.launching.subject import BUNDLED, Subject

    stray, engine_args = engine_options.parse(words)
    if stray:
        raise engine_options.unexpected(stray)
    path = model_path
    if model_path and Path(model_path).is_dir():
        # The clusters of the benchmark have another working directory.
        path = str(Path(model_path).absolute())
    name = Path(path).name if path else BUNDLED
    # In the order of NAMES, whatever that of the options.
    rows = [each for each in NAMES if not names or each in names]
    return Job(Subject(name, path, n_gpu, engine_args), runs, tuple(rows))


def _print(result: Result) -> None:
    from xinfer.bench.launching import report

    for line in report.heading(result):
        click.echo(line)
    click.echo()
    table = report.table(result)
    print_table(table.headers, table.rows)
    for line in report.sentences(result):
        click.echo(f"\n{line}")


def _print_warnings(result: Result) -> None:
    from xinfer.bench.launching import report

    for line in report.warnings(result):
        click.echo(f"Warning: {line}", err=True)
