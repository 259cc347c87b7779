"""Which files make which table: the heuristics of crawlers over the folders of a target.

Developer guide, "How does a crawler determine when to create partitions?": files in the folders below one folder make
one table, partitioned by those folders, when format and schemas are alike; else each folder is looked at by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlplat.localcloud.executors.s3_data import Place
from mlplat.localcloud.glue.classifiers import Classified, merged

ALIKE = 0.7
"""Share of columns that two schemas have in common to be alike. Source: re:Post, "How does the AWS Glue crawler
detect the schema?"."""


@dataclass(frozen=True)
class File:
    """An object that was read."""

    key: str
    size: int
    content: Classified


@dataclass(frozen=True)
class Found:
    """A table that a crawl has found: its folder, its files, and the folders below that are partitions."""

    bucket: str
    folder: str
    """The key of its folder with the last `/`, or of its only file."""
    files: Sequence[File]
    levels: int

    @property
    def location(self) -> str:
        """Where the table is."""
        return f"s3://{self.bucket}/{self.folder}"

    @property
    def name(self) -> str:
        """Lower case, and nothing but letters, digits and underscores."""
        last = self.folder.rstrip("/").rpartition("/")[2] or self.bucket
        return re.sub(r"[^a-z0-9_]", "_", last.lower())

    @property
    def content(self) -> Classified:
        """What its files have together."""
        return merged([each.content for each in self.files])

    @property
    def keys(self) -> list[str]:
        """The partition keys: `key=value` folders name theirs, others are partition_0, partition_1 and so on."""
        paths = self.partitions()
        if not paths:
            return []
        named = [
            {part.partition("=")[0].lower() if "=" in part else "" for part in level}
            for level in zip(*paths, strict=True)
        ]
        return [min(each) if len(each) == 1 and "" not in each else f"partition_{n}" for n, each in enumerate(named)]

    def partitions(self) -> dict[tuple[str, ...], list[File]]:
        """The files by the folders below the table's."""
        found: dict[tuple[str, ...], list[File]] = {}
        for file in self.files if self.levels else ():
            path = tuple(file.key.removeprefix(self.folder).split("/")[:-1])
            found.setdefault(path, []).append(file)
        return found

    def values(self, path: Sequence[str]) -> list[str]:
        """The values of a partition, in the order of the keys."""
        return [part.partition("=")[2] if "=" in part else part for part in path]


def tables(place: Place, files: Sequence[File], level: int | None = None) -> list[Found]:
    """The tables of a target; `level` is where tables are, the bucket being 1 (Grouping's TableLevelConfiguration)."""
    if not files:
        return []
    if [each.key for each in files] == [place.key]:
        return [Found(place.bucket, place.key, files, 0)]
    start = place.key if not place.key or place.key.endswith("/") else f"{place.key}/"
    if level is None:
        return _in_folder(place.bucket, start, files)
    by_folder: dict[str, list[File]] = {}
    for file in files:
        parts = file.key.split("/")[:-1]
        folder = "".join(f"{part}/" for part in parts[: max(0, level - 1)])
        by_folder.setdefault(folder, []).append(file)
    return [Found(place.bucket, folder, inside, _depth(folder, inside)) for folder, inside in by_folder.items()]


def _depth(folder: str, files: Sequence[File]) -> int:
    depths = {each.key.removeprefix(folder).count("/") for each in files}
    return depths.pop() if len(depths) == 1 else 0


def _in_folder(bucket: str, folder: str, files: Sequence[File]) -> list[Found]:
    depths = {each.key.removeprefix(folder).count("/") for each in files}
    if len(depths) == 1 and _are_alike([each.content for each in files]):
        return [Found(bucket, folder, files, depths.pop())]
    here = [each for each in files if "/" not in each.key.removeprefix(folder)]
    below: dict[str, list[File]] = {}
    for each in files:
        inside = each.key.removeprefix(folder)
        if "/" in inside:
            below.setdefault(f"{folder}{inside.partition('/')[0]}/", []).append(each)
    found = [one for name, inside in below.items() for one in _in_folder(bucket, name, inside)]
    if here and not below:
        return [Found(bucket, each.key, [each], 0) for each in here]
    return [Found(bucket, each.key, [each], 0) for each in here] + found


def _are_alike(contents: Sequence[Classified]) -> bool:
    first = contents[0]
    return all(each.kind == first.kind and _common(first.columns, each.columns) >= ALIKE for each in contents)


def _common(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    most = max(len(one), len(other))
    return len(one.keys() & other.keys()) / most if most else 1.0
