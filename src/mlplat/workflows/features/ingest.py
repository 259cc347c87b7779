"""Files into a feature group: every row is written, refused with its reason, or still to come; none is dropped.

Reading and checking is done by one thread, writing by several; what is in flight is bounded, whatever the files have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from mlplat.errors import Interrupted, MlplatError, WaitTimeout
from mlplat.reconciler.interrupts import Interrupts
from mlplat.workflows.features.groups import Schema
from mlplat.workflows.features.ledger import Ledger
from mlplat.workflows.features.online import now
from mlplat.workflows.features.publishing import Published
from mlplat.workflows.features.records import Checker, value_of
from mlplat.workflows.features.sources import Row, Source, fingerprint
from mlplat.workflows.features.writing import BATCH, Item, Refused, Writer
from mlplat.workflows.platform import Platform

SAVE_EVERY = 1.0
"""Seconds; a run that is killed writes what came after the last save once more, which changes nothing."""


@dataclass
class Ingested:
    """What came of an ingestion: `written + refused` rows were read, `earlier` of them by a run before this one."""

    group: str
    written: int = 0
    refused: int = 0
    earlier: int = 0
    done_before: str | None = None
    """When the same content was ingested already; then nothing was done."""
    stopped: MlplatError | None = None
    """Why it ended before the last row."""
    refused_file: Path | None = None
    unpublished: MlplatError | None = None
    """Why its metrics are missing."""

    def to_json(self) -> dict[str, Any]:
        """All counts, and where the refused rows are."""
        return {
            "group": self.group,
            "rows": self.written + self.refused,
            "written": self.written,
            "refused": self.refused,
            "earlier": self.earlier,
            "done_before": self.done_before,
            "refused_file": None if self.refused_file is None else str(self.refused_file),
        }


class Ingestion:
    """One run over some files. `total` is about how many rows there are (0: not known), for a progress bar."""

    def __init__(self, platform: Platform, schema: Schema, files: Sequence[Source], folder: Path) -> None:
        """`folder` is where ledgers are kept."""
        self._platform, self._schema, self._files = platform, schema, files
        self._path: Path | None = None
        self._metrics = Published(platform, schema)
        self.total = 0
        if not any(each.is_stdin for each in files):
            content, self.total = fingerprint(files)
            known = f"{schema.name} {schema.created.timestamp()} {content}"
            self._path = folder / f"{schema.group}-{hashlib.sha256(known.encode()).hexdigest()[:12]}.sqlite"

    @property
    def name(self) -> str:
        """Tells this content of this group apart."""
        return self._path.stem if self._path else f"{self._schema.group}-stdin"

    def run(
        self,
        *,
        refused_file: Path,
        parallel: int = 8,
        lenient: bool = False,
        again: bool = False,
        seen: Callable[[int], None] = lambda _rows: None,
    ) -> Ingested:
        """Write what isn't written yet. Rows without an event time get that of the first run's start (UTC).

        `again` writes what an earlier run has written; `seen` is told how many more rows are dealt with. Raises
        UsageError when a file or its columns are wrong before anything is written.
        """
        if again and self._path:
            self._path.unlink(missing_ok=True)
        ledger = Ledger(self._path)
        try:
            earlier = ledger.watermark
            seen(earlier)
            finished = ledger.fact("finished")
            stopped = None if finished else self._write(ledger, parallel, lenient, seen)
            result = self._result(ledger, refused_file, earlier, finished, stopped)
            if not finished and not stopped:
                ledger.finish({"finished": now()})
            return result
        finally:
            ledger.close()

    def _result(
        self, ledger: Ledger, path: Path, earlier: int, finished: str | None, stopped: MlplatError | None
    ) -> Ingested:
        refused = ledger.refusals
        if refused:
            ledger.write_refused(path)
        written, kept = ledger.watermark - refused, path if refused else None
        problem = self._metrics.problem
        return Ingested(self._schema.group, written, refused, earlier, finished, stopped, kept, problem)

    def _write(self, ledger: Ledger, parallel: int, lenient: bool, seen: Callable[[int], None]) -> MlplatError | None:
        """Write all rows from the watermark on; why it had to end early, or None."""
        for each in self._files:
            if not each.is_stdin:
                next(
                    each.rows(self._schema, lenient=lenient), None
                )  # wrong columns are told before anything is written
        checker = Checker(self._schema, ledger.remember("stamp", now()))
        ledger.save(ledger.watermark)  # the stamp is the same when this run is killed
        flight = _Flight(ledger, Writer(self._platform, self._schema), seen, self._metrics)
        before = ledger.refusals
        with Interrupts(self._platform.session.cancelled) as interrupts, ThreadPoolExecutor(parallel) as pool:
            try:
                for batch in self._batches(self._rows(lenient), checker, ledger):
                    flight.send(pool, batch, most=parallel * 3)
                    self._metrics.sometimes(lambda: ledger.refusals - before)
                    if interrupts.stopped:
                        raise self._stopped()
                flight.land()
            except MlplatError as error:
                flight.end()
                if not flight.landed:
                    raise
                return error
            finally:
                flight.save()
                self._metrics.publish(ledger.refusals - before)
        return None

    def _stopped(self) -> MlplatError:
        doing = f"ingesting into feature group {self._schema.group}"
        late = self._platform.session.late
        return WaitTimeout(f"{doing}: its time is over") if late else Interrupted(f"{doing}: stopped")

    def _rows(self, lenient: bool) -> Iterator[Row]:
        for each in self._files:
            yield from each.rows(self._schema, lenient=lenient)

    def _batches(self, rows: Iterator[Row], checker: Checker, ledger: Ledger) -> Iterator[_Batch]:
        """Rows from the watermark on, checked; a batch ends when it has enough records to write."""
        batch = _Batch(ledger.watermark)
        for number, row in enumerate(rows):
            if number < ledger.watermark:
                continue
            batch.end = number + 1
            if (reason := self._add(batch, number, row, checker, ledger)) is not None:
                ledger.refuse(number, row.where, reason, row.values)
            if len(batch.items) == BATCH or batch.end - batch.start >= 40 * BATCH:
                yield batch
                batch = _Batch(batch.end)
        if batch.end > batch.start:
            yield batch

    def _add(self, batch: _Batch, number: int, row: Row, checker: Checker, ledger: Ledger) -> str | None:
        """Put a row into the batch, or say why it can't be written."""
        record = row.problem or checker.check(row.values)
        if isinstance(record, str):
            return record
        names = (self._schema.identifier, self._schema.event_time)
        key = [value_of(record, name) for name in names]
        if (first := ledger.earlier(key, number, row.where)) is not None:
            return f"column {names[0]}: {key[0]!r} at {names[1]} {key[1]} is in {first} already"
        batch.items.append(Item(number, row.where, record))
        batch.newest = max(batch.newest, key[1], key=self._metrics.order)
        return None


