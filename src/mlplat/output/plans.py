"""A plan as a person reads it: what would be done, field by field, grouped by template."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mlplat import output
from mlplat.reconciler.plan import Action, Plan, Step
from mlplat.reconciler.steps import HANDS, Cause
from mlplat.resources.base import Change, Ref

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text
    from rich.tree import Tree

RUNES: Mapping[Action, tuple[str, str]] = {
    Action.CREATE: ("+", "green"),
    Action.UPDATE: ("~", "yellow"),
    Action.REPLACE: ("±", "magenta"),
    Action.DELETE: ("-", "red"),
    Action.ADOPT: ("→", "cyan"),
    Action.MOVE: ("»", "cyan"),
    Action.RETAIN: ("=", "blue"),
    Action.KEEP: (" ", "dim"),
}
"""One rune and colour for each action, the same in plans and in the live view."""

PAST: Mapping[Action, str] = {
    Action.CREATE: "created",
    Action.UPDATE: "updated",
    Action.REPLACE: "replaced",
    Action.DELETE: "deleted",
    Action.ADOPT: "adopted",
    Action.MOVE: "moved",
    Action.RETAIN: "kept",
    Action.KEEP: "unchanged",
}

_LONGEST = 100
"""Characters of a value that a plan shows; `describe` and `--json` show the whole."""


def show(plan: Plan) -> None:
    """Print the plan to stdout, or its JSON."""
    output.data(plan.to_json(), lambda: _rendered(plan))


def announce(plan: Plan) -> None:
    """Print the plan to stderr before it is approved or applied."""
    if not output.mode.json:
        output.stderr().print(_rendered(plan))


def summary(plan: Plan) -> str:
    """`12 to create, 1 to update`, or that there is nothing to do."""
    counts = [f"{count} to {action.value}" for action, count in plan.counts.items() if count and action != Action.KEEP]
    return ", ".join(counts) or "nothing to change"


def losses(plan: Plan) -> str:
    """What data goes, in words: `This loses data: ml_data_infrastructure.bucket.raw (12 objects, 3.4 MB)`."""
    return "This loses data: " + ", ".join(f"{step.address} ({step.holds})" for step in plan.losing)


def _rendered(plan: Plan) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    shown = [step for step in plan.steps if step.action != Action.KEEP]
    trees = [_template(name, steps) for name, steps in by_template(shown)]
    unchanged = len(plan.steps) - len(shown)
    trail = f", {unchanged} unchanged" if unchanged else ""
    drifted = sum(step.drifted for step in shown)
    trail += f"; {drifted} of them changed by hand" if drifted else ""
    leaned = [Text(f"excluded, and used as it is: {address}", style="yellow") for address in sorted(plan.borrowed)]
    lost = [Text(f"data is lost: {step.address}: {step.holds}", style="bold red") for step in plan.losing]
    return Group(*trees, *leaned, *lost, Text(f"{plan.namespace}: {summary(plan)}{trail}", style="bold"))


def by_template(steps: Iterable[Step]) -> Iterator[tuple[str, list[Step]]]:
    """Steps in the order of their templates' first appearance, address by address."""
    order: dict[str, int] = {}
    for step in steps:
        order.setdefault(_template_of(step), len(order))
    ranked = sorted(steps, key=lambda step: (order[_template_of(step)], step.address))
    for name, group in groupby(ranked, key=_template_of):
        yield name, list(group)


def _template_of(step: Step) -> str:
    return step.address.split(".", 1)[0]


def _template(name: str, steps: list[Step]) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(name, style="bold"), guide_style="dim")
    for step in steps:
        branch = tree.add(headline(step))
        if step.afterwards:
            branch.add(Text(step.afterwards, style="dim"))
        if step.action in (Action.UPDATE, Action.REPLACE, Action.ADOPT):
            for change in step.changes:
                for line in field_lines(change, step.causes.get(change.field)):
                    branch.add(line)
    return tree


def headline(step: Step) -> Text:
    """`~ bucket.raw  mlplat-development-raw-...  (reason)`."""
    from rich.text import Text

    rune, style = RUNES[step.action]
    text = Text.assemble((f"{rune} ", style), (step.address.split(".", 1)[1], style), ("  ", ""), (step.name, "dim"))
    if step.moved_from:
        text.append(f"  moved from {step.moved_from}", style="cyan")
    if step.gone:
        text.append(f"  {step.reason}: deleted by hand", style="italic yellow")
    elif step.loses_data:
        text.append(f"  {step.reason}", style="bold red")
    elif step.action is Action.RETAIN:
        text.append(f"  kept: {step.reason}", style="italic blue")
    elif step.reason and step.action not in (Action.CREATE, Action.MOVE):
        text.append(f"  {step.reason}", style="italic dim")
    if step.order == "delete first":
        taken = f"; it is taken out of {', '.join(map(_within, step.taken_out_of))} first" if step.taken_out_of else ""
        text.append(f"; the old one is deleted before the new one is made{taken}", style="bold magenta")
    elif step.order:
        text.append("; the new one is made before the old one goes", style="italic dim")
    return text


def _within(address: str) -> str:
    """An address in the tree of its template."""
    return address.split(".", 1)[1]


def field_lines(change: Change, cause: Cause | None = None) -> Iterator[Text]:
    """A line for each leaf that differs, and whose doing it is: `lifecycle[0].days: 30 → 31  by hand`."""
    from rich.text import Text

    told = cause if cause is not Cause.FOLLOWS else None
    trail = (f"  {told.value}", "italic yellow" if told in HANDS else "italic dim") if told else ("", "")
    for path, old, new in leaves(change.field, change.old, change.new):
        yield Text.assemble((f"{path}: ", "dim"), (_brief(old), "red"), (" → ", "dim"), (_brief(new), "green"), trail)


def leaves(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """The innermost differences of two JSON values, with their paths."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys(), key=str):
            yield from leaves(f"{path}.{key}", old.get(key), new.get(key))
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        for index, (was, will) in enumerate(zip(old, new, strict=True)):
            yield from leaves(f"{path}[{index}]", was, will)
    elif old != new:
        yield path, old, new


def _brief(value: Any) -> str:
    if isinstance(value, Ref):
        return f"{value} (known after apply)"
    text = value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
    text = "(none)" if value is None else text
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
