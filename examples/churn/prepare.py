"""Makes the files under data/: the customers as features, and the three parts of them that models see.

    python prepare.py                   # the parts, from data/customers.csv
    python prepare.py mlc_churn.csv     # all of it, from the data set as R's modeldata has it

The parts follow from hashes of the customers' ids: no seed, no order of rows, the same everywhere.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from pathlib import Path
from typing import Iterator

DATA = Path(__file__).resolve().parent / "data"
EVENT_TIME = "2026-01-01T00:00:00Z"
"""The data set has no dates; a feature store wants one."""

PARTS = (("train", 60), ("validation", 15), ("holdout", 25))
"""Percent of the customers. Nothing is fitted or chosen by the holdout."""


def parts_of(rows: list[dict[str, str]]) -> dict[str, str]:
    """Customer -> part. Each part has the same share of those who left; a hash of the id says who goes where."""
    found = {}
    for label in sorted({row["churn"] for row in rows}):
        customers = sorted((row["customer_id"] for row in rows if row["churn"] == label), key=_hash)
        start = 0
        for percent_so_far, name in _ends():
            end = round(len(customers) * percent_so_far / 100)
            found.update(dict.fromkeys(customers[start:end], name))
            start = end
    return found


def _hash(customer_id: str) -> str:
    return hashlib.sha256(customer_id.encode()).hexdigest()


def _ends() -> Iterator[tuple[int, str]]:
    so_far = 0
    for name, percent in PARTS:
        so_far += percent
        yield so_far, name


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV file by column."""
    with path.open(encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)


def as_features(row: dict[str, str]) -> dict[str, str]:
    """A row of the data set as a record: `rownames` is the customer, and there is an event time."""
    rest = {name: value for name, value in row.items() if name != "rownames"}
    return {"customer_id": row["rownames"], "event_time": EVENT_TIME, **rest}


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """Rows as CSV with a header."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{path.name}: {len(rows)} customers")


def main(source: str | None = None, folder: Path = DATA) -> None:
    """Write all files; without a source, the parts of the customers that are there."""
    customers = folder / "customers.csv"
    if source is not None:
        write(customers, [as_features(row) for row in rows_of(Path(source))])
    rows = [{name: value for name, value in row.items() if name != "event_time"} for row in rows_of(customers)]
    parts = parts_of(rows)
    for part, _ in PARTS:
        write(folder / f"{part}.csv", [row for row in rows if parts[row["customer_id"]] == part])


if __name__ == "__main__":
    main(*sys.argv[1:2])
