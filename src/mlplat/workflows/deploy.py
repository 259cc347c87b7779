"""A release on its way to an endpoint: which version each variant serves, and at which share of the traffic.

A variant that already runs keeps its version unless a version is named for it, so that moving traffic never
changes a model by the way; a new variant takes the latest approved version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TypeVar

from mlplat.errors import Interrupted, MlplatError, StateError, UsageError
from mlplat.reconciler.plan import Plan
from mlplat.settings import Endpoint
from mlplat.templates.release import Release, Variant
from mlplat.workflows import registry
from mlplat.workflows.choice import chosen
from mlplat.workflows.platform import Platform

T = TypeVar("T")

TEMPLATE = "ml_model_serving"

VARIANT = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
"""What SageMaker takes as a VariantName."""

PRIMARY = "primary"
"""The variant of a first deploy that names none."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for: shares by variant (0 to 1), versions by variant (a number or `latest`), variants to drop."""

    shares: Mapping[str, float]
    versions: Mapping[str, str]
    drop: frozenset[str] = frozenset()


def parse_share(text: str) -> tuple[str, float]:
    """`challenger=0.2` -> ("challenger", 0.2). Raises UsageError."""
    name, _, value = text.partition("=")
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not name or not 0 <= share <= 1:
        raise UsageError(
            f"reading --variant {text}: expected NAME=SHARE with a share from 0 to 1",
            hint="mlplat deploy --variant challenger=0.2",
        )
    if not VARIANT.fullmatch(name):
        raise UsageError(
            f"reading --variant {text}: a variant's name is up to 63 letters, digits and -, with none of - at the ends",
            hint=f"mlplat deploy --variant {re.sub('[^a-zA-Z0-9]+', '-', name).strip('-')[:63] or PRIMARY}={value}",
        )
    return name, share


def parse_version(text: str) -> tuple[str, str]:
    """`challenger=3` or `challenger=latest` -> (variant, version). Raises UsageError."""
    name, _, version = text.partition("=")
    if not name or not (version == "latest" or (version.isdigit() and int(version) > 0)):
        raise UsageError(
            f"reading --model {text}: expected VARIANT=VERSION with a number or latest", hint="mlplat registry list"
        )
    return name, version


def unique(pairs: Sequence[tuple[str, T]], flag: str) -> dict[str, T]:
    """The pairs as a map. Raises UsageError when a variant is named twice."""
    found: dict[str, T] = {}
    for name, value in pairs:
        if name in found:
            raise UsageError(f"reading {flag}: variant {name} is named twice", hint="mlplat deploy --help")
        found[name] = value
    return found


def endpoint_of(platform: Platform, name: str | None) -> tuple[str, Endpoint]:
    """The endpoint of that name, or the only one there is. Raises UsageError with the nearest name."""
    return chosen(platform.settings.endpoints, name, "endpoint", "mlplat deploy")


def shares(current: Mapping[str, float], wanted: Wanted) -> dict[str, float]:
    """The new share of every variant, summing to 1: named ones as asked, the others keep their proportions.

    Raises UsageError when the shares can't add up to 1.
    """
    staying = {name: weight for name, weight in current.items() if name not in wanted.drop}
    if not staying and not wanted.shares:
        return {PRIMARY: 1.0}
    others = {name: weight for name, weight in staying.items() if name not in wanted.shares}
    rest = 1.0 - sum(wanted.shares.values())
    if rest < -1e-9:
        raise UsageError(f"deploying: the shares add up to {1 - rest:g}, more than 1", hint="mlplat status")
    if not others and abs(rest) > 1e-9:
        raise UsageError(
            f"deploying: the shares add up to {1 - rest:g} and no other variant runs to take the rest",
            hint="mlplat deploy --variant primary=1",
        )
    total = sum(others.values())
    spread = {name: rest * (weight / total if total else 1 / len(others)) for name, weight in others.items()}
    return {name: round(value, 6) for name, value in {**spread, **wanted.shares}.items()}


def release_of(
    platform: Platform, endpoint: Endpoint, current: Release | None, wanted: Wanted, *, any_version: bool
) -> Release:
    """The release that results from what is asked. Raises UsageError for unknown variants and unapproved versions."""
    running = dict(current.variants) if current else {}
    for name in wanted.drop:
        if name not in running:
            raise UsageError(f"dropping variant {name}: it doesn't run; {_running(running)}", hint="mlplat status")
    split = shares({name: each.weight for name, each in running.items()}, wanted)
    for name in wanted.versions:
        if name not in split:
            near = get_close_matches(name, split, n=1, cutoff=0.3)
            raise UsageError(
                f"unknown variant {name!r}: {_running(running)}; a new one needs its share",
                hint=f"mlplat deploy --variant {near[0] if near else name}=0.2",
            )
    group = registry.group_name(platform, platform.settings.workloads[endpoint.workload].model_package_group)
    pick = _picker(platform, group, any_version=any_version)
    return Release(
        {
            name: replace(
                _variant(platform, endpoint, running.get(name), wanted.versions.get(name), pick), weight=share
            )
            for name, share in sorted(split.items())
        }
    )


def _running(running: Mapping[str, Variant]) -> str:
    return f"running are {', '.join(running)}" if running else "nothing runs yet"


def _picker(platform: Platform, group: str, *, any_version: bool) -> Callable[[str | None], registry.Version]:
    def pick(wanted: str | None) -> registry.Version:
        if wanted in (None, "latest") and not any_version:
            return registry.latest_approved(platform, group)
        found = registry.find(platform, group, wanted or "latest")
        if found.approval != "Approved" and not any_version:
            raise UsageError(
                f"deploying version {found.version} of {group}: it is not approved ({found.approval})",
                hint=f"mlplat registry approve {found.version}",
            )
        return found

    return pick


def _variant(
    platform: Platform,
    endpoint: Endpoint,
    running: Variant | None,
    wanted: str | None,
    pick: Callable[[str | None], registry.Version],
) -> Variant:
    serving = platform.settings.serving
    instance_type = endpoint.instance_type or serving.instance_type
    instance_count = endpoint.instance_count or serving.instance_count
    if running is not None and wanted is None:
        return replace(running, instance_type=instance_type, instance_count=instance_count)
    found = pick(wanted)
    return Variant(found.arn, found.version, 0.0, instance_type, instance_count)


def plan(platform: Platform, name: str, release: Release) -> Plan:
    """What bringing the release to the endpoint would change."""
    return platform.plan([TEMPLATE], releases={**platform.releases(), name: release})


@contextmanager
def released(platform: Platform, name: str, release: Release) -> Iterator[None]:
    """Around the apply of a release: the state keeps it from the start, so an apply after a crash goes on with it.

    When the endpoint can't be brought there, the state goes back to the former release, which is what the endpoint
    still serves: the next apply then tidies up instead of trying the same again.
    """
    former = platform.releases().get(name)
    _keep(platform, name, release)
    try:
        yield
    except (Interrupted, StateError):  # goes on with the next run; what can't be written can't be taken back either
        raise
    except MlplatError:
        _keep(platform, name, former)
        raise


def _keep(platform: Platform, name: str, release: Release | None) -> None:
    with platform.store.edit("deploy") as state:
        if release is None:
            state.releases.pop(name, None)
        else:
            state.releases[name] = release.to_json()
