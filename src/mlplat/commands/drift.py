"""What somebody changed by hand since it was applied."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import typer

from mlplat import output
from mlplat.commands.context import ConfigOption, NamespaceOption, ParallelismOption, TimeoutOption, platform_of
from mlplat.commands.platform import TemplateOption
from mlplat.output import JsonOption

if TYPE_CHECKING:
    from mlplat.reconciler.drift import Finding


def drift(
    template: TemplateOption = [],
    namespace: NamespaceOption = None,
    config: ConfigOption = None,
    parallelism: ParallelismOption = None,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Show what was changed by hand since it was applied; apply repairs it.

    Every applied address is drifted, clean or not checked. Exit code 0: all clean, 2: something drifted, 1: nothing
    drifted, but not everything could be checked.
    """
    from mlplat.output import findings

    platform = platform_of(namespace, config, parallelism=parallelism, timeout=timeout)
    with output.working("comparing what is there with what was applied"), platform.limited():
        found = platform.drift(template)
    findings.show(platform.settings.namespace, found)
    raise typer.Exit(_code(found))


def _code(found: list[Finding]) -> int:
    counts = Counter(each.verdict.value for each in found)
    return 2 if counts["drifted"] else 1 if counts["not checked"] else 0
