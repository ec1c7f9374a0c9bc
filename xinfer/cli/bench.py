"""The command ``bench``."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from xinfer import settings
from xinfer.bench import arguments as types
from xinfer.bench.plan import Plan
from xinfer.bench.profiles import PROFILES, Profile
from xinfer.bench.target import Server
from xinfer.bench.workload import Workload
from xinfer.cli.json_file import write_json
from xinfer.cli.switches import SwitchCommand
from xinfer.cli.table import print_table

if TYPE_CHECKING:
    from xinfer.bench.job import Job
    from xinfer.bench.progress import Progress
    from xinfer.bench.result import Result
    from xinfer.bench.tables import Table
    from xinfer.bench.target import Side

VERSUS_ROUNDS = 5
_PLAN = Plan()
_WORKLOAD = Workload(seed=0)


@click.command(cls=SwitchCommand)
@click.argument("url", type=types.Url(), default=settings.endpoint)
@click.option("-m", "--model", help="Which of the server's models; not needed if it has only one.")
@click.option(
    "--versus",
    type=types.Url(),
    metavar="URL",
    help="A second server, B, to compare with in alternating legs.",
)
@click.option("--versus-model", help="The model's name on B; same as A's by default.")
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    help="A load with a name; options beside it replace parts of it.",
)
@click.option(
    "-c",
    "--concurrency",
    type=types.Levels("concurrency"),
    help="Concurrent requests.  [default: 1,8,32]",
)
@click.option("--rate", type=types.Levels("rate"), help="Requests per second instead, with random arrivals.")
@click.option(
    "-n",
    "--requests",
    type=click.IntRange(1),
    help="Requests per leg.  [default: 3 per stream, 12 at least]",
)
@click.option(
    "--duration-s",
    type=click.FloatRange(0, min_open=True),
    help="Duration of a leg, instead of a number.",
)
@click.option(
    "--prompt-tokens",
    type=int,
    default=_WORKLOAD.prompt_tokens,
    show_default=True,
    help="Approximate prompt length.",
)
@click.option(
    "--shared-prefix-tokens",
    type=click.IntRange(0),
    default=0,
    help="Tokens that all prompts begin with.",
)
@click.option("--output-tokens", type=click.IntRange(1), default=_WORKLOAD.output_tokens, show_default=True)
@click.option(
    "--turns",
    type=click.IntRange(1),
    default=_WORKLOAD.turns,
    show_default=True,
    help="Turns per conversation; each request resends the earlier ones.",
)
@click.option(
    "--turn-tokens",
    type=click.IntRange(1),
    default=_WORKLOAD.turn_tokens,
    show_default=True,
    help="Tokens of each user message but the first.",
)
@click.option("--stream/--no-stream", default=True, show_default=True, help="Streamed or whole responses.")
@click.option("--api", type=click.Choice(["chat", "completions"]), default=_WORKLOAD.api, show_default=True)
@click.option(
    "--ignore-eos/--no-ignore-eos",
    default=True,
    show_default=True,
    help="Responses of exactly --output-tokens.",
)
@click.option(
    "--extra-body", type=types.JsonObject(), default="{}", metavar="JSON", help="More fields of each request."
)
@click.option(
    "--warm-up",
    type=click.IntRange(0),
    help="Requests before each level.  [default: 1 per stream]",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    help="Legs of each level.  [default: 5 pairs with --versus, else 1]",
)
@click.option("--seed", type=int, help="Seed of prompts and arrivals; random by default.")
@click.option(
    "--timeout-s",
    type=click.FloatRange(0, min_open=True),
    default=_PLAN.timeout_s,
    show_default=True,
)
@click.option("--max-in-flight", type=click.IntRange(1), default=_PLAN.max_in_flight, show_default=True)
@click.option("-ak", "--api-key", envvar="XINFER_API_KEY", show_envvar=True, help="Key for URL.")
@click.option("--versus-api-key", envvar="XINFER_VERSUS_API_KEY", show_envvar=True, help="Key for --versus.")
@click.option(
    "--engine",
    "engines",
    type=types.Url(),
    multiple=True,
    help="A vLLM behind URL, to read its counters.",
)
@click.option(
    "--cpu",
    "watched",
    type=types.NamedProcess(),
    multiple=True,
    help="Read this process's CPU time.",
)
@click.option(
    "--gpu",
    "gpus",
    type=types.Gpu(),
    multiple=True,
    help="Watch this GPU of this machine.  [default: all]",
)
@click.option("--json", "json_file", type=types.OutputFile(), help="Write all results there; - is stdout.")
@click.option(
    "--plot",
    "plot_file",
    type=types.PictureFile(),
    help="Plot latency and throughput against load, as PNG.",
)
@click.option(
    "--progress",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How progress is told on stderr; json is a line per event, for programs.",
)
@click.pass_context
def bench(
    context: click.Context,
    /,
    json_file: Path | None,
    plot_file: Path | None,
    profile: str | None,
    progress: str,
    **options: Any,
) -> None:
    """Load a server and measure its latency and throughput, or compare two.

    URL is that of any OpenAI-compatible server, by default xinfer's own. With --versus requests alternate
    between the two, and the report shows medians of pairs.
    """
    if profile:
        options = _with_profile(context, PROFILES[profile], options)
    result = _job(options).run(settings.home(), _progress(progress))
    if json_file:
        write_json(result.to_json(), json_file)
    if json_file != types.STDOUT:
        _print(result, stream=options["stream"], turns=options["turns"])
    _print_warnings(result)
    if plot_file:
        # Matplotlib takes a second to import.
        from xinfer.bench.plot import plot

        plot(result, plot_file)


def _with_profile(context: click.Context, profile: Profile, options: dict[str, Any]) -> dict[str, Any]:
    """The options with those of the profile where they were not given."""
    named = dict(profile.options)
    for other, instead in (("rate", "concurrency"), ("duration_s", "requests")):
        if options[other] is not None:
            del named[instead]
    given = {name for name in named if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    return {**options, **{name: value for name, value in named.items() if name not in given}}


def _progress(kind: str) -> Progress:
    from xinfer.bench.progress import Progress
    from xinfer.bench.progress_events import ProgressEvents

    return ProgressEvents() if kind == "json" else Progress()


def _job(options: dict[str, Any]) -> Job:
    # aiohttp takes a while to import, which --help need not wait for.
    from xinfer.bench.job import Job

    servers: dict[Side, Server] = {"a": Server(options["url"], options["api_key"])}
    if options["versus"]:
        servers["b"] = Server(options["versus"], options["versus_api_key"])
    elif options["versus_model"]:
        raise click.UsageError("--versus-model goes with --versus.")
    models: dict[Side, str | None] = {"a": options["model"], "b": options["versus_model"]}
    engines = tuple(dict.fromkeys(options["engines"]))
    watched = _watched(options["watched"])
    gpus = tuple(dict.fromkeys(options["gpus"]))
    return Job(_plan(options), _workload(options), servers, models, watched, engines, gpus)


def _plan(options: dict[str, Any]) -> Plan:
    for one, other in (("concurrency", "rate"), ("requests", "duration_s")):
        if options[one] is not None and options[other] is not None:
            raise click.UsageError(f"--{one} and --{other.replace('_', '-')} exclude each other.")
    if options["rate"] and options["turns"] > 1:
        # A turn needs the response to the one before, for which a rate does not wait.
        raise click.UsageError("--turns goes with --concurrency, not with --rate.")
    default_rounds = _PLAN.rounds
    if options["versus"]:
        default_rounds = VERSUS_ROUNDS
    return Plan(
        levels=options["concurrency"] or options["rate"] or _PLAN.levels,
        rounds=options["rounds"] or default_rounds,
        requests=options["requests"],
        duration_s=options["duration_s"],
        warm_up=options["warm_up"],
        timeout_s=options["timeout_s"],
        max_in_flight=options["max_in_flight"],
    )


def _workload(options: dict[str, Any]) -> Workload:
    # The options have the names of the fields.
    given = {each.name: options[each.name] for each in fields(Workload)}
    if given["seed"] is None:
        given["seed"] = secrets.randbits(31)
    try:
        return Workload(**given)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _watched(processes: Sequence[tuple[str, int]]) -> dict[str, list[int]]:
    """The processes by name; several of one name are counted together."""
    watched: dict[str, list[int]] = {}
    for name, pid in processes:
        watched.setdefault(name, []).append(pid)
    return watched


def _print(result: Result, *, stream: bool, turns: int) -> None:
    from xinfer.bench import report, tables

    for line in report.heading(result, stream, turns):
        click.echo(line)
    _print_table(tables.table(result))
    _print_table(tables.cpu_table(result))
    for line in report.summary(result):
        click.echo(line)


def _print_table(table: Table | None) -> None:
    if table:
        click.echo()
        print_table(table.headers, table.rows)


def _print_warnings(result: Result) -> None:
    from xinfer.bench import report

    for line in report.warnings(result):
        click.echo(f"Warning: {line}", err=True)
