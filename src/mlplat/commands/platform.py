"""Stand up, look at and take down: plan, apply, destroy, status, outputs, describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlplat import output
from mlplat.commands.context import (
    ApproveOption,
    ConfigOption,
    NamespaceOption,
    ParallelismOption,
    TimeoutOption,
    platform_of,
)
from mlplat.errors import UsageError
from mlplat.output import JsonOption

if TYPE_CHECKING:
    from mlplat.reconciler.plan import Plan
    from mlplat.reconciler.selection import Selection
    from mlplat.workflows.platform import Platform

TemplateOption = Annotated[
    list[str], typer.Option("--template", "-t", help="Only this template; may be repeated.", metavar="NAME")
]
DependenciesOption = Annotated[
    bool, typer.Option("--with-dependencies", help="Also the templates that the chosen ones rest on.")
]
AdoptOption = Annotated[
    list[str], typer.Option("--adopt", help="Take over an object that exists under this address.", metavar="ADDRESS")
]
TargetOption = Annotated[
    list[str],
    typer.Option("--target", help="Only this address and what it needs; * matches many.", metavar="ADDRESS"),
]
ExcludeOption = Annotated[
    list[str], typer.Option("--exclude", help="Leave this address as it is; * matches many.", metavar="ADDRESS")
]
DeleteDataOption = Annotated[
    list[str],
    typer.Option("--delete-data", help="Also delete what this address holds; * matches many.", metavar="ADDRESS"),
]


def plan(
    template: TemplateOption = [],
    with_dependencies: DependenciesOption = False,
    target: TargetOption = [],
    exclude: ExcludeOption = [],
    adopt: AdoptOption = [],
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    parallelism: ParallelismOption = None,
    json: JsonOption = False,
) -> None:
    """Show what apply would do. Exit code 0: nothing, 2: changes, 1: an error."""
    from mlplat.output import plans

    platform, chosen = platform_of(namespace, config, parallelism=parallelism), selection(target, exclude)
    with output.working("reading what is there"):
        made = platform.plan(template, with_dependencies=with_dependencies, adopt=adopt, selection=chosen)
    plans.show(made)
    raise typer.Exit(0 if made.is_empty else 2)


def apply(
    template: TemplateOption = [],
    with_dependencies: DependenciesOption = False,
    target: TargetOption = [],
    exclude: ExcludeOption = [],
    adopt: AdoptOption = [],
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    auto_approve: ApproveOption = None,
    parallelism: ParallelismOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Make the platform what the configuration says. Running it again does nothing."""
    platform = platform_of(namespace, config, {"apply.timeout_minutes": timeout}, parallelism)
    chosen = selection(target, exclude)
    with platform.lock("apply"):
        with output.working("reading what is there"):
            made = platform.plan(template, with_dependencies=with_dependencies, adopt=adopt, selection=chosen)
        carry_out(platform, made, auto_approve, "Apply this plan?")


