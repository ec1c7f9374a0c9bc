"""The command ``apply``: declared models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xinfer.cli.error_text import one_line
from xinfer.cli.options import as_json, print_json, with_client
from xinfer.declared import Action, ModelsFile, Outcome, Performer, Plan, Step, make_plan
from xinfer.errors import Conflict, LaunchFailed

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_MARKS = {
    Action.LAUNCH: "+",
    Action.RELAUNCH: "~",
    Action.SCALE: "~",
    Action.TERMINATE: "-",
    Action.KEEP: "=",
    Action.UNMANAGED: "?",
}


def _print_schema(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from xinfer.declared.schema import models_schema

    click.echo(models_schema(), nl=False)
    context.exit()


@click.command()
@click.option("-f", "--file", "path", type=FILE, required=True, help="YAML or JSON with the key `models`.")
@click.option("--prune", is_flag=True, help="Terminate models that an earlier file declared and this one does not.")
@click.option("--adopt", is_flag=True, help="Relaunch models of the file that were launched by hand.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option(
    "--wait/--no-wait",
    default=True,
    show_default=True,
    help="Return when every model is ready, or when every launch is begun.",
)
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print the JSON Schema of the file, for editors.",
)
@as_json
@with_client
def apply(
    client: RESTfulClient, /, path: Path, prune: bool, adopt: bool, dry_run: bool, wait: bool, as_json: bool
) -> None:
    """Make the models of a file run, as the file says.

    Doing it twice changes nothing. A change of replicas leaves the others running; any other change terminates the model
    and launches it again, and requests to it fail meanwhile. Models that no file has declared are left alone.
    """
    declared = ModelsFile.read(path).models
    performer = Performer(client, _follower(client) if wait else None)
    plan = make_plan(declared, performer.running(), prune=prune, adopt=adopt)
    if not as_json:
        show(plan)
    if dry_run:
        if as_json:
            print_json({"steps": [_as_json(step) for step in plan.steps]})
        return
    _refuse_unmanaged(plan)
    outcome = performer.perform(plan)
    if as_json:
        print_json(_outcome_as_json(outcome))
    fail(outcome)


def apply_at_start(client: RESTfulClient, declared: ModelsFile) -> list[str]:
    """Make these models run and return the UIDs of those that do.

    A model that was launched by hand is left as it is, and one that fails is only told of. The server stays: after another
    start the model would fail again.
    """
    performer = Performer(client, _follower(client))
    plan = make_plan(declared.models, performer.running())
    show(plan, err=True)
    outcome = performer.perform(plan)
    for step, error in outcome.failed:
        click.echo(f"{step.uid}: {one_line(error)}", err=True)
    return [step.uid for step in outcome.done]


def show(plan: Plan, *, err: bool = False) -> None:
    """Print the plan as a diff."""
    for step in plan.steps:
        click.echo(f"{_MARKS[step.action]} {step.action:<9} {step.uid}{_in_words(step)}", err=err)
        for change in step.changes:
            click.echo(f"    {change.field}: {_value(change.before)} -> {_value(change.after)}", err=err)
    if plan.is_empty:
        click.echo("Everything is as declared.", err=err)


def fail(outcome: Outcome) -> None:
    """Raise ``LaunchFailed`` with every failure, if there is one."""
    if outcome.failed:
        told = [f"{step.uid}: {one_line(error)}" for step, error in outcome.failed]
        raise LaunchFailed(" ".join(told))


def _follower(client: RESTfulClient) -> Any:
    from xinfer.cli.progress import display_for, follow

    def until_ready(uid: str) -> None:
        with display_for(uid) as display:
            follow(client, uid, display)

    return until_ready


def _refuse_unmanaged(plan: Plan) -> None:
    unmanaged = [step.uid for step in plan.of(Action.UNMANAGED)]
    if unmanaged:
        raise Conflict(
            f"Launched by hand, so whether it is as declared cannot be told: {', '.join(unmanaged)}. Nothing was changed. "
            "`xinfer apply --adopt` relaunches it as declared, and requests to it fail meanwhile."
        )


def _in_words(step: Step) -> str:
    facts: list[str] = []
    if step.interrupts:
        facts.append("requests to it fail meanwhile" if step.action is Action.RELAUNCH else "no longer declared")
    if step.note:
        facts.append(step.note)
    return f"  ({'; '.join(facts)})" if facts else ""


def _value(value: Any) -> str:
    return "unset" if value is None else str(value)


def _as_json(step: Step) -> dict[str, Any]:
    changes = [{"field": each.field, "before": each.before, "after": each.after} for each in step.changes]
    return {"model_uid": step.uid, "action": step.action.value, "changes": changes, "note": step.note or None}


def _outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "done": [_as_json(step) for step in outcome.done],
        "failed": [{**_as_json(step), "error": error.message} for step, error in outcome.failed],
    }
