"""Stand up, look at and take down: plan, apply, destroy, status, outputs, describe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shlex import join as shlex_join
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
    stored,
)
from mlplat.errors import UsageError
from mlplat.output import JsonOption

if TYPE_CHECKING:
    from mlplat.reconciler.plan import Plan
    from mlplat.workflows.planning import Request
    from mlplat.workflows.platform import Platform

TemplateOption = Annotated[
    list[str], typer.Option("--template", "-t", help="Only this template; may be repeated.", metavar="NAME")
]
DependenciesOption = Annotated[
    bool, typer.Option("--with-dependencies", help="Also the templates that the chosen ones rest on.")
]
AdoptOption = Annotated[
    list[str],
    typer.Option(
        "--adopt", help="Take over an object that exists, as this address; may be repeated.", metavar="ADDRESS"
    ),
]
TargetOption = Annotated[
    list[str],
    typer.Option(
        "--target", help="Only this address and what it needs; * matches many, may be repeated.", metavar="ADDRESS"
    ),
]
ExcludeOption = Annotated[
    list[str],
    typer.Option("--exclude", help="Leave this address as it is; * matches many, may be repeated.", metavar="ADDRESS"),
]
DeleteDataOption = Annotated[
    list[str],
    typer.Option(
        "--delete-data", help="Also delete what this address holds; * matches many, may be repeated.", metavar="ADDRESS"
    ),
]
ReverseOption = Annotated[
    bool,
    typer.Option("--reverse", help="Everything, or what was chosen and all that rests on it, last made first."),
]
LossOption = Annotated[
    str | None,
    typer.Option("--confirm", help="The namespace's name, typed in, where data is to be lost.", metavar="NAMESPACE"),
]


def plan(
    template: TemplateOption = [],
    with_dependencies: DependenciesOption = False,
    target: TargetOption = [],
    exclude: ExcludeOption = [],
    adopt: AdoptOption = [],
    destroy: Annotated[bool, typer.Option("--destroy", help="What destroy would do; everything by itself.")] = False,
    reverse: ReverseOption = False,
    delete_data: DeleteDataOption = [],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Save it; `mlplat apply FILE` does it.", metavar="FILE")
    ] = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    parallelism: ParallelismOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Show what apply would do, or destroy. Exit code 0: nothing, 2: changes, 1: an error."""
    from mlplat.output import plans
    from mlplat.workflows import planning

    asked = request(
        templates=template,
        with_dependencies=with_dependencies,
        targets=target,
        exclude=exclude,
        adopt=adopt,
        destroy=destroy,
        reverse=reverse or (destroy and not template and not target),
        delete_data=delete_data,
    )
    _check_goes_with(asked)
    platform = platform_of(namespace, config, parallelism=parallelism, timeout=timeout)
    with output.working("reading what is there"), platform.limited():
        made = asked.plan(platform)
    plans.show(made)
    if out is not None:
        with platform.limited():
            command = planning.save(platform, asked, made, out)
        output.success(f"saved as {out}; it holds as long as nothing it rests on changes")
        output.hint(command)
    raise typer.Exit(0 if made.is_empty else 2)


