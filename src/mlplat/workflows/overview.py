"""What is there: one address in full, and the whole platform at a glance."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlplat.reconciler.plan import Action, Plan
from mlplat.resources.base import KINDS
from mlplat.templates import TEMPLATES
from mlplat.workflows.platform import Platform


def describe(platform: Platform, address: str) -> dict[str, Any]:
    """One applied resource as AWS describes it now; `exists` is false when somebody deleted it."""
    entry = platform.entry(address)
    resource = KINDS[entry.kind](**entry.fields)
    seen = resource.describe(platform.session.at(address), entry.id)
    return {
        "address": address,
        "kind": entry.kind,
        "id": entry.id,
        "exists": seen is not None,
        "fields": dict(seen.fields) if seen else {},
        "outputs": dict(seen.outputs) if seen else {},
        "tags": dict(seen.tags or {}) if seen else {},
        "needs": sorted(entry.needs),
    }


def status(platform: Platform) -> dict[str, Any]:
    """Templates with how much of each is in place, and endpoints with what they serve. Reads only."""
    made = platform.plan(protected=False)
    endpoints = {
        entry.id: address.rsplit(".", 1)[1]
        for address, entry in platform.state().entries.items()
        if entry.kind == "endpoint"
    }
    with ThreadPoolExecutor(max_workers=platform.parallelism) as pool:
        rows = list(pool.map(lambda item: _endpoint(platform, *item), endpoints.items()))
    return {
        "namespace": platform.settings.namespace,
        "target": platform.settings.target,
        "region": platform.session.region,
        "account": platform.session.account,
        "templates": [_template(made, name) for name in TEMPLATES],
        "endpoints": [row for each in rows for row in each],
    }


def _template(made: Plan, name: str) -> dict[str, Any]:
    counts = Counter(step.action for step in made.steps if step.address.startswith(f"{name}."))
    there = counts[Action.KEEP]
    missing = counts[Action.CREATE] + counts[Action.ADOPT]
    total = counts.total() - counts[Action.DELETE]
    return {
        "template": name,
        "resources": total,
        "in_place": there,
        "missing": missing,
        "changed": counts.total() - there - missing,
    }


def _endpoint(platform: Platform, physical: str, name: str) -> list[dict[str, Any]]:
    client = platform.session.client("sagemaker")
    live = platform.session.find(lambda: client.describe_endpoint(EndpointName=physical))
    if live is None:
        return [_variant(name, "Missing", {}, None)]
    release = platform.releases().get(name)
    versions = {variant: each.version for variant, each in release.variants.items()} if release else {}
    variants = live.get("ProductionVariants") or [{}]
    return [_variant(name, live["EndpointStatus"], each, versions.get(each.get("VariantName"))) for each in variants]


def _variant(name: str, status: str, live: dict[str, Any], version: int | None) -> dict[str, Any]:
    return {
        "endpoint": name,
        "status": status,
        "variant": live.get("VariantName"),
        "version": version,
        "weight": round(live["CurrentWeight"], 4) if "CurrentWeight" in live else None,
        "instances": live.get("CurrentInstanceCount"),
    }
