"""The lock of a namespace in S3: an object that is made only where there is none, and says who holds it.

No clock has a say: a lock is as old as it is. It is taken over from a process of this kernel that has died, and by
nobody else; for all others a person says so (`mlplat state unlock ID`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlplat.errors import LockHeld, MlplatError, StateConflict, UsageError
from mlplat.reconciler.cell import Cell
from mlplat.reconciler.lock import Holder

TURNS = 5
"""How often the lock may change hands while we try to take it."""


@contextmanager
def held(cell: Cell, namespace: str, command: str, tell: Callable[[str], None]) -> Iterator[Holder]:
    """Hold the lock object. Raises LockHeld, or ApiError when S3 refuses to say."""
    me = Holder.me(command)
    _take(cell, namespace, me)
    try:
        yield me
    finally:
        _give_back(cell, namespace, me, tell)


def read(cell: Cell) -> Holder | None:
    """Who stands in the lock object, None when there is none."""
    content = cell.read()
    return None if content is None else Holder.loads(content) or Holder.nobody()


def unlock(cell: Cell, namespace: str, *, id: str | None = None, force: bool = False) -> Holder | None:
    """Delete the lock object of a holder that has died here, or is the one of that id, or of anybody by `force`.

    Answers whose it was. Raises LockHeld for any other, and UsageError when the id is another's.
    """
    holder = read(cell)
    if holder is None:
        return None
    if id is not None and id != holder.id and not force:
        raise UsageError(
            f"unlocking namespace {namespace}: lock {id} is gone; it is locked by {holder.told} now",
            hint=f"mlplat state show --namespace {namespace}",
        )
    if not (force or holder.has_died or id):
        raise _refusal(holder, namespace)
    cell.delete()
    return holder


def _take(cell: Cell, namespace: str, me: Holder) -> None:
    for _ in range(TURNS):
        try:
            return cell.write(me.dumps(), hurried=True)
        except StateConflict:
            holder = read(cell)
        if holder is not None and not holder.has_died:
            raise _refusal(holder, namespace)
    raise LockHeld(
        f"namespace {namespace} is locked by one run after another", hint=f"mlplat state show --namespace {namespace}"
    )


def _give_back(cell: Cell, namespace: str, me: Holder, tell: Callable[[str], None]) -> None:
    """Ours alone. One that was taken away from us is another's business now."""
    try:
        cell.delete()
    except StateConflict:
        tell(f"the lock of namespace {namespace} was taken away while this run held it")
    except MlplatError as error:
        tell(f"the lock stays: {error.message}; take it away: mlplat state unlock {me.id} --namespace {namespace}")


def _refusal(holder: Holder, namespace: str) -> LockHeld:
    if holder.is_of_this_kernel:
        return LockHeld(f"namespace {namespace} is locked by {holder.told}", hint=f"ps -fp {holder.pid}")
    word = holder.id or "--force"
    return LockHeld(
        f"namespace {namespace} is locked by {holder.told}; if it is not running any more",
        hint=f"mlplat state unlock {word} --namespace {namespace}",
    )
