"""What must be there before a team can share a platform: the bucket of its state."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from mlplat import output
from mlplat.commands.context import ApproveOption, ConfigOption, NamespaceOption, TimeoutOption, session_of, settings_of
from mlplat.output import JsonOption

if TYPE_CHECKING:
    from mlplat.reconciler.plan import Plan
    from mlplat.workflows.bootstrap import Bootstrap


def bootstrap(
    adopt: Annotated[bool, typer.Option("--adopt", help="Take over a bucket of that name that is there.")] = False,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    auto_approve: ApproveOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Make the bucket that state is kept in, for teams, and print the lines that the configuration needs.

    It is versioned, encrypted, private and takes nothing but TLS. Its name is state.bucket or, without one,
    mlplat-state-ACCOUNT-REGION. Running it again does nothing. No mlplat command deletes it.
    """
    from rich.text import Text

    from mlplat.output.live import LiveTree
    from mlplat.workflows.bootstrap import Bootstrap

    settings = settings_of(namespace, config, {"apply.timeout_minutes": timeout})
    what = Bootstrap(settings, session_of(settings))
    with output.working("reading what is there"), what.session.limited(what.time_limit):
        made = what.plan(adopt=adopt)
    if not made.is_empty:
        _approve(what, made, auto_approve)
        with LiveTree(made) as watch:
            what.apply(made, watch)
    if settings.state.backend != "s3":
        output.note("to keep the state there, put these lines into the configuration, then: mlplat state migrate")
    output.data(
        {"bucket": what.bucket, "region": what.session.region, "changed": not made.is_empty, "config": what.lines},
        lambda: Text(what.lines),
    )


def _approve(what: Bootstrap, made: Plan, auto_approve: bool | None) -> None:
    from mlplat.output import plans

    plans.announce(replace(made, namespace=what.bucket))
    if auto_approve is False or (auto_approve is None and what.settings.approval.required):
        output.confirm(f"{what.bucket}: {plans.summary(made)}. Make the bucket?", flag="--auto-approve")
