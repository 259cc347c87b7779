"""Take what somebody made by hand under management."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlplat import output
from mlplat.commands.context import ApproveOption, ConfigOption, NamespaceOption, TimeoutOption, platform_of
from mlplat.output import JsonOption

if TYPE_CHECKING:
    from mlplat.workflows.adoption import Adoption
    from mlplat.workflows.platform import Platform


def adopt(
    address: Annotated[
        str, typer.Argument(help="What it is to be, for example ml_data_infrastructure.bucket.raw.", metavar="ADDRESS")
    ],
    id: Annotated[
        str | None,
        typer.Argument(help="AWS's id, or the ARN; without it, the object of the declared name.", metavar="ID"),
    ] = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    auto_approve: ApproveOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Take an object that was made by hand under management, as the address of the configuration.

    What differs is shown and, once approved, brought in line; it gets mlplat's tags and goes into the state. What could
    only be replaced is refused, and so is what belongs to another namespace. Nothing else is created or changed.
    """
    from mlplat.output.live import LiveTree
    from mlplat.workflows import adoption

    platform = platform_of(namespace, config, timeout=timeout)
    with platform.lock("adopt"):
        with output.working(f"looking for {address}"), platform.limited():
            what = adoption.look(platform, address, id)
        if not what.is_done:
            _approve(platform, what, auto_approve)
            with LiveTree(what.plan) as watch:
                platform.apply(what.plan, watch)
    if what.is_done and what.changes:
        fields = ", ".join(change.field for change in what.changes)
        output.note(f"{address} differs from what is declared ({fields}); apply brings it in line")
        output.hint(f"mlplat apply --target {address} --namespace {platform.settings.namespace}")
    output.data(what.to_json(), lambda: _told(what))


def _approve(platform: Platform, what: Adoption, auto_approve: bool | None) -> None:
    """Show what differs, and ask where approval is required. Raises UsageError without it."""
    from mlplat.output import plans

    plans.announce(what.plan)
    if auto_approve is False or (auto_approve is None and platform.settings.approval.required):
        namespace = platform.settings.namespace
        output.confirm(f"{namespace}: {plans.summary(what.plan)}. Adopt {what.step.id}?", flag="--auto-approve")


def _told(what: Adoption) -> str:
    is_done = "is managed already" if what.is_done else "is managed from now on"
    return f"{what.step.address}: {what.step.id} {is_done}"
