"""Where a state's objects are: the account and the region that their ARNs name.

Another profile or another region in the configuration makes everything look as if it were gone. An apply would make it
anew there, and a destroy would call deleted what is running, and paid for, where it always was.
"""

from __future__ import annotations

from collections.abc import Iterator

from mlplat.aws import Session
from mlplat.errors import UsageError
from mlplat.reconciler.entries import State


def check(state: State, session: Session) -> None:
    """Raises UsageError for a state whose objects are in another account or region than the session's."""
    places = set(_places(state))
    for account, region in sorted(places):
        if region not in ("", session.region) or account != session.account:
            there = f"account {account}" + (f", region {region}" if region else "")
            hint = "aws sts get-caller-identity"
            if account == session.account:
                hint = f"mlplat config show region --namespace {session.namespace}"
            raise UsageError(
                f"looking for namespace {session.namespace} in account {session.account}, region {session.region}: "
                f"what the state knows is in {there}, where nothing else would look after it any more. Take it down "
                "there first, or give this place a namespace of its own",
                hint=hint,
            )


def _places(state: State) -> Iterator[tuple[str, str]]:
    """Account and region of every ARN that was published; the region is empty for what has none."""
    for entry in state.entries.values():
        parts = str(entry.outputs.get("arn", "")).split(":", 5)
        if len(parts) == 6 and parts[4].isdigit():
            yield parts[4], parts[3]
