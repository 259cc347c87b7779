"""Makes the files under data/: the customers as features, and the three parts of them that models see.

    python prepare.py                   # the parts, from data/customers.csv
    python prepare.py mlc_churn.csv     # all of it, from the data set as R's modeldata has it

A customer's part follows from a hash of the id, so it never changes, whatever the order of the rows is.
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


def part_of(customer_id: str) -> str:
    """The part a customer belongs to."""
    place = int(hashlib.sha256(customer_id.encode()).hexdigest(), 16) % 100
    for name, percent in PARTS[:-1]:
        if place < percent:
            return name
        place -= percent
    return PARTS[-1][0]


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
    for part, _ in PARTS:
        write(folder / f"{part}.csv", [row for row in rows if part_of(row["customer_id"]) == part])


if __name__ == "__main__":
    main(*sys.argv[1:2])