def apply(
    file: Annotated[
        Path | None, typer.Argument(help="A plan saved by `plan --out`: exactly that is done.", metavar="FILE")
    ] = None,
    template: TemplateOption = [],
    with_dependencies: DependenciesOption = False,
    target: TargetOption = [],
    exclude: ExcludeOption = [],
    adopt: AdoptOption = [],
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    auto_approve: ApproveOption = None,
    confirm: LossOption = None,
    parallelism: ParallelismOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Make the platform what the configuration says, or do what a saved plan says. Running it again does nothing."""
    asked = request(
        templates=template, with_dependencies=with_dependencies, targets=target, exclude=exclude, adopt=adopt
    )
    if file is not None:
        _check_alone(file, asked)
        return _apply_saved(file, namespace, config, auto_approve, confirm, parallelism, timeout)
    platform = platform_of(namespace, config, parallelism=parallelism, timeout=timeout)
    with platform.lock("apply"):
        with output.working("reading what is there"), platform.limited():
            made = asked.plan(platform)
        carry_out(platform, made, auto_approve, "Apply this plan?", confirm)
    return None


def destroy(
    template: TemplateOption = [],
    target: Annotated[
        list[str],
        typer.Option("--target", help="Only this address; * matches many, may be repeated.", metavar="ADDRESS"),
    ] = [],
    exclude: Annotated[
        list[str],
        typer.Option(
            "--exclude", help="Keep this address and what it needs; * matches many, may be repeated.", metavar="ADDRESS"
        ),
    ] = [],
    reverse: ReverseOption = False,
    delete_data: DeleteDataOption = [],
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    auto_approve: ApproveOption = None,
    confirm: LossOption = None,
    parallelism: ParallelismOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Take templates, addresses or everything down. What holds data is kept unless it is named by --delete-data."""
    if not template and not target and not reverse:
        raise UsageError("destroying: say what", hint="mlplat destroy --reverse")
    asked = request(
        templates=template, targets=target, exclude=exclude, destroy=True, reverse=reverse, delete_data=delete_data
    )
    platform = platform_of(namespace, config, parallelism=parallelism, timeout=timeout)
    with platform.lock("destroy", recovers=False):
        with output.working("reading what is there"), platform.limited():
            made = asked.plan(platform)
        carry_out(platform, made, auto_approve, "Destroy all of this?", confirm)


def request(**asked: Any) -> Request:
    """What the options ask for."""
    from mlplat.workflows.planning import Request

    return Request.from_json(asked)


def _check_goes_with(asked: Request) -> None:
    """Raises UsageError for options of the one kind of plan given to the other."""
    words = asked.words()
    if not asked.destroy:
        for flag in {"--reverse", "--delete-data"}.intersection(words):
            hint = shlex_join(["mlplat", "plan", "--destroy", *words])
            raise UsageError(f"planning with {flag}: that is only for a plan to destroy", hint=hint)
        return
    for flag in {"--with-dependencies", "--adopt"}.intersection(words):
        hint = shlex_join(["mlplat", "plan", *replace(asked, with_dependencies=False, adopt=()).words()])
        raise UsageError(f"planning with {flag}: that is no option of a plan to destroy", hint=hint)


def _check_alone(file: Path, asked: Request) -> None:
    """Raises UsageError: a saved plan says itself what it is about."""
    if words := asked.words():
        raise UsageError(
            f"applying the plan {file}: {words[0]} is a matter of the plan; say it when the plan is made",
            hint=shlex_join(["mlplat", "plan", *words, "--out", str(file)]),
        )


def _apply_saved(
    file: Path,
    namespace: str | None,
    config: Path | None,
    auto_approve: bool | None,
    confirm: str | None,
    parallelism: int | None,
    timeout: int | None,
) -> None:
    """Do exactly what a saved plan says. It was shown when it was saved, so it isn't asked about again."""
    from mlplat.workflows import planning

    saved = planning.load(file)
    platform = platform_of(namespace, config, parallelism=parallelism, timeout=timeout)
    with platform.limited():
        planning.check_place(platform, saved, file)
    with platform.held("apply"):
        with platform.limited():
            planning.check_state(platform, saved, file, platform.state())
        with platform.lock("apply"):
            with output.working("looking whether the plan still holds"), platform.limited():
                made = planning.renewed(platform, saved, file)
            carry_out(platform, made, auto_approve is not False, "Apply this saved plan?", confirm)


def carry_out(
    platform: Platform, made: Plan, auto_approve: bool | None, question: str, confirm: str | None = None
) -> None:
    """Show the plan, ask when approval is required, apply it live and report."""
    from mlplat.output.live import LiveTree

    approve(platform, made, auto_approve, question, confirm)
    with LiveTree(made) as watch:
        outcome = platform.apply(made, watch)
    for step in made.steps:
        if step.action == "retain":
            output.note(f"kept {step.address}: {step.reason}")
        elif step.afterwards:
            output.note(f"{step.address}: {step.afterwards}")
    output.data(
        {**outcome.to_json(), "namespace": platform.settings.namespace},
        lambda: f"{platform.settings.namespace}: {_told(made)} in {outcome.seconds:.1f} s",
    )


def approve(
    platform: Platform, made: Plan, auto_approve: bool | None, question: str, confirm: str | None = None
) -> None:
    """Show the plan and ask, when it changes something and approval is required. Raises UsageError without it.

    Where approval is required, or something is protected, data is lost only when the namespace's name was typed, at
    the terminal or as --confirm: --auto-approve is no answer to that.
    """
    from mlplat.output import plans

    settings = platform.settings
    ask = auto_approve is False or (auto_approve is None and settings.approval.required)
    loses = bool(made.losing) and (settings.approval.required or any(settings.lifecycle.protect.values()))
    if made.is_empty or not (ask or loses):
        return None
    plans.announce(made)
    told = f"{settings.namespace}: {plans.summary(made)}"
    if loses and confirm is None:
        flag = f"--confirm {settings.namespace}" + (" --auto-approve" if ask else "")
        return output.confirm(f"{told}. {plans.losses(made)}. {question}", flag=flag, expect=settings.namespace)
    if loses and confirm != settings.namespace:
        raise UsageError(
            f"confirming the loss of data: --confirm {confirm} is not the namespace's name; nothing was changed",
            hint=output.typed_again(f"--confirm {settings.namespace}", without="--confirm"),
        )
    if ask:
        output.confirm(f"{told}. {question}", flag="--auto-approve")
    return None


def _told(made: Plan) -> str:
    from mlplat.output import plans

    counts = [f"{count} {plans.PAST[action]}" for action, count in made.counts.items() if count]
    return ", ".join(counts) or "nothing to do"


def outputs(
    address: Annotated[str | None, typer.Argument(help="Only this address.", metavar="ADDRESS")] = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Print what the applied resources publish: names, ids, ARNs."""
    with stored(namespace, config, timeout) as store:
        entries = store.load().entries
    if address is not None and address not in entries:
        raise UsageError(f"printing outputs of {address}: it is not applied", hint="mlplat outputs")
    chosen = {key: entry.outputs for key, entry in sorted(entries.items()) if address in (None, key)}
    rows = [(key, name, value) for key, values in chosen.items() for name, value in values.items()]
    output.table("", ["Address", "Output", "Value"], rows, value=chosen)


def describe(
    address: Annotated[str, typer.Argument(help="For example ml_data_infrastructure.bucket.raw.", metavar="ADDRESS")],
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Show one resource as AWS describes it now, with every field."""
    from mlplat.workflows import overview

    platform = platform_of(namespace, config, timeout=timeout)
    with output.working(f"describing {address}"), platform.limited():
        found = overview.describe(platform, address)
    output.data(found, lambda: _sheet(found))


def _sheet(found: dict[str, Any]) -> Any:
    import json as encoder

    from rich.json import JSON

    return JSON(encoder.dumps(found, default=str), indent=2)


def status(
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Show the platform as it is: templates, endpoints and what they serve."""
    from mlplat.workflows import overview

    platform = platform_of(namespace, config, timeout=timeout)
    with output.working("reading what is there"), platform.limited():
        found, account = overview.status(platform), platform.session.account
    if output.mode.json:
        output.data(found)
        return
    settings = platform.settings
    output.note(f"{settings.namespace} on {settings.target} ({platform.session.region}, account {account})")
    columns = ["Template", "Resources", "In place", "Missing", "Changed"]
    rows = [[each[column.lower().replace(" ", "_")] for column in columns] for each in found["templates"]]
    output.table("Templates", columns, rows)
    columns = ["Endpoint", "Status", "Variant", "Version", "Weight", "Instances"]
    rows = [[each[column.lower()] for column in columns] for each in found["endpoints"]]
    output.table("Endpoints", columns, rows)
