"""Feature groups: which there are, and what they look like on AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlplat import output
from mlplat.commands.context import ConfigOption, NamespaceOption, TimeoutOption, platform_of
from mlplat.output import JsonOption

if TYPE_CHECKING:
    from mlplat.workflows.features.groups import Summary

GroupArgument = Annotated[str, typer.Argument(help="A feature group of the configuration.", metavar="GROUP")]


VersionOption = Annotated[
    int | None, typer.Option("--version", min=1, help="Another version than the one that is in use.", metavar="N")
]


def list_groups(
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """List the feature groups of the configuration."""
    from mlplat.workflows.features.groups import summaries

    platform = platform_of(namespace, config, timeout=timeout)
    with output.working("reading feature groups"), platform.limited():
        found = summaries(platform)
    rows = [
        [each.group, each.version, each.status, each.features, each.online, each.offline, _use(each)] for each in found
    ]
    columns = ["Group", "Version", "Status", "Features", "Online", "Offline", "Use"]
    output.table("", columns, rows, value=[each.to_json() for each in found])


def _use(each: Summary) -> str:
    return ", ".join(word for word, used in (("read", each.read), ("written", each.written)) if used)


def describe(
    group: GroupArgument,
    version: VersionOption = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Show a feature group as it is on AWS: its features, where its records are, and how to query them."""
    from mlplat.workflows.features.groups import details, to_read

    platform = platform_of(namespace, config, timeout=timeout)
    with output.working(f"reading feature group {group}"), platform.limited():
        found = details(platform, to_read(platform, group, version))
    output.data(found, lambda: _told(found))


def export(
    group: GroupArgument,
    version: VersionOption = None,
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Print a feature group as a Python program for the SageMaker SDK, which makes it where there is none."""
    from mlplat.workflows.features.export import python
    from mlplat.workflows.features.groups import to_read

    platform = platform_of(namespace, config, timeout=timeout)
    with platform.limited():
        program = python(platform, to_read(platform, group, version))
    output.text(program.rstrip())


def _told(found: dict[str, Any]) -> Any:
    from rich.console import Group
    from rich.text import Text

    facts = [[key.replace("_", " "), value] for key, value in found.items() if key != "features" and value is not None]
    width = max(len(key) for key, _ in facts)
    rows = [[each["name"], each["type"], each["role"], _about(each)] for each in found["features"]]
    lines = [Text(f"{key:<{width}}  {value}") for key, value in facts]
    used = 4 if any(row[3] for row in rows) else 3
    return Group(*lines, Text(), output.grid(["Feature", "Type", "", "About"][:used], [row[:used] for row in rows]))


def _about(feature: dict[str, Any]) -> str:
    parameters = [f"{key}: {value}" for key, value in feature.get("parameters", {}).items()]
    return "; ".join(filter(None, [feature.get("description"), *parameters]))
