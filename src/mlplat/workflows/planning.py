"""What a plan was asked for, and plans that are kept in a file until somebody applies them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import join, quote
from typing import Any

from mlplat.errors import UsageError
from mlplat.reconciler.formats import NewerFormat
from mlplat.reconciler.plan import Plan
from mlplat.reconciler.saved import Place, Saved
from mlplat.reconciler.selection import Selection
from mlplat.reconciler.state import State
from mlplat.workflows.platform import Platform

SHOWN = 8
"""Changed addresses that a refusal names one by one."""


@dataclass(frozen=True)
class Request:
    """The options of `plan`, `apply` and `destroy` that say what is to be planned."""

    templates: tuple[str, ...] = ()
    with_dependencies: bool = False
    targets: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    adopt: tuple[str, ...] = ()
    destroy: bool = False
    reverse: bool = False
    delete_data: tuple[str, ...] = ()

    def plan(self, platform: Platform) -> Plan:
        """The plan for it, as things are now. Reads only."""
        selection = Selection(self.targets, self.exclude)
        if self.destroy:
            return platform.plan_destroy(
                self.templates, reverse=self.reverse, delete_data=self.delete_data, selection=selection
            )
        return platform.plan(
            self.templates, with_dependencies=self.with_dependencies, adopt=self.adopt, selection=selection
        )

    def words(self) -> list[str]:
        """The options as they are typed."""
        flags = {
            "--with-dependencies": self.with_dependencies,
            "--destroy": self.destroy,
            "--reverse": self.reverse,
        }
        many = {
            "--template": self.templates,
            "--target": self.targets,
            "--exclude": self.exclude,
            "--adopt": self.adopt,
            "--delete-data": self.delete_data,
        }
        typed = [flag for flag, given in flags.items() if given]
        return typed + [word for flag, values in many.items() for value in values for word in (flag, value)]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Request:
        """Raises TypeError for anything that is no request."""
        given: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in value.items()}
        return cls(**given)


def save(platform: Platform, request: Request, made: Plan, file: Path) -> str:
    """Keep a plan in a file, whole or not at all; answers the command that applies it.

    Raises UsageError when the file can't be written.
    """
    content = Saved.of(made, _place(platform), asdict(request)).dumps()
    try:
        handle, fresh = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(content)
            Path(fresh).replace(file)
        except OSError:
            Path(fresh).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"saving the plan {file}: {error.strerror}", hint=_again(request, file, platform)) from error
    return f"mlplat apply {quote(str(file))} --namespace {platform.settings.namespace}"


def load(file: Path) -> Saved:
    """A saved plan. Raises UsageError when there is none, it is damaged, or of another version's format."""
    doing = f"reading the plan {file}"
    try:
        saved = Saved.loads(file.read_bytes())
        Request.from_json(saved.request)
    except NewerFormat as error:
        raise UsageError(
            f"{doing}: a newer mlplat wrote it (format {error})", hint="pip install --upgrade mlplat"
        ) from error
    except OSError as error:
        raise UsageError(f"{doing}: {error.strerror}", hint=f"mlplat plan --out {quote(str(file))}") from error
    except (ValueError, TypeError) as error:  # it may be anything, so no hint writes over it
        raise UsageError(f"{doing}: {error}; it is not what was saved", hint="mlplat plan --out new.plan") from error
    return saved


def renewed(platform: Platform, saved: Saved, file: Path) -> Plan:
    """The saved plan, made again and found to be the same; the lock must be held.

    Raises UsageError that names what has changed since.
    """
    request = Request.from_json(saved.request)
    made = request.plan(platform)
    if changed := list(saved.differences(made)):
        more = [f"and {len(changed) - SHOWN} more"] if len(changed) > SHOWN else []
        told = "".join(f"\n  {each}" for each in [*changed[:SHOWN], *more])
        raise UsageError(
            f"applying the plan {file}: it is out of date, nothing was changed{told}",
            hint=_again(request, file, platform),
        )
    return made


def check_place(platform: Platform, saved: Saved, file: Path) -> None:
    """Raises UsageError when the plan was made for another namespace, account, region or target."""
    here, there = asdict(_place(platform)), asdict(saved.place)
    for what in ("namespace", "target", "region", "account"):
        if here[what] != there[what]:
            hint = _again(Request.from_json(saved.request), file, platform)
            if what == "namespace":
                hint = f"mlplat apply {quote(str(file))} --namespace {there[what]}"
            raise UsageError(
                f"applying the plan {file}: it was made for {what} {there[what]}, and this is {here[what]}", hint=hint
            )


def check_state(platform: Platform, saved: Saved, file: Path, state: State) -> None:
    """Raises UsageError when the state isn't the one that the plan was made from."""
    why = ""
    if saved.serial and state.lineage != saved.lineage:
        why = f"the state is another one (lineage {state.lineage}, not {saved.lineage})"
    elif state.serial != saved.serial:
        why = f"the state has changed since (serial {saved.serial} then, {state.serial} now)"
    if why:
        raise UsageError(
            f"applying the plan {file}: {why}; nothing was changed",
            hint=_again(Request.from_json(saved.request), file, platform),
        )


def _place(platform: Platform) -> Place:
    settings = platform.settings
    return Place(settings.namespace, settings.target, platform.session.account, platform.session.region)


def _again(request: Request, file: Path, platform: Platform) -> str:
    words = ["mlplat", "plan", *request.words(), "--out", str(file), "--namespace", platform.settings.namespace]
    return join(words)
