"""Feature groups: which there are, and what they look like on AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlplat import output
from mlplat.commands.context import ConfigOption, NamespaceOption, platform_of
from mlplat.output import JsonOption

if TYPE_CHECKING:
    from mlplat.workflows.features.groups import Schema
    from mlplat.workflows.platform import Platform

GroupArgument = Annotated[str, typer.Argument(help="A feature group of the configuration.")]


def schema(platform: Platform, group: str) -> Schema:
    """The group that is meant, as it is on AWS."""
    from mlplat.workflows.features.groups import group_of, schema_of

    return schema_of(platform, group_of(platform, group)[0])


def list_groups(namespace: NamespaceOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the feature groups of the configuration."""
    from mlplat.workflows.features.groups import summaries

    platform = platform_of(namespace, config)
    with output.working("reading feature groups"):
        found = summaries(platform)
    rows = [
        [each.group, each.status, each.features, each.identifier, each.event_time, each.online, each.offline]
        for each in found
    ]
    columns = ["Group", "Status", "Features", "Record identifier", "Event time", "Online", "Offline"]
    output.table("", columns, rows, value=[each.to_json() for each in found])


def describe(
    group: GroupArgument, namespace: NamespaceOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Show a feature group as it is on AWS: its features, where its records are, and how to query them."""
    from mlplat.workflows.features.groups import details

    platform = platform_of(namespace, config)
    with output.working(f"reading feature group {group}"):
        found = details(platform, group)
    output.data(found, lambda: _told(found))


def _told(found: dict[str, Any]) -> Any:
    from rich.console import Group
    from rich.text import Text

    facts = [[key.replace("_", " "), value] for key, value in found.items() if key != "features" and value is not None]
    width = max(len(key) for key, _ in facts)
    rows = [[each["name"], each["type"], each["role"]] for each in found["features"]]
    lines = [Text(f"{key:<{width}}  {value}") for key, value in facts]
    return Group(*lines, Text(), output.grid(["Feature", "Type", ""], rows))