def destroy(
    template: TemplateOption = [],
    target: Annotated[
        list[str], typer.Option("--target", help="Only this address; * matches many.", metavar="ADDRESS")
    ] = [],
    exclude: Annotated[
        list[str],
        typer.Option("--exclude", help="Keep this address and what it needs; * matches many.", metavar="ADDRESS"),
    ] = [],
    reverse: Annotated[
        bool,
        typer.Option("--reverse", help="Everything, or what was chosen and all that rests on it, last made first."),
    ] = False,
    delete_data: DeleteDataOption = [],
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    auto_approve: ApproveOption = None,
    parallelism: ParallelismOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Take templates, addresses or everything down. What holds data is kept unless it is named by --delete-data."""
    if not template and not target and not reverse:
        raise UsageError("destroying: say what", hint="mlplat destroy --reverse")
    platform = platform_of(namespace, config, {"apply.timeout_minutes": timeout}, parallelism)
    chosen = selection(target, exclude)
    with platform.lock("destroy"):
        with output.working("reading what is there"):
            made = platform.plan_destroy(template, reverse=reverse, delete_data=delete_data, selection=chosen)
        carry_out(platform, made, auto_approve, "Destroy all of this?")


def selection(target: list[str], exclude: list[str]) -> Selection:
    """What --target and --exclude say."""
    from mlplat.reconciler.selection import Selection

    return Selection(tuple(target), tuple(exclude))


def carry_out(platform: Platform, made: Plan, auto_approve: bool | None, question: str) -> None:
    """Show the plan, ask when approval is required, apply it live and report."""
    from mlplat.output.live import LiveTree

    approve(platform, made, auto_approve, question)
    with LiveTree(made) as watch:
        outcome = platform.apply(made, watch)
    kept = [step for step in made.steps if step.action == "retain"]
    for step in kept:
        output.note(f"kept {step.address}: {step.reason}")
    output.data(
        {**outcome.to_json(), "namespace": platform.settings.namespace},
        lambda: f"{platform.settings.namespace}: {_told(made)} in {outcome.seconds:.1f} s",
    )


def approve(platform: Platform, made: Plan, auto_approve: bool | None, question: str) -> None:
    """Show the plan and ask, when it changes something and approval is required. Raises UsageError without it."""
    from mlplat.output import plans

    ask = auto_approve is False or (auto_approve is None and platform.settings.approval.required)
    if not made.is_empty and ask:
        plans.announce(made)
        output.confirm(f"{platform.settings.namespace}: {plans.summary(made)}. {question}", flag="--auto-approve")


def _told(made: Plan) -> str:
    from mlplat.output import plans

    counts = [f"{count} {plans.PAST[action]}" for action, count in made.counts.items() if count]
    return ", ".join(counts) or "nothing to do"


def outputs(
    address: Annotated[str | None, typer.Argument(help="Only this address.", metavar="[ADDRESS]")] = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Print what the applied resources publish: names, ids, ARNs."""
    from mlplat.commands.context import settings_of, store_of

    entries = store_of(settings_of(namespace, config)).load().entries
    if address is not None and address not in entries:
        raise UsageError(f"printing outputs of {address}: it is not applied", hint="mlplat outputs")
    chosen = {key: entry.outputs for key, entry in sorted(entries.items()) if address in (None, key)}
    rows = [(key, name, value) for key, values in chosen.items() for name, value in values.items()]
    output.table("", ["Address", "Output", "Value"], rows, value=chosen)


def describe(
    address: Annotated[str, typer.Argument(help="For example ml_data_infrastructure.bucket.raw.")],
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show one resource as AWS describes it now, with every field."""
    from mlplat.workflows import overview

    platform = platform_of(namespace, config)
    with output.working(f"describing {address}"):
        found = overview.describe(platform, address)
    output.data(found, lambda: _sheet(found))


def _sheet(found: dict[str, Any]) -> Any:
    import json as encoder

    from rich.json import JSON

    return JSON(encoder.dumps(found, default=str), indent=2)


def status(
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show the platform as it is: templates, endpoints and what they serve."""
    from mlplat.workflows import overview

    platform = platform_of(namespace, config)
    with output.working("reading what is there"):
        found = overview.status(platform)
    if output.mode.json:
        output.data(found)
        return
    settings = platform.settings
    output.note(
        f"{settings.namespace} on {settings.target} ({platform.session.region}, account {platform.session.account})"
    )
    columns = ["Template", "Resources", "In place", "Missing", "Changed"]
    rows = [[each[column.lower().replace(" ", "_")] for column in columns] for each in found["templates"]]
    output.table("Templates", columns, rows)
    columns = ["Endpoint", "Status", "Variant", "Version", "Weight", "Instances"]
    rows = [[each[column.lower()] for column in columns] for each in found["endpoints"]]
    output.table("Endpoints", columns, rows)