class _Batch:
    """Rows `start` to `end` (not included), and the records among them."""

    def __init__(self, start: int) -> None:
        self.start = self.end = start
        self.items: list[Item] = []
        self.newest = ""
        """The newest event time among them."""


class _Flight:
    """Batches that are being written. They may end in any order; the watermark goes on when the earliest has."""

    def __init__(self, ledger: Ledger, writer: Writer, seen: Callable[[int], None], metrics: Published) -> None:
        self._ledger, self._writer, self._seen, self._metrics = ledger, writer, seen, metrics
        self._flying: dict[Future[list[Refused]], _Batch] = {}
        self._ended: dict[int, int] = {}
        self._watermark = ledger.watermark
        self._saved = monotonic()
        self.landed = ledger.watermark > 0

    def send(self, pool: ThreadPoolExecutor, batch: _Batch, *, most: int) -> None:
        """Start writing a batch, when fewer than `most` are being written."""
        while len(self._flying) >= most:
            self._settle(wait(self._flying, return_when=FIRST_COMPLETED).done)
        self._flying[pool.submit(self._writer.write, batch.items)] = batch
        if monotonic() - self._saved > SAVE_EVERY:
            self.save()

    def land(self) -> None:
        """Wait for all that is being written. Raises what went wrong with the first that failed."""
        while self._flying:
            self._settle(wait(self._flying, return_when=FIRST_COMPLETED).done)

    def end(self) -> None:
        """Start nothing more; count what is written in the end, the rest is for the next run."""
        for future in reversed(self._flying):  # a free thread takes the next: none may follow one that is cancelled
            future.cancel()
        wait(self._flying)
        self._settle([each for each in self._flying if not each.cancelled() and not each.exception()])
        self._flying.clear()

    def save(self) -> None:
        """Put the watermark on disk."""
        self._ledger.save(self._watermark)
        self._saved = monotonic()

    def _settle(self, done: Sequence[Future[list[Refused]]] | set[Future[list[Refused]]]) -> None:
        for future in done:
            batch = self._flying.pop(future)
            refused = future.result()
            self._metrics.add(len(batch.items) - len(refused), batch.newest)
            for each in refused:
                self._ledger.refuse(each.item.number, each.item.where, each.reason, _row(each.item))
            self._ended[batch.start] = batch.end
            self.landed = True
            self._seen(batch.end - batch.start)
        while (end := self._ended.pop(self._watermark, None)) is not None:
            self._watermark = end


def _row(item: Item) -> dict[str, Any]:
    return {each["FeatureName"]: each.get("ValueAsStringList", each.get("ValueAsString")) for each in item.record}
