"""The records of one version of a feature group written to another: everything that the offline store has of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlplat.errors import UsageError, telling
from mlplat.workflows.features import offline
from mlplat.workflows.features.groups import RUNTIME, Schema, to_write, versions
from mlplat.workflows.features.offline import Table, quoted
from mlplat.workflows.features.results import write
from mlplat.workflows.platform import Platform


@dataclass(frozen=True)
class Backfill:
    """What is copied: `renamed` tells features that are called otherwise in the older version (new -> old)."""

    older: Table
    newer: Schema
    renamed: Mapping[str, str]

    def __post_init__(self) -> None:
        for new, old in self.renamed.items():
            if new not in self.newer.features:
                raise UsageError(
                    f"backfilling {self.newer.group}: version {self.newer.version} has no feature {new}",
                    hint=f"mlplat features describe {self.newer.group} --version {self.newer.version}",
                )
            self.older.check([old])
        for name in (self.newer.identifier, self.newer.event_time):
            if name not in self.sources:
                raise UsageError(
                    f"backfilling {self.newer.group}: nothing of the older version becomes {name}",
                    hint=f"mlplat features backfill {self.newer.group} --map {name}=OLD_NAME",
                )

    @property
    def sources(self) -> dict[str, str]:
        """Feature -> the feature of the older version that it is taken from."""
        same = {name: name for name in self.newer.features if name in self.older.types}
        return {**same, **self.renamed}

    def told(self) -> dict[str, Any]:
        """What is copied, for `--json`."""
        here = {"group": self.newer.group, "from": self.older.version, "to": self.newer.version}
        return {**here, "left_empty": self.left_empty}

    @property
    def left_empty(self) -> list[str]:
        """Features that the older version has nothing for."""
        return [name for name in self.newer.features if name not in self.sources]

    def write(self, platform: Platform, path: Path) -> int:
        """All records that ever were, the oldest first, as JSON lines. Returns how many."""
        columns = ", ".join(f"f.{quoted(old)}" for old in self.sources.values())
        answer = self._ask(platform, columns, "NOT f.is_deleted")
        named = [(name, kind) for name, (_, kind) in zip(self.sources, answer.columns, strict=True)]
        path.parent.mkdir(parents=True, exist_ok=True)
        return write(path, named, offline.rows(platform, answer))

    def delete(self, platform: Platform) -> int:
        """Delete what was deleted in the older version, at the same times. Returns how many deletions there were.

        One that is older than the record leaves it online and only notes the deletion offline, as it was.
        """
        keys = [self.sources[name] for name in (self.newer.identifier, self.newer.event_time)]
        answer = self._ask(platform, ", ".join(f"f.{quoted(key)}" for key in keys), "f.is_deleted")
        runtime, count = platform.session.client(RUNTIME), 0
        for key, moment in offline.rows(platform, answer):
            with telling(f"deleting record {key} of feature group {self.newer.group}", "mlplat status"):
                runtime.delete_record(
                    FeatureGroupName=self.newer.name,
                    RecordIdentifierValueAsString=str(key),
                    EventTime=str(moment),
                    DeletionMode="SoftDelete",
                )
            count += 1
        return count

    def _ask(self, platform: Platform, columns: str, which: str) -> offline.Answer:
        order = f"{self.older.moment}, f.api_invocation_time, f.{quoted(self.older.identifier)}"
        return offline.ask(platform, f"SELECT {columns} FROM {self.older} f WHERE {which} ORDER BY {order}")  # noqa: S608


def job_of(
    platform: Platform, group: str, older: int | None, newer: int | None, renamed: Mapping[str, str]
) -> Backfill:
    """The versions that are meant. Raises UsageError when there is none to read."""
    schema = to_write(platform, group, newer)
    there = [number for number in versions(platform, schema.group) if number < schema.version]
    if older is None and not there:
        raise UsageError(
            f"backfilling {schema.group}: there is no version before {schema.version}",
            hint=f"mlplat features version {schema.group}",
        )
    return Backfill(offline.table_of(platform, schema.group, older or there[-1]), schema, renamed)


def renamed_of(pairs: Sequence[str]) -> dict[str, str]:
    """NEW=OLD, as a mapping. Raises UsageError for what isn't so."""
    wrong = [each for each in pairs if "=" not in each]
    if wrong:
        raise UsageError(f"backfilling: --map {wrong[0]} is not NEW=OLD", hint="mlplat features backfill --help")
    return dict(each.split("=", 1) for each in pairs)
