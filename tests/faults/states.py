"""What goes wrong with the state: a disk that can't be written to, and files that are damaged, lost or old."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.faults.census import counted
from tests.faults.disk import FULL, READ_ONLY, Disk
from tests.faults.faults import KillDuring
from tests.faults.layer import Call, Killed, no_fault
from tests.faults.trial import Case, Result, attempt, check_settled, run_again, told
from tests.faults.world import APPLY, DESTROY, PARALLELISM, PHASES, UPDATE, Phase, World, Worlds

from mlplat.errors import DamagedState, MlplatError, StateError, UsageError
from mlplat.reconciler import formats
from mlplat.workflows import keeping

ERRORS = {"disk full": FULL, "disk and its temporary folder read-only": READ_ONLY}

PARTS = 64
WHOLE = "whole"

Damage = Callable[[Path], None]


def at_writes(worlds: Worlds) -> Iterator[Case]:
    """The disk fails at each write of each phase, and from then on."""
    for phase in PHASES:
        for name, error in ERRORS.items():
            for at in range(worlds.writes[phase.name, error]):
                yield Case(name, phase.name, f"from write {at}", partial(_unwritable, worlds, phase, at, error))


def _disk(world: World, error: int, at: int) -> Disk:
    folders = [world.wire.folder, world.temporary] if error == READ_ONLY else [world.wire.folder]
    return Disk(folders, at, error)


def _unwritable(worlds: Worlds, phase: Phase, at: int, error: int) -> Result:
    world, result = worlds.alone(phase), Result()
    begun: list[int] = []
    with _disk(world, error, at) as disk:
        disk.when = lambda: begun.append(len(world.wire.mutations))
        found = attempt(world, phase)
    result.struck, result.same_run = disk.struck, found is None
    if found is not None and not isinstance(found, StateError):
        result.problems.append(f"ended by {found!r}")
    at_work = {call.address for call in world.wire.mutations[begun[0] :]} if begun else set()
    if len(at_work) > PARALLELISM:
        result.problems.append(f"{len(at_work)} objects were at work after the disk failed: {', '.join(at_work)}")
    if left := getattr(found, "left", None):
        _save_as_told(found, left, result)
    _check_known(world, result)
    run_again(world, phase, result)
    check_settled(world, phase, result)
    return result


def _save_as_told(error: MlplatError | None, left: object, result: Result) -> None:
    """What a person does with a state that was printed."""
    place = re.search(r"save it as (\S+?),", str(error))
    if place is None:
        result.problems.append(f"the error doesn't say where to save the state: {error}")
    else:
        Path(place[1]).write_text(json.dumps(left))


def _check_known(world: World, result: Result) -> None:
    """Nothing is lost: the state, wherever it is, knows of every object that is there."""
    objects = counted(world.look(), world.namespace)
    if lost := objects.keys() - world.store.load().entries.keys():
        result.problems.append(f"lost from the state: {', '.join(sorted(lost))}")


def damaged(worlds: Worlds) -> Iterator[Case]:
    """The state file, and the journal of a run that was killed, damaged in every way."""
    for phase in (UPDATE, DESTROY):
        for name, where, damage in _damages("state"):
            trial = partial(_damaged, worlds, phase, damage, killed=False)
            yield Case(name, phase.name, where, trial, rank=int(where != WHOLE))
    for name, where, damage in _damages("journal"):
        trial = partial(_damaged, worlds, APPLY, damage, killed=True)
        yield Case(name, APPLY.name, where, trial, rank=int(where != WHOLE))


def _damages(what: str) -> Iterator[tuple[str, str, Damage]]:
    suffix = ".state.json" if what == "state" else ".state.journal"
    for part in range(PARTS):
        yield f"{what} truncated", f"at {part}/{PARTS}", partial(_truncate, suffix, part)
        yield f"{what} with a flipped bit", f"at {part}/{PARTS}", partial(_flip, suffix, part)
    yield f"{what} empty", WHOLE, partial(_write, suffix, b"")
    yield f"{what} deleted", WHOLE, partial(_delete, suffix)
    if what == "state":
        yield "state one serial old", WHOLE, _older
        yield "state of a newer format", WHOLE, _newer


def _the(folder: Path, suffix: str) -> Path:
    (found,) = folder.glob(f"*{suffix}")
    return found


def _truncate(suffix: str, part: int, folder: Path) -> None:
    whole = _the(folder, suffix).read_bytes()
    _the(folder, suffix).write_bytes(whole[: len(whole) * part // PARTS])


def _flip(suffix: str, part: int, folder: Path) -> None:
    whole = bytearray(_the(folder, suffix).read_bytes())
    whole[(2 * part + 1) * len(whole) // (2 * PARTS)] ^= 1 << part % 8
    _the(folder, suffix).write_bytes(whole)


def _write(suffix: str, content: bytes, folder: Path) -> None:
    _the(folder, suffix).write_bytes(content)


def _delete(suffix: str, folder: Path) -> None:
    _the(folder, suffix).unlink()


def _older(folder: Path) -> None:
    _the(folder, ".state.json").write_bytes(_the(folder, ".state.json.backup").read_bytes())


def _newer(folder: Path) -> None:
    body = json.loads(_the(folder, ".state.json").read_bytes())
    del body["sha256"]
    body["format"] = formats.FORMAT + 1
    _the(folder, ".state.json").write_text(json.dumps({**body, "sha256": formats.digest(body)}))


def _damaged(worlds: Worlds, phase: Phase, damage: Damage, *, killed: bool) -> Result:
    """Refused before anything is changed, and right after a rebuild; or right at once."""
    world, result, made = worlds.alone(phase), Result(struck=True), list[Call]()
    if killed:
        made += _killed_half_way(worlds, phase, world)
    whole = {path: path.read_bytes() for path in world.wire.folder.iterdir() if path.is_file()}
    damage(world.wire.folder)
    error = attempt(world, phase)
    result.same_run = error is None
    made += world.wire.mutations
    if error is not None:
        _check_refused(world, error, result)
        if "newer mlplat" in str(error):
            for path, content in whole.items():
                path.write_bytes(content)
        elif again := _rebuilt(world, phase):
            result.problems.append(f"the rebuild failed: {again}")
        run_again(world, phase, result)
        made += world.wire.mutations
    wanted = {(call.address, call.operation) for call in worlds.calls[phase.name]}
    if more := [call for call in made if (call.address, call.operation) not in wanted]:
        result.problems.append(f"changed more than it had to: {told(more)}")
    check_settled(world, phase, result)
    return result


def _killed_half_way(worlds: Worlds, phase: Phase, world: World) -> list[Call]:
    calls = [call for call in worlds.calls[phase.name] if call.mutates]
    world.process(KillDuring(calls[len(calls) // 2]))
    try:
        phase.run(world)
    except Killed:
        world.bury()
    return world.wire.mutations


def _check_refused(world: World, error: MlplatError, result: Result) -> None:
    hint = "pip install" if "newer mlplat" in str(error) else "mlplat state rebuild"
    if not isinstance(error, DamagedState | StateError | UsageError) or hint not in str(error.hint):
        result.problems.append(f"ended by {error!r}, hint {error.hint}")
    if world.wire.mutations:
        result.problems.append(f"changed something before it refused: {told(world.wire.mutations)}")


def _rebuilt(world: World, phase: Phase) -> MlplatError | None:
    """`mlplat state rebuild`; its error."""
    world.process(no_fault)
    platform = world.platform(edited=phase.edited)
    try:
        with platform.store.lock("state rebuild"):
            platform.store.replace(keeping.rebuild(platform).state)
    except MlplatError as error:
        return error
    return None
