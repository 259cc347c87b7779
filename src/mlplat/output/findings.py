"""Drift as a person reads it: what was changed by hand and what couldn't be checked, and how much is clean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlplat import output
from mlplat.output.plans import field_lines
from mlplat.reconciler.drift import Finding, Verdict
from mlplat.resources.base import Change

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.tree import Tree

RUNES = {Verdict.DRIFTED: ("!", "yellow"), Verdict.NOT_CHECKED: ("?", "magenta"), Verdict.CLEAN: (" ", "dim")}


def show(namespace: str, found: Sequence[Finding]) -> None:
    """Print what drifted and what couldn't be checked, or all of it as JSON."""
    counts = Counter(each.verdict for each in found)
    value = {
        "namespace": namespace,
        "counts": {verdict.value: counts[verdict] for verdict in Verdict},
        "addresses": [each.to_json() for each in found],
    }
    output.data(value, lambda: _rendered(namespace, found, counts))
    if counts[Verdict.DRIFTED] and not output.mode.json:
        output.hint(f"mlplat apply --namespace {namespace}")


def _rendered(namespace: str, found: Sequence[Finding], counts: Counter[Verdict]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    trees = [_tree(each) for each in found if each.verdict is not Verdict.CLEAN]
    told = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict)
    return Group(*trees, Text(f"{namespace}: {told if found else 'nothing is applied'}", style="bold"))


def _tree(each: Finding) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    rune, style = RUNES[each.verdict]
    head = Text.assemble((f"{rune} ", style), (each.address, style), (f"  {each.reason}", "italic dim"))
    tree = Tree(head, guide_style="dim")
    for change in each.changes:
        for line in field_lines(Change(change.field, change.new, change.old)):
            tree.add(line)
    return tree
